//! The task that keeps one Alertmanager told.

use super::{
    alerts::Terms,
    book::{Book, Notice, Reading},
    settings::Settings,
    wire,
};
use crate::{
    engine::{Catalogue, Clock},
    series::Millis,
    source::prometheus::{Posted, Poster},
    telemetry::SinkEvents,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often the outcomes are looked at. A look reads one time per unit, while following every unit would
/// need a task for each, and word of every reload.
const LOOK: Duration = Duration::from_secs(1);
/// Alerts in one request: a storm must not become one body that no proxy lets through.
const BATCH: usize = 500;

/// What every pusher of a process shares.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Clock,
    /// What is counted and logged.
    pub events: Arc<SinkEvents>,
    /// Labels of every alert (`global.external_labels`); those of an Alertmanager go before.
    pub external_labels: BTreeMap<String, String>,
    /// Where people find our page, if that is known.
    pub page: Option<String>,
}

/// Keeps one Alertmanager told of the alerts that are on.
#[derive(Debug)]
pub struct Pusher {
    /// The URL, which is its name.
    name: String,
    poster: Poster,
    book: Book,
    blank: (Terms, Millis),
    longest_pause: Duration,
    around: Surroundings,
}

// === impl Pusher ===

impl Pusher {
    /// A pusher to the Alertmanager of `settings`. Reads the files they name and starts nothing.
    ///
    /// # Errors
    /// All problems of the settings, or the first file that cannot be used.
    pub fn build(settings: &Settings, around: Surroundings) -> Result<Self, String> {
        let problems = settings.validate();
        if !problems.is_empty() {
            let all = problems.into_iter();
            let all: Vec<String> = all.map(|(path, text)| format!("{path}: {text}")).collect();
            return Err(all.join("; "));
        }
        let mut external_labels = around.external_labels.clone();
        external_labels.extend(settings.external_labels.clone());
        let terms = Terms {
            external_labels,
            group_threshold: settings.group_threshold,
        };
        let resend = settings.resend.as_millis();
        Ok(Self {
            name: settings.url.to_string(),
            poster: Poster::build(&settings.client())?,
            book: Book::new(terms.clone(), resend),
            blank: (terms, resend),
            longest_pause: settings.resend.to_std(),
            around,
        })
    }

    /// Sends what there is to say of the units of `catalogue` until `stop`.
    pub async fn run(mut self, catalogue: Arc<Catalogue>, stop: CancellationToken) {
        // Dropped in the middle of a request at the end: nobody waits for an Alertmanager then.
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.go_on(&catalogue) => {}
        }
    }

    async fn go_on(&mut self, catalogue: &Catalogue) {
        let mut seen = Vec::new();
        loop {
            let now = self.around.clock.now();
            let readings = read(catalogue, now);
            let news = stamps(&readings);
            let mut pause = LOOK;
            if news != seen || self.book.is_due(now) {
                seen = news;
                let notices = self.look(readings, now).await;
                pause = self.send(&notices, now).await.unwrap_or(LOOK);
            }
            sleep(pause).await;
        }
    }

    /// Compares on a thread for work that takes long: a signal may have a million series.
    async fn look(&mut self, readings: Vec<Reading>, now: Millis) -> Vec<Notice> {
        let blank = || Book::new(self.blank.0.clone(), self.blank.1);
        let mut book = std::mem::replace(&mut self.book, blank());
        let looked = tokio::task::spawn_blocking(move || {
            let notices = book.look(&readings, now);
            (book, notices)
        });
        match looked.await {
            Ok((book, notices)) => {
                self.book = book;
                notices
            }
            // A panic: from a blank book everything that is on is sent anew.
            Err(error) => {
                self.around.events.panicked(&self.name, &error.to_string());
                Vec::new()
            }
        }
    }

    /// Sends `notices`; the pause after which to try again, where some did not arrive.
    async fn send(&mut self, notices: &[Notice], now: Millis) -> Option<Duration> {
        let (events, name) = (Arc::clone(&self.around.events), self.name.clone());
        let mut all_well = !notices.is_empty();
        for batch in notices.chunks(BATCH) {
            self.book.sent(batch);
            let body = wire::body(batch, self.around.page.as_deref());
            let posted = self.poster.post(wire::PATH, body, self.longest_pause).await;
            match posted {
                Posted::Taken => events.delivered(&name, batch.len(), self.around.clock.now()),
                Posted::Refused(error) => {
                    events.failed(&name, &error, None);
                    all_well = false;
                }
                Posted::Failed(error, pause) => {
                    events.failed(&name, &error, Some(pause));
                    return Some(pause);
                }
            }
            self.book.answered(batch, now);
        }
        if all_well {
            events.recovered(&name);
        }
        None
    }
}

/// The newest outcomes that are not too old.
fn read(catalogue: &Catalogue, now: Millis) -> Vec<Reading> {
    let units = catalogue.units();
    let fresh = units.iter().filter_map(|unit| {
        Some(Reading {
            outcome: unit.fresh(now)?,
            is_panel: unit.kind == "panel",
        })
    });
    fresh.collect()
}

/// Changes where an outcome is new, or too old.
fn stamps(readings: &[Reading]) -> Vec<(Arc<str>, Millis)> {
    let stamp = |reading: &Reading| (Arc::clone(&reading.outcome.unit), reading.outcome.at);
    readings.iter().map(stamp).collect()
}
