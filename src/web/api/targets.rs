//! What is scraped, as Prometheus tells it at the same path.

use super::super::{
    State,
    query::Query,
    reply::{self, Reply},
};
use crate::source::scrape::{Report, Wish};
use hyper::StatusCode;
use serde::Serialize;

/// Prometheus' own frame of an answer.
#[derive(Serialize)]
struct Answer {
    status: &'static str,
    data: Report,
}

/// The targets; `state` and `scrapePool` choose among them.
pub(super) fn targets(state: &State, query: &Query, gzip: bool) -> Reply {
    match wish(query) {
        Ok(wish) => {
            let answer = Answer {
                status: "success",
                data: state.targets.report(&wish),
            };
            reply::json(StatusCode::OK, &answer, gzip)
        }
        Err(sentence) => reply::error(StatusCode::BAD_REQUEST, &sentence, true),
    }
}

fn wish(query: &Query) -> Result<Wish, String> {
    let known = |text: &str| STATES.into_iter().find(|(word, ..)| *word == text);
    let chosen = query.read("state", "active, dropped or any", known)?;
    let (_, active, dropped) = chosen.unwrap_or(("any", true, true));
    Ok(Wish {
        source: query.one("scrapePool")?.map(str::to_owned),
        active,
        dropped,
    })
}

/// The words for `state`: whether those that are scraped are wanted, and whether the others are.
const STATES: [(&str, bool, bool); 3] = [
    ("active", true, false),
    ("any", true, true),
    ("dropped", false, true),
];
