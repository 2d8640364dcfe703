//! How easily a value, with the values before it, is set apart from the past by random cuts.
//!
//! *When*: a second vote on series without a plain course: unusual combinations of value, change and recent
//! mean that are ordinary one by one. Give it little weight, or let it confirm others (`combine: {at_least: 2}`):
//! by itself it is one of the weaker detectors. *Cost*: about 2 us a value, 15 us at a step that grows a tree (with
//! minutes one in 78), and 43 kB a series. *Reference*: Liu, Ting & Zhou, "Isolation Forest" (ICDM 2008); with
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

impl IsolationForest {
    fn rows_of(&mut self, slot: Slot) -> &mut [Row<FEATURES>] {
        &mut self.rows[slot * self.points..][..self.points]
    }

    fn nodes_of(&mut self, slot: Slot) -> &mut [Node] {
        &mut self.nodes[slot * self.trees * NODES..][..self.trees * NODES]
    }

    /// Grows the tree anew whose turn it is at this grid time, if any.
    fn renew(&mut self, slot: Slot, index: i64) {
        let index = index - self.offsets[slot];
        if index % self.renewal != 0 {
            return;
        }
        let turn = index / self.renewal;
        let tree = turn.rem_euclid(self.trees as i64) as usize;
        let rows = &self.rows[slot * self.points..][..self.points];
        self.sample.clear();
        let known = rows.iter().filter(|row| row[0].is_finite());
        self.sample.extend(known);
        if self.sample.len() < SAMPLE {
            return;
        }
        let state = &mut self.states[slot];
        (state.low, state.high) = (self.sample[0], self.sample[0]);
        for row in &self.sample {
            for (low, &feature) in state.low.iter_mut().zip(row) {
                *low = low.min(feature);
            }
            for (high, &feature) in state.high.iter_mut().zip(row) {
                *high = high.max(feature);
            }
        }
        // The same on every replica.
        let mut random = fastrand::Rng::with_seed(turn as u64);
        for place in 0..SAMPLE {
            let other = random.usize(place..self.sample.len());
            self.sample.swap(place, other);
        }
        let nodes = &mut self.nodes[(slot * self.trees + tree) * NODES..][..NODES];
        let sample = &mut self.sample[..SAMPLE];
        forest::grow(sample, &self.directions, &mut random, nodes);
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
        self.rows.resize(slots * self.points, NO_ROW);
        self.nodes.resize(slots * self.trees * NODES, Node::UNGROWN);
    }

    fn assign(&mut self, slot: Slot, labels: &Labels) {
        self.offsets[slot] = (labels.fingerprint() % self.renewal as u64) as i64;
    }

    fn reset(&mut self, slot: Slot) {
        self.states[slot] = State::NEW;
        self.rows_of(slot).fill(NO_ROW);
        self.nodes_of(slot).fill(Node::UNGROWN);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
        self.offsets.swap(one, other);
        swap_rows(&mut self.rows, self.points, one, other);
        swap_rows(&mut self.nodes, self.trees * NODES, one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        for (index, &slot) in batch.slots.iter().enumerate() {
            out[index] = self.score(slot, batch.at, batch.values[index]);
        }
    }

    fn heap_bytes(&self) -> usize {
        (self.rows.capacity() + self.sample.capacity()) * size_of::<Row<FEATURES>>()
            + self.nodes.capacity() * size_of::<Node>()
            + self.states.capacity() * size_of::<State>()
            + self.offsets.capacity() * size_of::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::alone;

    fn scores(settings: &Settings, values: &[f32]) -> Vec<f32> {
        alone(settings.build(Grid::new(300_000).unwrap()), values)
    }

    #[test]
    fn a_change_that_never_was_is_news_though_each_value_is_ordinary() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut values: Vec<f32> = (0..4_000)
            .map(|step| 50.0 * (step as f32 / 30.0).sin() + random.f32())
            .collect();
        // From one side of the course to the other, at once.
        values[3_811] = -values[3_811];
        for extended in [false, true] {
            let settings = Settings {
                extended,
                ..Settings::default()
            };
            let scores = scores(&settings, &values);
            assert!(values[3_811].abs() > 30.0);
            let news = scores[3_811];
            assert!(news >= 1.0, "{news}, extended: {extended}");
            let loud = scores[2_000..3_800].iter().filter(|score| **score >= 1.0);
            assert_eq!(loud.count(), 0, "extended: {extended}");
        }
    }

    #[test]
    fn the_farther_out_the_more_news() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut values: Vec<f32> = (0..4_000).map(|_| random.f32() + random.f32()).collect();
        let mut last = 0.0;
        for far in [4.0, 9.0, 60.0] {
            values[3_800] = far;
            let score = scores(&Settings::default(), &values)[3_800];
            assert!(score > last, "{score} at {far}");
            last = score;
        }
        assert!(last >= 1.0, "{last}");
    }

    #[test]
    fn a_path_is_shortened_by_the_chance_to_end_at_each_cut() {
        assert_eq!(shorten(7.5, 0.0), 7.5);
        assert_eq!(shorten(7.5, 1.0), 1.0);
        // One cut, or two with the chance of one half.
        assert!((shorten(2.0, 0.5) - 1.5).abs() < 1e-6);
        assert!((shorten(7.5, 1e-4) - 7.5).abs() < 0.01);
    }

    #[test]
    fn the_first_change_of_a_constant_series_is_news_of_unknown_size() {
        let mut values = vec![7.0; 2_000];
        values[1_900] = 8.0;
        let scores = scores(&Settings::default(), &values);
        assert_eq!((scores[1_899], scores[1_900]), (0.0, UNMEASURED));
    }

    #[test]
    fn there_is_a_score_when_all_trees_are_grown_and_their_range_is_known() {
        let scores = scores(
            &Settings::default(),
            &(0..2_000).map(|step| (step % 7) as f32).collect::<Vec<_>>(),
        );
        // A week of five minutes: a tree every 15 steps, 32 of them, once 64 points a stride of 4 apart are there;
        // then the warm-up.
        let first = scores.iter().position(|score| score.is_finite()).unwrap();
        let grown = 4 * 64 + RECENT + 32 * 15;
        let expected = grown + WARM_UP as usize;
        assert!(
            (expected - 60..expected + 60).contains(&first),
            "{first}, not {expected}"
        );
    }

    #[test]
    fn a_series_takes_some_forty_kilobytes() {
        let mut detector = Settings::default().build(Grid::new(60_000).unwrap());
        detector.grow(16);
        assert!(
            detector.heap_bytes() / 16 <= 46_000,
            "{}",
            detector.heap_bytes()
        );
    }
}
