//! What we write: `prost` reads it as the definitions have it, and our readers read it back.

use super::{
    messages::{v1, v2},
    read,
};
use crate::expo::{
    parse::MetricType,
    wire::{
        Packer, Unpacker,
        write::{Metadata, Outgoing, Point, Version, Writer},
    },
};
use prost::Message;

const ABOUT: Metadata<'_> = Metadata {
    kind: MetricType::Counter,
    help: "What a is.",
    unit: "seconds",
};

fn point(value: f64, at: i64) -> Point {
    Point { at, value }
}

fn body(version: Version, series: &[Outgoing<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(version);
    let mut body = Vec::new();
    for one in series {
        writer.push(one);
    }
    writer.append_to(&mut body);
    assert_eq!(body.len(), writer.bytes());
    body
}

/// Two series of one metric, one of another.
fn given(points: &[Point]) -> [Outgoing<'_>; 3] {
    let described = Outgoing {
        name: "a_seconds_total",
        labels: &[("A", "1"), ("__name__", "not twice"), ("b", ""), ("c", "é")],
        samples: points,
        metadata: Some(ABOUT),
        created: Some(-7),
    };
    let second = Outgoing {
        labels: &[("c", "é")],
        samples: &[],
        created: Some(0),
        ..described
    };
    let plain = Outgoing {
        name: "up",
        labels: &[],
        samples: &points[..1],
        metadata: None,
        created: None,
    };
    [described, second, plain]
}

#[test]
fn prost_reads_what_we_write() {
    let points = [point(1.5, 1_700_000_000_000), point(f64::INFINITY, -1)];
    let request = v1::WriteRequest::decode(&*body(Version::V1, &given(&points))).unwrap();
    let names = |series: &v1::TimeSeries| {
        let pairs = series.labels.iter();
        let pairs = pairs.map(|label| format!("{}={}", label.name, label.value));
        pairs.collect::<Vec<_>>().join(" ")
    };
    let labels: Vec<String> = request.timeseries.iter().map(names).collect();
    assert_eq!(
        labels,
        [
            "A=1 __name__=a_seconds_total c=é",
            "__name__=a_seconds_total c=é",
            "__name__=up"
        ]
    );
    let samples = |series: &v1::TimeSeries| {
        series
            .samples
            .iter()
            .map(|one| (one.value, one.timestamp))
            .collect::<Vec<_>>()
    };
    let want = vec![(1.5, 1_700_000_000_000), (f64::INFINITY, -1)];
    assert_eq!(samples(&request.timeseries[0]), want);
    assert_eq!(samples(&request.timeseries[1]), []);
    assert_eq!(samples(&request.timeseries[2]), want[..1]);
    let about = v1::MetricMetadata {
        kind: 1,
        metric_family_name: "a_seconds_total".to_owned(),
        help: "What a is.".to_owned(),
        unit: "seconds".to_owned(),
    };
    assert_eq!(
        request.metadata,
        [about],
        "once for series that follow one another"
    );

    let request = v2::Request::decode(&*body(Version::V2, &given(&points))).unwrap();
    let symbols = [
        "",
        "A",
        "1",
        "__name__",
        "a_seconds_total",
        "c",
        "é",
        "What a is.",
        "seconds",
        "up",
    ];
    assert_eq!(request.symbols, symbols, "each once, the empty one first");
    let references: Vec<&[u32]> = request
        .timeseries
        .iter()
        .map(|one| &*one.labels_refs)
        .collect();
    assert_eq!(
        references,
        [&[1, 2, 3, 4, 5, 6][..], &[3, 4, 5, 6], &[3, 9]]
    );
    let about = v2::Metadata {
        kind: 1,
        help_ref: 7,
        unit_ref: 8,
    };
    let abouts: Vec<_> = request.timeseries.iter().map(|one| one.metadata).collect();
    assert_eq!(abouts, [Some(about), Some(about), None]);
    let created: Vec<i64> = request
        .timeseries
        .iter()
        .map(|one| one.created_timestamp)
        .collect();
    assert_eq!(created, [-7, 0, 0]);
    let first = request.timeseries[0].samples.iter();
    assert_eq!(
        first
            .map(|one| (one.value, one.timestamp))
            .collect::<Vec<_>>(),
        want
    );
}

/// Every bit of a value: a stale marker, a zero with its sign.
#[test]
fn no_bit_of_a_value_is_lost() {
    let samples = [
        Point::stale(1),
        point(-0.0, 2),
        point(f64::from_bits(u64::MAX), 0),
    ];
    let series = Outgoing {
        name: "m",
        labels: &[],
        samples: &samples,
        metadata: None,
        created: None,
    };
    for version in [Version::V1, Version::V2] {
        let shown = read(&body(version, &[series]), version).unwrap();
        assert_eq!(shown, ["m{} stale@1 -0.0@2 NaN@0"]);
    }
}

/// One request after another, each as if it were the first, and nothing of the one before in it.
#[test]
fn a_writer_begins_anew() {
    let points = [point(1.0, 1), point(2.0, 2)];
    for version in [Version::V1, Version::V2] {
        let mut writer = Writer::new(version);
        assert!(writer.is_empty());
        for _ in 0..2 {
            for series in given(&points) {
                writer.push(&series);
            }
            assert_eq!((writer.len(), writer.samples()), (3, 3));
            let mut again = Vec::new();
            writer.append_to(&mut again);
            assert_eq!(again, body(version, &given(&points)));
            writer.clear();
            assert_eq!((writer.len(), writer.samples()), (0, 0));
        }
        let mut empty = Vec::new();
        writer.append_to(&mut empty);
        assert_eq!(read(&empty, version).unwrap(), [""; 0]);
    }
}

#[test]
fn what_is_packed_unpacks() {
    let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
    let random: Vec<u8> = (0..100_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for body in [&b""[..], b"a", &[0; 1_000_000], &random, b"short"] {
        let packed = packer.pack(body).unwrap();
        assert_eq!(unpacker.unpack(packed, body.len()).unwrap(), body);
    }
}
