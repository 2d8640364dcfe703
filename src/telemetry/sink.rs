//! What is counted and logged of what is sent to Alertmanagers.

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

/// Nothing was sent, as finding out what to send panicked.
const PANIC: &str = "panic";

/// How sending can fail, sorted. There are no queries, and no circuit breaker.
fn causes() -> impl Iterator<Item = &'static str> {
    let none = [Cause::BreakerOpen, Cause::Query];
    let all = Cause::ALL.into_iter();
    all.filter(move |cause| !none.contains(cause))
        .map(Cause::as_str)
        .chain([PANIC])
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAlertmanager {
    alertmanager: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    alertmanager: String,
    cause: &'static str,
}

/// What is counted and logged of what is sent to Alertmanagers. One method per event: the log line and
/// its counter together.
#[derive(Debug)]
pub struct SinkEvents {
    notifications: Family<OfAlertmanager, Counter>,
    failures: Family<OfCause, Counter>,
    up: Family<OfAlertmanager, Gauge>,
    last_success: Family<OfAlertmanager, Gauge<f64, AtomicU64>>,
    /// The Alertmanagers in force, and whether their outage was logged. Of others nothing is counted: one
    /// that is gone may have a last word.
    known: Mutex<BTreeMap<String, bool>>,
}

impl SinkEvents {
    /// Registers the metrics; each Alertmanager's series start at zero when it is announced.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self {
            notifications: Family::default(),
            failures: Family::default(),
            up: Family::default(),
            last_success: Family::default(),
            known: Mutex::default(),
        };
        registry.register(
            "alertmanager_notifications",
            "Alerts that the Alertmanager took, begun, repeated and ended ones alike",
            events.notifications.clone(),
        );
        registry.register(
            "alertmanager_failures",
            "Requests to the Alertmanager that failed or were refused, by cause; panic: none was made",
            events.failures.clone(),
        );
        registry.register(
            "alertmanager_up",
            "Whether the Alertmanager took the newest alerts; 0 before there were any",
            events.up.clone(),
        );
        registry.register(
            "alertmanager_last_success_timestamp_seconds",
            "When the Alertmanager last took alerts; 0 where it never did",
            events.last_success.clone(),
        );
        events
    }

    /// An Alertmanager is put in force: its series exist from now on, at zero.
    pub fn announce(&self, alertmanager: &str) {
        let key = of(alertmanager);
        self.known().insert(alertmanager.to_owned(), false);
        drop(self.notifications.get_or_create(&key));
        drop(self.up.get_or_create(&key));
        drop(self.last_success.get_or_create(&key));
        for cause in causes() {
            drop(self.failures.get_or_create(&of_cause(alertmanager, cause)));
        }
    }

    /// An Alertmanager is gone from the configuration: so are its series.
    pub fn forget(&self, alertmanager: &str) {
        let key = of(alertmanager);
        let mut known = self.known();
        known.remove(alertmanager);
        self.notifications.remove(&key);
        self.up.remove(&key);
        self.last_success.remove(&key);
        for cause in causes() {
            self.failures.remove(&of_cause(alertmanager, cause));
        }
    }

    /// `alerts` were taken at `at`.
    pub fn delivered(&self, alertmanager: &str, alerts: usize, at: Millis) {
        let known = self.known();
        if !known.contains_key(alertmanager) {
            return;
        }
        let key = of(alertmanager);
        let count = self.notifications.get_or_create(&key).inc_by(alerts as u64) + alerts as u64;
        self.last_success
            .get_or_create(&key)
            .set(at as f64 / 1_000.0);
        tracing::debug!(alertmanager, alerts, count, "alerts were taken");
    }

    /// Everything that was to be sent was taken.
    pub fn recovered(&self, alertmanager: &str) {
        let mut known = self.known();
        let Some(outage) = known.get_mut(alertmanager) else {
            return;
        };
        self.up.get_or_create(&of(alertmanager)).set(1);
        if std::mem::take(outage) {
            tracing::info!(alertmanager, "the Alertmanager takes alerts again");
        }
    }

    /// A request failed and is sent again after `retry`; without that it was refused, and what it said
    /// is said again with the next repetition. An outage is one warning.
    pub fn failed(&self, alertmanager: &str, error: &SourceError, retry: Option<Duration>) {
        let mut known = self.known();
        let Some(outage) = known.get_mut(alertmanager) else {
            return;
        };
        let key = of_cause(alertmanager, error.cause.as_str());
        self.failures.get_or_create(&key).inc();
        self.up.get_or_create(&of(alertmanager)).set(0);
        let cause = error.cause.as_str();
        if !std::mem::replace(outage, true) {
            tracing::warn!(
                alertmanager,
                cause,
                %error,
                "alerts do not get through; the newest are sent as soon as they do"
            );
        } else {
            tracing::debug!(alertmanager, cause, ?retry, %error, "alerts did not get through");
        }
    }

    /// Finding out what to send broke off; it begins anew.
    pub fn panicked(&self, alertmanager: &str, problem: &str) {
        let key = of_cause(alertmanager, PANIC);
        self.failures.get_or_create(&key).inc();
        tracing::error!(
            alertmanager,
            problem,
            "finding out what to send panicked: everything that is on is sent anew"
        );
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(alertmanager: &str) -> OfAlertmanager {
    OfAlertmanager {
        alertmanager: alertmanager.to_owned(),
    }
}

fn of_cause(alertmanager: &str, cause: &'static str) -> OfCause {
    OfCause {
        alertmanager: alertmanager.to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        source::{Cause, SourceError},
        telemetry::Telemetry,
    };

    #[test]
    fn an_announced_alertmanager_has_every_series_and_a_forgotten_one_none() {
        let telemetry = Telemetry::default();
        let (events, name) = (&telemetry.sink, "http://a:9093");
        assert!(!telemetry.open_metrics().unwrap().contains(name));
        events.announce(name);
        events.delivered(name, 3, 1_500);
        events.recovered(name);
        let error = SourceError {
            cause: Cause::Timeout,
            message: "late".to_owned(),
        };
        let shown = telemetry.open_metrics().unwrap();
        assert!(shown.contains("forethought_alertmanager_up{alertmanager=\"http://a:9093\"} 1\n"));
        events.failed(name, &error, None);
        let shown = telemetry.open_metrics().unwrap();
        for line in [
            "notifications_total{alertmanager=\"http://a:9093\"} 3\n",
            "failures_total{alertmanager=\"http://a:9093\",cause=\"connect\"} 0\n",
            "failures_total{alertmanager=\"http://a:9093\",cause=\"timeout\"} 1\n",
            "up{alertmanager=\"http://a:9093\"} 0\n",
            "last_success_timestamp_seconds{alertmanager=\"http://a:9093\"} 1.5\n",
        ] {
            let line = format!("forethought_alertmanager_{line}");
            assert!(shown.contains(&line), "{line} is not in {shown}");
        }
        events.forget(name);
        events.delivered(name, 1, 2_500);
        events.failed(name, &error, None);
        events.recovered(name);
        assert!(!telemetry.open_metrics().unwrap().contains(name));
    }
}
