//! What waits to be written: in memory, bounded, the oldest dropped.

use crate::sink::remote_write::Sample;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// What waits to be written to one topic.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    samples: VecDeque<Sample>,
    under_way: usize,
    closed: bool,
}

impl Queue {
    /// One with room for `capacity` samples.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            inner: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Appends samples; how many were dropped to make room.
    pub(super) fn push(&self, samples: Vec<Sample>) -> usize {
        let mut inner = self.inner();
        inner.samples.extend(samples);
        let over = inner.samples.len().saturating_sub(self.capacity);
        drop(inner.samples.drain(..over));
        drop(inner);
        self.changed.notify_one();
        over
    }

    /// The oldest samples, `most` of them at most, as soon as there are some; none when nothing is there and nothing more will come.
    pub(super) async fn take(&self, most: usize) -> Option<Vec<Sample>> {
        loop {
            {
                let mut inner = self.inner();
                let count = inner.samples.len().min(most);
                if count > 0 {
                    inner.under_way += count;
                    return Some(inner.samples.drain(..count).collect());
                }
                if inner.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// So many of those that were taken are done with.
    pub(super) fn done(&self, count: usize) {
        let mut inner = self.inner();
        inner.under_way = inner.under_way.saturating_sub(count);
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.inner().closed = true;
        self.changed.notify_one();
    }

    /// Lets go of everything; how many samples were not done with.
    pub(super) fn clear(&self) -> usize {
        let inner = std::mem::take(&mut *self.inner());
        inner.samples.len() + inner.under_way
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expo::{RenderedLabels, wire::write::Point};
    use std::sync::Arc;

    fn samples(times: std::ops::Range<i64>) -> Vec<Sample> {
        let labels = Arc::new(RenderedLabels::new([]));
        let sample = |at| Sample {
            key: 0,
            name: "a".into(),
            labels: Arc::clone(&labels),
            external: Arc::default(),
            point: Point { at, value: 1.0 },
        };
        times.map(sample).collect()
    }

    fn times(taken: Option<Vec<Sample>>) -> Option<Vec<i64>> {
        taken.map(|all| all.iter().map(|sample| sample.point.at).collect())
    }

    #[tokio::test]
    async fn the_oldest_go_first_and_are_dropped_first() {
        let queue = Queue::new(5);
        assert_eq!(queue.push(samples(0..3)), 0);
        assert_eq!(queue.push(samples(3..7)), 2);
        assert_eq!(times(queue.take(2).await), Some(vec![2, 3]));
        queue.close();
        assert_eq!(times(queue.take(9).await), Some(vec![4, 5, 6]));
        assert_eq!(times(queue.take(9).await), None);
        queue.done(4);
        assert_eq!(queue.push(samples(7..9)), 0);
        assert_eq!(queue.clear(), 3, "one of those taken, and two that wait");
    }

    #[tokio::test]
    async fn who_waits_is_told() {
        let queue = Queue::new(5);
        let later = async {
            tokio::task::yield_now().await;
            queue.push(samples(0..1))
        };
        let (taken, dropped) = tokio::join!(queue.take(5), later);
        assert_eq!((times(taken), dropped), (Some(vec![0]), 0));
    }
}
