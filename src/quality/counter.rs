//! A counter that is read as if it were a gauge: what is expected of it is that it goes on growing, and a forecast of it
//! says when a process will have served so many requests, not how many it serves.
//!
//! Disks fill, uptimes grow and queues swell in the same way, so the shape alone is no evidence: the query must also read
//! a metric whose name says that it is a counter, without a rate (`promql::bare_counter`).

/// Rises that there must be before the shape of a series says anything.
const LEAST_RISES: u32 = 64;
/// A counter falls when a process starts anew, and a sum of counters when one of them does: rarely.
const RISES_PER_FALL: u32 = 20;

/// How often one series rose and fell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rises {
    rises: u32,
    falls: u32,
}

impl Rises {
    pub(super) const NEW: Self = Self { rises: 0, falls: 0 };

    /// Whether the series has the shape of a counter, with its value after `before`.
    pub(super) fn step(&mut self, before: f32, value: f32) -> bool {
        if value > before {
            self.rises = self.rises.saturating_add(1);
        } else if value < before {
            self.falls = self.falls.saturating_add(1);
        }
        self.is_counter()
    }

    /// Whether it has the shape of a counter.
    pub(super) fn is_counter(self) -> bool {
        let falls = self.falls.saturating_mul(RISES_PER_FALL);
        self.rises >= LEAST_RISES && self.rises >= falls
    }
}
