//! Remote write, written: what a sink sends.

use super::{Metadata, Point, Version, labels::NAME, symbols::Symbols};
use crate::{
    expo::{
        parse::MetricType,
        wire::put::{self, bytes_len, varint_len},
    },
    series::Millis,
};
use std::fmt;

/// A field whose number is below 16, of a number, of eight bytes, or of a length and bytes.
const fn varint(number: u8) -> u8 {
    number << 3
}
const fn double(number: u8) -> u8 {
    number << 3 | 1
}
const fn bytes(number: u8) -> u8 {
    number << 3 | 2
}

/// A series to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The metric's name; not empty.
    pub name: &'a str,
    /// Its other labels, sorted by name and none twice, as [`Labels`](crate::series::Labels) has them. A pair without a value
    /// and one with the metric's name are left out.
    pub labels: &'a [(&'a str, &'a str)],
    /// Its samples, sorted by time.
    pub samples: &'a [Point],
    /// What is known of its metric.
    pub metadata: Option<Metadata<'a>>,
    /// When its counter began to count; 1.0 has no place for it, and 2.0 none for zero.
    pub created: Option<Millis>,
}

/// Writes one request after another into the same bytes. Nothing is allocated per series once they have grown.
///
/// The metadata of 1.0, which stands beside the series, is of the metric's name, once where series of the same name follow one another.
pub struct Writer {
    version: Version,
    /// The series. In 1.0 the whole request.
    series: Vec<u8>,
    /// Of 2.0.
    symbols: Symbols,
    /// Numbers of the labels of a series of 2.0.
    references: Vec<u8>,
    /// Of the series before this one, where its metadata was written (1.0).
    described: String,
    count: usize,
    samples: usize,
}

impl Writer {
    /// Of requests of this version.
    pub fn new(version: Version) -> Self {
        Self {
            version,
            series: Vec::new(),
            symbols: Symbols::new(bytes(4)),
            references: Vec::new(),
            described: String::new(),
            count: 0,
            samples: 0,
        }
    }

    /// Appends a series to the request.
    pub fn push(&mut self, series: &Outgoing<'_>) {
        match self.version {
            Version::V1 => self.push_1(series),
            Version::V2 => self.push_2(series),
        }
        self.count += 1;
        self.samples += series.samples.len();
    }

    /// Series in the request so far.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Samples in the request so far.
    pub const fn samples(&self) -> usize {
        self.samples
    }

    /// Bytes of the request so far, not packed.
    pub fn bytes(&self) -> usize {
        self.series.len() + self.symbol_fields().len()
    }

    /// The request, not packed. Goes on where it was until [`Writer::clear`].
    pub fn append_to(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(self.symbol_fields());
        body.extend_from_slice(&self.series);
    }

    /// Begins the next request.
    pub fn clear(&mut self) {
        self.series.clear();
        self.symbols.clear();
        self.described.clear();
        self.count = 0;
        self.samples = 0;
    }

    fn symbol_fields(&self) -> &[u8] {
        match self.version {
            Version::V1 => &[],
            Version::V2 => self.symbols.fields(),
        }
    }

    fn push_1(&mut self, series: &Outgoing<'_>) {
        let label_len =
            |(name, value): (&str, &str)| bytes_len(name.len()) + bytes_len(value.len());
        let labels = pairs(series).map(|pair| bytes_len(label_len(pair)));
        let samples = series
            .samples
            .iter()
            .map(|point| bytes_len(sample_len(point)));
        let length = labels.sum::<usize>() + samples.sum::<usize>();
        let out = &mut self.series;
        put::head(out, bytes(1), length);
        for (name, value) in pairs(series) {
            put::head(out, bytes(1), label_len((name, value)));
            put::bytes(out, bytes(1), name.as_bytes());
            put::bytes(out, bytes(2), value.as_bytes());
        }
        put_samples(out, series.samples);
        if let Some(metadata) = &series.metadata
            && self.described != series.name
        {
            self.described.clear();
            self.described.push_str(series.name);
            put_metadata(out, series.name, metadata);
        }
    }

    fn push_2(&mut self, series: &Outgoing<'_>) {
        self.references.clear();
        for (name, value) in pairs(series) {
            for text in [name, value] {
                let number = self.symbols.number(text);
                put::varint(&mut self.references, number.into());
            }
        }
        let about = series.metadata.map(|metadata| {
            let help = self.symbols.number(metadata.help);
            let unit = self.symbols.number(metadata.unit);
            [kind_number(metadata.kind), help.into(), unit.into()]
        });
        let about_len = about.map(|about| about.map(|number| 1 + varint_len(number)).iter().sum());
        let created = series
            .created
            .filter(|&at| at != 0)
            .map(Millis::cast_unsigned);
        let samples = series
            .samples
            .iter()
            .map(|point| bytes_len(sample_len(point)));
        let length = bytes_len(self.references.len())
            + samples.sum::<usize>()
            + about_len.map_or(0, bytes_len)
            + created.map_or(0, |at| 1 + varint_len(at));
        let out = &mut self.series;
        put::head(out, bytes(5), length);
        put::bytes(out, bytes(1), &self.references);
        put_samples(out, series.samples);
        if let (Some([kind, help, unit]), Some(length)) = (about, about_len) {
            put::head(out, bytes(5), length);
            for (field, number) in [(1, kind), (3, help), (4, unit)] {
                out.push(varint(field));
                put::varint(out, number);
            }
        }
        if let Some(at) = created {
            out.push(varint(6));
            put::varint(out, at);
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("version", &self.version)
            .field("series", &self.count)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// All labels of a series, the metric's name in its place among them.
fn pairs<'a>(series: &Outgoing<'a>) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let place = series.labels.partition_point(|&(name, _)| name < NAME);
    let (before, behind) = series.labels.split_at(place);
    let kept = |&&(name, value): &&(&str, &str)| name != NAME && !value.is_empty();
    let named = std::iter::once((NAME, series.name));
    let before = before.iter().filter(kept).copied();
    before
        .chain(named)
        .chain(behind.iter().filter(kept).copied())
}

/// The same message in both versions. All of it is written, a zero with its sign too.
#[inline]
const fn sample_len(point: &Point) -> usize {
    1 + 8 + 1 + varint_len(point.at.cast_unsigned())
}

fn put_samples(out: &mut Vec<u8>, samples: &[Point]) {
    for point in samples {
        put::head(out, bytes(2), sample_len(point));
        out.push(double(1));
        out.extend_from_slice(&point.value.to_le_bytes());
        out.push(varint(2));
        put::varint(out, point.at.cast_unsigned());
    }
}

fn put_metadata(out: &mut Vec<u8>, name: &str, metadata: &Metadata<'_>) {
    let kind = kind_number(metadata.kind);
    let texts = [(2, name), (4, metadata.help), (5, metadata.unit)];
    let texts_len = texts
        .map(|(_, text)| bytes_len(text.len()))
        .iter()
        .sum::<usize>();
    put::head(out, bytes(3), 1 + varint_len(kind) + texts_len);
    out.push(varint(1));
    put::varint(out, kind);
    for (field, text) in texts {
        put::bytes(out, bytes(field), text.as_bytes());
    }
}

/// The same numbers in both versions.
const fn kind_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}
