//! Where the series of a rule come from.

use super::{METRIC_NAME, Matchers};
use crate::series::{Labels, Millis};
use std::{collections::BTreeMap, sync::Arc};

/// The newest value of one series.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The metric's name.
    pub name: &'a Arc<str>,
    /// The other labels.
    pub labels: &'a Labels,
    /// Its newest value.
    pub value: f64,
    /// When that value was so, milliseconds since the epoch.
    pub at: Millis,
}

/// Series as they are now. What is not there, or too old to be believed, is absent: no rule asks how old it is.
pub trait Lookup {
    /// Calls `visit` for every series that `matchers` want, each once, always in the same order.
    fn select(&self, matchers: &Matchers, visit: &mut dyn FnMut(Sample<'_>));
}

/// Series in memory, found by name.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    metrics: BTreeMap<Arc<str>, Metric>,
}

/// The series of one name. Sorted, so that no answer depends on the order in which they came: replicas agree.
type Metric = Vec<(Labels, f64, Millis)>;

impl Snapshot {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of whole label sets (with `__name__`) and values, all of them of the time `at`.
    pub fn of(at: Millis, series: impl IntoIterator<Item = (Labels, f64)>) -> Self {
        let mut metrics: BTreeMap<Arc<str>, Metric> = BTreeMap::new();
        for (labels, value) in series {
            let name = labels.get(METRIC_NAME).unwrap_or_default();
            let rest = labels.without(&[METRIC_NAME]);
            match metrics.get_mut(name) {
                Some(metric) => metric.push((rest, value, at)),
                None => drop(metrics.insert(name.into(), vec![(rest, value, at)])),
            }
        }
        let mut own = Self::new();
        for (name, series) in metrics {
            own.put(&name, series);
        }
        own
    }

    /// Adds the series of a metric: labels (without the name), value, and the time of the value. Of a label set that
    /// is there twice the newest value counts.
    pub fn put(&mut self, name: &str, series: impl IntoIterator<Item = (Labels, f64, Millis)>) {
        let metric = self.metrics.entry(name.into()).or_default();
        metric.extend(series);
        metric.sort_by(|one, other| one.0.cmp(&other.0).then(other.2.cmp(&one.2)));
        metric.dedup_by(|later, kept| later.0 == kept.0);
    }

    /// The names that are there, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.metrics.keys().map(|name| &**name)
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.metrics.values().map(Vec::len).sum()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.metrics.values().all(Vec::is_empty)
    }
}

impl Lookup for Snapshot {
    fn select(&self, matchers: &Matchers, visit: &mut dyn FnMut(Sample<'_>)) {
        let mut of_metric = |name: &Arc<str>, metric: &Metric| {
            for (labels, value, at) in metric {
                if matchers.matches(name, labels) {
                    visit(Sample {
                        name,
                        labels,
                        value: *value,
                        at: *at,
                    });
                }
            }
        };
        match matchers.name() {
            Some(name) => {
                if let Some((name, metric)) = self.metrics.get_key_value(name) {
                    of_metric(name, metric);
                }
            }
            None => {
                for (name, metric) in &self.metrics {
                    if matchers.may_match(name) {
                        of_metric(name, metric);
                    }
                }
            }
        }
    }
}
