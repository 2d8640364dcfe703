//! `forethought bench scale`.

use super::{Failure, flags, progress};
use crate::{
    bench::scale::{self, Itself, ScaleOptions, ScaleReport, ScaleRow},
    series::Span,
};
use std::{
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

const EXAMPLES: &str = "\
Examples:
  forethought bench scale --log.level=error --series=1000000
  forethought bench scale --series=10000,100000,1000000 --json

A second process pushes every series by remote write and scrapes over loopback sockets; the figures are
those of the one that takes them in, evaluates and serves them. The clock is set on from one grid
time to the next, so nothing waits for the interval. Fails where the anomalies that were sent are not found.
How often memory is asked for is told by a build with `--features count-allocations`.";

/// Arguments of `bench scale`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    /// Numbers of series, each measured in a process of its own
    #[arg(
        long,
        value_name = "COUNTS",
        value_delimiter = ',',
        default_value = "10000,100000"
    )]
    series: Vec<usize>,
    /// Grid step, and how often everything is evaluated
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = flags::span)]
    interval: Span,
    /// Grid times that are measured
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    ticks: usize,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Be the process that pushes
    #[arg(long, value_name = "ADDRESS", hide = true)]
    push_to: Option<SocketAddr>,
}

/// Measures and prints.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    if arguments.series.is_empty() || arguments.series.iter().any(|&series| series < 2) {
        return Err(Failure::Usage(
            "--series: give numbers from 2 on".to_owned(),
        ));
    }
    if let (Some(address), [series, ..]) = (arguments.push_to, &arguments.series[..]) {
        return Ok(scale::send(*series, address, io::stdin().lock(), out)?);
    }
    let program = std::env::current_exe()?;
    let rows = match arguments.series[..] {
        [series] => vec![one(arguments, series, &program)?],
        _ => each(arguments, &program)?,
    };
    let report = ScaleReport { rows };
    if arguments.json {
        let text = serde_json::to_string_pretty(&report);
        let text = text.map_err(|error| Failure::Failed(error.to_string()))?;
        writeln!(out, "{text}")?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}

fn one(arguments: &Arguments, series: usize, program: &Path) -> Result<ScaleRow, Failure> {
    let options = ScaleOptions {
        series,
        step: arguments.interval,
        ticks: arguments.ticks,
    };
    scale::run(&options, &Itself(program), &progress()).map_err(Failure::Failed)
}

/// One after another, each in a process of its own: memory that one row let go of would be there for the next.
fn each(arguments: &Arguments, program: &Path) -> Result<Vec<ScaleRow>, Failure> {
    let mut rows = Vec::new();
    for series in &arguments.series {
        let mut command = Command::new(program);
        command.args(["bench", "scale", "--json", "--log.level=error"]);
        command.args([
            format!("--series={series}"),
            format!("--interval={}", arguments.interval),
            format!("--ticks={}", arguments.ticks),
        ]);
        let done = command.stderr(Stdio::inherit()).output()?;
        let read: Result<Rows, _> = serde_json::from_slice(&done.stdout);
        match read {
            Ok(read) if done.status.success() => rows.extend(read.rows),
            _ => {
                return Err(Failure::Failed(format!(
                    "{series} series could not be measured"
                )));
            }
        }
    }
    Ok(rows)
}

#[derive(serde::Deserialize)]
struct Rows {
    rows: Vec<ScaleRow>,
}
