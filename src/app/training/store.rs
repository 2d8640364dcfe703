//! What is in force, and what becomes of the new model.

use super::Done;
use crate::{
    contract::{Manifest, Model, seal},
    registry::{Registry, Shared},
    series::{Grid, Span},
    train::Trained,
};
use std::path::Path;

/// Where the model goes.
pub(crate) struct Store {
    /// `None` only where nothing is stored.
    pub(crate) registry: Option<Registry>,
    /// Where what is in force is shared with other machines.
    pub(crate) shared: Option<Shared>,
    pub(crate) is_dry: bool,
    /// Of the model.
    pub(crate) name: String,
    /// To sign with.
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) max_latency: Span,
    /// When this is.
    pub(crate) created: String,
}

impl std::fmt::Debug for Store {
    /// The key is private.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name)
            .field("signs", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

/// The version in force when training began.
#[derive(Debug)]
pub(crate) struct InForce {
    /// Such as `checkout/6`.
    pub(crate) name: String,
    version: String,
    /// What is wrong with it, if it cannot be asked.
    model: Result<Model, String>,
}

/// What became of a model.
#[derive(Debug)]
pub(crate) struct Kept {
    /// With the version it was stored as.
    pub(crate) manifest: Manifest,
    pub(crate) fate: Fate,
    /// Older versions that were removed, as more are not kept.
    pub(crate) removed: Vec<String>,
}

/// Whether a model was put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was not even stored, as asked for.
    NotStored,
    /// Stored and put in force.
    InForce {
        /// The version that was in force.
        before: Option<String>,
    },
    /// Stored: another version was put in force while this one was trained.
    Overtaken {
        /// That version; empty where there is none any more.
        by: String,
    },
    /// Stored: something speaks against it.
    Refused,
}

impl InForce {
    /// The model, where it answers series on this grid.
    ///
    /// # Errors
    /// Why the new one cannot be compared with it.
    pub(crate) fn usable(&self, grid: Grid) -> Result<&Model, String> {
        let with = |problem: &str| {
            let name = &self.name;
            format!("it cannot be compared with {name}, which is in force: {problem}")
        };
        let model = self.model.as_ref().map_err(|problem| with(problem))?;
        let step = model.manifest().map(|manifest| manifest.step);
        match step == Some(Span::millis(grid.step())) {
            true => Ok(model),
            false => Err(with("that one was made for another step")),
        }
    }
}

impl Store {
    /// The folder of the registry, where there is one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.registry.as_ref().map(Registry::directory)
    }

    /// The version in force.
    ///
    /// # Errors
    /// The pin cannot be read.
    pub(crate) fn champion(&self) -> Result<Option<InForce>, String> {
        let Some(registry) = &self.registry else {
            return Ok(None);
        };
        if let Some(shared) = &self.shared {
            shared.follow(&self.name)?;
        }
        let pin = registry.pin(&self.name)?;
        Ok(pin.map(|pin| InForce {
            name: format!("{}/{}", self.name, pin.version),
            model: registry.verify(&self.name, &pin.version),
            version: pin.version,
        }))
    }

    /// The manifest of the next version, without scores.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub(crate) fn manifest(
        &self,
        trained: &Trained,
        champion: Option<&InForce>,
    ) -> Result<Manifest, String> {
        let next = |registry: &Registry| registry.next_version(&self.name);
        let version = self.registry.as_ref().map_or(Ok("1".to_owned()), next)?;
        let parent = champion.map(|champion| champion.version.clone());
        Ok(trained.manifest(&self.name, &version, parent, self.created.clone()))
    }

    /// Stores a model, and puts it in force where nothing speaks against it and no other was put in force meanwhile.
    ///
    /// # Errors
    /// It cannot be signed or stored; the version in force is then the one that was.
    pub(crate) fn keep(&self, done: &Done) -> Result<Kept, String> {
        let mut kept = Kept {
            manifest: done.manifest.clone(),
            fate: Fate::NotStored,
            removed: Vec::new(),
        };
        let (Some(registry), false) = (&self.registry, self.is_dry) else {
            return Ok(kept);
        };
        let shared = self.shared.as_ref();
        let least = shared.map(|shared| shared.next_number(&self.name));
        // Somebody else may train the same model: which number is free is asked when it is taken.
        let manifest = |version: &str| {
            let mut manifest = done.manifest.clone();
            version.clone_into(&mut manifest.version);
            match &self.key {
                Some(key) => seal::sign(&manifest, key),
                None => manifest.to_json(),
            }
        };
        let (least, model) = (least.unwrap_or(Ok(1))?, &done.trained.onnx);
        kept.manifest = registry.add_next(&self.name, least, model, manifest)?;
        kept.fate = promoted(registry, shared, &kept.manifest, &done.objections)?;
        kept.removed = registry.prune(&self.name)?;
        Ok(kept)
    }
}

/// Puts a stored version in force, if it is to be.
fn promoted(
    registry: &Registry,
    shared: Option<&Shared>,
    manifest: &Manifest,
    objections: &[String],
) -> Result<Fate, String> {
    let (name, parent) = (&manifest.name, manifest.parent.as_deref());
    let before = registry.pin(name)?.map(|pin| pin.version);
    if before.as_deref() != parent {
        let by = before.unwrap_or_default();
        return Ok(Fate::Overtaken { by });
    }
    if !objections.is_empty() {
        return Ok(Fate::Refused);
    }
    let promoted = match shared {
        Some(shared) => shared.promote_after(name, &manifest.version, parent),
        None => registry.promote_after(name, &manifest.version, parent),
    };
    let problem = match promoted {
        Ok(pin) => {
            return Ok(Fate::InForce {
                before: pin.previous,
            });
        }
        Err(problem) => problem,
    };
    // Somebody else may have been faster, between the look above and the change: nothing failed then.
    let now = match shared {
        Some(shared) => shared.pin(name),
        None => registry.pin(name),
    };
    let by = match now {
        Ok(now) => now.map(|pin| pin.version),
        Err(_) => return Err(problem),
    };
    // Its own number: it is in force in the store, but not here.
    if by.as_deref() == parent || by.as_deref() == Some(manifest.version.as_str()) {
        return Err(problem);
    }
    Ok(Fate::Overtaken {
        by: by.unwrap_or_default(),
    })
}
