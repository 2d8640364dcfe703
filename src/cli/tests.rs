//! The command line as a whole: help, version, exit codes, what `check` writes.

use super::*;
use std::fs;

fn call(arguments: &[&str]) -> (String, Option<Failure>) {
    let mut out = Vec::new();
    let all = std::iter::once("forethought").chain(arguments.iter().copied());
    let result = dispatch(all.map(OsString::from), &mut out);
    (String::from_utf8(out).unwrap(), result.err())
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

const GOOD: &str = "sources: [{name: main, prometheus: {url: 'http://127.0.0.1:1', retries: 0}}]
signals: [{name: load, query: node_load1}]
";

/// [`GOOD`] with a second signal.
const TWO: &str = "sources: [{name: main, prometheus: {url: 'http://127.0.0.1:1', retries: 0}}]
signals: [{name: load, query: node_load1}, {name: more, query: node_load5}]
";

#[test]
fn definitions_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_and_version_are_no_failures() {
    let (help, failure) = call(&["--help"]);
    assert!(failure.is_none());
    for word in [
        "run",
        "check",
        "backtest",
        "Examples:",
        "honor_labels",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word}");
    }
    let (version, failure) = call(&["--version"]);
    assert!(failure.is_none());
    for word in [
        env!("CARGO_PKG_VERSION"),
        "revision",
        "build date",
        "platform",
    ] {
        assert!(version.contains(word), "{version}");
    }
    let (help, _) = call(&["run", "--help"]);
    assert!(help.contains("--web.listen-address") && help.contains("Examples:"));
    let poll = help.split("--config.poll-interval").nth(1).unwrap();
    let poll = poll.split("--").next().unwrap();
    assert!(poll.contains("[default: 15s]"), "{poll}");
}

#[test]
fn usage_is_exit_code_2() {
    for arguments in [&["fly"][..], &["check"], &["run"], &["run", "--x"], &[]] {
        let (_, failure) = call(arguments);
        assert_eq!(failure.unwrap().exit_code(), 2, "{arguments:?}");
    }
}

#[test]
fn every_flag_is_in_the_reference() {
    let reference = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/docs/configuration.md"
    ))
    .unwrap();
    let all = Cli::command();
    let nested = all
        .get_subcommands()
        .flat_map(clap::Command::get_subcommands);
    for command in all.get_subcommands().chain(nested) {
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long() else {
                continue;
            };
            let wanted = format!("`--{long}`");
            assert!(
                reference.contains(&wanted),
                "{}: {wanted}",
                command.get_name()
            );
            assert!(argument.get_help().is_some(), "{wanted} has no help");
        }
    }
}

#[test]
fn check_shows_a_table() {
    let file = file(GOOD);
    let path = file.path().to_str().unwrap();
    let (out, failure) = call(&["check", path]);
    assert!(failure.is_none());
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("SIGNAL  CLASS  WHY"), "{out}");
    assert!(
        lines[1].starts_with("load    deep   max_series 5000 is at most 10000"),
        "{out}"
    );
    assert!(
        lines[2].starts_with("memory of all series at most: 1."),
        "{out}"
    );
    assert_eq!(
        lines[3..],
        [format!(
            "{path}: 1 source, 1 signal, 0 panels: no problem found"
        )]
    );
    let flag = format!("--config.file={path}");
    let (again, failure) = call(&["check", &flag]);
    assert!(failure.is_none());
    assert_eq!(again, out);
}

#[test]
fn check_says_how_signals_are_divided() {
    let text = r#"
sources: [{name: main, prometheus: {url: "http://127.0.0.1:9"}}]
signals:
  - {name: cpu, query: up, group_by: [namespace, deployment]}
  - {name: disk, query: up}
  - {name: latency, query: up, detectors: [{dbscan: {}}]}
  - {name: requests, query: up}
workloads: [{name: checkout, demand: {signal: requests}, capacity_per_replica: 9, limits: {max: 9}}]
"#;
    let file = file(text);
    let path = file.path().to_str().unwrap();
    let lines = |shard: &str| {
        let (out, failure) = call(&["check", path, &format!("--shard={shard}")]);
        assert!(failure.is_none());
        let lines: Vec<String> = out.lines().map(str::to_owned).collect();
        lines
    };
    let own = lines("0/3");
    let expected = [
        "SIGNAL    DIVIDED                   SHARD 0/3  WHY",
        "cpu       by namespace, deployment  about 1/3  group_by of cpu",
        "disk      by all labels             about 1/3  nothing compares its series",
    ];
    assert_eq!(own[..3], expected);
    assert_eq!(
        own[4],
        "requests  whole                     all        workload checkout reads requests"
    );
    // One of them has all of it.
    let all = ["0/3", "1/3", "2/3"].map(|shard| lines(shard)[3].clone());
    let of = |word: &str| all.iter().filter(|line| line.contains(word)).count();
    assert_eq!(
        (of("  all  "), of("  nothing  "), of("whole on shard ")),
        (1, 2, 3)
    );
    let place = all
        .iter()
        .position(|line| line.contains("  all  "))
        .unwrap();
    assert!(
        all[0].contains(&format!("whole on shard {place} ")),
        "{all:?}"
    );
}

