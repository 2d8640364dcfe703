//! Location and scale that a few wild values do not move.

use statrs::distribution::{ContinuousCDF, Normal};

/// The `p` quantile of a standard normal variable, `p` in (0, 1).
pub fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// The share of a standard normal variable that is at or below `value`.
pub fn normal_share(value: f64) -> f64 {
    Normal::standard().cdf(value)
}

/// What a median absolute deviation is multiplied by to estimate the standard deviation of a normal
/// variable: `1 / quantile(3/4)`, about 1.4826.
pub fn mad_consistency() -> f32 {
    (1.0 / normal_quantile(0.75)) as f32
}

/// `value` within `-limit ..= limit`. Unlike `clamp` it does not panic where the limit is `NaN` (values near
/// the end of what `f32` holds can make it that).
pub fn clip(value: f32, limit: f32) -> f32 {
    value.max(-limit).min(limit)
}

/// The finite values of `values`.
pub fn finite(values: &[f32]) -> Vec<f32> {
    values.iter().copied().filter(|v| v.is_finite()).collect()
}

/// The `q` quantile by linear interpolation (R's type 7, numpy's default), `q` in [0, 1]; reorders
/// `values`, which must be finite. `NaN` where there are none.
pub fn quantile_of(values: &mut [f32], q: f64) -> f32 {
    let Some(last) = values.len().checked_sub(1) else {
        return f32::NAN;
    };
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let (_, &mut low, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let share = position - below as f64;
    if share == 0.0 {
        return low;
    }
    let high = above.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
    (f64::from(low) + share * (f64::from(high) - f64::from(low))) as f32
}

/// The `q` quantile of values that are already sorted, see [`quantile_of`].
pub fn quantile_of_sorted(sorted: &[f32], q: f64) -> f32 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f32::NAN;
    };
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    (f64::from(low) + (position - below as f64) * (f64::from(high) - f64::from(low))) as f32
}

/// The median; reorders `values`, which must be finite. `NaN` where there are none.
pub fn median_of(values: &mut [f32]) -> f32 {
    quantile_of(values, 0.5)
}

/// Edges between `bins` bins of about as many of the finite `values` each, ascending, as far as they differ; a value
/// belongs above the edges that are less than it.
pub fn bin_edges(mut values: Vec<f32>, bins: usize) -> Vec<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return Vec::new();
    };
    let mut edges: Vec<f32> = (1..bins).map(|bin| values[bin * last / bins]).collect();
    edges.dedup();
    // Above the greatest there is nothing to tell apart.
    edges.retain(|&edge| edge < values[last]);
    edges
}

/// Median and normal-consistent median absolute deviation of the finite values; `None` where there
/// are none.
pub fn median_and_mad(values: &[f32]) -> Option<(f32, f32)> {
    let mut kept = finite(values);
    if kept.is_empty() {
        return None;
    }
    let median = median_of(&mut kept);
    for value in &mut kept {
        *value = (*value - median).abs();
    }
    Some((median, median_of(&mut kept) * mad_consistency()))
}

/// At most this many values (evenly spaced) are looked at where the answer is a rough one.
const SAMPLE: usize = 2_048;

fn sorted_sample(values: &[f32]) -> Vec<f32> {
    let stride = values.len().div_ceil(SAMPLE).max(1);
    let mut sample: Vec<f32> = values
        .iter()
        .step_by(stride)
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    sample.sort_unstable_by(f32::total_cmp);
    sample
}

/// How far apart ordinary values are (from the 1st to the 99th percentile, at least a tenth of the whole
/// range), and the smallest difference of two values (0 where none differ), both of a sample; `None`
/// without values.
pub fn range_and_quantum(values: &[f32]) -> Option<(f32, f32)> {
    range_and_quantum_of_sorted(&sorted_sample(values))
}

/// As [`range_and_quantum`], of all of these values, which must be finite and sorted.
pub fn range_and_quantum_of_sorted(sorted: &[f32]) -> Option<(f32, f32)> {
    let (first, last) = (sorted.first()?, sorted.last()?);
    let central = quantile_of_sorted(sorted, 0.99) - quantile_of_sorted(sorted, 0.01);
    let quantum = sorted
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .filter(|&difference| difference > 0.0)
        .fold(f32::INFINITY, f32::min);
    let quantum = if quantum.is_finite() { quantum } else { 0.0 };
    Some((central.max(0.1 * (last - first)), quantum))
}

