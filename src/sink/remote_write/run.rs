//! The task that looks for new outcomes, and the shards it fills.

use super::{
    book::{Book, Due, External, Reading, read},
    log::Log,
    queue::{Queue, Terms},
    reached::Reached,
    record::{Record, records},
    settings::Settings,
    shard::Shard,
};
use crate::{
    engine::{Catalogue, Clock},
    source::{local::disk::file_name, prometheus::Poster},
    telemetry::RemoteWriteEvents,
};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

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
    /// The folder for what waits, where settings have a `buffer`; memory only where left out.
    pub storage: Option<PathBuf>,
}

/// Writes what is shown to one receiver.
#[derive(Debug)]
pub struct Writer {
    name: String,
    settings: Settings,
    poster: Arc<Poster>,
    queues: Vec<Arc<Queue>>,
    external: Arc<External>,
    book: Book,
    /// Where a buffer is.
    reached: Option<Reached>,
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
            reached: None,
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
        self.book.set_external(&self.external);
        let left = self.attach().await;
        let own: Vec<Shard> = self.queues.iter().map(|queue| self.shard(queue)).collect();
        let former: Vec<Shard> = left.iter().map(|queue| self.shard(queue)).collect();
        let mut shards = JoinSet::new();
        shards.spawn(async move {
            // Of another number of shards: first, as they may have the same series.
            send_all(former).await;
            send_all(own).await;
        });
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
        self.queues.extend(left);
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

    /// Puts what is new into the queues. Off the threads that serve: a signal may have a million series.
    async fn look(&mut self, readings: Vec<Reading>) {
        if !self.book.has_news(&readings) {
            return;
        }
        let now = self.around.clock.now();
        let mut book = std::mem::take(&mut self.book);
        let queues = self.queues.clone();
        let (events, name) = (Arc::clone(&self.around.events), self.name.clone());
        let most = self.settings.queue.max_samples_per_send;
        let reached = self.reached.clone();
        let looked = spawn_blocking(move || {
            let due: Vec<Due> = book.look(&readings, now);
            // Before it is sent: of who is killed in between one evaluation is missing, and none comes twice.
            let written = reached.map(|reached| reached.write(&book.reached()));
            if let Some(Err(error)) = written {
                events.disk_failed(&name, &error);
            }
            push(&queues, records(&due, queues.len(), most), &name, &events);
            book
        });
        match looked.await {
            Ok(book) => self.book = book,
            Err(error) => {
                self.book.set_external(&self.external);
                let problem = error.to_string();
                self.around.events.panicked(&self.name, &problem);
            }
        }
    }

    /// Puts logs before the queues where that is wanted, and gives queues of what former processes left with another number
    /// of shards. Without a disk everything is in memory.
    async fn attach(&mut self) -> Vec<Arc<Queue>> {
        let (Some(buffer), Some(storage)) = (&self.settings.buffer, &self.around.storage) else {
            return Vec::new();
        };
        let folder = storage.join("remote_write").join(file_name(&self.name));
        let (queues, most) = (self.queues.clone(), buffer.max_bytes.limit() as u64);
        let reached = Reached::new(&folder);
        let own = reached.clone();
        let opened = spawn_blocking(move || {
            let samples = attach(&folder, &queues, most)?;
            let left = leftovers(&folder, queues.len(), most)?;
            Ok::<_, io::Error>((samples, left, own.read()))
        });
        let opened = opened
            .await
            .unwrap_or_else(|panic| Err(io::Error::other(panic)));
        match opened {
            Ok((own, left, former)) => {
                self.book.inherit(former);
                self.reached = Some(reached);
                let events = &self.around.events;
                events.pending(&self.name, own as i64);
                left.into_iter()
                    .map(|(queue, samples)| {
                        events.pending(&self.name, samples as i64);
                        queue
                    })
                    .collect()
            }
            Err(error) => {
                self.around.events.disk_failed(&self.name, &error);
                Vec::new()
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
        let (mut kept, mut dropped) = (0, 0);
        for left in self.queues.iter().map(|queue| queue.clear()) {
            kept += left.kept;
            dropped += left.dropped;
        }
        let events = &self.around.events;
        events.pending(&self.name, -((kept + dropped) as i64));
        if dropped > 0 {
            events.dropped(&self.name, dropped);
        }
    }
}

async fn send_all(shards: Vec<Shard>) {
    let mut tasks: JoinSet<()> = shards.into_iter().map(Shard::run).collect();
    while tasks.join_next().await.is_some() {}
}

/// Puts records into the queues; those of a shard into its own.
fn push(queues: &[Arc<Queue>], all: Vec<Vec<Record>>, name: &str, events: &RemoteWriteEvents) {
    for (queue, records) in queues.iter().zip(all) {
        for record in records {
            let samples = record.samples as i64;
            let pushed = queue.push(record);
            events.pending(name, samples - pushed.dropped as i64);
            if pushed.dropped > 0 {
                events.dropped(name, pushed.dropped);
            }
            if let Some(error) = pushed.failure {
                events.disk_failed(name, &error);
            }
        }
    }
}

/// A log for each queue; the samples in all of them.
fn attach(folder: &Path, queues: &[Arc<Queue>], most: u64) -> io::Result<usize> {
    let count = queues.len();
    let mut logs = Vec::new();
    for index in 0..count {
        let own = folder.join(format!("{index}-of-{count}"));
        logs.push(Log::open(&own, most / count as u64)?);
    }
    let samples = queues
        .iter()
        .zip(logs)
        .map(|(queue, log)| queue.attach(log));
    Ok(samples.sum())
}

/// Queues of the other logs in a folder, with their samples: nothing more comes into them. Those that are empty are removed.
fn leftovers(folder: &Path, count: usize, most: u64) -> io::Result<Vec<(Arc<Queue>, usize)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let of = name.and_then(|name| name.split_once("-of-"));
        let of = of.and_then(|(_, of)| of.parse::<usize>().ok());
        if of.is_none_or(|of| of == count) {
            continue;
        }
        let log = Log::open(&path, most)?;
        if log.waiting() == 0 {
            drop(log);
            fs::remove_dir_all(&path)?;
            continue;
        }
        let queue = Arc::new(Queue::new(0));
        let samples = queue.attach(log);
        queue.close();
        found.push((queue, samples));
    }
    Ok(found)
}
