//! What is decided on workloads, and how far what it rests on can be trusted.

use super::{
    super::{
        State,
        query::Query,
        reply::{self, Reply},
    },
    health,
    value::silent,
};
use crate::{
    decide::{Decision, Mode},
    engine::{
        Outcome,
        scaling::{CoursePoint, Decided, Scaling, Silence, Supposed},
    },
    series::{Labels, Millis},
    store::{MOST_ITEMS, USUAL_ITEMS},
};
use hyper::StatusCode;
use serde::Serialize;
use std::sync::Arc;

pub(super) const NONE_DECIDED: &str = "nothing was decided yet, or the newest decisions are too old; see /api/v1/status and whether the configuration has workloads";

/// What is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Read {
    Accuracy,
    Evaluate,
    Health,
    Predictions,
    Queues,
    ScalingStatus,
    Targets,
    Value,
    Workloads,
}

impl Read {
    /// Where they are.
    pub(in super::super) const PATHS: [(&'static str, Self); 9] = [
        ("/api/v1/health", Self::Health),
        ("/api/v1/models/accuracy", Self::Accuracy),
        ("/api/v1/predictions/current", Self::Predictions),
        ("/api/v1/queues", Self::Queues),
        ("/api/v1/scaling/evaluate", Self::Evaluate),
        ("/api/v1/scaling/status", Self::ScalingStatus),
        ("/api/v1/scaling/value", Self::Value),
        ("/api/v1/targets", Self::Targets),
        ("/api/v1/workloads", Self::Workloads),
    ];

    /// What is at a path.
    pub(in super::super) fn of(path: &str) -> Option<Self> {
        let found = Self::PATHS.iter().find(|(own, _)| *own == path);
        found.map(|(_, read)| *read)
    }

    /// Its name in our own metrics.
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "models_accuracy",
            Self::Evaluate => "scaling_evaluate",
            Self::Health => "health",
            Self::Predictions => "predictions",
            Self::Queues => "queues",
            Self::ScalingStatus => "scaling_status",
            Self::Targets => "targets",
            Self::Value => "scaling_value",
            Self::Workloads => "workloads",
        }
    }

    /// The parameters it takes.
    pub(in super::super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Accuracy | Self::Health | Self::Queues | Self::ScalingStatus => &[],
            Self::Evaluate => &["demand", "forecast", "ready", "workload"],
            Self::Predictions => &["cursor", "limit", "signal"],
            Self::Targets => &["scrapePool", "state"],
            Self::Value => &["activation", "target", "workload"],
            Self::Workloads => &["cursor", "limit", "name", "since"],
        }
    }

    /// The answer, from what is newest.
    pub(in super::super) fn answer(self, state: &State, query: &Query, gzip: bool) -> Reply {
        match self {
            Self::Accuracy => accuracy(state, gzip),
            Self::Evaluate => evaluate(state, query, gzip),
            Self::Health => health::health(state, gzip),
            Self::Predictions => predictions(state, query, gzip),
            Self::Queues => queues(state, gzip),
            Self::ScalingStatus => status(state, gzip),
            Self::Targets => super::targets::targets(state, query, gzip),
            Self::Value => super::value::answer(state, query),
            Self::Workloads => workloads(state, query, gzip),
        }
    }
}

#[derive(Serialize)]
struct Workloads {
    now: Millis,
    at: Millis,
    workloads: Vec<Workload>,
    /// Where there is more: what to give as `cursor` next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct Workload {
    #[serde(flatten)]
    decision: Decision,
    /// What could not be found out.
    notes: Vec<String>,
    coverage: Option<f64>,
    skill: Option<f64>,
    /// Only where one workload was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    course: Vec<CoursePoint>,
}

impl Workload {
    fn of(one: &Decided) -> Self {
        Self {
            decision: one.decision.clone(),
            notes: one.notes.clone(),
            coverage: one.coverage,
            skill: one.skill,
            course: Vec::new(),
        }
    }
}

/// `GET /api/v1/workloads`: the newest decisions, page by page, or the one on the workload called `name`, then with its recent
/// past from `since` on.
fn workloads(state: &State, query: &Query, gzip: bool) -> Reply {
    let now = state.clock.now();
    let asked =
        || -> Result<_, String> { Ok((query.one("name")?, super::since(query)?, Cut::of(query)?)) };
    let (name, since, cut) = match asked() {
        Ok(asked) => asked,
        Err(sentence) => return reply::json_error(StatusCode::BAD_REQUEST, &sentence),
    };
    if let Some(Err(silence)) = name.map(|name| state.catalogue.knows(name)) {
        return silent(&silence);
    }
    let Some(scaling) = state.catalogue.scaling(now) else {
        return reply::json_error(StatusCode::SERVICE_UNAVAILABLE, NONE_DECIDED);
    };
    let wanted = |one: &&Decided| name.is_none_or(|name| *one.decision.workload == *name);
    if name.is_some() && !scaling.decisions.iter().any(|one| wanted(&one)) {
        return silent(&Silence::Undecided);
    }
    let (mut found, next) = cut.page(scaling.decisions.iter().filter(wanted), Workload::of);
    if let (Some(name), [one]) = (name, found.as_mut_slice()) {
        one.course = state.catalogue.courses().of(name, since);
    }
    let workloads = Workloads {
        now,
        at: scaling.at,
        workloads: found,
        next,
    };
    reply::json(StatusCode::OK, &workloads, gzip)
}

