//! A Prometheus-compatible HTTP API as a source: Prometheus, VictoriaMetrics, Thanos, Mimir.
//!
//! One range becomes requests a source can answer (`chunk`); each is sent within its deadlines
//! (`client`, `connect`, `body`), again where that may help (`retry`), or not at all while the source keeps
//! failing (`breaker`). Answers are decoded in one pass (`decode`, `samples`) and put together
//! (`gather`).

mod auth;
mod body;
mod breaker;
mod chunk;
mod client;
mod connect;
mod decode;
mod failure;
mod gather;
mod get;
mod intern;
mod post;
mod probe;
mod retry;
mod samples;
mod settings;
mod tls;
mod validate;

#[cfg(test)]
pub(super) mod tests;

pub(crate) use auth::Credentials;
pub use breaker::Change;
pub(crate) use connect::{HttpClient, Lost, plain_client, tls_stamp};
pub(crate) use get::{Getter, Wanted};
pub use post::{Delivered, Document, Posted, Poster};
pub use probe::Probe;
pub use settings::{Address, Authorization, BasicAuth, BreakerSettings, Settings, TlsSettings};
#[cfg(feature = "kafka")]
pub(crate) use tls::read_client_config;

use self::{
    breaker::Breaker,
    chunk::Plan,
    client::Caller,
    decode::{Decoded, Expected, Range, decode},
    failure::{Failure, short},
    gather::Gathered,
    intern::Interner,
    retry::Retries,
};
use super::{Answer, BreakerState, Cause, Matrix, Prints, RangeRequest, Source, SourceError};
use crate::{
    engine::clock::Clock,
    series::{Millis, Share},
    telemetry::SourceEvents,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

/// A Prometheus-compatible HTTP API. Cheap to share; dropping a future of it cancels the request.
#[derive(Debug)]
pub struct PrometheusSource {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    settings: Settings,
    caller: Caller,
    breaker: Breaker,
    /// Requests that may be under way, decoding included: it bounds memory.
    places: Semaphore,
    interner: Arc<Interner>,
    events: Arc<SourceEvents>,
    said: Mutex<BTreeSet<(String, String)>>,
}

/// What was said about queries is forgotten beyond so many, and said again.
const MOST_SAID: usize = 10_000;

impl PrometheusSource {
    /// A source with the name `name`. Reads the files the settings name and starts nothing. What is
    /// shown of a source of this name stays as it is: call [`SourceEvents::announce`] when this one is
    /// in force.
    ///
    /// # Errors
    /// All problems of the settings, or the first file that cannot be used.
    pub fn build(
        name: &str,
        settings: &Settings,
        events: Arc<SourceEvents>,
    ) -> Result<Self, String> {
        let problems = settings.validate();
        if !problems.is_empty() {
            let all: Vec<String> = problems
                .into_iter()
                .map(|(path, problem)| format!("{path}: {problem}"))
                .collect();
            return Err(all.join("; "));
        }
        let caller = Caller::new(settings)?;
        let (told, of) = (events.clone(), name.to_owned());
        Ok(Self {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                caller,
                breaker: Breaker::new(&settings.breaker, move |change| told.breaker(&of, change)),
                places: Semaphore::new(settings.concurrency),
                interner: Arc::default(),
                events,
                said: Mutex::default(),
                settings: settings.clone(),
            }),
        })
    }

    /// Asks for the value of `query` at the one time `at`. A scalar comes as a series without labels.
    ///
    /// # Errors
    /// As [`Source::range`].
    pub async fn instant(
        &self,
        query: &str,
        at: Millis,
        max_series: usize,
    ) -> Result<Matrix, SourceError> {
        let form = form(&[
            ("query", query),
            ("time", &seconds(at)),
            self.timeout_pair(),
        ]);
        let expected = Expected {
            query: query.to_owned(),
            grid: None,
            max_samples: self.inner.settings.max_samples,
        };
        let answer = self
            .inner
            .ask("/api/v1/query", &form, &expected, false)
            .await;
        let mut gathered = Gathered::new(max_series, Share::ALL);
        gathered.add(answer.map_err(|failure| failure.error)?);
        Ok(self.inner.report(query, gathered))
    }

    async fn range_matrix(
        &self,
        request: RangeRequest,
        known: Option<Arc<Prints>>,
    ) -> Result<Matrix, SourceError> {
        let whole = checked(&request)?;
        let settings = &self.inner.settings;
        let (most, width) = (settings.max_samples, settings.concurrency);
        // Those of other shards come too, and take room until they are decoded.
        let expected = request.max_series.saturating_mul(request.share.parts());
        let mut plan = Plan::new(whole, expected, most, width);
        let mut gathered = Gathered::new(request.max_series, request.share).preferring(known);
        loop {
            let wave = plan.wave();
            if wave.is_empty() {
                return Ok(self.inner.report(&request.query, gathered));
            }
            for (range, answer) in self.together(&request.query, wave).await {
                match answer {
                    Ok(decoded) => {
                        plan.answered(range, decoded.series.len());
                        gathered.add(decoded);
                    }
                    // What came after it in this wave is asked for again, in the new size.
                    Err(failure) if failure.narrow && plan.too_much(range) => break,
                    Err(failure) => return Err(failure.error),
                }
            }
        }
    }

    /// Asks for `wave` at the same time; the answers are in its order.
    async fn together(
        &self,
        query: &str,
        wave: Vec<Range>,
    ) -> Vec<(Range, Result<Decoded, Failure>)> {
        if let [range] = wave[..] {
            return vec![(
                range,
                self.inner.clone().part(query.to_owned(), range).await,
            )];
        }
        let mut asked = JoinSet::new();
        for range in wave {
            let part = self.inner.clone().part(query.to_owned(), range);
            asked.spawn(async move { (range, part.await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(range, _)| range.start);
        answers
    }

    fn timeout_pair(&self) -> (&'static str, &str) {
        ("timeout", &self.inner.caller.timeout)
    }
}

/// Decodes the bodies of answers, as a source does with those it fetches. Remembers labels, so the second
/// answer with the same series is decoded faster.
#[derive(Debug, Default)]
pub struct Decoder {
    interner: Interner,
}

impl Decoder {
    /// The answer to `request` in `body`, the JSON of `/api/v1/query_range`.
    ///
    /// # Errors
    /// It is not such an answer, or the source refused the query.
    pub fn range(&self, body: &[u8], request: &RangeRequest) -> Result<Matrix, SourceError> {
        let expected = Expected {
            query: request.query.clone(),
            grid: Some(checked(request)?),
            max_samples: usize::MAX,
        };
        let decoded = decode(body, &expected, &self.interner);
        let mut gathered = Gathered::new(request.max_series, request.share.clone());
        gathered.add(decoded.map_err(|failure| failure.error)?);
        Ok(gathered.finish())
    }
}

impl Source for PrometheusSource {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn range(&self, request: RangeRequest) -> Answer<'_> {
        Box::pin(self.range_matrix(request, None))
    }

    fn range_on(&self, request: RangeRequest, known: Arc<Prints>) -> Answer<'_> {
        Box::pin(self.range_matrix(request, Some(known)))
    }

    fn breaker(&self) -> BreakerState {
        self.inner.breaker.state()
    }
}

