//! Labels of the series seen before, found by the JSON they come in.
//!
//! The same series come with every tick, byte for byte: parsing their labels once is what makes
//! decoding fast, and shares their memory.

use crate::series::Labels;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, PoisonError},
};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Most bytes of JSON kept; about 400,000 series with a dozen labels.
const MOST_BYTES: usize = 96 << 20;
/// A series not seen for so many seconds is forgotten: series come and go all the time, and one that comes back, or is asked for
/// less often, is only parsed once more.
const KEPT: u64 = 600;
/// Seconds between two times that it is looked for those.
const SWEEP: u64 = 60;

/// Labels by the JSON of their `metric` object.
pub(super) struct Interner {
    begun: Instant,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    entries: HashMap<Box<str>, Entry, BuildHasherDefault<Hash>>,
    bytes: usize,
    /// Seconds since the beginning.
    now: u64,
    /// When it was looked for those that are not seen any more.
    swept: u64,
}

struct Entry {
    labels: Labels,
    seen: u64,
}

/// xxh3, which takes a hundred bytes in a few nanoseconds. Hostile keys can make a look-up slow, never wrong:
/// the keys themselves are compared.
#[derive(Default)]
struct Hash(u64);

impl Hasher for Hash {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            known: Mutex::default(),
        }
    }
}

impl fmt::Debug for Interner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interner").finish_non_exhaustive()
    }
}

impl Interner {
    /// The labels of one answer's series, in their order; `__name__` is left out.
    ///
    /// # Errors
    /// What is wrong with the first `metric` that is not a label set.
    pub(super) fn resolve<'a>(
        &self,
        metrics: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Labels>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.go_on(self.begun.elapsed().as_secs());
        metrics.map(|metric| known.labels(metric)).collect()
    }
}

impl Known {
    fn go_on(&mut self, now: u64) {
        self.now = now;
        if now >= self.swept + SWEEP {
            self.forget();
        }
    }

    fn labels(&mut self, metric: &str) -> Result<Labels, String> {
        let now = self.now;
        if let Some(entry) = self.entries.get_mut(metric) {
            entry.seen = now;
            return Ok(entry.labels.clone());
        }
        let labels = parse(metric)?;
        self.make_room(metric.len());
        self.bytes += metric.len();
        let entry = Entry {
            labels: labels.clone(),
            seen: now,
        };
        self.entries.insert(metric.into(), entry);
        Ok(labels)
    }

    fn make_room(&mut self, bytes: usize) {
        if self.bytes + bytes <= MOST_BYTES {
            return;
        }
        self.forget();
        // Keyed by bytes still in use: only a fresh start makes room.
        if self.bytes + bytes > MOST_BYTES / 2 {
            self.entries.clear();
            self.bytes = 0;
        }
    }

    fn forget(&mut self) {
        let oldest = self.now.saturating_sub(KEPT);
        self.entries.retain(|_, entry| entry.seen >= oldest);
        self.bytes = self.entries.keys().map(|key| key.len()).sum();
        self.swept = self.now;
    }
}

/// Labels of a `metric` object, without `__name__`.
fn parse(metric: &str) -> Result<Labels, String> {
    let mut json = serde_json::Deserializer::from_str(metric);
    let pairs = json.deserialize_map(Pairs);
    let pairs = pairs.map_err(|error| format!("a metric is not an object of texts: {error}"))?;
    let without_name = pairs.into_iter().filter(|(name, _)| name != "__name__");
    Labels::new(without_name).map_err(|error| error.to_string())
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_escapes_are_undone_and_the_second_time_is_the_same_memory() {
        let interner = Interner::default();
        let json = r#"{"__name__":"up","job":"a\"b","z":"\u00e4"}"#;
        let first = interner.resolve([json, json].into_iter()).unwrap();
        assert_eq!(first[0].to_string(), r#"{job="a\"b", z="ä"}"#);
        assert!(std::ptr::eq(
            first[0].get("job").unwrap(),
            first[1].get("job").unwrap()
        ));
        for bad in [
            "[]",
            "{\"a\":1}",
            "{\"a\":\"1\",\"a\":\"2\"}",
            "{\"\":\"x\"}",
        ] {
            assert!(interner.resolve([bad].into_iter()).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_is_gone_is_forgotten_in_time_and_who_stays_is_not() {
        let mut known = Known::default();
        let metric = |name: &str| format!("{{\"pod\":\"{name}\"}}");
        let one = metric("stays");
        let first = known.labels(&one).unwrap();
        for minute in 1..=100_u64 {
            known.go_on(60 * minute);
            let again = known.labels(&one).unwrap();
            assert!(std::ptr::eq(
                first.get("pod").unwrap(),
                again.get("pod").unwrap()
            ));
            known.labels(&metric(&minute.to_string())).unwrap();
        }
        assert_eq!(known.entries.len(), 1 + 11, "those of ten minutes");
        let counted: usize = known.entries.keys().map(|key| key.len()).sum();
        assert_eq!(counted, known.bytes);
    }

    #[test]
    fn memory_is_bounded_and_labels_stay_right() {
        let mut known = Known::default();
        let long = "x".repeat(1 << 20);
        for index in 0..200 {
            known.now += 1;
            let metric = format!("{{\"a\":\"{index}\",\"b\":\"{long}\"}}");
            let labels = known.labels(&metric).unwrap();
            assert_eq!(labels.get("a"), Some(index.to_string().as_str()));
            assert!(known.bytes <= MOST_BYTES);
        }
        let counted: usize = known.entries.keys().map(|key| key.len()).sum();
        assert_eq!(counted, known.bytes);
    }
}
