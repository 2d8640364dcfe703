//! CSV with a header line: a column of times, columns of values, and columns that name the series.

use super::{
    lines::any_time,
    plain,
    shelf::{Place, Shelf},
};
use crate::{
    series::{Grid, Labels},
    source::Matrix,
};
use ::csv::{ReaderBuilder, StringRecord, Trim};
use std::{collections::HashMap, io::Read};

/// Which columns are what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Of the time: seconds or milliseconds since 1970, RFC 3339, or `YYYY-MM-DD HH:MM:SS` in UTC.
    pub time: String,
    /// Of the labels of a series. Left out: `series` where there is such a column, else none.
    pub labels: Option<Vec<String>>,
    /// Of the values. Left out: all others.
    pub values: Option<Vec<String>>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            time: String::from("timestamp"),
            labels: None,
            values: None,
        }
    }
}

/// Reads CSV, gzip or not. Each column of values is one quantity: its name, and a series for each
/// combination of labels, on `grid`. An empty cell is a gap.
///
/// # Errors
/// The first thing that is wrong, with its line and column.
pub fn read_csv(
    reader: impl Read,
    grid: Grid,
    columns: &Columns,
) -> Result<Vec<(String, Matrix)>, String> {
    let mut rows = ReaderBuilder::new()
        .trim(Trim::All)
        .from_reader(plain(reader)?);
    let header = rows.headers().map_err(|error| error.to_string())?.clone();
    let layout = Layout::new(&header, columns)?;
    let mut table = Table {
        layout,
        shelf: Shelf::new(grid),
        places: HashMap::new(),
    };
    let mut row = StringRecord::new();
    while rows
        .read_record(&mut row)
        .map_err(|error| error.to_string())?
    {
        let line = row.position().map_or(0, ::csv::Position::line);
        let taken = table.take(&row);
        taken.map_err(|problem| format!("line {line}: {problem}"))?;
    }
    Ok(table.shelf.clear())
}

/// Columns by their number.
struct Layout {
    time: usize,
    labels: Vec<(usize, String)>,
    values: Vec<(usize, String)>,
}

impl Layout {
    fn new(header: &StringRecord, columns: &Columns) -> Result<Self, String> {
        if let Some(separator) = other_separator(header) {
            return Err(format!(
                "line 1: the columns are separated by {separator}; commas are needed, and points in numbers"
            ));
        }
        let find = |name: &str| {
            let mut found = header
                .iter()
                .enumerate()
                .filter(|(_, column)| *column == name);
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Ok((index, name.to_owned())),
                (Some(_), Some(_)) => Err(format!("line 1: column {name:?} is there twice")),
                (None, _) => {
                    let there: Vec<&str> = header.iter().collect();
                    Err(format!("line 1: no column {name:?}; there are {there:?}"))
                }
            }
        };
        let all = |names: &[String]| -> Result<Vec<_>, String> {
            names.iter().map(|name| find(name)).collect()
        };
        let with = |flag: &'static str| {
            move |problem: String| format!("{problem}; say which it is with {flag}")
        };
        let (time, _) = find(&columns.time).map_err(with("--csv.time"))?;
        let labels = match &columns.labels {
            Some(names) => all(names).map_err(with("--csv.labels"))?,
            None => find("series").into_iter().collect(),
        };
        let values = match &columns.values {
            Some(names) => all(names).map_err(with("--csv.values"))?,
            None => {
                let taken = |index| index == time || labels.iter().any(|label| label.0 == index);
                let others = header
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| !taken(*index));
                let names: Vec<String> = others.map(|(_, name)| name.to_owned()).collect();
                all(&names)?
            }
        };
        if values.is_empty() {
            return Err(String::from("line 1: no column of values"));
        }
        Ok(Self {
            time,
            labels,
            values,
        })
    }
}

/// What stands between the columns of a header that is one column only because it has no commas.
fn other_separator(header: &StringRecord) -> Option<&'static str> {
    let only = header.get(0).filter(|_| header.len() == 1)?;
    let separators = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];
    let found = separators.iter().find(|(mark, _)| only.contains(*mark));
    found.map(|(_, name)| *name)
}

struct Table {
    layout: Layout,
    shelf: Shelf,
    /// Places of the values of each combination of label cells, which come again with each time.
    places: HashMap<Vec<String>, Vec<Place>>,
}

