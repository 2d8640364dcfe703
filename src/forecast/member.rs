//! A forecaster whose failures stay where they happen (invariant 10).
//!
//! One that panics while it deals with a series, or answers with something that is not finite where it had learned, is
//! left out for that series until the next rebuild, and counted; every other series and member goes on. All series are
//! asked at once, and one by one only where that panics: asking changes nothing. Taking in values does, so it goes series by
//! series under one guard: whoever panics, it is known who was done before, and no state is in doubt but its own.
//!
//! Networks are judged with the whole signal in view, as a shard may hold a single series: where one answers some series of
//! the signal, those it failed for are left out like elsewhere; where it answers none, the fault is its own, and
//! [`super::Breaker`] decides when it is asked again.

use super::Forecaster;
use crate::series::{Millis, Past, Slot};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Why a forecaster was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// It panicked.
    Panic,
    /// It answered with something that is not finite where it had learned.
    NotFinite,
}

impl FailureReason {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Panic, Self::NotFinite];

    /// As in the label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::NotFinite => "not_finite",
        }
    }
}

/// How the networks of a shard did in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Series that it was asked for and had an opinion on, or failed.
    pub series: usize,
    /// Of those, the ones with a finite answer.
    pub answered: usize,
}

impl Asked {
    /// Takes in another shard.
    pub fn add(&mut self, other: Self) {
        self.series += other.series;
        self.answered += other.answered;
    }
}

/// A forecaster of a shard, and the series it failed for.
#[derive(Debug)]
pub(super) struct Member {
    inner: Box<dyn Forecaster>,
    /// By slot.
    states: Vec<State>,
    /// Since they were taken, by reason.
    failures: [u64; FailureReason::ALL.len()],
    /// Whether it is not asked live; see [`super::Breaker`].
    rests: bool,
    asked: Asked,
    /// Of a network, the series it failed for in this step.
    failed: Vec<Slot>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Nothing to say, for want of past.
    #[default]
    Unknown,
    Learned,
    /// Failed; left out until the next rebuild.
    Broken,
}

impl Member {
    pub(super) fn new(inner: Box<dyn Forecaster>) -> Self {
        Self {
            inner,
            states: Vec::new(),
            failures: Default::default(),
            rests: false,
            asked: Asked::default(),
            failed: Vec::new(),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    pub(super) fn name(&self) -> String {
        self.inner.name()
    }

    pub(super) fn version(&self) -> Option<String> {
        self.inner.version()
    }

    pub(super) fn trained_until(&self) -> Option<Millis> {
        self.inner.trained_until()
    }

    pub(super) fn is_network(&self) -> bool {
        self.inner.is_network()
    }

    pub(super) fn is_of_maxima(&self) -> bool {
        self.inner.is_of_maxima()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.inner.heap_bytes() + self.states.capacity() * size_of::<State>()
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.inner.grow(slots);
        self.states.resize(slots, State::Unknown);
    }

    /// Forgets one series, its failures included.
    pub(super) fn evict(&mut self, slot: Slot) {
        self.states[slot] = State::Unknown;
        self.forget(slot);
    }

    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
        self.inner.swap(one, other);
    }

    /// Learns one series from its past, unless it failed for it since the last eviction.
    pub(super) fn fit(&mut self, slot: Slot, past: &Past<'_>) {
        if self.states[slot] == State::Broken {
            return;
        }
        match guarded(|| self.inner.fit(slot, past)) {
            Some(true) => self.states[slot] = State::Learned,
            Some(false) => self.evict(slot),
            None => self.fail(slot, FailureReason::Panic),
        }
    }

    /// Takes in the values at grid time `at`.
    pub(super) fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        // Read after a panic, so it lives outside the closure.
        let next = Cell::new(0);
        while next.get() < slots.len() {
            let done = guarded(|| {
                while let Some(slot) = slots.get(next.get()) {
                    let one = next.get()..next.get() + 1;
                    if self.states[*slot] != State::Broken {
                        self.inner.extend(at, &slots[one.clone()], &values[one]);
                    }
                    next.set(next.get() + 1);
                }
            });
            if done.is_none() {
                self.fail(slots[next.get()], FailureReason::Panic);
                next.set(next.get() + 1);
            }
        }
    }

