//! Recommendations over the real loop: what Prometheus knows becomes a size, and Prometheus knows that again.

use crate::support::{
    eventually, http,
    live::{SIGNAL, live},
    program::command,
    read,
    servers::prometheus,
};
use forethought::{
    app::{App, AppOptions, ConfigSource},
    config,
    demo::{Generated, generated::NAME, server},
    engine::Clock,
};
use serde_json::Value;
use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, thread::sleep, time::Duration};
use tempfile::tempdir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What the API says of a workload.
fn workload(name: &str) -> Result<Value, String> {
    let path = format!("/api/v1/workloads?name={name}");
    let all = http::json(live().program.address(), &path)?;
    let found = all.pointer("/workloads/0").cloned();
    found.ok_or_else(|| all.to_string())
}

fn value(metric: &str, labels: &str) -> Result<f64, String> {
    prometheus().value(&format!("{metric}{{{labels}}}"))
}

#[test]
fn what_is_asked_now_becomes_a_size_that_prometheus_scrapes() {
    live();
    let replicas = eventually("a size is recommended", 60, || {
        value("predicted_replicas", "workload=\"checkout\"")
    });
    assert!((1.0..=500.0).contains(&replicas), "{replicas}");
    let reactive = value(
        "predicted_replicas_part",
        "workload=\"checkout\",part=\"reactive\"",
    )
    .unwrap();
    assert!(replicas >= reactive, "{replicas} is below {reactive}");
    let demand = value("predicted_demand", "workload=\"checkout\"").unwrap();
    assert!(demand > 10.0 * (replicas - 1.0), "{demand} for {replicas}");
    let told = workload("checkout").unwrap();
    let reason = told["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("replica"), "{told}");
    assert!(
        told["course"]
            .as_array()
            .is_some_and(|course| !course.is_empty()),
        "{told}"
    );
}

#[test]
fn the_forecast_of_the_window_opens_the_gate() {
    live();
    eventually("the gate is open", 90, || {
        match value("predicted_gate_open", "workload=\"checkout\"")? {
            1.0 => Ok(()),
            _ => Err(workload("checkout")?.to_string()),
        }
    });
    let forecast = value("predicted_demand_forecast", "workload=\"checkout\"").unwrap();
    assert!(forecast > 0.0);
    assert_eq!(
        value(
            "predicted_mode_info",
            "workload=\"checkout\",mode=\"guarded\",gate=\"open\""
        ),
        Ok(1.0)
    );
}

#[test]
fn observing_recommends_what_the_present_asks_for() {
    live();
    eventually("the size is the reactive one", 60, || {
        let replicas = value("predicted_replicas", "workload=\"search\"")?;
        let reactive = value(
            "predicted_replicas_part",
            "workload=\"search\",part=\"reactive\"",
        )?;
        match replicas == reactive.max(1.0) {
            true => Ok(()),
            false => Err(format!("{replicas} and {reactive}")),
        }
    });
    let told = workload("search").unwrap();
    assert_eq!(told["mode"], "observe", "{told}");
}

#[test]
fn the_state_of_scaling_is_told_at_a_glance() {
    let address = live().program.address();
    let status = eventually("both workloads are decided on", 60, || {
        let status = http::json(address, "/api/v1/scaling/status")?;
        match status["workloads"].as_u64() {
            Some(2) => Ok(status),
            _ => Err(status.to_string()),
        }
    });
    assert_eq!(
        status.pointer("/modes/guarded"),
        Some(&1.into()),
        "{status}"
    );
    assert_eq!(
        status.pointer("/modes/observe"),
        Some(&1.into()),
        "{status}"
    );
    let health = http::json(address, "/api/v1/health").unwrap();
    assert!(
        health["score"].as_f64().is_some_and(|score| score > 0.0),
        "{health}"
    );
    let accuracy = eventually("forecasts came due", 60, || {
        let accuracy = http::json(address, "/api/v1/models/accuracy")?;
        match accuracy.pointer("/models/0/error").and_then(Value::as_f64) {
            Some(_) => Ok(accuracy),
            None => Err(accuracy.to_string()),
        }
    });
    assert_eq!(accuracy.pointer("/models/0/signal"), Some(&SIGNAL.into()));
    let first = http::json(address, "/api/v1/predictions/current?limit=2").unwrap();
    assert_eq!(
        first["predictions"].as_array().map(Vec::len),
        Some(2),
        "{first}"
    );
    let next = first["next"].as_str().unwrap();
    let second = http::json(
        address,
        &format!("/api/v1/predictions/current?limit=2&cursor={next}"),
    );
    let second = second.unwrap();
    assert_eq!(
        second["predictions"].as_array().map(Vec::len),
        Some(1),
        "{second}"
    );
    assert!(second.get("next").is_none(), "{second}");
}

#[test]
fn what_would_be_decided_if_is_told_and_nothing_changes() {
    let address = live().program.address();
    eventually("a size is recommended", 60, || {
        value("predicted_replicas", "workload=\"checkout\"")
    });
    let path = "/api/v1/scaling/evaluate?workload=checkout&demand=1000";
    let supposed = http::json(address, path).unwrap();
    assert_eq!(
        supposed.pointer("/parts/reactive"),
        Some(&100.into()),
        "{supposed}"
    );
    let replicas = supposed["replicas"].as_u64().unwrap();
    assert!(replicas >= 100, "{supposed}");
    let now = workload("checkout").unwrap();
    assert!(now["replicas"].as_u64().unwrap() < 100, "{now}");
    for (wrong, why) in [
        ("demand=1", "workload"),
        ("workload=checkout&demand=-1", "demand"),
        ("workload=checkout&ready=1.5", "ready"),
        ("workload=none", "checkout, search"),
    ] {
        let path = format!("/api/v1/scaling/evaluate?{wrong}");
        let problem = http::json(address, &path).unwrap_err();
        assert!(problem.contains(why), "{wrong}: {problem}");
    }
}

#[test]
fn a_person_is_told_why_and_what_a_day_came_to() {
    let live = live();
    eventually("a size is recommended", 60, || {
        value("predicted_replicas", "workload=\"checkout\"")
    });
    let url = format!("http://{}", live.program.address());
    let folder = tempdir().unwrap();
    let picture = |name: &str| folder.path().join(name).display().to_string();
    let (explained, day) = (picture("checkout.svg"), picture("day.svg"));
    let arguments = ["explain", "checkout", "--url", &url, "--svg", &explained];
    let (code, out, error) = command(&arguments);
    assert_eq!(code, 0, "{out}{error}");
    for text in [
        "checkout: ",
        "replicas, mode guarded",
        "reactive",
        "lead time",
        "gate",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    assert!(read(&explained).contains("recommended"));
    let file = live.program.file().display().to_string();
    let logged = eventually("the log has it", 60, || {
        match command(&["explain", "checkout", "--config.file", &file]) {
            (0, out, _) => Ok(out),
            (_, out, error) => Err(format!("{out}{error}")),
        }
    });
    assert!(logged.contains("checkout: "), "{logged}");
    let (code, _, error) = command(&["explain", "none", "--url", &url]);
    assert_eq!(code, 1);
    assert!(error.contains("checkout, search"), "{error}");

    let date = command(&["report", "--help"]).1;
    assert!(date.contains("--day"), "{date}");
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let arguments = [
        "report",
        "--config.file",
        &file,
        "--day",
        &today,
        "--svg",
        &day,
    ];
    let (code, out, error) = command(&arguments);
    assert_eq!(code, 0, "{out}{error}");
    for text in [
        "# Report of ",
        "## checkout",
        "## search",
        "reactive autoscaler",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    assert!(read(&day).contains("search: demand"));
    for arguments in [
        ["report", "--config.file", &file, "--workload=none"],
        ["explain", "--config.file", &file, "none"],
    ] {
        let (code, _, error) = command(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        let told = "there is no workload called \"none\"; there are: checkout, search";
        assert!(error.contains(told), "{arguments:?}: {error}");
    }
}

/// A process with one thread to compute with, of whose one signal a long past is derived first.
#[test]
fn what_is_asked_now_is_decided_while_the_past_is_still_derived() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (address, stop) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let data = Arc::new(Generated::new(24, 1));
        let answers = server::serve(listener, data, Clock::System, stop.clone());
        drop(runtime.spawn(answers));
        let text = format!(
            "global: {{evaluation_interval: 1s}}\n\
             sources: [{{name: main, prometheus: {{url: 'http://{source}'}}}}]\n\
             signals: [{{name: load, query: '{NAME}', step: 15s, history: 12h}}]\n\
             workloads: [{{name: one, demand: {{signal: load, match: {{deployment: app-000000}}}}, \
             capacity_per_replica: 20, limits: {{max: 500}}}}]\n"
        );
        let config = config::parse(&text, &|_| None).unwrap();
        let app = App::build(AppOptions {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            threads: NonZeroUsize::new(1),
            ..AppOptions::new(ConfigSource::Literal(Box::new(config)))
        });
        let app = app.await.unwrap();
        let address = app.addr().to_string();
        let stopped = stop.clone();
        drop(runtime.spawn(async move { app.run(stopped.cancelled_owned()).await }));
        (address, stop)
    });
    let phase = || -> Result<String, String> {
        let signals = http::json(&address, "/api/v1/signals")?;
        let phase = signals.pointer("/signals/0/phase").and_then(Value::as_str);
        Ok(phase.unwrap_or_default().to_owned())
    };
    let decided = || -> Result<i64, String> {
        let all = http::json(&address, "/api/v1/workloads")?;
        all["at"].as_i64().ok_or_else(|| all.to_string())
    };
    let mut last = eventually("a first decision", 60, decided);
    let (began, mut newest, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    // Until all of its past is derived: by then many decisions were due.
    while phase() != Ok("running".to_owned()) {
        assert!(began.elapsed() < Duration::from_secs(180), "{:?}", phase());
        sleep(Duration::from_millis(50));
        let at = decided().unwrap();
        if at > last {
            longest = longest.max(newest.elapsed());
            (last, newest) = (at, Instant::now());
        }
    }
    longest = longest.max(newest.elapsed());
    println!(
        "derived in {:?}, at most {longest:?} between decisions",
        began.elapsed()
    );
    assert!(longest < Duration::from_secs(6), "{longest:?}");
    stop.cancel();
    runtime.shutdown_background();
}
