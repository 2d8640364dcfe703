//! The configuration file: read whole, checked whole, every problem reported at once.
//!
//! `parse` is the way in. It reads YAML, puts the environment in (`env`), fits the result to the
//! settings structs that live beside the code they set (`shape`), then checks what needs the whole
//! file (`check`) and the files it names (`files`). It does no IO: not even the environment is read here.

mod check;
mod env;
mod files;
mod locate;
mod memory;
mod models;
mod path;
mod problem;
#[cfg(test)]
mod reference_tests;
mod rules;
mod shape;
#[cfg(test)]
mod tests;
mod wording;
mod workloads;

pub use env::Lookup;
pub use files::FileCheck;
pub use memory::{Memory, UnitMemory, parse_bytes, show_bytes};
pub use path::{Path, Step};
pub use problem::{Problem, Problems};
pub use wording::suggestion;

use crate::{
    decide,
    engine::{Divisions, PanelSettings, SignalSettings},
    registry,
    series::{Span, calendar::CalendarSettings},
    sink::{self, alertmanager, remote_write},
    source::{self, kafka, prometheus, scrape},
    store,
};
use serde::Deserialize;
use serde_yaml::Value;
use std::collections::BTreeMap;

/// Said of a file with `scrape_configs`: nothing else in it is worth a complaint.
const OF_PROMETHEUS: &str = "this is the configuration of a Prometheus; forethought has one of its own, with sources and signals, or does without one: forethought run --prometheus.url=http://localhost:9090 --query=...";

/// Longer files are refused: a thousand signals fit into a third of it.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// A whole configuration. Made by [`parse`], so everything in it is sound.
#[derive(Debug, Clone)]
pub struct Config {
    /// What holds for all signals.
    pub global: Global,
    /// Where samples come from.
    pub sources: Vec<SourceSettings>,
    /// What is watched and predicted.
    pub signals: Vec<SignalSettings>,
    /// Signals looked at side by side.
    pub panels: Vec<PanelSettings>,
    /// Where alerts are sent to; none where Prometheus judges rules.
    pub alertmanagers: Vec<alertmanager::Settings>,
    /// Where what is published is written to; nowhere where Prometheus scrapes it.
    pub remote_write: Vec<remote_write::Settings>,
    /// Topics that what is published is written to.
    pub kafka: Vec<sink::kafka::Settings>,
    /// Times that signals leave out, by name.
    pub calendars: Vec<CalendarSettings>,
    /// Where trained models are, and which are taken.
    pub models: registry::Settings,
    /// What is scaled.
    pub workloads: Vec<decide::Settings>,
    /// What workloads share.
    pub shared: Vec<decide::SharedSettings>,
    /// Where events, overrides and decisions are kept; nowhere where left out.
    pub store: Option<store::Settings>,
}

/// What holds for all signals.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Global {
    /// How often every signal is evaluated. It must divide the signal's step, or the other way round.
    pub evaluation_interval: Span,
    /// Labels for what leaves by other ways than a scrape (remote write, Alertmanager).
    pub external_labels: BTreeMap<String, String>,
}

impl Default for Global {
    /// Half the usual scrape interval of a minute: a new sample is seen soon after it is there.
    fn default() -> Self {
        Self {
            evaluation_interval: Span::seconds(30),
            external_labels: BTreeMap::new(),
        }
    }
}

/// One source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSettings {
    /// The name that signals refer to.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// A Prometheus-compatible HTTP API, which answers PromQL.
    Prometheus(prometheus::Settings),
    /// Pushed to us by remote write.
    RemoteWrite(source::remote_write::Settings),
    /// Targets that are scraped by ourselves.
    Scrape(scrape::Settings),
    /// A topic that is read.
    Kafka(kafka::Settings),
}

impl SourceKind {
    /// The settings of a Prometheus-compatible HTTP API; nothing where it is something else.
    pub fn as_prometheus(&self) -> Option<&prometheus::Settings> {
        match self {
            Self::Prometheus(settings) => Some(settings),
            Self::RemoteWrite(_) | Self::Scrape(_) | Self::Kafka(_) => None,
        }
    }

