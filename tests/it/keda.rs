//! KEDA's `external` and `external-push` triggers: the real program, asked by a client that grpcio-tools makes of the protocol.

mod tls;

use crate::support::{
    eventually,
    fake::document_of,
    guard::output,
    program::Program,
    server::{Answer, Server},
    servers::{Past, python},
};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Seconds from one rush to the next, and how long one takes.
const RHYTHM: i64 = 120;
const RUSH: i64 = 40;
/// The demand of a rush. Between two there is none.
const LEVEL: f64 = 100.0;

/// The demand at a time in seconds.
fn demand(seconds: i64) -> f64 {
    match seconds.rem_euclid(RHYTHM) < RUSH {
        true => LEVEL,
        false => 0.0,
    }
}

/// A source whose demand comes in rushes, and that can be made to fail.
pub(crate) struct Shop {
    server: Server,
    /// Whether it fails.
    pub(crate) fails: Arc<AtomicBool>,
}

impl Shop {
    /// One that does not fail.
    pub(crate) fn open() -> Self {
        let fails = Arc::new(AtomicBool::new(false));
        let ordered = Arc::clone(&fails);
        let past = [Past {
            metric: "demand",
            path: "/",
            level: 1.0,
            swing: 0.2,
            season: 600.0,
        }];
        let server = Server::start(move |asked| match ordered.load(Ordering::Relaxed) {
            true => Answer::json(
                503,
                r#"{"status":"error","errorType":"unavailable","error":"on order"}"#,
            ),
            false => Answer::json(200, document_of(asked, &past, |_, at| demand(at))),
        });
        Self { server, fails }
    }

    /// Workloads `checkout`, `watched`, and `resting`, which is off.
    pub(crate) fn configuration(&self) -> String {
        format!(
            r#"
global: {{evaluation_interval: 2s}}
sources: [{{name: main, prometheus: {{url: "http://{}", retries: 0}}}}]
signals:
  - name: requests
    query: demand
    step: 2s
    history: 1h
    offset: 1s
    max_age: 10s
    seasonality: [2m]
    forecast: {{horizons: [10s]}}
workloads:
  - name: checkout
    demand: {{signal: requests, max_age: 6s}}
    capacity_per_replica: 10
    lead_time: 10s
    pipeline: 4s
    limits: {{min: 0, max: 50, hold: 4s, stabilisation: {{down: 0s}}, retry_storm: 0s, hysteresis: 0, oscillation: {{changes: 16, within: 1m}}}}
    gate: {{min_skill: -1, coverage_tolerance: 0.5, max_jump: 1000}}
    mode: guarded
  - name: watched
    demand: {{signal: requests, max_age: 6s}}
    capacity_per_replica: 10
    limits: {{min: 0, max: 50}}
  - {{name: resting, demand: {{signal: requests}}, capacity_per_replica: 10, limits: {{max: 50}}, mode: off}}
"#,
            self.server.address()
        )
    }
}

/// Waits until somebody listens to a stream.
fn streams(program: &Program) {
    eventually("a stream is open", 20, || {
        let labels = ["call=\"StreamIsActive\"", "code=\"Ok\""];
        let metrics = program.metrics()?;
        metrics.value("forethought_scaler_requests_total", &labels)
    });
}

/// Asks all questions of one client, one after another.
pub(crate) fn ask(questions: Value) -> Vec<Value> {
    let client = "tests/fixtures/keda/client.py";
    let output = output(&python("python"), &[client], Some(&questions.to_string()));
    let answers: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    answers.as_array().cloned().unwrap()
}

