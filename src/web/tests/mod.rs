//! The server in process, on port 0, seen through plain sockets.

mod answers;
mod connections;
mod workloads;

use super::*;
use crate::{
    baseline::Band,
    engine::{
        Around, Channel, Contributor, Group, Horizon, Outcome, Reason, SeriesOutcome, UnitHandle,
        UnitReport, trail::Trail,
    },
    expo::{Chunk, Kind, RenderedLabels, strict},
    forecast::{Interval, Link},
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
        began: false,
        since: (severity > 0).then_some(NOW),
        worst: severity,
        reason: None,
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
        drift: Some(1.25),
        links: vec![Link::Ensemble, Link::Absent, Link::Ensemble],
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
        store: Arc::default(),
        admin: true,
        shard: None,
        config: Arc::default(),
        targets: Arc::default(),
        receivers: Arc::default(),
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
