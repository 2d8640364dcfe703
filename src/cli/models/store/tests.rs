//! What is restored where something in the store is refused.

use super::*;
use crate::{
    contract::{Trust, seal},
    registry::{
        Registry,
        store::{Store, memory::Memory},
    },
};
use bytes::Bytes;
use std::sync::Arc;
use tempfile::TempDir;

fn fixture(path: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
    std::fs::read(format!("{folder}{path}")).unwrap()
}

fn add(registry: &Registry, name: &str, version: &str, score: f64) {
    let network = fixture("forecast/tiny.onnx");
    let mut manifest = Manifest::read(&fixture("onnx/gru.json")).unwrap();
    (manifest.name, manifest.version) = (name.to_owned(), version.to_owned());
    manifest.window = 16;
    manifest.features.truncate(1);
    manifest.outputs.heads[0].horizons.truncate(2);
    manifest.outputs.heads[0].quantiles = None;
    manifest.sha256 = seal::sha256(&network);
    manifest.scores.insert("mase".into(), score);
    registry
        .add(&network, &manifest.to_json().unwrap())
        .unwrap();
}

fn machine(store: &Arc<Memory>) -> (TempDir, Shared) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new(folder.path(), Trust::default(), 5);
    let store = Store::new(Arc::clone(store) as _, "memory".to_owned());
    (folder, Shared::new(registry, store, Arc::new(|_| Ok(()))))
}

fn said(work: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> (String, Option<String>) {
    let mut out = Vec::new();
    let problem = work(&mut out).err().map(|failure| failure.to_string());
    (String::from_utf8(out).unwrap(), problem)
}

/// A store with two versions of each of two models, of which the second is in force, without the network at `tampered`.
fn world(tampered: &[&str]) -> (Arc<Memory>, TempDir, Shared) {
    let store = Arc::new(Memory::default());
    let (_folder, one) = machine(&store);
    for name in ["first", "second"] {
        add(one.registry(), name, "1", 1.0);
        add(one.registry(), name, "2", 1.0);
        one.registry().promote(name, "2").unwrap();
    }
    let (_, problem) = said(|out| backup(&one, &[], false, out));
    assert_eq!(problem, None);
    for version in tampered {
        let key = format!("{version}/model.onnx");
        store.state().objects.get_mut(&key).unwrap().0 = Bytes::from_static(b"something else");
    }
    let (folder, other) = machine(&store);
    (store, folder, other)
}

const PIN: Wanted<'_> = Wanted {
    names: &[],
    version: None,
    promote: false,
    pin: true,
    is_followed: true,
};

#[test]
fn an_old_version_that_is_refused_keeps_no_pin_back() {
    let (_store, _folder, other) = world(&["first/1"]);
    let (out, problem) = said(|out| restore(&other, &PIN, out));
    assert!(problem.unwrap().contains("first/1"));
    for name in ["first", "second"] {
        assert!(out.contains(&format!("{name}: 2 is in force")), "{out}");
        assert_eq!(other.registry().in_force(name).unwrap().version, "2");
    }
}

#[test]
fn a_pin_that_is_refused_is_told_and_skips_no_other() {
    let (_store, _folder, other) = world(&["first/2"]);
    let (out, problem) = said(|out| restore(&other, &PIN, out));
    assert_eq!(problem.unwrap().matches("SHA-256").count(), 1);
    assert!(out.contains("first: what is in force stays"), "{out}");
    assert!(other.registry().in_force("first").is_err());
    assert_eq!(other.registry().in_force("second").unwrap().version, "2");
    let names = ["first".to_owned()];
    let promoted = Wanted {
        names: &names,
        version: Some("2"),
        promote: true,
        pin: false,
        is_followed: true,
    };
    let (out, problem) = said(|out| restore(&other, &promoted, out));
    assert!(problem.unwrap().contains("SHA-256"));
    assert!(
        out.contains("first: what is in force stays, as 2 was refused"),
        "{out}"
    );
}

#[test]
fn the_pin_of_a_version_that_was_refused_is_not_sent() {
    let (store, _folder, other) = world(&[]);
    add(other.registry(), "first", "1", 0.5);
    other.registry().promote("first", "1").unwrap();
    let before = store.all();
    let (out, problem) = said(|out| backup(&other, &[], true, out));
    let problem = problem.unwrap();
    assert!(
        problem.contains("what is in force of first in the store stays"),
        "{problem}"
    );
    assert!(out.contains("refused"), "{out}");
    assert_eq!(store.all(), before);
}
