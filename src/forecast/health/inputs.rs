//! Whether the newest day of a series is like the days before it: population stability of the inputs.
//!
//! The population stability index of two histograms is the sum over their bins of `(q - p) ln(q / p)`, Jeffreys' symmetric
//! divergence (Jeffreys 1946); below 0.1 nothing happened, above 0.25 something did (Lewis, *An Introduction to Credit
//! Scoring*, 1994; Siddiqi, *Credit Risk Scorecards*, 2006). Those limits are for independent samples. A day of a metric is
//! one draw of a day, so what is compared here is made alike first:
//!
//! * Values lose the median of their part of the day (24 parts, wall clock), so the time of day is no drift and a day that is
//!   shifted is one. What is left is put into ten bins, each of which holds a tenth of the reference span.
//! * A whole day is compared with whole days that ended at the same time of day, and what counts is the most similar of them: a
//!   Saturday is like a Saturday.
//! * The limit is 0.25, or more where the days of the reference themselves were less alike: three quarters more than the farthest
//!   of them was from the one most similar to it.
//!
//! Looked at four times a day. About 2 kB a series with 17 days of reference.

use crate::{forecast::wall::Wall, series::Past};

/// Parts of a day: each has its usual value, and is counted by itself so that the newest day can move on.
const PARTS: usize = 24;
/// Bins of a histogram.
const BINS: usize = 10;
/// Parts between two looks.
const EVERY: i64 = 6;
/// Added to the share of every bin: an empty one must not be infinitely far from one that holds a value.
const FLOOR: f32 = 0.003;
/// Shares are kept as so many parts: no step is so short that more is lost than by [`FLOOR`].
const WHOLE: f32 = 65_535.0;
/// Two histograms that are farther apart are not of the same thing.
const SHIFTED: f32 = 0.25;
/// Times the largest distance in the reference, below which a distance is within the ordinary.
const MARGIN: f32 = 1.75;
/// A day of which less than this share is known says nothing.
const LEAST_KNOWN: f32 = 0.5;
/// Looks at the reference without which nothing is known of ordinary days: a week.
const LEAST_LOOKS: usize = 7 * (PARTS as i64 / EVERY) as usize;

type Counts = [u16; BINS];

/// What is kept of one series.
#[derive(Debug, Clone, Default)]
pub(super) struct Inputs {
    /// Usual value of each part of the day.
    usual: [f32; PARTS],
    /// Upper ends of all bins but the last, of what is left without it.
    edges: [f32; BINS - 1],
    /// Values of the newest day, by part and bin.
    newest: [Counts; PARTS],
    /// Number of the part of a day, since the epoch, that counts now.
    part: i64,
    /// Days of the reference, one for each look: shares of [`WHOLE`], all zero where too little is known.
    days: Vec<Counts>,
    /// Number of the part at whose beginning the first of them ended.
    first: i64,
    /// Distance that is within the ordinary; zero while nothing is known.
    limit: f32,
    /// Distance found at the newest look, by the limit.
    score: f32,
}

impl Inputs {
    /// As of the end of a past. What is shorter than a week of known days, or has fewer than 24 values a day, has no score.
    pub(super) fn derive(past: &Past<'_>, wall: &Wall, day: usize) -> Self {
        let mut inputs = Self {
            score: f32::NAN,
            ..Self::default()
        };
        if day < PARTS || past.values.len() < day {
            return inputs;
        }
        let mut wall = wall.clone();
        let parts: Vec<i64> = (0..past.values.len())
            .map(|index| part_of(wall.walk(past.time(index)), day))
            .collect();
        let left = inputs.usual(past.values, &parts);
        inputs.split(left);
        inputs.part = parts[0];
        inputs.first = next_look(parts[0]);
        for (&value, &part) in past.values.iter().zip(&parts) {
            inputs.enter(part, day, |inputs, _, shares| inputs.days.push(shares));
            inputs.count(value);
        }
        inputs.settle();
        inputs
    }

    /// Takes in the value at wall-clock step `index`; `NaN` where it is missing.
    pub(super) fn see(&mut self, index: i64, value: f32, day: usize) {
        if self.limit > 0.0 {
            self.enter(part_of(index, day), day, |inputs, at, shares| {
                let distance = inputs.nearest(&shares, at, at - PARTS as i64);
                inputs.score = distance / inputs.limit;
            });
            self.count(value);
        }
    }

