//! One request: who sends it, what is in it, where it goes, what the sender is told.

use super::{Settings, gate::Gate};
use crate::{
    engine::Clock,
    expo::wire::{
        SnappyError, Unpacker, WireError,
        write::{Item, Limits, Reader, Series, Version},
    },
    intake::Verdict,
    series::{Labels, Millis},
    source::local::{Hub, Route, Taken},
    telemetry::IntakeEvents,
};
use hyper::{
    StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A route that no sample took for two of these is forgotten: long before the hub gives its place to another.
const TURN: Millis = 240_000;
/// Room that is kept for the next request.
const KEPT_BYTES: usize = 4 << 20;
/// Beyond the series that are wanted so many others are remembered, to be known as such at once.
const MOST_OTHERS: usize = 500_000;

/// Takes what is pushed to one source.
#[derive(Debug)]
pub struct Receiver {
    name: String,
    settings: Settings,
    gate: Gate,
    places: Arc<Semaphore>,
    hub: Arc<Hub>,
    events: Arc<IntakeEvents>,
    clock: Clock,
    /// Makes keys that nobody can foresee, so that nobody can make two series share one.
    seed: u64,
    desks: Mutex<Vec<Desk>>,
    known: Mutex<Known>,
}

/// What was taken of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Samples, also those that nobody selects.
    pub samples: u64,
    /// What was left out and will be again however often it is sent, in a sentence.
    pub problem: Option<String>,
}

/// Why nothing of a request was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What tells the sender whether to try again.
    pub status: StatusCode,
    /// Why, for a person.
    pub message: String,
}

/// What one request needs, used again by the next.
#[derive(Debug, Default)]
struct Desk {
    unpacker: Unpacker,
    samples: Vec<(Route, Millis, f64)>,
    key: Vec<u8>,
}

/// The series that came lately, by a hash of their labels.
#[derive(Debug, Default)]
struct Known {
    generation: u64,
    turn: Millis,
    routes: HashMap<u128, (Route, Millis)>,
}

