//! One metric of a family: its labels, and the rows that text would have of it.

use super::family::Kind;
use crate::{
    expo::{
        escape,
        parse::Limits,
        wire::{
            cursor::{Cursor, Field, Message, Texts},
            error::{Problem, Scanned, fault},
            label::label,
        },
    },
    series::Millis,
};

const LABEL: Field = Field::bytes(1, "Metric.label");
const GAUGE: Field = Field::bytes(2, "Metric.gauge");
const COUNTER: Field = Field::bytes(3, "Metric.counter");
const SUMMARY: Field = Field::bytes(4, "Metric.summary");
const UNTYPED: Field = Field::bytes(5, "Metric.untyped");
const TIMESTAMP: Field = Field::varint(6, "Metric.timestamp_ms");
const HISTOGRAM: Field = Field::bytes(7, "Metric.histogram");
const METRIC: Message = Message {
    name: "Metric",
    fields: &[
        LABEL, GAUGE, COUNTER, SUMMARY, UNTYPED, TIMESTAMP, HISTOGRAM,
    ],
};

/// Counters, gauges and untyped metrics have their value in the same place.
const VALUE: Field = Field::double(1, "the value of a Counter, Gauge or Untyped");
const SIMPLE: Message = Message {
    name: "Counter, Gauge or Untyped",
    fields: &[VALUE],
};

const COUNT: Field = Field::varint(1, "the sample_count of a Summary or Histogram");
const SUM: Field = Field::double(2, "the sample_sum of a Summary or Histogram");
const QUANTILES: Field = Field::bytes(3, "Summary.quantile");
const SUMMARY_MESSAGE: Message = Message {
    name: "Summary",
    fields: &[COUNT, SUM, QUANTILES],
};

const QUANTILE: Field = Field::double(1, "Quantile.quantile");
const QUANTILE_VALUE: Field = Field::double(2, "Quantile.value");
const QUANTILE_MESSAGE: Message = Message {
    name: "Quantile",
    fields: &[QUANTILE, QUANTILE_VALUE],
};

const BUCKETS: Field = Field::bytes(3, "Histogram.bucket");
const COUNT_FLOAT: Field = Field::double(4, "Histogram.sample_count_float");
const HISTOGRAM_MESSAGE: Message = Message {
    name: "Histogram",
    fields: &[COUNT, SUM, BUCKETS, COUNT_FLOAT],
};
/// The fields of a histogram's native buckets, from `schema` to `positive_count`.
const NATIVE: std::ops::RangeInclusive<u32> = 5..=14;

const CUMULATIVE: Field = Field::varint(1, "Bucket.cumulative_count");
const UPPER_BOUND: Field = Field::double(2, "Bucket.upper_bound");
const CUMULATIVE_FLOAT: Field = Field::double(4, "Bucket.cumulative_count_float");
const BUCKET: Message = Message {
    name: "Bucket",
    fields: &[CUMULATIVE, UPPER_BOUND, CUMULATIVE_FLOAT],
};

/// One sample: what it has beyond its metric.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    /// Of the name.
    pub(super) suffix: &'static str,
    /// `le` or `quantile`.
    pub(super) bound: Option<(&'static str, f64)>,
    pub(super) value: f64,
}

/// A metric, in room that the one before it had.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    pub(super) labels: Vec<(&'a str, &'a str)>,
    /// The labels as text has them between braces.
    pub(super) rendered: String,
    pub(super) at: Option<Millis>,
    pub(super) rows: Vec<Row>,
    /// It has native buckets.
    pub(super) native: bool,
}

impl<'a> Metric<'a> {
    /// Reads a metric of a family of this kind. Of more labels or rows than `limits` allow it keeps a few more, which
    /// the caller then refuses.
    pub(super) fn read(
        &mut self,
        mut message: Cursor<'a>,
        kind: Kind,
        limits: &Limits,
    ) -> Scanned<()> {
        let start = message.at();
        self.labels.clear();
        self.rows.clear();
        self.at = None;
        self.native = false;
        let wanted = value_of(kind);
        let mut value = None;
        let mut texts = Texts::default();
        while let Some(tag) = message.tag(&METRIC)? {
            if tag == LABEL.tag {
                match label(&mut message, LABEL, &mut texts)? {
                    Some(_) if self.labels.len() > limits.labels => {}
                    Some(pair) => self.labels.push(pair),
                    None => return fault(message.at(), LABEL.name, Problem::NotUtf8),
                }
            } else if tag == wanted.tag {
                value = Some(message.message(wanted.name)?);
            } else if tag == TIMESTAMP.tag {
                let at = message.varint(TIMESTAMP.name)?.cast_signed();
                // As Prometheus has it, for which zero and none were the same for long.
                self.at = (at != 0).then_some(at);
            } else if [COUNTER, GAUGE, UNTYPED, SUMMARY, HISTOGRAM]
                .iter()
                .any(|field| field.tag == tag)
            {
                message.bytes(METRIC.name)?;
            } else {
                message.skip(tag, &METRIC)?;
            }
        }
        let Some(value) = value else {
            return fault(start, wanted.name, Problem::NoValue(wanted.name));
        };
        match kind {
            Kind::Counter | Kind::Gauge | Kind::Untyped => self.simple(value),
            Kind::Summary => self.summary(value, limits.samples),
            Kind::Histogram | Kind::GaugeHistogram => self.histogram(value, limits.samples),
        }
    }