    /// How far the newest day is from the days before it, 1 at the limit; `NaN` while nothing is known.
    pub(super) fn score(&self) -> f32 {
        if self.limit > 0.0 {
            self.score
        } else {
            f32::NAN
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.days.capacity() * size_of::<Counts>()
    }

    /// Learns the usual values; what values are without them.
    fn usual(&mut self, values: &[f32], parts: &[i64]) -> Vec<f32> {
        let mut by_part: [Vec<f32>; PARTS] = Default::default();
        for (&value, &part) in values.iter().zip(parts) {
            if value.is_finite() {
                by_part[place(part)].push(value);
            }
        }
        for (usual, values) in self.usual.iter_mut().zip(&mut by_part) {
            *usual = crate::stats::robust::median_of(values);
        }
        let known = values
            .iter()
            .zip(parts)
            .filter(|(value, _)| value.is_finite());
        known
            .map(|(value, &part)| value - self.usual[place(part)])
            .collect()
    }

    fn split(&mut self, mut left: Vec<f32>) {
        left.sort_unstable_by(f32::total_cmp);
        for (index, edge) in self.edges.iter_mut().enumerate() {
            *edge = left
                .get(left.len() * (index + 1) / BINS)
                .copied()
                .unwrap_or(f32::NAN);
        }
    }

    /// Goes on to a part of the day; `look` is told of every look on the way, the part at whose beginning it is, and the
    /// shares of the day before it.
    fn enter(&mut self, part: i64, day: usize, look: fn(&mut Self, i64, Counts)) {
        // A clock that was set back counts the same hour twice.
        while self.part < part {
            self.part += 1;
            if self.part.rem_euclid(EVERY) == 0 {
                let shares = shares(&self.newest, day);
                look(self, self.part, shares);
            }
            self.newest[place(self.part)] = Counts::default();
        }
    }

    fn count(&mut self, value: f32) {
        if value.is_finite() {
            let part = place(self.part);
            let left = value - self.usual[part];
            // Of this part of the day nothing is known to compare with.
            if left.is_nan() {
                return;
            }
            let bin = self.edges.partition_point(|&edge| edge < left);
            let count = &mut self.newest[part][bin];
            *count = count.saturating_add(1);
        }
    }

    /// The limit, from days of the reference that ended at least a day ago; the newest look in its light.
    fn settle(&mut self) {
        let until = self.part - PARTS as i64;
        let distances = self.ended().filter_map(|(ended, shares)| {
            let distance = self.nearest(shares, ended, until);
            (ended <= until && distance.is_finite()).then_some(distance)
        });
        let (looks, farthest) = distances.fold((0, 0.0_f32), |(looks, farthest), distance| {
            (looks + 1, farthest.max(distance))
        });
        if looks < LEAST_LOOKS {
            return;
        }
        self.limit = SHIFTED.max(MARGIN * farthest);
        let newest = self.ended().last();
        let distance =
            newest.map(|(ended, shares)| self.nearest(shares, ended, ended - PARTS as i64));
        self.score = distance.unwrap_or(f32::NAN) / self.limit;
    }

    /// The days of the reference, each with the part at whose beginning it ended.
    fn ended(&self) -> impl Iterator<Item = (i64, &Counts)> {
        (self.first..).step_by(EVERY as usize).zip(&self.days)
    }

    /// The distance of the day that ended at `at` from the most similar other one that ended at the same time of day, `until`
    /// at the latest; `NaN` where there is none.
    fn nearest(&self, shares: &Counts, at: i64, until: i64) -> f32 {
        let others = self.ended().filter(|&(ended, _)| {
            ended <= until && ended != at && (at - ended).rem_euclid(PARTS as i64) == 0
        });
        let distances = others.map(|(_, other)| stability(shares, other));
        // The least that is a number: `min` passes over the others.
        distances.fold(f32::NAN, f32::min)
    }
}

/// Number of the part of a day, since the epoch, in which a wall-clock step lies.
fn part_of(index: i64, day: usize) -> i64 {
    (index * PARTS as i64).div_euclid(day as i64)
}

/// The first part after `part` at whose beginning is looked.
fn next_look(part: i64) -> i64 {
    (part.div_euclid(EVERY) + 1) * EVERY
}

fn place(part: i64) -> usize {
    part.rem_euclid(PARTS as i64) as usize
}

/// The share of each bin in a day of `day` steps; all zero where too little of it is known.
fn shares(parts: &[Counts; PARTS], day: usize) -> Counts {
    let sum = |bin: usize| -> f32 { parts.iter().map(|counts| f32::from(counts[bin])).sum() };
    let counts: [f32; BINS] = std::array::from_fn(sum);
    let known: f32 = counts.iter().sum();
    if known < LEAST_KNOWN * day as f32 {
        return Counts::default();
    }
    let whole = 1.0 + BINS as f32 * FLOOR;
    counts.map(|count| (WHOLE * (count / known + FLOOR) / whole).round() as u16)
}

/// The population stability index; `NaN` where one of the two is not known.
fn stability(one: &Counts, other: &Counts) -> f32 {
    if one[0] == 0 || other[0] == 0 {
        return f32::NAN;
    }
    let bins = one.iter().zip(other);
    let part = |(&q, &p): (&u16, &u16)| {
        let (q, p) = (f32::from(q) / WHOLE, f32::from(p) / WHOLE);
        (q - p) * (q / p).ln()
    };
    bins.map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Grid, Zone};

