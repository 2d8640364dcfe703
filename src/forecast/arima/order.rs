//! The order of an ARIMA process and a first estimate of it.
//!
//! Whether to difference is decided by the test of Kwiatkowski, Phillips, Schmidt & Shin (1992), as in Hyndman &
//! Khandakar, "Automatic time series forecasting" (2008); the orders by AICc over all of them at once, which the
//! regressions of Hannan & Rissanen (1982) make cheap: a long autoregression gives the errors, and then every order is a
//! part of one matrix.

use super::process::{MOST_AR, MOST_MA, Order, Process, mean_square};
use crate::stats::linear::{Cholesky, add_scaled, add_square, dot};

/// The statistic above which a level is rejected, at five in a hundred.
const CRITICAL: f64 = 0.463;
/// Order of the long autoregression, at most, and values for each of its parameters.
const MOST_LONG: usize = 20;
const PER_LONG: usize = 10;
const TERMS: usize = MOST_AR + MOST_MA;
/// Values for each parameter of an order, at least.
const PER_PARAMETER: usize = 6;
/// What is added to the diagonal, as a share of it, so that a matrix can be solved.
const JITTER: f64 = 1e-9;

/// Whether `values` (`NaN` where missing) have no level that they return to.
pub(super) fn wanders(values: &[f64]) -> bool {
    let known: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    let count = known.len() as f64;
    let mean = known.iter().sum::<f64>() / count;
    let rest: Vec<f64> = known.iter().map(|value| value - mean).collect();
    let lags = (10.0 * count.sqrt() / 14.0) as usize;
    let mut variance = dot(&rest, &rest);
    for lag in 1..=lags.min(rest.len().saturating_sub(1)) {
        let weight = 1.0 - lag as f64 / (lags as f64 + 1.0);
        variance += 2.0 * weight * dot(&rest[lag..], &rest[..rest.len() - lag]);
    }
    let (mut sum, mut squares) = (0.0, 0.0);
    for value in &rest {
        sum += value;
        squares += sum * sum;
    }
    squares / count > CRITICAL * variance
}

/// The order with the least AICc among all (or the one that is given) for `changes` (values less their mean, or
/// differences; `NaN` where missing), and a first estimate. `None` where they are too few.
pub(super) fn choose(
    changes: &[f64],
    differenced: bool,
    given: Option<Order>,
) -> Option<(Order, Process)> {
    let sums = Sums::of(changes)?;
    let mut best: Option<(f64, Order, Vec<f64>)> = None;
    for ar in 0..=MOST_AR {
        for ma in 0..=MOST_MA {
            let order = Order {
                ar,
                differenced,
                ma,
            };
            let free = ar + ma + 1 + usize::from(!differenced);
            let is_asked = given.map_or(free * PER_PARAMETER <= sums.count, |given| given == order);
            if !is_asked {
                continue;
            }
            let Some((square, weights)) = sums.solve(order) else {
                continue;
            };
            let (count, free) = (sums.count as f64, free as f64);
            let correction = 2.0 * free * (free + 1.0) / (count - free - 1.0).max(1.0);
            let criterion = count * (square / count).ln() + 2.0 * free + correction;
            if best.as_ref().is_none_or(|(least, ..)| criterion < *least) {
                best = Some((criterion, order, weights));
            }
        }
    }
    let (_, order, weights) = best?;
    let mut process = Process::still(differenced, 0.0);
    process.ar[..order.ar].copy_from_slice(&weights[..order.ar]);
    process.ma[..order.ma].copy_from_slice(&weights[order.ar..]);
    Some((order, process.stable()))
}

/// Products of the changes with their last values and errors.
struct Sums {
    count: usize,
    gram: Vec<f64>,
    right: Vec<f64>,
    square: f64,
}

impl Sums {
    fn of(changes: &[f64]) -> Option<Self> {
        let errors = long_errors(changes)?;
        let mut sums = Self {
            count: 0,
            gram: vec![0.0; TERMS * TERMS],
            right: vec![0.0; TERMS],
            square: 0.0,
        };
        for place in MOST_AR..changes.len() {
            let mut row = [0.0; TERMS];
            for (lag, term) in row[..MOST_AR].iter_mut().enumerate() {
                *term = changes[place - 1 - lag];
            }
            for (lag, term) in row[MOST_AR..].iter_mut().enumerate() {
                *term = errors[place - 1 - lag];
            }
            let value = changes[place];
            if value.is_finite() && row.iter().all(|term| term.is_finite()) {
                add_square(&mut sums.gram, &row, 1.0);
                add_scaled(&mut sums.right, &row, value);
                sums.square += value * value;
                sums.count += 1;
            }
        }
        (sums.count > TERMS && sums.square > 0.0).then_some(sums)
    }

    /// The sum of squared errors and the weights of the terms of `order`.
    fn solve(&self, order: Order) -> Option<(f64, Vec<f64>)> {
        let terms: Vec<usize> = (0..order.ar).chain(MOST_AR..MOST_AR + order.ma).collect();
        let width = terms.len();
        let mut gram = Vec::with_capacity(width * width);
        for &row in &terms {
            let of_row = |&column: &usize| self.gram[row.max(column) * TERMS + row.min(column)];
            gram.extend(terms.iter().map(of_row));
        }
        for place in 0..width {
            gram[place * (width + 1)] *= 1.0 + JITTER;
        }
        let right: Vec<f64> = terms.iter().map(|&term| self.right[term]).collect();
        let mut weights = right.clone();
        Cholesky::new(gram, width)?.solve(&mut weights);
        let square = self.square - dot(&weights, &right);
        (square > 0.0).then_some((square, weights))
    }
}

