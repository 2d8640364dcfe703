//! What targets answer with, read: it must be what text has of the same target.

use super::{
    events, field,
    messages::{
        client::{Bucket, Histogram, Metric, MetricFamily, Quantile, Summary, Value},
        v1::{Exemplar, Label},
    },
    text_events,
};
use crate::expo::{
    parse::{Event, Limits},
    wire::families::{CONTENT_TYPE, Families, is_families},
};
use prost::Message;
use std::borrow::Cow;

const COUNTER: i32 = 0;
const GAUGE: i32 = 1;
const SUMMARY: i32 = 2;
const UNTYPED: i32 = 3;
const HISTOGRAM: i32 = 4;
const GAUGE_HISTOGRAM: i32 = 5;

fn value(value: f64) -> Option<Value> {
    Some(Value {
        value: Some(value),
        exemplar: None,
    })
}

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    pairs.iter().map(label).collect()
}

fn gauge(pairs: &[(&str, &str)], number: f64) -> Metric {
    Metric {
        label: labels(pairs),
        gauge: value(number),
        ..Metric::default()
    }
}

fn family(name: &str, kind: i32, metric: Vec<Metric>) -> MetricFamily {
    MetricFamily {
        name: Some(name.to_owned()),
        help: Some(format!("What {name} is.")),
        kind: Some(kind),
        metric,
        unit: None,
    }
}

fn body(families: &[MetricFamily]) -> Vec<u8> {
    let mut out = Vec::new();
    for family in families {
        family.encode_length_delimited(&mut out).unwrap();
    }
    out
}

/// The families read, and the text of them.
fn same(families: &[MetricFamily], text: &str) {
    assert_eq!(
        events(&body(families), Limits::NONE).unwrap(),
        text_events(text)
    );
}

#[test]
fn simple_families_are_what_text_has() {
    let exemplar = Exemplar {
        labels: labels(&[("trace_id", "x")]),
        value: 1.0,
        timestamp: 0,
    };
    let counter = Metric {
        label: labels(&[("code", "200"), ("a", "unsorted"), ("code", "twice")]),
        counter: Some(Value {
            value: Some(7.0),
            exemplar: Some(exemplar),
        }),
        timestamp_ms: Some(1_700_000_000_000),
        ..Metric::default()
    };
    let untyped = Metric {
        untyped: value(f64::NEG_INFINITY),
        timestamp_ms: Some(0),
        ..Metric::default()
    };
    let without_a_number = Metric {
        gauge: Some(Value::default()),
        ..Metric::default()
    };
    same(
        &[
            family("requests_total", COUNTER, vec![counter]),
            family("empty", GAUGE, Vec::new()),
            family(
                "temperature",
                GAUGE,
                vec![
                    gauge(&[("room", "a \"b\"\\\nc"), ("é ö", "größe 😱"), ("none", "")], -0.5),
                    gauge(&[("long", &"x".repeat(300))], f64::NAN),
                    without_a_number,
                ],
            ),
            MetricFamily {
                help: None,
                ..family("u", UNTYPED, vec![untyped])
            },
            family("dotted.name \"q\"", GAUGE, vec![gauge(&[("a", "b")], 1.0), gauge(&[], 2.0)]),
        ],
        "# HELP requests_total What requests_total is.\n# TYPE requests_total counter\n\
         requests_total{code=\"200\",a=\"unsorted\",code=\"twice\"} 7 1700000000000\n\
         # HELP temperature What temperature is.\n# TYPE temperature gauge\n\
         temperature{room=\"a \\\"b\\\"\\\\\\nc\",\"é ö\"=\"größe 😱\",none=\"\"} -0.5\n\
         temperature{long=\"LONG\"} NaN\ntemperature 0\n\
         # TYPE u untyped\nu -Inf\n\
         # HELP \"dotted.name \\\"q\\\"\" What dotted.name \"q\" is.\n# TYPE \"dotted.name \\\"q\\\"\" gauge\n\
         {\"dotted.name \\\"q\\\"\",a=\"b\"} 1\n{\"dotted.name \\\"q\\\"\"} 2\n"
            .replace("LONG", &"x".repeat(300))
            .as_str(),
    );
}

