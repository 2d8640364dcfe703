//! What an autoscaler is told of a workload: one rule for KEDA, the external metrics API and whoever else asks.

use super::Scaling;
use crate::{
    decide::{Binding, Mode},
    series::Millis,
};
use std::{fmt, sync::Arc};

/// So many names are listed for somebody who asked for another.
const LISTED: usize = 20;
/// What autoscalers resolve metrics to.
const MILLI: f64 = 1_000.0;
/// More a thousandth cannot tell apart, or 64 bits of thousandths not hold.
const TARGETS: std::ops::RangeInclusive<f64> = 0.001..=1e9;
/// No workload is larger.
const MOST_ASKED: f64 = 1e9;

/// What each replica is to have of a metric: `AverageValue` of the autoscaler. It counts in thousandths, and rounds up; what it
/// would round it must not round otherwise in the target than in the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    milli: u64,
}

/// What an autoscaler is told of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// The workload.
    pub workload: Arc<str>,
    /// When it was decided.
    pub at: Millis,
    /// The recommendation.
    pub replicas: u32,
    /// The number of replicas to ask for: with the fraction that gets over the autoscaler's tolerance, or, where the workload
    /// is only observed, that its demand comes to. Finite and not negative; rounded up it is the recommendation, or the next one
    /// above.
    pub asked: f64,
    /// The demand that counts: of now and, where it is in force, of the forecast; 0 where neither is known.
    pub demand: f64,
    /// Whether something other than demand wants it awake: a schedule, an event, a rule, an order, a least size, or what
    /// keeps a size for a while.
    pub is_floored: bool,
}

/// Why there is no advice. Never answered by a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// The configuration in force has no such workload; those that it has.
    Stranger(String, Vec<Arc<str>>),
    /// Its mode is `off`.
    Off(Arc<str>),
    /// Nothing was decided on it yet, or what was is too old.
    Undecided,
    /// Its size is not known now, and why.
    Unknown(Arc<str>, String),
}

impl Target {
    /// The target, rounded up to a thousandth.
    ///
    /// # Errors
    /// It is not within 0.001 to 1,000,000,000.
    pub fn new(target: f64) -> Result<Self, String> {
        if !TARGETS.contains(&target) {
            return Err(format!("{target} is not within 0.001 to 1000000000"));
        }
        let milli = (target * MILLI - 1e-6).ceil() as u64;
        Ok(Self { milli })
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.milli as f64 / MILLI
    }

    /// The next whole number, for readers that know no others.
    pub fn whole(self) -> Self {
        let milli = self.milli.next_multiple_of(1_000);
        Self { milli }
    }
}

impl Default for Target {
    fn default() -> Self {
        Self { milli: 1_000 }
    }
}

impl Advice {
    /// What a metric reads of which each replica is to have `target`: `AverageValue` of it gives the size asked for.
    pub fn value(&self, target: Target) -> f64 {
        self.asked * target.get()
    }

    /// Whether it must not sleep: something is wanted, and demand of now or of the forecast is above `activation`, or something
    /// other than demand wants it.
    pub fn is_active(&self, activation: f64) -> bool {
        self.replicas > 0 && (self.is_floored || self.demand > activation)
    }
}

