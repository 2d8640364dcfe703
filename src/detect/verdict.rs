//! From scores to verdicts: direction, least deviation, debounce, separate recovery, refractory period,
//! severity.
//!
//! Everything a verdict depends on is one small code per series and step (missing, quiet, near, or a
//! severity, each with its sign), kept for the newest `memory_steps`: so a verdict is re-derived from
//! them exactly, at one byte a step.

use super::{Batch, Problems};
use crate::series::{Grid, Millis, Slot, Span};
use serde::Deserialize;

/// Which side of the expected value may be anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Both.
    #[default]
    Both,
    /// Only values above.
    Above,
    /// Only values below.
    Below,
}

/// Two samples at the default step of a minute: one bad scrape is no incident.
const USUAL_HOLD: Span = Span::minutes(2);
/// Long enough that an incident that pauses is still one.
const USUAL_RECOVERY: Span = Span::minutes(5);
/// Half an hour is about what it takes to look at an alert.
const USUAL_REFRACTORY: Span = Span::minutes(30);

/// Alert hygiene. Spans are counted in steps: one sample stands for one step, and a span that is not a
/// whole number of steps is rounded up. Spans that are left out have usual lengths, shortened by
/// [`AlertingSettings::fitted`] where that is needed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertingSettings {
    /// Which side of the expected value may be anomalous.
    pub direction: Side,
    /// A value nearer to the expected one than this is never anomalous; in the unit of the signal.
    pub min_deviation: f64,
    /// A value nearer to the expected one than this share of it is never anomalous.
    pub min_relative_deviation: f64,
    /// A verdict begins when values were anomalous for so long, on the same side.
    #[serde(rename = "for")]
    pub hold: Option<Span>,
    /// A verdict ends when values were ordinary (below `recover_below`) for so long.
    pub recover_for: Option<Span>,
    /// After a verdict ended no other begins for so long, unless it is more severe.
    pub refractory: Option<Span>,
    /// The score below which a value counts as ordinary again.
    pub recover_below: f64,
}

impl Default for AlertingSettings {
    fn default() -> Self {
        Self {
            direction: Side::Both,
            min_deviation: 0.0,
            min_relative_deviation: 0.0,
            hold: None,
            recover_for: None,
            refractory: None,
            // Below the threshold, so that a value that hovers around it does not flap.
            recover_below: 0.8,
        }
    }
}

impl AlertingSettings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = Vec::new();
        let deviations = [
            ("min_deviation", self.min_deviation),
            ("min_relative_deviation", self.min_relative_deviation),
        ];
        for (field, value) in deviations {
            if !(value.is_finite() && value >= 0.0) {
                problems.push((
                    field.into(),
                    format!("{value} is not allowed; allowed: 0 or more"),
                ));
            }
        }
        if !(self.recover_below > 0.0 && self.recover_below <= 1.0) {
            let text = format!(
                "{} is not allowed; allowed: above 0, up to 1",
                self.recover_below
            );
            problems.push(("recover_below".into(), text));
        }
        problems
    }

    /// How long values must be anomalous: as given, or the usual span.
    pub fn hold(&self) -> Span {
        self.hold.unwrap_or(USUAL_HOLD)
    }

    /// How long values must be ordinary: as given, or the usual span.
    pub fn recover_for(&self) -> Span {
        self.recover_for.unwrap_or(USUAL_RECOVERY)
    }

    /// How long no other verdict begins: as given, or the usual span.
    pub fn refractory(&self) -> Span {
        self.refractory.unwrap_or(USUAL_REFRACTORY)
    }

    /// The settings with every span written out, for verdicts that are re-derived from `memory` steps of
    /// `grid`. Spans that were left out are shortened to what that past can show: up to a third for
    /// the beginning and for the end of a verdict, and what is left for the refractory period.
    pub fn fitted(&self, grid: Grid, memory: usize) -> Self {
        let span = |steps: usize| Span::millis(grid.step().saturating_mul(steps as i64));
        let third = span((memory / 3).max(1));
        let hold = self.hold.unwrap_or(USUAL_HOLD.min(third));
        let recover_for = self.recover_for.unwrap_or(USUAL_RECOVERY.min(third));
        let judged = Limits::of(hold, recover_for, Span::default(), grid).needed();
        let left = span(memory.saturating_sub(judged));
        Self {
            hold: Some(hold),
            recover_for: Some(recover_for),
            refractory: Some(self.refractory.unwrap_or(USUAL_REFRACTORY.min(left))),
            ..self.clone()
        }
    }

    /// Steps of judged past that show all of a refractory period: a verdict's beginning and end, and the
    /// period after it. Re-derived from fewer, a verdict may begin again too early.
    pub fn memory(&self, grid: Grid) -> usize {
        Limits::new(self, grid).needed()
    }
}

