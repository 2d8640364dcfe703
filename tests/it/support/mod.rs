//! What the tests stand on: processes that never outlive the run, HTTP, waiting with a deadline, and
//! the real servers.

pub(crate) mod certificates;
pub(crate) mod endless;
pub(crate) mod fake;
pub(crate) mod front;
pub(crate) mod guard;
pub(crate) mod http;
pub(crate) mod live;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod pushing;
pub(crate) mod server;
pub(crate) mod servers;

use forethought::{engine::Clock, series::Millis};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// Held by a test whose subject is what happens within seconds, and by one that keeps the machine busy for a minute: the
/// names of both put them side by side.
pub(crate) fn undisturbed() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files under `folder` of the repository with this extension, sorted, as paths from the root.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// The machine's clock.
pub(crate) fn now() -> Millis {
    Clock::System.now()
}

/// Polls until `condition` holds and gives what it found; panics with its last complaint after `seconds`.
pub(crate) fn eventually<T>(
    what: &str,
    seconds: u64,
    mut condition: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        match condition() {
            Ok(found) => return found,
            Err(complaint) if Instant::now() >= deadline => {
                panic!("{what}: not within {seconds} s: {complaint}")
            }
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Polls for `seconds` and panics as soon as `condition` fails: for what must not happen.
pub(crate) fn throughout(
    what: &str,
    seconds: u64,
    mut condition: impl FnMut() -> Result<(), String>,
) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        if let Err(complaint) = condition() {
            panic!("{what}: {complaint}");
        }
        thread::sleep(Duration::from_millis(100));
    }
}
