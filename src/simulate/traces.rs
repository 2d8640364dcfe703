//! Traces from files.

use super::{Kind, Trace};
use crate::{
    series::{Millis, Span},
    source::file,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Folders in which traces are looked for, beside the folder given itself.
const FOLDERS: [&str; 3] = ["", "traces", "prometheus"];
/// Columns that are demand, where nobody says which are.
const DEMAND: [&str; 9] = [
    "value",
    "requests",
    "context_tokens",
    "generated_tokens",
    "cpu_util_percent",
    "net_in",
    "net_out",
    "avg_cpu",
    "cpu_pct",
];
/// Shares of the daily rhythm from which a trace is periodic, and mixed.
const PERIODIC: f64 = 0.6;
const MIXED: f64 = 0.2;
const DAY: Millis = 86_400_000;
/// Means over so long are compared from day to day.
const CELL: Millis = 300_000;
/// Seconds since the epoch that a time may be: from 1970 to the end of 2100. Well-known traces are of the nineties; what is
/// beyond is milliseconds, or another number.
const TIMES: std::ops::Range<f64> = 0.0..4_133_980_800.0;
/// A year of seconds. More is a time that is wrong, or a file of which nobody wants every step.
const MOST_CELLS: usize = 32_000_000;
const TOO_FEW: &str = "fewer than two times have a value";

/// Which traces are taken from files.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Columns of values; the usual ones where empty.
    pub columns: Vec<String>,
    /// At most so many series of one column; all where `None`.
    pub series: Option<usize>,
}

/// The traces in `folder` and its parts `traces` and `prometheus`, in the order of their names.
///
/// # Errors
/// What cannot be read, and that there are none.
pub fn in_folder(folder: &Path, wanted: &Wanted) -> Result<Vec<Trace>, String> {
    let mut traces = Vec::new();
    for part in FOLDERS {
        let part = folder.join(part);
        if part.is_dir() {
            for path in files(&part)? {
                traces.extend(in_file(&path, wanted)?);
            }
        }
    }
    if traces.is_empty() {
        return Err(format!(
            "{}: no traces; expected are files *.csv, *.csv.gz or *.csv.xz with a column timestamp and one of {}",
            folder.display(),
            DEMAND.join(", ")
        ));
    }
    Ok(traces)
}

/// The traces of one file of CSV, packed or not.
///
/// # Errors
/// What cannot be read.
pub fn in_file(path: &Path, wanted: &Wanted) -> Result<Vec<Trace>, String> {
    let shown = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    let mut reader = csv::Reader::from_reader(file::open(path)?);
    let head = reader.headers().map_err(|error| shown(&error))?.clone();
    let place = |name: &str| head.iter().position(|column| column == name);
    let Some(time) = place("timestamp") else {
        return Ok(Vec::new());
    };
    let owner = place("series");
    let usual: Vec<String> = DEMAND.map(str::to_owned).to_vec();
    let columns = if wanted.columns.is_empty() {
        &usual
    } else {
        &wanted.columns
    };
    let columns: Vec<(usize, &String)> = columns
        .iter()
        .filter_map(|name| Some((place(name)?, name)))
        .collect();
    let mut found: BTreeMap<(usize, String), Vec<(Millis, f32)>> = BTreeMap::new();
    for row in reader.into_records() {
        let row = row.map_err(|error| shown(&error))?;
        let cell = |column: usize| row.get(column).unwrap_or_default();
        let line = row.position().map_or(0, csv::Position::line);
        let at = self::time(cell(time));
        let at = at.map_err(|problem| shown(&format!("line {line}: {problem}")))?;
        let owner = owner.map_or("", cell);
        for (place, (column, _)) in columns.iter().enumerate() {
            if let Ok(value) = cell(*column).parse::<f32>() {
                let series = found.entry((place, owner.to_owned())).or_default();
                series.push((at, value));
            }
        }
    }
    let file = name_of(path);
    let mut taken = BTreeMap::new();
    let mut traces = Vec::new();
    let is_empty = found.is_empty();
    for ((place, owner), rows) in found {
        let count: &mut usize = taken.entry(place).or_default();
        *count += 1;
        // Of many series one that has just begun is no reason to look at none of them.
        let is_short = rows.iter().all(|row| row.0 == rows[0].0);
        if is_short || wanted.series.is_some_and(|most| *count > most) {
            continue;
        }
        let name = [file.as_str(), &owner, columns[place].1]
            .into_iter()
            .filter(|part| !part.is_empty() && *part != "value");
        let name = name.collect::<Vec<_>>().join(" ");
        let made = of_rows(name.clone(), rows);
        traces.push(made.map_err(|problem| shown(&format!("{name}: {problem}")))?);
    }
    if traces.is_empty() && !is_empty {
        return Err(shown(&TOO_FEW));
    }
    Ok(traces)
}

