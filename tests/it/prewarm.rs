//! A process that is killed in the middle of a pre-warm and started again goes on with it.

use crate::support::{
    eventually, http, now, program::Program, servers::prometheus, throughout, undisturbed,
};
use serde_json::Value;
use std::path::Path;

/// The demand goes from 200 to 600 and back within a minute: 20 to 60 replicas. More than four in two seconds may not be
/// added of those that are only forecast, so a peak must be begun long before the lead time.
fn configuration(store: &Path) -> String {
    format!(
        r#"
global: {{evaluation_interval: 2s}}
sources: [{{name: main, prometheus: {{url: "http://{address}"}}}}]
signals:
  - name: pulse
    query: pulse_requests_per_second{{job="pulse"}}
    step: 2s
    history: 45m
    offset: 1s
    max_age: 20s
    seasonality: [1m]
    forecast: {{horizons: [10s]}}
store: {{sqlite: {store}}}
workloads:
  - name: pulse
    demand: {{signal: pulse}}
    capacity_per_replica: 10
    # As if whatever is recommended were ready as soon as it is scraped.
    replicas: {{query: 'max(max_over_time(predicted_replicas{{workload="pulse"}}[15s]))'}}
    lead_time: 8s
    pipeline: 1s
    limits: {{min: 10, max: 80, up: {{replicas: 4, per: 2s}}, hold: 20s, hysteresis: 0}}
    # What comes again every minute is forecast no better than by the minute before.
    gate: {{min_skill: -10, coverage_tolerance: 0.5, max_jump: 9}}
    mode: guarded
"#,
        address = prometheus().address(),
        store = store.display(),
    )
}

/// What is decided now.
fn newest(program: &Program) -> Result<Value, String> {
    let all = http::json(program.address(), "/api/v1/workloads?name=pulse")?;
    let one = all.pointer("/workloads/0").cloned();
    one.ok_or_else(|| all.to_string())
}

/// What the log has, oldest first.
fn log(program: &Program) -> Vec<Value> {
    let path = "/api/v1/scaling/decisions?workload=pulse&limit=1000";
    let all = http::json(program.address(), path).unwrap();
    let mut log = all["decisions"].as_array().unwrap().clone();
    log.reverse();
    log
}

/// A step of a pre-warm that is under way: the demand of now asks for less, and the peak is still to come.
fn steps(program: &Program) -> Result<Value, String> {
    let decision = newest(program)?;
    let size = |path: &str| decision.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let step = size("/parts/prewarm");
    let (size, reactive) = (size("/replicas"), size("/parts/reactive"));
    // Between the trough and half of the way up, on the way of the demand itself.
    let phase = (now() / 1_000).rem_euclid(60);
    let rises = (45..=57).contains(&phase);
    // One that was started late and catches up as fast as the rate allows is none.
    let is_there = size >= step && size > reactive + 3;
    match decision["gate"] == "open" && rises && step > reactive + 3 && is_there {
        true => Ok(decision),
        false => Err(format!("at {phase} s: {decision}")),
    }
}

fn at(decision: &Value) -> i64 {
    decision["at"].as_i64().unwrap()
}

#[test]
fn a_restart_in_the_middle_of_a_pre_warm_goes_on_with_it() {
    let _alone = undisturbed();
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(&folder.path().join("pulse.db"));
    let mut program = Program::ready(&configuration, &[]);
    let scrape = prometheus().scrape_forethought(program.address());
    let before = eventually("a pre-warm in steps", 90, || steps(&program));
    program.signal("KILL");
    let killed = now();
    program.wait(10);
    drop(scrape);

    let program = Program::start(&configuration, &[]);
    let _scrape = prometheus().scrape_forethought(program.address());
    let again = eventually("a decision", 30, || {
        let decision = newest(&program)?;
        match decision["at"].as_i64() > Some(killed) {
            true => Ok(decision),
            false => Err(decision.to_string()),
        }
    });
    let size = |decision: &Value| decision["replicas"].as_u64().unwrap();
    let reactive = again["parts"]["reactive"].as_u64().unwrap();
    // The peak is forecast anew at every grid time: by a little more or less than before.
    assert!(
        size(&again) > reactive + 3 && size(&again) * 20 >= size(&before) * 19,
        "fell from {before} to {again}"
    );
    program.becomes_ready();
    eventually("the rise is over", 60, || {
        let ended = |one: &&Value| one["prewarmed"].is_boolean() && at(one) > killed;
        let log = log(&program);
        log.iter().find(ended).map(drop).ok_or_else(|| {
            let last = log.last().cloned().unwrap_or_default();
            last.to_string()
        })
    });
    throughout("the rise ends once", 6, || {
        let log = log(&program);
        let is_end = |one: &&Value| one["prewarmed"].is_boolean() && at(one) > killed;
        match log.iter().filter(is_end).count() {
            1 => Ok(()),
            ends => Err(format!("{ends} ends: {log:#?}")),
        }
    });
    let log = log(&program);
    let ends: Vec<&Value> = log
        .iter()
        .filter(|one| one["prewarmed"].is_boolean())
        .collect();
    let after: Vec<_> = ends.iter().filter(|one| at(one) > killed).collect();
    let ended = at(after[0]);
    // Whether it sufficed is for the forecast to say; that it is told truly is for the restart.
    let is_short = |one: &&Value| {
        let ready = one["ready"].as_u64();
        let reactive = one.pointer("/parts/reactive").and_then(Value::as_u64);
        ready
            .zip(reactive)
            .is_some_and(|(ready, asked)| ready < asked)
    };
    let rise = log
        .iter()
        .filter(|one| (ended - 35_000..=ended).contains(&at(one)));
    let sufficed = !rise.clone().any(|one| is_short(&one));
    assert_eq!(
        after[0]["prewarmed"],
        sufficed,
        "{:#?}",
        rise.collect::<Vec<_>>()
    );
    // From the kill to the crest nothing is given up of what was there, and steps go on.
    let climb: Vec<&Value> = log
        .iter()
        .filter(|one| at(one) > killed && at(one) < ended)
        .filter(|one| one["replicas"].is_u64())
        .collect();
    let crest = climb.iter().map(|one| size(one)).max().unwrap();
    assert!(crest >= 55, "{crest}");
    for one in &climb {
        assert!(
            size(one) * 20 >= size(&before) * 19,
            "below {}: {one:#}",
            size(&before)
        );
    }
    let counted = program.metrics().unwrap();
    let counted = counted.value("forethought_scaling_rises_total", &["prewarmed=\"true\""]);
    assert_eq!(counted, Ok(1.0));
}
