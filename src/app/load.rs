//! The configuration and the files it names, read whole, before anything is built from them.

use super::{
    calendars::{self, CalendarFiles},
    follow, models,
    options::{AppOptions, ConfigSource},
};
use crate::{
    config::{self, Config, Memory},
    engine::settings::{Calendars, SignalSettings},
    forecast::ModelFiles,
    registry::{MANIFEST_FILE, MODEL_FILE, PIN_FILE, Pin},
};
use std::{collections::BTreeSet, path::Path, sync::Arc};
use tokio::{fs, task::spawn_blocking};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Model files larger than this are refused: nobody means a model of half a gigabyte.
const MOST_MODEL_BYTES: u64 = 512 << 20;

/// A configuration with the content of the files it names.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) models: ModelFiles,
    pub(crate) calendars: Calendars,
    pub(super) calendar_files: CalendarFiles,
    /// Of the configuration and of every file it names.
    pub(super) hash: u64,
}

/// Reads, checks, and reads what it names.
pub(crate) async fn load(options: &AppOptions) -> Result<Loaded, String> {
    let (config, hash) = read(options).await?;
    load_named(config, hash).await
}

/// As [`load`], for a process that runs: where it follows a store and has no version of a model yet, that is fetched.
pub(super) async fn load_followed(options: &AppOptions) -> Result<Loaded, String> {
    let (config, hash) = read(options).await?;
    let problems = follow::fetch_first(&config, options).await;
    let loaded = load_named(config, hash).await;
    loaded.map_err(|problem| {
        let all: Vec<String> = std::iter::once(problem).chain(problems).collect();
        all.join("\n")
    })
}

async fn read(options: &AppOptions) -> Result<(Config, u64), String> {
    let (config, text_hash) = match &options.config {
        ConfigSource::Literal(config) => {
            let config = (**config).clone();
            let hash = xxh3_64(format!("{config:?}").as_bytes());
            (config, hash)
        }
        ConfigSource::File(path) => {
            let text = read_text(path).await?;
            (parse(path, &text, options)?, xxh3_64(text.as_bytes()))
        }
    };
    if let Some(limit) = options.memory_limit {
        Memory::of(&config).check(limit)?;
    }
    Ok((config, text_hash))
}

async fn load_named(mut config: Config, text_hash: u64) -> Result<Loaded, String> {
    let pins = models::place(&mut config)?;
    let mut models = read_models(&config).await?;
    models.extend(pins);
    let calendar_files = calendars::read(&config).await?;
    let calendars = calendars::build(&config, &calendar_files)?;
    Ok(Loaded {
        hash: hash_of(text_hash, &models, &calendar_files),
        config,
        models,
        calendars,
        calendar_files,
    })
}

/// The hash that [`load`] would give if all went well, without building anything; `None` where there is
/// no file, or where it cannot be read right now (it may be about to be replaced).
pub(super) async fn peek(
    options: &AppOptions,
    models: &ModelFiles,
    calendar_files: &CalendarFiles,
) -> Option<u64> {
    let ConfigSource::File(path) = &options.config else {
        return None;
    };
    let text = read_text(path).await.ok()?;
    let now = look_at(models).await?;
    let mut events = CalendarFiles::new();
    for path in calendar_files.keys() {
        events.insert(path.clone(), calendars::read_file(path).await.ok()?);
    }
    Some(hash_of(xxh3_64(text.as_bytes()), &now, &events))
}

/// Model files as they are now. Of a model of the registry these are those of the version that is in force
/// now, whichever was when `models` were read: the former may be gone, and those of the new one may still be
/// on their way (an empty file stands for what is not there). Elsewhere what cannot be read is about to be
/// replaced.
async fn look_at(models: &ModelFiles) -> Option<ModelFiles> {
    let mut now = ModelFiles::new();
    for path in models.keys() {
        let at = path.clone();
        let beside = spawn_blocking(move || models::look_beside(&at))
            .await
            .ok()?;
        if let Some((told, files)) = beside {
            now.insert(path.clone(), told.into());
            for file in files {
                let there = read_model(&file).await.unwrap_or_default();
                now.insert(file, there);
            }
            continue;
        }
        let version = path.parent()?;
        let of_registry = version.parent().map(|folder| folder.join(PIN_FILE));
        if of_registry.is_some_and(|pin| models.contains_key(&pin)) {
            continue;
        }
        let bytes = read_model(path).await.ok()?;
        if path.file_name().is_some_and(|name| name == PIN_FILE) {
            let pin = Pin::read(&bytes, path).ok()?;
            for file in [MODEL_FILE, MANIFEST_FILE] {
                let file = version.join(&pin.version).join(file);
                let there = read_model(&file).await.unwrap_or_default();
                now.insert(file, there);
            }
        }
        now.insert(path.clone(), bytes);
    }
    Some(now)
}

/// A hash of the model files among `paths`.
pub(super) fn revision(paths: &[impl AsRef<Path>], models: &ModelFiles) -> u64 {
    let mut hash = Xxh3::new();
    for path in paths {
        if let Some(bytes) = models.get(path.as_ref()) {
            hash.update(&xxh3_64(bytes).to_le_bytes());
        }
    }
    hash.digest()
}

fn hash_of(text: u64, models: &ModelFiles, calendar_files: &CalendarFiles) -> u64 {
    let paths: Vec<&Path> = models.keys().map(AsRef::as_ref).collect();
    let named = revision(&paths, models).rotate_left(1);
    text ^ named ^ calendars::hash(calendar_files).rotate_left(2)
}

async fn read_text(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).await;
    text.map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))
}

fn parse(path: &Path, text: &str, options: &AppOptions) -> Result<Config, String> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let named = |file: &Path| unreadable(&directory.join(file));
    let mut config = config::parse_with(text, &*options.env, &named).map_err(|problems| {
        let lines = problems.render(&path.display().to_string());
        lines.trim_end().to_owned()
    })?;
    // Relative names are relative to the file that has them, wherever we were started.
    config.set_directory(directory);
    Ok(config)
}

/// Why a file cannot be read, if it cannot: it is opened, as only that tells.
fn unreadable(path: &Path) -> Option<String> {
    let opened = std::fs::File::open(path).and_then(|file| file.metadata());
    match opened {
        Ok(about) if about.is_dir() => Some(format!("{} is a folder, not a file", path.display())),
        Ok(_) => None,
        Err(error) => Some(format!("cannot read {}: {error}", path.display())),
    }
}

async fn read_models(config: &Config) -> Result<ModelFiles, String> {
    let paths: BTreeSet<_> = config
        .signals
        .iter()
        .flat_map(SignalSettings::model_paths)
        .collect();
    let mut models = ModelFiles::new();
    for path in paths {
        let bytes = read_model(&path).await?;
        models.insert(path, bytes);
    }
    Ok(models)
}

async fn read_model(path: &Path) -> Result<Arc<[u8]>, String> {
    let named = |error: &dyn std::fmt::Display| format!("model {}: {error}", path.display());
    let about = fs::metadata(path).await.map_err(|error| named(&error))?;
    if about.len() > MOST_MODEL_BYTES {
        let limit = MOST_MODEL_BYTES >> 20;
        return Err(named(&format!("larger than {limit} MiB, which is refused")));
    }
    let bytes = fs::read(path).await.map_err(|error| named(&error))?;
    Ok(bytes.into())
}
