//! Location and scale that a few wild values do not move.

use statrs::distribution::{ContinuousCDF, Normal};

/// The `p` quantile of a standard normal variable, `p` in (0, 1).
pub fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// What a median absolute deviation is multiplied by to estimate the standard deviation of a normal
/// variable: `1 / quantile(3/4)`, about 1.4826.
pub fn mad_consistency() -> f32 {
    (1.0 / normal_quantile(0.75)) as f32
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
    let sample = sorted_sample(values);
    let (first, last) = (sample.first()?, sample.last()?);
    let central = quantile_of_sorted(&sample, 0.99) - quantile_of_sorted(&sample, 0.01);
    let quantum = sample
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
