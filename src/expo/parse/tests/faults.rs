//! What is refused: the message, and the place.

use super::{OpenMetrics, Text, read, read_within};
use crate::expo::parse::{Dialect, Limits, Parser, Problem};

/// The message for a body, which must be refused; the error is the last thing given.
pub(super) fn refusal(body: &[u8], dialect: Dialect, limits: Limits) -> String {
    let mut parser = Parser::new(body, dialect, limits);
    let error = parser.find_map(Result::err);
    let error = error.unwrap_or_else(|| panic!("{:?} is taken", String::from_utf8_lossy(body)));
    assert!(error.offset <= body.len(), "{error}");
    assert!(parser.next().is_none() && parser.next().is_none());
    error.to_string()
}

/// What both refuse for the same reason.
#[test]
fn faults_of_both_dialects() {
    let cases = [
        ("1a 1", "line 1, column 1: expected a metric name, `{` or"),
        (
            "\"a\" 1",
            "line 1, column 1: expected a metric name, `{` or",
        ),
        ("größe 1", "line 1, column 3: "),
        ("é 1", "line 1, column 1: expected a metric name"),
        ("\0a 1", "line 1, column 1: expected a metric name"),
        (
            "{} 1",
            "line 1, column 1: expected a metric name, before the braces or in quotes inside",
        ),
        (
            "{a=\"b\"} 1",
            "line 1, column 1: expected a metric name, before",
        ),
        (
            "{\"\"} 1",
            "line 1, column 2: expected a name, found empty quotes",
        ),
        (
            "a{\"\"=\"b\"} 1",
            "line 1, column 3: expected a name, found empty quotes",
        ),
        (
            "a{\"b\"} 1",
            "line 1, column 3: expected one metric name, found a second one: \"b\"",
        ),
        (
            "{\"a\",\"b\"} 1",
            "line 1, column 6: expected one metric name, found a second one",
        ),
        (
            "a{,} 1",
            "line 1, column 3: expected a label name or `}`, found ','",
        ),
        (
            "a{b=\"c\",,} 1",
            "line 1, column 9: expected a label name or `}`, found ','",
        ),
        (
            "a{b} 1",
            "line 1, column 4: expected `=` after the label name, found '}'",
        ),
        (
            "a{b,c=\"d\"} 1",
            "line 1, column 4: expected `=` after the label name, found ','",
        ),
        (
            "a{b:c=\"d\"} 1",
            "line 1, column 4: expected `=` after the label name, found ':'",
        ),
        (
            "a{1=\"d\"} 1",
            "line 1, column 3: expected a label name or `}`, found '1'",
        ),
        (
            "a{=\"d\"} 1",
            "line 1, column 3: expected a label name or `}`, found '='",
        ),
        (
            "a{b=c} 1",
            "line 1, column 5: expected a label value in double quotes, found 'c'",
        ),
        (
            "a{b='c'} 1",
            "line 1, column 5: expected a label value in double quotes, found '\\''",
        ),
        (
            "a{b==\"c\"} 1",
            "line 1, column 5: expected a label value in double quotes, found '='",
        ),
        (
            "a{b=\"c\\\n\"} 1",
            "line 1, column 8: expected `\\`, `\"` or `n` after the backslash",
        ),
        (
            "a{\"b\0c\"=\"d\"} 1",
            "line 1, column 5: expected text without NUL bytes, found '\\0'",
        ),
        (
            "{\"a\0\"} 1",
            "line 1, column 4: expected text without NUL bytes",
        ),
        ("a{b=\"c\"\0} 1", "line 1, column 8: expected "),
        (
            "a one",
            "line 1, column 3: \"one\" is no value; expected a decimal number",
        ),
        ("a 0x1p-2", "line 1, column 3: \"0x1p-2\" is no value"),
        ("a 1_000", "line 1, column 3: \"1_000\" is no value"),
        ("a 1e999", "line 1, column 3: \"1e999\" is no value"),
        ("a 1\r", "line 1, column 3: \"1\\r\" is no value"),
        ("a -NaN", "line 1, column 3: \"-NaN\" is no value"),
        ("a 1 2 3", "line 1, column "),
        ("a 1 now", "line 1, column "),
        ("a{b=\"c\"}{d=\"e\"} 1", "line 1, column 9: expected a"),
        (
            "# TYPE a gorge",
            "line 1, column 10: \"gorge\" is no metric type; expected one of counter, gauge,",
        ),
        (
            "# TYPE a  gauge",
            "line 1, column 10: \" gauge\" is no metric type",
        ),
        (
            "# TYPE a gauge ",
            "line 1, column 10: \"gauge \" is no metric type",
        ),
        (
            "# TYPE a Gauge",
            "line 1, column 10: \"Gauge\" is no metric type",
        ),
        (
            "# HELP 1a text",
            "line 1, column 8: expected a metric name, in quotes where",
        ),
        (
            "# HELP \"a\0\" text",
            "line 1, column 10: expected text without NUL bytes",
        ),
    ];
    for (given, want) in cases {
        for (dialect, end) in [(Text, ""), (Text, "\n"), (OpenMetrics, "\n# EOF\n")] {
            let said = refusal(format!("{given}{end}").as_bytes(), dialect, Limits::NONE);
            assert!(said.starts_with(want), "{given:?} {dialect:?}: {said}");
        }
    }
}

