//! Labelled data sets, read from folders: NAB, KPI (one labelled series per file), SMD and ASD (one entity
//! with many channels per file). Files may be compressed with gzip or xz.

use super::published::Published;
use crate::{
    bench::table::{Table, ascending, unpacked},
    series::Millis,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// One labelled series.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// Its file, without endings that say how it is packed.
    pub name: String,
    /// Distance of its rows, the median one.
    pub step: Millis,
    /// When each row is; never falling.
    pub times: Vec<Millis>,
    /// The value of each row; `NaN` where there is none.
    pub values: Vec<f64>,
    /// Anomalous stretches: first and last row, ascending.
    pub windows: Vec<(usize, usize)>,
}

/// One labelled entity: channels over the same rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its file, without endings.
    pub name: String,
    /// Distance of its rows, the median one.
    pub step: Millis,
    /// When each row is; never falling.
    pub times: Vec<Millis>,
    /// Names and values of the channels.
    pub channels: Vec<(String, Vec<f64>)>,
    /// Whether each row is anomalous.
    pub labels: Vec<bool>,
    /// First row that is judged; those before are there to learn from.
    pub judged: usize,
}

/// The series of NAB in `folder` (NAB's own repository, or a part of it), sorted by name.
///
/// # Errors
/// What is missing or cannot be understood, and what is expected.
pub fn nab(folder: &Path) -> Result<Vec<Labelled>, String> {
    let labels = [
        folder.join("combined_windows.json"),
        folder.join("labels/combined_windows.json"),
    ];
    let found = labels.iter().find(|path| path.is_file());
    let path = found.ok_or_else(|| {
        format!(
            "{}: there is no combined_windows.json (nor labels/combined_windows.json); expected is NAB's \
             layout: that file and data/CATEGORY/FILE.csv, as it is or as .csv.gz or .csv.xz",
            folder.display()
        )
    })?;
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let windows: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&text).map_err(|error| {
            format!(
                "{}: {error}; expected {{\"CATEGORY/FILE.csv\": [[from, to], ..]}}",
                path.display()
            )
        })?;
    let read = |(name, windows): (&String, &Vec<(String, String)>)| {
        let path = packed(&folder.join("data").join(name))?;
        nab_series(&path, name, windows).map_err(|problem| format!("{}: {problem}", path.display()))
    };
    windows.iter().map(read).collect()
}

/// The series in the files `*.csv` (or `.csv.gz`, `.csv.xz`) of `folder` with columns `timestamp` (seconds
/// since the epoch), `value` and `label`, sorted by name.
///
/// # Errors
/// What is missing or cannot be understood, and what is expected.
pub fn kpi(folder: &Path) -> Result<Vec<Labelled>, String> {
    each(folder, "timestamp,value,label", |path, name| {
        let table = Table::read(path)?;
        let (times, values) = (table.times()?, table.numbers("value")?);
        let labels = table.labels()?;
        let windows = super::vus::runs(&labels);
        Ok(Labelled {
            name,
            step: median_step(&times)?,
            times,
            values,
            windows: windows.iter().map(|run| (run.start, run.end - 1)).collect(),
        })
    })
}

/// The entities in the files `*.csv` (or `.csv.gz`, `.csv.xz`) of `folder` with columns `timestamp` (seconds
/// since the epoch), `part` (`train` or `test`), one per channel, and `label`, sorted by name.
///
/// # Errors
/// What is missing or cannot be understood, and what is expected.
pub fn entities(folder: &Path) -> Result<Vec<Entity>, String> {
    each(folder, "timestamp,part,CHANNELS..,label", |path, name| {
        let table = Table::read(path)?;
        let parts = table.column("part")?;
        let judged = parts.iter().position(|part| part == "test");
        let judged = judged.ok_or("no row has `test` in column part")?;
        let times = table.times()?;
        let named = |head: &&String| !["timestamp", "part", "label"].contains(&head.as_str());
        let channels = table.head.iter().filter(named);
        let channels = channels.map(|head| Ok((head.clone(), table.numbers(head)?)));
        Ok(Entity {
            name,
            step: median_step(&times)?,
            channels: channels.collect::<Result<_, String>>()?,
            labels: table.labels()?,
            times,
            judged,
        })
    })
}

/// The published figures in `file` of `folder`, whose column `key` names the series; nothing where there is
/// no such file.
///
/// # Errors
/// The file cannot be understood.
pub fn published(folder: &Path, file: &str, key: &str) -> Result<Published, String> {
    let path = folder.join(file);
    if !path.is_file() {
        return Ok(Published::default());
    }
    let read = || {
        let table = Table::read(&path)?;
        let names = table.column(key)?;
        let mut published = Published::default();
        let about = [key, "tsbad_file", "train_len"];
        for head in table
            .head
            .iter()
            .filter(|head| !about.contains(&head.as_str()))
        {
            for (name, value) in names.iter().zip(table.numbers(head)?) {
                published.add(name, head, value);
            }
        }
        Ok(published)
    };
    read().map_err(|problem: String| format!("{}: {problem}", path.display()))
}

