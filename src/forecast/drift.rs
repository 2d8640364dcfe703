//! Drift: the newest value plus the mean step of the whole past. For disks, queues and counts that fill up
//! or run down slowly, and last longer than any recent slope.
//!
//! The line through the first and the last value of the past, carried on (Hyndman & Athanasopoulos,
//! "Forecasting: Principles and Practice", 3rd ed., 5.2). Two single values would let one outlier at either
//! end turn it, so each end is the median of `ends` known values, `ends: 1` being the textbook; the newest of
//! them are moved along the line to now before their median is taken, or the forecast would lag. A gap at an
//! end is stepped over: the next known values stand there, at their own times. Where a season is known, the
//! ends are whole seasons apart, or the hours of the two would pass for a trend.
//! Cost: O(ends) per step and forecast, 16 bytes per series and value of an end.

use super::{Forecaster, ModelFiles};
use crate::{
    series::{Grid, Millis, Past, Slot},
    stats::robust::median_of,
};

/// Two wild values among five do not move their median, and five are recent on any grid.
const ENDS: usize = 5;
/// More would be an average over the past, not an end of it.
const MOST_ENDS: usize = 99;

/// How the ends of the line are found.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Known values whose median is one end of the line, 1 to 99.
    pub ends: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ends: ENDS }
    }
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        if (1..=MOST_ENDS).contains(&self.ends) {
            return Vec::new();
        }
        let text = format!("{} is not within 1 to {MOST_ENDS}", self.ends);
        vec![("ends".to_owned(), text)]
    }
}

/// The line of each series.
#[derive(Debug)]
pub(super) struct Drift {
    grid: Grid,
    ends: usize,
    /// By slot: change per step; `NaN` where it abstains.
    slopes: Vec<f64>,
    /// By slot: the newest time taken in.
    now: Vec<Millis>,
    /// `ends` by slot: the newest known values, oldest first.
    newest: Vec<Known>,
}

/// A value and when it was.
#[derive(Debug, Clone, Copy)]
struct Known {
    at: Millis,
    value: f32,
}

impl Known {
    const NONE: Self = Self {
        at: Millis::MIN,
        value: f32::NAN,
    };
}

impl Drift {
    /// See [`super::ModelSettings::build`].
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every forecaster is built the same way"
    )]
    pub(super) fn build(
        settings: &Settings,
        grid: Grid,
        _horizons: &[usize],
        _files: &ModelFiles,
    ) -> Result<Self, String> {
        Ok(Self {
            grid,
            ends: settings.ends,
            slopes: Vec::new(),
            now: Vec::new(),
            newest: Vec::new(),
        })
    }

    fn end_of(&self, slot: Slot) -> std::ops::Range<usize> {
        slot * self.ends..(slot + 1) * self.ends
    }

    /// Where the line of `slot` is now.
    fn level(&self, slot: Slot) -> f64 {
        let slope = self.slopes[slot];
        let moved = |known: &Known| {
            let steps = (self.now[slot] - known.at) / self.grid.step();
            (f64::from(known.value) + slope * steps as f64) as f32
        };
        let mut levels: Vec<f32> = self.newest[self.end_of(slot)].iter().map(moved).collect();
        f64::from(median_of(&mut levels))
    }
}

/// The first and last `ends` known places of `values` that are whole seasons apart, if there is a season
/// between them; `None` where they would overlap.
fn ends_of(values: &[f32], ends: usize, season: Option<usize>) -> Option<[Vec<usize>; 2]> {
    let known = |&index: &usize| values[index].is_finite();
    let mut last: Vec<usize> = (0..values.len()).rev().filter(known).take(ends).collect();
    last.reverse();
    let apart = *last.first()?;
    let season = season.filter(|&season| (1..=apart).contains(&season));
    let first = season.map_or(0, |season| apart % season);
    let first: Vec<usize> = (first..apart).filter(known).take(ends).collect();
    (first.len() == ends && last.len() == ends).then_some([first, last])
}

/// The middle of some places and of their values.
fn middle(values: &[f32], places: &[usize]) -> (f64, f64) {
    let mut kept: Vec<f32> = places.iter().map(|&place| values[place]).collect();
    let half = places.len() / 2;
    let place = if places.len().is_multiple_of(2) {
        (places[half - 1] + places[half]) as f64 / 2.0
    } else {
        places[half] as f64
    };
    (place, f64::from(median_of(&mut kept)))
}

