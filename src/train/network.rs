//! Networks by our own arithmetic: forward, and gradients backward.

use super::{Kind, LEVELS, head::Head, lstm::Lstm, mlp::Mlp};
use fastrand::Rng;
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Units of each hidden layer of the perceptron.
const HIDDEN: usize = 128;
/// Units of the recurrent network.
const UNITS: usize = 32;
/// Numbers of a scaled window are cut to this: a deviation of ten says no more than one of a hundred, and one wild value in the
/// past shall not drown the rest of the window.
pub(super) const CUT: f32 = 10.0;

/// From a window to quantiles at each horizon.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    pub(super) body: Body,
    pub(super) head: Head,
    /// Rows of a window, and numbers in each.
    pub(super) shape: (usize, usize),
}

/// What turns a window into the numbers that the head takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    Mlp(Mlp),
    Lstm(Lstm),
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

impl Layer {
    /// As large as `other`, and 0.
    pub(super) fn zeros(other: &Self) -> Self {
        Self {
            weights: Array2::zeros(other.weights.dim()),
            bias: Array1::zeros(other.bias.dim()),
        }
    }

    /// Uniform weights of the variance of He et al. 2015: `2 / inputs`.
    pub(super) fn random(inputs: usize, outputs: usize, rng: &mut Rng) -> Self {
        let bound = (6.0 / inputs as f32).sqrt();
        Self {
            weights: Array2::from_shape_simple_fn((inputs, outputs), || {
                bound * (2.0 * rng.f32() - 1.0)
            }),
            bias: Array1::zeros(outputs),
        }
    }

    /// The layer before the head: it begins near the mean of the window, not anywhere.
    pub(super) fn last(inputs: usize, outputs: usize, rng: &mut Rng) -> Self {
        let mut last = Self::random(inputs, outputs, rng);
        last.weights *= 0.1;
        last
    }

    pub(super) fn apply(&self, input: &ArrayView2<'_, f32>) -> Array2<f32> {
        input.dot(&self.weights) + &self.bias
    }

    /// The gradient, where `output` is that by what the layer gives.
    pub(super) fn gradient(input: &ArrayView2<'_, f32>, output: &Array2<f32>) -> Self {
        Self {
            weights: input.t().dot(output),
            bias: output.sum_axis(Axis(0)),
        }
    }
}

impl Network {
    /// A network that knows nothing, for windows of this shape.
    pub(super) fn random(
        kind: Kind,
        shape: (usize, usize),
        horizons: usize,
        rng: &mut Rng,
    ) -> Self {
        let units = if kind == Kind::Lstm { UNITS } else { HIDDEN };
        Self::of(kind, shape, units, horizons, rng)
    }

    fn of(kind: Kind, shape: (usize, usize), units: usize, horizons: usize, rng: &mut Rng) -> Self {
        let outputs = horizons * LEVELS.len();
        let body = match kind {
            Kind::Lstm => Body::Lstm(Lstm::random(shape, units, outputs, rng)),
            Kind::Mlp | Kind::Trees => {
                Body::Mlp(Mlp::random(shape.0 * shape.1, units, outputs, rng))
            }
        };
        Self {
            body,
            head: Head::new(horizons),
            shape,
        }
    }

    /// What is learnt.
    pub(super) fn layers(&self) -> &[Layer] {
        match &self.body {
            Body::Mlp(mlp) => &mlp.layers,
            Body::Lstm(lstm) => &lstm.layers,
        }
    }

    /// What is learnt, to be changed.
    pub(super) fn layers_mut(&mut self) -> &mut [Layer] {
        match &mut self.body {
            Body::Mlp(mlp) => &mut mlp.layers,
            Body::Lstm(lstm) => &mut lstm.layers,
        }
    }

    /// Quantiles of whole windows that lie one after the other.
    pub(super) fn answers(&self, windows: &[f32]) -> Vec<f32> {
        let inputs = self.shape.0 * self.shape.1;
        let windows = ArrayView2::from_shape((windows.len() / inputs, inputs), windows);
        let quantiles = windows.map(|windows| self.quantiles(&windows));
        quantiles.map_or_else(
            |_| Vec::new(),
            |quantiles| quantiles.iter().copied().collect(),
        )
    }

