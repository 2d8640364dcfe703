//! What a unit tells about itself: its outcome, its report, its metrics and log lines.

use crate::{
    engine::{
        catalogue::UnitReport,
        demand::Demand,
        outcome::{Counts, Outcome, SeriesOutcome},
        schedule::Rebuild,
        trail::Trail,
    },
    series::{Millis, Span},
    source::{Matrix, SourceError},
    telemetry::{EngineEvents, Evaluated},
};
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;

/// Series that a log names when they become anomalous at the same time.
const NAMED_ANOMALIES: usize = 5;

/// What a unit tells about itself. One per unit; only the unit's task writes to it.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) name: Arc<str>,
    pub(super) events: Arc<EngineEvents>,
    pub(super) report: Arc<Mutex<UnitReport>>,
    pub(super) trail: Arc<Trail>,
    pub(super) outcome: watch::Sender<Option<Arc<Outcome>>>,
    pub(super) max_age: Span,
    /// What readers ask for, made ready before they do.
    pub(super) demand: Arc<Demand>,
}

impl Desk {
    /// Changes the report.
    pub(super) fn tell(&self, change: impl FnOnce(&mut UnitReport)) {
        // A report is plain data: a panic while it was changed leaves nothing to repair.
        let mut report = self
            .report
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut report);
    }

    /// So much of the history was read and replayed, 0 to 1.
    pub(super) fn backfilled(&self, ratio: f64, now: Millis) {
        self.events.backfilled(&self.name, ratio);
        let old = self.serves(now);
        self.tell(|report| {
            "backfilling".clone_into(&mut report.phase);
            report.backfilled = Some(ratio);
            report.silent_because = (!old).then(|| {
                let percent = (ratio * 100.0).floor();
                format!("reading its history, {percent} % done")
            });
        });
    }

    /// Other shards carry so many series of the newest answer, of history or live.
    pub(super) fn foreign(&self, series: usize) {
        self.events.foreign(&self.name, series);
        self.tell(|report| report.foreign = series);
    }

    /// An answer came: what was left out of it, and what the source warned about.
    pub(super) fn answered(&self, matrix: &Matrix) {
        self.events.dropped(&self.name, matrix.dropped);
        self.tell(|report| {
            report.dropped = matrix.dropped;
            report.warnings.clone_from(&matrix.warnings);
        });
    }

    /// The same of a table, which has no warnings.
    pub(super) fn told(&self, dropped: usize) {
        self.events.dropped(&self.name, dropped);
        self.tell(|report| {
            report.dropped = dropped;
            report.warnings.clear();
        });
    }

    /// The source gave no answer.
    pub(super) fn failed(&self, error: &SourceError, now: Millis) {
        self.events.failed(&self.name, error.cause.as_str(), error);
        self.troubled(error, now);
    }

    /// The source still gave no answer: it was asked again before the next tick, as a failed tick is
    /// counted and logged once.
    pub(super) fn failed_again(&self, error: &SourceError, now: Millis) {
        self.troubled(error, now);
    }

    /// The unit panicked, or could not be built anew.
    pub(super) fn panicked(&self, error: &dyn fmt::Display, now: Millis) {
        self.events.panicked(&self.name, error);
        self.troubled(&format!("panicked: {error}"), now);
    }

    /// The history is read afresh.
    pub(super) fn rebuilds(&self, why: Rebuild) {
        match why {
            Rebuild::Gap(gap) => {
                let gap = Span::millis(gap);
                let why = format!("nothing was evaluated for {gap}");
                self.events.restarted(&self.name, "gap", &why);
            }
            Rebuild::ClockBack(back) => {
                let back = Span::millis(back);
                let why = format!("the clock was set back by {back}");
                self.events.restarted(&self.name, "clock_back", &why);
                // What was published is of a time that has not come yet.
                self.outcome.send_replace(None);
            }
        }
        self.trail.clear();
    }

    /// The clock was set back a little; nothing is evaluated until it shows `reached` again.
    pub(super) fn waits(&self, reached: Millis, now: Millis) {
        let wait = Span::millis(reached - now);
        let serves = self.serves(now);
        self.tell(|report| {
            "waiting".clone_into(&mut report.phase);
            report.silent_because = (!serves).then(|| format!(
                "the clock was set back; evaluations go on in {wait}, when it shows the time of the newest one"
            ));
        });
    }

    /// `newest` becomes what readers see; it took `took`, with the grid times evaluated before it.
    pub(super) fn publish(&self, newest: Arc<Outcome>, took: Duration) {
        let counts = &newest.counts;
        let at = newest.at as f64 / 1_000.0;
        let duration = took.as_secs_f64();
        let evaluated = Evaluated {
            at,
            duration,
            series: counts.series,
            active: counts.active,
            warming: counts.warming,
            refused: counts.refused,
            outdated: counts.outdated,
            state_bytes: counts.state_bytes,
        };
        self.events.evaluated(&self.name, evaluated);
        self.tell_doubts(&newest);
        self.tell(|report| {
            "running".clone_into(&mut report.phase);
            report.silent_because = silence(&newest, report.foreign);
            report.last_evaluation = Some(at);
            report.last_duration = Some(duration);
            report.series = counts.series;
            report.warming = counts.warming;
            report.active = counts.active;
            report.refused = counts.refused;
            report.backfilled = None;
            report.state_bytes = counts.state_bytes;
        });
        self.outcome.send_replace(Some(newest));
    }

    /// Counts what happened at one grid time that was evaluated live, not replayed, and says what
    /// became anomalous.
    pub(super) fn happened(&self, outcome: &Outcome) {
        let counts = &outcome.counts;
        self.say_anomalies(outcome);
        self.count_doubts(outcome);
        self.events.counted(&self.name);
        self.events.corrected(&self.name, counts.corrections);
        self.events.refits_late(&self.name, counts.late_refits);
        self.events.verdicts(&self.name, counts.begun);
        self.part_panics(counts);
    }

    fn say_anomalies(&self, outcome: &Outcome) {
        let began = || outcome.series.iter().filter(|series| series.began);
        for series in began().take(NAMED_ANOMALIES) {
            if let Some(reason) = &series.reason {
                let sentence = reason.sentence(series);
                let (labels, severity) = (&series.labels, series.severity);
                self.events.anomaly(&self.name, labels, severity, &sentence);
            }
        }
        let more = began().count().saturating_sub(NAMED_ANOMALIES);
        if more > 0 {
            self.events.more_anomalies(&self.name, more);
        }
    }

    /// Counts the panics and the failures of forecasters that the unit caught itself.
    pub(super) fn part_panics(&self, counts: &Counts) {
        for (part, times) in &counts.panics {
            self.events.part_panicked(&self.name, part, *times);
        }
        for (model, reason, times) in &counts.failures {
            let reason = reason.name();
            self.events
                .forecaster_failed(&self.name, model, reason, *times);
        }
    }

    /// Says again, without evaluating, that the newest outcome is in force. It is of the newest grid
    /// time there is, so whatever kept the unit from evaluating is over.
    pub(super) fn republish(&self) {
        let newest = self.outcome.borrow().clone();
        if let Some(newest) = newest {
            self.tell(|report| {
                "running".clone_into(&mut report.phase);
                report.silent_because = silence(&newest, report.foreign);
            });
        }
        self.outcome.send_modify(|_| {});
    }

    /// Whether readers still get an outcome.
    pub(super) fn serves(&self, now: Millis) -> bool {
        let newest = self.outcome.borrow().as_ref().map(|outcome| outcome.at);
        newest.is_some_and(|at| (now - at).abs() <= self.max_age.as_millis())
    }

    fn troubled(&self, error: &dyn fmt::Display, now: Millis) {
        let serves = self.serves(now);
        self.tell(|report| {
            "failing".clone_into(&mut report.phase);
            let error = error.to_string();
            report.silent_because = (!serves).then(|| error.clone());
            report.last_error = Some((error, now as f64 / 1_000.0));
        });
    }
}

