//! Remote write 2.0: `io.prometheus.write.v2.Request`.

use super::{Found, Metadata, Point, Reason, Scratch, Version, v1::metric_type};
use crate::{
    expo::{
        parse::MetricType,
        wire::{
            cursor::{Cursor, Field, Message, Texts},
            error::{Problem, Scanned, fault},
        },
    },
    series::Millis,
};

const SYMBOLS: Field = Field::bytes(4, "Request.symbols");
const TIMESERIES: Field = Field::bytes(5, "Request.timeseries");
const REQUEST: Message = Message {
    name: "Request",
    fields: &[SYMBOLS, TIMESERIES],
};

const LABELS: Field = Field::bytes(1, "TimeSeries.labels_refs");
/// Numbers may stand one after the other, or each with its field.
const LABEL: Field = Field::varint(1, "TimeSeries.labels_refs");
const SAMPLES: Field = Field::bytes(2, "TimeSeries.samples");
const HISTOGRAMS: Field = Field::bytes(3, "TimeSeries.histograms");
const EXEMPLARS: Field = Field::bytes(4, "TimeSeries.exemplars");
const METADATA: Field = Field::bytes(5, "TimeSeries.metadata");
const CREATED: Field = Field::varint(6, "TimeSeries.created_timestamp");
const SERIES: Message = Message {
    name: "TimeSeries",
    fields: &[LABELS, SAMPLES, HISTOGRAMS, EXEMPLARS, METADATA, CREATED],
};

const VALUE: Field = Field::double(1, "Sample.value");
const TIMESTAMP: Field = Field::varint(2, "Sample.timestamp");
/// Later editions have the start here instead of in the series.
const START: Field = Field::varint(3, "Sample.start_timestamp");
const SAMPLE: Message = Message {
    name: "Sample",
    fields: &[VALUE, TIMESTAMP, START],
};

const KIND: Field = Field::varint(1, "Metadata.type");
const HELP: Field = Field::varint(3, "Metadata.help_ref");
const UNIT: Field = Field::varint(4, "Metadata.unit_ref");
const METADATA_MESSAGE: Message = Message {
    name: "Metadata",
    fields: &[KIND, HELP, UNIT],
};

/// The fields of 1.0, which this version has not.
const OTHER: std::ops::RangeInclusive<u32> = 1..=3;

/// The symbols of a request.
type Symbols<'a> = [Option<&'a str>];

/// Reads the symbols of a whole request, which may stand behind the series that name them.
pub(super) fn symbols(mut cursor: Cursor<'_>, limit: usize) -> Scanned<Vec<Option<&str>>> {
    let mut symbols = Vec::new();
    let mut texts = Texts::default();
    while let Some(tag) = cursor.tag(&REQUEST)? {
        if tag == SYMBOLS.tag {
            texts.look(&cursor, SYMBOLS.tag);
            let bytes = cursor.bytes(SYMBOLS.name)?;
            if symbols.len() == limit {
                return fault(cursor.at(), SYMBOLS.name, Problem::TooManySymbols { limit });
            }
            symbols.push(texts.cut(cursor.at() - bytes.len(), bytes));
        } else if tag == TIMESERIES.tag {
            cursor.bytes(TIMESERIES.name)?;
        } else if OTHER.contains(&(tag >> 3)) {
            let problem = Problem::OtherVersion {
                expected: Version::V2.as_str(),
                found: Version::V1.as_str(),
            };
            return fault(cursor.at(), REQUEST.name, problem);
        } else {
            cursor.skip(tag, &REQUEST)?;
        }
    }
    Ok(symbols)
}

/// The next series of a request.
pub(super) fn step<'a>(
    cursor: &mut Cursor<'a>,
    symbols: &Symbols<'a>,
    scratch: &mut Scratch<'a>,
) -> Scanned<Option<Found<'a>>> {
    while let Some(tag) = cursor.tag(&REQUEST)? {
        if tag == TIMESERIES.tag {
            series(cursor.message(TIMESERIES.name)?, symbols, scratch)?;
            return Ok(Some(Found::Series));
        } else if tag == SYMBOLS.tag {
            cursor.bytes(SYMBOLS.name)?;
        } else {
            cursor.skip(tag, &REQUEST)?;
        }
    }
    Ok(None)
}