#[test]
fn faults_of_text() {
    let cases = [
        (
            "a",
            "line 1, column 2: expected a value, found the end of the body",
        ),
        (
            "a\n1",
            "line 1, column 2: expected a value, found the end of the line",
        ),
        (
            "a{b=\"c\"}\n1",
            "line 1, column 9: expected a value, found the end of the line",
        ),
        (
            "a{b=\"c\",\nd=\"e\"} 1",
            "line 1, column 9: expected a label name or `}`, found the end",
        ),
        (
            "b 1\na{b=\"c} 1\n",
            "line 2, column 5: expected a closing quote for the text that begins here, found the end of the body",
        ),
        (
            "a 1 -5",
            "line 1, column 5: expected a timestamp in whole milliseconds or the end of the line, found '-'",
        ),
        (
            "a 1 5.5",
            "line 1, column 6: expected the end of the line after the timestamp, found '.'",
        ),
        (
            "a 1 2 3",
            "line 1, column 7: expected the end of the line after the timestamp, found '3'",
        ),
        (
            "a 1 9223372036854775808",
            "line 1, column 5: \"9223372036854775808\" is no timestamp; expected milliseconds",
        ),
        (
            "a 1 # {} 1",
            "line 1, column 5: expected a timestamp in whole milliseconds or the end of the line, found '#'",
        ),
        ("a 1{", "line 1, column 4: expected a timestamp"),
        ("a 1\0", "line 1, column 4: expected a timestamp"),
        (
            "a{b=\"c\"} {",
            "line 1, column 10: expected a value, found '{'",
        ),
        ("a 1\rb 2\r", "line 1, column 3: \"1\\rb\" is no value"),
        (
            "# TYPE a",
            "line 1, column 9: \"\" is no metric type; expected one of counter, gauge, histogram, summary, untyped",
        ),
        (
            "# TYPE a unknown",
            "line 1, column 10: \"unknown\" is no metric type",
        ),
        ("# HELP \n", "line 1, column 8: expected a metric name"),
        (
            "# HELP a\0b c",
            "line 1, column 9: expected a blank after the metric name",
        ),
        (
            "# HELP aé c",
            "line 1, column 9: expected a blank after the metric name, found 'é'",
        ),
        (
            "a{b=\"1\n2\"} 1\n\na{b=\"ä\", 5} 1",
            "line 4, column 10: expected a label name or `}`, found '5'",
        ),
    ];
    for (given, want) in cases {
        let said = refusal(given.as_bytes(), Text, Limits::NONE);
        assert!(said.starts_with(want), "{given:?}: {said}");
    }
}

