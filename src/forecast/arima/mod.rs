//! ARIMA on what the seasons leave: the next values are those that the last ones and their errors make likely.
//!
//! Box & Jenkins, "Time Series Analysis" (1970). The seasons are taken away first ([`super::harmonic`] finds them
//! too): a seasonal order at a lag of 288 or 1,440 steps costs seconds, and does no better. Whether to difference,
//! and the order (at most 5 values, 2 errors), are chosen on a bounded recent stretch ([`order`]); parameters are
//! those of least squares, with every root outside the unit circle ([`process`]): no forecast explodes. There is no
//! drift: what differencing leaves goes nowhere. Cost: O(1) per step and per forecast, a walk of each part of the state
//! to the longest horizon per fit; 150 bytes, 56 per horizon and the course of the longest season.

mod order;
mod process;

use super::{
    Forecaster, ModelFiles,
    column::{PerSeries, per_series},
    harmonic::course,
    profile::Profile,
    wall::Wall,
};
use crate::series::{Grid, Millis, Past, Slot};
use order::{choose, is_still, wanders};
use process::{Ahead, MOST_AR, MOST_MA, Order, Process, State};

/// Parameters are learnt from this many newest values: more would average over what has changed.
const STRETCH: usize = 4_096;
/// Fewer values do not show how they follow each other.
const LEAST: usize = 24;

/// Which order.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Values, differences, errors: up to 5, 1, 2. Left out: of each series the one with the least AICc.
    pub order: Option<[usize; 3]>,
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        match self.order {
            Some([ar, differences, ma]) if ar > MOST_AR || differences > 1 || ma > MOST_MA => {
                let text = format!(
                    "[{ar}, {differences}, {ma}] is over [{MOST_AR}, 1, {MOST_MA}]: values, differences, errors"
                );
                vec![("order".to_owned(), text)]
            }
            _ => Vec::new(),
        }
    }

    fn given(&self) -> Option<Order> {
        self.order.map(|[ar, differences, ma]| Order {
            ar,
            differenced: differences > 0,
            ma,
        })
    }
}

/// Course and process of each series; `None` where it abstains.
#[derive(Debug)]
pub(super) struct Arima {
    wall: Wall,
    horizons: Vec<usize>,
    given: Option<Order>,
    models: PerSeries<Model>,
}

#[derive(Debug)]
struct Model {
    profile: Option<Profile>,
    process: Process,
    /// At the horizons that are usually asked for.
    ahead: Ahead,
    state: State,
    now: Millis,
}

impl Model {
    fn course(&self, wall: i64) -> f64 {
        let profile = self.profile.as_ref();
        profile.map_or(0.0, |profile| f64::from(profile.at(wall)))
    }
}

impl Arima {
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
            horizons: horizons.to_vec(),
            given: settings.given(),
            models: PerSeries::new(),
        })
    }

    fn learn(&mut self, past: &Past<'_>) -> Option<Model> {
        self.wall.set_zone(past.zone);
        let profile = course(past, &mut self.wall);
        let recent = past.tail(STRETCH);
        let rests: Vec<f64> = (0..recent.values.len())
            .map(|place| {
                let wall = self.wall.walk(recent.time(place));
                let course = profile.as_ref().map_or(0.0, |profile| profile.at(wall));
                f64::from(recent.values[place]) - f64::from(course)
            })
            .collect();
        let process = fit(&rests, self.given)?;
        let state = State::after(&process, &rests)?;
        Some(Model {
            profile,
            ahead: Ahead::new(&process, &self.horizons),
            process,
            state,
            now: past.end,
        })
    }
}

/// The process behind `values` (`NaN` where missing); `None` where they are too few.
fn fit(values: &[f64], given: Option<Order>) -> Option<Process> {
    let known = values.iter().filter(|value| value.is_finite());
    let (sum, count) = known.fold((0.0, 0_usize), |(sum, count), value| {
        (sum + value, count + 1)
    });
    if count < LEAST {
        return None;
    }
    let mean = sum / count as f64;
    let differenced = given.map_or_else(|| wanders(values), |order| order.differenced);
    let changes: Vec<f64> = if differenced {
        values.windows(2).map(|pair| pair[1] - pair[0]).collect()
    } else {
        values.iter().map(|value| value - mean).collect()
    };
    let still = Process::still(differenced, mean);
    if is_still(&changes, values) {
        return Some(still);
    }
    let Some((order, first)) = choose(&changes, differenced, given) else {
        return Some(still);
    };
    let first = Process {
        mean: still.mean,
        ..first
    };
    Some(first.refine(order, values))
}

