//! Which samples there are, and what becomes of them where the other side misbehaves.

mod book;
mod log;
mod sending;

use crate::{
    engine::Outcome,
    expo::{Chunk, Kind, RenderedLabels},
    series::Millis,
};
use std::sync::Arc;

/// A family of that name, a series for each value: its labels, and the value.
fn chunk(name: &str, series: &[(&[(&str, &str)], f64)]) -> Chunk {
    let samples = series.iter().map(|(labels, value)| {
        let labels = RenderedLabels::new(labels.iter().copied());
        (Arc::new(labels), *value)
    });
    Chunk::new(name.into(), "".into(), Kind::Gauge, samples.collect())
}

fn outcome(unit: &str, at: Millis, chunks: Vec<Chunk>) -> Arc<Outcome> {
    Arc::new(Outcome {
        unit: unit.into(),
        at,
        chunks,
        ..Outcome::default()
    })
}
