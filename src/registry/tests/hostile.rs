//! Others who write at the same time, files that are too large, and a model that never answers.

use super::*;
use crate::stats::network::Rows;
use endless::endless;

#[path = "../../../tests/it/support/endless.rs"]
mod endless;

#[test]
fn of_two_who_train_at_once_each_gets_a_number() {
    let (_folder, registry) = with(&["1"]);
    let taken: Vec<String> = std::thread::scope(|scope| {
        let adding = |_| {
            let registry = &registry;
            scope.spawn(move || {
                let manifest = |version: &str| manifest(version).to_json();
                let added = registry.add_next("load", 1, &network(), manifest);
                added.unwrap().version
            })
        };
        let running: Vec<_> = (0..4).map(adding).collect();
        let mut taken: Vec<String> = running.into_iter().map(|one| one.join().unwrap()).collect();
        taken.sort();
        taken
    });
    assert_eq!(taken, ["2", "3", "4", "5"]);
    let from = |least, version: &'static str| {
        let bytes = |_: &str| manifest(version).to_json();
        registry.add_next("load", least, &network(), bytes)
    };
    let problem = from(1, "9").unwrap_err();
    assert!(
        problem.contains("that of load/9, not of load/6"),
        "{problem}"
    );
    assert_eq!(from(9, "9").unwrap().version, "9");
    assert_eq!(all_verify(&registry).len(), 6);
}

#[test]
fn no_version_has_the_name_of_a_file_of_the_registry() {
    let (_folder, registry) = with(&["1"]);
    for version in [
        PIN_FILE,
        MODEL_FILE,
        MANIFEST_FILE,
        "Champion.JSON",
        ".lock",
    ] {
        for problem in [
            add(&registry, version).unwrap_err(),
            registry.promote("load", version).unwrap_err(),
            registry.verify("load", version).unwrap_err(),
            Pin::read(
                format!("{{\"format\": 1, \"version\": \"{version}\"}}").as_bytes(),
                Path::new("x"),
            )
            .unwrap_err(),
        ] {
            let refused =
                problem.contains("is not allowed") || problem.contains("there is no version");
            assert!(refused, "{version}: {problem}");
        }
    }
    assert_eq!(in_force(&registry), "1");
}

#[test]
fn what_is_too_large_is_not_read() {
    let (_folder, registry) = with(&["1", "2"]);
    let place = registry.directory.join("load");
    // Sparse: nobody writes so much, and whoever read it whole would need the memory.
    let enlarge = |path: &Path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(1 << 40).unwrap();
    };
    enlarge(&place.join("2").join(MODEL_FILE));
    assert!(
        registry
            .verify("load", "2")
            .unwrap_err()
            .contains("larger than 67108864 bytes")
    );
    enlarge(&place.join("2").join(MANIFEST_FILE));
    assert!(
        registry
            .manifest("load", "2")
            .unwrap_err()
            .contains("larger than 1048576 bytes")
    );
    assert!(
        registry
            .promote("load", "2")
            .unwrap_err()
            .contains("larger than")
    );
    assert_eq!(in_force(&registry), "1");
    enlarge(&place.join(PIN_FILE));
    for problem in [
        registry.pin("load").map(drop).unwrap_err(),
        registry.in_force("load").map(drop).unwrap_err(),
        registry.promote("load", "1").map(drop).unwrap_err(),
    ] {
        assert!(problem.contains("larger than 4096 bytes"), "{problem}");
    }
}

#[test]
fn a_model_that_does_not_answer_is_refused_and_the_former_one_stays() {
    let (_folder, mut registry) = with(&["1", "2"]);
    registry.patience = Duration::from_millis(300);
    // Seconds of work: what is left behind ends soon.
    let (bytes, mut own) = (endless(&network(), 100), manifest("2"));
    own.batch = Rows::Fixed(1);
    own.sha256 = seal::sha256(&bytes);
    let place = registry.directory.join("load/2");
    fs::write(place.join(MODEL_FILE), &bytes).unwrap();
    fs::write(place.join(MANIFEST_FILE), own.to_json().unwrap()).unwrap();
    own.version = "3".to_owned();
    let manifest = own.to_json().unwrap();
    for problem in [
        registry.verify("load", "2").unwrap_err(),
        registry.promote("load", "2").unwrap_err(),
        registry.add(&bytes, &manifest).unwrap_err(),
    ] {
        assert!(problem.contains("did not answer within 0.3s"), "{problem}");
    }
    assert_eq!(in_force(&registry), "1");
    assert_eq!(registry.versions("load").unwrap(), ["1", "2"]);
}
