//! A body of any format, read in one way.

use super::{error::WireError, families::Families};
use crate::expo::parse::{Event, ParseError, Parser};
use thiserror::Error;

/// What a target answered with.
#[derive(Debug)]
pub enum Body<'a> {
    /// A text format.
    Text(Parser<'a>),
    /// Protobuf.
    Families(Families<'a>),
}

impl Body<'_> {
    /// What comes next; none at the end and after an error. Not an iterator: a sample of protobuf has its text in
    /// the reader, until the next one.
    pub fn next_event(&mut self) -> Option<Result<Event<'_>, BodyError>> {
        match self {
            Self::Text(parser) => Some(parser.next()?.map_err(BodyError::Text)),
            Self::Families(families) => Some(families.next_event()?.map_err(BodyError::Families)),
        }
    }
}

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BodyError {
    /// Of a text format.
    #[error(transparent)]
    Text(#[from] ParseError),
    /// Of protobuf.
    #[error(transparent)]
    Families(#[from] WireError),
}

impl BodyError {
    /// Whether the body may be sound and only a limit of the reader refuses it.
    pub const fn is_limit(&self) -> bool {
        match self {
            Self::Text(error) => error.problem.is_limit(),
            Self::Families(error) => error.problem.is_limit(),
        }
    }
}
