//! Where the series of a rule come from.

use super::{METRIC_NAME, Matchers};
use crate::series::{Labels, Millis};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

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

    /// How many series [`Lookup::select`] looks at for that, wanted or not.
    fn rows(&self, matchers: &Matchers) -> usize;
}

/// Series in memory, found by name.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    metrics: BTreeMap<Arc<str>, Metric>,
}

type Row = (Labels, f64, Millis);

/// The series of one name.
#[derive(Debug, Clone, Default)]
struct Metric {
    /// As they came.
    added: Vec<Row>,
    /// Once the metric is read: sorted, so that no answer depends on the order in which they came, and replicas agree;
    /// of a label set that came twice only the newest.
    sorted: OnceLock<Vec<Row>>,
}

impl Metric {
    fn len(&self) -> usize {
        self.added.len()
    }

    fn rows(&self) -> &[Row] {
        self.sorted.get_or_init(|| {
            let mut rows = self.added.clone();
            rows.sort_by(|one, other| one.0.cmp(&other.0).then(other.2.cmp(&one.2)));
            rows.dedup_by(|later, kept| later.0 == kept.0);
            rows
        })
    }
}

impl Snapshot {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of whole label sets (with `__name__`) and values, all of them of the time `at`.
    pub fn of(at: Millis, series: impl IntoIterator<Item = (Labels, f64)>) -> Self {
        let mut own = Self::new();
        for (labels, value) in series {
            let name = labels.get(METRIC_NAME).unwrap_or_default();
            own.put(name, [(labels.without(&[METRIC_NAME]), value, at)]);
        }
        own
    }

    /// Adds series of a metric: labels (without the name), value, and the time of the value. Of a label set that is
    /// there twice the newest value counts.
    pub fn put(&mut self, name: &str, series: impl IntoIterator<Item = (Labels, f64, Millis)>) {
        if !self.metrics.contains_key(name) {
            self.metrics.insert(name.into(), Metric::default());
        }
        if let Some(metric) = self.metrics.get_mut(name) {
            metric.added.extend(series);
            metric.sorted.take();
        }
    }

    /// The metrics that `matchers` may want.
    fn read<'s>(
        &'s self,
        matchers: &'s Matchers,
    ) -> impl Iterator<Item = (&'s Arc<str>, &'s Metric)> {
        let by_name = matchers.name();
        let found = by_name.and_then(|name| self.metrics.get_key_value(name));
        let rest = by_name.is_none().then_some(&self.metrics);
        let rest = rest.into_iter().flatten();
        found
            .into_iter()
            .chain(rest.filter(|(name, _)| matchers.may_match(name)))
    }

    /// The names that are there, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.metrics.keys().map(|name| &**name)
    }
}

impl Lookup for Snapshot {
    fn select(&self, matchers: &Matchers, visit: &mut dyn FnMut(Sample<'_>)) {
        for (name, metric) in self.read(matchers) {
            for (labels, value, at) in metric.rows() {
                if matchers.matches(name, labels) {
                    visit(Sample {
                        name,
                        labels,
                        value: *value,
                        at: *at,
                    });
                }
            }
        }
    }

    fn rows(&self, matchers: &Matchers) -> usize {
        self.read(matchers).map(|(_, metric)| metric.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::Matcher;

    #[test]
    fn the_order_of_adding_does_not_matter_and_the_newest_counts() {
        let row = |zone: &str, value: f64, at: Millis| {
            (Labels::new([("zone", zone)]).unwrap(), value, at)
        };
        let mut snapshot = Snapshot::new();
        snapshot.put("depth", [row("b", 2.0, 5), row("a", 1.0, 5)]);
        let read = |snapshot: &Snapshot| {
            let mut found = Vec::new();
            let matchers = Matchers::new(None, vec![vec![Matcher::equal(METRIC_NAME, "depth")]]);
            snapshot.select(&matchers, &mut |sample| {
                let zone = sample.labels.get("zone").unwrap().to_owned();
                found.push((zone, sample.value, sample.at));
            });
            found
        };
        let (a, b) = (("a".to_owned(), 1.0, 5), ("b".to_owned(), 2.0, 5));
        assert_eq!(read(&snapshot), [a, b.clone()]);
        snapshot.put("depth", [row("b", 0.0, 4), row("a", 3.0, 6)]);
        assert_eq!(read(&snapshot), [("a".to_owned(), 3.0, 6), b]);
    }
}
