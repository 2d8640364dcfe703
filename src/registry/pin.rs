//! The pin: which version of a model is in force.

use super::refuse_version;
use serde::{Deserialize, Serialize};
use std::path::Path;

const FORMAT: u32 = 1;

/// Which version of a model is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    format: u32,
    /// The version in force.
    pub version: String,
    /// The one in force before it; none for the first.
    #[serde(default)]
    pub previous: Option<String>,
}

impl Pin {
    pub(super) fn new(version: &str, previous: Option<String>) -> Self {
        Self {
            format: FORMAT,
            version: version.to_owned(),
            previous,
        }
    }

    /// Whether this version is in force, or was before.
    pub fn names(&self, version: &str) -> bool {
        self.version == version || self.previous.as_deref() == Some(version)
    }

    /// Reads the content of the file at `path`.
    pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<Self, String> {
        let named = |problem: String| {
            let path = path.display();
            format!(
                "{path} does not say which version is in force: {problem}; remove it and promote one"
            )
        };
        let pin: Self = serde_json::from_slice(bytes).map_err(|error| named(error.to_string()))?;
        let versions = std::iter::once(&pin.version).chain(&pin.previous);
        if let Some(problem) = versions
            .filter_map(|version| refuse_version(version))
            .next()
        {
            return Err(named(problem));
        }
        if pin.format != FORMAT {
            return Err(named(format!("format {} is not known", pin.format)));
        }
        Ok(pin)
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, String> {
        let text = serde_json::to_string(self).map_err(|error| error.to_string())?;
        Ok(format!("{text}\n").into_bytes())
    }
}
