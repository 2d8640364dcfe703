//! What is counted and logged of topics: those that are read, and those that are written to.

use super::throttle::Throttle;
use crate::{
    series::Millis,
    source::{Cause, SourceError},
};
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
struct OfSource {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    source: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    source: String,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSink {
    kafka: String,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageResult {
    /// It has no value.
    Empty,
    /// It is not what the source says it is.
    Garbled,
    /// It was read; its samples are counted with those of every source.
    Read,
    /// It is longer than allowed.
    TooLarge,
}

/// What is counted and logged of topics. One method per event: the log line and its counter together.
#[derive(Debug, Default)]
pub struct KafkaEvents {
    up: Family<OfSource, Gauge>,
    messages: Family<OfResult, Counter>,
    skipped: Family<OfSource, Counter>,
    failures: Family<OfCause, Counter>,
    behind: Family<OfSource, Gauge>,
    sent: Family<OfSink, Counter>,
    refused: Family<OfSink, Counter>,
    dropped: Family<OfSink, Counter>,
    retried: Family<OfSink, Counter>,
    pending: Family<OfSink, Gauge>,
    newest: Family<OfSink, Gauge<f64, AtomicU64>>,
    /// The sources in force. Of others nothing is counted: one that is gone may have a last word.
    sources: Mutex<BTreeMap<String, Source>>,
    sinks: Mutex<BTreeMap<String, Sink>>,
}

#[derive(Debug, Default)]
struct Source {
    /// Whether it is connected, once that is known.
    up: Option<bool>,
    messages: Throttle,
    samples: Throttle,
    skips: Throttle,
    partitions: Throttle,
}

#[derive(Debug, Default)]
struct Sink {
    outage: bool,
    newest: Millis,
    refusals: Throttle,
    overflows: Throttle,
}

impl MessageResult {
    /// All, sorted by label value.
    pub const ALL: [Self; 4] = [Self::Empty, Self::Garbled, Self::Read, Self::TooLarge];

    /// The value of the label `result`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Garbled => "garbled",
            Self::Read => "read",
            Self::TooLarge => "too_large",
        }
    }
}

