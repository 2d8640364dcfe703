//! Which series are unlike their peers at this very time.
//!
//! *When*: several series that should be alike, such as the pods of one deployment or the hosts of one
//! tier; over a panel, entities that should be alike in several signals at once. *Cost*: a clustering of
//! each group a step: about 20 us for 100 peers. *Reference*: Ester et al., "A density-based algorithm for
//! discovering clusters" (KDD 1996), with a radius in spreads of the group; peers in a band of their own
//! (two deployments under one name, say) have no majority, and then nobody is judged: set `by`.

use super::{Batch, Detector, MAX_SCORE, PanelBatch, PanelDetector, Problems, Scope, positive};
use crate::{
    series::{Grid, Labels, Millis, Slot, swap_rows},
    stats::robust,
};
use linfa::traits::Transformer;
use linfa_clustering::Dbscan as Clustering;
use ndarray::{Array2, ArrayView1};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The fewest peers of which one can be told apart.
const FEWEST: usize = 3;
/// More peers than this are put into cells first: many points in one place make the clustering quadratic.
const EXACT: usize = 256;
/// More cells than this are thinned out.
const MOST: usize = 2_000;
/// Cells in a radius.
const CELLS: f64 = 16.0;
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
            least: 3,
            of: 5,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("epsilon", self.epsilon);
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
    /// Per slot, `of` distances from the majority in radiuses, by place of the step.
    recent: Vec<f32>,
}

/// What is remembered of peers: per channel, the spreads of the newest steps.
#[derive(Debug, Clone, Default)]
struct Group {
    spreads: Vec<f32>,
}

impl Dbscan {
    fn score(&mut self, at: Millis, slots: &[Slot], channels: &[&[f32]], out: &mut [f32]) {
        let place = self.grid.index(at).rem_euclid(self.settings.of as i64) as usize;
        let mut members = vec![Vec::new(); self.groups.len()];
        for (index, &slot) in slots.iter().enumerate() {
            out[index] = f32::NAN;
            // The clustering would panic at a NaN.
            if channels.iter().all(|channel| channel[index].is_finite()) {
                members[self.membership[slot]].push(index);
            }
        }
        for (group, members) in members.iter().enumerate() {
            if members.len() >= FEWEST {
                self.score_group(group, place, members, channels, out);
            }
        }
        for (index, &slot) in slots.iter().enumerate() {
            out[index] = self.confirmed(slot, place, out[index]);
        }
    }

    /// The `least`-th greatest of the newest `of` scores; `NaN` with fewer than `least`.
    fn confirmed(&mut self, slot: Slot, place: usize, score: f32) -> f32 {
        let of = self.settings.of;
        let recent = &mut self.recent[slot * of..(slot + 1) * of];
        recent[place] = score;
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
        place: usize,
        members: &[usize],
        channels: &[&[f32]],
        out: &mut [f32],
    ) {
        let of = self.settings.of;
        let spreads = &mut self.groups[group].spreads;
        spreads.resize(channels.len() * of, f32::NAN);
        let mut points = Array2::zeros((members.len(), channels.len()));
        let mut measured = true;
        for (column, channel) in channels.iter().enumerate() {
            let values: Vec<f32> = members.iter().map(|&index| channel[index]).collect();
            let (middle, now) = middle_and_spread(&values);
            let newest = &mut spreads[column * of..(column + 1) * of];
            newest[place] = now;
            // The median over time: at a moment when all agree by chance a small difference is no news.
            let usual = robust::median_of(&mut robust::finite(newest));
            let spread = now.max(usual).max(LEAST_SPREAD * middle.abs());
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
        let radius = self.settings.epsilon * (channels.len() as f64).sqrt();
        let majority = majority(&points, radius);
        let majority = Majority::new(&majority);
        for (row, &index) in members.iter().enumerate() {
            let Some(distance) = majority.nearest(points.row(row)) else {
                continue;
            };
            let score = ((distance / radius) as f32).min(MAX_SCORE);
            out[index] = if score < 1.0 {
                0.0
            } else if measured {
                score
            } else {
                UNMEASURED
            };
        }
    }
}

/// The median and how far values lie from it: the median absolute deviation, or where more than half are
/// the same, 0.
fn middle_and_spread(values: &[f32]) -> (f32, f32) {
    robust::median_and_mad(values).unwrap_or((0.0, 0.0))
}

/// The points of the cluster that holds more than half of all, one for each cell; none where no cluster
/// does.
fn majority(points: &Array2<f64>, radius: f64) -> Array2<f64> {
    let (cells, weights) = cells(points, radius);
    // With two as the least number of neighbours every member is a core: no order of points matters.
    let clusters = Clustering::params(2).tolerance(radius).transform(&cells);
    let Ok(clusters) = clusters else {
        return Array2::zeros((0, points.ncols()));
    };
    let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, cluster) in clusters.iter().enumerate() {
        // A cell apart from all others is a cluster of its own: it may hold many points.
        rows.entry(cluster.unwrap_or(usize::MAX - row))
            .or_default()
            .push(row);
    }
    let all: usize = weights.iter().sum();
    let greatest = rows
        .into_values()
        .find(|rows| 2 * rows.iter().map(|&row| weights[row]).sum::<usize>() > all);
    cells.select(ndarray::Axis(0), &greatest.unwrap_or_default())
}

