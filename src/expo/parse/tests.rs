//! What is read, what is refused, and where errors point. The rows follow the lexers of Prometheus;
//! `tests/it/parsing.rs` shows many of them to a real one.

mod faults;
mod properties;

use super::{Dialect, Event, Limits, ParseError, Parser};
use Dialect::{OpenMetrics, Text};

/// An event as one line.
fn show(event: Event<'_>) -> String {
    match event {
        Event::Sample(sample) => {
            let labels = sample
                .labels
                .map(|(name, value)| format!("{name}={value:?}"));
            let labels = labels.collect::<Vec<_>>().join(",");
            let at = sample.at.map(|at| format!(" @{at}")).unwrap_or_default();
            format!("{:?}{{{labels}}} {:?}{at}", sample.name, sample.value)
        }
        Event::Type { name, kind } => format!("TYPE {name:?} {kind:?}"),
        Event::Help { name, text } => format!("HELP {name:?} {text:?}"),
        Event::Unit { name, unit } => format!("UNIT {name:?} {unit:?}"),
        Event::Eof => String::from("EOF"),
    }
}

fn read_within(body: &[u8], dialect: Dialect, limits: Limits) -> Result<Vec<String>, ParseError> {
    let events = Parser::new(body, dialect, limits);
    events.map(|event| event.map(show)).collect()
}

fn read(body: impl AsRef<[u8]>, dialect: Dialect) -> Result<Vec<String>, ParseError> {
    read_within(body.as_ref(), dialect, Limits::NONE)
}

/// What one line gives.
fn line(line: &str, dialect: Dialect) -> String {
    let body = match dialect {
        Text => line.to_owned(),
        OpenMetrics => format!("{line}\n# EOF\n"),
    };
    let mut shown = read(&body, dialect).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    if dialect == OpenMetrics {
        assert_eq!(shown.pop().as_deref(), Some("EOF"), "{line:?}");
    }
    shown.join(" ")
}

