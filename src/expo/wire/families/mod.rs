//! Reads what targets answer with where they are asked for protobuf: `io.prometheus.client.MetricFamily`, each with its length in
//! front.
//!
//! [`Families`] gives the same [`Event`]s as the [parser of the text formats](crate::expo::parse) and keeps the same
//! [`Limits`], so that a scrape reads both in one way (see [`Body`](super::Body)). A sample is what the text of the same target would
//! give: the same name, the same labels in the same order, `le` and `quantile` written as the libraries for Go write
//! them in text (`1`, `1e+06`, `+Inf`), and the same [`Sample::series`]. So a series stays itself when a target is read
//! in another format. Prometheus 3 writes `1.0` in both.
//!
//! It takes what the parser of Prometheus takes (`model/textparse/protobufparse.go`). It differs on purpose:
//!
//! * a metric without the message of its family's type is refused, where Prometheus reads a zero that nobody sent;
//! * names with NUL bytes are refused, as in text;
//! * of a native histogram, what text has of it is given: its classic buckets, `+Inf`, `_sum` and `_count`. Its own
//!   buckets are counted ([`Families::natives`]) and not read.
//!
//! Where a message field that may stand once stands twice, the last counts. Exemplars and times of creation are
//! passed over. Labels that come twice are left to the reader, as in text.
//!
//! Source: `io/prometheus/client/metrics.proto` of prometheus/client_model.

mod family;
mod metric;
mod number;

use super::{
    cursor::{Cursor, Field, Message},
    error::{Problem, Scanned, WireError, fault},
};
use crate::expo::{
    escape,
    parse::{Event, LabelPairs, Limits, Sample},
};
use family::Family;
use metric::{Metric, Row};
use std::{borrow::Cow, fmt};

/// The `Content-Type` of such a body, and what is written in `Accept` to get one.
pub const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

const FAMILY: Field = Field::bytes(1, "MetricFamily");
const METRIC: Field = Field::bytes(4, "MetricFamily.metric");
const METRIC_FAMILY: Message = Message {
    name: "MetricFamily",
    fields: &[
        Field::bytes(1, "MetricFamily.name"),
        Field::bytes(2, "MetricFamily.help"),
        Field::varint(3, "MetricFamily.type"),
        METRIC,
        Field::bytes(5, "MetricFamily.unit"),
    ],
};

/// Whether a body with this `Content-Type` is one. Prometheus knows no other encoding than this.
pub fn is_families(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let mut said = [None, None];
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = Some(value.trim().trim_matches('"'));
        match name.trim() {
            name if name.eq_ignore_ascii_case("proto") => said[0] = value,
            name if name.eq_ignore_ascii_case("encoding") => said[1] = value,
            _ => {}
        }
    }
    media.eq_ignore_ascii_case("application/vnd.google.protobuf")
        && said == [Some("io.prometheus.client.MetricFamily"), Some("delimited")]
}

/// Goes over a body. Ends after the first error.
pub struct Families<'a> {
    cursor: Cursor<'a>,
    limits: Limits,
    family: Family<'a>,
    /// The metrics of the family that are still to come.
    metrics: Cursor<'a>,
    metric: Metric<'a>,
    /// How many rows of the metric were given.
    given: usize,
    header: Header,
    samples: usize,
    natives: usize,
    /// Name and labels of the sample that is being given.
    text: String,
    ended: bool,
}

/// What of a family comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Help,
    Type,
    Unit,
    Done,
}

/// What a step has found.
enum Found {
    Help,
    Type,
    Unit,
    Row,
}

impl<'a> Families<'a> {
    /// Over `body`, which is not compressed any more.
    pub fn new(body: &'a [u8], limits: Limits) -> Self {
        Self {
            cursor: Cursor::new(body),
            limits,
            family: Family::default(),
            metrics: Cursor::new(b""),
            metric: Metric::default(),
            given: 0,
            header: Header::Done,
            samples: 0,
            natives: 0,
            text: String::new(),
            ended: false,
        }
    }

