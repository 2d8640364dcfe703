//! From scores to verdicts: direction, least deviation, debounce, separate recovery, refractory period,
//! severity.
//!
//! Everything a verdict depends on is one small code per series and step (missing, quiet, near, or a
//! severity, each with its sign), kept for the newest `memory_steps`: so a verdict is re-derived from
//! them exactly, at one byte a step.

mod settings;

pub use settings::{AlertingSettings, Budget, Flapping, PerSide, SeverityThresholds, Side};

use super::Batch;
use crate::series::{Grid, Millis, Slot, Span, swap_rows};
use std::collections::{BTreeMap, btree_map::Entry};

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
    /// Of the series that are not idle: of very many series few are.
    states: BTreeMap<u32, State>,
    /// Steps in a row without a score, of each slot.
    missing: Vec<u16>,
    /// Per slot; empty unless [`AlertingSettings::within`] asks for it.
    newest: Vec<Newest>,
    /// `memory` codes per slot; a ring whose next place is in `places` (of no memory, none).
    codes: Vec<Code>,
    places: Vec<Place>,
}

/// Most steps of [`AlertingSettings::within`]: a bit each.
pub(super) const MOST_WITHIN: u32 = u64::BITS;
/// Most begins that [`Flapping`] counts.
const MOST_BEGINS: usize = 4;

/// Anomalous steps above and below; the newest is the lowest bit.
type Newest = [u64; 2];

/// The spans of the settings in steps.
#[derive(Debug, Clone, Copy)]
struct Limits {
    hold: u32,
    within: Option<u32>,
    recover: u32,
    refractory: u32,
    missing: u32,
    flapping: FlappingLimits,
}

#[derive(Debug, Clone, Copy)]
struct FlappingLimits {
    begins: usize,
    within: u32,
    recover: u32,
}

impl Limits {
    fn new(settings: &AlertingSettings, grid: Grid) -> Self {
        let steps = |span: Span| u32::try_from(grid.steps_up(span.as_millis())).unwrap_or(u32::MAX);
        let recover = steps(settings.recover_for()).max(1);
        let flapping = &settings.flapping;
        Self {
            hold: steps(settings.hold()).max(1),
            within: settings
                .within
                .map(|within| steps(within).clamp(1, MOST_WITHIN)),
            recover,
            refractory: steps(settings.refractory()),
            // As long as it takes to recover, and no less than it takes a scraper to restart.
            missing: recover.max(3),
            flapping: FlappingLimits {
                begins: flapping.begins.min(MOST_BEGINS),
                // The greatest age stands for never.
                within: steps(flapping.within()).min(u16::MAX.into()),
                recover: steps(flapping.recover_for()).max(recover),
            },
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    next: u32,
    held: u32,
}

/// One series; one without an alert, now or lately, has the default one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    now: Now,
    recent: Recent,
}

/// What counts beyond the present verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recent {
    /// Anomalous steps in a row on the side `leaning`; steps without a score are passed over.
    run: u32,
    leaning: i8,
    /// Steps since the newest verdicts began, newest first; the greatest number for never.
    begun: [u16; MOST_BEGINS],
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            run: 0,
            leaning: 0,
            begun: [u16::MAX; MOST_BEGINS],
        }
    }
}

impl Recent {
    fn step(&mut self, code: Code) {
        for age in &mut self.begun {
            *age = age.saturating_add(1);
        }
        if code == MISSING {
            return;
        }
        let side = side(code);
        let goes_on = side != 0 && side == self.leaning;
        self.run = if goes_on { self.run } else { 0 }.saturating_add(u32::from(side != 0));
        self.leaning = side;
    }

    fn forget_scores(&mut self) {
        (self.run, self.leaning) = (0, 0);
    }

    fn begin(&mut self) {
        self.begun.rotate_right(1);
        self.begun[0] = 0;
    }

    /// Whether a verdict on the side of `code` has been seen long enough to begin.
    fn confirms(&self, code: Code, newest: &Newest, limits: Limits) -> bool {
        let seen = match limits.within {
            None => self.run,
            Some(within) => {
                let span = u64::MAX >> (MOST_WITHIN - within);
                (newest[usize::from(code < 0)] & span).count_ones()
            }
        };
        seen >= limits.hold
    }

