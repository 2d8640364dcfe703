//! Series to forecast, read from a folder of CSV files, and the means over steps that are forecast.

use crate::{
    bench::table::{Table, unpacked},
    series::Millis,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Folders in which series are looked for, beside the folder given itself.
const FOLDERS: [&str; 4] = ["", "traces", "kpi", "prometheus"];
/// Columns that are no values.
const NO_VALUES: [&str; 4] = ["timestamp", "series", "part", "label"];
/// Step of the series: that of the reference figures.
pub const STEP: Millis = 300_000;

/// One series: means over [`STEP`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// File, name in a column `series` where there is one, and column, with underscores between.
    pub name: String,
    /// Time of the first value.
    pub start: Millis,
    /// One value per step, `NaN` where there was none.
    pub values: Vec<f32>,
}

impl Series {
    /// The place of the value at a time, if it lies within the series.
    pub fn index(&self, at: Millis) -> Option<usize> {
        let index = usize::try_from((at - self.start).div_euclid(STEP)).ok()?;
        ((at - self.start) % STEP == 0 && index < self.values.len()).then_some(index)
    }
}

/// One series of the M4 competition, hourly.
#[derive(Debug, Clone, PartialEq)]
pub struct Hourly {
    /// What may be learnt from.
    pub train: Vec<f32>,
    /// What is to be forecast.
    pub test: Vec<f32>,
}

/// The series in `folder` and its parts `traces`, `kpi` and `prometheus`, sorted by name.
///
/// # Errors
/// What is missing or cannot be understood, and what is expected.
pub fn series(folder: &Path) -> Result<Vec<Series>, String> {
    let mut all = Vec::new();
    for part in FOLDERS {
        let part = folder.join(part);
        if part.is_dir() {
            for path in tables(&part)? {
                let read = in_file(&path);
                all.extend(read.map_err(|problem| format!("{}: {problem}", path.display()))?);
            }
        }
    }
    if all.is_empty() {
        return Err(format!(
            "{}: no series found; expected are files *.csv, *.csv.gz or *.csv.xz with a column timestamp (seconds), columns of \
             values and, where a file holds several series, a column series; in the folder itself or in traces, kpi or prometheus",
            folder.display()
        ));
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

/// The hourly series of M4 in a file with columns `series`, `step`, `part` (`train` or `test`), `value`.
///
/// # Errors
/// What cannot be understood.
pub fn hourly(path: &Path) -> Result<Vec<Hourly>, String> {
    let read = || {
        let table = Table::read(path)?;
        let (names, parts) = (table.column("series")?, table.column("part")?);
        let (steps, values) = (table.numbers("step")?, table.numbers("value")?);
        let mut rows: Vec<_> = names
            .into_iter()
            .zip(parts)
            .zip(steps.iter().zip(values))
            .collect();
        rows.sort_by(|(_, one), (_, other)| one.0.total_cmp(other.0));
        let mut all: BTreeMap<String, Hourly> = BTreeMap::new();
        for ((name, part), (_, value)) in rows {
            let empty = || Hourly {
                train: Vec::new(),
                test: Vec::new(),
            };
            let series = all.entry(name).or_insert_with(empty);
            let into = if part == "test" {
                &mut series.test
            } else {
                &mut series.train
            };
            into.push(value as f32);
        }
        Ok(all.into_values().collect())
    };
    read().map_err(|problem: String| format!("{}: {problem}", path.display()))
}

/// The file at `path`, or as packed with gzip or xz; `None` where there is none.
pub fn packed(path: &Path) -> Option<PathBuf> {
    let with = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    ["", ".gz", ".xz"]
        .map(with)
        .into_iter()
        .find(|path| path.is_file())
}

fn tables(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(shown)? {
        let path = entry.map_err(shown)?.path();
        if unpacked(&path).is_some() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Every series of one file; none where it has no times.
fn in_file(path: &Path) -> Result<Vec<Series>, String> {
    let table = Table::read(path)?;
    if !table.head.iter().any(|head| head == "timestamp") {
        return Ok(Vec::new());
    }
    let file = unpacked(path).unwrap_or_default();
    let times = table.numbers("timestamp")?;
    let owners = if table.head.iter().any(|head| head == "series") {
        table.column("series")?
    } else {
        vec![String::new(); times.len()]
    };
    let mut found: BTreeMap<String, BTreeMap<i64, (f64, u32)>> = BTreeMap::new();
    for column in &table.head {
        if NO_VALUES.contains(&column.as_str()) {
            continue;
        }
        let values = table.numbers(column)?;
        for ((&time, owner), &value) in times.iter().zip(&owners).zip(&values) {
            if !(time.is_finite() && value.is_finite()) {
                continue;
            }
            let name = [file.as_str(), owner, column];
            let name: Vec<&str> = name.into_iter().filter(|part| !part.is_empty()).collect();
            let step = ((time * 1_000.0) as Millis).div_euclid(STEP);
            let mean = found.entry(name.join("_")).or_default();
            let mean = mean.entry(step).or_default();
            mean.0 += value;
            mean.1 += 1;
        }
    }
    Ok(found
        .into_iter()
        .filter_map(|(name, means)| spread(name, &means))
        .collect())
}

/// Means by step as a series without holes in time.
fn spread(name: String, means: &BTreeMap<i64, (f64, u32)>) -> Option<Series> {
    let (&first, &last) = (means.keys().next()?, means.keys().next_back()?);
    let mut values = vec![f32::NAN; usize::try_from(last - first + 1).ok()?];
    for (step, (sum, count)) in means {
        values[(step - first) as usize] = (sum / f64::from(*count)) as f32;
    }
    Some(Series {
        name,
        start: first * STEP,
        values,
    })
}
