//! Trained models: which version of each is in force, and whether they are fast enough.

use super::load::Loaded;
use crate::{
    config::Config,
    contract::{Manifest, Model},
    forecast::{ModelFiles, OnnxSettings, Placed},
    registry::{ANSWERS_WITHIN, Fits, within},
    series::Span,
};
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};
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

/// The models of the registry that signals name.
pub(super) fn names(config: &Config) -> BTreeSet<String> {
    let mut config = config.clone();
    networks(&mut config)
        .filter_map(|network| network.model.clone())
        .collect()
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

/// Every network that takes longer for one window than is allowed, or does not answer at all, a sentence each. It is asked
/// before anything is built from one: a network that hangs would take whoever builds with it.
pub(crate) async fn too_slow(loaded: &Loaded) -> Vec<String> {
    let limit = loaded.config.models.max_latency;
    let mut found = Vec::new();
    for signal in &loaded.config.signals {
        let (mut forecast, Some(grid)) = (signal.forecast(), signal.grid()) else {
            continue;
        };
        let horizons = forecast.horizons().to_vec();
        for network in forecast.models.networks() {
            let path = network
                .files()
                .first()
                .map(|path| path.display().to_string());
            let (asked, horizons, files) =
                (network.clone(), horizons.clone(), loaded.models.clone());
            let took = in_time(move || {
                // What cannot be loaded is told by its unit.
                let model = asked.load(grid, &horizons, &files).ok()?;
                Some(time(|| model.probe()))
            });
            let problem = match took.await {
                Err(problem) => problem,
                Ok(Some(took)) if took > limit.to_std() => format!(
                    "takes {} for one window, longer than models.max_latency, which is {limit}",
                    Span::millis(took.as_millis() as i64),
                ),
                Ok(_) => continue,
            };
            let (signal, path) = (&signal.name, path.unwrap_or_default());
            found.push(format!("signal {signal:?}: {path}: {problem}"));
        }
        for detector in signal.detectors.iter().flatten() {
            let Some(path) = detector.path().map(Path::to_owned) else {
                continue;
            };
            let (mut asked, files) = (detector.clone(), loaded.models.clone());
            // What is wrong with it is told by its unit.
            let answered = in_time(move || drop(asked.load(&files))).await;
            if let Err(problem) = answered {
                let (signal, path) = (&signal.name, path.display());
                found.push(format!("signal {signal:?}: {path}: {problem}"));
            }
        }
    }
    found
}

/// What `work` with a model gives, if it does so in time.
async fn in_time<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let waiting = tokio::task::spawn_blocking(|| within(ANSWERS_WITHIN, work));
    waiting.await.map_err(|error| error.to_string())?
}

/// How long a model takes for one window, if it answers in time.
///
/// # Errors
/// It does not.
pub(crate) fn latency(model: Model) -> Result<(Model, Duration), String> {
    within(ANSWERS_WITHIN, move || {
        let took = time(|| model.probe());
        (model, took)
    })
}

/// Whether a model answers one window within `limit`: what is asked of those that come from elsewhere.
pub(crate) fn fits(limit: Span) -> Fits {
    Arc::new(move |model| {
        let (_, took) = latency(model)?;
        if took <= limit.to_std() {
            return Ok(());
        }
        let shown = took.as_secs_f64() * 1_000.0;
        Err(format!(
            "takes {shown:.1} ms for one window, longer than models.max_latency, which is {limit}"
        ))
    })
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
