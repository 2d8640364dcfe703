//! From what the last layer gives to quantiles that never cross.
//!
//! Of each horizon the number at the median is the median; the others are steps away from it, made positive by
//! `softplus(z) = ln(1 + e^z)` and added up outwards (as in Park et al. 2022, "Learning quantile functions without quantile
//! crossing"). As two matrices it is `y = z A + softplus(z) B`, which every runtime can do.

use super::LEVELS;
use ndarray::Array2;

/// The two matrices, `horizons * levels` square.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// What of `z` is taken as it is.
    pub straight: Array2<f32>,
    /// What of `softplus(z)` is added or taken away.
    pub steps: Array2<f32>,
}

impl Head {
    /// For so many horizons, at [`LEVELS`].
    pub fn new(horizons: usize) -> Self {
        let (levels, median) = (LEVELS.len(), median());
        let size = horizons * levels;
        let mut head = Self {
            straight: Array2::zeros((size, size)),
            steps: Array2::zeros((size, size)),
        };
        for from in (0..size).step_by(levels) {
            for level in 0..levels {
                head.straight[[from + median, from + level]] = 1.0;
                for above in median + 1..=level {
                    head.steps[[from + above, from + level]] = 1.0;
                }
                for below in level..median {
                    head.steps[[from + below, from + level]] = -1.0;
                }
            }
        }
        head
    }

    /// The quantiles of each row of `z`.
    pub fn quantiles(&self, z: &Array2<f32>) -> Array2<f32> {
        z.dot(&self.straight) + z.mapv(softplus).dot(&self.steps)
    }

    /// The gradient by `z`, from that by the quantiles.
    pub fn back(&self, z: &Array2<f32>, quantiles: &Array2<f32>) -> Array2<f32> {
        let through = quantiles.dot(&self.steps.t()) * z.mapv(sigmoid);
        quantiles.dot(&self.straight.t()) + through
    }
}

/// Place of the median in [`LEVELS`].
pub(super) fn median() -> usize {
    LEVELS.iter().position(|&level| level == 0.5).unwrap_or(0)
}

/// Written so that nothing overflows; the file has the same operations.
fn softplus(z: f32) -> f32 {
    z.max(0.0) + (1.0 + (-z.abs()).exp()).ln()
}

pub(super) fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}
