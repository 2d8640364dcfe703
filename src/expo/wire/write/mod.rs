//! Remote write 1.0 and 2.0: what a Prometheus, an agent or a collector pushes.
//!
//! A [`Reader`] goes over an unpacked request once and gives one [`Item`] per series, borrowed from the body. What is
//! wrong with one series is a reason of that series, and the others are taken: one bad label must not stop a
//! sender's queue, which tries again until it is taken or dropped. Only what leaves no doubt that the rest would be misread
//! is an error of the whole request.
//!
//! A [`Writer`] is the other way round, for what is sent.
//!
//! Both versions say that labels come sorted and without empty values. Here they are sorted where they are not, and
//! a label without a value is the same as none, as everywhere in Prometheus. Names may have any letters.
//! Native histograms are counted and not read, those with custom buckets too; so are exemplars.
//!
//! Source: <https://prometheus.io/docs/specs/prw/remote_write_spec> and `remote_write_spec_2_0`; `prompb/remote.proto`,
//! `prompb/types.proto` and `prompb/io/prometheus/write/v2/types.proto` of Prometheus.

mod encode;
mod labels;
mod symbols;
mod v1;
mod v2;
mod version;

pub use encode::{Outgoing, Writer};
pub use labels::Reason;
pub use version::{
    EXEMPLARS_WRITTEN, HISTOGRAMS_WRITTEN, SAMPLES_WRITTEN, VERSION_HEADER, Version,
};

pub use crate::expo::STALE_NAN;

use super::{
    cursor::Cursor,
    error::{Scanned, WireError},
};
use crate::{expo::parse::MetricType, series::Millis};
use labels::LabelSet;
use std::fmt;

/// The most that is taken. Each is inclusive. What exceeds `symbols` is refused as a whole, a series that exceeds one
/// of the others by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Symbols of a request (2.0 only): each takes 16 bytes here and perhaps two there.
    pub symbols: usize,
    /// Labels of a series, without the metric's name.
    pub labels: usize,
    /// Bytes of the name of a label.
    pub name_bytes: usize,
    /// Bytes of the value of a label, and so of the metric's name.
    pub value_bytes: usize,
    /// Samples of a series in one request.
    pub samples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            symbols: 1_000_000,
            labels: 64,
            name_bytes: 1_024,
            value_bytes: 4_096,
            samples: 10_000,
        }
    }
}

/// A sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Its time.
    pub at: Millis,
    /// Its value, with all its bits.
    pub value: f64,
}

impl Point {
    /// Says that the series ended at `at`.
    pub const fn stale(at: Millis) -> Self {
        let value = f64::from_bits(STALE_NAN);
        Self { at, value }
    }

    /// Whether the series ended here.
    pub const fn is_stale(&self) -> bool {
        self.value.to_bits() == STALE_NAN
    }
}

/// What is known of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Its type.
    pub kind: MetricType,
    /// Its help text, perhaps empty.
    pub help: &'a str,
    /// Its unit, perhaps empty.
    pub unit: &'a str,
}

/// A series of a request. The same one may come several times in a request.
#[derive(Debug, Clone, Copy)]
pub struct Series<'r, 'a> {
    /// The metric's name.
    pub name: &'a str,
    /// Its other labels: sorted by name, none twice, none empty.
    pub labels: &'r [(&'a str, &'a str)],
    /// Its samples, in the order of the request: by time, if the sender keeps the rules.
    pub samples: &'r [Point],
    /// Native histograms, which were not read.
    pub histograms: usize,
    /// Exemplars, which were not read.
    pub exemplars: usize,
    /// When its counter began to count (2.0 only): that of the series, or else of its last sample that has one.
    pub created: Option<Millis>,
    /// What is known of its metric (2.0 only; 1.0 has it beside the series, see [`Item::Metadata`]).
    pub metadata: Option<Metadata<'a>>,
}

/// A series that was not taken. Its samples are lost, so they are to be counted and not retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused<'a> {
    /// Why.
    pub reason: Reason<'a>,
    /// The metric's name, where it was found before the fault.
    pub name: Option<&'a str>,
    /// Its samples.
    pub samples: usize,
    /// Its native histograms.
    pub histograms: usize,
    /// Its exemplars.
    pub exemplars: usize,
}