/// Score thresholds of the severities. A score below `info` is not anomalous.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeverityThresholds {
    /// From here on: 1.
    pub info: f64,
    /// From here on: 2.
    pub warning: f64,
    /// From here on: 3.
    pub critical: f64,
    /// From here on: 4.
    pub emergency: f64,
}

impl Default for SeverityThresholds {
    fn default() -> Self {
        Self {
            info: 1.0,
            warning: 1.5,
            critical: 2.0,
            emergency: 3.0,
        }
    }
}

impl SeverityThresholds {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let rising = [
            ("info", self.info),
            ("warning", self.warning),
            ("critical", self.critical),
            ("emergency", self.emergency),
        ];
        let mut problems = Vec::new();
        if !(self.info.is_finite() && self.info >= 1.0) {
            let text = format!(
                "{} is not allowed; allowed: 1 or more (1 is the threshold of every detector)",
                self.info
            );
            problems.push(("info".into(), text));
        }
        for pair in rising.windows(2) {
            let [(lower, least), (field, value)] = [pair[0], pair[1]];
            if !(value.is_finite() && value >= least) {
                problems.push((
                    field.into(),
                    format!("{value} is not allowed; allowed: {least} (that is `{lower}`) or more"),
                ));
            }
        }
        problems
    }

    fn of(&self, score: f32) -> i8 {
        let score = f64::from(score);
        let reached = [self.info, self.warning, self.critical, self.emergency]
            .iter()
            .filter(|&&threshold| score >= threshold)
            .count();
        reached as i8
    }
}

/// What is said of one series at one grid time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Whether the verdict is on.
    pub active: bool,
    /// 0 none, 1 info, 2 warning, 3 critical, 4 emergency.
    pub severity: u8,
    /// -1 below, 0 as expected, 1 above.
    pub direction: i8,
    /// Whether it began at this very time.
    pub began: bool,
    /// The highest severity since it began; 0 none.
    pub worst: u8,
    /// Steps since it began, as far as it is remembered; 0 while it is not on.
    pub age: u32,
}

impl Verdict {
    /// The grid time at which it began, as said at `at`; `None` while it is not on.
    pub fn since(&self, at: Millis, grid: Grid) -> Option<Millis> {
        let ago = grid.step().saturating_mul(i64::from(self.age));
        self.active.then(|| at.saturating_sub(ago))
    }
}

/// One step of one series, all a verdict needs: `MISSING`, or sign times (0 quiet, 1 near the
/// threshold, 1 + severity).
type Code = i8;
const MISSING: Code = i8::MIN;
const NEAR: Code = 1;

/// The verdicts of the series of one shard or panel.
#[derive(Debug, Clone)]
pub struct Verdicts {
    settings: AlertingSettings,
    severities: SeverityThresholds,
    limits: Limits,
    memory: usize,
    states: Vec<State>,
    /// `memory` codes per slot; a ring whose next place is in `places`.
    codes: Vec<Code>,
    places: Vec<Place>,
}

