//! Tables instead of lists, and only those that are shown instead of all: the same is found.

use super::*;
use crate::{engine::SeriesOutcome, source::Table};
use std::collections::BTreeMap;

const MINUTE: Millis = 60_000;
/// Grid times that the live loop asks for at each.
const ASKED: i64 = REREAD as i64 + 2;

fn wide(shown_only: bool, more: &str) -> SignalUnit {
    let text = format!(
        r#"{{"name": "load", "query": "up", "step": "1m", "history": "3h", "class": "wide", "emit": "anomalous",
             "group_by": ["app"], "max_series": 400, "detectors": [{{"envelope": {{"warm_up": "10m"}}}}, {{"zscore": {{}}}}{more}],
             "range": {{"max": 450}}, "alerting": {{"for": "2m", "recover_for": "3m"}}}}"#
    );
    let mut settings: SignalSettings = serde_json::from_str(&text).unwrap();
    settings.shown_only = shown_only;
    unit(&settings)
}

fn labels(own: usize) -> Labels {
    let app = format!("app-{}", own % 7);
    Labels::new([("app", app), ("pod", format!("pod-{own:04}"))]).unwrap()
}

/// A source with so many series that come and go, have gaps, are far off now and then, and change what they said.
struct World {
    random: fastrand::Rng,
    values: BTreeMap<(usize, i64), f64>,
    /// The series of each row.
    rows: Vec<usize>,
    key: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            values: BTreeMap::new(),
            rows: Vec::new(),
            key: 7,
        }
    }

    fn step(&mut self, index: i64) {
        for own in 0..300 {
            // Each is there for an hour and a half of three; some never.
            let is_there = (index + 37 * own as i64) % 400 < 200 || own % 5 == 0;
            if !is_there || own % 11 == 3 || self.random.u8(..) < 20 {
                continue;
            }
            let far = own % 40 == 0 && index % 50 > 42;
            let value = 50.0 + own as f64 + self.random.f64() + if far { 300.0 } else { 0.0 };
            self.values.insert((own, index), value);
            if self.random.u8(..) < 5 {
                // Late, or said again: in the grid times that are read again.
                let before = index - self.random.i64(1..ASKED);
                self.values.insert((own, before), value + 1.0);
            }
        }
        if self.random.u8(..) < 10 {
            self.key += 1;
            self.random.shuffle(&mut self.rows);
            self.rows.truncate(200);
        }
        let known: std::collections::BTreeSet<usize> = self.rows.iter().copied().collect();
        let lately = self.values.keys().filter(|(_, at)| *at > index - ASKED);
        let new: Vec<usize> = lately.map(|(own, _)| *own).collect();
        let mut new: Vec<usize> = new.into_iter().filter(|own| !known.contains(own)).collect();
        new.dedup();
        // Some have a row before they have a value.
        new.extend((300..310).filter(|own| self.random.u8(..) < 20 && !known.contains(own)));
        self.rows.extend(new);
    }

    fn matrix(&self, from: i64, to: i64) -> Matrix {
        let of = |own: usize| {
            let values = self.values.range((own, from)..=(own, to));
            SeriesSamples {
                labels: labels(own),
                samples: values
                    .map(|((_, at), value)| (at * MINUTE, *value))
                    .collect(),
            }
        };
        let series = (0..300).map(of).filter(|one| !one.samples.is_empty());
        let mut series: Vec<SeriesSamples> = series.collect();
        series.sort_by(|one, other| one.labels.cmp(&other.labels));
        Matrix {
            series,
            ..Matrix::default()
        }
    }

    fn table(&self, from: i64, to: i64, known: Option<crate::source::Known>) -> Table {
        let known = known.filter(|known| known.key == self.key);
        let first_label = known.map_or(0, |known| known.rows);
        let column = |at: i64| {
            let values = self.rows.iter();
            values.map(move |&own| {
                self.values
                    .get(&(own, at))
                    .map_or(f32::NAN, |value| *value as f32)
            })
        };
        Table {
            key: self.key,
            rows: self.rows.len(),
            first_label,
            labels: self.rows[first_label..]
                .iter()
                .map(|&own| labels(own))
                .collect(),
            start: from * MINUTE,
            step: MINUTE,
            values: (from..=to).flat_map(column).collect(),
            dropped: 0,
            foreign: 0,
        }
    }
}

