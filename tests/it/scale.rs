//! `bench scale`, with few series.

use crate::support::program::BINARY;
use serde_json::Value;
use std::process::Command;

fn scale(arguments: &[&str]) -> (bool, String, String) {
    let done = Command::new(BINARY)
        .args(["bench", "scale", "--log.level=error"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

#[test]
fn every_series_is_taken_in_judged_and_served_and_what_is_far_off_is_found() {
    let (well, text, said) = scale(&["--series=1500,3000", "--ticks=6", "--json"]);
    assert!(well, "{text}{said}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let figure = |row: &Value, name: &str| row[name].as_u64().unwrap();
    let of = |name: &str| -> Vec<u64> { rows.iter().map(|row| figure(row, name)).collect() };
    assert_eq!(of("series"), [1_500, 3_000]);
    // One in a thousand, the first one too.
    assert_eq!(of("active"), [2, 3]);
    for row in rows {
        assert!((140..170).contains(&figure(row, "label_bytes_per_series")));
        assert!(figure(row, "state_bytes_per_series") > figure(row, "label_bytes_per_series"));
        assert!(figure(row, "served_bytes") > 0);
        let seconds = &row["ingest_new"]["wall_seconds"];
        assert!(seconds.as_f64().unwrap() > 0.0, "{row}");
    }
}

#[test]
fn too_few_ticks_to_be_sure_of_an_anomaly_are_refused() {
    let (well, _, said) = scale(&["--series=100", "--ticks=2"]);
    assert!(!well && said.contains("fewer than 6 ticks"), "{said}");
}