/// What `read` makes of each table in `folder`, sorted by name.
fn each<T>(
    folder: &Path,
    expected: &str,
    read: impl Fn(&Path, String) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let shown = folder.display();
    let entries = fs::read_dir(folder).map_err(|error| format!("{shown}: {error}"))?;
    let mut paths: Vec<(String, PathBuf)> = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("{shown}: {error}"))?.path();
        // Tables of published figures lie beside the data.
        if let Some(name) = unpacked(&path).filter(|name| !name.starts_with("tsbad_")) {
            paths.push((name, path));
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(format!(
            "{shown}: there is no file of data; expected are *.csv, *.csv.gz or *.csv.xz with columns {expected}"
        ));
    }
    let read = |(name, path): (String, PathBuf)| {
        read(&path, name).map_err(|problem| {
            format!("{}: {problem}; expected columns {expected}", path.display())
        })
    };
    paths.into_iter().map(read).collect()
}

/// The file itself, or as packed with gzip or xz.
fn packed(path: &Path) -> Result<PathBuf, String> {
    let with = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    let found = ["", ".gz", ".xz"]
        .map(with)
        .into_iter()
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        format!(
            "{}: there is no such file, nor with .gz or .xz after it; combined_windows.json names it",
            path.display()
        )
    })
}

fn nab_series(path: &Path, name: &str, windows: &[(String, String)]) -> Result<Labelled, String> {
    let table = Table::read(path)?;
    let times: Vec<Millis> = table
        .column("timestamp")?
        .iter()
        .map(|text| wall_clock(text))
        .collect::<Result<_, _>>()?;
    ascending(&times)?;
    let row = |text: &str| {
        let at = wall_clock(text)?;
        let row = times.iter().position(|&time| time == at);
        row.ok_or_else(|| format!("combined_windows.json names {text:?}, where it has no row"))
    };
    let windows = windows.iter().map(|(from, to)| Ok((row(from)?, row(to)?)));
    Ok(Labelled {
        name: name.to_owned(),
        step: median_step(&times)?,
        values: table.numbers("value")?,
        windows: windows.collect::<Result<_, String>>()?,
        times,
    })
}

/// `2014-04-01 00:00:00` with or without a fraction, which NAB leaves without a zone: taken as UTC.
fn wall_clock(text: &str) -> Result<Millis, String> {
    let wrong = |_| format!("{text:?} is no time such as 2014-04-01 00:00:00");
    let time: jiff::civil::DateTime = text.trim().parse().map_err(wrong)?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(wrong)?;
    Ok(zoned.timestamp().as_millisecond())
}

fn median_step(times: &[Millis]) -> Result<Millis, String> {
    let mut steps: Vec<Millis> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    let step = steps.get(steps.len() / 2).copied();
    step.filter(|&step| step > 0).ok_or_else(|| {
        "its rows have no step: at least two with rising times are needed".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_series_of_nab_has_its_windows_as_rows() {
        let windows =
            r#"{"a/b.csv": [["2014-04-01 00:05:00.000000", "2014-04-01 00:10:00.000000"]]}"#;
        let data = "timestamp,value\n2014-04-01 00:00:00,1\n2014-04-01 00:05:00,2.5\n2014-04-01 00:10:00,3\n";
        let folder = folder(&[("combined_windows.json", windows), ("data/a/b.csv", data)]);
        let read = nab(folder.path()).unwrap();
        let expected = Labelled {
            name: "a/b.csv".into(),
            step: 300_000,
            times: vec![1_396_310_400_000, 1_396_310_700_000, 1_396_311_000_000],
            values: vec![1.0, 2.5, 3.0],
            windows: vec![(1, 2)],
        };
        assert_eq!(read, [expected]);
    }

    #[test]
    fn an_entity_has_channels_and_what_is_not_labelled_is_normal() {
        let data = "timestamp,part,x,y,label\n60,train,1,,\n120,test,2,5,1\n180,test,3,6,0\n";
        let folder = folder(&[("m.csv", data), ("tsbad_m.csv", "no,data\n")]);
        let read = entities(folder.path()).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].name.as_str(), read[0].step, read[0].judged),
            ("m", 60_000, 1)
        );
        assert_eq!(read[0].labels, [false, true, false]);
        assert_eq!(read[0].channels[0], ("x".into(), vec![1.0, 2.0, 3.0]));
        assert!(read[0].channels[1].1[0].is_nan());
    }

    #[test]
    fn what_is_missing_is_said_with_what_is_expected() {
        let empty = folder(&[]);
        let wrong = nab(empty.path()).unwrap_err();
        assert!(wrong.contains("combined_windows.json"), "{wrong}");
        let wrong = kpi(empty.path()).unwrap_err();
        assert!(wrong.contains("timestamp,value,label"), "{wrong}");
        let wrong = kpi(&empty.path().join("nowhere")).unwrap_err();
        assert!(wrong.contains("nowhere"), "{wrong}");
        let other = folder(&[("k.csv", "time,value\n1,2\n")]);
        let wrong = kpi(other.path()).unwrap_err();
        assert!(
            wrong.contains("k.csv: there is no column timestamp"),
            "{wrong}"
        );
        let named = folder(&[("combined_windows.json", r#"{"a/b.csv": []}"#)]);
        let wrong = nab(named.path()).unwrap_err();
        assert!(wrong.contains("a/b.csv: there is no such file"), "{wrong}");
    }

    #[test]
    fn times_must_not_fall() {
        let data = folder(&[("k.csv", "timestamp,value,label\n120,1,0\n60,2,0\n")]);
        let wrong = kpi(data.path()).unwrap_err();
        assert!(wrong.contains("row 2 is older"), "{wrong}");
    }
}
