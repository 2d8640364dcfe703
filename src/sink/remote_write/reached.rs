//! Up to which time each unit was written, on disk: a process that takes the place of one that was killed evaluates its newest times
//! again, and no series may go back at the receiver.

use crate::series::Millis;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use xxhash_rust::xxh3::xxh3_64;

const NAME: &str = "reached";

/// The newest time that was written of each unit.
pub(super) type Times = BTreeMap<Arc<str>, Millis>;

/// The file of a receiver.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    path: PathBuf,
}

// === impl Reached ===

impl Reached {
    /// The file in the receiver's folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(NAME),
        }
    }

    /// What a former process wrote; nothing where that is not known.
    pub(super) fn read(&self) -> Times {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        decode(&text).unwrap_or_default()
    }

    /// Takes the place of what was written before. Not synced: it is for a process that is killed, not for a machine that is.
    ///
    /// # Errors
    /// The disk's; the former file is as it was.
    pub(super) fn write(&self, times: &Times) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let written = fs::write(&new, encode(times)).and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            // A full disk needs the room.
            drop(fs::remove_file(&new));
        }
        written
    }
}

/// A line for each unit, and the checksum of all of them.
fn encode(times: &Times) -> String {
    let lines = times.iter().map(|(unit, at)| format!("{at} {unit}\n"));
    let lines: String = lines.collect();
    format!("{:016x}\n{lines}", xxh3_64(lines.as_bytes()))
}

fn decode(text: &str) -> Option<Times> {
    let (sum, lines) = text.split_once('\n')?;
    if u64::from_str_radix(sum, 16).ok()? != xxh3_64(lines.as_bytes()) {
        return None;
    }
    let line = |line: &str| {
        let (at, unit) = line.split_once(' ')?;
        Some((unit.into(), at.parse().ok()?))
    };
    lines.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_back_what_was_written_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let reached = Reached::new(folder.path());
        assert_eq!(reached.read(), Times::new(), "no file yet");
        // The unit of all workloads has no name.
        let times = Times::from([("load".into(), 1_000), ("".into(), -5)]);
        reached.write(&times).unwrap();
        assert_eq!(reached.read(), times);
        let whole = fs::read(&reached.path).unwrap();
        for end in 0..whole.len() {
            fs::write(&reached.path, &whole[..end]).unwrap();
            assert_eq!(reached.read(), Times::new(), "cut off at {end}");
        }
        reached.write(&times).unwrap();
        assert_eq!(reached.read(), times);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
