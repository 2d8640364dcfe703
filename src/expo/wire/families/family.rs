//! What is said of a family before its metrics, wherever it stands in the message.

use super::{METRIC, METRIC_FAMILY};
use crate::expo::{
    escape,
    parse::MetricType,
    wire::{
        cursor::{Cursor, Field},
        error::{Problem, Scanned, fault},
    },
};

const NAME: Field = METRIC_FAMILY.fields[0];
const HELP: Field = METRIC_FAMILY.fields[1];
const KIND: Field = METRIC_FAMILY.fields[2];
const UNIT: Field = METRIC_FAMILY.fields[4];

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    #[default]
    Counter,
    Gauge,
    Summary,
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Counter,
            1 => Self::Gauge,
            2 => Self::Summary,
            3 => Self::Untyped,
            4 => Self::Histogram,
            5 => Self::GaugeHistogram,
            _ => return None,
        })
    }

    pub(super) const fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Summary => MetricType::Summary,
            Self::Untyped => MetricType::Unknown,
            Self::Histogram => MetricType::Histogram,
            Self::GaugeHistogram => MetricType::GaugeHistogram,
        }
    }
}

/// A family without its metrics.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) help: Option<&'a str>,
    pub(super) kind: Kind,
    pub(super) unit: &'a str,
    /// Its name needs no quotes.
    pub(super) legacy: bool,
}

impl<'a> Family<'a> {
    /// The family of a message, and how many metrics it has. One without any is not looked at further.
    pub(super) fn read(mut message: Cursor<'a>) -> Scanned<(Self, usize)> {
        let start = message.at();
        let mut family = Self::default();
        let (mut kind, mut metrics) = (0, 0);
        while let Some(tag) = message.tag(&METRIC_FAMILY)? {
            if tag == METRIC.tag {
                message.bytes(METRIC.name)?;
                metrics += 1;
            } else if tag == NAME.tag {
                family.name = message.text(NAME.name)?;
            } else if tag == HELP.tag {
                family.help = Some(message.text(HELP.name)?);
            } else if tag == KIND.tag {
                kind = message.varint32(KIND.name)?;
            } else if tag == UNIT.tag {
                family.unit = message.text(UNIT.name)?;
            } else {
                message.skip(tag, &METRIC_FAMILY)?;
            }
        }
        if metrics > 0 {
            let Some(kind) = Kind::of(kind) else {
                return fault(start, KIND.name, Problem::UnknownType(kind));
            };
            family.kind = kind;
            family.legacy = escape::is_legacy_family(family.name);
            family.check_unit(start)?;
        }
        Ok((family, metrics))
    }

    /// Passes over a field that [`Family::read`] has read.
    pub(super) fn pass(&self, tag: u32, message: &mut Cursor<'a>) -> Scanned<()> {
        match tag {
            tag if tag == KIND.tag => message.varint(KIND.name).map(drop),
            tag if [NAME.tag, HELP.tag, UNIT.tag].contains(&tag) => {
                message.bytes(METRIC_FAMILY.name).map(drop)
            }
            tag => message.skip(tag, &METRIC_FAMILY),
        }
    }

    /// A unit is the end of the name, but for `_total` of a counter.
    fn check_unit(&self, at: usize) -> Scanned<()> {
        let name = match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            _ => self.name,
        };
        let before = name.strip_suffix(self.unit);
        if self.unit.is_empty() || before.is_some_and(|before| before.ends_with('_')) {
            return Ok(());
        }
        let shown = |text: &str| text.chars().take(40).collect();
        let (unit, name) = (shown(self.unit), shown(self.name));
        fault(at, UNIT.name, Problem::Unit { unit, name })
    }
}