/// The errors of a long autoregression, `NaN` where one of its values is missing.
fn long_errors(changes: &[f64]) -> Option<Vec<f64>> {
    let known = changes.iter().filter(|value| value.is_finite()).count();
    let order = MOST_LONG.min(known / PER_LONG);
    if order == 0 {
        return None;
    }
    let weights = levinson(&autocovariances(changes, order))?;
    let error = |place: usize| {
        let before = changes[place - order..place].iter().rev();
        changes[place]
            - before
                .zip(&weights)
                .map(|(value, weight)| value * weight)
                .sum::<f64>()
    };
    let errors = (0..changes.len()).map(|place| {
        if place < order {
            f64::NAN
        } else {
            error(place)
        }
    });
    Some(errors.collect())
}

/// Up to `lags`, of values around 0 (missing ones as 0, which keeps the sequence positive definite).
fn autocovariances(values: &[f64], lags: usize) -> Vec<f64> {
    let fill = |value: &f64| if value.is_finite() { *value } else { 0.0 };
    let filled: Vec<f64> = values.iter().map(fill).collect();
    (0..=lags)
        .map(|lag| dot(&filled[lag..], &filled[..filled.len() - lag]))
        .collect()
}

/// The autoregression with these autocovariances (Levinson's recursion); `None` where there is no variance.
fn levinson(covariances: &[f64]) -> Option<Vec<f64>> {
    let mut error = covariances[0];
    if !(error.is_finite() && error > 0.0) {
        return None;
    }
    let mut weights: Vec<f64> = Vec::new();
    for lag in 1..covariances.len() {
        let known = weights.iter().zip(covariances[1..lag].iter().rev());
        let partial = (covariances[lag] - known.map(|(a, b)| a * b).sum::<f64>()) / error;
        let mirrored: Vec<f64> = weights.iter().rev().copied().collect();
        add_scaled(&mut weights, &mirrored, -partial);
        weights.push(partial);
        error *= 1.0 - partial * partial;
        if error <= 0.0 {
            break;
        }
    }
    weights.resize(covariances.len() - 1, 0.0);
    Some(weights)
}

/// Whether the changes are next to nothing beside the values they come from.
pub(super) fn is_still(changes: &[f64], values: &[f64]) -> bool {
    mean_square(changes) <= f64::from(f32::EPSILON).powi(2) * mean_square(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(9);
        (0..count)
            .map(|_| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0)
            .collect()
    }

    fn process(ar: &[f64], ma: &[f64], count: usize) -> Vec<f64> {
        let noise = noise(count);
        let mut values: Vec<f64> = Vec::new();
        for place in 0..count {
            let at = |list: &[f64], lag: usize| {
                if place > lag {
                    list[place - lag - 1]
                } else {
                    0.0
                }
            };
            let own: f64 = ar
                .iter()
                .enumerate()
                .map(|(lag, a)| a * at(&values, lag))
                .sum();
            let rest: f64 = ma
                .iter()
                .enumerate()
                .map(|(lag, m)| m * at(&noise, lag))
                .sum();
            values.push(noise[place] + own + rest);
        }
        values
    }

    #[test]
    fn the_order_of_a_process_is_found() {
        for (ar, ma) in [
            (&[0.5, 0.3][..], &[][..]),
            (&[], &[0.6]),
            (&[0.7], &[0.5]),
            (&[], &[]),
        ] {
            let (order, first) = choose(&process(ar, ma, 4_000), true, None).unwrap();
            // AICc takes one too many now and then, never one too few.
            assert!(
                order.ar >= ar.len().min(2) || order.ma > ma.len(),
                "{order:?}"
            );
            assert!(order.ar + order.ma <= ar.len() + ma.len() + 2, "{order:?}");
            let given = Order {
                ar: ar.len(),
                differenced: true,
                ma: ma.len(),
            };
            let (order, exact) = choose(&process(ar, ma, 4_000), true, Some(given)).unwrap();
            assert_eq!(order, given);
            for (got, expected) in exact.ar.iter().zip(ar).chain(exact.ma.iter().zip(ma)) {
                assert!((got - expected).abs() < 0.08, "{exact:?} {ar:?} {ma:?}");
            }
            assert!(first.ar.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn a_sum_of_noise_wanders_and_noise_does_not() {
        let noise = noise(2_000);
        assert!(!wanders(&noise));
        assert!(!wanders(&process(&[0.6], &[], 2_000)));
        let mut sum = 0.0;
        let walk: Vec<f64> = noise
            .iter()
            .map(|value| {
                sum += value;
                sum
            })
            .collect();
        assert!(wanders(&walk));
        assert!(!wanders(&[7.0; 100]));
    }

    #[test]
    fn too_little_has_no_order() {
        assert!(choose(&noise(8), true, None).is_none());
        assert!(choose(&[0.0; 200], true, None).is_none());
        assert!(choose(&[f64::NAN; 200], false, None).is_none());
    }
}