#[derive(Serialize)]
struct Status {
    now: Millis,
    /// Time of the newest decisions; null where there are none that count.
    at: Option<Millis>,
    workloads: usize,
    modes: Modes,
    gates_open: usize,
    /// Gates that are shut, with why.
    shut: Vec<Shut>,
    /// Sizes that differ from what was wanted, with what held them.
    held: Vec<Held>,
    /// Workloads whose recommendation is not known.
    unknown: Vec<Arc<str>>,
}

#[derive(Serialize, Default)]
struct Modes {
    off: usize,
    observe: usize,
    guarded: usize,
    full: usize,
}

#[derive(Serialize)]
struct Shut {
    workload: Arc<str>,
    gate: &'static str,
}

#[derive(Serialize)]
struct Held {
    workload: Arc<str>,
    by: &'static str,
    wanted: u32,
}

/// `GET /api/v1/scaling/status`: all workloads at a glance.
fn status(state: &State, gzip: bool) -> Reply {
    let now = state.clock.now();
    let scaling = state.catalogue.scaling(now);
    let decisions = scaling.iter().flat_map(|scaling| &scaling.decisions);
    let mut status = Status {
        now,
        at: scaling.as_ref().map(|scaling| scaling.at),
        workloads: 0,
        modes: Modes::default(),
        gates_open: 0,
        shut: Vec::new(),
        held: Vec::new(),
        unknown: Vec::new(),
    };
    for Decided { decision, .. } in decisions {
        let workload = || Arc::clone(&decision.workload);
        status.workloads += 1;
        *match decision.mode {
            Mode::Off => &mut status.modes.off,
            Mode::Observe => &mut status.modes.observe,
            Mode::Guarded => &mut status.modes.guarded,
            Mode::Full => &mut status.modes.full,
        } += 1;
        // Nothing is recommended, so nothing is missing, shut or held.
        if decision.mode == Mode::Off {
            continue;
        }
        match decision.gate.is_open() {
            true => status.gates_open += 1,
            false => status.shut.push(Shut {
                workload: workload(),
                gate: decision.gate.as_str(),
            }),
        }
        if let Some(held) = decision.held {
            status.held.push(Held {
                workload: workload(),
                by: held.by.as_str(),
                wanted: held.wanted,
            });
        }
        if decision.replicas.is_none() {
            status.unknown.push(workload());
        }
    }
    reply::json(StatusCode::OK, &status, gzip)
}

/// `GET /api/v1/scaling/evaluate`: what would be decided on `workload` if its demand, its forecast or its size were otherwise.
/// Changes nothing.
fn evaluate(state: &State, query: &Query, gzip: bool) -> Reply {
    let (workload, supposed) = match supposed(query) {
        Ok(supposed) => supposed,
        Err(sentence) => return reply::json_error(StatusCode::BAD_REQUEST, &sentence),
    };
    if let Err(silence) = state.catalogue.knows(workload) {
        return silent(&silence);
    }
    let Some(scaling) = state.catalogue.scaling(state.clock.now()) else {
        return reply::json_error(StatusCode::SERVICE_UNAVAILABLE, NONE_DECIDED);
    };
    match scaling.what_if(workload, supposed) {
        Some(decision) => reply::json(StatusCode::OK, &decision, gzip),
        None => silent(&Silence::Undecided),
    }
}

fn supposed(query: &Query) -> Result<(&str, Supposed), String> {
    let ready = query.number("ready")?;
    if ready.is_some_and(|ready| ready.fract() != 0.0 || ready > f64::from(u32::MAX)) {
        return Err("parameter \"ready\" must be a whole number".to_owned());
    }
    let workload = query.needed("workload", "which one is asked about")?;
    let supposed = Supposed {
        demand: query.number("demand")?,
        forecast: query.number("forecast")?,
        ready: ready.map(|ready| ready as u32),
    };
    Ok((workload, supposed))
}

#[derive(Serialize)]
struct Queues {
    now: Millis,
    queues: Vec<QueueOf>,
}

#[derive(Serialize)]
struct QueueOf {
    workload: Arc<str>,
    #[serde(flatten)]
    queue: crate::decide::Queue,
}

/// `GET /api/v1/queues`: what the queues in front of workloads do.
fn queues(state: &State, gzip: bool) -> Reply {
    let now = state.clock.now();
    let Some(scaling) = state.catalogue.scaling(now) else {
        return reply::json_error(StatusCode::SERVICE_UNAVAILABLE, NONE_DECIDED);
    };
    let of = |one: &Decided| {
        Some(QueueOf {
            workload: Arc::clone(&one.decision.workload),
            queue: one.decision.queue?,
        })
    };
    let queues = scaling.decisions.iter().filter_map(of).collect();
    reply::json(StatusCode::OK, &Queues { now, queues }, gzip)
}

