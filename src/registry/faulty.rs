//! A disk that fails, or whose process ends, at any step: for tests.

use super::disk::{Disk, RealDisk};
use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

/// A disk that does so many steps as it should.
#[derive(Debug)]
pub(super) struct Faulty {
    good: usize,
    /// Steps that were begun.
    pub(super) done: AtomicUsize,
    then: Then,
}

/// What happens at the step after the good ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Then {
    /// It fails, and the next ones work again.
    Fails,
    /// The disk is full: half of a file is written. The next steps work: they need no room.
    Full,
    /// The process ends before it.
    Ends,
    /// The process ends in the middle of it: half of a file is written.
    EndsWithin,
}

pub(super) const HOW: [Then; 4] = [Then::Fails, Then::Full, Then::Ends, Then::EndsWithin];

impl Faulty {
    pub(super) fn new(good: usize, then: Then) -> Self {
        Self {
            good,
            done: AtomicUsize::new(0),
            then,
        }
    }

    fn step(
        &self,
        work: impl FnOnce() -> io::Result<()>,
        half: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let step = self.done.fetch_add(1, Ordering::SeqCst);
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        match (step.cmp(&self.good), self.then) {
            (std::cmp::Ordering::Less, _) => work(),
            (std::cmp::Ordering::Equal, Then::Full | Then::EndsWithin) => {
                half()?;
                Err(full())
            }
            (std::cmp::Ordering::Equal, _) => Err(full()),
            (_, Then::Fails | Then::Full) => work(),
            (_, Then::Ends | Then::EndsWithin) => {
                Err(io::Error::other("there is no process any more"))
            }
        }
    }
}

impl Disk for Faulty {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step(|| RealDisk.create_dir(path), || Ok(()))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step(
            || RealDisk.write(path, bytes),
            || RealDisk.write(path, &bytes[..bytes.len() / 2]),
        )
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| RealDisk.rename(from, to), || Ok(()))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step(|| RealDisk.sync_dir(path), || Ok(()))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let one_file = || match fs::read_dir(path)?.next() {
            Some(entry) => fs::remove_file(entry?.path()),
            None => Ok(()),
        };
        self.step(|| RealDisk.remove_dir(path), one_file)
    }
}
