//! What holds of any body: what `prost` writes is read back, less of a body gives less and never something else, and nothing
//! panics.

use super::{
    events_up_to,
    messages::{client, v1, v2},
    read, read_up_to,
};
use crate::expo::{
    parse::{self, MetricType},
    wire::{
        Body, Unpacker,
        families::Families,
        write::{Limits, Metadata, Outgoing, Point, Version, Writer},
    },
};
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;

/// Labels without the metric's name, sorted; values are not empty.
pub(super) type Pairs = BTreeMap<String, String>;

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_]{0,8}", "[^\0]{1,6}", "[a-z]{100,150}"]
        .prop_filter("has another meaning", |name| name != "__name__")
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,12}", ".{1,8}", "[a-z]{120,140}", "\0"]
}

fn any_pairs() -> impl Strategy<Value = Pairs> {
    prop::collection::btree_map(any_name(), any_value(), 0..6)
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), any::<u64>().prop_map(f64::from_bits)]
}

/// Of a series: its labels, samples, histograms, exemplars, the start and what is known of it.
pub(super) type Given = (
    (String, Pairs),
    Vec<(f64, i64)>,
    (usize, usize),
    i64,
    (i32, String, String),
);

pub(super) fn any_series() -> impl Strategy<Value = Given> {
    (
        (any_value(), any_pairs()),
        prop::collection::vec((any_number(), any::<i64>()), 0..4),
        (0..3_usize, 0..3_usize),
        any::<i64>(),
        (0..9, "[a-z ]{0,5}", "[a-z]{0,3}"),
    )
}

pub(super) fn request_1(given: &[Given]) -> Vec<u8> {
    let label = |(name, value): (&String, &String)| v1::Label {
        name: name.clone(),
        value: value.clone(),
    };
    let series = |((name, pairs), samples, (histograms, exemplars), _, _): &Given| v1::TimeSeries {
        labels: [(&"__name__".to_owned(), name)]
            .into_iter()
            .chain(pairs)
            .map(label)
            .collect(),
        samples: samples
            .iter()
            .map(|&(value, timestamp)| v1::Sample { value, timestamp })
            .collect(),
        histograms: vec![
            v1::Histogram {
                sum: 1.0,
                ..v1::Histogram::default()
            };
            *histograms
        ],
        exemplars: vec![
            v1::Exemplar {
                value: 1.0,
                ..v1::Exemplar::default()
            };
            *exemplars
        ],
    };
    let about = |((name, _), _, _, _, (kind, help, unit)): &Given| v1::MetricMetadata {
        kind: *kind,
        metric_family_name: name.clone(),
        help: help.clone(),
        unit: unit.clone(),
    };
    let request = v1::WriteRequest {
        timeseries: given.iter().map(series).collect(),
        metadata: given.iter().map(about).collect(),
    };
    request.encode_to_vec()
}

pub(super) fn request_2(given: &[Given]) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut symbol = |text: &str| {
        let place = symbols.iter().position(|symbol| symbol == text);
        let place = place.unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        });
        u32::try_from(place).unwrap()
    };
    let mut timeseries = Vec::new();
    for ((name, pairs), samples, (histograms, exemplars), created, (kind, help, unit)) in given {
        let mut labels_refs = vec![symbol("__name__"), symbol(name)];
        for (name, value) in pairs {
            labels_refs.extend([symbol(name), symbol(value)]);
        }
        let sample = |&(value, timestamp): &(f64, i64)| v2::Sample {
            value,
            timestamp,
            start_timestamp: 0,
        };
        timeseries.push(v2::TimeSeries {
            labels_refs,
            samples: samples.iter().map(sample).collect(),
            histograms: vec![v1::Histogram::default(); *histograms],
            exemplars: vec![v2::Exemplar::default(); *exemplars],
            metadata: Some(v2::Metadata {
                kind: *kind,
                help_ref: symbol(help),
                unit_ref: symbol(unit),
            }),
            created_timestamp: *created,
        });
    }
    let request = v2::Request {
        symbols,
        timeseries,
    };
    request.encode_to_vec()
}

const KINDS: [&str; 9] = [
    "Unknown",
    "Counter",
    "Gauge",
    "Histogram",
    "GaugeHistogram",
    "Summary",
    "Info",
    "StateSet",
    "Unknown",
];

const TYPES: [MetricType; 9] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
    MetricType::Unknown,
];

fn about((kind, help, unit): &(i32, String, String)) -> String {
    format!(" {} {help:?} {unit:?}", KINDS[*kind as usize])
}

