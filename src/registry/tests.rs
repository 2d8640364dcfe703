//! That what is in force changes only when somebody says so: with a disk that fails, or a process that ends, at every step.

mod hostile;

use super::*;
use super::{
    faulty::{Faulty, HOW},
    files::LOCK_FILE,
};
use crate::contract::{PublicKey, seal};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use std::sync::atomic::Ordering;
use tempfile::TempDir;

fn fixture(path: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
    fs::read(format!("{folder}{path}")).unwrap()
}

/// A network that is loaded in a moment, as these tests load it often.
pub(super) fn network() -> Vec<u8> {
    fixture("forecast/tiny.onnx")
}

pub(super) fn manifest(version: &str) -> Manifest {
    let mut manifest = Manifest::read(&fixture("onnx/gru.json")).unwrap();
    manifest.name = "load".into();
    manifest.version = version.to_owned();
    manifest.window = 16;
    manifest.features.truncate(1);
    manifest.outputs.heads[0].horizons.truncate(2);
    manifest.outputs.heads[0].quantiles = None;
    manifest.sha256 = seal::sha256(&network());
    manifest
}

pub(super) fn add(registry: &Registry, version: &str) -> Result<Manifest, String> {
    let bytes = manifest(version).to_json().unwrap();
    registry.add(&network(), &bytes)
}

/// A registry with these versions, of which the first is in force.
pub(super) fn with(versions: &[&str]) -> (TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new(folder.path().join("models"), Trust::default(), 2);
    for version in versions {
        add(&registry, version).unwrap();
    }
    if let Some(first) = versions.first() {
        registry.promote("load", first).unwrap();
    }
    (folder, registry)
}

pub(super) fn in_force(registry: &Registry) -> String {
    registry.in_force("load").unwrap().version
}

#[test]
fn add_promote_and_go_back() {
    let (_folder, registry) = with(&[]);
    assert!(registry.names().is_err(), "there is no folder yet");
    assert_eq!(registry.next_version("load").unwrap(), "1");
    for version in ["9", "10"] {
        add(&registry, version).unwrap();
    }
    assert_eq!(registry.names().unwrap(), ["load"]);
    assert_eq!(registry.versions("load").unwrap(), ["9", "10"]);
    assert_eq!(registry.next_version("load").unwrap(), "11");
    let problem = registry.in_force("load").unwrap_err();
    assert!(
        problem.contains("forethought models promote load VERSION"),
        "{problem}"
    );
    assert!(
        registry
            .rollback("load")
            .unwrap_err()
            .contains("no version is in force")
    );
    let pin = registry.promote("load", "9").unwrap();
    assert_eq!((pin.version.as_str(), pin.previous), ("9", None));
    assert!(registry.rollback("load").unwrap_err().contains("before 9"));
    let pin = registry.promote("load", "10").unwrap();
    assert_eq!(pin.previous.as_deref(), Some("9"));
    assert_eq!(
        registry.promote("load", "10").unwrap(),
        pin,
        "it is in force already"
    );
    assert_eq!(registry.rollback("load").unwrap().version, "9");
    assert_eq!(
        registry.rollback("load").unwrap().version,
        "10",
        "twice leads back"
    );
    let found = registry.in_force("load").unwrap();
    assert_eq!(fs::read(&found.model).unwrap(), network());
    assert_eq!(registry.manifest("load", "10").unwrap(), manifest("10"));
}

