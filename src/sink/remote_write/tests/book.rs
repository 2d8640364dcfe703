//! Which samples come of an evaluation, in what order, and what of them is in records.

use super::{
    super::{
        book::{Book, Due, External, Reading, Shown},
        record::{Record, records, request},
        settings::Protocol,
    },
    chunk, outcome,
};
use crate::{
    expo::{
        Chunk,
        wire::{
            Unpacker,
            write::{Item, Limits, Reader},
        },
    },
    series::Millis,
};
use std::sync::Arc;

const STEP: Millis = 60_000;

fn reading(unit: &str, at: Millis, chunks: Vec<Chunk>) -> Reading {
    Reading {
        unit: unit.into(),
        at,
        step: Some(STEP),
        shown: Shown::Unit(outcome(unit, at, chunks)),
    }
}

fn score(paths: &[&str]) -> Chunk {
    let labels: Vec<[(&str, &str); 1]> = paths.iter().map(|path| [("path", *path)]).collect();
    let series: Vec<(&[(&str, &str)], f64)> = labels
        .iter()
        .map(|labels| (labels.as_slice(), 0.5))
        .collect();
    chunk("anomaly_score", &series)
}

/// What is to be sent, as text; `!` stands for the end of a series.
fn said(due: &[Due]) -> Vec<String> {
    let one = |due: &Due| {
        let value = match due.point.is_stale() {
            true => "!".to_owned(),
            false => due.point.value.to_string(),
        };
        let labels = due.series.labels.as_str();
        format!("{}{{{labels}}} {value} {}", due.series.name, due.point.at)
    };
    due.iter().map(one).collect()
}

#[test]
fn each_evaluation_is_told_once_and_what_is_not_shown_any_more_ends_once() {
    let mut book = Book::default();
    let first = [reading("load", STEP, vec![score(&["/a", "/b"])])];
    assert!(book.has_news(&first));
    assert_eq!(
        said(&book.look(&first, STEP)),
        [
            "anomaly_score{path=\"/a\"} 0.5 60000",
            "anomaly_score{path=\"/b\"} 0.5 60000"
        ]
    );
    assert!(!book.has_news(&first));
    assert!(book.look(&first, 2 * STEP).is_empty(), "it is no news");
    let second = [reading("load", 2 * STEP, vec![score(&["/b"])])];
    assert_eq!(
        said(&book.look(&second, 2 * STEP)),
        [
            "anomaly_score{path=\"/b\"} 0.5 120000",
            "anomaly_score{path=\"/a\"} ! 120000"
        ]
    );
    let third = [reading("load", 3 * STEP, vec![score(&["/b"])])];
    assert_eq!(said(&book.look(&third, 3 * STEP)).len(), 1);
}

#[test]
fn a_unit_that_shows_nothing_ends_before_anything_that_may_still_come() {
    let shown = |at| [reading("load", at, vec![score(&["/a"])])];
    for (now, ended) in [
        (7 * STEP, 2 * STEP - 1),
        (STEP + 9, STEP + 9),
        (5, STEP + 1),
    ] {
        let mut book = Book::default();
        book.look(&shown(STEP), STEP);
        assert!(book.has_news(&[]));
        let wanted = format!("anomaly_score{{path=\"/a\"}} ! {ended}");
        assert_eq!(said(&book.look(&[], now)), [wanted]);
        assert!(!book.has_news(&[]) && book.look(&[], now).is_empty());
        // The same evaluation is not told again: that would be before the end.
        assert!(book.look(&shown(STEP), now).is_empty());
        assert_eq!(said(&book.look(&shown(2 * STEP), now)).len(), 1);
    }
}

#[test]
fn who_takes_the_place_of_a_killed_process_tells_nothing_again_and_nothing_older() {
    let shown = |at| [reading("load", at, vec![score(&["/a"])])];
    let mut former = Book::default();
    former.look(&shown(10 * STEP), 10 * STEP);
    let mut book = Book::default();
    book.inherit(former.reached());
    for at in [9 * STEP, 10 * STEP] {
        assert!(!book.has_news(&shown(at)), "{at}");
        assert!(book.look(&shown(at), at).is_empty(), "{at}");
    }
    assert_eq!(book.reached(), former.reached(), "one that is killed too");
    assert_eq!(said(&book.look(&shown(11 * STEP), 11 * STEP)).len(), 1);
    assert!(book.reached() > former.reached());
    // An end is a sample as well.
    former.look(&[], 10 * STEP + 7);
    assert_eq!(
        former.reached().values().copied().max(),
        Some(10 * STEP + 7)
    );
    // A clock that was set back is not waited for.
    let mut book = Book::default();
    book.inherit(former.reached());
    assert_eq!(said(&book.look(&shown(STEP), STEP)).len(), 1);
}

