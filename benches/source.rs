//! How fast answers of the query API become samples: `cargo bench --bench source`.
//!
//! Bytes per second of CPU time, so that what else the machine does is not measured.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forethought::{
    series::Share,
    source::{RangeRequest, prometheus::Decoder},
};
use std::{fmt::Write, fs, hint::black_box, time::Duration};

const STEP: i64 = 60;
const START: i64 = 1_700_000_040;
const SERIES: usize = 10_000;

/// An answer as Prometheus writes it: sorted by labels, labels as of cAdvisor, values of a rate.
fn answer(series: usize, points: i64) -> (String, RangeRequest) {
    let mut text = String::from(r#"{"status":"success","data":{"resultType":"matrix","result":["#);
    let mut random = fastrand::Rng::with_seed(7);
    for index in 0..series {
        let comma = if index == 0 { "" } else { "," };
        let (node, pod) = (index / 104, random.u32(..));
        write!(
            text,
            r#"{comma}{{"metric":{{"cluster":"eu-1","container":"main","instance":"10.0.{node}.7:10250","namespace":"shop-{:02}","pod":"checkout-{index:05}-{pod:08x}"}},"values":["#,
            index / 8 % 13
        )
        .expect("a string takes everything");
        for point in 0..points {
            let comma = if point == 0 { "" } else { "," };
            let (at, value) = (START + point * STEP, random.f64() * 1_000.0);
            write!(text, "{comma}[{at},\"{value}\"]").expect("a string takes everything");
        }
        text.push_str("]}");
    }
    text.push_str("]}}");
    let request = RangeRequest {
        query: String::from("rate"),
        start: START * 1_000,
        end: (START + (points - 1) * STEP) * 1_000,
        step: STEP * 1_000,
        max_series: series,
        share: Share::ALL,
    };
    (text, request)
}

/// CPU time of `work` done `times` times.
fn on_cpu(times: u64, mut work: impl FnMut()) -> Duration {
    let before = cpu();
    for _ in 0..times {
        work();
    }
    cpu() - before
}

/// CPU time of this thread so far (Linux; see `Documentation/scheduler/sched-stats.rst`).
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the bench needs Linux with schedstat"))
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode_10000_series");
    group.sample_size(20);
    for points in [4, 60] {
        let (text, request) = answer(SERIES, points);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let known = Decoder::default();
        // A tick: the series were there at the last one.
        group.bench_function(format!("tick_{points}_points"), |bench| {
            bench.iter_custom(|times| {
                on_cpu(times, || {
                    drop(black_box(known.range(black_box(text.as_bytes()), &request)));
                })
            });
        });
        // The first answer after a start.
        group.bench_function(format!("first_{points}_points"), |bench| {
            bench.iter_custom(|times| {
                on_cpu(times, || {
                    let fresh = Decoder::default();
                    drop(black_box(fresh.range(black_box(text.as_bytes()), &request)));
                })
            });
        });
        let decoded = known.range(text.as_bytes(), &request);
        let matrix = decoded.expect("the answer is sound");
        let samples: usize = matrix.series.iter().map(|one| one.samples.len()).sum();
        assert_eq!(
            samples,
            SERIES * points as usize,
            "the whole answer is decoded"
        );
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