#[test]
fn a_version_never_changes_and_names_stay_inside() {
    let (_folder, registry) = with(&["1"]);
    assert!(
        add(&registry, "1")
            .unwrap_err()
            .contains("versions never change")
    );
    for name in ["..", "a/b", "", ".hidden", "-x"] {
        assert!(registry.in_force(name).is_err(), "{name}");
        assert!(registry.promote("load", name).is_err(), "{name}");
    }
    let problem = registry.promote("load", "2").unwrap_err();
    assert_eq!(problem, "there is no version \"2\" of load; versions: 1");
    let problem = registry.promote("lod", "1").unwrap_err();
    assert!(problem.contains("there is no model \"lod\""), "{problem}");
    assert!(problem.ends_with("models: load"), "{problem}");
    let mut wrong = manifest("2");
    wrong.sha256 = "0".repeat(64);
    let problem = registry
        .add(&network(), &wrong.to_json().unwrap())
        .unwrap_err();
    assert!(problem.contains("SHA-256"), "{problem}");
    assert_eq!(registry.versions("load").unwrap(), ["1"]);
}

#[test]
fn the_newest_the_champion_and_the_previous_are_kept() {
    let (_folder, registry) = with(&["1", "2", "3", "4", "5"]);
    registry.promote("load", "2").unwrap();
    assert_eq!(
        registry.prune("load").unwrap(),
        ["3"],
        "1 is the previous, 2 the champion"
    );
    assert_eq!(registry.versions("load").unwrap(), ["1", "2", "4", "5"]);
    registry.promote("load", "5").unwrap();
    assert_eq!(registry.prune("load").unwrap(), ["1"]);
    assert_eq!(registry.rollback("load").unwrap().version, "2");
    // Where nothing is in force nobody knows what is needed.
    fs::remove_file(registry.in_force("load").unwrap().pin.0).unwrap();
    assert_eq!(registry.prune("load").unwrap(), [""; 0]);
}

#[test]
fn what_was_changed_on_disk_is_neither_verified_nor_promoted() {
    type Change = fn(&Path);
    let cases: [(&str, Change, &str); 6] = [
        (
            "truncated",
            |place| {
                let bytes = network();
                fs::write(place.join(MODEL_FILE), &bytes[..bytes.len() / 2]).unwrap();
            },
            "SHA-256",
        ),
        (
            "swapped",
            |place| fs::write(place.join(MODEL_FILE), fixture("onnx/transformer.onnx")).unwrap(),
            "SHA-256",
        ),
        (
            "of another version",
            |place| {
                fs::copy(
                    place.with_file_name("1").join(MANIFEST_FILE),
                    place.join(MANIFEST_FILE),
                )
                .unwrap();
            },
            "its manifest is that of load/1, not of load/2",
        ),
        (
            "no manifest",
            |place| fs::remove_file(place.join(MANIFEST_FILE)).unwrap(),
            "cannot read",
        ),
        (
            "half a manifest",
            |place| {
                let text = fs::read(place.join(MANIFEST_FILE)).unwrap();
                fs::write(place.join(MANIFEST_FILE), &text[..text.len() / 2]).unwrap();
            },
            "the manifest is wrong",
        ),
        (
            "answers NaN",
            |place| {
                let nan = concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/tests/fixtures/autoencoder/nan.onnx"
                );
                let bytes = fs::read(nan).unwrap();
                let mut own = manifest("2");
                own.features.truncate(1);
                own.window = 16;
                own.outputs.heads[0].name = "y".into();
                own.outputs.heads[0].quantiles = None;
                own.outputs.heads[0].horizons =
                    (1..=16).map(crate::series::Span::minutes).collect();
                own.sha256 = seal::sha256(&bytes);
                let output = crate::stats::network::NetworkFile::read(&bytes).unwrap();
                own.outputs.heads[0].name = output.outputs()[0].to_owned();
                fs::write(place.join(MODEL_FILE), bytes).unwrap();
                fs::write(place.join(MANIFEST_FILE), own.to_json().unwrap()).unwrap();
            },
            "not finite",
        ),
    ];
    for (what, change, part) in cases {
        let (_folder, registry) = with(&["1", "2"]);
        change(&registry.directory.join("load/2"));
        for problem in [
            registry.verify("load", "2").unwrap_err(),
            registry.promote("load", "2").unwrap_err(),
        ] {
            assert!(problem.contains(part), "{what}: {problem}");
        }
        assert_eq!(in_force(&registry), "1", "{what}");
    }
}

