//! Trained models: which version of each is in force, and whether they are fast enough.

use super::{load::Loaded, options::AppOptions};
use crate::{
    config::Config,
    contract::{Manifest, Model},
    forecast::{Beside, Challenger, ModelFiles, OnnxSettings, Placed, Role},
    registry::{
        self, ANSWERS_WITHIN, Fits, MANIFEST_FILE, MODEL_FILE, PIN_FILE, Pin, Registry, Shared,
        within,
    },
    series::Span,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// In front of what stands, among the files that were read, for the versions beside the one in force: so it is noticed
/// when there are others. No file has that name.
const BESIDE: &str = ".beside-";

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
        let (mut placed, mut beside) = (None, Vec::new());
        if let (Some(name), Some(registry)) = (&network.model, &registry) {
            let found = registry.in_force(name)?;
            let (path, bytes) = found.pin;
            let (marker, versions) = versions_beside(&path, &bytes, network.challenger.as_ref())?;
            beside = versions;
            pins.insert(marker.0, marker.1.into());
            pins.insert(path, bytes.into());
            placed = Some(Placed {
                version: format!("{name}/{}", found.version),
                network: found.model,
                manifest: found.manifest,
            });
        }
        network.place(placed, trust.clone());
        network.place_beside(beside);
    }
    Ok(pins)
}

/// What stands for the versions beside the one in force: a path, and what would be in the file.
type Marker = (PathBuf, Vec<u8>);

/// The versions to run beside the one in force of the model whose pin this is: the one before it, where it is still there,
/// and the challenger.
fn versions_beside(
    pin: &Path,
    bytes: &[u8],
    wish: Option<&Challenger>,
) -> Result<(Marker, Vec<Beside>), String> {
    let folder = pin.parent().unwrap_or(Path::new(""));
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let pin = Pin::read(bytes, pin)?;
    let beside = |role: Role, is_named: bool, version: &str| Beside {
        role,
        is_named,
        placed: Placed {
            network: folder.join(version).join(MODEL_FILE),
            manifest: folder.join(version).join(MANIFEST_FILE),
            version: format!("{name}/{version}"),
        },
    };
    let is_there = |one: &Beside| one.placed.network.is_file() && one.placed.manifest.is_file();
    let previous = pin.previous.as_deref();
    let previous = previous.map(|version| beside(Role::Previous, false, version));
    let challenger = match wish {
        None => None,
        Some(Challenger::Newest) => {
            newest(folder, &name, &pin)?.map(|version| beside(Role::Challenger, false, &version))
        }
        Some(Challenger::Version(version)) if *version == pin.version => None,
        // One that retention removed, or that another machine has, is left out like the one before: a comparison that is not
        // made harms nobody, and a start that is refused does.
        Some(Challenger::Version(version)) => Some(beside(Role::Challenger, true, version)),
    };
    let versions: Vec<Beside> = [previous, challenger].into_iter().flatten().collect();
    let versions: Vec<Beside> = versions.into_iter().filter(is_there).collect();
    let marker = folder.join(format!(
        "{BESIDE}{}",
        wish.map(ToString::to_string).unwrap_or_default()
    ));
    let told = versions
        .iter()
        .map(|one| format!("{} {}\n", one.role.name(), one.placed.version));
    let told: String = told.collect();
    Ok(((marker, told.into_bytes()), versions))
}

/// The newest version of a model, where it is newer than the one in force and was not in force before it: somebody had a
/// reason to go back from that.
fn newest(folder: &Path, name: &str, pin: &Pin) -> Result<Option<String>, String> {
    let directory = folder.parent().unwrap_or(Path::new(""));
    let registry = Registry::new(directory, Default::default(), usize::MAX);
    let versions = registry.versions(name)?;
    let in_force = versions.iter().position(|one| *one == pin.version);
    let newer = versions
        .into_iter()
        .skip(in_force.map_or(usize::MAX, |place| place + 1));
    Ok(newer
        .last()
        .filter(|one| pin.previous.as_ref() != Some(one)))
}

/// What stands now for the versions that `marker` stood for when files were read, with the files of those versions;
/// `None` where it is a file like others.
pub(super) fn look_beside(marker: &Path) -> Option<(Vec<u8>, Vec<PathBuf>)> {
    let wish = marker.file_name()?.to_str()?.strip_prefix(BESIDE)?;
    let wish = (!wish.is_empty()).then(|| Challenger::from(wish));
    let pin = marker.with_file_name(PIN_FILE);
    let bytes = std::fs::read(&pin).unwrap_or_default();
    // What cannot be told differs from what could: the reload says why.
    let found = versions_beside(&pin, &bytes, wish.as_ref());
    let ((_, told), versions) = found.unwrap_or(((PathBuf::new(), b"?".to_vec()), Vec::new()));
    let files = versions.into_iter();
    let files = files.flat_map(|one| [one.placed.network, one.placed.manifest]);
    Some((told, files.collect()))
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

/// Leaves out the versions beside those in force that never answer: one that a person went back from must not be in the
/// way. Of those that somebody named a sentence each.
pub(crate) async fn leave_out_hanging(loaded: &mut Loaded) -> Vec<String> {
    let (files, mut found) = (loaded.models.clone(), Vec::new());
    for signal in &mut loaded.config.signals {
        let (mut forecast, Some(grid)) = (signal.forecast(), signal.grid()) else {
            continue;
        };
        let horizons = forecast.horizons().to_vec();
        let own = signal.forecast.models.networks();
        for (network, own) in forecast.models.networks().zip(own) {
            let mut kept = Vec::new();
            for (is_named, other) in network.others() {
                let (horizons, files) = (horizons.clone(), files.clone());
                let answered = in_time(move || drop(other.load(grid, &horizons, &files))).await;
                kept.push(answered.is_ok());
                if let (true, Err(problem)) = (is_named, answered) {
                    let signal = &signal.name;
                    found.push(format!("signal {signal:?}: a challenger {problem}"));
                }
            }
            own.retain_beside(&kept);
        }
    }
    found
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

/// The folder of models with its store, where that is followed.
pub(super) fn followed(
    settings: &registry::Settings,
    options: &AppOptions,
) -> Result<Option<Shared>, String> {
    match settings.is_followed() {
        true => settings.shared(&*options.env, fits(settings.max_latency)),
        false => Ok(None),
    }
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
