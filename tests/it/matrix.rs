//! The failure matrix: whatever fails, an autoscaler that follows us never has fewer replicas than one that knows the present alone.
//!
//! The real program is asked over real sockets, in every way that autoscalers ask it, while something fails; what each way told is then fed to
//! the model of KEDA in `keda` and to that of the HPA that `simulate` has. A second of the test is one sync of the HPA, so 15 s of its own time.

mod judge;
mod keda;
mod sleep;
mod stage;
mod ways;

use crate::support::{eventually, front::Front, now};
use judge::judge;
use stage::{CAPACITY, Fault, Row, Stage, ends};
use std::{sync::Mutex, thread, time::Duration};
use ways::{Poll, Record, Service, WAYS, Way};

/// Seconds before something fails, while it does, and after it has been mended.
const WELL: u64 = 6;
const FAILING: u64 = 14;
const AFTER: u64 = 12;

/// What was told while a row was played.
struct Played {
    /// When it began, in seconds since the epoch.
    began: f64,
    record: Record,
}

impl Played {
    fn polls(&self, row: &'static str, way: Way) -> &[Poll] {
        &self.record[&(row, way)]
    }

    /// What was said from so many seconds on until so many.
    fn codes(&self, row: &'static str, way: Way, from: u64, until: u64) -> Vec<&str> {
        let within = self.began + from as f64..self.began + until as f64;
        let polls = self.polls(row, way).iter();
        polls
            .filter(|poll| within.contains(&poll.at))
            .map(|poll| poll.told.code())
            .collect()
    }
}

/// Plays rows at once: the load rises while something fails, and falls after it was mended.
fn play(
    stage: &Stage,
    service: &Service<'_>,
    fail: impl FnOnce() + Send,
    mend: impl FnOnce() + Send,
) -> Played {
    let rows: Vec<&'static str> = stage.rows.iter().map(|row| row.name).collect();
    stage.load(50.0);
    let began = now() as f64 / 1_000.0;
    let record = thread::scope(|scope| {
        let record = scope.spawn(|| service.follow(&rows, WELL + FAILING + AFTER));
        let wait = |seconds| thread::sleep(Duration::from_secs(seconds));
        wait(WELL);
        fail();
        wait(FAILING / 2);
        stage.load(80.0);
        wait(FAILING / 2);
        mend();
        wait(AFTER / 2);
        stage.load(30.0);
        record.join().unwrap()
    });
    let played = Played { began, record };
    for ((row, way), polls) in &played.record {
        let first = polls.iter().take(3);
        let well = first.filter(|poll| poll.told.code() == "OK").count();
        assert!(well >= 2, "{row}, {way:?}: it was well before: {polls:#?}");
        judge(row, *way, polls, &stage.row(row).world());
    }
    played
}

/// What fails, and whether it ends in nobody knowing, or the present is known throughout.
const ROWS: &[(&str, Fault, bool)] = &[
    ("empty", Fault::Empty, true),
    ("failing", Fault::Failing, true),
    ("not_finite", Fault::NotFinite, true),
    ("clock_an_hour_behind", Fault::Behind, true),
    ("second_series", Fault::Twice, true),
    ("old_forecast", Fault::NoHistory, false),
    ("model_says_zero", Fault::Model(0.0), false),
    ("model_says_less_than_zero", Fault::Model(-1.0), false),
    ("model_says_ten_times", Fault::Model(10.0), false),
    ("model_says_nan", Fault::Model(f64::NAN), false),
    ("model_says_infinity", Fault::Model(f64::INFINITY), false),
];

#[test]
fn the_source_misbehaves_or_the_model_is_wrong() {
    let rows = ROWS.iter().map(|(name, fault, _)| match fault {
        Fault::Model(_) => Row::foreseen(name),
        _ => Row::ahead(name),
    });
    let (stage, front) = (Stage::new(rows.collect()), Front::new());
    let program = stage.ready(&front);
    let service = Service::new(&front, vec![ends(&program)]);
    let played = play(
        &stage,
        &service,
        || {
            ROWS.iter()
                .for_each(|(row, fault, _)| stage.set(row, *fault))
        },
        || {
            ROWS.iter()
                .for_each(|(row, ..)| stage.set(row, Fault::None))
        },
    );
    for (row, fault, ends_unknown) in ROWS {
        for way in WAYS {
            let polls = played.polls(row, way);
            // The newest demand counts for six seconds and the decision for some more.
            let late = played.codes(row, way, WELL + 10, WELL + FAILING);
            let wanted = if *ends_unknown { way.unknown() } else { "OK" };
            assert!(
                late.len() >= 2 && late.iter().all(|code| *code == wanted),
                "{row}, {way:?}: {wanted}: {polls:#?}\n{}",
                program.log()
            );
            let end = played.codes(row, way, WELL + FAILING + 5, u64::MAX);
            assert!(
                end.contains(&"OK"),
                "{row}, {way:?}: it recovers: {polls:#?}"
            );
            if matches!(fault, Fault::Model(_)) {
                believed(row, way, polls);
            }
        }
    }
}

