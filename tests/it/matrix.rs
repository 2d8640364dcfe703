//! The failure matrix: whatever fails, an autoscaler that follows us never has fewer replicas than one that knows the present alone.
//!
//! The real program is asked over real sockets, as KEDA asks it, while something fails; what it answered is then fed to the model of the HPA that
//! `simulate` has. A second of the test is one sync of it, so 15 s of its own time.

use crate::keda::ask;
use crate::support::{
    eventually,
    fake::document_of,
    now,
    program::Program,
    server::{Answer, Asked, Server},
    servers::Past,
};
use forethought::simulate::autoscaler::{Autoscaler, Metric, Settings, Size};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What one replica takes.
const CAPACITY: f64 = 10.0;
/// Seconds before something fails, while it does, and after it has been mended.
const WELL: u64 = 6;
const FAILING: u64 = 14;
const AFTER: u64 = 8;
/// The demand of now counts for six seconds, and a decision is made of it every two.
const LATE: i64 = 9;
/// Seconds of the HPA's time for one of ours.
const SYNC: i64 = 15;

/// How the source behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Success, and no series.
    Empty,
    /// The API's error.
    Failing,
    /// What is not a number.
    NotFinite,
    /// Samples are an hour old: its clock, or what it scrapes, stands still.
    Behind,
    /// The history of the signal has no answer, the demand of now has: forecasts get old.
    NoHistory,
    /// A second series matches.
    Twice,
    /// The history of the signal, and with it what its model says, is so many times the demand; that of now is true.
    Model(i32),
}

#[derive(Debug)]
struct World {
    fault: Fault,
    /// The demand since so many seconds, the newest last.
    demand: Vec<(i64, f64)>,
}

impl World {
    fn demand(&self, seconds: i64) -> f64 {
        let since = self.demand.iter().rev().find(|(from, _)| *from <= seconds);
        since.map_or(50.0, |(_, demand)| *demand) * (1.0 + 0.02 * (seconds as f64 / 7.0).sin())
    }
}

/// The source, and who asks it.
struct Stage {
    world: Arc<Mutex<World>>,
    _server: Server,
    configuration: String,
}

fn answer(world: &World, asked: &Asked) -> Answer {
    let past = |path| Past {
        metric: "demand",
        path,
        level: 1.0,
        swing: 0.2,
        season: 600.0,
    };
    let is_now = asked.parameter("query").contains("now");
    let all = match world.fault {
        Fault::Twice if is_now => vec![past("/"), past("/other")],
        _ => vec![past("/")],
    };
    let document =
        |value: &dyn Fn(i64) -> f64| Answer::json(200, document_of(asked, &all, |_, at| value(at)));
    match world.fault {
        Fault::Empty => Answer::json(
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
        ),
        Fault::Failing => Answer::json(
            503,
            r#"{"status":"error","errorType":"unavailable","error":"on order"}"#,
        ),
        Fault::NoHistory if !is_now => Answer::json(
            503,
            r#"{"status":"error","errorType":"unavailable","error":"on order"}"#,
        ),
        Fault::NotFinite => document(&|at| if at % 2 == 0 { f64::NAN } else { f64::INFINITY }),
        Fault::Behind => Answer::json(
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"path":"/"},"values":[[1000000000,"1"]]}]}}"#,
        ),
        Fault::Model(times) if !is_now => document(&|at| world.demand(at) * f64::from(times)),
        _ => document(&|at| world.demand(at)),
    }
}

impl Stage {
    fn new() -> Self {
        Self::with("{when: 'requests > 20', scale: 2, cooldown: 2s, priority: 1}")
    }

