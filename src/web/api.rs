//! The JSON that the page reads.

mod contest;
mod health;
mod scaling;
mod targets;
mod value;
mod why;

use super::{
    ConfigReport, Server, State,
    query::Query,
    reply::{self, Reply},
};
use crate::{
    engine::{
        Outcome, ScalingHandle, SeriesOutcome, UnitHandle, UnitReport,
        trail::{Trail, TrailPoint},
    },
    quality::Finding,
    series::{Labels, Millis},
};
use contest::{ContestOfModel, contests};
use hyper::StatusCode;
pub(super) use scaling::Read;
use serde::{Serialize, Serializer};
use std::{
    cmp::Reverse,
    sync::{Arc, PoisonError, atomic::Ordering},
};
use why::{Evidence, GroupOfSeries, evidence, groups};

/// Series of a signal in one answer, unless asked otherwise.
const SERIES: usize = 50;
/// Most that can be asked for: no more have a recorded past.
const MOST_SERIES: usize = 200;

#[derive(Serialize)]
struct Status {
    version: &'static str,
    /// Such as `1/3`; null where all series are carried here.
    shard: Option<String>,
    uptime_seconds: f64,
    ready: bool,
    config: ConfigReport,
    units: Vec<UnitReport>,
}

pub(super) fn status(server: &Server, gzip: bool) -> Reply {
    let state = &server.state;
    let config = state.config.lock().unwrap_or_else(PoisonError::into_inner);
    let now = state.clock.now();
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        shard: state.shard.map(|shard| shard.to_string()),
        uptime_seconds: server.started.elapsed().as_secs_f64(),
        ready: state.ready.load(Ordering::Acquire),
        config: config.clone(),
        units: state
            .catalogue
            .units()
            .iter()
            .map(|unit| report(unit, now))
            .collect(),
    };
    drop(config);
    reply::json(StatusCode::OK, &status, gzip)
}

/// The report of a unit as it is at `now`: what is too old is not told as if it were so.
fn report(unit: &UnitHandle, now: Millis) -> UnitReport {
    let mut report = unit
        .report
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    report.name = unit.name.to_string();
    report.kind = unit.kind.to_string();
    if unit.fresh(now).is_none() {
        report.active = 0;
        let old = unit.outcome.borrow().as_ref().map(|outcome| outcome.at);
        if report.silent_because.is_none() {
            report.silent_because = Some(match old {
                Some(_) => format!(
                    "the newest evaluation is older than max_age ({})",
                    unit.max_age
                ),
                None => "not evaluated yet".to_string(),
            });
        }
    }
    report
}

#[derive(Serialize)]
struct Signals {
    now: Millis,
    signals: Vec<Signal>,
    /// Null where nothing was ever decided.
    scaling: Option<Decides>,
}

/// What a page needs to know before it asks for workloads.
#[derive(Serialize)]
struct Decides {
    workloads: usize,
    /// Time of the newest decisions.
    at: Millis,
    /// Whether they are served: not once they are too old.
    fresh: bool,
    /// Whether there is a log of decisions to ask for.
    log: bool,
}

#[derive(Serialize)]
struct Signal {
    name: Arc<str>,
    kind: &'static str,
    step_ms: Millis,
    series: usize,
    active: usize,
    phase: String,
    silent_because: Option<String>,
}

pub(super) fn signals(state: &State, gzip: bool) -> Reply {
    let now = state.clock.now();
    let signal = |unit: &Arc<UnitHandle>| {
        let report = report(unit, now);
        Signal {
            name: Arc::clone(&unit.name),
            kind: unit.kind,
            step_ms: unit.step.as_millis(),
            series: report.series,
            active: report.active,
            phase: report.phase,
            silent_because: report.silent_because,
        }
    };
    let decides = |handle: ScalingHandle| Decides {
        workloads: handle.newest.decisions.len(),
        at: handle.newest.at,
        fresh: handle.is_fresh(now),
        log: state.store.load().is_some(),
    };
    let signals = Signals {
        now,
        signals: state.catalogue.units().iter().map(signal).collect(),
        scaling: state.catalogue.last_scaling().map(decides),
    };
    reply::json(StatusCode::OK, &signals, gzip)
}