impl KafkaEvents {
    /// Registers the metrics; those of a source or a sink start at zero when it is announced.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self::default();
        events.register_sources(registry);
        events.register_sinks(registry);
        events
    }

    fn register_sources(&self, registry: &mut Registry) {
        registry.register(
            "kafka_failures",
            "Attempts to reach or read a topic or one of its partitions that failed, by cause; each is tried again",
            self.failures.clone(),
        );
        registry.register(
            "kafka_messages",
            "Messages of a topic, by result: read, or why it was left out: empty, garbled, too_large",
            self.messages.clone(),
        );
        registry.register(
            "kafka_messages_behind",
            "Messages that are in the topic and were not fetched yet",
            self.behind.clone(),
        );
        registry.register(
            "kafka_messages_skipped",
            "Messages that were never read: deleted before they could be, or nothing that the client can take apart",
            self.skipped.clone(),
        );
        registry.register(
            "kafka_up",
            "Whether the topic is being read: 1, or 0 while it cannot be reached",
            self.up.clone(),
        );
    }

    fn register_sinks(&self, registry: &mut Registry) {
        for (name, help, family) in [
            (
                "kafka_samples",
                "Samples that were written to the topic, ends of series among them",
                &self.sent,
            ),
            (
                "kafka_samples_dropped",
                "Samples that were never written: the oldest where the queue was full, and what was left at the end",
                &self.dropped,
            ),
            (
                "kafka_samples_failed",
                "Samples that the broker refused; they are not sent again",
                &self.refused,
            ),
            (
                "kafka_samples_retried",
                "Samples that are sent again as the broker could not take them, counted each time",
                &self.retried,
            ),
        ] {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "kafka_samples_pending",
            "Samples that wait to be written to the topic",
            self.pending.clone(),
        );
        registry.register(
            "kafka_newest_sent_timestamp_seconds",
            "Time of the newest sample that was written to the topic; 0 where none was",
            self.newest.clone(),
        );
    }

    // --- Topics that are read ---

    /// A source begins.
    pub fn announce(&self, source: &str) {
        self.sources().insert(source.to_owned(), Source::default());
        for result in MessageResult::ALL {
            drop(self.messages.get_or_create(&of_result(source, result)));
        }
        for cause in Cause::ALL {
            drop(self.failures.get_or_create(&of_cause(source, cause)));
        }
        for gauge in [&self.up, &self.behind] {
            drop(gauge.get_or_create(&named(source)));
        }
        drop(self.skipped.get_or_create(&named(source)));
    }

    /// A source is no more.
    pub fn forget(&self, source: &str) {
        let mut sources = self.sources();
        sources.remove(source);
        for result in MessageResult::ALL {
            self.messages.remove(&of_result(source, result));
        }
        for cause in Cause::ALL {
            self.failures.remove(&of_cause(source, cause));
        }
        for gauge in [&self.up, &self.behind] {
            gauge.remove(&named(source));
        }
        self.skipped.remove(&named(source));
    }

    /// The topic is being read.
    pub fn connected(&self, source: &str) {
        let mut sources = self.sources();
        let Some(state) = sources.get_mut(source) else {
            return;
        };
        if state.up.replace(true) != Some(true) {
            self.up.get_or_create(&named(source)).set(1);
            tracing::info!(source, "the topic is being read");
        }
    }

    /// The topic could not be reached or read; it is tried again. An outage is one warning.
    pub fn failed(&self, source: &str, error: &SourceError) {
        let mut sources = self.sources();
        let Some(state) = sources.get_mut(source) else {
            return;
        };
        self.failures
            .get_or_create(&of_cause(source, error.cause))
            .inc();
        self.up.get_or_create(&named(source)).set(0);
        let cause = error.cause.as_str();
        if state.up.replace(false) == Some(false) {
            tracing::debug!(source, cause, %error, "the topic cannot be read");
        } else {
            tracing::warn!(source, cause, %error, "the topic cannot be read; it is tried again and again");
        }
    }

    /// A partition could not be read; it is tried again, and the others are read on.
    pub fn partition_failed(&self, source: &str, partition: i32, error: &SourceError) {
        let sources = self.sources();
        let Some(state) = sources.get(source) else {
            return;
        };
        self.failures
            .get_or_create(&of_cause(source, error.cause))
            .inc();
        if state.partitions.may_log() {
            let cause = error.cause.as_str();
            tracing::warn!(source, partition, cause, %error, "a partition of the topic cannot be read; it is tried again and again");
        }
    }

    /// So many messages are there that were not fetched.
    pub fn behind(&self, source: &str, messages: i64) {
        if self.sources().contains_key(source) {
            self.behind.get_or_create(&named(source)).set(messages);
        }
    }

    /// Messages came, so many of each result.
    pub fn messages(&self, source: &str, counts: &BTreeMap<MessageResult, u64>) {
        if self.sources().contains_key(source) {
            for (result, count) in counts {
                self.messages
                    .get_or_create(&of_result(source, *result))
                    .inc_by(*count);
            }
        }
    }

    /// A message is not what it should be.
    pub fn garbled(&self, source: &str, problem: &str) {
        let sources = self.sources();
        let state = sources.get(source);
        if state.is_some_and(|state| state.messages.may_log()) {
            tracing::warn!(source, problem, "a message of the topic was left out");
        }
    }

    /// Samples of messages were left out, which is counted with the samples.
    pub fn left_out(&self, source: &str, problem: &str) {
        let sources = self.sources();
        let state = sources.get(source);
        if state.is_some_and(|state| state.samples.may_log()) {
            tracing::warn!(source, problem, "not all that messages say was taken");
        }
    }

    /// Messages were never read.
    pub fn skipped(&self, source: &str, messages: u64, why: &str) {
        let sources = self.sources();
        let Some(state) = sources.get(source) else {
            return;
        };
        self.skipped.get_or_create(&named(source)).inc_by(messages);
        if state.skips.may_log() {
            tracing::warn!(source, messages, why, "messages of the topic were skipped");
        }
    }

    /// Work on a topic that is read or written to broke off.
    pub fn panicked(&self, topic: &str, problem: &str) {
        tracing::error!(
            topic,
            problem,
            "taking samples from a topic or for one panicked; what was not taken is lost; please report it"
        );
    }

    // --- Topics that are written to ---

    /// A sink begins.
    pub fn announce_sink(&self, name: &str) {
        self.sinks().insert(name.to_owned(), Sink::default());
        for counter in self.sink_counters() {
            drop(counter.get_or_create(&of_sink(name)));
        }
        drop(self.pending.get_or_create(&of_sink(name)));
        drop(self.newest.get_or_create(&of_sink(name)));
    }

    /// A sink is no more.
    pub fn forget_sink(&self, name: &str) {
        let mut sinks = self.sinks();
        sinks.remove(name);
        for counter in self.sink_counters() {
            counter.remove(&of_sink(name));
        }
        self.pending.remove(&of_sink(name));
        self.newest.remove(&of_sink(name));
    }

    /// So many samples more (or less) wait to be written.
    pub fn pending(&self, name: &str, change: i64) {
        if self.sinks().contains_key(name) {
            self.pending.get_or_create(&of_sink(name)).inc_by(change);
        }
    }

    /// Samples were written; `newest` is the time of the newest of them.
    pub fn sent(&self, name: &str, samples: usize, newest: Millis) {
        let mut sinks = self.sinks();
        let Some(state) = sinks.get_mut(name) else {
            return;
        };
        self.sent
            .get_or_create(&of_sink(name))
            .inc_by(samples as u64);
        if newest > state.newest {
            state.newest = newest;
            let seconds = newest as f64 / 1_000.0;
            self.newest.get_or_create(&of_sink(name)).set(seconds);
        }
        if std::mem::take(&mut state.outage) {
            tracing::info!(kafka = name, "the topic takes samples again");
        }
    }

    /// Samples were refused; they are lost.
    pub fn refused(&self, name: &str, samples: usize, error: &SourceError) {
        let mut sinks = self.sinks();
        let Some(state) = sinks.get_mut(name) else {
            return;
        };
        let count = self.refused.get_or_create(&of_sink(name));
        let count = count.inc_by(samples as u64) + samples as u64;
        if state.refusals.may_log() {
            tracing::warn!(kafka = name, samples, count, %error, "the broker refuses samples, which are not sent again");
        }
    }

    /// Samples are sent again after `pause`. An outage is one warning.
    pub fn retried(&self, name: &str, samples: usize, error: &SourceError, pause: Duration) {
        let mut sinks = self.sinks();
        let Some(state) = sinks.get_mut(name) else {
            return;
        };
        self.retried
            .get_or_create(&of_sink(name))
            .inc_by(samples as u64);
        let cause = error.cause.as_str();
        if std::mem::replace(&mut state.outage, true) {
            tracing::debug!(kafka = name, cause, ?pause, %error, "samples did not get through");
        } else {
            tracing::warn!(
                kafka = name,
                cause,
                %error,
                "samples do not get through to the topic; they wait, the oldest are dropped when there is no more room"
            );
        }
    }

    /// Samples were dropped, as there was no room for them or no more time.
    pub fn dropped(&self, name: &str, samples: usize) {
        let mut sinks = self.sinks();
        let Some(state) = sinks.get_mut(name) else {
            return;
        };
        let count = self.dropped.get_or_create(&of_sink(name));
        let count = count.inc_by(samples as u64) + samples as u64;
        if state.overflows.may_log() {
            tracing::warn!(kafka = name, samples, count, "samples were dropped");
        }
    }

    fn sink_counters(&self) -> [&Family<OfSink, Counter>; 4] {
        [&self.sent, &self.refused, &self.dropped, &self.retried]
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<String, Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sinks(&self) -> MutexGuard<'_, BTreeMap<String, Sink>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(source: &str) -> OfSource {
    OfSource {
        source: source.to_owned(),
    }
}

