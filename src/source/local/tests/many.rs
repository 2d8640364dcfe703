//! Very many series: routes as they move, and the file.

use super::*;
use crate::intake::Recorder;
use fastrand::Rng;
use std::collections::BTreeMap;

fn wide(select: &str) -> Subscription {
    Subscription {
        history: 1,
        max_series: 10_000,
        ..subscription(select)
    }
}

/// What one of as many processes as `count` has of series that are divided one by one.
pub(super) fn share(index: u32, count: u32) -> Share {
    Share::of(Cut::Series, Shard::new(index, count).unwrap())
}

fn all(hub: &Arc<Hub>, query: &str, at: Millis) -> BTreeMap<Labels, Vec<(Millis, f64)>> {
    let source = LocalSource::new("pushed", Arc::clone(hub));
    let answer = source.answer(&RangeRequest {
        query: query.to_owned(),
        start: at,
        end: at,
        step: STEP,
        max_series: 10_000,
        share: Share::ALL,
    });
    let series = answer.unwrap().series.into_iter();
    series.map(|one| (one.labels, one.samples)).collect()
}

/// Some come, some go, some come back; two signals read them, and one of them half of them. Who sends keeps its routes for as long as
/// it may.
#[test]
fn samples_go_where_they_belong_while_series_come_and_go() {
    let hub = Arc::<Hub>::default();
    hub.subscribe(wide("load"), None);
    hub.subscribe(wide("load{pod=~\".*[02468]\"}"), None);
    hub.subscribe(subscription("other"), None);
    let mut random = Rng::with_seed(11);
    let mut routes: BTreeMap<u32, Route> = BTreeMap::new();
    let mut generation = hub.generation();
    let mut moves = 0;
    let mut numbering = hub.each(Recorder::numbering);
    for minute in 0..240_u32 {
        let at = START + i64::from(minute) * STEP;
        let alive: Vec<u32> = (minute / 2..minute / 2 + 30)
            .chain((0..10).map(|n| n * 7))
            .filter(|_| random.u8(..) > 20)
            .collect();
        if hub.generation() != generation {
            generation = hub.generation();
            routes.clear();
        }
        let mut samples: Vec<_> = alive
            .iter()
            .map(|n| {
                let route = routes
                    .entry(*n)
                    .or_insert_with(|| hub.route("load", &pod(&n.to_string()), at));
                (*route, at, f64::from(*n))
            })
            .collect();
        random.shuffle(&mut samples);
        let lost = hub.take(&samples, at).lost;
        if lost > 0 {
            // They were away for long.
            routes.clear();
            for n in &alive {
                take(&hub, "load", &pod(&n.to_string()), at, f64::from(*n));
            }
        }
        for (query, is_read) in [
            ("load", (|_| true) as fn(u32) -> bool),
            ("load{pod=~\".*[02468]\"}", |n| n % 2 == 0),
        ] {
            let found = all(&hub, query, at);
            for n in &alive {
                let expected = is_read(*n).then(|| vec![(at, f64::from(*n))]);
                assert_eq!(
                    found.get(&pod(&n.to_string())),
                    expected.as_ref(),
                    "{n} at {minute}"
                );
            }
            let sound = |(labels, samples): (&Labels, &Vec<(Millis, f64)>)| {
                labels.get("pod").unwrap().parse() == Ok(samples[0].1)
            };
            assert!(found.iter().all(sound), "{found:?}");
        }
        hub.tidy(at);
        let now = hub.each(Recorder::numbering);
        moves += usize::from(now != numbering);
        numbering = now;
    }
    assert!(moves > 5, "{moves}");
    assert!(hub.series() < 60, "{}", hub.series());
}

#[test]
fn a_series_that_is_known_is_found_by_its_key() {
    let hub = hub(&["load", "load{pod=\"a\"}"]);
    let mut room = Vec::new();
    let labels = |name: &str| pod(name);
    let mut find = |hub: &Hub, names: &[&str]| {
        let mut found = vec![None; names.len()];
        let keys = names
            .iter()
            .map(|name| hub.key("load", labels(name).iter(), &mut room));
        hub.find(keys.zip(&mut found));
        found
    };
    assert_eq!(find(&hub, &["a", "b"]), [None, None]);
    let routes = ["b", "a", "c"].map(|name| Some(hub.route("load", &pod(name), START)));
    assert_eq!(find(&hub, &["b", "a", "c"]), routes);
    assert_eq!(find(&hub, &["c", "d", "a"]), [routes[2], None, routes[1]]);
    // Whoever comes later is to get them too.
    hub.subscribe(subscription("{__name__=\"load\",pod=\"b\"}"), None);
    assert_eq!(find(&hub, &["b"]), [None]);
    assert_eq!(Some(hub.route("load", &pod("b"), START)), routes[0]);
    assert_eq!(find(&hub, &["b"]), [routes[0]]);
    hub.tidy(START + 30 * STEP);
    assert_eq!(find(&hub, &["a", "b", "c"]), [None; 3]);
}

