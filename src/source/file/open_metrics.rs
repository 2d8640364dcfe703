//! The text exposition formats with a time on each line: Prometheus 0.0.4 and 1.0.0, OpenMetrics 1.0.
//!
//! Our own scanner: prometheus-parse 0.2.5 loses recording-rule names, labels with a `,`, `=` or `}` in
//! their value, escapes, quoted names and the times of OpenMetrics, and never says so.

use super::{lines::number_time, plain, shelf::Shelf};
use crate::{
    series::{Grid, Labels, Millis},
    source::Matrix,
};
use std::{
    borrow::Cow,
    io::{BufRead, BufReader, Read},
};

/// A longer line is no sample.
const LONGEST_LINE: u64 = 1 << 20;

/// Reads text with times, gzip or not. Each metric name is one quantity, with its series on `grid`.
/// Times are seconds (OpenMetrics) or milliseconds (Prometheus), by their size; exemplars are left out.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn read_open_metrics(reader: impl Read, grid: Grid) -> Result<Vec<(String, Matrix)>, String> {
    let mut shelf = Shelf::new(grid);
    each_sample(reader, &mut |name, labels, at, value| {
        let place = shelf.place(name, labels)?;
        shelf.put(place, at, value)
    })?;
    Ok(shelf.clear())
}

/// Takes the metric's name, the other labels, the time in milliseconds and the value of a sample; says what is wrong with it.
pub type TakeSample<'t> = &'t mut dyn FnMut(&str, Labels, Millis, f64) -> Result<(), String>;

/// Reads text with times as [`read_open_metrics`] does, and gives every sample as it is.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn each_sample(reader: impl Read, take: TakeSample<'_>) -> Result<(), String> {
    let mut reader = BufReader::with_capacity(1 << 18, plain(reader)?);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = reader
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line);
        let read = read.map_err(|error| format!("line {number}: {error}"))?;
        if read == 0 {
            break;
        }
        take_line(&line, take).map_err(|problem| format!("line {number}: {problem}"))?;
    }
    Ok(())
}

fn take_line(line: &[u8], take: TakeSample<'_>) -> Result<(), String> {
    if line.len() as u64 >= LONGEST_LINE {
        return Err(format!("is longer than {LONGEST_LINE} bytes"));
    }
    let text = std::str::from_utf8(line).map_err(|_| String::from("is not UTF-8"))?;
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(());
    }
    let sample = sample(text)?;
    let at = sample
        .at
        .ok_or("has no time; without one it cannot be put on the grid")?;
    let labels = Labels::new(sample.labels).map_err(|error| error.to_string())?;
    take(&sample.name, labels, at, sample.value)
}

#[derive(Debug)]
struct Sample<'a> {
    name: Cow<'a, str>,
    labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    value: f64,
    at: Option<Millis>,
}

/// One line that is not a comment.
fn sample(text: &str) -> Result<Sample<'_>, String> {
    let mut scan = Scan(text);
    let mut name = scan.bare(is_name).map(Cow::Borrowed);
    scan.blanks();
    let mut labels = Vec::new();
    if scan.eat('{') {
        name = labels_of(&mut scan, name, &mut labels)?;
    }
    let name = name.ok_or_else(|| scan.wants("a metric name"))?;
    let value = scan.word().ok_or_else(|| scan.wants("a value"))?;
    let value = number(value).ok_or_else(|| format!("{value:?} is no number"))?;
    let time = scan.word().filter(|word| *word != "#");
    let at = match time {
        None => None,
        Some(word) => Some(number_time(word).ok_or_else(|| format!("{word:?} is no time"))?),
    };
    // Only an exemplar may follow.
    if at.is_some() && scan.word().is_some_and(|word| !word.starts_with('#')) {
        return Err(scan.wants("the end of the line"));
    }
    Ok(Sample {
        name,
        labels,
        value,
        at,
    })
}

