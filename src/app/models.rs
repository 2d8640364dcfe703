//! Trained models: which version of each is in force, and whether they are fast enough.

use super::load::Loaded;
use crate::{
    config::Config,
    contract::Manifest,
    forecast::{ModelFiles, OnnxSettings, Placed},
    series::Span,
};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// A network is timed so often; the shortest time counts, as the machine may be busy with other things.
const TRIES: usize = 3;

/// Finds the versions in force of the models that signals name, and says so in their settings. Gives the pins as they were
/// read: that they change is noticed as it is of every file.
///
/// # Errors
/// A model of which no version is in force, or a registry that cannot be read.
pub(super) fn place(config: &mut Config) -> Result<ModelFiles, String> {
    let (registry, trust) = (config.models.registry(), config.models.trust());
    let mut pins = ModelFiles::new();
    for network in networks(config) {
        let placed = match (&network.model, &registry) {
            (Some(name), Some(registry)) => {
                let found = registry.in_force(name)?;
                let (path, bytes) = found.pin;
                pins.insert(path, bytes.into());
                Some(Placed {
                    version: format!("{name}/{}", found.version),
                    network: found.model,
                    manifest: found.manifest,
                })
            }
            _ => None,
        };
        network.place(placed, trust.clone());
    }
    Ok(pins)
}

fn networks(config: &mut Config) -> impl Iterator<Item = &mut OnnxSettings> {
    let signals = config.signals.iter_mut();
    signals.flat_map(|signal| signal.forecast.models.networks())
}

/// Name and version of every model with a manifest that signals name.
pub(super) fn in_force(loaded: &Loaded) -> BTreeSet<(String, String)> {
    let mut config = loaded.config.clone();
    let manifests = networks(&mut config).filter_map(|network| {
        let files = network.files();
        let bytes = loaded.models.get(files.get(1)?)?;
        let manifest = Manifest::read(bytes).ok()?;
        Some((manifest.name, manifest.version))
    });
    manifests.collect()
}

/// Every network that takes longer for one window than is allowed, a sentence each. Those of units that are built anew
/// were loaded for that, and are not loaded again.
pub(crate) fn too_slow(loaded: &Loaded) -> Vec<String> {
    let limit = loaded.config.models.max_latency;
    let mut found = Vec::new();
    for signal in &loaded.config.signals {
        let (mut forecast, Some(grid)) = (signal.forecast(), signal.grid()) else {
            continue;
        };
        let horizons = forecast.horizons().to_vec();
        for network in forecast.models.networks() {
            // What cannot be loaded is told by its unit, which is built anew where the file or the trust changed.
            let Ok(model) = network.load(grid, &horizons, &loaded.models) else {
                continue;
            };
            let took = time(|| model.probe());
            if took > limit.to_std() {
                let name = network
                    .files()
                    .first()
                    .map(|path| path.display().to_string());
                found.push(format!(
                    "signal {:?}: {} takes {} for one window, longer than models.max_latency, which is {limit}",
                    signal.name,
                    name.unwrap_or_default(),
                    Span::millis(took.as_millis() as i64),
                ));
            }
        }
    }
    found
}

/// The shortest of some times that `work` takes.
pub(crate) fn time(work: impl Fn()) -> Duration {
    let once = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..TRIES).map(once).min().unwrap_or_default()
}