/// A trace of samples in any order; of equal times the last counts. Its step is the median distance.
///
/// # Errors
/// There are fewer than two times, or so few over so long that most of the trace would be gaps.
pub fn of_rows(name: String, mut rows: Vec<(Millis, f32)>) -> Result<Trace, String> {
    // Stable: of equal times the order is that in which they came.
    rows.sort_by_key(|row| row.0);
    let mut gaps: Vec<Millis> = rows
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .filter(|gap| *gap > 0)
        .collect();
    gaps.sort_unstable();
    let (Some(&step), Some(first), Some(last)) =
        (gaps.get(gaps.len() / 2), rows.first(), rows.last())
    else {
        return Err(TOO_FEW.to_owned());
    };
    let (first, last) = (first.0.div_euclid(step), last.0.div_euclid(step));
    let cells = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
    if cells > MOST_CELLS {
        return Err(format!(
            "times from {} to {} are {cells} steps of {}, and {MOST_CELLS} is the most; is one of them wrong?",
            shown_time(first * step),
            shown_time(last * step),
            Span::millis(step)
        ));
    }
    let mut values = vec![f32::NAN; cells];
    for &(at, value) in &rows {
        if let Some(cell) = values.get_mut((at.div_euclid(step) - first) as usize) {
            *cell = value;
        }
    }
    Ok(Trace {
        name,
        kind: kind(&values, step),
        start: first * step,
        step,
        values,
    })
}

/// A time of a file, in seconds since the epoch.
fn time(text: &str) -> Result<Millis, String> {
    let seconds = text.trim().parse::<f64>().ok();
    let at = seconds.filter(|seconds| TIMES.contains(seconds));
    at.map(|seconds| (seconds * 1_000.0) as Millis)
        .ok_or_else(|| format!("{text:?} is no time in seconds since 1970, up to 2100"))
}

