//! Everything shipped beside the program, judged by the tools of the ecosystem: rules, alerts, examples,
//! runbooks.

use crate::support::{
    files,
    guard::{output, run},
    program::command,
    read, root,
};
use forethought::sink::alertmanager::{GROUP_ALERT, SERIES_ALERT};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;

/// The rule files of a folder, from the root of the repository; unit tests and examples left out.
fn rule_files(folder: &str) -> Vec<String> {
    let all = files(folder, "yml").into_iter();
    let all = all.map(|path| path.to_string_lossy().into_owned());
    let found: Vec<String> = all
        .filter(|path| read(path).contains("\ngroups:"))
        .collect();
    assert!(!found.is_empty(), "no rules in {folder}");
    found
}

/// The unit tests of rules.
fn unit_tests() -> Vec<String> {
    let all = files("rules/tests", "yml")
        .into_iter()
        .chain(files("alerts/tests", "yml"));
    all.map(|path| path.to_string_lossy().into_owned())
        .collect()
}

/// Every rule of a folder with the file it is in.
fn rules(folder: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for file in rule_files(folder) {
        let document: Value = serde_yaml::from_str(&read(&file)).unwrap();
        for group in document["groups"].as_array().unwrap() {
            let rules = group["rules"].as_array().unwrap().iter();
            found.extend(rules.map(|rule| (file.clone(), rule.clone())));
        }
    }
    found
}

fn text<'a>(rule: &'a Value, pointer: &str) -> &'a str {
    rule.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

#[test]
fn promtool_accepts_every_rule_and_lints_nothing() {
    let mut arguments = vec!["check", "rules", "--lint=all", "--lint-fatal"];
    let files = [rule_files("rules"), rule_files("alerts")].concat();
    arguments.extend(files.iter().map(String::as_str));
    run("promtool", &arguments, None).unwrap();
}

#[test]
fn the_unit_tests_of_the_rules_pass() {
    let files = unit_tests();
    let mut arguments = vec!["test", "rules"];
    arguments.extend(files.iter().map(String::as_str));
    let said = run("promtool", &arguments, None).unwrap();
    assert_eq!(said.matches("SUCCESS").count(), files.len(), "{said}");
}

#[test]
fn a_wrong_expectation_fails_the_unit_tests() {
    let folder = tempfile::TempDir::new().unwrap();
    let rule_file = root().join("alerts/series.yml");
    let wrong = format!(
        "rule_files: ['{}']\ntests:\n  - interval: 1m\n    input_series: [{{series: 'anomaly_active{{signal=\"x\"}}', values: '1x20'}}]\n    \
         alert_rule_test: [{{alertname: AnomalyActive, eval_time: 15m, exp_alerts: []}}]\n",
        rule_file.display()
    );
    let path = folder.path().join("wrong_test.yml");
    std::fs::write(&path, wrong).unwrap();
    let said = run("promtool", &["test", "rules", path.to_str().unwrap()], None);
    assert!(said.unwrap_err().contains("AnomalyActive"));
}

/// What `forethought rules` writes for the example of the reference, on a counter that grows faster for ten minutes.
#[test]
fn the_rules_of_the_command_keep_means_and_maxima_of_an_hour() {
    let folder = tempfile::TempDir::new().unwrap();
    let configuration = folder.path().join("forethought.yml");
    let signals = "signals: [{name: rps, query: 'sum by (app) (rate(requests_total[2m]))'}, {name: coarse, query: up, step: 1h}]\n";
    let sources = "sources: [{name: main, prometheus: {url: 'http://127.0.0.1:1'}}]\n";
    std::fs::write(&configuration, format!("{sources}{signals}")).unwrap();
    let flag = format!("--config.file={}", configuration.display());
    let (code, rules, said) = command(&["rules", &flag]);
    assert_eq!(code, 0, "{said}");
    assert!(!rules.contains("coarse"), "{rules}");
    let file = folder.path().join("capacity.yml");
    std::fs::write(&file, rules).unwrap();
    let check = [
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        file.to_str().unwrap(),
    ];
    run("promtool", &check, None).unwrap();
    let test = "rule_files: [capacity.yml]\nevaluation_interval: 2m\ntests:\n  - interval: 1m\n    input_series:\n\
                \x20     - {series: 'requests_total{app=\"shop\", pod=\"a\"}', values: '0+60x60 4200+600x10 10260+60x60'}\n\
                \x20   promql_expr_test:\n\
                \x20     - {expr: 'round(signal:rps:max1h)', eval_time: 100m, exp_samples: [{labels: '{app=\"shop\"}', value: 10}]}\n\
                \x20     - {expr: 'round(signal:rps:avg1h, 0.5)', eval_time: 100m, exp_samples: [{labels: '{app=\"shop\"}', value: 2.5}]}\n";
    let path = folder.path().join("capacity_test.yml");
    std::fs::write(&path, test).unwrap();
    let said = run("promtool", &["test", "rules", path.to_str().unwrap()], None);
    said.unwrap();
    let (code, _, said) = command(&["rules", &flag, "--signal=nothing"]);
    assert_eq!(code, 1);
    assert!(said.contains("there are rps, coarse"), "{said}");
}