#[derive(Serialize)]
struct SeriesList {
    now: Millis,
    signal: Arc<str>,
    step_ms: Millis,
    /// The groups with anomalous series, those with the greatest share first.
    groups: Vec<GroupOfSeries>,
    /// How far it has drifted from what its forecasts were derived from, 1 at the threshold; null where that is not known.
    drift: Option<f32>,
    /// How the versions of its trained models compare.
    contests: Vec<ContestOfModel>,
    series: Vec<Series>,
}

#[derive(Serialize)]
struct Series {
    #[serde(serialize_with = "as_map")]
    labels: Labels,
    active: bool,
    severity: &'static str,
    direction: i8,
    score: Option<f32>,
    /// While active: since when, and a sentence why.
    since: Option<Millis>,
    reason: Option<String>,
    /// Why nothing is learned from its newest value, where that is so.
    not_believed: Option<String>,
    evidence: Option<Evidence>,
    points: Vec<Point>,
    forecasts: Vec<Forecast>,
}

/// Time, value, expected, lower, upper, score, active.
type Point = (
    Millis,
    Option<f32>,
    Option<f32>,
    Option<f32>,
    Option<f32>,
    Option<f32>,
    u8,
);

#[derive(Serialize)]
struct Forecast {
    horizon: String,
    at: Millis,
    expected: f32,
    lower: Option<f32>,
    upper: Option<f32>,
    /// What serves it, as in `forethought_forecast_series`.
    link: Option<&'static str>,
}

