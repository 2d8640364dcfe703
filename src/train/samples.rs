//! Windows, and what followed them, cut out of rows that are made once.

use super::{Series, network::Batch, scaling};
use crate::{
    features::{FeatureSet, View},
    series::{Grid, LocalTime, Millis},
};
use ndarray::Array2;
use rayon::prelude::*;

/// A window counts at most so many times as much as an ordinary one.
const MOST_WEIGHT: f32 = 10.0;

/// Where a window ends: a series and the place of its newest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    series: u32,
    index: u32,
}

/// The rows of all series.
#[derive(Debug)]
pub(super) struct Samples<'a> {
    features: &'a FeatureSet,
    grid: Grid,
    window: usize,
    /// In steps.
    horizons: &'a [usize],
    series: Vec<Rows<'a>>,
}

#[derive(Debug)]
struct Rows<'a> {
    series: &'a Series,
    /// One row of features for each value.
    rows: Vec<f32>,
    /// By value: how many before it are known.
    known: Vec<u32>,
    /// The population deviation of what is learnt from, which errors of this series are measured in.
    deviation: f32,
}

impl<'a> Samples<'a> {
    pub(super) fn new(
        series: &[&'a Series],
        grid: Grid,
        local: &LocalTime,
        features: &'a FeatureSet,
        window: usize,
        horizons: &'a [usize],
        learnt_before: Millis,
    ) -> Self {
        let rows = series.par_iter().map(|one| {
            let view = View {
                end: one.end,
                grid,
                values: &one.values,
                inputs: &[],
            };
            let mut rows = Vec::with_capacity(one.values.len() * features.width());
            features.rows(&view, 0..one.values.len(), &mut local.clone(), &mut rows);
            let learnt = one
                .place(grid, learnt_before)
                .clamp(0, one.values.len() as i64);
            let learnt = &one.values[..usize::try_from(learnt).unwrap_or(0)];
            Rows {
                series: one,
                rows,
                known: counts(&one.values),
                deviation: deviation(learnt),
            }
        });
        Self {
            features,
            grid,
            window,
            horizons,
            series: rows.collect(),
        }
    }

    /// Rows of a window, and numbers in each.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.window, self.features.width())
    }

    /// Horizons of a target.
    pub(super) fn horizons(&self) -> usize {
        self.horizons.len()
    }

    /// The origins all targets of which lie from `from` to before `to`, by time within each series; and how many were left out
    /// as less than half of their values, or none of their targets, are known.
    pub(super) fn origins(&self, from: Millis, to: Millis) -> (Vec<Origin>, usize) {
        let (mut origins, mut omitted) = (Vec::new(), 0);
        let longest = self.horizons.iter().copied().max().unwrap_or(0);
        let reach = self.window + self.features.lookback();
        for (place, rows) in self.series.iter().enumerate() {
            let at = |time: Millis| rows.series.place(self.grid, time);
            let count = rows.series.values.len() as i64;
            let first = (at(from) - 1).max(reach as i64 - 1);
            let last = at(to).min(count) - 1 - longest as i64;
            for index in first..=last {
                let index = usize::try_from(index).unwrap_or(0);
                if rows.is_useful(index, self.window, self.horizons) {
                    origins.push(Origin {
                        series: place as u32,
                        index: index as u32,
                    });
                } else {
                    omitted += 1;
                }
            }
        }
        (origins, omitted)
    }

    /// The windows and targets at these origins. One in which nothing moves has weight 0, as nobody is asked about it.
    pub(super) fn batch(&self, origins: &[Origin]) -> Batch {
        let width = self.window * self.features.width();
        let mut windows = Array2::zeros((origins.len(), width));
        let mut targets = Array2::from_elem((origins.len(), self.horizons.len()), f32::NAN);
        let mut weights = vec![0.0; origins.len()];
        for (row, origin) in origins.iter().enumerate() {
            let rows = &self.series[origin.series as usize];
            let newest = origin.index as usize;
            let features = self.features.width();
            let from = (newest + 1 - self.window) * features;
            let mut window = rows.rows[from..from + width].to_vec();
            let scale = self.features.scaled(&mut window, &scaling());
            let Some(scale) = scale.filter(|scale| scale.factor > 0.0) else {
                continue;
            };
            windows
                .row_mut(row)
                .iter_mut()
                .zip(&window)
                .for_each(|(to, from)| *to = *from);
            for (target, &steps) in targets.row_mut(row).iter_mut().zip(self.horizons) {
                *target = (rows.series.values[newest + steps] - scale.shift) / scale.factor;
            }
            // In units of the series and not of the window: what is judged is the error itself.
            weights[row] = (scale.factor / rows.deviation).min(MOST_WEIGHT);
        }
        Batch {
            windows,
            targets,
            weights,
        }
    }
}

impl Rows<'_> {
    fn is_useful(&self, index: usize, window: usize, horizons: &[usize]) -> bool {
        let known = self.known[index + 1] - self.known[index + 1 - window];
        let mut targets = horizons
            .iter()
            .map(|steps| self.series.values[index + steps]);
        known as usize >= window.div_ceil(2) && targets.any(f32::is_finite)
    }
}

/// How many values are known before each one, and before the end.
fn counts(values: &[f32]) -> Vec<u32> {
    let mut count = 0;
    let mut counts = vec![0];
    counts.extend(values.iter().map(|value| {
        count += u32::from(value.is_finite());
        count
    }));
    counts
}

/// The population deviation; 1 where nothing moves.
fn deviation(values: &[f32]) -> f32 {
    match moments(values).1 {
        deviation if deviation > 0.0 => deviation as f32,
        _ => 1.0,
    }
}

/// Mean and population deviation of the values that are known; 0 where none is.
pub(super) fn moments(values: &[f32]) -> (f64, f64) {
    let known = values.iter().filter(|value| value.is_finite());
    let known = known.map(|&value| f64::from(value));
    let count = known.clone().count().max(1) as f64;
    let mean = known.clone().sum::<f64>() / count;
    let variance = known.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}
