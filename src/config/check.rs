//! What can only be checked with the whole file in view: names, references, and what must fit together.

use super::{ConfigFile, Path, SourceFile, models, wording, workloads};
use crate::{
    engine::{Divisions, PanelSettings, SignalSettings, settings::is_label_name},
    expo, promql,
    series::Span,
    sink::{alertmanager, kafka, remote_write},
    store,
};
use serde_yaml::Value;

/// Takes a problem: where, and what.
pub(super) type Report<'r> = &'r mut dyn FnMut(Path, String);

/// Evaluations more often than this only load the source.
const LEAST_INTERVAL: Span = Span::seconds(1);

/// Evaluations less often than this leave gaps in what Prometheus scrapes (it forgets after 5 min).
const LONGEST_INTERVAL: Span = Span::minutes(5);

/// The names given in the file, also of what could not be read: a reference to those is no mistake.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) sources: Vec<String>,
    pub(super) signals: Vec<String>,
    pub(super) calendars: Vec<String>,
}

impl Names {
    /// The names in the tree of a file.
    pub(super) fn of(tree: &Value) -> Self {
        let list = |key: &str| {
            let items = tree.get(key).and_then(Value::as_sequence);
            let names = items.into_iter().flatten().map(|item| item.get("name"));
            let text = |name: &Value| name.as_str().map(str::to_owned);
            names.filter_map(|name| name.and_then(text)).collect()
        };
        Self {
            sources: list("sources"),
            signals: list("signals"),
            calendars: list("calendars"),
        }
    }

    fn in_file(file: &ConfigFile) -> Self {
        Self {
            sources: file.sources.iter().map(|s| s.name.clone()).collect(),
            signals: file.signals.iter().map(|s| s.name.clone()).collect(),
            calendars: file.calendars.iter().map(|c| c.name.clone()).collect(),
        }
    }
}

/// Checks a file of which everything could be read.
pub(super) fn file(file: &ConfigFile, report: Report<'_>) {
    file_with(file, &Names::in_file(file), report);
}

/// Checks what could be read of a file; `names` are all the names in it.
pub(super) fn file_with(file: &ConfigFile, names: &Names, report: Report<'_>) {
    check_global(file, report);
    check_sources(&file.sources, report);
    check_alertmanagers(&file.alertmanagers, report);
    check_remote_write(&file.remote_write, report);
    check_kafka(&file.kafka, report);
    check_calendars(file, report);
    models::check(file, report);
    for (path, text) in file.store.iter().flat_map(store::Settings::validate) {
        report(Path::default().key("store").join(&Path::parse(&path)), text);
    }
    check_unit_names(file, report);
    if file.signals.is_empty() {
        let text = "there is no signal, so nothing to do; add one with a name and a query";
        report(Path::default().key("signals"), text.to_owned());
    }
    for (index, signal) in file.signals.iter().enumerate() {
        let at = Path::default().key("signals").index(index);
        check_signal(file, names, signal, &at, report);
    }
    for (index, panel) in file.panels.iter().enumerate() {
        let at = Path::default().key("panels").index(index);
        check_panel(file, names, panel, &at, report);
    }
    workloads::check(file, names, report);
    check_divisions(file, report);
}

/// What `shard_by` must not tear apart.
fn check_divisions(file: &ConfigFile, report: Report<'_>) {
    let found = Divisions::of(&file.signals, &file.panels, &file.workloads);
    for (name, text) in found.problems {
        let mut signals = file.signals.iter();
        if let Some(index) = signals.position(|signal| signal.name == name) {
            let at = Path::default().key("signals").index(index);
            report(at.key("shard_by"), text);
        }
    }
}

fn check_global(file: &ConfigFile, report: Report<'_>) {
    let at = Path::default().key("global");
    let interval = file.global.evaluation_interval;
    if interval < LEAST_INTERVAL || interval > LONGEST_INTERVAL {
        let text =
            format!("{interval} is not allowed; allowed: {LEAST_INTERVAL} to {LONGEST_INTERVAL}");
        report(at.key("evaluation_interval"), text);
    }
    for label in file.global.external_labels.keys() {
        if !is_label_name(label) || label.starts_with("__") {
            let text =
                format!("{label:?} is not a label name (letters, digits, _; not __ in front)");
            report(at.key("external_labels").key(label), text);
        }
    }
}

