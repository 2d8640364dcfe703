//! `forethought report`: a day of workloads summed up.

mod day;
mod read;
mod text;

use super::{
    Failure,
    explain::picture,
    records::{self, Output},
};
use crate::{backtest::Theme, engine::Clock, series::Millis};
use day::Day;
use std::{io::Write, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  What happened yesterday (UTC), as markdown:
    forethought report --config.file=forethought.yml
  A certain day, with a picture:
    forethought report --config.file=forethought.yml --day=2026-11-20 --svg=day.svg
  For a program:
    forethought report --config.file=forethought.yml --output=json

The demand and the size that there was are asked of the sources, decisions and accuracy of the store. Beside them stands what a reactive
autoscaler would have done (Kubernetes' defaults, 80 % of the capacity, the same limits): its replica-hours, and its minutes without enough.
Exit codes: 0 all well, 1 failed, 2 usage or configuration.";

const DAY: Millis = 86_400_000;
const MINUTE: Millis = 60_000;

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file: its workloads, sources and store
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: PathBuf,
    /// The day, UTC [default: yesterday]
    #[arg(long, value_name = "DATE", value_parser = date)]
    day: Option<Millis>,
    /// Only this workload
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Also draw the day into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Light lines on a dark page
    #[arg(long, requires = "svg")]
    dark: bool,
    /// How it is printed: table is markdown
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// The first millisecond of a date, UTC.
fn date(text: &str) -> Result<Millis, String> {
    let date: jiff::civil::Date = text
        .parse()
        .map_err(|_| format!("{text:?} is not a date such as 2026-01-31"))?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC);
    let zoned = zoned.map_err(|error| error.to_string())?;
    Ok(zoned.timestamp().as_millisecond())
}

/// Prints it.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let now = Clock::System.now();
    let today = now.div_euclid(DAY) * DAY;
    let from = arguments.day.unwrap_or(today - DAY);
    if from + MINUTE > now {
        return Err(Failure::Usage("--day: that day has not begun".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let until = (from + DAY).min(now.div_euclid(MINUTE) * MINUTE);
    let wanted = arguments.workload.as_deref();
    let read = read::read(&arguments.config_file, wanted, from, until);
    let report: Day = runtime.block_on(read)?;
    if let Some(path) = &arguments.svg {
        let theme = if arguments.dark {
            Theme::Dark
        } else {
            Theme::Light
        };
        let workloads = report.workloads.iter();
        let courses: Vec<_> = workloads
            .map(|one| (one.workload.as_str(), one.course.as_slice()))
            .collect();
        picture::draw(&courses, theme, path).map_err(Failure::Failed)?;
    }
    match arguments.output {
        Output::Json => records::json(out, &report),
        Output::Table => Ok(write!(out, "{}", text::markdown(&report))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight() {
        assert_eq!(date("1970-01-02"), Ok(DAY));
        assert!(date("yesterday").unwrap_err().contains("2026-01-31"));
    }
}