/// Normal-consistent scale of the noise of values around a slowly moving level: the median absolute
/// deviation within blocks of a 32nd of them, the median of all blocks. `None` without values.
pub fn rough_scale(values: &[f32]) -> Option<f32> {
    let block = values.len().div_ceil(32).max(16);
    let mut scales: Vec<f32> = values
        .chunks(block)
        .filter_map(median_and_mad)
        .map(|(_, scale)| scale)
        .collect();
    (!scales.is_empty()).then(|| median_of(&mut scales))
}

/// Mean and (sample) standard deviation of finite values; `NaN` where there are none.
pub fn mean_and_deviation(values: &[f32]) -> (f32, f32) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let squares: f64 = values
        .iter()
        .map(|&value| (f64::from(value) - mean).powi(2))
        .sum();
    (
        mean as f32,
        (squares / (count - 1.0).max(1.0)).sqrt() as f32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `tests/fixtures/stats/make.py`.
    const REFERENCE: &str = include_str!("../../tests/fixtures/stats/robust.json");

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        values: Vec<f32>,
        levels: Vec<f64>,
        quantiles: Vec<f64>,
        mad: f64,
        mean: f64,
        deviation: f64,
    }

    fn check(name: &str, what: &str, ours: f32, theirs: f64) {
        let error = (f64::from(ours) - theirs).abs();
        assert!(
            error <= 1e-5 * theirs.abs().max(1.0),
            "{what} of {name}: {ours}, not {theirs}"
        );
    }

    #[test]
    fn agrees_with_numpy_and_scipy() {
        let cases: Vec<Case> = serde_json::from_str(REFERENCE).unwrap();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let mut sorted = case.values.clone();
            sorted.sort_unstable_by(f32::total_cmp);
            for (&level, &theirs) in case.levels.iter().zip(&case.quantiles) {
                let selected = quantile_of(&mut case.values.clone(), level);
                assert_eq!(selected, quantile_of_sorted(&sorted, level));
                check(&case.name, "quantile", selected, theirs);
            }
            let (_, mad) = median_and_mad(&case.values).unwrap();
            check(&case.name, "mad", mad, case.mad);
            let (mean, deviation) = mean_and_deviation(&case.values);
            check(&case.name, "mean", mean, case.mean);
            check(&case.name, "deviation", deviation, case.deviation);
        }
    }

    #[test]
    fn gaps_are_left_out_and_nothing_gives_nothing() {
        assert_eq!(
            median_and_mad(&[f32::NAN, 2.0, f32::INFINITY, 4.0])
                .unwrap()
                .0,
            3.0
        );
        assert!(median_and_mad(&[f32::NAN]).is_none());
        assert!(median_of(&mut []).is_nan());
        assert!(range_and_quantum(&[]).is_none());
        assert!(rough_scale(&[f32::NAN; 5]).is_none());
    }

    #[test]
    fn range_and_quantum_of_counts() {
        let counts: Vec<f32> = (0..1_000).map(|index| (index % 7) as f32 * 0.5).collect();
        assert_eq!(range_and_quantum(&counts), Some((3.0, 0.5)));
        assert_eq!(range_and_quantum(&[4.0; 50]), Some((0.0, 0.0)));
    }

    #[test]
    fn a_slow_movement_is_not_noise() {
        let mut random = fastrand::Rng::with_seed(4);
        let noise =
            Vec::from_iter((0..6_400).map(|_| (0..12).map(|_| random.f32()).sum::<f32>() - 6.0));
        let moving: Vec<f32> = noise
            .iter()
            .enumerate()
            .map(|(index, value)| value + 50.0 * (index as f32 / 1_500.0).sin())
            .collect();
        assert!((rough_scale(&noise).unwrap() - 1.0).abs() < 0.05);
        assert!(rough_scale(&moving).unwrap() < 3.0);
    }
}
