//! Decisions: from what is asked now and what is forecast to the size of a workload.
//!
//! Pure: no IO, no clock (invariant 1). [`Inputs`] is everything a decision may look at, [`Decision`]
//! everything that came of it. What carries over from one decision to the next is a state that can be
//! written down and read back, so that a restart goes on where the process stopped.

mod board;
mod budget;
mod candidates;
mod capacity;
#[cfg(test)]
mod cases;
mod cron;
mod decision;
mod demand;
mod emergency;
mod event;
mod events;
mod extent;
mod gate;
mod inputs;
#[cfg(test)]
mod laws;
mod lead;
mod learn;
mod learned;
mod limits;
mod orders;
mod outlook;
mod overrides;
mod prewarm;
mod proposal;
mod queue;
mod reason;
mod restrain;
mod rules;
#[cfg(test)]
mod scenarios;
mod schedule;
mod settings;
mod settle;
mod share;
mod state;
#[cfg(test)]
mod told;
mod verify;
mod windows;
mod workload;

pub use board::Board;
pub use budget::{CostSettings, SpotSettings, cost_per_hour};
pub use capacity::{Capacity, LearnedCapacity};
pub use cron::Cron;
pub use decision::{Binding, Closed, Decision, Gate, Held, Parts};
pub use demand::{CompleteSettings, DemandSettings};
pub use emergency::EmergencySettings;
pub use event::{Effect, Event};
pub use events::EventSettings;
pub use gate::GateSettings;
pub use inputs::{DemandForecast, Incomplete, Inputs, Maximum, Reading, Replicas, Truth};
pub use lead::{LeadTime, MeasuredLead};
pub use limits::{Cooldowns, Increase, Limits, MaxBreach, Oscillations, Rate, Stabilisation};
pub use overrides::{Order, Override};
pub use proposal::{Ceiling, Proposal};
pub use queue::{Queue, QueueSettings, Trend};
pub use rules::RuleSettings;
pub use schedule::{Hours, ScheduleSettings, Weekday, ZoneName};
pub use settings::{ReplicasSettings, Settings};
pub use share::{SharedSettings, Used};
pub use state::State;
pub use verify::VerifySettings;
pub use workload::Workload;

/// No size is above this: what asks for more is not believed.
pub const MOST_REPLICAS: u32 = 100_000;

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
