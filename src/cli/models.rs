//! `forethought models`.

mod store;

use super::{Failure, table};
use crate::{
    app::{self, AppOptions, ConfigSource},
    config,
    contract::{Manifest, Signature},
    registry::{Pin, Registry, Settings, Shared},
};
use clap::{ArgGroup, Subcommand};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  What is there, and what is in force:
    forethought models list --models.directory=models
  Check a new version as a process does that starts, and put it in force:
    forethought models verify checkout 8 --config.file=forethought.yml
    forethought models promote checkout 8 --config.file=forethought.yml
  It was worse than the one before:
    forethought models rollback checkout --config.file=forethought.yml
  Keep a copy in the store, and get it back on a new machine with what was in force:
    forethought models backup --config.file=forethought.yml
    forethought models restore --pin --config.file=forethought.yml

A model is a folder, a version a folder in it: models/checkout/8/{model.onnx,manifest.json}. Which
is in force is said by models/checkout/champion.json, replaced whole after the version was checked.
With models.store in the configuration, backup and restore copy versions to and from S3-compatible
storage; with follow: true there, promote and rollback hold for all who follow it.
Running processes follow it within --config.poll-interval. docs/models.md describes the manifest.
Exit codes: 0 all well, 1 a version is not sound or cannot be put in force, 2 usage or
configuration.";

