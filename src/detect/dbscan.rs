//! Which series are unlike their peers at this very time.
//!
//! *When*: several series that should be alike, such as the pods of one deployment or the hosts of one
//! tier. *Cost*: one clustering of the group a step. *Reference*: Ester et al., "A density-based algorithm
//! for discovering clusters" (KDD 1996), with a radius that scales with the spread of the group.

use super::{Batch, Detector, MAX_SCORE, PanelBatch, PanelDetector, Problems, Scope, positive};
use crate::{
    series::{Grid, Labels, Slot},
    stats::robust,
};
use linfa::traits::Transformer;
use linfa_clustering::Dbscan as Clustering;
use ndarray::Array2;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The fewest peers of which one can be told apart.
const FEWEST: usize = 3;
/// More peers than this are thinned out: identical points make the clustering quadratic.
const MOST: usize = 2_000;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Series with the same values of these labels are peers; empty: all series of the signal are.
    pub by: Vec<String>,
    /// Two series belong together when they are nearer than this many times the spread of their group.
    pub epsilon: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            by: Vec::new(),
            epsilon: 4.0,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        positive("epsilon", self.epsilon)
    }

    /// The detector across the series of a signal.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        Box::new(self.make(grid))
    }

    /// The detector across the entities of a panel.
    pub fn build_panel(&self, grid: Grid) -> Box<dyn PanelDetector> {
        Box::new(self.make(grid))
    }

    fn make(&self, _grid: Grid) -> Dbscan {
        Dbscan {
            settings: self.clone(),
            groups: Vec::new(),
            known: BTreeMap::new(),
        }
    }
}

#[derive(Debug)]
struct Dbscan {
    settings: Settings,
    groups: Vec<usize>,
    known: BTreeMap<Labels, usize>,
}

impl Dbscan {
    fn score(&self, slots: &[Slot], channels: &[&[f32]], out: &mut [f32]) {
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, &slot) in slots.iter().enumerate() {
            out[index] = f32::NAN;
            if channels.iter().all(|channel| channel[index].is_finite()) {
                members.entry(self.groups[slot]).or_default().push(index);
            }
        }
        for group in members.values().filter(|group| group.len() >= FEWEST) {
            self.score_group(group, channels, out);
        }
    }

    fn score_group(&self, group: &[usize], channels: &[&[f32]], out: &mut [f32]) {
        let group = &group[..group.len().min(MOST)];
        let points = standardised(group, channels);
        let majority = majority(
            &points,
            self.settings.epsilon * (channels.len() as f64).sqrt(),
        );
        for (row, &index) in group.iter().enumerate() {
            let distance = nearest(&points, row, &majority);
            let radius = self.settings.epsilon * (channels.len() as f64).sqrt();
            out[index] = if majority.is_empty() {
                f32::NAN
            } else {
                ((distance / radius) as f32).min(MAX_SCORE)
            };
        }
    }
}

/// One row per member: each channel less its median, by its robust spread.
fn standardised(group: &[usize], channels: &[&[f32]]) -> Array2<f64> {
    let mut points = Array2::zeros((group.len(), channels.len()));
    for (column, channel) in channels.iter().enumerate() {
        let values: Vec<f32> = group.iter().map(|&index| channel[index]).collect();
        let Some((median, mad)) = robust::median_and_mad(&values) else {
            continue;
        };
        let floor = (median.abs() * 0.01).max(f32::MIN_POSITIVE);
        for (row, value) in values.iter().enumerate() {
            points[(row, column)] = f64::from((value - median) / mad.max(floor));
        }
    }
    points
}

/// The rows of the greatest cluster, where it holds more than half of them.
fn majority(points: &Array2<f64>, radius: f64) -> Vec<usize> {
    let Ok(clusters) = Clustering::params(2).tolerance(radius).transform(points) else {
        return Vec::new();
    };
    let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, cluster) in clusters.iter().enumerate() {
        if let Some(cluster) = cluster {
            rows.entry(*cluster).or_default().push(row);
        }
    }
    rows.into_values()
        .find(|rows| 2 * rows.len() > points.nrows())
        .unwrap_or_default()
}

fn nearest(points: &Array2<f64>, row: usize, cluster: &[usize]) -> f64 {
    cluster
        .iter()
        .map(|&other| {
            let difference = &points.row(row) - &points.row(other);
            difference.dot(&difference).sqrt()
        })
        .fold(f64::INFINITY, f64::min)
}

impl Detector for Dbscan {
    fn kind(&self) -> &'static str {
        "dbscan"
    }

    fn scope(&self) -> Scope {
        Scope::Across
    }

    fn memory(&self) -> usize {
        1
    }

    fn grow(&mut self, slots: usize) {
        self.groups.resize(slots.max(self.groups.len()), 0);
    }

    fn assign(&mut self, slot: Slot, labels: &Labels) {
        let next = self.known.len();
        let group = *self
            .known
            .entry(labels.only(&self.settings.by))
            .or_insert(next);
        self.groups[slot] = group;
    }

    fn reset(&mut self, _slot: Slot) {}

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        self.score(batch.slots, &[batch.values], out);
    }

    fn heap_bytes(&self) -> usize {
        self.groups.capacity() * size_of::<usize>()
    }
}

impl PanelDetector for Dbscan {
    fn kind(&self) -> &'static str {
        "dbscan"
    }

    fn memory(&self) -> usize {
        1
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
        self.score(batch.slots, batch.channels, out);
    }

    fn heap_bytes(&self) -> usize {
        Detector::heap_bytes(self)
    }
}
