//! Hubs as scrapers, receivers and signals use them.

mod many;
mod table;

use super::{
    disk::{Past, Shelf},
    *,
};
use crate::{
    intake::{Aggregate, Reading, STALE_NAN, Selection, Verdict},
    series::{
        Grid, Labels, Share,
        shard::{Cut, Shard},
    },
};

const STEP: Millis = 60_000;
const START: Millis = 1_000_000 * STEP;

fn subscription(select: &str) -> Subscription {
    Subscription {
        selection: Selection::new(select, Reading::Gauge, None, None).unwrap(),
        grid: Grid::new(STEP).unwrap(),
        history: 100,
        max_series: 10,
        share: Share::ALL,
    }
}

fn hub(selects: &[&str]) -> Arc<Hub> {
    let hub = Hub::default();
    for select in selects {
        hub.subscribe(subscription(select), None);
    }
    Arc::new(hub)
}

fn pod(name: &str) -> Labels {
    Labels::new([("pod", name)]).unwrap()
}

fn take(hub: &Hub, name: &str, labels: &Labels, at: Millis, value: f64) -> Taken {
    let route = hub.route(name, labels, at);
    hub.take(&[(route, at, value)], at)
}

fn ask(hub: &Arc<Hub>, query: &str, start: Millis, end: Millis) -> Result<Matrix, SourceError> {
    let source = LocalSource::new("pushed", Arc::clone(hub));
    source.answer(&RangeRequest {
        query: query.to_owned(),
        start,
        end,
        step: STEP,
        max_series: 5,
        share: Share::ALL,
    })
}

#[test]
fn what_comes_is_answered_to_the_signals_that_select_it() {
    let hub = hub(&["load", "load{pod=\"a\"}", "heat"]);
    for (pod_name, value) in [("b", 2.0), ("a", 1.0)] {
        let taken = take(&hub, "load", &pod(pod_name), START + 5, value);
        assert_eq!(
            taken.of(Verdict::Stored),
            1,
            "a sample that two read is one"
        );
    }
    assert_eq!(take(&hub, "other", &pod("a"), START, 1.0).unwanted, 1);
    let all = ask(&hub, "load", START, START).unwrap();
    let found: Vec<_> = all
        .series
        .iter()
        .map(|one| (one.labels.clone(), one.samples.clone()))
        .collect();
    assert_eq!(
        found,
        [
            (pod("a"), vec![(START, 1.0)]),
            (pod("b"), vec![(START, 2.0)])
        ]
    );
    assert_eq!(
        ask(&hub, "load{pod=\"a\"}", START, START)
            .unwrap()
            .series
            .len(),
        1
    );
    assert_eq!(ask(&hub, "heat", START, START).unwrap(), Matrix::default());
    let now = ask(&hub, "load", START + 6, START + 6).unwrap();
    assert_eq!(now.series[0].samples, [(START + 6, 1.0)], "at any time");
}

#[test]
fn what_nobody_selects_is_refused_with_the_reason() {
    let error = ask(&hub(&["load"]), "sum(load)", START, START).unwrap_err();
    assert_eq!(error.cause, Cause::Query);
    assert!(
        error.message.contains("no signal selects sum(load)"),
        "{error}"
    );
}

#[test]
fn more_series_than_asked_for_are_counted() {
    let hub = hub(&["load"]);
    for n in 0..8 {
        take(&hub, "load", &pod(&n.to_string()), START, 1.0);
    }
    for at in [START, START + 1] {
        let answer = ask(&hub, "load", at, at).unwrap();
        assert_eq!((answer.series.len(), answer.dropped), (5, 3), "{at}");
    }
}

#[test]
fn of_two_that_select_the_same_the_longer_past_is_kept() {
    let (long, mut short) = (subscription("load"), subscription("load"));
    (short.history, short.max_series) = (10, 5);
    let known = |hub: &Hub| hub.each(|one| (one.shape().history, one.shape().max_series));
    for both in [[long.clone(), short.clone()], [short.clone(), long]] {
        let hub = Hub::default();
        both.iter().for_each(|one| hub.subscribe(one.clone(), None));
        hub.retain(&both);
        assert_eq!(known(&hub), [(100, 10)]);
        // Only once the other is gone for good is that let go of.
        hub.subscribe(short.clone(), None);
        assert_eq!(known(&hub), [(100, 10)]);
        hub.retain(std::slice::from_ref(&short));
        assert_eq!(known(&hub), [(10, 5)]);
    }
}

