//! What rules cost: making the snapshot of 10,000 series, and evaluating 100 rules over it.
//!
//! `cargo bench --bench promql`. The series are 40 metrics of 250 deployments; the rules are five kinds, each over
//! another metric.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run may panic")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use forethought::{
    promql::{Expression, Snapshot},
    series::{Labels, Millis},
};
use std::hint::black_box;

const METRICS: usize = 40;
const DEPLOYMENTS: usize = 250;
const NOW: Millis = 1_700_000_000_000;

fn labels(deployment: usize) -> Labels {
    let namespace = format!("team-{}", deployment % 10);
    let deployment = format!("checkout-service-{deployment}");
    let pairs = [("namespace", namespace), ("deployment", deployment)];
    Labels::new(pairs).unwrap()
}

fn value(metric: usize, deployment: usize) -> f64 {
    ((metric * 31 + deployment * 17) % 1_000) as f64
}

/// A name, and its series with their values and times.
type Metric = (String, Vec<(Labels, f64, Millis)>);

/// The series as the units have them: by metric, labels made long ago.
fn series() -> Vec<Metric> {
    let all: Vec<Labels> = (0..DEPLOYMENTS).map(labels).collect();
    let metric = |metric| {
        let series = all.iter().enumerate();
        let series = series.map(|(index, labels)| (labels.clone(), value(metric, index), NOW));
        (format!("metric_{metric}"), series.collect())
    };
    (0..METRICS).map(metric).collect()
}

fn snapshot(series: Vec<Metric>) -> Snapshot {
    let mut snapshot = Snapshot::new();
    for (name, series) in series {
        snapshot.put(&name, series);
    }
    snapshot
}

/// What people write: a threshold, two signals of one workload, a share, a forecast beside a limit, a choice.
fn rules() -> Vec<Expression> {
    let rule = |index: usize| {
        let (one, other) = (index % METRICS, (index + 1) % METRICS);
        let deployment = format!("deployment=\"checkout-service-{}\"", index % DEPLOYMENTS);
        let text = match index % 5 {
            0 => format!("metric_{one}{{{deployment}}} > 100"),
            1 => format!(
                "metric_{one}{{{deployment}}} > 100 and on() metric_{other}{{{deployment}}} > 50"
            ),
            2 => format!("metric_{one} / ignoring(namespace) metric_{other} > 0.9"),
            3 => format!(
                "sum by (namespace) (metric_{one}) > 0.8 * sum by (namespace) (metric_{other})"
            ),
            _ => format!("topk(3, metric_{one}{{namespace=~\"team-[1-5]\"}}) > 500"),
        };
        Expression::parse(&text).unwrap()
    };
    (0..100).map(rule).collect()
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("promql");
    group.throughput(Throughput::Elements((METRICS * DEPLOYMENTS) as u64));
    let all = Expression::parse("count({__name__=~\".+\"})").unwrap();
    group.bench_function("snapshot of 10,000 series, read once", |bencher| {
        // Series are sorted when they are first read.
        let read = |series| all.evaluate(NOW, &snapshot(series)).unwrap();
        bencher.iter_batched(series, read, BatchSize::LargeInput);
    });
    group.throughput(Throughput::Elements(100));
    let (snapshot, rules) = (snapshot(series()), rules());
    group.bench_function("100 rules over 10,000 series", |bencher| {
        bencher.iter(|| {
            for rule in &rules {
                black_box(rule.evaluate(NOW, &snapshot).unwrap());
            }
        });
    });
    let text = "metric_1 > 1000 and on() metric_2{deployment=~\"checkout-.*\"} > 50";
    group.throughput(Throughput::Elements(1));
    group.bench_function("reading a rule", |bencher| {
        bencher.iter(|| Expression::parse(black_box(text)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