#[test]
fn faults_of_open_metrics() {
    let eof = "expected `# EOF` as the last line, found the end of the body";
    let cases = [
        ("", eof),
        ("a 1", eof),
        ("a 1\n", eof),
        ("a 1 2", eof),
        ("a", eof),
        ("a{b=\"c\"", eof),
        ("# TYPE a gauge", eof),
        ("a 1 # {} 1", eof),
        (
            "# EOF\na 1\n",
            "line 2, column 1: expected nothing after `# EOF`, found more",
        ),
        (
            "# EOF\n\n",
            "line 2, column 1: expected nothing after `# EOF`",
        ),
        ("# EOFa", "line 1, column 6: expected nothing after `# EOF`"),
        (
            "\n# EOF",
            "line 1, column 1: expected a metric name, `{` or `# ` at the start of a line, found the end of the line",
        ),
        (" a 1\n# EOF", "line 1, column 1: expected a metric name"),
        (
            "a  1\n# EOF",
            "line 1, column 3: expected a value, found ' '",
        ),
        (
            "a\t1\n# EOF",
            "line 1, column 2: expected a space and the value, found '\\t'",
        ),
        (
            "a\n# EOF",
            "line 1, column 2: expected a space and the value, found the end of the line",
        ),
        (
            "a{b=\"c\"}1\n# EOF",
            "line 1, column 9: expected a space and the value, found '1'",
        ),
        (
            "a {b=\"c\"} 1\n# EOF",
            "line 1, column 3: \"{b=\\\"c\\\"}\" is no value",
        ),
        (
            "a{ b=\"c\"} 1\n# EOF",
            "line 1, column 3: expected a label name or `}`, found ' '",
        ),
        (
            "a{b =\"c\"} 1\n# EOF",
            "line 1, column 4: expected `=` after the label name, found ' '",
        ),
        (
            "a{b= \"c\"} 1\n# EOF",
            "line 1, column 5: expected a label value in double quotes",
        ),
        (
            "a{b=\"c\" } 1\n# EOF",
            "line 1, column 8: expected `,` or `}` after the label value",
        ),
        (
            "a{b=\"c\"d=\"e\"} 1\n# EOF",
            "line 1, column 8: expected `,` or `}` after the label value",
        ),
        (
            "a{b=\"c\n\"} 1\n# EOF",
            "line 1, column 5: expected a closing quote for the text that begins here, found the end of the line",
        ),
        (
            "a 1 \n# EOF",
            "line 1, column 5: expected a timestamp or an exemplar, found the end of the line",
        ),
        (
            "a 1 2 \n# EOF",
            "line 1, column 6: expected a space, or the end of the line",
        ),
        ("a 1 2 3\n# EOF", "line 1, column 6: expected "),
        (
            "a 1 NaN\n# EOF",
            "line 1, column 5: \"NaN\" is no timestamp; expected seconds",
        ),
        (
            "a 1 Inf\n# EOF",
            "line 1, column 5: \"Inf\" is no timestamp",
        ),
        (
            "a 1 # foo\n# EOF",
            "line 1, column 5: \"#\" is no timestamp; expected seconds since the epoch, or ` # {`",
        ),
        (
            "a 1 #{} 1\n# EOF",
            "line 1, column 5: \"#{}\" is no timestamp",
        ),
        (
            "a 1 # {b} 1\n# EOF",
            "line 1, column 9: expected `=` after the label name, found '}'",
        ),
        (
            "a 1 # {\"b\"} 1\n# EOF",
            "line 1, column 11: expected `=` after the label name, found '}'",
        ),
        (
            "a 1 # {b=\"\0\"} 1\n# EOF",
            "line 1, column 11: expected text without NUL bytes",
        ),
        (
            "a 1 # {}\n# EOF",
            "line 1, column 9: expected a space and the value of the exemplar, found the end",
        ),
        ("a 1 # {} x\n# EOF", "line 1, column 10: \"x\" is no value"),
        (
            "a 1 # {} 1 x\n# EOF",
            "line 1, column 12: \"x\" is no timestamp",
        ),
        (
            "a 1 # {} 1 NaN\n# EOF",
            "line 1, column 12: \"NaN\" is no timestamp",
        ),
        ("a 1 # {} 1 2 3\n# EOF", "line 1, column 13: expected "),
        (
            "# foo\n# EOF",
            "line 1, column 1: expected `# HELP `, `# TYPE `, `# UNIT ` or `# EOF`",
        ),
        ("#\n# EOF", "line 1, column 1: expected `# HELP `"),
        (
            "#\tTYPE a gauge\n# EOF",
            "line 1, column 1: expected `# HELP `",
        ),
        (
            "# HELP  a b\n# EOF",
            "line 1, column 8: expected a metric name",
        ),
        (
            "# HELP a\n# EOF",
            "line 1, column 9: expected a space after the metric name, found the end of the line",
        ),
        (
            "# HELP a{b} c\n# EOF",
            "line 1, column 9: expected a space after the metric name, found '{'",
        ),
        (
            "# TYPE a untyped\n# EOF",
            "line 1, column 10: \"untyped\" is no metric type; expected one of counter, gauge, gaugehistogram",
        ),
        (
            "# UNIT a_seconds minutes\n# EOF",
            "line 1, column 8: unit \"minutes\": expected the name \"a_seconds\" to end in `_` and the unit",
        ),
        (
            "# UNIT aseconds seconds\n# EOF",
            "line 1, column 8: unit \"seconds\"",
        ),
        (
            "# UNIT seconds seconds\n# EOF",
            "line 1, column 8: unit \"seconds\"",
        ),
    ];
    for (given, want) in cases {
        let said = refusal(given.as_bytes(), OpenMetrics, Limits::NONE);
        let matches = match want == eof {
            true => said.ends_with(want),
            false => said.starts_with(want),
        };
        assert!(matches, "{given:?}: {said}");
    }
}