    /// Writes the labels, once for all rows.
    pub(super) fn render(&mut self) {
        let text = &mut self.rendered;
        text.clear();
        for (place, (name, value)) in self.labels.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            if escape::is_legacy_label(name) {
                text.push_str(name);
            } else {
                text.push('"');
                escape::push_quoted(text, name);
                text.push('"');
            }
            text.push_str("=\"");
            escape::push_quoted(text, value);
            text.push('"');
        }
    }

    fn push(&mut self, suffix: &'static str, bound: Option<(&'static str, f64)>, value: f64) {
        self.rows.push(Row {
            suffix,
            bound,
            value,
        });
    }

    fn simple(&mut self, mut message: Cursor<'a>) -> Scanned<()> {
        let mut value = 0.0;
        while let Some(tag) = message.tag(&SIMPLE)? {
            if tag == VALUE.tag {
                value = message.double(VALUE.name)?;
            } else {
                message.skip(tag, &SIMPLE)?;
            }
        }
        self.push("", None, value);
        Ok(())
    }

    fn summary(&mut self, mut message: Cursor<'a>, most: usize) -> Scanned<()> {
        let (mut count, mut sum) = (0, 0.0);
        while let Some(tag) = message.tag(&SUMMARY_MESSAGE)? {
            if tag == COUNT.tag {
                count = message.varint(COUNT.name)?;
            } else if tag == SUM.tag {
                sum = message.double(SUM.name)?;
            } else if tag == QUANTILES.tag {
                let (quantile, value) = quantile(message.message(QUANTILES.name)?)?;
                if self.rows.len() <= most {
                    self.push("", Some(("quantile", quantile)), value);
                }
            } else {
                message.skip(tag, &SUMMARY_MESSAGE)?;
            }
        }
        self.push("_sum", None, sum);
        self.push("_count", None, count as f64);
        Ok(())
    }

    fn histogram(&mut self, mut message: Cursor<'a>, most: usize) -> Scanned<()> {
        let (mut count, mut count_float, mut sum) = (0, 0.0, 0.0);
        while let Some(tag) = message.tag(&HISTOGRAM_MESSAGE)? {
            if tag == BUCKETS.tag {
                let (bound, value) = bucket(message.message(BUCKETS.name)?)?;
                if self.rows.len() <= most {
                    self.push("_bucket", Some(("le", bound)), value);
                }
            } else if tag == COUNT.tag {
                count = message.varint(COUNT.name)?;
            } else if tag == SUM.tag {
                sum = message.double(SUM.name)?;
            } else if tag == COUNT_FLOAT.tag {
                count_float = message.double(COUNT_FLOAT.name)?;
            } else {
                self.native |= NATIVE.contains(&(tag >> 3));
                message.skip(tag, &HISTOGRAM_MESSAGE)?;
            }
        }
        let count = either(count, count_float);
        let is_last = |row: &Row| row.bound == Some(("le", f64::INFINITY));
        if !self.rows.iter().any(is_last) {
            self.push("_bucket", Some(("le", f64::INFINITY)), count);
        }
        self.push("_sum", None, sum);
        self.push("_count", None, count);
        Ok(())
    }
}

/// Where a metric of a family of this kind has its value.
const fn value_of(kind: Kind) -> Field {
    match kind {
        Kind::Counter => COUNTER,
        Kind::Gauge => GAUGE,
        Kind::Summary => SUMMARY,
        Kind::Untyped => UNTYPED,
        Kind::Histogram | Kind::GaugeHistogram => HISTOGRAM,
    }
}

fn quantile(mut message: Cursor<'_>) -> Scanned<(f64, f64)> {
    let (mut quantile, mut value) = (0.0, 0.0);
    while let Some(tag) = message.tag(&QUANTILE_MESSAGE)? {
        if tag == QUANTILE.tag {
            quantile = message.double(QUANTILE.name)?;
        } else if tag == QUANTILE_VALUE.tag {
            value = message.double(QUANTILE_VALUE.name)?;
        } else {
            message.skip(tag, &QUANTILE_MESSAGE)?;
        }
    }
    Ok((quantile, value))
}

fn bucket(mut message: Cursor<'_>) -> Scanned<(f64, f64)> {
    let (mut bound, mut count, mut count_float) = (0.0, 0, 0.0);
    while let Some(tag) = message.tag(&BUCKET)? {
        if tag == CUMULATIVE.tag {
            count = message.varint(CUMULATIVE.name)?;
        } else if tag == UPPER_BOUND.tag {
            bound = message.double(UPPER_BOUND.name)?;
        } else if tag == CUMULATIVE_FLOAT.tag {
            count_float = message.double(CUMULATIVE_FLOAT.name)?;
        } else {
            message.skip(tag, &BUCKET)?;
        }
    }
    Ok((bound, either(count, count_float)))
}

/// A count that may be no whole number has a field of its own, and the other is zero.
fn either(count: u64, count_float: f64) -> f64 {
    match count_float == 0.0 {
        true => count as f64,
        false => count_float,
    }
}
