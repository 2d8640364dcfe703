//! Training: from the past of series to a network in ONNX, and whether it is good enough to be put in force.
//!
//! Pure: no IO, no clock (invariant 1). [`train`] cuts the time of all series into three parts, one after the other
//! ([`Split`]): it learns from the first, stops by the second, and never sees the third. [`judge`] asks the new model, the one in
//! force, the default forecasters and seasonal naive at the same origins of that third part; [`objections`] says what speaks
//! against the new one. What is judged is the ONNX file as it will run, features and scaling included.
//!
//! There are three of them ([`Kind`]), all from a window of features to quantiles at each horizon that never cross: a
//! multilayer perceptron (two layers of 128 rectified units), a recurrent network (32 units of long short-term memory) and
//! gradient-boosted trees. All minimise the pinball loss (Koenker & Bassett 1978); the networks with Adam (Kingma & Ba 2015) and
//! decoupled weight decay (Loshchilov & Hutter 2019). The same samples, settings and seed give the same bytes, whatever the number
//! of threads.
//!
//! | file | what |
//! |---|---|
//! | `split` | which part of the past is for what |
//! | `settings` | what can be set, and which features a series is given where nobody says |
//! | `samples` | windows and what followed them |
//! | [`head`], `network`, `mlp`, `lstm`, `adam` | networks, their gradients, their steps |
//! | `learn` | epochs, early stopping |
//! | `forest`, `grow` | trees, and how they grow |
//! | `onnx` | what was learnt as a file |
//! | `gate`, `standing`, `verdict` | answers side by side, their errors, and what follows |

mod adam;
mod forest;
mod gate;
mod grow;
pub mod head;
mod learn;
mod lstm;
mod mlp;
mod network;
mod onnx;
mod samples;
mod settings;
mod split;
mod standing;
#[cfg(test)]
mod tests;
mod verdict;

pub use gate::{Champion, Judged, Role, Score, Standing, Trial, judge};
pub use learn::Epoch;
pub use settings::{Kind, Settings, usual_features};
pub use split::Split;
pub use verdict::{Rule, gain, objections};

use crate::{
    contract::{DataRange, FORMAT, Head, Manifest, Outputs, seal},
    features::Scaling,
    series::{Grid, LocalTime, Millis, Span},
    stats::network::Rows,
};
use learn::Course;
use samples::Samples;
use std::collections::BTreeMap;

/// The quantiles that a network learns: the expected value, and the ends of the interval that holds four out of five.
pub const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
/// What the output of the file is called.
const OUTPUT: &str = "forecast";
/// The deviation of a window is at least this share of its mean: a series that rests is no storm.
const FLOOR: f64 = 0.001;
/// Numbers of features held at a time: 400 MB. Of more series some are left out.
const MOST_NUMBERS: usize = 100_000_000;

/// The past of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Grid time of the newest value, milliseconds since the epoch.
    pub end: Millis,
    /// Oldest to newest, one per grid time; `NaN` where there was none.
    pub values: Vec<f32>,
}

impl Series {
    /// Grid time of `values[index]`.
    pub fn time(&self, grid: Grid, index: usize) -> Millis {
        self.end - (self.values.len() - 1 - index) as i64 * grid.step()
    }

    /// Place of the value at `at`; it may lie before the first or after the last one.
    fn place(&self, grid: Grid, at: Millis) -> i64 {
        self.values.len() as i64 - 1 + grid.index(at) - grid.index(self.end)
    }
}

/// What a network is trained on.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The series, all on `grid`.
    pub series: &'a [Series],
    /// Spacing of their values.
    pub grid: Grid,
    /// Their wall clock and holidays.
    pub local: &'a LocalTime,
    /// What is set.
    pub settings: &'a Settings,
}

/// A network that was trained.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// Which part of the past was for what.
    pub split: Split,
    /// Series it learnt from.
    pub series: usize,
    /// Windows it learnt from.
    pub windows: usize,
    /// Windows of the first two parts that were left out, as most of their values or all that followed are missing.
    pub left_out: usize,
    /// How learning went.
    pub epochs: Vec<Epoch>,
    settings: Settings,
    grid: Grid,
    learnt: Learnt,
}

/// What was learnt, by our own arithmetic.
#[derive(Debug, Clone)]
enum Learnt {
    Network(network::Network),
    Forest(forest::Forest),
}