fn of_result(source: &str, result: MessageResult) -> OfResult {
    OfResult {
        source: source.to_owned(),
        result: result.as_str(),
    }
}

fn of_cause(source: &str, cause: Cause) -> OfCause {
    OfCause {
        source: source.to_owned(),
        cause: cause.as_str(),
    }
}

fn of_sink(name: &str) -> OfSink {
    OfSink {
        kafka: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    #[test]
    fn what_is_announced_has_every_series_and_what_is_forgotten_none() {
        let telemetry = Telemetry::default();
        let events = &telemetry.kafka;
        let error = SourceError {
            cause: Cause::Connect,
            message: "no".to_owned(),
        };
        events.messages("here", &BTreeMap::from([(MessageResult::Read, 1)]));
        events.sent("there", 1, 1);
        let shown = telemetry.open_metrics().unwrap();
        assert!(!shown.contains("\"here\"") && !shown.contains("\"there\""));
        events.announce("here");
        events.announce_sink("there");
        events.connected("here");
        events.messages("here", &BTreeMap::from([(MessageResult::Garbled, 2)]));
        events.skipped("here", 3, "");
        events.behind("here", 4);
        events.pending("there", 9);
        events.sent("there", 5, 2_500);
        events.refused("there", 6, &error);
        events.retried("there", 7, &error, Duration::ZERO);
        events.dropped("there", 8);
        let shown = telemetry.open_metrics().unwrap();
        for line in [
            "up{source=\"here\"} 1\n",
            "messages_total{source=\"here\",result=\"garbled\"} 2\n",
            "messages_total{source=\"here\",result=\"read\"} 0\n",
            "messages_skipped_total{source=\"here\"} 3\n",
            "messages_behind{source=\"here\"} 4\n",
            "samples_pending{kafka=\"there\"} 9\n",
            "samples_total{kafka=\"there\"} 5\n",
            "samples_failed_total{kafka=\"there\"} 6\n",
            "samples_retried_total{kafka=\"there\"} 7\n",
            "samples_dropped_total{kafka=\"there\"} 8\n",
            "newest_sent_timestamp_seconds{kafka=\"there\"} 2.5\n",
        ] {
            let line = format!("forethought_kafka_{line}");
            assert!(shown.contains(&line), "{line} is not in {shown}");
        }
        events.partition_failed("here", 3, &error);
        let shown = telemetry.open_metrics().unwrap();
        let up = "forethought_kafka_up{source=\"here\"} 1\n";
        assert!(shown.contains(up), "the others are read on: {shown}");
        events.failed("here", &error);
        let shown = telemetry.open_metrics().unwrap();
        for line in [
            "up{source=\"here\"} 0\n",
            "failures_total{source=\"here\",cause=\"connect\"} 2\n",
        ] {
            assert!(
                shown.contains(&format!("forethought_kafka_{line}")),
                "{line}"
            );
        }
        events.forget("here");
        events.forget_sink("there");
        events.dropped("there", 1);
        events.failed("here", &error);
        let shown = telemetry.open_metrics().unwrap();
        assert!(!shown.contains("\"here\"") && !shown.contains("\"there\""));
    }
}
