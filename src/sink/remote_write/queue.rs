//! What waits to be sent of one shard: on disk, where there is a log; in memory otherwise. Bounded, the oldest dropped.

use super::{log::Log, record::Record};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

/// What waits to be sent of one shard.
#[derive(Debug)]
pub(super) struct Queue {
    /// Samples that there is room for in memory.
    capacity: usize,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Before everything in memory.
    log: Option<Log>,
    records: VecDeque<Record>,
    /// Of `records`.
    samples: usize,
    /// Since when the oldest waits, or since when the batch before it was taken.
    since: Option<Instant>,
    under_way: usize,
    /// Whether those are in the log.
    from_log: bool,
    closed: bool,
}

/// When a batch is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Samples in a batch, unless a single record has more.
    pub(super) most: usize,
    /// How long the oldest waits for others.
    pub(super) deadline: Duration,
}

/// What became of a record.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// Samples that were dropped to make room for it.
    pub(super) dropped: usize,
    /// Why it is in memory and not on disk, where it should be.
    pub(super) failure: Option<io::Error>,
}

/// Records that are sent together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// Samples that could not be read again.
    pub(super) lost: usize,
}

/// What is there at the end, those under way among them.
#[derive(Debug, PartialEq)]
pub(super) struct Left {
    /// Samples on disk.
    pub(super) kept: usize,
    /// Samples in memory.
    pub(super) dropped: usize,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            inner: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// What comes from now on is written to `log`, and what is in it is sent first; how many samples that is.
    pub(super) fn attach(&self, log: Log) -> usize {
        let samples = log.waiting();
        let mut inner = self.inner();
        inner.log = Some(log);
        if samples > 0 {
            inner.since.get_or_insert_with(Instant::now);
        }
        drop(inner);
        self.changed.notify_one();
        samples
    }

    /// Appends a record. Waits for nothing but the disk.
    pub(super) fn push(&self, record: Record) -> Pushed {
        let mut inner = self.inner();
        inner.since.get_or_insert_with(Instant::now);
        let pushed = inner.push(record, self.capacity);
        drop(inner);
        self.changed.notify_one();
        pushed
    }

    /// The next records in order, as soon as there are enough or the oldest waited long enough; `None` when nothing is
    /// there and nothing more will come.
    pub(super) async fn take(self: &Arc<Self>, terms: Terms) -> Option<Batch> {
        loop {
            self.ready(terms).await;
            let batch = self.with_disk(move |inner| inner.batch(terms.most)).await;
            if batch != Batch::default() {
                return Some(batch);
            }
            if self.inner().closed {
                return None;
            }
        }
    }

