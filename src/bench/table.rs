//! Tables of data in CSV files, which may be packed with gzip or xz.

use crate::{series::Millis, source::file};
use std::path::Path;

/// A CSV file in memory.
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<csv::StringRecord>,
}

impl Table {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let mut reader = csv::Reader::from_reader(file::open(path)?);
        let head = reader.headers().map_err(|error| error.to_string())?;
        let head = head.iter().map(str::to_owned).collect();
        let rows = reader.into_records().collect::<Result<_, _>>();
        let rows = rows.map_err(|error| error.to_string())?;
        Ok(Self { head, rows })
    }

    fn position(&self, name: &str) -> Result<usize, String> {
        let found = self.head.iter().position(|head| head == name);
        found.ok_or_else(|| {
            format!(
                "there is no column {name}; there are {}",
                self.head.join(", ")
            )
        })
    }

    pub(super) fn column(&self, name: &str) -> Result<Vec<String>, String> {
        let column = self.position(name)?;
        let cell = |row: &csv::StringRecord| row.get(column).unwrap_or_default().to_owned();
        Ok(self.rows.iter().map(cell).collect())
    }

    /// An empty cell is no number: `NaN`.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<f64>, String> {
        let column = self.position(name)?;
        let cell = |(index, row): (usize, &csv::StringRecord)| {
            let text = row.get(column).unwrap_or_default().trim();
            if text.is_empty() {
                return Ok(f64::NAN);
            }
            text.parse()
                .map_err(|_| format!("row {}: {text:?} in column {name} is no number", index + 1))
        };
        self.rows.iter().enumerate().map(cell).collect()
    }

    /// Seconds since the epoch, as milliseconds.
    pub(super) fn times(&self) -> Result<Vec<Millis>, String> {
        let seconds = self.numbers("timestamp")?;
        if seconds.iter().any(|second| !second.is_finite()) {
            return Err("a cell of column timestamp is empty".to_owned());
        }
        let times: Vec<Millis> = seconds
            .iter()
            .map(|second| (second * 1_000.0) as Millis)
            .collect();
        ascending(&times)?;
        Ok(times)
    }

    /// 1 is anomalous; what is not labelled is normal.
    pub(super) fn labels(&self) -> Result<Vec<bool>, String> {
        let labels = self.numbers("label")?;
        Ok(labels.iter().map(|&label| label == 1.0).collect())
    }
}

/// The name of a table without `.csv` and what follows; `None` where it is none.
pub(super) fn unpacked(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let name = name
        .strip_suffix(".gz")
        .or(name.strip_suffix(".xz"))
        .unwrap_or(name);
    name.strip_suffix(".csv").map(str::to_owned)
}

/// Whether times never fall.
///
/// # Errors
/// The first row that is older than the one before it.
pub(super) fn ascending(times: &[Millis]) -> Result<(), String> {
    match times.windows(2).position(|pair| pair[1] < pair[0]) {
        Some(row) => Err(format!("row {} is older than the row before it", row + 2)),
        None => Ok(()),
    }
}
