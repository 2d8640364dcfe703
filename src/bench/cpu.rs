//! CPU time and memory of this process, or of another, from `/proc`.

/// Clock ticks per second of `/proc/self/stat`; fixed at 100 in Linux' user interface.
const TICKS: f64 = 100.0;

/// Seconds of CPU used so far by all threads, in steps of 10 ms; 0 where `/proc` is missing.
pub(super) fn cpu_seconds() -> f64 {
    cpu_seconds_of("self")
}

/// Bytes of memory resident now; 0 where `/proc` is missing.
pub(super) fn resident_bytes() -> u64 {
    resident_bytes_of("self")
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
}

impl Usage {
    /// Of the process with this number; zeros where it is gone.
    pub(super) fn of(process: u32) -> Self {
        let process = process.to_string();
        Self {
            cpu_seconds: cpu_seconds_of(&process),
            resident_bytes: resident_bytes_of(&process),
        }
    }
}

fn cpu_seconds_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Fields are counted after the closing parenthesis of the name, which may hold spaces itself.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return 0.0;
    };
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
    };
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS
}

fn resident_bytes_of(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    kilobytes
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}
