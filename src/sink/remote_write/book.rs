//! Which series a receiver was told of, and which samples come of an evaluation. Pure: time is a parameter.

use super::reached::Times;
use crate::{
    engine::{Catalogue, Outcome, Scaling},
    expo::{Chunk, RenderedLabels, wire::write::Point},
    series::Millis,
};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// The unit of all workloads: no signal or panel has an empty name.
const WORKLOADS: &str = "";

/// What is evaluated so long before what a former process wrote, or longer, is of a clock that was set back: it is told. As long as
/// PromQL looks back.
const MOST_BACK: Millis = 300_000;

/// What one unit shows now.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) unit: Arc<str>,
    /// The time that was evaluated.
    pub(super) at: Millis,
    /// How much later the next one is at least; nothing where nobody knows.
    pub(super) step: Option<Millis>,
    pub(super) shown: Shown,
}

#[derive(Debug, Clone)]
pub(super) enum Shown {
    Unit(Arc<Outcome>),
    Workloads(Arc<Scaling>),
}

/// A sample that is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Due {
    /// Of the series: its place among the shards.
    pub(super) key: u128,
    pub(super) series: Series,
    /// What it is told with beside its own labels.
    pub(super) external: Arc<External>,
    pub(super) point: Point,
}

/// Names and values of external labels.
pub(in crate::sink) type External = Vec<(String, String)>;

/// A series as it is shown, without external labels.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: Arc<str>,
    pub(super) labels: Arc<RenderedLabels>,
}

/// The series that a receiver was told of.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Series have these from now on.
    external: Arc<External>,
    /// Of external labels: with others every series is another.
    seed: u64,
    units: BTreeMap<Arc<str>, Told>,
    /// Which unit has a series: two may show the same one, and then the first of them has it.
    owners: BTreeMap<u128, Arc<str>>,
    /// Up to which time a former process wrote units that nothing was told of since.
    former: Times,
}

/// What was told of one unit.
#[derive(Debug)]
struct Told {
    at: Millis,
    step: Option<Millis>,
    /// When its series ended.
    ended: Option<Millis>,
    /// External labels that its series were told with, and end with.
    external: Arc<External>,
    live: BTreeMap<u128, Series>,
}

/// What the units of a catalogue show at `now`.
pub(super) fn read(catalogue: &Catalogue, now: Millis) -> Vec<Reading> {
    let units = catalogue.units();
    let fresh = units.iter().filter_map(|unit| {
        let outcome = unit.fresh(now)?;
        Some(Reading {
            unit: Arc::clone(&unit.name),
            at: outcome.at,
            step: Some(unit.step.as_millis()),
            shown: Shown::Unit(outcome),
        })
    });
    let scaling = catalogue.scaling(now).map(|scaling| Reading {
        unit: WORKLOADS.into(),
        at: scaling.at,
        step: None,
        shown: Shown::Workloads(scaling),
    });
    fresh.chain(scaling).collect()
}

// === impl Book ===

impl Book {
    /// Series have these external labels from now on: those told before with others end, with those, with the next evaluation of
    /// their unit.
    pub(super) fn set_external(&mut self, external: &Arc<External>) {
        self.external = Arc::clone(external);
        self.seed = seed(external);
    }

    /// Whether any of it was not told yet.
    pub(super) fn has_news(&self, readings: &[Reading]) -> bool {
        let shown: BTreeSet<&str> = readings.iter().map(|reading| &*reading.unit).collect();
        let gone =
            |(unit, told): (&Arc<str>, &Told)| !told.live.is_empty() && !shown.contains(&**unit);
        readings.iter().any(|reading| self.is_new(reading)) || self.units.iter().any(gone)
    }

    /// Takes over up to which time a former process wrote.
    pub(super) fn inherit(&mut self, former: Times) {
        self.former = former;
    }

    /// Up to which time each unit was told.
    pub(super) fn reached(&self) -> Times {
        let own = self.units.iter().map(|(unit, told)| {
            let at = told.ended.map_or(told.at, |ended| ended.max(told.at));
            (Arc::clone(unit), at)
        });
        let mut all = self.former.clone();
        all.extend(own);
        all
    }

