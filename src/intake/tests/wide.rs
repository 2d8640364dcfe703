//! Recorders of very many series with a few steps of past give what those with a long one give.

use super::*;
use crate::intake::recorder::Body;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn wide(history: usize) -> Recorder {
    let recorder = Recorder::new(Shape {
        history,
        ..shape("load", Reading::Gauge, None)
    });
    assert!(matches!(recorder.body, Body::Wide(_)));
    recorder
}

fn place_of(recorder: &mut Recorder, name: &str, now: Millis) -> u32 {
    let labels = pod(name);
    let known = recorder
        .places()
        .find_map(|(place, _, own)| (*own == labels).then_some(place));
    known.unwrap_or_else(|| recorder.admit("load", &labels, now).unwrap().unwrap())
}

fn take(recorder: &mut Recorder, name: &str, at: Millis, value: f64, now: Millis) -> Verdict {
    let place = place_of(recorder, name, now);
    recorder.take(place, at, value, now)
}

/// Values from step to step, by labels.
fn known(recorder: &mut Recorder, first: i64, last: i64) -> BTreeMap<Labels, Vec<(Millis, f64)>> {
    let mut found = BTreeMap::new();
    let step = recorder.shape().grid.step();
    let span = (first * step, last * step);
    recorder.range(span, (100, &Share::ALL), |labels, samples| {
        found.insert(labels.clone(), samples);
    });
    found
}

#[test]
fn who_wants_more_than_a_few_steps_of_each_series_has_another_recorder() {
    let sum = Some(Aggregate::SumBy(vec![]));
    for (reading, aggregate, history, is_wide) in [
        (Reading::Gauge, None, 1, true),
        (Reading::Gauge, None, 5, true),
        (Reading::Gauge, None, 6, false),
        (Reading::Gauge, sum, 1, false),
        (Reading::Rate, None, 1, false),
    ] {
        let shape = Shape {
            history,
            ..shape("load", reading, aggregate)
        };
        let body = Recorder::new(shape).body;
        assert_eq!(
            matches!(body, Body::Wide(_)),
            is_wide,
            "{reading:?} {history}"
        );
    }
}

#[test]
fn a_step_of_many_series_is_complete_when_everybody_has_come() {
    let mut recorder = wide(1);
    let mut check = |name: &str, second: i64, value: f64, expected: Option<i64>| {
        let at = START + second * 1_000;
        take(&mut recorder, name, at, value, at);
        let complete = recorder.complete().map(|at| (at - START) / STEP);
        assert_eq!(complete, expected, "{name} at {second}");
    };
    check("a", 1, 1.0, None);
    check("b", 2, 1.0, None);
    check("a", 61, 1.0, None);
    check("a", 76, 1.0, None);
    check("b", 77, 1.0, Some(1));
    check("a", 121, 1.0, None);
    check("b", 122, STALE_NAN, Some(2));
    check("b", 185, 1.0, None);
    check("a", 186, 1.0, Some(3));
    check("a", 187, STALE_NAN, Some(3));
    check("a", 188, 1.0, Some(3));
}

#[test]
fn after_the_clock_was_set_back_an_end_is_one_less_to_wait_for() {
    for mut recorder in [wide(1), gauge()] {
        let mut check = |name: &str, minute: i64, value: f64, expected: Option<i64>| {
            let at = START + minute * STEP;
            take(&mut recorder, name, at, value, at);
            let complete = recorder.complete().map(|at| (at - START) / STEP);
            assert_eq!(complete, expected, "{name} at {minute}");
        };
        check("a", 1, 1.0, None);
        check("b", 1, 1.0, None);
        check("a", 99, 1.0, None);
        check("b", 99, 1.0, Some(99));
        check("a", 100, 1.0, None);
        check("b", 100, 1.0, Some(100));
        check("a", 50, STALE_NAN, None);
        check("b", 51, 1.0, Some(51));
        check("a", 52, 1.0, None);
        check("b", 52, STALE_NAN, Some(52));
    }
}