/// The spans of the settings in steps.
#[derive(Debug, Clone, Copy)]
struct Limits {
    hold: u32,
    recover: u32,
    refractory: u32,
    missing: u32,
}

impl Limits {
    fn new(settings: &AlertingSettings, grid: Grid) -> Self {
        let (hold, recover_for) = (settings.hold(), settings.recover_for());
        Self::of(hold, recover_for, settings.refractory(), grid)
    }

    fn of(hold: Span, recover_for: Span, refractory: Span, grid: Grid) -> Self {
        let steps = |span: Span| u32::try_from(grid.steps_up(span.as_millis())).unwrap_or(u32::MAX);
        let recover = steps(recover_for).max(1);
        Self {
            hold: steps(hold).max(1),
            recover,
            refractory: steps(refractory),
            // As long as it takes to recover, and no less than it takes a scraper to restart.
            missing: recover.max(3),
        }
    }

    fn needed(self) -> usize {
        let parts = [self.hold, self.recover, self.refractory];
        parts.into_iter().map(|steps| steps as usize).sum()
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    next: u32,
    held: u32,
}

/// One series. At most 24 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    /// Anomalous steps in a row on the side `leaning`, while idle; ordinary steps in a row, while active.
    run: u32,
    /// Steps in a row without a score.
    missing: u16,
    /// Steps in a row at a lower severity than the published one, while active.
    lower_run: u16,
    /// Steps left in which only a severer verdict may begin.
    refractory: u32,
    leaning: i8,
    direction: i8,
    severity: i8,
    /// Highest severity seen in `lower_run`, while active; that of the last verdict, while idle.
    other_severity: i8,
    /// Highest severity and steps since the verdict began, while active.
    worst: i8,
    age: u32,
}

impl Verdicts {
    /// Verdicts of no series yet, that can be re-derived from `memory_steps` steps (at least one).
    pub fn new(
        settings: &AlertingSettings,
        severities: &SeverityThresholds,
        grid: Grid,
        memory_steps: usize,
    ) -> Self {
        Self {
            limits: Limits::new(settings, grid),
            settings: settings.clone(),
            severities: severities.clone(),
            memory: memory_steps.max(1),
            states: Vec::new(),
            codes: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Makes room for `slots` series in all; new ones are idle.
    pub fn grow(&mut self, slots: usize) {
        if slots <= self.states.len() {
            return;
        }
        self.states.resize(slots, State::default());
        self.places.resize(slots, Place::default());
        self.codes.resize(slots * self.memory, MISSING);
    }

    /// Forgets one series.
    pub fn evict(&mut self, slot: Slot) {
        self.states[slot] = State::default();
        self.places[slot] = Place::default();
    }

    /// Judges one grid time. `scores[i]` belongs to `batch.slots[i]`.
    pub fn step(&mut self, batch: &Batch<'_>, scores: &[f32], out: &mut [Verdict]) {
        for (index, &slot) in batch.slots.iter().enumerate() {
            let code = self.code(
                scores[index],
                batch.values[index],
                batch.bands[index].expected,
            );
            self.remember(slot, code);
            out[index] = self.states[slot].step(code, self.limits);
        }
    }

    /// Derives the verdict of one series anew, from idle through the newest `memory_steps` steps: what
    /// happened before them is forgotten.
    pub fn rederive(&mut self, slot: Slot) {
        let place = self.places[slot];
        let ring = &self.codes[slot * self.memory..(slot + 1) * self.memory];
        let mut state = State::default();
        let oldest = (place.next as usize + self.memory - place.held as usize) % self.memory;
        for index in 0..place.held as usize {
            state.step(ring[(oldest + index) % self.memory], self.limits);
        }
        self.states[slot] = state;
    }

    /// Bytes of state, all series together.
    pub fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<State>()
            + self.places.capacity() * size_of::<Place>()
            + self.codes.capacity()
    }

    fn remember(&mut self, slot: Slot, code: Code) {
        let place = &mut self.places[slot];
        self.codes[slot * self.memory + place.next as usize] = code;
        place.next = (place.next + 1) % self.memory as u32;
        place.held = (place.held + 1).min(self.memory as u32);
    }

    fn code(&self, score: f32, value: f32, expected: f32) -> Code {
        if score.is_nan() || !value.is_finite() || !expected.is_finite() {
            return MISSING;
        }
        let deviation = f64::from(value) - f64::from(expected);
        let wrong_side = match self.settings.direction {
            Side::Both => false,
            Side::Above => deviation < 0.0,
            Side::Below => deviation > 0.0,
        };
        let least = self
            .settings
            .min_deviation
            .max(self.settings.min_relative_deviation * f64::from(expected).abs());
        if wrong_side || deviation.abs() < least || f64::from(score) < self.settings.recover_below {
            return 0;
        }
        let sign = if deviation < 0.0 { -1 } else { 1 };
        sign * (NEAR + self.severities.of(score))
    }
}

impl State {
    fn step(&mut self, code: Code, limits: Limits) -> Verdict {
        self.refractory = self.refractory.saturating_sub(1);
        if self.severity > 0 {
            self.age = self.age.saturating_add(1);
        }
        if code == MISSING {
            self.miss(limits);
        } else {
            self.missing = 0;
            if self.severity > 0 {
                self.hold_or_recover(code, limits);
            } else {
                return self.rest_or_begin(code, limits);
            }
        }
        self.verdict(false)
    }

