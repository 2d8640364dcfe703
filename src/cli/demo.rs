//! `forethought demo`.

use super::{Failure, flags};
use crate::demo::{self, DemoOptions};
use std::{io::Write, net::SocketAddr};

const EXAMPLES: &str = "\
Examples:
  forethought demo
  forethought demo --speed=60 --web.listen-address=127.0.0.1:8080

The engine, the source and the page are the real ones; only the Prometheus behind them is synthetic.";

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// How many times as fast as the real one the demo's clock runs
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Another seed gives another workload
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Address to listen on; can be given several times
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10057", value_parser = flags::address)]
    listen: Vec<SocketAddr>,
}

fn speed(text: &str) -> Result<f64, String> {
    let [least, most] = demo::SPEEDS;
    match text.parse() {
        Ok(speed) if (least..=most).contains(&speed) => Ok(speed),
        _ => Err(format!("must be a number from {least} to {most}")),
    }
}

/// Runs the demo until it is told to stop; first prints where it is found.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let options = DemoOptions {
        speed: arguments.speed,
        seed: arguments.seed,
        listen: arguments.listen.clone(),
        start: None,
    };
    // A closed output is no reason to stop: the page is what a demo is for.
    Ok(demo::block_on(options, |found| {
        drop(writeln!(out, "{found}").and_then(|()| out.flush()));
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_limited() {
        assert_eq!(speed("60"), Ok(60.0));
        for bad in ["0", "601", "fast", "NaN"] {
            assert!(speed(bad).unwrap_err().contains("1 to 600"), "{bad}");
        }
    }
}
