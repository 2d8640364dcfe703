//! The network by our own arithmetic: forward, and gradients backward.

use super::{LEVELS, head::Head};
use fastrand::Rng;
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Units of each hidden layer.
pub(super) const HIDDEN: usize = 128;
/// Numbers of a scaled window are cut to this: a deviation of ten says no more than one of a hundred, and one wild value in the
/// past shall not drown the rest of the window.
pub(super) const CUT: f32 = 10.0;

/// Three layers: `in x 128`, `128 x 128`, `128 x (horizons * levels)`, and the head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    pub(super) layers: [Layer; 3],
    pub(super) head: Head,
}

/// `x W + b`, or the gradient by `W` and `b`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    /// In by out.
    pub(super) weights: Array2<f32>,
    pub(super) bias: Array1<f32>,
}

/// Rows to learn from.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// Rows by numbers of a window.
    pub(super) windows: Array2<f32>,
    /// Rows by horizons, scaled as the window; `NaN` where it is missing.
    pub(super) targets: Array2<f32>,
    /// How much each row counts.
    pub(super) weights: Vec<f32>,
}

/// What the layers gave on the way.
struct Pass {
    first: Array2<f32>,
    second: Array2<f32>,
    z: Array2<f32>,
    quantiles: Array2<f32>,
}

impl Layer {
    pub(super) fn zeros(inputs: usize, outputs: usize) -> Self {
        Self {
            weights: Array2::zeros((inputs, outputs)),
            bias: Array1::zeros(outputs),
        }
    }

    /// Uniform weights of the variance of He et al. 2015: `2 / inputs`.
    fn random(inputs: usize, outputs: usize, rng: &mut Rng) -> Self {
        let bound = (6.0 / inputs as f32).sqrt();
        Self {
            weights: Array2::from_shape_simple_fn((inputs, outputs), || {
                bound * (2.0 * rng.f32() - 1.0)
            }),
            bias: Array1::zeros(outputs),
        }
    }

    fn apply(&self, input: &ArrayView2<'_, f32>) -> Array2<f32> {
        input.dot(&self.weights) + &self.bias
    }

    fn gradient(input: &ArrayView2<'_, f32>, output: &Array2<f32>) -> Self {
        Self {
            weights: input.t().dot(output),
            bias: output.sum_axis(Axis(0)),
        }
    }
}

impl Network {
    /// A network that knows nothing.
    pub(super) fn random(inputs: usize, hidden: usize, horizons: usize, rng: &mut Rng) -> Self {
        let outputs = horizons * LEVELS.len();
        let mut last = Layer::random(hidden, outputs, rng);
        // It begins near the mean of the window, not anywhere.
        last.weights *= 0.1;
        Self {
            layers: [
                Layer::random(inputs, hidden, rng),
                Layer::random(hidden, hidden, rng),
                last,
            ],
            head: Head::new(horizons),
        }
    }

    /// Numbers of a window.
    pub(super) fn inputs(&self) -> usize {
        self.layers[0].weights.nrows()
    }

    /// Quantiles of whole windows that lie one after the other.
    pub(super) fn answers(&self, windows: &[f32]) -> Vec<f32> {
        let rows = windows.len() / self.inputs();
        let windows = ArrayView2::from_shape((rows, self.inputs()), windows);
        let quantiles = windows.map(|windows| self.pass(&windows).quantiles);
        quantiles.map_or_else(
            |_| Vec::new(),
            |quantiles| quantiles.iter().copied().collect(),
        )
    }

    /// The loss of a batch: the sum over rows, horizons and levels of the weighted pinball loss.
    pub(super) fn loss(&self, batch: &Batch) -> f64 {
        let quantiles = self.pass(&batch.windows.view()).quantiles;
        pinball(&quantiles, batch, None)
    }

    /// The loss of a batch, and its gradient.
    pub(super) fn gradient(&self, batch: &Batch) -> (f64, [Layer; 3]) {
        let windows = cut(&batch.windows.view());
        let windows = windows.view();
        let pass = self.pass_cut(&windows);
        let mut by_quantiles = Array2::zeros(pass.quantiles.dim());
        let loss = pinball(&pass.quantiles, batch, Some(&mut by_quantiles));
        let by_z = self.head.back(&pass.z, &by_quantiles);
        let by_second = rectified(&by_z.dot(&self.layers[2].weights.t()), &pass.second);
        let by_first = rectified(&by_second.dot(&self.layers[1].weights.t()), &pass.first);
        let layers = [
            Layer::gradient(&windows, &by_first),
            Layer::gradient(&pass.first.view(), &by_second),
            Layer::gradient(&pass.second.view(), &by_z),
        ];
        (loss, layers)
    }

    fn pass(&self, windows: &ArrayView2<'_, f32>) -> Pass {
        self.pass_cut(&cut(windows).view())
    }

