//! Epochs: what is learnt from, when it stops.

use super::{
    LEVELS, Settings,
    adam::Adam,
    network::{Body, Layer, Network},
    samples::{Origin, Samples},
};
use fastrand::Rng;
use rayon::prelude::*;

/// Rows of a step of Adam.
const BATCH: usize = 256;
/// Rows that one thread works on. Fixed, and summed up in order: so the number of threads does not show in the result.
const PIECE: usize = 64;
/// Windows of an epoch at most. Neighbours are alike, so an epoch of some of them shows as much.
const PER_EPOCH: usize = 16_384;
/// A recurrent network takes a window row by row: of windows with more rows than this an epoch has fewer, so that it
/// costs the same.
const ROWS: usize = 96;
/// The gradient of a recurrent network is not longer than this (Pascanu et al. 2013): now and then it explodes.
const LONGEST_GRADIENT: f32 = 1.0;
/// Windows that validation looks at, at most.
pub(super) const VALIDATED: usize = 4_096;
/// Epochs without a better validation after which it stops.
pub(super) const PATIENCE: usize = 8;
/// The rate at the start; it falls with half a cosine to nothing (Loshchilov & Hutter 2017).
const RATE: f32 = 1e-3;

/// One pass over the windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// From 1 on.
    pub number: usize,
    /// How many there are at most.
    pub of: usize,
    /// Mean pinball loss over what was learnt from, in deviations of the series, while it was learnt.
    pub training: f64,
    /// The same over the part by which learning stops.
    pub validation: f64,
    /// Whether no epoch before it was as good.
    pub is_best: bool,
}

/// What is learnt from, and how.
#[derive(Debug)]
pub(super) struct Course<'a> {
    pub(super) samples: &'a Samples<'a>,
    pub(super) training: &'a [Origin],
    pub(super) validation: &'a [Origin],
    pub(super) settings: &'a Settings,
}

impl Course<'_> {
    /// Learns, and gives the network of the best epoch.
    ///
    /// # Errors
    /// It diverges.
    pub(super) fn run(
        &self,
        progress: &mut dyn FnMut(&Epoch),
    ) -> Result<(Network, Vec<Epoch>), String> {
        let mut rng = Rng::with_seed(self.settings.seed);
        let (shape, horizons) = (self.samples.shape(), self.samples.horizons());
        let mut network = Network::random(self.settings.network, shape, horizons, &mut rng);
        let mut adam = Adam::new(&network);
        let mut order = self.training.to_vec();
        let validation = evenly(self.validation, VALIDATED);
        let mut best: Option<(f64, Network)> = None;
        let mut epochs: Vec<Epoch> = Vec::new();
        let mut since = 0;
        for number in 1..=self.settings.epochs {
            rng.shuffle(&mut order);
            let taken = &order[..order.len().min(per_epoch(&network))];
            let training = self.epoch(&mut network, &mut adam, taken, self.rate(number));
            let loss = self.validate(&network, &validation);
            if !(loss.is_finite() && training.is_finite()) {
                return Err(format!(
                    "learning diverged in epoch {number}; are some values absurd?"
                ));
            }
            let is_best = best.as_ref().is_none_or(|(least, _)| loss < *least);
            let epoch = Epoch {
                number,
                of: self.settings.epochs,
                training,
                validation: loss,
                is_best,
            };
            progress(&epoch);
            epochs.push(epoch);
            if is_best {
                best = Some((loss, network.clone()));
                since = 0;
            } else {
                since += 1;
            }
            if since >= PATIENCE {
                break;
            }
        }
        let (_, network) = best.ok_or("epochs: must be at least 1")?;
        Ok((network, epochs))
    }

    fn rate(&self, number: usize) -> f32 {
        let done = (number - 1) as f32 / self.settings.epochs as f32;
        RATE * 0.5 * (1.0 + (std::f32::consts::PI * done).cos())
    }

    /// One pass; the mean loss on the way.
    fn epoch(&self, network: &mut Network, adam: &mut Adam, origins: &[Origin], rate: f32) -> f64 {
        let mut sum = 0.0;
        for batch in origins.chunks(BATCH) {
            let pieces: Vec<(f64, Vec<Layer>)> = batch
                .par_chunks(PIECE)
                .map(|piece| network.gradient(&self.samples.batch(piece)))
                .collect();
            let mut pieces = pieces.into_iter();
            let Some((mut loss, mut gradient)) = pieces.next() else {
                continue;
            };
            for (more, others) in pieces {
                loss += more;
                for (own, other) in gradient.iter_mut().zip(&others) {
                    own.weights += &other.weights;
                    own.bias += &other.bias;
                }
            }
            let count = self.count(batch.len());
            let share = share(network, &gradient, 1.0 / count as f32);
            adam.step(network, &gradient, share, rate);
            sum += loss;
        }
        sum / self.count(origins.len())
    }

    fn validate(&self, network: &Network, origins: &[Origin]) -> f64 {
        let losses: Vec<f64> = origins
            .par_chunks(BATCH)
            .map(|piece| network.loss(&self.samples.batch(piece)))
            .collect();
        losses.iter().sum::<f64>() / self.count(origins.len())
    }

    /// Numbers that so many rows are asked for.
    fn count(&self, rows: usize) -> f64 {
        (rows * self.samples.horizons() * LEVELS.len()) as f64
    }
}

fn per_epoch(network: &Network) -> usize {
    match &network.body {
        Body::Mlp(_) => PER_EPOCH,
        Body::Lstm(lstm) => PER_EPOCH * ROWS / lstm.rows.max(ROWS),
    }
}

/// What a gradient is multiplied by: `share`, or less where it would be too long.
fn share(network: &Network, gradient: &[Layer], share: f32) -> f32 {
    if matches!(network.body, Body::Mlp(_)) {
        return share;
    }
    let numbers = gradient
        .iter()
        .flat_map(|layer| layer.weights.iter().chain(&layer.bias));
    let squares: f64 = numbers.map(|&number| f64::from(number).powi(2)).sum();
    let length = share * squares.sqrt() as f32;
    share * (LONGEST_GRADIENT / length).min(1.0)
}

/// At most so many of them, evenly.
pub(super) fn evenly(origins: &[Origin], most: usize) -> Vec<Origin> {
    let every = origins.len().div_ceil(most).max(1);
    origins.iter().step_by(every).copied().collect()
}
