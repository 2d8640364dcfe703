//! `GET /api/v1/scaling/value`: what KEDA's `metrics-api` trigger reads.

use super::super::{
    State,
    query::Query,
    reply::{self, Reply},
};
use crate::{
    engine::scaling::{Silence, Target},
    series::Millis,
};
use hyper::StatusCode;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Value {
    workload: Arc<str>,
    /// When it was decided.
    at: Millis,
    /// Divided by `target` and rounded up it is the size to have.
    value: f64,
    target: f64,
    replicas: u32,
    active: bool,
}

/// The number of replicas to ask for times `target`; an error where it is not known, never a number.
pub(super) fn answer(state: &State, query: &Query) -> Reply {
    let (workload, target, activation) = match asked(query) {
        Ok(asked) => asked,
        Err(sentence) => return reply::json_error(StatusCode::BAD_REQUEST, &sentence),
    };
    match state.catalogue.advice(state.clock.now(), workload) {
        Ok(advice) => {
            let value = Value {
                value: advice.value(target),
                active: advice.is_active(activation),
                workload: advice.workload,
                at: advice.at,
                target: target.get(),
                replicas: advice.replicas,
            };
            reply::json(StatusCode::OK, &value, false)
        }
        Err(silence) => silent(&silence),
    }
}

/// Why nothing is known of a workload: the status says whether that comes and goes, or is for a person to change.
pub(super) fn silent(silence: &Silence) -> Reply {
    let status = match silence {
        Silence::Stranger(..) => StatusCode::NOT_FOUND,
        Silence::Off(_) => StatusCode::CONFLICT,
        Silence::Undecided | Silence::Unknown(..) => StatusCode::SERVICE_UNAVAILABLE,
    };
    reply::json_error(status, &silence.to_string())
}

fn asked(query: &Query) -> Result<(&str, Target, f64), String> {
    let workload = query.needed("workload", "which one is asked about")?;
    let target = match query.number("target")? {
        Some(target) => {
            Target::new(target).map_err(|problem| format!("parameter \"target\": {problem}"))?
        }
        None => Target::default(),
    };
    let activation = query.number("activation")?;
    Ok((workload, target, activation.unwrap_or(0.0)))
}
