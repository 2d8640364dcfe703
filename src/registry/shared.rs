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
use crate::contract::{Manifest, Model, seal};
use std::{
    fmt::{self, Display},
    path::PathBuf,
    sync::Arc,
};

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

/// What was put in force because the store says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// That.
    pub pin: Pin,
    /// Where another version of its number is now that was here and not needed.
    pub aside: Option<PathBuf>,
}

/// Why what the store says was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFollowed {
    /// Its version does not pass a check: nor will it the next time.
    Refused(RefusedPin),
    /// The store or the folder fails, which may pass.
    Failed(String),
}

/// A pin of the store whose version did not pass a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPin {
    pin: Pin,
    /// Whether the version was in the folder then.
    was_here: bool,
    /// What was wrong.
    pub problem: String,
}

impl NotFollowed {
    /// What was wrong.
    pub fn problem(self) -> String {
        match self {
            Self::Failed(problem) => problem,
            Self::Refused(refused) => refused.problem,
        }
    }
}

impl From<String> for NotFollowed {
    fn from(problem: String) -> Self {
        Self::Failed(problem)
    }
}

/// Why a version was not fetched.
enum NotFetched {
    Refused(String),
    Failed(String),
}

impl From<String> for NotFetched {
    fn from(problem: String) -> Self {
        Self::Failed(problem)
    }
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
        let fetched = self.fetch_or_tell(name, version, false);
        fetched
            .map(|(fetched, _)| fetched)
            .map_err(|problem| match problem {
                NotFetched::Refused(problem) | NotFetched::Failed(problem) => problem,
            })
    }

    /// As [`Shared::fetch`]. Another version of its number that is here and not needed is moved aside where it `may` be,
    /// once what comes for it was checked: where to.
    fn fetch_or_tell(
        &self,
        name: &str,
        version: &str,
        may_move: bool,
    ) -> Result<(Fetched, Option<PathBuf>), NotFetched> {
        let named = |problem: &dyn Display| {
            let place = self.store.place();
            format!("{place}: {name}/{version}: {problem}")
        };
        let refused = |problem: String| NotFetched::Refused(named(&problem));
        let manifest = self.store.manifest(name, version)?;
        let manifest = manifest.ok_or_else(|| self.unknown(name, version))?;
        let is_here = self.has(name, version);
        if is_here {
            let [_, own] = self.registry.bytes(name, version)?;
            if own == manifest {
                let model = self.registry.verify(name, version);
                let model = model.map_err(NotFetched::Refused)?;
                self.check(model).map_err(refused)?;
                return Ok((Fetched::Before, None));
            }
            if !may_move || self.registry.is_needed(name, version)? {
                let folder = self.registry.directory().join(name).join(version);
                let problem = format!(
                    "{} is another version of this number; remove that folder to have this one",
                    folder.display()
                );
                return Err(named(&problem).into());
            }
        }
        let known = Manifest::read(&manifest).map_err(|problems| {
            refused(format!("its manifest is wrong: {}", problems.join("; ")))
        })?;
        if (known.name.as_str(), known.version.as_str()) != (name, version) {
            return Err(refused(format!("its manifest is that of {known}")));
        }
        let model = self.store.network(name, version)?;
        seal::check_hash(&model, &known).map_err(refused)?;
        let loaded = self.registry.loaded(model.to_vec(), manifest.to_vec());
        self.check(loaded.map_err(refused)?).map_err(refused)?;
        let aside = if is_here {
            let moved = self.registry.set_aside(name, version);
            Some(moved.map_err(|problem| named(&problem))?)
        } else {
            None
        };
        let added = self.registry.add(&model, &manifest);
        added.map_err(|problem| named(&problem))?;
        Ok((Fetched::Now, aside))
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
    ///
    /// # Errors
    /// The store gives no answer, or a pin cannot be read.
    pub fn pin(&self, name: &str) -> Result<Option<Pin>, String> {
        Ok(self.now(name)?.0)
    }

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
    /// in force already, or nothing is there. Another version of its number that is here and not needed is moved aside.
    ///
    /// # Errors
    /// The store gives no answer, or has something that is not taken: then what is in force here stays.
    pub fn follow(&self, name: &str) -> Result<Option<Pin>, String> {
        let followed = self.follow_anew(name, None);
        followed
            .map(|followed| followed.map(|followed| followed.pin))
            .map_err(NotFollowed::problem)
    }

    /// As [`Shared::follow`], but what was `refused` before is not fetched and run again while it is what the store says.
    ///
    /// # Errors
    /// As there; those of a pin that was refused again, too.
    pub fn follow_anew(
        &self,
        name: &str,
        refused: Option<&RefusedPin>,
    ) -> Result<Option<Followed>, NotFollowed> {
        let mut there = self.store.pin(name)?.0;
        let mut aside = None;
        // Twice: somebody may put another one in force while this one comes.
        for _ in 0..2 {
            let Some(pin) = there else {
                return Ok(None);
            };
            if self.registry.pin(name)?.as_ref() == Some(&pin) {
                return Ok(None);
            }
            let was_here = self.has(name, &pin.version);
            if let Some(same) = refused.filter(|one| one.pin == pin && one.was_here == was_here) {
                return Err(NotFollowed::Refused(same.clone()));
            }
            let fetched = self.fetch_or_tell(name, &pin.version, true);
            let (_, moved) = fetched.map_err(|problem| match problem {
                NotFetched::Failed(problem) => NotFollowed::Failed(problem),
                NotFetched::Refused(problem) => NotFollowed::Refused(RefusedPin {
                    pin: pin.clone(),
                    was_here,
                    problem,
                }),
            })?;
            aside = moved.or(aside);
            there = self.store.pin(name)?.0;
            if there.as_ref() == Some(&pin) {
                self.registry.take_pin(name, &pin)?;
                return Ok(Some(Followed { pin, aside }));
            }
        }
        let place = self.store.place();
        let problem =
            format!("{place}: what is in force of {name} changed again and again meanwhile");
        Err(problem.into())
    }

    /// Gives the store the pin of the folder, after its version, as [`Shared::send`]; one that is there is kept, unless
    /// it `may` be replaced. The pin that is there afterwards.
    ///
    /// # Errors
    /// Its version cannot be sent, somebody else wrote a pin meanwhile, or the store gives no answer.
    pub fn send_pin(&self, name: &str, may_replace: bool) -> Result<Option<Pin>, String> {
        let (there, tag) = self.store.pin(name)?;
        let Some(own) = self.registry.pin(name)? else {
            return Ok(there);
        };
        if there.is_some() && !may_replace {
            return Ok(there);
        }
        // All who follow would get another one of this number, or none.
        self.send(name, &own.version).map_err(|problem| {
            format!("{problem}; what is in force of {name} in the store stays")
        })?;
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
