//! The scoring of the Numenta Anomaly Benchmark, version 1.1.
//!
//! Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms", 2015 (arXiv 1510.03336). What
//! counts are positions of rows in their file, not times:
//!
//! * A row is a detection where its score is at least the threshold. The first `min(15 % of the rows,
//!   750)` rows are probation: nothing counts there.
//! * Of the detections in a window the one with the greatest weight counts, which is the earliest:
//!   `S(y) / S(-1)` with `S(y) = 2 / (1 + exp(5 y)) - 1` and `y` from -1 at the first row of the window
//!   to almost 0 at its last. A window without one costs [`Profile::miss`].
//! * A detection outside costs [`Profile::false_alarm`] times `S(y)`, where `y` is the distance from the
//!   window before in lengths of that window: little just after it, everything beyond three lengths or
//!   before the first one.
//! * The score is 0 for silence and 100 for the first row of every window and nothing else. One
//!   threshold is in force for all files.

/// What hits, misses and false alarms are worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// For a window found at its first row.
    pub hit: f64,
    /// Against each row found far from any window.
    pub false_alarm: f64,
    /// Against each window that was not found.
    pub miss: f64,
}

/// NAB's profile `standard`.
pub const STANDARD: Profile = Profile {
    hit: 1.0,
    false_alarm: 0.11,
    miss: 1.0,
};

/// NAB's profile `reward_low_FP_rate`.
pub const LOW_FALSE_ALARMS: Profile = Profile {
    false_alarm: 0.22,
    ..STANDARD
};

/// NAB's profile `reward_low_FN_rate`.
pub const LOW_MISSES: Profile = Profile {
    miss: 2.0,
    ..STANDARD
};

/// What detecting each row of one file is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    rows: Vec<Worth>,
    probation: usize,
    windows: usize,
}

/// One row: its weight, 0 to 1 inside a window, -1 to 0 outside.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Worth {
    weight: f64,
    window: Option<usize>,
}

/// One file under judgement: what its rows are worth, and their scores.
pub type Paper<'a> = (&'a Key, &'a [f64]);

/// What one threshold gives over all files.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// The sum of all weights in the profile's units.
    pub raw: f64,
    /// Windows there are.
    pub windows: usize,
    /// Windows with a detection.
    pub found: usize,
    /// Detections outside windows.
    pub false_rows: usize,
}

impl Key {
    /// Of a file with so many rows whose `windows` (first and last row, ascending, apart from each other)
    /// are anomalous.
    pub fn new(rows: usize, windows: &[(usize, usize)]) -> Self {
        let mut next = 0;
        let worth = (0..rows).map(|row| {
            while windows.get(next).is_some_and(|window| window.1 < row) {
                next += 1;
            }
            if let Some(&(first, last)) = windows.get(next).filter(|window| window.0 <= row) {
                let left = (last - row + 1) as f64 / (last - first + 1) as f64;
                return Worth {
                    weight: sigmoid(-left) / sigmoid(-1.0),
                    window: Some(next),
                };
            }
            let before = next.checked_sub(1).map(|window| windows[window]);
            Worth {
                weight: before.map_or(-1.0, |(first, last)| {
                    sigmoid((row - last) as f64 / (last - first) as f64)
                }),
                window: None,
            }
        });
        Self {
            rows: worth.collect(),
            probation: probation(rows),
            windows: windows.len(),
        }
    }

    /// The rows that count, with their index.
    fn judged(&self) -> impl Iterator<Item = (usize, Worth)> {
        self.rows.iter().copied().enumerate().skip(self.probation)
    }
}