#[test]
fn every_rule_and_every_alert_has_a_unit_test() {
    let tests: String = unit_tests().iter().map(read).collect();
    for folder in ["rules", "alerts"] {
        for (file, rule) in rules(folder) {
            let name = format!("{}{}", text(&rule, "/record"), text(&rule, "/alert"));
            assert!(tests.contains(&name), "{file}: {name} has no unit test");
        }
    }
}

#[test]
fn recorded_names_are_level_metric_operations() {
    let shape = Regex::new(r"^[a-z_]+:[a-z0-9_]+:[a-z0-9_]+$").unwrap();
    for (file, rule) in rules("rules") {
        let name = text(&rule, "/record");
        assert!(shape.is_match(name), "{file}: {name}");
        assert!(
            !name.contains("_total:"),
            "{file}: {name}: no _total under a rate"
        );
    }
}

#[test]
fn every_alert_tells_a_person_what_to_do() {
    let runbooks = read("docs/runbooks.md");
    let headings: BTreeSet<String> = runbooks
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(str::to_lowercase)
        .collect();
    let mut anchors = BTreeSet::new();
    let family = Regex::new("^(Anomaly|Predicted|Forethought)[A-Z]").unwrap();
    for (file, rule) in rules("alerts") {
        let name = text(&rule, "/alert");
        assert!(family.is_match(name), "{file}: {name}: a common first word");
        let severity = text(&rule, "/labels/severity");
        let known = ["critical", "warning", "info"].contains(&severity);
        assert!(known, "{file}: {name}: severity {severity:?}");
        let summary = text(&rule, "/annotations/summary");
        assert!(
            summary.ends_with('.'),
            "{file}: {name}: the summary is a sentence"
        );
        assert!(
            !summary.contains("{{"),
            "{file}: {name}: the summary is the same every time"
        );
        assert!(
            !text(&rule, "/annotations/description").is_empty(),
            "{file}: {name}: no description"
        );
        let wait = text(&rule, "/for");
        let short = ["", "0s", "1m", "2m", "3m", "4m"].contains(&wait);
        assert!(!short, "{file}: {name}: `for` is {wait:?}, at least 5m");
        let anchor = text(&rule, "/annotations/runbook_url").strip_prefix("docs/runbooks.md#");
        assert_eq!(
            anchor,
            Some(name.to_lowercase().as_str()),
            "{file}: {name}: runbook_url"
        );
        assert!(
            headings.contains(&name.to_lowercase()),
            "no section on {name} in the runbooks"
        );
        anchors.insert(name.to_lowercase());
    }
    // Those that the program sends by itself are in no rule.
    for name in [SERIES_ALERT, GROUP_ALERT] {
        assert!(
            headings.contains(&name.to_lowercase()),
            "no section on {name} in the runbooks"
        );
        anchors.insert(name.to_lowercase());
    }
    let stale: Vec<_> = headings.difference(&anchors).collect();
    assert!(stale.is_empty(), "runbooks without an alert: {stale:?}");
}

#[test]
fn links_inside_the_runbooks_lead_somewhere() {
    let runbooks = read("docs/runbooks.md");
    let link = Regex::new(r"\]\(#([a-z]+)\)").unwrap();
    for captures in link.captures_iter(&runbooks) {
        let anchor = &captures[1];
        let found = runbooks
            .lines()
            .any(|line| line.trim_start_matches('#').trim().to_lowercase() == anchor);
        assert!(found, "#{anchor}");
    }
}

#[test]
fn what_replicas_say_is_one_alert() {
    for (file, rule) in rules("alerts") {
        let (name, expression) = (text(&rule, "/alert"), text(&rule, "/expr"));
        if file.ends_with("series.yml") {
            let one = expression.starts_with("max without (forethought_replica)");
            assert!(one, "{name} keeps the replica's label: {expression}");
        }
    }
}

#[test]
fn the_example_of_prometheus_is_accepted_and_keeps_our_labels() {
    run(
        "promtool",
        &["check", "config", "alerts/prometheus.yml"],
        None,
    )
    .unwrap();
    let example: Value = serde_yaml::from_str(&read("alerts/prometheus.yml")).unwrap();
    assert_eq!(
        example.pointer("/scrape_configs/0/honor_labels"),
        Some(&Value::Bool(true))
    );
}

#[test]
fn the_example_of_alertmanager_is_accepted() {
    run("amtool", &["check-config", "alerts/alertmanager.yml"], None).unwrap();
}

#[test]
fn the_example_of_alertmanager_routes_by_severity() {
    for (severity, receiver) in [
        ("info", "channel"),
        ("warning", "on-call"),
        ("critical", "on-call"),
    ] {
        let label = format!("severity={severity}");
        let config = "--config.file=alerts/alertmanager.yml";
        let output = output(
            "amtool",
            &["config", "routes", "test", config, &label],
            None,
        );
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            receiver,
            "{severity}"
        );
    }
}

#[test]
fn scripts_are_valid_bash() {
    for script in ["tests/run", "tests/install", ".ci/run"] {
        run("bash", &["-n", script], None).unwrap();
        assert!(read(script).contains("set -euo pipefail"), "{script}");
    }
    assert!(
        read(".ci/run").contains("\nexec tests/run"),
        "CI runs what a person runs"
    );
}

#[test]
fn ci_refuses_to_skip_unseen() {
    let refused = std::process::Command::new(root().join(".ci/run"))
        .env("FORETHOUGHT_DATA", "/nowhere")
        .env_remove("ALLOW_NO_DATA")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("ALLOW_NO_DATA=1"));
}
