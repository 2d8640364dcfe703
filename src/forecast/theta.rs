//! Theta: the level goes on with half the slope of the past, on the seasonally adjusted series. Hard to beat
//! where there is a trend that recent values alone show badly.
//!
//! Assimakopoulos & Nikolopoulos, "The theta model" (2000), in the form of Hyndman & Billah, "Unmasking the
//! Theta method" (2003): simple exponential smoothing with a drift of `(1 - 1 / theta)` of the slope of the
//! least-squares line, which `theta: 2` makes the half. They forecast
//!
//! ```text
//! X(n + h) = SES(n) + drift * (h - 1 + 1 / alpha - (1 - alpha)^n / alpha)
//! ```
//!
//! and that is what smoothing gives whose level moves by the drift at each step, started one drift below its
//! first level: no number of steps has to be kept, and a gap is passed along the drift. The line is laid
//! through the whole past, alpha is learnt on a bounded recent stretch as in [`super::ets`].
//!
//! Seasons are those of MSTL, see [`super::profile`]. They are factors where that is safe, which is where all
//! values are positive and none is far from the others: a share of next to nothing is noise. Else they are
//! added. Cost: O(1) per step; four bytes per coarse step of the longest season.

use super::{
    Forecaster, ModelFiles,
    column::{PerSeries, per_series},
    ets::STRETCH,
    profile::{Profile, decompose},
    smoothing::{Form, State, optimise},
    wall::Wall,
};
use crate::series::{Grid, Millis, Past, Slot};

/// The standard method.
const THETA: f64 = 2.0;
/// From here on the drift is within a hundredth of the whole slope.
const MOST_THETA: f64 = 100.0;
/// Fewer values do not show a level, let alone a trend.
const LEAST: usize = 12;
/// Seasons are factors where the greatest value is at most this many times the least.
const MOST_SPREAD: f32 = 10.0;

/// How much of the trend goes on.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `1 - 1 / theta` of the slope goes on: none at 1, half of it at 2. 1 to 100.
    pub theta: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { theta: THETA }
    }
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        if (1.0..=MOST_THETA).contains(&self.theta) {
            return Vec::new();
        }
        let text = format!("{} is not within 1 to {MOST_THETA}", self.theta);
        vec![("theta".to_owned(), text)]
    }
}

/// Season and line of each series; `None` where it abstains.
#[derive(Debug)]
pub(super) struct Theta {
    wall: Wall,
    theta: f64,
    models: PerSeries<Model>,
}

#[derive(Debug)]
struct Model {
    season: Season,
    line: Line,
    now: Millis,
}

/// What the time of the season makes of the level.
#[derive(Debug)]
enum Season {
    None,
    Added(Profile),
    /// Logarithms of the factors.
    Factor(Profile),
}

/// Simple exponential smoothing with drift.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// Weight of the newest error in the level.
    alpha: f64,
    /// Change per step.
    drift: f64,
    level: f64,
}

impl Theta {
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
            wall: Wall::new(grid),
            theta: settings.theta,
            models: PerSeries::new(),
        })
    }

    fn learn(&mut self, past: &Past<'_>) -> Option<Model> {
        self.wall.set_zone(past.zone);
        let season = Season::of(past, &mut self.wall);
        let adjusted: Vec<f32> = past
            .values
            .iter()
            .enumerate()
            .map(|(index, &value)| season.without(self.wall.walk(past.time(index)), value))
            .collect();
        Some(Model {
            season,
            line: Line::fit(&adjusted, self.theta)?,
            now: past.end,
        })
    }
}

impl Season {
    fn of(past: &Past<'_>, wall: &mut Wall) -> Self {
        if past.seasons.is_empty() {
            return Self::None;
        }
        if !bears_factors(past.values) {
            return decompose(past, wall).map_or(Self::None, Self::Added);
        }
        let logarithms: Vec<f32> = past.values.iter().map(|value| value.ln()).collect();
        let past = Past {
            values: &logarithms,
            ..*past
        };
        decompose(&past, wall).map_or(Self::None, Self::Factor)
    }

    /// `value` of the wall-clock step `index`, seasonally adjusted.
    fn without(&self, index: i64, value: f32) -> f32 {
        match self {
            Self::None => value,
            Self::Added(profile) => value - profile.at(index),
            Self::Factor(profile) => value / profile.at(index).exp(),
        }
    }

    /// What a seasonally adjusted `value` is at the wall-clock step `index`.
    fn with(&self, index: i64, value: f32) -> f32 {
        match self {
            Self::None => value,
            Self::Added(profile) => value + profile.at(index),
            Self::Factor(profile) => value * profile.at(index).exp(),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Added(profile) | Self::Factor(profile) => profile.heap_bytes(),
        }
    }
}

/// Whether seasons of these values may be factors.
fn bears_factors(values: &[f32]) -> bool {
    let (mut least, mut greatest) = (f32::INFINITY, f32::NEG_INFINITY);
    for &value in values.iter().filter(|value| value.is_finite()) {
        least = least.min(value);
        greatest = greatest.max(value);
    }
    0.0 < least && least <= greatest && greatest <= MOST_SPREAD * least
}

