//! How fast what is pushed and what is scraped in protobuf is read, beside prost on the same bytes in the same run;
//! and how fast remote write is written.
//!
//! `cargo bench --bench ingest`. A request has 2,000 series of 8 labels with about 150 bytes of names and values, and
//! one sample each; a scrape has the same series as gauges, and histograms of 12 buckets. The ratio is of whole passes
//! in turn, the best of each: ours gives every label and sample once, prost makes its messages. Both are shown without
//! snappy and with it. Then what is pushed into a hub, see `ingest/pushed.rs`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run may panic")]
#![expect(clippy::print_stdout, reason = "the ratio is what this prints")]

#[path = "../src/expo/wire/tests/messages.rs"]
mod messages;
#[path = "ingest/pushed.rs"]
mod pushed;

use criterion::{Criterion, Throughput, criterion_group};
use fastrand::Rng;
use forethought::expo::{
    parse::{self, Event},
    wire::{
        Packer, Unpacker,
        families::Families,
        write::{Item, Limits, Outgoing, Point, Reader, Version, Writer},
    },
};
use messages::{client, v1, v2};
use prost::Message;
use std::{hint::black_box, time::Duration};
use tokio::time::Instant;

const SEED: u64 = 7;
const SERIES: usize = 2_000;
const HISTOGRAMS: usize = 100;
/// Whole passes of each reader for the ratio.
const PASSES: usize = 50;
/// Of a request when unpacked, in bytes.
const LIMIT: usize = 32 << 20;

