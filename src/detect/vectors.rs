//! What detectors over the channels of an entity share: the newest vectors of each entity, from which its model
//! is learned anew now and then, and how unusual a vector must be to score 1.
//!
//! Everything that is known of an entity is derived from the vectors in its window at grid times that follow
//! from its labels: a restart that replays the window and one turn reaches the same state (invariant 4), and
//! the entities (or single series) do not all learn at the same time.

use super::{MAX_SCORE, PanelBatch, PanelDetector};
use crate::{
    series::{Grid, Labels, Slot},
    stats::robust,
};
use std::{collections::VecDeque, fmt::Debug};

/// More channels than this are refused by the settings of a panel: the work grows with their square.
pub const MOST_CHANNELS: usize = 100;
/// Steps that a model remembers, its window and one turn, where a restart replays that many.
pub(super) const MEMORY: usize = 2_000;
/// Turns in a window: a model is as old as this share of it at most.
const TURNS: usize = 8;
/// Fewer vectors than this say nothing.
const FEWEST: usize = 32;
/// The tail of the rates of a window begins here, see [`Reach::Tail`].
const TAIL: f64 = 0.995;

/// How rates become a score.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calm {
    /// Judged is the mean over so many of the newest rates, for each of these, ascending, and of those the mean: some
    /// incidents are short and violent, others long and mild.
    pub(super) scales: &'static [usize],
    /// Which mean rate scores 1.
    pub(super) reach: Reach,
}

/// How far above the middle of the window a mean rate scores 1.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reach {
    /// So many times as far as the tail of the window, which begins [`Learner::least`] above the middle at least.
    Tail(f32),
    /// `margin` times the middle itself and `noise`. An incident moves a tail much earlier than the middle: what
    /// comes after it is still judged as what came before.
    Middle {
        /// How many times.
        margin: f32,
        /// The rate of an entity that keeps still.
        noise: f32,
    },
}

impl Calm {
    /// For entities: an incident of a host lasts, and single steps of noise in many channels do not.
    pub(super) const PANEL: Self = Self {
        scales: &[5],
        reach: Reach::Tail(1.5),
    };
    /// From a step to a quarter of an hour at a minute: on four hosts with 38 channels better than any of the three
    /// alone.
    pub(super) const SCALES: &'static [usize] = &[1, 5, 15];

    fn longest(self) -> usize {
        self.scales.last().copied().unwrap_or(1)
    }

    /// Of the newest rates, the newest last.
    fn mean<'a>(self, rates: impl DoubleEndedIterator<Item = &'a f32> + Clone) -> f32 {
        let means = self.scales.iter().map(|&scale| {
            let (mut sum, mut count) = (0.0, 0.0_f32);
            for rate in rates.clone().rev().take(scale) {
                sum += rate;
                count += 1.0;
            }
            sum / count.max(1.0)
        });
        means.sum::<f32>() / self.scales.len() as f32
    }
}

/// How a model is made, and asked.
pub(super) trait Learner: Send + Debug + Clone {
    /// What was learned of one entity.
    type Model: Send + Debug + Clone;
    /// The name of the detector.
    const KIND: &'static str;

    /// Distances are cut here before they are learned, in scales: one outlier must not own a component.
    const CLIP: f32 = 8.0;
    /// Distances are cut here when they are judged: farther out is not more of an incident, and among many channels
    /// one is always wild. At 8 less than half as many anomalous steps of four hosts scored 1 as at 16.
    const FAR: f32 = 16.0;

