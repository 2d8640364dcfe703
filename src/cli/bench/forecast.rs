//! `forethought bench forecast`.

use super::{Failure, progress};
use crate::bench::forecast::{self, ForecastOptions};
use std::{io::Write, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  forethought bench forecast --data=DATA
  forethought bench forecast --data=DATA --only=default --live
  forethought bench forecast --data=DATA --only=default,theta --without-m4
  forethought bench forecast --data=DATA --drift
  forethought bench forecast --data=DATA --models='[ets: {}, theta: {theta: 3}]'

The default ensemble and every member alone are fitted to the history of each window and asked for
the whole path of the next 15 minutes, hour and day, at steps of five minutes (means). Columns:
  WQL       weighted quantile loss over the deciles; geometric mean over the series
  MASE      mean absolute error by that of seasonal naive (a day) within the history
  WAPE      sum of absolute errors by the sum of absolute actual values; mean over the series
  in 80%    share of actual values inside that interval
  absent    values for which there was no forecast
  ms/fit    CPU time of one cold fit with three horizons; us/step: of each further value

The folder, each file as it is or packed with gzip or xz:
  *.csv, traces/*.csv, kpi/*.csv, prometheus/*.csv
                     columns timestamp (seconds), values, and series where a file holds several
  reference_forecast_windows.csv, reference_forecast.csv
                     which windows are judged, and what other programs reached on them; without
                     them ten origins of every series
  forecast/m4_hourly.csv
                     columns series, step, part (train or test), value";

/// Arguments of `bench forecast`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    /// Folder of the data
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Only these members; `default` is the default ensemble
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Judge an ensemble of these models instead, as under forecast.models in the configuration file
    #[arg(long, value_name = "YAML", conflicts_with = "only")]
    models: Option<String>,
    /// Walk every series as in live use too, and print how often values fell inside their intervals
    #[arg(long)]
    live: bool,
    /// Instead of all that: how often drift is seen where nothing was changed, and found where something was
    #[arg(long, conflicts_with = "live")]
    drift: bool,
    /// Leave out the hourly series of M4
    #[arg(long)]
    without_m4: bool,
}

/// Measures and prints the tables.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let options = ForecastOptions {
        data: arguments.data.clone(),
        only: arguments.only.clone(),
        models: arguments.models.clone(),
        live: arguments.live,
        without_hourly: arguments.without_m4,
    };
    if arguments.drift {
        let report = forecast::run_drift(&options, &progress()).map_err(Failure::Usage)?;
        write!(out, "{report}")?;
        return Ok(());
    }
    let report = forecast::run(&options, &progress()).map_err(Failure::Usage)?;
    write!(out, "{report}")?;
    Ok(())
}