fn buckets(pairs: &[(f64, u64)]) -> Vec<Bucket> {
    let bucket = |&(bound, count): &(f64, u64)| Bucket {
        cumulative_count: Some(count),
        upper_bound: Some(bound),
        ..Bucket::default()
    };
    pairs.iter().map(bucket).collect()
}

fn histogram(pairs: &[(&str, &str)], histogram: Histogram) -> Metric {
    Metric {
        label: labels(pairs),
        histogram: Some(histogram),
        ..Metric::default()
    }
}

#[test]
fn summaries_and_histograms_are_what_text_has() {
    let quantile = |quantile, value| Quantile {
        quantile: Some(quantile),
        value: Some(value),
    };
    let summary = |pairs: &[(&str, &str)], quantile| Metric {
        label: labels(pairs),
        summary: Some(Summary {
            sample_count: Some(3),
            sample_sum: Some(0.75),
            quantile,
        }),
        ..Metric::default()
    };
    let with_infinity = Histogram {
        sample_count: Some(9),
        sample_sum: Some(2.5),
        bucket: buckets(&[(0.005, 1), (1.0, 4), (1e6, 8), (f64::INFINITY, 9)]),
        ..Histogram::default()
    };
    let without = Histogram {
        bucket: buckets(&[(1e-5, 1)]),
        ..with_infinity.clone()
    };
    same(
        &[
            family(
                "wait",
                SUMMARY,
                vec![
                    summary(
                        &[("a", "b")],
                        vec![quantile(0.5, 0.1), quantile(0.99, f64::NAN)],
                    ),
                    summary(&[], Vec::new()),
                ],
            ),
            family(
                "took",
                HISTOGRAM,
                vec![
                    histogram(&[("a", "b")], with_infinity),
                    histogram(&[], without),
                ],
            ),
        ],
        "# HELP wait What wait is.\n# TYPE wait summary\n\
         wait{a=\"b\",quantile=\"0.5\"} 0.1\nwait{a=\"b\",quantile=\"0.99\"} NaN\n\
         wait_sum{a=\"b\"} 0.75\nwait_count{a=\"b\"} 3\nwait_sum 0.75\nwait_count 3\n\
         # HELP took What took is.\n# TYPE took histogram\n\
         took_bucket{a=\"b\",le=\"0.005\"} 1\ntook_bucket{a=\"b\",le=\"1\"} 4\n\
         took_bucket{a=\"b\",le=\"1e+06\"} 8\ntook_bucket{a=\"b\",le=\"+Inf\"} 9\n\
         took_sum{a=\"b\"} 2.5\ntook_count{a=\"b\"} 9\n\
         took_bucket{le=\"1e-05\"} 1\ntook_bucket{le=\"+Inf\"} 9\ntook_sum 2.5\ntook_count 9\n",
    );
}

/// Counts that are no whole numbers, and the type that text has no word for.
#[test]
fn gauge_histograms_and_float_counts() {
    let bucket = Bucket {
        cumulative_count_float: Some(1.5),
        upper_bound: Some(2.0),
        ..Bucket::default()
    };
    let floats = Histogram {
        sample_count_float: Some(2.5),
        sample_sum: Some(1.0),
        bucket: vec![bucket],
        ..Histogram::default()
    };
    let body = body(&[family("g", GAUGE_HISTOGRAM, vec![histogram(&[], floats)])]);
    let want = [
        "HELP \"g\" \"What g is.\"",
        "TYPE \"g\" GaugeHistogram",
        "\"g_bucket\"{le=\"2\"} 1.5 as g_bucket{le=\"2\"}",
        "\"g_bucket\"{le=\"+Inf\"} 2.5 as g_bucket{le=\"+Inf\"}",
        "\"g_sum\"{} 1.0 as g_sum",
        "\"g_count\"{} 2.5 as g_count",
    ];
    assert_eq!(events(&body, Limits::NONE).unwrap(), want);
}