    /// With these rules of the workload.
    fn with(rules: &str) -> Self {
        let world = Arc::new(Mutex::new(World {
            fault: Fault::None,
            demand: Vec::new(),
        }));
        let shared = Arc::clone(&world);
        let server = Server::start(move |asked| answer(&shared.lock().unwrap(), asked));
        let configuration = format!(
            r#"
global: {{evaluation_interval: 2s}}
sources: [{{name: main, prometheus: {{url: "http://{}", retries: 0, timeout: 2s}}}}]
signals:
  - name: requests
    query: demand
    step: 2s
    history: 1h
    offset: 1s
    max_age: 8s
    seasonality: []
    forecast: {{horizons: [10s], models: [last_value: {{}}]}}
workloads:
  - name: checkout
    demand: {{signal: requests, query: now, max_age: 6s}}
    capacity_per_replica: 10
    lead_time: 10s
    pipeline: 4s
    limits: {{min: 1, max: 100, hold: 4s}}
    gate: {{min_skill: -10, coverage_tolerance: 0.5, max_age: 8s}}
    # What is asked for above the present, while the signal is there.
    rules: [{rules}]
    mode: guarded
"#,
            server.address()
        );
        Self {
            world,
            _server: server,
            configuration,
        }
    }

    fn start(&self) -> Program {
        let program = Program::ready(&self.configuration, &["--grpc.listen-address=127.0.0.1:0"]);
        eventually("more is recommended than the present asks for", 30, || {
            let value = program.json("/api/v1/scaling/value?workload=checkout")?;
            match value["replicas"].as_u64() {
                Some(replicas) if replicas >= 8 => Ok(()),
                _ => Err(value.to_string()),
            }
        });
        program
    }

    fn set(&self, fault: Fault) {
        self.world.lock().unwrap().fault = fault;
    }

    fn load(&self, demand: f64) {
        self.world
            .lock()
            .unwrap()
            .demand
            .push((now() / 1_000, demand));
    }
}

/// What KEDA was told, second by second.
fn follow(addresses: &str, seconds: u64) -> Vec<Value> {
    let question = json!([{"follow": seconds, "address": addresses, "name": "checkout"}]);
    let answers = ask(question);
    answers[0]["polls"].as_array().cloned().unwrap()
}

/// Which of the numbers a version of KEDA reads.
#[derive(Debug, Clone, Copy)]
enum Reader {
    /// From 2.17.
    Floats,
    /// Before.
    Whole,
}

fn metric(poll: &Value, reader: Reader) -> Metric {
    let (value, target) = match reader {
        Reader::Floats => (&poll["value"], &poll["target"]),
        Reader::Whole => (&poll["whole"], &poll["whole_target"]),
    };
    match (poll["code"] == "OK", value.as_f64(), target.as_f64()) {
        (true, Some(sum), Some(target)) => Metric::Average { sum, target },
        _ => Metric::Failed,
    }
}

/// Feeds what was answered to an HPA, beside one that knows the present alone.
fn judge(name: &str, polls: &[Value], world: &World) {
    let demand = |poll: &Value| world.demand(poll["at"].as_f64().unwrap() as i64);
    let present = |poll: &Value| Metric::Average {
        sum: demand(poll),
        target: CAPACITY,
    };
    for reader in [Reader::Floats, Reader::Whole] {
        // Of the pods none is ready: those that were started ahead never are while they are needed most.
        for ready in [true, false] {
            let start = polls
                .first()
                .map_or(1, |poll| (demand(poll) / CAPACITY).ceil() as u32);
            let usual = Settings::new(1, 100);
            let mut sudden = usual.clone();
            sudden.down.stabilisation = 0;
            let mut scalers =
                [usual.clone(), usual, sudden].map(|one| (Autoscaler::new(one), start));
            let mut course = Vec::new();
            for (second, poll) in polls.iter().enumerate() {
                let at = second as i64 * SYNC;
                let ours = metric(poll, reader);
                if let Metric::Average { sum, target } = ours {
                    // What is newest may be so old, and no older.
                    let at = poll["at"].as_f64().unwrap() as i64;
                    let asked = (at - LATE..=at).map(|second| world.demand(second) / CAPACITY);
                    let least = asked.fold(f64::INFINITY, f64::min) * 0.95;
                    assert!(
                        sum / target >= least && poll["active"] == true,
                        "{name}, {reader:?}: less than the present asks for, {least}: {poll}"
                    );
                }
                let sets: [Vec<Metric>; 3] =
                    [vec![present(poll)], vec![ours, present(poll)], vec![ours]];
                let before = scalers[2].1;
                for ((scaler, size), metrics) in scalers.iter_mut().zip(&sets) {
                    let there = Size {
                        wanted: *size,
                        existing: *size,
                        ready: if ready { *size } else { 0 },
                    };
                    *size = scaler.sync(at, there, metrics);
                }
                let [alone, both, only] = [scalers[0].1, scalers[1].1, scalers[2].1];
                course.push((second, poll.to_string(), alone, both, only));
                assert!(
                    both >= alone,
                    "{name}, {reader:?}: fewer than by the present alone: {course:#?}"
                );
                // An answer may be as old as what is newest.
                let at = poll["at"].as_f64().unwrap() as i64;
                let lately = (at - LATE..=at).map(|second| world.demand(second));
                let lately = lately.fold(f64::INFINITY, f64::min);
                let least = (lately / CAPACITY * 0.9).floor() as u32;
                assert!(
                    only >= before.min(least),
                    "{name}, {reader:?}: it was scaled down below the present: {course:#?}"
                );
            }
        }
    }
}

