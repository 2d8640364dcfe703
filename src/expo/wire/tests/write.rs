//! Remote write, read.

use super::{
    field,
    messages::{v1, v2},
    read, read_up_to,
};
use crate::expo::wire::write::{Limits, Point, Reason, STALE_NAN, Version};
use Version::{V1, V2};
use prost::Message;
use std::collections::BTreeSet;

fn labels(pairs: &[(&str, &str)]) -> Vec<v1::Label> {
    let label = |(name, value): &(&str, &str)| v1::Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    pairs.iter().map(label).collect()
}

fn series(pairs: &[(&str, &str)], samples: &[(f64, i64)]) -> v1::TimeSeries {
    let sample = |&(value, timestamp): &(f64, i64)| v1::Sample { value, timestamp };
    v1::TimeSeries {
        labels: labels(pairs),
        samples: samples.iter().map(sample).collect(),
        ..v1::TimeSeries::default()
    }
}

fn request_1(timeseries: Vec<v1::TimeSeries>) -> Vec<u8> {
    let request = v1::WriteRequest {
        timeseries,
        metadata: Vec::new(),
    };
    request.encode_to_vec()
}

/// One series as version 1 and as version 2.
fn both(pairs: &[(&str, &str)], samples: &[(f64, i64)]) -> [(Version, Vec<u8>); 2] {
    let texts = pairs.iter().flat_map(|(name, value)| [*name, *value]);
    let symbols: BTreeSet<&str> = texts.clone().chain([""]).collect();
    let symbols: Vec<String> = symbols.into_iter().map(str::to_owned).collect();
    let place = |text: &str| symbols.iter().position(|symbol| symbol == text).unwrap() as u32;
    let sample = |&(value, timestamp): &(f64, i64)| v2::Sample {
        value,
        timestamp,
        start_timestamp: 0,
    };
    let series_2 = v2::TimeSeries {
        labels_refs: texts.map(place).collect(),
        samples: samples.iter().map(sample).collect(),
        ..v2::TimeSeries::default()
    };
    let request = v2::Request {
        timeseries: vec![series_2],
        symbols,
    };
    let one = request_1(vec![series(pairs, samples)]);
    [(V1, one), (V2, request.encode_to_vec())]
}

#[test]
fn labels_and_samples_of_both_versions() {
    let long = "x".repeat(200);
    let longest = format!("m{{a=\"1\",long={long:?},z=\"2\"}} 0.0@0");
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [(f64, i64)], &'a str);
    let cases: &[Case<'_>] = &[
        (
            &[("__name__", "m")],
            &[(1.5, 1_700_000_000_000)],
            "m{} 1.5@1700000000000",
        ),
        (
            &[("__name__", "m"), ("a", "1"), ("b", "größe 😱")],
            &[(-1.5, -5), (f64::INFINITY, i64::MAX), (f64::NAN, i64::MIN)],
            "m{a=\"1\",b=\"größe 😱\"} -1.5@-5 inf@9223372036854775807 NaN@-9223372036854775808",
        ),
        // Sorted where they are not, the name wherever it stands.
        (
            &[("b", "2"), ("A", "0"), ("__name__", "m"), ("a", "1")],
            &[],
            "m{A=\"0\",a=\"1\",b=\"2\"}",
        ),
        // No value is no label.
        (
            &[("__name__", "m"), ("a", ""), ("b", "2")],
            &[(1.0, 1)],
            "m{b=\"2\"} 1.0@1",
        ),
        // Names in any letters.
        (
            &[("__name__", "http.dur é"), ("k.8s", "v")],
            &[(1.0, 1)],
            "http.dur é{k.8s=\"v\"} 1.0@1",
        ),
        (
            &[("__name__", "m"), ("a", "1"), ("long", &long), ("z", "2")],
            &[(0.0, 0)],
            &longest,
        ),
    ];
    for (pairs, samples, want) in cases {
        for (version, body) in both(pairs, samples) {
            assert_eq!(read(&body, version).unwrap(), [*want], "{version}");
        }
    }
}

