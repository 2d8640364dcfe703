//! How fast answers of the query API become samples: `cargo bench --bench source`.
//!
//! Criterion prints bytes per second; issue and readme speak of megabytes per second and core.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use forethought::source::{RangeRequest, prometheus::Decoder};
use std::{fmt::Write, hint::black_box};

const STEP: i64 = 60;
const START: i64 = 1_700_000_040;
const SERIES: usize = 10_000;

/// An answer as Prometheus writes it: labels as of cAdvisor, values of a rate.
fn answer(series: usize, points: i64) -> (String, RangeRequest) {
    let mut text = String::from(r#"{"status":"success","data":{"resultType":"matrix","result":["#);
    let mut random = fastrand::Rng::with_seed(7);
    for index in 0..series {
        let comma = if index == 0 { "" } else { "," };
        let (node, pod) = (index % 97, random.u32(..));
        write!(
            text,
            r#"{comma}{{"metric":{{"cluster":"eu-1","container":"main","instance":"10.0.{node}.7:10250","namespace":"shop-{:02}","pod":"checkout-{index:05}-{pod:08x}"}},"values":["#,
            index % 40
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
    };
    (text, request)
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
            bench.iter(|| known.range(black_box(text.as_bytes()), &request));
        });
        // The first answer after a start.
        group.bench_function(format!("first_{points}_points"), |bench| {
            bench.iter_batched(
                Decoder::default,
                |fresh| fresh.range(black_box(text.as_bytes()), &request),
                BatchSize::LargeInput,
            );
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
