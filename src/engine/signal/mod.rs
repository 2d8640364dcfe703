//! A signal as a unit: windows in, outcome out.
//!
//! The order of work in one step is [`SignalUnit::advance`]; when state is derived anew is
//! `epoch`; what a series' state consists of is `shard`; what readers get is `publish`.

mod across;
mod columns;
mod doubts;
mod epoch;
mod exclude;
mod forecasting;
mod groups;
mod learned;
mod member;
mod networks;
mod places;
mod plan;
mod publish;
mod refit;
mod restraint;
mod ring;
mod rows;
mod shard;
mod shown;
mod table;

pub use epoch::{Epochs, REREAD};
pub use exclude::Exclusions;
pub use plan::{DEEP_SERIES, UnitOptions};

use super::{
    outcome::{Mode, Outcome},
    settings::SignalSettings,
};
use crate::{
    forecast::ModelFiles,
    series::{Grid, Labels, Millis, Slot},
    source::Matrix,
};
use across::Across;
use columns::Columns;
use networks::Networks;
use places::{Places, number, place};
use plan::Plan;
use publish::Publisher;
use rayon::prelude::*;
use refit::Late;
use rows::Rows;
use shard::Shard;
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

/// One signal with the state of all its series.
///
/// To start at grid time `T`: [`ingest`](Self::ingest) everything from
/// [`history_start`](Self::history_start) on, [`restart`](Self::restart), then
/// [`advance`](Self::advance) through every grid time up to `T`. To go on: `ingest` what came since,
/// `advance` one grid time after another.
#[derive(Debug)]
pub struct SignalUnit {
    plan: Arc<Plan>,
    shards: Vec<Shard>,
    across: Across,
    networks: Networks,
    /// Where each series lives.
    places: Places,
    /// The shard that took the newest series: those before it had no room then.
    open: usize,
    /// While samples are taken in: newest sample (grid index) and place of every series, those silent longest first; once
    /// there was no room for another one.
    silent: Option<BinaryHeap<Reverse<(i64, u32)>>>,
    /// Of a source that gives tables.
    rows: Rows,
    /// Newest grid time evaluated.
    evaluated: Option<Millis>,
    /// Corrections since the last outcome.
    corrections: usize,
    /// Series for which there was no place since the last outcome.
    refused: usize,
    /// Grid time at which this process started: anomalies begun before are not its own.
    started: Millis,
    publisher: Publisher,
}

impl SignalUnit {
    /// A unit without history.
    ///
    /// # Errors
    /// A sentence on what in the settings cannot be, or which model file cannot be used.
    pub fn new(
        settings: &SignalSettings,
        options: &UnitOptions,
        models: &ModelFiles,
    ) -> Result<Self, String> {
        let plan = Arc::new(Plan::new(settings, options, models)?);
        Ok(Self {
            shards: Vec::new(),
            across: Across::new(&plan),
            networks: Networks::default(),
            places: Places::default(),
            open: 0,
            silent: None,
            rows: Rows::default(),
            evaluated: None,
            corrections: 0,
            refused: 0,
            started: Millis::MIN,
            publisher: Publisher::new(&plan),
            plan,
        })
    }

    /// The signal's grid.
    pub fn grid(&self) -> Grid {
        self.plan.grid
    }

    /// Number of series with state.
    pub fn series(&self) -> usize {
        self.places.len()
    }

    /// Newest grid time evaluated.
    pub fn evaluated(&self) -> Option<Millis> {
        self.evaluated
    }

    /// First grid time needed to start at `at`.
    pub fn history_start(&self, at: Millis) -> Millis {
        let steps = if self.plan.deep {
            self.plan.epochs.history
        } else {
            1
        };
        self.plan.grid.floor(at) - steps as i64 * self.plan.grid.step()
    }

    /// Puts samples into the windows. Samples of grid times that were there before are corrections;
    /// those of series over `max_series` are left out.
    pub fn ingest(&mut self, matrix: &Matrix) {
        let mut newcomers = Vec::new();
        for series in &matrix.series {
            match self.places.get(&series.labels, labels_in(&self.shards)) {
                Some(known) => self.put(place(known), &series.samples),
                None => newcomers.push(series),
            }
        }
        // Now it is known who is silent: a newcomer has the place of none that comes behind it.
        for series in newcomers {
            let Some(&(first, _)) = series.samples.first() else {
                continue;
            };
            match self.place(&series.labels, first) {
                Some(place) => self.put(place, &series.samples),
                None => self.refused += 1,
            }
        }
        self.silent = None;
    }

    fn put(&mut self, (shard, slot): (usize, Slot), samples: &[(Millis, f64)]) {
        let newest = self.newest_for_windows();
        let shard = &mut self.shards[shard];
        for &(at, value) in samples {
            let value = value as f32;
            if !value.is_finite() {
                continue;
            }
            if at > newest {
                shard.put_ahead(slot, at, value);
            } else if shard.put(slot, at, value) {
                self.corrections += 1;
            }
        }
    }