impl Line {
    /// As of before the first value, which is expected to be `level`.
    fn start(alpha: f64, drift: f64, level: f64) -> Self {
        Self {
            alpha,
            drift,
            level: level - drift,
        }
    }

    /// Learns from `values` and takes them in; `None` where they are too few.
    fn fit(values: &[f32], theta: f64) -> Option<Self> {
        let from = values.iter().position(|value| value.is_finite())?;
        let values = &values[from..];
        let drift = (1.0 - 1.0 / theta) * slope(values)?;
        let recent = &values[values.len().saturating_sub(STRETCH)..];
        let start = State::start(recent)?;
        let (smoothing, _) = optimise(Form::Simple, start, recent);
        let mut line = Self::start(smoothing.alpha, drift, State::start(values)?.level);
        values.iter().for_each(|&value| line.step(value));
        Some(line)
    }

    /// Takes in the next value; through a missing one the line goes on.
    fn step(&mut self, value: f32) {
        self.level += self.drift;
        if value.is_finite() {
            self.level += self.alpha * (f64::from(value) - self.level);
        }
    }

    /// Expected value `steps` ahead.
    fn ahead(&self, steps: usize) -> f64 {
        self.level + self.drift * steps as f64
    }
}

/// Change per step of the least-squares line through the values there are; `None` where they are too few.
fn slope(values: &[f32]) -> Option<f64> {
    let known = || {
        let places = values.iter().enumerate();
        let known = places.filter(|(_, value)| value.is_finite());
        known.map(|(place, &value)| (place as f64, f64::from(value)))
    };
    let count = known().count();
    if count < LEAST {
        return None;
    }
    let sums = known().fold((0.0, 0.0), |sums, (place, value)| {
        (sums.0 + place, sums.1 + value)
    });
    let middle = (sums.0 / count as f64, sums.1 / count as f64);
    let (mut shared, mut own) = (0.0, 0.0);
    for (place, value) in known() {
        let distance = place - middle.0;
        shared += distance * (value - middle.1);
        own += distance * distance;
    }
    Some(shared / own)
}

