//! The task that looks for new outcomes, and the shards it fills.

use super::{
    book::{Book, Due, Reading, read},
    queue::{Queue, Terms},
    record::{Record, records},
    settings::Settings,
    shard::Shard,
};
use crate::{
    engine::{Catalogue, Clock},
    source::prometheus::Poster,
    telemetry::RemoteWriteEvents,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

/// How often the outcomes are looked at: more often than anything is evaluated, so that none is missed. A look reads one
/// time per unit, while following every unit would need a task for each, and word of every reload.
const LOOK: Duration = Duration::from_millis(200);
/// How long what waits may take at the end; the process gives 15 s in all.
const FLUSH: Duration = Duration::from_secs(5);

/// What every writer of a process shares.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Clock,
    /// What is counted and logged.
    pub events: Arc<RemoteWriteEvents>,
    /// Labels of every series that has none of that name by itself (`global.external_labels`).
    pub external_labels: BTreeMap<String, String>,
}

/// Writes what is shown to one receiver.
#[derive(Debug)]
pub struct Writer {
    name: String,
    settings: Settings,
    poster: Arc<Poster>,
    queues: Vec<Arc<Queue>>,
    external: Arc<Vec<(String, String)>>,
    book: Book,
    around: Surroundings,
}

/// What a writer knows, for the one that takes its place.
#[derive(Debug, Default)]
pub struct Handover {
    book: Book,
}

// === impl Writer ===

impl Writer {
    /// A writer to the receiver of `settings`. Reads the files they name and starts nothing.
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
        let external = around.external_labels.clone().into_iter().collect();
        let queue = |_| Arc::new(Queue::new(settings.queue.capacity));
        Ok(Self {
            name: settings.name(),
            settings: settings.clone(),
            poster: Arc::new(Poster::build(&settings.client())?),
            queues: (0..settings.queue.shards).map(queue).collect(),
            external: Arc::new(external),
            book: Book::default(),
            around,
        })
    }

    /// Writes what the units of `catalogue` show until `stop`, when every series is ended, or until `replaced`, when another
    /// goes on with them. Begins when `former`, which wrote to the same receiver, is done: what it sent comes first.
    pub async fn run(
        mut self,
        catalogue: Arc<Catalogue>,
        stop: CancellationToken,
        replaced: CancellationToken,
        former: Option<JoinHandle<Handover>>,
    ) -> Handover {
        if let Some(former) = former {
            // Of one that panicked nothing is known.
            self.book = former.await.unwrap_or_default().book;
        }
        self.book.set_seed(self.seed());
        let mut shards = JoinSet::new();
        for queue in &self.queues {
            shards.spawn(self.shard(queue).run());
        }
        let ends = loop {
            self.look(read(&catalogue, self.around.clock.now())).await;
            tokio::select! {
                () = stop.cancelled() => break true,
                () = replaced.cancelled() => break false,
                () = sleep(LOOK) => {}
            }
        };
        self.look(read(&catalogue, self.around.clock.now())).await;
        if ends {
            self.look(Vec::new()).await;
        }
        self.finish(shards).await;
        Handover { book: self.book }
    }

    fn shard(&self, queue: &Arc<Queue>) -> Shard {
        let queue_settings = &self.settings.queue;
        Shard {
            name: self.name.clone(),
            queue: Arc::clone(queue),
            poster: Arc::clone(&self.poster),
            protocol: self.settings.version,
            terms: Terms {
                most: queue_settings.max_samples_per_send,
                deadline: queue_settings.batch_send_deadline.to_std(),
            },
            backoff: (
                queue_settings.min_backoff.to_std(),
                queue_settings.max_backoff.to_std(),
            ),
            events: Arc::clone(&self.around.events),
        }
    }

    /// Of the external labels: hashed, as they are a part of every series.
    fn seed(&self) -> u64 {
        let text: Vec<u8> = self.external.iter().fold(Vec::new(), |mut text, pair| {
            for part in [&pair.0, &pair.1] {
                text.extend_from_slice(part.as_bytes());
                text.push(0);
            }
            text
        });
        xxh3_64(&text)
    }

    /// Puts what is new into the queues. Off the threads that serve: a signal may have a million series.
    async fn look(&mut self, readings: Vec<Reading>) {
        if !self.book.has_news(&readings) {
            return;
        }
        let now = self.around.clock.now();
        let mut book = std::mem::take(&mut self.book);
        let external = Arc::clone(&self.external);
        let (shards, most) = (self.queues.len(), self.settings.queue.max_samples_per_send);
        let looked = spawn_blocking(move || {
            let due: Vec<Due> = book.look(&readings, now);
            let all = records(&due, &external, shards, most);
            (book, all)
        });
        match looked.await {
            Ok((book, all)) => {
                self.book = book;
                self.push(all);
            }
            Err(error) => {
                self.book.set_seed(self.seed());
                let problem = error.to_string();
                self.around.events.panicked(&self.name, &problem);
            }
        }
    }

    fn push(&self, all: Vec<Vec<Record>>) {
        let events = &self.around.events;
        for (queue, records) in self.queues.iter().zip(all) {
            for record in records {
                let samples = record.samples as i64;
                let dropped = queue.push(record);
                events.pending(&self.name, samples - dropped as i64);
                if dropped > 0 {
                    events.dropped(&self.name, dropped);
                }
            }
        }
    }

    /// Sends what waits, as far as there is time for it.
    async fn finish(&self, mut shards: JoinSet<()>) {
        for queue in &self.queues {
            queue.close();
        }
        let all = async { while shards.join_next().await.is_some() {} };
        timeout(FLUSH, all).await.ok();
        shards.shutdown().await;
        let left: usize = self.queues.iter().map(|queue| queue.clear()).sum();
        if left > 0 {
            self.around.events.pending(&self.name, -(left as i64));
            self.around.events.dropped(&self.name, left);
        }
    }
}
