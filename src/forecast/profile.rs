//! The seasonal profile of a series, by MSTL on a coarse grid.

use super::wall::{Wall, phase_of};
use crate::series::{Millis, Past};
use augurs::{
    Fit,
    mstl::{MSTLModel, NaiveTrend},
};

const DAY: Millis = 86_400_000;
const HOURS: usize = 24;
/// Coarse steps in the shortest season, at most.
const MOST_PER_SEASON: usize = 288;
/// Coarse steps of a past, at most: MSTL takes about 3 ms for 2,000 of them.
const MOST_COARSE: usize = 1_800;
/// A season of fewer coarse steps than this has no shape.
const LEAST_PER_SEASON: usize = 4;
/// Weight of a new cycle in the profile.
const SEASON_WEIGHT: f32 = 0.1;
/// MSTL needs two whole cycles of every season.
const LEAST_CYCLES: usize = 2;

/// Expected departure from the level over the longest season.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// Native steps per coarse step.
    coarse: usize,
    /// By coarse step of the longest season, at the middle of that step.
    values: Box<[f32]>,
}

impl Profile {
    /// Departures by coarse step of the longest season, each of `coarse` native steps.
    pub(super) fn new(coarse: usize, values: Box<[f32]>) -> Self {
        Self { coarse, values }
    }

    /// The departure at the wall-clock step `index`, by a straight line between the two nearest points.
    pub(super) fn at(&self, index: i64) -> f32 {
        let season = self.coarse * self.values.len();
        let place = phase_of(index, season) as f32 / self.coarse as f32;
        // The values stand for the middle of their steps.
        let place = place + 0.5 / self.coarse as f32 - 0.5;
        let below = place.floor();
        let share = place - below;
        let count = self.values.len();
        let left = if below < 0.0 {
            count - 1
        } else {
            below as usize
        };
        let right = if left + 1 == count { 0 } else { left + 1 };
        self.values[left] + share * (self.values[right] - self.values[left])
    }

    /// Moves the point of the wall-clock step `index` by what a native value was beside it.
    pub(super) fn learn(&mut self, index: i64, error: f32) {
        if error.is_finite() {
            let season = self.coarse * self.values.len();
            let weight = SEASON_WEIGHT / self.coarse as f32;
            self.values[phase_of(index, season) / self.coarse] += weight * error;
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.values)
    }
}

/// The newest seasonal cycle of a past; `None` where no season shows twice.
pub(super) fn decompose(past: &Past<'_>, wall: &mut Wall) -> Option<Profile> {
    let coarse = coarseness(past, MOST_COARSE)?;
    let (first, mut values) = average(past, coarse, wall);
    let seasons = coarse_seasons(past, coarse, values.len());
    let longest = *seasons.last()?;
    fill(&mut values, longest, seasons[0])?;
    let series: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    let fitted = MSTLModel::new(seasons, NaiveTrend::new())
        .fit(&series)
        .ok()?;
    let mut profile = vec![0.0_f32; longest].into_boxed_slice();
    for component in fitted.fit().seasonal() {
        for (place, &value) in component.iter().enumerate().skip(series.len() - longest) {
            profile[phase_of(first + place as i64, longest)] += value;
        }
    }
    profile
        .iter()
        .all(|value| value.is_finite())
        .then_some(Profile {
            coarse,
            values: profile,
        })
}

/// Native steps per coarse step, `most` of which hold the whole past unless a day would have fewer than 24 of them: a
/// divisor of the shortest season, so that cycles stay whole.
pub(super) fn coarseness(past: &Past<'_>, most: usize) -> Option<usize> {
    let shortest = *past.seasons.first()?;
    // However long the past is, hours of a day stay apart.
    let finest = match shortest as Millis * past.grid.step() >= DAY {
        true => (shortest / HOURS).max(1),
        false => usize::MAX,
    };
    let least = shortest
        .div_ceil(MOST_PER_SEASON)
        .max(past.values.len().div_ceil(most).min(finest));
    (least..=shortest / LEAST_PER_SEASON).find(|step| shortest % step == 0)
}

/// Means over coarse steps, and the number of the first of them; `NaN` where all values are missing.
pub(super) fn average(past: &Past<'_>, coarse: usize, wall: &mut Wall) -> (i64, Vec<f32>) {
    let number = |index: i64| index.div_euclid(coarse as i64);
    let first = number(wall.walk(past.time(0)));
    let last = number(wall.walk(past.end)).max(first);
    let mut sums = vec![(0.0_f64, 0_u32); (last - first + 1) as usize];
    for (index, &value) in past.values.iter().enumerate() {
        let place = number(wall.walk(past.time(index))) - first;
        // A clock put back at the very end could point past it.
        let Some(sum) = usize::try_from(place)
            .ok()
            .and_then(|place| sums.get_mut(place))
        else {
            continue;
        };
        if value.is_finite() {
            sum.0 += f64::from(value);
            sum.1 += 1;
        }
    }
    let means = sums.iter().map(|&(sum, count)| {
        if count == 0 {
            f32::NAN
        } else {
            (sum / f64::from(count)) as f32
        }
    });
    (first, means.collect())
}

