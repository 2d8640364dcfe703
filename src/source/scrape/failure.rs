//! Why a scrape failed.

use crate::source::{self, SourceError};

/// A failed scrape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind of failure.
    pub cause: Cause,
    /// What happened and what can be changed, for a person; never a secret.
    pub message: String,
}

/// The kinds of failure of a scrape, as the label `cause`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The body is longer than `body_size_limit`.
    BodySizeLimit,
    /// Name look-up, connection or TLS; or a file of ours.
    Connect,
    /// The body is not of a type that can be read.
    ContentType,
    /// The body is not compressed as it says.
    Decode,
    /// A limit of labels is exceeded.
    LabelLimit,
    /// The body is not what its type says.
    Parse,
    /// `sample_limit` is exceeded.
    SampleLimit,
    /// An HTTP status other than success.
    Status,
    /// `target_limit` is exceeded: no target was asked.
    TargetLimit,
    /// It took too long.
    Timeout,
}

impl Cause {
    /// All causes, sorted by label value.
    pub const ALL: [Self; 10] = [
        Self::BodySizeLimit,
        Self::Connect,
        Self::ContentType,
        Self::Decode,
        Self::LabelLimit,
        Self::Parse,
        Self::SampleLimit,
        Self::Status,
        Self::TargetLimit,
        Self::Timeout,
    ];

    /// The value of the label `cause`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BodySizeLimit => "body_size_limit",
            Self::Connect => "connect",
            Self::ContentType => "content_type",
            Self::Decode => "decode",
            Self::LabelLimit => "label_limit",
            Self::Parse => "parse",
            Self::SampleLimit => "sample_limit",
            Self::Status => "status",
            Self::TargetLimit => "target_limit",
            Self::Timeout => "timeout",
        }
    }
}

impl Failure {
    pub(super) fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let cause = match error.cause {
            source::Cause::Connect | source::Cause::BreakerOpen => Cause::Connect,
            source::Cause::Timeout => Cause::Timeout,
            source::Cause::Status | source::Cause::Query => Cause::Status,
            source::Cause::Decode => Cause::Decode,
            source::Cause::Limit => Cause::BodySizeLimit,
        };
        Self::new(cause, error.message)
    }
}