#[test]
fn check_reports_every_problem_with_its_place() {
    let file = file("sources: []\nsignals: [{name: load, query: 'sum('}]\n");
    let path = file.path().to_str().unwrap();
    let (out, failure) = call(&["check", path]);
    let failure = failure.unwrap();
    assert_eq!((failure.exit_code(), out.as_str()), (2, ""));
    let text = failure.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with(&format!("{path}:1:10: sources: there is no source")));
    assert!(lines[1].starts_with(&format!("{path}:2:31: signals[0].query: \"(\" is not")));
}

#[test]
fn check_keeps_the_memory_limit() {
    let file = file(GOOD);
    let path = file.path().to_str().unwrap();
    let (_, failure) = call(&["check", path, "--storage.memory-limit=1GiB"]);
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.to_string().contains("--storage.memory-limit=1GiB"));
}

#[test]
fn a_source_that_does_not_answer_is_a_failure() {
    let file = file(TWO);
    let path = file.path().to_str().unwrap();
    let (out, failure) = call(&["check", path, "--against-source"]);
    assert!(out.contains("no answer"), "{out}");
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 1);
    let text = failure.to_string();
    let start = "source main cannot be reached: POST http://127.0.0.1:1/";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(text.lines().count(), 1, "once for both signals: {text}");
    assert!(!out.contains("no problem"), "{out}");
}

#[test]
fn files_that_cannot_be_read_are_reported_together_with_the_rest() {
    let file = file(
        "sources:
- name: main
  prometheus:
    url: https://x
    bearer_token_file: /nowhere/token
    tls_config: {ca_file: /nowhere/ca.pem, cert_file: /nowhere/c.pem, key_file: /}
- {name: other, prometheus: {url: http://x, basic_auth: {username: me, password_file: nowhere}}}
signals:
- {name: load, source: main, query: 'sum(', forecast: {models: [onnx: {path: gone.onnx, window: 9}]}}
- {name: idle, source: main, query: x, detectors: [zscore: {}, autoencoder: {path: ae.onnx}]}
",
    );
    let path = file.path().to_str().unwrap();
    let (_, failure) = call(&["check", path]);
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 2);
    let text = failure.to_string();
    let folder = file.path().parent().unwrap().display();
    let expected = [
        "5:24: sources[0].prometheus.bearer_token_file: cannot read /nowhere/token: No such file"
            .to_owned(),
        "6:27: sources[0].prometheus.tls_config.ca_file: cannot read /nowhere/ca.pem".to_owned(),
        "6:55: sources[0].prometheus.tls_config.cert_file: cannot read /nowhere/c.pem".to_owned(),
        "6:81: sources[0].prometheus.tls_config.key_file: / is a folder".to_owned(),
        format!(
            "7:87: sources[1].prometheus.basic_auth.password_file: cannot read {folder}/nowhere"
        ),
        "9:37: signals[0].query: ".to_owned(),
        format!("9:78: signals[0].forecast.models[0].onnx.path: cannot read {folder}/gone.onnx"),
        format!("10:84: signals[1].detectors[1].autoencoder.path: cannot read {folder}/ae.onnx"),
    ];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(
            line.starts_with(&format!("{path}:{expected}")),
            "{line}\nis not\n{expected}"
        );
    }
}

#[test]
fn what_files_hold_is_checked_too() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("forethought.yml");
    fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    fs::write(folder.path().join("x.onnx"), "no model").unwrap();
    let text =
        "sources: [{name: main, prometheus: {url: 'https://x', tls_config: {ca_file: ca.pem}}}]
