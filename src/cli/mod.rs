//! The command line: reads arguments, calls what does the work, turns the result into an exit code.
//!
//! Exit codes: 0 all well, 1 failed, 2 usage or configuration. Output that nobody reads any more (a
//! closed pipe) is no failure.

mod backfill;
mod backtest;
mod bar;
mod bench;
mod check;
mod decisions;
mod demo;
mod events;
mod explain;
mod failure;
mod flags;
mod lint;
mod manifests;
mod models;
mod overrides;
mod records;
mod report;
mod rules;
mod run;
mod samples;
mod simulate;
mod table;
#[cfg(test)]
mod tests;
mod train;
mod workload;

pub use failure::Failure;

use crate::telemetry::log;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

/// Version, and what it was built from, as Prometheus' own programs print it.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision: ",
    env!("FORETHOUGHT_REVISION"),
    ")\n  build date:       ",
    env!("FORETHOUGHT_BUILD_DATE"),
    "\n  platform:         ",
    env!("FORETHOUGHT_PLATFORM")
);

const EXAMPLES: &str = "\
Examples:
  See it work, without a Prometheus:
    forethought demo
  Watch one query of a Prometheus, without a file:
    forethought run --prometheus.url=http://localhost:9090 --query='sum(rate(http_requests_total[2m]))' --name=http_requests_per_second
  Check a configuration, then run it:
    forethought check forethought.yml --against-source
    forethought run --config.file=forethought.yml
  Train a forecaster on the last 30 days of a signal:
    forethought train --config.file=forethought.yml --signal=http_requests_per_second
  Keep the long past of the signals, for horizons of weeks and months:
    forethought rules --config.file=forethought.yml > capacity.rules.yml
  See how it would have done over the last week:
    forethought backtest --config.file=forethought.yml --from=7d
  See what scaling by forecasts would have cost and saved:
    forethought simulate --trace=requests.csv

Then let Prometheus scrape http://localhost:10057/metrics with `honor_labels: true`.
Exit codes: 0 all well, 1 failed, 2 usage or configuration.";

/// Predicts and watches Prometheus series, and gives the result back as Prometheus series.
#[derive(Debug, Parser)]
#[command(
    name = "forethought",
    version = LONG_VERSION,
    after_help = EXAMPLES,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    log: flags::LogFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run beside a Prometheus: query it, serve predictions and anomalies on /metrics
    Run(Box<run::Arguments>),
    /// Check a configuration file: every problem at once, with its place and what is allowed
    Check(check::Arguments),
    /// Look back: what would have been predicted and found over the past, and how good it was
    Backtest(Box<backtest::Arguments>),
    /// Write what would have been shown over the past, for Prometheus to load; take in the past of what is scraped or pushed
    Backfill(Box<backfill::Arguments>),
    /// See it work with nothing else installed: a synthetic workload, the real program, a page to look at
    Demo(demo::Arguments),
    /// List, check and put in force trained models; go back to the one before
    Models(models::Arguments),
    /// Train a forecaster on the past of a signal; put it in force if it wins on days it has not seen
    Train(Box<train::Arguments>),
    /// Replay past demand under several ways of scaling: violations, replica-hours and cost of each, and of ours
    Simulate(Box<simulate::Arguments>),
    /// Write recording rules that keep the long past of signals, for horizons of weeks and months
    Rules(rules::Arguments),
    /// Put in, list and remove known causes of load: campaigns, games, releases
    Events(events::Arguments),
    /// Give, list and take back orders over workloads: pause, pin, least and greatest size
    Overrides(overrides::Arguments),
    /// List what was decided about workloads, and why
    Decisions(decisions::Arguments),
    /// Sum up a day of workloads: accuracy, decisions, what they saved beside a reactive autoscaler, what was missed
    Report(report::Arguments),
    /// Say why a workload has the size it has: the sentence, the numbers, the picture
    Explain(explain::Arguments),
    /// Write what Kubernetes needs so that a workload follows its recommendation: ScaledObject or HPA, rules, alerts
    Manifests(manifests::Arguments),
    /// Find ways in which a failure would scale down, in ScaledObjects and HPAs that are there
    Lint(lint::Arguments),
    /// Measure evaluation on this machine: time and memory by number of series; or accuracy on labelled data
    Bench(bench::Arguments),
}

/// Does what `arguments` (with the program's name first) say, on the process' own output.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let result = dispatch(arguments, &mut io::stdout().lock());
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    if !failure.is_closed_pipe() {
        // Nothing can be done where stderr is closed too.
        drop(writeln!(io::stderr(), "{failure}"));
    }
    ExitCode::from(failure.exit_code())
}

/// Does what `arguments` say and writes results to `out`.
///
/// # Errors
/// What to tell the person, and which exit code follows.
pub fn dispatch(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let cli = match Cli::command().try_get_matches_from(arguments) {
        Ok(matches) => Cli::from_arg_matches(&matches).map_err(|error| Failure::usage(&error))?,
        // `--help` and `--version` are "errors" of clap that belong on standard output.
        Err(asked) if !asked.use_stderr() => {
            write!(out, "{}", asked.render())?;
            return Ok(());
        }
        Err(error) => return Err(Failure::usage(&error)),
    };
    start_log(&cli.log);
    match cli.command {
        Command::Run(arguments) => run::run(*arguments),
        Command::Check(arguments) => check::run(&arguments, out),
        Command::Backtest(arguments) => backtest::run(&arguments, out),
        Command::Backfill(arguments) => backfill::run(&arguments, out),
        Command::Demo(arguments) => demo::run(&arguments, out),
        Command::Models(arguments) => models::run(&arguments, out),
        Command::Train(arguments) => train::run(&arguments, out),
        Command::Simulate(arguments) => simulate::run(&arguments, out),
        Command::Rules(arguments) => rules::run(&arguments, out),
        Command::Events(arguments) => events::run(&arguments, out),
        Command::Overrides(arguments) => overrides::run(&arguments, out),
        Command::Decisions(arguments) => decisions::run(&arguments, out),
        Command::Explain(arguments) => explain::run(&arguments, out),
        Command::Manifests(arguments) => manifests::run(&arguments, out),
        Command::Lint(arguments) => lint::run(&arguments, out),
        Command::Report(arguments) => report::run(&arguments, out),
        Command::Bench(arguments) => bench::run(&arguments, out),
    }
}

fn start_log(flags: &flags::LogFlags) {
    // The only error is that logging was started before, as tests do that call this several times.
    drop(log::init(flags.level, flags.format));
}
