//! Models on disk, and which version of each is in force.
//!
//! ```text
//! DIRECTORY/checkout/7/model.onnx
//! DIRECTORY/checkout/7/manifest.json
//! DIRECTORY/checkout/champion.json      {"format": 1, "version": "7", "previous": "6"}
//! ```
//!
//! A version is written once and never changed. What is in force is said by one small file, the pin, which is replaced
//! whole (written beside, synced, renamed, the folder synced): a crash or a full disk at any step leaves the version
//! that was in force. Names that begin with a dot are not finished or about to go; the next writer removes them. Who
//! writes holds a lock on `.lock`; readers need none.
//!
//! A registry is shared by all replicas that see the folder. Whoever trains calls [`Registry::add`] and
//! [`Registry::promote`]; a running process follows the pin.

mod disk;
mod order;
mod pin;
mod settings;

pub use disk::{Disk, RealDisk};
pub use pin::Pin;
pub use settings::Settings;

use crate::contract::{Manifest, Model, Trust, refuse_name};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The network of a version.
pub const MODEL_FILE: &str = "model.onnx";
/// Its manifest.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Which version is in force.
pub const PIN_FILE: &str = "champion.json";
const LOCK_FILE: &str = ".lock";
/// In front of what is not finished yet, and of what is about to go.
const NEW: &str = ".new-";
const OLD: &str = ".old-";

/// The models in one folder.
#[derive(Debug, Clone)]
pub struct Registry {
    directory: PathBuf,
    trust: Trust,
    retention: usize,
    disk: Arc<dyn Disk>,
}

/// The files of a version in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Which it is.
    pub version: String,
    /// The ONNX file.
    pub model: PathBuf,
    /// The manifest beside it.
    pub manifest: PathBuf,
    /// The pin that says so, and what was in it.
    pub pin: (PathBuf, Vec<u8>),
}

impl Registry {
    /// The models in `directory`, which is made when a model is added. `trust` says whose are taken, `retention` how
    /// many versions of each are kept.
    pub fn new(directory: impl Into<PathBuf>, trust: Trust, retention: usize) -> Self {
        Self::on(Arc::new(RealDisk), directory, trust, retention)
    }

    /// As [`Registry::new`], on another disk: for tests of what happens when it fails.
    pub fn on(
        disk: Arc<dyn Disk>,
        directory: impl Into<PathBuf>,
        trust: Trust,
        retention: usize,
    ) -> Self {
        Self {
            directory: directory.into(),
            trust,
            retention,
            disk,
        }
    }