#[test]
fn a_file_of_many_series_gives_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path(), "x").unwrap();
    let before = Arc::<Hub>::default();
    before.subscribe(wide("load"), None);
    before.subscribe(subscription("heat"), None);
    let now = START + 3 * STEP;
    for n in 0..9_000 {
        let value = f64::from(n) * 0.1;
        take(
            &before,
            "load",
            &pod(&n.to_string()),
            now - i64::from(n),
            value,
        );
    }
    for minute in 0..3 {
        take(&before, "heat", &pod("a"), START + minute * STEP, 1.0);
    }
    let bytes = shelf.write(&before).unwrap();
    assert!(bytes < 9_000 * 40, "{bytes}");
    assert_eq!(std::fs::metadata(shelf.path()).unwrap().len(), bytes as u64);
    let past = shelf.read().unwrap();
    assert_eq!(past.newest, Some(now));
    let after = Arc::<Hub>::default();
    for one in [wide("load"), subscription("heat")] {
        let restored = past.of(&one, now).unwrap();
        after.subscribe(one, Some(restored.unwrap()));
    }
    assert_eq!(after.series(), 9_001);
    for at in [START + 2 * STEP, now, now + 3 * STEP] {
        assert_eq!(all(&after, "load", at), all(&before, "load", at));
        assert_eq!(all(&after, "heat", at), all(&before, "heat", at));
    }
    assert_eq!(all(&after, "load", now).len(), 9_000);
}

#[test]
fn a_file_of_the_version_before_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path(), "x").unwrap();
    shelf.write(&fed(&["load"])).unwrap();
    let mut bytes = std::fs::read(shelf.path()).unwrap();
    let version = 20..24;
    assert_eq!(bytes[version.clone()], [2, 0, 0, 0]);
    // Of recorders with a past it is the same.
    bytes[version.clone()].copy_from_slice(&[1, 0, 0, 0]);
    let past = Past::decode(&bytes).unwrap();
    assert!(
        past.of(&subscription("load"), START + 11 * STEP)
            .unwrap()
            .is_some()
    );
    bytes[version].copy_from_slice(&[3, 0, 0, 0]);
    let problem = Past::decode(&bytes).unwrap_err();
    assert!(problem.contains("version 3"), "{problem}");
}

/// 300 series in a hub that has the share.
fn divided(share: Share) -> (Arc<Hub>, Taken) {
    let hub = Arc::<Hub>::default();
    hub.subscribe(
        Subscription {
            share,
            ..wide("load")
        },
        None,
    );
    let mut taken = Taken::default();
    for n in 0..300 {
        taken.add(&take(&hub, "load", &pod(&n.to_string()), START, 1.0));
    }
    (hub, taken)
}

#[test]
fn each_of_many_series_is_in_one_shard() {
    let mut found = BTreeMap::new();
    for index in 0..3 {
        let (hub, taken) = divided(share(index, 3));
        let own = all(&hub, "load", START);
        assert_eq!(
            (hub.series(), taken.foreign),
            (own.len(), 300 - own.len() as u64)
        );
        assert!((60..140).contains(&own.len()), "{}", own.len());
        found.extend(own);
    }
    assert_eq!(found.len(), 300);
}

#[test]
fn series_of_another_shard_leave_their_rows() {
    let (hub, _) = divided(Share::ALL);
    let own = hub.each(|recorder| recorder.labels_from(0).cloned().collect::<Vec<_>>());
    let is_own = |labels: &&Labels| share(1, 3).has(labels);
    let own: Vec<Labels> = own[0].iter().filter(is_own).cloned().collect();
    let route = |hub: &Hub, labels| hub.route("load", labels, START);
    let before: Vec<Route> = own.iter().map(|labels| route(&hub, labels)).collect();
    let generation = hub.generation();
    let narrow = Subscription {
        share: share(1, 3),
        ..wide("load")
    };
    hub.retain(std::slice::from_ref(&narrow));
    assert_ne!(hub.generation(), generation);
    assert_eq!(hub.series(), own.len());
    let kept = |hub: &Arc<Hub>| all(hub, "load", START).into_keys().collect::<Vec<_>>();
    let mut sorted = own.clone();
    sorted.sort();
    assert_eq!(kept(&hub), sorted);
    hub.tidy(START);
    assert_eq!(hub.each(Recorder::rows), [own.len()]);
    assert_eq!(kept(&hub), sorted);
    let after: Vec<Route> = own.iter().map(|labels| route(&hub, labels)).collect();
    assert_eq!(after, before);
    let next = START + STEP;
    let samples: Vec<_> = after.iter().map(|route| (*route, next, 2.0)).collect();
    assert_eq!(
        hub.take(&samples, next).of(Verdict::Stored),
        own.len() as u64
    );
    let waiting = hub.arrivals("load", STEP).unwrap();
    assert_eq!(
        *waiting.borrow(),
        next,
        "nobody waits for those that are elsewhere"
    );
}