#[test]
fn a_series_that_is_forgotten_leaves_its_row_until_an_eighth_is_empty() {
    let mut recorder = wide(1);
    let names: Vec<String> = (0..16).map(|n| format!("{n:02}")).collect();
    let mut now = START;
    for minute in 0..40 {
        now = START + minute * STEP;
        for name in &names[usize::from(minute > 0)..] {
            take(&mut recorder, name, now, 1.0, now);
        }
        recorder.tidy(now);
        assert_eq!(recorder.compact(), None);
    }
    assert_eq!((recorder.members(), recorder.rows()), (15, 16));
    assert_eq!(recorder.take(0, now, 1.0, now), Verdict::Old, "nobody's");
    assert_eq!(place_of(&mut recorder, "00", now), 0, "its own again");
    assert_eq!(recorder.members(), 16);
    let numbering = recorder.numbering();
    for minute in 40..80 {
        now = START + minute * STEP;
        for name in &names[4..] {
            take(&mut recorder, name, now, 2.0, now);
        }
        recorder.tidy(now);
        if let Some(moved) = recorder.compact() {
            assert_eq!(moved[..5], [u32::MAX, u32::MAX, u32::MAX, u32::MAX, 0]);
        }
    }
    assert_eq!((recorder.members(), recorder.rows()), (12, 12));
    assert_eq!(recorder.numbering(), numbering + 1);
    let last = now / STEP;
    assert_eq!(known(&mut recorder, last, last).len(), 12);
    assert_eq!(recorder.labels_from(0).next(), Some(&pod("04")));
}

#[test]
fn what_is_asked_for_is_not_forgotten() {
    let hour = 3_600_000;
    let mut recorder = Recorder::new(Shape {
        grid: Grid::new(hour).unwrap(),
        history: 1,
        ..shape("load", Reading::Gauge, None)
    });
    let first = START.div_euclid(hour) + 1;
    take(&mut recorder, "a", first * hour, 1.0, first * hour);
    for minutes in [20, 70, 119] {
        assert!(recorder.tidy(first * hour + minutes * STEP).is_empty());
        assert_eq!(known(&mut recorder, first, first).len(), 1, "{minutes}");
    }
    assert_eq!(recorder.tidy((first + 2) * hour), [0]);
}

#[test]
fn a_sender_whose_clock_is_ahead_is_heard_when_its_time_has_come() {
    let mut recorder = wide(1);
    for minute in 0..30 {
        let now = START + minute * STEP;
        for ahead in [0, 3, 9] {
            let at = now + ahead * STEP;
            let name = ahead.to_string();
            let verdict = take(&mut recorder, &name, at, minute as f64, now);
            assert_eq!(verdict, Verdict::Stored);
            let again = take(&mut recorder, &name, at, minute as f64, now);
            assert_eq!(again, Verdict::Duplicate);
        }
        recorder.tidy(now);
        if minute > 0 {
            assert_eq!(recorder.complete(), Some(now), "nobody waits");
        }
        let found = known(&mut recorder, now / STEP, now / STEP);
        let values: Vec<f64> = found.values().map(|samples| samples[0].1).collect();
        let expected = [0, 3, 9].map(|ahead| minute - ahead);
        let expected: Vec<f64> = expected
            .into_iter()
            .filter(|value| *value >= 0)
            .map(|value| value as f64)
            .collect();
        assert_eq!(values, expected, "{minute}");
    }
    // It is set right.
    for minute in 30..60 {
        let now = START + minute * STEP;
        for ahead in [0, 3, 9] {
            take(&mut recorder, &ahead.to_string(), now, -1.0, now);
        }
        recorder.tidy(now);
    }
    let last = START / STEP + 59;
    let found = known(&mut recorder, last, last);
    assert!(
        found.values().all(|samples| samples[0].1 == -1.0),
        "{found:?}"
    );
    let bytes = recorder.heap_bytes();
    assert!(bytes < 5_000, "{bytes}");
}