/// Name and labels of a series, sorted.
type Labels = (String, Vec<(&'static str, String)>);

fn hex(random: &mut Rng, digits: usize) -> String {
    (0..digits)
        .map(|_| char::from_digit(random.u32(0..16), 16).unwrap())
        .collect()
}

/// Series as kube-state-metrics and cAdvisor have them: a few pods' worth of families for each pod.
fn series() -> Vec<Labels> {
    let mut random = Rng::with_seed(SEED);
    let names = [
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "kube_pod_status_phase",
        "kube_pod_container_info",
    ];
    let mut pod = String::new();
    (0..SERIES)
        .map(|number| {
            if number % names.len() == 0 {
                pod = format!("checkout-{}-{}", hex(&mut random, 9), hex(&mut random, 5));
            }
            let labels = vec![
                ("cluster", "eu-west-1".to_owned()),
                ("container", "app".to_owned()),
                (
                    "instance",
                    format!("10.0.{}.7:8080", number / names.len() % 256),
                ),
                ("job", "kubelet".to_owned()),
                ("namespace", "payments".to_owned()),
                ("node", format!("node-{}", hex(&mut random, 4))),
                ("pod", pod.clone()),
            ];
            (names[number % names.len()].to_owned(), labels)
        })
        .collect()
}

/// One sample for each series.
fn write(writer: &mut Writer, series: &[Labels], body: &mut Vec<u8>) {
    writer.clear();
    body.clear();
    let mut labels = Vec::new();
    for (number, (name, pairs)) in series.iter().enumerate() {
        labels.clear();
        labels.extend(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        let point = Point {
            at: 1_700_000_000_000 + number as i64,
            value: number as f64 * 1.1,
        };
        writer.push(&Outgoing {
            name,
            labels: &labels,
            samples: &[point],
            metadata: None,
            created: None,
        });
    }
    writer.append_to(body);
}

fn request(version: Version) -> Vec<u8> {
    let mut body = Vec::new();
    write(&mut Writer::new(version), &series(), &mut body);
    body
}

fn scrape() -> Vec<u8> {
    let series = series();
    let labels = |pairs: &[(&'static str, String)]| {
        let pairs = pairs.iter();
        let label = |(name, value): &(&str, String)| v1::Label {
            name: (*name).to_owned(),
            value: value.clone(),
        };
        pairs.map(label).collect::<Vec<_>>()
    };
    let gauge = |(number, (_, pairs)): (usize, &Labels)| client::Metric {
        label: labels(pairs),
        gauge: Some(client::Value {
            value: Some(number as f64 * 1.1),
            exemplar: None,
        }),
        ..client::Metric::default()
    };
    let bucket = |bound: u32| client::Bucket {
        cumulative_count: Some(bound.into()),
        upper_bound: Some(f64::from(bound) / 8.0),
        ..client::Bucket::default()
    };
    let histogram = |(_, pairs): &Labels| client::Metric {
        label: labels(pairs),
        histogram: Some(client::Histogram {
            sample_count: Some(12),
            sample_sum: Some(1.5),
            bucket: (1..=12).map(bucket).collect(),
            ..client::Histogram::default()
        }),
        ..client::Metric::default()
    };
    let family = |name: &str, kind, metric| client::MetricFamily {
        name: Some(name.to_owned()),
        help: Some(format!("What {name} is, in some words.")),
        kind: Some(kind),
        metric,
        unit: None,
    };
    let gauges = series.iter().enumerate().map(gauge).collect();
    let histograms = series.iter().take(HISTOGRAMS).map(histogram).collect();
    let mut body = Vec::new();
    for family in [
        family("container_memory_working_set_bytes", 1, gauges),
        family("http_request_duration_seconds", 4, histograms),
    ] {
        family.encode_length_delimited(&mut body).unwrap();
    }
    body
}

/// Samples of a request, with every label.
fn ours(body: &[u8], version: Version) -> usize {
    let mut samples = 0;
    let mut reader = Reader::new(body, version, Limits::default());
    while let Some(item) = reader.next_item().unwrap() {
        if let Item::Series(series) = black_box(item) {
            samples += series.samples.len();
        }
    }
    samples
}

fn ours_packed(unpacker: &mut Unpacker, packed: &[u8], version: Version) -> usize {
    ours(unpacker.unpack(packed, LIMIT).unwrap(), version)
}

fn prost(body: &[u8], version: Version) -> usize {
    match version {
        Version::V1 => {
            let request = black_box(v1::WriteRequest::decode(body).unwrap());
            request.timeseries.iter().map(|one| one.samples.len()).sum()
        }
        Version::V2 => {
            let request = black_box(v2::Request::decode(body).unwrap());
            request.timeseries.iter().map(|one| one.samples.len()).sum()
        }
    }
}

/// Samples of a scrape, with every label where `labels`.
fn ours_scrape(body: &[u8], labels: bool) -> usize {
    let mut samples = 0;
    let mut families = Families::new(body, parse::Limits::NONE);
    while let Some(event) = families.next_event() {
        if let Event::Sample(sample) = event.unwrap() {
            samples += 1;
            black_box((sample.value, sample.series));
            if labels {
                sample.labels.for_each(|pair| drop(black_box(pair)));
            }
        }
    }
    samples
}

/// As many as text has of them.
fn prost_scrape(mut body: &[u8]) -> usize {
    let mut samples = 0;
    while !body.is_empty() {
        let family = client::MetricFamily::decode_length_delimited(&mut body).unwrap();
        let count = |metric: &client::Metric| {
            let histogram = metric.histogram.as_ref();
            histogram.map_or(1, |histogram| histogram.bucket.len() + 3)
        };
        samples += black_box(family).metric.iter().map(count).sum::<usize>();
    }
    samples
}

fn ingest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest");
    group.sample_size(20);
    group.throughput(Throughput::Elements(SERIES as u64));
    let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
    let series = series();
    for version in [Version::V1, Version::V2] {
        let mut body = request(version);
        let packed = packer.pack(&body).unwrap().to_vec();
        group.bench_function(format!("remote_write_{version}/read"), |bench| {
            bench.iter(|| ours(&body, version));
        });
        group.bench_function(format!("remote_write_{version}/unpack_and_read"), |bench| {
            bench.iter(|| ours_packed(&mut unpacker, &packed, version));
        });
        let mut writer = Writer::new(version);
        group.bench_function(format!("remote_write_{version}/write"), |bench| {
            bench.iter(|| write(&mut writer, &series, &mut body));
        });
        group.bench_function(format!("remote_write_{version}/write_and_pack"), |bench| {
            bench.iter(|| {
                write(&mut writer, &series, &mut body);
                packer.pack(&body).unwrap().len()
            });
        });
    }
    let body = scrape();
    group.throughput(Throughput::Elements(ours_scrape(&body, false) as u64));
    for (labels, what) in [(false, "samples"), (true, "samples_and_labels")] {
        group.bench_function(format!("scrape/{what}"), |bench| {
            bench.iter(|| ours_scrape(&body, labels));
        });
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

/// One line: samples and unpacked bytes a second, ours and those of prost.
fn tell(what: &str, bytes: usize, ours: (Duration, usize), prost: (Duration, usize)) {
    assert_eq!(ours.1, prost.1, "one of them lost samples");
    let speed = |took: Duration| bytes as f64 / 1e6 / took.as_secs_f64();
    let each = |took: Duration| ours.1 as f64 / 1e6 / took.as_secs_f64();
    println!(
        "{what}, {bytes} bytes, {} samples: {:.2} M samples/s, {:.0} MB/s, prost {:.2} M samples/s, {:.0} MB/s, {:.1} times as fast",
        ours.1,
        each(ours.0),
        speed(ours.0),
        each(prost.0),
        speed(prost.0),
        prost.0.as_secs_f64() / ours.0.as_secs_f64(),
    );
}

fn ratio() {
    let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
    for version in [Version::V1, Version::V2] {
        let body = request(version);
        let packed = packer.pack(&body).unwrap().to_vec();
        let theirs = best(|| prost(&body, version));
        let what = format!("remote write {version}");
        tell(&what, body.len(), best(|| ours(&body, version)), theirs);
        let theirs = best(|| {
            let unpacked = unpacker.unpack(&packed, LIMIT).unwrap();
            prost(unpacked, version)
        });
        let what = format!("remote write {version} in {} bytes of snappy", packed.len());
        let own = best(|| ours_packed(&mut unpacker, &packed, version));
        tell(&what, body.len(), own, theirs);
    }
    let body = scrape();
    let theirs = best(|| prost_scrape(&body));
    tell(
        "scrape",
        body.len(),
        best(|| ours_scrape(&body, false)),
        theirs,
    );
    let own = best(|| ours_scrape(&body, true));
    tell("scrape with labels", body.len(), own, theirs);
}

criterion_group!(benches, ingest);

fn main() {
    ratio();
    pushed::figures();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
