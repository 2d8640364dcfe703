//! Remote write 1.0: `prometheus.WriteRequest`.

use super::{Found, Metadata, Point, Reason, Scratch, Version};
use crate::expo::{
    parse::MetricType,
    wire::{
        cursor::{Cursor, Field, Message, Texts},
        error::{Problem, Scanned, fault},
        label::label,
    },
};

const TIMESERIES: Field = Field::bytes(1, "WriteRequest.timeseries");
const METADATA: Field = Field::bytes(3, "WriteRequest.metadata");
const WRITE_REQUEST: Message = Message {
    name: "WriteRequest",
    fields: &[TIMESERIES, METADATA],
};

const LABELS: Field = Field::bytes(1, "TimeSeries.labels");
const SAMPLES: Field = Field::bytes(2, "TimeSeries.samples");
const EXEMPLARS: Field = Field::bytes(3, "TimeSeries.exemplars");
const HISTOGRAMS: Field = Field::bytes(4, "TimeSeries.histograms");
const SERIES: Message = Message {
    name: "TimeSeries",
    fields: &[LABELS, SAMPLES, EXEMPLARS, HISTOGRAMS],
};

const VALUE: Field = Field::double(1, "Sample.value");
const TIMESTAMP: Field = Field::varint(2, "Sample.timestamp");
const SAMPLE: Message = Message {
    name: "Sample",
    fields: &[VALUE, TIMESTAMP],
};

const KIND: Field = Field::varint(1, "MetricMetadata.type");
const FAMILY: Field = Field::bytes(2, "MetricMetadata.metric_family_name");
const HELP: Field = Field::bytes(4, "MetricMetadata.help");
const UNIT: Field = Field::bytes(5, "MetricMetadata.unit");
const METRIC_METADATA: Message = Message {
    name: "MetricMetadata",
    fields: &[KIND, FAMILY, HELP, UNIT],
};

/// The fields of 2.0, which this version has not.
const OTHER: [u32; 2] = [4, 5];

/// The next thing of a request.
pub(super) fn step<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
) -> Scanned<Option<Found<'a>>> {
    while let Some(tag) = cursor.tag(&WRITE_REQUEST)? {
        if tag == TIMESERIES.tag {
            series(cursor.message(TIMESERIES.name)?, scratch)?;
            return Ok(Some(Found::Series));
        } else if tag == METADATA.tag {
            let message = cursor.message(METADATA.name)?;
            if let Some((family, metadata)) = metadata(message)? {
                return Ok(Some(Found::Metadata(family, metadata)));
            }
        } else if OTHER.contains(&(tag >> 3)) {
            let problem = Problem::OtherVersion {
                expected: Version::V1.as_str(),
                found: Version::V2.as_str(),
            };
            return fault(cursor.at(), WRITE_REQUEST.name, problem);
        } else {
            cursor.skip(tag, &WRITE_REQUEST)?;
        }
    }
    Ok(None)
}

fn series<'a>(mut message: Cursor<'a>, scratch: &mut Scratch<'a>) -> Scanned<()> {
    scratch.clear();
    let mut texts = Texts::default();
    while let Some(tag) = message.tag(&SERIES)? {
        if tag == LABELS.tag {
            match label(&mut message, LABELS, &mut texts)? {
                Some((name, value)) => scratch.push_label(name, value),
                None => scratch.refuse(Reason::NotUtf8),
            }
        } else if tag == SAMPLES.tag {
            scratch.push_point(sample(message.message(SAMPLES.name)?)?);
        } else if tag == EXEMPLARS.tag {
            message.bytes(EXEMPLARS.name)?;
            scratch.exemplars += 1;
        } else if tag == HISTOGRAMS.tag {
            message.bytes(HISTOGRAMS.name)?;
            scratch.histograms += 1;
        } else {
            message.skip(tag, &SERIES)?;
        }
    }
    Ok(())
}

#[inline]
fn sample(mut message: Cursor<'_>) -> Scanned<Point> {
    let mut point = Point { at: 0, value: 0.0 };
    while let Some(tag) = message.tag(&SAMPLE)? {
        if tag == VALUE.tag {
            point.value = message.double(VALUE.name)?;
        } else if tag == TIMESTAMP.tag {
            point.at = message.varint(TIMESTAMP.name)?.cast_signed();
        } else {
            message.skip(tag, &SAMPLE)?;
        }
    }
    Ok(point)
}

/// None where its texts are not UTF-8 or it has no name.
fn metadata<'a>(mut message: Cursor<'a>) -> Scanned<Option<(&'a str, Metadata<'a>)>> {
    let mut kind = MetricType::Unknown;
    let [mut family, mut help, mut unit] = [&b""[..]; 3];
    while let Some(tag) = message.tag(&METRIC_METADATA)? {
        if tag == KIND.tag {
            kind = metric_type(message.varint32(KIND.name)?);
        } else if tag == FAMILY.tag {
            family = message.bytes(FAMILY.name)?;
        } else if tag == HELP.tag {
            help = message.bytes(HELP.name)?;
        } else if tag == UNIT.tag {
            unit = message.bytes(UNIT.name)?;
        } else {
            message.skip(tag, &METRIC_METADATA)?;
        }
    }
    let [family, help, unit] = [family, help, unit].map(std::str::from_utf8);
    let (Ok(family), Ok(help), Ok(unit)) = (family, help, unit) else {
        return Ok(None);
    };
    let known = !family.is_empty();
    Ok(known.then_some((family, Metadata { kind, help, unit })))
}

/// The same numbers in both versions. Of a type that a later Prometheus may bring nothing is known.
pub(super) fn metric_type(number: u32) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}
