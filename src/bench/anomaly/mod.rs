//! Accuracy on labelled data: every detector by itself and the default configuration, as `/metrics` would
//! have shown them to somebody who changed nothing but the step.
//!
//! What is walked is the real unit ([`walk`]), with nothing but what was known at each row. One threshold,
//! 1, for everything; what a threshold chosen with the labels in hand would give stands beside it.

pub mod contender;
pub mod data;
mod entities;
pub mod folds;
mod kpi;
pub mod nab;
mod nab_table;
pub mod points;
mod published;
pub mod report;
#[cfg(test)]
mod tests;
pub mod vus;
pub mod walk;

pub use published::Published;
pub use report::Report;

use crate::{engine::SignalSettings, series::Millis};
use contender::{Contender, contenders, panel_detectors};
use data::Labelled;
use rayon::prelude::*;
use std::path::PathBuf;

/// The threshold of every detector.
pub const THRESHOLD: f64 = 1.0;

/// What to measure on.
#[derive(Debug, Clone, Default)]
pub struct AnomalyOptions {
    /// Folder of the Numenta Anomaly Benchmark.
    pub nab: Option<PathBuf>,
    /// Folder of the Server Machine Dataset.
    pub smd: Option<PathBuf>,
    /// Folder of the Application Server Dataset.
    pub asd: Option<PathBuf>,
    /// Folder of labelled single series.
    pub kpi: Option<PathBuf>,
    /// Only these detectors and configurations; all where empty.
    pub only: Vec<String>,
    /// Instead of everything else: constants of the default detectors chosen on one half of the Numenta Anomaly
    /// Benchmark and judged on the other.
    pub folds: bool,
    /// Settings of the signals, for all; see [`contender::shared`].
    pub signal: Option<String>,
}

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnomalyError {
    /// What was asked for cannot be: a folder is not what it should be, a name is none.
    #[error("{0}")]
    Input(String),
    /// A unit could not be walked: a detector panicked.
    #[error("{0}")]
    Failed(String),
}

/// Told what is being done; called from several threads.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// Measures on every data set given, in the order NAB, KPI, SMD, ASD.
///
/// # Errors
/// A folder that is not what it should be, a name in `only` that is none, a detector that panicked.
pub fn run(options: &AnomalyOptions, progress: Progress<'_>) -> Result<Report, AnomalyError> {
    let chosen = Chosen::new(options).map_err(AnomalyError::Input)?;
    let mut report = Report::default();
    if let (true, Some(folder)) = (options.folds, &options.nab) {
        report.folds = Some(folds::measure(folder, &chosen.shared, progress)?);
        return Ok(report);
    }
    if let Some(folder) = &options.nab {
        report.nab = Some(nab_table::measure(folder, &chosen.contenders, progress)?);
    }
    if let Some(folder) = &options.kpi {
        report.kpi = Some(kpi::measure(folder, &chosen.contenders, progress)?);
    }
    for (name, folder) in [("smd", &options.smd), ("asd", &options.asd)] {
        if let Some(folder) = folder {
            let set = entities::measure(name, folder, &chosen.default, &chosen.panels, progress)?;
            report.entities.push(set);
        }
    }
    Ok(report)
}

/// What is compared in this run.
struct Chosen {
    shared: SignalSettings,
    contenders: Vec<Contender>,
    default: Contender,
    panels: Vec<crate::detect::Settings>,
}

impl Chosen {
    fn new(options: &AnomalyOptions) -> Result<Self, String> {
        let only = &options.only;
        let shared = contender::shared(options.signal.as_deref())
            .map_err(|problem| format!("--signal: {problem}"))?;
        let (mut contenders, mut panels) = (contenders(&shared), panel_detectors());
        let kinds = panels.iter().map(|one| one.kind().to_owned());
        let known: Vec<String> = contenders
            .iter()
            .map(|one| one.name.clone())
            .chain(kinds)
            .collect();
        if let Some(unknown) = only.iter().find(|name| !known.contains(name)) {
            let text = format!(
                "--only: {unknown:?} is not compared; allowed: {}",
                known.join(", ")
            );
            return Err(text);
        }
        let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
        contenders.retain(|one| wanted(&one.name));
        panels.retain(|one| wanted(one.kind()));
        Ok(Self {
            contenders,
            default: contender::default(&shared),
            panels,
            shared,
        })
    }
}

/// One contender on a set of single series.
struct Field {
    walks: Vec<walk::SeriesWalk>,
    nanoseconds_per_point: f64,
    bytes_per_series: usize,
}

/// Walks every series; all cores take part.
fn walk_all(
    contender: &Contender,
    set: &[Labelled],
    progress: Progress<'_>,
) -> Result<Field, AnomalyError> {
    let cpu = super::cpu::cpu_seconds();
    let walk = |series: &Labelled| {
        progress(&format!("{}: {}", contender.name, series.name));
        let settings = signal(contender, series.step)?;
        walk::series(&settings, &series.times, &series.values).map_err(|problem| {
            AnomalyError::Failed(format!("{}: {}: {problem}", contender.name, series.name))
        })
    };
    let walks = set.par_iter().map(walk).collect::<Result<Vec<_>, _>>()?;
    let points: usize = walks.iter().map(|walk| walk.points).sum();
    let bytes: usize = walks.iter().map(|walk| walk.bytes).sum();
    let seconds = super::cpu::cpu_seconds() - cpu;
    Ok(Field {
        nanoseconds_per_point: seconds * 1e9 / points.max(1) as f64,
        bytes_per_series: bytes / walks.len().max(1),
        walks,
    })
}

/// The signal of a contender on data with this step.
fn signal(contender: &Contender, step: Millis) -> Result<SignalSettings, AnomalyError> {
    contender
        .signal(step)
        .map_err(|problem| AnomalyError::Input(format!("--signal: {problem}")))
}

/// The mean of what there is.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// 1 where `rows` says so, else 0: verdicts as scores.
fn as_scores(rows: &[bool]) -> Vec<f64> {
    rows.iter().map(|&row| f64::from(u8::from(row))).collect()
}

/// Whether each of `rows` rows is in one of `windows`.
fn labels(rows: usize, windows: &[(usize, usize)]) -> Vec<bool> {
    let inside = |row| {
        windows
            .iter()
            .any(|&(first, last)| (first..=last).contains(&row))
    };
    (0..rows).map(inside).collect()
}
