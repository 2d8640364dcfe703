//! Prophet's model: a trend that bends at few of many possible places, and Fourier terms for day and week.
//!
//! Taylor & Letham, "Forecasting at scale" (2018), with the defaults of Prophet 1.x: values in units of the largest,
//! time from 0 to 1; `y(t) = k t + m + sum(d_j max(t - s_j, 0)) + waves + noise`, 25 places `s_j` over the first four
//! fifths of the past; `k`, `m` normal with deviation 5, `d` Laplace with scale 0.05, waves (4 pairs for a day, 3 for a
//! week) normal with deviation 10, the noise half-normal with deviation 0.5. Prophet looks for the most likely
//! parameters with Stan; here the Laplace prior is majorised by squares, renewed until it settles (as in Hunter & Li,
//! "Variable selection using MM algorithms", 2005), so that each round is one linear system; the noise follows in
//! closed form.
//!
//! It reads the calendar only: newest values change nothing until it learns anew. That makes it weak for the next hour
//! and hard to mislead about tomorrow. What goes on for longer than half of what was seen stays where it is. Of the holidays and
//! events of the signal each calendar is one more term, with the deviation of the waves as Prophet has it. Cost: a few hundred bytes; nothing per step; 2 ms to learn.

mod history;
mod posterior;

use super::{
    Forecaster, ModelFiles, Occasions,
    column::{PerSeries, per_series},
    occasions::Dates,
    wall::Wall,
};
use crate::{
    series::{Grid, Millis, Past, Slot},
    stats::linear::dot,
};
use history::{History, Waves};

/// Prophet's default.
const CHANGEPOINT_SCALE: f64 = 0.05;
/// Bends of other sizes than these are never wanted, or all of them are.
const SCALES: (f64, f64) = (1e-3, 10.0);

/// How readily the trend bends.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Typical change of the slope at a bend: in units of the largest value per length of the past. 0.001 to 10.
    pub changepoint_prior_scale: f64,
    /// Set by the signal.
    #[serde(skip)]
    pub(super) occasions: Occasions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            changepoint_prior_scale: CHANGEPOINT_SCALE,
            occasions: Occasions::default(),
        }
    }
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        let scale = self.changepoint_prior_scale;
        if (SCALES.0..=SCALES.1).contains(&scale) {
            return Vec::new();
        }
        let text = format!("{scale} is not within {} to {}", SCALES.0, SCALES.1);
        vec![("changepoint_prior_scale".to_owned(), text)]
    }
}

/// Trend and waves of each series; `None` where it abstains.
#[derive(Debug)]
pub(super) struct Prophet {
    wall: Wall,
    grid: Grid,
    scale: f64,
    dates: Dates,
    longest: Millis,
    models: PerSeries<Model>,
}

#[derive(Debug)]
struct Model {
    /// Where the trend is at `end`, and its change per step from there.
    level: f64,
    slope: f64,
    end: Millis,
    waves: Waves,
    weights: Box<[f64]>,
    /// Steps after the end that the trend is carried on, half of those it was seen on; then it stays where it is.
    reach: i64,
    now: Millis,
}

impl Prophet {
    /// See [`super::ModelSettings::build`].
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every forecaster is built the same way"
    )]
    pub(super) fn build(
        settings: &Settings,
        grid: Grid,
        horizons: &[usize],
        _files: &ModelFiles,
    ) -> Result<Self, String> {
        Ok(Self {
            wall: Wall::new(grid),
            grid,
            scale: settings.changepoint_prior_scale,
            dates: Dates::new(&settings.occasions, grid),
            longest: horizons.iter().copied().max().unwrap_or(1) as i64 * grid.step(),
            models: PerSeries::new(),
        })
    }

    fn learn(&mut self, past: &Past<'_>) -> Option<Model> {
        self.wall.set_zone(past.zone);
        let waves = Waves::of(past);
        self.dates.cover(past.time(0), past.end + self.longest);
        let history = History::of(past, &mut self.wall, &self.dates)?;
        let (trend, weights) = history.fit(&waves, self.scale)?;
        let unit = history.unit;
        Some(Model {
            level: unit * trend.level,
            slope: unit * trend.slope / history.span,
            end: past.end - history.since_newest * self.grid.step(),
            waves,
            weights: weights.iter().map(|weight| unit * weight).collect(),
            reach: (history.span / 2.0) as i64 + 1,
            now: past.end,
        })
    }
}