/// What stands between the braces; gives the metric's name, which may be quoted inside them.
fn labels_of<'a>(
    scan: &mut Scan<'a>,
    mut name: Option<Cow<'a, str>>,
    labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
) -> Result<Option<Cow<'a, str>>, String> {
    loop {
        scan.blanks();
        if scan.eat('}') {
            return Ok(name);
        }
        let quoted = scan.0.starts_with('"');
        let label = if quoted {
            scan.quoted()?
        } else {
            let bare = scan.bare(is_label);
            bare.map(Cow::Borrowed)
                .ok_or_else(|| scan.wants("a label name"))?
        };
        scan.blanks();
        if scan.eat('=') {
            scan.blanks();
            labels.push((label, scan.quoted()?));
        } else if quoted && name.is_none() {
            name = Some(label);
        } else {
            return Err(scan.wants("="));
        }
        scan.blanks();
        if !scan.eat(',') && !scan.0.starts_with('}') {
            return Err(scan.wants(", or }"));
        }
    }
}

/// Values as Go's `ParseFloat` takes them, in the forms that occur.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn is_name(c: char) -> bool {
    is_label(c) || c == ':'
}

fn is_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What is left of a line.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn blanks(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn eat(&mut self, wanted: char) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A name without quotes; it must not start with a digit.
    fn bare(&mut self, part: fn(char) -> bool) -> Option<&'a str> {
        let end = self.0.find(|c| !part(c)).unwrap_or(self.0.len());
        let (bare, rest) = self.0.split_at(end);
        if bare.is_empty() || bare.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.0 = rest;
        Some(bare)
    }

    /// Up to the next blank.
    fn word(&mut self) -> Option<&'a str> {
        self.blanks();
        let end = self.0.find(char::is_whitespace).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    /// Text in quotes, with `\\`, `\"` and `\n` undone.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        if !self.eat('"') {
            return Err(self.wants("a quote"));
        }
        let end = self.0.find(['"', '\\']);
        let end = end.ok_or("a quote is not closed")?;
        let (start, rest) = self.0.split_at(end);
        if let Some(rest) = rest.strip_prefix('"') {
            self.0 = rest;
            return Ok(Cow::Borrowed(start));
        }
        let mut text = start.to_owned();
        let mut letters = rest.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => {
                    self.0 = letters.as_str();
                    return Ok(Cow::Owned(text));
                }
                '\\' => match letters.next() {
                    Some('n') => text.push('\n'),
                    Some(escaped @ ('\\' | '"')) => text.push(escaped),
                    // As Prometheus: what is no escape stays as it is.
                    Some(other) => text.extend(['\\', other]),
                    None => break,
                },
                letter => text.push(letter),
            }
        }
        Err(String::from("a quote is not closed"))
    }

    fn wants(&self, what: &str) -> String {
        let here: String = self.0.chars().take(20).collect();
        format!("{what} is wanted at {here:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn read(text: &str) -> Result<Vec<(String, Matrix)>, String> {
        read_open_metrics(text.as_bytes(), Grid::new(60_000).unwrap())
    }

    /// Name, labels, samples of each series.
    type Flat = Vec<(String, String, Vec<(Millis, f64)>)>;

    fn flat(text: &str) -> Flat {
        let all = read(text).unwrap().into_iter();
        all.flat_map(|(name, matrix)| {
            let series = matrix.series.into_iter();
            series.map(move |one| (name.clone(), one.labels.to_string(), one.samples))
        })
        .collect()
    }

    #[test]
    fn what_prometheus_parse_loses_is_read() {
        let cases = [
            ("job:a:rate5m{x=\"1\"} 1 60", "job:a:rate5m", r#"{x="1"}"#),
            ("a{} 1 60", "a", "{}"),
            ("a {b=\"c\"} 1 60", "a", r#"{b="c"}"#),
            ("a{b=\"c\"}1 60", "a", r#"{b="c"}"#),
            ("a{b=\"x}y,z=w\"} 1 60", "a", r#"{b="x}y,z=w"}"#),
            ("a{ b = \"c\" , } 1 60", "a", r#"{b="c"}"#),
            ("a{b=\"\\\"\\\\\\n\"} 1 60", "a", r#"{b="\"\\\n"}"#),
            (
                "{\"http.dur\",code=\"200\"} 1 60",
                "http.dur",
                r#"{code="200"}"#,
            ),
            ("a{\"b.c\"=\"d\"} 1 60", "a", r#"{b.c="d"}"#),
            ("a_total 1 60.000 # {trace=\"x\"} 0.5 59", "a_total", "{}"),
            ("\ta 1e0\t60  ", "a", "{}"),
        ];
        for (line, name, labels) in cases {
            let expected = (name.to_owned(), labels.to_owned(), vec![(60_000, 1.0)]);
            assert_eq!(flat(line), [expected], "{line}");
        }
    }

    #[test]
    fn times_are_seconds_or_milliseconds_and_comments_are_passed_over() {
        let text = "# TYPE a gauge\n\na 1 1700000040\na 2 1700000100.000\na 3 1700000160000\na NaN 1700000220\n# EOF\n";
        let at = |index: i64| 1_700_000_040_000 + index * 60_000;
        let expected = vec![(at(0), 1.0), (at(1), 2.0), (at(2), 3.0)];
        assert_eq!(
            flat(text),
            [(String::from("a"), String::from("{}"), expected)]
        );
        assert_eq!(read(text).unwrap()[0].1.rejected, 1);
    }

    #[test]
    fn errors_name_the_line() {
        let cases = [
            ("a 1\n", "line 1: has no time"),
            ("a 1 # {x=\"y\"} 1\n", "line 1: has no time"),
            ("a 1 60\nb{c=\"d} 1 60\n", "line 2: a quote is not closed"),
            ("a one 60\n", "line 1: \"one\" is no number"),
            ("a 1 noon\n", "line 1: \"noon\" is no time"),
            ("a 1 60 70\n", "line 1: the end of the line is wanted"),
            ("a{b} 1 60\n", "line 1: = is wanted at \"} 1 60\""),
            ("a{b=\"c\" d=\"e\"} 1 60\n", "line 1: , or } is wanted"),
            (
                "a{b=\"c\",b=\"d\"} 1 60\n",
                "line 1: label \"b\" appears twice",
            ),
            ("{b=\"c\"} 1 60\n", "line 1: a metric name is wanted"),
            ("1a 1 60\n", "line 1: a metric name is wanted"),
            ("a\n", "line 1: a value is wanted"),
        ];
        for (text, part) in cases {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(part), "{part}: {error}");
        }
        let long = format!("a{{b=\"{}\"}} 1 60\n", "x".repeat(2 << 20));
        assert!(read(&long).unwrap_err().contains("line 1: is longer than"));
    }

    proptest! {
        /// prometheus-parse judges where it is right: plain names, milliseconds, no special letters.
        #[test]
        fn agrees_with_prometheus_parse(
            rows in prop::collection::btree_map(
                ("[a-z][a-z_]{0,5}", prop::collection::btree_map("[a-z]{1,4}", "[a-zA-Z0-9 ./-]{1,6}", 1..4)),
                (any::<i32>(), 1_700_000_000_000_i64..1_700_100_000_000),
                1..20,
            ),
        ) {
            let mut text = String::new();
            for ((name, labels), (value, at)) in &rows {
                let labels: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
                text += &format!("{name}{{{}}} {value} {at}\n", labels.join(","));
            }
            let lines = text.lines().map(|line| Ok(line.to_owned()));
            let judge = prometheus_parse::Scrape::parse(lines).unwrap();
            let mut expected: Vec<(String, BTreeMap<String, String>, f64, i64)> = judge
                .samples
                .into_iter()
                .map(|sample| {
                    let prometheus_parse::Value::Untyped(value) = sample.value else {
                        panic!("no types were given")
                    };
                    let labels: &std::collections::HashMap<String, String> = &sample.labels;
                    let labels = labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
                    (sample.metric, labels, value, sample.timestamp.timestamp_millis())
                })
                .collect();
            let mut got: Vec<(String, BTreeMap<String, String>, f64, i64)> = text
                .lines()
                .map(|line| {
                    let sample = sample(line).unwrap();
                    let labels = sample.labels.into_iter();
                    let labels = labels.map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
                    (sample.name.into_owned(), labels, sample.value, sample.at.unwrap())
                })
                .collect();
            expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
            got.sort_by(|a, b| a.partial_cmp(b).unwrap());
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn any_text_never_panics(text in "\\PC{0,60}|[a{}=\"\\\\,# 0-9.]{0,40}") {
            drop(read(&text));
        }
    }
}
