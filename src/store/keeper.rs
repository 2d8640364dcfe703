//! The task that reads snapshots and writes what waits, and what it knows of the database's health.

use super::{Store, StoreError};
use crate::series::Millis;
use serde::Serialize;
use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// An order that another replica, or a command, wrote is seen after so long at most.
const REFRESH: Duration = Duration::from_secs(5);
/// A database that is gone is tried again after this, then after twice as long, and so on,
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// but not later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often what is old is removed, and the size looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(3_600);
/// At the end what waits may take so long to be written: less than the grace of the process.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How the database does. A read never computes: it is what the task last saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    /// Whether the newest attempt worked.
    pub up: bool,
    /// Why it did not.
    pub error: Option<String>,
    /// When it last worked, milliseconds since the epoch.
    pub last_success: Option<Millis>,
    /// How long the newest refresh took, seconds.
    pub latency_seconds: Option<f64>,
    /// Age of the events and overrides that decisions see, seconds.
    pub snapshot_age_seconds: Option<f64>,
    /// What waits to be written.
    pub queue: usize,
    /// Decisions that were given up, as the database was gone for too long.
    pub dropped: u64,
    /// Bytes the database takes, as of the newest look; the whole of a database that others use as well.
    pub size_bytes: Option<u64>,
}

/// What the task last saw.
#[derive(Debug, Default)]
pub(super) struct Watch {
    up: bool,
    error: Option<String>,
    last_success: Option<Millis>,
    latency: Option<Duration>,
    size: Option<u64>,
}

// === impl Store ===

impl Store {
    /// How the database does.
    pub fn health(&self) -> Health {
        let now = self.inner.clock.now();
        let (queue, dropped) = {
            let queue = self.queue();
            (queue.len(), queue.dropped)
        };
        let age = self.snapshot().age(now);
        let watch = self.watch();
        Health {
            database: self.kind(),
            up: watch.up,
            error: watch.error.clone(),
            last_success: watch.last_success,
            latency_seconds: watch.latency.map(|latency| latency.as_secs_f64()),
            snapshot_age_seconds: age.map(|age| age as f64 / 1_000.0),
            queue,
            dropped,
            size_bytes: watch.size,
        }
    }

    /// Refreshes the snapshot and writes what waits, until `stop`; then writes what still waits.
    pub async fn keep(&self, stop: CancellationToken) {
        // The first round is now.
        self.inner.wake.notify_one();
        let mut failures = 0;
        let mut tidied: Option<Instant> = None;
        loop {
            let pause = pause(failures);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
                // While it is gone, what comes waits for the next attempt.
                () = self.inner.wake.notified(), if failures == 0 => {}
            }
            failures = match self.round().await {
                Ok(()) => 0,
                Err(_) => failures + 1,
            };
            if failures == 0 && tidied.is_none_or(|last| last.elapsed() >= HOUSEKEEPING) {
                tidied = Some(Instant::now());
                self.tidy().await;
            }
        }
        // What cannot be written now is lost, and the log says so.
        if timeout(LAST_WORDS, self.flush()).await.is_err() || self.queue().len() > 0 {
            self.inner.events.lost(self.queue().len());
        }
        if let Some(opened) = self.inner.opened.load_full() {
            // Left in its place: a request that is still under way must not open it anew.
            opened.close().await;
        }
    }

    async fn round(&self) -> Result<(), StoreError> {
        // What people ordered is read even where nothing can be written.
        let written = self.flush().await;
        let read = self.refresh().await;
        written.and(read)
    }

    /// Reads the snapshot, and notes how that went.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let result = self.read_snapshot().await;
        match &result {
            Ok(()) => self.worked(began.elapsed()),
            Err(error) => self.failed(error),
        }
        result
    }

    /// Writes what waits.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        loop {
            let Some(piece) = self.queue().take() else {
                return Ok(());
            };
            let written = self.write_now(&piece.decisions, &piece.states).await;
            let (length, dropped) = {
                let mut queue = self.queue();
                let dropped = match written {
                    Ok(()) => {
                        queue.written();
                        0
                    }
                    Err(_) => queue.put_back(piece),
                };
                (queue.len(), dropped)
            };
            self.inner.events.queued(self.kind(), length, dropped);
            if let Err(error) = written {
                self.inner.events.write_failed(self.kind());
                self.failed(&error);
                return Err(error);
            }
        }
    }

    async fn tidy(&self) {
        let result = async {
            let removed = self.forget_old().await?;
            let size = self.db().await?.size().await?;
            Ok::<_, StoreError>((removed, size))
        };
        match result.await {
            Ok((removed, size)) => {
                self.watch().size = Some(size);
                self.inner.events.tidied(self.kind(), removed, size);
            }
            Err(error) => self.failed(&error),
        }
    }

    fn worked(&self, took: Duration) {
        let now = self.inner.clock.now();
        {
            let mut watch = self.watch();
            watch.up = true;
            watch.error = None;
            watch.last_success = Some(now);
            watch.latency = Some(took);
        }
        self.inner.events.refreshed(self.kind(), took, now);
    }

    fn failed(&self, error: &StoreError) {
        {
            let mut watch = self.watch();
            watch.up = false;
            watch.error = Some(error.to_string());
        }
        self.inner.events.failed(self.kind(), error);
    }

    fn watch(&self) -> MutexGuard<'_, super::Watch> {
        self.inner
            .watch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long after so many failures one after the other the next attempt is made.
fn pause(failures: u32) -> Duration {
    match failures {
        0 => REFRESH,
        _ => LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(failures.min(16) - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_stays_away_is_tried_less_and_less_often() {
        let pauses: Vec<u64> = (0..9).map(|n| pause(n).as_secs()).collect();
        assert_eq!(pauses, [5, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause(u32::MAX).as_secs(), 30);
    }
}
