//! A version whose number the store gave to another one makes room for it.

use super::{Registry, files::lock, refuse_version};
use std::path::PathBuf;

/// In front of it: with a dot it is no version any more, and whoever sweeps leaves it.
const ASIDE: &str = ".aside-";

impl Registry {
    /// Whether the pin names a version: as in force, or as the one before.
    ///
    /// # Errors
    /// The pin cannot be read.
    pub(super) fn is_needed(&self, name: &str, version: &str) -> Result<bool, String> {
        let pin = self.pin(name)?;
        Ok(pin.is_some_and(|pin| pin.names(version)))
    }

    /// Renames a version that is not needed, so that it is none any more; where it is now. What was moved there before
    /// under its number is removed.
    ///
    /// # Errors
    /// It is needed, or cannot be renamed.
    pub(super) fn set_aside(&self, name: &str, version: &str) -> Result<PathBuf, String> {
        if let Some(problem) = refuse_version(version) {
            return Err(format!("the version of a model: {problem}"));
        }
        let folder = self.existing(name)?;
        // Locked first: nobody puts it in force in between.
        let lock = lock(&folder)?;
        let (from, to) = (
            folder.join(version),
            folder.join(format!("{ASIDE}{version}")),
        );
        if self.is_needed(name, version)? {
            return Err(format!("{} is in force or was before", from.display()));
        }
        let emptied = if to.exists() {
            self.disk.remove_dir(&to)
        } else {
            Ok(())
        };
        let moved = emptied
            .and_then(|()| self.disk.rename(&from, &to))
            .and_then(|()| self.disk.sync_dir(&folder));
        moved.map_err(|error| format!("cannot move {} aside: {error}", from.display()))?;
        drop(lock);
        Ok(to)
    }
}
