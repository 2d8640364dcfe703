//! What the engine counts and logs.

use super::{
    invalid::InvalidEvents,
    unit_labels::{
        Unit, UnitCause, UnitDirection, UnitKind, UnitModel, caused, directed, failing, kind, of,
        touch,
    },
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, atomic::AtomicU64},
};

type FloatGauge = Gauge<f64, AtomicU64>;

/// What one evaluation left behind, for the gauges.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evaluated {
    /// Grid time, seconds since the epoch.
    pub at: f64,
    /// How long it took without waiting for the source, seconds.
    pub duration: f64,
    /// Series with state.
    pub series: usize,
    /// Series whose verdict is on.
    pub active: usize,
    /// Series without enough history.
    pub warming: usize,
    /// Series of the newest answer for which there was no place.
    pub refused: usize,
    /// Series whose forecasts are too old to be served.
    pub outdated: usize,
    /// Bytes of state.
    pub state_bytes: usize,
}

/// What the engine counts and logs. One method is one event: its log line and its counter.
///
/// A family is created by the first touch of a label set, so [`EngineEvents::begin`] touches them
/// all: a counter that starts at 1 has no rate. [`EngineEvents::forget`] takes them away again.
#[derive(Default)]
pub struct EngineEvents {
    evaluations: Family<Unit, Counter>,
    failures: Family<UnitCause, Counter>,
    missed: Family<Unit, Counter>,
    evaluated: Family<Unit, FloatGauge>,
    duration: Family<Unit, FloatGauge>,
    series: Family<Unit, Gauge>,
    active: Family<Unit, Gauge>,
    warming: Family<Unit, Gauge>,
    dropped: Family<Unit, Gauge>,
    foreign: Family<Unit, Gauge>,
    refused: Family<Unit, Gauge>,
    outdated: Family<Unit, Gauge>,
    refits_late: Family<Unit, Counter>,
    corrections: Family<Unit, Counter>,
    panics: Family<UnitKind, Counter>,
    forecasters: Family<UnitModel, Counter>,
    begun: Family<UnitDirection, Counter>,
    backfill: Family<Unit, FloatGauge>,
    state_bytes: Family<Unit, Gauge>,
    clock_steps: Family<UnitDirection, Counter>,
    restarts: Family<UnitCause, Counter>,
    late_inputs: Family<Unit, Counter>,
    invalid: InvalidEvents,
    kinds: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

/// Why a unit read its history afresh, as the label `cause` of the restarts.
const RESTART_CAUSES: [&str; 3] = ["clock_back", "gap", "panic"];
/// The cause of a failure that is ours, beside those of a source.
const PANIC: &str = "panic";
/// Why a forecaster failed.
const FORECASTER_REASONS: [&str; 2] = ["not_finite", "panic"];
/// Which way the clock was set.
const CLOCK_DIRECTIONS: [&str; 2] = ["backward", "forward"];
/// Which way a series went.
const VERDICT_DIRECTIONS: [&str; 2] = ["down", "up"];

impl EngineEvents {
    /// Registers the metrics, each at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self::default();
        events.register_work(registry);
        events.register_state(registry);
        events.register_faults(registry);
        events.invalid.register(registry);
        events
    }

    fn register_work(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, family: &Family<Unit, Counter>| {
            registry.register(name, help, family.clone());
        };
        add(
            "signal_evaluations",
            "Grid times evaluated",
            &self.evaluations,
        );
        add(
            "signal_iterations_missed",
            "Ticks that passed while the former one was still at work",
            &self.missed,
        );
        add(
            "signal_corrections",
            "Values that had changed when they were read again",
            &self.corrections,
        );
        add(
            "signal_refits_late",
            "Times that a series was not derived anew by the grid time from which that is in force",
            &self.refits_late,
        );
        add(
            "signal_inputs_late",
            "Outcomes that came after their panel had evaluated without them",
            &self.late_inputs,
        );
        registry.register(
            "signal_anomaly_events",
            "Verdicts that began while running",
            self.begun.clone(),
        );
    }

