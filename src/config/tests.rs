//! The whole way from text to problems, one file of `testdata` for each kind of problem.

use super::*;
use proptest::prelude::*;
use std::{fs, path::PathBuf};

fn testdata(ending: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata");
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name.ends_with(ending))
        .map(|name| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/testdata");
            let text = fs::read_to_string(format!("{folder}/{name}")).unwrap();
            (name, text)
        })
        .collect();
    files.sort();
    files
}

fn env(name: &str) -> Option<String> {
    match name {
        "PROMETHEUS_URL" => Some("http://prometheus:9090".to_owned()),
        "MAX_SERIES" => Some("77".to_owned()),
        "PASSWORD" => Some("hunter2".to_owned()),
        _ => None,
    }
}

fn problems(text: &str) -> Vec<String> {
    match parse(text, &env) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// Each `*.bad.yml` ends in comments `# expect: <problem>`: exactly these, in this order. Three dots at
/// the end of one stand for the rest of the line.
#[test]
fn bad_files_have_the_problems_they_say() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for (name, text) in testdata(".bad.yml") {
        let found = problems(&text);
        let expected: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# expect: "))
            .collect();
        rows += expected.len();
        let same = |found: &String, expected: &&str| match expected.strip_suffix("...") {
            Some(start) => found.starts_with(start),
            None => found == expected,
        };
        let all = found.len() == expected.len()
            && !found.is_empty()
            && found.iter().zip(&expected).all(|(f, e)| same(f, e));
        if !all {
            wrong.push(format!("{name}:\n# expect: {}", found.join("\n# expect: ")));
        }
        assert!(!found.concat().contains("hunter2"), "{name} shows a secret");
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(rows >= 40, "only {rows} rows");
}

#[test]
fn good_files_are_good() {
    let files = testdata(".good.yml");
    assert!(files.len() >= 4);
    for (name, text) in files {
        assert_eq!(problems(&text), [""; 0], "{name}");
    }
}

#[test]
fn the_environment_fills_values() {
    let (_, text) = testdata("env.good.yml").remove(0);
    let config = parse(&text, &env).unwrap();
    assert_eq!(config.signals[0].max_series, 77);
    assert_eq!(
        config.signals[0].query,
        "x{path=~\"/api/.*$\", cost=\"$5\"}"
    );
    let settings = config.sources[0].kind.as_prometheus().unwrap();
    assert_eq!(format!("{}", settings.url), "http://prometheus:9090");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_configuration_without_a_file_is_checked_too() {
    let config = Config::single("http://x:9090", "load", "node_load1").unwrap();
    assert_eq!(config.source_of(&config.signals[0]).unwrap().name, "main");
    let problems = Config::single("x", "load_total", "sum(").unwrap_err();
    let paths: Vec<String> = problems.iter().map(|p| p.path.to_string()).collect();
    assert_eq!(
        paths,
        [
            "sources[0].prometheus.url",
            "signals[0].name",
            "signals[0].query"
        ]
    );
}

#[test]
fn what_a_panel_or_a_workload_reads_is_told_of_in_full() {
    let text = r#"
sources: [{name: main, prometheus: {url: "http://127.0.0.1:9"}}]
signals:
  - {name: errors, query: up}
  - {name: load, query: up}
  - {name: requests, query: up}
panels: [{name: pods, signals: [errors, requests], on: [pod]}]
workloads: [{name: checkout, demand: {signal: requests}, capacity_per_replica: 9, limits: {max: 9}}]
"#;
    let config = parse(text, &|_| None).unwrap();
    let shown_only = config.signals.iter().map(|one| one.shown_only);
    assert_eq!(shown_only.collect::<Vec<_>>(), [false, true, false]);
    let rule = "limits: {max: 9}, rules: [{when: 'count(load) > 5', scale: 2}]";
    let ruled = parse(&text.replace("limits: {max: 9}", rule), &|_| None).unwrap();
    assert!(ruled.signals.iter().all(|one| !one.shown_only));
}

#[test]
fn relative_files_are_beside_the_configuration() {
    let (_, text) = testdata("full.good.yml").remove(0);
    let mut config = parse(&text, &env).unwrap();
    config.set_directory(std::path::Path::new("/etc/forethought"));
    let settings = config.sources[0].kind.as_prometheus().unwrap();
    let ca = settings.tls_config.ca_file.clone().unwrap();
    assert_eq!(ca, std::path::Path::new("/etc/forethought/ca.pem"));
    let models = config.signals[0].model_paths();
    let expected = ["checkout.onnx", "shapes.onnx"].map(|name| format!("/etc/forethought/{name}"));
    assert_eq!(models, expected.map(PathBuf::from));
    let files = config.alertmanagers[0].files();
    let password = PathBuf::from("/etc/forethought/password");
    assert_eq!(files, [("basic_auth.password_file", password)]);
}

#[test]
fn long_files_are_refused_unread() {
    let text = "#".repeat(MAX_FILE_BYTES + 1);
    let found = problems(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("at most 1048576"), "{found:?}");
}

#[test]
fn bombs_do_not_go_off() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = level - 1;
        let aliases = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(problems(&text)[0].contains("repetition limit"));
    let deep = "[".repeat(10_000);
    assert!(problems(&deep)[0].contains("recursion limit"));
}

#[test]
fn many_problems_stay_readable() {
    let text = format!("sources: []\nsignals:\n{}", "- {nam: x}\n".repeat(500));
    let found = problems(&text);
    assert!((100..110).contains(&found.len()), "{}", found.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn never_panics_on_any_text(text in "\\PC{0,200}") {
        problems(&text);
    }

    #[test]
    fn never_panics_on_yaml_like_text(text in "([a-z]{1,3}: |- |\\[|\\]|\\{|\\}|\n|\n  |&a |\\*a |!x |'|\"|\\||\\$\\{A\\}|<<: |, |[0-9.e-]{1,4}|null|~){0,40}") {
        problems(&text);
    }

    #[test]
    fn never_panics_on_damaged_files(
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        length in 0_usize..12,
        put in "(|\\PC|\n|: |- |\\[|\\{|99999999999999999999|-1|\\.nan|'|~|x){0,3}",
    ) {
        let mut files = testdata(".good.yml");
        files.extend(testdata(".bad.yml"));
        let (_, text) = &files[file.index(files.len())];
        let mut chars: Vec<char> = text.chars().collect();
        let start = at.index(chars.len() + 1);
        let end = (start + length).min(chars.len());
        chars.splice(start..end, put.chars());
        let damaged: String = chars.into_iter().collect();
        problems(&damaged);
    }
}
