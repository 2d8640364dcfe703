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
    source::local::{Hub, Route, SeriesKey, Taken},
    telemetry::IntakeEvents,
};
use hyper::{
    StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap},
};
use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A series that nobody wanted, or that had no room, is asked about again after two of these.
const TURN: Millis = 240_000;
/// Room that is kept for the next request.
const KEPT_BYTES: usize = 4 << 20;
/// Beyond `max_series` so many series that nobody here wants are remembered, to be known as such at once.
const MOST_OTHERS: usize = 500_000;

/// Takes what is pushed to one source.
#[derive(Debug)]
pub struct Receiver {
    name: String,
    settings: Settings,
    gate: Gate,
    places: Arc<Semaphore>,
    /// Bytes of bodies that are on their way or wait to be taken apart.
    room: Arc<Semaphore>,
    hub: Arc<Hub>,
    events: Arc<IntakeEvents>,
    clock: Clock,
    desks: Mutex<Vec<Desk>>,
    unwanted: Mutex<Unwanted>,
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
    page: Page,
}

/// What is in one request.
#[derive(Debug, Default)]
struct Page {
    series: Vec<Sent>,
    samples: Vec<(Route, Millis, f64)>,
    /// Room for the text of one series.
    key: Vec<u8>,
}

/// A series of a request.
#[derive(Debug, Clone, Copy)]
struct Sent {
    key: SeriesKey,
    /// Its samples.
    samples: usize,
    /// `None`: the hub does not know it.
    route: Option<Route>,
}

/// The series that came lately and that nobody here wants, by their keys. Those that are wanted are known to the hub.
#[derive(Debug, Default)]
struct Unwanted {
    generation: u64,
    turn: Millis,
    /// Where they go instead, and when they were asked for.
    asked: HashMap<u128, (Route, Millis)>,
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
            room: Arc::new(Semaphore::new(
                settings.concurrency * settings.max_request_bytes,
            )),
            settings: settings.clone(),
            hub,
            events,
            clock,
            desks: Mutex::default(),
            unwanted: Mutex::default(),
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

    /// Whether a request that comes now is likely to be taken apart: one that is not need not be read first.
    ///
    /// # Errors
    /// 503: the sender comes again.
    pub fn expects_more(&self) -> Result<(), Refusal> {
        match self.places.available_permits() {
            0 => Err(Refusal::busy("requests")),
            _ => Ok(()),
        }
    }