fn shown_time(at: Millis) -> String {
    let time = jiff::Timestamp::from_millisecond(at);
    time.map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// By how alike neighbouring days are: the autocorrelation of five-minute means at a day.
fn kind(values: &[f32], step: Millis) -> Kind {
    let together = usize::try_from(CELL / step).unwrap_or(1).max(1);
    let mean = |part: &[f32]| {
        let known = part.iter().filter(|value| value.is_finite());
        known.clone().sum::<f32>() / known.count() as f32
    };
    let cells: Vec<f64> = values
        .chunks(together)
        .map(|part| f64::from(mean(part)))
        .collect();
    let day = usize::try_from(DAY / (step * together as i64)).unwrap_or(usize::MAX);
    if cells.len() < 3 * day {
        return Kind::Spiky;
    }
    match super::autocorrelation(&cells, day) {
        rhythm if rhythm >= PERIODIC => Kind::Periodic,
        rhythm if rhythm >= MIXED => Kind::Mixed,
        _ => Kind::Spiky,
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(shown)? {
        let path = entry.map_err(shown)?.path();
        let name = path.to_string_lossy();
        if [".csv", ".csv.gz", ".csv.xz"]
            .iter()
            .any(|ending| name.ends_with(ending))
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    name.split(".csv").next().unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_demand_become_traces_and_gaps_stay() {
        let folder = tempfile::tempdir().unwrap();
        let text = "timestamp,series,value,label\n0,b,1,0\n60,b,2,0\n240,b,3,0\n300,b,4,1\n0,a,7,0\n60,a,8,0\n";
        fs::write(folder.path().join("load.csv"), text).unwrap();
        let all = in_folder(folder.path(), &Wanted::default()).unwrap();
        assert_eq!(
            all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            ["load a", "load b"]
        );
        assert_eq!(
            (all[1].step, all[1].values.len(), all[1].kind),
            (60_000, 6, Kind::Spiky)
        );
        assert!(all[1].values[2].is_nan() && all[1].values[4] == 3.0);
        let one = Wanted {
            series: Some(1),
            ..Wanted::default()
        };
        assert_eq!(in_folder(folder.path(), &one).unwrap().len(), 1);
        let none = Wanted {
            columns: vec!["label2".into()],
            ..Wanted::default()
        };
        assert!(
            in_folder(folder.path(), &none)
                .unwrap_err()
                .contains("no traces")
        );
    }

    fn read(text: &str) -> Result<Vec<Trace>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("load.csv");
        fs::write(&file, format!("timestamp,value\n{text}")).unwrap();
        let traces = in_file(&file, &Wanted::default());
        traces.map_err(|problem| problem.replace(&file.display().to_string(), "load.csv"))
    }

    #[test]
    fn rows_may_come_in_any_order() {
        let newest_first =
            read("1700000120,3\n1700000060,2\n1700000000,1\n1700000000,1.5\n").unwrap();
        let [one] = newest_first.as_slice() else {
            panic!("{newest_first:?}")
        };
        assert_eq!(
            (one.step, one.values.as_slice()),
            (60_000, &[1.5, 2.0, 3.0][..])
        );
    }

    #[test]
    fn a_time_that_is_wrong_is_told_with_its_line_and_takes_no_room() {
        for wrong in ["1700000120000", "NaN", "inf", "-60", "soon"] {
            let problem = read(&format!("1700000000,1\n1700000060,2\n{wrong},3\n")).unwrap_err();
            let expected =
                format!("load.csv: line 4: {wrong:?} is no time in seconds since 1970, up to 2100");
            assert_eq!(problem, expected);
        }
        // A time that could be one, but not of this trace.
        let problem = read("60,0\n1700000000,1\n1700000001,2\n1700000002,3\n").unwrap_err();
        assert!(
            problem.contains("load.csv: load: times from 1970-01-01T00:01:00Z to 2023"),
            "{problem}"
        );
        assert!(problem.contains("1699999943 steps of 1s"), "{problem}");
        let problem = read("1700000000,1\n1700000000,2\n").unwrap_err();
        assert_eq!(problem, "load.csv: fewer than two times have a value");
    }

    #[test]
    fn a_day_like_the_day_before_is_periodic_and_noise_is_not() {
        let day = |cell: usize| ((cell % 288) as f64 / 288.0 * std::f64::consts::TAU).sin() as f32;
        let of = |value: &dyn Fn(usize) -> f32| {
            kind(&(0..288 * 6).map(value).collect::<Vec<f32>>(), 300_000)
        };
        assert_eq!(of(&day), Kind::Periodic);
        let noise = std::cell::RefCell::new(fastrand::Rng::with_seed(3));
        assert_eq!(of(&|_| noise.borrow_mut().f32()), Kind::Spiky);
        assert_eq!(
            of(&|cell| day(cell) + 3.0 * (noise.borrow_mut().f32() - 0.5)),
            Kind::Mixed
        );
    }
}
