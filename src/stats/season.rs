//! Finds the seasons of a series by autocorrelation.
//!
//! Tried in turn, each on what the former leaves: a short season of any length (peaks of the
//! autocorrelation of the newest values), a day, a week. A season must stand out against its neighbours,
//! not only correlate: a trend or a random walk correlates at every lag. About a millisecond for three
//! weeks at a minute. Deterministic; gaps are `NaN`.

use super::robust;
use crate::series::{Grid, Millis};

const DAY: Millis = 86_400_000;
/// A day is tried on means of blocks, so many of them at most: enough to see its course, and the noise
/// of single values is averaged away.
const BLOCKS: usize = 1_500;
/// Short seasons are looked for in so many of the newest values ...
const NEWEST: usize = 2_048;
/// ... and are at most this many steps long.
const LONGEST_SHORT: usize = 512;
const SHORTEST: usize = 4;
/// Share of values that must be there.
const COVERAGE: f32 = 0.5;

/// Season lengths in steps, shortest first; empty where none shows.
pub fn detect(values: &[f32], grid: Grid) -> Vec<usize> {
    let mut seasons = Vec::new();
    let day = grid.steps(DAY);
    let whole_day = day > 1 && day as i64 * grid.step() == DAY;
    if let Some(short) = short_season(values, day) {
        seasons.push(short);
    }
    if !whole_day {
        return seasons;
    }
    let (mut blocks, per_day) = blocks(values, day);
    if !enough(&blocks) {
        return seasons;
    }
    clip(&mut blocks);
    let has_day = shows_day(&blocks, per_day);
    if has_day {
        remove_profile(&mut blocks, per_day);
        if seasons.last().is_none_or(|&short| short != day) {
            seasons.push(day);
        }
    }
    if shows_week(&blocks, per_day) {
        seasons.push(7 * day);
    }
    seasons
}

/// Means of blocks that divide a day, and how many of them a day has.
fn blocks(values: &[f32], day: usize) -> (Vec<f32>, usize) {
    let wanted = values.len().div_ceil(BLOCKS).max(1);
    let width = (wanted..=day)
        .find(|width| day.is_multiple_of(*width))
        .unwrap_or(day);
    let blocks = values.rchunks(width).rev().map(mean).collect();
    (blocks, day / width)
}