fn series<'a>(
    mut message: Cursor<'a>,
    symbols: &Symbols<'a>,
    scratch: &mut Scratch<'a>,
) -> Scanned<()> {
    scratch.clear();
    let mut labels = References::default();
    let (mut created, mut started) = (None, None);
    let mut about = About::default();
    while let Some(tag) = message.tag(&SERIES)? {
        if tag == LABELS.tag {
            let mut references = message.message(LABELS.name)?;
            while !references.rest().is_empty() {
                labels.push(references.varint32(LABELS.name)?, symbols, scratch);
            }
        } else if tag == SAMPLES.tag {
            let (point, start) = sample(message.message(SAMPLES.name)?)?;
            started = start.or(started);
            scratch.push_point(point);
        } else if tag == METADATA.tag {
            about.read(message.message(METADATA.name)?)?;
        } else if tag == CREATED.tag {
            created = time(message.varint(CREATED.name)?);
        } else if tag == HISTOGRAMS.tag {
            message.bytes(HISTOGRAMS.name)?;
            scratch.histograms += 1;
        } else if tag == EXEMPLARS.tag {
            message.bytes(EXEMPLARS.name)?;
            scratch.exemplars += 1;
        } else if tag == LABEL.tag {
            labels.push(message.varint32(LABEL.name)?, symbols, scratch);
        } else {
            message.skip(tag, &SERIES)?;
        }
    }
    scratch.created = created.or(started);
    scratch.metadata = about.resolve(symbols, scratch);
    if labels.name.is_some() {
        scratch.refuse(Reason::OddSymbols);
    }
    Ok(())
}

/// Symbols become labels two by two.
#[derive(Default)]
struct References<'a> {
    /// A name that still has no value; none inside where there is no such symbol.
    name: Option<Option<&'a str>>,
}

impl<'a> References<'a> {
    #[inline]
    fn push(&mut self, reference: u32, symbols: &Symbols<'a>, scratch: &mut Scratch<'a>) {
        let symbol = symbol(reference, symbols, scratch);
        match self.name.take() {
            None => self.name = Some(symbol),
            Some(name) => {
                if let (Some(name), Some(value)) = (name, symbol) {
                    scratch.push_label(name, value);
                }
            }
        }
    }
}

/// The text of a symbol; the series is refused where there is none.
#[inline]
fn symbol<'a>(reference: u32, symbols: &Symbols<'a>, scratch: &mut Scratch<'a>) -> Option<&'a str> {
    let place = usize::try_from(reference).ok();
    match place.and_then(|place| symbols.get(place)) {
        Some(&Some(text)) => Some(text),
        Some(None) => {
            scratch.refuse(Reason::NotUtf8);
            None
        }
        None => {
            let symbols = symbols.len();
            scratch.refuse(Reason::NoSymbol { reference, symbols });
            None
        }
    }
}

#[inline]
fn sample(mut message: Cursor<'_>) -> Scanned<(Point, Option<Millis>)> {
    let mut point = Point { at: 0, value: 0.0 };
    let mut start = None;
    while let Some(tag) = message.tag(&SAMPLE)? {
        if tag == VALUE.tag {
            point.value = message.double(VALUE.name)?;
        } else if tag == TIMESTAMP.tag {
            point.at = message.varint(TIMESTAMP.name)?.cast_signed();
        } else if tag == START.tag {
            start = time(message.varint(START.name)?);
        } else {
            message.skip(tag, &SAMPLE)?;
        }
    }
    Ok((point, start))
}

/// Zero means that there is none, in this version.
fn time(number: u64) -> Option<Millis> {
    (number != 0).then(|| number.cast_signed())
}

/// What is known of a metric, in numbers of symbols.
#[derive(Clone, Copy, Default)]
struct About {
    kind: u32,
    help: u32,
    unit: u32,
}

impl About {
    /// Reads on where the message stands a second time, as protobuf has it.
    fn read(&mut self, mut message: Cursor<'_>) -> Scanned<()> {
        while let Some(tag) = message.tag(&METADATA_MESSAGE)? {
            if tag == KIND.tag {
                self.kind = message.varint32(KIND.name)?;
            } else if tag == HELP.tag {
                self.help = message.varint32(HELP.name)?;
            } else if tag == UNIT.tag {
                self.unit = message.varint32(UNIT.name)?;
            } else {
                message.skip(tag, &METADATA_MESSAGE)?;
            }
        }
        Ok(())
    }

    fn resolve<'a>(self, symbols: &Symbols<'a>, scratch: &mut Scratch<'a>) -> Option<Metadata<'a>> {
        let kind = metric_type(self.kind);
        let [help, unit] = [self.help, self.unit].map(|reference| match reference {
            // The empty symbol, and what is meant where there is no number.
            0 => "",
            _ => symbol(reference, symbols, scratch).unwrap_or_default(),
        });
        let known = kind != MetricType::Unknown || !help.is_empty() || !unit.is_empty();
        known.then_some(Metadata { kind, help, unit })
    }
}