/// Seasons in coarse steps, shortest first, that fit twice into `count`.
pub(super) fn coarse_seasons(past: &Past<'_>, coarse: usize, count: usize) -> Vec<usize> {
    past.seasons
        .iter()
        .filter(|&&season| season % coarse == 0)
        .map(|season| season / coarse)
        .filter(|&season| season >= LEAST_PER_SEASON && season * LEAST_CYCLES <= count)
        .collect()
}

/// Fills gaps: with the mean of the same phase of the longest season, else of the shortest, else of
/// everything. `None` where less than half is known: filling would invent the series.
fn fill(values: &mut [f32], longest: usize, shortest: usize) -> Option<()> {
    let known = values.iter().filter(|value| value.is_finite()).count();
    if known == values.len() {
        return Some(());
    }
    if known * 2 < values.len() {
        return None;
    }
    let fallbacks = [longest, shortest, 1].map(|season| phase_means(values, season));
    for (place, value) in values.iter_mut().enumerate() {
        if !value.is_finite() {
            *value = fallbacks
                .iter()
                .map(|means| means[place % means.len()])
                .find(|mean| mean.is_finite())?;
        }
    }
    Some(())
}

fn phase_means(values: &[f32], season: usize) -> Vec<f32> {
    let mut sums = vec![(0.0_f64, 0_u32); season];
    for (place, &value) in values.iter().enumerate() {
        if value.is_finite() {
            let sum = &mut sums[place % season];
            sum.0 += f64::from(value);
            sum.1 += 1;
        }
    }
    sums.iter()
        .map(|&(sum, count)| (sum / f64::from(count)) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Grid, Zone};

    #[derive(serde::Deserialize)]
    struct Fixture {
        values: Vec<f32>,
        newest: Vec<f32>,
    }

    const HOUR: i64 = 3_600_000;

    fn profile(values: &[f32], seasons: &[usize], step: i64) -> Option<Profile> {
        let (grid, zone) = (Grid::new(step).unwrap(), Zone::default());
        let end = (values.len() as i64 - 1) * step;
        let past = Past {
            end,
            grid,
            values,
            seasons,
            zone: &zone,
        };
        decompose(&past, &mut Wall::new(grid))
    }

    /// Made by `tests/fixtures/forecast/make_smoothing.py`. The differences are those of single
    /// precision and of the points that `stlrs` interpolates between.
    #[test]
    fn agrees_with_mstl_of_statsmodels() {
        let text = include_str!("../../tests/fixtures/forecast/mstl.json");
        let fixture: Fixture = serde_json::from_str(text).unwrap();
        let profile = profile(&fixture.values, &[24, 168], HOUR).unwrap();
        let amplitude = fixture
            .newest
            .iter()
            .fold(0.0_f32, |most, value| most.max(value.abs()));
        for (index, &expected) in fixture.newest.iter().enumerate() {
            let got = profile.at(index as i64);
            assert!(
                (got - expected).abs() < 0.03 * amplitude,
                "{index}: {got} {expected}"
            );
        }
    }

    #[test]
    fn gaps_are_filled_with_what_is_usual_then() {
        let whole: Vec<f32> = (0..24 * 20)
            .map(|hour| 50.0 + 10.0 * (hour as f32 / 24.0 * std::f32::consts::TAU).sin())
            .collect();
        let mut gaps = whole.clone();
        gaps[100..150].fill(f32::NAN);
        let (whole, gaps) = (
            profile(&whole, &[24], HOUR).unwrap(),
            profile(&gaps, &[24], HOUR).unwrap(),
        );
        for hour in 0..24 {
            assert!((whole.at(hour) - gaps.at(hour)).abs() < 0.5);
        }
        assert!(profile(&[f32::NAN; 480], &[24], HOUR).is_none());
        assert!(
            profile(&[1.0; 30], &[24], HOUR).is_none(),
            "one cycle and a quarter shows no season"
        );
    }

    #[test]
    fn hours_of_a_day_stay_apart_however_long_the_past_is() {
        let hours: Vec<f32> = (0..700 * 24)
            .map(|hour| if hour % 24 == 9 { 8.0 } else { 1.0 })
            .collect();
        let profile = profile(&hours, &[24, 168], HOUR).unwrap();
        let peak = profile.at(9) - profile.at(8).max(profile.at(10));
        assert!((profile.coarse, profile.values.len()) == (1, 168) && peak > 6.0);
    }

    #[test]
    fn is_read_between_its_points() {
        let minute = 60_000;
        let values: Vec<f32> = (0..1_440 * 4)
            .map(|minute| (minute as f32 / 1_440.0 * std::f32::consts::TAU).sin())
            .collect();
        let profile = profile(&values, &[1_440], minute).unwrap();
        assert!(profile.coarse > 1 && profile.values.len() <= MOST_PER_SEASON);
        for minute in 0..1_440 {
            let expected = (minute as f32 / 1_440.0 * std::f32::consts::TAU).sin();
            assert!((profile.at(minute) - expected).abs() < 0.02, "{minute}");
        }
    }
}
