//! How the versions of trained models compare, as JSON.

use crate::{
    engine::Outcome,
    forecast::{Contest, ContestHorizon},
    series::Millis,
};
use serde::Serialize;

/// See [`Contest`].
#[derive(Serialize)]
pub(super) struct ContestOfModel {
    model: String,
    champion: String,
    challenger: Option<String>,
    previous: Option<String>,
    horizons: Vec<Losses>,
}

/// Losses relative to a naive forecast: 1 is as good, below is better.
#[derive(Serialize)]
struct Losses {
    horizon: String,
    champion: Option<f32>,
    challenger: Option<f32>,
    previous: Option<f32>,
    scored: u64,
    since: Millis,
}

pub(super) fn contests(outcome: &Outcome) -> Vec<ContestOfModel> {
    let of = |contest: &Contest| ContestOfModel {
        model: contest.model.clone(),
        champion: contest.champion.clone(),
        challenger: contest.challenger.clone(),
        previous: contest.previous.clone(),
        horizons: contest.horizons.iter().map(losses).collect(),
    };
    outcome.contests.iter().map(of).collect()
}

fn losses(at: &ContestHorizon) -> Losses {
    Losses {
        horizon: at.span.to_string(),
        champion: super::known(at.champion),
        challenger: super::known(at.challenger),
        previous: super::known(at.previous),
        scored: at.scored,
        since: at.since,
    }
}
