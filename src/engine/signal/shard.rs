//! Up to [`SLOTS`] series of one signal with all their state, worked on by one thread at a time.

use super::{
    columns::Columns,
    learned::Learned,
    member::{Deep, Member},
    plan::Plan,
    refit::{Late, Refit, past_values},
    ring::Ring,
    shown::Seen,
};
use crate::{
    baseline::Band,
    detect::{Batch, Onsets, Verdict, Verdicts},
    engine::outcome::Mode,
    forecast::Forecasts,
    quality::Finding,
    series::{Labels, Millis, Slot, Window},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Series per shard: small enough that two cores share a thousand series evenly, large enough that a
/// virtual call per component and tick costs nothing.
pub(super) const SLOTS: usize = 256;

/// Up to [`SLOTS`] series with all their state.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) plan: Arc<Plan>,
    pub(super) members: Vec<Option<Member>>,
    /// Members that are none.
    pub(super) vacant: usize,
    /// The newest values, of a wide shard.
    ring: Ring,
    /// No member's newest sample is older than this grid index.
    oldest: i64,
    label_bytes: usize,
    /// Grid index at which a verdict was on last, of the series that are shown: where only those are.
    pub(super) lately: BTreeMap<Slot, i64>,
    /// How many there were of which kind in the newest step, where only some are shown.
    pub(super) seen: Seen,
    /// Series whose newest value is not believed, with it, where the columns have only those that are shown.
    pub(super) doubted: Vec<(Slot, f32, Finding)>,
    pub(super) learned: Learned,
    pub(super) verdicts: Verdicts,
    onsets: Onsets,
    pub(super) forecasts: Option<Forecasts>,
    /// Slots whose series makes the forecasters panic, until its next epoch.
    pub(super) forecasts_broken: Vec<bool>,
    /// Derivations that were begun, the oldest first.
    pub(super) refits: VecDeque<Refit>,
    /// Series that wait for a repair, and at which grid index one was begun last.
    pub(super) repairs: VecDeque<Slot>,
    pub(super) repaired: Option<i64>,
    /// Grid index of the newest step.
    pub(super) newest: i64,
    /// Panics caught between the ticks, by component.
    pub(super) refit_panics: Vec<&'static str>,
    /// Pieces of late derivations since the newest step began.
    pub(super) late_pieces: usize,
    /// Samples that the windows are too short for until the grid times before them are evaluated: of
    /// wide series, after an outage of the source.
    ahead: BTreeMap<Millis, Vec<(Slot, f32)>>,
    pub(super) columns: Columns,
}

impl Shard {
    /// An empty shard.
    ///
    /// # Errors
    /// As [`Plan::forecasts`].
    pub(super) fn new(plan: Arc<Plan>) -> Result<Self, String> {
        let forecasts = plan.forecasts()?;
        Ok(Self {
            members: Vec::new(),
            vacant: 0,
            ring: Ring::default(),
            oldest: i64::MAX,
            label_bytes: 0,
            lately: BTreeMap::new(),
            seen: Seen::default(),
            doubted: Vec::new(),
            learned: Learned::new(&plan),
            verdicts: plan.verdicts(),
            onsets: plan.onsets(),
            forecasts,
            forecasts_broken: Vec::new(),
            refits: VecDeque::new(),
            repairs: VecDeque::new(),
            repaired: None,
            newest: i64::MIN,
            refit_panics: Vec::new(),
            late_pieces: 0,
            ahead: BTreeMap::new(),
            columns: Columns::default(),
            plan,
        })
    }

    /// Takes in a series whose first sample is in grid slot `first`; `None` where the shard is full.
    pub(super) fn admit(&mut self, labels: Labels, first: i64) -> Option<Slot> {
        let slot = match self.free_slot().filter(|&slot| slot < SLOTS) {
            Some(slot) => slot,
            None if self.members.len() < SLOTS => self.extend_by_one(),
            None => return None,
        };
        self.learned.assign(slot, &labels);
        self.label_bytes += labels.heap_bytes();
        self.oldest = self.oldest.min(first);
        self.vacant -= 1;
        let deep = self.plan.deep.then(|| {
            Box::new(Deep {
                window: Window::new(self.plan.epochs.history),
                offset: self.plan.epochs.offset(labels.fingerprint()) as u32,
                seasons: Box::default(),
                forecast_from: i64::MIN,
                forecasting: false,
                forecast_epoch: first,
            })
        });
        if deep.is_none() {
            self.ring.begin(slot);
        }
        self.members[slot] = Some(Member {
            labels,
            first,
            newest: first,
            deep,
        });
        Some(slot)
    }