/// Of a native histogram there is what text has of it.
#[test]
fn native_histograms_are_counted() {
    let native = Histogram {
        sample_count: Some(2),
        sample_sum: Some(3.0),
        schema: Some(3),
        zero_threshold: Some(1e-128),
        positive_delta: vec![1, 0],
        ..Histogram::default()
    };
    let classic_too = Histogram {
        bucket: buckets(&[(1.0, 2)]),
        ..native.clone()
    };
    let classic = Histogram {
        bucket: buckets(&[(1.0, 2)]),
        ..Histogram::default()
    };
    let metrics = [native, classic_too, classic]
        .map(|one| histogram(&[], one))
        .to_vec();
    let body = body(&[family("h", HISTOGRAM, metrics)]);
    let mut families = Families::new(&body, Limits::NONE);
    let mut names = Vec::new();
    while let Some(event) = families.next_event() {
        if let Event::Sample(sample) = event.unwrap() {
            assert!(matches!(sample.name, Cow::Borrowed(_)));
            names.push(sample.series.to_owned());
        }
    }
    assert_eq!(families.natives(), 2);
    let classic = [
        "h_bucket{le=\"1\"}",
        "h_bucket{le=\"+Inf\"}",
        "h_sum",
        "h_count",
    ];
    let want = [&classic[1..], &classic, &classic].concat();
    assert_eq!(names, want);
}

#[test]
fn units_end_the_name() {
    let with_unit = |name: &str, kind, unit: &str| MetricFamily {
        unit: Some(unit.to_owned()),
        help: None,
        ..family(
            name,
            kind,
            vec![Metric {
                counter: value(1.0),
                ..gauge(&[], 1.0)
            }],
        )
    };
    let read = |family| events(&body(&[family]), Limits::NONE).map(|events| events[1].clone());
    assert_eq!(
        read(with_unit("a_seconds", GAUGE, "seconds")).unwrap(),
        "UNIT \"a_seconds\" \"seconds\""
    );
    assert_eq!(
        read(with_unit("a_seconds_total", COUNTER, "seconds")).unwrap(),
        "UNIT \"a_seconds_total\" \"seconds\""
    );
    assert_eq!(read(with_unit("a", GAUGE, "")).unwrap(), "\"a\"{} 1.0 as a");
    for (name, kind) in [
        ("a_seconds_total", GAUGE),
        ("seconds", GAUGE),
        ("a", COUNTER),
    ] {
        let error = read(with_unit(name, kind, "seconds"))
            .unwrap_err()
            .to_string();
        let want = format!(
            "byte 1, MetricFamily.unit: unit \"seconds\": expected the name {name:?} to end in `_` and the unit"
        );
        // The length in front of a longer family has two bytes.
        assert_eq!(error, want);
    }
}

