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
//! that was in force. Names that begin with `.new-` or `.old-` are not finished or about to go; the next writer removes them.
//! `.aside-7` is a version whose number the store gave to another one, `.history` what a training fetched. Who writes holds a
//! lock on `.lock`; readers need none.
//!
//! A registry is shared by all replicas that see the folder. Whoever trains calls [`Registry::add`] and
//! [`Registry::promote`]; a running process follows the pin.

mod aside;
mod deadline;
mod disk;
#[cfg(test)]
mod faulty;
mod files;
mod order;
mod pin;
mod settings;
mod shared;
pub mod store;

pub(crate) use deadline::{ANSWERS_WITHIN, within};
pub use disk::{Disk, RealDisk};
pub use pin::Pin;
pub use settings::Settings;
pub use shared::{Fetched, Fits, Followed, NotFollowed, RefusedPin, Shared};

use crate::contract::{Manifest, Model, Trust, refuse_name};
use files::{entries, folders, lock, read, read_if_there};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The network of a version.
pub const MODEL_FILE: &str = "model.onnx";
/// Its manifest.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Which version is in force.
pub const PIN_FILE: &str = "champion.json";
/// In front of what is not finished yet, and of what is about to go.
const NEW: &str = ".new-";
const OLD: &str = ".old-";

/// The models in one folder.
#[derive(Debug, Clone)]
pub struct Registry {
    directory: PathBuf,
    trust: Trust,
    retention: usize,
    /// How long a model may take to be loaded and to answer.
    patience: Duration,
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
            patience: ANSWERS_WITHIN,
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
        Ok(self.next_number(name)?.to_string())
    }

    fn next_number(&self, name: &str) -> Result<u64, String> {
        let folder = self.folder(name)?;
        let taken = if folder.exists() {
            folders(&folder)?
        } else {
            Vec::new()
        };
        let numbers = taken.iter().filter_map(|version| version.parse().ok());
        let greatest: u64 = numbers.max().unwrap_or(0);
        let next = greatest.checked_add(1);
        next.ok_or_else(|| format!("there is no number after version {greatest} of {name}"))
    }

    /// Writes a new version: the ONNX file and the bytes of its manifest, which has name, version and hash (and the
    /// signature, see [`crate::contract::seal::sign`]). It is there whole or not at all, and not in force.
    ///
    /// # Errors
    /// It does not keep its contract, is there already, or cannot be written.
    pub fn add(&self, model: &[u8], manifest: &[u8]) -> Result<Manifest, String> {
        let checked = self.load(model, manifest)?;
        let folder = self.folder(&checked.name)?;
        self.make(&folder)?;
        let lock = lock(&folder)?;
        let added = self.add_checked(&folder, model, manifest, checked);
        drop(lock);
        added
    }

    /// As [`Registry::add`], as the version with the next free number from `least` on: `manifest` makes the bytes of its manifest
    /// once that is known. Of two who add at once each gets a number of its own.
    ///
    /// # Errors
    /// As there, and those of `manifest`.
    pub fn add_next(
        &self,
        name: &str,
        least: u64,
        model: &[u8],
        manifest: impl FnOnce(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Manifest, String> {
        let folder = self.folder(name)?;
        self.make(&folder)?;
        let lock = lock(&folder)?;
        let version = self.next_number(name)?.max(least).to_string();
        let bytes = manifest(&version)?;
        let checked = self.load(model, &bytes)?;
        if (checked.name.as_str(), &checked.version) != (name, &version) {
            return Err(format!(
                "its manifest is that of {checked}, not of {name}/{version}"
            ));
        }
        let added = self.add_checked(&folder, model, &bytes, checked);
        drop(lock);
        added
    }

    /// Whoever calls holds the lock of `folder`.
    fn add_checked(
        &self,
        folder: &Path,
        model: &[u8],
        manifest: &[u8],
        checked: Manifest,
    ) -> Result<Manifest, String> {
        let version = &checked.version;
        if let Some(problem) = refuse_version(version) {
            return Err(format!("the version of a model: {problem}"));
        }
        let place = folder.join(version);
        if place.exists() {
            return Err(format!(
                "{} is there already; versions never change",
                place.display()
            ));
        }
        let fresh = folder.join(format!("{NEW}{version}"));
        let written = self.write_version(&fresh, model, manifest, &place, folder);
        if written.is_err() {
            // What is left of it is of no name that anybody reads.
            drop(self.disk.remove_dir(&fresh));
        }
        written.map_err(|error| format!("cannot write {}: {error}", place.display()))?;
        Ok(checked)
    }

    /// The manifest of a model that keeps it.
    fn load(&self, model: &[u8], manifest: &[u8]) -> Result<Manifest, String> {
        let loaded = self.loaded(model.to_vec(), manifest.to_vec())?;
        Ok(loaded.manifest().ok_or("has no manifest")?.clone())
    }

    /// A model, checked against its manifest, if it answers in time.
    fn loaded(&self, model: Vec<u8>, manifest: Vec<u8>) -> Result<Model, String> {
        let trust = self.trust.clone();
        within(self.patience, move || {
            Model::load(&model, &manifest, &trust)
        })?
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
        let loaded = self
            .loaded(read(&model)?, read(&manifest)?)
            .map_err(named)?;
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

    /// Puts in force what a pin says that somebody else wrote, after [`Registry::verify`]: its version, and what it calls
    /// the previous one.
    ///
    /// # Errors
    /// As [`Registry::promote`].
    pub fn take_pin(&self, name: &str, pin: &Pin) -> Result<(), String> {
        let folder = self.existing(name)?;
        let lock = lock(&folder)?;
        self.verify(name, &pin.version)?;
        if self.pin(name)?.as_ref() != Some(pin) {
            self.write_pin(&folder, pin)?;
        }
        drop(lock);
        Ok(())
    }

    /// The bytes of a version, model first; they are not looked at.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn bytes(&self, name: &str, version: &str) -> Result<[Vec<u8>; 2], String> {
        let [model, manifest] = self.files(name, version)?;
        Ok([read(&model)?, read(&manifest)?])
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
        let gone: Vec<String> = older
            .iter()
            .filter(|one| !pin.names(one))
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
        if let Some(problem) = refuse_version(version) {
            return Err(format!("the version of a model: {problem}"));
        }
        let folder = self.folder(name)?.join(version);
        Ok([MODEL_FILE, MANIFEST_FILE].map(|file| folder.join(file)))
    }
}

/// What is wrong with the name of a version, if it cannot be one: beside what no name may be, the files of the
/// registry have names of their own.
pub fn refuse_version(version: &str) -> Option<String> {
    let taken = [PIN_FILE, MODEL_FILE, MANIFEST_FILE];
    // Some file systems know no difference between small and capital letters.
    if taken.iter().any(|name| version.eq_ignore_ascii_case(name)) {
        return Some(format!(
            "{version:?} is not allowed: it is the name of a file of the registry"
        ));
    }
    refuse_name(version)
}

#[cfg(test)]
mod tests;
