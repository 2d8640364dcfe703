//! What a decision looks at.

use super::{Event, Override};
use crate::series::Millis;
use std::{fmt, sync::Arc};

/// A value and when it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The time that was asked about. The sample may be older by as much as its source looks back.
    pub at: Millis,
    /// Finite, in the unit of its series.
    pub value: f64,
}

/// Too little of what the demand is measured at was there for it to be believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incomplete {
    /// The share that was there, 0 to 1; `None` where that is not known.
    pub share: Option<f64>,
    /// The share that is needed.
    pub least: f64,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.share {
            Some(share) => write!(
                f,
                "only {share:.2} of what the demand is measured at is there"
            )?,
            None => {
                f.write_str("how much of what the demand is measured at is there is not known")?
            }
        }
        write!(f, ", and {} is needed (demand.complete)", self.least)
    }
}

/// How large a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// When that was so.
    pub at: Millis,
    /// Those that do work.
    pub ready: u32,
    /// Those that were asked for; `None` where only the ready ones are known.
    pub wanted: Option<u32>,
}

/// The greatest demand between now and a time ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Maximum {
    /// How far ahead the window reaches, milliseconds.
    pub ahead: Millis,
    /// Its median.
    pub expected: f64,
    /// Its quantile at the level the workload asks for.
    pub quantile: f64,
}

/// What is known of the future of a workload's demand.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DemandForecast {
    /// The grid time it was made at.
    pub generated: Millis,
    /// The grid of its signal, milliseconds.
    pub step: Millis,
    /// The level of [`Maximum::quantile`], 0 to 1.
    pub level: f64,
    /// Shortest window first; at least one.
    pub maxima: Vec<Maximum>,
    /// Share of recent actual maxima at or below their quantile, in the worst of the windows that a lead time may ask for;
    /// an estimate. `None` where not known yet.
    pub coverage: Option<f64>,
    /// `1 - error / error of seasonal naive`, over recent forecasts; `None` where not known yet.
    pub skill: Option<f64>,
    /// Whether the demand itself has a verdict: -1 abnormally low, 1 abnormally high, 0 none.
    pub anomaly: i8,
    /// Drift of what the forecasts were derived from, 1 at the threshold; `None` where not known.
    pub drift: Option<f64>,
}

/// What became of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// It could not be evaluated: as good as if it did not hold.
    Unknown,
}

/// Everything a decision about one workload looks at. What is absent is not known, which is never the same as 0.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The newest demand that was measured as a whole.
    pub demand: Option<Reading>,
    /// Why it is not the one that was measured now.
    pub incomplete: Option<Incomplete>,
    /// The size it has now.
    pub replicas: Option<Replicas>,
    /// The future of the demand.
    pub forecast: Option<Arc<DemandForecast>>,
    /// Utilisation of what it has, for learning its capacity and for seeing saturation.
    pub utilisation: Option<Reading>,
    /// Length of the queue in front of it.
    pub queue: Option<Reading>,
    /// The signal that the host is critical: above 0.
    pub host: Option<Reading>,
    /// Its rules, in the order of the configuration.
    pub rules: Vec<Truth>,
    /// Events of all workloads.
    pub events: Arc<Vec<Event>>,
    /// Overrides of all workloads.
    pub overrides: Arc<Vec<Override>>,
}