#[test]
fn nobody_goes_back_to_what_was_changed_since() {
    let (_folder, registry) = with(&["1", "2"]);
    registry.promote("load", "2").unwrap();
    fs::write(registry.directory.join("load/1").join(MODEL_FILE), "x").unwrap();
    assert!(registry.rollback("load").unwrap_err().contains("SHA-256"));
    assert_eq!(in_force(&registry), "2");
}

#[test]
fn a_pin_that_is_none_is_no_licence_to_choose() {
    let (_folder, registry) = with(&["1", "2"]);
    let path = registry.in_force("load").unwrap().pin.0;
    for text in [
        "",
        "{",
        "{\"format\": 1}",
        "{\"format\": 2, \"version\": \"1\"}",
        "{\"format\": 1, \"version\": \"../x\"}",
    ] {
        fs::write(&path, text).unwrap();
        let problem = registry.in_force("load").unwrap_err();
        assert!(
            problem.contains("does not say which version is in force"),
            "{text}: {problem}"
        );
        assert!(registry.promote("load", "2").is_err() && registry.prune("load").is_err());
    }
}

#[test]
fn only_models_of_trusted_people_come_in() {
    let key = || {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = PublicKey::read(&STANDARD.encode(pair.public_key())).unwrap();
        (pkcs8.as_ref().to_vec(), public)
    };
    let ((ours, public), (theirs, _)) = (key(), key());
    let folder = tempfile::tempdir().unwrap();
    let strict = Trust {
        required: true,
        keys: vec![public],
    };
    let registry = Registry::new(folder.path(), strict, 5);
    let model = network();
    let signed = |version: &str, key: &[u8]| seal::sign(&manifest(version), key).unwrap();
    registry.add(&model, &signed("1", &ours)).unwrap();
    registry.promote("load", "1").unwrap();
    assert!(
        registry
            .add(&model, &signed("2", &theirs))
            .unwrap_err()
            .contains("by none of")
    );
    assert!(add(&registry, "2").unwrap_err().contains("is not signed"));
    // Put there by somebody who can write the folder.
    let lax = Registry::new(folder.path(), Trust::default(), 5);
    lax.add(&model, &signed("2", &theirs)).unwrap();
    add(&lax, "3").unwrap();
    for version in ["2", "3"] {
        assert!(registry.promote("load", version).is_err(), "{version}");
    }
    assert_eq!(in_force(&registry), "1");
}

// === the disk fails ===

/// Every failure of `work`, and what must hold after it; how many there were.
fn every_failure(
    versions: &[&str],
    work: impl Fn(&Registry) -> Result<(), String>,
    after: impl Fn(&Registry, Result<(), String>),
) -> usize {
    let mut failures = 0;
    for then in HOW {
        for good in 0.. {
            let (_folder, sound) = with(versions);
            let disk = Arc::new(Faulty::new(good, then));
            let registry = Registry::on(
                Arc::clone(&disk) as _,
                &sound.directory,
                Trust::default(),
                2,
            );
            let result = work(&registry);
            let reached = disk.done.load(Ordering::SeqCst) > good;
            failures += usize::from(reached);
            after(&sound, result);
            if !reached {
                break;
            }
        }
    }
    failures
}

/// All that have the name of a version are one.
pub(super) fn all_verify(registry: &Registry) -> Vec<String> {
    let versions = registry.versions("load").unwrap();
    for version in &versions {
        registry.verify("load", version).unwrap();
    }
    versions
}

