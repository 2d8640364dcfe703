//! `forethought bench soak`.

use super::{Failure, flags};
use crate::{
    bench::soak::{self, SoakOptions},
    series::Span,
};
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  victoria-metrics -search.latencyOffset=1s &
  forethought bench soak --url=http://localhost:8428 --series=100000 --churn=0.1 --lasts=1h
  forethought bench soak --url=http://localhost:8428 --series=1000 --interval=5s --offset=2s --lasts=3m

Writes so many series into the database by remote write, some of them replaced by others all the time,
and starts a forethought that asks for them, as one signal of the class wide. A line a minute goes to
stderr. Ends with an error where what is shown gets a minute old, a tick takes 5 s, or memory grows
after it has settled. VictoriaMetrics gives values as late as its -search.latencyOffset says.";

/// Arguments of `bench soak`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    /// A database that takes remote write at /api/v1/write and answers /api/v1/query_range
    #[arg(long, value_name = "URL")]
    url: String,
    /// Series at any time
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    series: u32,
    /// From one sample of a series to the next, and the step of the signal
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = flags::span)]
    interval: Span,
    /// How long after a grid time the database is asked for it
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = flags::span)]
    offset: Span,
    /// Share of the series that are replaced by others within ten minutes
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    churn: f64,
    /// How long it lasts
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = flags::span)]
    lasts: Span,
}

fn share(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let allowed = number.filter(|number| (0.0..=1.0).contains(number));
    allowed.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

/// Soaks and prints.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let options = SoakOptions {
        url: arguments.url.clone(),
        series: arguments.series as usize,
        interval: arguments.interval,
        offset: arguments.offset,
        churn: arguments.churn,
        lasts: arguments.lasts.to_std(),
    };
    let report = soak::run(&options, &tell).map_err(Failure::Failed)?;
    write!(out, "{report}")?;
    match report.missed().as_slice() {
        [] => Ok(()),
        missed => Err(Failure::Failed(missed.join("; "))),
    }
}

/// It lasts for hours: what was seen goes into a log too.
fn tell(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one() {
        assert_eq!(share("0.1"), Ok(0.1));
        for bad in ["-0.1", "2", "NaN", "some"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