/// Plays a row: the load rises while something fails, and falls after it was mended.
fn play(
    name: &str,
    stage: &Stage,
    addresses: &str,
    fail: impl FnOnce() + Send,
    mend: impl FnOnce() + Send,
) -> Vec<Value> {
    stage.load(50.0);
    let polls = thread::scope(|scope| {
        let polls = scope.spawn(|| follow(addresses, WELL + FAILING + AFTER));
        let wait = |seconds| thread::sleep(Duration::from_secs(seconds));
        wait(WELL);
        fail();
        wait(FAILING / 2);
        stage.load(80.0);
        wait(FAILING / 2);
        mend();
        wait(AFTER / 2);
        stage.load(30.0);
        polls.join().unwrap()
    });
    judge(name, &polls, &stage.world.lock().unwrap());
    let first = polls
        .iter()
        .take(3)
        .filter(|poll| poll["code"] == "OK")
        .count();
    assert!(first >= 2, "{name}: it was well before: {polls:#?}");
    polls
}

fn codes(polls: &[Value], from: u64, until: u64) -> Vec<&str> {
    let within = polls
        .iter()
        .skip(from as usize)
        .take((until - from) as usize);
    within.filter_map(|poll| poll["code"].as_str()).collect()
}

/// A row in which the source misbehaves.
fn source_row(name: &str, fault: Fault, ends_unknown: bool) {
    let stage = Stage::new();
    let program = stage.start();
    let polls = play(
        name,
        &stage,
        &program.grpc_address(),
        || stage.set(fault),
        || stage.set(Fault::None),
    );
    // The newest demand counts for six seconds and the decision for some more.
    let late = codes(&polls, WELL + 10, WELL + FAILING);
    let unknown = late.iter().all(|code| *code == "UNAVAILABLE");
    let known = late.iter().all(|code| *code == "OK");
    assert!(
        if ends_unknown { unknown } else { known },
        "{name}: {polls:#?}\n{}",
        program.log()
    );
    let end = codes(&polls, WELL + FAILING + 5, WELL + FAILING + AFTER);
    assert!(end.contains(&"OK"), "{name}: it recovers: {polls:#?}");
}

#[test]
fn the_source_misbehaves() {
    let rows = [
        ("an empty answer", Fault::Empty, true),
        ("503", Fault::Failing, true),
        ("NaN and Inf", Fault::NotFinite, true),
        ("a clock an hour behind", Fault::Behind, true),
        ("a second series", Fault::Twice, true),
        ("a forecast that gets too old", Fault::NoHistory, false),
    ];
    thread::scope(|scope| {
        for (name, fault, ends_unknown) in rows {
            scope.spawn(move || source_row(name, fault, ends_unknown));
        }
    });
}