    fn register_state(&self, registry: &mut Registry) {
        let mut float = |name: &str, help: &str, family: &Family<Unit, FloatGauge>| {
            registry.register(name, help, family.clone());
        };
        float(
            "signal_last_evaluation_timestamp_seconds",
            "Grid time of the newest evaluation",
            &self.evaluated,
        );
        float(
            "signal_last_duration_seconds",
            "How long the newest evaluation took, without waiting for the source",
            &self.duration,
        );
        float(
            "signal_backfill_ratio",
            "Share of the history read and replayed since the unit started",
            &self.backfill,
        );
        let mut whole = |name: &str, help: &str, family: &Family<Unit, Gauge>| {
            registry.register(name, help, family.clone());
        };
        whole("signal_series", "Series with state", &self.series);
        whole(
            "signal_series_active",
            "Series whose verdict is on",
            &self.active,
        );
        whole(
            "signal_series_warming",
            "Series without enough history to be scored",
            &self.warming,
        );
        whole(
            "signal_series_dropped",
            "Series left out of the newest answer because of max_series",
            &self.dropped,
        );
        whole(
            "signal_series_foreign",
            "Series of the newest answer that other shards carry; absent of signals that are not divided",
            &self.foreign,
        );
        whole(
            "signal_series_refused",
            "Series of the newest answer without a place under max_series, as silent ones still have theirs",
            &self.refused,
        );
        whole(
            "signal_series_outdated",
            "Series without forecasts because theirs were derived longer ago than forecast.max_age",
            &self.outdated,
        );
        whole("signal_state_bytes", "Bytes of state", &self.state_bytes);
    }

    fn register_faults(&self, registry: &mut Registry) {
        registry.register(
            "signal_failures",
            "Evaluations that failed, by cause",
            self.failures.clone(),
        );
        registry.register(
            "signal_panics",
            "Panics caught, by the part that panicked; its state was built anew",
            self.panics.clone(),
        );
        registry.register(
            "forecaster_failures",
            "Times a forecaster was left out for a series because it failed, by reason; the others went on",
            self.forecasters.clone(),
        );
        registry.register(
            "signal_clock_steps",
            "Times the clock was found set, by direction",
            self.clock_steps.clone(),
        );
        registry.register(
            "signal_restarts",
            "Times the history was read afresh while running, by cause",
            self.restarts.clone(),
        );
    }
}

// === Units ===

impl EngineEvents {
    /// A unit starts: its counters appear at zero. `causes` are those of its source.
    pub fn begin(&self, unit: &str, causes: impl IntoIterator<Item = &'static str>) {
        for counter in self.counters() {
            touch(counter, &of(unit));
        }
        for cause in causes.into_iter().chain([PANIC]) {
            self.note_kind(unit, cause);
            touch(&self.failures, &caused(unit, cause));
        }
        for cause in RESTART_CAUSES {
            touch(&self.restarts, &caused(unit, cause));
        }
        touch(&self.panics, &kind(unit, "unit"));
        for direction in CLOCK_DIRECTIONS {
            touch(&self.clock_steps, &directed(unit, direction));
        }
        for direction in VERDICT_DIRECTIONS {
            touch(&self.begun, &directed(unit, direction));
        }
        // It may be divided no more.
        self.foreign.remove(&of(unit));
        touch(&self.dropped, &of(unit));
        touch(&self.refused, &of(unit));
        touch(&self.outdated, &of(unit));
        touch(&self.series, &of(unit));
        touch(&self.backfill, &of(unit));
        self.invalid.begin(unit);
    }

    /// A unit is gone: its metrics disappear.
    pub fn forget(&self, unit: &str) {
        for counter in self.counters() {
            counter.remove(&of(unit));
        }
        for gauge in [&self.evaluated, &self.duration, &self.backfill] {
            gauge.remove(&of(unit));
        }
        let whole = [
            &self.series,
            &self.active,
            &self.warming,
            &self.dropped,
            &self.foreign,
            &self.refused,
            &self.outdated,
            &self.state_bytes,
        ];
        for gauge in whole {
            gauge.remove(&of(unit));
        }
        for noted in self.noted_kinds(unit) {
            self.failures.remove(&caused(unit, &noted));
            self.panics.remove(&kind(unit, &noted));
            for reason in FORECASTER_REASONS {
                self.forecasters.remove(&failing(unit, &noted, reason));
            }
        }
        self.panics.remove(&kind(unit, "unit"));
        for cause in RESTART_CAUSES {
            self.restarts.remove(&caused(unit, cause));
        }
        for direction in CLOCK_DIRECTIONS {
            self.clock_steps.remove(&directed(unit, direction));
        }
        for direction in VERDICT_DIRECTIONS {
            self.begun.remove(&directed(unit, direction));
        }
        self.invalid.forget(unit);
        tracing::info!(signal = unit, "stopped");
    }

    /// What is counted and logged of values that are not believed.
    pub fn invalid(&self) -> &InvalidEvents {
        &self.invalid
    }

    /// So much of the history was read and replayed, 0 to 1.
    pub fn backfilled(&self, unit: &str, ratio: f64) {
        self.backfill.get_or_create_owned(&of(unit)).set(ratio);
    }

