//! Samples from a file, for `backtest` and `train` without a source.

use super::flags;
use crate::{
    engine::SignalSettings,
    series::Span,
    source::{
        Matrix,
        file::{self, Columns},
    },
};
use std::{collections::BTreeMap, path::PathBuf};

/// A file of samples, and how its signals are looked at.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Samples from a file")]
pub(super) struct FileFlags {
    /// A CSV file, packed with gzip or xz or not; - for standard input
    #[arg(long, value_name = "FILE", visible_alias = "file")]
    csv: Option<PathBuf>,
    /// The column of times
    #[arg(long = "csv.time", value_name = "COLUMN", default_value = "timestamp")]
    time: String,
    /// The columns that name the series [default: series, where there is such a column]
    #[arg(long = "csv.labels", value_name = "COLUMNS", value_delimiter = ',')]
    labels: Option<Vec<String>>,
    /// The columns of values [default: all others]
    #[arg(long = "csv.values", value_name = "COLUMNS", value_delimiter = ',')]
    values: Option<Vec<String>>,
    /// A file of OpenMetrics or Prometheus text with times, packed or not; - for standard input
    #[arg(long = "open-metrics", value_name = "FILE")]
    open_metrics: Option<PathBuf>,
    /// Grid step of the signals
    #[arg(long, value_name = "SPAN", default_value = "1m", value_parser = flags::span)]
    step: Span,
    /// How much past is kept [default: 21d, in whole steps]
    #[arg(long, value_name = "SPAN", value_parser = flags::span)]
    history: Option<Span>,
    /// How far ahead forecasts are made [default: 15m,1h,24h, as far as step and history allow]
    #[arg(long, value_name = "SPANS", value_delimiter = ',', value_parser = flags::span)]
    horizons: Option<Vec<Span>>,
}

/// Samples by the name of their signal.
type Samples = BTreeMap<String, Matrix>;

impl FileFlags {
    /// The signals of the file and their samples.
    ///
    /// # Errors
    /// What is wrong with the flags or the file.
    pub(super) fn read(&self) -> Result<(Vec<SignalSettings>, Samples), String> {
        // The settings are the same for all, whatever they are called.
        self.check(&self.signal("value"))?;
        let found = self.samples()?;
        if found.is_empty() {
            return Err("the file has no samples".to_owned());
        }
        let signals = found.iter().map(|(name, _)| self.signal(name)).collect();
        Ok((signals, found.into_iter().collect()))
    }

    /// How far ahead forecasts are asked for, if that was said.
    pub(super) fn horizons(&self) -> Option<&[Span]> {
        self.horizons.as_deref()
    }

    fn samples(&self) -> Result<Vec<(String, Matrix)>, String> {
        let grid = crate::series::Grid::new(self.step.as_millis())
            .ok_or("--step: must be longer than 0s")?;
        let path = self.csv.as_ref().or(self.open_metrics.as_ref());
        // clap has seen to it that one of them is there.
        let path = path.ok_or("--csv: no file is given")?;
        let flag = if self.csv.is_some() {
            "--csv"
        } else {
            "--open-metrics"
        };
        let reader = file::open(path).map_err(|problem| format!("{flag}: {problem}"))?;
        let read = if self.csv.is_some() {
            let columns = Columns {
                time: self.time.clone(),
                labels: self.labels.clone(),
                values: self.values.clone(),
            };
            file::read_csv(reader, grid, &columns)
        } else {
            file::read_open_metrics(reader, grid)
        };
        read.map_err(|problem| format!("{flag}: {}: {problem}", path.display()))
    }

    fn signal(&self, name: &str) -> SignalSettings {
        let mut signal = SignalSettings::new(name, name);
        signal.step = self.step;
        signal.history = self.history.into();
        signal.forecast.horizons = self.horizons.clone();
        signal
    }

    /// What is wrong with the settings, by flag.
    fn check(&self, signal: &SignalSettings) -> Result<(), String> {
        let lines: Vec<String> = signal
            .validate()
            .into_iter()
            .map(|(path, problem)| {
                let key = path.trim_start_matches("forecast.");
                let flag = key.split(['[', '.']).next().unwrap_or(key);
                format!("--{flag}: {problem}")
            })
            .collect();
        if lines.is_empty() {
            Ok(())
        } else {
            Err(lines.join("\n"))
        }
    }
}
