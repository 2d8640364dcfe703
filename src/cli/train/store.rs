//! What is in force, and what becomes of the new model.

use super::Failure;
use crate::{
    contract::{Manifest, Model, seal},
    registry::{Registry, Shared},
    series::{Grid, Span},
    train::Trained,
};
use std::io::Write;

/// Where the model goes.
#[derive(Debug)]
pub(super) struct Store {
    /// `None` only where nothing is stored.
    pub(super) registry: Option<Registry>,
    /// Where what is in force is shared with other machines.
    pub(super) shared: Option<Shared>,
    pub(super) is_dry: bool,
    /// Of the model.
    pub(super) name: String,
    /// To sign with.
    pub(super) key: Option<Vec<u8>>,
    pub(super) max_latency: Span,
    /// When this is.
    pub(super) created: String,
}

/// The version in force when training began.
#[derive(Debug)]
pub(super) struct InForce {
    /// Such as `checkout/6`.
    pub(super) name: String,
    version: String,
    /// What is wrong with it, if it cannot be asked.
    model: Result<Model, String>,
}

impl InForce {
    /// The model, where it answers series on this grid.
    ///
    /// # Errors
    /// Why the new one cannot be compared with it.
    pub(super) fn usable(&self, grid: Grid) -> Result<&Model, String> {
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
    /// The version in force.
    ///
    /// # Errors
    /// The pin cannot be read.
    pub(super) fn champion(&self) -> Result<Option<InForce>, String> {
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
    pub(super) fn manifest(
        &self,
        trained: &Trained,
        champion: Option<&InForce>,
    ) -> Result<Manifest, String> {
        let next = |registry: &Registry| registry.next_version(&self.name);
        let version = self.registry.as_ref().map_or(Ok("1".to_owned()), next)?;
        let parent = champion.map(|champion| champion.version.clone());
        Ok(trained.manifest(&self.name, &version, parent, self.created.clone()))
    }

    /// Stores the model, puts it in force where nothing speaks against it, and says so.
    pub(super) fn keep(
        &self,
        onnx: &[u8],
        manifest: &Manifest,
        objections: &[String],
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let why = objections.join("; ");
        let (Some(registry), false) = (&self.registry, self.is_dry) else {
            let would = match objections {
                [] => "would be put in force".to_owned(),
                _ => format!("would not be put in force: {why}"),
            };
            writeln!(out, "{manifest}: not stored, as asked for; {would}")?;
            return Ok(());
        };
        // Somebody else may train the same model: which number is free is asked when it is taken.
        let least = self
            .shared
            .as_ref()
            .map(|shared| shared.next_number(&self.name));
        let least = least.unwrap_or(Ok(1)).map_err(Failure::Failed)?;
        let added = registry.add_next(&self.name, least, onnx, |version| {
            let mut manifest = manifest.clone();
            version.clone_into(&mut manifest.version);
            match &self.key {
                Some(key) => seal::sign(&manifest, key),
                None => manifest.to_json(),
            }
        });
        let manifest = added.map_err(Failure::Failed)?;
        let (name, version) = (&manifest.name, &manifest.version);
        let parent = manifest.parent.as_deref();
        let before = registry.pin(name).map_err(Failure::Failed)?;
        let before = before.map(|pin| pin.version);
        if before.as_deref() != parent {
            let now = before.unwrap_or_default();
            let text = "was put in force while this one was trained";
            writeln!(
                out,
                "{manifest}: stored, not put in force: {name}/{now} {text}"
            )?;
        } else if objections.is_empty() {
            let pin = match &self.shared {
                Some(shared) => shared.promote_after(name, version, parent),
                None => registry.promote_after(name, version, parent),
            };
            let before = pin.map_err(Failure::Failed)?.previous;
            let before = before.map(|before| format!(" (before: {before})"));
            let before = before.unwrap_or_default();
            writeln!(out, "{manifest}: stored and put in force{before}")?;
        } else {
            writeln!(out, "{manifest}: stored, not put in force: {why}")?;
            let directory = registry.directory().display();
            let all_the_same = format!(
                "forethought models promote {name} {version} --models.directory={directory}"
            );
            writeln!(out, "To put it in force all the same: {all_the_same}")?;
        }
        let gone = registry.prune(name).map_err(Failure::Failed)?;
        if !gone.is_empty() {
            let gone = gone.join(", ");
            writeln!(out, "{name}: removed {gone}, beyond models.retention")?;
        }
        Ok(())
    }
}
