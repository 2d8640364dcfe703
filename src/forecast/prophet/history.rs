//! What a past gives to learn from, and the terms it is explained by.

use super::posterior::Sums;
use crate::{
    forecast::{
        occasions::Dates,
        wall::{Wall, phase_of},
    },
    series::{Millis, Past},
};
use std::f64::consts::TAU;

const DAY: Millis = 86_400_000;
/// Prophet's defaults.
const CHANGEPOINTS: usize = 25;
const CHANGEPOINT_RANGE: f64 = 0.8;
const DAY_WAVES: usize = 4;
const WEEK_WAVES: usize = 3;
/// A season shows in so many of its cycles, at least.
const LEAST_CYCLES: usize = 2;
/// Fewer values do not show a trend.
const LEAST: usize = 24;
/// Means of neighbouring values are taken, so that no more rows than this are left.
const MOST_ROWS: usize = 2_016;

/// Seasons in steps, and how many pairs of waves each has.
#[derive(Debug)]
pub(super) struct Waves(Box<[(usize, usize)]>);

impl Waves {
    /// A day and a week where the past shows them twice, whatever was found; of shorter seasons what was found.
    pub(super) fn of(past: &Past<'_>) -> Self {
        let day = past.grid.steps(DAY);
        let whole = day as Millis * past.grid.step() == DAY;
        let usual = [(day, DAY_WAVES), (7 * day, WEEK_WAVES)];
        let usual = usual.into_iter().filter(|_| whole);
        let short = past
            .seasons
            .iter()
            .filter(|&&season| season < day || !whole);
        let short = short.map(|&season| (season, DAY_WAVES));
        let shows = |&(season, _): &(usize, usize)| {
            season > 2 && LEAST_CYCLES * season <= past.values.len()
        };
        let all = short.chain(usual).filter(shows);
        Self(
            all.map(|(season, waves)| (season, waves.min((season - 1) / 2)))
                .collect(),
        )
    }

    pub(super) fn terms(&self) -> usize {
        self.0.iter().map(|(_, waves)| 2 * waves).sum()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// Puts the terms at the wall-clock step `index` (and a share of a step) to `terms`.
    pub(super) fn put(&self, index: i64, share: f64, terms: &mut [f64]) {
        let mut terms = terms.chunks_exact_mut(2);
        for &(season, waves) in &self.0 {
            let angle = TAU * (phase_of(index, season) as f64 + share) / season as f64;
            for (wave, pair) in (1..=waves).zip(&mut terms) {
                let (sine, cosine) = (wave as f64 * angle).sin_cos();
                pair.copy_from_slice(&[cosine, sine]);
            }
        }
    }
}

/// The known values of a past, as means of neighbours.
pub(super) struct History {
    pub(super) rows: Vec<Row>,
    /// Steps from the first to the last row.
    pub(super) span: f64,
    /// Steps from the last row to the end of the past.
    pub(super) since_newest: i64,
    /// What values are measured in.
    pub(super) unit: f64,
    /// Squared distances of values from the means of their rows, in that unit.
    pub(super) within: f64,
    pub(super) count: f64,
}

pub(super) struct Row {
    /// From 0 to 1.
    pub(super) time: f64,
    /// Wall-clock step of its middle, and a share of a step.
    pub(super) index: i64,
    pub(super) share: f64,
    pub(super) count: f64,
    pub(super) value: f64,
    /// Of each calendar, the share of its steps that are in an occasion.
    pub(super) shares: Box<[f64]>,
}

impl History {
    pub(super) fn of(past: &Past<'_>, wall: &mut Wall, dates: &Dates) -> Option<Self> {
        let known = past.values.iter().filter(|value| value.is_finite()).count();
        let first = past.values.iter().position(|value| value.is_finite())?;
        let last = past.values.iter().rposition(|value| value.is_finite())?;
        let unit = past.values.iter().filter(|value| value.is_finite());
        let unit = unit.fold(0.0_f64, |most, &value| most.max(f64::from(value).abs()));
        if known < LEAST {
            return None;
        }
        let coarse = (last + 1 - first).div_ceil(MOST_ROWS);
        let mut history = Self {
            rows: Vec::new(),
            span: (last - first) as f64,
            since_newest: (past.values.len() - 1 - last) as i64,
            unit: if unit > 0.0 { unit } else { 1.0 },
            within: 0.0,
            count: known as f64,
        };
        for (number, values) in past.values[first..=last].chunks(coarse).enumerate() {
            let from = number * coarse;
            let index = wall.walk(past.time(first + from));
            let shares = |calendar: usize| {
                let known = values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| value.is_finite());
                let all =
                    known.map(|(place, _)| dates.share(calendar, past.time(first + from + place)));
                let (sum, count) =
                    all.fold((0.0, 0.0), |(sum, count), one| (sum + one, count + 1.0));
                if count > 0.0 { sum / count } else { 0.0 }
            };
            let shares = (0..dates.count()).map(shares).collect();
            history.push(from as f64, index, values, shares);
        }
        Some(history)
    }

    /// Adds the row of `values`, the first of which is `from` steps after the first of all.
    fn push(&mut self, from: f64, index: i64, values: &[f32], shares: Box<[f64]>) {
        let (mut count, mut sum, mut square) = (0.0, 0.0, 0.0);
        for &value in values.iter().filter(|value| value.is_finite()) {
            let value = f64::from(value) / self.unit;
            count += 1.0;
            sum += value;
            square += value * value;
        }
        if count > 0.0 {
            let middle = (values.len() - 1) as f64 / 2.0;
            self.within += (square - sum * sum / count).max(0.0);
            self.rows.push(Row {
                time: (from + middle) / self.span,
                index,
                share: middle,
                count,
                value: sum / count,
                shares,
            });
        }
    }

    /// Places where the trend may bend: evenly over the first rows, the very first left out.
    fn changepoints(&self) -> Vec<f64> {
        let rows = (CHANGEPOINT_RANGE * self.rows.len() as f64) as usize;
        let count = CHANGEPOINTS.min(rows.saturating_sub(1));
        let place = |number: usize| (number as f64 * (rows - 1) as f64 / count as f64).round();
        (1..=count)
            .map(|number| self.rows[place(number) as usize].time)
            .collect()
    }

    /// The trend at the end, and the weights of the waves and of the calendars; all in the unit.
    pub(super) fn fit(&self, waves: &Waves, scale: f64) -> Option<(Trend, Vec<f64>)> {
        let bends = self.changepoints();
        let sums = Sums::of(self, &bends, waves);
        let weights = sums.most_likely(bends.len(), scale)?;
        let (trend, seasonal) = weights.split_at(2 + bends.len());
        let mut end = Trend {
            level: trend[0] + trend[1],
            slope: trend[1],
        };
        for (bend, place) in trend[2..].iter().zip(&bends) {
            end.slope += bend;
            end.level += bend * (1.0 - place);
        }
        Some((end, seasonal.to_vec()))
    }
}

/// Where the trend ends, and its change per length of the past.
pub(super) struct Trend {
    pub(super) level: f64,
    pub(super) slope: f64,
}
