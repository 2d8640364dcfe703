//! The task that looks for new outcomes, and the one that it feeds.

use super::{queue::Queue, sender::Sender, settings::Settings};
use crate::{
    engine::{Catalogue, Clock},
    sink::remote_write::{External, Feed, Sample},
    source::kafka::Client,
    telemetry::KafkaEvents,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How often the outcomes are looked at: more often than anything is evaluated.
const LOOK: Duration = Duration::from_millis(200);
/// How long what waits may take at the end; the process gives 15 s in all.
const FLUSH: Duration = Duration::from_secs(5);

/// What every writer of a process shares.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Clock,
    /// What is counted and logged.
    pub events: Arc<KafkaEvents>,
    /// Labels of every series that has none of that name by itself (`global.external_labels`).
    pub external_labels: BTreeMap<String, String>,
}

/// Writes what is shown to one topic.
#[derive(Debug)]
pub struct Writer {
    name: String,
    settings: Settings,
    external: Arc<External>,
    feed: Feed,
    queue: Arc<Queue>,
    around: Surroundings,
}

/// What a writer knows, for the one that takes its place.
#[derive(Debug, Default)]
pub struct Handover {
    feed: Feed,
}

impl Writer {
    /// A writer to the topic of `settings`. Reads the files they name and starts nothing.
    ///
    /// # Errors
    /// All problems of the settings, or the first file that cannot be used.
    pub fn build(settings: &Settings, around: Surroundings) -> Result<Self, String> {
        let problems = settings.validate().into_iter();
        let problems: Vec<String> = problems
            .map(|(path, text)| format!("{path}: {text}"))
            .collect();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        Client::check(&settings.cluster())?;
        Ok(Self {
            name: settings.name(),
            external: Arc::new(around.external_labels.clone().into_iter().collect()),
            feed: Feed::default(),
            queue: Arc::new(Queue::new(settings.queue.capacity)),
            settings: settings.clone(),
            around,
        })
    }

    /// Writes what the units of `catalogue` show until `stop`, when every series is ended, or until `replaced`, when another
    /// goes on with them. Begins when `former`, which wrote to the same topic, is done: what it sent comes first.
    pub async fn run(
        mut self,
        catalogue: Arc<Catalogue>,
        stop: CancellationToken,
        replaced: CancellationToken,
        former: Option<JoinHandle<Handover>>,
    ) -> Handover {
        if let Some(former) = former {
            // Of one that panicked nothing is known.
            self.feed = former.await.unwrap_or_default().feed;
        }
        self.feed.set_external(&self.external);
        let sender = Sender {
            name: self.name.clone(),
            settings: self.settings.clone(),
            queue: Arc::clone(&self.queue),
            events: Arc::clone(&self.around.events),
            clock: self.around.clock.clone(),
        };
        let mut sends = JoinSet::new();
        sends.spawn(sender.run());
        let ends = loop {
            self.look(&catalogue).await;
            tokio::select! {
                () = stop.cancelled() => break true,
                () = replaced.cancelled() => break false,
                () = sleep(LOOK) => {}
            }
        };
        self.look(&catalogue).await;
        if ends {
            let ended = self.feed.end(self.around.clock.now());
            self.push(ended);
        }
        self.finish(sends).await;
        Handover { feed: self.feed }
    }

    /// Puts what is new into the queue. Off the threads that serve: a signal may have a million series.
    async fn look(&mut self, catalogue: &Arc<Catalogue>) {
        let (catalogue, now) = (Arc::clone(catalogue), self.around.clock.now());
        let mut feed = std::mem::take(&mut self.feed);
        let looked = spawn_blocking(move || {
            let samples = feed.look(&catalogue, now);
            (feed, samples)
        });
        match looked.await {
            Ok((feed, samples)) => {
                self.feed = feed;
                self.push(samples);
            }
            Err(problem) => {
                self.feed.set_external(&self.external);
                self.around
                    .events
                    .panicked(&self.name, &problem.to_string());
            }
        }
    }

    fn push(&self, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        let (events, count) = (&self.around.events, samples.len() as i64);
        let dropped = self.queue.push(samples);
        events.pending(&self.name, count - dropped as i64);
        if dropped > 0 {
            events.dropped(&self.name, dropped);
        }
    }

    /// Writes what waits, as far as there is time for it.
    async fn finish(&self, mut sends: JoinSet<()>) {
        self.queue.close();
        timeout(FLUSH, sends.join_next()).await.ok();
        sends.shutdown().await;
        let left = self.queue.clear();
        let events = &self.around.events;
        events.pending(&self.name, -(left as i64));
        if left > 0 {
            events.dropped(&self.name, left);
        }
    }
}
