//! That what comes from a store is checked, and that what is in force changes only when somebody says so: with a store
//! or a disk that fails, or a process that ends, at every step.

use super::*;
use crate::{
    contract::{PublicKey, Trust, seal},
    registry::{
        MANIFEST_FILE, MODEL_FILE, PIN_FILE,
        faulty::{Faulty, HOW},
        store::memory::{GONE, Memory},
        tests::{add, all_verify, in_force, manifest, network, with},
    },
};
use bytes::Bytes;
use std::{path::Path, sync::atomic::Ordering};
use tempfile::TempDir;

/// A machine with these versions, of which the first is in force, and the store.
fn machine(versions: &[&str], store: &Arc<Memory>) -> (TempDir, Shared) {
    let (folder, registry) = with(versions);
    (folder, sharing(registry, store))
}

fn sharing(registry: Registry, store: &Arc<Memory>) -> Shared {
    let store = Store::new(Arc::clone(store) as _, "memory".to_owned());
    Shared::new(registry, store, Arc::new(|_| Ok(())))
}

fn backup(shared: &Shared) -> Result<(), String> {
    for version in shared.registry.versions("load")? {
        shared.send("load", &version)?;
    }
    shared.send_pin("load", false).map(drop)
}

fn pin_of(store: &Arc<Memory>) -> String {
    let found = sharing(with(&[]).1, store).store.pin("load").unwrap().0;
    found.map_or_else(String::new, |pin| pin.version)
}

/// Every file below a folder but the lock, by its path.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in std::fs::read_dir(one).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != ".lock" {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_restored_is_what_was_backed_up() {
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1", "2"], &store);
    one.registry.promote("load", "2").unwrap();
    assert_eq!(one.send("load", "1").unwrap(), Sent::Now);
    assert_eq!(one.send("load", "1").unwrap(), Sent::Before);
    backup(&one).unwrap();
    let before = store.all();
    backup(&one).unwrap();
    assert_eq!(store.all(), before, "there is nothing left to send");
    let (_there, other) = machine(&[], &store);
    for version in other.store.versions("load").unwrap() {
        assert_eq!(other.fetch("load", &version).unwrap(), Fetched::Now);
        assert_eq!(other.fetch("load", &version).unwrap(), Fetched::Before);
    }
    assert!(
        other.registry.in_force("load").is_err(),
        "nobody asked for it"
    );
    let pin = other.follow("load").unwrap().unwrap();
    assert_eq!(
        (pin.version.as_str(), pin.previous.as_deref()),
        ("2", Some("1"))
    );
    assert_eq!(other.follow("load").unwrap(), None);
    let (here, there) = (one.registry.directory(), other.registry.directory());
    assert_eq!(files(here), files(there));
}

#[test]
fn what_was_changed_in_the_store_is_not_fetched() {
    let keys = [
        format!("load/2/{MODEL_FILE}"),
        format!("load/2/{MANIFEST_FILE}"),
    ];
    let other_manifest = manifest("1").to_json().unwrap();
    let nan = {
        let mut wrong = manifest("2");
        wrong.sha256 = "0".repeat(64);
        wrong.to_json().unwrap()
    };
    let cases: [(&str, usize, Vec<u8>, &str); 6] = [
        (
            "truncated",
            0,
            network()[..network().len() / 2].to_vec(),
            "SHA-256",
        ),
        ("swapped", 0, b"something else".to_vec(), "SHA-256"),
        ("too large", 0, vec![0; (64 << 20) + 1], "at most 67108864"),
        (
            "of another version",
            1,
            other_manifest,
            "its manifest is that of load/1",
        ),
        ("of another model", 1, nan, "SHA-256"),
        (
            "half a manifest",
            1,
            b"{\"format\": 1,".to_vec(),
            "its manifest is wrong",
        ),
    ];
    for (what, key, bytes, part) in cases {
        let store = Arc::new(Memory::default());
        let (_here, one) = machine(&["1", "2"], &store);
        backup(&one).unwrap();
        one.promote("load", "2").unwrap();
        store.state().objects.get_mut(&keys[key]).unwrap().0 = Bytes::from(bytes);
        let (_there, other) = machine(&["1"], &store);
        for problem in [
            other.fetch("load", "2").unwrap_err(),
            other.follow("load").unwrap_err(),
            other.promote("load", "2").unwrap_err(),
        ] {
            assert!(problem.contains(part), "{what}: {problem}");
            assert!(problem.contains("memory"), "{what}: {problem}");
        }
        assert_eq!(in_force(&other.registry), "1", "{what}");
        assert_eq!(other.registry.versions("load").unwrap(), ["1"], "{what}");
    }
}

