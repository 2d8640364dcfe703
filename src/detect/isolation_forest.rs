//! How easily a value, with the values before it, is set apart from the past by random cuts.
//!
//! *When*: a second vote on series without a plain course: unusual combinations of value, change and recent
//! mean that are ordinary one by one. Give it little weight, or let it confirm others (`combine: {at_least: 2}`):
//! by itself it is one of the weaker detectors. *Cost*: about 2 us a value, 15 us more for each tree grown (with
//! minutes every 78 steps, between the ticks), and 43 kB a series. *Reference*: Liu, Ting & Zhou, "Isolation Forest" (ICDM 2008); with
//! `extended`, Hariri, Carrasco Kind & Brunner (TKDE 2019).
//!
//! The forest is renewed tree by tree, one after the other as the grid time goes on, so that no step pays for
//! a whole one, nor for the trees of all series; which points a tree is grown of, and how, depends on the labels,
//! the grid time and the newest values alone.
//! A point outside of all that the trees were grown of is set apart the sooner the farther out it is, as if
//! it had been among them (as in Guha et al., "Robust random cut forest", ICML 2016).
//! The score of a forest says little by itself, and differs from series to series: what counts is how far it
//! leaves the range it had for this series.

mod panel;

use super::{
    Batch, Detector, MAX_SCORE, PanelDetector, Problems, Scope, UNMEASURED, is_usable,
    novelty::Channel, positive,
};
use crate::{
    series::{Grid, Labels, Millis, Slot, Span, swap_rows},
    stats::forest::{self, Directions, Node, Row},
};
use serde::Deserialize;

