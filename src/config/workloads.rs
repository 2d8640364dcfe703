//! What is checked of workloads with the whole file in view.

use super::{
    ConfigFile, Path, SourceFile,
    check::{Names, Report},
    rules, wording,
};
use crate::{decide::Settings, engine::SignalSettings, promql};

/// Checks `workloads` and what they share.
pub(super) fn check(file: &ConfigFile, names: &Names, report: Report<'_>) {
    let list = Path::default().key("workloads");
    for (index, workload) in file.workloads.iter().enumerate() {
        let at = list.index(index);
        let mut before = file.workloads.iter().take(index);
        if let Some(first) = before.position(|other| other.name == workload.name) {
            let text = format!(
                "{:?} is already the name of workloads[{first}]",
                workload.name
            );
            report(at.key("name"), text);
        }
        for (path, text) in workload.validate() {
            report(at.join(&Path::parse(&path)), text);
        }
        check_signal(file, names, workload, &at, report);
        check_queries(names, workload, &at, report);
        check_asked(file, names, workload, &at, report);
        check_calendars(names, workload, &at, report);
        check_shares(file, workload, &at, report);
    }
    let shared = Path::default().key("shared");
    for (index, settings) in file.shared.iter().enumerate() {
        let at = shared.index(index);
        let mut before = file.shared.iter().take(index);
        if let Some(first) = before.position(|other| other.name == settings.name) {
            let text = format!("{:?} is already the name of shared[{first}]", settings.name);
            report(at.key("name"), text);
        }
        for (path, text) in settings.validate() {
            report(at.join(&Path::parse(&path)), text);
        }
    }
}

/// The signal its demand is of: there, and forecast.
fn check_signal(
    file: &ConfigFile,
    names: &Names,
    workload: &Settings,
    at: &Path,
    report: Report<'_>,
) {
    let wanted = &workload.demand.signal;
    let workload_at = at;
    let at = at.key("demand").key("signal");
    if !names.signals.contains(wanted) && !wanted.is_empty() {
        let near = wording::suggestion(wanted, names.signals.iter().map(String::as_str));
        let known = names.signals.join(", ");
        report(
            at,
            format!("there is no signal {wanted:?}{near}; signals: {known}"),
        );
        return;
    }
    let of = |signal: &&SignalSettings| signal.name == *wanted;
    let Some(signal) = file.signals.iter().find(of) else {
        return;
    };
    // As it is put together from the whole file.
    let whole = Settings {
        interval: file.global.evaluation_interval,
        offset: signal.offset,
        ..workload.clone()
    };
    let reach = whole.out_of_reach(signal.step);
    if let Some((must, most)) = reach.filter(|_| signal.grid().is_some()) {
        let text = format!(
            "with pipeline, review and the age of forecasts {must} must be forecast, and with step: {} of the signal {wanted:?} {most} is the most; shorten lead_time (measured.max), or give the signal a longer step",
            signal.step
        );
        report(workload_at.key("lead_time"), text);
    }
    if signal.forecast().horizons().is_empty() {
        let text = format!(
            "the signal {wanted:?} is not forecast, so nothing but the present would count; give it forecast.horizons, and class: deep where it has many series"
        );
        report(at, text);
    }
}

/// Queries that sources answer, and rules that we answer.
fn check_queries(names: &Names, workload: &Settings, at: &Path, report: Report<'_>) {
    for (field, query) in workload.queries() {
        if query.trim().is_empty() {
            continue; // `validate` says so.
        }
        if let Err(refusal) = promql::check_query(query) {
            let text = refusal.in_text(query, "query");
            report(at.join(&Path::parse(field)), text);
        }
    }
    for (index, rule) in workload.rules.iter().enumerate() {
        let at = at.key("rules").index(index).key("when");
        rules::check(&rule.when, &names.signals, &at, report);
    }
}

/// Somebody has to answer its queries: a source that is scraped or pushed to does not.
fn check_asked(
    file: &ConfigFile,
    names: &Names,
    workload: &Settings,
    at: &Path,
    report: Report<'_>,
) {
    let of = |signal: &&SignalSettings| signal.name == workload.demand.signal;
    let signal = file.signals.iter().find(of);
    let Some(source) = signal.and_then(|signal| file.source_of(signal)) else {
        return;
    };
    // What could not be read may be the source that answers.
    let is_whole = names.sources.len() == file.sources.len();
    if source.answers_queries() != Some(false) || !is_whole {
        return;
    }
    let answers = |source: &&SourceFile| source.answers_queries() == Some(true);
    let answering = file.sources.iter().filter(answers);
    let answering: Vec<&str> = answering.map(|source| source.name.as_str()).collect();
    let why = match answering.as_slice() {
        [_] => return,
        [] => "there is no source of the kind prometheus to ask instead; add one, or leave this key out".to_owned(),
        several => format!(
            "which of {} is to be asked instead is not clear; keep one source of the kind prometheus in this file, or leave this key out",
            several.join(", ")
        ),
    };
    let (name, of_signal, from) = (&workload.name, &workload.demand.signal, &source.name);
    for (field, _) in workload.queries() {
        let text = format!(
            "workload {name:?}: the source {from:?} of its signal {of_signal:?} answers no queries, as its samples come by themselves, and {why}"
        );
        report(at.join(&Path::parse(field)), text);
    }
}

/// The calendars of its schedules.
fn check_calendars(names: &Names, workload: &Settings, at: &Path, report: Report<'_>) {
    for (field, name) in workload.calendar_names() {
        if !names.calendars.iter().any(|known| known == name) {
            let near = wording::suggestion(name, names.calendars.iter().map(String::as_str));
            let text = format!("there is no calendar {name:?}{near}; name it under calendars");
            report(at.join(&Path::parse(&field)), text);
        }
    }
}

/// What it takes of something shared.
fn check_shares(file: &ConfigFile, workload: &Settings, at: &Path, report: Report<'_>) {
    for name in workload.uses.keys() {
        let mut shared = file.shared.iter().map(|shared| shared.name.as_str());
        if !shared.any(|known| known == name) {
            let known = file.shared.iter().map(|shared| shared.name.as_str());
            let near = wording::suggestion(name, known);
            let text =
                format!("nothing that is shared is called {name:?}{near}; name it under shared");
            report(at.key("uses").key(name), text);
        }
    }
}