#[test]
fn what_is_no_utf8_is_refused_but_in_comments_of_text() {
    let none = "expected UTF-8, found bytes that are none";
    let cases: [(&[u8], Dialect, &str); 8] = [
        (b"a{b=\"\xff\"} 1\n", Text, "line 1, column 6: "),
        (
            b"a{b=\"c\xe9d\"} 1\n# EOF\n",
            OpenMetrics,
            "line 1, column 7: ",
        ),
        (b"a 1\n{\"\xc3\"} 1\n", Text, "line 2, column 3: "),
        (b"# HELP a b\n# HELP a\t\xff\n", Text, "line 2, column 10: "),
        (
            b"# HELP a \xff\n# EOF\n",
            OpenMetrics,
            "line 1, column 10: ",
        ),
        (b"# TYPE a gauge\xff\n", Text, "line 1, column 15: "),
        (b"a 1 \xff\n", Text, "line 1, column 5: "),
        (b"\xff", Text, "line 1, column 1: "),
    ];
    for (body, dialect, place) in cases {
        assert_eq!(
            refusal(body, dialect, Limits::NONE),
            format!("{place}{none}")
        );
    }
    let body = b"# \xff\na 1\n#\xc3\xc3\n#x\xff\xff y\n# HELP\xff\nb{c=\"\xc3\xa9\"} 2 # \n";
    let shown = read(&body[..body.len() - 4], Text).unwrap();
    assert_eq!(shown, [r#""a"{} 1.0"#, r#""b"{c="é"} 2.0"#]);
    // Places count from the start of the body, odd comments included.
    let said = refusal(body, Text, Limits::NONE);
    assert!(
        said.starts_with("line 6, column 12: expected a timestamp"),
        "{said}"
    );
    assert_eq!(read(b"a 1\n# \xff", Text).unwrap(), [r#""a"{} 1.0"#]);
}

#[test]
fn each_limit_is_an_error_of_its_own() {
    let body = b"a 1\nabc{de=\"fgh\",i=\"j\"} 2\n{\"k.l\"} 3\n";
    let just = Limits {
        samples: 3,
        labels: 2,
        name_bytes: 3,
        value_bytes: 3,
    };
    assert_eq!(read_within(body, Text, just).unwrap().len(), 3);
    let cases = [
        (
            Limits { samples: 2, ..just },
            "line 3, column 1: more than 2 samples",
            Problem::TooManySamples { limit: 2 },
        ),
        (
            Limits { labels: 1, ..just },
            "line 2, column 14: more than 1 labels",
            Problem::TooManyLabels { limit: 1 },
        ),
        (
            Limits {
                name_bytes: 2,
                ..just
            },
            "line 2, column 1: a name of 3 bytes, where 2 is the limit",
            Problem::NameTooLong {
                length: 3,
                limit: 2,
            },
        ),
        (
            Limits {
                name_bytes: 1,
                ..just
            },
            "line 2, column 5: a name of 2 bytes, where 1",
            Problem::NameTooLong {
                length: 2,
                limit: 1,
            },
        ),
        (
            Limits {
                value_bytes: 2,
                ..just
            },
            "line 2, column 5: a label value of 3 bytes, where 2",
            Problem::ValueTooLong {
                length: 3,
                limit: 2,
            },
        ),
    ];
    for (limits, want, problem) in cases {
        let error = read_within(body, Text, limits).unwrap_err();
        assert!(error.to_string().starts_with(want), "{error}");
        assert_eq!(error.problem, problem);
        assert!(error.problem.is_limit());
    }
    let error = read("a", Text).unwrap_err();
    assert!(!error.problem.is_limit());
}

#[test]
fn lengths_are_those_of_what_is_meant() {
    let limits = Limits {
        name_bytes: 2,
        value_bytes: 3,
        ..Limits::NONE
    };
    let body = br#"{"\"\"","\\"="\n\n\\"} 1"#;
    assert_eq!(read_within(body, Text, limits).unwrap().len(), 1);
    let said = refusal(br#"a{b="\n\n\\x"} 1"#, Text, limits);
    assert_eq!(
        said,
        "line 1, column 3: a label value of 4 bytes, where 3 is the limit"
    );
}
