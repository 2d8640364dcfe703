//! The figures as a table and as JSON.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What one stage needs, once for all series.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Stage {
    /// Seconds of CPU of this process, all threads.
    pub cpu_seconds: f64,
    /// Seconds on the wall, the one who pushes or scrapes included.
    pub wall_seconds: f64,
    /// How often memory was asked for; only a build with the feature `count-allocations` counts.
    pub allocations: f64,
}

impl Stage {
    pub(super) fn add(&mut self, other: Self) {
        self.cpu_seconds += other.cpu_seconds;
        self.wall_seconds += other.wall_seconds;
        self.allocations += other.allocations;
    }

    pub(super) fn per(self, times: f64) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds / times,
            wall_seconds: self.wall_seconds / times,
            allocations: self.allocations / times,
        }
    }
}

/// The figures for one number of series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScaleRow {
    /// Number of series.
    pub series: usize,
    /// Grid times that the means are over.
    pub ticks: usize,
    /// Taking in a sample of each, all of them new.
    pub ingest_new: Stage,
    /// The same where all are known; the mean.
    pub ingest_known: Stage,
    /// From the last sample of a grid time to its outcome: values, scores, verdicts, groups, and what is shown encoded; the mean.
    pub evaluate: Stage,
    /// A scrape of `/metrics` with gzip; the mean.
    pub serve: Stage,
    /// Bytes of its answer.
    pub served_bytes: usize,
    /// Seconds of CPU a second while nothing comes.
    pub idle_cpu_ratio: f64,
    /// Making and packing one sample of each, in the process that pushes: seconds of CPU.
    pub generate_cpu_seconds: f64,
    /// Series whose verdict is on at the end; a thousandth was made anomalous.
    pub active: usize,
    /// Bytes of the state of the signal, labels included, as counted.
    pub state_bytes_per_series: usize,
    /// Growth of the resident memory of the process since before the first series, all in.
    pub resident_bytes_per_series: usize,
    /// Bytes of names and values of the labels, once.
    pub label_bytes_per_series: usize,
    /// Resident memory of the process before the first series.
    pub program_bytes: usize,
}

impl ScaleRow {
    /// Resident beyond the text of the labels.
    pub fn bytes_beyond_labels(&self) -> usize {
        self.resident_bytes_per_series
            .saturating_sub(self.label_bytes_per_series)
    }

    fn stages(&self) -> [(&'static str, Stage); 4] {
        [
            ("take in, new", self.ingest_new),
            ("take in, known", self.ingest_known),
            ("evaluate", self.evaluate),
            ("scrape, gzip", self.serve),
        ]
    }
}

/// All rows of one run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScaleReport {
    /// One per number of series.
    pub rows: Vec<ScaleRow>,
}

impl fmt::Display for ScaleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>9}  {:<15} {:>9} {:>9} {:>10} {:>13}",
            "series", "stage", "cpu s", "wall s", "us/series", "allocs/series"
        )?;
        for row in &self.rows {
            for (name, stage) in row.stages() {
                let each = stage.cpu_seconds * 1e6 / row.series as f64;
                write!(
                    f,
                    "{:>9}  {name:<15} {:>9.4} {:>9.4} {each:>10.3} ",
                    row.series, stage.cpu_seconds, stage.wall_seconds
                )?;
                match cfg!(feature = "count-allocations") {
                    true => writeln!(f, "{:>13.4}", stage.allocations / row.series as f64)?,
                    false => writeln!(f, "{:>13}", "not counted")?,
                }
            }
        }
        writeln!(
            f,
            "\n{:>9} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9} {:>8}",
            "series", "state B", "labels B", "rss B", "beyond it B", "scrape B", "active", "idle"
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:>9} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9} {:>7.2}%",
                row.series,
                row.state_bytes_per_series,
                row.label_bytes_per_series,
                row.resident_bytes_per_series,
                row.bytes_beyond_labels(),
                row.served_bytes,
                row.active,
                row.idle_cpu_ratio * 100.0
            )?;
        }
        Ok(())
    }
}