impl Receiver {
    /// The receiver of the source `name`, which fills `hub`.
    ///
    /// # Errors
    /// A secret that cannot be in a header, or a file that cannot be read.
    pub fn build(
        name: &str,
        settings: &Settings,
        hub: Arc<Hub>,
        (events, clock): (Arc<IntakeEvents>, Clock),
    ) -> Result<Self, String> {
        Ok(Self {
            gate: Gate::new(settings)?,
            name: name.to_owned(),
            places: Arc::new(Semaphore::new(settings.concurrency)),
            settings: settings.clone(),
            hub,
            events,
            clock,
            seed: fastrand::u64(..),
            desks: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// What it was built from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The hub that it fills.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Looks at the head of a request: whether it may be sent at all, and its version.
    ///
    /// # Errors
    /// What is wrong with it, or that we are.
    pub async fn admit(&self, headers: &HeaderMap) -> Result<Version, Refusal> {
        match self.gate.opens(headers).await {
            Ok(true) => {}
            Ok(false) => {
                let text = "who pushes here must show the credentials of the source";
                return Err(Refusal::new(StatusCode::UNAUTHORIZED, text));
            }
            // Not the sender's fault: it tries again.
            Err(problem) => return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, problem)),
        }
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        if let Some(other) =
            text(CONTENT_ENCODING).filter(|one| !one.eq_ignore_ascii_case("snappy"))
        {
            let text = format!("Content-Encoding is {other:?}; remote write is packed with snappy");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let content_type = text(CONTENT_TYPE).unwrap_or_default();
        Version::of(content_type).ok_or_else(|| {
            let text = format!(
                "Content-Type is {content_type:?}; there are {} (remote write 1.0) and {} (2.0)",
                Version::V1.content_type(),
                Version::V2.content_type()
            );
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
        })
    }

    /// Waits for nobody: a place for one request, or that there is none.
    ///
    /// # Errors
    /// 503: the sender comes again.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|error| match error {
                TryAcquireError::NoPermits | TryAcquireError::Closed => Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "as many requests as may be are being taken apart; come again",
                ),
            })
    }

    /// Takes in the body of a request, packed.
    ///
    /// # Errors
    /// It cannot be read. Nothing of it was taken, but for what came before the fault.
    pub fn take(&self, packed: &[u8], version: Version) -> Result<Written, Refusal> {
        let mut desk = self.desks().pop().unwrap_or_default();
        let done = self.take_at(&mut desk, packed, version);
        desk.unpacker.shrink_to(KEPT_BYTES);
        desk.samples.clear();
        desk.samples
            .shrink_to(KEPT_BYTES / size_of::<(Route, Millis, f64)>());
        let mut desks = self.desks();
        if desks.len() < self.settings.concurrency {
            desks.push(desk);
        }
        done
    }

    fn take_at(
        &self,
        desk: &mut Desk,
        packed: &[u8],
        version: Version,
    ) -> Result<Written, Refusal> {
        let limit = self.settings.max_request_bytes;
        let body = desk.unpacker.unpack(packed, limit).map_err(|error| {
            let status = match error {
                SnappyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            Refusal::new(status, error.to_string())
        })?;
        let now = self.clock.now();
        let mut written = Written::default();
        let read = self.read(
            body,
            version,
            now,
            (&mut desk.samples, &mut desk.key),
            &mut written,
        );
        let taken = self.hub.take(&desk.samples, now);
        if taken.lost > 0 {
            // It should not be; whatever it was, it is asked for anew.
            self.known().routes.clear();
        }
        read.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        written.samples += desk.samples.len() as u64;
        self.judge(&taken, &mut written);
        Ok(written)
    }

    /// Goes over a body and finds where each sample goes.
    fn read(
        &self,
        body: &[u8],
        version: Version,
        now: Millis,
        (samples, key): (&mut Vec<(Route, Millis, f64)>, &mut Vec<u8>),
        written: &mut Written,
    ) -> Result<(), WireError> {
        let mut known = self.known();
        known.begin(self.hub.generation(), now, self.settings.max_series);
        let mut reader = Reader::new(body, version, Limits::default());
        while let Some(item) = reader.next_item()? {
            match item {
                Item::Series(series) => {
                    self.events
                        .histograms_skipped(&self.name, series.histograms);
                    let route = self.route(&mut known, key, &series, now);
                    let points = series.samples.iter();
                    samples.extend(points.map(|point| (route, point.at, point.value)));
                }
                Item::Refused(refused) => {
                    self.events.invalid(&self.name, &refused.reason);
                    let of = refused
                        .name
                        .map_or(String::new(), |name| format!(" of {name}"));
                    let problem = || format!("a series{of} was left out: {}", refused.reason);
                    written.problem.get_or_insert_with(problem);
                }
                Item::Metadata { .. } => {}
            }
        }
        Ok(())
    }

    fn route(
        &self,
        known: &mut Known,
        key: &mut Vec<u8>,
        series: &Series<'_, '_>,
        now: Millis,
    ) -> Route {
        key.clear();
        key.extend_from_slice(series.name.as_bytes());
        for (name, value) in series.labels {
            // No text in UTF-8 has these bytes.
            key.push(0xff);
            key.extend_from_slice(name.as_bytes());
            key.push(0xfe);
            key.extend_from_slice(value.as_bytes());
        }
        let hash = xxh3_128_with_seed(key, self.seed);
        if let Some((route, seen)) = known.routes.get_mut(&hash) {
            // One that nobody wanted, or that had no room, is asked about again now and then.
            if route.is_kept() {
                *seen = now;
            }
            return *route;
        }
        // The reader gives every name once and none that is empty.
        let labels = Labels::new(series.labels.iter().copied()).unwrap_or_default();
        let route = self.hub.route(series.name, &labels, now);
        known.routes.insert(hash, (route, now));
        route
    }

    /// What of the samples the sender should hear about: what it does wrong. What came twice or late it cannot help.
    fn judge(&self, taken: &Taken, written: &mut Written) {
        let ahead = taken.of(Verdict::Ahead);
        if ahead > 0 {
            let text = format!(
                "{ahead} samples were left out: they are more than ten minutes ahead of our clock"
            );
            written.problem.get_or_insert(text);
        }
        written.samples = written.samples.saturating_sub(ahead);
    }

    fn desks(&self) -> MutexGuard<'_, Vec<Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets what is not right any more, and what did not come for long.
    fn begin(&mut self, generation: u64, now: Millis, max_series: usize) {
        if self.generation != generation || self.routes.len() > max_series + MOST_OTHERS {
            self.routes.clear();
            self.generation = generation;
        }
        // Also where the clock was set back.
        if (now - self.turn).abs() > TURN {
            self.turn = now;
            self.routes
                .retain(|_, (_, seen)| (now - *seen).abs() <= 2 * TURN);
        }
    }
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}