fn check_sources(sources: &[SourceFile], report: Report<'_>) {
    let list = Path::default().key("sources");
    if sources.is_empty() {
        let text = "there is no source; add one such as {name: main, prometheus: {url: http://prometheus:9090}}";
        report(list.clone(), text.to_owned());
    }
    for (index, source) in sources.iter().enumerate() {
        let at = list.index(index);
        if source.name.trim().is_empty() {
            report(at.key("name"), "the name is empty".to_owned());
        }
        let before = sources.iter().take(index);
        if let Some(first) = before
            .map(|s| &s.name)
            .position(|name| *name == source.name)
        {
            let text = format!("{:?} is already the name of sources[{first}]", source.name);
            report(at.key("name"), text);
        }
        match source.kinds().as_slice() {
            [] => {
                let text = "one of the keys prometheus, remote_write, scrape and kafka is required: it says what the source is";
                report(at.key("prometheus"), text.to_owned());
            }
            [first, second, ..] => {
                let text = format!("a source is one thing: give only one of {first} and {second}");
                report(at.key(second), text);
            }
            [_] => {}
        }
        let queried = source.prometheus.iter().flat_map(|own| own.validate());
        let scraped = source.scrape.iter().flat_map(|own| own.validate());
        let queried = queried.map(|(path, text)| (at.key("prometheus"), path, text));
        let pushed = source.remote_write.iter().flat_map(|own| own.validate());
        let pushed = pushed.map(|(path, text)| (at.key("remote_write"), path, text));
        let scraped = scraped.map(|(path, text)| (at.key("scrape"), path, text));
        let read = source.kafka.iter().flat_map(|own| own.validate());
        let read = read.map(|(path, text)| (at.key("kafka"), path, text));
        for (at, path, text) in queried.chain(pushed).chain(scraped).chain(read) {
            report(at.join(&Path::parse(&path)), text);
        }
    }
}

fn check_alertmanagers(alertmanagers: &[alertmanager::Settings], report: Report<'_>) {
    let list = Path::default().key("alertmanagers");
    for (index, settings) in alertmanagers.iter().enumerate() {
        let at = list.index(index);
        for (path, text) in settings.validate() {
            report(at.join(&Path::parse(&path)), text);
        }
        let mut before = alertmanagers.iter().take(index);
        if let Some(first) = before.position(|other| other.url == settings.url) {
            let text = format!(
                "{:?} is already the url of alertmanagers[{first}]",
                settings.url
            );
            report(at.key("url"), text);
        }
    }
}

fn check_remote_write(receivers: &[remote_write::Settings], report: Report<'_>) {
    let list = Path::default().key("remote_write");
    for (index, settings) in receivers.iter().enumerate() {
        let at = list.index(index);
        for (path, text) in settings.validate() {
            report(at.join(&Path::parse(&path)), text);
        }
        let name = settings.name();
        let mut before = receivers.iter().take(index);
        if let Some(first) = before.position(|other| other.name() == name) {
            let key = settings.name.as_ref().map_or("url", |_| "name");
            let text = format!("{name:?} is already the name of remote_write[{first}]");
            report(at.key(key), text);
        }
    }
}

fn check_kafka(topics: &[kafka::Settings], report: Report<'_>) {
    let list = Path::default().key("kafka");
    for (index, settings) in topics.iter().enumerate() {
        let at = list.index(index);
        for (path, text) in settings.validate() {
            report(at.join(&Path::parse(&path)), text);
        }
        let name = settings.name();
        let mut before = topics.iter().take(index);
        if let Some(first) = before.position(|other| other.name() == name) {
            let key = settings.name.as_ref().map_or("topic", |_| "name");
            let text = format!("{name:?} is already the name of kafka[{first}]");
            report(at.key(key), text);
        }
    }
}

fn check_calendars(file: &ConfigFile, report: Report<'_>) {
    let list = Path::default().key("calendars");
    for (index, calendar) in file.calendars.iter().enumerate() {
        let at = list.index(index);
        if calendar.name.trim().is_empty() {
            report(at.key("name"), "the name is empty".to_owned());
        }
        let mut before = file.calendars.iter().take(index);
        if let Some(first) = before.position(|other| other.name == calendar.name) {
            let name = &calendar.name;
            let text = format!("{name:?} is already the name of calendars[{first}]");
            report(at.key("name"), text);
        }
        for (path, text) in calendar.validate() {
            report(at.join(&Path::parse(&path)), text);
        }
    }
}

fn check_calendars_of(names: &Names, signal: &SignalSettings, at: &Path, report: Report<'_>) {
    let mut check = |name: &String, at: Path| {
        if names.calendars.contains(name) {
            return;
        }
        let near = wording::suggestion(name, names.calendars.iter().map(String::as_str));
        let text = match names.calendars.join(", ") {
            known if known.is_empty() => {
                format!("there is no calendar {name:?}; name it under calendars")
            }
            known => format!("there is no calendar {name:?}{near}; calendars: {known}"),
        };
        report(at, text);
    };
    for (index, exclude) in signal.exclude.iter().enumerate() {
        if let Some(name) = &exclude.calendar {
            check(name, at.key("exclude").index(index).key("calendar"));
        }
    }
    for (index, name) in signal.holidays.iter().enumerate() {
        check(name, at.key("holidays").index(index));
    }
    for (index, name) in signal.forecast.events.iter().enumerate() {
        check(name, at.key("forecast").key("events").index(index));
    }
}

