//! `forethought bench anomaly`.

use super::{Failure, progress};
use crate::bench::anomaly::{self, AnomalyError, AnomalyOptions};
use clap::ArgGroup;
use std::{fs, io::Write, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  forethought bench anomaly --nab=NAB
  forethought bench anomaly --nab=nab --smd=smd --asd=asd --kpi=kpi --json=accuracy.json
  forethought bench anomaly --nab=NAB --only=default --signal='{alerting: {refractory: 8h}}'
  forethought bench anomaly --nab=NAB --folds

Every detector is run alone, as it is by default, and so is the default configuration. The units
are those of `run`: each series begins without a history, each row is judged with what was known
at it, and what is judged is what /metrics would show. The threshold is 1 for everything; what a
threshold chosen with the labels would give stands beside it.

Folders, each file as it is or packed with gzip or xz:
  --nab         combined_windows.json (or labels/combined_windows.json) and
                data/CATEGORY/FILE.csv, as in github.com/numenta/NAB
  --kpi         *.csv with columns timestamp (seconds), value, label (1 is anomalous)
  --smd, --asd  one *.csv per entity with columns timestamp, part (train or test; test is judged),
                one per channel, label
VUS-PR published by TSB-AD is printed beside ours where the folder has it: tsbad_vuspr.csv (nab),
tsbad_m_vuspr.csv (smd). What each column means: docs/accuracy.md.

--folds tells what choosing with the labels is worth. Of 45 settings of the default detectors
(envelope.novelty 0.02 to 0.08, forecast_residual.threshold 5.5 to 12, zscore.threshold 4.5 to
8.5) the one with the best standard score on the files at odd positions by name is judged on those
at even ones, and the other way round; beside it the default. It takes some minutes.

All figures but ns/point are the same in every run.";

/// Arguments of `bench anomaly`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("data").required(true).multiple(true).args(["nab", "smd", "asd", "kpi"])
)]
pub(in crate::cli) struct Arguments {
    /// Folder of the Numenta Anomaly Benchmark
    #[arg(long, value_name = "DIR")]
    nab: Option<PathBuf>,
    /// Folder of the Server Machine Dataset
    #[arg(long, value_name = "DIR")]
    smd: Option<PathBuf>,
    /// Folder of the Application Server Dataset
    #[arg(long, value_name = "DIR")]
    asd: Option<PathBuf>,
    /// Folder of labelled single series
    #[arg(long, value_name = "DIR")]
    kpi: Option<PathBuf>,
    /// Only these detectors; `default` is the default configuration
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Instead: constants of the default detectors chosen on one half of NAB, judged on the other
    #[arg(long, requires = "nab", conflicts_with_all = ["smd", "asd", "kpi", "only"])]
    folds: bool,
    /// Settings for all of them, as under a signal in the configuration file
    #[arg(long, value_name = "YAML")]
    signal: Option<String>,
    /// Write the figures as JSON into this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures and prints the tables.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let options = AnomalyOptions {
        nab: arguments.nab.clone(),
        smd: arguments.smd.clone(),
        asd: arguments.asd.clone(),
        kpi: arguments.kpi.clone(),
        only: arguments.only.clone(),
        signal: arguments.signal.clone(),
        folds: arguments.folds,
    };
    let report = anomaly::run(&options, &progress()).map_err(|error| match error {
        AnomalyError::Input(text) => Failure::Usage(text),
        AnomalyError::Failed(text) => Failure::Failed(text),
    })?;
    write!(out, "{report}")?;
    if let Some(path) = &arguments.json {
        let failed =
            |problem: String| Failure::Failed(format!("--json: {}: {problem}", path.display()));
        let text =
            serde_json::to_string_pretty(&report).map_err(|error| failed(error.to_string()))?;
        fs::write(path, text + "\n").map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}