    /// Derives every series as it was two epochs before `at`. Returns that grid time: the caller must
    /// [`advance`](Self::advance) from the next one up to `at`, which leaves the state of a process
    /// that has been running all along.
    pub fn restart(&mut self, at: Millis) -> Millis {
        let grid = self.plan.grid;
        let now = grid.index(at);
        let from = if self.plan.deep {
            self.plan.epochs.restart(now)
        } else {
            now - 1
        };
        self.shards
            .par_iter_mut()
            .for_each(|shard| shard.restart(from, now));
        self.corrections = 0;
        self.started = at;
        let start = from * grid.step();
        self.evaluated = Some(start);
        start
    }

    /// Evaluates grid time `at`, which must be the one after the newest evaluated.
    pub fn advance(&mut self, at: Millis, mode: Mode) -> Outcome {
        let late = self.catch_up(at);
        let mut panics = Vec::new();
        if self.plan.sparse && self.across.is_empty() {
            self.step_shown(at, mode, late);
        } else {
            self.shards
                .par_iter_mut()
                .for_each(|shard| shard.sense(at, mode, late));
            self.networks
                .settle(self.plan.grid.index(at), self.plan.grid, &mut self.shards);
            self.across
                .step(at, &self.plan, &mut self.shards, &mut panics);
            self.shards.par_iter_mut().for_each(|shard| shard.judge(at));
            self.keep_shown();
        }
        self.evaluated = Some(at);
        let own = at > self.started;
        let mut outcome =
            self.publisher
                .outcome(at, mode, own, &self.shards, (&self.across, &self.networks));
        outcome.counts.corrections = std::mem::take(&mut self.corrections);
        outcome.counts.refused = std::mem::take(&mut self.refused);
        outcome.counts.state_bytes = self.state_bytes();
        outcome.doubts = self.doubts();
        for kind in panics {
            publish::count_panic(&mut outcome.counts.panics, kind);
        }
        self.forget_silent(self.plan.grid.index(at));
        outcome
    }

    /// A step in which each shard is done with at once: what was worked out of series that are not shown is gone before the
    /// next one begins.
    fn step_shown(&mut self, at: Millis, mode: Mode, late: Late) {
        let Some(groups) = &mut self.publisher.groups else {
            return;
        };
        groups.reset();
        let groups = &*groups;
        let shards = self.shards.par_iter_mut().enumerate();
        shards.for_each_init(Columns::default, |room, (number, shard)| {
            shard.columns = std::mem::take(room);
            shard.sense(at, mode, late);
            shard.judge(at);
            *room = shard.keep_shown(groups.tally(number));
        });
    }

    /// Lets go of what was worked out of series that are not shown, where only those are told of that are.
    fn keep_shown(&mut self) {
        let Some(groups) = &mut self.publisher.groups else {
            return;
        };
        groups.reset();
        let groups = &*groups;
        let shards = self.shards.par_iter_mut().enumerate();
        shards.for_each(|(number, shard)| drop(shard.keep_shown(groups.tally(number))));
    }

    /// Does a piece of what is to be in force at a later grid time, some milliseconds on every thread, so that the
    /// next [`advance`](Self::advance) has no more to do than any other. `false` where nothing is left. Whoever
    /// does not call it gets the same outcomes, as `advance` does what is missing; with
    /// [`UnitOptions::late_work`] it does so much of it, and what is left is in force later.
    pub fn refit(&mut self) -> bool {
        let unfinished = self.shards.iter_mut().filter(|shard| shard.is_unfinished());
        let mut some = most_urgent(unfinished.collect());
        some.par_iter_mut().for_each(|shard| shard.refit_a_piece());
        if !some.is_empty() {
            return true;
        }
        let prepared = self
            .shards
            .par_iter_mut()
            .map(|shard| shard.learned.prepare());
        prepared.reduce(|| false, |one, other| one | other)
    }

    /// Does what may be done at grid time `at` of what should be installed by then, and says what is to become of
    /// the rest.
    fn catch_up(&mut self, at: Millis) -> Late {
        let live = at > self.started && self.started != Millis::MIN;
        let Some(most) = self.plan.late_work.filter(|_| live) else {
            return Late::Finish;
        };
        let index = self.plan.grid.index(at);
        let mut done = 0;
        while done < most {
            let late = self.shards.iter_mut();
            let late = late.filter(|shard| shard.oldest_due() <= index).collect();
            let pieces = most_urgent(late)
                .into_par_iter()
                .map(|shard| shard.refit_a_late_piece(index));
            let cost: usize = pieces.sum();
            if cost == 0 {
                break;
            }
            done += cost;
        }
        Late::Leave
    }

