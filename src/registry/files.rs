//! Looking at the folder of a registry: with limits, as others may write there too, and under its lock.

use super::{MANIFEST_FILE, PIN_FILE};
use crate::contract::refuse_name;
use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

pub(super) const LOCK_FILE: &str = ".lock";
/// Enough for any pin: two names and a number.
pub(super) const MOST_PIN_BYTES: u64 = 4 << 10;
/// What the contract takes as a manifest.
pub(super) const MOST_MANIFEST_BYTES: u64 = 1 << 20;
/// What is loaded as a network.
pub(super) const MOST_MODEL_BYTES: u64 = crate::stats::network::MOST_BYTES as u64;

/// The lock of a model; given back when it is dropped, or when the process ends.
pub(super) fn lock(folder: &Path) -> Result<File, String> {
    let path = folder.join(LOCK_FILE);
    let named = |error: io::Error| format!("cannot lock {}: {error}", path.display());
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(named)?;
    file.lock().map_err(named)?;
    Ok(file)
}

/// The most bytes that a file of this name may have.
fn most(path: &Path) -> u64 {
    match path.file_name().and_then(|name| name.to_str()) {
        Some(PIN_FILE) => MOST_PIN_BYTES,
        Some(MANIFEST_FILE) => MOST_MANIFEST_BYTES,
        _ => MOST_MODEL_BYTES,
    }
}

/// A file of the registry: what is too large for what it is called is not read into memory.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let named = |error: io::Error| format!("cannot read {}: {error}", path.display());
    read_from(File::open(path).map_err(named)?, path)
}

pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match File::open(path) {
        Ok(file) => read_from(file, path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn read_from(file: File, path: &Path) -> Result<Vec<u8>, String> {
    let (most, mut bytes) = (most(path), Vec::new());
    // It may grow while it is read: the length beforehand would be no limit.
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    match bytes.len() as u64 > most {
        true => Err(format!(
            "cannot read {}: larger than {most} bytes",
            path.display()
        )),
        false => Ok(bytes),
    }
}

pub(super) fn entries(folder: &Path) -> Result<Vec<String>, String> {
    let named = |error: io::Error| format!("cannot read {}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(named)? {
        let name = entry.map_err(named)?.file_name();
        // What is not text was not written by us.
        found.extend(name.into_string().ok());
    }
    found.sort_unstable();
    Ok(found)
}

/// The folders inside one that have the name of a model or of a version, sorted.
pub(super) fn folders(folder: &Path) -> Result<Vec<String>, String> {
    let mut found = entries(folder)?;
    found.retain(|name| refuse_name(name).is_none() && folder.join(name).is_dir());
    Ok(found)
}
