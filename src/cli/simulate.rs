//! `forethought simulate`.

use super::{Failure, backtest::can_write, bar::bar};
use crate::{
    backtest::Theme,
    simulate::{Parameters, Report, Subject, Trace, Which, heading, plot, study, traces},
};
use clap::ValueEnum;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

mod own;
mod past;

const EXAMPLES: &str = "\
Examples:
  forethought simulate --trace=requests.csv
  forethought simulate --data=DATA --plot=frontiers.svg
  forethought simulate --prometheus.url=http://localhost:9090 --query='sum(rate(http_requests_total[2m]))' --days=30
  forethought simulate --data=DATA --output=csv > scores.csv
  forethought simulate --data=DATA --policy=ours,hpa-tuned,static
  What would have become of the workload checkout of your configuration in the last month:
    forethought simulate --what-if --config.file=forethought.yml --workload=checkout --days=30 --plot=checkout.svg

Replays demand through a model of Kubernetes' HPA, KEDA and pods that take time to start, under: a static
size for the peak; HPA as it comes; HPA tuned (the best of a grid, on the first half); Holt-Winters on
replicas as predictive-horizontal-pod-autoscaler does it; a predictor like Crane's; seasonal naive with our
policy; ours beside a trigger on the present rate; ours alone; and an oracle that knows the future. The second
half is scored.

  viol. %   share of minutes with demand above what the ready replicas can serve
  repl. h   hours of all replicas, those that were starting too
  cost      of replicas, and of those that were missing
  queue     mean of every day's longest queue, and the longest, in minutes of work of one replica
  act./h    changes of the size an hour; rev.: steps down soon after a step up
  window    share of the time at which what was asked for covers the next minutes
  peaks     busiest five minutes of a day for which enough was ready as they began
  frontier  what a policy can have of violations and replica-hours, whatever its knob is set to

With --what-if the demand is that of the workload's signal, as far back as the source knows it, and ours runs
with the workload's own settings: capacity_per_replica, lead_time, limits, level or cost, mode, gate,
schedules, and the forecasters of its signal. Two policies are added: `recorded`, the replicas that there
were (replicas.query), and `reactive`, what the workload asks for in mode observe. Nothing is changed
anywhere. What cannot be replayed (queue, rules, events, overrides) is left out and told.

Policies: static, hpa, hpa-tuned, reactive, recorded, oracle, phpa, crane, seasonal-naive, ours, ours-alone. The
ratios of ours by the others need static, hpa-tuned and ours; those of ours alone need ours-alone in its place.

Elsewhere what a replica can serve follows from the trace: its peak shall need 20. Every number of the simulation is in
one file; `forethought simulate --print-parameters` prints it, --parameters takes another.";

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group = clap::ArgGroup::new("demand").required(true).args(["trace", "data", "url", "what_if", "print_parameters"])
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
    /// A workload of a configuration over its own past, with its own settings
    #[arg(long, requires_all = ["config_file", "workload"])]
    what_if: bool,
    /// The configuration file that has the workload
    #[arg(
        long = "config.file",
        value_name = "FILE",
        id = "config_file",
        requires = "what_if"
    )]
    config_file: Option<PathBuf>,
    /// The workload
    #[arg(long, value_name = "NAME", requires = "what_if")]
    workload: Option<String>,
    /// How many days of the past a server is asked for
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Run only these policies
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = str::parse::<Which>)]
    policy: Vec<Which>,
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
    if !arguments.what_if && arguments.policy.contains(&Which::Recorded) {
        return Err(Failure::Usage(
            "--policy: recorded is the size that a workload had, which nobody knows of a trace; leave it out, or replay a workload with \
             --what-if --config.file=FILE --workload=NAME"
                .to_owned(),
        ));
    }
    let parameters = parameters(arguments.parameters.as_deref()).map_err(Failure::Usage)?;
    if let Some(path) = &arguments.plot {
        can_write(path)?;
    }
    let asked = asked(arguments, parameters)?;
    let report = simulate(&asked, &arguments.policy)?;
    match arguments.output {
        Output::Table => write!(out, "{}\n\n{report}", heading(&asked.parameters))?,
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

/// What is simulated.
struct Asked {
    traces: Vec<Trace>,
    subject: Subject,
    parameters: Parameters,
}

fn asked(arguments: &Arguments, parameters: Parameters) -> Result<Asked, Failure> {
    if let (Some(file), Some(workload)) = (&arguments.config_file, &arguments.workload) {
        let own = own::read(file, workload, arguments.days, &parameters)?;
        return Ok(Asked {
            traces: vec![own.trace],
            subject: own.subject,
            parameters: own.parameters,
        });
    }
    Ok(Asked {
        traces: demand(arguments)?,
        subject: Subject::usual(&parameters).map_err(Failure::Usage)?,
        parameters,
    })
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
fn simulate(asked: &Asked, which: &[Which]) -> Result<Report, Failure> {
    let bar = bar(1_000 * asked.traces.len() as u64);
    let mut report = Report::default();
    let mut problems = Vec::new();
    for (place, trace) in asked.traces.iter().enumerate() {
        let progress = |what: &str, share: f64| {
            bar.set_message(what.to_owned());
            bar.set_position((place as f64 * 1_000.0 + share * 1_000.0) as u64);
        };
        match study(trace, &asked.parameters, &asked.subject, which, &progress) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_policy() {
        let (_, policies) = EXAMPLES.split_once("Policies: ").unwrap();
        let (policies, _) = policies.split_once(". The").unwrap();
        let named: Vec<&str> = policies.split(", ").collect();
        assert_eq!(named, Which::ALL.map(Which::as_str));
    }
}