/// One thing of a request.
#[derive(Debug, Clone, Copy)]
pub enum Item<'r, 'a> {
    /// A series.
    Series(Series<'r, 'a>),
    /// A series that was not taken.
    Refused(Refused<'a>),
    /// What is known of a family (1.0 only). Of one whose texts are not UTF-8 nothing is.
    Metadata {
        /// Its name.
        family: &'a str,
        /// What is known of it.
        metadata: Metadata<'a>,
    },
}

/// Goes over an unpacked request. Ends after the first error.
pub struct Reader<'a> {
    version: Version,
    cursor: Cursor<'a>,
    /// Of 2.0: none where one is not UTF-8, which is the fault of the series that names it.
    symbols: Vec<Option<&'a str>>,
    scratch: Scratch<'a>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unread,
    Reading,
    Ended,
}

/// What a step has found; a series is in the scratch.
enum Found<'a> {
    Series,
    Metadata(&'a str, Metadata<'a>),
}

impl<'a> Reader<'a> {
    /// Over `body`, which is [unpacked](super::Unpacker), as the request's `Content-Type` says (see [`Version::of`]).
    pub fn new(body: &'a [u8], version: Version, limits: Limits) -> Self {
        Self {
            version,
            cursor: Cursor::new(body),
            symbols: Vec::new(),
            scratch: Scratch::new(limits),
            stage: Stage::Unread,
        }
    }

    /// What comes next; none at the end and after an error. Not an iterator: labels and samples are in the reader,
    /// until the next one.
    ///
    /// # Errors
    /// The body is no message of its version, or has too many symbols.
    pub fn next_item(&mut self) -> Result<Option<Item<'_, 'a>>, WireError> {
        let found = match self.stage {
            Stage::Ended => Ok(None),
            Stage::Unread | Stage::Reading => self.step(),
        };
        match found {
            Ok(Some(Found::Series)) => Ok(Some(self.scratch.item())),
            Ok(Some(Found::Metadata(family, metadata))) => {
                Ok(Some(Item::Metadata { family, metadata }))
            }
            Ok(None) => {
                self.stage = Stage::Ended;
                Ok(None)
            }
            Err(error) => {
                self.stage = Stage::Ended;
                Err(*error)
            }
        }
    }

    fn step(&mut self) -> Scanned<Option<Found<'a>>> {
        if self.stage == Stage::Unread {
            self.stage = Stage::Reading;
            if self.version == Version::V2 {
                let limit = self.scratch.limits.symbols;
                self.symbols = v2::symbols(self.cursor, limit)?;
            }
        }
        match self.version {
            Version::V1 => v1::step(&mut self.cursor, &mut self.scratch),
            Version::V2 => v2::step(&mut self.cursor, &self.symbols, &mut self.scratch),
        }
    }
}

/// Without the body, which may be long.
impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.version)
            .field("at", &self.cursor.at())
            .finish_non_exhaustive()
    }
}

/// The series that is being read, in room that the one before it had.
struct Scratch<'a> {
    limits: Limits,
    labels: LabelSet<'a>,
    points: Vec<Point>,
    samples: usize,
    histograms: usize,
    exemplars: usize,
    created: Option<Millis>,
    metadata: Option<Metadata<'a>>,
}

impl<'a> Scratch<'a> {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            labels: LabelSet::default(),
            points: Vec::new(),
            samples: 0,
            histograms: 0,
            exemplars: 0,
            created: None,
            metadata: None,
        }
    }

    fn clear(&mut self) {
        self.labels.clear();
        self.points.clear();
        self.samples = 0;
        self.histograms = 0;
        self.exemplars = 0;
        self.created = None;
        self.metadata = None;
    }

    #[inline]
    fn push_label(&mut self, name: &'a str, value: &'a str) {
        self.labels.push(name, value, &self.limits);
    }

    #[inline]
    fn push_point(&mut self, point: Point) {
        self.samples += 1;
        if self.samples <= self.limits.samples {
            self.points.push(point);
        }
    }

    /// The series is refused. Of several reasons the first counts.
    #[cold]
    fn refuse(&mut self, reason: Reason<'a>) {
        self.labels.refuse(reason);
    }

    fn item(&mut self) -> Item<'_, 'a> {
        if self.samples > self.limits.samples {
            let (count, limit) = (self.samples, self.limits.samples);
            self.refuse(Reason::TooManySamples { count, limit });
        }
        match self.labels.finish(&self.limits) {
            Ok((name, labels)) => Item::Series(Series {
                name,
                labels,
                samples: &self.points,
                histograms: self.histograms,
                exemplars: self.exemplars,
                created: self.created,
                metadata: self.metadata,
            }),
            Err((name, reason)) => Item::Refused(Refused {
                reason,
                name,
                samples: self.samples,
                histograms: self.histograms,
                exemplars: self.exemplars,
            }),
        }
    }
}