#[test]
fn too_many_series_are_refused_and_leave_nothing_behind() {
    let hub = Arc::new(Hub::new("pushed", 3, Arc::default()));
    hub.subscribe(subscription("load"), None);
    for n in 0..9 {
        let route = hub.route("load", &pod(&n.to_string()), START);
        assert_eq!(route == Route::NOWHERE, n >= 3, "{n}");
    }
    assert_eq!(hub.series(), 3);
    assert_eq!(hub.each(crate::intake::Recorder::members), [3]);
}

#[test]
fn a_signal_that_comes_later_gets_what_comes_later() {
    let hub = hub(&["load"]);
    let route = hub.route("load", &pod("a"), START);
    let nowhere = hub.route("heat", &pod("a"), START);
    let generation = hub.generation();
    hub.subscribe(subscription("load{pod=~\"a|b\"}"), None);
    hub.subscribe(subscription("heat"), None);
    assert_ne!(hub.generation(), generation);
    assert_eq!(nowhere, Route::NOWHERE);
    assert_ne!(hub.route("heat", &pod("a"), START), Route::NOWHERE);
    assert_eq!(
        hub.route("load", &pod("a"), START),
        route,
        "asked anew, as the generation is another"
    );
    hub.take(&[(route, START, 7.0)], START);
    let answer = ask(&hub, "load{pod=~\"a|b\"}", START, START).unwrap();
    assert_eq!(answer.series[0].samples, [(START, 7.0)]);
}

#[test]
fn a_signal_that_goes_takes_its_series_along() {
    let hub = hub(&["load", "heat"]);
    let (load, heat) = (
        hub.route("load", &pod("a"), START),
        hub.route("heat", &pod("a"), START),
    );
    hub.retain(&[subscription("heat")]);
    let taken = hub.take(&[(load, START, 1.0), (heat, START, 1.0)], START);
    assert_eq!((taken.lost, taken.of(Verdict::Stored)), (1, 1));
    assert_eq!(hub.series(), 1);
    assert!(ask(&hub, "load", START, START).is_err());
    assert_ne!(
        hub.route("heat", &pod("b"), START),
        load,
        "its place is another one now"
    );
}

#[test]
fn a_series_that_was_silent_for_long_is_forgotten_and_may_come_back() {
    let hub = hub(&["load"]);
    let old = hub.route("load", &pod("a"), START);
    hub.take(&[(old, START, 1.0)], START);
    let later = START + 30 * STEP;
    hub.tidy(later);
    assert_eq!(hub.series(), 0);
    assert_eq!(hub.take(&[(old, later, 1.0)], later).lost, 1);
    assert_eq!(
        take(&hub, "load", &pod("a"), later, 2.0).of(Verdict::Stored),
        1
    );
    let answer = ask(&hub, "load", START, later).unwrap();
    assert_eq!(answer.series.len(), 1);
    assert_eq!(answer.series[0].samples[0], (START, 1.0));
    assert_eq!(answer.series[0].samples.last(), Some(&(later, 2.0)));
}

#[test]
fn what_one_signal_has_forgotten_and_another_has_not_is_offered_to_both_again() {
    let hub = Arc::<Hub>::default();
    let selection = Selection::new(
        "load",
        Reading::Rate,
        Some(crate::series::Span::minutes(120)),
        None,
    );
    let long = Subscription {
        selection: selection.unwrap(),
        ..subscription("load")
    };
    hub.subscribe(long, None);
    hub.subscribe(subscription("load"), None);
    take(&hub, "load", &pod("a"), START, 1.0);
    let generation = hub.generation();
    let later = START + 40 * STEP;
    hub.tidy(later);
    assert_eq!(hub.each(crate::intake::Recorder::members), [1, 0]);
    assert_ne!(hub.generation(), generation, "whoever brings it asks anew");
    take(&hub, "load", &pod("a"), later, 2.0);
    assert_eq!(hub.each(crate::intake::Recorder::members), [1, 1]);
    let answer = ask(&hub, "load", later, later).unwrap();
    assert_eq!(answer.series[0].samples, [(later, 2.0)]);
}

#[test]
fn arrivals_are_told_once() {
    let hub = hub(&["load"]);
    let source = LocalSource::new("pushed", Arc::clone(&hub));
    let mut arrivals = source.arrivals("load", STEP).unwrap();
    assert!(source.arrivals("load", STEP + 1).is_none());
    take(&hub, "load", &pod("a"), START - STEP, 1.0);
    assert!(
        !arrivals.has_changed().unwrap(),
        "who else will come is not known"
    );
    take(&hub, "load", &pod("a"), START + 7, 1.0);
    assert!(arrivals.has_changed().unwrap());
    assert_eq!(*arrivals.borrow_and_update(), START);
    take(&hub, "load", &pod("a"), START + 15_000, 1.0);
    assert!(!arrivals.has_changed().unwrap());
    take(&hub, "load", &pod("a"), START + STEP, 1.0);
    assert_eq!(*arrivals.borrow_and_update(), START + STEP);
}

