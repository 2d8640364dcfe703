//! How well anomalies are found on recorded, labelled series, by the command that a person runs.

use crate::support::{program::command, root};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// What must be reached on NAB at the threshold 1, by profile: the level of the fourth place of the
/// published scoreboard, whose thresholds were chosen with the labels.
const TARGET: Floor = [
    ("standard", 66.0),
    ("low_false_alarms", 58.0),
    ("low_misses", 71.0),
];

/// Settings that reach it: a history longer than any of the files, and at most one verdict a day. The
/// detectors are those of the default.
const QUIET: &str = "{history: 80d, alerting: {recover_for: 30m, refractory: 24h}}";

/// What is reached with nothing set, so that it is not lost unnoticed. It misses the target because of the
/// false rows: a verdict may begin again after 30 minutes, and an hourly series keeps 504 values.
const DEFAULT: Floor = [
    ("standard", -14.0),
    ("low_false_alarms", -112.0),
    ("low_misses", 19.0),
];

type Floor = [(&'static str, f64); 3];

fn nab() -> Option<PathBuf> {
    let given = std::env::var_os("FORETHOUGHT_DATA").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| root().join("../shared/data"));
    let nab = folder.join("nab");
    if !nab.is_dir() {
        println!("SKIPPED: no data; set FORETHOUGHT_DATA");
        return None;
    }
    Some(nab)
}

/// Runs the command and gives the row of the default detectors about onsets of `anomaly_active`.
fn onsets(nab: &Path, settings: &[&str]) -> Value {
    let folder = TempDir::new().unwrap();
    let json = folder.path().join("accuracy.json");
    let flags = [
        format!("--nab={}", nab.display()),
        format!("--json={}", json.display()),
    ];
    let mut arguments = vec!["bench", "anomaly", "--only=default", &flags[0], &flags[1]];
    arguments.extend(settings);
    let (code, out, err) = command(&arguments);
    assert_eq!(code, 0, "{err}");
    println!("{out}");
    assert!(out.contains("31 series, 57 windows"), "{out}");
    let figures: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let rows = figures["nab"]["rows"].as_array().unwrap();
    let judged = |row: &&Value| row["name"] == "default" && row["judged"] == "onset";
    rows.iter().find(judged).unwrap().clone()
}

#[track_caller]
fn reaches(row: &Value, floor: &Floor) {
    for (profile, least) in floor {
        let reached = row["fixed"][profile].as_f64().unwrap();
        assert!(
            reached >= *least,
            "{profile}: {reached}, at least {least}: {row}"
        );
    }
}

#[test]
fn the_default_detectors_reach_the_target_on_nab() {
    let Some(nab) = nab() else { return };
    reaches(&onsets(&nab, &["--signal", QUIET]), &TARGET);
}

#[test]
fn the_default_configuration_does_not_get_worse_on_nab() {
    let Some(nab) = nab() else { return };
    let row = onsets(&nab, &[]);
    reaches(&row, &DEFAULT);
    assert!(row["found"].as_u64().unwrap() >= 50, "{row}");
    let alarms = row["alarms_per_series_per_week"].as_f64().unwrap();
    assert!(alarms <= 8.5, "{row}");
}

#[test]
fn a_folder_that_is_not_what_it_should_be_is_named_with_what_is_expected() {
    let folder = TempDir::new().unwrap();
    let empty = folder.path().display();
    for (flag, word) in [
        ("nab", "combined_windows.json"),
        ("kpi", "timestamp,value,label"),
        ("smd", "timestamp,part,CHANNELS..,label"),
        ("asd", "timestamp,part,CHANNELS..,label"),
    ] {
        let (code, out, err) = command(&["bench", "anomaly", &format!("--{flag}={empty}")]);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        let named = err.contains(&format!("--{flag}")) && err.contains(&empty.to_string());
        assert!(named && err.contains(word), "{err}");
    }
    let nab = format!("--nab={empty}");
    let (code, _, err) = command(&["bench", "anomaly", &nab, "--only=zscor"]);
    assert_eq!(code, 2);
    assert!(err.contains("zscor") && err.contains("envelope"), "{err}");
    let (code, _, err) = command(&["bench", "anomaly", &nab, "--signal={step: 1m}"]);
    assert_eq!(code, 2);
    assert!(err.contains("--signal: step"), "{err}");
    let (code, _, err) = command(&["bench", "anomaly"]);
    assert_eq!(code, 2);
    assert!(err.contains("--nab"), "{err}");
}
