//! The loop of one target: at its times, ask, read, pass on.

use super::{
    board::{Health, Newest, Shown},
    failure::{Cause, Failure},
    fetch::{Fetched, Fetcher},
    ingest::{Counts, Ingest, Rules},
    known::{Known, Series},
    taker::{Passed, Taker},
    target::Target,
};
use crate::{
    engine::clock::Clock,
    series::{Labels, Millis},
    source::local::Route,
    telemetry::ScrapeEvents,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// A sample has the time at which it was due, where it was asked for this much later at most: rates are then those
/// of even distances. A hundredth of the interval, but never more than this, in milliseconds.
const MOST_SHIFT: Millis = 50;
/// Longer bodies are read elsewhere, so that other targets need not wait for them.
const READ_HERE: usize = 1 << 18;

/// Where series go is asked anew this often: what had no place for some may have one by now.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// What all targets of a source have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Arc<str>,
    pub(super) rules: Rules,
    pub(super) fetcher: Fetcher,
    pub(super) taker: Arc<dyn Taker>,
    pub(super) events: Arc<ScrapeEvents>,
    pub(super) clock: Clock,
    /// Scrapes that may be under way.
    pub(super) places: Semaphore,
    /// Likewise, of targets that answered too late the last time: they take no place of others.
    pub(super) late_places: Semaphore,
    /// More targets than there may be; 0 where there are not.
    pub(super) too_many: AtomicUsize,
}

/// The loop of one target.
#[derive(Debug)]
pub(super) struct TargetLoop {
    shared: Arc<Shared>,
    target: Arc<Target>,
    shown: Arc<Shown>,
    known: Known,
    reports: Reports,
    was_late: bool,
    /// When it was last asked anew where all series go.
    asked: Instant,
}

/// How a scrape went.
struct Outcome {
    counts: Counts,
    bytes: usize,
    result: Result<(), Failure>,
}

impl TargetLoop {
    pub(super) fn new(shared: Arc<Shared>, target: Arc<Target>, shown: Arc<Shown>) -> Self {
        Self {
            shared,
            target,
            shown,
            known: Known::default(),
            reports: Reports::default(),
            was_late: false,
            asked: Instant::now(),
        }
    }

    /// Scrapes until `gone`. Then the target's series are told to be gone too, unless it is the process that ends
    /// (`quit`).
    pub(super) async fn run(mut self, gone: CancellationToken, quit: CancellationToken) {
        let clock = self.shared.clock.clone();
        let mut due = self.target.first_after(clock.now());
        loop {
            tokio::select! {
                biased;
                () = gone.cancelled() => break,
                // Not longer than an interval: a clock that is set back must not make us wait for it.
                () = tokio::time::sleep(clock.until(due).min(self.target.interval.to_std())) => {}
            }
            let now = clock.now();
            // Timers are a little early now and then, and clocks are set.
            if now < due - MOST_SHIFT {
                due = due.min(self.target.first_after(now));
                continue;
            }
            let started = Instant::now();
            if started.duration_since(self.asked) >= ASK_AGAIN {
                self.asked = started;
                self.known.distrust();
            }
            let fetched = tokio::select! {
                biased;
                () = gone.cancelled() => break,
                fetched = self.fetch() => fetched,
            };
            self.pass_on(self.time_of(due, now), started, fetched).await;
            due = self.next_after(due, clock.now());
        }
        if !quit.is_cancelled() {
            self.end();
        }
    }

    /// The time of samples that were due at `due` and asked for at `now`.
    fn time_of(&self, due: Millis, now: Millis) -> Millis {
        let shift = (self.target.interval.as_millis() / 100).min(MOST_SHIFT);
        if (now - due).abs() <= shift { due } else { now }
    }

    fn next_after(&self, due: Millis, now: Millis) -> Millis {
        let next = self.target.first_after(now.max(due));
        let missed = (next - due) / self.target.interval.as_millis().max(1) - 1;
        if missed > 0 {
            let source = &self.shared.source;
            self.shared.events.missed(source, missed.unsigned_abs());
        }
        next
    }

    async fn fetch(&self) -> Result<Fetched, Failure> {
        let shared = &self.shared;
        let more = shared.too_many.load(Ordering::Relaxed);
        if more > 0 {
            let text = format!("not asked: there are {more} targets, more than target_limit");
            return Err(Failure::new(Cause::TargetLimit, text));
        }
        let places = match self.was_late {
            true => &shared.late_places,
            false => &shared.places,
        };
        let place = timeout(self.target.timeout.to_std(), places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            let waited = self.target.timeout;
            let text = format!(
                "not asked: no place among the scrapes under way within {waited} (concurrency)"
            );
            return Err(Failure::new(Cause::Timeout, text));
        };
        shared.fetcher.fetch(&self.target).await
    }

