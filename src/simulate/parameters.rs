//! Every number of the simulation, from one file.

use crate::{
    decide::{GateSettings, Limits},
    series::Span,
};
use serde::Deserialize;

/// The file that is compiled in.
pub const PARAMETERS: &str = include_str!("parameters.yml");

/// Every number of the simulation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Length of a tick.
    pub tick: Span,
    /// Share of a trace on which policies are tuned.
    pub split: f64,
    /// What one replica can serve.
    pub capacity: Capacity,
    /// Least and greatest size.
    pub replicas: Bounds,
    /// From the order for a replica until it is ready.
    pub lead: Span,
    /// By which share of it a single replica may be earlier or later.
    pub jitter: f64,
    /// Age of the newest sample when a metric is read.
    pub scrape_age: Span,
    /// From a decision of a policy that publishes until Prometheus has it.
    pub publish: Span,
    /// How often KEDA asks.
    pub poll: Span,
    /// How often the HPA decides.
    pub sync: Span,
    /// The HPA's tolerance.
    pub tolerance: f64,
    /// The tolerance of an autoscaler that follows what is published.
    pub following_tolerance: f64,
    /// Prices.
    pub cost: Cost,
    /// Of everything that is drawn.
    pub seed: u64,
    /// HPA as it comes.
    pub hpa_default: HpaPoint,
    /// What the tuned HPA is the best of.
    pub hpa_grid: HpaGrid,
    /// Our workload.
    pub ours: OurWorkload,
    /// Points of the frontiers.
    pub frontier: Points,
    /// Length of a peak.
    pub peak: Span,
    /// A step down so soon after a step up is a reversal.
    pub reversal: Span,
}

/// The rule for what one replica can serve.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Of the demand of the first part.
    pub quantile: f64,
    /// Replicas that serve it.
    pub replicas: f64,
    /// What one replica serves, in the trace's unit, where that is known: then the rule does not count.
    #[serde(skip)]
    pub declared: Option<f64>,
}

/// Least and greatest size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Least.
    pub min: u32,
    /// Greatest.
    pub max: u32,
}

/// Prices.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Of a replica for an hour.
    pub replica_hour: f64,
    /// Of a replica that is missing for an hour.
    pub shortfall_hour: f64,
}

impl Cost {
    /// The newsvendor's level: `c_under / (c_under + c_over)`.
    pub fn level(&self) -> f64 {
        self.shortfall_hour / (self.shortfall_hour + self.replica_hour)
    }
}

/// How fast an HPA goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// All of it within 15 s: the default.
    Fast,
    /// A tenth a minute.
    Slow,
}

/// One setting of an HPA.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HpaPoint {
    /// Target utilisation.
    pub target: f64,
    /// The metric is a mean over so long.
    pub rate_window: Span,
    /// Stabilisation window downwards.
    pub stabilisation: Span,
    /// How fast it goes down.
    pub down: Down,
    /// Its tolerance.
    pub tolerance: f64,
}

/// Settings of which the best is taken.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HpaGrid {
    /// Target utilisation.
    pub target: Vec<f64>,
    /// The metric is a mean over so long.
    pub rate_window: Vec<Span>,
    /// Stabilisation window downwards.
    pub stabilisation: Vec<Span>,
    /// How fast it goes down.
    pub down: Vec<Down>,
    /// Its tolerance.
    pub tolerance: Vec<f64>,
}

impl HpaGrid {
    /// All combinations.
    pub fn points(&self) -> Vec<HpaPoint> {
        let mut points = Vec::new();
        for &target in &self.target {
            for &rate_window in &self.rate_window {
                for &stabilisation in &self.stabilisation {
                    for &down in &self.down {
                        points.extend(self.tolerance.iter().map(|&tolerance| HpaPoint {
                            target,
                            rate_window,
                            stabilisation,
                            down,
                            tolerance,
                        }));
                    }
                }
            }
        }
        points
    }
}

/// The settings of our workload.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OurWorkload {
    /// The newest demand is a mean over so long.
    pub rate_window: Span,
    /// The autoscaler has a trigger beside ours, but for `ours alone`: the present rate at this target utilisation.
    pub reactive_target: f64,
    /// Stabilisation downwards of the autoscaler that follows: mode `guarded` leaves it to that.
    pub stabilisation: Span,
    /// `lead_time`.
    pub lead: Span,
    /// `pipeline`.
    pub pipeline: Span,
    /// `limits`.
    #[serde(default)]
    pub limits: Limits,
    /// `gate`.
    #[serde(default)]
    pub gate: GateSettings,
}