/// Few points as they are; many as the middles of the cells they fall in. With the number of points in each.
fn cells(points: &Array2<f64>, radius: f64) -> (Array2<f64>, Vec<usize>) {
    if points.nrows() <= EXACT {
        return (points.clone(), vec![1; points.nrows()]);
    }
    let size = radius / CELLS;
    let mut counts: BTreeMap<Vec<i64>, usize> = BTreeMap::new();
    for row in points.rows() {
        let cell = row
            .iter()
            .map(|value| (value / size).round() as i64)
            .collect();
        *counts.entry(cell).or_default() += 1;
    }
    let stride = counts.len().div_ceil(MOST);
    let kept: Vec<(&Vec<i64>, &usize)> = counts.iter().step_by(stride).collect();
    let mut cells = Array2::zeros((kept.len(), points.ncols()));
    for (row, (cell, _)) in kept.iter().enumerate() {
        for (column, &number) in cell.iter().enumerate() {
            cells[(row, column)] = number as f64 * size;
        }
    }
    (cells, kept.iter().map(|&(_, &count)| count).collect())
}

/// The points of the majority, ordered for looking up the nearest.
enum Majority<'a> {
    /// Of one channel: thousands of peers are looked up among thousands of cells.
    Sorted(Vec<f64>),
    Any(&'a Array2<f64>),
}

impl<'a> Majority<'a> {
    fn new(points: &'a Array2<f64>) -> Self {
        if points.ncols() != 1 {
            return Self::Any(points);
        }
        let mut sorted: Vec<f64> = points.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Self::Sorted(sorted)
    }

    /// The distance to the nearest of its points; `None` where there are none.
    fn nearest(&self, point: ArrayView1<'_, f64>) -> Option<f64> {
        match self {
            Self::Sorted(sorted) => {
                let value = point[0];
                let above = sorted.partition_point(|&other| other < value);
                let near = &sorted[above.saturating_sub(1)..sorted.len().min(above + 1)];
                let distances = near.iter().map(|other| (value - other).abs());
                distances.min_by(f64::total_cmp)
            }
            Self::Any(points) => {
                let squares = points.rows().into_iter().map(|other| {
                    let pairs = point.iter().zip(other);
                    let squares = pairs.map(|(one, other)| (one - other).powi(2));
                    squares.sum::<f64>()
                });
                squares.min_by(f64::total_cmp).map(f64::sqrt)
            }
        }
    }
}

impl Detector for Dbscan {
    fn kind(&self) -> &'static str {
        "dbscan"
    }

    fn scope(&self) -> Scope {
        Scope::Across
    }

    fn memory(&self) -> usize {
        self.settings.of
    }

    fn grow(&mut self, slots: usize) {
        if slots <= self.membership.len() {
            return;
        }
        if self.groups.is_empty() {
            self.groups.push(Group::default());
            self.known.insert(Labels::default(), 0);
        }
        self.membership.resize(slots, 0);
        self.recent.resize(slots * self.settings.of, f32::NAN);
    }

    fn assign(&mut self, slot: Slot, labels: &Labels) {
        let next = self.groups.len();
        let group = *self
            .known
            .entry(labels.only(&self.settings.by))
            .or_insert(next);
        if group == next {
            self.groups.push(Group::default());
        }
        self.membership[slot] = group;
    }

    fn reset(&mut self, slot: Slot) {
        let of = self.settings.of;
        self.recent[slot * of..(slot + 1) * of].fill(f32::NAN);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.membership.swap(one, other);
        swap_rows(&mut self.recent, self.settings.of, one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        self.score(batch.at, batch.slots, &[batch.values], out);
    }

    fn heap_bytes(&self) -> usize {
        let groups: usize = self
            .groups
            .iter()
            .map(|group| group.spreads.capacity() * size_of::<f32>())
            .sum();
        self.membership.capacity() * size_of::<usize>()
            + self.recent.capacity() * size_of::<f32>()
            + groups
    }
}

impl PanelDetector for Dbscan {
    fn kind(&self) -> &'static str {
        "dbscan"
    }

    fn memory(&self) -> usize {
        self.settings.of
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

    fn heap_bytes(&self) -> usize {
        Detector::heap_bytes(self)
    }
}

#[cfg(test)]
mod tests;
