//! Samples that are pushed to us: by a real Prometheus, by vmagent, and by senders that do it wrong.

use crate::support::{
    eventually,
    guard::Guarded,
    http, now,
    program::Program,
    pushing::{push, send},
    servers::prometheus_of,
};
use forethought::{
    expo::wire::{Packer, write::Point},
    series::Millis,
};
use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// One signal of a source that is pushed to, a grid time a second, of which every sample counts.
const LOAD: &str = r#"
global: {evaluation_interval: 1s}
sources:
  - {name: pushed, remote_write: {}}
signals:
  - name: load
    select: 'load{job="test"}'
    step: 1s
    history: 15m
    offset: 1s
    seasonality: []
    forecast: {horizons: []}
    alerting: {for: 0s}
"#;

/// Seconds of past that the first process is given.
const PAST: i64 = 800;
/// Series, each of which jumps once.
const PODS: [&str; 3] = ["a", "b", "c"];

/// A value with a little noise, the same in every run.
fn quiet(pod: usize, at: Millis) -> f64 {
    let noise = (at / 1_000 * 7_919 + pod as Millis * 104_729).rem_euclid(1_000);
    100.0 + noise as f64 / 100.0
}

/// A sender that pushes once a second, and the pod that jumps.
struct Sender {
    jumps: Arc<Mutex<Option<usize>>>,
    told: Arc<Mutex<Option<Instant>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Sender {
    fn start(address: &str) -> Self {
        let (jumps, told) = (
            Arc::<Mutex<Option<usize>>>::default(),
            Arc::<Mutex<Option<Instant>>>::default(),
        );
        let stop = Arc::<AtomicBool>::default();
        let own = (
            address.to_owned(),
            Arc::clone(&jumps),
            Arc::clone(&told),
            Arc::clone(&stop),
        );
        let thread = thread::spawn(move || {
            let (address, jumps, told, stop) = own;
            while !stop.load(Ordering::Acquire) {
                let at = now();
                let jumped = *jumps.lock().unwrap();
                let samples = PODS.iter().enumerate().map(|(place, pod)| {
                    let value = if jumped == Some(place) {
                        900.0
                    } else {
                        quiet(place, at)
                    };
                    (*pod, vec![Point { at, value }])
                });
                let samples: Vec<_> = samples.collect();
                // Before it is sent: its score may be there before its answer is read.
                if jumped.is_some() {
                    told.lock().unwrap().get_or_insert(Instant::now());
                }
                assert_eq!(push(&address, "/api/v1/write", &samples), 204);
                let next = at.div_euclid(1_000) * 1_000 + 1_050;
                thread::sleep(Duration::from_millis((next - now()).max(0) as u64));
            }
        });
        Self {
            jumps,
            told,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What was pushed is there after a restart; from then on what is pushed is scored at once.
#[test]
fn what_is_pushed_survives_a_restart_and_is_scored_at_once() {
    let storage = tempfile::tempdir().unwrap();
    let flag = format!("--storage.path={}", storage.path().display());
    let mut first = Program::start(LOAD, &[&flag]);
    let end = now();
    for start in (end - PAST * 1_000..end).step_by(100_000) {
        let samples = PODS.iter().enumerate().map(|(place, pod)| {
            let times = (start..(start + 100_000).min(end)).step_by(1_000);
            let points = times.map(|at| Point {
                at,
                value: quiet(place, at),
            });
            (*pod, points.collect())
        });
        let samples: Vec<(&str, Vec<Point>)> = samples.collect();
        assert_eq!(push(first.address(), "/api/v1/write", &samples), 204);
    }
    let shown = first.metrics().unwrap();
    let stored = shown.value("forethought_intake_samples_total", &["result=\"stored\""]);
    assert_eq!(stored, Ok((PAST * 3) as f64), "{}", first.log());
    first.signal("TERM");
    assert!(first.wait(30).success(), "{}", first.log());

    let second = Program::start(LOAD, &[&flag]);
    let gap = second
        .metrics()
        .unwrap()
        .value("forethought_intake_gap_seconds", &[])
        .unwrap();
    assert!((0.0..60.0).contains(&gap), "{gap}");
    let sender = Sender::start(second.address());
    eventually("all series are scored", 60, || {
        let scores = second
            .metrics()?
            .values("anomaly_score", &["signal=\"load\""]);
        match scores.len() == PODS.len() && scores.iter().all(|score| *score < 1.0) {
            true => Ok(()),
            false => Err(format!("{scores:?}")),
        }
    });
    let mut took = Vec::new();
    for (place, pod) in PODS.iter().enumerate() {
        *sender.told.lock().unwrap() = None;
        *sender.jumps.lock().unwrap() = Some(place);
        let word = format!("pod=\"{pod}\"");
        let deadline = Instant::now() + Duration::from_secs(30);
        while second
            .metrics()
            .unwrap()
            .value("anomaly_score", &[&word])
            .unwrap_or(0.0)
            <= 1.0
        {
            assert!(
                Instant::now() < deadline,
                "{pod} jumped and was not scored: {}",
                second.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
        let began = sender.told.lock().unwrap().unwrap();
        took.push(began.elapsed().as_secs_f64());
        *sender.jumps.lock().unwrap() = None;
    }
    println!("from push to anomaly_score: {took:.3?} s");
    // One of them within a second, as the machine may be busy with other tests; none after the next tick.
    assert!(took.iter().any(|seconds| *seconds < 1.0), "{took:?}");
    assert!(took.iter().all(|seconds| *seconds < 10.0), "{took:?}");
}

const SENDERS: &str = r#"
global: {evaluation_interval: 1s}
sources:
  - {name: prom, remote_write: {}}
  - {name: agent, remote_write: {max_series: 5000}}
signals:
  - {name: goroutines, source: prom, select: go_goroutines, step: 1s, history: 10m}
  - {name: samples_per_second, source: prom, select: 'prometheus_tsdb_head_samples_appended_total', as: rate, window: 10s, aggregate: {sum_by: [instance]}, step: 1s, history: 10m}
  - {name: vm_threads, source: agent, select: 'go_threads{job="vmagent"}', step: 1s, history: 10m}
"#;

/// A Prometheus and a vmagent push; signals of both have values, and nothing is refused.
#[test]
fn a_real_prometheus_and_vmagent_push() {
    let program = Program::start(SENDERS, &[]);
    let to = program.address().to_owned();
    let sender = prometheus_of(|address| {
        format!(
            r#"
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: itself, static_configs: [{{targets: ["{address}"]}}]}}]
remote_write: [{{url: "http://{to}/api/v1/write/prom", queue_config: {{batch_send_deadline: 1s}}}}]
"#
        )
    });
    let prometheus = sender.address.clone();
    let _agent = Guarded::start("vmagent", |folder| {
        let config = folder.join("scrape.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: vmagent, static_configs: [{{targets: [\"{prometheus}\"]}}]}}]\n"
        );
        fs::write(&config, text).unwrap();
        vec![
            format!("-promscrape.config={}", config.display()),
            format!("-remoteWrite.url=http://{to}/api/v1/write/agent"),
            format!("-remoteWrite.tmpDataPath={}/queue", folder.display()),
            "-remoteWrite.flushInterval=1s".to_owned(),
            "-httpListenAddr=127.0.0.1:0".to_owned(),
        ]
    });
    eventually("signals of both senders are stored", 90, || {
        let shown = program.metrics()?;
        let stored = |source: &str| {
            let words = [&*format!("source=\"{source}\""), "result=\"stored\""];
            shown.value("forethought_intake_samples_total", &words)
        };
        let (prom, agent) = (stored("prom")?, stored("agent")?);
        match prom > 60.0 && agent > 30.0 {
            true => Ok(()),
            false => Err(format!("{prom} and {agent} samples\n{}", program.log())),
        }
    });
    for signal in ["goroutines", "samples_per_second", "vm_threads"] {
        eventually("a signal has values", 60, || {
            let shown = program.json(&format!("/api/v1/series?signal={signal}"))?;
            let value = shown["series"][0]["points"]
                .as_array()
                .and_then(|points| points.last()?[1].as_f64());
            match value.is_some_and(|value| value > 0.0) {
                true => Ok(()),
                false => Err(format!("{signal}: {shown:#}")),
            }
        });
    }
    let shown = program.metrics().unwrap();
    for result in ["ahead", "conflict", "not_finite", "old", "lost"] {
        let word = format!("result=\"{result}\"");
        let counts = shown.values("forethought_intake_samples_total", &[&word]);
        assert!(
            counts.iter().all(|count| *count == 0.0),
            "{result}: {counts:?}"
        );
    }
    let own = http::get(&prometheus, "/metrics").unwrap().text();
    let line = |start: &str| {
        let mut lines = own.lines().filter(|line| line.starts_with(start));
        let value = lines
            .next()
            .and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {start}"))
    };
    assert_eq!(line("prometheus_remote_storage_samples_failed_total{"), 0.0);
    assert!(line("prometheus_remote_storage_samples_total{") > 500.0);
}

const CLOSED: &str = r#"
sources:
  - name: closed
    remote_write: {max_request_bytes: 65536, authorization: {credentials: hunter2}}
  - name: open
    remote_write: {max_series: 10}
signals:
  - {name: load, source: open, select: load}
  - {name: other_load, source: closed, select: load}
"#;

/// Whoever does it wrong is told what, and nobody else notices.
#[test]
fn senders_that_do_it_wrong_are_told_what() {
    let program = Program::start(CLOSED, &[]);
    let address = program.address();
    let sample = || {
        vec![(
            "a",
            vec![Point {
                at: now(),
                value: 1.0,
            }],
        )]
    };
    assert_eq!(
        push(address, "/api/v1/write", &sample()),
        404,
        "which of the two?"
    );
    assert_eq!(push(address, "/api/v1/write/nobody", &sample()), 404);
    assert_eq!(push(address, "/api/v1/write/open", &sample()), 204);
    assert_eq!(push(address, "/api/v1/write/closed", &sample()), 401);
    let get = http::request("GET", address, "/api/v1/write/open", &[], b"").unwrap();
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let token = ("Authorization", "Bearer hunter2");
    assert_eq!(
        send(address, "/api/v1/write/closed", &[token], b"garbage"),
        400
    );
    let json = [token, ("Content-Type", "application/json")];
    assert_eq!(send(address, "/api/v1/write/closed", &json, b"{}"), 415);
    assert_eq!(
        send(address, "/api/v1/write/closed", &[token], &vec![0; 100_000]),
        413
    );
    let bomb = Packer::new().pack(&vec![0; 1 << 20]).unwrap().to_vec();
    assert_eq!(send(address, "/api/v1/write/closed", &[token], &bomb), 413);
    let names: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    let flood: Vec<_> = names
        .iter()
        .map(|name| {
            (
                name.as_str(),
                vec![Point {
                    at: now(),
                    value: 1.0,
                }],
            )
        })
        .collect();
    assert_eq!(
        push(address, "/api/v1/write/open", &flood),
        204,
        "who floods is taken for what there is room"
    );
    let tomorrow = vec![(
        "a",
        vec![Point {
            at: now() + 86_400_000,
            value: 1.0,
        }],
    )];
    assert_eq!(push(address, "/api/v1/write/open", &tomorrow), 400);
    let shown = program.metrics().unwrap();
    let of = |name: &str, words: &[&str]| shown.value(name, words).unwrap();
    let open = "source=\"open\"";
    assert_eq!(
        of("forethought_intake_series_refused_total", &[open]),
        991.0
    );
    assert_eq!(
        of(
            "forethought_intake_samples_total",
            &[open, "result=\"stored\""]
        ),
        10.0
    );
    assert_eq!(
        of(
            "forethought_intake_samples_total",
            &[open, "result=\"ahead\""]
        ),
        1.0
    );
    assert!(!program.log().contains("hunter2"));
}
