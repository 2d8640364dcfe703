//! Recorders as a whole: samples in, values on the grid out, a snapshot between.

mod wide;

use super::*;
use crate::series::{Grid, Labels, Millis, Share, Span};
use prost::Message;

const STEP: Millis = 60_000;
/// A grid time.
const START: Millis = 1_000_000 * STEP;

fn shape(select: &str, reading: Reading, aggregate: Option<Aggregate>) -> Shape {
    Shape {
        selection: Selection::new(select, reading, None, aggregate).unwrap(),
        grid: Grid::new(STEP).unwrap(),
        history: 10_000,
        max_series: 100,
        share: Share::ALL,
    }
}

fn gauge() -> Recorder {
    Recorder::new(shape("load", Reading::Gauge, None))
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied()).unwrap()
}

fn pod(name: &str) -> Labels {
    labels(&[("pod", name)])
}

fn admit(recorder: &mut Recorder, name: &str, labels: &Labels) -> u32 {
    recorder.admit(name, labels, START).unwrap().unwrap()
}

/// The values from grid time to grid time, counted from the start.
fn values(recorder: &mut Recorder, first: i64, last: i64) -> Vec<(String, Vec<(i64, f64)>)> {
    let mut found = Vec::new();
    let left_out = recorder.range(
        (START + first * STEP, START + last * STEP),
        (100, &Share::ALL),
        |labels, samples| {
            let steps = samples
                .into_iter()
                .map(|(at, value)| ((at - START) / STEP, value));
            found.push((labels.to_string(), steps.collect()));
        },
    );
    assert_eq!(left_out, LeftOut::default());
    found
}

fn one(recorder: &mut Recorder, first: i64, last: i64) -> Vec<(i64, f64)> {
    let mut all = values(recorder, first, last);
    assert!(all.len() < 2, "{all:?}");
    all.pop().map_or_else(Vec::new, |(_, samples)| samples)
}

#[test]
fn a_gauge_has_the_first_sample_of_each_step() {
    let mut recorder = gauge();
    let place = admit(&mut recorder, "load", &pod("a"));
    for n in 0..20 {
        let at = START + 7_000 + n * 15_000;
        assert_eq!(recorder.take(place, at, n as f64, at), Verdict::Stored);
    }
    assert_eq!(
        one(&mut recorder, 0, 4),
        [(0, 0.0), (1, 4.0), (2, 8.0), (3, 12.0), (4, 16.0)]
    );
    assert_eq!(one(&mut recorder, 3, 3), [(3, 12.0)]);
}

#[test]
fn what_is_not_selected_has_no_place() {
    let mut recorder = Recorder::new(shape("load{pod!=\"b\"}", Reading::Gauge, None));
    assert_eq!(recorder.admit("load", &pod("b"), START), Ok(None));
    assert_eq!(recorder.admit("loads", &pod("a"), START), Ok(None));
    assert_eq!(recorder.admit("load", &pod("a"), START), Ok(Some(0)));
    assert_eq!(recorder.members(), 1);
}

#[test]
fn there_is_an_end_to_series() {
    let mut recorder = gauge();
    for n in 0..100 {
        admit(&mut recorder, "load", &pod(&n.to_string()));
    }
    assert_eq!(recorder.admit("load", &pod("x"), START), Err(Full));
}

#[test]
fn a_step_is_complete_when_everybody_who_is_expected_has_come() {
    let mut recorder = gauge();
    let (a, b) = (
        admit(&mut recorder, "load", &pod("a")),
        admit(&mut recorder, "load", &pod("b")),
    );
    assert_eq!(recorder.complete(), None);
    let take = |recorder: &mut Recorder, place, second: i64, value| {
        let at = START + second * 1_000;
        recorder.take(place, at, value, at);
        recorder.complete().map(|at| (at - START) / STEP)
    };
    assert_eq!(
        take(&mut recorder, a, 1, 1.0),
        None,
        "nobody knows who else will come"
    );
    assert_eq!(take(&mut recorder, b, 2, 1.0), None);
    assert_eq!(take(&mut recorder, a, 61, 1.0), None);
    assert_eq!(
        take(&mut recorder, a, 76, 1.0),
        None,
        "the same series again"
    );
    assert_eq!(take(&mut recorder, b, 77, 1.0), Some(1));
    assert_eq!(take(&mut recorder, a, 121, 1.0), None);
    assert_eq!(
        take(&mut recorder, b, 122, STALE_NAN),
        Some(2),
        "b will not come"
    );
    assert_eq!(take(&mut recorder, b, 185, 1.0), None, "b came back");
    assert_eq!(take(&mut recorder, a, 186, 1.0), Some(3));
}

