//! `forethought bench api`.

use super::{Failure, flags, progress};
use crate::{
    bench::api::{self, ApiOptions},
    series::Span,
};
use std::{io::Write, time::Duration};

const EXAMPLES: &str = "\
Examples:
  forethought bench api
  forethought bench api --series=5000 --workloads=1000 --step=15s --seconds=120
  forethought bench api --series=10000 --step=30s --rate=1 --scaler-rate=1000

The server, a synthetic Prometheus and the readers run in this process and share its processors. A
time goes from sending a request over a kept-open loopback socket to the last byte of the answer, and
begins when the request was due where the answer before it came late.";

/// Arguments of `bench api`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    /// Series of the one signal
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    series: usize,
    /// Workloads, each of a series of its own
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    workloads: usize,
    /// Grid step, and how often decisions are made
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = flags::span)]
    step: Span,
    /// History of the signal
    #[arg(long, value_name = "SPAN", default_value = "2h", value_parser = flags::span)]
    history: Span,
    /// Reads a second of each path
    #[arg(long, value_name = "NUMBER", default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// Calls a second of a scaler over gRPC, of all workloads in turn, and as many reads of external metrics over TLS
    #[arg(long, value_name = "NUMBER", default_value_t = 100.0, value_parser = scaler_rate)]
    scaler_rate: f64,
    /// How long is read, once while evaluating and once while idle
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// Ask for deflated answers, as a browser does
    #[arg(long)]
    gzip: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let allowed = number.filter(|number| (0.1..=1_000.0).contains(number));
    allowed.ok_or_else(|| "must be a number from 0.1 to 1000".to_owned())
}

fn scaler_rate(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let allowed = number.filter(|number| (0.0..=100_000.0).contains(number));
    allowed.ok_or_else(|| "must be a number from 0 to 100000".to_owned())
}

/// Measures and prints.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let options = ApiOptions {
        series: arguments.series,
        workloads: arguments.workloads,
        step: arguments.step,
        history: arguments.history,
        rate: arguments.rate,
        scaler_rate: arguments.scaler_rate,
        lasts: Duration::from_secs(arguments.seconds),
        gzip: arguments.gzip,
    };
    let report = api::run(&options, &progress()).map_err(Failure::Failed)?;
    write!(out, "{report}")?;
    let worst = report.worst_p95() * 1e3;
    writeln!(
        out,
        "\nlongest p95 of the API while evaluating: {worst:.2} ms"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_limited() {
        assert_eq!(rate("10"), Ok(10.0));
        for bad in ["0", "NaN", "1e9", "often"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert_eq!(scaler_rate("0"), Ok(0.0));
        for bad in ["-1", "NaN", "1e9", "often"] {
            assert!(scaler_rate(bad).is_err(), "{bad}");
        }
    }
}