/// A stale marker is told by its bits; another NaN is a value.
#[test]
fn the_end_of_a_series_is_told_from_other_nan() {
    let stale = f64::from_bits(STALE_NAN);
    for (version, body) in both(&[("__name__", "m")], &[(f64::NAN, 1), (stale, 2)]) {
        assert_eq!(read(&body, version).unwrap(), ["m{} NaN@1 stale@2"]);
    }
    assert!(Point::stale(3).is_stale() && Point::stale(3).value.is_nan());
}

#[test]
fn why_a_series_is_refused() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("a", "1")],
            "refused ? s2 h0 e0: no metric name: expected a label __name__",
        ),
        (
            &[("__name__", "")],
            "refused ? s2 h0 e0: no metric name: expected a label __name__",
        ),
        (
            &[("__name__", "m"), ("", "1")],
            "refused m s2 h0 e0: a label without a name",
        ),
        (
            &[("a", "1"), ("__name__", "m"), ("a", "2")],
            "refused m s2 h0 e0: label \"a\" appears twice",
        ),
        (
            &[("__name__", "m"), ("a", ""), ("a", "")],
            "refused m s2 h0 e0: label \"a\" appears twice",
        ),
        (
            &[("__name__", "m"), ("__name__", "n")],
            "refused n s2 h0 e0: label \"__name__\" appears twice",
        ),
        (
            &[("__name__", "m"), ("a", "1"), ("b", "1"), ("c", "1")],
            "refused m s2 h0 e0: 3 labels, where 2 is the limit",
        ),
        (
            &[("__name__", "m"), ("123456789", "1")],
            "refused m s2 h0 e0: a label name of 9 bytes, where 8 is the limit",
        ),
        (
            &[("__name__", "m"), ("a", "12345678901")],
            "refused m s2 h0 e0: a value of 11 bytes in label \"a\", where 10 is the limit",
        ),
        (
            &[("__name__", "12345678901")],
            "refused ? s2 h0 e0: a value of 11 bytes in label \"__name__\", where 10 is the limit",
        ),
        (
            &[("__name__", "m"), ("12345678", "1234567890"), ("b", "")],
            "m{12345678=\"1234567890\"} 1.0@1 2.0@2",
        ),
    ];
    let limits = Limits {
        labels: 2,
        name_bytes: 8,
        value_bytes: 10,
        ..Limits::default()
    };
    for (pairs, want) in cases {
        for (version, body) in both(pairs, &[(1.0, 1), (2.0, 2)]) {
            let (shown, error) = read_up_to(&body, version, limits);
            assert_eq!(
                (shown, error),
                (vec![(*want).to_owned()], None),
                "{version}"
            );
        }
    }
    for (version, body) in both(&[("__name__", "m")], &[(1.0, 1), (2.0, 2)]) {
        let limits = Limits {
            samples: 1,
            ..limits
        };
        let (shown, _) = read_up_to(&body, version, limits);
        assert_eq!(
            shown,
            ["refused m s2 h0 e0: 2 samples at once, where 1 is the limit"]
        );
    }
}

