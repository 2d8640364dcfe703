//! Draws from a seed.

use fastrand::Rng;

/// Above this mean a Poisson variable is drawn as a normal one.
const MANY: f64 = 30.0;

/// A draw of the given mean with variance `mean + mean² / size`; without the first part where it is no count (the gamma distribution).
pub(super) fn negative_binomial(mean: f64, size: f64, is_count: bool, rng: &mut Rng) -> f64 {
    let rate = if size.is_finite() {
        gamma(size, rng) * mean / size
    } else {
        mean
    };
    if is_count { poisson(rate, rng) } else { rate }
}

/// Knuth's product for small means.
fn poisson(mean: f64, rng: &mut Rng) -> f64 {
    if mean > MANY {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0);
    }
    let (least, mut product, mut count) = ((-mean).exp(), rng.f64(), 0.0);
    while product > least {
        product *= rng.f64();
        count += 1.0;
    }
    count
}

/// Marsaglia and Tsang, A simple method for generating gamma variables (2000); scale 1.
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    if shape < 1.0 {
        return gamma(shape + 1.0, rng) * (1.0 - rng.f64()).powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - rng.f64()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// Box and Muller.
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_variance_are_those_of_a_negative_binomial() {
        let mut rng = Rng::with_seed(1);
        for (mean, size, is_count) in [(10.0, 5.0, true), (200.0, 0.5, true), (3.0, 20.0, false)] {
            let drawn: Vec<f64> = (0..200_000)
                .map(|_| negative_binomial(mean, size, is_count, &mut rng))
                .collect();
            let got = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let variance =
                drawn.iter().map(|x| (x - got).powi(2)).sum::<f64>() / drawn.len() as f64;
            let wanted = if is_count { mean } else { 0.0 } + mean * mean / size;
            assert!((got / mean - 1.0).abs() < 0.02, "mean {got} of {mean}");
            assert!(
                (variance / wanted - 1.0).abs() < 0.05,
                "variance {variance} of {wanted}"
            );
        }
    }
}