fn fed(selects: &[&str]) -> Arc<Hub> {
    let hub = hub(selects);
    for n in 0..40 {
        let at = START + n * 15_000;
        for name in ["a", "b"] {
            take(&hub, "load", &pod(name), at, n as f64);
        }
        take(&hub, "heat", &pod("c"), at, -n as f64);
    }
    take(&hub, "load", &pod("b"), START + 600_000, STALE_NAN);
    hub
}

#[test]
fn a_file_gives_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(&folder.path().join("new"), "a/b ü").unwrap();
    assert_eq!(shelf.path().file_name().unwrap(), "a_2fb_20_c3_bc.history");
    assert!(shelf.read().unwrap().newest.is_none(), "no file yet");
    let before = fed(&["load", "heat"]);
    assert!(shelf.write(&before).unwrap() > 100);
    let past = shelf.read().unwrap();
    assert_eq!(past.newest, Some(START + 600_000));
    let now = START + 11 * STEP;
    let after = Arc::<Hub>::default();
    for select in ["load", "heat", "new"] {
        let one = subscription(select);
        let restored = past.of(&one, now).unwrap();
        assert_eq!(restored.is_some(), select != "new");
        after.subscribe(one, restored);
    }
    assert_eq!(after.series(), 3);
    for query in ["load", "heat"] {
        let ask = |hub| ask(hub, query, START, now).unwrap();
        assert_eq!(ask(&after), ask(&before), "{query}");
        assert!(!ask(&after).series.is_empty());
    }
    for hub in [&before, &after] {
        assert_eq!(
            take(hub, "load", &pod("a"), now, 5.0).of(Verdict::Stored),
            1
        );
    }
    assert_eq!(
        ask(&after, "load", START, now),
        ask(&before, "load", START, now)
    );
}

impl PartialEq for SourceError {
    fn eq(&self, other: &Self) -> bool {
        self.cause == other.cause && self.message == other.message
    }
}

#[test]
fn a_damaged_file_is_told_from_a_sound_one_and_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path(), "x").unwrap();
    shelf.write(&fed(&["load"])).unwrap();
    let bytes = std::fs::read(shelf.path()).unwrap();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        assert!(Past::decode(&damaged).is_err(), "byte {place}");
        assert!(Past::decode(&bytes[..place]).is_err(), "cut off at {place}");
    }
    std::fs::write(shelf.path(), &bytes[..50]).unwrap();
    let problem = shelf.read().unwrap_err();
    assert!(problem.contains("x.history: cut off"), "{problem}");
    let aside = shelf.put_aside().unwrap();
    assert_eq!(std::fs::read(aside).unwrap().len(), 50);
    assert!(shelf.read().unwrap().newest.is_none());
}

#[test]
fn a_folder_that_cannot_be_is_refused_with_the_flag_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let problem = Shelf::new(file.path(), "x").unwrap_err();
    assert!(problem.contains("--storage.path"), "{problem}");
}

#[test]
fn a_sum_is_complete_when_all_of_it_has_come() {
    let hub = Arc::<Hub>::default();
    let sum = Some(Aggregate::SumBy(vec![]));
    let selection = Selection::new("load", Reading::Gauge, None, sum).unwrap();
    let text = selection.text().to_owned();
    hub.subscribe(
        Subscription {
            selection,
            ..subscription("load")
        },
        None,
    );
    let arrivals = hub.arrivals(&text, STEP).unwrap();
    for (at, name, complete) in [
        (1, "a", None),
        (2, "b", None),
        (STEP + 1, "a", None),
        (STEP + 2, "b", Some(START + STEP)),
    ] {
        take(&hub, "load", &pod(name), START + at, 2.0);
        assert_eq!(
            *arrivals.borrow(),
            complete.unwrap_or(Millis::MIN),
            "{name} at {at}"
        );
    }
    let answer = ask(&hub, &text, START + STEP, START + STEP).unwrap();
    assert_eq!(answer.series[0].samples, [(START + STEP, 4.0)]);
}

fn third(index: u32) -> Share {
    Share::of(
        Cut::Labels(["app".to_owned()].into()),
        Shard::new(index, 3).unwrap(),
    )
}