impl Forecaster for Theta {
    fn kind(&self) -> &'static str {
        "theta"
    }

    per_series!(models);

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let model = self.learn(past);
        self.models.put(slot, model)
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let index = self.wall.walk(at);
        self.models.extend(slots, values, |model, value| {
            model.line.step(model.season.without(index, value));
            model.now = at;
        });
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut targets = self.wall.targets(horizons);
        self.models
            .predict(slots, horizons.len(), out, |_, model, row| {
                let walls = targets.after(model.now);
                for ((out, &steps), &index) in row.iter_mut().zip(horizons).zip(walls) {
                    *out = model.season.with(index, model.line.ahead(steps) as f32);
                }
            });
    }

    fn heap_bytes(&self) -> usize {
        self.models.heap_bytes(|model| model.season.heap_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;
    use std::collections::BTreeMap;

    #[derive(serde::Deserialize)]
    struct Fixture {
        values: Vec<f32>,
        alpha: f64,
        slope: f64,
        ahead: BTreeMap<String, Vec<f64>>,
    }

    const HOUR: Millis = 3_600_000;
    const DAY: usize = 24;

    /// Made by `tests/fixtures/forecast/make_theta.py`.
    fn fixture() -> Fixture {
        serde_json::from_str(include_str!("../../tests/fixtures/forecast/theta.json")).unwrap()
    }

    fn theta() -> Theta {
        let grid = Grid::new(HOUR).unwrap();
        let mut theta = Theta::build(&Settings::default(), grid, &[], &ModelFiles::new()).unwrap();
        theta.grow(2);
        theta
    }

    fn fit(theta: &mut Theta, values: &[f32], seasons: &[usize]) -> bool {
        let zone = Zone::default();
        let past = Past {
            end: (values.len() as i64 - 1) * HOUR,
            grid: Grid::new(HOUR).unwrap(),
            values,
            seasons,
            zone: &zone,
        };
        theta.fit(0, &past)
    }

    fn ahead(theta: &Theta, horizons: &[usize]) -> Vec<f32> {
        let mut out = vec![0.0; horizons.len()];
        theta.predict(&[0], horizons, &mut out);
        out
    }

    fn wave(hour: usize) -> f32 {
        (hour as f32 / DAY as f32 * std::f32::consts::TAU).sin()
    }

    #[test]
    fn agrees_with_statsmodels() {
        let fixture = fixture();
        let own = slope(&fixture.values).unwrap();
        assert!(
            (own - fixture.slope).abs() < 1e-6,
            "{own} {}",
            fixture.slope
        );
        for (theta, expected) in &fixture.ahead {
            let theta: f64 = theta.parse().unwrap();
            let drift = (1.0 - 1.0 / theta) * fixture.slope;
            let first = f64::from(fixture.values[0]);
            let mut line = Line::start(fixture.alpha, drift, first);
            fixture.values.iter().for_each(|&value| line.step(value));
            // Alpha and start are estimated a little differently: by the whole way less than that.
            let fitted = Line::fit(&fixture.values, theta).unwrap();
            for (steps, &expected) in expected.iter().enumerate() {
                let (got, near) = (line.ahead(steps + 1), fitted.ahead(steps + 1));
                assert!(
                    (got - expected).abs() < 1e-4,
                    "{theta} {steps}: {got} {expected}"
                );
                assert!(
                    (near - expected).abs() < 0.05,
                    "{theta} {steps}: {near} {expected}"
                );
            }
        }
    }

    #[test]
    fn the_recursion_is_the_formula_of_hyndman_and_billah() {
        let values = [4.0_f32, 7.0, 5.0, 9.0, 8.0, 12.0];
        let (alpha, drift) = (0.3_f64, 0.7);
        let mut line = Line::start(alpha, drift, f64::from(values[0]));
        let mut level = f64::from(values[0]);
        for &value in &values {
            line.step(value);
            level += alpha * (f64::from(value) - level);
        }
        let kept = (1.0 - alpha).powi(values.len() as i32);
        for steps in 1..5 {
            let way = steps as f64 - 1.0 + 1.0 / alpha - kept / alpha;
            assert!((line.ahead(steps) - (level + drift * way)).abs() < 1e-12);
        }
    }

    #[test]
    fn carried_on_equals_a_refit_with_the_same_parameters() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut values: Vec<f32> = (0..30 * DAY)
            .map(|hour| 100.0 + 0.02 * hour as f32 + 20.0 * wave(hour) + 4.0 * random.f32())
            .collect();
        let from = 25 * DAY;
        values[from + 5..from + 20].fill(f32::NAN);
        let mut carried = theta();
        assert!(fit(&mut carried, &values[..from], &[DAY]));
        let before = carried.models.of(0).line;
        for (hour, &value) in values.iter().enumerate().skip(from) {
            carried.extend(hour as i64 * HOUR, &[0], &[value]);
        }
        let model = carried.models.of(0);
        let adjusted: Vec<f32> = (0..values.len())
            .map(|hour| model.season.without(hour as i64, values[hour]))
            .collect();
        let first = State::start(&adjusted).unwrap().level;
        let mut whole = Line::start(before.alpha, before.drift, first);
        adjusted.iter().for_each(|&value| whole.step(value));
        assert_eq!(whole, model.line);
        assert_ne!(before.level, whole.level);
    }

    #[test]
    fn half_of_a_slope_goes_on_around_the_season() {
        // Factors, then parts of a series that crosses zero.
        let level = |hour: usize| 100.0 + 0.05 * hour as f32;
        let factors: Vec<f32> = (0..30 * DAY)
            .map(|hour| level(hour) * (0.4 * wave(hour)).exp())
            .collect();
        let parts: Vec<f32> = (0..30 * DAY)
            .map(|hour| level(hour) - 110.0 + 20.0 * wave(hour))
            .collect();
        for (values, factor) in [(factors, true), (parts, false)] {
            let mut theta = theta();
            assert!(fit(&mut theta, &values, &[DAY]));
            let model = theta.models.of(0);
            assert_eq!(matches!(model.season, Season::Factor(_)), factor);
            assert_eq!(matches!(model.season, Season::Added(_)), !factor);
            let now = values.len() - 1;
            let horizons = [1, 6, 18];
            for (got, steps) in ahead(&theta, &horizons).into_iter().zip(horizons) {
                let level = level(now) + 0.025 * steps as f32;
                let expected = if factor {
                    level * (0.4 * wave(now + steps)).exp()
                } else {
                    level - 110.0 + 20.0 * wave(now + steps)
                };
                assert!(
                    (got - expected).abs() < 1.0,
                    "{factor} {steps}: {got} {expected}"
                );
            }
        }
    }

    #[test]
    fn seasons_are_factors_only_of_positive_values_of_one_size() {
        assert!(bears_factors(&[1.0, f32::NAN, 10.0]));
        for values in [[0.0, 1.0], [-1.0, 1.0], [1.0, 10.5], [f32::NAN, f32::NAN]] {
            assert!(!bears_factors(&values), "{values:?}");
        }
    }

    #[test]
    fn with_too_little_it_abstains() {
        let mut theta = theta();
        let mut values = [f32::NAN; 40];
        values[3..14].fill(5.0);
        assert!(!fit(&mut theta, &values, &[]));
        assert!(ahead(&theta, &[1])[0].is_nan());
        values[20] = 5.0;
        assert!(fit(&mut theta, &values, &[]));
        assert_eq!(ahead(&theta, &[1, 30]), [5.0, 5.0]);
    }

    #[test]
    fn theta_is_one_to_a_hundred() {
        assert!(Settings::default().validate().is_empty());
        for theta in [0.5, 101.0, f64::NAN] {
            assert_eq!(Settings { theta }.validate()[0].0, "theta");
        }
    }
}