#[test]
fn only_models_of_trusted_people_are_fetched_and_only_those_that_fit() {
    let key = || ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new());
    let (ours, theirs) = (key().unwrap(), key().unwrap());
    let public: PublicKey = seal::public_key(ours.as_ref()).unwrap();
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1"], &store);
    for (version, key) in [("2", &ours), ("3", &theirs)] {
        let bytes = seal::sign(&manifest(version), key.as_ref()).unwrap();
        one.registry.add(&network(), &bytes).unwrap();
    }
    backup(&one).unwrap();
    let strict = Trust {
        required: true,
        keys: vec![public],
    };
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new(folder.path().join("models"), strict, 5);
    let other = sharing(registry, &store);
    assert_eq!(other.fetch("load", "2").unwrap(), Fetched::Now);
    assert!(
        other
            .fetch("load", "1")
            .unwrap_err()
            .contains("is not signed")
    );
    assert!(other.fetch("load", "3").unwrap_err().contains("by none of"));
    assert_eq!(other.registry.versions("load").unwrap(), ["2"]);
    let (_there, mut choosy) = machine(&[], &store);
    choosy.fits = Arc::new(|_| Err("too slow".to_owned()));
    assert!(
        choosy
            .fetch("load", "1")
            .unwrap_err()
            .ends_with("load/1: too slow")
    );
    assert!(choosy.follow("load").is_err() && choosy.registry.names().is_err());
}

#[test]
fn a_version_of_the_same_number_is_not_overwritten() {
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1"], &store);
    let (_there, other) = machine(&[], &store);
    let mut another = manifest("1");
    another.scores.insert("mase".into(), 0.5);
    other
        .registry
        .add(&network(), &another.to_json().unwrap())
        .unwrap();
    backup(&one).unwrap();
    let before = store.all();
    let problem = other.send("load", "1").unwrap_err();
    assert!(
        problem.contains("another version of this number"),
        "{problem}"
    );
    let problem = other.fetch("load", "1").unwrap_err();
    assert!(
        problem.contains("load/1 is another version of this number; remove that folder"),
        "{problem}"
    );
    assert_eq!(store.all(), before);
    assert_eq!(other.next_number("load").unwrap(), 2);
    // A network without a manifest, of somebody who was sending when he was ended, is not made this version.
    let store = Arc::new(Memory::default());
    let key = format!("load/1/{MODEL_FILE}");
    store
        .state()
        .objects
        .insert(key.clone(), (Bytes::from_static(b"other"), 1));
    let (_here, one) = machine(&["1"], &store);
    assert!(one.send("load", "1").unwrap_err().contains("SHA-256"));
    assert_eq!(store.all().len(), 1);
}