/// The lines that `given` is to give, as version 1 has them.
fn wanted(given: &Given, version: Version) -> String {
    let ((name, pairs), samples, (histograms, exemplars), created, metadata) = given;
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let mut line = format!("{name}{{{}}}", pairs.join(","));
    for (value, at) in samples {
        match value.to_bits() {
            0x7FF0_0000_0000_0002 => line += &format!(" stale@{at}"),
            // Like every library, prost leaves out what equals zero.
            _ if *value == 0.0 => line += &format!(" 0.0@{at}"),
            _ => line += &format!(" {value:?}@{at}"),
        }
    }
    if histograms + exemplars > 0 {
        line += &format!(" h{histograms} e{exemplars}");
    }
    if version == Version::V2 {
        if *created != 0 {
            line += &format!(" created {created}");
        }
        if *metadata != (0, String::new(), String::new())
            && *metadata != (8, String::new(), String::new())
        {
            line += &about(metadata);
        }
    }
    line
}

/// The request that our writer makes of them.
fn written(given: &[Given], version: Version) -> Vec<u8> {
    let mut writer = Writer::new(version);
    for ((name, pairs), samples, _, created, (kind, help, unit)) in given {
        let labels: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        // As prost leaves it out, which the wanted lines go by.
        let samples: Vec<Point> = samples
            .iter()
            .map(|&(value, at)| Point {
                at,
                value: if value == 0.0 { 0.0 } else { value },
            })
            .collect();
        writer.push(&Outgoing {
            name,
            labels: &labels,
            samples: &samples,
            metadata: Some(Metadata {
                kind: TYPES[*kind as usize],
                help,
                unit,
            }),
            created: Some(*created),
        });
    }
    let mut body = Vec::new();
    writer.append_to(&mut body);
    body
}

pub(super) const NO_LIMITS: Limits = Limits {
    symbols: usize::MAX,
    labels: usize::MAX,
    name_bytes: usize::MAX,
    value_bytes: usize::MAX,
    samples: usize::MAX,
};

