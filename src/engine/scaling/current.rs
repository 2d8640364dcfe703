//! The series of this process as rules see them: what is newest of every signal, and what is published of it.

use crate::{
    decide::Truth,
    engine::{Horizon, SeriesOutcome, outcome::Outcome},
    expo::names,
    forecast::Interval,
    promql::{Expression, MAX_WORK, Matchers, Snapshot},
    series::{Labels, Millis},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Series that all rules of all workloads may look at and make at one tick: some hundred milliseconds. A rule may do so
/// much alone ([`MAX_WORK`]), but not each of a thousand.
const WORK_OF_TICK: usize = 4 * MAX_WORK;

/// Horizon of what is expected now.
const NOW: &str = "0s";

/// The newest values of what the rules read.
#[derive(Debug)]
pub(super) struct Current {
    /// What is read; only that is built.
    read: Vec<Matchers>,
    snapshot: Snapshot,
    /// Signals and panels that there are, or that there were outcomes of since that was last said.
    signals: BTreeSet<Arc<str>>,
    /// Those that have no outcome right now, and the names of what there would be of each alone.
    stale: Vec<(Arc<str>, Vec<String>)>,
    /// What was judged at this tick: workloads share rules.
    judged: BTreeMap<String, Judged>,
    /// What is left of [`WORK_OF_TICK`].
    left: usize,
}

/// What a rule came to.
#[derive(Debug, Clone)]
struct Judged {
    truth: Truth,
    note: Option<String>,
    /// The first of those that it reads and that are there no more: what it says is of half of what it asks.
    stale: Option<Arc<str>>,
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
            signals: BTreeSet::new(),
            stale: Vec::new(),
            judged: BTreeMap::new(),
            left: WORK_OF_TICK,
        }
    }

    /// There are these signals and panels and no others, whether they have outcomes or not: what was taken out of the
    /// configuration is not waited for.
    pub(super) fn know(&mut self, signals: impl IntoIterator<Item = Arc<str>>) {
        if !self.read.is_empty() {
            self.signals = signals.into_iter().collect();
        }
    }

    /// Takes in the newest outcomes; a new tick begins.
    pub(super) fn take(&mut self, outcomes: &[Arc<Outcome>]) {
        self.snapshot = Snapshot::new();
        self.judged.clear();
        self.left = WORK_OF_TICK;
        if self.read.is_empty() {
            return;
        }
        let units = outcomes.iter().map(|outcome| &outcome.unit);
        self.signals.extend(units.clone().cloned());
        let there: BTreeSet<&Arc<str>> = units.collect();
        let gone = self.signals.iter().filter(|unit| !there.contains(unit));
        let named = |unit: &Arc<str>| (Arc::clone(unit), names::names_of_signal(unit));
        self.stale = gone.map(named).collect();
        for outcome in outcomes {
            self.take_values(outcome);
            self.take_forecasts(outcome);
        }
    }

    /// Whether a rule holds. What has no answer is not known, and says why. Nor is what reads a signal that is stale,
    /// where that would make it fail, or leave less (`shrinks`): absence is no reason for either.
    pub(super) fn judge(
        &mut self,
        at: Millis,
        rule: &Expression,
        shrinks: bool,
        notes: &mut Vec<String>,
    ) -> Truth {
        let judged = match self.judged.get(rule.text()) {
            Some(judged) => judged.clone(),
            None => {
                let judged = self.evaluate(at, rule);
                self.judged.insert(rule.text().to_owned(), judged.clone());
                judged
            }
        };
        notes.extend(judged.note);
        let matters = shrinks || judged.truth == Truth::Fails;
        if let Some(signal) = judged.stale.filter(|_| matters) {
            notes.push(format!(
                "the rule `{}` reads {signal}, which has no newest outcome",
                rule.text()
            ));
            return Truth::Unknown;
        }
        judged.truth
    }

    fn evaluate(&mut self, at: Millis, rule: &Expression) -> Judged {
        let limit = self.left.min(MAX_WORK);
        let (value, spent) = rule.evaluate_within(at, &self.snapshot, limit);
        self.left -= spent;
        let (truth, note) = match value {
            Ok(value) if value.holds() => (Truth::Holds, None),
            Ok(_) => (Truth::Fails, None),
            Err(_) if limit < MAX_WORK && spent == limit => {
                let note = format!(
                    "the rule `{}` was not judged: those before it read and made all of the {WORK_OF_TICK} series that rules may in one tick",
                    rule.text()
                );
                (Truth::Unknown, Some(note))
            }
            Err(error) => {
                let note = format!("the rule `{}`: {error}", rule.text());
                (Truth::Unknown, Some(note))
            }
        };
        Judged {
            truth,
            note,
            stale: self.stale_of(rule),
        }
    }

    /// The first signal or panel of which there would be more for the rule, were it there: its values, its forecasts, or its
    /// verdicts, of which those of all have one name.
    fn stale_of(&self, rule: &Expression) -> Option<Arc<str>> {
        let reads = |matchers: &Matchers, signal: &str, own: &[String]| {
            let verdict = |name| matchers.may_match_with(name, &[("signal", signal)]);
            own.iter().any(|name| matchers.may_match(name))
                || names::VERDICTS.into_iter().any(verdict)
        };
        let found = self.stale.iter().find(|(signal, own)| {
            let mut selectors = rule.selectors().iter();
            selectors.any(|selector| reads(&selector.matchers, signal, own))
        });
        found.map(|(signal, _)| Arc::clone(signal))
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
    fn take_values(&mut self, outcome: &Outcome) {
        // What `timestamp` answers: the grid time that was judged, not that of the decision.
        let at = outcome.at;
        let signal = &*outcome.unit;
        let series = || outcome.series.iter();
        self.put(signal, || {
            let known = series().filter(|one| one.value.is_finite());
            known
                .map(|one| (one.labels.clone(), f64::from(one.value), at))
                .collect()
        });
        // In the order of the names.
        let fields: [fn(&SeriesOutcome) -> f64; names::VERDICTS.len()] = [
            |one| f64::from(u8::from(one.active)),
            |one| f64::from(one.direction),
            |one| f64::from(one.score),
            |one| f64::from(one.severity),
        ];
        for (name, value) in names::VERDICTS.into_iter().zip(fields) {
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
    fn take_forecasts(&mut self, outcome: &Outcome) {
        let at = outcome.at;
        let spans = |horizons: &[Horizon]| -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use Truth::{Fails, Holds, Unknown};

    const AT: Millis = 1_700_000_040_000;
    /// The outcome is of a while ago.
    const OF: Millis = AT - 150_000;

    fn rule(text: &str) -> Expression {
        Expression::parse_condition(text).unwrap()
    }

    fn outcome(unit: &str, count: usize) -> Arc<Outcome> {
        let one = |place: usize| SeriesOutcome {
            labels: Labels::new([("n", place.to_string())]).unwrap(),
            value: place as f32,
            band: crate::baseline::Band::UNKNOWN,
            score: 0.1,
            active: false,
            severity: 0,
            direction: 0,
            began: false,
            since: None,
            worst: 0,
            reason: None,
        };
        Arc::new(Outcome {
            unit: unit.into(),
            at: OF,
            series: (0..count).map(one).collect(),
            ..Outcome::default()
        })
    }

    fn judged(current: &mut Current, rule: &Expression, shrinks: bool) -> (Truth, Vec<String>) {
        let mut notes = Vec::new();
        (current.judge(AT, rule, shrinks, &mut notes), notes)
    }

    #[test]
    fn the_time_of_a_value_is_that_of_the_outcome() {
        for (text, truth) in [
            ("time() - timestamp(queue_depth) == 150", Holds),
            ("time() - timestamp(anomaly_score) == 150", Holds),
            ("time() - timestamp(queue_depth) < 60", Fails),
        ] {
            let rule = rule(text);
            let mut current = Current::new([&rule].into_iter());
            current.take(&[outcome("queue_depth", 3)]);
            assert_eq!(judged(&mut current, &rule, false).0, truth, "{text}");
        }
    }

    #[test]
    fn a_signal_that_is_stale_makes_no_rule_fail_and_nothing_shrink() {
        let deep = rule("queue_depth > 1");
        let idle = rule("load < 5 unless on() queue_depth > 1");
        let missing = rule("absent(queue_depth)");
        let all = [&deep, &idle, &missing];
        let mut current = Current::new(all.into_iter());
        let (queue, load) = (outcome("queue_depth", 3), outcome("load", 2));
        let mut truths = |outcomes: &[Arc<Outcome>]| {
            current.take(outcomes);
            [(&deep, false), (&idle, true), (&missing, false)]
                .map(|(rule, shrinks)| judged(&mut current, rule, shrinks).0)
        };
        assert_eq!(
            truths(&[Arc::clone(&load)]),
            [Fails, Holds, Holds],
            "there never was one"
        );
        assert_eq!(truths(&[queue, Arc::clone(&load)]), [Holds, Fails, Fails]);
        // Who asks for absence has an answer.
        assert_eq!(truths(&[load]), [Unknown, Unknown, Holds]);
        let (_, notes) = judged(&mut current, &deep, false);
        let note = "the rule `queue_depth > 1` reads queue_depth, which has no newest outcome";
        assert_eq!(notes, [note]);
        // So it is after a restart, before there ever was one.
        let mut current = Current::new([&deep].into_iter());
        current.know(["queue_depth".into()]);
        current.take(&[]);
        assert_eq!(judged(&mut current, &deep, false).0, Unknown);
    }

    #[test]
    fn a_rule_reads_the_verdicts_of_signals_and_notices_those_that_are_stale() {
        for (text, truth) in [
            ("anomaly_active{signal=\"queue_depth\"} == 1", Unknown),
            ("anomaly_active{signal=~\"queue.*\", n=\"7\"} == 1", Unknown),
            ("anomaly_score > 1", Unknown),
            ("sum(anomaly_active) / count(anomaly_active) > 0.3", Unknown),
            ("{__name__=~\"queue_.*\"} > 5", Unknown),
            ("{__name__=~\"predicted_upper_.*\"} > 5", Unknown),
            ("{__name__=~\"anomaly_sev.*\"} > 3", Unknown),
            ("anomaly_active{signal=\"load\"} == 1", Fails),
            ("anomaly_active{signal!=\"queue_depth\"} == 1", Fails),
            (
                "anomaly_active{signal=\"load\" or signal=\"memory\"} == 1",
                Fails,
            ),
            ("{__name__=~\"anomaly_.*\", signal=\"load\"} > 5", Fails),
            ("{__name__=~\"loa.*\"} > 5", Fails),
        ] {
            let rule = rule(text);
            let mut current = Current::new([&rule].into_iter());
            current.take(&[outcome("queue_depth", 3), outcome("load", 3)]);
            assert_eq!(judged(&mut current, &rule, true).0, Fails, "{text}");
            current.take(&[outcome("load", 3)]);
            assert_eq!(judged(&mut current, &rule, true).0, truth, "{text}");
        }
        // What would leave less must not hold because half of what it reads is gone.
        let calm = rule("max(anomaly_score) < 1");
        let mut current = Current::new([&calm].into_iter());
        current.know(["queue_depth".into(), "load".into()]);
        current.take(&[outcome("load", 3)]);
        assert_eq!(judged(&mut current, &calm, true).0, Unknown);
        assert_eq!(judged(&mut current, &calm, false).0, Holds);
    }

    #[test]
    fn a_signal_that_was_taken_out_of_the_configuration_is_not_stale() {
        let alarm = rule("anomaly_active == 1");
        let mut current = Current::new([&alarm].into_iter());
        let mut truth = |there: [&str; 2]| {
            current.know(there.map(Arc::from));
            current.take(&[outcome("load", 3)]);
            judged(&mut current, &alarm, false).0
        };
        assert_eq!(truth(["load", "queue_depth"]), Unknown);
        assert_eq!(truth(["load", "load"]), Fails);
    }

    #[test]
    fn rules_have_a_budget_together_and_one_that_many_have_counts_once() {
        // A million rows are looked at, none of which is wanted.
        let rows = 200_000;
        let text = |n: usize| {
            format!(
                "sum(load{{n=\"none {n}\"}}) > 1 or sum(load{{n=\"x\"}}) > 1 or sum(load{{n=\"y\"}}) > 1 or sum(load{{n=\"z\"}}) > 1"
            )
        };
        let rules: Vec<Expression> = (0..6).map(|n| rule(&text(n))).collect();
        let mut current = Current::new(rules.iter());
        current.take(&[outcome("load", rows)]);
        for _ in 0..50 {
            assert_eq!(judged(&mut current, &rules[0], false).0, Fails);
        }
        let all: Vec<_> = rules
            .iter()
            .map(|rule| judged(&mut current, rule, false))
            .collect();
        let truths: Vec<Truth> = all.iter().map(|(truth, _)| *truth).collect();
        assert_eq!(truths, [Fails, Fails, Fails, Fails, Fails, Unknown]);
        let note = &all[5].1[0];
        assert!(note.contains("was not judged"), "{note}");
        current.take(&[outcome("load", rows)]);
        assert_eq!(
            judged(&mut current, &rules[5], false).0,
            Fails,
            "another tick"
        );
    }
}
