//! A model that never answers: nobody waits for it, and the version that was in force stays.

use crate::support::{
    endless::endless,
    eventually,
    program::{Program, command},
};
use forethought::{
    contract::{Manifest, Trust, seal},
    registry::{MANIFEST_FILE, MODEL_FILE, Registry},
    stats::network::Rows,
};
use std::{fs, path::Path};
use tempfile::TempDir;

/// Some minutes of work on any machine.
const PRODUCTS: usize = 5_000;

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
    fs::read(format!("{folder}{name}")).unwrap()
}

/// A version of the model `load`, which takes 16 values.
fn manifest(version: &str, model: &[u8]) -> Vec<u8> {
    let mut manifest = Manifest::read(&fixture("onnx/gru.json")).unwrap();
    manifest.name = "load".into();
    manifest.version = version.to_owned();
    manifest.window = 16;
    manifest.features.truncate(1);
    manifest.outputs.heads[0].horizons.truncate(2);
    manifest.outputs.heads[0].quantiles = None;
    manifest.batch = Rows::Fixed(1);
    manifest.sha256 = seal::sha256(model);
    manifest.to_json().unwrap()
}

/// A folder with version 1 in force, and with 2, which never answers and was put there by hand.
fn world() -> (TempDir, Registry) {
    let folder = TempDir::new().unwrap();
    let registry = Registry::new(folder.path().join("models"), Trust::default(), 5);
    let (network, hanging) = (
        fixture("forecast/tiny.onnx"),
        endless(&fixture("forecast/tiny.onnx"), PRODUCTS),
    );
    registry.add(&network, &manifest("1", &network)).unwrap();
    registry.promote("load", "1").unwrap();
    let place = folder.path().join("models/load/2");
    fs::create_dir(&place).unwrap();
    fs::write(place.join(MODEL_FILE), &hanging).unwrap();
    fs::write(place.join(MANIFEST_FILE), manifest("2", &hanging)).unwrap();
    (folder, registry)
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "sources: [{{name: main, prometheus: {{url: 'http://127.0.0.1:1', retries: 0}}}}]\n\
         models: {{directory: {folder}/models, max_latency: 10s}}\n\
         signals:\n  - {{name: requests, query: x, step: 1m, forecast: {{horizons: [15m], models: [onnx: {{model: load}}]}}}}\n"
    )
}

#[test]
fn a_model_that_never_answers_is_not_put_in_force() {
    let (folder, registry) = world();
    let directory = format!("--models.directory={}/models", folder.path().display());
    for arguments in [["verify", "load", "2"], ["promote", "load", "2"]] {
        let all: Vec<&str> = ["models"]
            .iter()
            .chain(&arguments)
            .copied()
            .chain([directory.as_str()])
            .collect();
        let (code, out, err) = command(&all);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("did not answer within 10s"), "{err}");
    }
    assert_eq!(registry.in_force("load").unwrap().version, "1");
}

#[test]
fn a_process_does_not_wait_for_a_model_that_never_answers() {
    let (folder, registry) = world();
    let program = Program::start(
        &configuration(folder.path()),
        &["--config.poll-interval=200ms"],
    );
    let runs = || {
        let labels = ["model=\"load\"", "version=\"1\""];
        program.metrics()?.value("forethought_model_info", &labels)
    };
    eventually("version 1 runs", 30, runs);
    let pin = registry.in_force("load").unwrap().pin.0;
    fs::write(
        pin,
        "{\"format\": 1, \"version\": \"2\", \"previous\": \"1\"}",
    )
    .unwrap();
    eventually("the reload fails", 60, || {
        match program
            .metrics()?
            .value("forethought_config_last_reload_successful", &[])?
        {
            0.0 => Ok(()),
            value => Err(value.to_string()),
        }
    });
    let log = program.log();
    assert!(log.contains("did not answer within 10s"), "{log}");
    runs().unwrap();
    // Nor does one that starts, or is about to.
    let file = folder.path().join("forethought.yml");
    fs::write(&file, configuration(folder.path())).unwrap();
    let (code, _, err) = command(&["check", &file.display().to_string()]);
    assert!(
        code == 2 && err.contains("did not answer within 10s"),
        "{err}"
    );
    // Back to what is sound, while the other one still hangs.
    registry.promote("load", "1").unwrap();
    eventually("the reload works", 60, || {
        match program
            .metrics()?
            .value("forethought_config_last_reload_successful", &[])?
        {
            1.0 => Ok(()),
            value => Err(value.to_string()),
        }
    });
}
