//! The files that a signal names.

use super::SignalSettings;
use crate::detect;
use std::path::{Path, PathBuf};

impl SignalSettings {
    /// The files that are named, with the keys that name them.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let forecast = self.forecast.files().into_iter();
        let forecast = forecast.map(|(key, path)| (format!("forecast.{key}"), path));
        let detectors = self.detectors.iter().flatten().enumerate();
        let detectors = detectors.filter_map(|(index, detector)| {
            let key = format!("detectors[{index}].{}.path", detector.kind());
            Some((key, detector.path()?.to_owned()))
        });
        detectors.chain(forecast).collect()
    }

    /// The model files among them, which must be read before a unit is built.
    pub fn model_paths(&self) -> Vec<PathBuf> {
        let detectors = self.detectors.iter().flatten();
        let detectors = detectors.filter_map(detect::Settings::path);
        let mut paths = self.forecast.model_paths();
        paths.extend(detectors.map(Path::to_owned));
        paths
    }

    /// Makes relative files relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        self.forecast.set_directory(directory);
        for detector in self.detectors.iter_mut().flatten() {
            detector.set_directory(directory);
        }
    }
}
