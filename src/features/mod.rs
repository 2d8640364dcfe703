//! What a trained model sees of a series: named features, the same when it is trained, when it runs and in
//! the manifest of an ONNX file.
//!
//! Pure: no IO, no clock (invariant 1). A [`FeatureSet`] is an ordered list of names on one grid, the value itself
//! first. A row is what is known at one grid time; it follows from that time and the [`FeatureSet::lookback`] steps
//! before it alone, so a series read whole and the newest end of it give the same row, bit for bit. A window is
//! `T` rows, oldest first, with what is missing filled in and scaled ([`Scaling`]).
//!
//! | name | what | missing where |
//! |---|---|---|
//! | `value` | the value | it is |
//! | `hour`, `weekday`, `day_of_month`, `month` | of the wall clock, -0.5 for the first to 0.5 for the last | never |
//! | `weekend`, `business_hours`, `holiday` | 1 or 0; business hours are Monday to Friday, 9 to 17, no holiday | never |
//! | `day_sin_K`, `day_cos_K`, `week_sin_K`, `week_cos_K` | the K-th harmonic of the local day or week (from Monday), K from 1 to 16 | never |
//! | `rate_SPAN` | change over the span, per minute | one of its ends is |
//! | `mean_SPAN`, `std_SPAN`, `min_SPAN`, `max_SPAN` | of the values of the span up to now (population deviation) | more than half of them are |
//! | `lag_step`, `lag_SPAN` | the value one step, or the span, ago | it is |
//! | `difference_1`, `difference_2` | first and second difference, from step to step | one of their values is |
//! | `acceleration_SPAN` | how much `rate_SPAN` changed over the span, per minute | one of its three values is |
//! | `input:NAME` | the value of another series at the same time | it is, or there is no such input |
//!
//! A span is written as everywhere (`5m`, `1h`, `1w`) and is a whole number of steps. Wall clock features count from
//! -0.5 to 0.5 as those of GluonTS do, so that networks need not scale them.
//!
//! *Other signals* (depth of a queue by priority, utilisation by kind of machine) come in as [`Input`]s of the
//! [`View`]: whoever has several signals on one grid hands them in by name. Forecasters of a single signal have none
//! and refuse a model that asks for some.

mod clock;
mod name;
mod view;
mod window;

pub use name::LONGEST_LOOKBACK;
pub use view::{Input, View};
pub use window::{Scale, Scaling};

use crate::series::{Grid, LocalTime};
use name::Feature;
use std::ops::Range;

/// An ordered list of features on one grid; the first is the value itself.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    names: Vec<String>,
    features: Vec<Feature>,
    /// Steps that any of them looks back on.
    lookback: usize,
    /// Whether any of them is of the wall clock.
    follows_clock: bool,
}

impl FeatureSet {
    /// The features called `names`, in this order, of series on `grid`.
    ///
    /// # Errors
    /// Every name that is not known or does not fit the grid, as (index, what is wrong and what is allowed).
    pub fn new(names: &[impl AsRef<str>], grid: Grid) -> Result<Self, Vec<(usize, String)>> {
        let (mut features, mut problems) = (Vec::new(), Vec::new());
        for (index, name) in names.iter().enumerate() {
            match Feature::parse(name.as_ref(), grid) {
                Ok(feature) if features.contains(&feature) => {
                    problems.push((index, format!("{:?} is there twice", name.as_ref())));
                }
                Ok(feature) => features.push(feature),
                Err(problem) => problems.push((index, problem)),
            }
        }
        if features.first() != Some(&Feature::Value) && problems.is_empty() {
            let text = "the first feature must be value: forecasts are in its unit".to_owned();
            problems.push((0, text));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            names: names.iter().map(|name| name.as_ref().to_owned()).collect(),
            follows_clock: features.iter().any(Feature::follows_clock),
            lookback: features.iter().map(Feature::lookback).max().unwrap_or(0),
            features,
        })
    }

    /// The names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.features.len()
    }

    /// How many steps before its own time a row depends on.
    pub fn lookback(&self) -> usize {
        self.lookback
    }

    /// By feature: whether it moves and stretches as the series does, as the value, its lags and its means do.
    pub fn levels(&self) -> impl Iterator<Item = bool> {
        let units = self.features.iter().map(Feature::unit);
        units.map(|unit| unit == name::Unit::Level)
    }

    /// The names of the other series that are asked for.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.features.iter().filter_map(|feature| match feature {
            Feature::Input(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Appends the rows of `view.values[range]`, one after the other, [`FeatureSet::width`] numbers each: `NaN` where
    /// one is missing. Nothing is filled in or scaled: [`FeatureSet::window`] does that.
    pub fn rows(
        &self,
        view: &View<'_>,
        range: Range<usize>,
        local: &mut LocalTime,
        out: &mut Vec<f32>,
    ) {
        for index in range {
            let clock = match self.follows_clock {
                true => clock::Reading::at(view.time(index), local),
                false => clock::Reading::default(),
            };
            let row = self.features.iter();
            out.extend(row.map(|feature| feature.at(view, index, &clock)));
        }
    }

    /// Appends the window of the newest `steps` rows of `view`, oldest first, filled and scaled, and gives what turns
    /// answers back into the unit of the series.
    ///
    /// A missing number is the one before it in its column of the window, or the first known one of the column; a
    /// column of which nothing is known holds its neutral number (no change, the mean of the value). `None`, and
    /// nothing appended, where more than half of the values are missing or the series is shorter than the window.
    /// Nothing is appended either where [`Scale::factor`] is 0: nothing moves, so there is nothing to ask.
    pub fn window(
        &self,
        view: &View<'_>,
        steps: usize,
        scaling: &Scaling,
        local: &mut LocalTime,
        out: &mut Vec<f32>,
    ) -> Option<Scale> {
        let length = view.values.len();
        let from = length.checked_sub(steps)?;
        let mut rows = Vec::with_capacity(steps * self.width());
        self.rows(view, from..length, local, &mut rows);
        let scale = self.scaled(&mut rows, scaling)?;
        if scale.factor > 0.0 {
            out.extend_from_slice(&rows);
        }
        Some(scale)
    }

    /// Fills and scales whole rows in place, as [`FeatureSet::window`] does: for training, which makes the rows of a
    /// long past once and cuts its windows out of them.
    pub fn scaled(&self, rows: &mut [f32], scaling: &Scaling) -> Option<Scale> {
        window::scaled(rows, &self.features, scaling)
    }
}

#[cfg(test)]
mod tests;