    /// Whether it was not told yet, neither by us nor by a former process.
    fn is_new(&self, reading: &Reading) -> bool {
        match (
            self.units.get(&reading.unit),
            self.former.get(&reading.unit),
        ) {
            (Some(told), _) => told.at != reading.at,
            (None, Some(former)) => !(former - MOST_BACK..=*former).contains(&reading.at),
            (None, None) => true,
        }
    }

    /// Takes in what is shown at `now`, and gives the samples of what is new, and the end of what is shown no more.
    pub(super) fn look(&mut self, readings: &[Reading], now: Millis) -> Vec<Due> {
        let shown: BTreeSet<&str> = readings.iter().map(|reading| &*reading.unit).collect();
        let gone = self.units.keys().filter(|unit| !shown.contains(&***unit));
        let gone: Vec<Arc<str>> = gone.cloned().collect();
        let mut due = Vec::new();
        for unit in gone {
            self.end(&unit, now, &mut due);
        }
        for reading in readings {
            self.take_in(reading, &mut due);
        }
        due
    }

    fn take_in(&mut self, reading: &Reading, due: &mut Vec<Due>) {
        if !self.is_new(reading) {
            return;
        }
        let mut live = BTreeMap::new();
        for (name, labels, value) in reading.chunks().iter().flat_map(Chunk::samples) {
            let key = key(self.seed, name, labels);
            let owner = self.owners.entry(key);
            let owner = owner.or_insert_with(|| Arc::clone(&reading.unit));
            let Entry::Vacant(place) = live.entry(key) else {
                continue;
            };
            if **owner != *reading.unit {
                continue;
            }
            let series = Series {
                name: Arc::clone(name),
                labels: Arc::clone(labels),
            };
            place.insert(series.clone());
            let point = Point {
                at: reading.at,
                value,
            };
            let external = Arc::clone(&self.external);
            due.push(Due {
                key,
                series,
                external,
                point,
            });
        }
        let told = Told {
            at: reading.at,
            step: reading.step,
            ended: None,
            external: Arc::clone(&self.external),
            live,
        };
        let Some(before) = self.units.insert(Arc::clone(&reading.unit), told) else {
            return;
        };
        let now = self.units.get(&reading.unit).map(|told| &told.live);
        for (key, series) in before.live {
            if now.is_some_and(|live| !live.contains_key(&key)) {
                self.owners.remove(&key);
                let external = Arc::clone(&before.external);
                let point = Point::stale(reading.at);
                due.push(Due {
                    key,
                    series,
                    external,
                    point,
                });
            }
        }
    }

    /// Ends the series of a unit: after what was told last, and before its next grid time, so that everything stays in
    /// order whatever comes.
    fn end(&mut self, unit: &Arc<str>, now: Millis, due: &mut Vec<Due>) {
        let Some(told) = self.units.get_mut(unit) else {
            return;
        };
        let next = told.step.map_or(Millis::MAX, |step| told.at + step);
        let at = now.min(next - 1).max(told.at + 1);
        told.ended = Some(at);
        for (key, series) in std::mem::take(&mut told.live) {
            self.owners.remove(&key);
            let external = Arc::clone(&told.external);
            let point = Point::stale(at);
            due.push(Due {
                key,
                series,
                external,
                point,
            });
        }
    }
}

impl Reading {
    fn chunks(&self) -> &[Chunk] {
        match &self.shown {
            Shown::Unit(outcome) => &outcome.chunks,
            Shown::Workloads(scaling) => &scaling.chunks,
        }
    }
}

fn seed(external: &External) -> u64 {
    let mut text = Vec::new();
    for part in external.iter().flat_map(|(name, value)| [name, value]) {
        text.extend_from_slice(part.as_bytes());
        text.push(0);
    }
    xxh3_64(&text)
}

fn key(seed: u64, name: &str, labels: &RenderedLabels) -> u128 {
    let text = labels.as_str();
    let mut bytes = Vec::with_capacity(name.len() + 1 + text.len());
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(b'{');
    bytes.extend_from_slice(text.as_bytes());
    xxh3_128_with_seed(&bytes, seed)
}
