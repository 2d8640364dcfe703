//! What holds of any body: what is encoded is read back, others agree, nothing panics.

use super::{Limits, read};
use crate::expo::{
    Chunk, Escaping, Format, Kind, NameFilter, RenderedLabels, assemble,
    parse::{Dialect, Event, Parser, Sample},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Name, labels, bits of the value.
type Flat = (String, BTreeMap<String, String>, u64);

fn flat(sample: Sample<'_>) -> Flat {
    let count = sample.labels.len();
    let labels = sample
        .labels
        .map(|(name, value)| (name.into_owned(), value.into_owned()));
    let labels: BTreeMap<String, String> = labels.collect();
    assert_eq!(labels.len(), count, "a label twice");
    (sample.name.into_owned(), labels, sample.value.to_bits())
}

fn samples(body: &str, dialect: Dialect) -> Vec<Flat> {
    let events = Parser::new(body.as_bytes(), dialect, Limits::NONE);
    let events = events.map(|event| event.unwrap_or_else(|error| panic!("{error}\n{body}")));
    let samples = events.filter_map(|event| match event {
        Event::Sample(sample) => Some(flat(sample)),
        _ => None,
    });
    samples.collect()
}

/// Without NUL bytes: only in names, where no reader takes them.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,8}",
        "[^\0]{1,6}",
        "[a\\\\\"\n{}=, #.é]{1,5}",
    ]
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,12}", ".{1,8}", "[n\\\\\"\n\0{}=, #]{1,6}"]
}

type Pairs = BTreeMap<String, String>;

fn any_samples() -> impl Strategy<Value = BTreeMap<Pairs, f64>> {
    let labels = prop::collection::btree_map(any_name(), any_value(), 0..5);
    let value = any::<u64>().prop_map(f64::from_bits);
    let value = value.prop_filter("is not exposed", |value| !value.is_nan());
    prop::collection::btree_map(labels, value, 1..6)
}

fn encoded(name: &str, help: &str, samples: &BTreeMap<Pairs, f64>, format: Format) -> String {
    let samples = samples.iter().map(|(pairs, value)| {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
        (Arc::new(RenderedLabels::new(pairs)), *value)
    });
    let chunk = Chunk::new(name.into(), help.into(), Kind::Gauge, samples.collect());
    let exposition = assemble(&[chunk], &[], format, &NameFilter::default(), false);
    String::from_utf8(exposition.parts.concat()).unwrap()
}

