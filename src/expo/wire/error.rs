//! What is wrong with a body of protobuf, and where.

use thiserror::Error;

/// Why a body is refused. Nothing after this place was read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("byte {offset}, {field}: {problem}")]
pub struct WireError {
    /// In bytes from the start of the unpacked body, from 0; at most its length.
    pub offset: usize,
    /// The message and field that was being read, as its definition names them: `TimeSeries.samples`. Only the
    /// message where not even the field is known.
    pub field: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a body. Each limit that is exceeded is one of its own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The body, or the message around it, ends too early.
    #[error("expected {wanted} more bytes, found {left}: the body was cut off or is no protobuf")]
    Cut {
        /// Bytes that should follow; at least so many.
        wanted: u64,
        /// Bytes that do.
        left: usize,
    },
    /// A number with more than 64 bits.
    #[error("expected a number of at most 64 bits, found a longer one")]
    Varint,
    /// No field has such a number.
    #[error("expected a field number from 1 to 536870911, found {0}")]
    FieldNumber(u64),
    /// A field that is known, of another type.
    #[error("expected {wanted}, found {found}")]
    WireType {
        /// The type of the definition.
        wanted: &'static str,
        /// The type in the body.
        found: &'static str,
    },
    /// A group, which protobuf gave up before any of the formats here began.
    #[error("expected a field that is no group, found a group")]
    Group,
    /// One of the two types that are not defined.
    #[error("expected a wire type from 0 to 5, found {0}")]
    UnknownWireType(u32),
    /// Text that is not UTF-8.
    #[error("expected UTF-8, found bytes that are none")]
    NotUtf8,
    /// The fields of the other version of remote write.
    #[error(
        "expected remote write {expected}, found fields of {found}: set the Content-Type to the version that is sent"
    )]
    OtherVersion {
        /// What the body was said to be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A metric or a label without a name.
    #[error("expected a name, found none")]
    EmptyName,
    /// A name with a NUL byte, which no text format can hold.
    #[error("expected a name without NUL bytes, found one with them")]
    NulInName,
    /// A type that the format does not know.
    #[error("expected a metric type from 0 to 5, found {0}")]
    UnknownType(u32),
    /// A metric without the message that has its value.
    #[error("expected a {0}, as the type of the family says, found none")]
    NoValue(&'static str),
    /// A unit that is not the end of the name.
    #[error("unit {unit:?}: expected the name {name:?} to end in `_` and the unit")]
    Unit {
        /// The unit.
        unit: String,
        /// The name of the family.
        name: String,
    },
    /// [`write::Limits::symbols`](super::write::Limits::symbols) is exceeded.
    #[error("more than {limit} symbols, which is the limit of a request")]
    TooManySymbols {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::samples`](crate::expo::parse::Limits::samples) is exceeded.
    #[error("more than {limit} samples, which is the limit of a body")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::labels`](crate::expo::parse::Limits::labels) is exceeded.
    #[error("more than {limit} labels, which is the limit of a sample")]
    TooManyLabels {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::name_bytes`](crate::expo::parse::Limits::name_bytes) is exceeded.
    #[error("a name of {length} bytes, where {limit} is the limit")]
    NameTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// [`Limits::value_bytes`](crate::expo::parse::Limits::value_bytes) is exceeded.
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
            Self::TooManySymbols { .. }
                | Self::TooManySamples { .. }
                | Self::TooManyLabels { .. }
                | Self::NameTooLong { .. }
                | Self::ValueTooLong { .. }
        )
    }
}

/// What a step of reading gives. Boxed: errors are rare, and what is none should fit in registers.
pub(super) type Scanned<T> = Result<T, Box<WireError>>;

/// The error of a step.
#[cold]
pub(super) fn fault<T>(offset: usize, field: &'static str, problem: Problem) -> Scanned<T> {
    Err(Box::new(WireError {
        offset,
        field,
        problem,
    }))
}