impl Table {
    fn take(&mut self, row: &StringRecord) -> Result<(), String> {
        let layout = &self.layout;
        let time = row.get(layout.time).unwrap_or_default();
        let at = any_time(time).ok_or_else(|| {
            format!(
                "column {}: {time:?} is no time; write seconds or milliseconds since 1970, RFC 3339 or YYYY-MM-DD HH:MM:SS",
                layout.time + 1
            )
        })?;
        let cells = layout.labels.iter();
        let key: Vec<String> = cells
            .map(|(index, _)| row.get(*index).unwrap_or_default().to_owned())
            .collect();
        if !self.places.contains_key(&key) {
            let names = layout.labels.iter().map(|(_, name)| name.clone());
            let labels = Labels::new(names.zip(key.iter().cloned()));
            let labels = labels.map_err(|error| error.to_string())?;
            let names = layout.values.iter();
            let places: Result<Vec<Place>, String> = names
                .map(|(_, name)| self.shelf.place(name, labels.clone()))
                .collect();
            self.places.insert(key.clone(), places?);
        }
        for (&place, (index, name)) in self.places[&key].iter().zip(&layout.values) {
            let cell = row.get(*index).unwrap_or_default();
            if cell.is_empty() {
                continue;
            }
            let value: f64 = cell.parse().map_err(|_| {
                format!(
                    "column {} ({name}): {cell:?} is no number; where not all other columns are values, name those that are with --csv.values, and those that name the series with --csv.labels",
                    index + 1
                )
            })?;
            self.shelf.put(place, at, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn read(text: &str, columns: &Columns) -> Result<Vec<(String, Matrix)>, String> {
        read_csv(text.as_bytes(), Grid::new(60_000).unwrap(), columns)
    }

    #[test]
    fn wide_tables_have_a_quantity_for_each_column() {
        let text = "timestamp,cpu,mem\n60,1,10\n90,2,\n120,3,NaN\n200,,40\n";
        let all = read(text, &Columns::default()).unwrap();
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cpu", "mem"]);
        let samples = |index: usize| all[index].1.series[0].samples.clone();
        assert_eq!(samples(0), [(60_000, 1.0), (120_000, 3.0)]);
        assert_eq!(samples(1), [(60_000, 10.0), (240_000, 40.0)]);
        assert_eq!((all[0].1.rejected, all[1].1.rejected), (0, 1));
        assert!(all[0].1.series[0].labels.is_empty());
    }

    #[test]
    fn long_tables_have_a_series_for_each_combination_of_labels() {
        let text = "\
zone,timestamp,series,value
b,1970-01-01 00:02:00,x,3
a,1970-01-01T00:01:00Z,x,1
a,60,y,2
";
        let columns = Columns {
            labels: Some(vec![String::from("zone"), String::from("series")]),
            ..Columns::default()
        };
        let all = read(text, &columns).unwrap();
        let series = &all[0].1.series;
        let labels: Vec<String> = series.iter().map(|one| one.labels.to_string()).collect();
        assert_eq!(
            labels,
            [
                r#"{series="x", zone="a"}"#,
                r#"{series="x", zone="b"}"#,
                r#"{series="y", zone="a"}"#
            ]
        );
        assert_eq!(series[1].samples, [(120_000, 3.0)]);
    }

    #[test]
    fn errors_name_line_and_column() {
        let cases = [
            (
                "time,value\n1,2\n",
                "line 1: no column \"timestamp\"; there are [\"time\", \"value\"]",
            ),
            ("time,value\n1,2\n", "; say which it is with --csv.time"),
            (
                "timestamp;value\n1;2,5\n",
                "line 1: the columns are separated by semicolons; commas are needed",
            ),
            ("timestamp\n1\n", "line 1: no column of values"),
            (
                "timestamp,a,a\n1,2,3\n",
                "line 1: column \"a\" is there twice",
            ),
            (
                "timestamp,a\n1,2\nnoon,3\n",
                "line 3: column 1: \"noon\" is no time",
            ),
            (
                "timestamp,a,part\n1,2,train\n",
                "line 2: column 3 (part): \"train\" is no number",
            ),
            ("timestamp,a\n1,2\n1,2,3\n", "line: 3"),
            ("", "no column"),
        ];
        for (text, part) in cases {
            let error = read(text, &Columns::default()).unwrap_err();
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }

    #[test]
    fn real_traces_are_read_whole() {
        let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let folder = std::env::var_os("FORETHOUGHT_DATA").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| manifest.join("../shared/data"));
        let path = folder.join("traces/nasa_http_1min.csv.gz");
        let Ok(reader) = super::super::open(&path) else {
            return skipped(&path);
        };
        let all = read_csv(reader, Grid::new(60_000).unwrap(), &Columns::default()).unwrap();
        let series = &all[0].1.series;
        assert_eq!(
            (all[0].0.as_str(), series.len(), all[0].1.rejected),
            ("value", 1, 0)
        );
        // The official number of requests of the trace (Internet Traffic Archive).
        let requests: f64 = series[0].samples.iter().map(|sample| sample.1).sum();
        assert_eq!(requests, 3_461_612.0);
    }

    #[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
    fn skipped(path: &std::path::Path) {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
}
