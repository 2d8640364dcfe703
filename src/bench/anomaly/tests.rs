//! The scorers against figures of others, and the whole on recorded data.

use super::{
    data::{self, Labelled},
    nab::{self, Key, Paper},
    nab_table::tsb_labels,
    points, vus,
};
use crate::source::file;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Values read from JSON and sums in another order.
const ROUNDING: f64 = 1e-9;
/// `tsb-ad` adds so much to the denominator of F1, so that it divides by nothing never.
const F1_SHIFT: f64 = 1e-5;

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bench/vus.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[expect(
    clippy::print_stdout,
    reason = "a test that was not run must not look as if it had been"
)]
fn recorded() -> Option<PathBuf> {
    let folder = std::env::var_os("FORETHOUGHT_DATA").map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let nab = folder.join("nab");
    if !nab.is_dir() {
        println!("SKIPPED: no data; set FORETHOUGHT_DATA");
        return None;
    }
    Some(nab)
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|one| one.as_f64().unwrap()).collect()
}

#[track_caller]
fn close(ours: Option<f64>, theirs: &Value, within: f64, what: &Value) {
    let (ours, theirs) = (ours.unwrap(), theirs.as_f64().unwrap());
    assert!(
        (ours - theirs).abs() < within,
        "{what}: {ours}, not {theirs}"
    );
}

#[test]
fn vus_pr_is_that_of_tsb_ad() {
    let fixture = fixture();
    for case in fixture["made"].as_array().unwrap() {
        let (values, scores) = (numbers(&case["values"]), numbers(&case["scores"]));
        let mut labels = vec![false; values.len()];
        for run in case["runs"].as_array().unwrap() {
            let [first, last] = [0, 1].map(|end| run[end].as_u64().unwrap() as usize);
            labels[first..=last].fill(true);
        }
        let longest = vus::period(&values);
        assert_eq!(
            longest as u64,
            case["period"].as_u64().unwrap(),
            "{}",
            case["name"]
        );
        close(
            vus::vus_pr(&scores, &labels, longest),
            &case["vus_pr"],
            ROUNDING,
            &case["name"],
        );
        let points: Vec<_> = scores.into_iter().zip(labels).collect();
        close(
            points::f1_best(&points),
            &case["f1_best"],
            F1_SHIFT,
            &case["name"],
        );
    }
}

#[test]
fn vus_pr_of_stored_scores_is_that_of_tsb_ad() {
    let Some(folder) = recorded() else { return };
    let fixture = fixture();
    let series = data::nab(&folder).unwrap();
    for case in fixture["recorded"].as_array().unwrap() {
        let name = case["file"].as_str().unwrap();
        let one = series.iter().find(|one| one.name == name).unwrap();
        let labels = tsb_labels(one);
        let first = labels.iter().position(|&label| label).unwrap();
        assert_eq!(first as u64, case["first"].as_u64().unwrap(), "{name}");
        let longest = vus::period(&one.values[1..]);
        assert_eq!(longest as u64, case["period"].as_u64().unwrap(), "{name}");
        let stored = stored(&folder, case["scorer"].as_str().unwrap());
        let scores = &stored[name][1..];
        close(
            vus::vus_pr(scores, &labels, longest),
            &case["vus_pr"],
            ROUNDING,
            &case["file"],
        );
    }
}

/// The scores stored with NAB for a detector, by file.
fn stored(folder: &Path, detector: &str) -> BTreeMap<String, Vec<f64>> {
    let path = folder.join(format!("stored_scores/{detector}.csv.xz"));
    let mut scores: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in csv::Reader::from_reader(file::open(&path).unwrap()).records() {
        let row = row.unwrap();
        let own = scores.entry(row[0].to_owned()).or_default();
        own.push(row[2].parse().unwrap());
    }
    scores
}

/// By detector and profile: the best score on these files, and the score at a threshold of others.
fn scoreboard(folder: &Path) -> BTreeMap<(String, String), [f64; 3]> {
    let file = file::open(&folder.join("scoreboard.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(file);
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|head| head == name).unwrap();
    let columns = ["public_best", "full_threshold", "public_at_full_threshold"].map(column);
    let row = |row: csv::Result<csv::StringRecord>| {
        let row = row.unwrap();
        let figures = columns.map(|column| row[column].parse().unwrap());
        ((row[0].to_owned(), row[1].to_owned()), figures)
    };
    reader.records().map(row).collect()
}

#[test]
fn stored_scores_of_nab_get_their_published_score() {
    let Some(folder) = recorded() else { return };
    let (series, board) = (data::nab(&folder).unwrap(), scoreboard(&folder));
    let key = |one: &Labelled| Key::new(one.times.len(), &one.windows);
    let keys: Vec<Key> = series.iter().map(key).collect();
    for detector in ["numenta", "relativeEntropy", "windowedGaussian"] {
        let stored = stored(&folder, detector);
        let papers: Vec<Paper<'_>> = series
            .iter()
            .zip(&keys)
            .map(|(one, key)| (key, stored[&one.name].as_slice()))
            .collect();
        for (name, profile) in [
            ("standard", nab::STANDARD),
            ("reward_low_FP_rate", nab::LOW_FALSE_ALARMS),
            ("reward_low_FN_rate", nab::LOW_MISSES),
        ] {
            let [best, threshold, at_threshold] = board[&(detector.to_owned(), name.to_owned())];
            let score = |threshold| nab::score(nab::tally(&papers, profile, threshold), profile);
            let ours = score(nab::best_threshold(&papers, profile));
            assert!(
                (ours - best).abs() < 0.01,
                "{detector} {name}: {ours}, not {best}"
            );
            let ours = score(threshold);
            let difference = (ours - at_threshold).abs();
            assert!(
                difference < 0.01,
                "{detector} {name}: {ours}, not {at_threshold}"
            );
        }
    }
}