#[test]
fn of_two_who_promote_at_once_one_is_told_that_it_lost() {
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1", "2", "3"], &store);
    let (_there, other) = machine(&["1", "2", "3"], &store);
    backup(&one).unwrap();
    // Both read the pin before either writes it.
    let (now, tag) = one.now("load").unwrap();
    let (same, same_tag) = other.now("load").unwrap();
    assert_eq!((&now, &tag), (&same, &same_tag));
    one.put_in_force("load", "2", now, &tag).unwrap();
    let problem = other
        .put_in_force("load", "3", same, &same_tag)
        .unwrap_err();
    assert!(
        problem.contains("meanwhile the version in force is another: load/2; nothing was changed"),
        "{problem}"
    );
    assert_eq!(
        (in_force(&one.registry), in_force(&other.registry)),
        ("2".into(), "1".into())
    );
    let problem = other.promote_after("load", "3", Some("1")).unwrap_err();
    assert!(problem.contains("another: load/2"), "{problem}");
    assert_eq!(other.follow("load").unwrap().unwrap().version, "2");
    assert_eq!(
        other.promote_after("load", "3", Some("2")).unwrap().version,
        "3"
    );
    // Who goes back gets the version that all had, though this machine never had it in force.
    assert_eq!(one.rollback("load").unwrap().version, "2");
    assert_eq!(pin_of(&store), "2");
    // Where there is no pin yet, one of two is the first.
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1"], &store);
    let (pin, tag) = one.now("load").unwrap();
    one.send("load", "1").unwrap();
    let pin = pin.unwrap();
    one.store.put_pin("load", &pin, &tag).unwrap();
    let next = Pin::new("2", Some("1".to_owned()));
    let lost = one.store.put_pin("load", &next, &tag).unwrap_err();
    assert_eq!(lost, PinRefused::Lost(Some(pin)));
}

#[test]
fn a_rollback_fetches_what_is_not_here() {
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1", "2"], &store);
    backup(&one).unwrap();
    one.promote("load", "2").unwrap();
    let (_there, other) = machine(&[], &store);
    other.follow("load").unwrap();
    assert_eq!(other.registry.versions("load").unwrap(), ["2"]);
    assert_eq!(other.rollback("load").unwrap().version, "1");
    assert_eq!(in_force(&other.registry), "1");
    assert_eq!(one.follow("load").unwrap().unwrap().version, "1");
}

/// Every failure of the store while `work` is done on a machine with version 1 only, which is in force; in the store is 2 too,
/// and `there` is in force. How many there were.
fn every_store_failure(
    there: &str,
    work: impl Fn(&Shared) -> Result<(), String>,
    after: impl Fn(&Shared, &Arc<Memory>, Result<(), String>),
) -> usize {
    let mut failures = 0;
    for half in [false, true] {
        for good in 0.. {
            let store = Arc::new(Memory::default());
            let (_first, one) = machine(&["1", "2"], &store);
            backup(&one).unwrap();
            one.promote("load", there).unwrap();
            let (_here, here) = machine(&["1"], &store);
            {
                let mut state = store.state();
                (state.asked, state.good, state.half) = (0, Some(good), half);
            }
            let result = work(&here);
            let reached = store.state().asked > good;
            store.state().good = None;
            failures += usize::from(reached);
            if reached && !half {
                let problem = result.clone().unwrap_err();
                assert!(
                    problem.contains(GONE) && problem.contains("memory"),
                    "{problem}"
                );
            }
            all_verify(&here.registry);
            after(&here, &store, result);
            if !reached {
                break;
            }
        }
    }
    failures
}

#[test]
fn promoting_with_a_store_that_goes_leaves_one_of_the_two_in_force() {
    let failures = every_store_failure(
        "1",
        |here| here.promote("load", "2").map(drop),
        |here, store, result| {
            let (there, own) = (pin_of(store), in_force(&here.registry));
            match result {
                Ok(()) => assert_eq!((own.as_str(), there.as_str()), ("2", "2")),
                // The store took it, and the answer was lost: said, and followed later.
                Err(_) => assert!(own == "1" && ["1", "2"].contains(&there.as_str())),
            }
            here.follow("load").unwrap();
            assert_eq!(in_force(&here.registry), there);
            here.promote("load", "2").unwrap();
            assert_eq!(here.rollback("load").unwrap().version, "1");
        },
    );
    assert!(failures >= 2 * 6, "{failures}");
}

#[test]
fn a_store_that_goes_while_it_is_followed_changes_nothing() {
    let failures = every_store_failure(
        "2",
        |here| here.follow("load").map(drop),
        |here, _, result| {
            let now = in_force(&here.registry);
            assert_eq!(now, if result.is_ok() { "2" } else { "1" });
            here.follow("load").unwrap();
            assert_eq!(in_force(&here.registry), "2");
        },
    );
    assert_eq!(
        failures,
        2 * 4,
        "the pin, the manifest, the network, the pin again"
    );
}