    /// Expected values on the walk through a past. What fails is left out; a network that answers now and then with
    /// something that is not finite has nothing to say there.
    pub(super) fn predict(&mut self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        for slot in self.answer(slots, horizons, out) {
            self.fail(slot, FailureReason::Panic);
        }
        if self.is_network() {
            return;
        }
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons.len())) {
            if self.is_wrong(slot, row) {
                row.fill(f32::NAN);
                self.fail(slot, FailureReason::NotFinite);
            }
        }
    }

    /// As [`Member::predict`], live.
    pub(super) fn predict_live(&mut self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        if !self.is_network() {
            return self.predict(slots, horizons, out);
        }
        self.asked = Asked::default();
        self.failed.clear();
        if self.rests {
            out.fill(f32::NAN);
            return;
        }
        let panicked = self.answer(slots, horizons, out);
        self.note(&panicked, FailureReason::Panic);
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons.len())) {
            if panicked.contains(&slot) {
                continue;
            }
            if self.is_wrong(slot, row) {
                self.note(&[slot], FailureReason::NotFinite);
            } else if row.iter().any(|value| value.is_finite()) {
                self.asked.series += 1;
            }
            let answered = row.iter().any(|value| value.is_finite());
            self.asked.answered += usize::from(answered);
        }
    }

    /// How a network did in the newest step.
    pub(super) fn asked(&self) -> Asked {
        self.asked
    }

    /// After all shards were asked: whether the network answered anybody, and whether it rests at the next step.
    pub(super) fn settle(&mut self, answers: bool, rests: bool) {
        self.rests = rests;
        for slot in std::mem::take(&mut self.failed) {
            if answers {
                self.leave_out(slot);
            }
        }
    }

    /// Failures since the last call, by [`FailureReason::ALL`].
    pub(super) fn take_failures(&mut self) -> [u64; FailureReason::ALL.len()] {
        std::mem::take(&mut self.failures)
    }

    /// Asks, all at once or one by one; the slots that panic.
    fn answer(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) -> Vec<Slot> {
        if guarded(|| self.inner.predict(slots, horizons, out)).is_some() {
            return Vec::new();
        }
        let mut panicked = Vec::new();
        for (slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons.len())) {
            let one = std::slice::from_ref(slot);
            if guarded(|| self.inner.predict(one, horizons, row)).is_none() {
                row.fill(f32::NAN);
                panicked.push(*slot);
            }
        }
        panicked
    }

    /// Whether an answer is not finite where it should be: an infinite value always, one that is not a number unless the
    /// forecaster says so of what it does not know.
    fn is_wrong(&self, slot: Slot, row: &[f32]) -> bool {
        let wrong = |value: &f32| value.is_infinite() || (value.is_nan() && !self.inner.abstains());
        self.states[slot] == State::Learned && row.iter().any(wrong)
    }

    fn note(&mut self, slots: &[Slot], reason: FailureReason) {
        self.failures[reason as usize] += slots.len() as u64;
        self.asked.series += slots.len();
        self.failed.extend(slots);
    }

    fn fail(&mut self, slot: Slot, reason: FailureReason) {
        self.failures[reason as usize] += 1;
        self.leave_out(slot);
    }

    fn leave_out(&mut self, slot: Slot) {
        self.states[slot] = State::Broken;
        self.forget(slot);
    }

    /// What panics while it forgets has forgotten enough: nobody asks it for this series until it has learned it anew.
    fn forget(&mut self, slot: Slot) {
        guarded(|| self.inner.evict(slot));
    }
}

/// What `work` gives; `None` where it panicked.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
pub(super) mod tests;
