//! Models in a store that machines share, against a real S3 API server: moto.

use crate::support::{
    eventually, http,
    program::{Program, command},
    servers::{ACCESS_KEY, ObjectStore, SECRET_KEY, object_store},
    throughout,
};
use forethought::{
    contract::{Manifest, Trust, seal},
    registry::{
        Pin, Registry, Settings,
        store::{PinRefused, Store},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};
use tempfile::TempDir;

/// A machine: a configuration, and a folder of models.
struct Machine {
    folder: TempDir,
}

/// A store as a machine knows it.
#[derive(Clone, Copy)]
struct Known<'s> {
    server: &'s ObjectStore,
    bucket: &'s str,
    prefix: &'s str,
}

fn network() -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/forecast/tiny.onnx"
    );
    fs::read(path).unwrap()
}

fn manifest(version: &str) -> Manifest {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx/gru.json");
    let mut manifest = Manifest::read(&fs::read(path).unwrap()).unwrap();
    manifest.name = "load".into();
    manifest.version = version.to_owned();
    manifest.window = 16;
    manifest.features.truncate(1);
    manifest.outputs.heads[0].horizons.truncate(2);
    manifest.outputs.heads[0].quantiles = None;
    manifest.sha256 = seal::sha256(&network());
    manifest
}

impl Machine {
    /// With these versions, of which the first is in force.
    fn new(versions: &[&str], store: Known<'_>) -> Self {
        let machine = Self {
            folder: TempDir::new().unwrap(),
        };
        fs::write(machine.path("secret"), format!("{SECRET_KEY}\n")).unwrap();
        machine.write(store);
        for version in versions {
            let bytes = manifest(version).to_json().unwrap();
            machine.registry().add(&network(), &bytes).unwrap();
        }
        if let Some(first) = versions.first() {
            machine.registry().promote("load", first).unwrap();
        }
        machine
    }

    fn write(&self, store: Known<'_>) {
        fs::write(self.path("forethought.yml"), self.configuration(store)).unwrap();
    }