    /// The history was read; the unit is running.
    pub fn running(&self, unit: &str, series: usize, seconds: f64) {
        self.backfilled(unit, 1.0);
        tracing::info!(signal = unit, series, seconds, "running");
    }

    /// One grid time was evaluated, live.
    pub fn counted(&self, unit: &str) {
        self.evaluations.get_or_create_owned(&of(unit)).inc();
    }

    /// The newest grid time was evaluated with this result.
    pub fn evaluated(&self, unit: &str, newest: Evaluated) {
        let unit_label = of(unit);
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.evaluated
            .get_or_create_owned(&unit_label)
            .set(newest.at);
        self.duration
            .get_or_create_owned(&unit_label)
            .set(newest.duration);
        let gauges = [
            (&self.series, newest.series),
            (&self.active, newest.active),
            (&self.warming, newest.warming),
            (&self.refused, newest.refused),
            (&self.outdated, newest.outdated),
            (&self.state_bytes, newest.state_bytes),
        ];
        for (gauge, count) in gauges {
            gauge.get_or_create_owned(&unit_label).set(whole(count));
        }
        tracing::debug!(
            signal = unit,
            series = newest.series,
            active = newest.active,
            seconds = newest.duration,
            "evaluated"
        );
    }

    /// Verdicts that began, below and above what was expected.
    pub fn verdicts(&self, unit: &str, begun: [u64; 2]) {
        for (direction, begun) in VERDICT_DIRECTIONS.into_iter().zip(begun) {
            let counter = self.begun.get_or_create_owned(&directed(unit, direction));
            counter.inc_by(begun);
        }
    }

    /// A series became anomalous; `sentence` says why.
    pub fn anomaly(&self, unit: &str, labels: &dyn fmt::Display, severity: u8, sentence: &str) {
        tracing::info!(signal = unit, series = %labels, severity, why = sentence, "anomalous");
    }

    /// So many more became so at the same time: a line for each would hide everything else.
    pub fn more_anomalies(&self, unit: &str, more: usize) {
        tracing::info!(signal = unit, more, "anomalous, not listed");
    }

    /// Values had changed when they were read again.
    pub fn corrected(&self, unit: &str, values: usize) {
        let counter = self.corrections.get_or_create_owned(&of(unit));
        counter.inc_by(u64::try_from(values).unwrap_or(u64::MAX));
    }

    /// Series were not derived anew in time.
    pub fn refits_late(&self, unit: &str, series: usize) {
        if series > 0 {
            let counter = self.refits_late.get_or_create_owned(&of(unit));
            counter.inc_by(u64::try_from(series).unwrap_or(u64::MAX));
            tracing::debug!(signal = unit, series, "not derived anew in time");
        }
    }

    /// An evaluation failed because of its source.
    pub fn failed(&self, unit: &str, cause: &'static str, error: &dyn fmt::Display) {
        self.note_kind(unit, cause);
        self.failures
            .get_or_create_owned(&caused(unit, cause))
            .inc();
        tracing::warn!(signal = unit, cause, %error, "no answer from the source");
    }

    /// The whole unit panicked; it is built anew.
    pub fn panicked(&self, unit: &str, error: &dyn fmt::Display) {
        self.failures
            .get_or_create_owned(&caused(unit, PANIC))
            .inc();
        self.panics.get_or_create_owned(&kind(unit, "unit")).inc();
        tracing::error!(signal = unit, %error, "panicked; its state is built anew");
    }

    /// A part of the unit panicked so many times; the unit has built that part's state anew.
    pub fn part_panicked(&self, unit: &str, part: &str, times: u64) {
        self.note_kind(unit, part);
        let counter = self.panics.get_or_create_owned(&kind(unit, part));
        counter.inc_by(times);
        tracing::error!(
            signal = unit,
            part,
            times,
            "a part panicked; its state is built anew"
        );
    }

    /// A forecaster failed for so many series, none included: so it is shown before it ever did.
    pub fn forecaster_failed(&self, unit: &str, model: &str, reason: &str, times: u64) {
        self.note_kind(unit, model);
        let labels = failing(unit, model, reason);
        self.forecasters.get_or_create_owned(&labels).inc_by(times);
        if times > 0 {
            tracing::warn!(
                signal = unit,
                model,
                reason,
                times,
                "a forecaster failed; it is left out for these series until they are learned anew"
            );
        }
    }

    /// Ticks passed unused.
    pub fn missed(&self, unit: &str, ticks: u64) {
        if ticks > 0 {
            self.missed.get_or_create_owned(&of(unit)).inc_by(ticks);
            tracing::warn!(signal = unit, ticks, "ticks missed; catching up");
        }
    }

