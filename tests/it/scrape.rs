//! Sources that scrape, in the real program: a real Prometheus as a target, and configurations that change.

use crate::support::{
    eventually, http, now, program::Program, server::Target, servers::prometheus,
};
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A configuration with one source that is asked and one that scrapes as this says.
fn configuration(scrape: &str) -> String {
    let address = prometheus().address();
    format!(
        "sources:\n  - name: main\n    prometheus: {{url: http://{address}}}\n  - name: direct\n    scrape: {scrape}\nsignals:\n  - name: load\n    source: main\n    query: up\n    step: 10s\n    history: 30m\n"
    )
}

fn targets(program: &Program, parameters: &str) -> Result<Value, String> {
    http::json(program.address(), &format!("/api/v1/targets{parameters}"))
}

/// Waits until the only target has this health, and gives it.
fn target(program: &Program, health: &str) -> Value {
    eventually(&format!("the target is {health}"), 30, || {
        let found = targets(program, "?state=active")?;
        let active = found["data"]["activeTargets"].as_array().cloned();
        match active.as_deref() {
            Some([target]) if target["health"] == health => Ok(target.clone()),
            _ => Err(found.to_string()),
        }
    })
}

#[test]
fn a_real_prometheus_is_scraped_whole() {
    let address = prometheus().address();
    let scrape = format!(
        "{{static_configs: [{{targets: ['{address}', 'nowhere:1'], labels: {{env: it}}}}], scrape_interval: 1s, relabel_configs: [{{source_labels: [__address__], regex: nowhere.*, action: drop}}]}}"
    );
    let program = Program::start(&configuration(&scrape), &[]);
    let shown = target(&program, "up");
    assert_eq!(shown["scrapeUrl"], format!("http://{address}/metrics"));
    assert_eq!(
        shown["labels"],
        serde_json::json!({"env": "it", "instance": address, "job": "direct"})
    );
    assert_eq!(shown["discoveredLabels"]["__address__"], address);
    assert_eq!(
        (&shown["lastError"], &shown["scrapePool"]),
        (&"".into(), &"direct".into())
    );
    let exposed = http::get(address, "/metrics").unwrap();
    let lines = exposed
        .text()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .count() as f64;
    let samples = shown["lastSamples"].as_f64().unwrap();
    // What it exposes changes while it works.
    assert!(
        samples > 300.0 && (samples - lines).abs() < 0.1 * lines,
        "{samples} of {lines}"
    );
    let all = targets(&program, "").unwrap();
    assert_eq!(all["data"]["droppedTargetCounts"]["direct"], 1);
    assert_eq!(
        all["data"]["droppedTargets"][0]["discoveredLabels"]["__address__"],
        "nowhere:1"
    );
    let refused = http::get(program.address(), "/api/v1/targets?state=x").unwrap_err();
    assert!(refused.contains("active, dropped or any"), "{refused}");
    let metrics = program.metrics().unwrap();
    let of = |name: &str, labels: &[&str]| metrics.values(name, labels).iter().sum::<f64>();
    let direct = "source=\"direct\"";
    assert_eq!(
        of("forethought_scrape_targets", &[direct, "state=\"up\""]),
        1.0
    );
    assert_eq!(of("forethought_scrape_failures_total", &[direct]), 0.0);
    assert!(of("forethought_scrape_samples_total", &[direct]) >= samples);
}

#[test]
fn a_source_that_stays_is_not_touched_by_a_reload_and_one_that_changes_is() {
    let (one, other) = (
        Target::start(|| "a 1\n".to_owned()),
        Target::start(|| "b 1\n".to_owned()),
    );
    let scrape = |address: &str| {
        format!("{{static_configs: [{{targets: ['{address}']}}], scrape_interval: 200ms}}")
    };
    let program = Program::start(&configuration(&scrape(&one.address())), &[]);
    target(&program, "up");
    let attempts = || {
        let metrics = program.metrics().unwrap();
        metrics
            .values("forethought_scrape_attempts_total", &["source=\"direct\""])
            .iter()
            .sum::<f64>()
    };
    let before = attempts();
    program.rewrite(&configuration(&scrape(&other.address())));
    program.signal("HUP");
    let shown = eventually("the other target is shown", 30, || {
        let shown = target(&program, "up");
        match shown["labels"]["instance"] == other.address() {
            true => Ok(shown),
            false => Err(shown.to_string()),
        }
    });
    assert_eq!(shown["lastSamples"], 1);
    assert!(attempts() >= before, "what is counted goes on");
    program
        .rewrite(&configuration(&scrape(&other.address())).replace("name: direct", "name: other"));
    program.signal("HUP");
    eventually("the source has another name", 30, || {
        let shown = target(&program, "up");
        let metrics = program.metrics()?;
        let former = metrics.values("forethought_scrape_attempts_total", &["source=\"direct\""]);
        match shown["scrapePool"] == "other" && former.is_empty() {
            true => Ok(()),
            false => Err(shown.to_string()),
        }
    });
}

/// The newest values of a signal, by one label.
fn newest(program: &Program, signal: &str, label: &str) -> Result<Vec<(String, f64)>, String> {
    let answer = program.json(&format!("/api/v1/series?signal={signal}"))?;
    let series = answer["series"].as_array().ok_or(answer.to_string())?;
    let newest = series.iter().filter_map(|series| {
        let points = series["points"].as_array()?;
        let value = points.iter().rev().find_map(|point| point[1].as_f64())?;
        Some((series["labels"][label].as_str()?.to_owned(), value))
    });
    let mut newest: Vec<(String, f64)> = newest.collect();
    newest.sort_by(|one, other| one.0.cmp(&other.0));
    match newest.is_empty() {
        true => Err(answer.to_string()),
        false => Ok(newest),
    }
}

#[test]
fn a_signal_reads_what_is_scraped() {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let start = now();
    let target = Target::start(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let done = (now() - start) as f64 / 1_000.0 * 50.0;
        format!(
            "queue_depth{{queue=\"mail\"}} 7\nqueue_depth{{queue=\"dead\"}} 1\n# TYPE jobs_total counter\njobs_total {done}\n"
        )
    });
    let configuration = format!(
        "global: {{evaluation_interval: 1s}}\nsources:\n  - name: direct\n    scrape: {{static_configs: [{{targets: ['{}']}}], scrape_interval: 500ms}}\nsignals:\n  - name: depth\n    select: 'queue_depth{{queue!=\"dead\"}}'\n    step: 1s\n    history: 10m\n  - name: jobs_per_second\n    select: jobs_total\n    as: rate\n    window: 5s\n    step: 1s\n    history: 10m\n",
        target.address()
    );
    let program = Program::start(&configuration, &[]);
    let depth = eventually("the depth is read", 60, || {
        newest(&program, "depth", "queue")
    });
    assert_eq!(depth, [("mail".to_owned(), 7.0)]);
    eventually("the rate is read", 60, || {
        let rates = newest(&program, "jobs_per_second", "job")?;
        let is_near = |rate: f64| (rate - 50.0).abs() < 10.0;
        match rates.as_slice() {
            [(job, rate)] if job == "direct" && is_near(*rate) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(
        count.load(Ordering::SeqCst) > 4,
        "it was asked for each sample"
    );
}