    fn configuration(&self, store: Known<'_>) -> String {
        let Known {
            server,
            bucket,
            prefix,
        } = store;
        let (endpoint, folder) = (&server.endpoint(), self.folder.path().display());
        format!(
            "sources: [{{name: main, prometheus: {{url: 'http://127.0.0.1:1', retries: 0}}}}]\n\
             models:\n  directory: {folder}/models\n  max_latency: 10s\n  store:\n    follow: true\n    s3:\n      \
             bucket: {bucket}\n      prefix: {prefix}\n      endpoint: {endpoint}\n      access_key_id: {ACCESS_KEY}\n      \
             secret_access_key_file: {folder}/secret\n      timeout: 10s\n      retries: 1\n\
             signals:\n  - {{name: requests, query: x, step: 1m, forecast: {{horizons: [15m], models: [onnx: {{model: load}}]}}}}\n"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn registry(&self) -> Registry {
        Registry::new(self.path("models"), Trust::default(), 5)
    }

    /// `forethought models` with the configuration: exit code and all that was said, in which no secret is.
    fn models(&self, arguments: &[&str]) -> (i32, String) {
        let config = format!("--config.file={}", self.path("forethought.yml").display());
        let all: Vec<&str> = ["models"]
            .iter()
            .chain(arguments)
            .copied()
            .chain([config.as_str()])
            .collect();
        let (code, out, err) = command(&all);
        let said = format!("{out}{err}");
        assert!(!said.contains(SECRET_KEY), "{said}");
        (code, said)
    }

    fn in_force(&self) -> String {
        self.registry().in_force("load").unwrap().version
    }

    /// The store itself.
    fn store(&self) -> Store {
        let text = fs::read_to_string(self.path("forethought.yml")).unwrap();
        let config = forethought::config::parse(&text, &|_| None).unwrap();
        let settings: Settings = config.models;
        settings.store.unwrap().open(&|_| None).unwrap()
    }
}

fn shared(prefix: &str) -> Known<'_> {
    Known {
        server: object_store(),
        bucket: "models",
        prefix,
    }
}

/// Every file below a folder but locks, by its path.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(one).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != ".lock" {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_restored_is_what_was_backed_up() {
    let store = shared("team/backup");
    let here = Machine::new(&["9", "10"], store);
    let (code, said) = here.models(&["backup"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("load   9        sent") && said.contains("load   10       sent"),
        "{said}"
    );
    assert!(
        said.contains("load: 9 is in force in s3://models/team/backup at http://127.0.0.1"),
        "{said}"
    );
    let (code, said) = here.models(&["backup", "load"]);
    assert!(
        code == 0 && !said.contains("sent") && said.contains("is there"),
        "{said}"
    );
    let there = Machine::new(&[], store);
    let (code, said) = there.models(&["list", "--store"]);
    assert_eq!(code, 0, "{said}");
    let rows: Vec<Vec<&str>> = said
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[1][..5], ["load", "9", "in", "force", "no"]);
    assert_eq!(rows[2][..3], ["load", "10", "no"]);
    // Nobody said that anything shall be in force.
    let (code, said) = there.models(&["restore", "load", "--version=10"]);
    assert_eq!(code, 0, "{said}");
    assert!(there.registry().in_force("load").is_err());
    let (code, said) = there.models(&["restore", "--pin"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("load   9        fetched") && said.contains("load   10       is here"),
        "{said}"
    );
    assert_eq!(files(&here.path("models")), files(&there.path("models")));
    let (code, said) = there.models(&["restore", "lod"]);
    assert!(
        code == 1 && said.contains("there is no model \"lod\"; models: load"),
        "{said}"
    );
}

#[test]
fn what_was_tampered_with_in_the_store_is_refused() {
    let store = shared("tampered");
    let here = Machine::new(&["1", "2"], store);
    assert_eq!(here.models(&["backup"]).0, 0);
    let path = "/models/tampered/load/2/model.onnx";
    // The server looks at who asks, and does not check the signature.
    let who = format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20261122/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    );
    let headers = [("Authorization", who.as_str())];
    let put = http::request(
        "PUT",
        &store.server.address,
        path,
        &headers,
        b"something else",
    );
    assert_eq!(put.unwrap().status, 200);
    let there = Machine::new(&["1"], store);
    for arguments in [
        &["restore"][..],
        &["restore", "load", "--version=2", "--promote"],
        &["promote", "load", "2"],
    ] {
        let (code, said) = there.models(arguments);
        assert!(
            code == 1 && said.contains("SHA-256"),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(there.registry().versions("load").unwrap(), ["1"]);
    assert_eq!(there.in_force(), "1");
    // Who has the right one finds out too, and overwrites nothing.
    let (code, said) = here.models(&["backup"]);
    assert!(code == 1 && said.contains("SHA-256"), "{said}");
}

#[test]
fn a_store_that_is_not_there_is_named() {
    let server = ObjectStore::start();
    let store = Known {
        server: &server,
        bucket: "models",
        prefix: "gone",
    };
    let here = Machine::new(&["1", "2"], store);
    assert_eq!(here.models(&["backup"]).0, 0);
    here.write(Known {
        bucket: "no-such-bucket",
        ..store
    });
    for command in ["backup", "restore", "list"] {
        let arguments: &[&str] = if command == "list" {
            &["list", "--store"]
        } else {
            &[command]
        };
        let (code, said) = here.models(arguments);
        assert!(
            code == 1 && said.contains("NoSuchBucket") && said.contains("models.store.s3.bucket"),
            "{said}"
        );
    }
    let (code, said) = here.models(&["promote", "load", "2"]);
    assert!(code == 1 && said.contains("NoSuchBucket"), "{said}");
    here.write(store);
    let endpoint = server.endpoint();
    let before = files(&here.path("models"));
    drop(server);
    let gone = [
        &["backup"][..],
        &["restore"],
        &["promote", "load", "2"],
        &["list", "--store"],
        &["rollback", "load"],
    ];
    for arguments in gone {
        let (code, said) = here.models(arguments);
        assert!(
            code == 1 && said.contains(&endpoint),
            "{arguments:?}: {said}"
        );
        assert!(said.contains("refused"), "{arguments:?}: {said}");
    }
    assert_eq!(files(&here.path("models")), before);
}

#[test]
fn wrong_credentials_are_said_to_be_wrong() {
    let server = ObjectStore::start_with(&["INITIAL_NO_AUTH_ACTION_COUNT=1"]);
    let here = Machine::new(
        &["1"],
        Known {
            server: &server,
            bucket: "models",
            prefix: "closed",
        },
    );
    let (code, said) = here.models(&["backup"]);
    assert!(code == 1 && said.contains("InvalidAccessKeyId"), "{said}");
    assert!(
        said.contains("check access_key_id, secret_access_key_file"),
        "{said}"
    );
    fs::remove_file(here.path("secret")).unwrap();
    let (code, said) = here.models(&["backup"]);
    assert!(
        code == 2 && said.contains("secret_access_key_file"),
        "{said}"
    );
}

#[test]
fn of_two_promotions_at_once_one_wins() {
    let store = shared("race");
    let (one, other) = (
        Machine::new(&["1", "2", "3"], store),
        Machine::new(&["1", "2", "3"], store),
    );
    assert_eq!(one.models(&["backup"]).0, 0);
    // Both have read the pin when the first one writes it.
    let pin = |version: &str| -> Pin {
        let text = format!("{{\"format\": 1, \"version\": \"{version}\", \"previous\": \"1\"}}");
        serde_json::from_str(&text).unwrap()
    };
    let (a, b) = (one.store(), other.store());
    let (tag, same) = (a.pin("load").unwrap().1, b.pin("load").unwrap().1);
    a.put_pin("load", &pin("2"), &tag).unwrap();
    assert_eq!(
        b.put_pin("load", &pin("3"), &same),
        Err(PinRefused::Lost(Some(pin("2"))))
    );
    // Where there is no pin yet.
    let none = a.pin("other").unwrap().1;
    a.put_pin("other", &pin("2"), &none).unwrap();
    assert_eq!(
        b.put_pin("other", &pin("3"), &none),
        Err(PinRefused::Lost(Some(pin("2"))))
    );
    // Two people at once: whoever is told that it worked is in force unless the other came after.
    let run = |machine: &Machine, version: &str| machine.models(&["promote", "load", version]);
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| run(&one, "3"));
        let second = run(&other, "1");
        (first.join().unwrap(), second)
    });
    let won = a.pin("load").unwrap().0.unwrap();
    for ((code, said), version) in [(first, "3"), (second, "1")] {
        let is_told = code == 0 || said.contains("meanwhile the version in force is another");
        assert!(is_told, "{version}: {said}");
        assert!(
            code != 0 || won.version == version || won.previous.as_deref() == Some(version),
            "{said}"
        );
    }
}