    /// The clock was set by so many milliseconds.
    pub fn clock_set(&self, unit: &str, millis: i64) {
        let direction = CLOCK_DIRECTIONS[usize::from(millis > 0)];
        self.clock_steps
            .get_or_create_owned(&directed(unit, direction))
            .inc();
        tracing::warn!(signal = unit, millis, "the clock was set");
    }

    /// The history is read afresh because of a panic, a gap, or a clock set back far.
    pub fn restarted(&self, unit: &str, cause: &'static str, why: &dyn fmt::Display) {
        self.restarts
            .get_or_create_owned(&caused(unit, cause))
            .inc();
        tracing::warn!(signal = unit, cause, %why, "reading the history afresh");
    }

    /// The newest answer had so many series over `max_series`. The source names them in the log.
    pub fn dropped(&self, unit: &str, series: usize) {
        let count = i64::try_from(series).unwrap_or(i64::MAX);
        self.dropped.get_or_create_owned(&of(unit)).set(count);
    }

    /// Of the newest answer other shards carry so many series.
    pub fn foreign(&self, unit: &str, series: usize) {
        let count = i64::try_from(series).unwrap_or(i64::MAX);
        self.foreign.get_or_create_owned(&of(unit)).set(count);
    }

    /// An outcome of `input` came after the panel had evaluated its grid time.
    pub fn input_late(&self, unit: &str, input: &str, at: i64) {
        self.late_inputs.get_or_create_owned(&of(unit)).inc();
        tracing::warn!(signal = unit, input, at, "input came too late");
    }

    fn counters(&self) -> [&Family<Unit, Counter>; 5] {
        [
            &self.evaluations,
            &self.missed,
            &self.corrections,
            &self.refits_late,
            &self.late_inputs,
        ]
    }

    /// Remembers a label value that `forget` must take away again.
    fn note_kind(&self, unit: &str, value: &str) {
        if let Ok(mut kinds) = self.kinds.lock() {
            let noted = kinds.entry(unit.to_owned()).or_default();
            if !noted.contains(value) {
                noted.insert(value.to_owned());
            }
        }
    }

    fn noted_kinds(&self, unit: &str) -> BTreeSet<String> {
        let noted = self.kinds.lock().ok().and_then(|mut all| all.remove(unit));
        noted.unwrap_or_default()
    }
}

impl fmt::Debug for EngineEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineEvents").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::Finding;
    use prometheus_client::encoding::text;

    fn shown(registry: &Registry) -> String {
        let mut shown = String::new();
        text::encode(&mut shown, registry).unwrap();
        shown
    }

    fn exercise(events: &EngineEvents, unit: &str) {
        events.begin(unit, ["connect", "timeout"]);
        events.counted(unit);
        events.evaluated(unit, Evaluated::default());
        events.failed(unit, "status", &"answered 500");
        events.part_panicked(unit, "zscore", 2);
        events.forecaster_failed(unit, "ets", "panic", 1);
        events.panicked(unit, &"on purpose");
        events.clock_set(unit, -1);
        events.restarted(unit, "gap", &"3d");
        events.dropped(unit, 1);
        events.missed(unit, 4);
        events.verdicts(unit, [0, 1]);
        events.invalid().now(unit, Finding::Frozen, 2);
    }

    #[test]
    fn counters_of_a_new_unit_are_shown_at_zero() {
        let mut registry = Registry::default();
        let events = EngineEvents::register(&mut registry);
        events.begin("requests", ["connect"]);
        let shown = shown(&registry);
        for line in [
            "signal_evaluations_total{signal=\"requests\"} 0\n",
            "signal_failures_total{signal=\"requests\",cause=\"connect\"} 0\n",
            "signal_panics_total{signal=\"requests\",kind=\"unit\"} 0\n",
            "signal_anomaly_events_total{signal=\"requests\",direction=\"up\"} 0\n",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
    }

    #[test]
    fn a_forgotten_unit_leaves_nothing_and_the_others_stay() {
        let mut registry = Registry::default();
        let events = EngineEvents::register(&mut registry);
        exercise(&events, "gone");
        exercise(&events, "stays");
        let lines = |shown: &str, unit: &str| {
            let label = format!("signal=\"{unit}\"");
            shown.lines().filter(|line| line.contains(&label)).count()
        };
        let before = shown(&registry);
        assert_eq!(lines(&before, "gone"), lines(&before, "stays"));
        events.forget("gone");
        let after = shown(&registry);
        assert_eq!(lines(&after, "gone"), 0, "{after}");
        assert_eq!(lines(&after, "stays"), lines(&before, "stays"));
    }
}