#[test]
fn who_is_silent_is_not_waited_for_and_forgotten_later() {
    let mut recorder = gauge();
    let (a, b) = (
        admit(&mut recorder, "load", &pod("a")),
        admit(&mut recorder, "load", &pod("b")),
    );
    for place in [a, b] {
        recorder.take(place, START, 1.0, START);
    }
    let mut now = START;
    for minute in 1..=30 {
        now = START + minute * STEP;
        recorder.take(a, now, 1.0, now);
        let gone = recorder.tidy(now);
        assert_eq!(recorder.complete().is_some(), minute > 5, "{minute}");
        assert_eq!(gone.is_empty(), minute != 16, "{minute}: {gone:?}");
    }
    assert_eq!(recorder.members(), 1);
    assert_eq!(
        recorder.take(b, now, 1.0, now),
        Verdict::Old,
        "its place is no more"
    );
    assert_eq!(
        values(&mut recorder, 0, 30).len(),
        2,
        "what it was is still known"
    );
}

#[test]
fn several_become_one() {
    let check = |aggregate: fn(Vec<String>) -> Aggregate, expected: f64| {
        let by = Some(aggregate(vec!["job".to_owned()]));
        let mut recorder = Recorder::new(shape("load", Reading::Gauge, by));
        for (pod, value) in [("a", 1.0), ("b", 2.0), ("c", 6.0)] {
            let place = admit(
                &mut recorder,
                "load",
                &labels(&[("job", "x"), ("pod", pod)]),
            );
            recorder.take(place, START + 1, value, START + 1);
        }
        assert_eq!(
            values(&mut recorder, 0, 0),
            [("{job=\"x\"}".to_owned(), vec![(0, expected)])]
        );
        let instant = recorder.instant(START + 5);
        assert_eq!(instant, [(labels(&[("job", "x")]), expected)]);
    };
    check(Aggregate::SumBy, 9.0);
    check(Aggregate::AvgBy, 3.0);
    check(Aggregate::MinBy, 1.0);
    check(Aggregate::MaxBy, 6.0);
    check(Aggregate::CountBy, 3.0);
}

