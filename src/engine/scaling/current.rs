//! The series of this process as rules see them: what is newest of every signal, and what is published of it.

use crate::{
    decide::Truth,
    engine::outcome::Outcome,
    expo::names,
    forecast::Interval,
    promql::{Expression, Matchers, Snapshot},
    series::{Labels, Millis},
};
use std::sync::Arc;

/// Horizon of what is expected now.
const NOW: &str = "0s";

/// The newest values of what the rules read.
#[derive(Debug)]
pub(super) struct Current {
    /// What is read; only that is built.
    read: Vec<Matchers>,
    snapshot: Snapshot,
}

type Rows = Vec<(Labels, f64, Millis)>;

impl Current {
    pub(super) fn new<'r>(rules: impl Iterator<Item = &'r Expression>) -> Self {
        let selectors = rules.flat_map(Expression::selectors);
        Self {
            read: selectors
                .map(|selector| selector.matchers.clone())
                .collect(),
            snapshot: Snapshot::new(),
        }
    }

    /// Takes in the newest outcomes.
    pub(super) fn take(&mut self, at: Millis, outcomes: &[Arc<Outcome>]) {
        self.snapshot = Snapshot::new();
        if self.read.is_empty() {
            return;
        }
        for outcome in outcomes {
            self.take_values(at, outcome);
            self.take_forecasts(at, outcome);
        }
    }

    /// Whether a rule holds. What has no answer is not known, and says why.
    pub(super) fn judge(&self, at: Millis, rule: &Expression, notes: &mut Vec<String>) -> Truth {
        match rule.evaluate(at, &self.snapshot) {
            Ok(value) if value.holds() => Truth::Holds,
            Ok(_) => Truth::Fails,
            Err(error) => {
                notes.push(format!("the rule `{}`: {error}", rule.text()));
                Truth::Unknown
            }
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.read.iter().any(|matchers| matchers.may_match(name))
    }

    fn put(&mut self, name: &str, rows: impl FnOnce() -> Rows) {
        if self.wants(name) {
            self.snapshot.put(name, rows());
        }
    }

    /// The values as they are in the source, under the name of the signal, and the verdicts.
    fn take_values(&mut self, at: Millis, outcome: &Outcome) {
        let signal = &*outcome.unit;
        let series = || outcome.series.iter();
        self.put(signal, || {
            let known = series().filter(|one| one.value.is_finite());
            known
                .map(|one| (one.labels.clone(), f64::from(one.value), at))
                .collect()
        });
        for (name, value) in [
            (
                "anomaly_score",
                (|one| f64::from(one.score)) as fn(&crate::engine::SeriesOutcome) -> f64,
            ),
            ("anomaly_active", |one| f64::from(u8::from(one.active))),
            ("anomaly_severity", |one| f64::from(one.severity)),
            ("anomaly_direction", |one| f64::from(one.direction)),
        ] {
            self.put(name, || {
                let judged = series().filter(|one| !one.score.is_nan());
                let rows = judged.map(|one| {
                    let labels = published(&one.labels, &[("signal", signal)]);
                    (labels, value(one), at)
                });
                rows.collect()
            });
        }
    }

    /// What is expected now and at every horizon, and of the greatest value within windows.
    fn take_forecasts(&mut self, at: Millis, outcome: &Outcome) {
        let spans = |horizons: &[crate::engine::Horizon]| -> Vec<String> {
            horizons.iter().map(|one| one.span.to_string()).collect()
        };
        let (horizons, windows) = (spans(&outcome.horizons), spans(&outcome.windows));
        let fields: [fn(&Interval) -> f32; 3] = [
            |interval| interval.expected,
            |interval| interval.lower,
            |interval| interval.upper,
        ];
        let signal = &*outcome.unit;
        for (family, field) in names::forecast_families(signal).iter().zip(fields) {
            self.put(&family.name, || {
                let now = outcome.series.iter().map(|one| {
                    let band = &one.band;
                    let now = Interval {
                        expected: band.expected,
                        lower: band.lower,
                        upper: band.upper,
                    };
                    (published(&one.labels, &[("horizon", NOW)]), field(&now))
                });
                let ahead = cells(outcome, &horizons, &outcome.forecasts, field);
                known(at, now.chain(ahead))
            });
        }
        for (family, field) in names::maximum_families(signal).iter().zip(fields) {
            self.put(&family.name, || {
                known(at, cells(outcome, &windows, &outcome.maxima, field))
            });
        }
    }
}

/// The values of a table of series and horizons, with their labels.
fn cells(
    outcome: &Outcome,
    horizons: &[String],
    table: &[Interval],
    field: fn(&Interval) -> f32,
) -> impl Iterator<Item = (Labels, f32)> {
    let width = horizons.len().max(1);
    let rows = outcome.series.iter().zip(table.chunks(width));
    rows.flat_map(move |(one, row)| {
        let cell = |(span, interval): (&String, &Interval)| {
            (
                published(&one.labels, &[("horizon", span)]),
                field(interval),
            )
        };
        horizons.iter().zip(row).map(cell).collect::<Vec<_>>()
    })
}

fn known(at: Millis, rows: impl Iterator<Item = (Labels, f32)>) -> Rows {
    let finite = rows.filter(|(_, value)| value.is_finite());
    finite
        .map(|(labels, value)| (labels, f64::from(value), at))
        .collect()
}

/// The labels of a series as they are published, with ours.
fn published(labels: &Labels, own: &[(&str, &str)]) -> Labels {
    let source: Vec<_> = labels
        .iter()
        .map(|(name, value)| (names::published_label_name(name), value))
        .collect();
    let source = source.iter().map(|(name, value)| (name.as_ref(), *value));
    Labels::new(source.chain(own.iter().copied())).unwrap_or_default()
}
