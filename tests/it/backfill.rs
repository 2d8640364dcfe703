//! The past as if forethought had been running, in a real Prometheus; and a past for what is pushed.

use crate::support::{
    eventually,
    guard::{Guarded, free_port, run},
    http, now,
    program::{Program, command},
    pushing::{self, point},
    servers::{PASTS, history_end, instant_at, prometheus},
};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};
use tempfile::TempDir;

/// Seconds that are written.
const SPAN: i64 = 600;

fn configuration(folder: &Path) -> String {
    let file = folder.join("forethought.yml");
    let text = format!(
        "global: {{evaluation_interval: 10s}}\nsources: [{{name: main, prometheus: {{url: \"http://{}\"}}}}]\nsignals:\n  \
         - {{name: shop, query: '{}{{job=\"shop\"}}', step: 10s, history: 1h, seasonality: [10m], forecast: {{horizons: [1m]}}, \
         alerting: {{for: 20s, recover_for: 20s, refractory: 1m}}}}\n",
        prometheus().address(),
        PASTS[0].1[0].metric
    );
    fs::write(&file, text).unwrap();
    file.to_string_lossy().into_owned()
}

/// The samples of one time in a file, by name and path of the shop.
fn at_time(text: &str, name: &str, at: i64) -> BTreeMap<String, f64> {
    let end = format!(" {at}");
    let lines = text.lines().filter_map(|line| line.strip_suffix(&end));
    let own = lines.filter(|line| line.starts_with(&format!("{name}{{")));
    own.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let path = series.split("path=\"").nth(1).unwrap();
        let path = path.split('"').next().unwrap();
        (path.to_owned(), value.parse().unwrap())
    })
    .collect()
}

/// A Prometheus that has nothing but the blocks made of this file.
fn prometheus_over(file: &Path) -> (Guarded, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let server = Guarded::start("prometheus", |folder| {
        let data = folder.join("data");
        fs::create_dir(&data).unwrap();
        fs::write(folder.join("prometheus.yml"), "{}").unwrap();
        let [file, data] = [file, &data].map(|path| path.to_str().unwrap());
        let create = ["tsdb", "create-blocks-from", "openmetrics", file, data];
        let said = run("promtool", &create, None).unwrap();
        assert!(said.contains("BLOCK ULID"), "{said}");
        vec![
            format!("--config.file={}/prometheus.yml", folder.display()),
            format!("--storage.tsdb.path={data}"),
            format!("--web.listen-address={address}"),
        ]
    });
    eventually("Prometheus is ready", 60, || {
        http::get(&address, "/-/ready")
    });
    (server, address)
}