#[test]
fn a_backup_that_was_ended_is_completed_by_the_next() {
    for half in [false, true] {
        for good in 0.. {
            let store = Arc::new(Memory::default());
            let (_here, one) = machine(&["1", "2"], &store);
            (store.state().good, store.state().half) = (Some(good), half);
            let ended = backup(&one).is_err();
            store.state().good = None;
            let (_there, other) = machine(&[], &store);
            for version in other.store.versions("load").unwrap() {
                // What has a manifest is whole.
                if other.store.manifest("load", &version).unwrap().is_some() {
                    other.fetch("load", &version).unwrap();
                }
            }
            backup(&one).unwrap();
            other.follow("load").unwrap();
            other.fetch("load", "2").unwrap();
            assert_eq!(
                files(one.registry.directory()),
                files(other.registry.directory())
            );
            assert!(store.all().contains_key(&format!("load/{PIN_FILE}")));
            if !ended {
                assert!(good > 6, "{good}");
                break;
            }
        }
    }
}

#[test]
fn taking_over_with_a_bad_disk_leaves_one_of_the_two_in_force() {
    let mut failures = 0;
    for then in HOW {
        for good in 0.. {
            let store = Arc::new(Memory::default());
            let (_first, one) = machine(&["1", "2"], &store);
            backup(&one).unwrap();
            one.promote("load", "2").unwrap();
            let (_here, sound) = machine(&["1"], &store);
            let disk = Arc::new(Faulty::new(good, then));
            let directory = sound.registry.directory();
            let registry = Registry::on(Arc::clone(&disk) as _, directory, Trust::default(), 2);
            let result = sharing(registry, &store).follow("load");
            let reached = disk.done.load(Ordering::SeqCst) > good;
            failures += usize::from(reached);
            let now = in_force(&sound.registry);
            match result {
                Ok(_) => assert_eq!(now, "2"),
                Err(problem) if now == "2" => {
                    assert!(
                        problem.contains("see which version is in force"),
                        "{problem}"
                    );
                }
                Err(_) => assert_eq!(now, "1"),
            }
            all_verify(&sound.registry);
            // The next look takes it over, whatever was left.
            sound.follow("load").unwrap();
            assert_eq!(in_force(&sound.registry), "2");
            sound.registry.prune("load").unwrap();
            assert_eq!(files(sound.registry.directory()).len(), 5);
            if !reached {
                break;
            }
        }
    }
    assert!(
        failures >= 9 * HOW.len(),
        "{failures}: adding takes six steps, the pin three"
    );
}

#[test]
fn a_pin_in_the_store_that_is_none_is_not_followed() {
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1", "2"], &store);
    backup(&one).unwrap();
    let key = format!("load/{PIN_FILE}");
    for text in [
        "",
        "{\"format\": 1, \"version\": \"../x\"}",
        "{\"format\": 1, \"version\": \"9\"}",
    ] {
        store.state().objects.get_mut(&key).unwrap().0 = Bytes::from(text);
        assert!(one.follow("load").is_err(), "{text}");
        assert_eq!(in_force(&one.registry), "1");
    }
    store.state().objects.get_mut(&key).unwrap().0 = Bytes::from(vec![b' '; 10_000]);
    assert!(one.follow("load").unwrap_err().contains("at most"));
    add(&one.registry, "3").unwrap();
}

/// Adds another version 2 than everybody else has.
fn add_another(registry: &Registry) {
    let mut another = manifest("2");
    another.scores.insert("mase".into(), 0.5);
    let bytes = another.to_json().unwrap();
    registry.add(&network(), &bytes).unwrap();
}

#[test]
fn a_pin_is_sent_after_its_version() {
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1", "2"], &store);
    one.send_pin("load", false).unwrap();
    assert_eq!(one.store.versions("load").unwrap(), ["1"]);
    one.send("load", "2").unwrap();
    let (_there, other) = machine(&["1"], &store);
    add_another(&other.registry);
    other.registry.promote("load", "2").unwrap();
    let problem = other.send_pin("load", true).unwrap_err();
    assert!(problem.contains("another version of this number"));
    assert_eq!(pin_of(&store), "1");
}