    /// The tail of the rates is never taken to begin nearer to their middle.
    fn least(&self) -> f32;
    /// Learns vectors, without gaps and not empty; `turn` is a number that the grid time gives. `None` where they
    /// say nothing.
    fn learn(&self, rows: Rows<'_>, turn: i64) -> Option<Self::Model>;
    /// How unusual a vector is; finite.
    fn rate(&self, model: &Self::Model, row: &[f32]) -> f32;
    /// How much of the rate each channel carries, not negative and in any unit.
    ///
    /// Here by asking: how much the rate falls when the channel becomes ordinary, and how much it rises when all
    /// others are ordinary already, half of each. One alone would miss channels that stand in for each other, the
    /// other those that are odd only together. They are the last and the first term of a Shapley value (Shapley,
    /// "A value for n-person games", 1953), which asks for every set of others.
    fn carried(&self, model: &Self::Model, row: &[f32]) -> Vec<f32> {
        let (mut without, mut only) = (row.to_vec(), vec![ORDINARY; row.len()]);
        let (all, none) = (self.rate(model, &without), self.rate(model, &only));
        let carried = row.iter().enumerate().map(|(channel, &value)| {
            without[channel] = ORDINARY;
            only[channel] = value;
            let falls = all - self.rate(model, &without);
            let rises = self.rate(model, &only) - none;
            without[channel] = value;
            only[channel] = ORDINARY;
            (0.5 * (falls + rises)).max(0.0)
        });
        carried.collect()
    }
    /// Bytes of a model.
    fn bytes(&self, model: &Self::Model) -> usize;
}

/// Vectors, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) channels: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn iter(self) -> impl ExactSizeIterator<Item = &'a [f32]> + Clone {
        self.values.chunks_exact(self.channels.max(1))
    }

    pub(super) fn len(self) -> usize {
        self.iter().len()
    }
}

/// A detector over the channels of each entity by itself.
#[derive(Debug, Clone)]
pub(super) struct Vectors<L: Learner> {
    learner: L,
    grid: Grid,
    spans: Spans,
    entities: Vec<Entity<L::Model>>,
    /// The vector at hand; kept for its memory.
    row: Vec<f32>,
}

/// In steps.
#[derive(Debug, Clone, Copy)]
struct Spans {
    /// Vectors that are kept of an entity, one a step.
    window: usize,
    /// Between two times at which an entity is learned anew.
    turn: i64,
    calm: Calm,
}

#[derive(Debug, Clone)]
struct Entity<M> {
    /// Where in a turn it is learned.
    offset: i64,
    /// `window` vectors by grid time; the first channel is infinite where there is none.
    ring: Vec<f32>,
    channels: usize,
    /// Grid index of the newest vector.
    newest: Option<i64>,
    /// The turn in which it was learned last, and what.
    turn: Option<i64>,
    model: Option<Known<M>>,
    /// What the next vector will be judged by, where that begins a turn.
    prepared: Option<Prepared<M>>,
    /// The newest vector, as it was rated; empty where it was not.
    rated: Vec<f32>,
}

/// A model that was learned before the vector came with which its turn begins.
#[derive(Debug, Clone)]
struct Prepared<M> {
    /// Grid index of that vector.
    index: i64,
    /// Nothing where learning did not come to its end.
    learned: Option<Option<Known<M>>>,
}

/// A model, with the rates it gives.
#[derive(Debug, Clone)]
struct Known<M> {
    model: M,
    /// Of the newest vectors, the newest last.
    rates: VecDeque<f32>,
    /// Of the window.
    middle: f32,
    /// Rates this far above the middle score 1.
    reach: f32,
    /// Channels that were there at all.
    live: Vec<bool>,
}

/// Marks a place without a vector: no distance that was cut is infinite.
const NO_ROW: f32 = f32::INFINITY;

impl<M> Entity<M> {
    fn new() -> Self {
        Self {
            offset: 0,
            ring: Vec::new(),
            channels: 0,
            newest: None,
            turn: None,
            model: None,
            prepared: None,
            rated: Vec::new(),
        }
    }

    fn forget(&mut self) {
        let offset = self.offset;
        *self = Self::new();
        self.offset = offset;
    }

    /// Makes the place of every grid time since the newest vector empty.
    fn pass(&mut self, index: i64, channels: usize, window: usize) {
        if self.channels != channels {
            self.forget();
            self.channels = channels;
            self.ring = vec![NO_ROW; window * channels];
        }
        let first = self.newest.map_or(index, |newest| newest + 1);
        for missed in first.max(index - window as i64 + 1)..=index {
            self.place(missed).fill(NO_ROW);
        }
        self.newest = Some(index);
    }

    fn place(&mut self, index: i64) -> &mut [f32] {
        let window = self.ring.len() / self.channels.max(1);
        let place = index.rem_euclid(window.max(1) as i64) as usize;
        &mut self.ring[place * self.channels..][..self.channels]
    }