#[test]
fn promtool_takes_what_is_written_and_prometheus_answers_with_it() {
    let folder = TempDir::new().unwrap();
    let config = configuration(folder.path());
    let file = folder.path().join("past.om");
    let to = history_end() / 10 * 10 - 60;
    let arguments = [
        "backfill".to_owned(),
        format!("--config.file={config}"),
        format!("--from={}", to - SPAN),
        format!("--to={to}"),
        format!("--output={}", file.display()),
        "--label=job=forethought".to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, out, err) = command(&arguments);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(err.contains("promtool tsdb create-blocks-from"), "{err}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);

    let (code, _, err) = command(&arguments);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--force"), "{err}");

    let (_server, address) = prometheus_over(&file);
    for at in [to - SPAN, to - SPAN / 20 * 10, to] {
        for name in ["anomaly_score", "predicted_shop"] {
            let query = match name {
                "predicted_shop" => "predicted_shop{horizon=\"1m\"}",
                other => other,
            };
            let answer = instant_at(&address, query, at).unwrap();
            let found: BTreeMap<String, f64> = answer
                .iter()
                .map(|(labels, value)| (labels["path"].as_str().unwrap().to_owned(), *value))
                .collect();
            let lines = text.lines().filter(|line| !line.contains("horizon=\"0s\""));
            let lines: Vec<&str> = lines.collect();
            assert_eq!(
                found,
                at_time(&lines.join("\n"), name, at),
                "{query} at {at}"
            );
            assert_eq!(found.len(), 3, "{query} at {at}");
            let of_job = |(labels, _): &(Value, f64)| labels["job"] == "shop";
            assert!(answer.iter().all(of_job), "a series' own labels stay");
        }
    }
}

#[test]
fn spans_that_cannot_be_are_refused_with_their_flag() {
    let folder = TempDir::new().unwrap();
    let config = format!("--config.file={}", configuration(folder.path()));
    for (arguments, word) in [
        (vec!["--from=1h", "--to=2099-01-01"], "is yet to come"),
        (vec!["--from=1h", "--to=2h"], "is not before --to"),
        (vec!["--from=1h", "--signal=shp"], "did you mean"),
        (vec!["--from=1h", "--escaping=none"], "allow-utf-8"),
        (vec!["--from=1h", "--label=job"], "NAME=VALUE"),
        (
            vec!["--from=1h", "--output=/nowhere/past.om"],
            "cannot write",
        ),
        (vec![], "--from"),
    ] {
        let all = ["backfill", &config]
            .into_iter()
            .chain(arguments.iter().copied());
        let (code, out, err) = command(&all.collect::<Vec<_>>());
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(word), "{arguments:?}: {err}");
    }
    let (code, _, err) = command(&["backfill"]);
    assert_eq!(code, 2);
    assert!(err.contains("--config.file"), "{err}");
    let (code, _, err) = command(&["backfill", "import", &config, "nowhere.om"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("promtool tsdb create-blocks-from"), "{err}");
}

/// One signal of a source that is pushed to.
const PUSHED: &str = r#"
global: {evaluation_interval: 1s}
sources:
  - {name: pushed, remote_write: {}}
signals:
  - name: load
    select: 'load{job="test"}'
    step: 1s
    history: 15m
    offset: 1s
    seasonality: []
    forecast: {horizons: []}
    alerting: {for: 0s}
"#;

/// A value with a little noise, the same in every run.
fn quiet(at: i64) -> f64 {
    100.0 + (at * 7_919).rem_euclid(1_000) as f64 / 100.0
}

fn push(address: &str) {
    let at = now();
    let sample = [("a", point(at, quiet(at / 1_000)))];
    // A process that starts says 503, and senders come again.
    eventually("the sample is taken", 10, || {
        match pushing::push(address, pushing::PATH, &sample) {
            204 => Ok(()),
            status => Err(status.to_string()),
        }
    });
}

/// Seconds between the oldest value that a chart of the signal has and now.
fn known(program: &Program) -> Result<i64, String> {
    let all = program.json("/api/v1/series?signal=load")?;
    let oldest = all["series"][0]["points"][0][0].as_i64();
    let oldest = oldest.ok_or_else(|| all.to_string())?;
    Ok((now() - oldest) / 1_000)
}

#[test]
fn what_is_imported_is_the_past_of_the_process_that_begins_after() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("forethought.yml");
    fs::write(&config, PUSHED).unwrap();
    let mut text = String::new();
    let end = now() / 1_000;
    for at in end - 800..end {
        writeln!(text, "load{{job=\"test\",pod=\"a\"}} {} {at}", quiet(at)).unwrap();
    }
    let file = folder.path().join("past.om");
    fs::write(&file, text).unwrap();
    let storage = format!("--storage.path={}", folder.path().join("data").display());
    let config = format!("--config.file={}", config.display());
    let import = [
        "backfill",
        "import",
        &config,
        &storage,
        file.to_str().unwrap(),
    ];
    let (code, out, err) = command(&import);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("800 samples taken"), "{out}");

    let program = Program::start(PUSHED, &[&storage]);
    eventually(
        "the past is known and judged from the first samples on",
        60,
        || {
            push(program.address());
            let seconds = known(&program)?;
            let scores = program
                .metrics()?
                .values("anomaly_score", &["signal=\"load\""]);
            match scores.as_slice() {
                // A start steps through 148 of them: without a past it would take as long until there were so many.
                [score] if *score < 1.0 && seconds > 140 => Ok(()),
                other => Err(format!("{other:?}, {seconds} s of past")),
            }
        },
    );
    let (code, _, err) = command(&import);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("stop it first"), "{err}");
    // What it keeps can be looked at while it runs.
    let from = format!("--from={}", end - 60);
    let arguments = [
        "backfill",
        &config,
        &storage,
        &from,
        &format!("--to={}", end - 10),
    ];
    let (code, out, err) = command(&arguments);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("anomaly_score{job=\"test\",pod=\"a\",signal=\"load\"}"),
        "{out}"
    );
}
