//! Detectors: how far from normal a value is. 0 as expected, 1 at the threshold, above 1 anomalous.
//!
//! Pure: no IO, no clock (invariant 1). A detector is one file plus its name in the list of `kinds!`
//! (invariant 6). State is columnar: one instance owns every series of its shard or unit.

pub mod autoencoder;
pub mod changepoint;
mod combine;
pub mod dbscan;
pub mod deviation;
pub mod envelope;
pub mod forecast_residual;
pub mod isolation_forest;
mod lags;
pub mod mad;
pub mod matrix_profile;
mod novelty;
pub mod one_class_svm;
mod onset;
pub mod pca;
pub mod quantile;
pub mod seasonal;
mod tail;
#[cfg(test)]
mod tests;
mod vectors;
mod verdict;
pub mod zscore;

pub use combine::{Combine, Weights};
pub use onset::Onsets;
pub use vectors::MOST_CHANNELS;
pub use verdict::{
    AlertingSettings, Budget, Flapping, PerSide, SeverityThresholds, Side, Verdict, Verdicts,
};

use crate::{
    baseline::{self, Band},
    series::{Grid, Labels, LocalTime, Millis, Slot},
    stats::{network::ModelFiles, robust},
};
use serde::Deserialize;
use std::path::Path;

/// No score is greater: a division by almost nothing must not print as 1e38.
pub const MAX_SCORE: f32 = 1_000.0;

/// A series that never changed and now does leaves nothing to measure the change by: it is worth this.
const UNMEASURED: f32 = 1.5;

/// What is wrong with settings: path of the field below them, and a sentence with what is allowed.
pub type Problems = Vec<(String, String)>;

/// What a detector sees at one grid time. All slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The grid time.
    pub at: Millis,
    /// Which series, ascending.
    pub slots: &'a [Slot],
    /// Their values; `NaN` where there was no sample.
    pub values: &'a [f32],
    /// What was expected of them.
    pub bands: &'a [Band],
}

/// Whether a detector looks at each series by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One instance per shard; a series' state depends on the newest `memory` steps of that series alone.
    Series,
    /// One instance per unit that compares series with each other at one time; its state depends on
    /// the newest `memory` steps of all of them.
    Across,
}

/// A detector over the series of one shard (or unit, see [`Scope`]).
pub trait Detector: Copied + Send + std::fmt::Debug {
    /// Its name in configuration and in the `detector` label.
    fn kind(&self) -> &'static str;
    /// See [`Scope`].
    fn scope(&self) -> Scope;
    /// The bounded span its state depends on, in steps (invariant 3). `usize::MAX`: the whole window.
    fn memory(&self) -> usize;
    /// Makes room for `slots` series in all; new ones know nothing.
    fn grow(&mut self, slots: usize);
    /// Tells the labels of a new series: peer groups are made of them, and when what it learns is renewed.
    /// [`Detector::reset`] leaves it.
    fn assign(&mut self, _slot: Slot, _labels: &Labels) {}
    /// Forgets one series' state; it is about to be replayed, or evicted.
    fn reset(&mut self, slot: Slot);
    /// Exchanges all that is known of two series, what [`Detector::assign`] told included.
    fn swap(&mut self, one: Slot, other: Slot);
    /// Scores one grid time and learns from it. `out[i]` is the score of `batch.slots[i]`, never
    /// negative; `NaN` where it abstains (missing value, warm-up).
    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]);
    /// Where the peers of a series were at the newest step; `None` where it was not compared with any.
    fn peers(&self, _slot: Slot) -> Option<Peers<'_>> {
        None
    }
    /// Does a piece of what the next step will need if it follows at once; `false` where nothing is left. It only
    /// takes work off the step: scores are the same without.
    fn prepare(&mut self) -> bool {
        false
    }
    /// Bytes of state, all series together.
    fn heap_bytes(&self) -> usize;
}

/// The peers of one series, itself among them, at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peers<'a> {
    /// Those that had a value.
    pub present: &'a [Slot],
    /// How many of them are together; more than half.
    pub together: usize,
    /// The least value of those; over a panel, of its first channel.
    pub low: f32,
    /// The greatest value of those.
    pub high: f32,
}

