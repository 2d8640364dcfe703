//! Models in a store that machines share: S3-compatible storage.
//!
//! ```text
//! PREFIX/checkout/7/model.onnx
//! PREFIX/checkout/7/manifest.json
//! PREFIX/checkout/champion.json
//! ```
//!
//! The layout is that of a folder ([`super`]). A version is there once its manifest is, which is written last, and nothing
//! but a pin is ever written twice or deleted: what a killed upload left is completed by the next one. Pins are written on
//! the condition that nobody wrote them meanwhile, so of two promotions at once one is told that it lost.

#[cfg(feature = "object-store")]
mod http;
#[cfg(test)]
pub(crate) mod memory;
mod objects;
#[cfg(feature = "object-store")]
mod s3;
mod settings;

pub use objects::{Object, Objects, Only, Refused};
pub use settings::{S3, Settings};

use super::{MANIFEST_FILE, MODEL_FILE, PIN_FILE, Pin, files, order, refuse_version};
use crate::contract::{Manifest, refuse_name, seal};
use bytes::Bytes;
use std::{path::Path, sync::Arc};

/// Models in a store.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn Objects>,
    /// For people: `s3://bucket/prefix at http://minio:9000`.
    place: String,
}

/// What became of a version that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was sent.
    Now,
    /// It was there.
    Before,
}

/// Which pin was read: of the next one it is asked whether it is still this one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tag(Option<String>);

/// Why a pin was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinRefused {
    /// Another one was written meanwhile.
    Lost(Option<Pin>),
    /// It did not work.
    Failed(String),
}

impl Store {
    /// Models among `objects`; `place` says where that is.
    pub fn new(objects: Arc<dyn Objects>, place: String) -> Self {
        Self { objects, place }
    }

    /// Where it is, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The names of the models, sorted.
    ///
    /// # Errors
    /// The store gives no answer; so for all.
    pub fn names(&self) -> Result<Vec<String>, String> {
        let mut names = self.folders("")?;
        names.retain(|name| refuse_name(name).is_none());
        Ok(names)
    }

    /// The versions of a model, oldest first by their numbers; those on their way among them.
    ///
    /// # Errors
    /// As there.
    pub fn versions(&self, name: &str) -> Result<Vec<String>, String> {
        let mut versions = self.folders(&folder(name)?)?;
        versions.retain(|version| refuse_version(version).is_none());
        versions.sort_by(|one, other| order::natural(one, other));
        Ok(versions)
    }

    /// The bytes of a manifest; `None` where there is no such version.
    ///
    /// # Errors
    /// As there, and a manifest that is too large.
    pub fn manifest(&self, name: &str, version: &str) -> Result<Option<Bytes>, String> {
        let key = key(name, version, MANIFEST_FILE)?;
        let found = self.get(&key, files::MOST_MANIFEST_BYTES)?;
        Ok(found.map(|object| object.bytes))
    }

    /// The bytes of a network; its hash is that of the manifest.
    ///
    /// # Errors
    /// It is not there, too large, or another one.
    pub fn model(&self, name: &str, version: &str, manifest: &Manifest) -> Result<Bytes, String> {
        let bytes = self.network(name, version)?;
        let key = key(name, version, MODEL_FILE)?;
        seal::check_hash(&bytes, manifest).map_err(|problem| self.named(&key, &problem))?;
        Ok(bytes)
    }

    /// The bytes of what should be a network; they are not looked at.
    pub(super) fn network(&self, name: &str, version: &str) -> Result<Bytes, String> {
        let key = key(name, version, MODEL_FILE)?;
        let found = self.get(&key, files::MOST_MODEL_BYTES)?;
        let found = found.ok_or_else(|| self.named(&key, "is not there"))?;
        Ok(found.bytes)
    }

