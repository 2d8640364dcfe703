//! Values in columns are those of ranges, whatever comes and goes.

use super::{many::share, *};
use crate::{
    series::Span,
    source::{Known, Source, Table, TableRequest},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Who asks again and again, and remembers the labels of rows.
#[derive(Default)]
struct Asker {
    known: Option<Known>,
    labels: Vec<Labels>,
    /// How often rows got other numbers.
    renewed: usize,
}

impl Asker {
    fn ask(&mut self, hub: &Arc<Hub>, range: &RangeRequest) -> Table {
        let request = TableRequest {
            range: range.clone(),
            known: self.known,
        };
        let source = LocalSource::new("pushed", Arc::clone(hub));
        let table = source.table(&request).unwrap();
        if self.known.is_some_and(|known| known.key != table.key) {
            self.renewed += 1;
            assert_eq!(table.first_label, 0);
        }
        self.labels.truncate(table.first_label);
        assert_eq!(self.labels.len(), table.first_label);
        self.labels.extend(table.labels.iter().cloned());
        assert_eq!(self.labels.len(), table.rows);
        self.known = Some(Known {
            key: table.key,
            rows: table.rows,
        });
        table
    }

    /// What a table says, by labels.
    fn series(&self, table: &Table) -> BTreeMap<Labels, Vec<(Millis, f64)>> {
        let mut found: BTreeMap<Labels, Vec<(Millis, f64)>> = BTreeMap::new();
        for (at, values) in table.columns() {
            for (labels, value) in self.labels.iter().zip(values) {
                if !value.is_nan() {
                    let series = found.entry(labels.clone()).or_default();
                    series.push((at, f64::from(*value)));
                }
            }
        }
        found
    }
}

fn range(query: &str, start: Millis, end: Millis, max_series: usize) -> RangeRequest {
    RangeRequest {
        query: query.to_owned(),
        start,
        end,
        step: STEP,
        max_series,
        share: Share::ALL,
    }
}

fn by_labels(matrix: Matrix) -> BTreeMap<Labels, Vec<(Millis, f64)>> {
    let series = matrix.series.into_iter();
    series.map(|one| (one.labels, one.samples)).collect()
}

fn choices() -> Vec<Subscription> {
    let sum = Aggregate::SumBy(vec!["half".to_owned()]);
    let shapes = [
        (Reading::Gauge, None, None, 3),
        (Reading::Gauge, None, None, 600),
        (Reading::Gauge, None, Some(sum.clone()), 20),
        (Reading::Rate, Some(Span::minutes(2)), None, 5),
        (Reading::Increase, Some(Span::minutes(3)), Some(sum), 5),
    ];
    let all = shapes.map(|(reading, window, aggregate, history)| Subscription {
        selection: Selection::new("load", reading, window, aggregate).unwrap(),
        grid: Grid::new(STEP).unwrap(),
        history,
        max_series: 100,
        share: Share::ALL,
    });
    all.to_vec()
}

/// A sample: series, seconds of the clock since the one before, seconds that it is late, value.
type Sent = (u8, i64, i64, f64);

fn sent() -> impl Strategy<Value = Sent> {
    let value = prop_oneof![
        8 => (0..50_i32).prop_map(f64::from),
        1 => Just(STALE_NAN),
        1 => any::<f64>(),
    ];
    let late = prop_oneof![4 => Just(0_i64), 1 => 0..400_i64];
    (0..12_u8, 0..40_i64, late, value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn columns_are_ranges(
        choice in 0..5_usize,
        shard in prop::option::of(0..3_u32),
        parts in prop::collection::vec((prop::collection::vec(sent(), 1..40), 0..30_i64, 0..6_i64), 1..8),
    ) {
        let subscription = choices().swap_remove(choice);
        let hub = Arc::<Hub>::default();
        hub.subscribe(subscription.clone(), None);
        let mut asker = Asker::default();
        let mut now = START;
        // Of each part other series go on: those of the ones before are forgotten.
        for (part, (samples, pause, columns)) in parts.into_iter().enumerate() {
            for (series, later, late, value) in samples {
                now += later * 1_000;
                let half = (series % 2).to_string();
                let name = format!("{}-{series}", part / 2);
                let labels = Labels::new([("pod", name), ("half", half)]).unwrap();
                let route = hub.route("load", &labels, now);
                hub.take(&[(route, now - late * 1_000, value)], now);
            }
            now += pause * 60_000;
            hub.tidy(now);
            let end = Grid::new(STEP).unwrap().floor(now);
            let range = RangeRequest {
                share: shard.map_or(Share::ALL, |index| share(index, 3)),
                ..range(subscription.selection.text(), end - columns * STEP, end, 100)
            };
            let table = asker.ask(&hub, &range);
            prop_assert_eq!(table.values.len(), table.rows * (columns + 1) as usize);
            let source = LocalSource::new("pushed", Arc::clone(&hub));
            let matrix = source.answer(&range).unwrap();
            prop_assert_eq!((table.dropped, table.foreign), (matrix.dropped, matrix.foreign));
            prop_assert_eq!(asker.series(&table), by_labels(matrix));
        }
    }
}

#[test]
fn rows_stay_until_an_eighth_of_them_is_gone() {
    let hub = Arc::<Hub>::default();
    let shape = Subscription {
        history: 3,
        max_series: 1_000,
        ..subscription("load")
    };
    hub.subscribe(shape, None);
    let names: Vec<String> = (0..80).map(|n| n.to_string()).collect();
    let mut asker = Asker::default();
    let mut rows = Vec::new();
    for minute in 0..120 {
        let at = START + minute * STEP;
        // Every two minutes one ends, and another one begins.
        let first = (minute / 2) as usize;
        for name in (first..first + 20).filter_map(|n| names.get(n)) {
            take(&hub, "load", &pod(name), at, 1.0);
        }
        hub.tidy(at);
        let table = asker.ask(&hub, &range("load", at, at, 1_000));
        rows.push(table.rows);
        assert!(asker.series(&table).len() >= 20);
    }
    assert!((10..40).contains(&asker.renewed), "{}", asker.renewed);
    assert!(rows.iter().all(|rows| *rows <= 36), "{rows:?}");
}

#[test]
fn of_more_rows_than_asked_for_the_first_are_given() {
    let hub = hub(&["load"]);
    for n in (0..8).rev() {
        take(&hub, "load", &pod(&n.to_string()), START, f64::from(n));
    }
    let mut asker = Asker::default();
    let table = asker.ask(&hub, &range("load", START, START, 5));
    assert_eq!((table.rows, table.dropped), (8, 3));
    let values: Vec<f32> = table.values[..5].to_vec();
    assert_eq!(values, [7.0, 6.0, 5.0, 4.0, 3.0]);
    assert!(table.values[5..].iter().all(|value| value.is_nan()));
}

#[test]
fn what_is_no_range_of_the_grid_is_not_answered_in_columns() {
    let hub = hub(&["load"]);
    take(&hub, "load", &pod("a"), START, 1.0);
    let source = LocalSource::new("pushed", Arc::clone(&hub));
    let ask = |range: RangeRequest| source.table(&TableRequest { range, known: None });
    assert!(ask(range("load", START, START, 5)).is_some());
    assert!(ask(range("heat", START, START, 5)).is_none());
    assert!(ask(range("load", START + 1, START + 1, 5)).is_none());
    assert!(ask(range("load", START, START - STEP, 5)).is_none());
    let step = RangeRequest {
        step: 2 * STEP,
        ..range("load", START, START, 5)
    };
    assert!(ask(step).is_none());
}

#[test]
fn of_what_is_divided_the_own_share_is_given_and_no_less() {
    let part = |index| Share::of(Cut::Series, Shard::new(index, 3).unwrap());
    let subscribe = |share: Share| {
        let hub = Arc::<Hub>::default();
        let shape = Subscription {
            share,
            max_series: 100,
            ..subscription("load")
        };
        hub.subscribe(shape, None);
        for n in 0..30 {
            take(&hub, "load", &pod(&n.to_string()), START, f64::from(n));
        }
        hub
    };
    let request = |share: Share| RangeRequest {
        share,
        ..range("load", START, START, 100)
    };
    let mut all = 0;
    for index in 0..3 {
        let (hub, range) = (subscribe(part(index)), request(part(index)));
        let mut asker = Asker::default();
        let table = asker.ask(&hub, &range);
        let source = LocalSource::new("pushed", Arc::clone(&hub));
        assert_eq!(
            asker.series(&table),
            by_labels(source.answer(&range).unwrap())
        );
        all += table.rows;
    }
    assert_eq!(all, 30);
    // Two signals that select the same may carry different parts of it.
    let (hub, range) = (subscribe(Share::ALL), request(part(0)));
    let mut asker = Asker::default();
    let table = asker.ask(&hub, &range);
    let source = LocalSource::new("pushed", Arc::clone(&hub));
    let listed = source.answer(&range).unwrap();
    assert_eq!((table.rows, table.foreign), (30, listed.foreign));
    assert_eq!(asker.series(&table), by_labels(listed));
}

#[test]
fn another_recorder_of_the_same_selection_has_other_rows() {
    let hub = hub(&["load"]);
    take(&hub, "load", &pod("a"), START, 1.0);
    let mut asker = Asker::default();
    asker.ask(&hub, &range("load", START, START, 5));
    hub.retain(&[]);
    hub.subscribe(subscription("load"), None);
    take(&hub, "load", &pod("b"), START, 1.0);
    let table = asker.ask(&hub, &range("load", START, START, 5));
    assert_eq!((asker.renewed, &table.labels[..]), (1, &[pod("b")][..]));
}