    /// How many series it takes, where its samples come by themselves; nothing where it is asked.
    pub fn max_series(&self) -> Option<usize> {
        match self {
            Self::Prometheus(_) => None,
            Self::RemoteWrite(settings) => Some(settings.max_series),
            Self::Scrape(_) => Some(source::local::Hub::MOST_SERIES),
            Self::Kafka(settings) => Some(settings.max_series),
        }
    }
}

impl Config {
    /// The configuration of one signal from one source, for use without a file; checked like a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, with paths as if it were a file.
    pub fn single(url: &str, name: &str, query: &str) -> Result<Self, Problems> {
        let file = ConfigFile {
            global: Global::default(),
            sources: vec![SourceFile {
                name: "main".to_owned(),
                prometheus: Some(prometheus::Settings::new(url)),
                remote_write: None,
                scrape: None,
                kafka: None,
            }],
            signals: vec![SignalSettings::new(name, query)],
            panels: Vec::new(),
            alertmanagers: Vec::new(),
            remote_write: Vec::new(),
            kafka: Vec::new(),
            calendars: Vec::new(),
            models: registry::Settings::default(),
            workloads: Vec::new(),
            shared: Vec::new(),
            store: None,
        };
        let mut problems = Vec::new();
        check::file(&file, &mut |path, message| {
            problems.push(Problem::new(path, message));
        });
        if problems.is_empty() {
            Ok(file.into_config())
        } else {
            Err(Problems::new(problems))
        }
    }

    /// The source of `signal`: the one it names, or the only one.
    pub fn source_of(&self, signal: &SignalSettings) -> Option<&SourceSettings> {
        match &signal.source {
            Some(name) => self.sources.iter().find(|source| source.name == *name),
            None => self.sources.first(),
        }
    }

    /// Who is asked what a workload over `signal` asks itself: the source of the signal or, where that one answers no
    /// PromQL, the only one that does.
    pub fn asked_of(&self, signal: &SignalSettings) -> Option<&SourceSettings> {
        let answers = |source: &&SourceSettings| source.kind.as_prometheus().is_some();
        let own = self.source_of(signal).filter(answers);
        let mut all = self.sources.iter().filter(answers);
        let only = all.next().filter(|_| all.next().is_none());
        own.or(only)
    }

    /// How its signals are divided where several processes carry them (`--shard`).
    pub fn divisions(&self) -> Divisions {
        Divisions::of(&self.signals, &self.panels, &self.workloads)
    }

    /// Makes relative file names relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &std::path::Path) {
        for source in &mut self.sources {
            match &mut source.kind {
                SourceKind::Prometheus(settings) => settings.set_directory(directory),
                SourceKind::RemoteWrite(settings) => settings.set_directory(directory),
                SourceKind::Scrape(settings) => settings.set_directory(directory),
                SourceKind::Kafka(settings) => settings.set_directory(directory),
            }
        }
        for alertmanager in &mut self.alertmanagers {
            alertmanager.set_directory(directory);
        }
        for receiver in &mut self.remote_write {
            receiver.set_directory(directory);
        }
        for topic in &mut self.kafka {
            topic.set_directory(directory);
        }
        for signal in &mut self.signals {
            signal.set_directory(directory);
        }
        for calendar in &mut self.calendars {
            calendar.set_directory(directory);
        }
        self.models.set_directory(directory);
        if let Some(store) = &mut self.store {
            store.set_directory(directory);
        }
    }
}

/// The file as written. Its top level has one key for each kind of source, as `serde(flatten)` would
/// let unknown keys through.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(default)]
    global: Global,
    // That one is there at all is checked later, to be reported together with the rest.
    #[serde(default)]
    sources: Vec<SourceFile>,
    #[serde(default)]
    signals: Vec<SignalSettings>,
    #[serde(default)]
    panels: Vec<PanelSettings>,
    #[serde(default)]
    alertmanagers: Vec<alertmanager::Settings>,
    #[serde(default)]
    remote_write: Vec<remote_write::Settings>,
    #[serde(default)]
    kafka: Vec<sink::kafka::Settings>,
    #[serde(default)]
    calendars: Vec<CalendarSettings>,
    #[serde(default)]
    models: registry::Settings,
    #[serde(default)]
    workloads: Vec<decide::Settings>,
    #[serde(default)]
    shared: Vec<decide::SharedSettings>,
    #[serde(default)]
    store: Option<store::Settings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceFile {
    name: String,
    #[serde(default)]
    prometheus: Option<prometheus::Settings>,
    #[serde(default)]
    remote_write: Option<source::remote_write::Settings>,
    #[serde(default)]
    scrape: Option<scrape::Settings>,
    #[serde(default)]
    kafka: Option<kafka::Settings>,
}

