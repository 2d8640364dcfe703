//! How much memory a configuration may take, from `max_series` and the history of each signal.

use super::Config;
use crate::engine::settings::SizeClass;

/// The memory of one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitMemory {
    /// Name of the signal.
    pub name: String,
    /// The class in force.
    pub class: SizeClass,
    /// Why it is that class, in a few words.
    pub why: String,
    /// Bytes for each series with its whole history.
    pub bytes_per_series: usize,
    /// Series counted: `max_series`.
    pub series: usize,
}

impl UnitMemory {
    /// Bytes for all series.
    pub fn bytes(&self) -> usize {
        self.bytes_per_series.saturating_mul(self.series)
    }
}

/// The memory of all signals at most: every signal with as many series as it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// One for each signal, in the order of the file.
    pub units: Vec<UnitMemory>,
}

impl Memory {
    /// The estimate for `config`.
    pub fn of(config: &Config) -> Self {
        let units = config.signals.iter().map(|signal| UnitMemory {
            name: signal.name.clone(),
            class: signal.size_class(),
            why: signal.size_class_reason(),
            bytes_per_series: signal.bytes_per_series(),
            series: signal.max_series,
        });
        Self {
            units: units.collect(),
        }
    }

    /// Bytes of all signals together.
    pub fn bytes(&self) -> usize {
        let sum = |sum: usize, unit: &UnitMemory| sum.saturating_add(unit.bytes());
        self.units.iter().fold(0, sum)
    }

    /// # Errors
    /// A sentence on what to lower where the sum is over `limit` bytes.
    pub fn check(&self, limit: usize) -> Result<(), String> {
        let bytes = self.bytes();
        if bytes <= limit {
            return Ok(());
        }
        let largest = self.units.iter().max_by_key(|unit| unit.bytes());
        let largest = largest.map_or("", |unit| unit.name.as_str());
        Err(format!(
            "the signals may take {} in all, more than --storage.memory-limit={}; lower max_series or history (signal {largest} takes most), use class: wide, or raise the limit",
            show_bytes(bytes),
            show_bytes(limit)
        ))
    }
}

/// Units of memory, greatest first.
const UNITS: [(&str, usize); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// `1.5GiB`, `300MiB`, `12B`.
pub fn show_bytes(bytes: usize) -> String {
    let (unit, size) = UNITS
        .into_iter()
        .find(|(_, size)| bytes >= *size)
        .unwrap_or(("B", 1));
    if bytes.is_multiple_of(size) {
        format!("{}{unit}", bytes / size)
    } else {
        format!("{:.1}{unit}", bytes as f64 / size as f64)
    }
}

/// Reads `512MiB`, `2GiB`, `2GB`, `1000000`.
///
/// # Errors
/// What is allowed.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    // As Prometheus and kubectl: the decimal-looking units of Prometheus are powers of two too.
    let size = match unit.trim() {
        "" | "B" => Some(1_usize),
        "K" | "KB" | "Ki" | "KiB" => Some(1 << 10),
        "M" | "MB" | "Mi" | "MiB" => Some(1 << 20),
        "G" | "GB" | "Gi" | "GiB" => Some(1 << 30),
        _ => None,
    };
    let number: Option<f64> = number.parse().ok();
    match (number, size) {
        (Some(number), Some(size)) if number > 0.0 => Ok((number * size as f64) as usize),
        _ => Err(format!(
            "{text:?} is not a size; write it like 512MiB or 2GiB"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_they_are_written() {
        for (text, bytes) in [
            ("512MiB", 512 << 20),
            ("2GiB", 2 << 30),
            ("12B", 12),
            ("1KiB", 1024),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes));
            assert_eq!(show_bytes(bytes), text);
        }
        assert_eq!(parse_bytes("1.5GB"), Ok(3 << 29));
        assert_eq!(show_bytes(3 << 29), "1.5GiB");
        for bad in ["", "x", "1TBs", "-1", "0", "1.2.3M"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_kept_and_names_the_greatest() {
        let config = Config::single("http://x:1", "name", "up").unwrap();
        let memory = Memory::of(&config);
        assert_eq!(memory.check(memory.bytes()), Ok(()));
        let error = memory.check(memory.bytes() - 1).unwrap_err();
        assert!(error.contains("signal name takes most"), "{error}");
    }
}