#[test]
fn who_wants_more_past_goes_on_with_the_same_series() {
    let mut recorder = wide(2);
    for minute in 0..30 {
        let now = START + minute * STEP;
        for name in ["a", "b", "c"].into_iter().skip(usize::from(minute > 2)) {
            take(&mut recorder, name, now + 1_000, minute as f64, now + 1_000);
        }
        recorder.tidy(now + 1_000);
    }
    let (numbering, last) = (recorder.numbering(), START / STEP + 29);
    let before = known(&mut recorder, last - 3, last);
    let places: Vec<u32> = recorder.places().map(|(place, ..)| place).collect();
    let long = shape("load", Reading::Gauge, None);
    recorder.reshape(long);
    assert!(matches!(recorder.body, Body::Deep(_)));
    assert!(recorder.places().map(|(place, ..)| place).eq(places));
    assert_ne!(recorder.numbering(), numbering);
    let after = known(&mut recorder, last - 3, last);
    assert_eq!(after, before);
    let now = START + 30 * STEP;
    take(&mut recorder, "b", now, 7.0, now);
    assert_eq!(recorder.complete(), None);
    take(&mut recorder, "c", now, 7.0, now);
    assert_eq!(recorder.complete(), Some(now));
    assert_eq!(
        known(&mut recorder, last + 1, last + 1)[&pod("c")],
        [(now, 7.0)]
    );
}

#[test]
fn many_series_are_put_away_in_parts() {
    let mut recorder = wide(1);
    let mut now = START;
    for minute in 0..8 {
        now = START + minute * STEP + 5_000;
        for name in 0..50 {
            if name < 25 || minute < 6 {
                take(
                    &mut recorder,
                    &name.to_string(),
                    now - name,
                    (name * minute) as f64,
                    now,
                );
            }
        }
    }
    take(&mut recorder, "3", now + 1, STALE_NAN, now + 1);
    let mut restored = Restored::new(recorder.shape().clone(), now + 2);
    let (mut first, mut parts) = (0, 0);
    loop {
        let (image, next) = Image::part(&recorder, first, 20);
        let bytes = image.encode_to_vec();
        restored.add(&Image::decode(&bytes[..]).unwrap()).unwrap();
        // What is there twice is taken once.
        restored.add(&image).unwrap();
        parts += 1;
        match next {
            Some(next) => first = next,
            None => break,
        }
    }
    let mut again = restored.finish();
    assert_eq!((parts, again.members()), (3, 50));
    let last = now / STEP;
    let all = known(&mut recorder, last - 5, last + 4);
    assert_eq!(known(&mut again, last - 5, last + 4), all);
    assert_eq!(all.len(), 50);
    for recorder in [&mut recorder, &mut again] {
        let next = now + STEP;
        let complete: Vec<_> = (0..50)
            .filter(|name| *name != 3)
            .map(|name| {
                take(recorder, &name.to_string(), next, 1.0, next);
                recorder.complete()
            })
            .collect();
        assert_eq!(complete[47..], [None, Some(last * STEP + STEP)]);
    }
}

#[test]
fn a_signal_that_wants_more_past_begins_with_what_another_left() {
    let mut recorder = wide(1);
    for minute in 0..10 {
        let now = START + minute * STEP;
        take(&mut recorder, "a", now, minute as f64, now);
    }
    let now = START + 10 * STEP;
    let long = shape("load", Reading::Gauge, None);
    let mut again = Image::of(&recorder).restore(long, now).unwrap();
    let last = START / STEP + 9;
    let found = known(&mut again, last - 3, last);
    assert_eq!(found, known(&mut recorder, last - 3, last));
    assert_eq!(found[&pod("a")].len(), 4);
    let mut back = Image::of(&again)
        .restore(recorder.shape().clone(), now)
        .unwrap();
    assert_eq!(known(&mut back, last - 3, last), found);
}

