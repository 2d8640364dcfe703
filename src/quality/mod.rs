//! Whether the values of a series can be believed: what each is held against before anything is learned from it.
//!
//! A value that is not believed is a gap to the baseline, to forecasters and their calibration, and to panels, in the past
//! and live alike; one that cannot be is to detectors too. Every check is derived from the window at each epoch, by the walk that derives
//! the detectors, and steps on from there: so a restart agrees (invariant 4). One file a check:
//!
//! * [`bounds`](Bounds): values that cannot be, by `range` and by the unit. No state; of the class `wide` it is the only one.
//! * `frozen`: a series that always moved and stands still.
//! * `counter`: a counter that is read as if it were a gauge.
//!
//! *Cost*: 40 bytes a deep series; a step costs some comparisons.

mod bounds;
mod counter;
mod frozen;
mod settings;

pub use bounds::{Bounds, Unit};
pub use settings::{CounterCheck, Settings};

use crate::series::Slot;
use counter::Rises;
use frozen::{Patience, Still};
use std::borrow::Cow;

/// Why a value is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The query reads a counter without a rate.
    Counter,
    /// The series has not moved for longer than it ever does.
    Frozen,
    /// The value cannot be.
    OutOfRange,
}

impl Finding {
    /// Each of them, sorted by [`reason`](Self::reason).
    pub const ALL: [Self; 3] = [Self::Counter, Self::Frozen, Self::OutOfRange];

    /// Whether the value itself cannot be: then detectors do not see it either, as they would calibrate themselves to it.
    pub fn is_impossible(self) -> bool {
        self == Self::OutOfRange
    }

    /// As the label `reason` has it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Frozen => "frozen",
            Self::OutOfRange => "out_of_range",
        }
    }

    /// What it means and what to do, in a sentence.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Counter => {
                "it only ever grows, as a counter does: ask for rate(..[5m]) of it, or say validate: {counter: gauge} where it is none"
            }
            Self::Frozen => {
                "it has the same value for longer than it ever had: see whether its exporter still measures, or raise validate.frozen_after"
            }
            Self::OutOfRange => {
                "the value cannot be, by range or validate.unit: correct the exporter or the query, or the range"
            }
        }
    }
}

/// What the series of one signal are held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Checks {
    /// Values that can be.
    pub bounds: Bounds,
    frozen: Option<Patience>,
    counter: bool,
}

impl Checks {
    /// `memory`: steps of past from which a series is derived; `None` where it has no state (class `wide`).
    /// `counter`: whether the query reads a counter as it is.
    pub fn new(settings: &Settings, bounds: Bounds, memory: Option<Memory>, counter: bool) -> Self {
        Self {
            bounds,
            frozen: memory.and_then(|memory| settings.patience(memory)),
            counter: counter && memory.is_some() && settings.counter == CounterCheck::Auto,
        }
    }

    /// The values of one series as what learns from its past sees them: `NaN` where they are not believed, beginning with
    /// one that is; none of a counter.
    pub fn believed<'v>(&self, values: &'v [f32]) -> Cow<'v, [f32]> {
        let mut believed = Cow::Borrowed(values);
        let mut state = State::NEW;
        for (index, &value) in values.iter().enumerate() {
            let finding = self.look(&mut state, index as i64, value, true);
            // While it is young a gauge may look like a counter: what it is in the end counts.
            if finding.is_some_and(|finding| finding != Finding::Counter) {
                believed.to_mut()[index] = f32::NAN;
            }
        }
        if self.counter && state.rises.is_counter() {
            return Cow::Borrowed(&[]);
        }
        let first = believed.iter().position(|value| !value.is_nan());
        let first = first.unwrap_or(believed.len());
        match believed {
            Cow::Borrowed(values) => Cow::Borrowed(&values[first..]),
            Cow::Owned(mut values) => {
                values.drain(..first);
                Cow::Owned(values)
            }
        }
    }

    /// `learned`: whether the value is one of those that are learned from; others leave no trace.
    fn look(&self, state: &mut State, index: i64, value: f32, learned: bool) -> Option<Finding> {
        if value.is_nan() {
            return None;
        }
        if !self.bounds.allow(value) {
            return Some(Finding::OutOfRange);
        }
        if !learned {
            return None;
        }
        let is_counter = self.counter && state.rises.step(state.still.value(), value);
        let patience = self.frozen.as_ref();
        let is_frozen =
            patience.is_some_and(|own| state.still.step(index, value, own, self.bounds));
        if patience.is_none() {
            state.still.remember(value);
        }
        match (is_counter, is_frozen) {
            (true, _) => Some(Finding::Counter),
            (false, true) => Some(Finding::Frozen),
            (false, false) => None,
        }
    }

    fn needs_state(&self) -> bool {
        self.counter || self.frozen.is_some()
    }
}

/// The past that a series is derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Its steps.
    pub steps: usize,
    /// Milliseconds of one.
    pub step: crate::series::Millis,
}

/// What the checks know of one series.
#[derive(Debug, Clone, Copy)]
struct State {
    still: Still,
    rises: Rises,
}

impl State {
    const NEW: Self = Self {
        still: Still::NEW,
        rises: Rises::NEW,
    };
}

/// The checks of the series of one shard.
#[derive(Debug)]
pub struct Validator {
    checks: Checks,
    /// Empty where no check needs them.
    states: Vec<State>,
}

impl Validator {
    /// Of no series yet.
    pub fn new(checks: Checks) -> Self {
        Self {
            checks,
            states: Vec::new(),
        }
    }

    /// Makes room for so many slots.
    pub fn grow(&mut self, slots: usize) {
        if self.checks.needs_state() {
            self.states.resize(slots, State::NEW);
        }
    }

    /// Forgets what is known of a series.
    pub fn evict(&mut self, slot: Slot) {
        if let Some(state) = self.states.get_mut(slot) {
            *state = State::NEW;
        }
    }

    /// Exchanges what is known of two series.
    pub fn swap(&mut self, one: Slot, other: Slot) {
        if !self.states.is_empty() {
            self.states.swap(one, other);
        }
    }

    /// What is not believed of the next value of a series, at grid index `index`. `learned`: whether it is one of those
    /// that may be learned from.
    pub fn step(&mut self, slot: Slot, index: i64, value: f32, learned: bool) -> Option<Finding> {
        let mut none = State::NEW;
        let state = self.states.get_mut(slot).unwrap_or(&mut none);
        self.checks.look(state, index, value, learned)
    }

    /// Bytes of state.
    pub fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<State>()
    }
}

#[cfg(test)]
mod tests;
