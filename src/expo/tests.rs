//! Whole expositions: golden files, and what must hold of any of them.

use super::{
    Chunk, Escaping, Exposition, Format, Kind, NameFilter, OwnFamily, RenderedLabels, assemble,
    strict::{self, Read},
    translate,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

const FORMATS: [Format; 10] = [
    Format::Text004,
    Format::Text100(Escaping::AllowUtf8),
    Format::Text100(Escaping::Underscores),
    Format::Text100(Escaping::Dots),
    Format::Text100(Escaping::Values),
    Format::OpenMetrics001,
    Format::OpenMetrics100(Escaping::AllowUtf8),
    Format::OpenMetrics100(Escaping::Underscores),
    Format::OpenMetrics100(Escaping::Dots),
    Format::OpenMetrics100(Escaping::Values),
];

type Samples<'a> = &'a [(&'a [(&'a str, &'a str)], f64)];

fn chunk(name: &str, kind: Kind, samples: Samples<'_>) -> Chunk {
    let samples = samples
        .iter()
        .map(|(pairs, value)| (Arc::new(RenderedLabels::new(pairs.iter().copied())), *value))
        .collect();
    let help = format!("What \"{name}\" is\nand a back\\slash.");
    Chunk::new(name.into(), help.into(), kind, samples)
}

fn gauge(name: &str, samples: Samples<'_>) -> Chunk {
    chunk(name, Kind::Gauge, samples)
}

fn whole(exposition: &Exposition) -> String {
    String::from_utf8(exposition.parts.concat()).unwrap()
}

fn text(chunks: &[Chunk], own: &[OwnFamily], format: Format) -> String {
    whole(&assemble(
        chunks,
        own,
        format,
        &NameFilter::default(),
        false,
    ))
}

fn read(text: &str, format: Format) -> Read {
    let utf8 = format.escaping() == Escaping::AllowUtf8;
    strict::read(text, format.is_open_metrics(), utf8)
}

/// Two signals of which one has UTF-8 labels, a counter, hostile values, and our own metrics.
fn example() -> (Vec<Chunk>, Vec<OwnFamily>) {
    let hostile = "back\\slash \"quote\"\nline {}, = # EOF";
    let chunks = vec![
        gauge(
            "predicted_http_requests_per_second",
            &[
                (&[("horizon", "0s"), ("namespace", "shop")], 12.5),
                (&[("horizon", "15m"), ("namespace", "shop")], 1e-7),
            ],
        ),
        gauge(
            "anomaly_score",
            &[
                (
                    &[
                        ("signal", "http_requests_per_second"),
                        ("namespace", "shop"),
                    ],
                    0.25,
                ),
                (
                    &[
                        ("signal", "http_requests_per_second"),
                        ("namespace", hostile),
                    ],
                    f64::INFINITY,
                ),
                (
                    &[
                        ("signal", "http_requests_per_second"),
                        ("namespace", "unknown"),
                    ],
                    f64::NAN,
                ),
            ],
        ),
        gauge(
            "anomaly_score",
            &[
                (
                    &[("signal", "otel"), ("k8s.pod.name", "a-1"), ("größe", "x")],
                    3.0,
                ),
                (
                    &[
                        ("signal", "otel"),
                        ("k8s.pod.name", "a-2"),
                        ("k8s_pod_name", "twice"),
                    ],
                    -0.0,
                ),
            ],
        ),
        chunk(
            "anomaly_events_total",
            Kind::Counter,
            &[(&[("signal", "otel"), ("direction", "above")], 7.0)],
        ),
        gauge(
            "http.server.queue",
            &[(&[], 4.0), (&[("a", "b")], f64::NEG_INFINITY)],
        ),
        gauge("predicted_never", &[(&[], f64::NAN)]),
    ];
    (chunks, translate(OWN))
}

/// As prometheus-client writes it.
const OWN: &str = "\
# HELP forethought_build Versions.
# TYPE forethought_build info
forethought_build_info{version=\"0.1.0\"} 1
# HELP forethought_web_requests Requests served.
# TYPE forethought_web_requests counter
forethought_web_requests_total{handler=\"metrics\",code=\"200\"} 17 # {trace=\"1\"} 1
forethought_web_requests_total{handler=\"a}b\\\"c\",code=\"200\"} 1
forethought_web_requests_created{handler=\"metrics\",code=\"200\"} 17e9
# HELP forethought_tick_seconds Duration.
# TYPE forethought_tick_seconds histogram
# UNIT forethought_tick_seconds seconds
forethought_tick_seconds_sum 0.75
forethought_tick_seconds_count 3
forethought_tick_seconds_bucket{le=\"0.5\"} 2
forethought_tick_seconds_bucket{le=\"+Inf\"} 3
# HELP forethought_empty Nothing.
# TYPE forethought_empty counter
# HELP forethought_wrong_unit A unit that is no suffix.
# TYPE forethought_wrong_unit gauge
# UNIT forethought_wrong_unit seconds
forethought_wrong_unit 1
forethought_wrong_unit{x=\"nan\"} NaN
# EOF
";

#[test]
fn golden_expositions() {
    let (chunks, own) = example();
    let cases = [
        ("text-0.0.4", Format::Text004),
        (
            "text-1.0.0-allow-utf-8",
            Format::Text100(Escaping::AllowUtf8),
        ),
        ("text-1.0.0-dots", Format::Text100(Escaping::Dots)),
        ("text-1.0.0-values", Format::Text100(Escaping::Values)),
        ("openmetrics-0.0.1", Format::OpenMetrics001),
        (
            "openmetrics-1.0.0-allow-utf-8",
            Format::OpenMetrics100(Escaping::AllowUtf8),
        ),
    ];
    for (name, format) in cases {
        let shown = text(&chunks, &own, format);
        read(&shown, format);
        insta::with_settings!({snapshot_path => "testdata", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name, shown);
        });
    }
}

#[test]
fn every_format_is_well_formed_and_keeps_every_sample() {
    let (chunks, own) = example();
    for format in FORMATS {
        let exposition = assemble(&chunks, &own, format, &NameFilter::default(), false);
        let seen = read(&whole(&exposition), format);
        let samples: usize = seen
            .families
            .iter()
            .map(|family| family.samples.len())
            .sum();
        assert_eq!((samples, exposition.series), (17, 17), "{format:?}");
        assert_eq!(exposition.dropped, 0, "{format:?}");
    }
}

#[test]
fn one_family_of_two_units_is_one_group() {
    let (chunks, own) = example();
    let seen = read(&text(&chunks, &own, Format::Text004), Format::Text004);
    let score = seen.family("anomaly_score");
    assert_eq!(score.samples.len(), 4);
    assert_eq!(score.help, "What \"anomaly_score\" is\nand a back\\slash.");
    let twice = &score.samples[3].labels;
    assert_eq!(twice["k8s_pod_name"], "twice");
    assert_eq!(twice["k8s_pod_name_2"], "a-2");
}

#[test]
fn counters_are_named_as_each_format_wants() {
    let (chunks, own) = example();
    let old = read(&text(&chunks, &own, Format::Text004), Format::Text004);
    assert_eq!(old.family("anomaly_events_total").kind, "counter");
    assert_eq!(
        old.family("forethought_web_requests_total").samples.len(),
        2
    );
    assert_eq!(old.family("forethought_build_info").kind, "gauge");
    let format = Format::OpenMetrics001;
    let new = read(&text(&chunks, &own, format), format);
    assert_eq!(
        new.family("anomaly_events").samples[0].name,
        "anomaly_events_total"
    );
    assert_eq!(new.family("forethought_build").kind, "info");
    assert_eq!(
        new.family("forethought_tick_seconds").unit.as_deref(),
        Some("seconds")
    );
    assert_eq!(new.family("forethought_wrong_unit").unit, None);
}

#[test]
fn the_same_series_from_two_units_is_kept_once_and_counted() {
    let one: Samples<'_> = &[
        (&[("a", "1")], 1.0),
        (&[("a", "2")], 2.0),
        (&[("a", "1")], 9.0),
    ];
    let other: Samples<'_> = &[(&[("a", "2")], 8.0), (&[("a", "3")], 3.0)];
    let chunks = [
        gauge("x", one),
        gauge("x", other),
        chunk("x_total", Kind::Counter, other),
    ];
    for gzip in [false, true] {
        let exposition = assemble(&chunks, &[], Format::Text004, &NameFilter::default(), gzip);
        assert_eq!((exposition.series, exposition.dropped), (5, 2));
    }
    let seen = read(&text(&chunks, &[], Format::Text004), Format::Text004);
    let values: Vec<f64> = seen
        .family("x")
        .samples
        .iter()
        .map(|sample| sample.value)
        .collect();
    assert_eq!(values, [1.0, 2.0, 3.0]);
    // In OpenMetrics the counter would be the family `x` a second time.
    let format = Format::OpenMetrics100(Escaping::Values);
    let exposition = assemble(&chunks, &[], format, &NameFilter::default(), false);
    assert_eq!((exposition.series, exposition.dropped), (3, 4));
    read(&whole(&exposition), format);
}

#[test]
fn names_that_escaping_makes_equal_are_one_family() {
    let chunks = [
        gauge("a.b", &[(&[("x.y", "1")], 1.0)]),
        gauge("a_b", &[(&[("x_y", "1")], 2.0), (&[("x_y", "2")], 3.0)]),
    ];
    let exposition = assemble(&chunks, &[], Format::Text004, &NameFilter::default(), false);
    assert_eq!((exposition.series, exposition.dropped), (2, 1));
    read(&whole(&exposition), Format::Text004);
    let both = text(&chunks, &[], Format::Text100(Escaping::AllowUtf8));
    assert_eq!(
        read(&both, Format::Text100(Escaping::AllowUtf8))
            .families
            .len(),
        2
    );
}

#[test]
fn units_cannot_take_the_names_of_our_own_metrics() {
    let chunks = [gauge("forethought_wrong_unit", &[(&[], 5.0)])];
    let exposition = assemble(
        &chunks,
        &translate(OWN),
        Format::Text004,
        &NameFilter::default(),
        false,
    );
    assert_eq!(exposition.dropped, 1);
    let seen = read(&whole(&exposition), Format::Text004);
    assert_eq!(seen.family("forethought_wrong_unit").samples[0].value, 1.0);
}

#[test]
fn only_the_families_asked_for() {
    let (chunks, own) = example();
    let cases: [(&[&str], &[&str]); 5] = [
        (&["anomaly_score"], &["anomaly_score"]),
        (&["anomaly_events", "nothing"], &["anomaly_events_total"]),
        (
            &["forethought_tick_seconds_bucket"],
            &["forethought_tick_seconds"],
        ),
        (
            &["forethought_build_info", "forethought_web_requests_total"],
            &["forethought_build_info", "forethought_web_requests_total"],
        ),
        (&["nothing"], &[]),
    ];
    for (asked, want) in cases {
        let filter = NameFilter::new(asked.iter().map(|name| name.to_string()));
        let shown = whole(&assemble(&chunks, &own, Format::Text004, &filter, false));
        let seen = read(&shown, Format::Text004);
        let names: Vec<&str> = seen
            .families
            .iter()
            .map(|family| family.name.as_str())
            .collect();
        assert_eq!(names, want, "{asked:?}");
    }
}

#[test]
fn gzip_says_the_same() {
    let (chunks, own) = example();
    for format in FORMATS {
        let packed = assemble(&chunks, &own, format, &NameFilter::default(), true);
        let bytes = packed.parts.concat();
        assert_eq!(bytes.len(), packed.len());
        let mut plain = String::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(bytes.as_slice());
        std::io::Read::read_to_string(&mut decoder, &mut plain).unwrap();
        assert_eq!(plain, text(&chunks, &own, format));
    }
}

#[test]
fn own_metrics_come_in_one_order() {
    let lines = [
        "x_sum{b=\"2\"} 1",
        "x_count{b=\"2\"} 3",
        "x_bucket{b=\"2\",le=\"9\"} 2",
        "x_bucket{b=\"2\",le=\"10\"} 3",
        "x_sum{b=\"10\"} 1",
        "x_bucket{b=\"10\",le=\"+Inf\"} 1",
    ];
    let head = "# HELP x Help.\n# TYPE x histogram\n";
    let shown = |lines: &[&str]| {
        let own = translate(&format!("{head}{}\n", lines.join("\n")));
        text(&[], &own, Format::Text004)
    };
    let want = [&lines[4..], &lines[..4]].concat().join("\n");
    assert_eq!(shown(&lines), format!("{head}{want}\n"));
    assert_eq!(shown(&[&lines[4..], &lines[..4]].concat()), shown(&lines));
}

#[test]
fn an_own_metric_that_is_not_of_the_form_is_left_out() {
    let broken = "nonsense\n# HELP\n# HELP x y\n# TYPE x gauge\nx{a=\"1\nx{a=1} 2\nx one\nx 1\nx 2\nother 3\n";
    let shown = text(&[], &translate(broken), Format::Text004);
    assert_eq!(shown, "# HELP x y\n# TYPE x gauge\nx 1\n");
    assert_eq!(text(&[], &translate(""), Format::OpenMetrics001), "# EOF\n");
}

type Pairs = Vec<(String, String)>;

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-c_.]{1,4}",
        1 => "\\PC{1,6}",
        1 => any::<String>(),
    ]
}

fn any_samples() -> impl Strategy<Value = Vec<(Pairs, f64)>> {
    let value = prop_oneof![4 => any::<f64>(), 1 => Just(f64::INFINITY), 1 => (-1_000_i32..1_000).prop_map(f64::from)];
    let pairs = prop::collection::vec((any_name(), any::<String>()), 0..4);
    prop::collection::vec((pairs, value), 0..6)
}

fn made(name: &str, kind: Kind, samples: &[(Pairs, f64)]) -> Chunk {
    let samples = samples
        .iter()
        .map(|(pairs, value)| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            (Arc::new(RenderedLabels::new(pairs)), *value)
        })
        .collect();
    Chunk::new(name.into(), "Help \\ \" \n.".into(), kind, samples)
}

/// What a reader of all of UTF-8 must see of `samples`: the first of equal series, with the first of equal labels.
fn expected(samples: &[(Pairs, f64)]) -> BTreeMap<BTreeMap<String, String>, u64> {
    let mut all = BTreeMap::new();
    for (pairs, value) in samples.iter().filter(|(_, value)| !value.is_nan()) {
        let mut labels = BTreeMap::new();
        for (name, value) in pairs {
            labels.entry(name.clone()).or_insert(value.clone());
        }
        labels.retain(|name, value| !name.is_empty() && name != "__name__" && !value.is_empty());
        all.entry(labels).or_insert(value.to_bits());
    }
    all
}

proptest! {
    /// Whatever names, labels and values units hold: every format is well formed, and a UTF-8 reader gets
    /// exactly what went in.
    #[test]
    fn any_content_survives(one in any_samples(), other in any_samples(), name in any_name().prop_filter("a family has a name", |name| !name.is_empty())) {
        // Only a signal of a refused name could be a gauge `..._total`.
        let name = name.replace("_total", "_");
        let all: Vec<(Pairs, f64)> = one.iter().chain(&other).cloned().collect();
        let chunks = [made(&name, Kind::Gauge, &one), made("c_total", Kind::Counter, &one), made(&name, Kind::Gauge, &other)];
        for format in FORMATS {
            let exposition = assemble(&chunks, &[], format, &NameFilter::default(), false);
            let seen = read(&whole(&exposition), format);
            let samples: usize = seen.families.iter().map(|family| family.samples.len()).sum();
            prop_assert_eq!(samples, exposition.series);
            let given: usize = chunks.iter().map(Chunk::len).sum();
            prop_assert_eq!(samples + exposition.dropped, given);
            if format == Format::Text100(Escaping::AllowUtf8) && name != "c" {
                let got: BTreeMap<BTreeMap<String, String>, u64> = seen
                    .families
                    .iter()
                    .filter(|family| family.name == name)
                    .flat_map(|family| &family.samples)
                    .map(|sample| (sample.labels.clone(), sample.value.to_bits()))
                    .collect();
                prop_assert_eq!(got, expected(&all));
            }
        }
    }

    /// No scheme loses a label or its value, whatever the names become.
    #[test]
    fn escaping_keeps_every_value(pairs in prop::collection::vec((any_name(), "[a-z]{1,3}"), 0..6)) {
        let samples = [(pairs, 1.0)];
        let want: Vec<String> = {
            let labels = expected(&samples).into_keys().next().unwrap();
            let mut values: Vec<String> = labels.into_values().collect();
            values.sort();
            values
        };
        let chunks = [made("x", Kind::Gauge, &samples)];
        for format in FORMATS {
            let seen = read(&text(&chunks, &[], format), format);
            let mut values: Vec<String> = seen.family("x").samples[0].labels.values().cloned().collect();
            values.sort();
            prop_assert_eq!(&values, &want);
        }
    }

    /// prometheus-parse agrees, on the values it can read (no `}`, `,`, `=`, quotes or escapes in labels).
    #[test]
    fn prometheus_parse_agrees(values in prop::collection::btree_map("[a-z0-9 /-]{1,8}", any::<f64>(), 1..6)) {
        let samples: Vec<(Pairs, f64)> = values
            .iter()
            .map(|(label, value)| (vec![("a".to_string(), label.clone())], *value))
            .collect();
        let shown = text(&[made("x", Kind::Gauge, &samples)], &[], Format::Text004);
        let lines = shown.lines().map(|line| Ok(line.to_string()));
        let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
        let mut got: BTreeMap<String, u64> = BTreeMap::new();
        for sample in &scrape.samples {
            let prometheus_parse::Value::Gauge(value) = sample.value else {
                panic!("{sample:?}");
            };
            got.insert(sample.labels.get("a").unwrap().to_string(), value.to_bits());
        }
        let want: BTreeMap<String, u64> = values
            .into_iter()
            .filter(|(_, value)| !value.is_nan())
            .map(|(label, value)| (label, value.to_bits()))
            .collect();
        prop_assert_eq!(got, want);
    }
}