/// Knobs at which the frontiers are computed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Points {
    /// Target utilisation.
    pub target: Vec<f64>,
    /// Level of a quantile.
    pub level: Vec<f64>,
    /// Margin above what is predicted.
    pub margin: Vec<f64>,
}

impl Parameters {
    /// Those that are compiled in.
    ///
    /// # Errors
    /// Never, as a test sees to.
    pub fn built_in() -> Result<Self, String> {
        Self::read(PARAMETERS)
    }

    /// Those in `text`.
    ///
    /// # Errors
    /// What cannot be read, and what cannot be.
    pub fn read(text: &str) -> Result<Self, String> {
        let read: Self = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        match read.problem() {
            Some(problem) => Err(problem),
            None => Ok(read),
        }
    }

    /// Ticks in `span`, at least one.
    pub fn ticks(&self, span: Span) -> usize {
        let ticks = span.as_millis() / self.tick.as_millis();
        usize::try_from(ticks).unwrap_or(0).max(1)
    }

    /// Ticks from a decision until what it asks for is surely ready, the next decision's wait included.
    pub(super) fn reach(&self) -> usize {
        let lead = self.ticks(self.lead) as f64 * (1.0 + self.jitter);
        let pipeline = [self.scrape_age, self.publish, self.poll, self.sync];
        lead.ceil() as usize + pipeline.map(|span| self.ticks(span)).iter().sum::<usize>()
    }

    /// Hours of one tick.
    pub fn tick_hours(&self) -> f64 {
        self.tick.as_millis() as f64 / 3_600_000.0
    }

    fn problem(&self) -> Option<String> {
        let tick = self.tick.as_millis();
        if tick <= 0 || 60_000 % tick != 0 {
            return Some(format!("tick: {} does not divide a minute", self.tick));
        }
        let whole = [
            ("scrape_age", self.scrape_age),
            ("publish", self.publish),
            ("poll", self.poll),
            ("sync", self.sync),
            ("peak", self.peak),
        ];
        for (key, span) in whole {
            if span.as_millis() <= 0 || span.as_millis() % tick != 0 {
                return Some(format!(
                    "{key}: {span} is not a whole number of ticks of {}",
                    self.tick
                ));
            }
        }
        let shares = [
            ("split", self.split),
            ("capacity.quantile", self.capacity.quantile),
        ];
        for (key, share) in shares {
            if !(share > 0.0 && share < 1.0) {
                return Some(format!("{key}: {share} is not between 0 and 1"));
            }
        }
        let target = self.ours.reactive_target;
        if !(target.is_finite() && target > 0.0) {
            return Some(format!("ours.reactive_target: {target} is not above 0"));
        }
        if !(0.0..1.0).contains(&self.jitter) {
            return Some(format!("jitter: {} is not within 0 to 1", self.jitter));
        }
        if self.capacity.replicas.is_nan()
            || self.capacity.replicas <= 0.0
            || self.replicas.min == 0
        {
            return Some("capacity.replicas and replicas.min must be above 0".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_is_compiled_in_is_read() {
        let parameters = Parameters::built_in().unwrap();
        assert_eq!(parameters.ticks(parameters.lead), 12);
        assert!((parameters.cost.level() - 0.952).abs() < 1e-3);
        let grid = parameters.hpa_grid.points();
        let lengths = [11, 2, 3, 2, 2];
        assert_eq!(grid.len(), lengths.iter().product::<usize>());
        assert!(grid.contains(&parameters.hpa_default));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (from, to, part) in [
            ("tick: 15s", "tick: 7s", "does not divide"),
            ("split: 0.5", "split: 1.5", "split"),
            ("poll: 30s", "poll: 20s", "whole number of ticks"),
            ("jitter: 0.2", "jiter: 0.2", "jiter"),
            (
                "reactive_target: 0.9",
                "reactive_target: 0",
                "ours.reactive_target: 0",
            ),
            (
                "  reactive_target: 0.9\n",
                "",
                "missing field `reactive_target`",
            ),
        ] {
            let text = PARAMETERS.replace(from, to);
            let told = Parameters::read(&text).unwrap_err();
            assert!(told.contains(part), "{told}");
        }
    }
}