// === impl Inner ===

impl Inner {
    /// One request of a range.
    async fn part(self: Arc<Self>, query: String, range: Range) -> Result<Decoded, Failure> {
        let form = form(&[
            ("query", &query),
            ("start", &seconds(range.start)),
            ("end", &seconds(range.end)),
            ("step", &seconds(range.step)),
            ("timeout", &self.caller.timeout),
        ]);
        let expected = Expected {
            query,
            grid: Some(range),
            max_samples: self.settings.max_samples,
        };
        let divisible = range.points() > 1;
        self.ask("/api/v1/query_range", &form, &expected, divisible)
            .await
    }

    /// Sends a request until it is answered or asking again cannot help. A `divisible` one that was
    /// too much is not repeated: a shorter one will be sent.
    async fn ask(
        &self,
        path: &str,
        form: &str,
        expected: &Expected,
        divisible: bool,
    ) -> Result<Decoded, Failure> {
        let mut retries = Retries::new(self.settings.retries);
        loop {
            let failure = match self.attempt(path, form, expected).await {
                Ok(decoded) => return Ok(decoded),
                Err(failure) => failure,
            };
            let closed = self.breaker.state() == BreakerState::Closed;
            let repeat = closed && !(divisible && failure.narrow);
            let pause = repeat.then(|| retries.pause(failure.again)).flatten();
            self.events.failed(&self.name, &failure.error, pause);
            let Some(pause) = pause else {
                return Err(failure);
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        path: &str,
        form: &str,
        expected: &Expected,
    ) -> Result<Decoded, Failure> {
        let place = self.places.acquire().await;
        let _place = place.map_err(|error| Failure::own(error.to_string()))?;
        let ticket = self.breaker.admit().await.map_err(|error| {
            let message = format!("{}: {}", self.name, error.message);
            Failure::refused(Cause::BreakerOpen, message)
        })?;
        self.events.requested(&self.name);
        let begun = Instant::now();
        let answer = self.fetch(path, form, expected).await;
        self.events.finished(&self.name, begun.elapsed());
        match &answer {
            Ok(_) => self.events.answered(&self.name, Clock::System.now()),
            Err(failure) if failure.alive => {}
            Err(failure) => {
                ticket.end(Some(&failure.error));
                return answer;
            }
        }
        ticket.end(None);
        answer
    }

    async fn fetch(&self, path: &str, form: &str, expected: &Expected) -> Result<Decoded, Failure> {
        let body = self.caller.exchange(path, form).await?;
        self.events.received(&self.name, body.len());
        let decoded = if body.len() < DECODED_IN_PLACE {
            decode(&body, expected, &self.interner)
        } else {
            let (expected, interner) = (expected.clone(), self.interner.clone());
            let task = move || decode(&body, &expected, &interner);
            let done = tokio::task::spawn_blocking(task).await;
            done.map_err(|error| Failure::garbled(error.to_string()))?
        };
        decoded.map_err(|mut failure| {
            let url = format!("{}{path}", self.caller.base());
            failure.error.message = format!("{url}: {}", failure.error.message);
            failure
        })
    }

    /// Counts and logs what an answer left out and warned about; the log has each only when it is new.
    fn report(&self, query: &str, gathered: Gathered) -> Matrix {
        let examples = gathered.examples();
        let matrix = gathered.finish();
        let shown = short(query, client::SHOWN);
        for warning in &matrix.warnings {
            let new = self.is_new(query, warning, true);
            self.events.warned(&self.name, &shown, warning, new);
        }
        let (dropped, rejected) = (matrix.dropped, matrix.rejected);
        let new = self.is_new(query, " dropped", dropped > 0);
        if dropped > 0 {
            self.events
                .dropped(&self.name, &shown, dropped, &examples, new);
        }
        let new = self.is_new(query, " rejected", rejected > 0);
        if rejected > 0 {
            self.events.rejected(&self.name, &shown, rejected, new);
        }
        matrix
    }

    /// Remembers whether `what` holds for `query`; true where it does now and did not before.
    fn is_new(&self, query: &str, what: &str, holds: bool) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (query.to_owned(), what.to_owned());
        if !holds {
            said.remove(&key);
            return false;
        }
        if said.len() >= MOST_SAID {
            said.clear();
        }
        said.insert(key)
    }
}

/// Below this, decoding takes about a millisecond, and moving it to another thread costs more than it saves.
const DECODED_IN_PLACE: usize = 256 << 10;

fn checked(request: &RangeRequest) -> Result<Range, SourceError> {
    let &RangeRequest {
        start, end, step, ..
    } = request;
    if step > 0 && start <= end && start % step == 0 && end % step == 0 {
        return Ok(Range { start, end, step });
    }
    Err(SourceError {
        cause: Cause::Query,
        message: format!("{start} to {end} ms is not a range on the grid of {step} ms"),
    })
}

/// Seconds as the API wants them, to the millisecond.
fn seconds(millis: Millis) -> String {
    let (whole, part) = (millis.div_euclid(1_000), millis.rem_euclid(1_000));
    if part == 0 {
        return whole.to_string();
    }
    // A negative time is so many seconds before the epoch plus the part: written as one number.
    let sign = if millis < 0 { "-" } else { "" };
    let size = millis.unsigned_abs();
    format!("{sign}{}.{:03}", size / 1_000, size % 1_000)
}

/// What a form leaves as it is (RFC 3986, 2.3).
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn form(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (index, (name, value)) in pairs.iter().enumerate() {
        let and = if index == 0 { "" } else { "&" };
        let value = utf8_percent_encode(value, FORM);
        // Writing into a string cannot fail.
        write!(text, "{and}{name}={value}").unwrap_or_default();
    }
    text
}
