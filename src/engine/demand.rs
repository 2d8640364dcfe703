//! Which encodings readers ask for, so that an outcome can be encoded before it is published.

use super::outcome::Outcome;
use crate::expo::{Chunk, Escaping};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU8, Ordering};

/// The encodings asked for so far. A scraper asks for the same one every time: what was asked for
/// once is made ready, and the first read after an evaluation is as quick as the others.
#[derive(Debug, Default)]
pub struct Demand {
    /// One bit per escaping scheme, and one more four places up where it was with gzip.
    asked: AtomicU8,
}

impl Demand {
    /// A reader asks for this.
    pub fn note(&self, scheme: Escaping, gzip: bool) {
        let bits = Escaping::ALL
            .iter()
            .position(|known| *known == scheme)
            .map_or(0, |place| 1 << place | u8::from(gzip) << (place + 4));
        self.asked.fetch_or(bits, Ordering::Relaxed);
    }

    /// Encodes the chunks of an outcome for what readers asked for. Takes as long as their first read
    /// would: call it where computing is done, whose threads share the work.
    pub fn warm(&self, outcome: &Outcome) {
        self.warm_chunks(&outcome.chunks);
    }

    /// As [`Demand::warm`].
    pub fn warm_chunks(&self, chunks: &[Chunk]) {
        let asked = self.asked.load(Ordering::Relaxed);
        for (place, scheme) in Escaping::ALL.into_iter().enumerate() {
            if asked & 1 << place != 0 {
                let gzip = asked & 1 << (place + 4) != 0;
                chunks.par_iter().for_each(|chunk| chunk.warm(scheme, gzip));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expo::{Kind, RenderedLabels};
    use std::sync::Arc;

    #[test]
    fn only_what_was_asked_for_is_made_ready() {
        let outcome = || {
            let labels = Arc::new(RenderedLabels::new([("k8s.pod", "a")]));
            let chunk = Chunk::new("x".into(), "Help.".into(), Kind::Gauge, vec![(labels, 1.0)]);
            Outcome {
                chunks: vec![chunk],
                ..Outcome::default()
            }
        };
        let demand = Demand::default();
        let ready = |outcome: &Outcome| {
            demand.warm(outcome);
            Escaping::ALL.map(|scheme| outcome.chunks[0].is_warm(scheme))
        };
        assert_eq!(ready(&outcome()), [(false, false); 4]);
        demand.note(Escaping::Underscores, true);
        demand.note(Escaping::Values, false);
        let (none, body, both) = ((false, false), (true, false), (true, true));
        assert_eq!(ready(&outcome()), [none, both, none, body]);
    }
}