    async fn ready(&self, terms: Terms) {
        loop {
            let until = {
                let inner = self.inner();
                let due = inner.since.map(|since| since + terms.deadline);
                let is_due = due.is_some_and(|due| due <= Instant::now());
                if is_due || inner.waiting() >= terms.most || inner.closed {
                    return;
                }
                due
            };
            match until {
                // Whether it changed or is due is looked at again.
                Some(until) => {
                    timeout_at(until, self.changed.notified()).await.ok();
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// The batch that was taken last is done with; how many samples it had.
    pub(super) async fn done(self: &Arc<Self>) -> usize {
        self.with_disk(Inner::done).await
    }

    /// Nothing more will come: what is there is sent without waiting for more.
    pub(super) fn close(&self) {
        self.inner().closed = true;
        self.changed.notify_one();
    }

    /// Lets go of everything; what is on disk stays there.
    pub(super) fn clear(&self) -> Left {
        let inner = std::mem::take(&mut *self.inner());
        let (on_disk, in_memory) = match inner.from_log {
            true => (inner.under_way, 0),
            false => (0, inner.under_way),
        };
        let waiting = inner.log.as_ref().map_or(0, Log::waiting);
        Left {
            kept: waiting + on_disk,
            dropped: inner.samples + in_memory,
        }
    }

    /// Off the threads that serve, where there is a disk.
    async fn with_disk<T: Default + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Inner) -> T + Send + 'static,
    ) -> T {
        if self.inner().log.is_none() {
            return work(&mut self.inner());
        }
        let this = Arc::clone(self);
        let done = spawn_blocking(move || work(&mut this.inner()));
        // Only a panic gives nothing.
        done.await.unwrap_or_default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Samples that are not under way.
    fn waiting(&self) -> usize {
        self.samples + self.log.as_ref().map_or(0, Log::waiting)
    }

    fn push(&mut self, record: Record, capacity: usize) -> Pushed {
        let mut pushed = Pushed::default();
        match self.spill(&record, &mut pushed.dropped) {
            Some(Ok(())) => return pushed,
            Some(Err(error)) => pushed.failure = Some(error),
            None => {}
        }
        while self.samples + record.samples > capacity
            && let Some(oldest) = self.records.pop_front()
        {
            self.samples -= oldest.samples;
            pushed.dropped += oldest.samples;
        }
        self.samples += record.samples;
        self.records.push_back(record);
        pushed
    }

    /// Puts what waits in memory, as the disk failed, and then a record behind the log, and adds to `dropped` how many samples
    /// were dropped to make room. Nothing where there is no log. What is not on disk where that fails still waits in memory,
    /// but for the record.
    fn spill(&mut self, record: &Record, dropped: &mut usize) -> Option<io::Result<()>> {
        let log = self.log.as_mut()?;
        while let Some(oldest) = self.records.front() {
            match log.push(oldest) {
                Ok(more) => *dropped += more,
                Err(error) => return Some(Err(error)),
            }
            self.samples -= oldest.samples;
            self.records.pop_front();
        }
        Some(log.push(record).map(|more| *dropped += more))
    }

    fn batch(&mut self, most: usize) -> Batch {
        let log = self.log.as_mut().filter(|log| log.waiting() > 0);
        self.from_log = log.is_some();
        let batch = match log {
            Some(log) => {
                let (records, lost) = log.take(most);
                Batch { records, lost }
            }
            None => self.oldest_in_memory(most),
        };
        self.under_way = batch.records.iter().map(|record| record.samples).sum();
        self.since = (self.waiting() > 0).then(Instant::now);
        batch
    }

    fn oldest_in_memory(&mut self, most: usize) -> Batch {
        let (mut batch, mut samples) = (Batch::default(), 0);
        while let Some(record) = self.records.front()
            && (batch.records.is_empty() || samples + record.samples <= most)
        {
            samples += record.samples;
            batch.records.extend(self.records.pop_front());
        }
        self.samples -= samples;
        batch
    }

    fn done(&mut self) -> usize {
        if let Some(log) = self.log.as_mut().filter(|_| self.from_log) {
            log.done();
        }
        std::mem::take(&mut self.under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(newest: i64, samples: usize) -> Record {
        Record {
            packed: bytes::Bytes::new(),
            samples,
            newest,
        }
    }

    const TERMS: Terms = Terms {
        most: 10,
        deadline: Duration::from_secs(5),
    };

    async fn taken(queue: &Arc<Queue>) -> Vec<i64> {
        let batch = queue.take(TERMS).await.unwrap_or_default();
        batch.records.iter().map(|record| record.newest).collect()
    }

    #[test]
    fn the_oldest_is_dropped_where_there_is_no_room() {
        let queue = Queue::new(10);
        assert_eq!(queue.push(record(1, 4)).dropped, 0);
        assert_eq!(queue.push(record(2, 4)).dropped, 0);
        assert_eq!(queue.push(record(3, 4)).dropped, 4);
        assert_eq!(queue.push(record(4, 10)).dropped, 8);
        // More than there is room for at all: it is the only one then.
        assert_eq!(queue.push(record(5, 11)).dropped, 10);
        let left = Left {
            kept: 0,
            dropped: 11,
        };
        assert_eq!(queue.clear(), left);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_taken_when_it_is_full_or_waited_long_enough() {
        let queue = Arc::new(Queue::new(100));
        queue.push(record(1, 4));
        queue.push(record(2, 4));
        queue.push(record(3, 4));
        let start = Instant::now();
        assert_eq!(taken(&queue).await, [1, 2], "no more fit into it");
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(taken(&queue).await, [3]);
        assert_eq!(start.elapsed(), TERMS.deadline);
        queue.push(record(4, 30));
        assert_eq!(taken(&queue).await, [4], "a long record goes by itself");
        queue.push(record(5, 1));
        queue.close();
        assert_eq!(taken(&queue).await, [5], "nobody waits at the end");
        assert_eq!(queue.take(TERMS).await, None);
        assert_eq!(start.elapsed(), TERMS.deadline);
    }

    #[test]
    fn what_was_dropped_before_the_disk_failed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("log");
        let packed = |newest, samples, bytes| Record {
            packed: vec![0; bytes].into(),
            ..record(newest, samples)
        };
        let mut log = Log::open(&folder, 800).unwrap();
        let dropped = (0..13).map(|newest| log.push(&packed(newest, 1, 30)).unwrap());
        assert_eq!(dropped.sum::<usize>(), 2, "a segment has two of them");
        let queue = Queue::new(100);
        // It waits in memory, as the disk failed before.
        queue.push(packed(13, 3, 200));
        assert_eq!(queue.attach(log), 11);
        // A segment that is open takes it; none can be begun.
        std::fs::remove_dir_all(&folder).unwrap();
        let pushed = queue.push(packed(14, 4, 30));
        assert!(pushed.failure.is_some());
        let left = queue.clear();
        assert_eq!((left.kept, left.dropped), (10, 4));
        assert_eq!(pushed.dropped, 11 + 3 + 4 - (10 + 4));
    }
}
