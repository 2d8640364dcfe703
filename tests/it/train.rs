//! Training that is broken off: what is in force stays in force, and what was fetched is there.

use crate::support::{
    eventually,
    fake::document_of,
    guard::Guarded,
    now,
    program::{BINARY, command},
    server::{Answer, Server},
    servers::{Past, past},
};
use std::{
    collections::BTreeMap,
    f64::consts::TAU,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

const PAST: Past = past("load", "/", 100.0);
const STEP: i64 = 600;
const DAY: i64 = 86_400;

/// A source that answers so many more requests, and then nothing; the folder of a registry; and the flags that train from
/// one into the other.
struct World {
    server: Server,
    left: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    /// Requests that are not answered.
    hung: Arc<AtomicUsize>,
    folder: TempDir,
    flags: Vec<String>,
}

impl World {
    fn new() -> Self {
        let (left, asked) = (Arc::new(AtomicUsize::new(1_000)), Arc::default());
        let (own, counted) = (Arc::clone(&left), Arc::clone(&asked));
        let hung: Arc<AtomicUsize> = Arc::default();
        let hangs = Arc::clone(&hung);
        let server = Server::start(move |request| {
            let less = |left: usize| left.checked_sub(1);
            if own
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_err()
            {
                AtomicUsize::fetch_add(&hangs, 1, Ordering::SeqCst);
                return Answer::Hang;
            }
            AtomicUsize::fetch_add(&counted, 1, Ordering::SeqCst);
            Answer::json(200, document_of(request, &[PAST], value))
        });
        let folder = TempDir::new().unwrap();
        let config = format!(
            "sources: [{{name: main, prometheus: {{url: \"http://{}\"}}}}]\nmodels: {{directory: models}}\nsignals:\n  \
             - {{name: load, query: load, step: {STEP}s, history: 21d, forecast: {{horizons: [10m, 30m]}}}}\n",
            server.address()
        );
        let file = folder.path().join("forethought.yml");
        fs::write(&file, config).unwrap();
        // The end is a fixed time, so that pieces are whole.
        let to = now() / 1_000 / DAY * DAY;
        let flags = [
            "train".to_owned(),
            format!("--config.file={}", file.display()),
            "--signal=load".to_owned(),
            format!("--from={}", to - 40 * DAY),
            format!("--to={to}"),
            "--window=6".to_owned(),
            "--features=value,day_sin_1,day_cos_1".to_owned(),
        ];
        Self {
            server,
            left,
            asked,
            hung,
            folder,
            flags: flags.to_vec(),
        }
    }

    /// Trains to the end, and gives what was said and how often the source was asked.
    fn train(&self, more: &[&str]) -> (String, usize) {
        self.asked.store(0, Ordering::SeqCst);
        self.left.store(1_000, Ordering::SeqCst);
        let own = self.flags.iter().map(String::as_str);
        let all: Vec<&str> = own.chain(more.iter().copied()).collect();
        let (code, out, err) = command(&all);
        assert_eq!(code, 0, "{err}");
        (out, self.asked.load(Ordering::SeqCst))
    }

    /// Begins to train.
    fn begin(&self, more: &str) -> Guarded {
        let mut flags = self.flags.clone();
        flags.push(more.to_owned());
        Guarded::start(BINARY, |_| flags)
    }

    /// Every file of the registry but the pieces of the past, with its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.folder.path().join("models"), &mut found);
        found
    }
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(".history") {
            collect(&path, found);
        } else if path.is_file() {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
}

/// A day's course whose height changes from day to day, so that the day before is a poor guide.
fn value(past: &Past, at: i64) -> f64 {
    let height = 25.0 + 20.0 * ((at / DAY) as f64 * 2.4).sin();
    let noise = (at as f64 * 0.37).sin();
    past.level + height * (TAU * (at % DAY) as f64 / DAY as f64).sin() + noise
}

#[test]
fn killed_at_any_step_the_version_in_force_stays_and_the_past_is_fetched_once() {
    let world = World::new();
    let (out, asked) = world.train(&["--epochs=12"]);
    assert!(out.ends_with("load/1: stored and put in force\n"), "{out}");
    // Forty days of ten minutes in pieces of ten days, as they lie.
    assert!((4..=5).contains(&asked), "{asked}");
    let before = world.files();
    assert!(before.keys().any(|path| path.ends_with("champion.json")));

    // While it fetches: two pieces arrive, without those that are here.
    let cache = world.folder.path().join("models/.history");
    fs::remove_dir_all(&cache).unwrap();
    world.left.store(3, Ordering::SeqCst);
    let mut fetching = world.begin("--epochs=12");
    eventually("pieces are kept", 60, || {
        let kept = fs::read_dir(&cache).map_or(0, Iterator::count);
        if kept >= 2 {
            Ok(())
        } else {
            Err(format!("{kept} of them"))
        }
    });
    fetching.signal("KILL");
    fetching.wait(20);
    assert_eq!(world.files(), before);

    // While it learns, of what is fetched by then.
    let mut learning = world.begin("--epochs=100000");
    world.left.store(1_000, Ordering::SeqCst);
    eventually("it learns", 60, || {
        let log = learning.log();
        if log.contains("epoch 1 of") {
            Ok(())
        } else {
            Err(log)
        }
    });
    learning.signal("KILL");
    learning.wait(20);
    assert_eq!(world.files(), before);

    // The next one asks for the newest piece only, and the oldest where that is not whole.
    let (out, asked) = world.train(&["--epochs=2"]);
    assert!(out.contains("load/2: stored, not put in force"), "{out}");
    assert!((1..=2).contains(&asked), "{asked}");
    let (_, all) = world.train(&["--epochs=1", "--dry-run"]);
    assert!(all > 3, "a dry run writes nothing and finds nothing: {all}");
    for (path, bytes) in before {
        assert_eq!(fs::read(&path).unwrap(), bytes, "{}", path.display());
    }
    drop(world.server);
}

#[test]
fn ctrl_c_ends_it_with_a_sentence_while_it_fetches_and_while_it_learns() {
    let world = World::new();
    for (left, step) in [(0, "a request"), (1_000, "epoch 1 of")] {
        world.left.store(left, Ordering::SeqCst);
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let before = world.hung.load(Ordering::SeqCst);
            let mut training = world.begin("--epochs=100000");
            eventually(step, 60, || {
                let log = training.log();
                // Whoever has asked listens to signals.
                let is_there = match left {
                    0 => world.hung.load(Ordering::SeqCst) > before,
                    _ => log.contains(step),
                };
                if is_there { Ok(()) } else { Err(log) }
            });
            training.signal(signal);
            assert_eq!(training.wait(20).code(), Some(code), "{}", training.log());
            let wanted = format!(
                "stopped by SIG{signal}: nothing was stored, and what was in force is in force"
            );
            assert!(training.log().contains(&wanted), "{}", training.log());
        }
    }
    let champion = world.folder.path().join("models/load");
    assert!(!champion.exists());
}