    /// What comes next; none at the end and after an error. Not an iterator: a sample has its text in the reader,
    /// until the next one.
    pub fn next_event(&mut self) -> Option<Result<Event<'_>, WireError>> {
        if self.ended {
            return None;
        }
        match self.step() {
            Ok(Some(found)) => Some(Ok(self.event(&found))),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(*error))
            }
        }
    }

    /// Native histograms so far, whose own buckets were not read.
    pub const fn natives(&self) -> usize {
        self.natives
    }

    fn step(&mut self) -> Scanned<Option<Found>> {
        loop {
            match self.header {
                Header::Help => {
                    self.header = Header::Type;
                    if self.family.help.is_some() {
                        return Ok(Some(Found::Help));
                    }
                }
                Header::Type => {
                    self.header = Header::Unit;
                    return Ok(Some(Found::Type));
                }
                Header::Unit => {
                    self.header = Header::Done;
                    if !self.family.unit.is_empty() {
                        return Ok(Some(Found::Unit));
                    }
                }
                Header::Done if self.given < self.metric.rows.len() => {
                    self.given += 1;
                    return Ok(Some(Found::Row));
                }
                Header::Done => {
                    if !self.next_metric()? && !self.next_family()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Goes on to the next family that has metrics; false at the end of the body.
    fn next_family(&mut self) -> Scanned<bool> {
        while !self.cursor.rest().is_empty() {
            let message = self.cursor.message(FAMILY.name)?;
            let (family, metrics) = Family::read(message)?;
            if metrics > 0 {
                self.check_name(family.name, message.at())?;
                self.family = family;
                self.metrics = message;
                self.header = Header::Help;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes on to the next metric of the family; false at its end.
    fn next_metric(&mut self) -> Scanned<bool> {
        self.given = 0;
        self.metric.rows.clear();
        while let Some(tag) = self.metrics.tag(&METRIC_FAMILY)? {
            if tag != METRIC.tag {
                self.family.pass(tag, &mut self.metrics)?;
                continue;
            }
            let message = self.metrics.message(METRIC.name)?;
            let left = Limits {
                samples: self.limits.samples - self.samples,
                ..self.limits
            };
            self.metric.read(message, self.family.kind, &left)?;
            self.samples += self.metric.rows.len();
            if self.samples > self.limits.samples {
                let limit = self.limits.samples;
                return fault(message.at(), METRIC.name, Problem::TooManySamples { limit });
            }
            self.natives += usize::from(self.metric.native);
            self.check_labels(message.at())?;
            self.metric.render();
            return Ok(true);
        }
        Ok(false)
    }

    fn check_labels(&self, at: usize) -> Scanned<()> {
        let of_rows = self.metric.rows.iter().any(|row| row.bound.is_some());
        let limit = self.limits.labels;
        if self.metric.labels.len() + usize::from(of_rows) > limit {
            return fault(at, "Metric.label", Problem::TooManyLabels { limit });
        }
        for (name, value) in &self.metric.labels {
            self.check_name(name, at)?;
            let (length, limit) = (value.len(), self.limits.value_bytes);
            if length > limit {
                return fault(at, "Label.value", Problem::ValueTooLong { length, limit });
            }
        }
        Ok(())
    }

    fn check_name(&self, name: &str, at: usize) -> Scanned<()> {
        let (length, limit) = (name.len(), self.limits.name_bytes);
        let problem = if name.is_empty() {
            Problem::EmptyName
        } else if name.contains('\0') {
            Problem::NulInName
        } else if length > limit {
            Problem::NameTooLong { length, limit }
        } else {
            return Ok(());
        };
        fault(at, "the name of a metric or a label", problem)
    }

    fn event(&mut self, found: &Found) -> Event<'_> {
        let name = Cow::Borrowed(self.family.name);
        match found {
            Found::Help => Event::Help {
                name,
                text: Cow::Borrowed(self.family.help.unwrap_or_default()),
            },
            Found::Type => Event::Type {
                name,
                kind: self.family.kind.metric_type(),
            },
            Found::Unit => Event::Unit {
                name,
                unit: self.family.unit,
            },
            Found::Row => Event::Sample(self.sample()),
        }
    }

    /// The row that was given last.
    fn sample(&mut self) -> Sample<'_> {
        let place = self.given.saturating_sub(1);
        let row = self.metric.rows.get(place).copied().unwrap_or_default();
        let labels = self.metric.labels.len() + usize::from(row.bound.is_some());
        let inside = self.write(&row);
        let name = match self.family.legacy {
            true => {
                let length = self.family.name.len() + row.suffix.len();
                Cow::Borrowed(self.text.get(..length).unwrap_or_default())
            }
            false => Cow::Owned(format!("{}{}", self.family.name, row.suffix)),
        };
        Sample {
            name,
            series: &self.text,
            labels: LabelPairs::of_written(&self.text, inside, labels),
            value: if row.value.is_nan() {
                f64::NAN
            } else {
                row.value
            },
            at: self.metric.at,
        }
    }

    /// Writes name and labels as text has them, and says where the labels begin.
    fn write(&mut self, row: &Row) -> usize {
        let text = &mut self.text;
        text.clear();
        let mut open = "{";
        if self.family.legacy {
            text.push_str(self.family.name);
            text.push_str(row.suffix);
        } else {
            text.push_str("{\"");
            escape::push_quoted(text, self.family.name);
            text.push_str(row.suffix);
            text.push('"');
            open = ",";
        }
        let inside = match self.family.legacy {
            true => text.len() + open.len(),
            false => open.len(),
        };
        let mut braces = !self.family.legacy;
        if !self.metric.rendered.is_empty() {
            text.push_str(open);
            text.push_str(&self.metric.rendered);
            (open, braces) = (",", true);
        }
        if let Some((label, bound)) = row.bound {
            text.push_str(open);
            text.push_str(label);
            text.push_str("=\"");
            number::push(text, bound);
            text.push('"');
            braces = true;
        }
        if braces {
            text.push('}');
        }
        inside
    }
}

/// Without the body, which may be long.
impl fmt::Debug for Families<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Families")
            .field("at", &self.cursor.at())
            .field("samples", &self.samples)
            .finish_non_exhaustive()
    }
}
