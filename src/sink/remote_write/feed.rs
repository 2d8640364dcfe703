//! What units show, told sample by sample: for sinks that are no receivers of remote write.

use super::book::{Book, Due, External, read};
use crate::{
    engine::Catalogue,
    expo::{RenderedLabels, wire::write::Point},
    series::Millis,
};
use std::sync::Arc;

/// A sample that is to be sent.
#[derive(Debug, Clone)]
pub(in crate::sink) struct Sample {
    /// Of the series, external labels included.
    pub(in crate::sink) key: u128,
    /// The name of the series.
    pub(in crate::sink) name: Arc<str>,
    /// Its labels, without external ones.
    pub(in crate::sink) labels: Arc<RenderedLabels>,
    /// The external ones.
    pub(in crate::sink) external: Arc<External>,
    /// Time and value, or that the series has ended.
    pub(in crate::sink) point: Point,
}

/// What was told of units, and so what is news.
#[derive(Debug, Default)]
pub(in crate::sink) struct Feed {
    book: Book,
}

impl Feed {
    /// Series have these external labels from now on.
    pub(in crate::sink) fn set_external(&mut self, external: &Arc<External>) {
        self.book.set_external(external);
    }

    /// What is new in a catalogue at `now`. May take a while: a signal may have a million series.
    pub(in crate::sink) fn look(&mut self, catalogue: &Catalogue, now: Millis) -> Vec<Sample> {
        let readings = read(catalogue, now);
        if !self.book.has_news(&readings) {
            return Vec::new();
        }
        samples(self.book.look(&readings, now))
    }

    /// The end of every series that was told of.
    pub(in crate::sink) fn end(&mut self, now: Millis) -> Vec<Sample> {
        samples(self.book.look(&[], now))
    }
}

fn samples(due: Vec<Due>) -> Vec<Sample> {
    let sample = |due: Due| Sample {
        key: due.key,
        name: due.series.name,
        labels: due.series.labels,
        external: due.external,
        point: due.point,
    };
    due.into_iter().map(sample).collect()
}