/// A copy of a detector with its state, to score what it must not learn from. Every detector that is
/// `Clone` has it.
pub trait Copied {
    /// The copy.
    fn copied(&self) -> Box<dyn Detector>;
}

impl<T: Detector + Clone + 'static> Copied for T {
    fn copied(&self) -> Box<dyn Detector> {
        Box::new(self.clone())
    }
}

/// What a panel detector sees at one grid time.
#[derive(Debug, Clone, Copy)]
pub struct PanelBatch<'a> {
    /// The grid time.
    pub at: Millis,
    /// Which entities, ascending.
    pub slots: &'a [Slot],
    /// `channels[c][i]`: how far signal `c` of entity `slots[i]` is from its baseline, in scales of that
    /// baseline (signed); `NaN` where missing.
    pub channels: &'a [&'a [f32]],
}

/// A detector over the entities of a panel, each a vector with one channel per signal. State depends on
/// the newest `memory` steps of all entities.
pub trait PanelDetector: Send + std::fmt::Debug {
    /// Its name in configuration and in the `detector` label.
    fn kind(&self) -> &'static str;
    /// The bounded span its state depends on, in steps (invariant 3).
    fn memory(&self) -> usize;
    /// Makes room for `slots` entities in all; new ones know nothing.
    fn grow(&mut self, slots: usize);
    /// Tells the labels of a new entity (peer groups are made of them).
    fn assign(&mut self, _slot: Slot, _labels: &Labels) {}
    /// Forgets one entity's state.
    fn reset(&mut self, slot: Slot);
    /// Scores one grid time and learns from it, as [`Detector::step`].
    fn step(&mut self, batch: &PanelBatch<'_>, out: &mut [f32]);
    /// The share that each channel had in the newest score of an entity, in the order of the channels; together they
    /// are 1. Empty where there was no score, or the detector cannot tell. Worked out when asked for: only a
    /// verdict that is on needs it.
    fn attribution(&self, _slot: Slot) -> Vec<f32> {
        Vec::new()
    }
    /// Where the peers of an entity were at the newest step, as [`Detector::peers`].
    fn peers(&self, _slot: Slot) -> Option<Peers<'_>> {
        None
    }
    /// Does a piece of what the next step will need if it follows at once; `false` where nothing is left. It only
    /// takes work off the step: scores are the same without.
    fn prepare(&mut self) -> bool {
        false
    }
    /// Bytes of state, all entities together.
    fn heap_bytes(&self) -> usize;
}

/// The one list of detectors, sorted: it makes the settings, their names, checks and constructors.
macro_rules! kinds {
    ($($module:ident => $variant:ident),+ $(,)?) => {
        /// One configured detector: a map with a single key, its kind.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Settings {
            $(
                #[doc = concat!("`", stringify!($module), "`")]
                $variant($module::Settings),
            )+
        }

        /// The names of the detectors, sorted.
        pub const KINDS: &[&str] = &[$(stringify!($module)),+];

        impl Settings {
            /// Its name in configuration and in the `detector` label.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($module),)+
                }
            }

            /// Problems by field; empty where all is well.
            pub fn validate(&self) -> Problems {
                match self {
                    $(Self::$variant(settings) => settings.validate(),)+
                }
            }

            /// The detector, for the series of a shard or unit (see [`Detector::scope`]).
            pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
                match self {
                    $(Self::$variant(settings) => settings.build(grid),)+
                }
            }
        }
    };
}

kinds! {
    autoencoder => Autoencoder,
    changepoint => Changepoint,
    dbscan => Dbscan,
    deviation => Deviation,
    envelope => Envelope,
    forecast_residual => ForecastResidual,
    isolation_forest => IsolationForest,
    mad => Mad,
    matrix_profile => MatrixProfile,
    one_class_svm => OneClassSvm,
    pca => Pca,
    quantile => Quantile,
    seasonal => Seasonal,
    zscore => Zscore,
}

impl Settings {
    /// As [`Settings::build`], for series that follow this wall clock and these holidays.
    pub fn build_local(&self, grid: Grid, local: &LocalTime) -> Box<dyn Detector> {
        match self {
            Self::Seasonal(settings) => settings.build_local(grid, local),
            other => other.build(grid),
        }
    }