    /// Bytes of state, labels and windows included.
    pub fn state_bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(Shard::state_bytes).sum();
        let shards = shards + size_of_val(&*self.shards);
        let places = self.places.heap_bytes() + self.rows.heap_bytes();
        shards + places + self.across.heap_bytes() + self.publisher.heap_bytes()
    }

    /// The newest sample that a window takes in without dropping one that is yet to be evaluated.
    fn newest_for_windows(&self) -> Millis {
        self.evaluated
            .filter(|_| !self.plan.deep)
            .map_or(Millis::MAX, |at| at + ring::AHEAD * self.plan.grid.step())
    }

    fn place(&mut self, labels: &Labels, first: Millis) -> Option<(usize, Slot)> {
        let known = self.places.get(labels, labels_in(&self.shards));
        known.map(place).or_else(|| self.begin(labels, first))
    }

    /// Gives a series that is not known a place.
    fn begin(&mut self, labels: &Labels, first: Millis) -> Option<(usize, Slot)> {
        if self.places.len() >= self.plan.max_series && !self.make_room(first) {
            return None;
        }
        let (shard, slot) = self.admit(labels, self.plan.grid.index(first))?;
        let place = number(shard, slot);
        self.places.insert(labels, place, labels_in(&self.shards));
        self.across.assign(shard, slot, labels);
        self.publisher.admit((shard as u32, slot as u32), labels);
        Some((shard, slot))
    }

    /// Forgets the series that has been silent longest, for one whose first sample is at `first`;
    /// `false` where every series still has samples then. Series that vanished keep their state only
    /// while nobody else needs the place.
    fn make_room(&mut self, first: Millis) -> bool {
        let index = self.plan.grid.index(first);
        let shards = &self.shards;
        let all = || {
            let shards = shards.iter().enumerate();
            let all = shards.flat_map(|(shard, own)| {
                let newest = own.newest_samples();
                newest.map(move |(newest, slot)| Reverse((newest, number(shard, slot))))
            });
            all.collect()
        };
        let silent = self.silent.get_or_insert_with(all);
        while let Some(&Reverse((known, oldest))) = silent.peek() {
            if known >= index {
                return false;
            }
            silent.pop();
            let (shard, slot) = place(oldest);
            let member = shards
                .get(shard)
                .and_then(|own| own.members.get(slot)?.as_ref());
            match member.map(|member| member.newest) {
                // It had a sample meanwhile.
                Some(newest) if newest != known => silent.push(Reverse((newest, oldest))),
                Some(_) => {
                    self.evict(shard, slot);
                    return true;
                }
                None => {}
            }
        }
        false
    }

    fn evict(&mut self, shard: usize, slot: Slot) {
        let member = self.shards[shard]
            .members
            .get(slot)
            .and_then(Option::as_ref);
        if let Some(labels) = member.map(|member| member.labels.clone()) {
            self.places.remove(&labels, labels_in(&self.shards));
            self.rows.evict(number(shard, slot), labels);
        }
        self.shards[shard].evict(slot);
        self.open = self.open.min(shard);
        self.across.evict(shard, slot);
        self.publisher.evict((shard as u32, slot as u32));
    }

    fn admit(&mut self, labels: &Labels, first: i64) -> Option<(usize, Slot)> {
        // Looking through all of them for each of very many newcomers would take longer than anything else.
        let has_room = |shard: &usize| self.shards[*shard].has_room();
        let mut later = self.open..self.shards.len();
        let open = later.find(has_room);
        // Room that a derivation gave back.
        let open = open.or_else(|| (0..self.open).find(has_room));
        let shard = match open {
            Some(shard) => shard,
            None => {
                // Building a plan loaded the models once: the same bytes load again.
                self.shards.push(Shard::new(Arc::clone(&self.plan)).ok()?);
                self.shards.len() - 1
            }
        };
        self.open = shard;
        let slot = self.shards[shard].admit(labels.clone(), first)?;
        Some((shard, slot))
    }

    fn forget_silent(&mut self, index: i64) {
        for shard in 0..self.shards.len() {
            for slot in self.shards[shard].silent_since(index) {
                self.evict(shard, slot);
            }
        }
    }
}

/// Gives the labels of places.
fn labels_in<'s>(shards: &'s [Shard]) -> impl Fn(u32) -> Option<&'s Labels> {
    move |own| {
        let (shard, slot) = place(own);
        let member = shards.get(shard)?.members.get(slot)?.as_ref()?;
        Some(&member.labels)
    }
}

/// Of these shards as many as there are threads, those first whose work should have been done first.
fn most_urgent(mut shards: Vec<&mut Shard>) -> Vec<&mut Shard> {
    shards.sort_by_cached_key(|shard| shard.oldest_due());
    shards.truncate(rayon::current_num_threads());
    shards
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;
