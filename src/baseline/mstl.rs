//! The seasonal course by MSTL decomposition, on a slowly tracked level.
//!
//! *When*: seasons whose shape changes over the weeks: the newest cycle of the decomposition is taken, not
//! a median over all. *Cost*: walking as [`seasonal`]; a fit of three weeks some ten milliseconds.
//! *Reference*: Bandara, Hyndman, Bergmeir, "MSTL: a seasonal-trend decomposition algorithm for time series
//! with multiple seasonal patterns" (2021), through augurs, on means of blocks of steps. Gaps are filled in a
//! straight line before (the library's own filling does nothing).

use super::{
    Baseline, Problems, seasonal,
    seasonal::{Learnt, Seasonal},
};
use crate::{
    series::{Grid, Past},
    stats::{clock::LocalTime, profile::Profile, robust},
};
use augurs::{Fit as _, mstl::MSTLModel};
use serde::Deserialize;

/// A decomposition gets so many values at most.
const BLOCKS: usize = 2_000;
/// A season of fewer blocks has no shape.
const FEWEST: usize = 4;

/// Settings of the baseline, those of [`seasonal`].
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub seasonal::Settings);

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        self.0.validate()
    }

    /// The baseline.
    pub fn build(&self, grid: Grid) -> Box<dyn Baseline> {
        Box::new(Seasonal::new(&self.0, grid, learn))
    }
}

fn learn(past: &Past<'_>, local: &LocalTime) -> Learnt {
    let profiles = decompose(past, local);
    let rest = past
        .values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let time = local.read(past.time(index));
            value
                - profiles
                    .iter()
                    .map(|profile| profile.at(time).0)
                    .sum::<f32>()
        })
        .collect();
    Learnt { profiles, rest }
}

fn decompose(past: &Past<'_>, local: &LocalTime) -> Vec<Profile> {
    let Some(&shortest) = past.seasons.first() else {
        return Vec::new();
    };
    let wanted = past.values.len().div_ceil(BLOCKS).max(1);
    let Some(width) = (wanted..=shortest / FEWEST).find(|width| shortest.is_multiple_of(*width))
    else {
        return Vec::new();
    };
    // Whole blocks only, the newest last.
    let skipped = past.values.len() % width;
    let mut blocks: Vec<f64> = past.values[skipped..]
        .chunks(width)
        .map(|block| f64::from(robust::mean_and_deviation(&robust::finite(block)).0))
        .collect();
    let periods: Vec<usize> = past
        .seasons
        .iter()
        .filter(|&&season| season.is_multiple_of(width) && 2 * season <= blocks.len() * width)
        .map(|season| season / width)
        .collect();
    if periods.is_empty() || !fill(&mut blocks) {
        return Vec::new();
    }
    let Ok(fitted) = MSTLModel::naive(periods.clone()).fit(&blocks) else {
        return Vec::new();
    };
    let step = past.grid.step() * width as i64;
    periods
        .iter()
        .zip(fitted.fit().seasonal())
        .filter(|(_, course)| course.iter().all(|value| value.is_finite()))
        .map(|(&period, course)| {
            let mut values = vec![0.0; period];
            // Later blocks overwrite earlier ones: what stays is the newest cycle.
            for (block, &value) in course.iter().enumerate() {
                let time = local.read(past.time(skipped + block * width));
                values[time.div_euclid(step).rem_euclid(period as i64) as usize] = value;
            }
            Profile::new(period as i64 * step, past.grid.step(), values)
        })
        .collect()
}

/// Fills gaps in a straight line, ends with the nearest value; `false` where nothing is known.
fn fill(values: &mut [f64]) -> bool {
    let Some(first) = values.iter().position(|value| value.is_finite()) else {
        return false;
    };
    let start = values[first];
    values[..first].fill(start);
    let mut last = first;
    for index in first + 1..values.len() {
        if !values[index].is_finite() {
            continue;
        }
        let (from, slope) = (
            values[last],
            (values[index] - values[last]) / (index - last) as f64,
        );
        for (offset, value) in values[last + 1..index].iter_mut().enumerate() {
            *value = from + slope * (offset + 1) as f64;
        }
        last = index;
    }
    let end = values[last];
    values[last + 1..].fill(end);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;

    #[derive(serde::Deserialize)]
    struct Reference {
        values: Vec<f32>,
        #[serde(rename = "24")]
        day: Vec<f32>,
        #[serde(rename = "168")]
        week: Vec<f32>,
    }

    const HOUR: i64 = 3_600_000;

    fn profiles(values: &[f32]) -> Vec<Profile> {
        let past = Past {
            end: (values.len() as i64 - 1) * HOUR,
            grid: Grid::new(HOUR).unwrap(),
            values,
            seasons: &[24, 168],
            zone: &Zone::default(),
        };
        decompose(&past, &LocalTime::default())
    }

    /// Root of the mean square of the differences.
    fn difference(profile: &Profile, theirs: &[f32]) -> f32 {
        let squares = theirs
            .iter()
            .enumerate()
            .map(|(hour, theirs)| (profile.at(hour as i64 * HOUR).0 - theirs).powi(2));
        (squares.sum::<f32>() / theirs.len() as f32).sqrt()
    }

    #[test]
    fn agrees_with_statsmodels_and_survives_gaps() {
        // Made by `tests/fixtures/stats/make.py`.
        let text = include_str!("../../tests/fixtures/stats/mstl.json");
        let reference: Reference = serde_json::from_str(text).unwrap();
        let ours = profiles(&reference.values);
        assert_eq!(ours.len(), 2);
        let errors = [
            difference(&ours[0], &reference.day),
            difference(&ours[1], &reference.week),
        ];
        assert!(errors.iter().all(|&error| error < 0.1), "{errors:?}");
        let mut gappy = reference.values;
        gappy[300..310].fill(f32::NAN);
        let gappy = profiles(&gappy);
        let errors = [
            difference(&gappy[0], &reference.day),
            difference(&gappy[1], &reference.week),
        ];
        assert!(errors.iter().all(|&error| error < 1.0), "{errors:?}");
        assert!(profiles(&[f32::NAN; 500]).is_empty());
        assert!(profiles(&[1.0; 30]).is_empty());
    }
}