/// What readers are told, as text: `NaN` is the same as `NaN` there.
fn told(outcome: &Outcome) -> String {
    let mut counts = outcome.counts.clone();
    counts.state_bytes = 0;
    format!("{:?} {:?} {:?}", outcome.series, outcome.groups, counts)
}

#[test]
fn a_table_is_taken_in_as_the_lists_are() {
    let mut found = (0, 0, 0);
    for seed in 0..2 {
        let mut world = World::new(seed);
        let (mut listed, mut tabled) = (wide(false, ""), wide(false, ""));
        for index in 0..420 {
            world.step(index);
            let from = (index - ASKED + 1).max(0);
            listed.ingest(&world.matrix(from, index));
            let known = tabled.known();
            assert!(tabled.ingest_table(&world.table(from, index, known)));
            if index == 0 {
                listed.restart(MINUTE);
                tabled.restart(MINUTE);
                continue;
            }
            let at = index * MINUTE;
            let one = listed.advance(at, Mode::Publish);
            let other = tabled.advance(at, Mode::Publish);
            assert_eq!(told(&one), told(&other), "seed {seed}, minute {index}");
            found.0 += one.counts.corrections;
            found.1 += one.counts.active;
            found.2 += usize::from(one.counts.series < 200 && index > 100);
        }
    }
    assert!(found.0 > 100 && found.1 > 100, "{found:?}");
}

#[test]
fn a_table_whose_labels_are_not_known_is_asked_for_again() {
    let mut world = World::new(1);
    world.step(0);
    world.step(1);
    let mut unit = wide(false, "");
    let known = crate::source::Known { key: 7, rows: 3 };
    assert!(!unit.ingest_table(&world.table(0, 1, Some(known))));
    assert!(unit.ingest_table(&world.table(0, 1, None)));
    assert_eq!(unit.known().unwrap().rows, world.rows.len());
}

#[test]
fn those_that_are_shown_are_told_of_as_all_are() {
    for more in ["", r#", {"dbscan": {"by": ["app"]}}"#] {
        let mut world = World::new(9);
        let (mut whole, mut sparse) = (wide(false, more), wide(true, more));
        let (mut active, mut fewer, mut doubted) = (0, 0, 0);
        for index in 0..300 {
            world.step(index);
            let matrix = world.matrix((index - ASKED + 1).max(0), index);
            whole.ingest(&matrix);
            sparse.ingest(&matrix);
            if index == 0 {
                whole.restart(MINUTE);
                sparse.restart(MINUTE);
                continue;
            }
            let all = whole.advance(index * MINUTE, Mode::Publish);
            let few = sparse.advance(index * MINUTE, Mode::Publish);
            let of = |one: &SeriesOutcome| format!("{one:?}");
            let known: Vec<String> = all.series.iter().map(of).collect();
            assert!(
                few.series.iter().map(of).all(|one| known.contains(&one)),
                "minute {index}"
            );
            let on = |outcome: &Outcome| outcome.series.iter().filter(|one| one.active).count();
            assert_eq!(on(&all), on(&few));
            assert_eq!(all.doubts, few.doubts, "minute {index}");
            doubted += all.doubts.len();
            let count = |outcome: &Outcome| {
                let mut counts = outcome.counts.clone();
                counts.state_bytes = 0;
                counts
            };
            assert_eq!(count(&all), count(&few), "minute {index}");
            let groups = |outcome: &Outcome| -> Vec<String> {
                let top = |one: &crate::engine::Contributor| {
                    (
                        outcome.series[one.index].labels.clone(),
                        one.score.to_bits(),
                    )
                };
                let of = |group: &crate::engine::Group| {
                    let far: Vec<_> = group.top.iter().map(top).collect();
                    format!(
                        "{:?} {} {} {far:?}",
                        group.labels, group.judged, group.active
                    )
                };
                outcome.groups.iter().map(of).collect()
            };
            assert_eq!(groups(&all), groups(&few), "minute {index}");
            assert_eq!(text(&all), text(&few), "minute {index}");
            active += on(&all);
            fewer += usize::from(few.series.len() < all.series.len());
        }
        assert!(active > 100 && fewer > 100, "{active} {fewer}");
        assert!(doubted > 10, "{doubted}");
    }
}

