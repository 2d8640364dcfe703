//! `simulate --what-if` over what a real Prometheus knows.

use crate::support::{
    program::command,
    servers::{history_end, prometheus},
};
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

/// A configuration with two workloads over the shop's series.
fn configuration(folder: &Path, demand: &str) -> String {
    let file = folder.join("forethought.yml");
    let config = format!(
        "sources: [{{name: main, prometheus: {{url: \"http://{}\"}}}}]\n\
         signals:\n  - {{name: shop, query: 'shop_requests_per_second{{job=\"shop\"}}', step: 1m, history: 2h8m, forecast: {{horizons: [5m]}}}}\n\
         workloads:\n  \
         - name: checkout\n    demand: {demand}\n    capacity_per_replica: 12\n    \
         replicas: {{query: 'count(shop_requests_per_second{{job=\"shop\"}})'}}\n    \
         lead_time: 90s\n    level: 0.9\n    limits: {{min: 2, max: 30, hold: 2m}}\n  \
         - {{name: search, demand: {{signal: shop, match: {{path: /search}}}}, capacity_per_replica: 100, limits: {{max: 9}}}}\n",
        prometheus().address(),
    );
    fs::write(&file, config).unwrap();
    format!("--config.file={}", file.display())
}

const MATCH: &str = "{signal: shop, match: {path: /checkout}}";

fn simulate(config: &str, rest: &[&str]) -> (i32, String, String) {
    let mut arguments = vec!["simulate", "--what-if", config, "--days=1"];
    arguments.extend(rest);
    command(&arguments)
}

#[test]
fn a_workload_is_replayed_over_its_own_past_with_its_own_settings() {
    let folder = TempDir::new().unwrap();
    let config = configuration(folder.path(), MATCH);
    let picture = folder.path().join("checkout.svg");
    let plot = format!("--plot={}", picture.display());
    let (code, out, err) = simulate(&config, &["--workload=checkout", "--output=json", &plot]);
    assert_eq!(code, 0, "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let outcome = &report["traces"][0];
    assert_eq!(
        (&outcome["trace"], &outcome["capacity"]),
        (&"checkout".into(), &12.0.into())
    );
    let score = |name: &str, field: &str| {
        let rows = outcome["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name);
        let row = row.unwrap_or_else(|| panic!("no row {name}: {out}"));
        row["score"][field].as_f64().unwrap()
    };
    // Three series were counted, so three replicas were there: 36 where about 32 to 48 are asked for.
    let hours = score("recorded", "minutes") / 60.0;
    assert!((1.0..2.0).contains(&hours), "{hours}");
    assert!((score("recorded", "replica_hours") - 3.0 * hours).abs() < 0.2);
    assert!(score("recorded", "violation_ratio") > 0.3);
    assert_eq!(score("static", "violations"), 0.0);
    assert!(score("reactive", "violation_ratio") < score("recorded", "violation_ratio"));
    assert!(score("ours", "violations") <= score("reactive", "violations"));
    assert!(score("ours", "replica_hours") < 30.0 * hours);
    let setting = outcome["rows"].as_array().unwrap().iter();
    let mut setting = setting.filter(|row| row["name"] == "ours");
    assert_eq!(setting.next().unwrap()["setting"], "level 0.9");
    let notes = outcome["notes"].to_string();
    assert!(
        notes.contains("mode observe") && notes.contains("have not seen a day"),
        "{notes}"
    );
    assert!(fs::read_to_string(picture).unwrap().contains("checkout"));
}

#[test]
fn only_the_policies_asked_for_are_printed() {
    let folder = TempDir::new().unwrap();
    let config = configuration(folder.path(), MATCH);
    let some = ["--workload=search", "--policy=reactive,hpa,recorded"];
    let (code, out, err) = simulate(&config, &some);
    assert_eq!(code, 0, "{err}");
    let begins = |word: &str| out.lines().any(|line| line.starts_with(word));
    assert!(begins("reactive") && begins("HPA default"), "{out}");
    assert!(
        !begins("ours") && !begins("static") && !begins("recorded"),
        "{out}"
    );
    assert!(
        out.contains("recorded is left out: the workload has no replicas.query"),
        "{out}"
    );
}

#[test]
fn what_keeps_a_workload_from_being_replayed_is_told() {
    let folder = TempDir::new().unwrap();
    let config = configuration(folder.path(), MATCH);
    let (code, _, err) = simulate(&config, &["--workload=chekout"]);
    assert_eq!(code, 2);
    assert!(
        err.contains(
            "there is no workload called \"chekout\" (did you mean checkout?); there are: checkout, search"
        ),
        "{err}"
    );
    let (code, _, err) = command(&["simulate", "--trace=requests.csv", "--policy=recorded"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("--policy: recorded") && err.contains("--what-if"),
        "{err}"
    );
    let (code, _, err) = simulate(&config, &["--workload=checkout", "--policy=keda"]);
    assert_eq!(code, 2);
    assert!(err.contains("hpa-tuned"), "{err}");
    let (code, _, err) = command(&["simulate", "--what-if"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("--config.file") && err.contains("--workload"),
        "{err}"
    );

    let config = configuration(folder.path(), "{signal: shop}");
    let (code, _, err) = simulate(&config, &["--workload=checkout"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("3 series") && err.contains("demand.match"),
        "{err}"
    );

    let young = history_end() - 1_800;
    let query = format!(
        "{{signal: shop, query: 'shop_requests_per_second{{job=\"shop\",path=\"/cart\"}} and on () (vector(time()) > {young})'}}"
    );
    let config = configuration(folder.path(), &query);
    let (code, _, err) = simulate(&config, &["--workload=checkout"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("too little history") && err.contains("2h"),
        "{err}"
    );

    let empty = folder.path().join("empty.yml");
    fs::write(&empty, "sources: []\nsignals: []\n").unwrap();
    let config = format!("--config.file={}", empty.display());
    let (code, _, err) = simulate(&config, &["--workload=checkout"]);
    assert_eq!(code, 2);
    assert!(err.contains("sources"), "{err}");
}