impl SourceFile {
    /// The kinds that are given: exactly one in what is sound.
    fn kinds(&self) -> Vec<&'static str> {
        let given = [
            ("prometheus", self.prometheus.is_some()),
            ("remote_write", self.remote_write.is_some()),
            ("scrape", self.scrape.is_some()),
            ("kafka", self.kafka.is_some()),
        ];
        let given = given.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(kind, _)| kind).collect()
    }

    fn into_settings(self) -> Option<SourceSettings> {
        let queried = self.prometheus.map(SourceKind::Prometheus);
        let pushed = self.remote_write.map(SourceKind::RemoteWrite);
        let scraped = self.scrape.map(SourceKind::Scrape);
        let read = self.kafka.map(SourceKind::Kafka);
        Some(SourceSettings {
            name: self.name,
            kind: queried.or(pushed).or(scraped).or(read)?,
        })
    }
}

impl SourceFile {
    /// Whether it answers PromQL; `None` where it does not say what it is.
    fn answers_queries(&self) -> Option<bool> {
        self.kinds().first().map(|kind| *kind == "prometheus")
    }
}

impl ConfigFile {
    /// The source of `signal`: the one it names, or the only one.
    fn source_of(&self, signal: &SignalSettings) -> Option<&SourceFile> {
        match &signal.source {
            Some(name) => self.sources.iter().find(|source| source.name == *name),
            None => self.sources.first(),
        }
    }

    fn into_config(self) -> Config {
        let sources = self
            .sources
            .into_iter()
            .filter_map(SourceFile::into_settings);
        let mut signals = self.signals;
        signals
            .iter_mut()
            .for_each(SignalSettings::settle_selection);
        for signal in &mut signals {
            let panels = self.panels.iter().flat_map(|panel| &panel.signals);
            let workloads = self.workloads.iter().map(|one| &one.demand.signal);
            // A rule may read any signal, and would take what it is not told of for not there.
            let ruled = self.workloads.iter().any(|one| !one.rules.is_empty());
            let is_read = panels.chain(workloads).any(|read| *read == signal.name);
            signal.shown_only = !is_read && !ruled;
        }
        let mut workloads = self.workloads;
        for workload in &mut workloads {
            let of = |signal: &&mut SignalSettings| signal.name == workload.demand.signal;
            let signal = signals.iter_mut().find(of);
            workload.interval = self.global.evaluation_interval;
            if let Some(signal) = signal {
                workload.offset = signal.offset;
                signal.forecast_for(&workload.windows(signal.step), workload.level());
            }
        }
        Config {
            global: self.global,
            sources: sources.collect(),
            signals,
            panels: self.panels,
            alertmanagers: self.alertmanagers,
            remote_write: self.remote_write,
            kafka: self.kafka,
            calendars: self.calendars,
            models: self.models,
            workloads,
            shared: self.shared,
            store: self.store,
        }
    }
}

/// Reads a configuration file. `env` looks up the variables of `${NAME}` placeholders.
///
/// # Errors
/// Everything that is wrong with it, each with its path, its line and column where something of it is
/// in the text, and what is allowed.
pub fn parse(text: &str, env: Lookup<'_>) -> Result<Config, Problems> {
    parse_with(text, env, &|_| None)
}

/// As [`parse`]; `unreadable` looks at the files that are named.
///
/// # Errors
/// As [`parse`], and every file that cannot be read, at the key that names it.
pub fn parse_with(
    text: &str,
    env: Lookup<'_>,
    unreadable: FileCheck<'_>,
) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let config = read(text, env, unreadable, &mut problems);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => {
            locate_all(text, &mut problems);
            Err(Problems::new(problems))
        }
    }
}