proptest! {
    #[test]
    fn what_prost_writes_reads_back(given in prop::collection::vec(any_series(), 0..6)) {
        let mut want: Vec<String> = given.iter().map(|one| wanted(one, Version::V1)).collect();
        want.extend(given.iter().map(|((name, _), .., metadata)| format!("about {name}{}", about(metadata))));
        prop_assert_eq!(read(&request_1(&given), Version::V1).unwrap(), want);
        let want: Vec<String> = given.iter().map(|one| wanted(one, Version::V2)).collect();
        prop_assert_eq!(read(&request_2(&given), Version::V2).unwrap(), want);
    }

    /// What we write is read back by us and by prost alike.
    #[test]
    fn what_we_write_reads_back(given in prop::collection::vec(any_series(), 0..6)) {
        for version in [Version::V1, Version::V2] {
            let body = written(&given, version);
            let lines = read(&body, version).unwrap();
            let series = lines.iter().filter(|line| !line.starts_with("about "));
            let series: Vec<String> = series.cloned().collect();
            let without = given.iter().map(|(name, samples, _, created, metadata)| {
                let known = (name.clone(), samples.clone(), (0, 0), *created, metadata.clone());
                wanted(&known, version)
            });
            prop_assert_eq!(series, without.collect::<Vec<_>>());
            let again = match version {
                Version::V1 => v1::WriteRequest::decode(&*body).unwrap().encode_to_vec(),
                Version::V2 => v2::Request::decode(&*body).unwrap().encode_to_vec(),
            };
            // Where metadata stands among the series is the writer's choice.
            let sorted = |mut lines: Vec<String>| {
                lines.sort();
                lines
            };
            prop_assert_eq!(sorted(read(&again, version).unwrap()), sorted(lines));
        }
    }

    /// Cut anywhere: an error or fewer items, the first of what the whole body has.
    #[test]
    fn less_of_a_request_gives_less_of_its_series(given in prop::collection::vec(any_series(), 1..3)) {
        for (version, body) in [(Version::V1, request_1(&given)), (Version::V2, request_2(&given))] {
            let (whole, _) = read_up_to(&body, version, NO_LIMITS);
            for cut in 0..body.len() {
                let (part, error) = read_up_to(&body[..cut], version, NO_LIMITS);
                prop_assert!(whole.starts_with(&part), "{part:?} of {whole:?}");
                prop_assert!(error.is_some() || part.len() < whole.len());
                prop_assert!(error.is_none_or(|error| error.offset <= cut));
            }
        }
    }

    #[test]
    fn less_of_a_body_gives_less_of_its_families(given in prop::collection::vec((any_value(), any_pairs(), any_number(), 0..6), 1..4)) {
        let body = families(&given);
        let read = |body| events_up_to(Body::Families(Families::new(body, parse::Limits::NONE)));
        let (whole, error) = read(&body);
        prop_assert!(error.is_none_or(|error| error.to_string().contains("NUL")));
        for cut in 0..body.len() {
            let (part, _) = read(&body[..cut]);
            prop_assert!(whole.starts_with(&part), "{part:?} of {whole:?}");
        }
    }

    /// The labels that a reader gets back from the text are those of the message.
    #[test]
    fn labels_of_families_read_back(name in "[^\0]{1,9}", pairs in any_pairs(), number in any_number()) {
        prop_assume!(pairs.keys().all(|name| !name.contains('\0')));
        let body = families(&[(name.clone(), pairs.clone(), number, 1)]);
        let mut families = Families::new(&body, parse::Limits::NONE);
        let mut samples = 0;
        while let Some(event) = families.next_event() {
            if let parse::Event::Sample(sample) = event.unwrap() {
                samples += 1;
                prop_assert_eq!(sample.name, name.as_str());
                prop_assert_eq!(sample.value.to_bits(), if number.is_nan() { f64::NAN.to_bits() } else { number.to_bits() });
                let got: Pairs = sample.labels.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
                prop_assert_eq!(&got, &pairs);
                // The text is one that the parser of text reads in the same way.
                let line = format!("{} 1\n", sample.series);
                let mut text = parse::Parser::new(line.as_bytes(), parse::Dialect::Text, parse::Limits::NONE);
                let Some(Ok(parse::Event::Sample(again))) = text.next() else { panic!("{line}") };
                prop_assert_eq!(again.name, name.as_str());
                let got: Pairs = again.labels.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
                prop_assert_eq!(&got, &pairs);
            }
        }
        prop_assert_eq!(samples, 1);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        judge(&bytes);
    }

    /// Bytes that look like fields reach further into the readers.
    #[test]
    fn bytes_that_are_nearly_right_never_panic(
        given in prop::collection::vec(any_series(), 0..3),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), 0..64_u8]), 1..5),
    ) {
        let rows: Vec<_> = given.iter().map(|((name, pairs), ..)| (name.clone(), pairs.clone(), 1.0, 4)).collect();
        for mut bytes in [request_1(&given), request_2(&given), families(&rows)] {
            for (at, byte) in &changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
            }
            judge(&bytes);
        }
    }
}

fn families(given: &[(String, Pairs, f64, i32)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, pairs, number, kind) in given {
        let label = pairs.iter().map(|(name, value)| v1::Label {
            name: name.clone(),
            value: value.clone(),
        });
        let value = Some(client::Value {
            value: Some(*number),
            exemplar: None,
        });
        let bucket = client::Bucket {
            cumulative_count: Some(1),
            upper_bound: Some(*number),
            ..client::Bucket::default()
        };
        let quantile = client::Quantile {
            quantile: Some(0.5),
            value: Some(*number),
        };
        let metric = client::Metric {
            label: label.collect(),
            gauge: value.clone(),
            counter: value.clone(),
            untyped: value,
            summary: Some(client::Summary {
                quantile: vec![quantile; 2],
                ..client::Summary::default()
            }),
            histogram: Some(client::Histogram {
                bucket: vec![bucket; 2],
                ..client::Histogram::default()
            }),
            timestamp_ms: None,
        };
        let family = client::MetricFamily {
            name: Some(name.clone()),
            help: Some("Help.".to_owned()),
            kind: Some(*kind),
            metric: vec![metric],
            unit: None,
        };
        family.encode_length_delimited(&mut out).unwrap();
    }
    out
}

/// Every reader ends, and errors point inside the body.
fn judge(bytes: &[u8]) {
    for version in [Version::V1, Version::V2] {
        let (_, error) = read_up_to(bytes, version, Limits::default());
        assert!(error.is_none_or(|error| error.offset <= bytes.len()));
    }
    let (_, error) = events_up_to(Body::Families(Families::new(bytes, parse::Limits::NONE)));
    if let Some(crate::expo::wire::BodyError::Families(error)) = error {
        assert!(error.offset <= bytes.len());
    }
    let mut unpacker = Unpacker::new();
    if let Ok(unpacked) = unpacker.unpack(bytes, 1 << 16) {
        assert!(unpacked.len() <= 1 << 16);
    }
}
