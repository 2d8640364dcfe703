//! The server in process, on port 0, seen through plain sockets.

use super::*;
use crate::{
    baseline::Band,
    engine::{Horizon, Outcome, SeriesOutcome, UnitHandle, UnitReport, trail::Trail},
    expo::{Chunk, Kind, RenderedLabels, strict},
    forecast::Interval,
    series::{Labels, Millis, Span},
};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap, io::Read, net::SocketAddr, sync::atomic::Ordering, time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

const NOW: Millis = 1_700_000_040_000;
const SOON: Duration = Duration::from_secs(20);

fn labels(pod: &str) -> Labels {
    Labels::new([("pod", pod)]).unwrap()
}

fn chunk(name: &str, lines: usize) -> Chunk {
    let samples = (0..lines).map(|line| {
        let pod = format!("pod-{line}");
        let pairs = [
            ("pod", pod.as_str()),
            ("k8s.ns", "shop"),
            ("signal", "load"),
        ];
        (Arc::new(RenderedLabels::new(pairs)), line as f64 / 4.0)
    });
    Chunk::new(name.into(), "Help.".into(), Kind::Gauge, samples.collect())
}

fn series(pod: &str, score: f32, severity: u8) -> SeriesOutcome {
    SeriesOutcome {
        labels: labels(pod),
        value: 2.0,
        band: Band {
            expected: 1.0,
            lower: 0.5,
            upper: f32::NAN,
            scale: 0.25,
        },
        score,
        active: severity > 0,
        severity,
        direction: i8::from(severity > 0),
    }
}

fn outcome(lines: usize) -> Outcome {
    let interval = Interval {
        expected: 3.0,
        lower: 2.5,
        upper: 3.5,
    };
    Outcome {
        unit: "load".into(),
        at: NOW - 40_000,
        series: vec![
            series("a", 0.5, 0),
            series("b", f32::NAN, 0),
            series("c", 2.5, 3),
        ],
        horizons: Arc::new([Horizon {
            span: Span::minutes(15),
            steps: 15,
        }]),
        forecasts: vec![interval, Interval::ABSENT, interval],
        chunks: vec![
            chunk("anomaly_score", lines),
            chunk("predicted_load", lines),
        ],
        ..Outcome::default()
    }
}

fn unit(name: &str, outcome: Option<Outcome>) -> Arc<UnitHandle> {
    let trail = Trail::default();
    if let Some(outcome) = &outcome {
        trail.record(outcome);
    }
    let report = UnitReport {
        phase: if outcome.is_some() {
            "running"
        } else {
            "backfilling"
        }
        .to_string(),
        series: 3,
        active: 1,
        backfilled: outcome.is_none().then_some(0.4),
        ..UnitReport::default()
    };
    Arc::new(UnitHandle {
        name: name.into(),
        kind: "signal",
        step: Span::minutes(1),
        outcome: watch::channel(outcome.map(Arc::new)).1,
        max_age: Span::minutes(5),
        report: Arc::new(Mutex::new(report)),
        trail: Arc::new(trail),
    })
}

struct Running {
    addr: SocketAddr,
    state: Arc<State>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    commands: mpsc::Receiver<Lifecycle>,
}

/// A server with `lines` lines in each of two families; `change` may change what it reads.
async fn start(lines: usize, change: impl FnOnce(&mut State)) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, commands) = mpsc::channel(4);
    let mut state = State {
        catalogue: Arc::default(),
        telemetry: Telemetry::default(),
        clock: Clock::scaled(NOW, 1.0),
        ready: Arc::new(AtomicBool::new(true)),
        lifecycle: Some(sender),
        config: Arc::default(),
        settings: Settings::default(),
    };
    let units = vec![unit("load", Some(outcome(lines))), unit("queue", None)];
    state.catalogue.replace(units);
    change(&mut state);
    let state = Arc::new(state);
    let shutdown = CancellationToken::new();
    let serving = serve(listener, Arc::clone(&state), shutdown.clone());
    let task = tokio::task::spawn_local(serving);
    Running {
        addr,
        state,
        shutdown,
        task,
        commands,
    }
}

