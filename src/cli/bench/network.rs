//! `forethought bench network`.

use super::Failure;
use crate::bench::network;
use std::{io::Write, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  forethought bench network models/checkout/7/model.onnx
  forethought bench network lstm.onnx --row=60,8 --rows=1,64

Without a batch dimension of its own, a file is measured with one row a run. benches/network_peers.py
puts the figures beside those of onnxruntime.";

/// Arguments of `bench network`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    /// ONNX file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Shape of a row, such as `60,8`, where the file leaves it open
    #[arg(long, value_name = "EXTENTS", value_delimiter = ',')]
    row: Option<Vec<usize>>,
    /// Rows in a run, a figure for each
    #[arg(
        long,
        value_name = "COUNTS",
        value_delimiter = ',',
        default_value = "1,64"
    )]
    rows: Vec<usize>,
}

/// Measures and prints.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let file = &arguments.file;
    let named =
        |problem: &dyn std::fmt::Display| Failure::Usage(format!("{}: {problem}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| named(&error))?;
    let costs = network::run(&bytes, arguments.row.as_deref(), &arguments.rows);
    write!(out, "{}", costs.map_err(|problem| named(&problem))?)?;
    Ok(())
}