    /// Where it compares series with each other ([`Scope::Across`]): those with the same values of these labels; all of them
    /// where there are none.
    pub fn compares(&self) -> Option<&[String]> {
        match self {
            Self::Dbscan(settings) => Some(&settings.by),
            _ => None,
        }
    }

    /// The file it needs, if it needs one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Autoencoder(settings) => settings.path.as_deref(),
            _ => None,
        }
    }

    /// Makes a relative file relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        if let Self::Autoencoder(settings) = self
            && let Some(path) = &mut settings.path
        {
            *path = directory.join(&path);
        }
    }

    /// Takes what it needs out of the files that were read, before [`Settings::build`].
    ///
    /// # Errors
    /// A file that is missing or cannot be used.
    pub fn load(&mut self, files: &ModelFiles) -> Result<(), String> {
        match self {
            Self::Autoencoder(settings) => settings.load(files),
            _ => Ok(()),
        }
    }

    /// The detector over the entities of a panel; `None` where this kind only knows single series.
    pub fn build_panel(&self, grid: Grid) -> Option<Box<dyn PanelDetector>> {
        self.build_panel_within(grid, vectors::MEMORY)
    }

    /// As [`Settings::build_panel`], with a [`PanelDetector::memory`] of so many steps at most.
    pub fn build_panel_within(&self, grid: Grid, most: usize) -> Option<Box<dyn PanelDetector>> {
        let memory = most.min(vectors::MEMORY);
        match self {
            Self::Dbscan(settings) => Some(settings.build_panel(grid)),
            Self::Deviation(settings) => Some(settings.build_panel(grid, memory)),
            Self::IsolationForest(settings) => Some(settings.build_panel(grid, memory)),
            Self::OneClassSvm(settings) => Some(settings.build_panel(grid, memory)),
            Self::Pca(settings) => Some(settings.build_panel(grid, memory)),
            _ => None,
        }
    }
}

/// What watches a signal that names no detectors.
pub fn defaults() -> Vec<Settings> {
    vec![
        Settings::Envelope(envelope::Settings::default()),
        Settings::ForecastResidual(forecast_residual::Settings::default()),
        Settings::Zscore(zscore::Settings::default()),
    ]
}

/// What watches a panel that names no detectors.
pub fn defaults_of_panels() -> Vec<Settings> {
    vec![Settings::Deviation(deviation::Settings::default())]
}

/// What watches a signal that names no detectors, but says which of its series should be alike.
pub fn defaults_among_peers() -> Vec<Settings> {
    let dbscan = Settings::Dbscan(dbscan::Settings::default());
    [vec![dbscan], defaults()].concat()
}

/// The least scale of a series with these newest values (sorted), see [`baseline::scale_floor`]; `NaN` where
/// nothing is known of it.
fn least_scale(sorted: &[f32], share: f32) -> f32 {
    robust::range_and_quantum_of_sorted(sorted).map_or(f32::NAN, |(range, quantum)| {
        baseline::scale_floor(range, quantum, sorted, share)
    })
}

/// The greater one; `NaN` where the floor is unknown and the scale zero: no scale can be told then.
fn at_least(scale: f32, floor: f32) -> f32 {
    let scale = scale.max(floor);
    if scale > 0.0 { scale } else { f32::NAN }
}

/// Whether a value is there, and can be computed with: differences of greater ones overflow, and what has
/// become infinite stays it.
fn is_usable(value: f32) -> bool {
    value.abs() <= 1e30
}

fn positive(field: &str, value: f64) -> Problems {
    if value.is_finite() && value > 0.0 {
        return Vec::new();
    }
    vec![(
        field.into(),
        format!("{value} is not allowed; allowed: greater than 0"),
    )]
}

fn at_least_zero(field: &str, value: f64) -> Problems {
    if value.is_finite() && value >= 0.0 {
        return Vec::new();
    }
    vec![(
        field.into(),
        format!("{value} is not allowed; allowed: 0 or more"),
    )]
}

fn share(field: &str, value: f64) -> Problems {
    if (0.0..1.0).contains(&value) {
        return Vec::new();
    }
    vec![(
        field.into(),
        format!("{value} is not allowed; allowed: 0 up to (not including) 1"),
    )]
}
