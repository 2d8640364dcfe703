//! `signals[].validate`.

use super::{Memory, Unit, frozen::Patience};
use crate::series::{Grid, Span};
use serde::Deserialize;

/// A series that moves every minute and stands still for an hour does not do so by chance.
const USUAL_FROZEN_AFTER: Span = Span::minutes(60);
/// On coarse grids an hour is too few samples to tell.
const LEAST_SAMPLES: usize = 12;
/// Standing still for this share of what a series is derived from is what it does: the past must still show that it moved.
const ACCEPTED_SHARE: usize = 3;

/// What values are held against, beside `range`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What it is measured in, which says what values can be where `range` does not.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// A series that moved and has the very same value for so long is frozen; 0 never. Left out: an hour, and never where
    /// the history is too short for that.
    #[serde(default)]
    pub frozen_after: Option<Span>,
    /// Whether a counter that is read without a rate is told from a gauge.
    #[serde(default)]
    pub counter: CounterCheck,
}

/// See [`Settings::counter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CounterCheck {
    /// By the name in the query and the shape of the series.
    #[default]
    Auto,
    /// It is a gauge, whatever it looks like.
    Gauge,
}

impl Settings {
    /// When a series with this memory is frozen; `None`: never.
    pub(super) fn patience(&self, memory: Memory) -> Option<Patience> {
        let accepted = memory.steps / ACCEPTED_SHARE;
        let span = self.frozen_after.unwrap_or(USUAL_FROZEN_AFTER);
        let steps = Grid::new(memory.step)?.steps_up(span.as_millis());
        let after = steps.max(LEAST_SAMPLES);
        let is_wanted = span.as_millis() > 0 && after <= accepted / 2;
        is_wanted.then_some(Patience {
            after: u32::try_from(after).ok()?,
            accepted: i64::try_from(accepted).ok()?,
        })
    }

    /// The longest `frozen_after` that a series with this memory can be held against; `None` where the memory is too short for
    /// any.
    pub fn longest(memory: Memory) -> Option<Span> {
        let steps = memory.steps / ACCEPTED_SHARE / 2;
        let longest = Span::millis(memory.step.saturating_mul(steps as i64));
        (steps >= LEAST_SAMPLES).then_some(longest)
    }
}