#[test]
fn samples_of_both_dialects() {
    let cases = [
        ("a 1", r#""a"{} 1.0"#),
        ("a{} 1", r#""a"{} 1.0"#),
        ("job:a:rate5m 1", r#""job:a:rate5m"{} 1.0"#),
        (":a_0 -0", r#"":a_0"{} -0.0"#),
        (r#"a{b="c"} NaN"#, r#""a"{b="c"} NaN"#),
        (r#"a{b="c",d="e"} +Inf"#, r#""a"{b="c",d="e"} inf"#),
        (r#"a{b="c",} -inf"#, r#""a"{b="c"} -inf"#),
        (r#"a{b=""} 1e-7"#, r#""a"{b=""} 1e-7"#),
        (r#"a{b="x}y,z=w{#"} 1"#, r#""a"{b="x}y,z=w{#"} 1.0"#),
        (r#"a{b="\"\\\n"} 1"#, r#""a"{b="\"\\\n"} 1.0"#),
        (r#"a{b="\x\té\\n"} 1"#, r#""a"{b="\\x\\té\\n"} 1.0"#),
        (r#"a{b="größe 😱"} 1"#, r#""a"{b="größe 😱"} 1.0"#),
        ("a{b=\"\0\"} 1", r#""a"{b="\0"} 1.0"#),
        ("a{b=\"\t\r\"} 1", r#""a"{b="\t\r"} 1.0"#),
        (r#"{"a"} 1"#, r#""a"{} 1.0"#),
        (r#"{"a",} 1"#, r#""a"{} 1.0"#),
        (
            r#"{"http.dur",code="200"} 1"#,
            r#""http.dur"{code="200"} 1.0"#,
        ),
        (
            r#"{code="200","http.dur"} 1"#,
            r#""http.dur"{code="200"} 1.0"#,
        ),
        (r#"{x="1","a b",y="2",} 1"#, r#""a b"{x="1",y="2"} 1.0"#),
        (r#"a{"b.c"="d","e"="f"} 1"#, r#""a"{b.c="d",e="f"} 1.0"#),
        (
            r#"{"q\"u\\o\nte","\"l"="v"} 1"#,
            "\"q\\\"u\\\\o\\nte\"{\"l=\"v\"} 1.0",
        ),
        ("{\"two\nlines\"} 1", r#""two\nlines"{} 1.0"#),
        // Left to the reader, as by the parser of Prometheus.
        (r#"a{b="1",b="2"} 1"#, r#""a"{b="1",b="2"} 1.0"#),
        (r#"a{__name__="b"} 1"#, r#""a"{__name__="b"} 1.0"#),
    ];
    for (given, want) in cases {
        for dialect in [Text, OpenMetrics] {
            assert_eq!(line(given, dialect), want, "{given:?} {dialect:?}");
        }
    }
}

#[test]
fn what_only_text_takes() {
    let cases = [
        ("", ""),
        ("\n \t\n", ""),
        (" \ta 1\t ", r#""a"{} 1.0"#),
        ("a\t1", r#""a"{} 1.0"#),
        ("a  1  1700000000000  ", r#""a"{} 1.0 @1700000000000"#),
        ("a 1 0007", r#""a"{} 1.0 @7"#),
        (
            "a 1 9223372036854775807",
            r#""a"{} 1.0 @9223372036854775807"#,
        ),
        (r#"a { b = "c" , d = "e" , } 1"#, r#""a"{b="c",d="e"} 1.0"#),
        (r#"a{b="c"}1"#, r#""a"{b="c"} 1.0"#),
        (r#"a{b="c"d="e"} 1"#, r#""a"{b="c",d="e"} 1.0"#),
        (r#"{ "a" , b="c" } 1"#, r#""a"{b="c"} 1.0"#),
        ("a+1", r#""a"{} 1.0"#),
        ("a-1 5", r#""a"{} -1.0 @5"#),
        ("a.5", r#""a"{} 0.5"#),
        ("a{b=\"two\nlines\"} 1", r#""a"{b="two\nlines"} 1.0"#),
        ("a 1\n\n\nb 2", r#""a"{} 1.0 "b"{} 2.0"#),
        ("# EOF\na 1", r#""a"{} 1.0"#),
        (
            "#\n# \n#a\n# a\n#\ta\n #a\n# HELP\n# TYPE\n# HELPx y\n#TYPE a b",
            "",
        ),
        ("# comments may \0 have NUL bytes\na 1", r#""a"{} 1.0"#),
        ("#so may\0these\na 1", r#""a"{} 1.0"#),
        ("# HELP a", r#"HELP "a" """#),
        ("# HELP a \n", r#"HELP "a" """#),
        (
            "\t# \tHELP\t a\tWhat it  is. ",
            r#"HELP "a" "What it  is. ""#,
        ),
        (
            r#"# HELP a one\ntwo \\ \" "q""#,
            r#"HELP "a" "one\ntwo \\ \\\" \"q\"""#,
        ),
        (r#"# HELP a{b="c"} Text"#, r#"HELP "a" "b=\"c\"} Text""#),
        ("# HELP a \0", r#"HELP "a" "\0""#),
        (r#"# HELP "a.b" Text"#, r#"HELP "a.b" "Text""#),
        ("# TYPE a counter", r#"TYPE "a" Counter"#),
        ("# TYPE a\tgauge", r#"TYPE "a" Gauge"#),
        ("# TYPE a histogram", r#"TYPE "a" Histogram"#),
        ("# TYPE a summary", r#"TYPE "a" Summary"#),
        ("# TYPE a untyped", r#"TYPE "a" Unknown"#),
        (r#"# TYPE "a \"b\"" gauge"#, r#"TYPE "a \"b\"" Gauge"#),
        ("# UNIT a anything", ""),
    ];
    for (given, want) in cases {
        assert_eq!(line(given, Text), want, "{given:?}");
    }
}

#[test]
fn what_only_open_metrics_takes() {
    let cases = [
        ("a 1 1700000000", r#""a"{} 1.0 @1700000000000"#),
        ("a 1 1700000000.1239", r#""a"{} 1.0 @1700000000123"#),
        ("a 1 -1.5e0", r#""a"{} 1.0 @-1500"#),
        ("a_total 1 # {} 0.5", r#""a_total"{} 1.0"#),
        ("a_total 1 # {t=\"x\"} 0.5 1.5", r#""a_total"{} 1.0"#),
        (
            "a_total 1 2 # {t=\"x\",s=\"y\",} NaN 1e9",
            r#""a_total"{} 1.0 @2000"#,
        ),
        (
            r#"a{le="1"} 1 # {"t.u"="\"\\}"} -Inf"#,
            r#""a"{le="1"} 1.0"#,
        ),
        ("# HELP a ", r#"HELP "a" """#),
        (
            r#"# HELP a one\ntwo \\ \" "q""#,
            r#"HELP "a" "one\ntwo \\ \" \"q\"""#,
        ),
        (r#"# HELP "a.b" Text"#, r#"HELP "a.b" "Text""#),
        ("# TYPE a counter", r#"TYPE "a" Counter"#),
        ("# TYPE a gauge", r#"TYPE "a" Gauge"#),
        ("# TYPE a gaugehistogram", r#"TYPE "a" GaugeHistogram"#),
        ("# TYPE a histogram", r#"TYPE "a" Histogram"#),
        ("# TYPE a info", r#"TYPE "a" Info"#),
        ("# TYPE a stateset", r#"TYPE "a" StateSet"#),
        ("# TYPE a summary", r#"TYPE "a" Summary"#),
        ("# TYPE a unknown", r#"TYPE "a" Unknown"#),
        ("# UNIT a ", r#"UNIT "a" """#),
        ("# UNIT a_seconds seconds", r#"UNIT "a_seconds" "seconds""#),
        (r#"# UNIT "a.b_größe" größe"#, r#"UNIT "a.b_größe" "größe""#),
        ("a_created 17e8", r#""a_created"{} 1700000000.0"#),
    ];
    for (given, want) in cases {
        assert_eq!(line(given, OpenMetrics), want, "{given:?}");
    }
    assert_eq!(read("# EOF", OpenMetrics).unwrap(), ["EOF"]);
}

#[test]
fn a_sample_gives_its_series_as_it_stands() {
    let body = "a 1\n b {c = \"\\n\"} 2\n{\"d\"}3\n";
    let series: Vec<&str> = Parser::new(body.as_bytes(), Text, Limits::NONE)
        .map(|event| match event.unwrap() {
            Event::Sample(sample) => sample.series,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(series, ["a", "b {c = \"\\n\"}", "{\"d\"}"]);
}

#[test]
fn only_what_has_escapes_is_copied() {
    use std::borrow::Cow;
    let body = br#"{"a.b",c="plain",d="esca\\ped"} 1"#;
    let Some(Ok(Event::Sample(sample))) = Parser::new(body, Text, Limits::NONE).next() else {
        panic!("no sample")
    };
    assert!(matches!(sample.name, Cow::Borrowed("a.b")));
    assert_eq!(sample.labels.len(), 2);
    let values: Vec<Cow<'_, str>> = sample.labels.map(|(_, value)| value).collect();
    assert!(matches!(values[0], Cow::Borrowed("plain")));
    assert!(matches!(values[1], Cow::Owned(_)));
}

#[test]
fn what_is_shown_in_a_log_is_short() {
    let body = format!("a{{b=\"c\"}} 1\n# {}\n", "x".repeat(10_000));
    let mut parser = Parser::new(body.as_bytes(), Text, Limits::NONE);
    assert_eq!(format!("{parser:?}"), "Parser { at: 0, samples: 0, .. }");
    let shown = format!("{:?}", parser.next().unwrap().unwrap());
    assert!(shown.contains(r#"labels: {"b": "c"}"#), "{shown}");
    let said = faults::refusal(
        format!("a {}", "é".repeat(500)).as_bytes(),
        Text,
        Limits::NONE,
    );
    assert!(said.len() < 250, "{said}");
}

/// What exporters write, with everything that occurs in them.
const TEXT_BODY: &str = include_str!("testdata/exporters.prom");
const OPEN_METRICS_BODY: &str = include_str!("testdata/application.om");

#[test]
fn whole_bodies_read_as_before() {
    for (name, body, dialect) in [
        ("exporters.prom", TEXT_BODY, Text),
        ("application.om", OPEN_METRICS_BODY, OpenMetrics),
    ] {
        let shown = read(body, dialect).unwrap().join("\n");
        insta::with_settings!({snapshot_path => "testdata", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name, shown);
        });
    }
}