    /// Reads what came, passes it on, and shows how it went.
    async fn pass_on(&mut self, at: Millis, started: Instant, fetched: Result<Fetched, Failure>) {
        let generation = self.shared.taker.generation();
        self.known.begin();
        let mut outcome = Outcome {
            counts: Counts::default(),
            bytes: 0,
            result: Ok(()),
        };
        let mut samples = Vec::new();
        match fetched {
            Ok(fetched) => {
                outcome.bytes = fetched.body.len();
                samples = self.read(fetched, generation, at, &mut outcome).await;
            }
            Err(failure) => outcome.result = Err(failure),
        }
        let taker = Arc::clone(&self.shared.taker);
        let route = |series: &Series| taker.route(&series.name, &series.labels, at);
        let ends = match &outcome.result {
            Ok(()) => self.known.finish(at, generation, route),
            Err(_) => {
                samples.clear();
                self.known.fail(at, generation, route)
            }
        };
        samples.extend(ends);
        let seconds = started.elapsed().as_secs_f64();
        self.reports
            .find(&*taker, generation, &self.target.labels, at);
        let is_up = outcome.result.is_ok();
        let values = [
            f64::from(u8::from(is_up)),
            seconds,
            outcome.counts.scraped as f64,
            outcome.counts.kept as f64,
            outcome.counts.added as f64,
        ];
        samples.extend(self.reports.samples(at, values));
        if taker.take(&samples, self.shared.clock.now()) > 0 {
            self.known.distrust();
            self.reports.distrust();
        }
        self.tell(at, seconds, outcome);
    }

    async fn read(
        &mut self,
        fetched: Fetched,
        generation: u64,
        at: Millis,
        outcome: &mut Outcome,
    ) -> Vec<Passed> {
        let mut known = std::mem::take(&mut self.known);
        let (shared, target) = (Arc::clone(&self.shared), Arc::clone(&self.target));
        let is_long = fetched.body.len() > READ_HERE;
        let work = move || {
            let ingest = Ingest {
                rules: &shared.rules,
                target: &target,
                taker: &*shared.taker,
                generation,
                at,
            };
            let (mut samples, mut counts) = (Vec::new(), Counts::default());
            let result = ingest.body(fetched.reader(), &mut known, &mut samples, &mut counts);
            (known, samples, counts, result)
        };
        let done = match is_long {
            true => tokio::task::spawn_blocking(work).await,
            false => Ok(work()),
        };
        match done {
            Ok((known, samples, counts, result)) => {
                self.known = known;
                outcome.counts = counts;
                outcome.result = result;
                samples
            }
            // What was known is lost with it, and so are the ends of its series.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn tell(&mut self, at: Millis, seconds: f64, outcome: Outcome) {
        let Outcome {
            counts,
            bytes,
            result,
        } = outcome;
        let (events, source) = (&self.shared.events, &*self.shared.source);
        let failure = result.err();
        self.was_late = failure
            .as_ref()
            .is_some_and(|failure| failure.cause == Cause::Timeout);
        let health = match failure {
            None => Health::Up,
            Some(_) => Health::Down,
        };
        let before = self.shown.set(Newest {
            health,
            error: failure.as_ref().map(ToString::to_string),
            at: Some(at),
            seconds,
            samples: counts.scraped,
            is_hidden: false,
        });
        if before.is_some() {
            events.moved(source, before, Some(health));
        }
        events.scraped(source, seconds, bytes);
        events.counted(source, &counts);
        match &failure {
            Some(failure) => {
                let again = before == Some(Health::Down);
                events.failed(source, &self.target.url, failure, again);
            }
            None if before == Some(Health::Down) => events.recovered(source, &self.target.url),
            None => {}
        }
    }

    /// Tells that the target is gone.
    fn end(&mut self) {
        let taker = Arc::clone(&self.shared.taker);
        let generation = taker.generation();
        let at = self.shared.clock.now();
        let route = |series: &Series| taker.route(&series.name, &series.labels, at);
        let mut samples = self.known.fail(at, generation, route);
        if self.reports.generation.is_some() {
            self.reports
                .find(&*taker, generation, &self.target.labels, at);
            let stale = f64::from_bits(crate::expo::STALE_NAN);
            samples.extend(self.reports.samples(at, [stale; 5]));
        }
        taker.take(&samples, at);
    }
}

/// What is told of each scrape as if the target exposed it.
#[derive(Debug)]
struct Reports {
    /// `None` before the first scrape.
    generation: Option<u64>,
    routes: [Route; 5],
}

/// Their names, as in Prometheus.
const REPORTS: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

impl Default for Reports {
    fn default() -> Self {
        Self {
            generation: None,
            routes: [Route::NOWHERE; 5],
        }
    }
}

impl Reports {
    fn find(&mut self, taker: &dyn Taker, generation: u64, labels: &Labels, at: Millis) {
        if self.generation != Some(generation) {
            self.routes = REPORTS.map(|name| taker.route(name, labels, at));
            self.generation = Some(generation);
        }
    }

    /// Where they go must be asked anew.
    fn distrust(&mut self) {
        // No generation has this number: they are counted from 0.
        self.generation = self.generation.map(|_| u64::MAX);
    }

    fn samples(&self, at: Millis, values: [f64; 5]) -> Vec<Passed> {
        let all = self.routes.into_iter().zip(values);
        all.filter(|(route, _)| route.is_kept())
            .map(|(route, value)| (route, at, value))
            .collect()
    }
}
