//! The past that is trained on: of a signal from its source, or of a file.

use super::{Arguments, Failure, progress::Progress};
use crate::{
    app::{
        self, AppOptions, ConfigSource,
        training::{self, Cache, Fetch, History, Samples},
    },
    cli::backtest::{sources, without_past},
    config::{self, Config, suggestion},
    contract::seal,
    engine::{SignalSettings, settings::Calendars},
    forecast::Models,
    registry,
    series::{Millis, Span},
    source::prometheus,
};
use std::path::Path;

/// The signal with its past, and the section `models` of the configuration.
pub(super) type Past = (History, registry::Settings);

/// Where fetched pieces of the past are kept, in the folder of the registry: a name that no model has.
const CACHE: &str = ".history";

/// Asks the source of the configuration file at `path`.
pub(super) async fn of_source(
    arguments: &Arguments,
    path: &Path,
    now: Millis,
) -> Result<Past, Failure> {
    let config = configured(path, arguments).map_err(Failure::Usage)?;
    let options = AppOptions::new(ConfigSource::Literal(Box::new(config)));
    let loaded = app::load(&options).await.map_err(Failure::Usage)?;
    let sources = sources(&loaded).map_err(Failure::Failed)?;
    let settings = loaded.config.signals[0].clone();
    let from = arguments.from.resolve(now);
    let to = arguments
        .to
        .map_or(now - settings.offset.as_millis(), |to| to.resolve(now));
    if from >= to {
        let text = format!("--from: {} is not before --to", arguments.from);
        return Err(Failure::Usage(text));
    }
    let instead = "train on a file of its samples (--csv, --open-metrics), or let the process that has them train: signals[].forecast.train and run --train";
    if let Some(problem) = without_past(&loaded.config, &settings, instead) {
        return Err(Failure::Usage(problem));
    }
    let configured = loaded.config.source_of(&settings);
    let asked = configured.and_then(|configured| {
        let source = sources.get(&configured.name)?;
        Some((configured, source, configured.kind.as_prometheus()?))
    });
    let (configured, source, at) = asked
        .ok_or_else(|| Failure::Usage("the source of this signal is not configured".to_owned()))?;
    let models = loaded.config.models.clone();
    let cache = cache(arguments, &models)?;
    let wanted = Fetch {
        source: &**source,
        address: &whose(&configured.name, at),
        settings: &settings,
        span: (from, to),
        now,
        cache: cache.as_ref(),
    };
    let mut told = Progress::new();
    let samples = training::fetch(&wanted, &mut |fetched| told.fetched(fetched)).await;
    told.done();
    let samples = samples.map_err(|problem| {
        let again = "; what was fetched before is kept, so the same command goes on where it was";
        let again = if cache.is_some() { again } else { "" };
        Failure::Failed(format!("{problem}{again}"))
    })?;
    if samples.is_empty() {
        let (name, query, from) = (&settings.name, &settings.query, arguments.from);
        return Err(Failure::Failed(format!(
            "signal {name:?} has no samples: {query} answers none since --from={from}"
        )));
    }
    let history = History::new(settings, &samples, &loaded.calendars, horizons(arguments));
    let history = history.map_err(Failure::Failed)?.of_configuration();
    Ok((history, models))
}

/// Whose samples a source answers with: behind one address there may be many tenants, told apart by headers or users.
/// What is secret of that is hashed, as the cache keeps this text.
fn whose(name: &str, at: &prometheus::Settings) -> String {
    let headers = at.headers.iter();
    let headers = headers.map(|(header, value)| format!("{header}: {}\n", value.expose()));
    let told = seal::sha256(format!("{at:?}\n{}", headers.collect::<String>()).as_bytes());
    format!("{name} {} {told}", at.url)
}

/// The cache that was asked for, or one in the registry, where something is to be written there.
fn cache(arguments: &Arguments, models: &registry::Settings) -> Result<Option<Cache>, Failure> {
    if arguments.no_cache {
        return Ok(None);
    }
    if let Some(directory) = &arguments.cache {
        let opened = Cache::open(directory).map_err(|error| {
            let directory = directory.display();
            Failure::Usage(format!("--cache: cannot write to {directory}: {error}"))
        });
        return opened.map(Some);
    }
    let directory = arguments.place.directory.as_ref();
    let directory = directory.or(models.directory.as_ref());
    let directory = directory.filter(|_| !arguments.place.dry_run);
    // That nothing can be written there is said by whoever stores the model.
    Ok(directory.and_then(|directory| Cache::open(&directory.join(CACHE)).ok()))
}

fn horizons(arguments: &Arguments) -> Option<Vec<Span>> {
    arguments.file.horizons().map(<[Span]>::to_vec)
}

/// The configuration with the signal that is asked for alone, and without what it names to run: the model that is to be
/// trained may be among its forecasters and not be there yet.
fn configured(path: &Path, arguments: &Arguments) -> Result<Config, String> {
    let text = std::fs::read_to_string(path);
    let text =
        text.map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?;
    let env = AppOptions::new(ConfigSource::File(path.to_owned())).env;
    let mut config = config::parse(&text, &*env).map_err(|problems| {
        let lines = problems.render(&path.display().to_string());
        lines.trim_end().to_owned()
    })?;
    config.set_directory(path.parent().unwrap_or(Path::new("")));
    let name = arguments.signal.as_deref().unwrap_or_default();
    let mut signal = chosen(std::mem::take(&mut config.signals), name)?;
    signal.forecast.models = Models::Auto;
    signal.detectors = None;
    config.signals = vec![signal];
    Ok(config)
}

fn chosen(all: Vec<SignalSettings>, name: &str) -> Result<SignalSettings, String> {
    let known: Vec<String> = all.iter().map(|signal| signal.name.clone()).collect();
    let found = all.into_iter().find(|signal| signal.name == name);
    found.ok_or_else(|| {
        let near = suggestion(name, known.iter().map(String::as_str));
        let known = known.join(", ");
        format!("--signal: there is no signal {name:?}{near}; signals: {known}")
    })
}

/// Reads the file that the arguments name.
pub(super) fn of_file(arguments: &Arguments) -> Result<Past, Failure> {
    let (signals, mut samples) = arguments.file.read().map_err(Failure::Usage)?;
    let name = match (&arguments.signal, &signals[..]) {
        (Some(name), _) => name.clone(),
        (None, [only]) => only.name.clone(),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|one| one.name.as_str()).collect();
            let text = format!("--signal: which of {}?", names.join(", "));
            return Err(Failure::Usage(text));
        }
    };
    let settings = chosen(signals, &name).map_err(Failure::Usage)?;
    let mut by_labels = Samples::new();
    training::add(&mut by_labels, samples.remove(&name).unwrap_or_default());
    let horizons = horizons(arguments);
    let history = History::new(settings, &by_labels, &Calendars::new(), horizons);
    let history = history.map_err(Failure::Failed)?;
    Ok((history, registry::Settings::default()))
}
