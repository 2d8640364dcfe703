//! A folder of models and the store that it shares with other machines: sending, fetching, and one pin for all.
//!
//! What comes from the store is trusted no more than what a person puts into the folder: it is there once it was
//! checked as a process does that starts. The pin of the store is written first and that of the folder after it: who is
//! killed in between follows later. Nothing here changes what is in force but [`Shared::promote`], [`Shared::rollback`] and
//! [`Shared::follow`], each after the version was checked.

use super::{
    Pin, Registry,
    store::{PinRefused, Sent, Store, Tag},
};
use crate::contract::{Manifest, Model};
use std::{fmt, sync::Arc};

/// What is asked of a model beyond its contract, such as how long it takes.
pub type Fits = Arc<dyn Fn(Model) -> Result<(), String> + Send + Sync>;

/// A folder of models and the store that it shares.
#[derive(Clone)]
pub struct Shared {
    registry: Registry,
    store: Store,
    fits: Fits,
}

/// What became of a version that was to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It came from the store.
    Now,
    /// It was in the folder.
    Before,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("registry", &self.registry)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The folder of `registry` with `store`; models that do not fit are not fetched.
    pub fn new(registry: Registry, store: Store, fits: Fits) -> Self {
        Self {
            registry,
            store,
            fits,
        }
    }

    /// The folder.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Sends a version after it was checked.
    ///
    /// # Errors
    /// It is not sound, the store has another of its name, or gives no answer.
    pub fn send(&self, name: &str, version: &str) -> Result<Sent, String> {
        self.registry.verify(name, version)?;
        let bytes = self.registry.bytes(name, version)?;
        self.store.send(name, version, bytes)
    }

    /// Fetches a version: it is in the folder once it was checked, whole or not at all, and not in force.
    ///
    /// # Errors
    /// The store does not have it, it is not sound or not trusted, or the folder has another of its name.
    pub fn fetch(&self, name: &str, version: &str) -> Result<Fetched, String> {
        let named = |problem: String| {
            let place = self.store.place();
            format!("{place}: {name}/{version}: {problem}")
        };
        let manifest = self.store.manifest(name, version)?;
        let manifest = manifest.ok_or_else(|| self.unknown(name, version))?;
        if self.has(name, version) {
            let [_, own] = self.registry.bytes(name, version)?;
            if own != manifest {
                let directory = self.registry.directory().display();
                return Err(named(format!(
                    "{directory} has another version of this number"
                )));
            }
            self.check(self.registry.verify(name, version)?)
                .map_err(named)?;
            return Ok(Fetched::Before);
        }
        let known = Manifest::read(&manifest)
            .map_err(|problems| named(format!("its manifest is wrong: {}", problems.join("; "))))?;
        if (known.name.as_str(), known.version.as_str()) != (name, version) {
            return Err(named(format!("its manifest is that of {known}")));
        }
        let model = self.store.model(name, version, &known)?;
        let loaded = self.registry.loaded(model.to_vec(), manifest.to_vec());
        self.check(loaded.map_err(named)?).map_err(named)?;
        self.registry.add(&model, &manifest).map_err(named)?;
        Ok(Fetched::Now)
    }

    fn check(&self, model: Model) -> Result<(), String> {
        (self.fits)(model)
    }

    fn has(&self, name: &str, version: &str) -> bool {
        let versions = self.registry.versions(name).unwrap_or_default();
        versions.iter().any(|one| one == version)
    }

    fn unknown(&self, name: &str, version: &str) -> String {
        let known = self.store.versions(name).unwrap_or_default().join(", ");
        let place = self.store.place();
        format!("{place}: there is no version {version:?} of {name}; versions: {known}")
    }

    /// One more than the greatest number that the store has of a model: what is trained here takes no number that
    /// another machine took.
    ///
    /// # Errors
    /// The store gives no answer.
    pub fn next_number(&self, name: &str) -> Result<u64, String> {
        let versions = self.store.versions(name)?;
        let numbers = versions
            .iter()
            .filter_map(|version| version.parse::<u64>().ok());
        Ok(numbers.max().unwrap_or(0).saturating_add(1))
    }

    /// Puts a version in force for all who follow the store, after it was checked and is there.
    ///
    /// # Errors
    /// It is not sound, the store gives no answer, or somebody else put another one in force at the same time: then
    /// nothing changed. Or the folder could not be written, after the store was.
    pub fn promote(&self, name: &str, version: &str) -> Result<Pin, String> {
        let (now, tag) = self.now(name)?;
        self.put_in_force(name, version, now, &tag)
    }

    /// As [`Shared::promote`], but only while `expected` is in force (`None`: none is).
    ///
    /// # Errors
    /// As there, and another version was put in force meanwhile.
    pub fn promote_after(
        &self,
        name: &str,
        version: &str,
        expected: Option<&str>,
    ) -> Result<Pin, String> {
        let (now, tag) = self.now(name)?;
        if now.as_ref().map(|pin| pin.version.as_str()) != expected {
            return Err(self.lost(name, now.as_ref()));
        }
        self.put_in_force(name, version, now, &tag)
    }

    /// Puts the version in force, for all who follow the store, that was before this one.
    ///
    /// # Errors
    /// There was none before, and as for [`Shared::promote`].
    pub fn rollback(&self, name: &str) -> Result<Pin, String> {
        let (now, tag) = self.now(name)?;
        let Some(now) = now else {
            return Err(format!("model {name}: no version is in force"));
        };
        let Some(previous) = now.previous.clone() else {
            let version = now.version;
            return Err(format!(
                "model {name}: no version was in force before {version}"
            ));
        };
        self.put_in_force(name, &previous, Some(now), &tag)
    }

    /// What is in force: in the store, or, before anything was promoted there, in the folder.
    fn now(&self, name: &str) -> Result<(Option<Pin>, Tag), String> {
        let (pin, tag) = self.store.pin(name)?;
        match pin {
            Some(pin) => Ok((Some(pin), tag)),
            None => Ok((self.registry.pin(name)?, tag)),
        }
    }

    fn put_in_force(
        &self,
        name: &str,
        version: &str,
        now: Option<Pin>,
        tag: &Tag,
    ) -> Result<Pin, String> {
        if !self.has(name, version) {
            self.fetch(name, version)?;
        }
        self.send(name, version)?;
        let pin = match now {
            Some(pin) if pin.version == version => pin,
            now => Pin::new(version, now.map(|pin| pin.version)),
        };
        self.store.put_pin(name, &pin, tag).map_err(|refused| match refused {
            PinRefused::Lost(now) => self.lost(name, now.as_ref()),
            PinRefused::Failed(problem) => {
                format!("{problem}; see which version is in force with forethought models list --store")
            }
        })?;
        let place = self.store.place();
        self.registry.take_pin(name, &pin).map_err(|problem| {
            format!("{name}/{version} is in force in {place}, but not here: {problem}")
        })?;
        Ok(pin)
    }

    fn lost(&self, name: &str, now: Option<&Pin>) -> String {
        let now = now.map_or("none".to_owned(), |pin| format!("{name}/{}", pin.version));
        let place = self.store.place();
        format!("{place}: meanwhile the version in force is another: {now}; nothing was changed")
    }

    /// Does here what the pin of the store says: fetches its version, checks it and puts it in force. `None` where it is
    /// in force already, or nothing is there.
    ///
    /// # Errors
    /// The store gives no answer, or has something that is not taken: then what is in force here stays.
    pub fn follow(&self, name: &str) -> Result<Option<Pin>, String> {
        let Some(pin) = self.store.pin(name)?.0 else {
            return Ok(None);
        };
        if self.registry.pin(name)?.as_ref() == Some(&pin) {
            return Ok(None);
        }
        self.fetch(name, &pin.version)?;
        self.registry.take_pin(name, &pin)?;
        Ok(Some(pin))
    }

    /// Gives the store the pin of the folder, whose version it must have; one that is there is kept, unless it `may`
    /// be replaced. The pin that is there afterwards.
    ///
    /// # Errors
    /// Somebody else wrote one meanwhile, or the store gives no answer.
    pub fn send_pin(&self, name: &str, may_replace: bool) -> Result<Option<Pin>, String> {
        let (there, tag) = self.store.pin(name)?;
        let Some(own) = self.registry.pin(name)? else {
            return Ok(there);
        };
        if there.is_some() && !may_replace {
            return Ok(there);
        }
        self.store
            .put_pin(name, &own, &tag)
            .map_err(|refused| match refused {
                PinRefused::Lost(now) => self.lost(name, now.as_ref()),
                PinRefused::Failed(problem) => problem,
            })?;
        Ok(Some(own))
    }
}

#[cfg(test)]
mod tests;