    /// The first slot that holds nothing.
    pub(super) fn free_slot(&self) -> Option<Slot> {
        if self.vacant == 0 {
            return None;
        }
        let mut slots = 0..self.members.len();
        slots.find(|&slot| self.members[slot].is_none() && !self.is_spare(slot))
    }

    pub(super) fn extend_by_one(&mut self) -> Slot {
        let slots = self.members.len() + 1;
        self.members.push(None);
        self.vacant += 1;
        self.forecasts_broken.push(false);
        self.learned.grow(slots);
        self.verdicts.grow(slots);
        self.onsets.grow(slots);
        if let Some(forecasts) = &mut self.forecasts {
            forecasts.grow(slots);
        }
        slots - 1
    }

    /// Whether another series fits in.
    pub(super) fn has_room(&self) -> bool {
        self.members.len() < SLOTS || self.free_slot().is_some_and(|slot| slot < SLOTS)
    }

    /// Forgets a series; gives its labels.
    pub(super) fn evict(&mut self, slot: Slot) -> Option<Labels> {
        let member = self.members[slot].take()?;
        for samples in self.ahead.values_mut() {
            samples.retain(|(own, _)| *own != slot);
        }
        self.vacant += 1;
        self.label_bytes -= member.labels.heap_bytes();
        self.ring.clear(slot);
        self.lately.remove(&slot);
        self.forget_state(slot);
        Some(member.labels)
    }

    /// The series that have had no sample for so long that they are to be forgotten at grid slot
    /// `index`.
    pub(super) fn silent_since(&mut self, index: i64) -> Vec<Slot> {
        let forget = self.plan.epochs.forget as i64;
        if index.saturating_sub(self.oldest) < forget {
            return Vec::new();
        }
        self.oldest = self
            .newest_samples()
            .map(|(newest, _)| newest)
            .min()
            .unwrap_or(i64::MAX);
        let silent = |&(newest, _): &(i64, Slot)| index - newest >= forget;
        let silent = self.newest_samples().filter(silent);
        silent.map(|(_, slot)| slot).collect()
    }

    /// Newest sample (grid slot) of every series, and its slot.
    pub(super) fn newest_samples(&self) -> impl Iterator<Item = (i64, Slot)> {
        let members = self.members.iter().enumerate();
        members.filter_map(|(slot, member)| Some((member.as_ref()?.newest, slot)))
    }

    /// Derives every series as it was in grid slot `from`, for a process that starts in slot `now`.
    pub(super) fn restart(&mut self, from: i64, now: i64) {
        let plan = Arc::clone(&self.plan);
        self.newest = from;
        self.drop_all_refits();
        for slot in 0..self.members.len() {
            let Some(member) = &mut self.members[slot] else {
                continue;
            };
            let (offset, first) = member.cycle();
            let in_force = plan.epochs.in_force(now, offset, first);
            let Some(deep) = &mut member.deep else {
                continue;
            };
            deep.forecast_from = in_force.unwrap_or(i64::MIN);
            if first <= from {
                self.derive_as_of(slot, from);
            }
        }
    }

    /// Baseline and detectors of one series as they are when grid slot `index` is over: derived at the epoch in
    /// force then, stepped on from there.
    fn derive_as_of(&mut self, slot: Slot, index: i64) {
        let plan = Arc::clone(&self.plan);
        let at = index * plan.grid.step();
        let Some(member) = &mut self.members[slot] else {
            return;
        };
        let (offset, first) = member.cycle();
        let Some(deep) = &mut member.deep else {
            return;
        };
        if deep.window.end().is_none_or(|end| end < at) {
            // Silent since before: the window must reach as far as the time.
            deep.window.push(plan.grid, at, f32::NAN);
        }
        let epoch = plan.epochs.in_force(index + 1, offset, first);
        match epoch {
            Some(epoch) => self.derive(slot, (epoch - 1) * plan.grid.step()),
            None => self.learned.evict(slot),
        }
        let member = self.members[slot].as_ref();
        let Some(deep) = member.and_then(|member| member.deep.as_ref()) else {
            return;
        };
        let values = deep.window.until(plan.grid, at);
        let steps = usize::try_from(index - epoch.unwrap_or(first) + 1).unwrap_or(0);
        let values = &values[values.len().saturating_sub(steps)..];
        let begin = (index - values.len() as i64 + 1) * plan.grid.step();
        let values = plan.exclusions.learnable(begin, plan.grid.step(), values);
        self.learned
            .walk(slot, begin, &values, &mut self.columns.panics);
    }

