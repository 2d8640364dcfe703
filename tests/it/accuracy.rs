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

/// What the onsets of the verdict reach, so that it is not lost unnoticed. A verdict may begin again after
/// half an hour, which costs points where the score itself is still quiet.
const ONSETS: Floor = [
    ("standard", 67.0),
    ("low_false_alarms", 52.0),
    ("low_misses", 74.0),
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

/// Runs the command with nothing set, and gives the rows of the default configuration: about
/// `anomaly_score`, and about the onsets of `anomaly_active`.
fn default_rows(nab: &Path) -> [Value; 2] {
    let folder = TempDir::new().unwrap();
    let json = folder.path().join("accuracy.json");
    let flags = [
        format!("--nab={}", nab.display()),
        format!("--json={}", json.display()),
    ];
    let arguments = ["bench", "anomaly", "--only=default", &flags[0], &flags[1]];
    let (code, out, err) = command(&arguments);
    assert_eq!(code, 0, "{err}");
    println!("{out}");
    assert!(out.contains("31 series, 57 windows"), "{out}");
    let figures: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let rows = figures["nab"]["rows"].as_array().unwrap();
    ["score", "onset"].map(|judged| {
        let wanted = |row: &&Value| row["name"] == "default" && row["judged"] == judged;
        rows.iter().find(wanted).unwrap().clone()
    })
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
fn the_default_configuration_reaches_the_target_on_nab() {
    let Some(nab) = nab() else { return };
    let [score, onset] = default_rows(&nab);
    reaches(&score, &TARGET);
    reaches(&onset, &ONSETS);
    assert!(onset["found"].as_u64().unwrap() >= 50, "{onset}");
    let alarms = onset["alarms_per_series_per_week"].as_f64().unwrap();
    assert!(alarms <= 2.0, "{onset}");
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