#[test]
fn another_share_of_many_series_takes_from_a_file_what_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path(), "x").unwrap();
    let (hub, _) = divided(Share::ALL);
    shelf.write(&hub).unwrap();
    let past = shelf.read().unwrap();
    for index in 0..3 {
        let narrow = Subscription {
            share: share(index, 3),
            ..wide("load")
        };
        let restored = past.of(&narrow, START).unwrap().unwrap();
        let expected = divided(share(index, 3)).0;
        assert_eq!(restored.members(), expected.series());
        let again = Arc::<Hub>::default();
        again.subscribe(narrow, Some(restored));
        assert_eq!(all(&again, "load", START), all(&expected, "load", START));
    }
}

#[test]
fn samples_of_former_times_fill_the_gaps_of_many_series() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path(), "x").unwrap();
    let shape = Subscription {
        history: 5,
        ..wide("load")
    };
    let hub = |samples: &[(&str, i64, f64)]| {
        let hub = Arc::<Hub>::default();
        hub.subscribe(shape.clone(), None);
        for (name, minute, value) in samples {
            take(&hub, "load", &pod(name), START + minute * STEP, *value);
        }
        hub
    };
    shelf
        .write(&hub(&[("a", 4, 4.0), ("b", 2, 2.0), ("b", 4, 5.0)]))
        .unwrap();
    let imported = hub(&[
        ("a", 2, 2.0),
        ("c", 2, 7.0),
        ("a", 3, 3.0),
        ("b", 3, 3.0),
        ("a", 4, 9.0),
    ]);
    let (mut past, now) = (shelf.read().unwrap(), START + 5 * STEP);
    let filled = past.fill(&imported, &shape, now).unwrap();
    assert_eq!(
        (filled.values, filled.series, filled.kept, filled.newer),
        (4, 3, 1, 1)
    );
    assert_eq!(filled.span, Some((START + 2 * STEP, START + 3 * STEP)));
    shelf.put(&past).unwrap();
    let past = shelf.read().unwrap();
    assert_eq!(past.newest, Some(START + 4 * STEP));
    let again = Arc::<Hub>::default();
    again.subscribe(shape.clone(), past.of(&shape, now).unwrap());
    for (name, expected) in [
        ("a", [2.0, 3.0, 4.0]),
        ("b", [2.0, 3.0, 5.0]),
        ("c", [7.0; 3]),
    ] {
        let found =
            (2..5).map(|minute| all(&again, "load", START + minute * STEP)[&pod(name)][0].1);
        assert_eq!(found.collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn series_that_move_while_they_are_written_are_all_written() {
    let hub = Arc::<Hub>::default();
    hub.subscribe(wide("load"), None);
    let later = START + 20 * STEP;
    for (first, at) in [(0, START), (3_000, later)] {
        for n in first..9_000 {
            take(&hub, "load", &pod(&format!("{n:04}")), at, 1.0);
        }
    }
    let shape = wide("load");
    let mut again = crate::intake::Restored::new(shape, later);
    let mut parts = 0;
    let told: Result<(), ()> = hub.images(|image| {
        again.add(&image).unwrap();
        if parts == 0 {
            hub.tidy(later);
        }
        parts += 1;
        Ok(())
    });
    assert_eq!(
        (told, hub.series(), hub.each(Recorder::rows)),
        (Ok(()), 6_000, vec![6_000])
    );
    let known: BTreeMap<String, u32> = again
        .finish()
        .places()
        .map(|(place, _, labels)| (labels.get("pod").unwrap().to_owned(), place))
        .collect();
    assert!(
        (3_000..9_000).all(|n| known.contains_key(&format!("{n:04}"))),
        "{}",
        known.len()
    );
}
