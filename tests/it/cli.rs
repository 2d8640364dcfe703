//! The command line, as a person meets it: what is said where, and the exit codes.

use crate::support::{
    eventually,
    guard::{Guarded, free_port},
    http,
    program::{BINARY, command},
    servers::{HISTORY, PASTS, prometheus},
};
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

const GOOD: &str = "tests/it/cli/good.yml";
const BAD: &str = "tests/it/cli/bad.yml";

#[test]
fn a_good_file_is_accepted_and_sized() {
    let (code, out, err) = command(&["check", GOOD]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.ends_with(&format!(
            "\n{GOOD}: 1 source, 1 signal, 0 panels: no problem found\n"
        )),
        "{out}"
    );
    assert!(out.contains("http_requests_per_second"), "{out}");
    assert_eq!(err, "");
}

#[test]
fn a_bad_file_is_refused_with_every_problem_at_once() {
    let (code, out, err) = command(&["check", BAD]);
    assert_eq!(code, 2);
    assert_eq!(out, "");
    let problems = [
        ("5:", "signals[0].name", "must not end in \"_total\""),
        ("6:", "signals[0].query", "line 1, column"),
        (
            "7:",
            "signals[0].detectors[0].zscore.treshold",
            "did you mean threshold?",
        ),
        ("9:", "signals[1].source", "did you mean"),
        ("11:", "signals[1].step", "evaluation_interval"),
    ];
    for (line, path, word) in problems {
        let start = format!("{BAD}:{line}");
        let about = |told: &&str| told.starts_with(&start) && told.contains(path);
        let told = err
            .lines()
            .find(about)
            .unwrap_or_else(|| panic!("{path} is not in:\n{err}"));
        assert!(told.contains(word), "{told}");
        assert!(!told.ends_with('.'), "{told}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (code, _, err) = command(&["check", "nowhere.yml"]);
    assert_eq!(code, 2);
    assert!(err.contains("nowhere.yml"), "{err}");
}

#[test]
fn run_refuses_what_check_refuses() {
    let (code, out, err) = command(&[
        "run",
        &format!("--config.file={BAD}"),
        "--web.listen-address=127.0.0.1:0",
    ]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("signals[0].detectors[0].zscore.treshold"),
        "{err}"
    );
}

#[test]
fn help_and_version_go_to_standard_output() {
    let (code, out, err) = command(&["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for word in [
        "run",
        "check",
        "backtest",
        "demo",
        "Exit codes: 0 all well, 1 failed, 2 usage",
    ] {
        assert!(out.contains(word), "{word} is not in:\n{out}");
    }
    let (code, out, err) = command(&["--version"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with(&format!("forethought {}", env!("CARGO_PKG_VERSION"))),
        "{out}"
    );
    for command_name in ["run", "check", "backtest", "demo", "train"] {
        let (code, out, _) = command(&[command_name, "--help"]);
        assert_eq!(code, 0);
        assert!(out.contains("Usage: forethought"), "{out}");
    }
}

#[test]
fn wrong_usage_ends_with_two_and_says_what_is_allowed() {
    for (arguments, word) in [
        (vec!["rum"], "run"),
        (vec!["run", "--config.fil=x"], "--config.file"),
        (vec!["run"], "--config.file"),
        (vec!["check", GOOD, "--log.level=loud"], "debug"),
    ] {
        let (code, out, err) = command(&arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains(word), "{arguments:?}: {err}");
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let flag = format!("--web.listen-address={address}");
    let (code, _, err) = command(&["run", &format!("--config.file={GOOD}"), &flag]);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains(&address) && err.contains("--web.listen-address"),
        "{err}"
    );
}

/// A configuration over the shop's series, in a folder of its own.
fn shop(folder: &Path) -> String {
    let file = folder.join("forethought.yml");
    let config = format!(
        "global: {{evaluation_interval: 10s}}\nsources: [{{name: main, prometheus: {{url: \"http://{}\"}}}}]\nsignals:\n  \
         - {{name: shop, query: '{}{{job=\"shop\"}}', step: 10s, history: 2h, seasonality: [10m], forecast: {{horizons: [1m]}}, \
         alerting: {{for: 20s, recover_for: 20s, refractory: 1m}}}}\n",
        prometheus().address(),
        PASTS[0].1[0].metric
    );
    fs::write(&file, config).unwrap();
    file.to_string_lossy().into_owned()
}

#[test]
fn check_against_source_counts_series_and_history() {
    let folder = TempDir::new().unwrap();
    let (code, out, err) = command(&["check", &shop(folder.path()), "--against-source"]);
    assert_eq!(code, 0, "{err}");
    let row = out.lines().find(|line| line.starts_with("shop")).unwrap();
    assert!(
        row.contains(&format!(" {} ", PASTS[0].1.len())),
        "three series: {row}"
    );
    assert!(
        row.ends_with("all of 2h"),
        "the history is {HISTORY} s long: {row}"
    );
}

#[test]
fn check_against_a_source_that_is_not_there_fails() {
    let (code, _, err) = command(&["check", GOOD, "--against-source"]);
    assert_eq!(code, 1);
    assert!(err.contains("127.0.0.1:9090"), "{err}");
}

#[test]
fn a_log_that_cannot_be_written_does_not_stop_the_program() {
    // Nothing else is written to a disk while it runs; `/dev/full` is a full one.
    let folder = TempDir::new().unwrap();
    let config = shop(folder.path());
    let address = format!("127.0.0.1:{}", free_port());
    let script = format!(
        "exec {BINARY} run --config.file={config} --web.listen-address={address} --log.level=debug 2>/dev/full"
    );
    let mut process = Guarded::start("sh", |_| vec!["-c".to_owned(), script]);
    // By then it has logged, or tried to.
    eventually("it is ready", 60, || http::get(&address, "/-/ready"));
    assert_eq!(process.ended(), None, "it ended");
    process.signal("TERM");
    assert_eq!(process.wait(10).code(), Some(0));
}

#[test]
fn backtest_says_so_when_its_output_cannot_be_written() {
    let folder = TempDir::new().unwrap();
    let config = format!("--config.file={}", shop(folder.path()));
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Command::new(BINARY)
        .args(["backtest", &config, "--from=10m"])
        .stdout(full)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left"), "{said}");
}

#[test]
fn backtest_looks_back_over_real_history() {
    let folder = TempDir::new().unwrap();
    let (config, plot) = (shop(folder.path()), folder.path().join("past.svg"));
    let flags = [
        format!("--config.file={config}"),
        format!("--plot={}", plot.display()),
    ];
    let (code, out, err) = command(&["backtest", &flags[0], "--from=20m", "--json", &flags[1]]);
    assert_eq!(code, 0, "{err}");
    let figures: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(figures.to_string().contains("shop"), "{figures}");
    let drawn = fs::read_to_string(plot).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("</svg>"));
}
