//! How fast text expositions are read, beside prometheus-parse on the same body in the same run.
//!
//! `cargo bench --bench exposition`. The body is like what kube-state-metrics and node_exporter expose: about
//! 150 bytes a line, most of them labels; made from a seed, without what prometheus-parse loses (`,`, `=`,
//! `}` and escapes in values, colons in names). The ratio is of whole passes in turn, the best of each.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run may panic")]
#![expect(clippy::print_stdout, reason = "the ratio is what this prints")]

use criterion::{Criterion, Throughput, criterion_group};
use fastrand::Rng;
use forethought::expo::parse::{Dialect, Event, Limits, Parser};
use std::{fmt::Write, hint::black_box, time::Duration};
use tokio::time::Instant;

const SEED: u64 = 7;
/// Objects; each has ten lines.
const PODS: usize = 3_000;
/// Whole passes of each parser for the ratio.
const PASSES: usize = 7;

fn hex(random: &mut Rng, digits: usize) -> String {
    (0..digits)
        .map(|_| char::from_digit(random.u32(0..16), 16).unwrap())
        .collect()
}

/// What identifies a pod in every line of it.
fn pod(random: &mut Rng) -> String {
    let namespace = ["shop", "payments", "kube-system", "monitoring"][random.usize(0..4)];
    let name = [
        "checkout-service",
        "cart",
        "search-frontend",
        "recommendation-worker",
    ][random.usize(0..4)];
    let (set, id) = (hex(random, 10), hex(random, 5));
    let uid = format!("{}-{}-{}", hex(random, 8), hex(random, 4), hex(random, 12));
    format!("namespace=\"{namespace}\",pod=\"{name}-{set}-{id}\",uid=\"{uid}\"")
}

fn body(open_metrics: bool) -> String {
    let mut random = Rng::with_seed(SEED);
    let mut text = String::new();
    let pods: Vec<String> = (0..PODS).map(|_| pod(&mut random)).collect();
    let mut family = |name: &str, kind: &str, line: &mut dyn FnMut(&str) -> String| {
        let (metric, header) = match (kind, open_metrics) {
            ("counter", true) => (format!("{name}_total"), name.to_owned()),
            ("counter", false) => (format!("{name}_total"), format!("{name}_total")),
            _ => (name.to_owned(), name.to_owned()),
        };
        writeln!(text, "# HELP {header} What {name} is, in some words.").unwrap();
        writeln!(text, "# TYPE {header} {kind}").unwrap();
        for pod in &pods {
            writeln!(text, "{metric}{{{}", line(pod)).unwrap();
        }
    };
    for phase in ["Pending", "Succeeded", "Failed", "Unknown", "Running"] {
        family("kube_pod_status_phase", "gauge", &mut |pod| {
            format!("{pod},phase=\"{phase}\"}} {}", random.u8(0..2))
        });
    }
    family("kube_pod_created", "gauge", &mut |pod| {
        format!("{pod}}} 1.{}e+09", random.u32(100_000_000..999_999_999))
    });
    family("container_memory_working_set_bytes", "gauge", &mut |pod| {
        let id = format!("/kubepods/burstable/pod{}", hex(&mut random, 16));
        format!("container=\"app\",id=\"{id}\",{pod}}} {}", random.u32(..))
    });
    family("container_cpu_usage_seconds", "counter", &mut |pod| {
        format!("container=\"app\",cpu=\"total\",{pod}}} {}", random.f64())
    });
    family("node_network_receive_bytes", "counter", &mut |_| {
        let device = format!("cali{}", hex(&mut random, 11));
        format!("device=\"{device}\"}} {}", f64::from(random.u32(..)) * 1e3)
    });
    family("node_cpu_seconds", "counter", &mut |_| {
        let cpu = random.u8(0..64);
        let seconds = f64::from(random.u32(0..100_000_000)) / 100.0;
        format!("cpu=\"{cpu}\",mode=\"iowait\"}} {seconds}")
    });
    if open_metrics {
        text.push_str("# EOF\n");
    }
    text
}

/// Samples of a body; their labels are read where `labels`.
fn ours(body: &str, dialect: Dialect, labels: bool) -> usize {
    let mut samples = 0;
    for event in Parser::new(body.as_bytes(), dialect, Limits::NONE) {
        if let Event::Sample(sample) = event.unwrap() {
            samples += 1;
            black_box((sample.value, &sample.name));
            if labels {
                sample.labels.for_each(|pair| drop(black_box(pair)));
            }
        }
    }
    samples
}

/// It wants a `String` for every line.
fn prometheus_parse(body: &str) -> usize {
    let lines = body.lines().map(|line| Ok(line.to_owned()));
    prometheus_parse::Scrape::parse(lines)
        .unwrap()
        .samples
        .len()
}

fn exposition(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exposition/parse");
    group.sample_size(20);
    for (dialect, name) in [
        (Dialect::Text, "text"),
        (Dialect::OpenMetrics, "open_metrics"),
    ] {
        let body = body(dialect == Dialect::OpenMetrics);
        group.throughput(Throughput::Bytes(body.len() as u64));
        for (labels, what) in [(false, "samples"), (true, "samples_and_labels")] {
            group.bench_function(format!("{name}/{what}"), |bench| {
                bench.iter(|| ours(&body, dialect, labels));
            });
        }
    }
    group.finish();
}

/// The shortest of some passes, and what they gave.
fn best(mut pass: impl FnMut() -> usize) -> (Duration, usize) {
    let passes = (0..PASSES).map(|_| {
        let started = Instant::now();
        let samples = black_box(pass());
        (started.elapsed(), samples)
    });
    passes.min().unwrap()
}

fn ratio() {
    let body = body(false);
    let megabytes = body.len() as f64 / 1e6;
    let (own, own_samples) = best(|| ours(&body, Dialect::Text, true));
    let (theirs, their_samples) = best(|| prometheus_parse(&body));
    assert_eq!(own_samples, their_samples, "prometheus-parse lost samples");
    let speed = |took: Duration| megabytes / took.as_secs_f64();
    println!(
        "{megabytes:.1} MB, {own_samples} samples with their labels: {:.0} MB/s, prometheus-parse {:.0} MB/s, {:.1} times as fast",
        speed(own),
        speed(theirs),
        theirs.as_secs_f64() / own.as_secs_f64(),
    );
}

criterion_group!(benches, exposition);

fn main() {
    ratio();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
