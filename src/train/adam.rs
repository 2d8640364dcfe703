//! Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019).

use super::network::{Layer, Network};

const FIRST: f32 = 0.9;
const SECOND: f32 = 0.999;
const EPSILON: f32 = 1e-8;
/// Weights shrink by this times the rate each step: the windows of a day are many and alike.
const DECAY: f32 = 0.01;

/// Means of the gradients and of their squares.
#[derive(Debug, Clone)]
pub(super) struct Adam {
    first: Vec<Layer>,
    second: Vec<Layer>,
    steps: i32,
}

impl Adam {
    pub(super) fn new(network: &Network) -> Self {
        let zeros = || {
            let layers = network.layers().iter();
            layers.map(Layer::zeros).collect()
        };
        Self {
            first: zeros(),
            second: zeros(),
            steps: 0,
        }
    }

    /// One step down the gradient, which is multiplied by `share` first.
    pub(super) fn step(
        &mut self,
        network: &mut Network,
        gradient: &[Layer],
        share: f32,
        rate: f32,
    ) {
        self.steps += 1;
        let corrections = (1.0 - FIRST.powi(self.steps), 1.0 - SECOND.powi(self.steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((layer, gradient), (first, second)) in
            network.layers_mut().iter_mut().zip(gradient).zip(moments)
        {
            let update =
                |decay: f32, own: &mut f32, gradient: f32, first: &mut f32, second: &mut f32| {
                    let gradient = gradient * share;
                    *first = FIRST * *first + (1.0 - FIRST) * gradient;
                    *second = SECOND * *second + (1.0 - SECOND) * gradient * gradient;
                    let (mean, square) = (*first / corrections.0, *second / corrections.1);
                    *own -= rate * (mean / (square.sqrt() + EPSILON) + decay * *own);
                };
            ndarray::Zip::from(&mut layer.weights)
                .and(&gradient.weights)
                .and(&mut first.weights)
                .and(&mut second.weights)
                .for_each(|own, &gradient, first, second| {
                    update(DECAY, own, gradient, first, second)
                });
            ndarray::Zip::from(&mut layer.bias)
                .and(&gradient.bias)
                .and(&mut first.bias)
                .and(&mut second.bias)
                .for_each(|own, &gradient, first, second| {
                    update(0.0, own, gradient, first, second)
                });
        }
    }
}
