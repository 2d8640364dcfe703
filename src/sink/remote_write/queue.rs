//! What waits to be sent of one shard: bounded, the oldest dropped.

use super::record::Record;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// What waits to be sent of one shard.
#[derive(Debug)]
pub(super) struct Queue {
    /// Samples that there is room for.
    capacity: usize,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// With the time at which each came in.
    records: VecDeque<(Record, Instant)>,
    samples: usize,
    /// Samples of the batch that is under way.
    under_way: usize,
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

// === impl Queue ===

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            inner: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Appends a record; how many samples were dropped to make room for it. Never waits.
    pub(super) fn push(&self, record: Record) -> usize {
        let mut inner = self.inner();
        let mut dropped = 0;
        while inner.samples + record.samples > self.capacity
            && let Some((oldest, _)) = inner.records.pop_front()
        {
            inner.samples -= oldest.samples;
            dropped += oldest.samples;
        }
        inner.samples += record.samples;
        inner.records.push_back((record, Instant::now()));
        drop(inner);
        self.changed.notify_one();
        dropped
    }

    /// The next records in order, as soon as there are enough or the oldest waited long enough; `None` when nothing is
    /// there and nothing more will come.
    pub(super) async fn take(&self, terms: Terms) -> Option<Vec<Record>> {
        loop {
            let until = {
                let mut inner = self.inner();
                let due = inner
                    .records
                    .front()
                    .map(|(_, came)| *came + terms.deadline);
                let ready = due.is_some_and(|due| due <= Instant::now());
                if ready || inner.samples >= terms.most || inner.closed {
                    let batch = inner.batch(terms.most);
                    return (!batch.is_empty()).then_some(batch);
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

    /// Nothing more will come: what is there is sent without waiting for more.
    pub(super) fn close(&self) {
        self.inner().closed = true;
        self.changed.notify_one();
    }

    /// The batch that was taken last is done with; how many samples it had.
    pub(super) fn done(&self) -> usize {
        std::mem::take(&mut self.inner().under_way)
    }

    /// Empties it; how many samples there were, those under way among them.
    pub(super) fn clear(&self) -> usize {
        let mut inner = self.inner();
        inner.records.clear();
        std::mem::take(&mut inner.samples) + std::mem::take(&mut inner.under_way)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn batch(&mut self, most: usize) -> Vec<Record> {
        let mut batch = Vec::new();
        let mut samples = 0;
        while let Some((record, _)) = self.records.front()
            && (batch.is_empty() || samples + record.samples <= most)
        {
            samples += record.samples;
            batch.extend(self.records.pop_front().map(|(record, _)| record));
        }
        self.samples -= samples;
        self.under_way = samples;
        batch
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

    async fn taken(queue: &Queue) -> Vec<i64> {
        let batch = queue.take(TERMS).await.unwrap_or_default();
        batch.iter().map(|record| record.newest).collect()
    }

    #[test]
    fn the_oldest_is_dropped_where_there_is_no_room() {
        let queue = Queue::new(10);
        assert_eq!((queue.push(record(1, 4)), queue.push(record(2, 4))), (0, 0));
        assert_eq!(queue.push(record(3, 4)), 4);
        assert_eq!(queue.push(record(4, 10)), 8);
        // More than there is room for at all: it is the only one then.
        assert_eq!(queue.push(record(5, 11)), 10);
        assert_eq!(queue.clear(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_taken_when_it_is_full_or_waited_long_enough() {
        let queue = Queue::new(100);
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
}
