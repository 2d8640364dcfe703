//! One HTTP exchange with a source: connect, send, read, each within its deadline.

use super::{
    auth::{Credentials, hide},
    body::{self, Bounds, Coding, Words},
    connect::{Clients, unreachable_source},
    failure::{A_PAGE, Again, Failure, is_page, short},
    post::Document,
    retry::retry_after,
    seconds,
    settings::Settings,
};
use crate::{engine::clock::Clock, series::Span, source::Cause};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
        RETRY_AFTER,
    },
};
use serde::Deserialize;
use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Enough of a failed answer to hold its error text.
const ERROR_BODY: usize = 65_536;
/// How much of a foreign text an error shows.
pub(super) const SHOWN: usize = 200;

/// The HTTP side of a source.
pub(super) struct Caller {
    base: String,
    /// How long the source itself should try, as the API's `timeout`.
    pub(super) timeout: String,
    settings: Settings,
    credentials: Credentials,
    clients: Clients,
    /// Whether the source refused POST and took GET.
    get_only: AtomicBool,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Caller {
    /// A caller of the source of `settings`, which are valid. Reads the files they name.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let base = settings.url.base()?;
        Ok(Self {
            base,
            timeout: seconds(settings.timeout.as_millis()),
            settings: settings.clone(),
            credentials: Credentials::new(settings)?,
            clients: Clients::new(settings)?,
            get_only: AtomicBool::new(false),
        })
    }

    /// The URL of the source, as it may be shown.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends `form` to `path` and gives the body of a good answer.
    pub(super) async fn exchange(&self, path: &str, form: &str) -> Result<Vec<u8>, Failure> {
        if self.get_only.load(Ordering::Relaxed) {
            return self
                .once(path, Payload::Query(form))
                .await
                .map_err(Refusal::into_failure);
        }
        match self.once(path, Payload::Form(form)).await {
            Err(Refusal::Method(_)) => {}
            other => return other.map_err(Refusal::into_failure),
        }
        let second = self.once(path, Payload::Query(form)).await;
        if !matches!(second, Err(Refusal::Method(_))) {
            self.get_only.store(true, Ordering::Relaxed);
        }
        second.map_err(Refusal::into_failure)
    }

    /// Posts a JSON document to `path` and gives the body of a good answer.
    pub(super) async fn post(&self, path: &str, json: Bytes) -> Result<Vec<u8>, Failure> {
        let answer = self.once(path, Payload::Json(json)).await;
        answer.map_err(Refusal::into_failure)
    }

    /// Posts a document of another kind to the very URL and gives the body of a good answer.
    pub(super) async fn deliver(&self, document: Document) -> Result<Vec<u8>, Failure> {
        let answer = self.once("", Payload::Document(document)).await;
        answer.map_err(Refusal::into_failure)
    }

    async fn once(&self, path: &str, payload: Payload<'_>) -> Result<Vec<u8>, Refusal> {
        let place = format!("{} {}{path}", payload.method(), self.base);
        let headers = self
            .credentials
            .headers()
            .await
            .map_err(|failure| named(failure, &place))?;
        let page = payload.not_for_people();
        let answer = self.send(path, payload, headers.clone()).await;
        let answer = match answer {
            Ok((status, body)) if status.is_success() => return Ok(body),
            Ok((status, body)) => Err((status, body)),
            Err(failure) => Ok(failure),
        };
        let refusal = match answer {
            Ok(failure) => Refusal::Other(failure),
            Err((status, body)) => refusal(status, &body, page),
        };
        Err(refusal.map(|failure| {
            let mut failure = named(failure, &place);
            failure.error.message = hide(failure.error.message, &headers);
            failure
        }))
    }

