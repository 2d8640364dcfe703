//! The protobuf formats beside real servers: what a Prometheus says of itself in protobuf is what it says in text; what
//! it sends by remote write is what it has; and what we write is taken.

use crate::support::{
    eventually, http, now,
    server::{Answer, Server},
    servers::{instant, prometheus, prometheus_of, victoria_metrics},
};
use forethought::expo::{
    parse::{Dialect, Event, Limits, Parser},
    wire::{
        Body, Packer, Unpacker,
        families::{CONTENT_TYPE, Families, is_families},
        write::{self, Item, Outgoing, Point, Reader, VERSION_HEADER, Version, Writer},
    },
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

/// What a body says.
#[derive(Default)]
struct Said {
    /// Values by the text of the series.
    samples: BTreeMap<String, f64>,
    /// Names and labels by the same text.
    labels: BTreeMap<String, (String, Vec<(String, String)>)>,
    /// Types and help texts.
    about: BTreeSet<String>,
}

fn said(mut body: Body<'_>) -> Said {
    let mut said = Said::default();
    while let Some(event) = body.next_event() {
        match event.unwrap() {
            Event::Sample(sample) => {
                let series = sample.series.to_owned();
                let owned = sample
                    .labels
                    .map(|(name, value)| (name.into_owned(), value.into_owned()));
                let parts = (sample.name.into_owned(), owned.collect());
                said.labels.insert(series.clone(), parts);
                let twice = said.samples.insert(series, sample.value);
                assert_eq!(twice, None, "a series twice");
            }
            Event::Type { name, kind } => assert!(said.about.insert(format!("{name} {kind:?}"))),
            Event::Help { name, text } => assert!(said.about.insert(format!("{name} {text}"))),
            other => panic!("{other:?}"),
        }
    }
    said
}

fn text() -> Said {
    let accept = [("Accept", "text/plain;version=0.0.4")];
    let reply = http::request("GET", prometheus().address(), "/metrics", &accept, b"").unwrap();
    assert_eq!(reply.status, 200);
    said(Body::Text(Parser::new(
        &reply.body,
        Dialect::Text,
        Limits::NONE,
    )))
}

fn protobuf() -> Said {
    let accept = [("Accept", CONTENT_TYPE)];
    let reply = http::request("GET", prometheus().address(), "/metrics", &accept, b"").unwrap();
    assert_eq!(reply.status, 200);
    let kind = reply.header("content-type").unwrap();
    assert!(is_families(kind), "{kind}");
    said(Body::Families(Families::new(&reply.body, Limits::NONE)))
}

/// Between two answers in text there is one in protobuf. What is the same before and after is the same in between; a gauge may
/// swing there and back, but not each time.
#[test]
fn a_real_prometheus_says_the_same_in_protobuf_and_in_text() {
    let mut differs = compare();
    for _ in 0..4 {
        if differs.is_empty() {
            break;
        }
        let again = compare();
        differs.retain(|series| again.contains(series));
    }
    assert!(differs.is_empty(), "{differs:?}");
}

/// The series of which the value in protobuf is not that before and after it.
fn compare() -> BTreeSet<String> {
    let (before, between, after) = (text(), protobuf(), text());
    let (mut compared, mut differs) = (0, BTreeSet::new());
    for (series, value) in &before.samples {
        let Some(later) = after.samples.get(series) else {
            continue;
        };
        let found = between.samples.get(series);
        let found = found.unwrap_or_else(|| panic!("{series} is not in protobuf"));
        assert_eq!(between.labels[series], before.labels[series]);
        if later.to_bits() == value.to_bits() {
            if found.to_bits() != value.to_bits() {
                differs.insert(series.clone());
            }
            compared += 1;
        }
    }
    for series in between.samples.keys() {
        let known = before.samples.contains_key(series) || after.samples.contains_key(series);
        assert!(known, "{series} is not in text");
    }
    assert!(between.about.is_superset(&before.about) && after.about.is_superset(&between.about));
    println!("{compared} of {} values compared", between.samples.len());
    assert!(compared > 200, "{compared}");
    for part in [
        "_bucket{",
        "le=\"+Inf\"",
        "le=\"1e+06\"",
        "quantile=\"0.5\"",
        "_sum",
        "_count",
    ] {
        let has = between.samples.keys().any(|series| series.contains(part));
        assert!(has, "no series with {part} was compared");
    }
    differs
}

type Labels = BTreeMap<String, String>;

/// What was pushed.
#[derive(Default)]
struct Pushed {
    /// All label sets, with the name.
    series: BTreeSet<Labels>,
    samples: usize,
    /// Families with their types.
    about: BTreeSet<String>,
}

/// Adds a request of version 1.0, as it came.
fn push(packed: &[u8], pushed: &mut Pushed) {
    let mut unpacker = Unpacker::new();
    let body = unpacker.unpack(packed, 32 << 20).unwrap();
    let mut reader = Reader::new(body, Version::V1, write::Limits::default());
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Series(series) => {
                assert!(series.labels.is_sorted() && !series.samples.is_empty());
                let owned =
                    |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
                let mut labels: Labels = series.labels.iter().map(owned).collect();
                labels.insert("__name__".to_owned(), series.name.to_owned());
                pushed.series.insert(labels);
                pushed.samples += series.samples.len();
                let late = |point: &Point| (point.at - now()).abs() > 300_000;
                assert!(!series.samples.iter().any(late), "{series:?}");
            }
            Item::Metadata { family, metadata } => {
                pushed.about.insert(format!("{family} {:?}", metadata.kind));
            }
            Item::Refused(refused) => panic!("{refused:?}"),
        }
    }
}