impl Forecaster for Arima {
    fn kind(&self) -> &'static str {
        "arima"
    }

    per_series!(models);

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let model = self.learn(past);
        self.models.put(slot, model)
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let wall = self.wall.walk(at);
        self.models.extend(slots, values, |model, value| {
            let rest = f64::from(value) - model.course(wall);
            model.state.step(&model.process, rest);
            model.now = at;
        });
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut targets = self.wall.targets(horizons);
        self.models
            .predict(slots, horizons.len(), out, |_, model, row| {
                let walls = targets.after(model.now);
                let other =
                    (horizons != self.horizons).then(|| Ahead::new(&model.process, horizons));
                let ahead = other.as_ref().unwrap_or(&model.ahead);
                let rests = ahead.of(&model.process, &model.state);
                for ((out, rest), &wall) in row.iter_mut().zip(rests).zip(walls) {
                    *out = (rest + model.course(wall)) as f32;
                }
            });
    }

    fn heap_bytes(&self) -> usize {
        let held = |model: &Model| {
            let profile = model.profile.as_ref().map_or(0, Profile::heap_bytes);
            profile + model.ahead.heap_bytes()
        };
        self.models.heap_bytes(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;

    /// As `statsmodels` has it.
    #[derive(serde::Deserialize)]
    struct Case {
        order: [usize; 3],
        values: Vec<f64>,
        mean: f64,
        ar: Vec<f64>,
        ma: Vec<f64>,
        ahead: Vec<f64>,
    }

    const HOUR: Millis = 3_600_000;
    const DAY: usize = 24;

    /// Made by `tests/fixtures/forecast/make_arima.py`.
    fn cases() -> Vec<Case> {
        serde_json::from_str(include_str!("../../../tests/fixtures/forecast/arima.json")).unwrap()
    }

    fn arima(settings: &Settings) -> Arima {
        let grid = Grid::new(HOUR).unwrap();
        let mut arima = Arima::build(settings, grid, &[], &ModelFiles::new()).unwrap();
        arima.grow(2);
        arima
    }

    fn learn(arima: &mut Arima, values: &[f32], seasons: &[usize]) -> bool {
        let zone = Zone::default();
        let past = Past {
            end: (values.len() as i64 - 1) * HOUR,
            grid: Grid::new(HOUR).unwrap(),
            values,
            seasons,
            zone: &zone,
        };
        arima.fit(0, &past)
    }

    fn ahead(arima: &Arima, horizons: &[usize]) -> Vec<f32> {
        let mut out = vec![0.0; horizons.len()];
        arima.predict(&[0], horizons, &mut out);
        out
    }

    /// A day, a slowly fading rest, and noise.
    fn noisy(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(5);
        let mut rest = 0.0;
        (0..count)
            .map(|hour| {
                rest = 0.8 * rest + random.f32() - 0.5;
                let wave = (hour as f32 / DAY as f32 * std::f32::consts::TAU).sin();
                100.0 + 20.0 * wave + rest
            })
            .collect()
    }

    #[test]
    fn forecasts_of_given_parameters_are_those_of_statsmodels() {
        for case in cases() {
            let mut process = Process::still(case.order[1] > 0, case.mean);
            process.ar[..case.ar.len()].copy_from_slice(&case.ar);
            process.ma[..case.ma.len()].copy_from_slice(&case.ma);
            let state = State::after(&process, &case.values).unwrap();
            let horizons: Vec<usize> = (1..=case.ahead.len()).collect();
            for (got, expected) in state.ahead(&process, &horizons).zip(&case.ahead) {
                assert!(
                    (got - expected).abs() < 1e-4,
                    "{:?}: {got} {expected}",
                    case.order
                );
            }
        }
    }

    /// Least squares given the first values, not the greatest likelihood: near, not equal. The noise is 1.5.
    #[test]
    fn a_given_order_is_estimated_as_by_statsmodels() {
        for case in cases() {
            let settings = Settings {
                order: Some(case.order),
            };
            let process = fit(&case.values, settings.given()).unwrap();
            let pairs = process
                .ar
                .iter()
                .zip(&case.ar)
                .chain(process.ma.iter().zip(&case.ma));
            for (got, expected) in pairs {
                assert!(
                    (got - expected).abs() < 0.02,
                    "{:?} {process:?}",
                    case.order
                );
            }
            assert!(
                (process.mean - case.mean).abs() < 0.1,
                "{process:?} {}",
                case.mean
            );
            assert!((process.error - 1.5).abs() < 0.15, "{process:?}");
            let state = State::after(&process, &case.values).unwrap();
            for (got, expected) in state.ahead(&process, &[1, 6, 24]).zip([0, 5, 23]) {
                let expected = case.ahead[expected];
                assert!(
                    (got - expected).abs() < 0.15,
                    "{:?}: {got} {expected}",
                    case.order
                );
            }
        }
    }

    #[test]
    fn seasons_go_on_and_the_rest_fades() {
        let mut values = noisy(40 * DAY);
        let last = values.len() - 1;
        values[last] += 10.0;
        let mut arima = arima(&Settings::default());
        assert!(learn(&mut arima, &values, &[DAY]));
        let usual = |steps: usize| {
            let hour = (last + steps) as f32;
            100.0 + 20.0 * (hour / DAY as f32 * std::f32::consts::TAU).sin()
        };
        let out = ahead(&arima, &[1, DAY]);
        let near = out[0] - usual(1);
        assert!((5.0..11.0).contains(&near), "{near}");
        assert!((out[1] - usual(DAY)).abs() < 1.5, "{out:?} {}", usual(DAY));
    }

    #[test]
    fn carried_on_equals_a_refit_with_the_same_parameters() {
        let mut values = noisy(30 * DAY);
        let from = 27 * DAY;
        values[from + 5..from + 9].fill(f32::NAN);
        let mut carried = arima(&Settings::default());
        assert!(learn(&mut carried, &values[..from], &[DAY]));
        let before = carried.models.of(0).state;
        for (hour, &value) in values.iter().enumerate().skip(from) {
            carried.extend(hour as i64 * HOUR, &[0], &[value]);
        }
        let model = carried.models.of(0);
        let rests: Vec<f64> = (0..values.len())
            .map(|hour| f64::from(values[hour]) - model.course(hour as i64))
            .collect();
        assert_eq!(Some(model.state), State::after(&model.process, &rests));
        assert_ne!(before, model.state);
    }

    #[test]
    fn with_too_little_it_abstains_and_a_constant_stays() {
        let mut arima = arima(&Settings::default());
        let mut values = [f32::NAN; 60];
        values[3..26].fill(5.0);
        assert!(!learn(&mut arima, &values, &[]));
        assert!(ahead(&arima, &[1])[0].is_nan());
        values[40] = 5.0;
        assert!(learn(&mut arima, &values, &[]));
        assert_eq!(ahead(&arima, &[1, 30]), [5.0, 5.0]);
    }

    #[test]
    fn sparse_counts_are_forecast_within_what_was_seen() {
        let mut random = fastrand::Rng::with_seed(8);
        let values: Vec<f32> = (0..900).map(|_| f32::from(random.u8(..) < 6)).collect();
        let mut arima = arima(&Settings::default());
        assert!(learn(&mut arima, &values, &[]));
        for value in ahead(&arima, &[1, 24, 500]) {
            assert!((-0.2..0.5).contains(&value), "{value}");
        }
    }

    #[test]
    fn an_order_is_up_to_five_one_and_two() {
        let check = |order| Settings { order }.validate();
        assert!(check(None).is_empty() && check(Some([5, 1, 2])).is_empty());
        for order in [[6, 0, 0], [0, 2, 0], [0, 0, 3]] {
            assert_eq!(check(Some(order))[0].0, "order");
        }
    }
}
