//! Reads the text formats: Prometheus 0.0.4 (and 1.0.0, which only adds quoted names) and OpenMetrics 1.0.
//!
//! A [`Parser`] goes over the bytes of a body once and gives one [`Event`] per line that means something,
//! borrowed from the body; labels are read when they are asked for. It takes what the parser of Prometheus
//! takes (`model/textparse` of 3.x), with the same values, and refuses what that refuses: a target is scraped
//! by both, and must not be well for one and ill for the other. Like that parser it stops at the first
//! fault, since after it nothing is certain. It differs on purpose where Prometheus misreads:
//!
//! * blanks in front of a name are passed over, as the description of the format says. For Prometheus 3 they
//!   are part of the name, which Prometheus 2 then refuses;
//! * a NUL byte outside of label values, help texts and comments is refused. Prometheus takes one at the
//!   start of a line for the end of the body, and says nothing of what it leaves out;
//! * names must be UTF-8 and not empty, which Prometheus checks after parsing;
//! * names in the `# TYPE`, `# HELP` and `# UNIT` lines have their escapes undone, as those of samples have.
//!
//! What a reader must check itself: labels given twice (see [`LabelPairs`]), and the bytes of the body. Which
//! series belong to which family is its business too: samples are given as they stand, where Prometheus 3
//! makes `le="1"` of a histogram `le="1.0"`.

mod comment;
mod cursor;
mod error;
mod labels;
mod number;
#[cfg(test)]
mod tests;

pub use error::{Found, ParseError, Problem};
pub use labels::LabelPairs;

use crate::series::Millis;
use comment::Comment;
use cursor::{Cursor, Raw};
use error::{Fault, Scanned, fault};
use labels::{Item, Owner};
use std::{borrow::Cow, fmt, iter::FusedIterator};

/// Which rules a body keeps. Its `Content-Type` says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `text/plain`: times in milliseconds, blanks and comments anywhere.
    Text,
    /// `application/openmetrics-text`: times in seconds, exemplars, single spaces, and a last line `# EOF`.
    OpenMetrics,
}

/// The most that is taken from a body. Each is inclusive; exceeding one is an error of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Samples of a body.
    pub samples: usize,
    /// Labels of a sample, without the metric's name.
    pub labels: usize,
    /// Bytes of the name of a metric or a label.
    pub name_bytes: usize,
    /// Bytes of the value of a label.
    pub value_bytes: usize,
}

impl Limits {
    /// No limits but those of the body itself.
    pub const NONE: Self = Self {
        samples: usize::MAX,
        labels: usize::MAX,
        name_bytes: usize::MAX,
        value_bytes: usize::MAX,
    };
}

/// The type of a family, as Prometheus names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets that go up and down.
    GaugeHistogram,
    /// Buckets that only go up.
    Histogram,
    /// Labels are what it says; its value is 1.
    Info,
    /// One of several states is 1.
    StateSet,
    /// Quantiles.
    Summary,
    /// Nobody knows (`untyped` in text 0.0.4).
    Unknown,
}

/// One line that means something.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A sample.
    Sample(Sample<'a>),
    /// `# TYPE`.
    Type {
        /// Of the family.
        name: Cow<'a, str>,
        /// Its type.
        kind: MetricType,
    },
    /// `# HELP`.
    Help {
        /// Of the family.
        name: Cow<'a, str>,
        /// Its help text.
        text: Cow<'a, str>,
    },
    /// `# UNIT`: the end of the name, or empty.
    Unit {
        /// Of the family.
        name: Cow<'a, str>,
        /// Its unit.
        unit: &'a str,
    },
    /// `# EOF`, the end of an OpenMetrics body: it is whole.
    Eof,
}

/// A sample.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    /// The metric's name.
    pub name: Cow<'a, str>,
    /// Name and labels as they stand in the body, which is nearly always as they stood at the last scrape:
    /// a key by which a reader finds the series it knows without reading the labels.
    pub series: &'a str,
    /// Its labels.
    pub labels: LabelPairs<'a>,
    /// Its value. All NaN are [`f64::NAN`], so none is taken for a stale marker.
    pub value: f64,
    /// Its time, where it has one of its own.
    pub at: Option<Millis>,
}

/// Goes over a body. Ends after the first error.
pub struct Parser<'a> {
    body: &'a [u8],
    limits: Limits,
    /// In the piece of `body` that is UTF-8, which is all of it unless there are odd comments.
    cursor: Cursor<'a>,
    /// Where that piece begins, in bytes.
    base: usize,
    samples: usize,
    ended: bool,
}