/// A Prometheus scrapes itself and sends that on.
#[test]
fn what_a_real_prometheus_sends_is_what_it_has() {
    let pushed = Arc::new(Mutex::new(Pushed::default()));
    let seen = Arc::clone(&pushed);
    let server = Server::start(move |asked| {
        assert_eq!(Version::of(asked.header("content-type")), Some(Version::V1));
        assert_eq!(asked.header("content-encoding"), "snappy");
        let version = asked.header(&VERSION_HEADER.to_ascii_lowercase());
        assert_eq!(version, Version::V1.header());
        push(&asked.bytes, &mut seen.lock().unwrap());
        Answer::Whole(204, "text/plain", String::new())
    });
    let to = server.address();
    let sender = prometheus_of(|address| {
        format!(
            r#"
global: {{scrape_interval: 1s, external_labels: {{cluster: "größe"}}}}
scrape_configs: [{{job_name: itself, static_configs: [{{targets: ["{address}"]}}]}}]
remote_write:
  - url: http://{to}/api/v1/write
    queue_config: {{batch_send_deadline: 1s}}
    metadata_config: {{send_interval: 1s}}
"#
        )
    });
    eventually("all that it has was sent", 60, || {
        let all = instant(&sender.address, "{job=\"itself\"}")?;
        let pushed = pushed.lock().map_err(|_| "a request was not read")?;
        let missing = all.iter().find(|(labels, _)| {
            let mut labels: Labels = serde_json::from_value(labels.clone()).unwrap();
            labels.insert("cluster".to_owned(), "größe".to_owned());
            !pushed.series.contains(&labels)
        });
        match (missing, all.len() > 400) {
            (None, true) => Ok(()),
            (missing, _) => Err(format!("{} series, without {missing:?}", all.len())),
        }
    });
    eventually("it was told what its families are", 30, || {
        let pushed = pushed.lock().map_err(|_| "a request was not read")?;
        let known = pushed
            .about
            .contains("prometheus_http_requests_total Counter");
        match known && pushed.samples > 1_000 {
            true => Ok(()),
            false => Err(format!("{} samples, {:?}", pushed.samples, pushed.about)),
        }
    });
}

/// A request of version 1.0 with one series.
fn packed(packer: &mut Packer, labels: &[(&str, &str)], samples: &[Point]) -> Vec<u8> {
    let mut writer = Writer::new(Version::V1);
    writer.push(&Outgoing {
        name: "written_by_us",
        labels,
        samples,
        metadata: None,
        created: None,
    });
    let mut body = Vec::new();
    writer.append_to(&mut body);
    packer.pack(&body).unwrap().to_vec()
}

/// Both take a sample, and the end of its series.
#[test]
fn real_servers_take_what_we_write() {
    let own = prometheus_of(|_| "global: {}\n".to_owned());
    let mut packer = Packer::new();
    let headers = [
        ("Content-Type", Version::V1.content_type()),
        ("Content-Encoding", "snappy"),
        (VERSION_HEADER, Version::V1.header()),
    ];
    for address in [&own.address, &victoria_metrics().address] {
        let labels = [("a", "größe \"1\""), ("long", &*"x".repeat(300))];
        let mut send = |point: Point| {
            let body = packed(&mut packer, &labels, &[point]);
            let reply = http::request("POST", address, "/api/v1/write", &headers, &body).unwrap();
            assert_eq!(reply.status, 204, "{}", reply.text());
        };
        let at = now() - 5_000;
        send(Point { at, value: -1.25 });
        let (found, value) = eventually("the sample can be read", 30, || {
            let mut found = instant(address, "written_by_us")?;
            found.pop().ok_or_else(|| "nothing".to_owned())
        });
        assert_eq!(value, -1.25);
        let mut found: Labels = serde_json::from_value(found).unwrap();
        assert_eq!(found.remove("__name__").as_deref(), Some("written_by_us"));
        let wanted = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, Labels::from(wanted));
        send(Point::stale(at + 1_000));
        eventually("the series has ended", 30, || {
            let found: Vec<(Value, f64)> = instant(address, "written_by_us")?;
            match found.as_slice() {
                [] => Ok(()),
                found => Err(format!("{found:?}")),
            }
        });
    }
}