fn mean(values: &[f32]) -> f32 {
    // Less the first value: sums of small differences keep the digits of f32.
    let Some(first) = values.iter().copied().find(|value| value.is_finite()) else {
        return f32::NAN;
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for &value in values {
        if value.is_finite() {
            sum += value - first;
            count += 1.0;
        }
    }
    first + sum / count
}

fn enough(values: &[f32]) -> bool {
    let there = values.iter().filter(|value| value.is_finite()).count();
    there as f32 >= COVERAGE * values.len() as f32
}

/// Pulls wild values in: one outage must not hide a season, nor two of them a day apart make one.
fn clip(values: &mut [f32]) {
    if let Some((median, scale)) = robust::median_and_mad(values)
        && scale > 0.0
    {
        for value in values {
            // NaN stays NaN.
            *value = value.clamp(median - 5.0 * scale, median + 5.0 * scale);
        }
    }
}

/// A day shows where values a day apart agree, half a day apart do not, and neither noon nor midnight
/// is the reason alone: the moving mean over a day is taken away first.
fn shows_day(blocks: &[f32], per_day: usize) -> bool {
    let cycles = blocks.len() as f32 / per_day as f32;
    if cycles < 2.0 || per_day < 4 {
        return false;
    }
    let rest = less_moving_mean(blocks, per_day);
    let at = |lag: usize| correlation(&rest, lag).unwrap_or(0.0);
    // With few cycles chance alone correlates.
    let least = 0.2 + 0.7 / cycles;
    let here = at(per_day);
    let side = (per_day / 6).max(1);
    here > least && here > at(per_day - side) && here > at(per_day + side)
}

/// A week shows where values a week apart agree clearly better than values five, six, eight and nine
/// days apart.
fn shows_week(blocks: &[f32], per_day: usize) -> bool {
    if blocks.len() < 14 * per_day {
        return false;
    }
    let rest = less_line(blocks);
    let at = |days: usize| correlation(&rest, days * per_day).unwrap_or(0.0);
    let here = at(7);
    let near = [at(6), at(8)];
    let around = 0.25 * (at(5) + at(9) + near[0] + near[1]);
    here > 0.5 && here > around + 0.3 && near.iter().all(|&other| here > other + 0.1)
}

/// Pearson's correlation of values `lag` apart, around a mean of zero; `None` with too few pairs.
fn correlation(values: &[f32], lag: usize) -> Option<f32> {
    let (mut product, mut one_square, mut other_square, mut pairs) = (0.0, 0.0, 0.0, 0_usize);
    for (&one, &other) in values.iter().zip(values.get(lag..)?) {
        if one.is_finite() && other.is_finite() {
            product += one * other;
            one_square += one * one;
            other_square += other * other;
            pairs += 1;
        }
    }
    let size = (one_square * other_square).sqrt();
    let enough = pairs as f32 >= COVERAGE * COVERAGE * (values.len() - lag) as f32;
    (enough && pairs > 2 && size > 0.0).then(|| product / size)
}

/// Less the mean of the `width` values around each (fewer at the ends).
fn less_moving_mean(values: &[f32], width: usize) -> Vec<f32> {
    let base = mean(values);
    let mut sums = vec![(0.0_f64, 0_u32)];
    for &value in values {
        let (sum, count) = sums[sums.len() - 1];
        sums.push(if value.is_finite() {
            (sum + f64::from(value - base), count + 1)
        } else {
            (sum, count)
        });
    }
    (0..values.len())
        .map(|index| {
            let from = index.saturating_sub(width / 2);
            let to = (index + width - width / 2).min(values.len());
            let (sum, count) = (sums[to].0 - sums[from].0, sums[to].1 - sums[from].1);
            (f64::from(values[index] - base) - sum / f64::from(count)) as f32
        })
        .collect()
}

/// Less the straight line of least squares.
fn less_line(values: &[f32]) -> Vec<f32> {
    let base = mean(values);
    let middle = 0.5 * (values.len() as f32 - 1.0);
    let (mut slope, mut square, mut level, mut count) = (0.0, 0.0, 0.0, 0.0);
    for (index, &value) in values.iter().enumerate() {
        if value.is_finite() {
            let x = index as f32 - middle;
            slope += x * (value - base);
            square += x * x;
            level += value - base;
            count += 1.0;
        }
    }
    let (slope, level) = (slope / f32::max(square, 1.0), level / f32::max(count, 1.0));
    values
        .iter()
        .enumerate()
        .map(|(index, value)| value - base - level - slope * (index as f32 - middle))
        .collect()
}

/// Takes the mean course of a day away, each day's own level aside.
fn remove_profile(blocks: &mut [f32], per_day: usize) {
    let rest = less_moving_mean(blocks, per_day);
    for place in 0..per_day {
        let typical: Vec<f32> = rest.iter().skip(place).step_by(per_day).copied().collect();
        let typical = mean(&typical);
        if typical.is_finite() {
            for value in blocks.iter_mut().skip(place).step_by(per_day) {
                *value -= typical;
            }
        }
    }
}

/// The first lag, well short of a day, at which the newest values repeat themselves, now and as long ago
/// as there are values.
fn short_season(values: &[f32], day: usize) -> Option<usize> {
    let newest = &values[values.len().saturating_sub(NEWEST)..];
    let oldest = &values[..values.len().min(NEWEST)];
    let short_of_a_day = if day > SHORTEST {
        day - day / 10 - 1
    } else {
        LONGEST_SHORT
    };
    let longest = LONGEST_SHORT.min(newest.len() / 4).min(short_of_a_day);
    if longest <= SHORTEST || !enough(newest) {
        return None;
    }
    let rest = prepared(newest);
    let by_lag: Vec<f32> = correlations(&rest, longest);
    let lag = first_peak(&by_lag)?;
    let twice = correlation(&rest, 2 * lag)?;
    let before = correlation(&prepared(oldest), lag)?;
    (twice > 0.5 && before > 0.4).then_some(lag)
}

/// Clipped, without slow movement, gaps as zero (the mean).
fn prepared(values: &[f32]) -> Vec<f32> {
    let mut rest = less_moving_mean(values, LONGEST_SHORT);
    clip(&mut rest);
    for value in &mut rest {
        if !value.is_finite() {
            *value = 0.0;
        }
    }
    rest
}

/// Correlation at each lag from 0 to `longest`, of values without gaps around zero.
fn correlations(values: &[f32], longest: usize) -> Vec<f32> {
    let dot = |one: &[f32], other: &[f32]| {
        // Eight sums side by side: the compiler makes vector instructions of them.
        let mut sums = [0.0_f32; 8];
        let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
        for (one, other) in ones.zip(others) {
            for lane in 0..8 {
                sums[lane] += one[lane] * other[lane];
            }
        }
        sums.iter().sum::<f32>()
    };
    let square = dot(values, values) / values.len() as f32;
    if square.is_nan() || square <= 0.0 {
        return Vec::new();
    }
    (0..=longest)
        .map(|lag| {
            let pairs = values.len() - lag;
            dot(&values[..pairs], &values[lag..]) / pairs as f32 / square
        })
        .collect()
}

/// The first local maximum above 0.5 that stands 0.4 above the lowest point before it.
fn first_peak(by_lag: &[f32]) -> Option<usize> {
    let mut lowest = f32::INFINITY;
    for lag in 1..by_lag.len().saturating_sub(1) {
        let here = by_lag[lag];
        lowest = lowest.min(here);
        let peak = here >= by_lag[lag - 1] && here > by_lag[lag + 1];
        if lag >= SHORTEST && peak && here > 0.5 && here - lowest > 0.4 {
            // Noise may put a lesser peak just before the true one.
            let end = (lag + lag / 8 + 2).min(by_lag.len());
            return (lag..end).max_by(|&one, &other| by_lag[one].total_cmp(&by_lag[other]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    fn minute() -> Grid {
        Grid::new(60_000).unwrap()
    }

    struct Noise(fastrand::Rng);

    impl Noise {
        fn new(seed: u64) -> Self {
            Self(fastrand::Rng::with_seed(seed))
        }

        fn next(&mut self) -> f32 {
            (0..12).map(|_| self.0.f32()).sum::<f32>() - 6.0
        }
    }

    fn series(days: usize, seed: u64, course: impl Fn(f32) -> f32) -> Vec<f32> {
        let mut noise = Noise::new(seed);
        (0..days * 1_440)
            .map(|index| course(index as f32 / 1_440.0) + noise.next())
            .collect()
    }

    #[derive(serde::Deserialize)]
    struct Reference {
        values: Vec<f32>,
        acf: Vec<f32>,
    }

    #[test]
    fn correlations_agree_with_statsmodels() {
        // Made by `tests/fixtures/stats/make.py`.
        let text = include_str!("../../tests/fixtures/stats/acf.json");
        let reference: Reference = serde_json::from_str(text).unwrap();
        let ours = correlations(&reference.values, 100);
        for (lag, (ours, theirs)) in ours.iter().zip(&reference.acf).enumerate() {
            // Ours leaves up to seven pairs out at the end.
            assert!(
                (ours - theirs).abs() < 0.02,
                "lag {lag}: {ours}, not {theirs}"
            );
        }
    }

    #[test]
    fn finds_a_day_in_noise_as_large_as_the_day() {
        for seed in 0..5 {
            let values = series(18, seed, |day| (TAU * day).sin());
            assert_eq!(detect(&values, minute()), [1_440], "seed {seed}");
        }
    }

    #[test]
    fn finds_a_week_beside_a_day_and_with_a_trend_and_gaps() {
        for seed in 0..5 {
            let mut values = series(18, seed, |day| {
                let weekend = if day as usize % 7 >= 5 { 0.4 } else { 1.0 };
                1e4 + 2.0 * day + 8.0 * weekend * (1.0 - (TAU * day).cos())
            });
            for gap in [3_000..4_200, 9_000..9_100, 20_000..20_700] {
                values[gap].fill(f32::NAN);
            }
            assert_eq!(detect(&values, minute()), [1_440, 10_080], "seed {seed}");
        }
    }

    #[test]
    fn finds_a_short_season_beside_the_day() {
        let values = series(18, 1, |day| {
            let burst = if (day * 24.0).fract() < 0.15 {
                8.0
            } else {
                0.0
            };
            burst + 10.0 * (TAU * day).sin()
        });
        assert_eq!(detect(&values, minute()), [60, 1_440]);
    }

    #[test]
    fn noise_trends_and_random_walks_have_none() {
        for seed in 0..20 {
            assert!(detect(&series(18, seed, |_| 0.0), minute()).is_empty());
            assert!(detect(&series(18, seed, |day| 20.0 * day), minute()).is_empty());
            assert!(detect(&series(18, seed, |day| day * day), minute()).is_empty());
            let (mut noise, mut level) = (Noise::new(100 + seed), 0.0);
            let walk: Vec<f32> = (0..18 * 1_440)
                .map(|_| {
                    level += noise.next();
                    level
                })
                .collect();
            assert!(detect(&walk, minute()).is_empty(), "walk {seed}");
        }
        assert!(detect(&[5.0; 26_000], minute()).is_empty());
        assert!(detect(&[f32::NAN; 26_000], minute()).is_empty());
        assert!(detect(&[1.0, 2.0], minute()).is_empty());
    }

    #[test]
    fn an_incident_is_not_a_season() {
        let values = series(
            18,
            3,
            |day| if (7.2..7.3).contains(&day) { 1e5 } else { 0.0 },
        );
        assert!(detect(&values, minute()).is_empty());
        let values = series(18, 3, |day| {
            let incident = if (7.2..7.3).contains(&day) { 1e5 } else { 0.0 };
            incident + (TAU * day).sin()
        });
        assert_eq!(detect(&values, minute()), [1_440]);
    }

    #[test]
    fn works_on_other_grids() {
        let hourly: Vec<f32> = series(40, 2, |day| 9.0 * (TAU * day).sin())
            .chunks(60)
            .map(|hour| hour[0])
            .collect();
        assert_eq!(detect(&hourly, Grid::new(3_600_000).unwrap()), [24]);
        let daily = Grid::new(DAY).unwrap();
        let weekly: Vec<f32> = (0..100)
            .map(|day| if day % 7 < 2 { 1.0 } else { 5.0 })
            .collect();
        assert_eq!(detect(&weekly, daily), [7]);
    }
}
