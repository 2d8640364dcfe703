//! `forethought bench`.

mod anomaly;
mod api;
mod forecast;
mod network;
mod scale;
mod soak;

use super::{Failure, flags};
use crate::{
    bench::{self, BenchOptions},
    series::Span,
};
use std::io::{self, IsTerminal, Write};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Numbers of series to measure, one row for each
    #[arg(
        long,
        value_name = "COUNTS",
        value_delimiter = ',',
        default_value = "100,1000"
    )]
    series: Vec<usize>,
    /// History of each series
    #[arg(long, value_name = "SPAN", default_value = "21d", value_parser = flags::span)]
    history: Span,
    /// Grid step
    #[arg(long, value_name = "SPAN", default_value = "1m", value_parser = flags::span)]
    step: Span,
    /// Forecast horizons
    #[arg(long, value_name = "SPANS", value_delimiter = ',', default_value = "15m,1h,24h", value_parser = flags::span)]
    horizons: Vec<Span>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Measure accuracy on labelled data instead: every detector alone, and the default configuration
    Anomaly(anomaly::Arguments),
    /// Measure how soon the API answers, while everything is evaluated and while nothing is
    Api(api::Arguments),
    /// Measure accuracy of forecasts on real series: the default ensemble and every member alone
    Forecast(forecast::Arguments),
    /// Measure what one network costs: time by number of rows, and for a thousand series
    Network(network::Arguments),
    /// Measure what very many series cost from end to end: pushed, evaluated, served
    Scale(scale::Arguments),
    /// Hold out against a real time-series database for hours: how fresh, how long a tick, how much memory
    Soak(soak::Arguments),
}

/// Measures and prints a table.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    match &arguments.command {
        Some(Command::Anomaly(arguments)) => return anomaly::run(arguments, out),
        Some(Command::Api(arguments)) => return api::run(arguments, out),
        Some(Command::Forecast(arguments)) => return forecast::run(arguments, out),
        Some(Command::Network(arguments)) => return network::run(arguments, out),
        Some(Command::Scale(arguments)) => return scale::run(arguments, out),
        Some(Command::Soak(arguments)) => return soak::run(arguments, out),
        None => {}
    }
    let options = BenchOptions {
        series: arguments.series.clone(),
        history: arguments.history,
        step: arguments.step,
        horizons: arguments.horizons.clone(),
    };
    let report = bench::run(&options, &progress()).map_err(Failure::Failed)?;
    write!(out, "{report}")?;
    Ok(())
}

/// Tells on stderr what is being done, where a person is looking.
fn progress() -> impl Fn(&str) + Sync {
    let shown = io::stderr().is_terminal();
    move |text: &str| {
        if shown {
            // What is being done is only nice to know.
            drop(writeln!(io::stderr(), "{text}"));
        }
    }
}
