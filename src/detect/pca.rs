//! How far a vector is from what the channels usually do together.
//!
//! *When*: a panel of the signals of one host or service (up to 100), which rise and fall together: it sees
//! an entity whose channels are ordinary one by one but do not fit each other. On a single series the vector is its
//! eight newest distances from what was expected: an unusual course of some minutes. *Cost*: about 4 bytes a
//! channel for each of up to 1,778 vectors of an entity (1,000 of a single series); a step multiplies the vector by the
//! components, and every 222 (125) steps it is learned anew (the channels' square for each vector, and their cube). *Reference*: Shyu,
//! Chen, Sarinnapakorn & Chang, "A novel anomaly detection scheme based on principal component classifier"
//! (ICDM 2003): the distance inside the main components (Mahalanobis) and the squared error of what they leave,
//! each in units of its own variance.
//!
//! It is robust by cutting distances before they are learned and by learning twice: the second time
//! without the vectors that fit the first worst (as the concentration steps of Rousseeuw & Van Driessen, "A fast
//! algorithm for the minimum covariance determinant estimator", Technometrics 1999).

use super::{
    Batch, Detector, PanelDetector, Problems, Scope,
    lags::Lagged,
    vectors::{Calm, Learner, Reach, Rows, Vectors},
};
use crate::series::{Grid, Labels, Slot};
use linfa_linalg::eigh::Eigh;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use serde::Deserialize;

/// Share of the vectors that do not take part when components are learned for good.
const TRIMMED: f64 = 0.02;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// So much of the variance is explained by the components that are kept.
    pub variance: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { variance: 0.9 }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        if self.variance > 0.0 && self.variance < 1.0 {
            return Problems::new();
        }
        let text = format!(
            "{} is not allowed; allowed: above 0 and below 1",
            self.variance
        );
        vec![("variance".into(), text)]
    }

    /// The detector of single series.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        Box::new(Lagged::new(self.components(), grid))
    }

    /// The detector of the entities of a panel, with a memory of so many steps.
    pub fn build_panel(&self, grid: Grid, memory: usize) -> Box<dyn PanelDetector> {
        Box::new(Vectors::new(self.components(), grid, memory, CALM))
    }

    fn components(&self) -> Components {
        Components {
            variance: self.variance,
        }
    }
}

#[derive(Debug, Clone)]
struct Components {
    variance: f64,
}

/// What was learned of one entity.
#[derive(Debug, Clone)]
struct Plane {
    mean: Array1<f64>,
    /// One row for each component kept.
    axes: Array2<f64>,
    /// Variance along each.
    along: Array1<f64>,
    /// Mean variance of the components left out.
    rest: f64,
}

impl Plane {
    /// The fewest components that explain `share` of the variance of the vectors (rows); `None` where the
    /// decomposition fails.
    fn through(rows: ArrayView2<'_, f64>, share: f64) -> Option<Self> {
        let mean = rows.mean_axis(Axis(0))?;
        let centred = &rows - &mean;
        let covariance = centred.t().dot(&centred) / rows.nrows() as f64;
        let (values, vectors) = covariance.eigh().ok()?;
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&one, &other| values[other].total_cmp(&values[one]));
        let all: f64 = values.iter().map(|value| value.max(0.0)).sum();
        let mut explained = 0.0;
        let mut kept = 0;
        while kept < order.len() && (kept == 0 || explained < share * all) {
            explained += values[order[kept]].max(0.0);
            kept += 1;
        }
        let (main, left) = order.split_at(kept);
        let along = main.iter().map(|&index| values[index].max(0.0)).collect();
        let rest = left.iter().map(|&index| values[index].max(0.0));
        Some(Self {
            mean,
            axes: vectors.select(Axis(1), main).reversed_axes(),
            along,
            rest: rest.sum::<f64>() / left.len().max(1) as f64,
        })
    }

    /// Where a vector is along the components, and what they leave of it, by channel.
    fn split(&self, row: ArrayView1<'_, f64>) -> (Array1<f64>, Array1<f64>) {
        let centred = &row - &self.mean;
        let places = self.axes.dot(&centred);
        let left = centred - self.axes.t().dot(&places);
        (places, left)
    }

    /// The squared distance in units of the variances.
    fn distance(&self, row: ArrayView1<'_, f64>) -> f64 {
        let (places, left) = self.split(row);
        let inside = places.iter().zip(&self.along);
        let inside: f64 = inside
            .map(|(place, along)| place * place / (along + NOISE))
            .sum();
        inside + left.dot(&left) / (self.rest + NOISE)
    }
}