pub(super) async fn series(server: &Arc<Server>, query: &Query, gzip: bool) -> Reply {
    let (unit, wanted) = match asked(&server.state, query) {
        Ok(asked) => asked,
        Err((status, sentence)) => return reply::json_error(status, &sentence),
    };
    let Ok(_permit) = server.queries.acquire().await else {
        return reply::busy("forethought is stopping", true);
    };
    let now = server.state.clock.now();
    // Megabytes of JSON: not on the threads that serve.
    let work = move || reply::json(StatusCode::OK, &list(&unit, wanted, now), gzip);
    match tokio::task::spawn_blocking(work).await {
        Ok(reply) => reply,
        Err(error) => reply::json_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

type Refusal = (StatusCode, String);

/// How much of a unit is asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// No more series than this.
    limit: usize,
    /// No points before this grid time: a page that has them asks for what is new.
    since: Millis,
}

fn asked(state: &State, query: &Query) -> Result<(Arc<UnitHandle>, Wanted), Refusal> {
    let bad = |sentence: String| (StatusCode::BAD_REQUEST, sentence);
    let wanted = Wanted {
        limit: limit(query).map_err(bad)?,
        since: since(query).map_err(bad)?,
    };
    let units = state.catalogue.units();
    let names: Vec<&str> = units.iter().map(|unit| unit.name.as_ref()).collect();
    let names = names.join(", ");
    let there_are = format!("there are {names}");
    let name = query.needed("signal", &there_are).map_err(bad)?;
    let found = units.iter().find(|unit| *unit.name == *name);
    let unit = found.ok_or_else(|| {
        let sentence = format!("no signal or panel is called {name:?}; {there_are}");
        (StatusCode::NOT_FOUND, sentence)
    })?;
    Ok((Arc::clone(unit), wanted))
}

fn limit(query: &Query) -> Result<usize, String> {
    query.whole("limit", SERIES, 1..=MOST_SERIES)
}

fn since(query: &Query) -> Result<Millis, String> {
    let must_be = "milliseconds since the epoch";
    let since = query.read("since", must_be, |text| text.parse().ok())?;
    Ok(since.unwrap_or(Millis::MIN))
}

fn list(unit: &UnitHandle, wanted: Wanted, now: Millis) -> SeriesList {
    let fresh = unit.fresh(now);
    let series = match &fresh {
        Some(outcome) => of_outcome(outcome, &unit.trail, wanted),
        None => of_trail(&unit.trail, wanted),
    };
    SeriesList {
        now,
        signal: Arc::clone(&unit.name),
        step_ms: unit.step.as_millis(),
        groups: fresh.as_deref().map(groups).unwrap_or_default(),
        drift: fresh.as_deref().and_then(|outcome| outcome.drift),
        contests: fresh.as_deref().map(contests).unwrap_or_default(),
        series,
    }
}

/// The series of the newest outcome, active ones first, the most severe first among them.
fn of_outcome(outcome: &Outcome, trail: &Trail, wanted: Wanted) -> Vec<Series> {
    let mut order: Vec<usize> = (0..outcome.series.len()).collect();
    order.sort_by_cached_key(|&index| {
        let series = &outcome.series[index];
        let believed = outcome.doubt(&series.labels).is_none();
        (!series.active, believed, Reverse(series.severity))
    });
    order.truncate(wanted.limit);
    order
        .into_iter()
        .map(|index| {
            let series = &outcome.series[index];
            Series {
                labels: series.labels.clone(),
                active: series.active,
                severity: severity(series.severity),
                direction: series.direction,
                score: known(series.score),
                since: series.since,
                reason: series.reason.as_ref().map(|reason| reason.sentence(series)),
                not_believed: outcome.doubt(&series.labels).map(sentence),
                evidence: series.reason.as_deref().map(evidence),
                points: points(trail, series, outcome.at, wanted.since),
                forecasts: forecasts(outcome, index),
            }
        })
        .collect()
}

fn sentence(finding: Finding) -> String {
    format!("{}: {}", finding.reason(), finding.advice())
}

/// Only the past: without a fresh outcome there is no verdict and no forecast to tell.
fn of_trail(trail: &Trail, wanted: Wanted) -> Vec<Series> {
    trail
        .labels()
        .into_iter()
        .take(wanted.limit)
        .map(|labels| Series {
            points: after(&trail.points(&labels), wanted.since),
            labels,
            active: false,
            severity: severity(0),
            direction: 0,
            score: None,
            since: None,
            reason: None,
            not_believed: None,
            evidence: None,
            forecasts: Vec::new(),
        })
        .collect()
}

/// The recorded past; of a series that is not recorded, the newest time only.
fn points(trail: &Trail, series: &SeriesOutcome, at: Millis, since: Millis) -> Vec<Point> {
    let recorded = trail.points(&series.labels);
    if !recorded.is_empty() {
        return after(&recorded, since);
    }
    vec![(
        at,
        known(series.value),
        known(series.band.expected),
        known(series.band.lower),
        known(series.band.upper),
        known(series.score),
        u8::from(series.active),
    )]
}

fn after(recorded: &[TrailPoint], since: Millis) -> Vec<Point> {
    let first = recorded.partition_point(|point| point.at < since);
    recorded[first..].iter().map(point).collect()
}

fn point(point: &TrailPoint) -> Point {
    (
        point.at,
        point.value,
        point.expected,
        point.lower,
        point.upper,
        point.score,
        u8::from(point.active),
    )
}

fn forecasts(outcome: &Outcome, index: usize) -> Vec<Forecast> {
    let count = outcome.horizons.len();
    let own = outcome.forecasts.get(index * count..(index + 1) * count);
    let links = outcome.links.get(index * count..).unwrap_or_default();
    let links = links.iter().map(|link| Some(link.name()));
    outcome
        .horizons
        .iter()
        .zip(own.unwrap_or_default())
        .zip(links.chain(std::iter::repeat(None)))
        .filter(|((_, interval), _)| interval.expected.is_finite())
        .map(|((horizon, interval), link)| Forecast {
            horizon: horizon.span.to_string(),
            at: outcome.at + horizon.span.as_millis(),
            expected: interval.expected,
            lower: known(interval.lower),
            upper: known(interval.upper),
            link,
        })
        .collect()
}

fn known(value: f32) -> Option<f32> {
    value.is_finite().then_some(value)
}

fn severity(level: u8) -> &'static str {
    match level {
        0 => "none",
        1 => "info",
        2 => "warning",
        3 => "critical",
        _ => "emergency",
    }
}

fn as_map<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_has_the_past_gets_what_is_new() {
        let recorded: Vec<TrailPoint> = (1..=5)
            .map(|at| TrailPoint {
                at,
                value: Some(1.0),
                expected: None,
                lower: None,
                upper: None,
                score: None,
                active: false,
            })
            .collect();
        let times = |since| -> Vec<Millis> {
            after(&recorded, since)
                .iter()
                .map(|point| point.0)
                .collect()
        };
        assert_eq!(times(Millis::MIN), [1, 2, 3, 4, 5]);
        assert_eq!(times(4), [4, 5]);
        assert!(times(6).is_empty());
    }
}