/// What scores of at least `threshold` give.
pub fn tally(papers: &[Paper<'_>], profile: Profile, threshold: f64) -> Tally {
    let mut total = Tally::default();
    for (key, scores) in papers {
        // A window of which no row is judged is neither found nor missed, as in NAB's own code.
        let mut windows: Vec<Option<f64>> = vec![None; key.windows];
        for (row, worth) in key.judged() {
            let detected = scores[row] >= threshold;
            match worth.window {
                Some(window) => {
                    let best = windows[window].get_or_insert(-profile.miss);
                    if detected {
                        *best = best.max(worth.weight * profile.hit);
                    }
                }
                None if detected => {
                    total.raw += worth.weight * profile.false_alarm;
                    total.false_rows += 1;
                }
                None => {}
            }
        }
        let known = windows.iter().flatten();
        total.windows += key.windows;
        total.found += known.clone().filter(|&&best| best > -profile.miss).count();
        total.raw += known.sum::<f64>();
    }
    total
}

/// 0 for silence, 100 for perfection; `NaN` where there is no window.
pub fn score(tally: Tally, profile: Profile) -> f64 {
    let windows = tally.windows as f64;
    let (silence, perfection) = (-profile.miss * windows, profile.hit * windows);
    100.0 * (tally.raw - silence) / (perfection - silence)
}

/// The threshold with the best score, as NAB chooses it: on the very files it is judged by. Infinite where
/// silence is best.
pub fn best_threshold(papers: &[Paper<'_>], profile: Profile) -> f64 {
    let mut rows = Vec::new();
    for (paper, (key, scores)) in papers.iter().enumerate() {
        let of = |(row, worth): (usize, Worth)| (scores[row], paper, worth);
        rows.extend(key.judged().map(of));
    }
    rows.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut windows: Vec<Vec<f64>> = papers
        .iter()
        .map(|(key, _)| vec![-profile.miss; key.windows])
        .collect();
    // Relative to silence.
    let (mut gained, mut most, mut best) = (0.0, 0.0, f64::INFINITY);
    for same in rows.chunk_by(|one, other| one.0 == other.0) {
        for &(_, paper, worth) in same {
            match worth.window {
                None => gained += worth.weight * profile.false_alarm,
                Some(window) => {
                    let held = &mut windows[paper][window];
                    let more = (worth.weight * profile.hit - *held).max(0.0);
                    *held += more;
                    gained += more;
                }
            }
        }
        if gained > most {
            (most, best) = (gained, same[0].0);
        }
    }
    best
}

/// Rows at the beginning of a file that are not judged: 15 %, of 5,000 rows at most.
fn probation(rows: usize) -> usize {
    ((0.15 * rows as f64).floor() as usize).min(750)
}

fn sigmoid(y: f64) -> f64 {
    if y > 3.0 {
        return -1.0;
    }
    2.0 / (1.0 + (5.0 * y).exp()) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 rows (15 of them probation) with a window of ten.
    fn key() -> Key {
        Key::new(100, &[(40, 49)])
    }

    fn detected(rows: &[usize]) -> Vec<f64> {
        (0..100)
            .map(|row| f64::from(u8::from(rows.contains(&row))))
            .collect()
    }

    #[track_caller]
    fn check(rows: &[usize], profile: Profile, expected: f64) {
        let (key, scores) = (key(), detected(rows));
        let tally = tally(&[(&key, &scores)], profile, 1.0);
        let score = score(tally, profile);
        assert!((score - expected).abs() < 1e-3, "{score}, not {expected}");
    }

    #[test]
    fn silence_is_nothing_and_the_first_row_of_the_window_is_everything() {
        for profile in [STANDARD, LOW_FALSE_ALARMS, LOW_MISSES] {
            check(&[], profile, 0.0);
            check(&[40], profile, 100.0);
        }
    }

    #[test]
    fn only_the_earliest_detection_in_a_window_counts() {
        // The sixth of ten rows: S(-0.5) / S(-1) = 0.84828 / 0.98661 = 0.85979 of 1; silence is -1.
        check(&[45], STANDARD, 92.9896);
        check(&[45, 46, 49], STANDARD, 92.9896);
        check(&[40, 45], STANDARD, 100.0);
        // Finding is worth more where missing costs more: (0.85979 + 2) / 3.
        check(&[45], LOW_MISSES, 95.3264);
    }

    #[test]
    fn false_rows_cost_by_their_distance_from_the_window_before() {
        // No window before: everything, 0.11 of a range of 2.
        check(&[40, 20], STANDARD, 94.5);
        check(&[40, 20], LOW_FALSE_ALARMS, 89.0);
        check(&[40, 20], LOW_MISSES, 100.0 - 11.0 / 3.0);
        // One row after it: S(1/9) = -0.2708. Beyond three lengths: everything again.
        check(&[40, 50], STANDARD, 100.0 - 5.5 * 0.27083);
        check(&[40, 90], STANDARD, 94.5);
    }

    #[test]
    fn probation_does_not_count() {
        check(&[40, 3, 14], STANDARD, 100.0);
        check(&[40, 15], STANDARD, 94.5);
        assert_eq!(
            [probation(100), probation(4_032), probation(9_000)],
            [15, 604, 750]
        );
    }

    #[test]
    fn the_best_threshold_is_one_for_all_files() {
        let key = key();
        let mut first = detected(&[]);
        (first[40], first[20]) = (0.9, 0.5);
        let mut second = detected(&[]);
        (second[42], second[70]) = (0.7, 0.6);
        let papers: [Paper<'_>; 2] = [(&key, &first), (&key, &second)];
        assert_eq!(best_threshold(&papers, STANDARD), 0.7);
        let found = tally(&papers, STANDARD, 0.7);
        assert_eq!((found.found, found.false_rows), (2, 0));
        let all = tally(&papers, STANDARD, 0.5);
        assert_eq!((all.found, all.false_rows), (2, 2));
        // Nothing but false alarms: silence is best.
        let wrong = detected(&[20]);
        assert_eq!(best_threshold(&[(&key, &wrong)], STANDARD), f64::INFINITY);
    }
}
