//! Which series are unlike their peers at this very time.
//!
//! Two views must agree, and the score is the lesser of both: a series is *apart* where it is outside the cluster
//! that holds most of its peers (DBSCAN), and *far* where it is many spreads (median absolute deviations, floored)
//! from the median of its peers (over a panel: in any one channel). Clusters alone take the odd one of three to eight
//! noisy peers for an outlier, distance alone takes the end of a long row of peers for one. Scores are in the same unit
//! as those of `zscore`: so many spreads, over `mad`.
//!
//! *When*: several series that should be alike, such as the pods of one deployment or the hosts of one
//! tier; over a panel, entities that should be alike in several signals at once. *Cost*: a clustering of
//! each group a step: about 20 us for 100 peers. *Reference*: Ester et al., "A density-based algorithm for
//! discovering clusters" (KDD 1996), with a radius in spreads of the group; for few peers the spread is corrected as by
//! Croux & Rousseeuw, "Time-efficient algorithms for two highly robust estimators of scale" (COMPSTAT 1992). Where
//! peers are in two camps of the same size (two deployments under one name, say), there is no majority, and nobody
//! is judged: set `by`.

mod majority;

use super::{
    Batch, Detector, MAX_SCORE, PanelBatch, PanelDetector, Peers, Problems, Scope, positive,
};
use crate::{
    series::{Grid, Labels, Millis, Slot, swap_rows},
    stats::robust,
};
use majority::{Majority, majority};
use ndarray::{Array2, ArrayView1};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The fewest peers of which one can be told apart.
const FEWEST: usize = 3;
/// Steps whose median spread is the usual one of a group: noise that lasts for some steps must not make the spread
/// of a few peers small by chance. With [`Settings::of`] as it is by default less than a restart leaves for detectors
/// across series to settle in.
const USUAL: usize = 56;
/// The spread of a group is never taken smaller than this share of its middle.
const LEAST_SPREAD: f32 = 0.005;
/// Peers that have always been the same leave no spread to measure by: being unlike them is worth this.
const UNMEASURED: f32 = 1.5;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Series with the same values of these labels are peers; empty: all series of the signal are.
    pub by: Vec<String>,
    /// Peers belong together when they are nearer than this many spreads of their group.
    pub epsilon: f64,
    /// A series is far from its peers at so many spreads from their median.
    pub mad: f64,
    /// A series is anomalous when it was apart in so many ...
    pub least: usize,
    /// ... of so many newest steps.
    pub of: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            by: Vec::new(),
            epsilon: 3.0,
            // As `zscore` has it.
            mad: 6.0,
            least: 3,
            of: 5,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("epsilon", self.epsilon);
        problems.extend(positive("mad", self.mad));
        if !(1..=100).contains(&self.of) {
            let text = format!("{} is not allowed; allowed: 1 to 100", self.of);
            problems.push(("of".into(), text));
        }
        if !(1..=self.of).contains(&self.least) {
            let text = format!(
                "{} is not allowed; allowed: 1 to {} (that is `of`)",
                self.least, self.of
            );
            problems.push(("least".into(), text));
        }
        problems
    }

    /// The detector across the series of a signal.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        Box::new(self.make(grid))
    }

    /// The detector across the entities of a panel.
    pub fn build_panel(&self, grid: Grid) -> Box<dyn PanelDetector> {
        Box::new(self.make(grid))
    }

    fn make(&self, grid: Grid) -> Dbscan {
        Dbscan {
            settings: self.clone(),
            grid,
            known: BTreeMap::new(),
            groups: Vec::new(),
            membership: Vec::new(),
            recent: Vec::new(),
            newest: Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
struct Dbscan {
    settings: Settings,
    grid: Grid,
    known: BTreeMap<Labels, usize>,
    groups: Vec<Group>,
    /// Per slot, its group.
    membership: Vec<usize>,
    /// Per slot, the newest `of` scores, by place of the step.
    recent: Vec<f32>,
    /// Per slot, the grid index of the newest of them.
    newest: Vec<i64>,
}

/// What is remembered of peers.
#[derive(Debug, Clone)]
struct Group {
    /// Per channel, the spreads of the newest [`USUAL`] steps, by place of the step.
    spreads: Vec<f32>,
    /// Grid index of the newest of them.
    newest: i64,
    /// Of the newest step: who had a value, who of them is with the majority, and where those are (first channel).
    present: Vec<Slot>,
    together: usize,
    low: f32,
    high: f32,
}

impl Group {
    const NEW: Self = Self {
        spreads: Vec::new(),
        newest: i64::MIN,
        present: Vec::new(),
        together: 0,
        low: f32::INFINITY,
        high: f32::NEG_INFINITY,
    };

    /// A step begins: nothing is known of it, nor of steps that were left out.
    fn begin(&mut self, index: i64, channels: usize) {
        if self.spreads.len() != channels * USUAL {
            self.spreads = vec![f32::NAN; channels * USUAL];
        }
        for column in self.spreads.chunks_exact_mut(USUAL) {
            pass(column, self.newest, index);
        }
        self.newest = index;
        self.present.clear();
        self.together = 0;
        (self.low, self.high) = (f32::INFINITY, f32::NEG_INFINITY);
    }

    /// Takes in the spread of a channel; the one to measure by. The median over time: at a moment when all agree by
    /// chance a small difference is no news.
    fn spread(&mut self, column: usize, now: f32) -> f32 {
        let newest = &mut self.spreads[column * USUAL..(column + 1) * USUAL];
        newest[place(self.newest, USUAL)] = now;
        now.max(robust::median_of(&mut robust::finite(newest)))
    }

    fn joined(&mut self, value: f32) {
        self.together += 1;
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }
}

/// Where grid index `index` is kept in a ring.
fn place(index: i64, length: usize) -> usize {
    index.rem_euclid(length as i64) as usize
}

/// Forgets what was in the places of the steps after `newest` up to `index`.
fn pass(ring: &mut [f32], newest: i64, index: i64) {
    let length = ring.len() as i64;
    for missed in newest.saturating_add(1).max(index - length + 1)..=index {
        ring[place(missed, ring.len())] = f32::NAN;
    }
}

/// The peers of one group at one step, as points in spreads around their median.
struct Points {
    points: Array2<f64>,
    /// Whether there was a spread to measure by.
    measured: bool,
}

impl Dbscan {
    fn score(&mut self, at: Millis, slots: &[Slot], channels: &[&[f32]], out: &mut [f32]) {
        let index = self.grid.index(at);
        let mut members = vec![Vec::new(); self.groups.len()];
        for (row, &slot) in slots.iter().enumerate() {
            out[row] = f32::NAN;
            // The clustering would panic at a NaN.
            if channels.iter().all(|channel| channel[row].is_finite()) {
                members[self.membership[slot]].push(row);
            }
        }
        for (number, members) in members.iter().enumerate() {
            let group = &mut self.groups[number];
            group.begin(index, channels.len());
            group.present.extend(members.iter().map(|&row| slots[row]));
            if members.len() >= FEWEST {
                self.score_group(number, members, channels, out);
            }
        }
        for (row, &slot) in slots.iter().enumerate() {
            out[row] = self.confirmed(slot, index, out[row]);
        }
    }

    /// The `least`-th greatest of the newest `of` scores; `NaN` with fewer than `least`.
    fn confirmed(&mut self, slot: Slot, index: i64, score: f32) -> f32 {
        let of = self.settings.of;
        let recent = &mut self.recent[slot * of..(slot + 1) * of];
        pass(recent, self.newest[slot], index);
        self.newest[slot] = index;
        recent[place(index, of)] = score;
        if score.is_nan() {
            return f32::NAN;
        }
        let mut scores = robust::finite(recent);
        scores.sort_unstable_by(f32::total_cmp);
        let nth = scores.len().checked_sub(self.settings.least);
        nth.map_or(f32::NAN, |nth| scores[nth])
    }

    fn score_group(
        &mut self,
        group: usize,
        members: &[usize],
        channels: &[&[f32]],
        out: &mut [f32],
    ) {
        let group = &mut self.groups[group];
        let Points { points, measured } = points(group, members, channels);
        // Noise in several channels adds up.
        let radius = self.settings.epsilon * (channels.len() as f64).sqrt();
        let majority = majority(&points, radius);
        let majority = Majority::new(&majority);
        for (row, &index) in members.iter().enumerate() {
            let point = points.row(row);
            let Some(apart) = majority.nearest(point) else {
                continue;
            };
            let apart = apart / radius;
            if apart < 1.0 {
                group.joined(channels[0][index]);
                out[index] = 0.0;
                continue;
            }
            let far = farthest(point) / self.settings.mad;
            out[index] = if measured {
                (apart.min(far) as f32).min(MAX_SCORE)
            } else {
                UNMEASURED
            };
        }
    }
}

fn points(group: &mut Group, members: &[usize], channels: &[&[f32]]) -> Points {
    let mut points = Array2::zeros((members.len(), channels.len()));
    let mut measured = true;
    for (column, channel) in channels.iter().enumerate() {
        let values: Vec<f32> = members.iter().map(|&index| channel[index]).collect();
        let (middle, now) = middle_and_spread(&values);
        let spread = group.spread(column, now).max(LEAST_SPREAD * middle.abs());
        measured &= spread > 0.0 || values.iter().all(|&value| value == middle);
        let spread = if spread > 0.0 {
            spread
        } else {
            f32::MIN_POSITIVE
        };
        for (row, value) in values.iter().enumerate() {
            let point = f64::from(value - middle) / f64::from(spread);
            points[(row, column)] = point.clamp(-1e6, 1e6);
        }
    }
    Points { points, measured }
}

/// How far a point is from the middle in the channel in which it is farthest.
fn farthest(point: ArrayView1<'_, f64>) -> f64 {
    point.iter().fold(0.0, |far, one| one.abs().max(far))
}

/// The median and how far values lie from it: the median absolute deviation, or where more than half are
/// the same, 0.
fn middle_and_spread(values: &[f32]) -> (f32, f32) {
    let (middle, spread) = robust::median_and_mad(values).unwrap_or((0.0, 0.0));
    (middle, small_sample(values.len()) * spread)
}

/// What the median absolute deviation of so few values is multiplied by to be right on average, see the reference.
fn small_sample(count: usize) -> f32 {
    const FACTORS: [f32; 10] = [
        1.0, 1.0, 1.196, 1.495, 1.363, 1.206, 1.2, 1.14, 1.129, 1.107,
    ];
    let many = count as f32;
    FACTORS
        .get(count)
        .copied()
        .unwrap_or_else(|| many / (many - 0.8))
}

impl Detector for Dbscan {
    fn kind(&self) -> &'static str {
        "dbscan"
    }

    fn scope(&self) -> Scope {
        Scope::Across
    }

    fn memory(&self) -> usize {
        self.settings.of + USUAL
    }

    fn grow(&mut self, slots: usize) {
        if slots <= self.membership.len() {
            return;
        }
        if self.groups.is_empty() {
            self.groups.push(Group::NEW);
            self.known.insert(Labels::default(), 0);
        }
        self.membership.resize(slots, 0);
        self.recent.resize(slots * self.settings.of, f32::NAN);
        self.newest.resize(slots, i64::MIN);
    }

    fn assign(&mut self, slot: Slot, labels: &Labels) {
        let next = self.groups.len();
        let group = *self
            .known
            .entry(labels.only(&self.settings.by))
            .or_insert(next);
        if group == next {
            self.groups.push(Group::NEW);
        }
        self.membership[slot] = group;
    }

    fn reset(&mut self, slot: Slot) {
        let of = self.settings.of;
        self.recent[slot * of..(slot + 1) * of].fill(f32::NAN);
        self.newest[slot] = i64::MIN;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.membership.swap(one, other);
        swap_rows(&mut self.recent, self.settings.of, one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        self.score(batch.at, batch.slots, &[batch.values], out);
    }

    fn peers(&self, slot: Slot) -> Option<Peers<'_>> {
        let group = &self.groups[*self.membership.get(slot)?];
        (group.together > 0).then_some(Peers {
            present: &group.present,
            together: group.together,
            low: group.low,
            high: group.high,
        })
    }

    fn heap_bytes(&self) -> usize {
        let groups: usize = self
            .groups
            .iter()
            .map(|group| {
                group.spreads.capacity() * size_of::<f32>()
                    + group.present.capacity() * size_of::<Slot>()
            })
            .sum();
        self.membership.capacity() * size_of::<usize>()
            + self.newest.capacity() * size_of::<i64>()
            + self.recent.capacity() * size_of::<f32>()
            + groups
    }
}

impl PanelDetector for Dbscan {
    fn kind(&self) -> &'static str {
        "dbscan"
    }

    fn memory(&self) -> usize {
        self.settings.of + USUAL
    }

    fn grow(&mut self, slots: usize) {
        Detector::grow(self, slots);
    }

    fn assign(&mut self, slot: Slot, labels: &Labels) {
        Detector::assign(self, slot, labels);
    }

    fn reset(&mut self, slot: Slot) {
        Detector::reset(self, slot);
    }

    fn step(&mut self, batch: &PanelBatch<'_>, out: &mut [f32]) {
        self.score(batch.at, batch.slots, batch.channels, out);
    }

    fn peers(&self, slot: Slot) -> Option<Peers<'_>> {
        Detector::peers(self, slot)
    }

    fn heap_bytes(&self) -> usize {
        Detector::heap_bytes(self)
    }
}

#[cfg(test)]
mod tests;
