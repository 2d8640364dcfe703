//! `forethought simulate`.

use super::{Failure, backtest::can_write};
use crate::{
    backtest::Theme,
    simulate::{Parameters, Report, Trace, heading, plot, study, traces},
};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

mod past;

const EXAMPLES: &str = "\
Examples:
  forethought simulate --trace=requests.csv
  forethought simulate --data=DATA --plot=frontiers.svg
  forethought simulate --prometheus.url=http://localhost:9090 --query='sum(rate(http_requests_total[2m]))' --days=30
  forethought simulate --data=DATA --output=csv > scores.csv

Replays demand through a model of Kubernetes' HPA, KEDA and pods that take time to start, under: a static
size for the peak; HPA as it comes; HPA tuned (the best of a grid, on the first half); Holt-Winters on
replicas as predictive-horizontal-pod-autoscaler does it; a predictor like Crane's; seasonal naive with our
policy; ours; and an oracle that knows the future. The second half is scored.

  viol. %   share of minutes with demand above what the ready replicas can serve
  repl. h   hours of all replicas, those that were starting too
  cost      of replicas, and of those that were missing
  queue     mean of every day's longest queue, and the longest, in minutes of work of one replica
  act./h    changes of the size an hour; rev.: steps down soon after a step up
  window    share of the time at which what was asked for covers the next minutes
  peaks     busiest five minutes of a day for which enough was ready as they began
  frontier  what a policy can have of violations and replica-hours, whatever its knob is set to

What a replica can serve follows from the trace: its peak shall need 20. Every number of the simulation is in
one file; `forethought simulate --print-parameters` prints it, --parameters takes another.";

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group = clap::ArgGroup::new("demand").required(true).args(["trace", "data", "url", "print_parameters"])
)]
pub(super) struct Arguments {
    /// A CSV file with columns timestamp (seconds) and values, packed with gzip or xz or not; can be given
    /// several times
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// A folder of such files
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The columns of values that are demand [default: value, requests and the like]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Vec<String>,
    /// At most so many series of each column
    #[arg(long, value_name = "COUNT")]
    series: Option<usize>,
    /// A Prometheus-compatible server
    #[arg(
        long = "prometheus.url",
        value_name = "URL",
        id = "url",
        requires = "query"
    )]
    url: Option<String>,
    /// Demand as PromQL, one series: that of the last days at a minute's step
    #[arg(long, value_name = "PROMQL")]
    query: Option<String>,
    /// How many days of it
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    days: u32,
    /// Other numbers for the simulation
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
    /// Print the numbers of the simulation, and do nothing else
    #[arg(long)]
    print_parameters: bool,
    /// What is printed
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Draw the frontiers into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Draw on a dark ground
    #[arg(long, requires = "plot")]
    dark: bool,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Tables for people
    Table,
    /// Everything
    Json,
    /// A line per policy and setting
    Csv,
}

/// Simulates and prints what came of it.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    if arguments.print_parameters {
        write!(out, "{}", crate::simulate::PARAMETERS)?;
        return Ok(());
    }
    let parameters = parameters(arguments.parameters.as_deref()).map_err(Failure::Usage)?;
    if let Some(path) = &arguments.plot {
        can_write(path)?;
    }
    let report = simulate(&demand(arguments)?, &parameters)?;
    match arguments.output {
        Output::Table => write!(out, "{}\n\n{report}", heading(&parameters))?,
        Output::Csv => write!(out, "{}", report.csv())?,
        Output::Json => {
            let text = serde_json::to_string_pretty(&report);
            writeln!(
                out,
                "{}",
                text.map_err(|error| Failure::Failed(error.to_string()))?
            )?;
        }
    }
    if let Some(path) = &arguments.plot {
        let theme = if arguments.dark {
            Theme::Dark
        } else {
            Theme::Light
        };
        plot(&report.traces, theme, path).map_err(Failure::Failed)?;
    }
    Ok(())
}

fn parameters(path: Option<&Path>) -> Result<Parameters, String> {
    let Some(path) = path else {
        return Parameters::built_in();
    };
    let shown = |problem: String| format!("--parameters: {}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| shown(error.to_string()))?;
    Parameters::read(&text).map_err(shown)
}

fn demand(arguments: &Arguments) -> Result<Vec<Trace>, Failure> {
    let wanted = traces::Wanted {
        columns: arguments.columns.clone(),
        series: arguments.series,
    };
    if let (Some(url), Some(query)) = (&arguments.url, &arguments.query) {
        return past::fetch(url, query, arguments.days).map(|trace| vec![trace]);
    }
    if let Some(folder) = &arguments.data {
        return traces::in_folder(folder, &wanted)
            .map_err(|problem| Failure::Usage(format!("--data: {problem}")));
    }
    let mut all = Vec::new();
    for path in &arguments.trace {
        let found = traces::in_file(path, &wanted)
            .map_err(|problem| Failure::Usage(format!("--trace: {problem}")))?;
        if found.is_empty() {
            let text = format!(
                "--trace: {}: no column timestamp, or none of the columns; say which with --columns",
                path.display()
            );
            return Err(Failure::Usage(text));
        }
        all.extend(found);
    }
    Ok(all)
}

/// Every trace; one that cannot be used is told and left out unless it is the only one.
fn simulate(all: &[Trace], parameters: &Parameters) -> Result<Report, Failure> {
    let bar = bar(all.len());
    let mut report = Report::default();
    let mut problems = Vec::new();
    for (place, trace) in all.iter().enumerate() {
        let progress = |what: &str, share: f64| {
            bar.set_message(what.to_owned());
            bar.set_position((place as f64 * 1_000.0 + share * 1_000.0) as u64);
        };
        match study(trace, parameters, &progress) {
            Ok(outcome) => report.traces.push(outcome),
            Err(problem) => problems.push(problem),
        }
    }
    bar.finish_and_clear();
    if report.traces.is_empty() {
        return Err(Failure::Failed(problems.join("\n")));
    }
    report.left_out = problems;
    Ok(report)
}

/// A bar on a terminal; nothing where stderr is none.
fn bar(traces: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}");
    let bar = ProgressBar::new(1_000 * traces as u64);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