    /// The status and the body; a failed status comes with the beginning of its body.
    async fn send(
        &self,
        path: &str,
        payload: Payload<'_>,
        headers: HeaderMap,
    ) -> Result<(StatusAndHeaders, Vec<u8>), Failure> {
        let deadline = Instant::now() + self.settings.timeout.to_std();
        let wanted = payload.answered_with();
        let request = request(&format!("{}{path}", self.base), payload, headers)?;
        let client = self.clients.client().await?;
        let answer = timeout_at(deadline, client.request(request)).await;
        let answer = answer
            .map_err(|_| no_answer(self.settings.timeout))?
            .map_err(|error| unreachable_source(&error))?;
        let status = StatusAndHeaders::of(&answer);
        let coding = coding(answer.headers())?;
        let bounds = Bounds {
            bytes: self.settings.max_response_bytes,
            idle: self.settings.idle_timeout,
            deadline,
            timeout: self.settings.timeout,
            words: Words::OF_QUERIES,
        };
        if status.is_success() {
            understood(wanted, answer.headers())?;
            let body = body::read(answer.into_body(), coding, bounds).await?;
            return Ok((status, body));
        }
        let bytes = ERROR_BODY.min(bounds.bytes);
        let bounds = Bounds { bytes, ..bounds };
        // The status says enough where its body cannot be read.
        let body = body::read(answer.into_body(), coding, bounds).await;
        Ok((status, body.unwrap_or_default()))
    }
}

fn named(mut failure: Failure, place: &str) -> Failure {
    failure.error.message = format!("{place}: {}", failure.error.message);
    failure
}

/// What a request carries.
enum Payload<'p> {
    /// A form in its body.
    Form(&'p str),
    /// The same form in the URL.
    Query(&'p str),
    /// A JSON document in its body.
    Json(Bytes),
    /// Any document in its body.
    Document(Document),
}

impl Payload<'_> {
    fn method(&self) -> Method {
        match self {
            Self::Query(_) => Method::GET,
            Self::Form(_) | Self::Json(_) | Self::Document(_) => Method::POST,
        }
    }

    /// A header that a good answer must have.
    fn answered_with(&self) -> Option<&'static str> {
        match self {
            Self::Document(document) => document.answered_with,
            Self::Form(_) | Self::Query(_) | Self::Json(_) => None,
        }
    }

    /// What is said of an answer that is a web page.
    fn not_for_people(&self) -> &'static str {
        match self {
            Self::Form(_) | Self::Query(_) => A_PAGE,
            Self::Json(_) | Self::Document(_) => super::post::A_PAGE,
        }
    }
}

fn request(
    url: &str,
    payload: Payload<'_>,
    headers: HeaderMap,
) -> Result<Request<Full<Bytes>>, Failure> {
    let method = payload.method();
    let mut further: &[(&'static str, &'static str)] = &[];
    let (url, body, kind) = match payload {
        Payload::Query(form) => (format!("{url}?{form}"), Bytes::new(), None),
        Payload::Form(form) => {
            let kind = "application/x-www-form-urlencoded";
            (url.to_owned(), Bytes::from(form.to_owned()), Some(kind))
        }
        Payload::Json(json) => (url.to_owned(), json, Some("application/json")),
        Payload::Document(document) => {
            further = document.headers;
            (url.to_owned(), document.body, Some(document.content_type))
        }
    };
    let request = Request::builder()
        .method(method)
        .uri(url)
        .body(Full::new(body));
    let mut request = request.map_err(|error| Failure::own(error.to_string()))?;
    *request.headers_mut() = headers;
    let own = request.headers_mut();
    own.insert(ACCEPT, HeaderValue::from_static("application/json"));
    own.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    if let Some(kind) = kind {
        own.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for &(name, value) in further {
        let name = HeaderName::from_static(name);
        own.insert(name, HeaderValue::from_static(value));
    }
    Ok(request)
}

/// A server that does not know a document may say that all is well, and have taken nothing of it.
fn understood(wanted: Option<&'static str>, headers: &HeaderMap) -> Result<(), Failure> {
    match wanted.filter(|name| !headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(Failure::refused(
            Cause::Status,
            format!(
                "the answer has no {name}, so nothing was taken: the server does not know this version; choose an older one"
            ),
        )),
    }
}

fn no_answer(timeout: Span) -> Failure {
    Failure::late(format!("no answer within {timeout} (timeout)"))
}

pub(super) fn coding(headers: &HeaderMap) -> Result<Coding, Failure> {
    let value = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    match value {
        None | Some(b"" | b"identity") => Ok(Coding::Identity),
        Some(b"gzip" | b"x-gzip") => Ok(Coding::Gzip),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            let other = short(&other, 40);
            Err(Failure::garbled(format!(
                "the answer is compressed as {other}, only gzip was asked for"
            )))
        }
    }
}

