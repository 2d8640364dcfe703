//! Where models are, and which are taken, as written in configuration.

use super::{Fits, Registry, Shared, store};
use crate::{
    contract::{PublicKey, Trust},
    series::Span,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Enough to go back a few times, and to see how scores went.
const RETENTION: usize = 5;
/// What runs for every series at every step must be fast: a thousand series in batches of 64 then take under two seconds.
const LATENCY: Span = Span::millis(100);

/// Where models are, and which are taken.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The folder of the registry.
    pub directory: Option<PathBuf>,
    /// How many versions of each model are kept.
    pub retention: usize,
    /// Whether a model without a signature by a trusted key is refused.
    pub require_signature: bool,
    /// Ed25519 public keys, each the Base64 of its 32 bytes.
    pub trusted_keys: Vec<String>,
    /// A model that takes longer for one window is refused.
    pub max_latency: Span,
    /// Where they are kept beside this machine.
    pub store: Option<store::Settings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            directory: None,
            retention: RETENTION,
            require_signature: false,
            trusted_keys: Vec::new(),
            max_latency: LATENCY,
            store: None,
        }
    }
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |field: &str, text: String| problems.push((field.to_owned(), text));
        if self
            .directory
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            add("directory", "is empty; name a folder".to_owned());
        }
        if self.retention < 2 {
            let text = format!("{} is not allowed; allowed: 2 or more", self.retention);
            add("retention", text);
        }
        for (index, key) in self.trusted_keys.iter().enumerate() {
            if let Err(problem) = PublicKey::read(key) {
                add(&format!("trusted_keys[{index}]"), problem);
            }
        }
        if self.require_signature && self.trusted_keys.is_empty() {
            let text = "needs a key that is trusted; add one to trusted_keys";
            add("require_signature", text.to_owned());
        }
        if self.max_latency.as_millis() <= 0 {
            add("max_latency", "must be longer than 0s".to_owned());
        }
        if let Some(store) = &self.store {
            if self.directory.is_none() {
                add(
                    "store",
                    "needs a folder of this machine too; set directory".to_owned(),
                );
            }
            store.validate(&mut problems);
        }
        problems
    }

    /// Makes a relative folder relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        if let Some(own) = &mut self.directory {
            *own = directory.join(&*own);
        }
        if let Some(store) = &mut self.store {
            store.set_directory(directory);
        }
    }

    /// Whose models are taken. Keys that cannot be read were refused by [`Settings::validate`].
    pub fn trust(&self) -> Trust {
        let keys = self.trusted_keys.iter();
        Trust {
            required: self.require_signature,
            keys: keys.filter_map(|key| PublicKey::read(key).ok()).collect(),
        }
    }

    /// The registry, where a folder is named.
    pub fn registry(&self) -> Option<Registry> {
        let directory = self.directory.clone()?;
        Some(Registry::new(directory, self.trust(), self.retention))
    }

    /// The folder with its store, where both are named. `env` looks up variables; models that do not `fits` are not fetched.
    ///
    /// # Errors
    /// See [`store::Settings::open`].
    pub fn shared(
        &self,
        env: &dyn Fn(&str) -> Option<String>,
        fits: Fits,
    ) -> Result<Option<Shared>, String> {
        let (Some(store), Some(registry)) = (&self.store, self.registry()) else {
            return Ok(None);
        };
        Ok(Some(Shared::new(registry, store.open(env)?, fits)))
    }

    /// Whether the pin of the store is the one that all follow.
    pub fn is_followed(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.follow)
    }
}
