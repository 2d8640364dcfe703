//! Noise without state: a value at any time is a function of the time and a seed.
//!
//! Three weeks of history then cost nothing to keep, and every reader of the same time sees the same value.

use crate::series::Millis;

/// Mixes the bits of `value`: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of a seed and a place on a lattice.
pub(super) fn hash(seed: u64, place: i64) -> u64 {
    mix(seed ^ mix(place.cast_unsigned()))
}

/// Uniform between 0 (included) and 1 (excluded).
pub(super) fn uniform(seed: u64, place: i64) -> f64 {
    // 53 bits fill the mantissa exactly.
    (hash(seed, place) >> 11) as f64 / (1_u64 << 53) as f64
}

/// About normal with mean 0 and standard deviation 1: the sum of four uniform numbers (Irwin-Hall).
/// Its tails end at 3.5, so heavy tails are added where they are wanted, and only there.
pub(super) fn normal(seed: u64, place: i64) -> f64 {
    let bits = hash(seed, place);
    let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
    (sum as f64 / 65_536.0 - 2.0) * 3.0_f64.sqrt()
}

/// Smooth noise with standard deviation about 0.8 that wanders on the scale of `span`: normal numbers on
/// a lattice, joined by Hermite curves.
pub(super) fn wander(seed: u64, at: Millis, span: Millis) -> f64 {
    let place = at.div_euclid(span);
    let part = at.rem_euclid(span) as f64 / span as f64;
    let weight = part * part * (3.0 - 2.0 * part);
    normal(seed, place) * (1.0 - weight) + normal(seed, place + 1) * weight
}

/// Noise as a service has it: some from sample to sample, some over ten minutes, some over hours.
/// Mean 0, standard deviation about 1.
pub(super) fn ordinary(seed: u64, at: Millis) -> f64 {
    const MINUTE: Millis = 60_000;
    0.75 * normal(seed, at.div_euclid(super::SCRAPE))
        + 0.55 * wander(seed ^ 1, at, 10 * MINUTE)
        + 0.55 * wander(seed ^ 2, at, 150 * MINUTE)
}

/// Mostly 0; once in `every` samples an exponential excess with mean 1: the heavy tail of latencies.
pub(super) fn rare(seed: u64, at: Millis, every: f64) -> f64 {
    let place = at.div_euclid(super::SCRAPE);
    if uniform(seed ^ 3, place) * every >= 1.0 {
        return 0.0;
    }
    -(1.0 - uniform(seed ^ 4, place)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: impl Iterator<Item = f64>) -> (f64, f64) {
        let values: Vec<f64> = values.collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        (mean, (square / values.len() as f64).sqrt())
    }

    #[test]
    fn has_the_moments_it_promises() {
        let (mean, deviation) = moments((0..20_000).map(|place| normal(7, place)));
        assert!(mean.abs() < 0.03 && (deviation - 1.0).abs() < 0.03);
        let (mean, deviation) = moments((0..100_000).map(|step| ordinary(7, step * 60_000)));
        assert!(mean.abs() < 0.06, "{mean}");
        assert!((deviation - 1.0).abs() < 0.1, "{deviation}");
        let often = (0..100_000).filter(|step| rare(7, step * 60_000, 500.0) > 0.0);
        assert!((150..260).contains(&often.count()));
    }

    #[test]
    fn wanders_without_jumps() {
        let widest = (0..10_000)
            .map(|second| {
                let at = second * 1_000;
                (wander(3, at + 1_000, 600_000) - wander(3, at, 600_000)).abs()
            })
            .fold(0.0, f64::max);
        assert!(widest < 0.02, "{widest}");
    }
}