/// Runs a test with its server on one thread.
fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        timeout(SOON, test).await.expect("in time");
    });
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or_else(|| {
            panic!("no head in {:?}", String::from_utf8_lossy(bytes));
        });
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    Answer {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    }
}

async fn send(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

async fn ask(addr: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    parse(&send(addr, request.as_bytes()).await)
}

async fn get(addr: SocketAddr, path: &str) -> Answer {
    ask(addr, "GET", path, "").await
}

#[test]
fn every_path_answers_to_its_methods() {
    local(async {
        let server = start(3, |state| state.lifecycle = None).await;
        let cases = [
            ("GET", "/", 200, "<!doctype html>"),
            ("GET", "/page.css", 200, ""),
            ("GET", "/page.js", 200, ""),
            ("GET", "/favicon.ico", 204, ""),
            ("GET", "/metrics", 200, "# HELP anomaly_score"),
            ("GET", "/-/healthy", 200, "healthy"),
            ("GET", "/-/ready", 200, "ready"),
            ("GET", "/api/v1/status", 200, "\"version\""),
            ("GET", "/api/v1/signals", 200, "\"load\""),
            ("GET", "/api/v1/series?signal=load", 200, "\"points\""),
            ("GET", "/nothing", 404, "/api/v1/series"),
            ("GET", "/metrics/", 404, "/metrics"),
            ("POST", "/metrics", 405, "GET, HEAD"),
            ("DELETE", "/api/v1/status", 405, "GET, HEAD"),
            ("GET", "/-/reload", 405, "POST, PUT"),
            ("POST", "/-/reload", 403, "--web.enable-lifecycle"),
            ("PUT", "/-/quit", 403, "--web.enable-lifecycle"),
            (
                "GET",
                "/metrics?nmae[]=x",
                400,
                "unknown parameter \"nmae[]\"; known here: \"name[]\"",
            ),
            ("GET", "/-/healthy?x", 400, "takes none"),
            (
                "GET",
                "/api/v1/series",
                400,
                "parameter \\\"signal\\\" is missing; there are: load, queue",
            ),
            (
                "GET",
                "/api/v1/series?signal=x",
                404,
                "there are: load, queue",
            ),
            (
                "GET",
                "/api/v1/series?signal=load&limit=0",
                400,
                "a whole number from 1 to 200",
            ),
            (
                "GET",
                "/api/v1/series?signal=load&limit=many",
                400,
                "a whole number from 1 to 200",
            ),
            (
                "GET",
                "/api/v1/series?signal=load&signal=x",
                400,
                "more than once",
            ),
        ];
        for (method, path, status, part) in cases {
            let answer = ask(server.addr, method, path, "").await;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            assert!(
                answer.text().contains(part),
                "{method} {path}: {}",
                answer.text()
            );
            if status == 405 {
                assert_eq!(answer.header("allow"), part);
            }
            let length = answer.body.len().to_string();
            assert!(status == 204 || answer.header("content-length") == length);
            assert!(
                answer
                    .header("content-security-policy")
                    .starts_with("default-src 'self';")
            );
        }
    });
}

#[test]
fn the_format_is_negotiated() {
    local(async {
        let server = start(3, |_| {}).await;
        let cases = [
            ("", "text/plain; version=0.0.4; charset=utf-8", false, false),
            (
                "accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n",
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
                true,
                false,
            ),
            (
                "accept: text/plain;version=0.0.4;q=0.3\r\naccept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6\r\n",
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
                true,
                true,
            ),
            (
                "accept: text/plain;version=1.0.0;escaping=values\r\n",
                "text/plain; version=1.0.0; charset=utf-8; escaping=values",
                false,
                false,
            ),
        ];
        for (headers, content_type, open_metrics, utf8) in cases {
            let answer = ask(server.addr, "GET", "/metrics", headers).await;
            assert_eq!(answer.header("content-type"), content_type);
            assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
            let read = strict::read(&answer.text(), open_metrics, utf8);
            let sample = &read.family("anomaly_score").samples[2];
            assert_eq!(sample.labels.contains_key("k8s.ns"), utf8, "{sample:?}");
            assert_eq!(sample.value, 0.5);
        }
    });
}

#[test]
fn gzip_is_one_stream_with_the_same_text() {
    local(async {
        let server = start(5_000, |_| {}).await;
        let path = "/metrics?name[]=predicted_load&name[]=anomaly_score";
        let plain = get(server.addr, path).await;
        assert_eq!(plain.header("content-encoding"), "");
        let packed = ask(server.addr, "GET", path, "accept-encoding: gzip\r\n").await;
        assert_eq!(packed.header("content-encoding"), "gzip");
        assert!(
            packed.body.len() * 5 < plain.body.len(),
            "{}",
            packed.body.len()
        );
        let mut decoder = GzDecoder::new(packed.body.as_slice());
        let mut text = String::new();
        decoder.read_to_string(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "one member");
        assert_eq!(text, plain.text());
        assert_eq!(
            text.lines().filter(|line| !line.starts_with('#')).count(),
            10_000
        );
    });
}

#[test]
fn only_the_families_asked_for_come() {
    local(async {
        let server = start(2, |_| {}).await;
        let answer = get(server.addr, "/metrics?name%5B%5D=predicted_load").await;
        let read = strict::read(&answer.text(), false, false);
        assert_eq!(read.families.len(), 1);
        assert_eq!(read.family("predicted_load").samples.len(), 2);
    });
}

#[test]
fn our_own_metrics_are_among_them_and_count() {
    local(async {
        let server = start(2, |_| {}).await;
        get(server.addr, "/metrics").await;
        get(server.addr, "/nothing").await;
        let text = get(server.addr, "/metrics").await.text();
        let read = strict::read(&text, false, false);
        let value = |name: &str, pairs: &[(&str, &str)]| {
            let samples = read.families.iter().flat_map(|family| &family.samples);
            let found = samples.filter(|sample| sample.name == name).find(|sample| {
                pairs
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|own| own == value))
            });
            found.map(|sample| sample.value)
        };
        let requests = "forethought_web_requests_total";
        assert_eq!(
            value(requests, &[("handler", "metrics"), ("code", "200")]),
            Some(1.0)
        );
        assert_eq!(
            value(requests, &[("handler", "unknown"), ("code", "404")]),
            Some(1.0)
        );
        assert_eq!(
            value(requests, &[("handler", "metrics"), ("code", "503")]),
            Some(0.0)
        );
        assert_eq!(value("forethought_web_requests_in_flight", &[]), Some(1.0));
        assert!(value("forethought_web_exposition_series", &[]) > Some(4.0));
        assert_eq!(
            value("forethought_web_exposition_duplicates", &[]),
            Some(0.0)
        );
    });
}