// === failed statuses ===

/// What is needed of the head of an answer.
struct StatusAndHeaders {
    status: StatusCode,
    location: Option<String>,
    retry_after: Option<Duration>,
}

impl StatusAndHeaders {
    fn of(answer: &Response<Incoming>) -> Self {
        let text = |name| {
            answer
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        Self {
            status: answer.status(),
            location: text(LOCATION).map(|to| short(to, SHOWN)),
            retry_after: text(RETRY_AFTER).and_then(|text| retry_after(text, Clock::System.now())),
        }
    }

    fn is_success(&self) -> bool {
        self.status.is_success()
    }
}

/// A request that was refused, perhaps only for its method.
enum Refusal {
    Method(Failure),
    Other(Failure),
}

impl Refusal {
    fn into_failure(self) -> Failure {
        match self {
            Self::Method(failure) | Self::Other(failure) => failure,
        }
    }

    fn map(self, change: impl FnOnce(Failure) -> Failure) -> Self {
        match self {
            Self::Method(failure) => Self::Method(change(failure)),
            Self::Other(failure) => Self::Other(change(failure)),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// The error form of the API.
#[derive(Deserialize)]
struct ApiError {
    #[serde(rename = "errorType", default)]
    kind: String,
    error: String,
}

/// Texts of the limits of Prometheus, VictoriaMetrics and Mimir that a shorter range may respect.
const LIMITS: [&str; 6] = [
    "too many samples",
    "maximum resolution",
    "too many points",
    "-search.max",
    "err-mimir-max",
    "query timed out",
];

fn refusal(head: StatusAndHeaders, body: &[u8], a_page: &str) -> Refusal {
    let status = head.status;
    let api = serde_json::from_slice::<ApiError>(body).ok();
    let said = match &api {
        Some(error) => short(&error.error, 4 * SHOWN),
        None => std::str::from_utf8(body).map_or_else(|_| String::new(), |text| short(text, SHOWN)),
    };
    let separator = if said.is_empty() { "" } else { ": " };
    let page = if is_page(&said) {
        format!("; {a_page}")
    } else {
        String::new()
    };
    let message = format!("{status}{separator}{said}{}{page}", advice(&head));
    let lower = said.to_lowercase();
    let narrow = LIMITS.iter().any(|limit| lower.contains(limit));
    let failure = match status.as_u16() {
        // Errors of the query itself: `bad_data` and `execution`.
        400 | 422 if api.is_some() => Failure::refused(Cause::Query, message),
        429 => Failure::lost(Cause::Status, message),
        503 | 504 if api.as_ref().is_some_and(|error| error.kind == "timeout") => {
            Failure::late(message)
        }
        500.. => Failure::lost(Cause::Status, message),
        _ => Failure::refused(Cause::Status, message),
    };
    let again = match (failure.again, head.retry_after) {
        (Again::Backoff, Some(pause)) => Again::After(pause),
        (again, _) => again,
    };
    let narrow = narrow || failure.narrow;
    let failure = Failure {
        again,
        narrow,
        ..failure
    };
    if matches!(
        status,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
    ) {
        return Refusal::Method(Failure {
            again: Again::Never,
            ..failure
        });
    }
    Refusal::Other(failure)
}

fn advice(head: &StatusAndHeaders) -> String {
    match (head.status.as_u16(), &head.location) {
        (300..=399, Some(to)) => format!("; it points to {to}: give the final url"),
        (401, _) => String::from("; check basic_auth, authorization or bearer_token"),
        (403, _) => String::from("; check credentials and headers such as X-Scope-OrgID"),
        (404, _) => String::from("; check the path prefix of url"),
        _ => String::new(),
    }
}
