//! Dynamic harmonic regression: Fourier terms for the seasons, a regression for what they leave.
//!
//! After Hyndman & Athanasopoulos, "Forecasting: principles and practice" (3rd ed., section 10.5), with two
//! differences. The seasons are found by robust ridge regression around a moving level ([`course`]), so that no
//! number of waves has to be chosen; weekends may have their own shape. And what they leave is not an ARMA process that
//! is iterated, but forecast directly for each horizon from newest values, means, and the rest of a day and a week ago
//! ([`direct`]): the same error is better told apart far ahead, and no forecast explodes.
//!
//! Holidays and events of the signal's calendars are taken out before and put on again after ([`Effects`]).
//!
//! Cost: O(1) per step; eight bytes per coarse step (ten minutes, or a 96th of a day) of the longest season.

mod course;
mod direct;
mod echo;

pub(super) use course::course;
pub(super) use direct::{Echoes, SEASONS};
pub(super) use echo::Echo;

use super::{
    Forecaster, ModelFiles, Occasions,
    column::{PerSeries, per_series},
    occasions::Effects,
    profile::Profile,
    wall::Wall,
};
use crate::series::{Grid, Millis, Past, Slot};
use direct::{Direct, State};

/// Fewer values do not show how they go on.
const LEAST: usize = 24;

/// Nothing to set.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Set by the signal.
    #[serde(skip)]
    pub(super) occasions: Occasions,
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Course and rest of each series; `None` where it abstains.
#[derive(Debug)]
pub(super) struct Harmonic {
    wall: Wall,
    grid: Grid,
    longest: usize,
    effects: Effects,
    models: PerSeries<Model>,
}

#[derive(Debug)]
struct Model {
    profile: Option<Profile>,
    direct: Direct,
    state: State,
    now: Millis,
}

impl Model {
    fn rest(&self, index: i64, value: f32) -> f64 {
        rest(self.profile.as_ref(), index, value)
    }
}

/// What the seasons leave of `value` at the wall-clock step `index`.
fn rest(profile: Option<&Profile>, index: i64, value: f32) -> f64 {
    let course = profile.map_or(0.0, |profile| profile.at(index));
    f64::from(value) - f64::from(course)
}

impl Harmonic {
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
            longest: horizons.iter().copied().max().unwrap_or(1),
            effects: Effects::new(&settings.occasions, grid, horizons),
            models: PerSeries::new(),
        })
    }

    fn learn(&mut self, past: &Past<'_>) -> Option<Model> {
        let known = past.values.iter().filter(|value| value.is_finite()).count();
        if known < LEAST {
            return None;
        }
        self.wall.set_zone(past.zone);
        let profile = course(past, &mut self.wall);
        let rests: Vec<f64> = past
            .values
            .iter()
            .enumerate()
            .map(|(place, &value)| rest(profile.as_ref(), self.wall.walk(past.time(place)), value))
            .collect();
        let first = self.grid.index(past.time(0));
        let (direct, state) = Direct::fit(first, &rests, past.seasons, self.longest);
        Some(Model {
            profile,
            direct,
            state,
            now: past.end,
        })
    }
}