#[test]
fn an_outcome_that_is_too_old_is_not_served() {
    local(async {
        let server = start(2, |state| state.clock = Clock::scaled(NOW + 300_000, 1.0)).await;
        let text = get(server.addr, "/metrics").await.text();
        assert!(!text.contains("predicted_load"), "{text}");
        let answer = get(server.addr, "/api/v1/series?signal=load").await.json();
        let first = &answer["series"][0];
        assert_eq!(first["labels"], json!({"pod": "a"}));
        assert_eq!(
            (&first["score"], &first["forecasts"]),
            (&Value::Null, &json!([]))
        );
        assert_eq!(first["points"][0][1], json!(2.0), "the past is still true");
        let signals = get(server.addr, "/api/v1/signals").await.json();
        let why = &signals["signals"][0]["silent_because"];
        assert_eq!(why, "the newest evaluation is older than max_age (5m)");
    });
}

#[test]
fn the_same_series_twice_is_left_out_and_told() {
    local(async {
        let server = start(2, |state| {
            let twice = vec![
                unit("load", Some(outcome(2))),
                unit("more", Some(outcome(3))),
            ];
            state.catalogue.replace(twice);
        })
        .await;
        let text = get(server.addr, "/metrics").await.text();
        let read = strict::read(&text, false, false);
        assert_eq!(read.family("predicted_load").samples.len(), 3);
        let text = get(
            server.addr,
            "/metrics?name[]=forethought_web_exposition_duplicates",
        )
        .await;
        assert!(text.text().ends_with("_duplicates 4\n"), "{}", text.text());
    });
}

