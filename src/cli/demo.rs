//! `forethought demo`.

use super::{Failure, flags};
use crate::demo::{self, DemoOptions};
use std::{
    io::{self, Write},
    net::SocketAddr,
};

const EXAMPLES: &str = "\
Examples:
  forethought demo
  forethought demo --speed=60 --web.listen-address=127.0.0.1:8080
  forethought demo --print-config

Nothing else is needed: a synthetic shop with three weeks of history stands behind a small Prometheus API
in this process, and the program runs beside it as it would beside yours.";

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// How many times as fast as the real one the demo's clock runs, 1 to 600
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    speed: f64,
    /// Another seed gives another workload
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Address of the page and everything else; can be given several times
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10057", value_parser = flags::address)]
    listen: Vec<SocketAddr>,
    /// Print the configuration the demo runs with, and end
    #[arg(long)]
    print_config: bool,
}

/// Runs until it is told to stop.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    if arguments.print_config {
        write!(out, "{}", demo::config_text("http://localhost:9090"))?;
        return Ok(());
    }
    let options = DemoOptions {
        speed: arguments.speed,
        seed: arguments.seed,
        listen: arguments.listen.clone(),
        start: None,
    };
    let announce = |found: &demo::Announcement| {
        // Where nobody reads the addresses, the demo runs all the same.
        drop(writeln!(io::stdout(), "{found}"));
    };
    Ok(demo::block_on(options, announce)?)
}
