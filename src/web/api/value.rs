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
        Err(silence) => {
            let status = match silence {
                Silence::Stranger(..) => StatusCode::NOT_FOUND,
                Silence::Off(_) => StatusCode::CONFLICT,
                Silence::Undecided | Silence::Unknown(..) => StatusCode::SERVICE_UNAVAILABLE,
            };
            reply::json_error(status, &silence.to_string())
        }
    }
}

fn asked(query: &Query) -> Result<(&str, Target, f64), String> {
    let workload = query.one("workload")?;
    let workload = workload.ok_or("parameter \"workload\" is missing")?;
    let number = |name: &str| -> Result<Option<f64>, String> {
        let text = query.one(name)?;
        let number = text.map(|text| {
            let number = text
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite() && *number >= 0.0);
            number.ok_or_else(|| {
                format!("parameter {name:?} must be a number of 0 or more, got {text:?}")
            })
        });
        number.transpose()
    };
    let target = match number("target")? {
        Some(target) => {
            Target::new(target).map_err(|problem| format!("parameter \"target\": {problem}"))?
        }
        None => Target::default(),
    };
    Ok((workload, target, number("activation")?.unwrap_or(0.0)))
}