impl Scaling {
    /// What an autoscaler is told of the workload of that name. Whether there is such a one is for
    /// [`crate::engine::Catalogue::knows`] to say: these decisions may be of the configuration before.
    ///
    /// # Errors
    /// There is nothing that it could be told.
    pub(in crate::engine) fn advice(&self, name: &str) -> Result<Advice, Silence> {
        let mut decisions = self.decisions.iter().map(|one| &one.decision);
        let found = decisions.find(|one| *one.workload == *name);
        let decision = found.ok_or(Silence::Undecided)?;
        let workload = Arc::clone(&decision.workload);
        if decision.mode == Mode::Off {
            return Err(Silence::Off(workload));
        }
        let known = decision.replicas.zip(decision.published_replicas);
        let Some((replicas, asked)) = known.filter(|(_, asked)| (0.0..=MOST_ASKED).contains(asked))
        else {
            return Err(Silence::Unknown(workload, decision.reason.clone()));
        };
        let is_predicted =
            decision.gate.is_open() && matches!(decision.mode, Mode::Guarded | Mode::Full);
        let forecast = decision.demand_forecast.filter(|_| is_predicted);
        let demands = [decision.demand, forecast].into_iter().flatten();
        let parts = &decision.parts;
        let floors = match decision.mode {
            // Whoever only observes wakes nobody.
            Mode::Observe => [parts.min, None, None, None, None],
            // What is held, and steps to a peak, are of every demand, the least as well: where they go beyond it they bind.
            _ => [
                parts.min,
                parts.schedule,
                parts.event,
                parts.rule,
                parts.r#override,
            ],
        };
        // What is kept for a while is kept awake: asleep it would be gone at once, whatever is recommended.
        let is_kept = decision.mode != Mode::Observe
            && !matches!(decision.binding, Binding::Reactive | Binding::Forecast);
        Ok(Advice {
            workload,
            at: decision.at,
            replicas,
            asked,
            demand: demands.fold(0.0, f64::max),
            is_floored: is_kept || floors.into_iter().flatten().any(|size| size > 0),
        })
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger(name, known) if known.is_empty() => {
                write!(
                    f,
                    "there is no workload {name:?}; the configuration has none"
                )
            }
            Self::Stranger(name, known) => {
                let more = known.len().saturating_sub(LISTED);
                let listed: Vec<&str> = known.iter().take(LISTED).map(|name| &**name).collect();
                write!(
                    f,
                    "there is no workload {name:?}; there are {}",
                    listed.join(", ")
                )?;
                match more {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Off(name) => write!(
                f,
                "the workload {name:?} is in mode off; observe, guarded or full answer"
            ),
            Self::Undecided => f.write_str(
                "nothing was decided on the workload yet, or the newest decisions are too old; see /api/v1/status",
            ),
            Self::Unknown(name, why) => write!(f, "the size of {name:?} is not known: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::{Closed, Decision, Gate, Parts},
        engine::scaling::Decided,
    };

    fn decided(change: impl FnOnce(&mut Decision)) -> Scaling {
        let mut decision: Decision = serde_json::from_value(serde_json::json!({
            "workload": "checkout", "at": 60_000, "mode": "guarded", "replicas": 3, "would_be": 3, "parts": {},
            "gate": "open", "binding": "forecast", "held": null, "demand": 2.0, "demand_forecast": 250.0, "level": 0.95,
            "window": 300_000, "lead": 180_000, "capacity": 100.0, "generated": null, "ready": 1,
            "published_replicas": 3.0, "reason": "3 replicas: the forecast asks for them"
        }))
        .unwrap();
        change(&mut decision);
        let settings =
            "{name: shop, demand: {signal: load}, capacity_per_replica: 10, limits: {max: 9}}";
        let one = Decided {
            settings: Arc::new(serde_yaml::from_str(settings).unwrap()),
            decision,
            is_news: false,
            notes: Vec::new(),
            coverage: None,
            skill: None,
        };
        Scaling {
            decisions: vec![one],
            ..Scaling::default()
        }
    }

    #[test]
    fn what_is_not_known_is_no_number() {
        let silence = |change: fn(&mut Decision)| decided(change).advice("checkout").unwrap_err();
        assert!(matches!(
            silence(|one| one.mode = Mode::Off),
            Silence::Off(_)
        ));
        assert!(matches!(
            silence(|one| one.replicas = None),
            Silence::Unknown(..)
        ));
        let nan = silence(|one| one.published_replicas = Some(f64::NAN));
        assert!(matches!(nan, Silence::Unknown(..)));
        // A reload brought it, and the newest decisions are of before.
        let new = decided(|_| ()).advice("cart");
        assert_eq!(new, Err(Silence::Undecided));
    }

    #[test]
    fn a_metric_gives_the_size_whatever_its_target() {
        let advice = decided(|_| ()).advice("checkout").unwrap();
        let value = |target| advice.value(Target::new(target).unwrap());
        assert_eq!(
            (value(1.0), value(120.0), value(0.12345)),
            (3.0, 360.0, 0.372)
        );
        assert_eq!(Target::new(0.12345).unwrap().whole(), Target::default());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e10] {
            assert!(Target::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_forecast_wakes_and_an_observer_does_not() {
        let is_active = |change: fn(&mut Decision), activation| {
            let advice = decided(change).advice("checkout").unwrap();
            advice.is_active(activation)
        };
        assert!(is_active(|_| (), 5.0), "the forecast is above");
        let observed = |one: &mut Decision| {
            one.mode = Mode::Observe;
            one.parts = Parts {
                event: Some(9),
                ..Parts::default()
            };
        };
        assert!(!is_active(observed, 5.0), "the demand of now is below");
        assert!(is_active(observed, 0.0));
        assert!(!is_active(|one| one.gate = Gate::Shut(Closed::Stale), 5.0));
        let ordered = |one: &mut Decision| one.parts.event = Some(1);
        assert!(is_active(ordered, 1_000.0), "an event needs no demand");
        assert!(!is_active(|one| one.replicas = Some(0), 0.0));
        let storm = |one: &mut Decision| {
            (one.demand, one.gate) = (Some(0.0), Gate::Shut(Closed::Anomaly));
            one.binding = Binding::RetryStorm;
        };
        assert!(is_active(storm, 5.0), "what is kept is not put to sleep");
        let held = |one: &mut Decision| {
            (one.demand, one.gate) = (Some(0.0), Gate::Shut(Closed::Stale));
            (one.parts.hold, one.binding) = (Some(3), Binding::Hold);
        };
        assert!(is_active(held, 5.0));
        // Whatever is asked for is in the release rule and in the steps to a peak too.
        let trickle = |one: &mut Decision| {
            (one.demand, one.demand_forecast) = (Some(3.0), Some(4.0));
            (one.parts.hold, one.parts.prewarm) = (Some(1), Some(1));
            one.replicas = Some(1);
        };
        assert!(!is_active(trickle, 5.0), "up to that it may sleep");
        assert!(is_active(trickle, 3.5));
    }
}