/// The value less the recent mean, the two before it likewise, the recent mean, and the change from the
/// value before.
const FEATURES: usize = 5;
/// Values of the recent mean.
const RECENT: usize = 30;
/// After a gap of more steps than this what was before it says nothing of the value after it.
const LONGEST_GAP: u8 = 10;
/// Points kept of the window, evenly spaced.
const POINTS: usize = 512;
/// Points of a tree; the paper's 256 are for finding clusters, not points.
const SAMPLE: usize = 64;
const NODES: usize = forest::most_nodes(SAMPLE);
/// The forest is as new after this share of the window.
const RENEWAL: usize = 4;
/// The range of the scores is learned in blocks of so many steps.
const BLOCK: i64 = 30;
/// The range loses half of its width in so many steps, if nothing renews it.
const HALF_LIFE: f64 = 10_000.0;
/// As much as scores differ because other trees are in force, and rare combinations of counts are drawn.
const SLACK: f32 = 0.01;
/// The extremes of so few scores tell half of what they will.
const YOUNG: f32 = 300.0;
/// Scores before there is one to show.
const WARM_UP: u32 = 200;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The past that the trees are grown of.
    pub window: Span,
    /// How many trees.
    pub trees: usize,
    /// Whether cuts are across random directions instead of one feature at a time.
    pub extended: bool,
    /// The forest's score this far outside of its range, as a share of the width of the range, scores 1.
    pub novelty: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Span::days(7),
            trees: 32,
            extended: false,
            novelty: 0.05,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("window", self.window.as_millis() as f64);
        if !(8..=256).contains(&self.trees) {
            let text = format!("{} is not allowed; allowed: 8 to 256", self.trees);
            problems.push(("trees".into(), text));
        }
        problems.extend(positive("novelty", self.novelty));
        problems
    }

    /// The detector of the entities of a panel, with a memory of so many steps; `window` and `novelty` are those
    /// of single series.
    pub fn build_panel(&self, grid: Grid, memory: usize) -> Box<dyn PanelDetector> {
        panel::build(self, grid, memory)
    }

    /// The detector.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        let steps = grid.steps_up(self.window.as_millis()).max(2 * SAMPLE);
        let stride = steps.div_ceil(POINTS);
        Box::new(IsolationForest {
            novelty: self.novelty as f32,
            loss: (1.0 - 0.5_f64.powf(1.0 / HALF_LIFE)) as f32,
            grid,
            stride: stride as i64,
            points: steps / stride,
            trees: self.trees,
            renewal: (steps / RENEWAL / self.trees).max(1) as i64,
            directions: if self.extended {
                Directions::random(1)
            } else {
                Directions::axes()
            },
            states: Vec::new(),
            offsets: Vec::new(),
            rows: Vec::new(),
            nodes: Vec::new(),
            prepared: Vec::new(),
            sample: Vec::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct IsolationForest {
    novelty: f32,
    loss: f32,
    grid: Grid,
    /// Every so many grid times a point is kept.
    stride: i64,
    points: usize,
    trees: usize,
    /// Every so many grid times one tree is grown anew.
    renewal: i64,
    directions: Directions<FEATURES>,
    states: Vec<State>,
    /// Per slot, where between two times at which a tree is grown it grows its own.
    offsets: Vec<i64>,
    /// Per slot `points` points, by grid time; `NaN` where there is none.
    rows: Vec<Row<FEATURES>>,
    /// Per slot `trees` times [`NODES`] nodes.
    nodes: Vec<Node>,
    /// Per slot, the tree of the next grid time.
    prepared: Vec<Option<Box<Grown>>>,
    /// The points of the tree being grown; kept for its memory.
    sample: Vec<Row<FEATURES>>,
}

const NO_ROW: Row<FEATURES> = [f32::NAN; FEATURES];

/// One series, beside its points and trees.
#[derive(Debug, Clone, Copy)]
struct State {
    recent: Recent,
    /// Least and greatest of the points, by feature.
    low: Row<FEATURES>,
    high: Row<FEATURES>,
    range: Channel,
    /// Scores of a whole forest so far.
    seen: u32,
    /// Grid index of the newest step.
    newest: Option<i64>,
}

impl State {
    const NEW: Self = Self {
        recent: Recent {
            values: [f32::NAN; RECENT],
            next: 0,
            missing: 0,
        },
        low: NO_ROW,
        high: NO_ROW,
        range: Channel::EMPTY,
        seen: 0,
        newest: None,
    };

    /// The chance that a cut across one feature, drawn over all points and this one, sets it apart from them
    /// all; 0 inside.
    fn outside(&self, row: &Row<FEATURES>) -> f32 {
        let chance = |index: usize| {
            let (low, high) = (self.low[index], self.high[index]);
            let excess = (row[index] - high).max(low - row[index]);
            if excess > 0.0 {
                excess / (high - low + excess)
            } else {
                0.0
            }
        };
        (0..FEATURES).map(chance).sum::<f32>() / FEATURES as f32
    }
}

/// The newest values that are there.
#[derive(Debug, Clone, Copy)]
struct Recent {
    values: [f32; RECENT],
    next: u8,
    missing: u8,
}

impl Recent {
    /// A step without a value.
    fn pass(&mut self) {
        self.missing = self.missing.saturating_add(1);
    }

    /// Takes in a value; the point that it makes with those before it, `NaN` where they are too few.
    fn take(&mut self, value: f32) -> Row<FEATURES> {
        if self.missing > LONGEST_GAP {
            self.values = [f32::NAN; RECENT];
        }
        self.missing = 0;
        let place = usize::from(self.next);
        self.values[place] = value;
        self.next = (self.next + 1) % RECENT as u8;
        let before = |steps: usize| self.values[(place + RECENT - steps) % RECENT];
        // From the oldest on, whatever its place: the same values have the same sum.
        let mean = (1..=RECENT)
            .map(|steps| before(RECENT - steps))
            .sum::<f32>()
            / RECENT as f32;
        [
            value - mean,
            before(1) - mean,
            before(2) - mean,
            mean,
            value - before(1),
        ]
    }
}

/// The mean of a path that ends at every cut with this chance, and at its own end at the latest. The trees were
/// grown without the point: to them it is where the outermost point is, however far beyond it lies.
fn shorten(path: f32, chance: f32) -> f32 {
    if chance > 0.0 {
        (1.0 - (1.0 - chance).powf(path)) / chance
    } else {
        path
    }
}

/// A tree that was grown before its turn.
#[derive(Debug, Clone)]
struct Grown {
    /// Grid index of its turn.
    index: i64,
    /// Nothing where there were too few points.
    ranges: Option<Ranges>,
    nodes: Vec<Node>,
}

/// The least and the greatest of the points, by feature.
type Ranges = (Row<FEATURES>, Row<FEATURES>);

/// Grows a tree of some of these points; nothing where they are too few. `sample` is kept for its memory.
fn grow(
    rows: &[Row<FEATURES>],
    sample: &mut Vec<Row<FEATURES>>,
    directions: &Directions<FEATURES>,
    turn: i64,
    nodes: &mut [Node],
) -> Option<Ranges> {
    sample.clear();
    sample.extend(rows.iter().filter(|row| row[0].is_finite()));
    if sample.len() < SAMPLE {
        return None;
    }
    let (mut lows, mut highs) = (sample[0], sample[0]);
    for row in sample.iter() {
        for (low, &feature) in lows.iter_mut().zip(row) {
            *low = low.min(feature);
        }
        for (high, &feature) in highs.iter_mut().zip(row) {
            *high = high.max(feature);
        }
    }
    // The same on every replica.
    let mut random = fastrand::Rng::with_seed(turn as u64);
    for place in 0..SAMPLE {
        let other = random.usize(place..sample.len());
        sample.swap(place, other);
    }
    forest::grow(&mut sample[..SAMPLE], directions, &mut random, nodes);
    Some((lows, highs))
}

impl IsolationForest {
    fn rows_of(&mut self, slot: Slot) -> &mut [Row<FEATURES>] {
        &mut self.rows[slot * self.points..][..self.points]
    }

    fn nodes_of(&mut self, slot: Slot) -> &mut [Node] {
        &mut self.nodes[slot * self.trees * NODES..][..self.trees * NODES]
    }

    /// Which renewal of a series is at this grid time, if any.
    fn turn(&self, slot: Slot, index: i64) -> Option<i64> {
        let index = index - self.offsets[slot];
        (index % self.renewal == 0).then_some(index / self.renewal)
    }

    /// Puts the tree in its place whose turn it is at this grid time, if any: as prepared, or grown now.
    fn renew(&mut self, slot: Slot, index: i64) {
        let prepared = self.prepared[slot].take();
        let Some(turn) = self.turn(slot, index) else {
            return;
        };
        let tree = turn.rem_euclid(self.trees as i64) as usize;
        let nodes = &mut self.nodes[(slot * self.trees + tree) * NODES..][..NODES];
        let ranges = match prepared.filter(|grown| grown.index == index) {
            Some(grown) => {
                if grown.ranges.is_some() {
                    nodes.copy_from_slice(&grown.nodes);
                }
                grown.ranges
            }
            None => {
                let rows = &self.rows[slot * self.points..][..self.points];
                grow(rows, &mut self.sample, &self.directions, turn, nodes)
            }
        };
        if let Some(ranges) = ranges {
            let state = &mut self.states[slot];
            (state.low, state.high) = ranges;
        }
    }

    /// Grows the tree of one series whose turn is at its next grid time; `false` where there is none. The points that
    /// it is grown of are there by then.
    fn prepare_one(&mut self) -> bool {
        let due = |slot: Slot| {
            let next = self.states[slot].newest? + 1;
            let prepared = self.prepared[slot].as_ref();
            let done = prepared.is_some_and(|grown| grown.index == next);
            let turn = self.turn(slot, next).filter(|_| !done)?;
            Some((slot, next, turn))
        };
        let Some((slot, index, turn)) = (0..self.states.len()).find_map(due) else {
            return false;
        };
        let rows = &self.rows[slot * self.points..][..self.points];
        let mut nodes = vec![Node::UNGROWN; NODES];
        let ranges = grow(rows, &mut self.sample, &self.directions, turn, &mut nodes);
        self.prepared[slot] = Some(Box::new(Grown {
            index,
            ranges,
            nodes,
        }));
        true
    }

    /// The forest's score of a point, between 0 and 1; `NaN` before all trees are grown, infinite where the
    /// past is one point only, and this is another.
    fn rate(&self, slot: Slot, row: &Row<FEATURES>) -> f32 {
        let nodes = &self.nodes[slot * self.trees * NODES..][..self.trees * NODES];
        let roots = nodes.iter().step_by(NODES);
        if !roots.clone().all(|root| root.is_grown()) {
            return f32::NAN;
        }
        if roots.clone().all(|root| root.is_leaf()) {
            let rows = &self.rows[slot * self.points..][..self.points];
            return if rows.contains(row) {
                0.5
            } else {
                f32::INFINITY
            };
        }
        let paths = nodes
            .chunks_exact(NODES)
            .map(|nodes| forest::path(nodes, &self.directions, row));
        let path = paths.sum::<f32>() / self.trees as f32;
        forest::score(shorten(path, self.states[slot].outside(row)), SAMPLE)
    }

    /// How far a rate is above its range: 1 at the threshold.
    fn calibrate(&mut self, slot: Slot, rate: f32) -> f32 {
        let state = &mut self.states[slot];
        if rate == f32::INFINITY {
            return UNMEASURED;
        }
        state.seen = state.seen.saturating_add(1);
        let outside = state.range.step(rate, SLACK, self.loss);
        let young = YOUNG / state.seen as f32;
        match outside.share {
            share if share.is_nan() || state.seen <= WARM_UP => f32::NAN,
            // Harder to set apart than ever: as ordinary as can be.
            _ if outside.side < 0.0 => 0.0,
            f32::INFINITY => UNMEASURED,
            share => (share / (self.novelty * (1.0 + young))).min(MAX_SCORE),
        }
    }

    fn score(&mut self, slot: Slot, at: Millis, value: f32) -> f32 {
        let index = self.grid.index(at);
        let place = (index / self.stride).rem_euclid(self.points as i64) as usize;
        let kept = index % self.stride == 0;
        if index % BLOCK == 0 {
            self.states[slot].range.turn();
        }
        self.renew(slot, index);
        self.states[slot].newest = Some(index);
        if !is_usable(value) {
            self.states[slot].recent.pass();
            if kept {
                self.rows_of(slot)[place] = NO_ROW;
            }
            return f32::NAN;
        }
        let row = self.states[slot].recent.take(value);
        let known = row.iter().all(|feature| feature.is_finite());
        let score = if known {
            let rate = self.rate(slot, &row);
            if rate.is_nan() {
                f32::NAN
            } else {
                self.calibrate(slot, rate)
            }
        } else {
            f32::NAN
        };
        if kept {
            self.rows_of(slot)[place] = if known { row } else { NO_ROW };
        }
        score
    }
}

impl Detector for IsolationForest {
    fn kind(&self) -> &'static str {
        "isolation_forest"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        // Points live for a window and trees for a share of it; of the range less than half a percent is left
        // after eight half-lives.
        (2 * self.points) * self.stride as usize + (8.0 * HALF_LIFE) as usize
    }

    fn grow(&mut self, slots: usize) {
        let slots = slots.max(self.states.len());
        self.states.resize(slots, State::NEW);
        self.offsets.resize(slots, 0);
        self.prepared.resize(slots, None);
        self.rows.resize(slots * self.points, NO_ROW);
        self.nodes.resize(slots * self.trees * NODES, Node::UNGROWN);
    }

    fn assign(&mut self, slot: Slot, labels: &Labels) {
        self.offsets[slot] = (labels.fingerprint() % self.renewal as u64) as i64;
        self.prepared[slot] = None;
    }

    fn reset(&mut self, slot: Slot) {
        self.states[slot] = State::NEW;
        self.prepared[slot] = None;
        self.rows_of(slot).fill(NO_ROW);
        self.nodes_of(slot).fill(Node::UNGROWN);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
        self.offsets.swap(one, other);
        self.prepared.swap(one, other);
        swap_rows(&mut self.rows, self.points, one, other);
        swap_rows(&mut self.nodes, self.trees * NODES, one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        for (index, &slot) in batch.slots.iter().enumerate() {
            out[index] = self.score(slot, batch.at, batch.values[index]);
        }
    }

    fn prepare(&mut self) -> bool {
        self.prepare_one()
    }

    fn heap_bytes(&self) -> usize {
        let prepared = self.prepared.iter().flatten().count();
        let prepared = prepared * (size_of::<Grown>() + NODES * size_of::<Node>())
            + self.prepared.capacity() * size_of::<Option<Box<Grown>>>();
        prepared
            + (self.rows.capacity() + self.sample.capacity()) * size_of::<Row<FEATURES>>()
            + self.nodes.capacity() * size_of::<Node>()
            + self.states.capacity() * size_of::<State>()
            + self.offsets.capacity() * size_of::<i64>()
    }
}

#[cfg(test)]
mod tests;
