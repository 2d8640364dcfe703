//! Samples that are pushed to us by remote write.

use super::{
    State,
    reply::{self, Reply},
};
use crate::{
    expo::wire::write::{EXEMPLARS_WRITTEN, HISTOGRAMS_WRITTEN, SAMPLES_WRITTEN, Version},
    source::remote_write::{Receiver, Refusal, Written},
};
use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    body::{Body, Incoming},
    header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    http::request,
};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, task::spawn_blocking, time::timeout};

/// A request that takes longer does not come.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Answers a request to `/api/v1/write`, or below it to the source `name`.
pub(super) async fn answer(
    state: &State,
    name: &str,
    head: &request::Parts,
    body: Incoming,
) -> Reply {
    if is_starting(state) {
        return refused(&Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: "the configuration is not in force yet; come again".to_owned(),
        });
    }
    let receiver = match receiver(state, name) {
        Ok(receiver) => receiver,
        Err(sentence) => return reply::json_error(StatusCode::NOT_FOUND, &sentence),
    };
    let version = match receiver.admit(&head.headers).await {
        Ok(version) => version,
        Err(refusal) => return refused(&refusal),
    };
    let done = take(&receiver, version, body).await;
    match done {
        Ok(written) => accepted(&written, version),
        Err(refusal) => refused(&refusal),
    }
}

/// Whether nobody knows yet who is pushed to: a sender that is told that nobody is would not come again with what it has.
fn is_starting(state: &State) -> bool {
    let report = state.config.lock().unwrap_or_else(PoisonError::into_inner);
    report.last_reload_success.is_none() && state.receivers.load().is_empty()
}

/// The receiver of the source `name`, or the only one.
fn receiver(state: &State, name: &str) -> Result<Arc<Receiver>, String> {
    let all = state.receivers.load();
    let names = || {
        all.keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match name {
        "" if all.len() > 1 => {
            let text = format!(
                "several sources are pushed to: {}; push to /api/v1/write/NAME",
                names()
            );
            return Err(text);
        }
        "" => all.values().next(),
        name => all.get(name),
    };
    found.map(Arc::clone).ok_or_else(|| match all.len() {
        0 => "no source of the configuration is pushed to; add one such as {name: pushed, remote_write: {}}".to_owned(),
        _ => format!("no source called {name:?} is pushed to; there are {}", names()),
    })
}

async fn take(
    receiver: &Arc<Receiver>,
    version: Version,
    body: Incoming,
) -> Result<Written, Refusal> {
    receiver.expects_more()?;
    let (body, room) = read(receiver, body).await?;
    let place = receiver.place().await?;
    let own = Arc::clone(receiver);
    // A sender that hangs up meanwhile does not free the place: the work goes on.
    let done = spawn_blocking(move || {
        let done = own.take(&body, version);
        drop((place, room));
        done
    });
    let done = done.await;
    done.unwrap_or_else(|_| {
        Err(Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "taking the request apart panicked; please report it".to_owned(),
        })
    })
}

/// A whole body, and the room that it has.
type Whole = (Vec<u8>, Option<OwnedSemaphorePermit>);

/// A packed body is not longer than what is in it, but for a little.
async fn read(receiver: &Receiver, body: Incoming) -> Result<Whole, Refusal> {
    // Who says beforehand that it is too much is not waited for.
    let limit = receiver.settings().max_request_bytes;
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let read = timeout(BODY_WITHIN, read_all(receiver, body)).await;
    read.unwrap_or_else(|_| {
        Err(Refusal {
            status: StatusCode::REQUEST_TIMEOUT,
            message: format!("the body did not come within {}s", BODY_WITHIN.as_secs()),
        })
    })
}

async fn read_all(receiver: &Receiver, mut body: Incoming) -> Result<Whole, Refusal> {
    let limit = receiver.settings().max_request_bytes;
    let (mut whole, mut room) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal {
            status: StatusCode::BAD_REQUEST,
            message: format!("the body could not be read: {error}"),
        })?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if whole.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        receiver.make_room(&mut room, data.len())?;
        whole.extend_from_slice(data);
    }
    Ok((whole, room))
}

fn too_large(limit: usize) -> Refusal {
    Refusal {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        message: format!("a request may have at most {limit} bytes; send fewer series at once"),
    }
}

/// What was left out for good is 400, which no sender tries again; the rest was taken.
fn accepted(written: &Written, version: Version) -> Reply {
    let mut answer = match &written.problem {
        None => reply::parts(StatusCode::NO_CONTENT, "text/plain", Vec::new()),
        Some(problem) => reply::text(StatusCode::BAD_REQUEST, problem),
    };
    if version == Version::V2 {
        for (name, count) in [
            (SAMPLES_WRITTEN, written.samples),
            (HISTOGRAMS_WRITTEN, 0),
            (EXEMPLARS_WRITTEN, 0),
        ] {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                answer = reply::with(answer, name, HeaderValue::from(count));
            }
        }
    }
    answer
}

fn refused(refusal: &Refusal) -> Reply {
    let answer = reply::text(refusal.status, &refusal.message);
    match refusal.status {
        StatusCode::SERVICE_UNAVAILABLE => {
            reply::with(answer, RETRY_AFTER, HeaderValue::from_static("1"))
        }
        StatusCode::UNAUTHORIZED => {
            let ways = HeaderValue::from_static("Basic realm=\"remote write\", Bearer");
            reply::with(answer, WWW_AUTHENTICATE, ways)
        }
        _ => answer,
    }
}