#[derive(Serialize)]
struct Accuracy {
    now: Millis,
    models: Vec<AccuracyAt>,
    workloads: Vec<AccuracyOf>,
}

#[derive(Serialize)]
struct AccuracyAt {
    signal: Arc<str>,
    horizon: String,
    error: Option<f32>,
    coverage: Option<f32>,
    skill: Option<f32>,
    drift: Option<f32>,
}

#[derive(Serialize)]
struct AccuracyOf {
    workload: Arc<str>,
    coverage: Option<f64>,
    level: f64,
    skill: Option<f64>,
}

/// `GET /api/v1/models/accuracy`: how good recent forecasts were, by signal and horizon, and by workload.
fn accuracy(state: &State, gzip: bool) -> Reply {
    let now = state.clock.now();
    let fresh = state.catalogue.fresh(now);
    let scaling = state.catalogue.scaling(now);
    let of_scaling = |scaling: &Arc<Scaling>| -> Vec<AccuracyOf> {
        let decisions = scaling.decisions.iter();
        let of = |one: &Decided| AccuracyOf {
            workload: Arc::clone(&one.decision.workload),
            coverage: one.coverage,
            level: one.decision.level,
            skill: one.skill,
        };
        decisions.map(of).collect()
    };
    let accuracy = Accuracy {
        now,
        models: fresh
            .iter()
            .flat_map(|outcome| accuracy_of(outcome))
            .collect(),
        workloads: scaling.as_ref().map(of_scaling).unwrap_or_default(),
    };
    reply::json(StatusCode::OK, &accuracy, gzip)
}

fn accuracy_of(outcome: &Outcome) -> Vec<AccuracyAt> {
    let at = outcome.accuracy().map(|one| AccuracyAt {
        signal: Arc::clone(&outcome.unit),
        horizon: one.horizon.span.to_string(),
        error: one.error,
        coverage: one.coverage,
        skill: one.skill,
        drift: outcome.drift,
    });
    at.collect()
}

#[derive(Serialize)]
struct Predictions {
    now: Millis,
    predictions: Vec<Prediction>,
    /// Where there is more: what to give as `cursor` next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct Prediction {
    signal: Arc<str>,
    #[serde(serialize_with = "super::as_map")]
    labels: Labels,
    at: Millis,
    value: Option<f32>,
    forecasts: Vec<super::Forecast>,
}

/// `GET /api/v1/predictions/current`: the newest forecasts, of all signals or of one.
fn predictions(state: &State, query: &Query, gzip: bool) -> Reply {
    let now = state.clock.now();
    let asked = || -> Result<_, String> {
        Ok((query.one("signal")?, cursor(query)?, super::limit(query)?))
    };
    let (signal, from, limit) = match asked() {
        Ok(asked) => asked,
        Err(sentence) => return reply::json_error(StatusCode::BAD_REQUEST, &sentence),
    };
    let fresh = state.catalogue.fresh(now);
    if let Some(signal) = signal
        && !fresh.iter().any(|outcome| *outcome.unit == *signal)
    {
        let sentence =
            format!("no signal called {signal:?} has a newest outcome; see /api/v1/signals");
        return reply::json_error(StatusCode::NOT_FOUND, &sentence);
    }
    let wanted = fresh
        .iter()
        .filter(|outcome| signal.is_none_or(|signal| *outcome.unit == *signal))
        .filter(|outcome| !outcome.horizons.is_empty());
    let all =
        wanted.flat_map(|outcome| (0..outcome.series.len()).map(move |index| (outcome, index)));
    let cut = Cut { from, limit };
    let (predictions, next) = cut.page(all, |(outcome, index)| {
        let series = &outcome.series[index];
        Prediction {
            signal: Arc::clone(&outcome.unit),
            labels: series.labels.clone(),
            at: outcome.at,
            value: super::known(series.value),
            forecasts: super::forecasts(outcome, index),
        }
    });
    let answer = Predictions {
        now,
        predictions,
        next,
    };
    reply::json(StatusCode::OK, &answer, gzip)
}

/// Which part of a list is asked for.
struct Cut {
    from: usize,
    limit: usize,
}

impl Cut {
    /// As a list of records is asked for.
    fn of(query: &Query) -> Result<Self, String> {
        let limit = query.whole("limit", USUAL_ITEMS, 1..=MOST_ITEMS)?;
        let from = cursor(query)?;
        Ok(Self { from, limit })
    }

    /// The part, and what to ask for next where there is more.
    fn page<T, S>(
        &self,
        all: impl Iterator<Item = T>,
        of: impl Fn(T) -> S,
    ) -> (Vec<S>, Option<String>) {
        let mut rest = all.skip(self.from);
        let page: Vec<S> = rest.by_ref().take(self.limit).map(of).collect();
        let next = rest.next().map(|_| (self.from + page.len()).to_string());
        (page, next)
    }
}

/// How many are before what is asked for.
fn cursor(query: &Query) -> Result<usize, String> {
    let must_be = "one that an answer gave as next";
    let cursor = query.read("cursor", must_be, |text| text.parse().ok())?;
    Ok(cursor.unwrap_or(0))
}
