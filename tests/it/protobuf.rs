//! The protobuf formats beside real servers: what a Prometheus says of itself in protobuf is what it says in text.

use crate::support::{http, servers::prometheus};
use forethought::expo::{
    parse::{Dialect, Event, Limits, Parser},
    wire::{
        Body,
        families::{CONTENT_TYPE, Families, is_families},
    },
};
use std::collections::{BTreeMap, BTreeSet};

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

/// Between two answers in text there is one in protobuf. What is the same before and after is the same in between.
#[test]
fn a_real_prometheus_says_the_same_in_protobuf_and_in_text() {
    let (before, between, after) = (text(), protobuf(), text());
    let mut compared = 0;
    for (series, value) in &before.samples {
        let Some(later) = after.samples.get(series) else {
            continue;
        };
        let found = between.samples.get(series);
        let found = found.unwrap_or_else(|| panic!("{series} is not in protobuf"));
        assert_eq!(between.labels[series], before.labels[series]);
        if later.to_bits() == value.to_bits() {
            assert_eq!(
                found.to_bits(),
                value.to_bits(),
                "{series}: {found}, in text {value}"
            );
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
}