impl Forecaster for Harmonic {
    fn kind(&self) -> &'static str {
        "harmonic"
    }

    per_series!(models, effects);

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let values = self.effects.learn(slot, past);
        let model = self.learn(&Past {
            values: &values,
            ..*past
        });
        self.models.put(slot, model)
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let (wall, index) = (self.wall.walk(at), self.grid.index(at));
        let values = self.effects.without(at, slots, values);
        self.models.extend(slots, &values, |model, value| {
            let rest = model.rest(wall, value);
            model.state.step(&model.direct, index, rest);
            model.now = at;
        });
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut targets = self.wall.targets(horizons);
        self.models
            .predict(slots, horizons.len(), out, |slot, model, row| {
                let walls = targets.after(model.now);
                let now = self.grid.index(model.now);
                for ((out, &steps), &wall) in row.iter_mut().zip(horizons).zip(walls) {
                    let rest = model.direct.expect(&model.state, now + steps as i64);
                    let course = model
                        .profile
                        .as_ref()
                        .map_or(0.0, |profile| profile.at(wall));
                    let at = model.now + steps as i64 * self.grid.step();
                    *out = self
                        .effects
                        .with(slot, at, (rest + f64::from(course)) as f32);
                }
            });
    }

    fn heap_bytes(&self) -> usize {
        let held = |model: &Model| {
            let profile = model.profile.as_ref().map_or(0, Profile::heap_bytes);
            profile + model.direct.heap_bytes() + model.state.heap_bytes()
        };
        self.effects.heap_bytes() + self.models.heap_bytes(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;

    const HOUR: Millis = 3_600_000;
    const DAY: usize = 24;

    fn harmonic() -> Harmonic {
        let grid = Grid::new(HOUR).unwrap();
        let settings = Settings::default();
        let mut harmonic = Harmonic::build(&settings, grid, &[1, DAY], &ModelFiles::new()).unwrap();
        harmonic.grow(2);
        harmonic
    }

    fn fit(harmonic: &mut Harmonic, values: &[f32], zone: &Zone) -> bool {
        let past = Past {
            end: (values.len() as i64 - 1) * HOUR,
            grid: harmonic.grid,
            values,
            seasons: &[DAY, 7 * DAY],
            zone,
        };
        harmonic.fit(0, &past)
    }

    fn ahead(harmonic: &Harmonic, horizons: &[usize]) -> Vec<f32> {
        let mut out = vec![0.0; horizons.len()];
        harmonic.predict(&[0], horizons, &mut out);
        out
    }

    /// Less on Saturdays and Sundays; the first day is a Thursday.
    fn usual(hour: usize) -> f32 {
        let weekend = matches!(hour / DAY % 7, 2 | 3);
        let wave = (hour as f32 / DAY as f32 * std::f32::consts::TAU).sin();
        100.0 + if weekend { 6.0 } else { 20.0 } * wave
    }

    fn noisy(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(3);
        let noise = |hour| usual(hour) + 2.0 * (random.f32() - 0.5);
        (0..count).map(noise).collect()
    }

    #[test]
    fn weekends_and_working_days_have_their_own_course() {
        // It ends on a Friday, at midnight.
        let values = noisy(37 * DAY);
        let mut harmonic = harmonic();
        assert!(fit(&mut harmonic, &values, &Zone::default()));
        for steps in 1..=DAY {
            let (got, expected) = (ahead(&harmonic, &[steps])[0], usual(37 * DAY - 1 + steps));
            assert!((got - expected).abs() < 2.5, "{steps}: {got} {expected}");
        }
    }

    #[test]
    fn carried_on_equals_a_refit_with_the_same_parameters() {
        let mut values = noisy(30 * DAY);
        let from = 27 * DAY;
        values[from + 5..from + 9].fill(f32::NAN);
        let mut carried = harmonic();
        assert!(fit(&mut carried, &values[..from], &Zone::default()));
        for (hour, &value) in values.iter().enumerate().skip(from) {
            carried.extend(hour as i64 * HOUR, &[0], &[value]);
        }
        let model = carried.models.of(0);
        let rest = |(hour, &value)| model.rest(hour as i64, value);
        let rests: Vec<f64> = values.iter().enumerate().map(rest).collect();
        let whole = model.direct.state_after(0, &rests);
        // As text: what is not known is NaN.
        assert_eq!(format!("{:?}", model.state), format!("{whole:?}"));
        let (got, expected) = (ahead(&carried, &[6])[0], usual(30 * DAY + 5));
        assert!((got - expected).abs() < 2.5, "{got} {expected}");
    }

    #[test]
    fn the_course_follows_the_wall_clock() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let grid = Grid::new(HOUR).unwrap();
        // 2025-10-24 22:00 UTC, midnight of Saturday; on Sunday the clock is set back at 1:00 UTC.
        let midnight = 1_761_343_200_000_i64;
        let local = |at: Millis| {
            (at + zone.offset(at))
                .div_euclid(HOUR)
                .rem_euclid(DAY as i64)
        };
        let value = |at: Millis| if local(at) == 9 { 50.0 } else { 10.0 };
        let end = midnight + 12 * HOUR;
        let values: Vec<f32> = (0..20 * DAY as i64)
            .rev()
            .map(|back| value(end - back * HOUR))
            .collect();
        let past = Past {
            end,
            grid,
            values: &values,
            seasons: &[DAY],
            zone: &zone,
        };
        let mut harmonic = harmonic();
        assert!(harmonic.fit(0, &past));
        // Nine o'clock of Sunday is 25 hours after that of Saturday, which is three hours ago.
        let out = ahead(&harmonic, &[20, 21, 22, 23]);
        assert!(out[2] > 40.0, "{out:?}");
        assert!(out[0] < 20.0 && out[1] < 20.0 && out[3] < 20.0, "{out:?}");
    }

    #[test]
    fn with_too_little_it_abstains() {
        let mut harmonic = harmonic();
        let mut values = [f32::NAN; 60];
        values[3..26].fill(5.0);
        assert!(!fit(&mut harmonic, &values, &Zone::default()));
        assert!(ahead(&harmonic, &[1])[0].is_nan());
        values[40] = 5.0;
        assert!(fit(&mut harmonic, &values, &Zone::default()));
        assert_eq!(ahead(&harmonic, &[1, 30]), [5.0, 5.0]);
    }
}