    /// Adds room for so many more bytes to what a body has: all of them together have as much as all places may need. So who
    /// sends slowly keeps no more than it sent, and nobody from a place.
    ///
    /// # Errors
    /// 503: the sender comes again.
    pub fn make_room(
        &self,
        own: &mut Option<OwnedSemaphorePermit>,
        bytes: usize,
    ) -> Result<(), Refusal> {
        let more = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.room).try_acquire_many_owned(more);
        let more = more.map_err(|_| Refusal::busy("bytes"))?;
        match own {
            Some(own) => own.merge(more),
            None => *own = Some(more),
        }
        Ok(())
    }

    /// A place for a request that is there as a whole: one becomes free soon, as nobody waits for a sender there.
    ///
    /// # Errors
    /// 503: the sender comes again.
    pub async fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        place.map_err(|_| Refusal::busy("requests"))
    }

    /// Takes in the body of a request, packed.
    ///
    /// # Errors
    /// It cannot be read. Nothing of it was taken, but for what came before the fault.
    pub fn take(&self, packed: &[u8], version: Version) -> Result<Written, Refusal> {
        let mut desk = self.desks().pop().unwrap_or_default();
        let done = self.take_at(&mut desk, packed, version);
        desk.unpacker.shrink_to(KEPT_BYTES);
        desk.page.clear();
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
        let page = &mut desk.page;
        let read = self.read(body, version, page, &mut written);
        let series = page.series.iter_mut();
        self.hub
            .find(series.map(|sent| (sent.key, &mut sent.route)));
        if page.is_unknown() {
            let mut unwanted = self.unwanted();
            unwanted.begin(self.hub.generation(), self.most_others(), now);
            unwanted.find(&mut page.series);
            if page.is_unknown() {
                self.introduce((body, version), &mut page.series, &mut unwanted, now);
            }
        }
        let taken = self.hub.take(page.routed(), now);
        read.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        written.samples += page.samples.len() as u64;
        self.judge(&taken, &mut written);
        Ok(written)
    }

    /// Goes over a body: its samples, and of which series they are.
    fn read(
        &self,
        body: &[u8],
        version: Version,
        page: &mut Page,
        written: &mut Written,
    ) -> Result<(), WireError> {
        let mut reader = Reader::new(body, version, Limits::default());
        while let Some(item) = reader.next_item()? {
            match item {
                Item::Series(series) => {
                    self.events
                        .histograms_skipped(&self.name, series.histograms);
                    let labels = series.labels.iter().copied();
                    page.series.push(Sent {
                        key: self.hub.key(series.name, labels, &mut page.key),
                        samples: series.samples.len(),
                        route: None,
                    });
                    let points = series.samples.iter();
                    let points = points.map(|point| (Route::NOWHERE, point.at, point.value));
                    page.samples.extend(points);
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

    /// Goes over a body again, and makes the series known that are not.
    fn introduce(
        &self,
        (body, version): (&[u8], Version),
        sent: &mut [Sent],
        unwanted: &mut Unwanted,
        now: Millis,
    ) {
        let mut reader = Reader::new(body, version, Limits::default());
        let mut sent = sent.iter_mut();
        // It was read before: a fault comes after the last of those that were sent.
        while let Ok(Some(item)) = reader.next_item() {
            let Item::Series(series) = item else { continue };
            let Some(sent) = sent.next() else { return };
            if sent.route.is_none() {
                sent.route = Some(self.route(unwanted, sent.key, &series, now));
            }
        }
    }

    fn route(
        &self,
        unwanted: &mut Unwanted,
        key: SeriesKey,
        series: &Series<'_, '_>,
        now: Millis,
    ) -> Route {
        // The reader gives every name once and none that is empty.
        let labels = Labels::sorted(series.labels.iter().copied()).unwrap_or_default();
        let route = self.hub.route(series.name, &labels, now);
        if !route.is_kept() {
            unwanted.asked.insert(key.hash(), (route, now));
        }
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

    /// So many series that nobody here wants are remembered.
    fn most_others(&self) -> usize {
        self.settings.max_series + MOST_OTHERS
    }

    fn desks(&self) -> MutexGuard<'_, Vec<Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwanted(&self) -> MutexGuard<'_, Unwanted> {
        self.unwanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    /// Keeps some room for the next request.
    fn clear(&mut self) {
        self.series.clear();
        self.series.shrink_to(KEPT_BYTES / size_of::<Sent>());
        self.samples.clear();
        self.samples
            .shrink_to(KEPT_BYTES / size_of::<(Route, Millis, f64)>());
    }

    /// Whether it is not known of every series where it goes.
    fn is_unknown(&self) -> bool {
        self.series.iter().any(|sent| sent.route.is_none())
    }

    /// The samples, each with the route of its series.
    fn routed(&mut self) -> &[(Route, Millis, f64)] {
        let mut rest = self.samples.as_mut_slice();
        for sent in &self.series {
            let (own, others) = mem::take(&mut rest).split_at_mut(sent.samples);
            let route = sent.route.unwrap_or(Route::NOWHERE);
            own.iter_mut().for_each(|sample| sample.0 = route);
            rest = others;
        }
        &self.samples
    }
}

impl Unwanted {
    /// Where those go of which the hub does not know it.
    fn find(&self, sent: &mut [Sent]) {
        for sent in sent.iter_mut().filter(|sent| sent.route.is_none()) {
            let known = self.asked.get(&sent.key.hash());
            sent.route = known.map(|(route, _)| *route);
        }
    }

    /// Forgets what is not right any more, and what was asked for long ago.
    fn begin(&mut self, generation: u64, most: usize, now: Millis) {
        if self.generation != generation || self.asked.len() > most {
            self.asked.clear();
            self.generation = generation;
        }
        // Also where the clock was set back.
        if (now - self.turn).abs() > TURN {
            self.turn = now;
            self.asked
                .retain(|_, (_, asked)| (now - *asked).abs() <= 2 * TURN);
        }
    }
}

impl Refusal {
    fn busy(what: &str) -> Self {
        let text = format!("as many {what} as may be are being taken apart; come again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}