#[test]
fn of_units_with_the_same_series_the_first_has_it_until_it_shows_it_no_more() {
    let mut book = Book::default();
    let both = |at, of_one: &[&str]| {
        let one = reading("one", at, vec![score(of_one)]);
        let twice = score(&["/a", "/a", "/c"]);
        [one, reading("two", at, vec![twice])]
    };
    assert_eq!(
        said(&book.look(&both(STEP, &["/a"]), STEP)),
        [
            "anomaly_score{path=\"/a\"} 0.5 60000",
            "anomaly_score{path=\"/c\"} 0.5 60000"
        ]
    );
    let due = book.look(&both(2 * STEP, &["/b"]), 2 * STEP);
    assert_eq!(
        said(&due)[..2],
        [
            "anomaly_score{path=\"/b\"} 0.5 120000",
            "anomaly_score{path=\"/a\"} ! 120000"
        ]
    );
    let due = book.look(&both(3 * STEP, &["/b"]), 3 * STEP);
    let again = "anomaly_score{path=\"/a\"} 0.5 180000".to_owned();
    assert!(said(&due).contains(&again), "{:?}", said(&due));
}

/// These external labels.
fn external(labels: &[(&str, &str)]) -> Arc<External> {
    let labels = labels.iter();
    let labels = labels.map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Arc::new(labels.collect())
}

#[test]
fn with_other_external_labels_every_series_is_another_and_ends_as_it_was_told() {
    let (eu, us) = (
        external(&[("cluster", "eu")]),
        external(&[("cluster", "us")]),
    );
    let shown = |unit, at| reading(unit, at, vec![score(&[unit])]);
    let labels = |due: &[Due]| -> Vec<Vec<String>> {
        let records = records(due, 1, 1);
        let requests = records[0]
            .iter()
            .map(|record| request(std::slice::from_ref(record), Protocol::V1).unwrap());
        requests
            .map(|request| series(&request, Protocol::V1))
            .collect()
    };
    let of = |unit: &str, cluster: &str| {
        vec![format!(
            "anomaly_score [(\"cluster\", {cluster:?}), (\"path\", {unit:?})]"
        )]
    };
    let mut book = Book::default();
    book.set_external(&eu);
    let first = book.look(&[shown("a", STEP), shown("b", STEP)], STEP);
    assert_eq!(labels(&first), [of("a", "eu"), of("b", "eu")]);
    book.set_external(&us);
    let due = book.look(&[shown("a", 2 * STEP), shown("b", STEP)], 2 * STEP);
    assert_eq!(labels(&due), [of("a", "us"), of("a", "eu")]);
    assert!(!due[0].point.is_stale() && due[1].point.is_stale());
    let due = book.look(&[], 2 * STEP + 1);
    assert_eq!(labels(&due), [of("a", "us"), of("b", "eu")], "b as it was");
    assert!(due.iter().all(|due| due.point.is_stale()));
}

/// The series of a request, as text.
fn series(packed: &[u8], protocol: Protocol) -> Vec<String> {
    let mut unpacker = Unpacker::new();
    let body = unpacker.unpack(packed, 1 << 24).unwrap();
    let mut reader = Reader::new(body, protocol.version(), Limits::default());
    let mut found = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        let Item::Series(series) = item else {
            panic!("{item:?}");
        };
        found.push(format!("{} {:?}", series.name, series.labels));
    }
    found
}

#[test]
fn records_have_every_series_once_each_in_its_shard_and_make_one_request_again() {
    let names: Vec<String> = (0..250).map(|number| format!("/{number}")).collect();
    let paths: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut book = Book::default();
    book.set_external(&external(&[("cluster", "eu"), ("path", "never")]));
    let due = |at| reading("load", at, vec![score(&paths)]);
    let first = records(&book.look(&[due(STEP)], STEP), 4, 20);
    let second = records(&book.look(&[due(2 * STEP)], STEP), 4, 20);
    let mut all = Vec::new();
    for (one, other) in first.iter().zip(&second) {
        let counts = |records: &[Record]| -> Vec<usize> {
            records.iter().map(|record| record.samples).collect()
        };
        assert_eq!(counts(one), counts(other));
        assert!(one.len() > 1 && counts(one).iter().all(|&samples| samples <= 20));
        assert!(one.iter().all(|record| record.newest == STEP));
        let request =
            |records: &[Record], protocol| series(&request(records, protocol).unwrap(), protocol);
        let whole = request(one, Protocol::V1);
        assert_eq!(whole, request(other, Protocol::V1), "the same shard");
        assert_eq!(whole, request(one, Protocol::V2));
        assert_eq!(whole[..20], request(&one[..1], Protocol::V1));
        all.extend(whole);
    }
    all.sort();
    let labels =
        |path: &str| format!("anomaly_score [(\"cluster\", \"eu\"), (\"path\", {path:?})]");
    let mut wanted: Vec<String> = names.iter().map(|name| labels(name)).collect();
    wanted.sort();
    assert_eq!(all, wanted);
}