    /// Sends a version, its manifest last, and reads it again: what is there then has the hash of the manifest.
    ///
    /// # Errors
    /// Another version of this name is there, or it cannot be sent.
    pub fn send(
        &self,
        name: &str,
        version: &str,
        [model, manifest]: [Vec<u8>; 2],
    ) -> Result<Sent, String> {
        let known = Manifest::read(&manifest).map_err(|problems| {
            format!(
                "{name}/{version}: its manifest is wrong: {}",
                problems.join("; ")
            )
        })?;
        seal::check_hash(&model, &known)
            .map_err(|problem| format!("{name}/{version}: {problem}"))?;
        let sent = match self.manifest(name, version)? {
            Some(_) => Sent::Before,
            None => {
                self.send_once(&key(name, version, MODEL_FILE)?, model)?;
                // One that was there may be of another version of this number: then no manifest makes it this one.
                self.model(name, version, &known)?;
                self.send_once(&key(name, version, MANIFEST_FILE)?, manifest.clone())?;
                Sent::Now
            }
        };
        let there = self.manifest(name, version)?;
        if there.as_deref() != Some(manifest.as_slice()) {
            let key = key(name, version, MANIFEST_FILE)?;
            return Err(self.named(
                &key,
                "is that of another version of this number; give this one another",
            ));
        }
        self.model(name, version, &known)?;
        Ok(sent)
    }

    /// Writes an object that is never written again. One that is there may be what an upload left that was killed, or
    /// another: whoever reads it afterwards finds out.
    fn send_once(&self, key: &str, bytes: Vec<u8>) -> Result<(), String> {
        match self.objects.put(key, bytes.into(), Only::Absent) {
            Ok(()) | Err(Refused::Taken) => Ok(()),
            Err(Refused::Failed(problem)) => Err(self.named(key, &problem)),
        }
    }

    /// What is in force of a model there, and the tag by which it is replaced.
    ///
    /// # Errors
    /// The store gives no answer, or what is there is no pin.
    pub fn pin(&self, name: &str) -> Result<(Option<Pin>, Tag), String> {
        let key = pin_key(name)?;
        let Some(found) = self.get(&key, files::MOST_PIN_BYTES)? else {
            return Ok((None, Tag(None)));
        };
        let pin = Pin::read(&found.bytes, Path::new(&key));
        let pin = pin.map_err(|problem| format!("{}: {problem}", self.place))?;
        Ok((Some(pin), Tag(Some(found.tag))))
    }

    /// Puts a version in force there, if the pin is still the one that was read.
    ///
    /// # Errors
    /// It is not, or nobody knows.
    pub fn put_pin(&self, name: &str, pin: &Pin, read: &Tag) -> Result<(), PinRefused> {
        let failed = PinRefused::Failed;
        let key = pin_key(name).map_err(failed)?;
        let bytes = pin.to_json().map_err(failed)?;
        let only = read.0.as_deref().map_or(Only::Absent, Only::Unchanged);
        match self.objects.put(&key, bytes.into(), only) {
            Ok(()) => Ok(()),
            Err(Refused::Failed(problem)) => Err(failed(self.named(&key, &problem))),
            // The first answer may have been lost, and the second attempt met what the first one wrote.
            Err(Refused::Taken) => match self.pin(name).map_err(failed)?.0 {
                Some(now) if now == *pin => Ok(()),
                now => Err(PinRefused::Lost(now)),
            },
        }
    }

    fn folders(&self, key: &str) -> Result<Vec<String>, String> {
        let found = self.objects.folders(key);
        found.map_err(|problem| self.named(key, &problem))
    }

    fn get(&self, key: &str, most: u64) -> Result<Option<Object>, String> {
        let found = self.objects.get(key, most);
        found.map_err(|problem| self.named(key, &problem))
    }

    fn named(&self, key: &str, problem: &str) -> String {
        let separator = if key.is_empty() { "" } else { ": " };
        format!("{}: {key}{separator}{problem}", self.place)
    }
}

fn folder(name: &str) -> Result<String, String> {
    match refuse_name(name) {
        Some(problem) => Err(format!("the name of a model: {problem}")),
        None => Ok(name.to_owned()),
    }
}

fn pin_key(name: &str) -> Result<String, String> {
    Ok(format!("{}/{PIN_FILE}", folder(name)?))
}

fn key(name: &str, version: &str, file: &str) -> Result<String, String> {
    match refuse_version(version) {
        Some(problem) => Err(format!("the version of a model: {problem}")),
        None => Ok(format!("{}/{version}/{file}", folder(name)?)),
    }
}
