//! Whether the forecast counts.

use super::{Closed, DemandForecast, Gate};
use crate::series::{Millis, Span};
use serde::Deserialize;

/// A forecast may be made so long after now: clocks differ.
const AHEAD: Millis = 60_000;
/// A forecast at a lower level than was asked for would promise too little.
const LEVEL_TOLERANCE: f64 = 0.005;

/// When the forecast counts, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateSettings {
    /// A forecast counts for so long. Where left out: two steps of its signal, or step and offset where that is longer
    /// (the next one comes no sooner), at least two minutes.
    pub max_age: Option<Span>,
    /// The share of actual maxima under the quantile may be so much less than its level. A day of them is few where demand comes in
    /// runs: at 0.05 the gate was shut often with nothing wrong (docs/simulation.md).
    pub coverage_tolerance: f64,
    /// The least skill against seasonal naive.
    pub min_skill: f64,
    /// More than so many times what is asked for now, and well above all of the last days, is not believed.
    pub max_jump: f64,
    /// The greatest drift.
    pub max_drift: Option<f64>,
    /// Whether a forecast counts only when its coverage and skill are known.
    pub require_proof: bool,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            max_age: None,
            coverage_tolerance: 0.15,
            min_skill: 0.0,
            max_jump: 5.0,
            max_drift: None,
            require_proof: false,
        }
    }
}

impl GateSettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let shares = [
            ("coverage_tolerance", self.coverage_tolerance, 0.0, 0.5),
            ("min_skill", self.min_skill, -10.0, 1.0),
            ("max_jump", self.max_jump, 1.0, 1_000.0),
            ("max_drift", self.max_drift.unwrap_or(1.0), 0.1, 100.0),
        ];
        for (field, value, least, most) in shares {
            if !(least..=most).contains(&value) {
                let text = format!("{value} is not within {least} to {most}");
                problems.push((field.to_owned(), text));
            }
        }
        let allowed = Span::seconds(1)..=Span::days(1);
        if let Some(span) = self.max_age.filter(|span| !allowed.contains(span)) {
            let text = format!("{span} is not within 1s to 24h");
            problems.push(("max_age".to_owned(), text));
        }
        problems
    }

    /// How old a forecast on a grid of `step` may be, which is `newest` old when the next one comes; milliseconds.
    pub(super) fn age(&self, step: Millis, newest: Millis) -> Millis {
        let usual = Self::usual_age(step, newest);
        self.max_age.map_or(usual, Span::as_millis)
    }

    /// The same where nothing is said.
    pub(super) fn usual_age(step: Millis, newest: Millis) -> Millis {
        step.saturating_mul(2).max(120_000).max(newest)
    }

    /// Why the forecast does not count by itself: age, coverage, skill, the state of its input. Contracts, section 8,
    /// step 6.
    pub(super) fn judge(
        &self,
        at: Millis,
        oldest: Millis,
        level: f64,
        forecast: &DemandForecast,
    ) -> Gate {
        let age = at.saturating_sub(forecast.generated);
        let unproven = self.require_proof;
        let below = |value: Option<f64>, least: f64| match value {
            // `NaN` is below everything: what is not known to be good is not.
            Some(value) => value.is_nan() || value < least,
            None => unproven,
        };
        let covered = level.min(forecast.level) - self.coverage_tolerance;
        let drift = self.max_drift.zip(forecast.drift);
        let reasons = [
            (
                forecast.level.is_nan() || forecast.level < level - LEVEL_TOLERANCE,
                Closed::NoForecast,
            ),
            (age > oldest || age < -AHEAD, Closed::Stale),
            (forecast.anomaly != 0, Closed::Anomaly),
            (below(forecast.coverage, covered), Closed::Coverage),
            (below(forecast.skill, self.min_skill), Closed::Skill),
            (
                drift.is_some_and(|(most, drift)| drift > most),
                Closed::Drift,
            ),
        ];
        let shut = reasons.into_iter().find(|(holds, _)| *holds);
        shut.map_or(Gate::Open, |(_, why)| Gate::Shut(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn good() -> DemandForecast {
        DemandForecast {
            generated: 100 * MINUTE,
            step: MINUTE,
            level: 0.95,
            maxima: Vec::new(),
            coverage: Some(0.94),
            skill: Some(0.2),
            anomaly: 0,
            drift: Some(0.5),
        }
    }

    #[test]
    fn names_why_it_is_shut() {
        let judge = |change: fn(&mut DemandForecast), minutes: Millis| {
            let mut forecast = good();
            change(&mut forecast);
            let settings = GateSettings {
                max_drift: Some(1.0),
                ..GateSettings::default()
            };
            settings.judge(minutes * MINUTE, settings.age(MINUTE, 0), 0.95, &forecast)
        };
        type Case = (fn(&mut DemandForecast), Millis, Gate);
        let cases: [Case; 12] = [
            (|_| {}, 101, Gate::Open),
            (|_| {}, 102, Gate::Open),
            (|_| {}, 103, Gate::Shut(Closed::Stale)),
            (|_| {}, 98, Gate::Shut(Closed::Stale)),
            (|one| one.coverage = None, 101, Gate::Open),
            (
                |one| one.coverage = Some(0.79),
                101,
                Gate::Shut(Closed::Coverage),
            ),
            (
                |one| one.coverage = Some(f64::NAN),
                101,
                Gate::Shut(Closed::Coverage),
            ),
            (|one| one.skill = Some(-0.1), 101, Gate::Shut(Closed::Skill)),
            (|one| one.anomaly = -1, 101, Gate::Shut(Closed::Anomaly)),
            (|one| one.anomaly = 1, 101, Gate::Shut(Closed::Anomaly)),
            (|one| one.drift = Some(1.1), 101, Gate::Shut(Closed::Drift)),
            (|one| one.level = 0.9, 101, Gate::Shut(Closed::NoForecast)),
        ];
        for (number, (change, minutes, expected)) in cases.into_iter().enumerate() {
            assert_eq!(judge(change, minutes), expected, "case {number}");
        }
    }

    #[test]
    fn proof_can_be_required() {
        let mut forecast = good();
        forecast.skill = None;
        let settings = GateSettings {
            require_proof: true,
            ..GateSettings::default()
        };
        let gate = settings.judge(101 * MINUTE, settings.age(MINUTE, 0), 0.95, &forecast);
        assert_eq!(gate, Gate::Shut(Closed::Skill));
    }
}
