//! Row by row: precision and recall without any adjustment, alarms, and how late an anomaly is found.
//!
//! "Point adjustment", which counts a whole stretch as found once one row of it is, is left out on purpose:
//! with it even random scores look good (Kim et al., "Towards a rigorous evaluation of time-series anomaly
//! detection", AAAI 2022).

use crate::series::Millis;

const WEEK: f64 = 604_800_000.0;

/// A score and whether its row is anomalous.
pub type Point = (f64, bool);

/// F1 (0 to 1) of taking every row with a score of at least `threshold` for anomalous. `None` where none is.
pub fn f1_at(points: &[Point], threshold: f64) -> Option<f64> {
    let positives = points.iter().filter(|point| point.1).count();
    let predicted = points.iter().filter(|point| point.0 >= threshold);
    let (mut right, mut all) = (0, 0);
    for point in predicted {
        all += 1;
        right += usize::from(point.1);
    }
    f1(right, all, positives)
}

/// The greatest F1 of any threshold: what could be had by whoever knows the labels.
pub fn f1_best(points: &[Point]) -> Option<f64> {
    let mut falling = points.to_vec();
    falling.sort_by(|one, other| other.0.total_cmp(&one.0));
    let positives = points.iter().filter(|point| point.1).count();
    let (mut right, mut all) = (0, 0);
    let groups = falling.chunk_by(|one, other| one.0 == other.0);
    let each = groups.filter_map(|same| {
        all += same.len();
        right += same.iter().filter(|point| point.1).count();
        f1(right, all, positives)
    });
    each.max_by(f64::total_cmp)
}

/// Rows at which `active` turns on.
pub fn onsets(active: &[bool]) -> Vec<bool> {
    let before = std::iter::once(false).chain(active.iter().copied());
    let pairs = active.iter().zip(before);
    pairs.map(|(&now, before)| now && !before).collect()
}

/// `count` of something in `rows` rows that are `step` apart, per week.
pub fn per_week(count: usize, rows: usize, step: Millis) -> f64 {
    count as f64 * WEEK / (rows as f64 * step as f64)
}

/// For each window (first and last row) how long after its first row the first score of at least
/// `threshold` is; `None` where there is none in it.
pub fn delays(
    scores: &[f64],
    times: &[Millis],
    windows: &[(usize, usize)],
    threshold: f64,
) -> Vec<Option<Millis>> {
    let delay = |&(first, last): &(usize, usize)| {
        let found = (first..=last).find(|&row| scores[row] >= threshold)?;
        Some(times[found] - times[first])
    };
    windows.iter().map(delay).collect()
}

/// The median of spans in milliseconds, in minutes.
pub fn median_minutes(mut spans: Vec<Millis>) -> Option<f64> {
    spans.sort_unstable();
    let lower = *spans.get(spans.len().checked_sub(1)? / 2)?;
    let upper = *spans.get(spans.len() / 2)?;
    Some((lower + upper) as f64 / 120_000.0)
}

fn f1(right: usize, predicted: usize, positives: usize) -> Option<f64> {
    (positives > 0).then(|| 2.0 * right as f64 / (predicted + positives) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_is_of_single_rows() {
        // One of two anomalous rows found, with one false: precision and recall are a half.
        let points = [(2.0, true), (0.5, true), (1.0, false), (0.0, false)];
        assert_eq!(f1_at(&points, 1.0), Some(0.5));
        // At 0.5 both are found: precision 2/3, recall 1.
        assert_eq!(f1_at(&points, 0.5), Some(0.8));
        assert_eq!(f1_best(&points), Some(0.8));
        assert_eq!(f1_at(&points, 9.0), Some(0.0));
        assert_eq!(f1_best(&[(1.0, false)]), None);
    }

    #[test]
    fn rows_with_the_same_score_are_taken_together() {
        let points = [(1.0, true), (1.0, false), (1.0, false), (0.0, true)];
        assert_eq!(f1_best(&points), Some(2.0 / 3.0));
        assert_eq!(f1_at(&points, 1.0), Some(0.4));
    }

    #[test]
    fn an_alarm_is_where_the_verdict_turns_on() {
        let active = [true, true, false, true, true];
        assert_eq!(onsets(&active), [true, false, false, true, false]);
        // Two in 2,016 steps of five minutes, which is a week.
        assert_eq!(per_week(2, 2_016, 300_000), 2.0);
        assert_eq!(per_week(2, 1_008, 300_000), 4.0);
    }

    #[test]
    fn a_delay_counts_from_the_first_row_of_the_window() {
        let times = [0, 60_000, 120_000, 300_000, 360_000, 420_000];
        let scores = [5.0, 0.0, 1.0, 9.0, 0.0, 0.9];
        let found = delays(&scores, &times, &[(1, 3), (4, 5)], 1.0);
        assert_eq!(found, [Some(60_000), None]);
        assert_eq!(median_minutes(vec![180_000, 60_000]), Some(2.0));
        assert_eq!(median_minutes(vec![180_000, 60_000, 0]), Some(1.0));
        assert_eq!(median_minutes(Vec::new()), None);
    }
}