#[test]
fn a_version_that_is_only_here_makes_room_for_the_one_of_its_number() {
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1", "2"], &store);
    backup(&one).unwrap();
    one.promote("load", "2").unwrap();
    let (_there, mut other) = machine(&["1"], &store);
    add_another(&other.registry);
    let folder = other.registry.directory().join("load");
    let own = std::fs::read(folder.join("2").join(MANIFEST_FILE)).unwrap();
    // Not for one that is refused.
    other.fits = Arc::new(|_| Err("too slow".to_owned()));
    other.follow("load").unwrap_err();
    assert!(folder.join("2").exists() && !folder.join(".aside-2").exists());
    other.fits = Arc::new(|_| Ok(()));
    let followed = other.follow_anew("load", None).unwrap().unwrap();
    assert_eq!(followed.aside, Some(folder.join(".aside-2")));
    assert_eq!(in_force(&other.registry), "2");
    assert_eq!(other.registry.versions("load").unwrap(), ["1", "2"]);
    other.registry.prune("load").unwrap();
    let aside = std::fs::read(folder.join(".aside-2").join(MANIFEST_FILE));
    assert_eq!(aside.unwrap(), own);
    assert_eq!(other.follow("load").unwrap(), None);
    // What is in force stays where it is, and the folder is named.
    let (_there, other) = machine(&["1"], &store);
    add_another(&other.registry);
    other.registry.promote("load", "2").unwrap();
    other.registry.promote("load", "1").unwrap();
    let problem = other.follow("load").unwrap_err();
    let folder = other.registry.directory().join("load").join("2");
    assert!(
        problem.contains(&format!("{} is another version", folder.display())),
        "{problem}"
    );
    assert_eq!(in_force(&other.registry), "1");
}

#[test]
fn what_was_refused_is_not_fetched_again_while_the_store_says_the_same() {
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1", "2", "3"], &store);
    backup(&one).unwrap();
    one.promote("load", "2").unwrap();
    let (_there, mut other) = machine(&["1"], &store);
    let asked = store.state().asked;
    store.state().good = Some(asked + 1);
    let failed = other.follow_anew("load", None).unwrap_err();
    assert!(matches!(failed, NotFollowed::Failed(_)), "{failed:?}");
    store.state().good = None;
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    other.fits = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err("too slow".to_owned())
    });
    let NotFollowed::Refused(refused) = other.follow_anew("load", None).unwrap_err() else {
        panic!("nothing failed");
    };
    let asked = store.state().asked;
    let again = other.follow_anew("load", Some(&refused)).unwrap_err();
    assert_eq!(again, NotFollowed::Refused(refused.clone()));
    assert_eq!(store.state().asked, asked + 1, "only the pin");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    one.promote("load", "3").unwrap();
    let next = other.follow_anew("load", Some(&refused)).unwrap_err();
    assert_ne!(next, NotFollowed::Refused(refused));
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[test]
fn a_pin_that_changes_while_its_version_comes_is_not_taken() {
    let store = Arc::new(Memory::default());
    let (_here, one) = machine(&["1", "2", "3", "4"], &store);
    backup(&one).unwrap();
    for (changes, expected) in [(1, Some("3")), (2, None)] {
        one.promote("load", "2").unwrap();
        let (_there, mut other) = machine(&["1"], &store);
        let (meanwhile, done) = (one.clone(), std::sync::atomic::AtomicUsize::new(0));
        other.fits = Arc::new(move |_| {
            let done = done.fetch_add(1, Ordering::SeqCst);
            if done < changes {
                let version = ["3", "4"][done];
                meanwhile.promote("load", version).map(drop)
            } else {
                Ok(())
            }
        });
        let followed = other.follow("load");
        match expected {
            Some(version) => {
                assert_eq!(followed.unwrap().unwrap().version, version);
                assert_eq!(in_force(&other.registry), version);
            }
            None => {
                followed.unwrap_err();
                assert_eq!(in_force(&other.registry), "1");
            }
        }
    }
}