    /// The names of the models, sorted.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn names(&self) -> Result<Vec<String>, String> {
        let directory = self.directory.display();
        if !self.directory.exists() {
            return Err(format!(
                "there is no folder {directory}; forethought train makes it with the first model"
            ));
        }
        folders(&self.directory)
    }

    /// The versions of a model, oldest first by their numbers: 9 before 10.
    ///
    /// # Errors
    /// There is no such model, or its folder cannot be read.
    pub fn versions(&self, name: &str) -> Result<Vec<String>, String> {
        let mut versions = folders(&self.existing(name)?)?;
        versions.sort_by(|one, other| order::natural(one, other));
        Ok(versions)
    }

    /// What is in force of a model; `None` before anything was promoted.
    ///
    /// # Errors
    /// A pin that cannot be read or is none.
    pub fn pin(&self, name: &str) -> Result<Option<Pin>, String> {
        let path = self.folder(name)?.join(PIN_FILE);
        let bytes = read_if_there(&path)?;
        bytes.map(|bytes| Pin::read(&bytes, &path)).transpose()
    }

    /// The files of the version of a model that is in force. They are not looked at.
    ///
    /// # Errors
    /// None is, or the pin cannot be read.
    pub fn in_force(&self, name: &str) -> Result<InForce, String> {
        let path = self.folder(name)?.join(PIN_FILE);
        let bytes = read_if_there(&path)?.ok_or_else(|| {
            let directory = self.directory.display();
            format!(
                "model {name}: no version is in force in {directory}; train one with forethought train, or choose one \
                 of forethought models list with forethought models promote {name} VERSION --models.directory={directory}"
            )
        })?;
        let version = Pin::read(&bytes, &path)?.version;
        let [model, manifest] = self.files(name, &version)?;
        Ok(InForce {
            version,
            model,
            manifest,
            pin: (path, bytes),
        })
    }

    /// The manifest of a version, read and checked by itself; the ONNX file is not looked at.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn manifest(&self, name: &str, version: &str) -> Result<Manifest, String> {
        let [_, path] = self.files(name, version)?;
        let named = |problem: String| format!("{}: {problem}", path.display());
        Manifest::read(&read(&path)?).map_err(|problems| named(problems.join("; ")))
    }

    /// The version to call the next one: one more than the greatest number there is, `1` for the first.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn next_version(&self, name: &str) -> Result<String, String> {
        let folder = self.folder(name)?;
        let taken = if folder.exists() {
            folders(&folder)?
        } else {
            Vec::new()
        };
        let greatest = taken
            .iter()
            .filter_map(|version| version.parse::<u64>().ok())
            .max();
        Ok((greatest.unwrap_or(0) + 1).to_string())
    }

    /// Writes a new version: the ONNX file and the bytes of its manifest, which has name, version and hash (and the
    /// signature, see [`crate::contract::seal::sign`]). It is there whole or not at all, and not in force.
    ///
    /// # Errors
    /// It does not keep its contract, is there already, or cannot be written.
    pub fn add(&self, model: &[u8], manifest: &[u8]) -> Result<Manifest, String> {
        let checked = Model::load(model, manifest, &self.trust)?;
        let manifest_of = checked.manifest().ok_or("has no manifest")?.clone();
        let (name, version) = (&manifest_of.name, &manifest_of.version);
        let folder = self.folder(name)?;
        self.make(&folder)?;
        let lock = lock(&folder)?;
        let place = folder.join(version);
        if place.exists() {
            return Err(format!(
                "{} is there already; versions never change",
                place.display()
            ));
        }
        let fresh = folder.join(format!("{NEW}{version}"));
        let written = self.write_version(&fresh, model, manifest, &place, &folder);
        if written.is_err() {
            // What is left of it is of no name that anybody reads.
            drop(self.disk.remove_dir(&fresh));
        }
        drop(lock);
        written.map_err(|error| format!("cannot write {}: {error}", place.display()))?;
        Ok(manifest_of)
    }

    fn write_version(
        &self,
        fresh: &Path,
        model: &[u8],
        manifest: &[u8],
        place: &Path,
        folder: &Path,
    ) -> io::Result<()> {
        if fresh.exists() {
            self.disk.remove_dir(fresh)?;
        }
        self.disk.create_dir(fresh)?;
        self.disk.write(&fresh.join(MODEL_FILE), model)?;
        self.disk.write(&fresh.join(MANIFEST_FILE), manifest)?;
        self.disk.sync_dir(fresh)?;
        self.disk.rename(fresh, place)?;
        self.disk.sync_dir(folder)
    }

    /// Checks a version as a process does that starts: hash, signature, operators, shapes, and that it answers.
    ///
    /// # Errors
    /// What does not hold, with the name of the file.
    pub fn verify(&self, name: &str, version: &str) -> Result<Model, String> {
        let [model, manifest] = self.files(name, version)?;
        let named = |problem: String| format!("{}: {problem}", model.display());
        let loaded = Model::load(&read(&model)?, &read(&manifest)?, &self.trust).map_err(named)?;
        let own = loaded
            .manifest()
            .map(ToString::to_string)
            .unwrap_or_default();
        if own != format!("{name}/{version}") {
            return Err(named(format!(
                "its manifest is that of {own}, not of {name}/{version}"
            )));
        }
        Ok(loaded)
    }

    /// Puts a version in force, after [`Registry::verify`]. The one in force before becomes the previous one.
    ///
    /// # Errors
    /// It does not verify, or the pin could not be replaced: then the former one is in force, unless only the last
    /// step failed, which makes the new pin outlast a loss of power.
    pub fn promote(&self, name: &str, version: &str) -> Result<Pin, String> {
        self.put_in_force(name, version, |_| Ok(()))
    }

    /// As [`Registry::promote`], but only while `expected` is the version in force (`None`: none is).
    ///
    /// # Errors
    /// As there, and another version was put in force meanwhile.
    pub fn promote_after(
        &self,
        name: &str,
        version: &str,
        expected: Option<&str>,
    ) -> Result<Pin, String> {
        self.put_in_force(name, version, |before| {
            let now = before.map(|pin| pin.version.as_str());
            if now == expected {
                return Ok(());
            }
            let now = now.map_or("none".to_owned(), |now| format!("{name}/{now}"));
            Err(format!("meanwhile the version in force is another: {now}"))
        })
    }

    fn put_in_force(
        &self,
        name: &str,
        version: &str,
        may: impl Fn(Option<&Pin>) -> Result<(), String>,
    ) -> Result<Pin, String> {
        let folder = self.existing(name)?;
        // Locked before it is verified: nobody removes it, or puts another in force, in between.
        let lock = lock(&folder)?;
        let versions = self.versions(name)?;
        if !versions.iter().any(|one| one == version) {
            let versions = versions.join(", ");
            return Err(format!(
                "there is no version {version:?} of {name}; versions: {versions}"
            ));
        }
        self.verify(name, version)?;
        let before = self.pin(name)?;
        may(before.as_ref())?;
        let pin = match before {
            Some(pin) if pin.version == version => return Ok(pin),
            Some(pin) => Pin::new(version, Some(pin.version)),
            None => Pin::new(version, None),
        };
        self.write_pin(&folder, &pin)?;
        drop(lock);
        Ok(pin)
    }

    /// Puts the version in force that was before this one; doing it twice leads back.
    ///
    /// # Errors
    /// There was none before, it does not verify, or the pin could not be replaced.
    pub fn rollback(&self, name: &str) -> Result<Pin, String> {
        let now = self
            .pin(name)?
            .ok_or_else(|| format!("model {name}: no version is in force"))?;
        let Some(previous) = now.previous else {
            let version = now.version;
            return Err(format!(
                "model {name}: no version was in force before {version}"
            ));
        };
        self.promote_after(name, &previous, Some(&now.version))
    }

    /// Where the models are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Removes the oldest versions beyond the number that is kept, and what unfinished writers left. The version in
    /// force and the one before it stay, however old they are; where none is in force, nothing is removed.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn prune(&self, name: &str) -> Result<Vec<String>, String> {
        let folder = self.existing(name)?;
        let lock = lock(&folder)?;
        self.sweep(&folder)?;
        let Some(pin) = self.pin(name)? else {
            return Ok(Vec::new());
        };
        let versions = self.versions(name)?;
        let older = &versions[..versions.len().saturating_sub(self.retention)];
        let is_needed =
            |version: &&String| pin.version == **version || pin.previous.as_ref() == Some(*version);
        let gone: Vec<String> = older
            .iter()
            .filter(|one| !is_needed(one))
            .cloned()
            .collect();
        for version in &gone {
            // Renamed first: half of a version would still have the name of one.
            let (from, to) = (folder.join(version), folder.join(format!("{OLD}{version}")));
            let removed = self
                .disk
                .rename(&from, &to)
                .and_then(|()| self.disk.remove_dir(&to));
            removed.map_err(|error| format!("cannot remove {}: {error}", from.display()))?;
        }
        drop(lock);
        Ok(gone)
    }

    /// Removes what is not finished or half removed. Whoever holds the lock is the only one who could be at it.
    fn sweep(&self, folder: &Path) -> Result<(), String> {
        for entry in entries(folder)? {
            let left = [NEW, OLD].iter().any(|prefix| entry.starts_with(prefix));
            let path = folder.join(&entry);
            if left && path.is_dir() {
                let removed = self.disk.remove_dir(&path);
                removed.map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
            }
        }
        Ok(())
    }

    fn write_pin(&self, folder: &Path, pin: &Pin) -> Result<(), String> {
        let (path, fresh) = (
            folder.join(PIN_FILE),
            folder.join(format!("{NEW}{PIN_FILE}")),
        );
        let replaced = self
            .disk
            .write(&fresh, &pin.to_json()?)
            .and_then(|()| self.disk.rename(&fresh, &path))
            .and_then(|()| self.disk.sync_dir(folder));
        replaced.map_err(|error| {
            format!("cannot replace {}: {error}; see which version is in force with forethought models list", path.display())
        })
    }

    fn make(&self, folder: &Path) -> Result<(), String> {
        if folder.exists() {
            return Ok(());
        }
        fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))
    }

    /// The folder of a model that is there.
    fn existing(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.folder(name)?;
        if folder.is_dir() {
            return Ok(folder);
        }
        let known = self.names()?.join(", ");
        let directory = self.directory.display();
        Err(format!(
            "there is no model {name:?} in {directory}; models: {known}"
        ))
    }

    fn folder(&self, name: &str) -> Result<PathBuf, String> {
        match refuse_name(name) {
            Some(problem) => Err(format!("the name of a model: {problem}")),
            None => Ok(self.directory.join(name)),
        }
    }

    fn files(&self, name: &str, version: &str) -> Result<[PathBuf; 2], String> {
        if let Some(problem) = refuse_name(version) {
            return Err(format!("the version of a model: {problem}"));
        }
        let folder = self.folder(name)?.join(version);
        Ok([MODEL_FILE, MANIFEST_FILE].map(|file| folder.join(file)))
    }
}

/// The lock of a model; given back when it is dropped, or when the process ends.
fn lock(folder: &Path) -> Result<File, String> {
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

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn entries(folder: &Path) -> Result<Vec<String>, String> {
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
fn folders(folder: &Path) -> Result<Vec<String>, String> {
    let mut found = entries(folder)?;
    found.retain(|name| refuse_name(name).is_none() && folder.join(name).is_dir());
    Ok(found)
}

#[cfg(test)]
mod tests;