    fn pass_cut(&self, windows: &ArrayView2<'_, f32>) -> Pass {
        let relu = |value: f32| value.max(0.0);
        let first = self.layers[0].apply(windows).mapv_into(relu);
        let second = self.layers[1].apply(&first.view()).mapv_into(relu);
        let z = self.layers[2].apply(&second.view());
        Pass {
            quantiles: self.head.quantiles(&z),
            first,
            second,
            z,
        }
    }
}

fn cut(windows: &ArrayView2<'_, f32>) -> Array2<f32> {
    windows.mapv(|number| number.clamp(-CUT, CUT))
}

/// A gradient, 0 where the unit was.
fn rectified(gradient: &Array2<f32>, unit: &Array2<f32>) -> Array2<f32> {
    let mut gradient = gradient.clone();
    gradient.zip_mut_with(unit, |own, &unit| {
        if unit <= 0.0 {
            *own = 0.0;
        }
    });
    gradient
}

/// The weighted pinball loss, and its gradient where it is asked for: at level `q` the loss of an error `e = actual - quantile`
/// is `max(q e, (q - 1) e)`.
fn pinball(quantiles: &Array2<f32>, batch: &Batch, mut gradient: Option<&mut Array2<f32>>) -> f64 {
    let mut sum = 0.0;
    for (row, &weight) in batch.weights.iter().enumerate() {
        for (horizon, &actual) in batch.targets.row(row).iter().enumerate() {
            if !actual.is_finite() {
                continue;
            }
            for (place, &level) in LEVELS.iter().enumerate() {
                let column = horizon * LEVELS.len() + place;
                let (error, level) = (actual - quantiles[[row, column]], level as f32);
                sum += f64::from(weight * (level * error).max((level - 1.0) * error));
                if let Some(gradient) = gradient.as_deref_mut() {
                    let slope = if error > 0.0 { -level } else { 1.0 - level };
                    gradient[[row, column]] = weight * slope;
                }
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: usize, inputs: usize, horizons: usize, rng: &mut Rng) -> Batch {
        let mut number = |scale: f32| scale * (2.0 * rng.f32() - 1.0);
        let windows = Array2::from_shape_simple_fn((rows, inputs), || number(2.0));
        // Far from every quantile, on either side: where the loss has no kinks.
        let targets =
            Array2::from_shape_simple_fn((rows, horizons), || 12.0 * number(1.0).signum());
        let weights = (0..rows).map(|row| 0.5 + row as f32 * 0.3).collect();
        Batch {
            windows,
            targets,
            weights,
        }
    }

    /// One of the weights, or of the biases after them.
    fn number(layer: &mut Layer, place: usize) -> &mut f32 {
        let mut all = layer.weights.iter_mut().chain(&mut layer.bias);
        all.nth(place).unwrap()
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        let mut rng = Rng::with_seed(3);
        let mut network = Network::random(7, 5, 2, &mut rng);
        network.layers[2].weights *= 10.0;
        let mut batch = batch(6, 7, 2, &mut rng);
        batch.targets[[2, 1]] = f32::NAN;
        let (loss, gradient) = network.gradient(&batch);
        assert_eq!(loss, network.loss(&batch));
        let step = 4e-3;
        for (index, mut gradient) in gradient.into_iter().enumerate() {
            let (mut apart, mut whole) = (0.0, 0.0);
            for place in 0..gradient.weights.len() + gradient.bias.len() {
                let at = |shift: f32| {
                    let mut moved = network.clone();
                    *number(&mut moved.layers[index], place) += shift;
                    moved.loss(&batch)
                };
                let numeric = (at(step) - at(-step)) / f64::from(2.0 * step);
                let own = f64::from(*number(&mut gradient, place));
                apart += (numeric - own).powi(2);
                whole += own.powi(2);
            }
            assert!(whole > 1.0, "layer {index}: {whole}");
            // Differences of 32-bit sums are good to a percent.
            assert!(apart < 1e-4 * whole, "layer {index}: {apart} of {whole}");
        }
    }

    #[test]
    fn quantiles_never_cross_and_the_median_is_as_it_is() {
        let head = Head::new(2);
        let mut rng = Rng::with_seed(9);
        let z = Array2::from_shape_simple_fn((50, 6), || 60.0 * (rng.f32() - 0.5));
        let quantiles = head.quantiles(&z);
        for (z, row) in z.rows().into_iter().zip(quantiles.rows()) {
            for horizon in 0..2 {
                let at = |level: usize| row[horizon * 3 + level];
                assert!(at(0) <= at(1) && at(1) <= at(2), "{row}");
                assert_eq!(at(1), z[horizon * 3 + 1]);
            }
        }
    }

    #[test]
    fn a_row_without_targets_teaches_nothing() {
        let mut rng = Rng::with_seed(5);
        let network = Network::random(4, 3, 1, &mut rng);
        let mut batch = batch(2, 4, 1, &mut rng);
        batch.targets.fill(f32::NAN);
        let (loss, gradient) = network.gradient(&batch);
        assert_eq!(loss, 0.0);
        for layer in gradient {
            assert!(layer.weights.iter().all(|&number| number == 0.0));
        }
    }
}