impl Model {
    /// Expected value at `at`, where the wall clock is at step `index`.
    fn at(&self, at: Millis, index: i64, step: Millis, dates: &Dates, terms: &mut Vec<f64>) -> f64 {
        let steps = ((at - self.end) / step).min(self.reach);
        terms.resize(self.weights.len(), 0.0);
        let (waves, shares) = terms.split_at_mut(self.waves.terms());
        self.waves.put(index, 0.0, waves);
        for (calendar, share) in shares.iter_mut().enumerate() {
            *share = dates.share(calendar, at);
        }
        self.level + self.slope * steps as f64 + dot(terms, &self.weights)
    }
}

impl Forecaster for Prophet {
    fn kind(&self) -> &'static str {
        "prophet"
    }

    per_series!(models);

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let model = self.learn(past);
        self.models.put(slot, model)
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        self.dates.cover(at, at + self.longest);
        self.models.extend(slots, values, |model, _| model.now = at);
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut targets = self.wall.targets(horizons);
        let mut terms = Vec::new();
        self.models
            .predict(slots, horizons.len(), out, |_, model, row| {
                let walls = targets.after(model.now);
                for ((out, &steps), &wall) in row.iter_mut().zip(horizons).zip(walls) {
                    let at = model.now + steps as i64 * self.grid.step();
                    let step = self.grid.step();
                    *out = model.at(at, wall, step, &self.dates, &mut terms) as f32;
                }
            });
    }

    fn heap_bytes(&self) -> usize {
        let held = |model: &Model| size_of_val(&*model.weights) + model.waves.heap_bytes();
        self.models.heap_bytes(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Calendar, Zone, calendar::Interval};
    use std::sync::Arc;

    /// As Prophet itself has it.
    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        values: Vec<Option<f32>>,
        ahead: Vec<f32>,
        noise: f32,
        /// Of each kind, the days.
        holidays: Vec<Vec<i64>>,
    }

    /// A calendar of each kind. Prophet's hour of a day begins with it, a step ends at its grid time.
    fn occasions(kinds: &[Vec<i64>]) -> Occasions {
        let calendar = |days: &Vec<i64>| {
            let hours = |from: i64| Interval {
                from: (from - 1) * HOUR,
                to: (from + DAY as i64 - 1) * HOUR,
            };
            let spans = days.iter().map(|day| hours(day * DAY as i64));
            Arc::new(Calendar::from_intervals(spans.collect()))
        };
        Occasions::new(kinds.iter().map(calendar))
    }

    const HOUR: Millis = 3_600_000;
    const DAY: usize = 24;

    fn prophet() -> Prophet {
        prophet_with(Occasions::default())
    }

    fn prophet_with(occasions: Occasions) -> Prophet {
        let grid = Grid::new(HOUR).unwrap();
        let settings = Settings {
            occasions,
            ..Settings::default()
        };
        let mut prophet = Prophet::build(&settings, grid, &[48], &ModelFiles::new()).unwrap();
        prophet.grow(2);
        prophet
    }

    fn learn(prophet: &mut Prophet, values: &[f32]) -> bool {
        let zone = Zone::default();
        let past = Past {
            end: (values.len() as i64 - 1) * HOUR,
            grid: prophet.grid,
            values,
            seasons: &[],
            zone: &zone,
        };
        prophet.fit(0, &past)
    }

    fn ahead(prophet: &Prophet, horizons: &[usize]) -> Vec<f32> {
        let mut out = vec![0.0; horizons.len()];
        prophet.predict(&[0], horizons, &mut out);
        out
    }

    /// Made by `tests/fixtures/forecast/make_prophet.py`. What is left is how far either search went; the noise is a
    /// tenth of the range of the values, and less.
    #[test]
    fn agrees_with_prophet() {
        let text = include_str!("../../../tests/fixtures/forecast/prophet.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let values = case.values.iter().map(|value| value.unwrap_or(f32::NAN));
            let values: Vec<f32> = values.collect();
            let mut prophet = prophet_with(occasions(&case.holidays));
            assert!(learn(&mut prophet, &values));
            let horizons: Vec<usize> = (1..=case.ahead.len()).collect();
            let got = ahead(&prophet, &horizons);
            let apart: Vec<f32> = got
                .iter()
                .zip(&case.ahead)
                .map(|(a, b)| (a - b).abs() / case.noise)
                .collect();
            let most = apart.iter().copied().fold(0.0, f32::max);
            let mean = apart.iter().sum::<f32>() / apart.len() as f32;
            assert!(mean < 0.05 && most < 0.1, "{}: {mean} {most}", case.name);
        }
    }

    #[test]
    fn newest_values_change_nothing_until_it_learns_anew() {
        let values: Vec<f32> = (0..20 * DAY)
            .map(|hour| 50.0 + 8.0 * (hour as f32 / DAY as f32 * std::f32::consts::TAU).sin())
            .collect();
        let mut carried = prophet();
        assert!(learn(&mut carried, &values[..18 * DAY]));
        let expected = ahead(&carried, &[2 * DAY + 1, 2 * DAY + 7]);
        for (hour, value) in values.iter().enumerate().skip(18 * DAY) {
            carried.extend(hour as i64 * HOUR, &[0], &[value + 100.0]);
        }
        assert_eq!(ahead(&carried, &[1, 7]), expected);
        let mut fresh = prophet();
        assert!(learn(&mut fresh, &values));
        for (got, expected) in ahead(&fresh, &[1, 7]).into_iter().zip(expected) {
            assert!((got - expected).abs() < 0.1, "{got} {expected}");
        }
    }

    #[test]
    fn a_trend_is_carried_on_for_half_of_what_it_was_seen_on() {
        let line: Vec<f32> = (0..60).map(|hour| 10.0 + hour as f32).collect();
        let mut prophet = prophet();
        assert!(learn(&mut prophet, &line[..40]));
        let out = ahead(&prophet, &[1, 20, 21, 100]);
        assert!(
            (out[0] - 50.0).abs() < 1.0 && (out[1] - 69.0).abs() < 2.0,
            "{out:?}"
        );
        assert_eq!(out[2..], [out[1]; 2]);
        // The end is the newest value there is.
        let mut gap = line.clone();
        gap[40..].fill(f32::NAN);
        assert!(learn(&mut prophet, &gap));
        let out = ahead(&prophet, &[0, 1]);
        assert!((out[0] - 69.0).abs() < 2.0 && out[1] == out[0], "{out:?}");
    }

    #[test]
    fn with_too_little_it_abstains_and_a_constant_stays() {
        let mut prophet = prophet();
        let mut values = [f32::NAN; 60];
        values[3..26].fill(5.0);
        assert!(!learn(&mut prophet, &values));
        assert!(ahead(&prophet, &[1])[0].is_nan());
        for constant in [0.0, 5.0, -3e9] {
            assert!(learn(&mut prophet, &[constant; 60]));
            let out = ahead(&prophet, &[1, 29])[1];
            assert!((out - constant).abs() <= constant.abs() * 1e-5, "{out}");
        }
    }

    #[test]
    fn bends_have_a_scale_of_a_thousandth_to_ten() {
        assert!(Settings::default().validate().is_empty());
        for changepoint_prior_scale in [0.0, 11.0, f64::NAN] {
            let settings = Settings {
                changepoint_prior_scale,
                ..Settings::default()
            };
            assert_eq!(settings.validate()[0].0, "changepoint_prior_scale");
        }
    }
}
