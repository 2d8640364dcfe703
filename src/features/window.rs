//! From rows to what a network is given: filled and scaled.

use super::name::{Feature, Unit};
use serde::{Deserialize, Serialize};

/// How the numbers of a window are scaled, and answers back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scaling {
    /// As they are.
    None,
    /// By mean and population deviation of the known values in the window: what moves with the series loses the mean
    /// and is divided by the deviation, changes are only divided, features of the wall clock and inputs stay.
    Window {
        /// The deviation is at least this share of the mean's amount, so that noise of a nearly constant series does
        /// not become a storm. 0: a window in which nothing moves is not asked about.
        #[serde(default)]
        floor: f64,
    },
    /// Each feature by its own mean and deviation, those of the training data; answers by those of the first.
    Fixed {
        /// By feature.
        means: Vec<f64>,
        /// By feature, each above 0.
        deviations: Vec<f64>,
    },
}

/// What turns the answer of a network into the unit of the series: `shift + factor * answer`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The mean.
    pub shift: f32,
    /// The deviation; 0 where nothing moves, so that every answer is the mean.
    pub factor: f32,
}

impl Scaling {
    /// Every problem with it for so many features.
    pub fn problems(&self, features: usize) -> Vec<String> {
        let mut found = Vec::new();
        match self {
            Self::None => {}
            Self::Window { floor } => {
                if !(0.0..=1.0).contains(floor) {
                    found.push(format!("window.floor: {floor} is not within 0 to 1"));
                }
            }
            Self::Fixed { means, deviations } => {
                for (key, list) in [("means", means), ("deviations", deviations)] {
                    if list.len() != features {
                        let count = list.len();
                        found.push(format!("fixed.{key}: {count} for {features} features"));
                    }
                    if list.iter().any(|number| !number.is_finite()) {
                        found.push(format!("fixed.{key}: not all are finite"));
                    }
                }
                if deviations.iter().any(|&deviation| deviation <= 0.0) {
                    found.push("fixed.deviations: not all are above 0".to_owned());
                }
            }
        }
        found
    }

    /// What is taken from a feature and what it is divided by, `moments` being mean and deviation of the value.
    fn of(&self, index: usize, feature: &Feature, moments: (f64, f64)) -> (f64, f64) {
        match (self, feature.unit()) {
            (Self::Fixed { means, deviations }, _) => (means[index], deviations[index]),
            (Self::Window { .. }, Unit::Level) => moments,
            (Self::Window { .. }, Unit::Change) => (0.0, moments.1),
            (Self::None, _) | (Self::Window { .. }, Unit::Own) => (0.0, 1.0),
        }
    }

    /// What a number is taken for where nothing of its column is known.
    fn neutral(&self, index: usize, feature: &Feature, mean: f64) -> f64 {
        match (self, feature.unit()) {
            (Self::Fixed { means, .. }, _) => means[index],
            (_, Unit::Level) => mean,
            (_, Unit::Change | Unit::Own) => 0.0,
        }
    }
}

/// Fills and scales whole rows in place; see [`super::FeatureSet::window`].
pub(super) fn scaled(rows: &mut [f32], features: &[Feature], scaling: &Scaling) -> Option<Scale> {
    let width = features.len();
    let steps = rows.len() / width.max(1);
    let (mean, deviation) = moments(rows, width, steps.div_ceil(2))?;
    let floored = match scaling {
        Scaling::Window { floor } => deviation.max(floor * mean.abs()),
        Scaling::None | Scaling::Fixed { .. } => 1.0,
    };
    if floored > 0.0 {
        for (index, feature) in features.iter().enumerate() {
            let (shift, factor) = scaling.of(index, feature, (mean, floored));
            let mut newest = first_known(rows, index, width)
                .unwrap_or_else(|| scaling.neutral(index, feature, mean));
            for number in rows.iter_mut().skip(index).step_by(width) {
                if number.is_finite() {
                    newest = f64::from(*number);
                }
                *number = ((newest - shift) / factor) as f32;
            }
        }
    }
    let (shift, factor) = match scaling {
        Scaling::None => (0.0, 1.0),
        Scaling::Window { .. } => (mean, floored),
        Scaling::Fixed { means, deviations } => (means[0], deviations[0]),
    };
    Some(Scale {
        shift: shift as f32,
        factor: factor as f32,
    })
}

/// Mean and population deviation of the known values, the first column; `None` where there are fewer than `least`.
fn moments(rows: &[f32], width: usize, least: usize) -> Option<(f64, f64)> {
    let column = rows.iter().step_by(width);
    let known = column.filter(|value| value.is_finite());
    let known = known.map(|&value| f64::from(value));
    let count = known.clone().count();
    if count == 0 || count < least {
        return None;
    }
    let mean = known.clone().sum::<f64>() / count as f64;
    let variance = known.map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
    Some((mean, variance.sqrt()))
}

fn first_known(rows: &[f32], index: usize, width: usize) -> Option<f64> {
    let mut column = rows.iter().skip(index).step_by(width);
    column
        .find(|number| number.is_finite())
        .map(|&number| f64::from(number))
}
