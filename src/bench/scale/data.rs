//! The series that are sent: eight labels of some 150 bytes, as a pod of a large cluster has them.

use crate::series::{Labels, Millis};
use std::fmt::Write as _;

/// The metric.
pub(super) const NAME: &str = "container_load";
/// The label by which they are counted in groups.
pub(super) const GROUP: &str = "deployment";
/// Its values.
pub(super) const GROUPS: usize = 3_000;
/// What one that is far off is multiplied by.
const FAR: f64 = 4.0;

/// The names, sorted.
const NAMES: [&str; 8] = [
    "cluster",
    "container",
    "deployment",
    "instance",
    "job",
    "namespace",
    "node",
    "pod",
];

/// So many series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub(super) series: usize,
}

/// The values of the labels of one series, kept for their memory.
#[derive(Debug, Default)]
pub(super) struct Values([String; 8]);

impl Stream {
    pub(super) fn new(series: usize) -> Self {
        Self { series }
    }

    /// How many are far off when they are.
    pub(super) fn anomalous(self) -> usize {
        self.series.div_ceil(super::EVERY)
    }

    /// Whether these are the labels of one of them.
    pub(super) fn is_anomalous(self, labels: &Labels) -> bool {
        let pod = labels.get("pod").and_then(|pod| pod.rsplit('-').next());
        pod.and_then(|pod| pod.parse::<usize>().ok())
            .is_some_and(is_far)
    }

    /// The value of a series at a time.
    pub(super) fn value(index: usize, at: Millis, anomalous: bool) -> f64 {
        let usual = super::super::value(index, at);
        if anomalous && is_far(index) {
            usual * FAR
        } else {
            usual
        }
    }

    /// Bytes of names and values of the labels of all.
    pub(super) fn label_bytes(self) -> usize {
        let mut values = Values::default();
        let of = |index: usize| {
            let pairs = values.of(index);
            pairs
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
        };
        (0..self.series).map(of).sum()
    }
}

fn is_far(index: usize) -> bool {
    index.is_multiple_of(super::EVERY)
}

impl Values {
    /// The labels of series `index`, sorted by name.
    pub(super) fn of(&mut self, index: usize) -> [(&'static str, &str); 8] {
        let group = index % GROUPS;
        let texts = [
            format_args!("prod-eu-{}", index % 3),
            format_args!("main"),
            format_args!("checkout-{group:04}"),
            format_args!(
                "10.{}.{}.{}:9100",
                index >> 16 & 255,
                index >> 8 & 255,
                index & 255
            ),
            format_args!("kubernetes-pods"),
            format_args!("team-{:02}", group % 40),
            format_args!("node-{:05}", index / 100),
            format_args!("checkout-{group:04}-7d9f8b6c5-{index:07}"),
        ];
        for (own, text) in self.0.iter_mut().zip(texts) {
            own.clear();
            // Writing to a string cannot fail.
            _ = own.write_fmt(text);
        }
        let mut pairs = NAMES.map(|name| (name, ""));
        for (pair, own) in pairs.iter_mut().zip(&self.0) {
            pair.1 = own;
        }
        pairs
    }
}