    fn forget_state(&mut self, slot: Slot) {
        self.drop_refits(slot);
        self.learned.evict(slot);
        self.verdicts.evict(slot);
        self.onsets.evict(slot);
        self.forecasts_broken[slot] = false;
        if let Some(forecasts) = &mut self.forecasts {
            forecasts.evict(slot);
        }
    }

    /// Puts a sample into the window of a series. `true`: it changed a value that was there before.
    pub(super) fn put(&mut self, slot: Slot, at: Millis, value: f32) -> bool {
        self.put_at(slot, (self.plan.grid.index(at), at), value)
    }

    /// As [`Shard::put`], with the grid index of the time.
    pub(super) fn put_at(&mut self, slot: Slot, (index, at): (i64, Millis), value: f32) -> bool {
        // Most of what is read again is as it was.
        if self.ring.at(slot, index).to_bits() == value.to_bits() {
            return false;
        }
        let (grid, forget) = (self.plan.grid, self.plan.epochs.forget);
        let Some(member) = &mut self.members[slot] else {
            return false;
        };
        let long_gap = index - member.newest >= forget as i64;
        let known_until = member.newest.max(self.newest);
        member.newest = member.newest.max(index);
        if long_gap {
            member.first = index;
        }
        let changed = match &mut member.deep {
            Some(deep) => {
                let pushed = deep.window.push(grid, at, value);
                // What was learned before a gap this long is not what a restart would learn.
                deep.forecasting &= !long_gap;
                !pushed && deep.window.correct(grid, at, value)
            }
            None => {
                self.ring.reach(index);
                let before = self.ring.put(slot, index, value);
                // What a new series brings of the time before is no correction.
                let is_late = index <= known_until && !self.ring.is_new(slot);
                before.is_some_and(|before| is_late || !before.is_nan())
            }
        };
        if long_gap {
            self.forget_state(slot);
        } else if changed && index <= self.newest {
            self.wants_repair(slot);
        }
        changed
    }

    /// Keeps a sample until its grid time is evaluated.
    pub(super) fn put_ahead(&mut self, slot: Slot, at: Millis, value: f32) {
        self.ahead.entry(at).or_default().push((slot, value));
    }

    fn take_in_ahead(&mut self, at: Millis) {
        while let Some(due) = self.ahead.first_entry().filter(|due| *due.key() <= at) {
            let (time, samples) = due.remove_entry();
            for (slot, value) in samples {
                self.put(slot, time, value);
            }
        }
    }

    /// First half of a step: values, what was expected, and the scores of each series by itself.
    pub(super) fn sense(&mut self, at: Millis, mode: Mode, late: Late) {
        self.take_in_ahead(at);
        self.collect(at);
        self.refit_due(at, late);
        self.columns.late_pieces = std::mem::take(&mut self.late_pieces);
        self.look(at);
        self.carry_forecasts(at);
        if self.plan.exclusions.not_judged(at) {
            for column in &mut self.columns.scores {
                column.fill(f32::NAN);
            }
        }
        self.columns.intervals.clear();
        self.columns.maxima.clear();
        self.columns.tails.clear();
        if mode != Mode::Replay {
            self.read_intervals();
        }
    }