    /// The vectors of the window before `index`, the newest last.
    fn rows(&self, index: i64) -> impl Iterator<Item = &[f32]> + Clone {
        let channels = self.channels.max(1);
        let window = (self.ring.len() / channels).max(1) as i64;
        let oldest = (index + 1).rem_euclid(window) as usize * self.channels;
        let (newer, older) = self.ring.split_at(oldest);
        let rows = older
            .chunks_exact(channels)
            .chain(newer.chunks_exact(channels));
        rows.take(window as usize - 1)
            .filter(|row| row.first() != Some(&NO_ROW))
    }
}

impl<L: Learner> Vectors<L> {
    /// A detector that remembers so many steps, and is so calm.
    pub(super) fn new(learner: L, grid: Grid, memory: usize, calm: Calm) -> Self {
        let turn = (memory / (TURNS + 1)).max(1);
        Self {
            learner,
            grid,
            spans: Spans {
                window: memory.saturating_sub(turn).max(1),
                turn: turn as i64,
                calm,
            },
            entities: Vec::new(),
            row: Vec::new(),
        }
    }

    /// See [`PanelDetector::memory`].
    pub(super) fn span(&self) -> usize {
        self.spans.window + self.spans.turn as usize
    }

    /// See [`PanelDetector::grow`].
    pub(super) fn make_room(&mut self, slots: usize) {
        let slots = slots.max(self.entities.len());
        self.entities.resize_with(slots, Entity::new);
    }

    /// See [`PanelDetector::reset`].
    pub(super) fn forget(&mut self, slot: Slot) {
        self.entities[slot].forget();
    }

    /// Where in a turn the entity with these labels learns.
    pub(super) fn place_in_turn(&mut self, slot: Slot, labels: &Labels) {
        self.entities[slot].offset = (labels.fingerprint() % self.spans.turn as u64) as i64;
    }

    /// Exchanges two entities.
    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        self.entities.swap(one, other);
    }

    /// Scores the vector of one entity, in scales, and learns from it.
    pub(super) fn score(
        &mut self,
        slot: Slot,
        index: i64,
        row: impl ExactSizeIterator<Item = f32>,
    ) -> f32 {
        let entity = &mut self.entities[slot];
        entity.rated.clear();
        entity.pass(index, row.len(), self.spans.window);
        let turn = (index - entity.offset).div_euclid(self.spans.turn);
        if entity.turn != Some(turn) {
            entity.turn = Some(turn);
            let prepared = entity.prepared.take();
            let prepared = prepared.filter(|prepared| prepared.index == index);
            entity.model = match prepared.and_then(|prepared| prepared.learned) {
                Some(learned) => learned,
                None => learn(&self.learner, entity, index, turn, self.spans.calm),
            };
        }
        self.row.clear();
        self.row
            .extend(row.map(|value| value.clamp(-L::FAR, L::FAR)));
        let there = self.row.iter().filter(|value| !value.is_nan()).count();
        if there == 0 {
            return f32::NAN;
        }
        for (kept, value) in entity.place(index).iter_mut().zip(&self.row) {
            *kept = value.clamp(-L::CLIP, L::CLIP);
        }
        let Some(known) = &mut entity.model else {
            return f32::NAN;
        };
        if 2 * there < known.live.iter().filter(|live| **live).count() {
            return f32::NAN;
        }
        self.row
            .iter_mut()
            .for_each(|value| *value = or_ordinary(*value));
        entity.rated.extend_from_slice(&self.row);
        known.score(self.learner.rate(&known.model, &self.row), self.spans.calm)
    }

    /// Learns one entity whose turn begins with its next vector; `false` where there is none. What that turn is
    /// judged by depends on earlier vectors only, so nothing changes but when the work is done.
    pub(super) fn prepare_one(&mut self) -> bool {
        let Spans {
            turn: steps, calm, ..
        } = self.spans;
        let due = |entity: &Entity<L::Model>| {
            let next = entity.newest? + 1;
            let turn = (next - entity.offset).div_euclid(steps);
            let done = entity
                .prepared
                .as_ref()
                .is_some_and(|one| one.index == next);
            (entity.turn != Some(turn) && !done).then_some((next, turn))
        };
        let found = self
            .entities
            .iter_mut()
            .find_map(|entity| Some((due(entity)?, entity)));
        let Some(((index, turn), entity)) = found else {
            return false;
        };
        // Noted before: what panics is not tried again until it must be.
        entity.prepared = Some(Prepared {
            index,
            learned: None,
        });
        let learned = learn(&self.learner, entity, index, turn, calm);
        entity.prepared = Some(Prepared {
            index,
            learned: Some(learned),
        });
        true
    }

    /// See [`PanelDetector::heap_bytes`].
    pub(super) fn bytes(&self) -> usize {
        let bytes = |entity: &Entity<L::Model>| {
            let model = entity.model.as_ref().map_or(0, |known| {
                let rates = known.rates.capacity() * size_of::<f32>();
                self.learner.bytes(&known.model) + known.live.capacity() + rates
            });
            (entity.ring.capacity() + entity.rated.capacity()) * size_of::<f32>() + model
        };
        self.entities.capacity() * size_of::<Entity<L::Model>>()
            + self.entities.iter().map(bytes).sum::<usize>()
    }
}

