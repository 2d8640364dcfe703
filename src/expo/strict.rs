//! A strict reader of expositions, for tests: it panics, with the line, at whatever a careful reader could
//! refuse. It shares no code with the encoder.

use std::collections::{BTreeMap, BTreeSet};

/// What it read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) families: Vec<ReadFamily>,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct ReadFamily {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    pub(crate) samples: Vec<ReadSample>,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct ReadSample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Read {
    pub(crate) fn family(&self, name: &str) -> &ReadFamily {
        let found = self.families.iter().find(|family| family.name == name);
        found.unwrap_or_else(|| panic!("no family {name}"))
    }
}

/// Reads `text`; `open_metrics` says which rules hold, `utf8` whether names may be quoted.
pub(crate) fn read(text: &str, open_metrics: bool, utf8: bool) -> Read {
    let body = if open_metrics {
        assert_eq!(text.matches("# EOF\n").count(), 1, "one # EOF");
        text.strip_suffix("# EOF\n").expect("ends with # EOF")
    } else {
        assert!(!text.lines().any(|line| line == "# EOF"), "no # EOF");
        text
    };
    assert!(body.is_empty() || body.ends_with('\n'));
    let mut read = Read::default();
    let mut series = BTreeSet::new();
    let mut names = BTreeSet::new();
    for line in body.split_terminator('\n') {
        if let Some(comment) = line.strip_prefix("# ") {
            take_comment(&mut read, &mut names, comment, open_metrics, utf8);
        } else {
            let sample = sample(line, utf8);
            let key = (sample.name.clone(), sample.labels.clone());
            assert!(series.insert(key), "twice: {line}");
            let family = read.families.last_mut().expect("a header first");
            assert!(!family.kind.is_empty(), "TYPE before {line}");
            assert!(belongs(family, &sample.name, open_metrics), "{line}");
            family.samples.push(sample);
        }
    }
    let empty = read
        .families
        .iter()
        .find(|family| family.samples.is_empty());
    assert_eq!(empty, None, "a header without samples");
    // Sorted by the name people write in queries, which has the suffix.
    let sorted: Vec<String> = read
        .families
        .iter()
        .map(|family| match family.kind.as_str() {
            "counter" if open_metrics => format!("{}_total", family.name),
            "info" => format!("{}_info", family.name),
            _ => family.name.clone(),
        })
        .collect();
    assert!(sorted.is_sorted(), "{sorted:?}");
    read
}

fn take_comment(
    read: &mut Read,
    names: &mut BTreeSet<String>,
    comment: &str,
    open_metrics: bool,
    utf8: bool,
) {
    let (word, rest) = comment.split_once(' ').expect("a word");
    let mut rest = Cursor(rest);
    let name = if rest.0.starts_with('"') {
        assert!(utf8, "{comment}");
        rest.quoted(true)
    } else {
        rest.legacy(true)
    };
    rest.expect(" ");
    if word == "HELP" {
        assert!(names.insert(name.clone()), "family {name} twice");
        read.families.push(ReadFamily {
            name: name.clone(),
            help: rest.help(open_metrics),
            ..ReadFamily::default()
        });
    }
    let family = read.families.last_mut().expect("HELP first");
    assert_eq!(family.name, name);
    match word {
        "HELP" => {}
        "TYPE" => {
            assert!(family.kind.is_empty());
            let old = ["gauge", "counter", "histogram", "untyped"];
            let new = ["gauge", "counter", "histogram", "info", "unknown"];
            let kinds: &[&str] = if open_metrics { &new } else { &old };
            assert!(kinds.contains(&rest.0), "{comment}");
            family.kind = rest.0.to_string();
            let total = family.name.ends_with("_total");
            assert!(
                family.kind != "counter" || total != open_metrics,
                "{comment}"
            );
        }
        "UNIT" => {
            assert!(open_metrics, "{comment}");
            assert!(family.name.ends_with(&format!("_{}", rest.0)), "{comment}");
            family.unit = Some(rest.0.to_string());
        }
        _ => panic!("unknown comment {comment}"),
    }
}

fn belongs(family: &ReadFamily, name: &str, open_metrics: bool) -> bool {
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" if open_metrics => &["_total"],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    let rest = name.strip_prefix(family.name.as_str());
    rest.is_some_and(|rest| suffixes.contains(&rest))
}

fn sample(line: &str, utf8: bool) -> ReadSample {
    let mut rest = Cursor(line);
    let mut sample = ReadSample::default();
    if !rest.0.starts_with('{') {
        sample.name = rest.legacy(true);
    }
    if rest.eat("{") {
        if sample.name.is_empty() {
            assert!(utf8, "{line}");
            sample.name = rest.quoted(true);
            let more = rest.eat(",");
            assert_ne!(more, rest.0.starts_with('}'), "{line}");
        }
        while !rest.eat("}") {
            let name = if rest.0.starts_with('"') {
                assert!(utf8, "{line}");
                rest.quoted(true)
            } else {
                rest.legacy(false)
            };
            rest.expect("=");
            let value = rest.quoted(true);
            assert!(
                sample.labels.insert(name, value).is_none(),
                "label twice: {line}"
            );
            let more = rest.eat(",");
            assert_ne!(more, rest.0.starts_with('}'), "{line}");
        }
    }
    rest.expect(" ");
    sample.value = value(rest.0);
    sample
}

/// What Go's `strconv.ParseFloat` takes and Rust's parser would not, and the other way round, is not used.
fn value(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        _ => {
            let digits = |letter: char| letter.is_ascii_digit() || "+-.e".contains(letter);
            assert!(text.chars().all(digits), "number {text:?}");
            text.parse().expect("a number")
        }
    }
}

struct Cursor<'a>(&'a str);

impl Cursor<'_> {
    fn eat(&mut self, wanted: &str) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, wanted: &str) {
        assert!(self.eat(wanted), "{wanted:?} wanted at {:?}", self.0);
    }

    fn legacy(&mut self, colons: bool) -> String {
        let letter = |letter: char| {
            letter.is_ascii_alphanumeric() || letter == '_' || (colons && letter == ':')
        };
        let end = self.0.find(|next| !letter(next)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        assert!(
            !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()),
            "{:?}",
            self.0
        );
        self.0 = rest;
        name.to_string()
    }

    fn quoted(&mut self, quotes: bool) -> String {
        self.expect("\"");
        let mut out = String::new();
        let mut letters = self.0.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.0 = self.0.split_at(at + 1).1;
                    return out;
                }
                '\\' => out.push(unescaped(letters.next().map(|(_, next)| next), quotes)),
                other => out.push(other),
            }
        }
        panic!("no closing quote: {:?}", self.0);
    }

    fn help(&mut self, quotes: bool) -> String {
        let mut out = String::new();
        let mut letters = self.0.chars();
        while let Some(letter) = letters.next() {
            assert!(letter != '"' || !quotes, "a bare quote in {:?}", self.0);
            out.push(match letter {
                '\\' => unescaped(letters.next(), quotes),
                other => other,
            });
        }
        out
    }
}

fn unescaped(letter: Option<char>, quotes: bool) -> char {
    match letter {
        Some('n') => '\n',
        Some('\\') => '\\',
        Some('"') if quotes => '"',
        other => panic!("escape {other:?}"),
    }
}