/// Added to every variance, in squared scales: a direction that hardly moved for a day must not turn the least
/// movement into news. Between 3 and 10 there was little difference on four hosts with 38 channels.
const NOISE: f64 = 5.0;

/// The tail begins so far from the middle at least, by root of the number of channels.
const LEAST_TAIL: f32 = 0.65;

/// Of entities. With the middle of the rates instead of their tail false alarms on four hosts with 38 channels were a
/// tenth, and the ranking of their rows better.
const CALM: Calm = Calm {
    scales: Calm::SCALES,
    reach: Reach::Middle {
        margin: 2.0,
        noise: 0.32,
    },
};

fn wide(row: &[f32]) -> Array1<f64> {
    row.iter().map(|&value| f64::from(value)).collect()
}

impl Learner for Components {
    type Model = Plane;
    const KIND: &'static str = "pca";

    fn least(&self) -> f32 {
        LEAST_TAIL
    }

    fn learn(&self, rows: Rows<'_>, _turn: i64) -> Option<Plane> {
        let values = rows.values.iter().map(|&value| f64::from(value)).collect();
        let all = Array2::from_shape_vec((rows.len(), rows.channels), values).ok()?;
        let first = Plane::through(all.view(), self.variance)?;
        let distances: Vec<f64> = all
            .rows()
            .into_iter()
            .map(|row| first.distance(row))
            .collect();
        let mut order: Vec<usize> = (0..distances.len()).collect();
        order.sort_by(|&one, &other| distances[one].total_cmp(&distances[other]));
        order.truncate(((1.0 - TRIMMED) * order.len() as f64).ceil() as usize);
        // In the order of time: sums depend on it.
        order.sort_unstable();
        Plane::through(all.select(Axis(0), &order).view(), self.variance)
    }

    /// By root of the number of channels, as the noise of a sum grows with it.
    fn rate(&self, plane: &Plane, row: &[f32]) -> f32 {
        let squared = plane.distance(wide(row).view());
        (squared / row.len().max(1) as f64).sqrt() as f32
    }

    /// Of the part inside the components, what each channel adds to the distance (a sum over the channels, of
    /// which those against it count nothing); of the rest its square.
    fn carried(&self, plane: &Plane, row: &[f32]) -> Vec<f32> {
        let row = wide(row);
        let (places, left) = plane.split(row.view());
        let scaled = places / plane.along.mapv(|along| along + NOISE);
        let inside = plane.axes.t().dot(&scaled) * (&row - &plane.mean);
        let rest = plane.rest + NOISE;
        let parts = inside.iter().zip(&left);
        parts
            .map(|(inside, left)| (inside.max(0.0) + left * left / rest) as f32)
            .collect()
    }

    fn bytes(&self, plane: &Plane) -> usize {
        (plane.mean.len() + plane.axes.len() + plane.along.len()) * size_of::<f64>()
    }
}

impl Detector for Lagged<Components> {
    fn kind(&self) -> &'static str {
        Components::KIND
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        self.memory()
    }

    fn grow(&mut self, slots: usize) {
        self.grow(slots);
    }

    fn assign(&mut self, slot: Slot, labels: &Labels) {
        self.assign(slot, labels);
    }

    fn reset(&mut self, slot: Slot) {
        self.reset(slot);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.swap(one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        self.step(batch, out);
    }

    fn prepare(&mut self) -> bool {
        self.prepare()
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes()
    }
}

#[cfg(test)]
mod tests;