/// A model is wrong, and the present is known: the demand is 80 at most, and the margin of a forecast is not ten times of it.
fn believed(row: &str, way: Way, polls: &[Poll]) {
    for poll in polls {
        let replicas = poll.told.replicas();
        assert!(
            replicas.is_some_and(|replicas| replicas <= 80.0 / CAPACITY * 2.0),
            "{row}, {way:?}: {poll:?} of {polls:#?}"
        );
    }
}

#[test]
fn the_program_is_killed_and_starts_again_at_the_peak() {
    let (stage, front) = (Stage::new(vec![Row::ahead("killed")]), Front::new());
    let first = stage.ready(&front);
    let own = ends(&first);
    let service = Service::new(&front, vec![own.clone()]);
    let again = Mutex::new(None);
    let played = play(
        &stage,
        &service,
        || first.signal("KILL"),
        || {
            // gRPC's port is the same, as that of a pod behind its Service is.
            let second = stage.start(&front, &own.grpc);
            service.moves(ends(&second));
            *again.lock().unwrap() = Some(second);
        },
    );
    for way in WAYS {
        let failing = played.codes("killed", way, WELL + 1, WELL + FAILING);
        let gone = match way {
            Way::Grpc | Way::Whole => "UNAVAILABLE",
            Way::Json | Way::Series | Way::External => "gone",
        };
        assert!(
            failing.len() >= 5 && failing.iter().all(|code| *code == gone),
            "{way:?}: {failing:?}"
        );
    }
}

#[test]
fn the_program_hangs() {
    let (stage, front) = (Stage::new(vec![Row::ahead("hung")]), Front::new());
    let program = stage.ready(&front);
    let service = Service::new(&front, vec![ends(&program)]);
    let played = play(
        &stage,
        &service,
        || program.signal("STOP"),
        || program.signal("CONT"),
    );
    for way in WAYS {
        let failing = played.codes("hung", way, WELL + 2, WELL + FAILING - 2);
        assert!(
            failing.len() >= 3 && !failing.contains(&"OK"),
            "{way:?}: {failing:?}"
        );
        let end = played.codes("hung", way, WELL + FAILING + 4, u64::MAX);
        assert!(end.contains(&"OK"), "{way:?}: it recovers: {end:?}");
    }
}

#[test]
fn one_of_two_replicas_is_cut_off() {
    let [stage, other] = ["cut_off"; 2].map(|name| Stage::new(vec![Row::ahead(name)]));
    let front = Front::new();
    let (well, cut) = (stage.ready(&front), other.ready(&front));
    let service = Service::new(&front, vec![ends(&well), ends(&cut)]);
    other.load(50.0);
    let played = play(
        &stage,
        &service,
        || other.set("cut_off", Fault::Failing),
        || {
            // It sees the load of all others, as it was when it was cut off and as it is now.
            other.load(80.0);
            other.set("cut_off", Fault::None);
        },
    );
    for way in WAYS {
        let late = played.codes("cut_off", way, WELL + 10, WELL + FAILING);
        // Prometheus scrapes both, and whoever knows is the greatest.
        let each_says_what_it_knows = way == Way::Series || late.contains(&way.unknown());
        assert!(
            late.contains(&"OK") && each_says_what_it_knows,
            "{way:?}: {late:?}: {:#?}",
            played.polls("cut_off", way)
        );
    }
}

#[test]
fn nothing_was_decided_yet() {
    let (stage, front) = (Stage::new(vec![Row::ahead("undecided")]), Front::new());
    stage.set("undecided", Fault::Failing);
    let program = stage.start(&front, "127.0.0.1:0");
    let service = Service::new(&front, vec![ends(&program)]);
    // What a ScaledObject is made of, and what the API server finds, do not wait for a decision: an HPA written without it would not know us.
    let caller = service.front().caller(&program.external_address());
    let found = eventually("discovery is answered", 10, || {
        caller.get("/apis/external.metrics.k8s.io/v1beta1")
    });
    assert!(found.text().contains("predicted-replicas"), "{found:?}");
    let record = service.follow(&["undecided"], 4);
    for ((row, way), polls) in &record {
        assert!(!polls.is_empty(), "{way:?}");
        for poll in polls {
            let expected = ways::Told::Silent {
                code: way.unknown().to_owned(),
                has_spec: true,
            };
            assert_eq!(poll.told, expected, "{way:?}");
        }
        judge(row, *way, polls, &stage.row(row).world());
    }
}