/// A row in which the model is wrong, and the present is known.
fn model_row(name: &str, times: i32) {
    let stage = Stage::with("");
    let program = Program::ready(&stage.configuration, &["--grpc.listen-address=127.0.0.1:0"]);
    eventually("the forecast counts", 30, || {
        let status = program.json("/api/v1/scaling/status")?;
        match status["gates_open"] == 1 {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
    let polls = play(
        name,
        &stage,
        &program.grpc_address(),
        || stage.set(Fault::Model(times)),
        || stage.set(Fault::None),
    );
    for poll in &polls {
        assert_eq!(
            poll["code"], "OK",
            "{name}: the present is known: {polls:#?}"
        );
        // The demand is 80 at most, and the margin of a forecast is not ten times of it.
        let value = poll["value"].as_f64().unwrap();
        assert!(
            value <= 80.0 / CAPACITY * 2.0,
            "{name}: {value} replicas: {poll}"
        );
    }
}

#[test]
fn the_model_is_wrong() {
    thread::scope(|scope| {
        for (name, times) in [("0", 0), ("negative", -1), ("10x", 10)] {
            scope.spawn(move || model_row(name, times));
        }
    });
}

#[test]
fn the_program_is_killed_and_starts_again_at_the_peak() {
    let stage = Stage::new();
    let first = stage.start();
    let own = first.grpc_address();
    // It comes back on the same port, as a pod behind its Service does.
    let again = Mutex::new(None);
    let flag = format!("--grpc.listen-address={own}");
    play(
        "killed",
        &stage,
        &own,
        || first.signal("KILL"),
        || *again.lock().unwrap() = Some(Program::start(&stage.configuration, &[&flag])),
    );
}

#[test]
fn the_program_hangs() {
    let stage = Stage::new();
    let program = stage.start();
    let polls = play(
        "hung",
        &stage,
        &program.grpc_address(),
        || program.signal("STOP"),
        || program.signal("CONT"),
    );
    let failing = codes(&polls, WELL + 2, WELL + 5);
    assert!(!failing.contains(&"OK"), "{polls:#?}");
}

#[test]
fn one_of_two_replicas_is_cut_off() {
    let (stage, other) = (Stage::new(), Stage::new());
    let (well, cut) = (stage.start(), other.start());
    let both = format!("{},{}", well.grpc_address(), cut.grpc_address());
    other.load(50.0);
    let polls = play(
        "one stale",
        &stage,
        &both,
        || other.set(Fault::Failing),
        || {
            // It sees the load of all others, as it was when it was cut off and as it is now.
            other.load(80.0);
            other.set(Fault::None);
        },
    );
    let late = codes(&polls, WELL + 10, WELL + FAILING);
    assert!(
        late.contains(&"OK") && late.contains(&"UNAVAILABLE"),
        "each says what it knows: {polls:#?}"
    );
}

#[test]
fn the_judgement_bites() {
    let world = World {
        fault: Fault::None,
        demand: Vec::new(),
    };
    let poll = |second: i64, value: f64| json!({"at": second, "code": "OK", "target": 1.0, "whole_target": 1, "value": value, "whole": value, "active": true});
    let well: Vec<Value> = (0..60).map(|second| poll(second, 10.0)).collect();
    judge("well", &well, &world);
    // No number is taken for none while something fails, and a little too little.
    for wrong in [0.0, 4.0] {
        let failing = WELL as i64..(WELL + FAILING) as i64;
        let gone = (0..28).map(|second| {
            poll(
                second,
                if failing.contains(&second) {
                    wrong
                } else {
                    10.0
                },
            )
        });
        let gone: Vec<Value> = gone.collect();
        let judged = std::panic::catch_unwind(|| judge("wrong", &gone, &world));
        assert!(judged.is_err(), "{wrong}");
    }
}
