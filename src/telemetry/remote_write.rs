//! What is counted and logged of what is sent by remote write.

use super::throttle::Throttle;
use crate::{series::Millis, source::SourceError};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReceiver {
    remote_write: String,
}

/// What is counted and logged of what is sent by remote write. One method per event: the log line and its counter
/// together.
#[derive(Debug)]
pub struct RemoteWriteEvents {
    sent: Family<OfReceiver, Counter>,
    refused: Family<OfReceiver, Counter>,
    dropped: Family<OfReceiver, Counter>,
    retried: Family<OfReceiver, Counter>,
    disk_failures: Family<OfReceiver, Counter>,
    pending: Family<OfReceiver, Gauge>,
    newest: Family<OfReceiver, Gauge<f64, AtomicU64>>,
    /// The receivers in force. Of others nothing is counted: one that is gone may have a last word.
    known: Mutex<BTreeMap<String, State>>,
}

/// What is known of a receiver.
#[derive(Debug, Default)]
struct State {
    /// Whether its outage was logged.
    outage: bool,
    newest: Millis,
    refusals: Throttle,
    overflows: Throttle,
    disk: Throttle,
}

impl RemoteWriteEvents {
    /// Registers the metrics; the series of a receiver start at zero when it is announced.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self {
            sent: Family::default(),
            refused: Family::default(),
            dropped: Family::default(),
            retried: Family::default(),
            disk_failures: Family::default(),
            pending: Family::default(),
            newest: Family::default(),
            known: Mutex::default(),
        };
        let counters = [
            (
                "remote_write_samples",
                "Samples that the receiver took, ends of series among them",
                &events.sent,
            ),
            (
                "remote_write_samples_failed",
                "Samples of requests that the receiver refused; they are not sent again",
                &events.refused,
            ),
            (
                "remote_write_samples_dropped",
                "Samples that were never taken: the oldest where the queue was full, and what was left at the end",
                &events.dropped,
            ),
            (
                "remote_write_samples_retried",
                "Samples that are sent again as the receiver could not take them, counted each time",
                &events.retried,
            ),
            (
                "remote_write_disk_failures",
                "Attempts to write what waits to disk that failed; it waits in memory then",
                &events.disk_failures,
            ),
        ];
        for (name, help, family) in counters {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "remote_write_samples_pending",
            "Samples that wait to be taken by the receiver",
            events.pending.clone(),
        );
        registry.register(
            "remote_write_newest_sent_timestamp_seconds",
            "Time of the newest sample that the receiver took; 0 where it took none",
            events.newest.clone(),
        );
        events
    }

    /// A receiver is put in force: its series exist from now on, at zero.
    pub fn announce(&self, name: &str) {
        let key = of(name);
        self.known().insert(name.to_owned(), State::default());
        for counter in self.counters() {
            drop(counter.get_or_create(&key));
        }
        drop(self.pending.get_or_create(&key));
        drop(self.newest.get_or_create(&key));
    }

    /// A receiver is gone from the configuration: so are its series.
    pub fn forget(&self, name: &str) {
        let key = of(name);
        let mut known = self.known();
        known.remove(name);
        for counter in self.counters() {
            counter.remove(&key);
        }
        self.pending.remove(&key);
        self.newest.remove(&key);
    }

    /// So many samples more (or less) wait to be taken.
    pub fn pending(&self, name: &str, change: i64) {
        let known = self.known();
        if known.contains_key(name) {
            self.pending.get_or_create(&of(name)).inc_by(change);
        }
    }

    /// A request was taken; `newest` is the time of its newest sample.
    pub fn taken(&self, name: &str, samples: usize, newest: Millis) {
        let mut known = self.known();
        let Some(state) = known.get_mut(name) else {
            return;
        };
        let key = of(name);
        self.sent.get_or_create(&key).inc_by(samples as u64);
        if newest > state.newest {
            state.newest = newest;
            let seconds = newest as f64 / 1_000.0;
            self.newest.get_or_create(&key).set(seconds);
        }
        if std::mem::take(&mut state.outage) {
            tracing::info!(remote_write = name, "the receiver takes samples again");
        }
    }

    /// A request was refused; its samples are lost.
    pub fn refused(&self, name: &str, samples: usize, error: &SourceError) {
        let mut known = self.known();
        let Some(state) = known.get_mut(name) else {
            return;
        };
        let count = self.refused.get_or_create(&of(name));
        let count = count.inc_by(samples as u64) + samples as u64;
        if state.refusals.may_log() {
            let cause = error.cause.as_str();
            tracing::warn!(
                remote_write = name,
                samples,
                count,
                cause,
                %error,
                "the receiver refuses samples, which are not sent again; some of the request it may have taken"
            );
        }
    }

    /// A request is sent again after `pause`. An outage is one warning.
    pub fn retried(&self, name: &str, samples: usize, error: &SourceError, pause: Duration) {
        let mut known = self.known();
        let Some(state) = known.get_mut(name) else {
            return;
        };
        let retried = self.retried.get_or_create(&of(name));
        retried.inc_by(samples as u64);
        let cause = error.cause.as_str();
        if std::mem::replace(&mut state.outage, true) {
            tracing::debug!(remote_write = name, cause, ?pause, %error, "samples did not get through");
        } else {
            tracing::warn!(
                remote_write = name,
                cause,
                %error,
                "samples do not get through; they wait, the oldest are dropped when there is no more room"
            );
        }
    }

    /// Samples were dropped, as there was no room for them or no more time.
    pub fn dropped(&self, name: &str, samples: usize) {
        let mut known = self.known();
        let Some(state) = known.get_mut(name) else {
            return;
        };
        let count = self.dropped.get_or_create(&of(name));
        let count = count.inc_by(samples as u64) + samples as u64;
        if state.overflows.may_log() {
            tracing::warn!(remote_write = name, samples, count, "samples were dropped");
        }
    }

    /// What waits could not be written to disk; it waits in memory.
    pub fn disk_failed(&self, name: &str, error: &std::io::Error) {
        let mut known = self.known();
        let Some(state) = known.get_mut(name) else {
            return;
        };
        let count = self.disk_failures.get_or_create(&of(name)).inc() + 1;
        if state.disk.may_log() {
            tracing::warn!(
                remote_write = name,
                count,
                %error,
                "samples cannot be kept on disk (--storage.path), so they wait in memory"
            );
        }
    }

    /// Finding out what to send broke off; it begins anew.
    pub fn panicked(&self, name: &str, problem: &str) {
        tracing::error!(
            remote_write = name,
            problem,
            "finding out which samples to send panicked: that evaluation is not sent"
        );
    }

    fn counters(&self) -> [&Family<OfReceiver, Counter>; 5] {
        [
            &self.sent,
            &self.refused,
            &self.dropped,
            &self.retried,
            &self.disk_failures,
        ]
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(name: &str) -> OfReceiver {
    OfReceiver {
        remote_write: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        source::{Cause, SourceError},
        telemetry::Telemetry,
    };
    use std::time::Duration;

    #[test]
    fn an_announced_receiver_has_every_series_and_a_forgotten_one_none() {
        let telemetry = Telemetry::default();
        let (events, name) = (&telemetry.remote_write, "tsdb");
        events.taken(name, 1, 1_000);
        assert!(!telemetry.open_metrics().unwrap().contains(name));
        events.announce(name);
        let error = SourceError {
            cause: Cause::Status,
            message: "no".to_owned(),
        };
        events.pending(name, 9);
        events.pending(name, -2);
        events.taken(name, 3, 2_500);
        events.taken(name, 1, 1_500);
        events.refused(name, 4, &error);
        events.retried(name, 5, &error, Duration::ZERO);
        events.dropped(name, 6);
        events.disk_failed(name, &std::io::Error::other("full"));
        let shown = telemetry.open_metrics().unwrap();
        for line in [
            "samples_total{remote_write=\"tsdb\"} 4\n",
            "samples_failed_total{remote_write=\"tsdb\"} 4\n",
            "samples_retried_total{remote_write=\"tsdb\"} 5\n",
            "samples_dropped_total{remote_write=\"tsdb\"} 6\n",
            "disk_failures_total{remote_write=\"tsdb\"} 1\n",
            "samples_pending{remote_write=\"tsdb\"} 7\n",
            "newest_sent_timestamp_seconds{remote_write=\"tsdb\"} 2.5\n",
        ] {
            let line = format!("forethought_remote_write_{line}");
            assert!(shown.contains(&line), "{line} is not in {shown}");
        }
        events.forget(name);
        events.dropped(name, 1);
        assert!(!telemetry.open_metrics().unwrap().contains(name));
    }
}