#[test]
fn a_process_follows_a_promotion_made_elsewhere_and_outlasts_the_store() {
    let server = ObjectStore::start();
    let store = Known {
        server: &server,
        bucket: "models",
        prefix: "follow",
    };
    let here = Machine::new(&["1", "2"], store);
    assert_eq!(here.models(&["backup"]).0, 0);
    // Another machine, whose folder is empty.
    let there = Machine::new(&[], store);
    let program = Program::start(
        &there.configuration(store),
        &["--config.poll-interval=300ms"],
    );
    let runs = |version: &str| {
        let labels = ["model=\"load\"", &format!("version=\"{version}\"")];
        program.metrics()?.value("forethought_model_info", &labels)
    };
    eventually("version 1 runs", 30, || runs("1"));
    let up = || program.metrics()?.value("forethought_model_store_up", &[]);
    eventually("the store is up", 30, || {
        up().and_then(|up| {
            if up == 1.0 {
                Ok(())
            } else {
                Err(up.to_string())
            }
        })
    });
    let (code, said) = here.models(&["promote", "load", "2"]);
    assert_eq!(code, 0, "{said}");
    eventually("version 2 runs", 60, || runs("2"));
    assert_eq!(there.in_force(), "2");
    let (code, said) = here.models(&["rollback", "load"]);
    assert_eq!(code, 0, "{said}");
    eventually("version 1 runs again", 60, || runs("1"));
    drop(server);
    eventually("the store is down", 60, || {
        up().and_then(|up| {
            if up == 0.0 {
                Ok(())
            } else {
                Err(up.to_string())
            }
        })
    });
    throughout("version 1 runs", 2, || runs("1").map(drop));
    let failures = program
        .metrics()
        .unwrap()
        .value("forethought_model_store_failures_total", &[]);
    assert!(failures.unwrap() >= 1.0);
    let log = program.log();
    let warned = log
        .lines()
        .filter(|line| line.contains("cannot follow the store of models"));
    assert_eq!(warned.count(), 1, "{log}");
    assert!(!log.contains(SECRET_KEY), "{log}");
    assert_eq!(there.in_force(), "1");
}