/// Signals and panels share the label `signal`, so no two of them may have the same name.
fn check_unit_names(file: &ConfigFile, report: Report<'_>) {
    let signals = file.signals.iter().map(|signal| &signal.name).enumerate();
    let panels = file.panels.iter().map(|panel| &panel.name).enumerate();
    let units = signals
        .map(|(index, name)| ("signals", index, name))
        .chain(panels.map(|(index, name)| ("panels", index, name)));
    let mut seen: Vec<(&str, usize, &String)> = Vec::new();
    for (list, index, name) in units {
        let at = Path::default().key(list).index(index).key("name");
        if let Some(problem) = expo::names::refuse_signal_name(name) {
            report(at.clone(), problem);
        }
        if let Some((list, index, _)) = seen.iter().find(|(_, _, other)| *other == name) {
            report(
                at,
                format!("{name:?} is already the name of {list}[{index}]"),
            );
        }
        seen.push((list, index, name));
    }
}

fn check_signal(
    file: &ConfigFile,
    names: &Names,
    signal: &SignalSettings,
    at: &Path,
    report: Report<'_>,
) {
    check_source_of(names, signal, at, report);
    check_calendars_of(names, signal, at, report);
    check_what(file, signal, at, report);
    let found = signal.validate();
    let step_is_sound = found.iter().all(|(path, _)| path != "step");
    for (path, text) in found {
        report(at.join(&Path::parse(&path)), text);
    }
    let (step, interval) = (signal.step, file.global.evaluation_interval);
    if step_is_sound && !divides(step, interval) && interval.as_millis() > 0 {
        let text = format!(
            "{step} and global.evaluation_interval, which is {interval}, do not fit: one must divide the other"
        );
        report(at.key("step"), text);
    }
}

/// What is asked of its source: a query of one that answers PromQL, a selection of one whose samples come by themselves.
fn check_what(file: &ConfigFile, signal: &SignalSettings, at: &Path, report: Report<'_>) {
    let source = file.source_of(signal);
    match source.and_then(SourceFile::answers_queries) {
        Some(false) => return check_selection(signal, at, report),
        Some(true) if signal.select.is_some() => {
            let text = "is for sources that are scraped or pushed to; this one answers PromQL: write a query instead";
            return report(at.key("select"), text.to_owned());
        }
        _ if signal.query.is_empty() && signal.select.is_none() => {
            return report(at.clone(), "the key query is required".to_owned());
        }
        _ => {}
    }
    if signal.select.is_none()
        && let Err(refusal) = promql::check_query(&signal.query)
    {
        report(at.key("query"), refusal.in_text(&signal.query, "query"));
    }
}

fn check_selection(signal: &SignalSettings, at: &Path, report: Report<'_>) {
    if !signal.query.is_empty() {
        let text = "nobody answers queries behind this source, as its samples come by themselves; write which series are wanted and what is made of them, as in {select: 'http_requests_total{code!=\"200\"}', as: rate, window: 2m, aggregate: {sum_by: [path]}}";
        report(at.key("query"), text.to_owned());
    } else if signal.select.is_none() {
        let text = "the key select is required: which series of the source, as in 'http_requests_total{code!=\"200\"}'";
        report(at.clone(), text.to_owned());
    }
    for (key, text) in signal
        .selection()
        .and_then(Result::err)
        .into_iter()
        .flatten()
    {
        report(at.key(key), text);
    }
}

/// Whether one is a whole multiple of the other; both are positive.
fn divides(one: Span, other: Span) -> bool {
    let (one, other) = (one.as_millis(), other.as_millis());
    one.checked_rem(other) == Some(0) || other.checked_rem(one) == Some(0)
}

fn check_source_of(names: &Names, signal: &SignalSettings, at: &Path, report: Report<'_>) {
    let known = names.sources.join(", ");
    match &signal.source {
        Some(source) if !names.sources.contains(source) => {
            let near = wording::suggestion(source, names.sources.iter().map(String::as_str));
            let text = format!("there is no source {source:?}{near}; sources: {known}");
            report(at.key("source"), text);
        }
        None if names.sources.len() > 1 => {
            let text = format!("the key source is required where there are several: {known}");
            report(at.key("source"), text);
        }
        _ => {}
    }
}

fn check_panel(
    file: &ConfigFile,
    names: &Names,
    panel: &PanelSettings,
    at: &Path,
    report: Report<'_>,
) {
    for (index, name) in panel.signals.iter().enumerate() {
        if !names.signals.contains(name) {
            let near = wording::suggestion(name, names.signals.iter().map(String::as_str));
            let known = names.signals.join(", ");
            let text = format!("there is no signal {name:?}{near}; signals: {known}");
            report(at.key("signals").index(index), text);
        }
    }
    let is_member = |signal: &&SignalSettings| panel.signals.contains(&signal.name);
    let members: Vec<&SignalSettings> = file.signals.iter().filter(is_member).collect();
    if let Some(first) = members.first()
        && let Some(other) = members.iter().find(|signal| signal.step != first.step)
    {
        let text = format!(
            "the signals of a panel must have one step, but {} has {} and {} has {}",
            first.name, first.step, other.name, other.step
        );
        report(at.key("signals"), text);
    }
    let grid = members.iter().find_map(|signal| signal.grid());
    let replay = members.iter().filter_map(|signal| signal.replay()).min();
    for (path, text) in panel.validate(grid, replay) {
        report(at.join(&Path::parse(&path)), text);
    }
}