signals:
- {name: load, query: x, forecast: {models: [onnx: {path: x.onnx, window: 9}]}}
- {name: idle, query: x, detectors: [autoencoder: {path: x.onnx}]}\n";
    fs::write(&config, text).unwrap();
    let (out, failure) = call(&["check", config.to_str().unwrap()]);
    assert_eq!(out, "");
    let text = failure.unwrap().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with("source main: tls_config.ca_file: no certificate"),
        "{text}"
    );
    assert!(lines[1].starts_with("signal load: "), "{text}");
    assert!(lines[2].starts_with("signal idle: "), "{text}");
    assert!(lines[2].contains("x.onnx: not an ONNX model"), "{text}");
}

#[test]
fn a_missing_file_is_named() {
    let (_, failure) = call(&["check", "/nonexistent/x.yml"]);
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.to_string().contains("/nonexistent/x.yml"));
}

#[test]
fn a_closed_pipe_is_success() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let arguments = ["forethought", "--help"].map(OsString::from);
    let failure = dispatch(arguments, &mut Closed).unwrap_err();
    assert_eq!(failure.exit_code(), 0);
    assert!(failure.is_closed_pipe());
}

#[test]
fn backtest_reads_a_csv_file() {
    use std::fmt::Write as _;
    let mut text = String::from("timestamp,load\n");
    for minute in 0..3_000_u32 {
        let value = 10.0 + f64::from(minute % 240) / 24.0 + f64::from(minute * 7_919 % 13) / 10.0;
        writeln!(text, "{},{value}", 1_767_225_600 + minute * 60).unwrap();
    }
    let file = file(&text);
    let csv = format!("--csv={}", file.path().display());
    let (out, failure) = call(&["backtest", &csv, "--history=1d", "--horizons=15m", "--json"]);
    assert!(failure.is_none(), "{}", failure.unwrap());
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["signals"][0]["signal"], "load");
    assert!(
        report["signals"][0]["values"].as_u64().unwrap() > 1_000,
        "{out}"
    );
    let plot = file.path().with_extension("svg");
    let flag = format!("--plot={}", plot.display());
    let (_, failure) = call(&["backtest", &csv, "--history=1d", "--from=2040-01-01", &flag]);
    assert!(
        failure.is_some() && !plot.exists(),
        "nothing is left behind"
    );
    // Of the usual horizons those that fit are taken.
    let (out, failure) = call(&["backtest", &csv, "--history=1d", "--step=5m", "--json"]);
    assert!(failure.is_none(), "{}", failure.unwrap());
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let horizons = report["signals"][0]["horizons"].as_array().unwrap();
    assert_eq!(horizons.len(), 2, "15m and 1h: {out}");
    let (out, failure) = call(&["backtest", &csv, "--history=1d", "--horizons=15m"]);
    assert!(failure.is_none());
    assert!(out.starts_with("load: 1 series over"), "{out}");
}

#[test]
fn backtest_says_which_flag_is_wrong() {
    let file = file("timestamp,load\n1767225600,1\n");
    let csv = format!("--csv={}", file.path().display());
    for (arguments, part) in [
        (vec!["backtest"], "--config.file"),
        (vec!["backtest", "--config.file=x"], "--from"),
        (
            vec!["backtest", "--config.file=/nonexistent/x", "--from=1d"],
            "/nonexistent/x",
        ),
        (
            vec!["backtest", &csv, "--history=1h"],
            "--history: 1h is not allowed",
        ),
        (
            vec!["backtest", &csv, "--horizons=90s"],
            "--horizons: 1m30s is not a whole",
        ),
        (
            vec!["backtest", &csv, "--csv.time=t"],
            "no column \"t\"; there are [\"timestamp\", \"load\"]; say which it is with --csv.time",
        ),
        (
            vec!["backtest", &csv, "--signal=laod"],
            "did you mean load?",
        ),
        (
            vec!["backtest", &csv, "--from=2026-01-02", "--to=2026-01-01"],
            "--from: 2026-01-02T00:00:00Z is not before --to, which is 2026-01-01T00:00:00Z",
        ),
        (
            vec!["backtest", &csv, "--from=4d", "--to=5d"],
            "--from: 4d ago is not before --to, which is 5d ago",
        ),
        (
            vec!["backtest", &csv, "--plot=/nowhere/past.svg"],
            "--plot: cannot write /nowhere/past.svg: No such file",
        ),
        (
            vec!["backtest", "--csv=/nonexistent/y.csv"],
            "--csv: /nonexistent/y.csv",
        ),
    ] {
        let (_, failure) = call(&arguments);
        let failure = failure.unwrap();
        assert_eq!(failure.exit_code(), 2, "{arguments:?}: {failure}");
        assert!(
            failure.to_string().contains(part),
            "{arguments:?}: {failure}"
        );
    }
}
