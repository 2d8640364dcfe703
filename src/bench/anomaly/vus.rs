//! VUS-PR: how well scores rank anomalous rows above the others, where near misses count a little.
//!
//! Paparrizos, Boniol, Palpanas, Tsay, Elmore and Franklin, "Volume Under the Surface", PVLDB 15(11),
//! 2022, as computed by `tsb-ad` 1.5 (`RangeAUC_volume_opt`), whose figures are the published ones: the
//! mean over all buffer lengths 0 to `longest` of the area under the range-based curve of precision and
//! recall at 250 thresholds. The fixtures in `tests/fixtures/bench` were made by it.

use std::ops::Range;

/// Thresholds on the way from the greatest score to the least.
const THRESHOLDS: usize = 250;
/// Autocorrelation is looked at for so many values and lags at most, from lag [`LEAST_LAG`] on.
const PERIOD_VALUES: usize = 20_000;
const PERIOD_LAGS: usize = 400;
const LEAST_LAG: usize = 3;
/// What is taken where no period is found.
const NO_PERIOD: usize = 125;

/// VUS-PR (0 to 1) of `scores` (greater is more anomalous, finite) for rows that are anomalous where
/// `labels` say so, with buffers of up to `longest` rows. `None` where no row is anomalous.
pub fn vus_pr(scores: &[f64], labels: &[bool], longest: usize) -> Option<f64> {
    let runs = runs(labels);
    if runs.is_empty() {
        return None;
    }
    let ranks = ranks(scores);
    let predicted = accumulated(ranks.iter().map(|&rank| (rank, 1.0)));
    let anomalous = || (0..labels.len()).filter(|&row| labels[row]);
    let surface = Surface {
        labels,
        runs: &runs,
        hits: accumulated(anomalous().map(|row| (ranks[row], 1.0))),
        positives: anomalous().count() as f64,
        ranks: &ranks,
        predicted,
    };
    let mut extra = vec![0.0; labels.len()];
    let areas = (0..=longest).map(|buffer| surface.area(buffer, &mut extra));
    Some(areas.sum::<f64>() / (longest + 1) as f64)
}

/// The rows that belong together: each maximal stretch of anomalous ones.
pub fn runs(labels: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (row, _) in labels
        .iter()
        .enumerate()
        .filter(|(_, anomalous)| **anomalous)
    {
        match runs.last_mut() {
            Some(run) if run.end == row => run.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

/// The longest buffer for a series: the lag (in rows) with the greatest local maximum of the
/// autocorrelation, 125 where there is none in reach (`find_length_rank(x, 1)` of `tsb-ad`).
pub fn period(values: &[f64]) -> usize {
    let values = &values[..values.len().min(PERIOD_VALUES)];
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let product = |lag: usize| -> f64 {
        let pairs = centred.iter().zip(&centred[lag..]);
        pairs.map(|(one, other)| one * other).sum()
    };
    let lags = LEAST_LAG..values.len().min(PERIOD_LAGS + 1);
    let correlation: Vec<f64> = lags.map(product).collect();
    let peaks = correlation
        .windows(3)
        .enumerate()
        .filter_map(|(index, near)| {
            (near[1] > near[0] && near[1] > near[2]).then_some((near[1], index + 1))
        });
    let highest = peaks.max_by(|one, other| one.0.total_cmp(&other.0));
    match highest {
        Some((_, index)) if (3..=300).contains(&index) => index + LEAST_LAG,
        _ => NO_PERIOD,
    }
}

/// What is the same for every length of the buffer.
struct Surface<'a> {
    labels: &'a [bool],
    runs: &'a [Range<usize>],
    /// Per row the first threshold (of falling ones) that it reaches.
    ranks: &'a [usize],
    /// Per threshold the rows that reach it.
    predicted: Vec<f64>,
    /// Per threshold the anomalous rows that reach it.
    hits: Vec<f64>,
    positives: f64,
}

impl Surface<'_> {
    /// The area under the curve with buffers of `buffer / 2` rows on either side of each run. `extra` is
    /// room for one number per row: zeros, and left so.
    fn area(&self, buffer: usize, extra: &mut [f64]) -> f64 {
        let near = accumulated(self.near(buffer, extra).into_iter());
        let groups = self.groups(buffer);
        let best = |group: &Range<usize>| self.ranks[group.clone()].iter().copied().min();
        let reached = accumulated(groups.iter().filter_map(best).map(|rank| (rank, 1.0)));
        let (mut area, mut before) = (0.0, 0.0);
        for threshold in 0..THRESHOLDS {
            let right = self.hits[threshold] + near[threshold];
            // The mean of the rows that are anomalous and those that count as such.
            let wanted = self.positives + near[threshold] / 2.0;
            let existence = reached[threshold] / groups.len() as f64;
            let recall = (right / wanted).min(1.0) * existence;
            area += (recall - before) * right / self.predicted[threshold];
            before = recall;
        }
        area
    }

    /// Rank and weight of every row in a buffer: the nearer to its run, the more.
    fn near(&self, buffer: usize, extra: &mut [f64]) -> Vec<(usize, f64)> {
        let mut touched = Vec::new();
        let mut add = |row: usize, distance: usize| {
            if self.labels[row] {
                return;
            }
            if extra[row] == 0.0 {
                touched.push(row);
            }
            extra[row] += (1.0 - distance as f64 / buffer as f64).sqrt();
        };
        for run in self.runs {
            let last = run.end - 1;
            let after = run.end..(run.end + buffer / 2).min(self.labels.len());
            after.for_each(|row| add(row, row - last));
            let before = run.start.saturating_sub(buffer / 2)..run.start;
            before.for_each(|row| add(row, run.start - row));
        }
        touched
            .into_iter()
            .map(|row| (self.ranks[row], std::mem::take(&mut extra[row]).min(1.0)))
            .collect()
    }

    /// The runs with their buffers, those that touch as one.
    fn groups(&self, buffer: usize) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for run in self.runs {
            let start = run.start.saturating_sub(buffer / 2);
            let end = (run.end + buffer / 2).min(self.labels.len());
            match groups.last_mut() {
                Some(group) if start < group.end => group.end = end,
                _ => groups.push(start..end),
            }
        }
        groups
    }
}