#[test]
fn promoting_on_a_bad_disk_leaves_one_of_the_two_in_force() {
    let failures = every_failure(
        &["1", "2"],
        |registry| registry.promote("load", "2").map(drop),
        |registry, result| {
            let now = in_force(registry);
            match result {
                Ok(()) => assert_eq!(now, "2"),
                // Only after the pin was replaced: its folder could not be synced.
                Err(problem) if now == "2" => assert!(
                    problem.contains("see which version is in force"),
                    "{problem}"
                ),
                Err(_) => assert_eq!(now, "1"),
            }
            all_verify(registry);
            // The next one is not in the way of what was left.
            assert_eq!(registry.promote("load", "2").unwrap().version, "2");
            assert_eq!(registry.rollback("load").unwrap().version, "1");
        },
    );
    assert_eq!(failures, 3 * HOW.len(), "write, rename, sync");
}

#[test]
fn adding_on_a_bad_disk_is_all_or_nothing() {
    let failures = every_failure(
        &["1"],
        |registry| add(registry, "2").map(drop),
        |registry, result| {
            assert_eq!(in_force(registry), "1");
            let there = all_verify(registry).contains(&"2".to_owned());
            assert!(there || result.is_err());
            if !there {
                add(registry, "2").unwrap();
            }
            registry.promote("load", "2").unwrap();
            registry.prune("load").unwrap();
            let left = entries(&registry.directory.join("load")).unwrap();
            assert_eq!(left, [LOCK_FILE, "1", "2", PIN_FILE]);
        },
    );
    assert!(failures > 5 * HOW.len(), "{failures}");
}

#[test]
fn removing_on_a_bad_disk_leaves_whole_versions() {
    let failures = every_failure(
        &["1", "2", "3", "4", "5"],
        |registry| registry.prune("load").map(drop),
        |registry, _| {
            assert_eq!(in_force(registry), "1");
            let versions = all_verify(registry);
            for kept in ["1", "4", "5"] {
                assert!(versions.contains(&kept.to_owned()), "{kept}: {versions:?}");
            }
            registry.prune("load").unwrap();
            assert_eq!(registry.versions("load").unwrap(), ["1", "4", "5"]);
        },
    );
    assert!(failures >= 4 * HOW.len(), "{failures}");
}

#[test]
fn two_who_promote_at_once_come_one_after_the_other() {
    let (_folder, registry) = with(&["1", "2", "3"]);
    std::thread::scope(|scope| {
        for version in ["2", "3"] {
            let registry = &registry;
            scope.spawn(move || {
                for _ in 0..5 {
                    registry.promote("load", version).unwrap();
                    assert!(registry.in_force("load").is_ok());
                }
            });
        }
    });
    let pin = registry.pin("load").unwrap().unwrap();
    assert_ne!(Some(&pin.version), pin.previous.as_ref());
}

#[test]
fn what_was_expected_in_force_is_asked_under_the_lock() {
    let (_folder, registry) = with(&["1", "2", "3"]);
    let problem = registry.promote_after("load", "2", None).unwrap_err();
    assert!(problem.contains("another: load/1"), "{problem}");
    assert_eq!(in_force(&registry), "1");
    let pin = registry.promote_after("load", "2", Some("1")).unwrap();
    assert_eq!(pin.previous.as_deref(), Some("1"));
    let problem = registry.promote_after("load", "3", Some("1")).unwrap_err();
    assert!(problem.contains("another: load/2"), "{problem}");
    assert_eq!(in_force(&registry), "2");
}

#[test]
fn settings_say_what_is_allowed() {
    let problems = |text: &str| -> Vec<String> {
        let settings: Settings = serde_yaml::from_str(text).unwrap();
        settings
            .validate()
            .into_iter()
            .map(|(field, _)| field)
            .collect()
    };
    assert_eq!(problems("{}"), [""; 0]);
    assert_eq!(
        problems("{directory: '', retention: 1, require_signature: true, max_latency: 0s}"),
        ["directory", "retention", "require_signature", "max_latency"]
    );
    assert_eq!(problems("{trusted_keys: [x]}"), ["trusted_keys[0]"]);
}