#[test]
fn every_call_is_answered_from_memory() {
    let shop = Shop::open();
    let program = Program::ready(
        &shop.configuration(),
        &["--grpc.listen-address=127.0.0.1:0"],
    );
    let address = program.grpc_address();
    eventually("health follows readiness", 10, || {
        let health = ask(json!([{"address": address, "call": "Health"}]));
        match health[0]["status"] == "SERVING" {
            true => Ok(()),
            false => Err(health[0].to_string()),
        }
    });
    let question = |call: &str, name: &str| json!({"address": address, "call": call, "name": name});
    let metrics = |metric: &str, metadata: Value| json!({"address": address, "call": "GetMetrics", "name": "anything", "metric": metric, "metadata": metadata});
    let own = json!({"workload": "checkout", "scalerAddress": "forethought:10058"});
    let answers = ask(json!([
        question("Health", ""),
        question("Health", "externalscaler.ExternalScaler"),
        question("GetMetricSpec", "checkout"),
        metrics("predicted-replicas", own),
        metrics(
            "predicted-replicas-x12.5",
            json!({"workload": "checkout", "target": "12.5"})
        ),
        question("IsActive", "checkout"),
        json!({"address": address, "call": "StreamMetricSpec", "name": "checkout", "seconds": 1}),
        question("GetMetricSpec", "chekcout"),
        question("IsActive", "resting"),
        metrics(
            "predicted-replicas",
            json!({"workload": "checkout", "taget": "10"})
        ),
        metrics("s0-cpu", json!({"workload": "checkout"})),
        question("Health", "nobody"),
    ]));
    let [
        health,
        own_health,
        spec,
        one,
        scaled,
        active,
        specs,
        stranger,
        off,
        slip,
        other,
        nobody,
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!(health["status"], "SERVING");
    assert_eq!(own_health["status"], "SERVING");
    let wanted =
        json!([{"metricName": "predicted-replicas", "targetSize": "1", "targetSizeFloat": 1.0}]);
    assert_eq!(spec["metricSpecs"], wanted);
    assert_eq!(specs["messages"][0][1]["metricSpecs"], wanted, "{specs}");
    let value = |answer: &Value| {
        let values = answer["metricValues"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert_eq!(values.len(), 1, "several would be added up: {answer}");
        let whole: f64 = values[0]["metricValue"].as_str().unwrap().parse().unwrap();
        (values[0]["metricValueFloat"].as_f64().unwrap(), whole)
    };
    let ((replicas, whole), (demand, whole_demand)) = (value(one), value(scaled));
    assert!(
        (0.0..=51.0).contains(&replicas) && whole == replicas.ceil(),
        "{one}"
    );
    assert!(
        (demand / 12.5 - replicas).abs() <= 10.0,
        "{scaled} beside {one}"
    );
    assert!(
        whole_demand >= demand && (whole_demand / 13.0).ceil() >= (demand / 12.5).ceil() - 1e-9,
        "{scaled}"
    );
    assert_eq!(active["code"], "OK", "{active}");
    for (answer, code, part) in [
        (stranger, "NOT_FOUND", "checkout, watched"),
        (off, "FAILED_PRECONDITION", "mode off"),
        (slip, "INVALID_ARGUMENT", "did you mean \"target\"?"),
        (other, "INVALID_ARGUMENT", "\"predicted-replicas\""),
        (nobody, "NOT_FOUND", ""),
    ] {
        assert_eq!(answer["code"], code, "{answer}");
        let details = answer["details"].as_str().unwrap_or_default();
        assert!(details.contains(part), "{answer}");
    }
    let path = "/api/v1/scaling/value?workload=checkout&target=120";
    let told = program.json(path).unwrap();
    assert_eq!(told["target"], 120.0, "{told}");
    let per = told["value"].as_f64().unwrap() / 120.0;
    assert!(per.ceil() >= told["replicas"].as_f64().unwrap(), "{told}");
    for (wrong, part) in [
        ("workload=none", "checkout"),
        ("target=1", "missing"),
        ("workload=checkout&target=0", "0.001"),
    ] {
        let error = program
            .json(&format!("/api/v1/scaling/value?{wrong}"))
            .unwrap_err();
        assert!(error.contains(part), "{wrong}: {error}");
    }
    let exposed = program.metrics().unwrap();
    let asked = exposed.value(
        "forethought_scaler_requests_total",
        &["call=\"GetMetrics\"", "code=\"Ok\""],
    );
    assert_eq!(asked, Ok(2.0));
}

#[test]
fn a_workload_wakes_before_its_load_arrives_and_sleeps_when_none_is_coming() {
    let shop = Shop::open();
    let program = Program::ready(
        &shop.configuration(),
        &["--grpc.listen-address=127.0.0.1:0"],
    );
    let address = program.grpc_address();
    eventually("the gate is open", 60, || {
        let workload = program.json("/api/v1/workloads?name=checkout")?;
        match workload.pointer("/workloads/0/gate") == Some(&"open".into()) {
            true => Ok(()),
            false => Err(workload.to_string()),
        }
    });
    let listen = |name: &str| {
        let seconds = RHYTHM + 20;
        let answer = ask(
            json!([{"address": address, "call": "StreamIsActive", "name": name, "seconds": seconds}]),
        );
        let messages = answer[0]["messages"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let told = messages.iter().map(|message| {
            let at = message[0].as_f64().unwrap_or_default();
            (
                at.rem_euclid(RHYTHM as f64),
                message[1]["result"] == json!(true),
            )
        });
        told.collect::<Vec<(f64, bool)>>()
    };
    let (guarded, observed) = std::thread::scope(|scope| {
        let observed = scope.spawn(|| listen("watched"));
        (listen("checkout"), observed.join().unwrap())
    });
    let quiet = |wanted: bool, told: &[(f64, bool)]| {
        let changes = told.iter().skip(1).filter(|(_, active)| *active == wanted);
        changes.map(|(phase, _)| *phase).collect::<Vec<f64>>()
    };
    let (early, late) = ((RHYTHM - 30) as f64, (RHYTHM - 4) as f64);
    let woke = quiet(true, &guarded);
    assert!(
        !woke.is_empty() && woke.iter().all(|phase| (early..late).contains(phase)),
        "woken long enough before the rush, which begins at {RHYTHM}: {guarded:?}"
    );
    let slept = quiet(false, &guarded);
    assert!(
        slept.iter().all(|phase| *phase > RUSH as f64),
        "{guarded:?}"
    );
    assert!(!slept.is_empty(), "nobody sleeps: {guarded:?}");
    let woke = quiet(true, &observed);
    assert!(
        woke.iter().all(|phase| *phase < RUSH as f64),
        "whoever only observes wakes nobody before the load is there: {observed:?}"
    );
}

#[test]
fn what_is_not_known_is_no_number() {
    let shop = Shop::open();
    shop.fails.store(true, Ordering::Relaxed);
    let mut program = Program::start(
        &shop.configuration(),
        &["--grpc.listen-address=127.0.0.1:0"],
    );
    let address = program.grpc_address();
    let questions = json!([
        {"address": address, "call": "Health"},
        {"address": address, "call": "GetMetricSpec", "name": "checkout"},
        {"address": address, "call": "GetMetrics", "name": "checkout", "metric": "predicted-replicas"},
        {"address": address, "call": "IsActive", "name": "checkout"},
    ]);
    let codes = |answers: &[Value]| {
        answers
            .iter()
            .map(|one| one["code"].clone())
            .collect::<Vec<_>>()
    };
    let before = ask(questions.clone());
    assert_eq!(before[0]["status"], "NOT_SERVING", "{before:?}");
    // What a ScaledObject is made of does not wait for a decision: an autoscaler written without it would not know us.
    assert_eq!(
        codes(&before),
        ["OK", "OK", "UNAVAILABLE", "UNAVAILABLE"],
        "{before:?}"
    );

    shop.fails.store(false, Ordering::Relaxed);
    let all = |wanted: [&str; 4]| {
        eventually("the answers", 60, || {
            let answers = ask(questions.clone());
            let ready = answers[0]["status"] == "SERVING";
            match ready && codes(&answers) == wanted {
                true => Ok(answers),
                false => Err(format!("{answers:?}\n{}", program.log())),
            }
        })
    };
    all(["OK"; 4]);
    shop.fails.store(true, Ordering::Relaxed);
    let lost = all(["OK", "OK", "UNAVAILABLE", "UNAVAILABLE"]);
    assert!(
        lost[2]["details"]
            .as_str()
            .is_some_and(|why| why.contains("not known")),
        "{lost:?}"
    );
    shop.fails.store(false, Ordering::Relaxed);
    all(["OK"; 4]);

    // A stream ends with a status that sends the client elsewhere.
    let stream =
        json!([{"address": address, "call": "StreamIsActive", "name": "checkout", "seconds": 30}]);
    let ended = std::thread::scope(|scope| {
        let stream = scope.spawn(|| ask(stream));
        streams(&program);
        program.signal("TERM");
        stream.join().unwrap()
    });
    assert_eq!(ended[0]["code"], "UNAVAILABLE", "{ended:?}");
    assert!(
        !ended[0]["messages"].as_array().unwrap().is_empty(),
        "{ended:?}"
    );
    assert!(program.wait(20).success(), "{}", program.log());
}

#[test]
fn a_stream_that_is_cut_is_told_as_unavailable() {
    let shop = Shop::open();
    let program = Program::ready(
        &shop.configuration(),
        &["--grpc.listen-address=127.0.0.1:0"],
    );
    let address = program.grpc_address();
    let stream =
        json!([{"address": address, "call": "StreamIsActive", "name": "checkout", "seconds": 30}]);
    let ended = std::thread::scope(|scope| {
        let stream = scope.spawn(|| ask(stream));
        streams(&program);
        program.signal("KILL");
        stream.join().unwrap()
    });
    assert_eq!(ended[0]["code"], "UNAVAILABLE", "{ended:?}");
}

/// `file` as JSON text.
fn text(file: &Path) -> String {
    file.display().to_string()
}