impl Forecaster for Drift {
    fn kind(&self) -> &'static str {
        "drift"
    }

    fn grow(&mut self, slots: usize) {
        self.slopes.resize(slots, f64::NAN);
        self.now.resize(slots, Millis::MIN);
        self.newest.resize(slots * self.ends, Known::NONE);
    }

    fn evict(&mut self, slot: Slot) {
        self.slopes[slot] = f64::NAN;
        self.now[slot] = Millis::MIN;
        let end = self.end_of(slot);
        self.newest[end].fill(Known::NONE);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.slopes.swap(one, other);
        self.now.swap(one, other);
        for (one, other) in self.end_of(one).zip(self.end_of(other)) {
            self.newest.swap(one, other);
        }
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        self.evict(slot);
        let season = past.seasons.last().copied();
        let Some([first, last]) = ends_of(past.values, self.ends, season) else {
            return false;
        };
        let (from, low) = middle(past.values, &first);
        let (to, high) = middle(past.values, &last);
        self.slopes[slot] = (high - low) / (to - from);
        self.now[slot] = past.end;
        let end = self.end_of(slot);
        for (known, &place) in self.newest[end].iter_mut().zip(&last) {
            *known = Known {
                at: past.time(place),
                value: past.values[place],
            };
        }
        true
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        for (&slot, &value) in slots.iter().zip(values) {
            if self.slopes[slot].is_nan() {
                continue;
            }
            self.now[slot] = at;
            if value.is_finite() {
                let end = self.end_of(slot);
                let newest = &mut self.newest[end];
                newest.rotate_left(1);
                newest[self.ends - 1] = Known { at, value };
            }
        }
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons.len())) {
            let slope = self.slopes[slot];
            if slope.is_nan() {
                row.fill(f32::NAN);
                continue;
            }
            let level = self.level(slot);
            for (out, &steps) in row.iter_mut().zip(horizons) {
                *out = (level + slope * steps as f64) as f32;
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.slopes.capacity() * size_of::<f64>()
            + self.now.capacity() * size_of::<Millis>()
            + self.newest.capacity() * size_of::<Known>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;

    const STEP: Millis = 60_000;

    fn drift(ends: usize) -> Drift {
        let grid = Grid::new(STEP).unwrap();
        let mut drift = Drift::build(&Settings { ends }, grid, &[], &ModelFiles::new()).unwrap();
        drift.grow(2);
        drift
    }

    fn fit(drift: &mut Drift, values: &[f32], seasons: &[usize]) -> bool {
        let zone = Zone::default();
        drift.fit(
            0,
            &Past {
                end: (values.len() as i64 - 1) * STEP,
                grid: drift.grid,
                values,
                seasons,
                zone: &zone,
            },
        )
    }

    fn ahead(drift: &Drift, steps: usize) -> f32 {
        let mut out = [0.0];
        drift.predict(&[0], &[steps], &mut out);
        out[0]
    }

    #[test]
    fn with_single_ends_it_is_the_textbook() {
        // (16 - 2) / 4 = 3.5 a step.
        let mut drift = drift(1);
        assert!(fit(&mut drift, &[2.0, 9.0, 4.0, 1.0, 16.0], &[]));
        assert_eq!(ahead(&drift, 1), 19.5);
        assert_eq!(ahead(&drift, 4), 30.0);
        drift.extend(5 * STEP, &[0], &[10.0]);
        assert_eq!(
            ahead(&drift, 2),
            17.0,
            "the newest value, the slope as it was"
        );
        drift.extend(6 * STEP, &[0], &[f32::NAN]);
        assert_eq!(ahead(&drift, 1), 17.0, "a gap goes along the line");
    }

    #[test]
    fn a_line_is_carried_on_whatever_is_missing_or_wild_at_its_ends() {
        let mut values: Vec<f32> = (0..200).map(|index| 10.0 + 0.5 * index as f32).collect();
        values[..7].fill(f32::NAN);
        values[9] = f32::NAN;
        values[8] = 1e6;
        values[197] = -1e6;
        values[199] = f32::NAN;
        let mut robust = drift(5);
        assert!(fit(&mut robust, &values, &[]));
        // Medians next to a wild value are off by one of five places: half a step of the line.
        let truth = 10.0 + 0.5 * 259.0;
        assert!(
            (ahead(&robust, 60) - truth).abs() < 1.0,
            "{}",
            ahead(&robust, 60)
        );
        robust.extend(200 * STEP, &[0], &[1e6]);
        assert!(
            (ahead(&robust, 59) - truth).abs() < 1.0,
            "{}",
            ahead(&robust, 59)
        );
    }

    #[test]
    fn the_hours_of_the_ends_are_no_trend() {
        let day = 24;
        let values: Vec<f32> = (0..10 * day + 9)
            .map(|hour| 5.0 * (hour as f32 / day as f32 * std::f32::consts::TAU).sin())
            .collect();
        let mut drift = drift(3);
        assert!(fit(&mut drift, &values, &[day]));
        assert!(drift.slopes[0].abs() < 1e-6, "{}", drift.slopes[0]);
        assert!(fit(&mut drift, &values, &[]));
        assert!(drift.slopes[0].abs() > 1e-3, "{}", drift.slopes[0]);
    }

    #[test]
    fn with_too_little_it_abstains() {
        let mut drift = drift(3);
        assert!(!fit(&mut drift, &[1.0, 2.0, f32::NAN, 3.0, 4.0, 5.0], &[]));
        assert!(ahead(&drift, 1).is_nan());
        drift.extend(6 * STEP, &[0], &[6.0]);
        assert!(ahead(&drift, 1).is_nan());
        assert!(fit(&mut drift, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[]));
        assert_eq!(ahead(&drift, 1), 7.0);
    }

    #[test]
    fn ends_are_one_to_ninety_nine() {
        assert!(Settings::default().validate().is_empty());
        for ends in [0, 100] {
            assert_eq!(Settings { ends }.validate()[0].0, "ends");
        }
    }
}
