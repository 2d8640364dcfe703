//! The registry of models, and what signals want of it.

use super::{ConfigFile, Path, check::Report};
use crate::{
    detect,
    engine::SignalSettings,
    forecast::{ModelSettings, Models, OnnxSettings},
};

const UNSIGNED: &str = "has no manifest with a signature, and models.require_signature is on; name one with manifest, or a model of the registry";
const UNSIGNED_DETECTOR: &str =
    "cannot be signed, and models.require_signature is on; leave path out";
const NO_REGISTRY: &str = "needs the registry of models; set models.directory";

/// Reports what is wrong with `models`, and signals that want what it does not give.
pub(super) fn check(file: &ConfigFile, report: Report<'_>) {
    let own = Path::default().key("models");
    for (path, text) in file.models.validate() {
        report(own.join(&Path::parse(&path)), text);
    }
    for (index, signal) in file.signals.iter().enumerate() {
        let at = Path::default().key("signals").index(index);
        for (key, text) in wanted(signal, file) {
            report(at.join(&Path::parse(&key)), text.to_owned());
        }
    }
}

/// What a signal wants and does not get, by key.
fn wanted(signal: &SignalSettings, file: &ConfigFile) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    let signed = file.models.require_signature;
    let networks = match &signal.forecast.models {
        Models::Auto => &[][..],
        Models::Given(models) => models,
    };
    for (index, model) in networks.iter().enumerate() {
        let ModelSettings::Onnx(OnnxSettings {
            path,
            manifest,
            model,
            ..
        }) = model
        else {
            continue;
        };
        let key = |field: &str| format!("forecast.models[{index}].onnx.{field}");
        if model.is_some() && file.models.directory.is_none() {
            found.push((key("model"), NO_REGISTRY));
        }
        if signed && path.is_some() && manifest.is_none() {
            found.push((key("path"), UNSIGNED));
        }
    }
    if signal.forecast.train.is_some() && file.models.directory.is_none() {
        found.push(("forecast.train".to_owned(), NO_REGISTRY));
    }
    for (index, detector) in signal.detectors.iter().flatten().enumerate() {
        if signed && detect::Settings::path(detector).is_some() {
            let key = format!("detectors[{index}].{}.path", detector.kind());
            found.push((key, UNSIGNED_DETECTOR));
        }
    }
    found
}
