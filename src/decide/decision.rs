//! What a decision came to, and why.

use super::{Mode, Queue};
use crate::series::Millis;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Why the predictive part does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// There is no forecast.
    NoForecast,
    /// It is too old.
    Stale,
    /// Too few actual values were at or below their quantile.
    Coverage,
    /// It is no better than seasonal naive.
    Skill,
    /// The demand itself is anomalous, so what was learned of it does not hold.
    Anomaly,
    /// It is so far above what is asked for now that it is not believed.
    Implausible,
    /// What one replica can do is not known well enough.
    Capacity,
    /// A recommendation made things worse, and it was withdrawn for a while.
    RolledBack,
    /// A person paused it.
    Paused,
    /// What it was derived from is no longer what comes in.
    Drift,
}

impl Closed {
    /// As in the label `gate`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoForecast => "no_forecast",
            Self::Stale => "stale",
            Self::Coverage => "coverage",
            Self::Skill => "skill",
            Self::Anomaly => "anomaly",
            Self::Implausible => "implausible",
            Self::Capacity => "capacity",
            Self::RolledBack => "rolled_back",
            Self::Paused => "paused",
            Self::Drift => "drift",
        }
    }
}

/// Whether the predictive part counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// It does.
    Open,
    /// It does not.
    Shut(Closed),
}

impl Gate {
    /// Whether the predictive part counts.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }

    /// As in the label `gate`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Shut(why) => why.as_str(),
        }
    }
}

/// What decided the number: the constraint without which it would be another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// What is asked for now.
    Reactive,
    /// What is forecast.
    Forecast,
    /// A schedule's floor.
    Schedule,
    /// An event.
    Event,
    /// A rule.
    Rule,
    /// What was needed a moment ago, or will be again: the release rule.
    Hold,
    /// Steps on the way to a peak.
    Prewarm,
    /// The least size.
    Min,
    /// The greatest size.
    Max,
    /// The rate upwards.
    RateUp,
    /// The rate downwards.
    RateDown,
    /// A cooldown.
    Cooldown,
    /// Too small a change.
    Hysteresis,
    /// It went up and down too often.
    Oscillation,
    /// An abnormal drop: those who left may come back all at once.
    RetryStorm,
    /// The budget.
    Budget,
    /// A budget or resource shared with others.
    Shared,
    /// The host is critical.
    Emergency,
    /// A person's order.
    Override,
}

impl Binding {
    /// As in the decision log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reactive => "reactive",
            Self::Forecast => "forecast",
            Self::Schedule => "schedule",
            Self::Event => "event",
            Self::Rule => "rule",
            Self::Hold => "hold",
            Self::Prewarm => "prewarm",
            Self::Min => "min",
            Self::Max => "max",
            Self::RateUp => "rate_up",
            Self::RateDown => "rate_down",
            Self::Cooldown => "cooldown",
            Self::Hysteresis => "hysteresis",
            Self::Oscillation => "oscillation",
            Self::RetryStorm => "retry_storm",
            Self::Budget => "budget",
            Self::Shared => "shared",
            Self::Emergency => "emergency",
            Self::Override => "override",
        }
    }

    /// Whether a person named it as a ceiling: only these may go below what is asked for now (invariant 9).
    pub const fn is_ceiling(self) -> bool {
        matches!(
            self,
            Self::Max | Self::Budget | Self::Shared | Self::Emergency | Self::Override
        )
    }
}

/// Why a size that differs from the wanted one was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What held it.
    pub by: Binding,
    /// What it would have been.
    pub wanted: u32,
}

/// The candidates: why this number. `None`: nothing known, or nothing of the kind in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Parts {
    /// For the newest demand.
    pub reactive: Option<u32>,
    /// For the quantile of the greatest demand over the lead time, whatever the gate says.
    pub forecast: Option<u32>,
    /// Floor of the schedules in force.
    pub schedule: Option<u32>,
    /// For the events in force.
    pub event: Option<u32>,
    /// For the rules that hold.
    pub rule: Option<u32>,
    /// The step on the way to a peak that is further away than the lead time.
    #[serde(default)]
    pub prewarm: Option<u32>,
    /// What a person ordered.
    pub r#override: Option<u32>,
    /// What the release rule keeps.
    pub hold: Option<u32>,
    /// The least size in force.
    pub min: Option<u32>,
    /// The greatest size in force.
    pub max: Option<u32>,
    /// What the budget allows.
    pub budget: Option<u32>,
    /// What a budget or resource shared with others leaves.
    #[serde(default)]
    pub shared: Option<u32>,
}

/// What one evaluation of one workload came to. Immutable; every reader reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The workload.
    pub workload: Arc<str>,
    /// When it was decided: an aligned time.
    pub at: Millis,
    /// The mode in force.
    pub mode: Mode,
    /// The recommendation that readers get; `None`: not known, so absent.
    pub replicas: Option<u32>,
    /// What it would be in full mode: what `observe` logs.
    pub would_be: Option<u32>,
    /// The candidates.
    pub parts: Parts,
    /// Whether the predictive part counts.
    pub gate: Gate,
    /// What decided `would_be`.
    pub binding: Binding,
    /// Why it is not what was wanted, where it is not.
    pub held: Option<Held>,
    /// The newest demand.
    pub demand: Option<f64>,
    /// The quantile of the greatest demand over the lead time.
    pub demand_forecast: Option<f64>,
    /// The level of that quantile.
    pub level: f64,
    /// The window of that maximum, milliseconds: lead time, pipeline, review.
    pub window: Millis,
    /// The lead time in use, milliseconds.
    pub lead: Millis,
    /// What one replica can do, in the unit of the demand; `None` where not known.
    pub capacity: Option<f64>,
    /// When the forecast behind it was made.
    pub generated: Option<Millis>,
    /// Size at that time, where known.
    pub ready: Option<u32>,
    /// The number of replicas to publish, with the fraction that gets over an autoscaler's tolerance: one that rounds it up
    /// arrives at `replicas`. In mode `observe` what the demand comes to. `None` where `replicas` is.
    #[serde(default)]
    pub published_replicas: Option<f64>,
    /// The demand to publish, in its own unit: an autoscaler that divides it by the capacity as declared, of a learned one
    /// its `otherwise`, arrives at `replicas`, its tolerance included; in mode `observe` the demand as it is. `None` where
    /// `replicas` is, or a capacity is learned without `otherwise`: no fixed target goes with it.
    #[serde(default)]
    pub published_demand: Option<f64>,
    /// How many of `replicas` must not be ones that may vanish; `None` without `spot`.
    #[serde(default)]
    pub on_demand: Option<u32>,
    /// What `replicas` cost in an hour; `None` where no price is known.
    #[serde(default)]
    pub cost_per_hour: Option<f64>,
    /// What the queue in front of it does.
    #[serde(default)]
    pub queue: Option<Queue>,
    /// At the end of a rise of the demand: whether enough was ready all the way up. `None` at all other times, and
    /// while nothing of ours is followed.
    #[serde(default)]
    pub prewarmed: Option<bool>,
    /// Whether this very decision withdrew a recommendation that had made things worse.
    #[serde(default)]
    pub withdrawn: bool,
    /// Why, in a sentence.
    pub reason: String,
}