    /// Without a score nothing changes for a while; then nothing is claimed any more.
    fn miss(&mut self, limits: Limits) {
        self.missing = self.missing.saturating_add(1);
        if u32::from(self.missing) >= limits.missing {
            let refractory = if self.severity > 0 {
                0
            } else {
                self.refractory
            };
            *self = Self {
                missing: self.missing,
                refractory,
                other_severity: if refractory > 0 {
                    self.other_severity
                } else {
                    0
                },
                ..Self::default()
            };
        }
    }

    fn rest_or_begin(&mut self, code: Code, limits: Limits) -> Verdict {
        let severity = (code.abs() - NEAR).max(0);
        if severity == 0 {
            self.run = 0;
            return self.verdict(false);
        }
        self.run = if code.signum() == self.leaning {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.leaning = code.signum();
        let allowed = self.refractory == 0 || severity > self.other_severity;
        if self.run < limits.hold || !allowed {
            return self.verdict(false);
        }
        *self = Self {
            direction: code.signum(),
            severity,
            worst: severity,
            ..Self::default()
        };
        self.verdict(true)
    }

    fn hold_or_recover(&mut self, code: Code, limits: Limits) {
        if code == 0 {
            self.run = self.run.saturating_add(1);
            if self.run >= limits.recover {
                *self = Self {
                    refractory: limits.refractory,
                    other_severity: self.severity,
                    ..Self::default()
                };
            }
            return;
        }
        self.run = 0;
        self.direction = code.signum();
        let severity = (code.abs() - NEAR).max(1);
        if severity >= self.severity {
            self.severity = severity;
            self.worst = self.worst.max(severity);
            self.lower_run = 0;
            self.other_severity = 0;
            return;
        }
        // A severity rises at once and falls as slowly as the verdict recovers.
        self.lower_run = self.lower_run.saturating_add(1);
        self.other_severity = self.other_severity.max(severity);
        if u32::from(self.lower_run) >= limits.recover {
            self.severity = self.other_severity;
            self.lower_run = 0;
            self.other_severity = 0;
        }
    }

    fn verdict(&self, began: bool) -> Verdict {
        Verdict {
            active: self.severity > 0,
            severity: self.severity.unsigned_abs(),
            direction: self.direction,
            began,
            worst: self.worst.unsigned_abs(),
            age: self.age,
        }
    }
}

#[cfg(test)]
mod tests;