#[test]
fn a_series_takes_less_than_a_hundred_bytes_beside_its_labels() {
    let mut recorder = Recorder::new(Shape {
        history: 1,
        max_series: 10_000,
        ..shape("load", Reading::Gauge, None)
    });
    let labels: Vec<Labels> = (0..10_000).map(|n| pod(&n.to_string())).collect();
    for one in &labels {
        recorder.admit("load", one, START).unwrap();
    }
    for minute in 0..12 {
        for place in 0..10_000 {
            let at = START + minute * STEP;
            recorder.take(place, at, f64::from(place), at);
        }
    }
    let text: usize = labels.iter().map(Labels::heap_bytes).sum();
    let each = (recorder.heap_bytes() - text) as f64 / 1e4;
    assert!(each < 100.0, "{each}");
}

#[test]
fn of_a_sender_that_is_always_ahead_no_more_is_kept_than_of_others() {
    const SECOND: Millis = 1_000;
    let mut recorder = Recorder::new(Shape {
        history: 1,
        grid: Grid::new(SECOND).unwrap(),
        ..shape("load", Reading::Gauge, None)
    });
    for second in 0..600 {
        let now = START + second * SECOND;
        let at = now + SECOND;
        let verdict = take(&mut recorder, "a", at, second as f64, now);
        assert_eq!(verdict, Verdict::Stored);
        recorder.tidy(now);
    }
    let Body::Wide(own) = &recorder.body else {
        panic!("it is wide");
    };
    let (kept, _) = own.part(0, 1);
    let samples = kept[0].samples.len();
    assert!(samples <= 9, "{samples}");
    drop(kept);
    let last = START / SECOND + 599;
    let found = known(&mut recorder, last - 5, last);
    let values = found[&pod("a")].iter().map(|sample| sample.1);
    assert!(values.eq((593..599).map(f64::from)), "{found:?}");
}

/// A sample: series, milliseconds of the clock since the one before, milliseconds that it is late or ahead, value.
type Sent = (u8, i64, i64, f64);

fn sent() -> impl Strategy<Value = Sent> {
    let value = prop_oneof![
        8 => (0..50_i32).prop_map(f64::from),
        2 => Just(STALE_NAN),
        1 => any::<f64>(),
    ];
    let late = prop_oneof![6 => Just(0_i64), 2 => 0..400_000_i64, 1 => -500_000..0_i64];
    let later = prop_oneof![20 => 0..40_000_i64, 2 => 0..600_000_i64, 1 => 0..3_000_000_i64];
    (0..6_u8, later, late, value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn few_steps_are_those_of_a_long_past(
        step in prop::sample::select(vec![10_000, 60_000, 140_000]),
        history in 1..6_usize,
        sent in prop::collection::vec(sent(), 1..120),
        tidy_every in 1..20_usize,
    ) {
        // Further back, that which has a long past loses steps that may still change with a series that is forgotten: that is ten
        // minutes after the last step that its last sample says anything of.
        let history = history.min((600_000 / step - 1) as usize);
        let of = |history| Shape {
            grid: Grid::new(step).unwrap(),
            history,
            ..shape("load", Reading::Gauge, None)
        };
        let (mut few, mut long) = (Recorder::new(of(history)), Recorder::new(of(1_000)));
        let (mut now, mut newest, mut latest) = (START, START, START);
        for (turn, (name, later, late, value)) in sent.into_iter().enumerate() {
            now += later;
            let at = now - late;
            let name = name.to_string();
            take(&mut long, &name, at, value, now);
            take(&mut few, &name, at, value, now);
            newest = newest.max(at.min(now));
            latest = latest.max(at);
            if turn % tidy_every == 0 {
                let gone = long.tidy(now).len();
                prop_assert!(few.tidy(now).len() <= gone + 6);
                few.compact();
            }
            let index = now.div_euclid(step);
            let first = (index - history as i64).max(newest.div_euclid(step) - 5);
            // A long past ends with what is looked back to from the newest sample that was not ahead.
            let last = index.min((newest + 300_000).div_euclid(step));
            prop_assert_eq!(known(&mut few, first, last), known(&mut long, first, last));
            let at = latest.max(now);
            // One that was away for long comes anew where it was forgotten.
            let sorted = |mut found: Vec<(Labels, f64)>| {
                found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
                found
            };
            prop_assert_eq!(sorted(few.instant(at)), sorted(long.instant(at)));
        }
    }
}
