//! The multilayer perceptron (Rumelhart, Hinton & Williams 1986) by our own arithmetic.

use super::network::Layer;
use fastrand::Rng;
use ndarray::{Array2, ArrayView2};

/// Three layers: `in x hidden`, `hidden x hidden`, `hidden x out`, rectified between them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mlp {
    pub(super) layers: Vec<Layer>,
}

impl Mlp {
    /// One that knows nothing.
    pub(super) fn random(inputs: usize, hidden: usize, outputs: usize, rng: &mut Rng) -> Self {
        let last = Layer::last(hidden, outputs, rng);
        let first = Layer::random(inputs, hidden, rng);
        Self {
            layers: vec![first, Layer::random(hidden, hidden, rng), last],
        }
    }

    /// Rows of windows to rows of what the head takes.
    pub(super) fn z(&self, windows: &ArrayView2<'_, f32>) -> Array2<f32> {
        let [first, second] = self.hidden(windows);
        drop(first);
        self.layers[2].apply(&second.view())
    }

    /// The gradient, where `back` gives that by `z`.
    pub(super) fn gradient(
        &self,
        windows: &ArrayView2<'_, f32>,
        back: &mut dyn FnMut(&Array2<f32>) -> Array2<f32>,
    ) -> Vec<Layer> {
        let [first, second] = self.hidden(windows);
        let by_z = back(&self.layers[2].apply(&second.view()));
        let by_second = rectified(&by_z.dot(&self.layers[2].weights.t()), &second);
        let by_first = rectified(&by_second.dot(&self.layers[1].weights.t()), &first);
        vec![
            Layer::gradient(windows, &by_first),
            Layer::gradient(&first.view(), &by_second),
            Layer::gradient(&second.view(), &by_z),
        ]
    }

    fn hidden(&self, windows: &ArrayView2<'_, f32>) -> [Array2<f32>; 2] {
        let relu = |value: f32| value.max(0.0);
        let first = self.layers[0].apply(windows).mapv_into(relu);
        let second = self.layers[1].apply(&first.view()).mapv_into(relu);
        [first, second]
    }
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
