//! What is well and what is not, part by part.

use super::{
    super::{
        State,
        reply::{self, Reply},
    },
    scaling::NONE_DECIDED,
};
use crate::{decide::Mode, series::Millis};
use hyper::StatusCode;
use serde::Serialize;
use std::sync::PoisonError;

#[derive(Serialize)]
struct Health {
    now: Millis,
    /// 1 where every part is well, 0 where none is: the mean of the parts.
    score: f64,
    parts: Vec<Part>,
}

/// One part of what must be well.
#[derive(Serialize)]
struct Part {
    part: &'static str,
    /// 0 to 1.
    score: f64,
    /// What is not well, in sentences.
    problems: Vec<String>,
}

impl Part {
    /// Well in so far as `well` of `all` are.
    fn share(part: &'static str, all: usize, problems: Vec<String>) -> Self {
        let well = all.saturating_sub(problems.len());
        Self {
            part,
            score: if all == 0 {
                1.0
            } else {
                well as f64 / all as f64
            },
            problems,
        }
    }
}

/// `GET /api/v1/health`: what is well and what is not, part by part. 200 always: `/-/healthy` and `/-/ready` are for machines.
pub(super) fn health(state: &State, gzip: bool) -> Reply {
    let now = state.clock.now();
    let mut parts = vec![configuration(state), signals(state, now)];
    if state.catalogue.last_scaling().is_some() {
        parts.push(workloads_part(state, now));
    }
    parts.extend(store(state));
    let score = parts.iter().map(|part| part.score).sum::<f64>() / parts.len() as f64;
    reply::json(StatusCode::OK, &Health { now, score, parts }, gzip)
}

fn configuration(state: &State) -> Part {
    let config = state.config.lock().unwrap_or_else(PoisonError::into_inner);
    let problems = config.last_error.iter().cloned().collect();
    Part::share("configuration", 1, problems)
}

fn signals(state: &State, now: Millis) -> Part {
    let units = state.catalogue.units();
    let problems = units.iter().filter_map(|unit| {
        let report = super::report(unit, now);
        // The last outcome is served for a while longer, and nobody would look for what is wrong meanwhile.
        let failing = report.last_error.filter(|_| report.phase == "failing");
        let failing = failing.map(|(error, _)| format!("what is served gets old: {error}"));
        let problem = report.silent_because.or(failing)?;
        Some(format!("{}: {problem}", unit.name))
    });
    Part::share("signals", units.len(), problems.collect())
}

/// Whether events, overrides and decisions are kept; nothing where that is not wanted.
fn store(state: &State) -> Option<Part> {
    let health = state.store.load().as_ref()?.health();
    let why = || {
        let why = health.error.clone();
        why.unwrap_or_else(|| "the database has not answered yet".to_owned())
    };
    let problems = (!health.up).then(why);
    Some(Part::share("store", 1, problems.into_iter().collect()))
}

fn workloads_part(state: &State, now: Millis) -> Part {
    let Some(scaling) = state.catalogue.scaling(now) else {
        return Part::share("workloads", 1, vec![NONE_DECIDED.to_owned()]);
    };
    let problems = scaling.decisions.iter().filter_map(|one| {
        let unknown = one.decision.replicas.is_none() && one.decision.mode != Mode::Off;
        let why = || match one.notes.first() {
            Some(note) => note.clone(),
            None => one.decision.reason.clone(),
        };
        unknown.then(|| format!("{}: {}", one.decision.workload, why()))
    });
    Part::share("workloads", scaling.decisions.len(), problems.collect())
}