#[test]
fn a_sum_of_rates_survives_restarts_of_counters() {
    let by = Some(Aggregate::SumBy(vec![]));
    let mut recorder = Recorder::new(shape("requests_total", Reading::Rate, by));
    let places = ["a", "b"].map(|name| admit(&mut recorder, "requests_total", &pod(name)));
    for second in (0..600).step_by(15) {
        let at = START + second * 1_000;
        let restarted = if second >= 300 { 300 } else { 0 };
        recorder.take(places[0], at, (2 * second) as f64, at);
        recorder.take(places[1], at, (4 * (second - restarted)) as f64, at);
    }
    let found = one(&mut recorder, 3, 9);
    assert_eq!(found.len(), 7);
    for (step, rate) in found {
        // What was counted between the last sample and the restart is lost: 4 a second for 15 s of 120 s at most.
        assert!((5.4..6.01).contains(&rate), "{step}: {rate}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let mut recorder = gauge();
    let place = admit(&mut recorder, "load", &pod("a"));
    let now = START + 3_600_000;
    let mut take = |at: Millis, value: f64| recorder.take(place, at, value, now);
    assert_eq!(take(now, 1.0), Verdict::Stored);
    assert_eq!(take(now, 1.0), Verdict::Duplicate);
    assert_eq!(take(now, 2.0), Verdict::Conflict);
    assert_eq!(take(now + 1, f64::NAN), Verdict::NotFinite);
    assert_eq!(take(now + 1, f64::INFINITY), Verdict::NotFinite);
    assert_eq!(take(now + 86_400_000, 1.0), Verdict::Ahead);
    assert_eq!(
        take(now - 86_400_000, 1.0),
        Verdict::Old,
        "others are further"
    );
    assert_eq!(take(Millis::MAX, 1.0), Verdict::Ahead);
    assert_eq!(take(Millis::MIN, 1.0), Verdict::Old);
    assert_eq!(
        take(now - 60_000, 1.0),
        Verdict::Stored,
        "late, but not too late"
    );
    assert_eq!(recorder.take(99, now, 1.0, now), Verdict::Old);
}

#[test]
fn a_late_sample_changes_what_was_computed() {
    let mut recorder = gauge();
    let place = admit(&mut recorder, "load", &pod("a"));
    recorder.take(place, START, 1.0, START);
    let now = START + 2 * STEP;
    recorder.take(place, now, 3.0, now);
    assert_eq!(
        one(&mut recorder, 0, 2),
        [(0, 1.0), (1, 1.0), (2, 3.0)],
        "looked back"
    );
    recorder.take(place, START + STEP + 5, 2.0, now);
    assert_eq!(one(&mut recorder, 0, 2), [(0, 1.0), (1, 2.0), (2, 3.0)]);
}

#[test]
fn a_sender_that_was_away_sends_what_it_missed() {
    let mut recorder = gauge();
    let place = admit(&mut recorder, "load", &pod("a"));
    recorder.take(place, START, 0.0, START);
    let now = START + 600 * STEP;
    assert_eq!(one(&mut recorder, 590, 600), [], "asked meanwhile");
    for n in 1..2_400 {
        let at = START + n * 15_000;
        assert_eq!(
            recorder.take(place, at, n as f64, now),
            Verdict::Stored,
            "{n}"
        );
    }
    let expected: Vec<_> = (0..600).map(|step| (step, (step * 4) as f64)).collect();
    assert_eq!(one(&mut recorder, 0, 599), expected);
}

#[test]
fn a_clock_that_is_ahead_makes_nobody_wait() {
    let mut recorder = gauge();
    let (a, b) = (
        admit(&mut recorder, "load", &pod("a")),
        admit(&mut recorder, "load", &pod("b")),
    );
    recorder.take(a, START - STEP, 1.0, START - STEP);
    recorder.take(a, START, 1.0, START);
    recorder.take(b, START + 300_000, 1.0, START);
    assert_eq!(recorder.complete(), Some(START));
}

#[test]
fn a_clock_that_was_ahead_and_is_set_back_goes_on_at_once() {
    let mut recorder = gauge();
    let place = admit(&mut recorder, "load", &pod("a"));
    for step in 0..600 {
        let at = START + step * STEP;
        recorder.take(place, at, 1.0, at);
        recorder.compute_until(at / STEP);
    }
    let now = START + 100 * STEP + 1;
    assert_eq!(recorder.take(place, now, 2.0, now), Verdict::Stored);
    assert_eq!(one(&mut recorder, 100, 100), [(100, 2.0)]);
    let next = now + STEP;
    assert_eq!(recorder.take(place, next, 3.0, next), Verdict::Stored);
    assert_eq!(recorder.complete(), Some(START + 101 * STEP));
    assert_eq!(one(&mut recorder, 100, 101), [(100, 2.0), (101, 3.0)]);
    let bytes = Image::of(&recorder).encode_to_vec();
    let image = Image::decode(bytes.as_slice()).unwrap();
    let mut again = image
        .restore(recorder.shape().clone(), START + 50 * STEP)
        .unwrap();
    let at = START + 50 * STEP;
    assert_eq!(again.take(0, at, 4.0, at), Verdict::Stored);
    assert_eq!(one(&mut again, 50, 50), [(50, 4.0)]);
    assert_eq!(one(&mut again, 55, 600), []);
}

#[test]
fn who_was_there_first_is_told_where_there_are_more_than_asked_for() {
    let mut recorder = gauge();
    for name in ["y", "x", "d", "c", "b", "a"] {
        let place = admit(&mut recorder, "load", &pod(name));
        recorder.take(place, START, 1.0, START);
    }
    let mut told = Vec::new();
    let left_out = recorder.range((START, START), (3, &Share::ALL), |labels, _| {
        told.push(labels.clone());
    });
    assert_eq!(told, [pod("d"), pod("x"), pod("y")]);
    assert_eq!((left_out.over, left_out.foreign), (3, 0));
    // One that is no more makes room for the next.
    recorder.take(1, START + STEP, STALE_NAN, START + STEP);
    for place in [0, 2, 3, 4, 5] {
        recorder.take(place, START + STEP, 1.0, START + STEP);
    }
    let next = START + STEP;
    let mut told = Vec::new();
    let left_out = recorder.range((next, next), (3, &Share::ALL), |labels, _| {
        told.push(labels.clone());
    });
    assert_eq!(told, [pod("c"), pod("d"), pod("y")]);
    assert_eq!(left_out.over, 2);
    // Of a longer past too: who asks has its places for those that are there.
    let mut told = Vec::new();
    let left_out = recorder.range((START, next), (3, &Share::ALL), |labels, _| {
        told.push(labels.clone());
    });
    assert_eq!(told, [pod("c"), pod("d"), pod("y")]);
    assert_eq!(left_out.over, 3);
    let at_once: Vec<Labels> = recorder
        .instant(next)
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(at_once, ["y", "d", "c", "b", "a"].map(pod));
}

#[test]
fn a_clock_that_was_a_day_ahead_leaves_neither_holes_nor_a_lie() {
    let mut recorder = gauge();
    let place = admit(&mut recorder, "load", &pod("a"));
    recorder.take(place, START, 1.0, START);
    // A sample comes every second step, from a sender that is right.
    let (now, ahead) = (START + 2 * STEP, START + 86_400_000);
    recorder.take(place, now, 2.0, ahead);
    recorder.compute_until(ahead / STEP - 1);
    assert!(recorder.tidy(ahead).is_empty());
    for step in [4, 6, 8] {
        let at = START + step * STEP;
        recorder.take(place, at, step as f64, at);
        recorder.compute_until(at / STEP);
        recorder.compute_until(at / STEP + 1);
    }
    let known: Vec<i64> = one(&mut recorder, 4, 9)
        .iter()
        .map(|(step, _)| *step)
        .collect();
    assert_eq!(known, [4, 5, 6, 7, 8, 9]);
    let newest = Image::of(&recorder).newest().unwrap();
    assert!(newest <= START + 9 * STEP, "{newest}");
}

#[test]
fn a_late_sample_does_not_spoil_what_was_computed_long_before() {
    let mut recorder = Recorder::new(shape("x", Reading::Rate, None));
    let (a, b) = (
        admit(&mut recorder, "x", &pod("a")),
        admit(&mut recorder, "x", &pod("b")),
    );
    for n in 0..400 {
        let at = START + n * 15_000;
        recorder.take(a, at, (n * 30) as f64, at);
        recorder.compute_until(at / STEP);
    }
    let now = START + 400 * 15_000;
    let before = values(&mut recorder, 1, 99);
    assert_eq!(recorder.take(b, now - 400_000, 1.0, now), Verdict::Stored);
    recorder.take(a, now, 12_000.0, now);
    assert_eq!(values(&mut recorder, 1, 99), before);
}

#[test]
fn who_has_gone_silent_makes_a_sum_unknown_and_not_smaller() {
    let mut recorder = Recorder::new(shape(
        "load",
        Reading::Gauge,
        Some(Aggregate::SumBy(vec![])),
    ));
    let (a, b) = (
        admit(&mut recorder, "load", &pod("a")),
        admit(&mut recorder, "load", &pod("b")),
    );
    let mut sum = |minute: i64, silent: bool| {
        let at = START + minute * STEP;
        recorder.take(a, at, 1.0, at);
        if !silent {
            recorder.take(b, at, 2.0, at);
        }
        recorder.tidy(at);
        recorder.instant(at).first().map(|(_, value)| *value)
    };
    assert_eq!(sum(0, false), Some(3.0));
    assert_eq!(sum(4, true), Some(3.0), "as PromQL looks back");
    for minute in 5..=14 {
        assert_eq!(sum(minute, true), None, "{minute}");
    }
    assert_eq!(sum(16, true), Some(1.0), "it was forgotten");
    assert_eq!(sum(17, true), Some(1.0));
}

#[test]
fn one_of_many_that_ends_without_a_word_does_not_make_the_sum_unknown() {
    let mut recorder = Recorder::new(shape(
        "load",
        Reading::Gauge,
        Some(Aggregate::SumBy(vec![])),
    ));
    let names = ["a", "b", "c", "d", "e"];
    let places = names.map(|name| admit(&mut recorder, "load", &pod(name)));
    for (place, minutes) in places.into_iter().zip([10, 10, 10, 0, 0]) {
        for minute in 0..=minutes {
            let at = START + minute * STEP;
            recorder.take(place, at, 1.0, at);
        }
    }
    let now = START + 10 * STEP;
    assert_eq!(recorder.instant(now), [(Labels::default(), 3.0)]);
}

#[test]
fn a_snapshot_goes_on_where_it_was_taken() {
    let by = || Some(Aggregate::SumBy(vec!["job".to_owned()]));
    let shape = shape("requests_total", Reading::Rate, by());
    let mut whole = Recorder::new(shape.clone());
    let feed = |recorder: &mut Recorder, from: i64, to: i64| {
        for n in from..to {
            let at = START + n * 15_000;
            for (pod, speed) in [("a", 3), ("b", 4)] {
                let labels = labels(&[("job", "x"), ("pod", pod)]);
                let place = recorder
                    .places()
                    .find_map(|(place, _, own)| (*own == labels).then_some(place));
                let place = place.unwrap_or_else(|| admit(recorder, "requests_total", &labels));
                recorder.take(place, at, (n * speed * (1 + n / 500)) as f64, at);
            }
            recorder.compute_until(at / STEP);
        }
    };
    feed(&mut whole, 0, 3_000);
    let bytes = Image::of(&whole).encode_to_vec();
    let now = START + 3_000 * 15_000;
    let image = Image::decode(bytes.as_slice()).unwrap();
    assert_eq!(image.selection, shape.selection.text());
    assert_eq!(image.newest(), Some(now - 15_000));
    let mut again = image.restore(shape, now).unwrap();
    for recorder in [&mut whole, &mut again] {
        feed(recorder, 3_000, 3_100);
    }
    let (one, other) = (one(&mut whole, 0, 775), one(&mut again, 0, 775));
    assert_eq!(one, other);
    assert_eq!(one.len(), 775, "the first step has one sample only");
}

#[test]
fn a_broken_snapshot_is_refused_with_what_is_broken() {
    let mut recorder = gauge();
    let place = admit(&mut recorder, "load", &pod("a"));
    for n in 0..2_000 {
        let at = START + n * STEP;
        recorder.take(place, at, n as f64, at);
        recorder.compute_until(at / STEP);
    }
    let shape = recorder.shape().clone();
    let bytes = Image::of(&recorder).encode_to_vec();
    assert!(Image::decode(&bytes[..bytes.len() / 2]).is_err());
    let mut refused = 0;
    for place in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[place] ^= 0x55;
        // Whatever it becomes, nothing panics; the checksum of the file is what notices the rest.
        if let Ok(image) = Image::decode(broken.as_slice()) {
            refused += usize::from(image.restore(shape.clone(), START + 2_000 * STEP).is_err());
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_window_of_a_signal_may_be_longer_than_what_promql_looks_back() {
    let selection = Selection::new("x", Reading::Increase, Some(Span::minutes(30)), None).unwrap();
    let mut recorder = Recorder::new(Shape {
        selection,
        ..shape("x", Reading::Gauge, None)
    });
    let place = admit(&mut recorder, "x", &pod("a"));
    for minute in 0..=60 {
        let at = START + minute * STEP;
        recorder.take(place, at, minute as f64, at);
    }
    let found = one(&mut recorder, 60, 60);
    assert_eq!(found, [(60, 30.0)]);
}

#[test]
fn a_snapshot_before_any_step_was_computed_loses_none() {
    let mut recorder = gauge();
    let place = admit(&mut recorder, "load", &pod("a"));
    for minute in 0..3 {
        let at = START + minute * STEP;
        recorder.take(place, at, minute as f64, at);
    }
    let (shape, now) = (recorder.shape().clone(), START + 3 * STEP);
    let mut again = Image::of(&recorder).restore(shape, now).unwrap();
    assert_eq!(one(&mut again, 0, 2), [(0, 0.0), (1, 1.0), (2, 2.0)]);
}
