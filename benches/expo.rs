//! What a scrape costs: encoding after an evaluation, the first read of an outcome, and every later one.
//!
//! `cargo bench --bench expo`. The exposition has 50,000 lines and our own metrics: 5,000 series of a
//! signal, each with score, verdict, severity and direction, and with expected value and bounds at two
//! horizons.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run may panic")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use forethought::{
    engine::{Catalogue, Clock, Outcome, UnitHandle},
    expo::{
        Chunk, Escaping, Exposition, Format, Kind, NameFilter, RenderedLabels, assemble, shortest,
        translate,
    },
    series::Span,
    telemetry::Telemetry,
    web,
};
use std::{
    hint::black_box,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, atomic::AtomicBool},
};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};
use tokio_util::sync::CancellationToken;

const SERIES: usize = 5_000;
const FORMAT: Format = Format::OpenMetrics100(Escaping::AllowUtf8);

fn labels(series: usize, horizon: Option<&str>) -> Arc<RenderedLabels> {
    let namespace = format!("team-{}", series % 40);
    let deployment = format!("checkout-service-{}", series % 700);
    let pod = format!("{deployment}-{:x}", series * 2_654_435_761);
    let mut pairs = vec![
        ("cluster", "eu-central-1"),
        ("namespace", namespace.as_str()),
        ("deployment", deployment.as_str()),
        ("pod", pod.as_str()),
    ];
    let signal = ("signal", "http_requests_per_second");
    pairs.push(horizon.map_or(signal, |span| ("horizon", span)));
    Arc::new(RenderedLabels::new(pairs))
}

fn value(series: usize, column: usize) -> f64 {
    shortest(((series * 31 + column * 17 + 7) as f32).sin() * 1_000.0)
}

fn chunk(name: &str, labels: &[Arc<RenderedLabels>], column: usize) -> Chunk {
    let samples = labels
        .iter()
        .enumerate()
        .map(|(series, labels)| {
            let value = match column {
                1..=3 => ((series * column) % 2) as f64,
                _ => value(series, column),
            };
            (Arc::clone(labels), value)
        })
        .collect();
    Chunk::new(name.into(), "Help.".into(), Kind::Gauge, samples)
}

/// Labels are rendered when a series is first seen; chunks are made at every evaluation.
struct Rendered {
    scored: Vec<Arc<RenderedLabels>>,
    forecast: Vec<Arc<RenderedLabels>>,
}

impl Rendered {
    fn new() -> Self {
        let series = 0..SERIES;
        Self {
            scored: series.clone().map(|series| labels(series, None)).collect(),
            forecast: series
                .flat_map(|series| ["15m", "1h"].map(|span| labels(series, Some(span))))
                .collect(),
        }
    }

    fn chunks(&self) -> Vec<Chunk> {
        let scored = [
            "anomaly_score",
            "anomaly_active",
            "anomaly_severity",
            "anomaly_direction",
        ];
        let forecast = ["predicted_x", "predicted_lower_x", "predicted_upper_x"];
        let scored = scored.iter().enumerate();
        let scored = scored.map(|(column, name)| chunk(name, &self.scored, column));
        let forecast = forecast.iter().enumerate();
        let forecast = forecast.map(|(column, name)| chunk(name, &self.forecast, column + 4));
        scored.chain(forecast).collect()
    }
}

fn read(chunks: &[Chunk], own: &str, gzip: bool) -> Exposition {
    let filter = NameFilter::default();
    assemble(chunks, &translate(own), FORMAT, &filter, gzip)
}

fn expo(criterion: &mut Criterion) {
    let rendered = Rendered::new();
    let own = Telemetry::default().open_metrics().unwrap_or_default();
    let chunks = rendered.chunks();
    let plain = read(&chunks, &own, false).len();
    let mut group = criterion.benchmark_group("expo/50000_lines");
    group
        .sample_size(20)
        .throughput(Throughput::Bytes(plain as u64));
    group.bench_function("chunks_of_an_evaluation", |bench| {
        bench.iter(|| black_box(rendered.chunks()));
    });
    for (gzip, name) in [(false, "plain"), (true, "gzip")] {
        group.bench_function(format!("first_read/{name}"), |bench| {
            bench.iter_batched(
                || rendered.chunks(),
                |chunks| (read(&chunks, &own, gzip), chunks),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("later_read/{name}"), |bench| {
            bench.iter(|| black_box(read(&chunks, &own, gzip)));
        });
    }
    group.finish();
}

/// A server with one unit that has published `chunks`.
fn serve(runtime: &Runtime, chunks: Vec<Chunk>, stop: CancellationToken) -> SocketAddr {
    let outcome = Outcome {
        unit: "x".into(),
        chunks,
        ..Outcome::default()
    };
    let catalogue = Catalogue::default();
    catalogue.replace(vec![Arc::new(UnitHandle {
        name: "x".into(),
        kind: "signal",
        step: Span::minutes(1),
        outcome: watch::channel(Some(Arc::new(outcome))).1,
        max_age: Span::days(1),
        report: Arc::default(),
        trail: Arc::default(),
    })]);
    let state = web::State {
        catalogue: Arc::new(catalogue),
        telemetry: Telemetry::default(),
        clock: runtime.block_on(async { Clock::scaled(0, 1.0) }),
        ready: Arc::new(AtomicBool::new(true)),
        lifecycle: None,
        config: Arc::default(),
        targets: Arc::default(),
        receivers: Arc::default(),
        settings: web::Settings::default(),
        store: Arc::default(),
        admin: false,
        shard: None,
    };
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    drop(
        runtime
            .handle()
            .spawn(web::serve(listener, Arc::new(state), stop)),
    );
    addr
}

/// One whole scrape over loopback, as Prometheus makes it.
fn scrape(addr: SocketAddr, encoding: &str, into: &mut Vec<u8>) {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept-encoding: {encoding}\r\n\
         accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.2\r\n\r\n"
    );
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    into.clear();
    stream.read_to_end(into).unwrap();
    assert!(into.starts_with(b"HTTP/1.1 200"));
}

fn http(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let stop = CancellationToken::new();
    let addr = serve(&runtime, Rendered::new().chunks(), stop.clone());
    let mut group = criterion.benchmark_group("http/50000_lines");
    group.sample_size(20);
    let mut answer = Vec::new();
    for (encoding, name) in [("identity", "plain"), ("gzip", "gzip")] {
        scrape(addr, encoding, &mut answer);
        group.throughput(Throughput::Bytes(answer.len() as u64));
        group.bench_function(format!("later_read/{name}"), |bench| {
            bench.iter(|| scrape(addr, encoding, &mut answer));
        });
    }
    group.finish();
    stop.cancel();
}

criterion_group!(benches, expo, http);
criterion_main!(benches);
