//! Which encodings readers ask for, so that an outcome can be encoded before it is published.

use super::outcome::Outcome;
use crate::expo::Escaping;
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
    /// would: call it where computing is done.
    pub fn warm(&self, outcome: &Outcome) {
        let asked = self.asked.load(Ordering::Relaxed);
        for (place, scheme) in Escaping::ALL.into_iter().enumerate() {
            if asked & 1 << place != 0 {
                let gzip = asked & 1 << (place + 4) != 0;
                for chunk in &outcome.chunks {
                    chunk.warm(scheme, gzip);
                }
            }
        }
    }
}
