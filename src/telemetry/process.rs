//! The usual `process_*` metrics, read from `/proc/self` when somebody looks.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::{fmt, fs};

/// Ticks per second in `/proc`, whatever the kernel's own: part of Linux' interface on every
/// architecture this runs on.
const TICKS: f64 = 100.0;
const KIBIBYTE: u64 = 1_024;

/// Reads the metrics of this process. On a system without `/proc` there are none.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let seen = Seen::now();
        let mut counter = |name: &str, help: &str, value: Option<f64>| match value {
            Some(value) => {
                let metric = ConstCounter::new(value);
                let kind = metric.metric_type();
                metric.encode(encoder.encode_descriptor(name, help, None, kind)?)
            }
            None => Ok(()),
        };
        counter(
            "process_cpu_seconds",
            "Processor time used, in user and system mode",
            seen.cpu_seconds,
        )?;
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory",
                seen.resident,
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory",
                seen.virtual_bytes,
            ),
            (
                "process_start_time_seconds",
                "When the process started, since the epoch",
                seen.start,
            ),
            ("process_open_fds", "Open file descriptors", seen.open_files),
            (
                "process_max_fds",
                "Most file descriptors allowed",
                seen.most_files,
            ),
            ("process_threads", "Threads", seen.threads),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                let metric = ConstGauge::new(value);
                let kind = metric.metric_type();
                metric.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Seen {
    cpu_seconds: Option<f64>,
    start: Option<f64>,
    resident: Option<f64>,
    virtual_bytes: Option<f64>,
    threads: Option<f64>,
    open_files: Option<f64>,
    most_files: Option<f64>,
}

impl Seen {
    fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut seen = Self::default();
        seen.read_stat(&read("/proc/self/stat"), &read("/proc/stat"));
        seen.read_status(&read("/proc/self/status"));
        seen.most_files = field(&read("/proc/self/limits"), "Max open files");
        // One of them is the listing itself.
        let open = fs::read_dir("/proc/self/fd").ok();
        seen.open_files = open.map(|files| files.count().saturating_sub(1) as f64);
        seen
    }

    /// From `/proc/self/stat`; the boot time is in `/proc/stat`.
    fn read_stat(&mut self, own: &str, system: &str) {
        // The command may contain anything, also spaces and brackets: count from behind it.
        let Some((_, rest)) = own.rsplit_once(')') else {
            return;
        };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Fields are numbered from 1 in proc(5); the state, number 3, is the first here.
        let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        self.cpu_seconds = number(14)
            .zip(number(15))
            .map(|(user, system)| (user + system) / TICKS);
        self.start = field(system, "btime")
            .zip(number(22))
            .map(|(boot, ticks)| boot + ticks / TICKS);
    }

    fn read_status(&mut self, text: &str) {
        let bytes = |name: &str| field(text, name).map(|kibibytes| kibibytes * KIBIBYTE as f64);
        self.resident = bytes("VmRSS:");
        self.virtual_bytes = bytes("VmSize:");
        self.threads = field(text, "Threads:");
    }
}

/// The first number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_shift_the_fields() {
        let mut seen = Seen::default();
        let own = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 0 0 1 0 1000 5 6";
        seen.read_stat(own, "cpu 1\nbtime 1700000000\n");
        assert_eq!(seen.cpu_seconds, Some(3.0));
        assert_eq!(seen.start, Some(1_700_000_010.0));
        seen.read_status("VmSize:\t   2048 kB\nVmRSS:\t 1024 kB\nThreads:\t9\n");
        assert_eq!(seen.resident, Some(1_048_576.0));
        assert_eq!(
            (seen.virtual_bytes, seen.threads),
            (Some(2_097_152.0), Some(9.0))
        );
        assert_eq!(
            field("Max open files   1024   4096 files", "Max open files"),
            Some(1_024.0)
        );
        assert_eq!(field("", "btime"), None);
    }
}