/// Per row the index of the first threshold that its score reaches; thresholds are scores at evenly spaced
/// places in their falling order.
fn ranks(scores: &[f64]) -> Vec<usize> {
    let mut falling = scores.to_vec();
    falling.sort_by(|one, other| other.total_cmp(one));
    let last = falling.len() - 1;
    let spacing = last as f64 / (THRESHOLDS - 1) as f64;
    let place = |index: usize| match index {
        index if index == THRESHOLDS - 1 => last,
        index => (index as f64 * spacing) as usize,
    };
    let thresholds: Vec<f64> = (0..THRESHOLDS).map(|index| falling[place(index)]).collect();
    let rank = |score: &f64| thresholds.partition_point(|threshold| threshold > score);
    scores.iter().map(rank).collect()
}

/// Per threshold the sum of the weights of everything with that rank or a lower one.
fn accumulated(weights: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
    let mut sums = vec![0.0; THRESHOLDS];
    weights.for_each(|(rank, weight)| sums[rank] += weight);
    for index in 1..THRESHOLDS {
        sums[index] += sums[index - 1];
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_scores_without_buffers_are_one_and_useless_ones_the_share_of_anomalies() {
        let labels: Vec<bool> = (0..1_000).map(|row| (400..450).contains(&row)).collect();
        let perfect: Vec<f64> = labels.iter().map(|&one| f64::from(u8::from(one))).collect();
        assert_eq!(vus_pr(&perfect, &labels, 0), Some(1.0));
        let flat = vec![0.5; 1_000];
        assert_eq!(vus_pr(&flat, &labels, 0), Some(0.05));
        assert_eq!(vus_pr(&flat, &[false; 1_000], 10), None);
    }

    #[test]
    fn a_near_miss_is_worth_something_only_with_buffers() {
        let labels: Vec<bool> = (0..1_000).map(|row| (400..450).contains(&row)).collect();
        let near: Vec<f64> = (0..1_000)
            .map(|row| f64::from(u8::from((450..470).contains(&row))))
            .collect();
        let strict = vus_pr(&near, &labels, 0).unwrap();
        let lenient = vus_pr(&near, &labels, 100).unwrap();
        assert!(
            strict < 0.06 && lenient > strict + 0.1,
            "{strict} {lenient}"
        );
    }

    #[test]
    fn a_sine_has_its_period_and_a_constant_none() {
        let sine: Vec<f64> = (0..5_000)
            .map(|row| (row as f64 * std::f64::consts::TAU / 48.0).sin())
            .collect();
        assert_eq!(period(&sine), 48);
        assert_eq!(period(&[3.0; 500]), NO_PERIOD);
        assert_eq!(period(&[1.0, 2.0]), NO_PERIOD);
    }
}
