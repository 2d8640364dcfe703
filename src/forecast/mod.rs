//! Forecasters: the future of each series at each horizon, with conformal intervals.
//!
//! Pure: no IO, no clock (invariant 1). A forecaster is one file plus its name in the list of `kinds!`
//! (invariant 6). State is columnar: one instance owns every series of a shard. [`Forecasts`] runs the
//! configured forecasters, chooses among them per series and horizon, and puts intervals around them.

mod arima;
mod breaker;
mod calibration;
mod choice;
mod column;
mod conformal;
mod contest;
mod crest;
mod drift;
mod ets;
mod harmonic;
mod health;
mod lag_regression;
mod lags;
mod lanes;
mod last_value;
#[cfg(test)]
mod laws;
mod member;
mod mstl_ets;
mod occasions;
mod onnx;
mod profile;
mod prophet;
mod reach;
mod recent;
#[cfg(test)]
mod reference;
pub mod renewal;
mod rule;
mod scale;
mod seasonal_mean;
mod seasonal_naive;
mod selection;
mod settings;
mod smoothing;
mod standby;
mod theta;
mod track;
mod trees;
mod wall;

pub use crate::stats::network::ModelFiles;
pub use breaker::Breaker;
pub use contest::{Contest, ContestHorizon, Role, Tally};
pub use member::{Asked, FailureReason};
pub use occasions::Occasions;
pub use selection::Forecasts;
pub use settings::{Models, Settings};
pub use standby::Link;

pub use onnx::{Beside, Challenger, Kept, Placed, Settings as OnnxSettings};

use crate::series::{Grid, LocalTime, Millis, Past, Slot};
use std::path::PathBuf;

/// A model of the future, for all series of one shard.
///
/// A series' state is derived from its past alone: [`Forecaster::fit`] learns from it and leaves the
/// state as of the end of that past; [`Forecaster::extend`] carries it on, one grid time after another.
pub trait Forecaster: Send + std::fmt::Debug {
    /// Its name in configuration and in the `model` label.
    fn kind(&self) -> &'static str;
    /// What it is called where several of a kind run.
    fn name(&self) -> String {
        self.kind().to_owned()
    }
    /// The version of what was trained elsewhere, such as `checkout/7`; `None` for what is this program's own.
    fn version(&self) -> Option<String> {
        None
    }
    /// The newest time of what that was trained on, where it says so.
    fn trained_until(&self) -> Option<Millis> {
        None
    }
    /// Whether it may answer `NaN` at some horizons though it has learned a series: for want of a value it needs.
    fn abstains(&self) -> bool {
        false
    }
    /// Whether it is about the greatest value within a window: of horizons it is asked only where it is alone.
    fn is_of_maxima(&self) -> bool {
        false
    }
    /// Whether it asks a network, whose answers follow from the newest values alone.
    fn is_network(&self) -> bool {
        false
    }
    /// Makes room for `slots` series in all; new ones know nothing.
    fn grow(&mut self, slots: usize);
    /// Forgets one series.
    fn evict(&mut self, slot: Slot);
    /// Exchanges what is known of two series.
    fn swap(&mut self, one: Slot, other: Slot);
    /// Learns one series from its past. `false`: not enough history (or nothing to learn), it abstains.
    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool;
    /// Takes in the values at grid time `at` (`NaN` where missing), without fitting again.
    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]);
    /// Expected values after the newest time taken in: `out[i * horizons.len() + j]` is that of
    /// `slots[i]`, `horizons[j]` steps ahead; `NaN` where it abstains, infinite where it should know and has no number.
    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]);
    /// Bytes of state, all series together.
    fn heap_bytes(&self) -> usize;
}

/// What is published of one series at one horizon, in the unit of the series; `NaN` where absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The expected value.
    pub expected: f32,
    /// Lower end of the interval.
    pub lower: f32,
    /// Upper end of the interval.
    pub upper: f32,
}

impl Interval {
    /// Nothing to publish.
    pub const ABSENT: Self = Self {
        expected: f32::NAN,
        lower: f32::NAN,
        upper: f32::NAN,
    };
}

/// How far the forecasts of one series at one horizon can be trusted, over its recent origins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trust {
    /// WAPE: sum of absolute errors over sum of absolute actuals.
    pub error_ratio: f32,
    /// Share of actuals that fell inside their interval.
    pub coverage_ratio: f32,
    /// Share of actuals that were not above its upper end.
    pub below_ratio: f32,
    /// `1 - error / error of seasonal naive`; negative where seasonal naive is better, `NaN`
    /// where it said nothing or was never wrong.
    pub skill_ratio: f32,
}