/// What `/metrics` shows.
fn text(outcome: &Outcome) -> Vec<String> {
    let chunks = outcome.chunks.iter();
    chunks
        .map(|chunk| format!("{} {chunk:?}", chunk.name()))
        .collect()
}

/// Who reads an outcome only now and then must see that a verdict ended.
#[test]
fn what_is_over_is_told_of_for_an_hour_of_minutes() {
    let mut unit = wide(true, "");
    let value = |own: usize, index: i64| {
        let far = own == 3 && (100..110).contains(&index);
        50.0 + noise(own as u64, index) + if far { 500.0 } else { 0.0 }
    };
    let matrix = |index: i64| Matrix {
        series: (0..20)
            .map(|own| SeriesSamples {
                labels: labels(own),
                samples: vec![(index * MINUTE, value(own, index))],
            })
            .collect(),
        ..Matrix::default()
    };
    unit.ingest(&matrix(0));
    unit.restart(MINUTE);
    let mut told = Vec::new();
    for index in 1..240 {
        unit.ingest(&matrix(index));
        let outcome = unit.advance(index * MINUTE, Mode::Publish);
        assert!(outcome.sparse && outcome.counts.valued == 20);
        let own = outcome.series.iter().find(|one| one.labels == labels(3));
        told.push(own.map(|one| one.active));
        assert!(outcome.series.len() <= 1);
    }
    let on = told.iter().filter(|one| **one == Some(true)).count();
    let over = told.iter().filter(|one| **one == Some(false)).count();
    assert!(on > 5, "{told:?}");
    assert_eq!(over as i64, super::super::shown::LATELY);
}

/// A million new series at once must not look through all those that were there, each of them.
#[test]
fn series_that_went_make_room_for_those_that_come() {
    let mut unit = wide(true, "");
    let matrix = |from: usize, index: i64| Matrix {
        series: (from..from + 400)
            .map(|own| SeriesSamples {
                labels: labels(own),
                samples: vec![(index * MINUTE, 1.0)],
            })
            .collect(),
        ..Matrix::default()
    };
    unit.ingest(&matrix(0, 0));
    unit.restart(MINUTE);
    for index in 1..10 {
        let from = 150 * index as usize;
        unit.ingest(&matrix(from, index));
        let outcome = unit.advance(index * MINUTE, Mode::Publish);
        assert_eq!((outcome.counts.series, outcome.counts.refused), (400, 0));
        assert_eq!(outcome.counts.valued, 400);
        let judged: usize = outcome.groups.iter().map(|group| group.judged).sum();
        assert!(judged <= 400);
        let mut known: Vec<&Labels> = unit
            .shards
            .iter()
            .flat_map(|shard| shard.members.iter().flatten())
            .map(|member| &member.labels)
            .collect();
        known.sort();
        assert_eq!(
            known[0],
            &labels((from..from + 400).min_by_key(|&own| labels(own)).unwrap())
        );
    }
    // All have a sample now: for more there is no room.
    unit.ingest(&matrix(9_000, 9));
    assert_eq!(unit.advance(10 * MINUTE, Mode::Publish).counts.refused, 400);
}
