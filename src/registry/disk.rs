//! What a registry does to the disk, step by step: each may fail, and the process may end after any of them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// The steps by which a registry changes what is on disk.
pub trait Disk: std::fmt::Debug + Send + Sync {
    /// Makes a folder.
    ///
    /// # Errors
    /// As the operating system says; so for all.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Writes a whole file, replacing what is there, until it is on the medium.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Renames a file, replacing what is there, or a folder. Nobody ever sees half of it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the names in a folder are on the medium.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all in it.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}
