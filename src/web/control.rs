//! Ready, reload, quit.

use super::{
    Lifecycle, State,
    reply::{self, Reply},
};
use hyper::StatusCode;
use std::sync::{PoisonError, atomic::Ordering};
use tokio::sync::{mpsc, oneshot};

/// Units named when we are not ready; more would not help.
const NAMED: usize = 5;

pub(super) fn ready(state: &State) -> Reply {
    if state.ready.load(Ordering::Acquire) {
        return reply::text(StatusCode::OK, "forethought is ready");
    }
    reply::text(StatusCode::SERVICE_UNAVAILABLE, &why_not_ready(state))
}

fn why_not_ready(state: &State) -> String {
    let units = state.catalogue.units();
    let waiting: Vec<String> = units
        .iter()
        .filter(|unit| unit.outcome.borrow().is_none())
        .map(|unit| {
            let report = unit.report.lock().unwrap_or_else(PoisonError::into_inner);
            let phase = if report.phase.is_empty() {
                "waiting"
            } else {
                &report.phase
            };
            let share = report
                .backfilled
                .map(|share| format!(", {:.0} % of the history read", share * 100.0));
            let why = report.silent_because.as_ref().map(|why| format!(": {why}"));
            format!(
                "{} ({phase}{}{})",
                unit.name,
                share.unwrap_or_default(),
                why.unwrap_or_default()
            )
        })
        .collect();
    if units.is_empty() {
        return "not ready: no signal is loaded yet".to_string();
    }
    if waiting.is_empty() {
        return "not ready: stopping, or about to be ready".to_string();
    }
    let named: Vec<String> = waiting.iter().take(NAMED).cloned().collect();
    let more = waiting.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "not ready: {} of {} units have no result yet: {}{more}",
        waiting.len(),
        units.len(),
        named.join(", ")
    )
}

pub(super) async fn reload(state: &State) -> Reply {
    let Some(sender) = &state.lifecycle else {
        return disabled();
    };
    let (answer, answered) = oneshot::channel();
    if sender.send(Lifecycle::Reload(answer)).await.is_err() {
        return stopping();
    }
    match answered.await {
        Ok(Ok(())) => reply::text(StatusCode::OK, "the configuration is reloaded"),
        Ok(Err(why)) => reply::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the configuration is not reloaded, the former one is still in force: {why}"),
        ),
        Err(_) => stopping(),
    }
}

pub(super) async fn quit(state: &State) -> Reply {
    let Some(sender) = &state.lifecycle else {
        return disabled();
    };
    let sender: &mpsc::Sender<Lifecycle> = sender;
    match sender.send(Lifecycle::Quit).await {
        Ok(()) => reply::text(StatusCode::OK, "forethought stops"),
        Err(_) => stopping(),
    }
}

fn disabled() -> Reply {
    let sentence =
        "the lifecycle API is not enabled; start with --web.enable-lifecycle to enable it";
    reply::text(StatusCode::FORBIDDEN, sentence)
}

fn stopping() -> Reply {
    reply::text(
        StatusCode::SERVICE_UNAVAILABLE,
        "forethought is stopping already",
    )
}
