//! `forethought models`, as a person uses it.

use super::*;
use crate::{cli::dispatch, contract::Trust};
use std::ffi::OsString;
use tempfile::TempDir;

fn call(arguments: &[&str]) -> (String, Option<Failure>) {
    let mut out = Vec::new();
    let all = ["forethought", "models"].iter().chain(arguments);
    let result = dispatch(all.map(OsString::from), &mut out);
    (String::from_utf8(out).unwrap(), result.err())
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

/// A registry with three versions of a model, none in force, and a configuration that names it.
fn world() -> (TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let registry = Registry::new(&models, Trust::default(), 5);
    for version in ["1", "2", "3"] {
        let mut manifest = Manifest::read(&fixture("gru.json")).unwrap();
        manifest.version = version.to_owned();
        manifest.parent = (version == "3").then(|| "2".to_owned());
        registry
            .add(&fixture("gru.onnx"), &manifest.to_json().unwrap())
            .unwrap();
    }
    let config = folder.path().join("forethought.yml");
    let text = "sources: [{name: main, prometheus: {url: 'http://x'}}]
models: {directory: models, retention: 2, max_latency: 1m}
signals: [{name: load, query: node_load1, forecast: {models: [onnx: {model: gru}]}}]\n";
    std::fs::write(&config, text).unwrap();
    let (config, models) = (config.display().to_string(), models.display().to_string());
    (
        folder,
        format!("--config.file={config}"),
        format!("--models.directory={models}"),
    )
}

#[test]
fn from_a_list_to_what_is_in_force_and_back() {
    let (_folder, config, directory) = world();
    let (out, failure) = call(&["list", &directory]);
    assert!(failure.is_none());
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines[0],
        "MODEL  VERSION  STATE  CREATED               PARENT  SIGNED  SCORES"
    );
    assert_eq!(
        lines[3],
        "gru    3               2026-11-22T09:00:00Z  2       no      mase=1"
    );
    let (out, failure) = call(&["show", "gru", &config]);
    assert!(failure.is_none(), "{failure:?}");
    assert!(
        out.contains("version  3\n") && out.contains("the newest; none is in force"),
        "{out}"
    );
    let (_, failure) = call(&["rollback", "gru", &config]);
    assert_eq!(failure.unwrap().exit_code(), 1);
    assert_eq!(
        call(&["promote", "gru", "2", &config]).0,
        "gru: 2 is in force\ngru: removed 1, beyond models.retention\n"
    );
    let said = call(&["promote", "gru", "3", &config]).0;
    assert_eq!(said, "gru: 3 is in force (before: 2)\n");
    let said = call(&["rollback", "gru", &config]).0;
    assert_eq!(said, "gru: 2 is in force (before: 3)\n");
    let (out, _) = call(&["list", "gru", &config]);
    let states: Vec<&str> = out
        .lines()
        .skip(1)
        .map(|line| line.get(16..24).unwrap().trim())
        .collect();
    assert_eq!(states, ["in force", "previous"]);
    let (out, failure) = call(&["show", "gru", &config]);
    assert!(failure.is_none());
    for part in [
        "version  2",
        "state    in force",
        "60 rows of value, day_sin_1",
        "quantiles [0.1, 0.5, 0.9]",
        "15m, 1h, 24h",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn a_version_in_force_that_is_gone_is_told() {
    let (folder, config, directory) = world();
    let (_, failure) = call(&["promote", "gru", "2", &config]);
    assert!(failure.is_none(), "{failure:?}");
    std::fs::remove_dir_all(folder.path().join("models/gru/2")).unwrap();
    let (_, failure) = call(&["list", &directory]);
    let problem = failure.unwrap().to_string();
    assert!(
        problem.contains("gru/2 is in force, and is not there"),
        "{problem}"
    );
}

#[test]
fn verify_tells_sound_from_broken() {
    let (folder, config, directory) = world();
    let (out, failure) = call(&["verify", &config]);
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(out.lines().count(), 3);
    assert!(out.starts_with("gru/1: sound, not signed, "), "{out}");
    let place = folder.path().join("models/gru/2");
    std::fs::write(place.join("model.onnx"), "no model").unwrap();
    let (out, failure) = call(&["verify", "gru", &config]);
    assert_eq!(out.lines().count(), 2);
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 1);
    assert!(failure.to_string().contains("SHA-256"), "{failure}");
    let (_, failure) = call(&["promote", "gru", "2", &directory]);
    assert_eq!(failure.unwrap().exit_code(), 1);
    assert!(call(&["verify", "gru", "3", &directory]).1.is_none());
    // A list goes on where one is broken, and says so at the end.
    std::fs::write(place.join("manifest.json"), "{").unwrap();
    let (out, failure) = call(&["list", &directory]);
    assert!(out.contains("broken") && out.lines().count() == 4, "{out}");
    assert_eq!(failure.unwrap().exit_code(), 1);
}

#[test]
fn where_models_are_must_be_said_once() {
    let (folder, config, directory) = world();
    for arguments in [
        &["list"][..],
        &["list", &config, &directory],
        &["promote", "gru", &config],
        &[],
    ] {
        assert_eq!(call(arguments).1.unwrap().exit_code(), 2, "{arguments:?}");
    }
    let other = folder.path().join("other.yml");
    std::fs::write(
        &other,
        "sources: [{name: main, prometheus: {url: 'http://x'}}]\nsignals: [{name: l, query: x}]\n",
    )
    .unwrap();
    let (_, failure) = call(&["list", &format!("--config.file={}", other.display())]);
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.to_string().contains("models.directory is not set"));
    let (help, failure) = call(&["--help"]);
    assert!(failure.is_none());
    for word in [
        "list",
        "show",
        "promote",
        "rollback",
        "verify",
        "backup",
        "restore",
        "Examples:",
        "champion.json",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn a_model_that_is_too_slow_is_not_sound() {
    let (_folder, config, _) = world();
    let file = config.trim_start_matches("--config.file=");
    let text = std::fs::read_to_string(file)
        .unwrap()
        .replace("max_latency: 1m", "max_latency: 1ms");
    std::fs::write(file, text).unwrap();
    let settings = configured(Path::new(file)).unwrap();
    assert_eq!(settings.max_latency.as_millis(), 1);
    let registry = settings.registry().unwrap();
    let none = Settings {
        max_latency: crate::series::Span::millis(0),
        ..settings
    };
    let chosen = [("gru".to_owned(), "1".to_owned())];
    let failure = verify(&none, &registry, &chosen, &mut Vec::new()).unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("longer than models.max_latency"),
        "{failure}"
    );
}

#[test]
fn a_store_is_asked_for_where_there_is_none() {
    let (_folder, config, directory) = world();
    for arguments in [&["backup"][..], &["restore"], &["list", "--store"]] {
        for place in [&config, &directory] {
            let all: Vec<&str> = arguments.iter().copied().chain([place.as_str()]).collect();
            let failure = call(&all).1.unwrap();
            assert_eq!(failure.exit_code(), 2);
            assert!(
                failure.to_string().contains("models.store is not set"),
                "{failure}"
            );
        }
    }
    let failure = call(&["restore", "--promote", &config]).1.unwrap();
    assert_eq!(failure.exit_code(), 2);
}