fn member(app: &str, pod: &str) -> Labels {
    Labels::new([("app", app), ("pod", pod)]).unwrap()
}

/// Sums of three apps with two pods each, in a hub that has the share; each sample is its own pod's.
fn sums(share: Share) -> (Arc<Hub>, String, Taken) {
    let hub = Arc::<Hub>::default();
    let sum = Some(Aggregate::SumBy(vec!["app".into()]));
    let selection = Selection::new("load", Reading::Gauge, None, sum).unwrap();
    let text = selection.text().to_owned();
    let shape = Subscription {
        selection,
        share,
        ..subscription("load")
    };
    hub.subscribe(shape, None);
    let mut all = Taken::default();
    for app in ["cart", "shop", "search", "mail", "news"] {
        for pod in ["1", "2"] {
            all.add(&take(&hub, "load", &member(app, pod), START, 2.0));
        }
    }
    (hub, text, all)
}

#[test]
fn a_sum_goes_to_one_shard_with_all_that_it_is_made_of_and_nothing_is_kept_in_the_others() {
    let mut seen = Vec::new();
    for index in 0..3 {
        let (hub, text, taken) = sums(third(index));
        let own = ask_share(&hub, &text, third(index)).unwrap();
        assert_eq!((own.foreign, own.dropped), (0, 0));
        for one in own.series {
            assert_eq!(one.samples, [(START, 4.0)], "both pods, in {}", one.labels);
            seen.push(one.labels);
        }
        assert_eq!(taken.of(Verdict::Stored) as usize, hub.series());
        assert_eq!(taken.foreign as usize, 10 - hub.series());
        assert_eq!(taken.unwanted, 0);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

fn ask_share(hub: &Arc<Hub>, query: &str, share: Share) -> Result<Matrix, SourceError> {
    let source = LocalSource::new("pushed", Arc::clone(hub));
    source.answer(&RangeRequest {
        query: query.to_owned(),
        start: START,
        end: START,
        step: STEP,
        max_series: 10,
        share,
    })
}

#[test]
fn who_shares_a_selection_and_carries_all_of_it_takes_nothing_from_the_other() {
    let (hub, text, _) = sums(third(1));
    let all = hub.each(|recorder| recorder.shape().clone());
    let whole = Subscription {
        share: Share::ALL,
        ..all[0].clone()
    };
    let own = ask_share(&hub, &text, third(1)).unwrap();
    let generation = hub.generation();
    hub.subscribe(whole.clone(), None);
    assert_ne!(
        hub.generation(),
        generation,
        "what was foreign is asked about again"
    );
    for app in ["cart", "shop", "search", "mail", "news"] {
        take(&hub, "load", &member(app, "1"), START + 1, 2.0);
    }
    let divided = ask_share(&hub, &text, third(1)).unwrap();
    assert_eq!(divided.series, own.series);
    assert_eq!(divided.foreign, 5 - own.series.len());
    assert_eq!(ask_share(&hub, &text, Share::ALL).unwrap().series.len(), 5);
    // The one that wants all of it goes.
    hub.retain(&all);
    assert_eq!(
        ask_share(&hub, &text, Share::ALL).unwrap().series,
        own.series
    );
    assert_eq!(hub.series(), 2 * own.series.len());
}

#[test]
fn a_demand_is_never_told_from_a_part_of_it() {
    let (hub, text, _) = sums(third(1));
    let source = LocalSource::new("pushed", Arc::clone(&hub));
    let instant = |share: Share| {
        source.answer(&RangeRequest {
            query: text.clone(),
            start: START + 1_000,
            end: START + 1_000,
            step: 1_000,
            max_series: 10,
            share,
        })
    };
    assert!(
        instant(Share::ALL).is_err(),
        "a sum of a part is less than is asked for"
    );
    assert!(instant(third(1)).is_ok());
}

#[test]
fn another_share_takes_from_a_file_what_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path(), "pushed").unwrap();
    let (hub, text, _) = sums(third(1));
    let shape = hub.each(|recorder| recorder.shape().clone()).remove(0);
    let own = ask_share(&hub, &text, third(1)).unwrap().series;
    shelf.write(&hub).unwrap();
    let past = shelf.read().unwrap();
    for (share, expected) in [(third(1), own), (third(2), Vec::new())] {
        let shape = Subscription {
            share: share.clone(),
            ..shape.clone()
        };
        let again = Arc::<Hub>::default();
        again.subscribe(shape.clone(), past.of(&shape, START + 1).unwrap());
        assert_eq!(ask_share(&again, &text, share).unwrap().series, expected);
    }
}