impl<'a> Parser<'a> {
    /// Over `body`, which is not compressed any more.
    pub fn new(body: &'a [u8], dialect: Dialect, limits: Limits) -> Self {
        Self {
            body,
            limits,
            cursor: piece(body, dialect),
            base: 0,
            samples: 0,
            ended: false,
        }
    }

    fn step(&mut self) -> Scanned<Option<Event<'a>>> {
        loop {
            self.cursor.blanks();
            match self.cursor.peek() {
                Some(b'#') => match self.cursor.comment()? {
                    Comment::Event(event) => return Ok(Some(event)),
                    Comment::Words => self.end_words()?,
                    Comment::Eof => {
                        self.ended = true;
                        return Ok(Some(Event::Eof));
                    }
                },
                Some(b'\n') if self.cursor.dialect == Dialect::Text => self.cursor.at += 1,
                None if self.cursor.dialect == Dialect::Text && self.cursor.is_at_end() => {
                    return Ok(None);
                }
                _ => return self.sample().map(|sample| Some(Event::Sample(sample))),
            }
        }
    }

    /// A comment may hold anything, so what is no UTF-8 in one is passed over up to the end of its line.
    fn end_words(&mut self) -> Scanned<()> {
        let at = self.base + self.cursor.at;
        if self.cursor.at < self.cursor.text.len() || !self.cursor.cut {
            return self.cursor.line_feed("the end of the line");
        }
        let rest = self.body.get(at..).unwrap_or_default();
        let line = memchr::memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
        self.base = at + line;
        let rest = self.body.get(self.base..).unwrap_or_default();
        self.cursor = piece(rest, self.cursor.dialect);
        Ok(())
    }

    fn sample(&mut self) -> Scanned<Sample<'a>> {
        let start = self.cursor.at;
        let bare = self.cursor.metric_name();
        let mut name = bare.map(|text| Raw {
            text,
            escaped: false,
        });
        let mut series = self.cursor.since(start);
        self.cursor.blanks();
        let mut labels = LabelPairs::new(self.cursor, 0);
        if self.cursor.eat(b'{') {
            labels = self.braces(&mut name)?;
            series = self.cursor.since(start);
        } else if bare.is_none() {
            return self.cursor.unexpected(self.line_starts());
        }
        let Some(name) = name else {
            return fault(start, Problem::NoName);
        };
        self.check_name(name, start)?;
        let (value, at) = match self.cursor.dialect {
            Dialect::Text => self.cursor.text_value()?,
            Dialect::OpenMetrics => self.cursor.open_metrics_value()?,
        };
        self.samples += 1;
        if self.samples > self.limits.samples {
            let limit = self.limits.samples;
            return fault(start, Problem::TooManySamples { limit });
        }
        Ok(Sample {
            name: name.plain(),
            series,
            labels,
            value,
            at,
        })
    }

    fn line_starts(&self) -> &'static str {
        match self.cursor.dialect {
            Dialect::Text => "a metric name, `{` or a comment at the start of a line",
            Dialect::OpenMetrics => "a metric name, `{` or `# ` at the start of a line",
        }
    }

    /// Up to the closing brace. `name` is that before the braces, and may come inside them instead.
    fn braces(&mut self, name: &mut Option<Raw<'a>>) -> Scanned<LabelPairs<'a>> {
        let inside = self.cursor;
        let mut count = 0;
        loop {
            let start = self.cursor.at;
            match self.cursor.item(Owner::Series)? {
                Item::Close => return Ok(LabelPairs::new(inside, count)),
                Item::Name(found) if name.is_none() => *name = Some(found),
                Item::Name(found) => {
                    let second = error::excerpt(&found.plain());
                    return fault(start, Problem::NameTwice(second));
                }
                Item::Label(label, value) => {
                    count += 1;
                    if count > self.limits.labels {
                        let limit = self.limits.labels;
                        return fault(start, Problem::TooManyLabels { limit });
                    }
                    self.check_name(label, start)?;
                    self.check_value(value, start)?;
                }
            }
        }
    }

    /// Escapes only ever shorten, so most lengths need not be counted.
    #[inline]
    fn check_name(&self, name: Raw<'a>, at: usize) -> Scanned<()> {
        let limit = self.limits.name_bytes;
        if name.text.len() > limit && name.plain_len() > limit {
            let length = name.plain_len();
            return fault(at, Problem::NameTooLong { length, limit });
        }
        Ok(())
    }

    #[inline]
    fn check_value(&self, value: Raw<'a>, at: usize) -> Scanned<()> {
        let limit = self.limits.value_bytes;
        if value.text.len() > limit && value.plain_len() > limit {
            let length = value.plain_len();
            return fault(at, Problem::ValueTooLong { length, limit });
        }
        Ok(())
    }

    #[cold]
    fn error(&mut self, fault: Fault) -> ParseError {
        self.ended = true;
        ParseError::new(self.body, self.base + fault.at, fault.problem)
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Event<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.step() {
            Ok(Some(event)) => Some(Ok(event)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(fault) => Some(Err(self.error(*fault))),
        }
    }
}

impl FusedIterator for Parser<'_> {}

/// Without the body, which may be long.
impl fmt::Debug for Parser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser")
            .field("at", &(self.base + self.cursor.at))
            .field("samples", &self.samples)
            .finish_non_exhaustive()
    }
}

