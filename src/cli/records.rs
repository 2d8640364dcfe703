//! What `events`, `overrides` and `decisions` share: where the records are, times as people say them, tables.

mod api;

use super::Failure;
use crate::{
    app::{AppOptions, ConfigSource},
    config::{self, Config},
    engine::Clock,
    series::{Millis, Span},
    store::{KnownWorkloads, Store, StoreError, wire::Time},
    telemetry::Telemetry,
};
pub(super) use api::{Client, field, of};
use clap::ValueEnum;
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

const NO_STORE: &str = "has no store; add one to it, such as `store: {sqlite: forethought.db}`";

/// Where the records are.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The configuration file: its store is opened, whether forethought runs or not
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    config_file: Option<PathBuf>,
    /// Instead: the address of a forethought that runs; changes need its flag --web.enable-admin-api
    #[arg(
        long,
        value_name = "URL",
        global = true,
        conflicts_with = "config_file"
    )]
    url: Option<String>,
}

/// The records, opened.
pub(super) enum Records {
    /// In the database itself.
    Store(Store),
    /// Through a process.
    Client(Box<Client>),
}

impl Records {
    /// The result of `work`, after the database was let go of.
    pub(super) async fn closed<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let result = work.await;
        if let Self::Store(store) = self {
            store.close().await;
        }
        result
    }
}

/// Whether a name is taken that no workload has.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Strange {
    /// Also for a workload that the configuration does not have
    #[arg(long)]
    unknown_workload: bool,
}

impl Strange {
    /// Refuses `names` that the configuration at `place` does not have. A process that is asked knows its own.
    pub(super) fn check<'n>(
        self,
        place: &Place,
        field: &str,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), Failure> {
        let Some(file) = place
            .config_file
            .as_ref()
            .filter(|_| !self.unknown_workload)
        else {
            return Ok(());
        };
        let workloads = configuration(file)?.workloads.into_iter();
        let known = KnownWorkloads::new(workloads.map(|workload| workload.name));
        Ok(known.check(field, names, "--unknown-workload")?)
    }

    /// The parameter that tells a process so.
    pub(super) fn parameter(self) -> &'static str {
        match self.unknown_workload {
            true => "?unknown_workload=true",
            false => "",
        }
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Columns, for people
    Table,
    /// One JSON document, as the API has it
    Json,
}

impl Place {
    /// The configuration, where that says where the records are.
    pub(super) fn configuration(&self) -> Result<Option<Config>, Failure> {
        self.config_file.as_deref().map(configuration).transpose()
    }

    /// The records, and a runtime to ask them on.
    pub(super) fn open(&self) -> Result<(Records, tokio::runtime::Runtime), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let records = match (&self.config_file, &self.url) {
            (Some(file), _) => Records::Store(store(file)?),
            (None, Some(url)) => {
                let client = Client::new(url).map_err(Failure::Usage)?;
                Records::Client(Box::new(client))
            }
            // clap cannot require a flag that may stand behind the subcommand as well.
            (None, None) => {
                let text = "say where the records are: --config.file=forethought.yml, or --url=http://localhost:10057";
                return Err(Failure::Usage(text.to_owned()));
            }
        };
        Ok((records, runtime))
    }
}

fn configuration(file: &Path) -> Result<Config, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::Usage(format!("cannot read the configuration {name}: {error}"))
    })?;
    let environment = AppOptions::new(ConfigSource::File(PathBuf::new())).env;
    config::parse(&text, &*environment).map_err(|problems| {
        let lines = problems.render(&name.to_string());
        Failure::Usage(lines.trim_end().to_owned())
    })
}

/// The store of a configuration. Files that other sections name are not looked at: an order must get through
/// whatever is wrong with a model.
fn store(file: &Path) -> Result<Store, Failure> {
    let name = file.display();
    let parsed = configuration(file)?;
    let settings = parsed.store.map(|mut settings| {
        settings.set_directory(file.parent().unwrap_or(Path::new("")));
        settings
    });
    let settings = settings.ok_or_else(|| Failure::Usage(format!("{name} {NO_STORE}")))?;
    Ok(opened(settings))
}

/// The store of a command: nobody reads what it counts.
pub(super) fn opened(settings: crate::store::Settings) -> Store {
    let events = Arc::clone(&Telemetry::default().store);
    Store::new(settings, Clock::System, events)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Invalid(fields) => {
                let line = |(field, text): (String, String)| match flag_of(&field) {
                    Some(flag) => format!("{flag}: {text}"),
                    None => format!("{field}: {text}"),
                };
                let lines: Vec<String> = fields.into_iter().map(line).collect();
                Self::Usage(lines.join("\n"))
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The flag that gave a field.
fn flag_of(field: &str) -> Option<String> {
    let name = match field.split('[').next()? {
        "workloads" => "workload",
        "effect" => return Some("--multiplier, --load".to_owned()),
        "expires" => return Some("--for, --until".to_owned()),
        "order" => return None,
        name => name,
    };
    Some(format!("--{name}"))
}

/// A time as a person says it: absolute, `now`, or so long from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    At(Millis),
    FromNow(Millis),
}

impl When {
    pub(super) fn resolve(self, now: Millis) -> Millis {
        match self {
            Self::At(at) => at,
            Self::FromNow(span) => now.saturating_add(span),
        }
    }
}

/// Reads `now`, `+2h`, `-30m`, `2026-01-31T12:00:00Z`, `2026-01-31T12:00:00+01:00`, `2026-01-31`.
pub(super) fn when(text: &str) -> Result<When, String> {
    if text == "now" {
        return Ok(When::FromNow(0));
    }
    for (sign, factor) in [('+', 1), ('-', -1)] {
        if let Some(span) = text.strip_prefix(sign) {
            let span: Span = span.parse()?;
            return Ok(When::FromNow(factor * span.as_millis()));
        }
    }
    let day = format!("{text}T00:00:00Z");
    let time = [text, &day]
        .iter()
        .find_map(|text| text.parse::<jiff::Timestamp>().ok());
    time.map(|time| When::At(time.as_millisecond()))
        .ok_or_else(|| {
            format!(
                "{text:?} is not a time; write it like 2026-01-31T12:00:00Z, 2026-01-31, now, +2h or -30m"
            )
        })
}

/// A time in a table: to the second, as nobody plans by milliseconds.
pub(super) fn shown(time: Time) -> String {
    Time(time.0 - time.0.rem_euclid(1_000)).to_string()
}

/// What the API would answer.
pub(super) fn json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(writeln!(out, "{text}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_say_them() {
        let now = 1_000_000_000_000;
        for (text, expected) in [
            ("now", now),
            ("+2h", now + 7_200_000),
            ("-30m", now - 1_800_000),
            ("2026-01-01", 1_767_225_600_000),
            ("2026-01-01T01:00:00+01:00", 1_767_225_600_000),
        ] {
            assert_eq!(when(text).unwrap().resolve(now), expected, "{text}");
        }
        for bad in ["", "2h", "+", "+2", "tomorrow", "2026-01-01 12:00"] {
            assert!(when(bad).is_err(), "{bad}");
        }
        assert_eq!(shown(Time(1_767_225_600_123)), "2026-01-01T00:00:00Z");
    }
}
