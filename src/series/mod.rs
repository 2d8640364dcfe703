//! What a sample belongs to and when: label sets, the time grid, the window of one series, time zones,
//! calendars, relabelling, which of several processes carries what.
//!
//! Pure: no IO, no clock (invariant 1).

pub mod calendar;
pub mod grid;
pub mod labels;
pub mod local;
pub mod panel;
pub mod relabel;
pub mod shard;
pub mod span;
pub mod window;
pub mod zone;

pub use calendar::Calendar;
pub use grid::{Grid, Millis};
pub use labels::{LabelError, Labels};
pub use local::LocalTime;
pub use shard::{Shard, Share};
pub use span::Span;
pub use window::Window;
pub use zone::Zone;

/// Dense index of one series inside the unit (or the shard of a unit) that owns its state.
pub type Slot = usize;

/// Exchanges the rows of two slots in a column of `width` entries a slot.
pub(crate) fn swap_rows<T>(column: &mut [T], width: usize, one: Slot, other: Slot) {
    if one != other {
        let (low, high) = (one.min(other) * width, one.max(other) * width);
        let (below, above) = column.split_at_mut(high);
        below[low..low + width].swap_with_slice(&mut above[..width]);
    }
}

/// The past of one series, as everything that learns receives it.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// Grid time of the newest value, milliseconds since the epoch.
    pub end: Millis,
    /// Spacing of the values.
    pub grid: Grid,
    /// Oldest to newest, one per grid time, `NaN` where there was no sample.
    pub values: &'a [f32],
    /// Season lengths in steps, shortest first; empty where none is known.
    pub seasons: &'a [usize],
    /// Zone whose wall clock the seasons follow.
    pub zone: &'a Zone,
}

impl<'a> Past<'a> {
    /// Grid time of `values[index]`.
    pub fn time(&self, index: usize) -> Millis {
        self.end - (self.values.len() - 1 - index) as i64 * self.grid.step()
    }

    /// How many values are not missing.
    pub fn known(&self) -> usize {
        self.values.iter().filter(|value| value.is_finite()).count()
    }

    /// The same past without its newest `steps` values; `None` where nothing would be left.
    pub fn before(&self, steps: usize) -> Option<Past<'a>> {
        let keep = self
            .values
            .len()
            .checked_sub(steps)
            .filter(|&keep| keep > 0)?;
        let end = self.end - steps as i64 * self.grid.step();
        Some(Past {
            end,
            values: &self.values[..keep],
            ..*self
        })
    }

    /// The newest `steps` values only (all of them where there are fewer).
    pub fn tail(&self, steps: usize) -> Past<'a> {
        let from = self.values.len().saturating_sub(steps);
        Past {
            values: &self.values[from..],
            ..*self
        }
    }
}
