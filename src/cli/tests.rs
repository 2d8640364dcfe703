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
    assert_eq!(
        lines[0],
        format!("{path}: 1 source, 1 signal, 0 panels: no problem found")
    );
    assert!(lines[1].starts_with("SIGNAL  CLASS  WHY"), "{out}");
    assert!(
        lines[2].starts_with("load    deep   max_series 5000 is at most 10000"),
        "{out}"
    );
    assert!(
        lines[3].starts_with("memory of all series at most: 1."),
        "{out}"
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
    let file = file(GOOD);
    let path = file.path().to_str().unwrap();
    let (out, failure) = call(&["check", path, "--against-source"]);
    assert!(out.contains("no answer"), "{out}");
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 1);
    assert!(failure.to_string().starts_with("load: "), "{failure}");
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
        (vec!["backtest", &csv, "--csv.time=t"], "t"),
        (
            vec!["backtest", &csv, "--signal=laod"],
            "did you mean load?",
        ),
        (
            vec!["backtest", &csv, "--from=2026-01-02", "--to=2026-01-01"],
            "--from",
        ),
        (
            vec!["backtest", "--csv=/nonexistent/y.csv"],
            "/nonexistent/y.csv",
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