/// A bad series does not harm those around it.
#[test]
fn only_the_bad_series_is_refused() {
    let good = |name: &str| {
        field(
            1,
            [
                field(1, [field(1, "__name__"), field(2, name)].concat()),
                field(2, [16, 5]),
            ]
            .concat(),
        )
    };
    let bad = |label: Vec<u8>| {
        field(
            1,
            [
                field(1, label),
                field(2, [16, 5]),
                field(4, ""),
                field(3, ""),
            ]
            .concat(),
        )
    };
    let not_utf8 = "s1 h1 e1: a text that is not UTF-8";
    for label in [
        [field(1, "__name__"), field(2, b"\xFF")].concat(),
        [field(1, b"a\xC3"), field(2, b"\xA9")].concat(),
        [field(1, b"\x80")].concat(),
    ] {
        let body = [good("a"), bad(label), good("b")].concat();
        let want = [
            "a{} 0.0@5".to_owned(),
            format!("refused ? {not_utf8}"),
            "b{} 0.0@5".to_owned(),
        ];
        assert_eq!(read(&body, V1).unwrap(), want);
    }
    let symbols = [
        field(4, ""),
        field(4, "__name__"),
        field(4, "a"),
        field(4, b"\xFF"),
        field(4, "b"),
    ]
    .concat();
    let series = |references: &[u8]| field(5, [field(1, references), field(2, [16, 5])].concat());
    let cases: [(&[u8], &str); 7] = [
        (&[1, 3], not_utf8.split_once(' ').unwrap().1),
        (&[1, 2, 3, 4], "h0 e0: a text that is not UTF-8"),
        (
            &[1, 2, 4],
            "h0 e0: an odd number of symbols for its labels: the last name has no value",
        ),
        (&[1, 5], "h0 e0: symbol 5, where the request has 5"),
        (&[5, 1], "h0 e0: symbol 5, where the request has 5"),
        (
            &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1],
            "h0 e0: symbol 4294967295, where the request has 5",
        ),
        (&[], "h0 e0: no metric name: expected a label __name__"),
    ];
    for (references, want) in cases {
        let body = [
            symbols.clone(),
            series(&[1, 2]),
            series(references),
            series(&[1, 4]),
        ]
        .concat();
        let shown = read(&body, V2).unwrap();
        assert_eq!([&shown[0], &shown[2]], ["a{} 0.0@5", "b{} 0.0@5"]);
        let want = want.replace("h1 e1", "h0 e0");
        assert!(
            shown[1].starts_with("refused ") && shown[1].ends_with(&want),
            "{shown:?}"
        );
    }
}

#[test]
fn each_reason_has_a_name_of_its_own() {
    let limit = 1;
    let (count, length) = (2, 2);
    let all = [
        Reason::DuplicateLabel("a"),
        Reason::EmptyLabelName,
        Reason::NameTooLong { length, limit },
        Reason::ValueTooLong {
            label: "a",
            length,
            limit,
        },
        Reason::NoName,
        Reason::NoSymbol {
            reference: 1,
            symbols: 1,
        },
        Reason::NotUtf8,
        Reason::OddSymbols,
        Reason::TooManyLabels { count, limit },
        Reason::TooManySamples { count, limit },
    ];
    assert_eq!(all.map(|reason| reason.as_str()), Reason::NAMES);
    assert!(Reason::NAMES.is_sorted());
}

/// Native histograms are counted, those with custom buckets too; so are exemplars.
#[test]
fn what_is_not_read_is_counted() {
    let exponential = v1::Histogram {
        count_int: 3,
        sum: 1.5,
        schema: 3,
        positive_deltas: vec![1, -1],
        timestamp: 7,
        custom_values: Vec::new(),
    };
    let custom = v1::Histogram {
        schema: -53,
        custom_values: vec![0.5, 1.0],
        ..exponential.clone()
    };
    let request = v1::WriteRequest {
        timeseries: vec![v1::TimeSeries {
            exemplars: vec![v1::Exemplar {
                labels: labels(&[("trace_id", "x")]),
                value: 1.0,
                timestamp: 5,
            }],
            histograms: vec![exponential.clone(), custom.clone()],
            ..series(&[("__name__", "m")], &[])
        }],
        metadata: Vec::new(),
    };
    assert_eq!(read(&request.encode_to_vec(), V1).unwrap(), ["m{} h2 e1"]);
    let request = v2::Request {
        symbols: ["", "__name__", "m"].map(str::to_owned).to_vec(),
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, 2],
            histograms: vec![exponential, custom],
            exemplars: vec![v2::Exemplar::default(); 3],
            ..v2::TimeSeries::default()
        }],
    };
    assert_eq!(read(&request.encode_to_vec(), V2).unwrap(), ["m{} h2 e3"]);
}