fn read(
    text: &str,
    env: Lookup<'_>,
    unreadable: FileCheck<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!(
            "the file has {} bytes; at most {MAX_FILE_BYTES} are allowed",
            text.len()
        );
        problems.push(Problem::new(Path::default(), message));
        return None;
    }
    let mut tree = read_tree(text, problems)?;
    if tree.get("scrape_configs").is_some() {
        let path = Path::default().key("scrape_configs");
        problems.push(Problem::new(path, OF_PROMETHEUS));
        return None;
    }
    let from_env = env::fill(&mut tree, env, problems);
    let unresolved: Vec<Path> = problems
        .iter()
        .map(|problem| problem.path.clone())
        .collect();
    let names = check::Names::of(&tree);
    let shape = shape::read::<ConfigFile>(tree.clone(), from_env, problems);
    let file = shape.value?;
    let mut report = |path: Path, message: String| {
        let path = shape.removed.original(&path);
        let said = shape.removed.touches(&path) || unresolved.contains(&path);
        if !said && !depends_on_removed(&path, &shape.removed) {
            let message = if is_default(&path, &tree) {
                format!("{message}; this is the default, set the key to change it")
            } else {
                message
            };
            problems.push(Problem::new(path, message));
        }
    };
    check::file_with(&file, &names, &mut report);
    files::check(&file, unreadable, &mut report);
    problems.is_empty().then(|| file.into_config())
}

fn read_tree(text: &str, problems: &mut Vec<Problem>) -> Option<Value> {
    let mut read = serde_yaml::from_str::<Value>(text);
    if let Ok(tree) = &mut read
        && let Err(error) = tree.apply_merge()
    {
        read = Err(error);
    }
    match read {
        Ok(tree) if tree.is_null() => {
            let message = "the file is empty; it needs at least the keys sources and signals";
            problems.push(Problem::new(Path::default(), message));
            None
        }
        Ok(tree) => Some(tree),
        Err(error) => {
            let mut problem = Problem::new(Path::default(), yaml_message(&error));
            if let Some(place) = error.location() {
                problem.line = Some(place.line());
                problem.column = Some(place.column());
            }
            problems.push(problem);
            None
        }
    }
}

/// The library ends its messages with the place, which is told apart here.
fn yaml_message(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or_default();
    format!("not YAML: {message}")
}

/// The spans of a signal are checked against each other: where one could not be read, the rest is only
/// compared with its default.
fn depends_on_removed(path: &Path, removed: &shape::Removed) -> bool {
    let [Step::Key(list), Step::Index(index), Step::Key(key), ..] = path.steps() else {
        return false;
    };
    let related = [
        "alerting",
        "forecast",
        "history",
        "max_age",
        "offset",
        "seasonality",
        "step",
    ];
    let unit = Path::default().key(list).index(*index);
    let global = Path::default().key("global");
    related.contains(&key.as_str())
        && (related.iter().any(|key| removed.touches(&unit.key(key)))
            || removed.touches(&global.key("evaluation_interval")))
}

/// Whether the file says nothing at `path`, which is a key with a default.
fn is_default(path: &Path, tree: &Value) -> bool {
    let has_default = match path.steps() {
        [Step::Key(list), Step::Index(_), Step::Key(key), ..] => {
            // A model of one's own has no defaults: what it misses is required.
            let own = path.steps().contains(&Step::Key("onnx".to_owned()));
            list == "signals" && !["query", "source"].contains(&key.as_str()) && !own
        }
        _ => false,
    };
    has_default && path.get(tree).is_none()
}

/// Finds line and column of each problem that has none yet.
fn locate_all(text: &str, problems: &mut [Problem]) {
    if text.len() > MAX_FILE_BYTES {
        return;
    }
    for problem in problems.iter_mut().filter(|problem| problem.line.is_none()) {
        let found = if problem.message.starts_with("unknown key") {
            locate::key(text, &problem.path)
        } else {
            locate::value(text, &problem.path)
        };
        if let Some((line, column)) = found {
            problem.line = Some(line);
            problem.column = Some(column);
        }
    }
}