    /// Whether nothing of it counts any more.
    fn is_idle(&self, limits: Limits) -> bool {
        let FlappingLimits { begins, within, .. } = limits.flapping;
        self.run == 0 && (begins == 0 || self.begun.iter().all(|&age| u32::from(age) >= within))
    }

    fn flapping(&self, limits: Limits) -> bool {
        let oldest = limits.flapping.begins.checked_sub(1);
        oldest.is_some_and(|oldest| u32::from(self.begun[oldest]) < limits.flapping.within)
    }
}

/// The present verdict of one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Now {
    /// Ordinary steps in a row, while active.
    run: u32,
    /// Steps in a row at a lower severity than the published one, while active.
    lower_run: u16,
    /// Steps left in which only a severer verdict may begin.
    refractory: u32,
    direction: i8,
    severity: i8,
    /// Highest severity seen in `lower_run`, while active; that of the last verdict, while idle.
    other_severity: i8,
    /// Highest severity and steps since the verdict began, while active.
    worst: i8,
    age: u32,
}

impl Verdicts {
    /// Verdicts of no series yet, that can be re-derived from `memory_steps` steps; 0: they never are.
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
            memory: memory_steps,
            states: BTreeMap::new(),
            missing: Vec::new(),
            newest: Vec::new(),
            codes: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Makes room for `slots` series in all; new ones are idle.
    pub fn grow(&mut self, slots: usize) {
        if slots <= self.missing.len() {
            return;
        }
        self.missing.resize(slots, 0);
        if self.limits.within.is_some() {
            self.newest.resize(slots, [0; 2]);
        }
        if self.memory > 0 {
            self.places.resize(slots, Place::default());
        }
        self.codes.resize(slots * self.memory, MISSING);
    }

    /// Forgets one series.
    pub fn evict(&mut self, slot: Slot) {
        self.states.remove(&key(slot));
        self.missing[slot] = 0;
        *of(&mut self.newest, slot, &mut [0; 2]) = [0; 2];
        if let Some(place) = self.places.get_mut(slot) {
            *place = Place::default();
        }
    }

    /// Exchanges all that is known of two slots.
    pub fn swap(&mut self, one: Slot, other: Slot) {
        let states = [one, other].map(|slot| self.states.remove(&key(slot)));
        for (state, slot) in states.into_iter().zip([other, one]) {
            self.states.extend(state.map(|state| (key(slot), state)));
        }
        self.missing.swap(one, other);
        if !self.newest.is_empty() {
            self.newest.swap(one, other);
        }
        swap_rows(&mut self.codes, self.memory, one, other);
        self.places.swap(one, other);
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
            out[index] = self.advance(slot, code);
        }
    }

    /// Derives the verdict of one series anew, from idle through the newest `memory_steps` steps: what
    /// happened before them is forgotten.
    pub fn rederive(&mut self, slot: Slot) {
        let Some(&place) = self.places.get(slot) else {
            return;
        };
        self.states.remove(&key(slot));
        self.missing[slot] = 0;
        *of(&mut self.newest, slot, &mut [0; 2]) = [0; 2];
        let oldest = (place.next as usize + self.memory - place.held as usize) % self.memory;
        for index in 0..place.held as usize {
            let code = self.codes[slot * self.memory + (oldest + index) % self.memory];
            self.advance(slot, code);
        }
    }

    /// Bytes of state, all series together.
    pub fn heap_bytes(&self) -> usize {
        self.states.len() * size_of::<(u32, State)>()
            + self.missing.capacity() * size_of::<u16>()
            + self.newest.capacity() * size_of::<Newest>()
            + self.places.capacity() * size_of::<Place>()
            + self.codes.capacity()
    }

    /// The verdict of one series at its next step.
    fn advance(&mut self, slot: Slot, code: Code) -> Verdict {
        let limits = self.limits;
        let missing = &mut self.missing[slot];
        *missing = match code {
            MISSING => missing.saturating_add(1),
            _ => 0,
        };
        let is_gone = u32::from(*missing) >= limits.missing;
        let mut none = [0; 2];
        let newest = of(&mut self.newest, slot, &mut none);
        note(newest, code, is_gone);
        match self.states.entry(key(slot)) {
            Entry::Vacant(_) if code == MISSING || severity(code) == 0 => Verdict::default(),
            Entry::Vacant(place) => {
                let mut state = State::default();
                let verdict = state.step(code, newest, is_gone, limits);
                if !state.is_idle(limits) {
                    place.insert(state);
                }
                verdict
            }
            Entry::Occupied(mut place) => {
                let verdict = place.get_mut().step(code, newest, is_gone, limits);
                if place.get().is_idle(limits) {
                    place.remove();
                }
                verdict
            }
        }
    }

    fn remember(&mut self, slot: Slot, code: Code) {
        let Some(place) = self.places.get_mut(slot) else {
            return;
        };
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
        let above = deviation >= 0.0;
        let relative = self.settings.min_relative_deviation.on(above);
        let least = self.settings.min_deviation.on(above);
        let least = least.max(relative * f64::from(expected).abs());
        let volume = f64::from(value.abs().max(expected.abs()));
        let small = deviation.abs() < least || volume < self.settings.min_volume;
        if wrong_side || small || f64::from(score) < self.settings.recover_below {
            return 0;
        }
        let sign = if deviation < 0.0 { -1 } else { 1 };
        sign * (NEAR + self.severities.of(score))
    }
}