#[test]
fn metadata_of_both_versions() {
    let about = |kind, name: &str, help: &str, unit: &str| v1::MetricMetadata {
        kind,
        metric_family_name: name.to_owned(),
        help: help.to_owned(),
        unit: unit.to_owned(),
    };
    let mut metadata: Vec<v1::MetricMetadata> =
        (0..9).map(|kind| about(kind, "m", "", "")).collect();
    metadata.push(about(1, "n_seconds", "What n is.", "seconds"));
    metadata.push(about(1, "", "Of nothing.", ""));
    let request = v1::WriteRequest {
        timeseries: vec![series(&[("__name__", "m")], &[])],
        metadata,
    };
    let mut body = request.encode_to_vec();
    body.extend(field(3, [field(2, "k"), field(4, b"\xFF")].concat()));
    let kinds = [
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
    let mut want = vec!["m{}".to_owned()];
    want.extend(kinds.map(|kind| format!("about m {kind} \"\" \"\"")));
    want.push("about n_seconds Counter \"What n is.\" \"seconds\"".to_owned());
    assert_eq!(read(&body, V1).unwrap(), want);

    let with = |metadata| v2::TimeSeries {
        labels_refs: vec![1, 2],
        metadata,
        ..v2::TimeSeries::default()
    };
    let about = |kind, help_ref, unit_ref| {
        Some(v2::Metadata {
            kind,
            help_ref,
            unit_ref,
        })
    };
    let request = v2::Request {
        symbols: ["", "__name__", "m", "Help.", "bytes"]
            .map(str::to_owned)
            .to_vec(),
        timeseries: vec![
            with(about(2, 3, 4)),
            with(about(0, 0, 0)),
            with(None),
            with(about(9, 3, 0)),
            with(about(1, 9, 0)),
        ],
    };
    let want = [
        "m{} Gauge \"Help.\" \"bytes\"",
        "m{}",
        "m{}",
        "m{} Unknown \"Help.\" \"\"",
        "refused m s0 h0 e0: symbol 9, where the request has 5",
    ];
    assert_eq!(read(&request.encode_to_vec(), V2).unwrap(), want);
}

/// The start of a counter moved from the series to its samples between two editions of 2.0.
#[test]
fn both_places_of_the_created_timestamp() {
    let at = |created_timestamp, starts: &[i64]| v2::TimeSeries {
        labels_refs: vec![0, 1],
        samples: starts
            .iter()
            .map(|&start_timestamp| v2::Sample {
                value: 1.0,
                timestamp: 9,
                start_timestamp,
            })
            .collect(),
        created_timestamp,
        ..v2::TimeSeries::default()
    };
    let request = v2::Request {
        symbols: ["__name__", "m"].map(str::to_owned).to_vec(),
        timeseries: vec![at(5, &[]), at(0, &[0]), at(0, &[3, 4, 0]), at(5, &[4])],
    };
    let want = [
        "m{} created 5",
        "m{} 1.0@9",
        "m{} 1.0@9 1.0@9 1.0@9 created 4",
        "m{} 1.0@9 created 5",
    ];
    assert_eq!(read(&request.encode_to_vec(), V2).unwrap(), want);
}

/// Protobuf lets a sender write fields in any order, numbers one by one, and fields of its own.
#[test]
fn any_order_and_unknown_fields() {
    let symbols = [field(4, "__name__"), field(4, "m")].concat();
    let one_by_one = field(5, [8, 0, 8, 1]);
    let split = field(5, [field(1, [0]), field(2, ""), field(1, [1])].concat());
    // A number, eight bytes, four bytes, bytes, of fields 9 and 200.
    let unknown = [
        &[9 << 3, 0x80, 0x01],
        &[9 << 3 | 1][..],
        &[0; 8],
        &[9 << 3 | 5, 0, 0, 0, 0],
        &[0xC2, 0x0C, 1, 7],
    ]
    .concat();
    let body = [one_by_one, unknown.clone(), symbols, split].concat();
    assert_eq!(read(&body, V2).unwrap(), ["m{}", "m{} 0.0@0"]);
    // Of a number with more bits than its type the rest is cut off.
    let long = field(5, field(1, [0x80, 0x80, 0x80, 0x80, 0x10, 1]));
    let body = [field(4, "__name__"), field(4, "m"), long].concat();
    assert_eq!(read(&body, V2).unwrap(), ["m{}"]);
    let label = [
        unknown.clone(),
        field(2, "m"),
        field(1, "x"),
        field(1, "__name__"),
        unknown.clone(),
    ]
    .concat();
    let sample = field(2, [unknown.clone(), vec![16, 4]].concat());
    let body = [
        unknown.clone(),
        field(1, [sample, unknown, field(1, label)].concat()),
    ]
    .concat();
    assert_eq!(read(&body, V1).unwrap(), ["m{} 0.0@4"]);
}
