//! Why a request failed, and whether asking again can help.

use crate::source::{Cause, SourceError};
use std::time::Duration;

/// A failed request.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// What the caller is told.
    pub(super) error: SourceError,
    /// Whether the same request may be sent again.
    pub(super) again: Again,
    /// Whether the source is alive all the same: it answered, and did what it should.
    pub(super) alive: bool,
    /// Whether a shorter range may succeed.
    pub(super) narrow: bool,
}

/// Whether a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The answer would be the same.
    Never,
    /// After a pause of our choice.
    Backoff,
    /// The source said after how long.
    After(Duration),
}

impl Failure {
    /// The source is not to be reached, or not well.
    pub(super) fn lost(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            error: error(cause, message),
            again: Again::Backoff,
            alive: false,
            narrow: false,
        }
    }

    /// A deadline passed; less to do may be done in time.
    pub(super) fn late(message: impl Into<String>) -> Self {
        Self {
            narrow: true,
            ..Self::lost(Cause::Timeout, message)
        }
    }

    /// The answer is not what the API promises.
    pub(super) fn garbled(message: impl Into<String>) -> Self {
        Self {
            again: Again::Never,
            ..Self::lost(Cause::Decode, message)
        }
    }

    /// The source is well and said no, or we said no to its answer.
    pub(super) fn refused(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            again: Again::Never,
            alive: true,
            ..Self::lost(cause, message)
        }
    }

    /// The answer exceeds a limit of ours.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self {
            narrow: true,
            ..Self::refused(Cause::Limit, message)
        }
    }

    /// Something of our own (a file) is not readable: no fault of the source.
    pub(super) fn own(message: impl Into<String>) -> Self {
        Self::refused(Cause::Connect, message)
    }
}

fn error(cause: Cause, message: impl Into<String>) -> SourceError {
    SourceError {
        cause,
        message: message.into(),
    }
}

/// Said of an answer that is a web page.
pub(super) const A_PAGE: &str = "the answer is a web page (HTML), not one of the Prometheus API: url must be that of a Prometheus or of what speaks its API, with the path prefix if there is one";

/// Whether an answer is meant for a browser. Nothing of the API begins like that.
pub(super) fn is_page(text: &str) -> bool {
    text.trim_start().starts_with('<')
}

/// The first `most` characters of `text` on one line.
pub(super) fn short(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut space = false;
    for (count, c) in text.trim().chars().enumerate() {
        if count == most {
            line.push('…');
            break;
        }
        let blank = c.is_whitespace() || c.is_control();
        if !(blank && space) {
            line.push(if blank { ' ' } else { c });
        }
        space = blank;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_on_characters_and_kept_on_one_line() {
        assert_eq!(short("  a\r\n\tb  ", 200), "a b");
        assert_eq!(short("äöü", 2), "äö…");
        assert_eq!(short("", 2), "");
    }
}