    const DAY: usize = 288;
    const STEP: i64 = 300_000;

    /// Whether a day is one of the weekend; the epoch was a Thursday.
    fn is_weekend(day: usize) -> bool {
        (day + 3) % 7 >= 5
    }

    /// Days with a course, quiet at weekends, and noise.
    fn days(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(7);
        let value = |index: usize| {
            let phase = std::f32::consts::TAU * (index % DAY) as f32 / DAY as f32;
            let height = if is_weekend(index / DAY) { 0.2 } else { 1.0 };
            100.0 + height * (50.0 - 50.0 * phase.cos()) + 10.0 * random.f32()
        };
        (0..count * DAY).map(value).collect()
    }

    /// The greatest score in the `live` steps after `known`, and that at their end.
    fn scores(values: &[f32], known: usize, live: usize) -> (f32, f32) {
        let (grid, zone) = (Grid::new(STEP).unwrap(), Zone::default());
        let wall = Wall::new(grid);
        let past = Past {
            end: (known as i64 - 1) * STEP,
            grid,
            values: &values[..known],
            seasons: &[],
            zone: &zone,
        };
        let mut inputs = Inputs::derive(&past, &wall, DAY);
        let mut most = f32::NAN;
        for (index, &value) in values.iter().enumerate().skip(known).take(live) {
            inputs.see(index as i64, value, DAY);
            most = most.max(inputs.score());
        }
        (most, inputs.score())
    }

    #[test]
    fn ordinary_days_and_weekends_are_no_drift() {
        let values = days(24);
        for known in [16 * DAY, 17 * DAY + 100, 18 * DAY] {
            let (most, _) = scores(&values, known, 5 * DAY);
            assert!(most < 1.0, "{most} after {known}");
        }
    }

    #[test]
    fn another_level_height_or_time_of_day_is_found_within_a_day() {
        let ordinary = days(20);
        let at = 18 * DAY;
        let changed = |change: &dyn Fn(usize) -> f32| -> Vec<f32> {
            let after = (at..ordinary.len()).map(change);
            ordinary[..at].iter().copied().chain(after).collect()
        };
        for (what, values) in [
            ("level", changed(&|index| 1.5 * ordinary[index])),
            (
                "height",
                changed(&|index| 150.0 + 2.0 * (ordinary[index] - 150.0)),
            ),
            ("phase", changed(&|index| ordinary[index - DAY / 4])),
        ] {
            let (most, _) = scores(&values, at, DAY + 1);
            assert!(most > 1.0, "{what}: {most}");
        }
    }

    #[test]
    fn derived_and_stepped_agree_on_the_newest_day() {
        let mut values = days(20);
        for value in &mut values[18 * DAY..] {
            *value *= 1.5;
        }
        let (_, stepped) = scores(&values, 18 * DAY, DAY + 1);
        let (_, derived) = scores(&values, 19 * DAY + 1, 0);
        assert!(stepped > 1.0 && derived > 1.0, "{stepped} and {derived}");
    }

    #[test]
    fn what_is_not_known_has_no_score() {
        let values = days(20);
        assert!(scores(&values, 6 * DAY, DAY).0.is_nan(), "too short a past");
        let mut silent = values;
        silent[18 * DAY..].fill(f32::NAN);
        let (_, score) = scores(&silent, 18 * DAY, DAY + 1);
        assert!(score.is_nan(), "{score} of a day without values");
    }

    #[test]
    fn the_index_is_that_of_the_literature() {
        // (.2-.1)ln(2) + (.05-.15)ln(1/3), by hand.
        let whole = |shares: [f32; BINS]| shares.map(|share| (WHOLE * share).round() as u16);
        let mut one = [0.1; BINS];
        let mut other = one;
        (one[0], other[0]) = (0.2, 0.1);
        (one[1], other[1]) = (0.05, 0.15);
        let index = stability(&whole(one), &whole(other));
        assert!((index - 0.179_175).abs() < 1e-3, "{index}");
    }
}
