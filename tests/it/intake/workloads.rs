//! Workloads whose demand is scraped: who answers what else they ask.

use super::{World, shop::configuration};
use crate::support::{
    eventually,
    program::{Program, command},
    server::{Answer, Server},
};
use std::{
    fs,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

const WORKLOAD: &str = "
workloads:
  - name: checkout
    demand: {signal: shop_requests, match: {path: /cart}}
    capacity_per_replica: 10
    lead_time: 10s
    pipeline: 4s
    limits: {min: 1, max: 500, hold: 20s}
    mode: guarded
";
const REPLICAS: &str = "    replicas: {query: ready_replicas}\n";

/// A configuration with these further sources.
fn with_sources(text: &str, names: &[&str]) -> String {
    let source =
        |name: &&str| format!("  - {{name: {name}, prometheus: {{url: 'http://{name}:9090'}}}}\n");
    let sources: String = names.iter().map(source).collect();
    text.replace("signals:\n", &format!("{sources}signals:\n"))
}

#[test]
fn the_demand_is_scraped_and_the_rest_asked_of_the_only_prometheus() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let prometheus = Server::start(move |asked| {
        seen.lock()
            .unwrap()
            .push(asked.parameter("query").to_owned());
        let end: f64 = asked.seconds("end").max(asked.seconds("time"));
        let whole = end.floor();
        let (kind, value) = match asked.path.ends_with("query_range") {
            true => ("matrix", format!("\"values\":[[{whole},\"7\"]]")),
            false => ("vector", format!("\"value\":[{whole},\"7\"]")),
        };
        Answer::json(
            200,
            format!(
                "{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":[{{\"metric\":{{}},{value}}}]}}}}"
            ),
        )
    });
    let world = World::start("");
    let rest = [WORKLOAD, REPLICAS].concat();
    let text = configuration(&world.shop.address(), &rest);
    let text = with_sources(&text, &["asked"]).replace("asked:9090", &prometheus.address());
    let program = Program::ready(
        &text,
        &["--storage.path="]
            .map(|flag| format!("{flag}{}", world.folder.path().join("other").display()))
            .each_ref()
            .map(String::as_str),
    );
    let of = ["workload=\"checkout\""];
    let (demand, ready) = eventually("it is decided on", 60, || {
        let metrics = program.metrics()?;
        let replicas = metrics.value("predicted_replicas", &of)?;
        let demand = metrics.value("predicted_demand", &of)?;
        let told = program.json("/api/v1/workloads?name=checkout")?;
        let ready = told.pointer("/workloads/0/ready").cloned();
        match (replicas >= demand / 10.0, ready) {
            (true, Some(ready)) if !ready.is_null() => Ok((demand, ready)),
            (_, ready) => Err(format!("{replicas} of {demand}, ready: {ready:?}: {told}")),
        }
    });
    assert!((60.0..100.0).contains(&demand), "two pods of 40: {demand}");
    assert_eq!(ready.as_f64(), Some(7.0));
    let asked = asked.lock().unwrap();
    assert!(
        asked.iter().all(|query| query == "ready_replicas"),
        "{asked:?}"
    );
    assert!(!asked.is_empty());
}

#[test]
fn queries_that_nobody_would_answer_are_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("forethought.yml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        command(&["check", &file.display().to_string()])
    };
    let whole = configuration("localhost:1", &[WORKLOAD, REPLICAS].concat());
    let (code, _, err) = check(&whole);
    assert_eq!(code, 2, "{err}");
    for word in [
        "workloads[0].replicas.query",
        "workload \"checkout\"",
        "there is no source of the kind prometheus",
        "add one",
    ] {
        assert!(err.contains(word), "{word} is not in {err}");
    }
    assert_eq!(err.lines().count(), 1, "{err}");
    let (code, _, err) = check(&with_sources(&whole, &["main", "other"]));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("which of main, other is to be asked"), "{err}");
    let (code, _, err) = check(&with_sources(&whole, &["main"]));
    assert_eq!((code, err.as_str()), (0, ""));
    // One that asks nothing itself needs nobody.
    let (code, _, err) = check(&configuration("localhost:1", WORKLOAD));
    assert_eq!((code, err.as_str()), (0, ""));
}