proptest! {
    /// Names in any letters, values in any letters, every number.
    #[test]
    fn what_we_encode_reads_back(name in any_name(), help in any_value(), given in any_samples()) {
        prop_assume!(given.keys().all(|pairs| !pairs.contains_key("__name__")));
        let want: BTreeSet<Flat> = given
            .iter()
            .map(|(pairs, value)| (name.clone(), pairs.clone(), value.to_bits()))
            .collect();
        for (format, dialect) in [
            (Format::Text100(Escaping::AllowUtf8), Dialect::Text),
            (Format::OpenMetrics100(Escaping::AllowUtf8), Dialect::OpenMetrics),
        ] {
            let body = encoded(&name, &help, &given, format);
            let got: BTreeSet<Flat> = samples(&body, dialect).into_iter().collect();
            prop_assert_eq!(&got, &want, "{}", body);
            let header = read(&body, dialect).unwrap();
            let wanted = [format!("HELP {name:?} {help:?}"), format!("TYPE {name:?} Gauge")];
            prop_assert_eq!(&header[..2], &wanted, "{}", body);
        }
    }

    /// In every other format the names are others, but no sample and no value is lost.
    #[test]
    fn every_format_reads_back(given in any_samples()) {
        for format in [
            Format::Text004,
            Format::Text100(Escaping::Underscores),
            Format::Text100(Escaping::Dots),
            Format::Text100(Escaping::Values),
            Format::OpenMetrics001,
            Format::OpenMetrics100(Escaping::Values),
        ] {
            let body = encoded("m", "Help.", &given, format);
            let dialect = match format.is_open_metrics() {
                true => Dialect::OpenMetrics,
                false => Dialect::Text,
            };
            let got = samples(&body, dialect);
            let values = |flat: &Flat| flat.1.values().cloned().collect::<BTreeSet<_>>();
            let got_values: BTreeSet<_> = got.iter().flat_map(values).collect();
            let lines = body.split('\n').filter(|line| line.starts_with("m")).count();
            prop_assert_eq!(got.len(), lines);
            let kept = given.iter().filter(|(pairs, _)| !pairs.contains_key("__name__"));
            let all: BTreeSet<_> = kept.flat_map(|(pairs, _)| pairs.values().cloned()).collect();
            prop_assert!(got_values.is_superset(&all), "{}", body);
        }
    }

    /// prometheus-parse judges where it is right: no label value with `,`, `=`, `}` or an escape, no blanks
    /// but those between words, no empty braces, names without colons.
    #[test]
    fn agrees_with_prometheus_parse(
        rows in prop::collection::btree_map(
            ("[a-z][a-z_]{0,5}", prop::collection::btree_map("[a-z]{1,4}", "[a-zA-Z0-9 ./_é-]{1,9}", 0..4)),
            (any::<f64>().prop_filter("is a number", |value| !value.is_nan()), prop::option::of(1_700_000_000_000_i64..1_700_100_000_000)),
            1..20,
        ),
    ) {
        let mut body = String::new();
        for ((name, labels), (value, at)) in &rows {
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let labels = match labels.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", labels.join(",")),
            };
            let at = at.map(|at| format!(" {at}")).unwrap_or_default();
            body += &format!("{name}{labels} {value}{at}\n");
        }
        let judged = prometheus_parse::Scrape::parse(body.lines().map(|line| Ok(line.to_owned()))).unwrap();
        let judged: BTreeSet<Flat> = judged
            .samples
            .into_iter()
            .map(|sample| {
                let prometheus_parse::Value::Untyped(value) = sample.value else {
                    panic!("no types were given")
                };
                let labels = sample.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
                (sample.metric, labels.collect(), value.to_bits())
            })
            .collect();
        let got: BTreeSet<Flat> = samples(&body, Dialect::Text).into_iter().collect();
        prop_assert_eq!(got, judged, "{}", body);
    }

    /// Lines that are nearly right, in both dialects, cut anywhere.
    #[test]
    fn bodies_that_are_nearly_right_never_panic(
        lines in prop::collection::vec(
            "(# (HELP|TYPE|UNIT|EOF) ?)?[a{]?[\"b=c\\\\é,}#{ \t\0\r\n]{0,12}( [0-9.eInfNa+-]{1,5}){0,3}( # \\{[a=\",}]{0,6} 1)?",
            0..6,
        ),
        cut in any::<prop::sample::Index>(),
    ) {
        let body = lines.join("\n");
        for bytes in [body.as_bytes(), &body.as_bytes()[..cut.index(body.len() + 1)]] {
            judge(bytes);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        judge(&bytes);
    }

    /// One changed byte in a sound body: either it is still read, or the error is not before the sample
    /// that the byte is part of, which may begin on the line before.
    #[test]
    fn one_broken_byte_is_found_where_it_is(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for (body, dialect) in [
            (super::TEXT_BODY, Dialect::Text),
            (super::OPEN_METRICS_BODY, Dialect::OpenMetrics),
        ] {
            let mut bytes = body.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let newlines = body.as_bytes()[..at].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            let line_before = newlines.rev().nth(1).map_or(0, |(place, _)| place + 1);
            if let Err(error) = read(&bytes, dialect) {
                prop_assert!((line_before..=bytes.len()).contains(&error.offset), "{error} but byte {at}");
            }
        }
    }
}

/// Both dialects end, after an error or without one, and errors point inside the body.
fn judge(bytes: &[u8]) {
    for dialect in [Dialect::Text, Dialect::OpenMetrics] {
        let mut parser = Parser::new(bytes, dialect, Limits::NONE);
        let mut last = 0;
        for event in parser.by_ref() {
            match event {
                Ok(Event::Sample(sample)) => {
                    let left = sample.labels.len();
                    assert_eq!(sample.labels.count(), left);
                    assert!(!sample.name.is_empty());
                }
                Ok(_) => {}
                Err(error) => {
                    assert!(error.offset <= bytes.len());
                    let lines = bytes.split(|&byte| byte == b'\n').count();
                    assert!((1..=lines).contains(&error.line), "{error}");
                    assert!(error.column >= 1);
                    last += 1;
                }
            }
        }
        assert!(last <= 1 && parser.next().is_none());
    }
}