/// Why an outcome shows nothing, if it does; other shards carry `foreign` series of its query.
fn silence(outcome: &Outcome, foreign: usize) -> Option<String> {
    let counts = &outcome.counts;
    if counts.series == 0 && foreign > 0 {
        return Some(format!(
            "other shards carry all {foreign} series of the query"
        ));
    }
    if counts.series == 0 {
        return Some("the query answers with no series".into());
    }
    if outcome.excluded.is_some() {
        return outcome.excluded.clone();
    }
    let mut series = outcome.series.iter();
    let is_empty = |one: &SeriesOutcome| one.value.is_nan() && one.score.is_nan();
    let nothing = match outcome.sparse {
        true => counts.valued == 0,
        false => series.all(is_empty),
    };
    if nothing {
        return Some(format!(
            "the newest answer has no usable value for any of the {} series",
            counts.series
        ));
    }
    let shown = match outcome.sparse {
        true => counts.expected > 0,
        false => outcome.series.iter().any(|series| series.band.is_known()),
    };
    (counts.warming == counts.series && !shown).then(|| {
        format!(
            "all {} series are without enough history yet",
            counts.series
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excluded_time_is_a_reason_for_silence() {
        let why = "excluded by calendar maintenance until 2026-11-01 06:00 UTC";
        let mut outcome = Outcome {
            excluded: Some(why.to_owned()),
            ..Outcome::default()
        };
        assert_eq!(
            silence(&outcome, 0).unwrap(),
            "the query answers with no series"
        );
        let elsewhere = silence(&outcome, 4).unwrap();
        assert_eq!(elsewhere, "other shards carry all 4 series of the query");
        outcome.counts.series = 1;
        assert_eq!(silence(&outcome, 4).as_deref(), Some(why));
    }

    #[test]
    fn that_no_series_is_told_of_is_no_silence_where_only_some_are() {
        let mut outcome = Outcome {
            sparse: true,
            ..Outcome::default()
        };
        outcome.counts.series = 9;
        let why = silence(&outcome, 0).unwrap();
        assert!(why.contains("no usable value for any of the 9"), "{why}");
        (outcome.counts.valued, outcome.counts.warming) = (4, 9);
        let why = silence(&outcome, 0).unwrap();
        assert!(why.contains("without enough history"), "{why}");
        outcome.counts.expected = 1;
        assert_eq!(silence(&outcome, 0), None);
    }
}
