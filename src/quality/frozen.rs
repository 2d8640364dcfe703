//! A series that always moved and stands still: an exporter that hangs answers with what it measured last.
//!
//! Many series stand still by nature: settings, sizes, queues at night. So one is frozen only where it has the very same
//! value for [`Patience::after`] samples, for [`UNUSUAL`] times as many as it ever had (but for once: one incident must
//! not blind the check for the next), and moved at least as often before. What rests at an end of what can be, at zero
//! above all, is not frozen: nothing to do looks like that. After [`Patience::accepted`] what it shows is what it is.

use super::Bounds;

/// So many times longer than it ever stood still.
const UNUSUAL: u32 = 10;

/// When a series counts as frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// Samples of the very same value.
    pub(super) after: u32,
    /// Steps after which standing still is what it does.
    pub(super) accepted: i64,
}

/// How long one series has had the same value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Still {
    /// Grid index of the first sample with the newest value.
    since: i64,
    /// The newest value; `NaN` before there was one.
    value: f32,
    /// Samples since then that have it.
    count: u32,
    /// Samples of the longest two times before that it stood still, the longest first.
    longest: [u32; 2],
    /// Samples that differed from the one before.
    moves: u32,
}

impl Still {
    pub(super) const NEW: Self = Self {
        since: 0,
        value: f32::NAN,
        count: 0,
        longest: [0; 2],
        moves: 0,
    };

    /// The newest value; `NaN` before there was one.
    pub(super) fn value(&self) -> f32 {
        self.value
    }

    /// Takes in a value without asking how long it stood still.
    pub(super) fn remember(&mut self, value: f32) {
        self.value = value;
    }

    /// Whether the series is frozen with its value at grid index `index`.
    pub(super) fn step(
        &mut self,
        index: i64,
        value: f32,
        patience: &Patience,
        bounds: Bounds,
    ) -> bool {
        if value == self.value {
            self.count = self.count.saturating_add(1);
        } else {
            self.moved(bounds);
            (self.value, self.since, self.count) = (value, index, 1);
        }
        let usual = self.longest[1].saturating_mul(UNUSUAL);
        self.count >= patience.after.max(usual)
            && self.moves >= patience.after
            && index - self.since <= patience.accepted
            && !bounds.is_end(value)
    }

    fn moved(&mut self, bounds: Bounds) {
        if self.value.is_nan() {
            return;
        }
        self.moves = self.moves.saturating_add(1);
        if bounds.is_end(self.value) {
            return;
        }
        if self.count > self.longest[0] {
            self.longest = [self.count, self.longest[0]];
        } else {
            self.longest[1] = self.longest[1].max(self.count);
        }
    }
}
