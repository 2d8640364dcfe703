//! One series of very many.

use super::{
    arrivals::Arrivals,
    ring::{Moment, Ring},
};
use crate::series::{Grid, Labels, Millis};

/// Steps from the first series on, or before it, that samples may be of: 34 years of seconds.
const FARTHEST: u32 = 1 << 30;

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody: its series was forgotten.
    Empty,
    /// A series that is not expected to have more samples.
    Ended,
    /// One that is.
    Live,
}

/// One series.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Without the metric's name, which is that of all.
    pub(super) labels: Labels,
    /// Of a series that is ahead, only the newest step that it has a sample of.
    pub(super) ring: Ring,
    /// When it was last seen, in seconds since the Unix epoch.
    pub(super) seen: u32,
    pub(super) state: State,
    /// Its samples are ahead of the clock by steps, and are kept one by one until they are not.
    pub(super) is_ahead: bool,
}

impl Row {
    /// The newest step that it has a sample of.
    pub(super) fn slot(&self, base: i64) -> i64 {
        let newest = self.ring.newest();
        newest.map_or(i64::MIN, |newest| base + i64::from(newest.0.0))
    }

    /// Its newest sample came, of which step; none where it says that it has ended. `before` is the step of the one before it.
    pub(super) fn came(&mut self, arrivals: &mut Arrivals, before: i64, slot: Option<i64>) {
        let before = (self.state == State::Live).then_some(before);
        match (slot, before) {
            (Some(slot), _) => {
                arrivals.came(before, slot);
                self.state = State::Live;
            }
            (None, Some(before)) => {
                arrivals.ended(before);
                self.state = State::Ended;
            }
            (None, None) => {}
        }
    }
}

/// A time by its step, counted from `base`; `None` where that is more than [`FARTHEST`] away.
pub(super) fn moment_of(grid: Grid, base: i64, at: Millis) -> Option<Moment> {
    let slot = i32::try_from(grid.index(at).checked_sub(base)?).ok()?;
    let since = i32::try_from(at.rem_euclid(grid.step())).ok()?;
    (slot.unsigned_abs() < FARTHEST).then_some((slot, since))
}

pub(super) fn seconds(at: Millis) -> u32 {
    u32::try_from(at.div_euclid(1_000)).unwrap_or(0)
}
