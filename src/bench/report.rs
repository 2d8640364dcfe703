//! The figures as a table and as JSON.

use serde::Serialize;
use std::fmt;

/// All rows of one run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// One per number of series.
    pub rows: Vec<Row>,
}

/// The figures for one number of series.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Number of series.
    pub series: usize,
    /// Points of history per series.
    pub points: usize,
    /// Taking in the history, deriving and replaying: seconds on the wall.
    pub start_wall_seconds: f64,
    /// The same in seconds of CPU.
    pub start_cpu_seconds: f64,
    /// Deriving series anew between two ticks, mean seconds of CPU.
    pub refit_cpu_seconds: f64,
    /// One tick with everything published and encoded, mean seconds of CPU.
    pub tick_cpu_seconds: f64,
    /// The same, mean seconds on the wall.
    pub tick_wall_seconds: f64,
    /// The slowest tick, seconds on the wall.
    pub slowest_tick_seconds: f64,
    /// Bytes of state, counted.
    pub state_bytes_per_series: usize,
    /// Growth of the resident memory of the process, as the kernel sees it.
    pub resident_bytes_per_series: usize,
    /// Samples on `/metrics` after a tick.
    pub samples: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>8} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12} {:>10} {:>10} {:>9}",
            "series",
            "points",
            "start s",
            "start cpu",
            "refit cpu",
            "tick cpu",
            "tick s",
            "us/series",
            "state B",
            "rss B",
            "samples"
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:>8} {:>8} {:>10.2} {:>10.2} {:>10.4} {:>10.4} {:>10.4} {:>12.1} {:>10} {:>10} {:>9}",
                row.series,
                row.points,
                row.start_wall_seconds,
                row.start_cpu_seconds,
                row.refit_cpu_seconds,
                row.tick_cpu_seconds,
                row.tick_wall_seconds,
                row.tick_cpu_seconds * 1e6 / row.series.max(1) as f64,
                row.state_bytes_per_series,
                row.resident_bytes_per_series,
                row.samples
            )?;
        }
        Ok(())
    }
}
