//! What commands that ask sources say of one that answers nobody.

use super::shop::configuration;
use crate::support::program::command;
use std::fs;
use tempfile::TempDir;

const WORKLOAD: &str = "
workloads:
  - name: checkout
    demand: {signal: shop_requests, match: {path: /cart}}
    capacity_per_replica: 10
    limits: {min: 1, max: 50}
    lead_time: 10s
    pipeline: 4s
";

/// Exit code and what was said, whole, of a command over the configuration.
fn said(arguments: &[&str]) -> (i32, String, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("forethought.yml");
    fs::write(&file, configuration("localhost:1", WORKLOAD)).unwrap();
    let file = file.display().to_string();
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| argument.replace("FILE", &file))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    command(&arguments)
}

#[test]
fn a_check_against_sources_says_what_it_did_not_ask() {
    let (code, out, err) = said(&["check", "FILE", "--against-source"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let told = "not asked: shop_requests, waiting_jobs, whose samples come by themselves";
    assert!(out.contains(told), "{out}");
    assert!(out.contains("2 signals"), "{out}");
}

#[test]
fn whoever_needs_the_past_says_that_nobody_has_it_and_what_to_do() {
    let come = "come by themselves, and nobody can be asked for its past; ";
    for (arguments, code, instead) in [
        (
            vec!["backtest", "--config.file=FILE", "--from=1d"],
            2,
            "--csv, --open-metrics",
        ),
        (
            vec![
                "train",
                "--config.file=FILE",
                "--signal=waiting_jobs",
                "--dry-run",
            ],
            2,
            "run --train",
        ),
        (
            vec![
                "simulate",
                "--what-if",
                "--config.file=FILE",
                "--workload=checkout",
            ],
            2,
            "--trace",
        ),
    ] {
        let (found, _, err) = said(&arguments);
        assert_eq!(found, code, "{arguments:?}: {err}");
        for word in ["its source \"direct\"", come, instead] {
            assert!(err.contains(word), "{arguments:?}: {word} is not in {err}");
        }
    }
}

#[test]
fn a_report_says_of_a_workload_why_nothing_is_known() {
    let (code, out, err) = said(&["report", "--config.file=FILE"]);
    let all = format!("{out}{err}");
    assert!(code == 0 || code == 1, "{code}: {all}");
    assert!(all.contains("checkout"), "{all}");
    assert!(all.contains("nobody can be asked for its past"), "{all}");
    assert!(all.contains("demand.query"), "{all}");
}

#[test]
fn no_rules_are_written_for_what_no_prometheus_has() {
    let (code, out, err) = said(&["rules", "--config.file=FILE"]);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("no Prometheus could record them"), "{err}");
    let (code, _, err) = said(&["rules", "--config.file=FILE", "--signal=waiting_jobs"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("\"waiting_jobs\" come by themselves"), "{err}");
}

#[test]
fn explain_needs_no_source() {
    let (code, _, err) = said(&["explain", "checkout", "--config.file=FILE"]);
    assert_ne!(code, 0);
    assert!(err.contains("store"), "{err}");
}