    /// The loss of a batch: the sum over rows, horizons and levels of the weighted pinball loss.
    pub(super) fn loss(&self, batch: &Batch) -> f64 {
        pinball(&self.quantiles(&batch.windows.view()), batch, None)
    }

    /// The loss of a batch, and its gradient.
    pub(super) fn gradient(&self, batch: &Batch) -> (f64, Vec<Layer>) {
        let windows = cut(&batch.windows.view());
        let mut loss = 0.0;
        let mut back = |z: &Array2<f32>| {
            let quantiles = self.head.quantiles(z);
            let mut by_quantiles = Array2::zeros(quantiles.dim());
            loss = pinball(&quantiles, batch, Some(&mut by_quantiles));
            self.head.back(z, &by_quantiles)
        };
        let layers = match &self.body {
            Body::Mlp(mlp) => mlp.gradient(&windows.view(), &mut back),
            Body::Lstm(lstm) => lstm.gradient(&windows.view(), &mut back),
        };
        (loss, layers)
    }

    fn quantiles(&self, windows: &ArrayView2<'_, f32>) -> Array2<f32> {
        let windows = cut(windows);
        let z = match &self.body {
            Body::Mlp(mlp) => mlp.z(&windows.view()),
            Body::Lstm(lstm) => lstm.z(&windows.view()),
        };
        self.head.quantiles(&z)
    }
}

fn cut(windows: &ArrayView2<'_, f32>) -> Array2<f32> {
    windows.mapv(|number| number.clamp(-CUT, CUT))
}

/// The weighted pinball loss, and its gradient where it is asked for: at level `q` the loss of an error `e = actual - quantile`
/// is `max(q e, (q - 1) e)`.
pub(super) fn pinball(
    quantiles: &Array2<f32>,
    batch: &Batch,
    mut gradient: Option<&mut Array2<f32>>,
) -> f64 {
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
        check_gradients(Kind::Mlp, (7, 1));
        check_gradients(Kind::Lstm, (6, 3));
    }

    fn check_gradients(kind: Kind, shape: (usize, usize)) {
        let mut rng = Rng::with_seed(3);
        let mut network = Network::of(kind, shape, 5, 2, &mut rng);
        network.layers_mut()[2].weights *= 10.0;
        let mut batch = batch(6, shape.0 * shape.1, 2, &mut rng);
        batch.targets[[2, 1]] = f32::NAN;
        let (loss, gradient) = network.gradient(&batch);
        assert_eq!(loss, network.loss(&batch));
        let step = 4e-3;
        for (index, mut gradient) in gradient.into_iter().enumerate() {
            let (mut apart, mut whole) = (0.0, 0.0);
            for place in 0..gradient.weights.len() + gradient.bias.len() {
                let at = |shift: f32| {
                    let mut moved = network.clone();
                    *number(&mut moved.layers_mut()[index], place) += shift;
                    moved.loss(&batch)
                };
                let numeric = (at(step) - at(-step)) / f64::from(2.0 * step);
                let own = f64::from(*number(&mut gradient, place));
                apart += (numeric - own).powi(2);
                whole += own.powi(2);
            }
            assert!(whole > 0.1, "{kind:?} layer {index}: {whole}");
            // Differences of 32-bit sums are good to a percent.
            assert!(
                apart < 1e-4 * whole,
                "{kind:?} layer {index}: {apart} of {whole}"
            );
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
        for kind in [Kind::Mlp, Kind::Lstm] {
            let network = Network::of(kind, (2, 2), 3, 1, &mut rng);
            let mut batch = batch(2, 4, 1, &mut rng);
            batch.targets.fill(f32::NAN);
            let (loss, gradient) = network.gradient(&batch);
            assert_eq!(loss, 0.0);
            for layer in gradient {
                assert!(layer.weights.iter().all(|&number| number == 0.0));
            }
        }
    }
}
