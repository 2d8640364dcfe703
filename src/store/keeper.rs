//! The task that reads snapshots, writes what waits and removes what is old, and what it knows of the database's health.

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
/// How often what is old is removed, and the size looked at;
const HOUSEKEEPING: Duration = Duration::from_secs(3_600);
/// where that did not work, it is tried again after this.
const TIDY_AGAIN: Duration = Duration::from_secs(60);
/// At the end what waits may take so long to be written: less than the grace of the process.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How the database does. A read never computes: it is what the task last saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    /// Whether the newest reading and the newest writing both worked.
    pub up: bool,
    /// Why one of them did not.
    pub error: Option<String>,
    /// When it was last read, milliseconds since the epoch.
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
    /// Why the newest reading did not work; `None` outside: nothing was read yet.
    reading: Option<Option<String>>,
    /// Why the newest writing did not work.
    writing: Option<String>,
    last_success: Option<Millis>,
    latency: Option<Duration>,
    size: Option<u64>,
}

impl Watch {
    fn is_up(&self) -> bool {
        self.reading == Some(None) && self.writing.is_none()
    }

    fn error(&self) -> Option<String> {
        let writing = || self.writing.as_ref().map(|text| format!("writing: {text}"));
        self.reading.clone().flatten().or_else(writing)
    }
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
            up: watch.is_up(),
            error: watch.error(),
            last_success: watch.last_success,
            latency_seconds: watch.latency.map(|latency| latency.as_secs_f64()),
            snapshot_age_seconds: age.map(|age| age as f64 / 1_000.0),
            queue,
            dropped,
            size_bytes: watch.size,
        }
    }

    /// Reads snapshots, writes what waits and removes what is old, until `stop`; then writes what still waits.
    ///
    /// Each at its own pace: who writes may wait for a lock, and nobody who gives an order waits for that.
    pub async fn keep(&self, stop: CancellationToken) {
        // What waited before there was a task.
        self.inner.wake.notify_one();
        tokio::join!(
            stop.run_until_cancelled(self.keep_reading()),
            self.keep_writing(&stop),
            stop.run_until_cancelled(self.keep_tidy()),
        );
        drop(timeout(LAST_WORDS, self.flush()).await);
        let left = self.queue().len();
        if left > 0 {
            match self.inner.heir.get() {
                Some(heir) => heir.inherit(self),
                // What cannot be written now is lost, and the log says so.
                None => self.inner.events.lost(left),
            }
        }
        if let Some(opened) = self.inner.opened.load_full() {
            // Left in its place: a request that is still under way must not open it anew.
            opened.close().await;
        }
    }

    async fn keep_reading(&self) {
        let mut failures = 0;
        loop {
            failures = match self.refresh().await {
                Ok(()) => 0,
                Err(_) => failures + 1,
            };
            sleep(pause(failures)).await;
        }
    }

    async fn keep_writing(&self, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(pause(failures)) => {}
                // While nothing can be written, what comes waits for the next attempt.
                () = self.inner.wake.notified(), if failures == 0 => {}
            }
            // Not to be dropped in the middle: what was taken out would come back, but may be on disk already.
            failures = match self.flush().await {
                Ok(()) => 0,
                Err(_) => failures + 1,
            };
        }
    }

    async fn keep_tidy(&self) {
        loop {
            let pause = match self.tidy().await {
                Ok(()) => HOUSEKEEPING,
                Err(_) => TIDY_AGAIN,
            };
            sleep(pause).await;
        }
    }

    /// Reads the snapshot, and notes how that went.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let result = self.read_snapshot().await;
        if result.is_ok() {
            self.was_read(began.elapsed());
        }
        let error = result.as_ref().err().map(ToString::to_string);
        self.note(|watch| watch.reading = Some(error));
        result
    }

    /// Writes what waits, and notes how that went.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        loop {
            let Some(mut taken) = self.take() else {
                return Ok(());
            };
            let written = self.write_now(taken.decisions(), taken.states()).await;
            if written.is_ok() {
                taken.written();
            }
            // Whatever was not written waits again.
            drop(taken);
            let failed = written.as_ref().err().map(ToString::to_string);
            if failed.is_some() {
                self.inner.events.write_failed(self.kind());
            }
            self.note(|watch| watch.writing = failed);
            written?;
        }
    }

    async fn tidy(&self) -> Result<(), StoreError> {
        let result = async {
            let removed = self.forget_old().await?;
            let size = self.db().await?.size().await?;
            Ok::<_, StoreError>((removed, size))
        };
        match result.await {
            Ok((removed, size)) => {
                self.watch().size = Some(size);
                self.inner.events.tidied(self.kind(), removed, size);
                Ok(())
            }
            Err(error) => {
                self.inner.events.not_tidied(self.kind(), &error);
                Err(error)
            }
        }
    }

    fn was_read(&self, took: Duration) {
        let now = self.inner.clock.now();
        {
            let mut watch = self.watch();
            watch.last_success = Some(now);
            watch.latency = Some(took);
        }
        self.inner.events.refreshed(self.kind(), took, now);
    }

    /// Notes how reading or writing went, and tells how both do.
    fn note(&self, change: impl FnOnce(&mut Watch)) {
        let (up, error) = {
            let mut watch = self.watch();
            change(&mut watch);
            (watch.is_up(), watch.error())
        };
        match error {
            Some(error) => self.inner.events.failed(self.kind(), &error),
            None if up => self.inner.events.works(self.kind()),
            None => {}
        }
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
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
