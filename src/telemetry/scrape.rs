//! What scrapes count and log.

use super::throttle::Throttle;
use crate::source::scrape::{Cause, Counts, Failure, Health};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    source: String,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    source: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    source: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMechanism {
    source: String,
    mechanism: &'static str,
}

type Counter1 = Family<OfSource, Counter>;

/// What scrapes count and log. One method per event: the log line and its counter together.
#[derive(Debug)]
pub struct ScrapeEvents {
    /// The sources in force. One that was stopped has its last words afterwards: they must not bring its series back.
    announced: Mutex<BTreeSet<String>>,
    targets: Family<OfState, Gauge>,
    attempts: Counter1,
    failures: Family<OfCause, Counter>,
    durations: Family<OfSource, Histogram>,
    bytes: Counter1,
    samples: Counter1,
    dropped: Family<OfReason, Counter>,
    missed: Counter1,
    panics: Counter1,
    discovery_failures: Family<OfMechanism, Counter>,
    /// Of targets that fail or are well again; all of them are counted.
    told: Throttle,
    /// Of samples that are left out.
    told_dropped: Throttle,
    /// Of what is discovered.
    told_discovery: Throttle,
}

const STATES: [&str; 5] = ["down", "dropped", "invalid", "unknown", "up"];
const REASONS: [&str; 3] = ["duplicate", "relabelled", "too_far_ahead"];

