//! Decisions: from what is asked now and what is forecast to the size of a workload.
//!
//! Pure: no IO, no clock (invariant 1). [`Inputs`] is everything a decision may look at, [`Decision`]
//! everything that came of it. What carries over from one decision to the next is a state that can be
//! written down and read back, so that a restart goes on where the process stopped.

mod decision;
mod event;
mod inputs;
mod overrides;

pub use decision::{Binding, Closed, Decision, Gate, Held, Parts};
pub use event::{Effect, Event};
pub use inputs::{DemandForecast, Inputs, Maximum, Reading, Replicas, Truth};
pub use overrides::{Order, Override};

use serde::{Deserialize, Serialize};

/// What a recommendation may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing is decided or published.
    Off,
    /// Everything is computed and logged; every reader is answered with the reactive part alone.
    #[default]
    Observe,
    /// The greater of reactive and predictive; going down is left to the autoscaler that follows.
    Guarded,
    /// Our release rule may stand in for the autoscaler's stabilisation too, still never below reactive.
    Full,
}

impl Mode {
    /// As in configuration and in the label `mode`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Guarded => "guarded",
            Self::Full => "full",
        }
    }
}