/// A cursor over the first bytes of `body` that are UTF-8. Checking all of them at once is much cheaper than
/// checking each word, and what is cut from a `str` needs no second check.
fn piece(body: &[u8], dialect: Dialect) -> Cursor<'_> {
    let (text, cut) = match std::str::from_utf8(body) {
        Ok(text) => (text, false),
        Err(error) => {
            let valid = body.get(..error.valid_up_to()).unwrap_or_default();
            (std::str::from_utf8(valid).unwrap_or_default(), true)
        }
    };
    Cursor {
        text,
        at: 0,
        dialect,
        cut,
    }
}

impl<'a> Cursor<'a> {
    /// The end of a line of text 0.0.4: value, perhaps a time, line feed.
    fn text_value(&mut self) -> Scanned<(f64, Option<Millis>)> {
        const AFTER_VALUE: &str = "a timestamp in whole milliseconds or the end of the line";
        self.blanks();
        let value = self.value()?;
        self.blanks();
        let digits = self.digits();
        if digits.is_empty() {
            self.line_feed(AFTER_VALUE)?;
            return Ok((value, None));
        }
        let Ok(at) = digits.parse() else {
            return self.no_time(digits, "milliseconds since the epoch that fit in 64 bits");
        };
        self.blanks();
        self.line_feed("the end of the line after the timestamp")?;
        Ok((value, Some(at)))
    }

    /// The end of a line of OpenMetrics: value, perhaps a time, perhaps an exemplar, line feed.
    fn open_metrics_value(&mut self) -> Scanned<(f64, Option<Millis>)> {
        const AFTER_VALUE: &str = "a space, or the end of the line";
        if !self.eat(b' ') {
            return self.unexpected("a space and the value");
        }
        let value = self.value()?;
        let mut at = None;
        if self.peek() == Some(b' ') && !self.exemplar_follows() {
            at = Some(self.seconds()?);
        }
        if self.exemplar_follows() {
            self.exemplar()?;
        }
        self.line_feed(AFTER_VALUE)?;
        Ok((value, at))
    }

    #[inline]
    fn value(&mut self) -> Scanned<f64> {
        let word = self.word();
        match number::float(word) {
            Some(value) => Ok(value),
            None if word.is_empty() => self.unexpected("a value"),
            None => self.no_value(word),
        }
    }

    fn seconds(&mut self) -> Scanned<Millis> {
        self.at += 1;
        let word = self.word();
        match number::seconds(word) {
            Some(at) => Ok(at),
            None if word.is_empty() => self.unexpected("a timestamp or an exemplar"),
            None => self.no_time(word, "seconds since the epoch, or ` # {` for an exemplar"),
        }
    }

    #[inline]
    fn exemplar_follows(&self) -> bool {
        const START: &[u8] = b" # {";
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        rest.starts_with(START)
    }

    /// An exemplar is checked and passed over: nothing here is learnt from single requests.
    fn exemplar(&mut self) -> Scanned<()> {
        self.at += 4; // ` # {`
        while let Item::Label(..) = self.item(Owner::Exemplar)? {}
        if !self.eat(b' ') {
            return self.unexpected("a space and the value of the exemplar");
        }
        self.value()?;
        if self.peek() == Some(b' ') {
            self.seconds()?;
        }
        Ok(())
    }
}