#[test]
fn the_page_gets_what_it_draws() {
    local(async {
        let server = start(2, |_| {}).await;
        let answer = get(server.addr, "/api/v1/series?signal=load&limit=2")
            .await
            .json();
        let at = NOW - 40_000;
        assert!(answer["now"].as_i64().unwrap() >= NOW);
        let want = json!([
            {
                "labels": {"pod": "c"}, "active": true, "severity": "critical", "direction": 1, "score": 2.5,
                "points": [[at, 2.0, 1.0, 0.5, null, 2.5, 1]],
                "forecasts": [{"horizon": "15m", "at": at + 900_000, "expected": 3.0, "lower": 2.5, "upper": 3.5}],
            },
            {
                "labels": {"pod": "a"}, "active": false, "severity": "none", "direction": 0, "score": 0.5,
                "points": [[at, 2.0, 1.0, 0.5, null, 0.5, 0]],
                "forecasts": [{"horizon": "15m", "at": at + 900_000, "expected": 3.0, "lower": 2.5, "upper": 3.5}],
            },
        ]);
        assert_eq!(answer["series"], want);
        assert_eq!(
            (&answer["signal"], &answer["step_ms"]),
            (&json!("load"), &json!(60_000))
        );
        let all = get(server.addr, "/api/v1/series?signal=load").await.json();
        assert_eq!(all["series"][2]["forecasts"], json!([]));
        assert_eq!(all["series"][2]["score"], Value::Null);
        let signals = get(server.addr, "/api/v1/signals").await.json();
        assert_eq!(
            signals["signals"],
            json!([
                {"name": "load", "kind": "signal", "step_ms": 60_000, "series": 3, "active": 1, "phase": "running", "silent_because": null},
                {"name": "queue", "kind": "signal", "step_ms": 60_000, "series": 3, "active": 0, "phase": "backfilling", "silent_because": "not evaluated yet"},
            ])
        );
        let status = get(server.addr, "/api/v1/status").await.json();
        assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(status["units"][1]["backfilled"], 0.4);
        assert_eq!(status["config"]["last_reload_successful"], false);
    });
}

#[test]
fn not_ready_says_what_is_missing() {
    local(async {
        let server = start(2, |state| state.ready = Arc::default()).await;
        let answer = get(server.addr, "/-/ready").await;
        assert_eq!(answer.status, 503);
        let want = "not ready: 1 of 2 units have no result yet: queue (backfilling, 40 % of the history read)\n";
        assert_eq!(answer.text(), want);
        server.state.ready.store(true, Ordering::Release);
        assert_eq!(get(server.addr, "/-/ready").await.status, 200);
    });
}

