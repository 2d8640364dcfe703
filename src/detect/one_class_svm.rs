//! How far a vector is outside of the region that holds nearly all vectors of the newest past.
//!
//! *When*: what is ordinary has a shape that no ellipse describes, such as a host with several ways of working:
//! in a panel a vote beside `pca`; on a single series the vector is its eight newest distances from what was
//! expected. *Cost*: learning takes some 3 ms each 125 steps a series (222 an entity of a panel), so give it to
//! some thousand series at most; at most 55 kB a series. *Reference*: Scholkopf, Platt, Shawe-Taylor, Smola &
//! Williamson, "Estimating the support of a high-dimensional distribution" (Neural Computation 2001), with a
//! Gaussian kernel.
//!
//! The decision function of the paper is the same for everything that is far away: what is rated here is the
//! root of its logarithm against that of the border, which orders vectors the same way and goes on rising with the distance.

use super::{
    Batch, Detector, PanelDetector, Problems, Scope,
    lags::Lagged,
    vectors::{Calm, Learner, Rows, Vectors},
};
use crate::series::{Grid, Labels, Slot};
use linfa::{DatasetBase, traits::Fit};
use linfa_svm::Svm;
use ndarray::{Array1, Array2};
use serde::Deserialize;

/// Vectors to learn from, evenly spaced: the work grows with their square at least.
const POINTS: usize = 256;
/// No channel is taken to vary less than this, in squared scales: the region would be a point.
const LEAST_VARIANCE: f64 = 1.0;
/// The tail of the rates begins so far from their middle at least: the border follows the past closely, and what is
/// new is always a little outside.
const LEAST_TAIL: f32 = 1.0;
/// Farther away nothing is left of the kernel to take the logarithm of.
const LEAST_SUM: f64 = 1e-300;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// At most this share of what it learns from may be outside of the region.
    pub nu: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { nu: 0.05 }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        if (0.01..=0.5).contains(&self.nu) {
            return Problems::new();
        }
        let text = format!("{} is not allowed; allowed: 0.01 to 0.5", self.nu);
        vec![("nu".into(), text)]
    }

    /// The detector of single series.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        Box::new(Lagged::new(self.support(), grid))
    }

    /// The detector of the entities of a panel, with a memory of so many steps.
    pub fn build_panel(&self, grid: Grid, memory: usize) -> Box<dyn PanelDetector> {
        Box::new(Vectors::new(self.support(), grid, memory, Calm::PANEL))
    }

    fn support(&self) -> Support {
        Support { nu: self.nu }
    }
}

#[derive(Debug, Clone)]
struct Support {
    nu: f64,
}

/// What was learned: the region where the weighted kernels sum to more than `rho`.
#[derive(Debug, Clone)]
struct Region {
    svm: Svm<f64, bool>,
    bytes: usize,
}

impl Region {
    /// The region of these vectors (rows); `width` is the `2 sigma^2` of the kernel. `None` where no region was
    /// found.
    fn around(rows: Array2<f64>, nu: f64, width: f64) -> Option<Self> {
        let (count, channels) = rows.dim();
        let nothing = Array2::<()>::from_elem((count, 1), ());
        // Without `nu` this would panic; it is checked by the settings.
        let params = Svm::<f64, _>::params().nu_weight(nu).gaussian_kernel(width);
        let svm: Svm<f64, bool> = params.fit(&DatasetBase::new(rows, nothing)).ok()?;
        // At most: all of them could support it.
        let bytes = count * (1 + channels) * size_of::<f64>();
        (svm.rho > 0.0).then_some(Self { svm, bytes })
    }

    /// The weighted sum of the kernels, greatest where the past was.
    fn sum(&self, row: &[f32]) -> f64 {
        let row: Array1<f64> = row.iter().map(|&value| f64::from(value)).collect();
        self.svm.weighted_sum(&row)
    }
}

impl Learner for Support {
    type Model = Region;
    const KIND: &'static str = "one_class_svm";

    fn least(&self) -> f32 {
        LEAST_TAIL
    }

    fn learn(&self, rows: Rows<'_>, turn: i64) -> Option<Region> {
        let stride = rows.len().div_ceil(POINTS).max(1);
        // One of each stretch at random: a past that repeats must not hide behind an even spacing.
        let mut random = fastrand::Rng::with_seed(turn as u64);
        let stretches = rows.values.chunks(stride * rows.channels);
        let values: Vec<f64> = stretches
            .flat_map(|stretch| {
                let place = random.usize(..stretch.len() / rows.channels);
                &stretch[place * rows.channels..][..rows.channels]
            })
            .map(|&value| f64::from(value))
            .collect();
        let count = values.len() / rows.channels;
        let points = Array2::from_shape_vec((count, rows.channels), values).ok()?;
        let variance = points.var(0.0).max(LEAST_VARIANCE);
        Region::around(points, self.nu, variance * rows.channels as f64)
    }

    /// The root of the logarithm, which far outside rises as the distance does.
    fn rate(&self, region: &Region, row: &[f32]) -> f32 {
        let log = (region.svm.rho / region.sum(row).max(LEAST_SUM)).ln() as f32;
        (1.0 + log.max(-1.0)).sqrt()
    }

    fn bytes(&self, region: &Region) -> usize {
        region.bytes
    }
}

impl Detector for Lagged<Support> {
    fn kind(&self) -> &'static str {
        Support::KIND
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