#[test]
fn errors_say_where_and_in_which_field() {
    let name = || field(1, "m");
    let metric = |bytes: &[u8]| field(4, bytes);
    let whole = |fields: &[Vec<u8>]| {
        let message = fields.concat();
        [vec![u8::try_from(message.len()).unwrap()], message].concat()
    };
    let counter = || metric(&field(3, ""));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            vec![5, 1],
            "byte 1, MetricFamily: expected 5 more bytes, found 1: the body was cut off or is no protobuf",
        ),
        (
            whole(&[field(1, b"\xFF"), counter()]),
            "byte 3, MetricFamily.name: expected UTF-8, found bytes that are none",
        ),
        (
            whole(&[counter()]),
            "byte 1, the name of a metric or a label: expected a name, found none",
        ),
        (
            whole(&[field(1, "a\0"), counter()]),
            "byte 1, the name of a metric or a label: expected a name without NUL bytes, found one with them",
        ),
        (
            whole(&[name(), vec![3 << 3, 6], counter()]),
            "byte 1, MetricFamily.type: expected a metric type from 0 to 5, found 6",
        ),
        (
            whole(&[name(), metric(&field(2, ""))]),
            "byte 6, Metric.counter: expected a Metric.counter, as the type of the family says, found none",
        ),
        (
            whole(&[name(), metric(&[9])]),
            "byte 7, Metric.label: expected a length and bytes, found eight bytes",
        ),
        (
            whole(&[name(), metric(&field(3, [8, 0]))]),
            "byte 9, the value of a Counter, Gauge or Untyped: expected eight bytes, found a number",
        ),
        (
            whole(&[name(), metric(&field(1, field(2, b"\xFF")))]),
            "byte 11, Metric.label: expected UTF-8, found bytes that are none",
        ),
        (
            whole(&[
                name(),
                metric(&[field(3, ""), field(1, field(2, "v"))].concat()),
            ]),
            "byte 6, the name of a metric or a label: expected a name, found none",
        ),
        (
            whole(&[name(), vec![4 << 3 | 3]]),
            "byte 5, MetricFamily.metric: expected a length and bytes, found a group",
        ),
        (
            b"# HELP a".to_vec(),
            "byte 1, MetricFamily: expected 35 more bytes, found 7: the body was cut off or is no protobuf",
        ),
    ];
    for (body, want) in cases {
        let error = events(&body, Limits::NONE).unwrap_err();
        assert_eq!(error.to_string(), want, "{body:?}");
        assert!(!error.is_limit());
    }
}

#[test]
fn limits_are_those_of_text() {
    let metrics = vec![gauge(&[("a", "123"), ("b", "")], 1.0), gauge(&[], 2.0)];
    let simple = body(&[family("metric", GAUGE, metrics)]);
    let limits = Limits {
        samples: 2,
        labels: 2,
        name_bytes: 6,
        value_bytes: 3,
    };
    assert_eq!(events(&simple, limits).unwrap().len(), 4);
    for (limits, want) in [
        (
            Limits {
                samples: 1,
                ..limits
            },
            "more than 1 samples, which is the limit of a body",
        ),
        (
            Limits {
                labels: 1,
                ..limits
            },
            "more than 1 labels, which is the limit of a sample",
        ),
        (
            Limits {
                name_bytes: 5,
                ..limits
            },
            "a name of 6 bytes, where 5 is the limit",
        ),
        (
            Limits {
                value_bytes: 2,
                ..limits
            },
            "a label value of 3 bytes, where 2 is the limit",
        ),
    ] {
        let error = events(&simple, limits).unwrap_err();
        assert!(error.to_string().ends_with(want), "{error}");
        assert!(error.is_limit());
    }
    // `le` is a label too, and each bucket a sample.
    let three = Histogram {
        bucket: buckets(&[(1.0, 1), (2.0, 2), (3.0, 3)]),
        ..Histogram::default()
    };
    let body = body(&[family(
        "h",
        HISTOGRAM,
        vec![histogram(&[("a", "b"), ("c", "d")], three)],
    )]);
    let limits = Limits {
        samples: 6,
        labels: 3,
        ..limits
    };
    assert_eq!(events(&body, limits).unwrap().len(), 8);
    for samples in 0..6 {
        let error = events(&body, Limits { samples, ..limits }).unwrap_err();
        assert!(error.is_limit(), "{error}");
    }
    assert!(
        events(
            &body,
            Limits {
                labels: 2,
                ..limits
            }
        )
        .is_err()
    );
}

#[test]
fn the_content_type_says_it() {
    assert!(is_families(CONTENT_TYPE));
    assert!(is_families(
        "application/vnd.google.protobuf;encoding=\"delimited\"; proto=io.prometheus.client.MetricFamily;escaping=underscores"
    ));
    for other in [
        "",
        "text/plain; version=0.0.4",
        "application/vnd.google.protobuf",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
        "application/vnd.google.protobuf; proto=other; encoding=delimited",
    ] {
        assert!(!is_families(other), "{other}");
    }
}