/// Arguments of `models`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List every version of every model: which is in force, when it was trained, how good it was then
    List {
        /// Only this model
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Those of the store, models.store
        #[arg(long)]
        store: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show all that the manifest of a version says
    Show {
        /// The model
        #[arg(value_name = "NAME")]
        name: String,
        /// The version [default: the one in force, or the newest where none is]
        #[arg(value_name = "VERSION")]
        version: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Put a version in force after checking it; the one in force before becomes the previous one
    Promote {
        /// The model
        #[arg(value_name = "NAME")]
        name: String,
        /// The version
        #[arg(value_name = "VERSION")]
        version: String,
        #[command(flatten)]
        place: Place,
    },
    /// Put the version in force that was before this one; twice leads back
    Rollback {
        /// The model
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Check versions as a process does that starts: hash, signature, operators, shapes, answers, time for a window
    Verify {
        /// Only this model
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Only this version of it
        #[arg(value_name = "VERSION")]
        version: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Send what the store lacks: versions after a check, their manifest last, then which is in force; deletes nothing
    Backup {
        /// Only these models
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// What is in force here shall be in force there, whatever is now
        #[arg(long)]
        pin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Fetch versions that are not here, each checked before it is in its place; what is in force stays
    Restore {
        /// Only these models
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Only this version of the one model that is named
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        /// Put that version in force
        #[arg(long, requires = "version")]
        promote: bool,
        /// What is in force there shall be in force here
        #[arg(long, conflicts_with = "promote")]
        pin: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the models are.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("registry").required(true).args(["config_file", "directory"]))]
struct Place {
    /// The configuration file: its section `models` says where they are and whose are trusted
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// The folder they are in; no signature is asked for, and all else is as if left out in a configuration
    #[arg(long = "models.directory", value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Does what is asked.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    match &arguments.command {
        Command::List {
            name,
            store: true,
            place,
        } => store::list(&place.shared()?, name.as_deref(), out),
        Command::List { name, place, .. } => list(&place.open()?.1, name.as_deref(), out),
        Command::Show {
            name,
            version,
            place,
        } => show(&place.open()?.1, name, version.as_deref(), out),
        Command::Promote {
            name,
            version,
            place,
        } => {
            let registry = place.open()?.1;
            let pin = match place.followed()? {
                Some(shared) => shared.promote(name, version),
                None => registry.promote(name, version),
            };
            let pin = pin.map_err(Failure::Failed)?;
            told(&registry, name, &pin, out)
        }
        Command::Rollback { name, place } => {
            let registry = place.open()?.1;
            let pin = match place.followed()? {
                Some(shared) => shared.rollback(name),
                None => registry.rollback(name),
            };
            let pin = pin.map_err(Failure::Failed)?;
            told(&registry, name, &pin, out)
        }
        Command::Verify {
            name,
            version,
            place,
        } => {
            let (settings, registry) = place.open()?;
            let chosen = chosen(&registry, name.as_deref(), version.as_deref())?;
            verify(&settings, &registry, &chosen, out)
        }
        Command::Backup { names, pin, place } => store::backup(&place.shared()?, names, *pin, out),
        Command::Restore {
            names,
            version,
            promote,
            pin,
            place,
        } => {
            let wanted = store::Wanted {
                names,
                version: version.as_deref(),
                promote: *promote,
                pin: *pin,
                is_followed: place.settings()?.is_followed(),
            };
            store::restore(&place.shared()?, &wanted, out)
        }
    }
}

impl Place {
    fn settings(&self) -> Result<Settings, Failure> {
        match (&self.config_file, &self.directory) {
            (Some(file), _) => configured(file).map_err(Failure::Usage),
            (None, directory) => Ok(Settings {
                directory: directory.clone(),
                ..Settings::default()
            }),
        }
    }

    fn open(&self) -> Result<(Settings, Registry), Failure> {
        let settings = self.settings()?;
        let registry = settings.registry().ok_or_else(|| {
            Failure::Usage("models.directory is not set; it says where the models are".to_owned())
        })?;
        Ok((settings, registry))
    }

    /// The folder with its store.
    fn shared(&self) -> Result<Shared, Failure> {
        let (settings, _) = self.open()?;
        let shared = opened(&settings).map_err(Failure::Usage)?;
        shared.ok_or_else(|| {
            let text = "models.store is not set in the configuration of --config.file; it says where the store is";
            Failure::Usage(text.to_owned())
        })
    }

    /// The folder with its store, where all follow that.
    fn followed(&self) -> Result<Option<Shared>, Failure> {
        match self.settings()?.is_followed() {
            true => self.shared().map(Some),
            false => Ok(None),
        }
    }
}

/// The folder with its store, where there is one.
pub(super) fn opened(settings: &Settings) -> Result<Option<Shared>, String> {
    settings.shared(&*environment(), app::fits(settings.max_latency))
}

fn environment() -> app::Environment {
    AppOptions::new(ConfigSource::File(PathBuf::new())).env
}

/// The section `models` of a configuration. The files that signals name are not looked at: one of them may be the very
/// model that is to be put in force.
fn configured(file: &Path) -> Result<Settings, String> {
    let text = std::fs::read_to_string(file);
    let text =
        text.map_err(|error| format!("cannot read the configuration {}: {error}", file.display()))?;
    let config = config::parse(&text, &*environment()).map_err(|problems| {
        let lines = problems.render(&file.display().to_string());
        lines.trim_end().to_owned()
    })?;
    let mut settings = config.models;
    settings.set_directory(file.parent().unwrap_or(Path::new("")));
    Ok(settings)
}

/// Name and version of what is asked for.
fn chosen(
    registry: &Registry,
    name: Option<&str>,
    version: Option<&str>,
) -> Result<Vec<(String, String)>, Failure> {
    if let (Some(name), Some(version)) = (name, version) {
        return Ok(vec![(name.to_owned(), version.to_owned())]);
    }
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => registry.names().map_err(Failure::Failed)?,
    };
    let mut found = Vec::new();
    for name in names {
        let versions = registry.versions(&name).map_err(Failure::Failed)?;
        found.extend(versions.into_iter().map(|version| (name.clone(), version)));
    }
    Ok(found)
}

/// Models whose version in force is not there: no process that names them starts.
fn missing(registry: &Registry, name: Option<&str>) -> Result<Vec<String>, Failure> {
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => registry.names().map_err(Failure::Failed)?,
    };
    let mut found = Vec::new();
    for name in names {
        // A pin that cannot be read is told elsewhere.
        let Ok(Some(pin)) = registry.pin(&name) else {
            continue;
        };
        let versions = registry.versions(&name).map_err(Failure::Failed)?;
        if !versions.contains(&pin.version) {
            let version = pin.version;
            found.push(format!("{name}/{version} is in force, and is not there"));
        }
    }
    Ok(found)
}

fn list(registry: &Registry, name: Option<&str>, out: &mut dyn Write) -> Result<(), Failure> {
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for (name, version) in chosen(registry, name, None)? {
        let state = match registry.pin(&name) {
            Ok(Some(pin)) if pin.version == version => "in force",
            Ok(Some(pin)) if pin.previous.as_deref() == Some(&version) => "previous",
            Ok(_) => "",
            Err(problem) if broken.contains(&problem) => "unknown",
            Err(problem) => {
                broken.push(problem);
                "unknown"
            }
        };
        let mut row = vec![name.clone(), version.clone(), state.to_owned()];
        match registry.manifest(&name, &version) {
            Ok(manifest) => row.extend(told_of(&manifest)),
            Err(problem) => {
                row.push("broken".to_owned());
                broken.push(problem);
            }
        }
        rows.push(row);
    }
    broken.extend(missing(registry, name)?);
    let head = [
        "MODEL", "VERSION", "STATE", "CREATED", "PARENT", "SIGNED", "SCORES",
    ];
    write!(out, "{}", table::columns(&head, &rows))?;
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(broken.join("\n"))),
    }
}

/// What a list says of a manifest.
fn told_of(manifest: &Manifest) -> [String; 4] {
    let is_signed = manifest
        .signature
        .as_ref()
        .is_some_and(|text| !text.is_empty());
    [
        manifest.created.clone(),
        manifest.parent.clone().unwrap_or_default(),
        if is_signed { "yes" } else { "no" }.to_owned(),
        scores(manifest),
    ]
}

