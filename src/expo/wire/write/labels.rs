//! The labels of a series, and why they may be refused.

use super::Limits;
use thiserror::Error;

/// The label that has the metric's name.
pub(super) const NAME: &str = "__name__";

/// Why a series was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Reason<'a> {
    /// The name or the value of a label, or one of its metadata.
    #[error("a text that is not UTF-8")]
    NotUtf8,
    /// Without `__name__`, or with an empty one.
    #[error("no metric name: expected a label __name__")]
    NoName,
    /// A label whose name is empty.
    #[error("a label without a name")]
    EmptyLabelName,
    /// The same name twice.
    #[error("label {0:?} appears twice")]
    DuplicateLabel(&'a str),
    /// [`Limits::labels`] is exceeded.
    #[error("{count} labels, where {limit} is the limit")]
    TooManyLabels {
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// [`Limits::name_bytes`] is exceeded.
    #[error("a label name of {length} bytes, where {limit} is the limit")]
    NameTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// [`Limits::value_bytes`] is exceeded.
    #[error("a value of {length} bytes in label {label:?}, where {limit} is the limit")]
    ValueTooLong {
        /// The name of its label.
        label: &'a str,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// [`Limits::samples`] is exceeded.
    #[error("{count} samples at once, where {limit} is the limit")]
    TooManySamples {
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The number of a symbol that the request has not (2.0 only).
    #[error("symbol {reference}, where the request has {symbols}")]
    NoSymbol {
        /// Its number, from 0.
        reference: u32,
        /// How many there are.
        symbols: usize,
    },
    /// A label name without a value (2.0 only).
    #[error("an odd number of symbols for its labels: the last name has no value")]
    OddSymbols,
}

impl Reason<'_> {
    /// Each reason's name, as a label value; sorted.
    pub const NAMES: [&'static str; 10] = [
        "duplicate_label",
        "empty_label_name",
        "label_name_too_long",
        "label_value_too_long",
        "no_name",
        "no_symbol",
        "not_utf8",
        "odd_symbols",
        "too_many_labels",
        "too_many_samples",
    ];

    /// Its name among [`Reason::NAMES`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::DuplicateLabel(_) => "duplicate_label",
            Self::EmptyLabelName => "empty_label_name",
            Self::NameTooLong { .. } => "label_name_too_long",
            Self::ValueTooLong { .. } => "label_value_too_long",
            Self::NoName => "no_name",
            Self::NoSymbol { .. } => "no_symbol",
            Self::NotUtf8 => "not_utf8",
            Self::OddSymbols => "odd_symbols",
            Self::TooManyLabels { .. } => "too_many_labels",
            Self::TooManySamples { .. } => "too_many_samples",
        }
    }
}

/// The labels of the series that is being read.
#[derive(Default)]
pub(super) struct LabelSet<'a> {
    /// Without the metric's name.
    pairs: Vec<Pair<'a>>,
    name: Option<&'a str>,
    /// All that were given, more than the limit perhaps.
    count: usize,
    /// Not sorted, or one twice.
    unsorted: bool,
    /// One has no value.
    gaps: bool,
    reason: Option<Reason<'a>>,
}

/// Name and value.
type Pair<'a> = (&'a str, &'a str);
/// The metric's name and the other labels.
type Whole<'r, 'a> = (&'a str, &'r [Pair<'a>]);
/// Why a set is refused, with the metric's name where it is known.
type Fault<'a> = (Option<&'a str>, Reason<'a>);

impl<'a> LabelSet<'a> {
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.name = None;
        self.count = 0;
        self.unsorted = false;
        self.gaps = false;
        self.reason = None;
    }

    #[inline]
    pub(super) fn push(&mut self, name: &'a str, value: &'a str, limits: &Limits) {
        if name.len() > limits.name_bytes || value.len() > limits.value_bytes {
            return self.refuse_long(name, value, limits);
        }
        if name == NAME {
            if self.name.replace(value).is_some() {
                self.refuse(Reason::DuplicateLabel(NAME));
            }
            return;
        }
        self.count += 1;
        if self.count > limits.labels {
            return;
        }
        let last = self.pairs.last();
        self.unsorted |= last.is_some_and(|&(before, _)| before >= name);
        self.gaps |= value.is_empty();
        self.pairs.push((name, value));
    }

    #[cold]
    fn refuse_long(&mut self, name: &'a str, value: &'a str, limits: &Limits) {
        let (length, limit) = (name.len(), limits.name_bytes);
        if length > limit {
            return self.refuse(Reason::NameTooLong { length, limit });
        }
        self.refuse(Reason::ValueTooLong {
            label: name,
            length: value.len(),
            limit: limits.value_bytes,
        });
    }

    /// Of several reasons the first counts.
    #[cold]
    pub(super) fn refuse(&mut self, reason: Reason<'a>) {
        self.reason.get_or_insert(reason);
    }

    /// The metric's name and the other labels, now that all are there.
    pub(super) fn finish(&mut self, limits: &Limits) -> Result<Whole<'_, 'a>, Fault<'a>> {
        let name = self.name.filter(|name| !name.is_empty());
        if self.unsorted {
            self.pairs.sort_unstable();
        }
        let reason = self.reason.or_else(|| self.fault(limits));
        let (Some(metric), None) = (name, reason) else {
            return Err((name, reason.unwrap_or(Reason::NoName)));
        };
        if self.gaps {
            self.pairs.retain(|(_, value)| !value.is_empty());
        }
        Ok((metric, &self.pairs))
    }

    /// What is wrong with the whole of them, which are sorted.
    fn fault(&self, limits: &Limits) -> Option<Reason<'a>> {
        if self.count > limits.labels {
            let (count, limit) = (self.count, limits.labels);
            return Some(Reason::TooManyLabels { count, limit });
        }
        if self.pairs.first().is_some_and(|(name, _)| name.is_empty()) {
            return Some(Reason::EmptyLabelName);
        }
        if !self.unsorted {
            return None;
        }
        let twice = self.pairs.windows(2).find(|pair| pair[0].0 == pair[1].0);
        twice.map(|pair| Reason::DuplicateLabel(pair[0].0))
    }
}
