//! Workloads that may sleep: woken before their load arrives, and never put to sleep by what we do not know.

use super::{
    judge::{Follower, SYNC},
    keda::Behaviour,
    stage::{CAPACITY, Fault, RHYTHM, RUSH, Row, Stage, World, ends},
    ways::{Poll, Service, Told, WAYS, Way},
};
use crate::support::{front::Front, now};
use forethought::simulate::autoscaler::Metric;
use std::{ops::Range, thread, time::Duration};

/// What fails, in seconds since the rush before began; the next one is at [`RHYTHM`], and a forecast wakes 16 s before.
const ROWS: &[(&str, Range<i64>)] = &[
    ("nothing_fails", 0..0),
    ("fails_before_the_load", 52..71),
    ("fails_under_the_load", 62..78),
];
/// From when on it is looked at: the load is over, and it still is awake.
const BEGIN: Range<i64> = RUSH..RUSH + 9;
/// How long, in seconds since the rush before: before the next one is over.
const END: i64 = RHYTHM + RUSH - 2;
/// It is awake from then on.
const AWAKE: i64 = RHYTHM - 6;

#[test]
fn it_wakes_before_its_load_and_no_failure_puts_it_to_sleep() {
    // What takes its time is the start, so that comes during a rush.
    let first = now() / 1_000 - 8;
    let rows = ROWS.iter().map(|(name, _)| Row::rushing(name, first));
    let (stage, front) = (Stage::new(rows.collect()), Front::new());
    let program = stage.ready(&front);
    // Of the other ways the trigger has the threshold, in replicas.
    let service = Service::new(&front, vec![ends(&program)]).activated_above("5");
    let rush = next_begin(first);
    let names: Vec<&'static str> = ROWS.iter().map(|(name, _)| *name).collect();
    let record = thread::scope(|scope| {
        let seconds = (rush + END - now() / 1_000) as u64;
        let (service, names) = (&service, &names);
        let record = scope.spawn(move || service.follow(names, seconds));
        let mut changes: Vec<(i64, &str, Fault)> = ROWS
            .iter()
            .filter(|(_, failing)| !failing.is_empty())
            .flat_map(|(name, failing)| {
                [
                    (failing.start, *name, Fault::Failing),
                    (failing.end, *name, Fault::None),
                ]
            })
            .collect();
        changes.sort_by_key(|(at, ..)| *at);
        for (at, name, fault) in changes {
            wait_until(rush + at);
            stage.set(name, fault);
        }
        record.join().unwrap()
    });
    for (name, failing) in ROWS {
        for way in WAYS.into_iter().filter(|way| way.is_of_keda()) {
            let polls = &record[&(*name, way)];
            judge(name, way, polls, rush, &stage.row(name).world());
            let silent = polls.iter().any(|poll| poll.told.code() == way.unknown());
            assert_eq!(silent, !failing.is_empty(), "{name}, {way:?}: {polls:#?}");
        }
    }
}

/// The sleep of whoever follows this way; `rush` is when the rush before began.
fn judge(row: &str, way: Way, polls: &[Poll], rush: i64, world: &World) {
    for fallback in [None, Some(Behaviour::CurrentReplicasIfHigher)] {
        let mut ours = Follower::sleeper("ours", fallback, 1);
        let mut alone = Follower::sleeper("alone", fallback, 1);
        let mut course = Vec::new();
        for (sync, poll) in polls.iter().enumerate() {
            let now = sync as i64 * SYNC;
            let present = Told::Known {
                sum: world.demand(poll.at as i64) / CAPACITY,
                target: 1.0,
                active: None,
            };
            let unused = Metric::Failed;
            let size = ours.sync(now, false, &poll.told, unused);
            let alone = alone.sync(now, false, &present, unused);
            let second = poll.at - rush as f64;
            course.push((second, size, alone, poll.told.clone()));
        }
        let sizes = |within: Range<i64>| {
            let within = within.start as f64..within.end as f64;
            let found = course.iter().filter(move |(at, ..)| within.contains(at));
            found.map(|(_, size, alone, _)| (*size, *alone))
        };
        let text = format!("{row}, {way:?}, {fallback:?}: {course:#?}");
        let asleep = sizes(RUSH..AWAKE).filter(|(size, _)| *size == 0);
        assert!(asleep.count() >= 4, "it sleeps: {text}");
        assert!(
            sizes(AWAKE..END).all(|(size, _)| size > 0),
            "it is awake from before its load on: {text}"
        );
        // The forecast is what wakes it: the present has nothing to say.
        assert!(sizes(AWAKE..RHYTHM).all(|(_, alone)| alone == 0), "{text}");
    }
}

/// Waits for a time to begin at, and gives the begin of the rush before it.
fn next_begin(first: i64) -> i64 {
    let phase = (now() / 1_000 - first).rem_euclid(RHYTHM);
    let rush = now() / 1_000 - phase;
    let rush = if phase < BEGIN.end {
        rush
    } else {
        rush + RHYTHM
    };
    wait_until(rush + BEGIN.start);
    rush
}

fn wait_until(second: i64) {
    let left = second * 1_000 - now();
    thread::sleep(Duration::from_millis(left.max(0) as u64));
}
