//! What is wrong with a body, and where.

use std::fmt;
use thiserror::Error;

/// The longest piece of a body that an error shows, in characters.
const SHOWN: usize = 40;

/// Why a body is refused. Nothing after this place was read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct ParseError {
    /// From 1. A label value may span lines in text 0.0.4, so this is not the number of samples.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// In bytes from the start of the body, from 0; at most its length.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

impl ParseError {
    /// The problem at a place of `body`, in bytes.
    #[cold]
    pub(super) fn new(body: &[u8], offset: usize, problem: Problem) -> Self {
        let before = body.get(..offset).unwrap_or(body);
        let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        let on_line = before.get(start..).unwrap_or_default();
        Self {
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            // Without the bytes that continue a character.
            column: on_line.iter().filter(|&byte| byte & 0xC0 != 0x80).count() + 1,
            offset: before.len(),
            problem,
        }
    }
}

/// What is wrong with a body. Each limit that is exceeded is one of its own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// Something else was due here.
    #[error("expected {wanted}, found {found}")]
    Unexpected {
        /// What may stand here.
        wanted: &'static str,
        /// What does.
        found: Found,
    },
    /// Bytes that are not UTF-8 outside of a comment.
    #[error("expected UTF-8, found bytes that are none")]
    NotUtf8,
    /// Not a number that fits in an `f64`.
    #[error("{0:?} is no value; expected a decimal number that an f64 can hold, NaN, +Inf or -Inf")]
    Value(String),
    /// Not a time of the format.
    #[error("{text:?} is no timestamp; expected {wanted}")]
    Time {
        /// What stands there.
        text: String,
        /// What the format wants.
        wanted: &'static str,
    },
    /// A type that the format does not know.
    #[error("{text:?} is no metric type; expected one of {known}")]
    UnknownType {
        /// What stands there.
        text: String,
        /// What the format knows.
        known: &'static str,
    },
    /// A unit that is not the end of the name.
    #[error("unit {unit:?}: expected the name {name:?} to end in `_` and the unit")]
    Unit {
        /// The unit.
        unit: String,
        /// The name of the family.
        name: String,
    },
    /// Braces without a metric name in front of them or in quotes inside.
    #[error("expected a metric name, before the braces or in quotes inside them, found none")]
    NoName,
    /// A second metric name inside the braces.
    #[error("expected one metric name, found a second one: {0:?}")]
    NameTwice(String),
    /// A metric or a label whose name is `""`.
    #[error("expected a name, found empty quotes")]
    EmptyName,
    /// OpenMetrics without its last line: the body may have been cut off.
    #[error("expected `# EOF` as the last line, found the end of the body")]
    MissingEof,
    /// Something after the last line of OpenMetrics.
    #[error("expected nothing after `# EOF`, found more")]
    AfterEof,
    /// [`Limits::samples`](super::Limits::samples) is exceeded.
    #[error("more than {limit} samples, which is the limit of a body")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::labels`](super::Limits::labels) is exceeded.
    #[error("more than {limit} labels, which is the limit of a sample")]
    TooManyLabels {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::name_bytes`](super::Limits::name_bytes) is exceeded.
    #[error("a name of {length} bytes, where {limit} is the limit")]
    NameTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// [`Limits::value_bytes`](super::Limits::value_bytes) is exceeded.
    #[error("a label value of {length} bytes, where {limit} is the limit")]
    ValueTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

impl Problem {
    /// Whether the body may be sound and only a limit of the reader refuses it.
    pub const fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooManySamples { .. }
                | Self::TooManyLabels { .. }
                | Self::NameTooLong { .. }
                | Self::ValueTooLong { .. }
        )
    }
}

/// What stands where something else was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This character.
    Letter(char),
    /// A line feed.
    EndOfLine,
    /// The end of the body.
    EndOfBody,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Letter(letter) => write!(f, "{letter:?}"),
            Self::EndOfLine => f.write_str("the end of the line"),
            Self::EndOfBody => f.write_str("the end of the body"),
        }
    }
}

/// A problem at a place of the text that is being read, in bytes. Boxed: it is rare, and what is not an
/// error should fit in registers.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: Problem,
}

/// What a step of reading gives.
pub(super) type Scanned<T> = Result<T, Box<Fault>>;

/// The error of a step.
#[cold]
pub(super) fn fault<T>(at: usize, problem: Problem) -> Scanned<T> {
    Err(Box::new(Fault { at, problem }))
}

/// A piece of the body for an error, cut where it is long.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}...", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}
