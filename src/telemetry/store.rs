//! What is counted and logged of the store of events, overrides and decisions.

use crate::series::Millis;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDatabase {
    database: &'static str,
}

type Seconds = Family<OfDatabase, Gauge<f64, AtomicU64>>;

/// What is counted and logged of the store. One method per event: the log line and its counter together.
#[derive(Debug, Default)]
pub struct StoreEvents {
    up: Family<OfDatabase, Gauge>,
    refresh: Seconds,
    last_success: Seconds,
    write_failures: Family<OfDatabase, Counter>,
    queue: Family<OfDatabase, Gauge>,
    dropped: Family<OfDatabase, Counter>,
    size: Family<OfDatabase, Gauge>,
    unreadable: Counter,
    known: Mutex<Known>,
}

/// The store in force. Of others nothing is counted: one that is gone may have a last word.
#[derive(Debug, Default)]
struct Known {
    database: Option<&'static str>,
    /// What went wrong last: said once.
    said: Option<String>,
}

impl StoreEvents {
    /// Registers the metrics; their series start at zero when a store is announced.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self::default();
        registry.register(
            "store_up",
            "Whether the newest reading and the newest writing of events, overrides and decisions both worked",
            events.up.clone(),
        );
        registry.register(
            "store_refresh_duration_seconds",
            "How long the newest reading of events and overrides took",
            events.refresh.clone(),
        );
        registry.register(
            "store_last_refresh_timestamp_seconds",
            "When events and overrides were last read; 0 where they never were",
            events.last_success.clone(),
        );
        registry.register(
            "store_write_failures",
            "Attempts to write decisions that failed; they are kept and tried again",
            events.write_failures.clone(),
        );
        registry.register(
            "store_queue_length",
            "Decisions and states that wait to be written",
            events.queue.clone(),
        );
        registry.register(
            "store_queue_dropped",
            "Decisions that were never written, as the database was gone for too long",
            events.dropped.clone(),
        );
        registry.register(
            "store_size_bytes",
            "Bytes the database takes; of PostgreSQL all of it, as of the newest hourly look",
            events.size.clone(),
        );
        registry.register(
            "store_unreadable_records",
            "Records that could not be read and were left out, such as those of a newer version",
            events.unreadable.clone(),
        );
        events
    }

    /// A store is put in force: its series exist from now on, at zero.
    pub fn announce(&self, database: &'static str) {
        *self.known() = Known {
            database: Some(database),
            said: None,
        };
        let of = OfDatabase { database };
        drop(self.up.get_or_create(&of));
        drop(self.last_success.get_or_create(&of));
        drop(self.write_failures.get_or_create(&of));
        drop(self.queue.get_or_create(&of));
        drop(self.dropped.get_or_create(&of));
    }

    /// No store is in force any more.
    pub fn forget(&self) {
        *self.known() = Known::default();
        self.up.clear();
        self.refresh.clear();
        self.last_success.clear();
        self.write_failures.clear();
        self.queue.clear();
        self.dropped.clear();
        self.size.clear();
    }

    /// Reading and writing both worked when they were last tried.
    pub fn works(&self, database: &'static str) {
        let mut known = self.known();
        if known.database != Some(database) {
            return;
        }
        self.up.get_or_create_owned(&OfDatabase { database }).set(1);
        if known.said.take().is_some() {
            tracing::info!(database, "the store works again");
        }
    }

    /// Another store took the place of the former and could not be read yet; what was read `age` ago holds on.
    pub fn carried(&self, database: &'static str, age: Duration) {
        tracing::warn!(
            database,
            read_seconds_ago = age.as_secs(),
            "the store of the new configuration cannot be read yet: events and overrides stay in force as they were last read"
        );
    }

    /// What is old could not be removed; it is tried again.
    pub fn not_tidied(&self, database: &'static str, error: &dyn fmt::Display) {
        tracing::warn!(database, %error, "old records could not be removed");
    }

    /// Events and overrides were read in `took`.
    pub fn refreshed(&self, database: &'static str, took: Duration, now: Millis) {
        if self.known().database != Some(database) {
            return;
        }
        let of = OfDatabase { database };
        let seconds = took.as_secs_f64();
        self.refresh.get_or_create_owned(&of).set(seconds);
        let at = now as f64 / 1_000.0;
        self.last_success.get_or_create_owned(&of).set(at);
    }

    /// Something did not work. An outage is one warning, another reason another.
    pub fn failed(&self, database: &'static str, error: &dyn fmt::Display) {
        let text = error.to_string();
        let mut known = self.known();
        if known.database != Some(database) {
            tracing::debug!(database, error = text, "the store does not work");
            return;
        }
        self.up.get_or_create_owned(&OfDatabase { database }).set(0);
        if known.said.as_ref() != Some(&text) {
            tracing::warn!(
                database,
                error = text,
                "the store does not work: decisions go on with the events and overrides of before, and are written down later"
            );
            known.said = Some(text);
        } else {
            tracing::debug!(database, error = text, "the store does not work");
        }
    }

    /// Decisions could not be written; they wait.
    pub fn write_failed(&self, database: &'static str) {
        if self.known().database != Some(database) {
            return;
        }
        let of = OfDatabase { database };
        self.write_failures.get_or_create_owned(&of).inc();
    }

    /// So much waits now, and so many decisions were given up.
    pub fn queued(&self, database: &'static str, length: usize, dropped: u64) {
        if self.known().database != Some(database) {
            return;
        }
        let of = OfDatabase { database };
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        self.queue.get_or_create_owned(&of).set(length);
        if dropped > 0 {
            self.dropped.get_or_create_owned(&of).inc_by(dropped);
            tracing::debug!(database, dropped, "decisions were given up");
        }
    }

    /// The process ends, and this much was not written.
    pub fn lost(&self, records: usize) {
        tracing::warn!(records, "stopping without having written all decisions");
    }

    /// What was old is removed.
    pub fn tidied(&self, database: &'static str, removed: u64, size: u64) {
        if self.known().database != Some(database) {
            return;
        }
        let of = OfDatabase { database };
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.size.get_or_create_owned(&of).set(size);
        if removed > 0 {
            tracing::info!(database, removed, "old records were removed");
        }
    }

    /// The file was taken away or replaced while it was in use.
    pub fn file_replaced(&self, removed: bool) {
        if removed {
            tracing::warn!(
                "the file of the store was removed; it is made anew with the events to come and the overrides in force, past events and decisions are lost"
            );
        } else {
            tracing::warn!("the file of the store is another one now; what is in it counts");
        }
    }

    /// A record, or that it could not be read.
    pub fn readable<T, E: fmt::Display>(&self, record: Result<T, E>) -> Option<T> {
        match record {
            Ok(record) => Some(record),
            Err(error) => {
                self.unreadable.inc();
                tracing::debug!(%error, "a record was left out");
                None
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Telemetry;
    use std::time::Duration;

    #[test]
    fn a_store_that_is_announced_has_every_series_and_one_that_is_left_out_none() {
        let telemetry = Telemetry::default();
        let events = &telemetry.store;
        assert!(!telemetry.open_metrics().unwrap().contains("{database="));
        events.announce("sqlite");
        events.failed("sqlite", &"gone");
        events.write_failed("sqlite");
        events.queued("sqlite", 3, 2);
        assert_eq!(events.readable(Err::<(), _>("x")), None);
        let shown = telemetry.open_metrics().unwrap();
        for line in [
            "up{database=\"sqlite\"} 0\n",
            "write_failures_total{database=\"sqlite\"} 1\n",
            "queue_length{database=\"sqlite\"} 3\n",
            "queue_dropped_total{database=\"sqlite\"} 2\n",
            "last_refresh_timestamp_seconds{database=\"sqlite\"} 0.0\n",
            "unreadable_records_total 1\n",
        ] {
            let line = format!("forethought_store_{line}");
            assert!(shown.contains(&line), "{line} is not in {shown}");
        }
        events.refreshed("sqlite", Duration::from_millis(250), 1_500);
        events.works("sqlite");
        let shown = telemetry.open_metrics().unwrap();
        assert!(shown.contains("forethought_store_up{database=\"sqlite\"} 1\n"));
        assert!(
            shown
                .contains("forethought_store_refresh_duration_seconds{database=\"sqlite\"} 0.25\n")
        );
        events.forget();
        events.failed("sqlite", &"a last word");
        events.queued("sqlite", 1, 1);
        assert!(!telemetry.open_metrics().unwrap().contains("{database="));
    }
}
