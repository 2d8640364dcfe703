//! A signal as a unit: windows in, outcome out.
//!
//! The order of work in one step is [`SignalUnit::advance`]; when state is derived anew is
//! `epoch`; what a series' state consists of is `shard`; what readers get is `publish`.

mod across;
mod epoch;
mod exclude;
mod forecasting;
mod learned;
mod networks;
mod plan;
mod publish;
mod refit;
mod restraint;
mod shard;

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
use networks::Networks;
use plan::Plan;
use publish::{Place, Publisher};
use rayon::prelude::*;
use refit::Late;
use shard::Shard;
use std::{collections::HashMap, sync::Arc};

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
    /// Where each series lives: shard and slot.
    places: HashMap<Labels, Place>,
    /// The shard that took the newest series: those before it had no room then.
    open: usize,
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
            places: HashMap::new(),
            open: 0,
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
            match self.places.get(&series.labels) {
                Some(&place) => self.put(place, &series.samples),
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
    }

    fn put(&mut self, (shard, slot): Place, samples: &[(Millis, f64)]) {
        let newest = self.newest_for_windows();
        let (shard, slot) = (&mut self.shards[shard as usize], slot as usize);
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
        self.shards
            .par_iter_mut()
            .for_each(|shard| shard.sense(at, mode, late));
        self.networks
            .settle(self.plan.grid.index(at), self.plan.grid, &mut self.shards);
        let mut panics = Vec::new();
        self.across
            .step(at, &self.plan, &mut self.shards, &mut panics);
        self.shards.par_iter_mut().for_each(|shard| shard.judge(at));
        self.evaluated = Some(at);
        let own = at > self.started;
        let mut outcome =
            self.publisher
                .outcome(at, mode, own, &self.shards, (&self.across, &self.networks));
        outcome.counts.corrections = std::mem::take(&mut self.corrections);
        outcome.counts.refused = std::mem::take(&mut self.refused);
        outcome.counts.state_bytes = self.state_bytes();
        for kind in panics {
            publish::count_panic(&mut outcome.counts.panics, kind);
        }
        self.forget_silent(self.plan.grid.index(at));
        outcome
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
        let places = self.places.capacity() * size_of::<(Labels, Place)>();
        shards + places + self.across.heap_bytes() + self.publisher.heap_bytes()
    }

    /// The newest sample that a window takes in without dropping one that is yet to be evaluated.
    fn newest_for_windows(&self) -> Millis {
        let steps = self.plan.window() as i64 / 2;
        self.evaluated
            .filter(|_| !self.plan.deep)
            .map_or(Millis::MAX, |at| at + steps * self.plan.grid.step())
    }

    /// Gives a newcomer a place, where there is one.
    fn place(&mut self, labels: &Labels, first: Millis) -> Option<Place> {
        if self.places.len() >= self.plan.max_series && !self.make_room(first) {
            return None;
        }
        let (shard, slot) = self.admit(labels, self.plan.grid.index(first))?;
        let place = (shard as u32, slot as u32);
        self.places.insert(labels.clone(), place);
        self.across.assign(shard, slot, labels);
        self.publisher.admit(place);
        Some(place)
    }

    /// Forgets the series that has been silent longest, for one whose first sample is at `first`;
    /// `false` where every series still has samples then. Series that vanished keep their state only
    /// while nobody else needs the place.
    fn make_room(&mut self, first: Millis) -> bool {
        let index = self.plan.grid.index(first);
        let shards = self.shards.iter().enumerate();
        let silent = shards.filter_map(|(shard, own)| {
            let (newest, slot) = own.silent_longest()?;
            (newest < index).then_some((newest, shard, slot))
        });
        let Some((_, shard, slot)) = silent.min() else {
            return false;
        };
        self.evict(shard, slot);
        true
    }

    fn evict(&mut self, shard: usize, slot: Slot) {
        if let Some(labels) = self.shards[shard].evict(slot) {
            self.places.remove(&labels);
        }
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