    /// Second half, once the columns of the detectors across series are filled: combined score and
    /// verdict.
    pub(super) fn judge(&mut self, at: Millis) {
        let Columns {
            slots,
            values,
            bands,
            scores,
            lenient,
            combined,
            news,
            verdicts,
            ..
        } = &mut self.columns;
        combined.clear();
        combined.resize(slots.len(), f32::NAN);
        let members: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
        self.plan
            .combined(&members, values, bands, lenient, combined);
        for (band, lenient) in bands.iter_mut().zip(lenient.iter()) {
            *band = band.widened(lenient.factor);
        }
        let index = self.plan.grid.index(at);
        let excluded = self.plan.exclusions.not_judged(at);
        let cold = |member: &Member| index - member.first < self.plan.warm_up(member.seasons());
        if excluded {
            combined.fill(f32::NAN);
        } else if self.plan.warms_up() {
            for (score, &slot) in combined.iter_mut().zip(slots.iter()) {
                if self.members[slot].as_ref().is_some_and(cold) {
                    *score = f32::NAN;
                }
            }
        }
        news.clear();
        news.resize(slots.len(), f32::NAN);
        if self.plan.sustained_scores {
            news.copy_from_slice(combined);
        } else {
            self.onsets.step(index, slots, combined, news);
        }
        verdicts.clear();
        verdicts.resize(slots.len(), Verdict::default());
        let batch = Batch {
            at,
            slots,
            values,
            bands,
        };
        self.verdicts.step(&batch, combined, verdicts);
    }

    fn collect(&mut self, at: Millis) {
        let grid = self.plan.grid;
        let columns = &mut self.columns;
        columns.slots.clear();
        columns.values.clear();
        columns.panics.clear();
        columns.failures.clear();
        columns.panics.append(&mut self.refit_panics);
        self.newest = grid.index(at);
        (columns.late_refits, columns.outdated) = (0, 0);
        let index = grid.index(at);
        if !self.plan.deep {
            self.ring.settle(index);
        }
        for (slot, member) in self.members.iter_mut().enumerate() {
            let Some(member) = member.as_mut().filter(|member| member.first <= index) else {
                continue;
            };
            columns.slots.push(slot);
            columns.values.push(match &mut member.deep {
                Some(deep) => {
                    if deep.window.end().is_none_or(|end| end < at) {
                        deep.window.push(grid, at, f32::NAN);
                    }
                    deep.window.at(grid, at)
                }
                None => self.ring.at(slot, index),
            });
        }
        let count = columns.slots.len();
        columns.bands.clear();
        columns.bands.resize(count, Band::UNKNOWN);
        columns.scores.resize(self.plan.detectors.len(), Vec::new());
        for column in &mut columns.scores {
            column.clear();
            column.resize(count, f32::NAN);
        }
    }

    /// Derives the baseline and the detectors of one series from its past up to `end`.
    pub(super) fn derive(&mut self, slot: Slot, end: Millis) {
        let plan = Arc::clone(&self.plan);
        let member = self.members[slot].as_mut();
        let Some(deep) = member.and_then(|member| member.deep.as_mut()) else {
            return;
        };
        let values = past_values(&plan, &deep.window, end);
        let seasons = plan.seasons(&plan.checks.believed(&values));
        let past = plan.past(end, &values, &seasons);
        self.learned.derive(slot, &past, &mut self.columns.panics);
        deep.seasons = seasons.into();
    }

    /// Baseline and detectors, all series at once; one by one where that panics.
    fn look(&mut self, at: Millis) {
        let plan = Arc::clone(&self.plan);
        if self.learned.step(at, &mut self.columns) {
            return;
        }
        self.learned = Learned::new(&plan);
        self.learned.grow(self.members.len());
        self.drop_all_refits();
        for (slot, member) in self.members.iter().enumerate() {
            if let Some(member) = member {
                self.learned.assign(slot, &member.labels);
            }
        }
        if plan.deep {
            for slot in self.columns.slots.clone() {
                self.derive_as_of(slot, plan.grid.index(at) - 1);
            }
        }
        self.learned.step_each(at, &mut self.columns);
    }

    /// Bytes of state, labels and windows included; without the columns of the newest step.
    pub(super) fn state_bytes(&self) -> usize {
        let deep = self.members.iter().flatten();
        let deep = deep.filter_map(|member| member.deep.as_deref());
        let windows: usize = match self.plan.deep {
            true => deep
                .map(|deep| {
                    size_of_val(deep) + size_of_val(&*deep.seasons) + deep.window.heap_bytes()
                })
                .sum(),
            false => self.ring.heap_bytes(),
        };
        windows
            + self.label_bytes
            + self.members.capacity() * size_of::<Option<Member>>()
            + self.learned.heap_bytes()
            + self.verdicts.heap_bytes()
            + self.onsets.heap_bytes()
            + self.forecasts.as_ref().map_or(0, Forecasts::heap_bytes)
    }
}