/// The entry of a slot, where there are any.
fn of<'a>(column: &'a mut [Newest], slot: Slot, none: &'a mut Newest) -> &'a mut Newest {
    column.get_mut(slot).unwrap_or(none)
}

fn key(slot: Slot) -> u32 {
    slot as u32
}

/// 0: none that a verdict may begin with.
fn severity(code: Code) -> i8 {
    (code.abs() - NEAR).max(0)
}

/// 1 above, -1 below, 0 not anomalous.
fn side(code: Code) -> i8 {
    if code.abs() > NEAR { code.signum() } else { 0 }
}

/// Takes in a step; nothing is left of a series that is gone.
fn note(newest: &mut Newest, code: Code, is_gone: bool) {
    if is_gone {
        *newest = [0; 2];
    } else if code != MISSING {
        for (steps, own) in newest.iter_mut().zip([1, -1]) {
            *steps = *steps << 1 | u64::from(side(code) == own);
        }
    }
}

impl State {
    /// `is_gone`: it had no score for so long that nothing is claimed any more.
    fn step(&mut self, code: Code, newest: &Newest, is_gone: bool, limits: Limits) -> Verdict {
        self.recent.step(code);
        let verdict = self.now.step(code, (&self.recent, newest), is_gone, limits);
        if verdict.began {
            self.recent.begin();
        }
        if is_gone {
            self.recent.forget_scores();
        }
        verdict
    }

    /// Whether whatever comes is judged as if it were the first.
    fn is_idle(&self, limits: Limits) -> bool {
        self.now.severity == 0 && self.now.refractory == 0 && self.recent.is_idle(limits)
    }
}

impl Now {
    fn step(
        &mut self,
        code: Code,
        (recent, newest): (&Recent, &Newest),
        is_gone: bool,
        limits: Limits,
    ) -> Verdict {
        self.refractory = self.refractory.saturating_sub(1);
        self.age = self.age.saturating_add(u32::from(self.severity > 0));
        if is_gone {
            self.claim_nothing();
        } else if code != MISSING {
            if self.severity > 0 {
                self.hold_or_recover(code, recent, limits);
            } else {
                return self.rest_or_begin(code, (recent, newest), limits);
            }
        }
        self.verdict(false)
    }

    /// Without a score nothing changes for a while; then nothing is claimed any more.
    fn claim_nothing(&mut self) {
        let is_resting = self.severity == 0 && self.refractory > 0;
        *self = match is_resting {
            true => Self {
                refractory: self.refractory,
                other_severity: self.other_severity,
                ..Self::default()
            },
            false => Self::default(),
        };
    }

    fn rest_or_begin(
        &mut self,
        code: Code,
        (recent, newest): (&Recent, &Newest),
        limits: Limits,
    ) -> Verdict {
        let severity = severity(code);
        if severity == 0 {
            return self.verdict(false);
        }
        let allowed = self.refractory == 0 || severity > self.other_severity;
        if !allowed || !recent.confirms(code, newest, limits) {
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

    fn hold_or_recover(&mut self, code: Code, recent: &Recent, limits: Limits) {
        if code == 0 {
            self.run = self.run.saturating_add(1);
            let calm = if recent.flapping(limits) {
                limits.flapping.recover
            } else {
                limits.recover
            };
            if self.run >= calm {
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
        let severity = severity(code).max(1);
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