impl ScrapeEvents {
    /// Registers the metrics; each source's series start at zero when it is announced.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self {
            announced: Mutex::default(),
            targets: Family::default(),
            attempts: Family::default(),
            failures: Family::default(),
            // 1 ms (a small exporter nearby) to 16 s (the usual timeout is 10 s).
            durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 4.0, 8))
            }),
            bytes: Family::default(),
            samples: Family::default(),
            dropped: Family::default(),
            missed: Family::default(),
            panics: Family::default(),
            discovery_failures: Family::default(),
            told: Throttle::default(),
            told_dropped: Throttle::default(),
            told_discovery: Throttle::default(),
        };
        events.show_scrapes(registry);
        events.show_samples(registry);
        events
    }

    fn show_scrapes(&self, registry: &mut Registry) {
        registry.register(
            "scrape_targets",
            "Targets of the source by state: up, down, unknown (not asked yet), dropped by relabelling, invalid",
            self.targets.clone(),
        );
        registry.register(
            "scrape_attempts",
            "Scrapes of the source's targets, well or not",
            self.attempts.clone(),
        );
        registry.register(
            "scrape_failures",
            "Failed scrapes of the source's targets, by cause",
            self.failures.clone(),
        );
        registry.register_with_unit(
            "scrape_duration",
            "Time from asking a target to having passed on its samples, or to its failure",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register(
            "scrape_missed",
            "Scrapes that were left out because the one before took too long",
            self.missed.clone(),
        );
        registry.register(
            "scrape_panics",
            "Panics while a target was scraped; its loop begins anew",
            self.panics.clone(),
        );
        registry.register(
            "scrape_discovery_failures",
            "Failed attempts to find out which targets there are; those that were known stay",
            self.discovery_failures.clone(),
        );
    }

    fn show_samples(&self, registry: &mut Registry) {
        registry.register(
            "scrape_body_bytes",
            "Bytes of scraped bodies, after decompression",
            self.bytes.clone(),
        );
        registry.register(
            "scrape_samples",
            "Samples of the source's targets, before relabelling",
            self.samples.clone(),
        );
        registry.register(
            "scrape_samples_dropped",
            "Samples of these that were left out, by reason: relabelled (dropped by metric_relabel_configs), duplicate, too_far_ahead (over 10 minutes)",
            self.dropped.clone(),
        );
    }

    /// A source is put in force: its series exist from now on.
    pub fn announce(&self, source: &str) {
        self.sources().insert(source.to_owned());
        let key = of(source);
        for family in [
            &self.attempts,
            &self.bytes,
            &self.samples,
            &self.missed,
            &self.panics,
        ] {
            drop(family.get_or_create(&key));
        }
        drop(self.durations.get_or_create(&key));
        for state in STATES {
            drop(self.targets.get_or_create(&of_state(source, state)));
        }
        for cause in Cause::ALL {
            drop(self.failures.get_or_create(&of_cause(source, cause)));
        }
        for reason in REASONS {
            drop(self.dropped.get_or_create(&of_reason(source, reason)));
        }
    }

    /// A source is gone from the configuration: so are its series.
    pub fn forget(&self, source: &str) {
        self.sources().remove(source);
        let key = of(source);
        for family in [
            &self.attempts,
            &self.bytes,
            &self.samples,
            &self.missed,
            &self.panics,
        ] {
            family.remove(&key);
        }
        self.durations.remove(&key);
        for state in STATES {
            self.targets.remove(&of_state(source, state));
        }
        for cause in Cause::ALL {
            self.failures.remove(&of_cause(source, cause));
        }
        for reason in REASONS {
            self.dropped.remove(&of_reason(source, reason));
        }
        for mechanism in ["file", "http", "kubernetes", "static"] {
            self.discovery_failures
                .remove(&of_mechanism(source, mechanism));
        }
    }

    /// A target is in another state than before; nothing before it was there, and after it is gone.
    pub fn moved(&self, source: &str, from: Option<Health>, to: Option<Health>) {
        if !self.is_announced(source) {
            return;
        }
        let gauge = |health: Health| {
            let key = of_state(source, health.as_str());
            self.targets.get_or_create_owned(&key)
        };
        if from != to {
            from.map(|health| gauge(health).dec());
            to.map(|health| gauge(health).inc());
        }
    }

    /// So many targets were found that are not scraped.
    pub fn discarded(&self, source: &str, dropped: usize, invalid: usize) {
        if !self.is_announced(source) {
            return;
        }
        for (state, count) in [("dropped", dropped), ("invalid", invalid)] {
            let gauge = self.targets.get_or_create_owned(&of_state(source, state));
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// A target that was found cannot be scraped.
    pub fn refused(&self, source: &str, problem: &str) {
        if self.told_discovery.may_log() {
            tracing::warn!(source, problem, "a target that was found cannot be scraped");
        } else {
            tracing::debug!(source, problem, "a target that was found cannot be scraped");
        }
    }

    /// Which targets there are could not be found out.
    pub fn discovery_failed(&self, source: &str, mechanism: &'static str, problem: &str) {
        if !self.is_announced(source) {
            return;
        }
        let key = of_mechanism(source, mechanism);
        self.discovery_failures.get_or_create(&key).inc();
        if self.told_discovery.may_log() {
            tracing::warn!(
                source,
                mechanism,
                problem,
                "cannot find out which targets there are"
            );
        } else {
            tracing::debug!(
                source,
                mechanism,
                problem,
                "cannot find out which targets there are"
            );
        }
    }

    /// A scrape ended, well or not.
    pub fn scraped(&self, source: &str, seconds: f64, bytes: usize) {
        if !self.is_announced(source) {
            return;
        }
        let key = of(source);
        self.attempts.get_or_create(&key).inc();
        self.durations.get_or_create(&key).observe(seconds);
        self.bytes.get_or_create(&key).inc_by(bytes as u64);
    }

    /// A body had so many samples.
    pub fn counted(&self, source: &str, counts: &Counts) {
        if !self.is_announced(source) {
            return;
        }
        let samples = self.samples.get_or_create_owned(&of(source));
        samples.inc_by(counts.scraped as u64);
        let relabelled = counts.scraped - counts.kept.min(counts.scraped);
        let dropped = [
            ("duplicate", counts.duplicates),
            ("relabelled", relabelled),
            ("too_far_ahead", counts.ahead),
        ];
        for (reason, count) in dropped.into_iter().filter(|(_, count)| *count > 0) {
            let counter = self.dropped.get_or_create_owned(&of_reason(source, reason));
            counter.inc_by(count as u64);
            if reason != "relabelled" && self.told_dropped.may_log() {
                tracing::warn!(source, reason, count, "samples of a target are left out");
            }
        }
    }

    /// A scrape failed; `again`: as the one before.
    pub fn failed(&self, source: &str, target: &str, failure: &Failure, again: bool) {
        if !self.is_announced(source) {
            return;
        }
        let key = of_cause(source, failure.cause);
        self.failures.get_or_create(&key).inc();
        let cause = failure.cause.as_str();
        if !again && self.told.may_log() {
            tracing::warn!(source, target, cause, error = %failure, "a target cannot be scraped");
        } else {
            tracing::debug!(source, target, cause, error = %failure, "a target cannot be scraped");
        }
    }

    /// A target that could not be scraped is well again.
    pub fn recovered(&self, source: &str, target: &str) {
        if self.told.may_log() {
            tracing::info!(source, target, "a target can be scraped again");
        }
    }

    /// Scrapes were left out, as the one before took too long.
    pub fn missed(&self, source: &str, count: u64) {
        if !self.is_announced(source) {
            return;
        }
        self.missed.get_or_create(&of(source)).inc_by(count);
    }

    /// Scraping a target panicked.
    pub fn panicked(&self, source: &str, target: &str) {
        self.panics.get_or_create(&of(source)).inc();
        tracing::error!(
            source,
            target,
            "scraping a target panicked; its series begin anew"
        );
    }

    fn is_announced(&self, source: &str) -> bool {
        self.sources().contains(source)
    }

    fn sources(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(source: &str) -> OfSource {
    OfSource {
        source: source.to_owned(),
    }
}

fn of_cause(source: &str, cause: Cause) -> OfCause {
    OfCause {
        source: source.to_owned(),
        cause: cause.as_str(),
    }
}

fn of_reason(source: &str, reason: &'static str) -> OfReason {
    OfReason {
        source: source.to_owned(),
        reason,
    }
}

fn of_state(source: &str, state: &'static str) -> OfState {
    OfState {
        source: source.to_owned(),
        state,
    }
}

fn of_mechanism(source: &str, mechanism: &'static str) -> OfMechanism {
    OfMechanism {
        source: source.to_owned(),
        mechanism,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    #[test]
    fn an_announced_source_has_every_series_at_zero_and_a_forgotten_one_none() {
        let telemetry = Telemetry::default();
        let events = &telemetry.scrape;
        events.announce("direct");
        let shown = telemetry.open_metrics().unwrap();
        for line in [
            "forethought_scrape_attempts_total{source=\"direct\"} 0",
            "forethought_scrape_body_bytes_total{source=\"direct\"} 0",
            "forethought_scrape_failures_total{source=\"direct\",cause=\"sample_limit\"} 0",
            "forethought_scrape_missed_total{source=\"direct\"} 0",
            "forethought_scrape_panics_total{source=\"direct\"} 0",
            "forethought_scrape_samples_dropped_total{source=\"direct\",reason=\"duplicate\"} 0",
            "forethought_scrape_samples_total{source=\"direct\"} 0",
            "forethought_scrape_targets{source=\"direct\",state=\"invalid\"} 0",
            "forethought_scrape_duration_seconds_count{source=\"direct\"} 0",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
        events.discovery_failed("direct", "file", "no");
        events.moved("direct", None, Some(Health::Up));
        events.forget("direct");
        events.moved("direct", Some(Health::Up), None);
        events.scraped("direct", 0.1, 1);
        let shown = telemetry.open_metrics().unwrap();
        assert!(!shown.contains("source=\"direct\""), "{shown}");
    }

    #[test]
    fn events_are_counted() {
        let telemetry = Telemetry::default();
        let events = &telemetry.scrape;
        events.announce("direct");
        events.moved("direct", None, Some(Health::Unknown));
        events.moved("direct", Some(Health::Unknown), Some(Health::Down));
        events.discarded("direct", 3, 1);
        let failure = Failure {
            cause: Cause::Timeout,
            message: String::from("late"),
        };
        events.failed("direct", "http://a/metrics", &failure, false);
        events.missed("direct", 2);
        events.counted(
            "direct",
            &Counts {
                scraped: 10,
                kept: 7,
                added: 1,
                duplicates: 2,
                ahead: 1,
            },
        );
        let shown = telemetry.open_metrics().unwrap();
        for line in [
            "forethought_scrape_targets{source=\"direct\",state=\"unknown\"} 0",
            "forethought_scrape_targets{source=\"direct\",state=\"down\"} 1",
            "forethought_scrape_targets{source=\"direct\",state=\"dropped\"} 3",
            "forethought_scrape_failures_total{source=\"direct\",cause=\"timeout\"} 1",
            "forethought_scrape_missed_total{source=\"direct\"} 2",
            "forethought_scrape_samples_total{source=\"direct\"} 10",
            "forethought_scrape_samples_dropped_total{source=\"direct\",reason=\"relabelled\"} 3",
            "forethought_scrape_samples_dropped_total{source=\"direct\",reason=\"too_far_ahead\"} 1",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
    }
}