#[test]
fn head_has_the_length_and_no_body() {
    local(async {
        let server = start(50, |_| {}).await;
        let path = "/metrics?name[]=predicted_load";
        let full = get(server.addr, path).await;
        let head = ask(server.addr, "HEAD", path, "").await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-length"), full.header("content-length"));
        assert_eq!(head.body, b"");
    });
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    local(async {
        let server = start(50, |_| {}).await;
        let request = "GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n\
                       GET /metrics?name[]=predicted_load HTTP/1.1\r\nhost: x\r\n\r\n\
                       GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let text = String::from_utf8(send(server.addr, request.as_bytes()).await).unwrap();
        let places: Vec<usize> = ["forethought is healthy", "predicted_load{", "HTTP/1.1 404"]
            .iter()
            .map(|part| text.find(part).unwrap())
            .collect();
        assert!(places.is_sorted(), "{text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 3);
    });
}

#[test]
fn slow_readers_are_closed() {
    local(async {
        let server = start(1, |state| {
            state.settings.limits.first_request = Duration::from_millis(150);
        })
        .await;
        let starts: [&[u8]; 5] = [
            b"",
            b"P",
            b"GET /metrics HT",
            b"GET /metrics HTTP/1.1\r\nhost: x\r\nx: ",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ];
        for start in starts {
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            stream.write_all(start).await.unwrap();
            let mut rest = Vec::new();
            // Closed or reset, but ended; a frame of settings may come before.
            drop(stream.read_to_end(&mut rest).await);
            assert!(!rest.starts_with(b"HTTP/1.1 200"), "{start:?}");
        }
        let text = get(server.addr, "/metrics").await.text();
        let refused = "forethought_web_refusals_total{cause=\"slow_request\"} 5\n";
        assert!(text.contains(refused), "{text}");
    });
}

#[test]
fn an_idle_connection_is_closed() {
    local(async {
        let server = start(1, |state| {
            state.settings.limits.idle = Duration::from_millis(150);
        })
        .await;
        let request = b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(parse(&send(server.addr, request).await).status, 200);
    });
}

#[test]
fn heads_and_bodies_have_limits() {
    local(async {
        let server = start(1, |_| {}).await;
        let long = format!("x: {}\r\n", "y".repeat(200_000));
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{long}\r\n");
        // The server may close before all is written.
        drop(stream.write_all(request.as_bytes()).await);
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 431");
        let many: String = (0..200).map(|number| format!("x{number}: y\r\n")).collect();
        assert_eq!(ask(server.addr, "GET", "/", &many).await.status, 431);
        let body = "content-length: 65537\r\n";
        assert_eq!(
            ask(server.addr, "POST", "/-/reload", body).await.status,
            413
        );
        assert_eq!(get(server.addr, "/-/healthy").await.status, 200);
    });
}

#[test]
fn scrapes_over_the_limit_are_told_to_come_again() {
    local(async {
        let server = start(50_000, |state| {
            state.settings.limits.requests = 1;
            state.settings.limits.stall = Duration::from_millis(400);
        })
        .await;
        // One that asks for megabytes and reads nothing of them.
        let mut greedy = TcpStream::connect(server.addr).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
        greedy.write_all(request).await.unwrap();
        let mut first = [0; 15];
        greedy.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        let answer = get(server.addr, "/metrics").await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
        assert!(
            answer.text().contains("1 scrapes are being answered"),
            "{answer:?}"
        );
        assert_eq!(get(server.addr, "/-/healthy").await.status, 200);
        // It is given up on, and there is room again.
        while get(server.addr, "/metrics?name[]=none").await.status == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(greedy);
    });
}

#[test]
fn connections_over_the_limit_are_refused() {
    local(async {
        let server = start(1, |state| state.settings.limits.connections = 1).await;
        let mut first = TcpStream::connect(server.addr).await.unwrap();
        first
            .write_all(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut start = [0; 15];
        first.read_exact(&mut start).await.unwrap();
        let mut second = TcpStream::connect(server.addr).await.unwrap();
        let mut answer = Vec::new();
        second.read_to_end(&mut answer).await.unwrap();
        let answer = parse(&answer);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (503, "too many open connections\n")
        );
        assert_eq!(
            answer.header("content-length"),
            answer.body.len().to_string()
        );
        drop(first);
        loop {
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            // Refused before it is written, perhaps.
            drop(
                stream
                    .write_all(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    .await,
            );
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
            if answer.starts_with(b"HTTP/1.1 200") {
                break;
            }
        }
    });
}

#[test]
fn reload_and_quit_reach_the_process() {
    local(async {
        let mut server = start(1, |_| {}).await;
        let addr = server.addr;
        let reload = |method: &'static str| ask(addr, method, "/-/reload", "content-length: 0\r\n");
        let answers = [
            ("POST", Ok(()), 200, "is reloaded"),
            ("PUT", Err("line 3: no"), 500, "still in force: line 3: no"),
        ];
        for (method, result, status, part) in answers {
            let asking = tokio::task::spawn_local(reload(method));
            let Some(Lifecycle::Reload(answer)) = server.commands.recv().await else {
                panic!("no reload");
            };
            answer.send(result.map_err(str::to_string)).unwrap();
            let answer = asking.await.unwrap();
            assert_eq!(answer.status, status);
            assert!(answer.text().contains(part), "{answer:?}");
        }
        let asking = tokio::task::spawn_local(ask(addr, "POST", "/-/quit", ""));
        assert!(matches!(
            server.commands.recv().await,
            Some(Lifecycle::Quit)
        ));
        assert_eq!(asking.await.unwrap().status, 200);
        drop(server.commands);
        assert_eq!(reload("POST").await.status, 503);
    });
}

#[test]
fn a_request_under_way_is_answered_when_the_server_stops() {
    local(async {
        let mut server = start(1, |_| {}).await;
        let mut idle = TcpStream::connect(server.addr).await.unwrap();
        let asking = tokio::task::spawn_local(ask(server.addr, "POST", "/-/reload", ""));
        let Some(Lifecycle::Reload(answer)) = server.commands.recv().await else {
            panic!("no reload");
        };
        server.shutdown.cancel();
        let mut nothing = Vec::new();
        idle.read_to_end(&mut nothing).await.unwrap();
        assert!(!server.task.is_finished());
        assert!(TcpStream::connect(server.addr).await.is_err(), "nobody new");
        answer.send(Ok(())).unwrap();
        assert_eq!(asking.await.unwrap().status, 200);
        server.task.await.unwrap();
    });
}

#[test]
fn a_request_that_never_ends_does_not_keep_the_server() {
    local(async {
        let mut server = start(1, |state| {
            state.settings.limits.shutdown = Duration::from_millis(100);
        })
        .await;
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream
            .write_all(b"POST /-/reload HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let kept = server.commands.recv().await;
        assert!(kept.is_some());
        server.shutdown.cancel();
        server.task.await.unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        assert_eq!(answer, b"");
    });
}

#[test]
fn everything_is_behind_the_prefix() {
    local(async {
        let server = start(1, |state| {
            state.settings.route_prefix = "/fore".to_string();
            state.settings.telemetry_path = "/m".to_string();
        })
        .await;
        for (path, status) in [
            ("/fore/m", 200),
            ("/m", 404),
            ("/fore/metrics", 404),
            ("/fore/", 200),
            ("/fore/-/healthy", 200),
        ] {
            assert_eq!(get(server.addr, path).await.status, status, "{path}");
        }
        let answer = get(server.addr, "/").await;
        assert_eq!((answer.status, answer.header("location")), (302, "/fore/"));
    });
}

#[test]
fn http_2_is_served_on_the_same_port() {
    use http_body_util::{BodyExt, Empty};
    use hyper::{Request, body::Bytes, client::conn::http2};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    local(async {
        let server = start(20_000, |_| {}).await;
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::task::spawn_local(connection);
        for (path, lines) in [
            ("/metrics?name[]=predicted_load", 20_002),
            ("/-/healthy", 1),
        ] {
            let uri = format!("http://x{path}");
            let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), lines);
        }
        // A connection that stays open must not keep the server from stopping.
        server.shutdown.cancel();
        server.task.await.unwrap();
    });
}