/// Trains a network. `progress` is told of every epoch when it is over.
///
/// # Errors
/// Settings that cannot be, a past that is too short or has too many gaps, learning that diverges.
pub fn train(task: &Task<'_>, progress: &mut dyn FnMut(&Epoch)) -> Result<Trained, String> {
    let (grid, settings) = (task.grid, task.settings);
    let horizons = settings.steps(grid)?;
    let features = settings.features(grid)?;
    let used = some_of(task.series, features.width());
    let split = Split::of(
        &used,
        grid,
        &horizons,
        settings.window + features.lookback(),
    )?;
    let samples = Samples::new(
        &used,
        grid,
        task.local,
        &features,
        settings.window,
        &horizons,
        split.validation,
    );
    let (training, omitted) = samples.origins(split.from, split.validation);
    let (validation, omitted_too) = samples.origins(split.validation, split.test);
    if training.is_empty() || validation.is_empty() {
        return Err(
            "too many values are missing: no window to learn from is half full and has values after it".to_owned(),
        );
    }
    let (learnt, epochs) = match settings.network {
        Kind::Mlp | Kind::Lstm => {
            let course = Course {
                samples: &samples,
                training: &training,
                validation: &validation,
                settings,
            };
            let (network, epochs) = course.run(progress)?;
            (Learnt::Network(network), epochs)
        }
        Kind::Trees => {
            let levels: Vec<bool> = features.levels().collect();
            let terms = forest::Terms::new(samples.shape(), &levels);
            let told = (terms, settings, &horizons[..]);
            let (forest, epochs) = grow::grow(&samples, [&training, &validation], told, progress)?;
            (Learnt::Forest(forest), epochs)
        }
    };
    Ok(Trained {
        onnx: learnt.file(samples.shape()),
        split,
        series: used.len(),
        windows: training.len(),
        left_out: omitted + omitted_too,
        epochs,
        settings: settings.clone(),
        grid,
        learnt,
    })
}

impl Learnt {
    /// The bytes of the ONNX file, for windows of this shape.
    fn file(&self, (rows, width): (usize, usize)) -> Vec<u8> {
        match self {
            Self::Network(network) => onnx::network::write(network),
            Self::Forest(forest) => onnx::forest::write(forest, rows, width),
        }
    }
}

/// All series, or evenly as many of them as there is room for.
fn some_of(series: &[Series], width: usize) -> Vec<&Series> {
    let numbers: usize = series.iter().map(|one| one.values.len() * width).sum();
    let every = numbers.div_ceil(MOST_NUMBERS).max(1);
    series.iter().step_by(every).collect()
}

impl Trained {
    /// The manifest of this network as a version of a model, not signed. `created` is a time such as
    /// `2026-11-22T09:00:00Z`, `parent` the version it is to take the place of.
    pub fn manifest(
        &self,
        name: &str,
        version: &str,
        parent: Option<String>,
        created: String,
    ) -> Manifest {
        Manifest {
            format: FORMAT,
            name: name.to_owned(),
            version: version.to_owned(),
            parent,
            created,
            step: Span::millis(self.grid.step()),
            window: self.settings.window,
            features: self.settings.features.clone(),
            batch: Rows::Dynamic,
            outputs: Outputs {
                heads: vec![Head {
                    name: OUTPUT.to_owned(),
                    horizons: self.settings.horizons.clone(),
                    quantiles: Some(LEVELS.to_vec()),
                }],
                confidence: None,
            },
            scaling: scaling(),
            data: Some(DataRange {
                from: shown(self.split.from),
                to: shown(self.split.test - self.grid.step()),
                series: Some(self.series as u64),
            }),
            scores: BTreeMap::new(),
            sha256: seal::sha256(&self.onnx),
            signature: None,
        }
    }

    /// What it answers to scaled windows, by our own arithmetic: to compare with the file.
    pub fn answers(&self, windows: &[f32]) -> Vec<f32> {
        match &self.learnt {
            Learnt::Network(network) => network.answers(windows),
            Learnt::Forest(forest) => forest.answers(windows),
        }
    }

    /// The epoch whose network was kept.
    pub fn best(&self) -> Option<&Epoch> {
        self.epochs.iter().rev().find(|epoch| epoch.is_best)
    }
}

/// How windows are scaled.
fn scaling() -> Scaling {
    Scaling::Window { floor: FLOOR }
}

/// A time as manifests have it.
fn shown(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}