impl<M> Known<M> {
    fn score(&mut self, rate: f32, calm: Calm) -> f32 {
        self.rates.push_back(rate);
        while self.rates.len() > calm.longest() {
            self.rates.pop_front();
        }
        ((calm.mean(self.rates.iter()) - self.middle) / self.reach).clamp(0.0, MAX_SCORE)
    }
}

/// As far from its baseline as a channel is that does what is expected of it.
const ORDINARY: f32 = 0.0;

/// A channel that is missing is taken for ordinary.
fn or_ordinary(value: f32) -> f32 {
    if value.is_nan() { ORDINARY } else { value }
}

fn shares(mut carried: Vec<f32>) -> Vec<f32> {
    let all: f32 = carried.iter().sum();
    if all > 0.0 {
        carried.iter_mut().for_each(|one| *one /= all);
    } else {
        carried.clear();
    }
    carried
}

/// Learns an entity from its window.
fn learn<L: Learner>(
    learner: &L,
    entity: &Entity<L::Model>,
    index: i64,
    turn: i64,
    calm: Calm,
) -> Option<Known<L::Model>> {
    let rows = entity.rows(index);
    let mut live = vec![false; entity.channels];
    let mut values = Vec::new();
    for row in rows {
        for (live, value) in live.iter_mut().zip(row) {
            *live |= !value.is_nan();
        }
        values.extend(row.iter().map(|&value| or_ordinary(value)));
    }
    let rows = Rows {
        values: &values,
        channels: entity.channels,
    };
    if rows.len() < FEWEST {
        return None;
    }
    let model = learner.learn(rows, turn)?;
    let rates: Vec<f32> = rows.iter().map(|row| learner.rate(&model, row)).collect();
    let means = rates.windows(calm.longest());
    let mut means: Vec<f32> = means.map(|some| calm.mean(some.iter())).collect();
    let middle = robust::median_of(&mut means);
    let reach = match calm.reach {
        Reach::Tail(margin) => {
            let tail = robust::quantile_of(&mut means, TAIL);
            margin * (tail - middle).max(learner.least())
        }
        Reach::Middle { margin, noise } => margin * (middle + noise),
    };
    let newest = rates.len() - (calm.longest() - 1).min(rates.len());
    Some(Known {
        model,
        rates: rates[newest..].iter().copied().collect(),
        middle,
        reach,
        live,
    })
}

impl<L: Learner> PanelDetector for Vectors<L> {
    fn kind(&self) -> &'static str {
        L::KIND
    }

    fn memory(&self) -> usize {
        self.span()
    }

    fn grow(&mut self, slots: usize) {
        self.make_room(slots);
    }

    fn assign(&mut self, slot: Slot, labels: &Labels) {
        self.place_in_turn(slot, labels);
    }

    fn reset(&mut self, slot: Slot) {
        self.forget(slot);
    }

    fn step(&mut self, batch: &PanelBatch<'_>, out: &mut [f32]) {
        let index = self.grid.index(batch.at);
        for (at, &slot) in batch.slots.iter().enumerate() {
            let row = batch.channels.iter().map(|channel| channel[at]);
            out[at] = self.score(slot, index, row);
        }
    }

    fn prepare(&mut self) -> bool {
        self.prepare_one()
    }

    fn attribution(&self, slot: Slot) -> Vec<f32> {
        let entity = &self.entities[slot];
        match &entity.model {
            Some(known) if !entity.rated.is_empty() => {
                shares(self.learner.carried(&known.model, &entity.rated))
            }
            _ => Vec::new(),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.bytes()
    }
}

#[cfg(test)]
mod tests;