fn scores(manifest: &Manifest) -> String {
    let scores = manifest.scores.iter();
    let shown: Vec<String> = scores
        .map(|(name, score)| format!("{name}={score}"))
        .collect();
    shown.join(" ")
}

/// The version in force, or the newest where none is, and what to say of that.
fn shown_version(registry: &Registry, name: &str) -> Result<(String, String), String> {
    let newest = match registry.pin(name)? {
        Some(pin) => return Ok((pin.version, "in force".to_owned())),
        None => registry.versions(name)?.pop(),
    };
    let newest = newest.ok_or_else(|| format!("model {name} has no version"))?;
    let note = "the newest; none is in force".to_owned();
    Ok((newest, note))
}

fn show(
    registry: &Registry,
    name: &str,
    version: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (version, note) = match version {
        Some(version) => (version.to_owned(), String::new()),
        None => shown_version(registry, name).map_err(Failure::Failed)?,
    };
    let manifest = registry.manifest(name, &version).map_err(Failure::Failed)?;
    let heads = manifest.outputs.heads.iter().map(|head| {
        let horizons: Vec<String> = head.horizons.iter().map(ToString::to_string).collect();
        let quantiles = head
            .quantiles
            .as_ref()
            .map(|levels| format!("; quantiles {levels:?}"));
        format!(
            "{}: {}{}",
            head.name,
            horizons.join(", "),
            quantiles.unwrap_or_default()
        )
    });
    let heads: Vec<String> = heads.collect();
    let confidence = manifest.outputs.confidence.as_ref();
    let data = manifest.data.as_ref().map(|data| {
        let series = data.series.map(|count| format!(", {count} series"));
        format!("{} to {}{}", data.from, data.to, series.unwrap_or_default())
    });
    let rows = [
        ("model", manifest.name.clone()),
        ("version", manifest.version.clone()),
        ("state", note),
        ("parent", manifest.parent.clone().unwrap_or_default()),
        ("created", manifest.created.clone()),
        ("step", manifest.step.to_string()),
        (
            "window",
            format!(
                "{} rows of {}",
                manifest.window,
                manifest.features.join(", ")
            ),
        ),
        ("takes", manifest.batch.to_string()),
        ("answers", heads.join("; ")),
        (
            "confidence",
            confidence
                .map(|one| format!("{}, at least {}", one.name, one.least))
                .unwrap_or_default(),
        ),
        (
            "scaling",
            serde_json::to_string(&manifest.scaling).unwrap_or_default(),
        ),
        ("trained on", data.unwrap_or_default()),
        ("scores", scores(&manifest)),
        ("sha256", manifest.sha256.clone()),
        ("signature", manifest.signature.clone().unwrap_or_default()),
    ];
    let rows = rows.into_iter().filter(|(_, text)| !text.is_empty());
    let rows: Vec<Vec<String>> = rows.map(|(key, text)| vec![key.to_owned(), text]).collect();
    write!(out, "{}", table::columns(&["WHAT", "VALUE"], &rows))?;
    Ok(())
}

/// Says what is in force now, and removes what is too old.
fn told(registry: &Registry, name: &str, pin: &Pin, out: &mut dyn Write) -> Result<(), Failure> {
    let before = pin
        .previous
        .as_ref()
        .map(|before| format!(" (before: {before})"));
    let before = before.unwrap_or_default();
    writeln!(out, "{name}: {} is in force{before}", pin.version)?;
    let gone = registry.prune(name).map_err(Failure::Failed)?;
    if !gone.is_empty() {
        writeln!(
            out,
            "{name}: removed {}, beyond models.retention",
            gone.join(", ")
        )?;
    }
    Ok(())
}

fn verify(
    settings: &Settings,
    registry: &Registry,
    chosen: &[(String, String)],
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for (name, version) in chosen {
        let model = match registry.verify(name, version) {
            Ok(model) => model,
            Err(problem) => {
                wrong.push(problem);
                continue;
            }
        };
        let (model, took) = match app::latency(model) {
            Ok(timed) => timed,
            Err(problem) => {
                wrong.push(format!("{name}/{version}: {problem}"));
                continue;
            }
        };
        let shown = took.as_secs_f64() * 1_000.0;
        if took > settings.max_latency.to_std() {
            let limit = settings.max_latency;
            wrong.push(format!(
                "{name}/{version}: takes {shown:.1} ms for one window, longer than models.max_latency, which is {limit}"
            ));
            continue;
        }
        let signed = match model.signature() {
            Signature::None => "not signed".to_owned(),
            Signature::Unknown => {
                "signed, by whom is unknown without models.trusted_keys".to_owned()
            }
            Signature::By(key) => format!("signed by {}", key.text()),
        };
        writeln!(
            out,
            "{name}/{version}: sound, {signed}, {shown:.1} ms for one window"
        )?;
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(wrong.join("\n"))),
    }
}

#[cfg(test)]
mod tests;
