//! What a network from an ONNX file costs: time by number of rows, on one thread, and a thousand series on all.

use super::cpu::cpu_seconds;
use crate::stats::network::{Network, NetworkFile, Rows};
use rayon::prelude::*;
use std::fmt;
use tokio::time::Instant;

/// Series of the last figure.
const SERIES: usize = 1_000;
/// Series that one thread asks for at a time, as a shard does.
const SHARD: usize = 256;
/// Each figure is the mean over at least so many seconds: CPU time is counted in hundredths.
const LEAST_SECONDS: f64 = 1.0;

/// The figures of one network.
#[derive(Debug)]
pub struct Costs {
    /// Seconds on the wall to read, check and optimise it.
    pub load_seconds: f64,
    /// By rows in a run: seconds of CPU of one run on one thread.
    pub runs: Vec<(usize, f64)>,
    /// Seconds on the wall for a thousand series on all threads.
    pub thousand_seconds: f64,
    /// How many threads those are.
    pub threads: usize,
}

/// Measures the network in `bytes`. `shape` is that of a row, where the file leaves it open.
///
/// # Errors
/// A file that is no network, or that leaves the shape of a row open while `shape` is none.
pub fn run(bytes: &[u8], shape: Option<&[usize]>, rows: &[usize]) -> Result<Costs, String> {
    let start = Instant::now();
    let file = NetworkFile::read(bytes)?;
    let shape = shape.map(<[usize]>::to_vec).or_else(|| file.row_shape());
    let shape = shape.ok_or("leaves the shape of a row open; give it with --row")?;
    let batch = file.fixed_rows().map_or(Rows::Dynamic, Rows::Fixed);
    let network = file.network_of(&shape, batch, vec![0])?;
    let load_seconds = start.elapsed().as_secs_f64();
    let runs = rows.iter().map(|&count| (count, one_run(&network, count)));
    Ok(Costs {
        load_seconds,
        runs: runs.collect(),
        thousand_seconds: thousand(&network),
        threads: rayon::current_num_threads(),
    })
}

/// Seconds of CPU of one run.
fn one_run(network: &Network, count: usize) -> f64 {
    let (windows, mut out) = (windows(network, count), Vec::new());
    network.run(&windows, &mut out);
    let (start, mut runs) = (cpu_seconds(), 0);
    loop {
        out.clear();
        network.run(&windows, &mut out);
        runs += 1;
        let taken = cpu_seconds() - start;
        if taken >= LEAST_SECONDS {
            return taken / f64::from(runs);
        }
    }
}

fn thousand(network: &Network) -> f64 {
    let windows = windows(network, SERIES);
    let start = Instant::now();
    windows
        .par_chunks(SHARD * network.row_len())
        .for_each(|shard| network.run(shard, &mut Vec::new()));
    start.elapsed().as_secs_f64()
}

/// Waves, each a little later than the one before.
fn windows(network: &Network, count: usize) -> Vec<f32> {
    let wave = |index: usize| (index as f32 * 0.37).sin() * std::f32::consts::SQRT_2;
    (0..count * network.row_len()).map(wave).collect()
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "loading            {:>10.1} ms", 1e3 * self.load_seconds)?;
        for (rows, seconds) in &self.runs {
            let each = 1e6 * seconds / (*rows).max(1) as f64;
            let run = 1e3 * seconds;
            writeln!(
                f,
                "{rows:>5} rows a run   {run:>10.3} ms of CPU, {each:.1} us a row"
            )?;
        }
        let (threads, seconds) = (self.threads, self.thousand_seconds);
        writeln!(f, "{SERIES} series on {threads} threads: {seconds:.2} s")
    }
}