/// Makes, of one sorted list `name => Type`, the settings of a forecaster as a single-key map, its
/// names, and what builds it. `name` is the module: it has `Settings` (with `validate`) and `Type`
/// (with `build`).
macro_rules! kinds {
    ($($module:ident => $variant:ident),+ $(,)?) => {
        /// Every forecaster by the name it has in configuration and in the `model` label, sorted.
        pub const KINDS: &[&str] = &[$(stringify!($module)),+];

        /// One configured forecaster.
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ModelSettings {
            $(
                #[doc = concat!("`", stringify!($module), "`")]
                $variant($module::Settings),
            )+
        }

        impl ModelSettings {
            /// Its name in configuration and in the `model` label.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($module),)+ }
            }

            /// Every problem, as (field, what is wrong and what is allowed).
            pub fn validate(&self) -> Vec<(String, String)> {
                match self { $(Self::$variant(settings) => settings.validate(),)+ }
            }

            /// The forecaster, without any series yet.
            ///
            /// # Errors
            /// What a person can change: a file that is missing or cannot be run.
            pub fn build(&self, grid: Grid, horizons: &[usize], files: &ModelFiles) -> Result<Box<dyn Forecaster>, String> {
                match self { $(Self::$variant(settings) => Ok(Box::new($module::$variant::build(settings, grid, horizons, files)?)),)+ }
            }
        }
    };
}

kinds! {
    arima => Arima,
    drift => Drift,
    ets => Ets,
    harmonic => Harmonic,
    lag_regression => LagRegression,
    last_value => LastValue,
    mstl_ets => MstlEts,
    onnx => Onnx,
    prophet => Prophet,
    recent => Recent,
    seasonal_mean => SeasonalMean,
    seasonal_naive => SeasonalNaive,
    theta => Theta,
    trees => Trees,
}

/// Other versions of a forecaster, and what each is there for.
type Shadows = Vec<(Role, Box<dyn Forecaster>)>;

impl ModelSettings {
    /// The files it needs.
    fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Onnx(settings) => [settings.files(), settings.files_beside()].concat(),
            _ => Vec::new(),
        }
    }

    /// The same, told which horizons are those of the configuration, whatever else it is asked for.
    fn answering(mut self, horizons: &[usize]) -> Self {
        if let Self::Onnx(settings) = &mut self {
            settings.answer(horizons);
        }
        self
    }

    /// Its other versions, without any series yet. One that nobody named, and that cannot be used, is left out.
    fn build_shadows(
        &self,
        grid: Grid,
        horizons: &[usize],
        files: &ModelFiles,
    ) -> Result<Shadows, String> {
        let Self::Onnx(settings) = self else {
            return Ok(Vec::new());
        };
        let built =
            settings.beside().filter_map(|(role, is_named, other)| {
                match onnx::Onnx::build(&other, grid, horizons, files) {
                    Ok(built) => Some(Ok((role, Box::new(built) as Box<dyn Forecaster>))),
                    Err(problem) if is_named => Some(Err(problem)),
                    Err(_) => None,
                }
            });
        built.collect()
    }

    /// The files that the `index`-th of a list names, with the keys that name them.
    fn named_files(&self, index: usize) -> Vec<(String, PathBuf)> {
        let Self::Onnx(settings) = self else {
            return Vec::new();
        };
        let named = settings.named_files().into_iter();
        let key = |field: &str| format!("models[{index}].{}.{field}", self.kind());
        named.map(|(field, path)| (key(field), path)).collect()
    }
}

impl Models {
    /// The networks among them, for the application, which knows the registry.
    pub fn networks(&mut self) -> impl Iterator<Item = &mut onnx::Settings> {
        let models = match self {
            Self::Auto => &mut [][..],
            Self::Given(models) => models,
        };
        models.iter_mut().filter_map(|model| match model {
            ModelSettings::Onnx(settings) => Some(settings),
            _ => None,
        })
    }

    /// Says what the wall clock and the holidays of the signal are.
    pub fn set_local(&mut self, local: &LocalTime) {
        for network in self.networks() {
            network.set_local(local);
        }
    }

    /// Says how much of a series is kept where they run.
    pub fn set_kept(&mut self, kept: Kept) {
        for network in self.networks() {
            network.set_kept(kept);
        }
    }
}

/// What `models: auto` runs beside [`auto`] where there are windows.
fn auto_of_maxima() -> ModelSettings {
    ModelSettings::Recent(recent::Settings::default())
}

/// What `models: auto` runs.
fn auto() -> Vec<ModelSettings> {
    vec![
        ModelSettings::LastValue(last_value::Settings::default()),
        ModelSettings::SeasonalMean(seasonal_mean::Settings::default()),
        ModelSettings::SeasonalNaive(seasonal_naive::Settings::default()),
        ModelSettings::SeasonalNaive(seasonal_naive::Settings {
            season: seasonal_naive::Season::Shortest,
        }),
        ModelSettings::Theta(theta::Settings::default()),
        ModelSettings::Ets(ets::Settings::default()),
        ModelSettings::LagRegression(lag_regression::Settings::default()),
        ModelSettings::Harmonic(harmonic::Settings::default()),
        ModelSettings::Arima(arima::Settings::default()),
    ]
}
