//! PromQL without a server: is a configured query sound, and what does a rule give over the newest values?
//!
//! * [`check_query`] is for queries that a server will answer: PromQL with an instant vector as its result.
//! * [`bare_counter`] says whether such a query gives a counter as it is.
//! * [`Expression`] is for rules that we answer ourselves, over *current* series: what is newest of every signal and
//!   of everything that is published. There is no past, so all that needs a range is refused, with its position.
//!
//! Parsing is by `promql-parser`, whose tree has no positions: `compile` walks tree and tokens side by side. The
//! semantics are those of Prometheus' `promql/engine.go` and `promql/functions.go` (version 3); `tests/it/promql.rs`
//! asks a real server the same.
//!
//! Pure: no IO, no clock (invariant 1).

mod aggregate;
mod binary;
mod calendar;
mod compile;
mod counters;
mod evaluate;
mod expression;
mod functions;
mod matchers;
mod relabel;
mod snapshot;
mod syntax;
mod tokens;
mod tree;
mod typed;

#[cfg(test)]
mod tests;

pub use counters::bare_counter;
pub use evaluate::{Element, EvaluationError, MAX_WORK, Value};
pub use expression::{Expression, Selector};
pub(crate) use matchers::whole as whole_value;
pub use matchers::{Matcher, Matchers};
pub(crate) use relabel::expand;
pub use snapshot::{Lookup, Sample, Snapshot};
pub use syntax::check_query;
pub use tokens::line_and_column;

/// The label that has a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Byte in the text at which the problem begins, where that is known.
    pub at: Option<usize>,
    /// What is wrong, and what is allowed instead.
    pub message: String,
}

impl Refusal {
    fn new(at: Option<usize>, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }

    fn at(at: usize, message: impl Into<String>) -> Self {
        Self::new(Some(at), message)
    }

    /// The message with line and column in `text`, which is `what` to the reader: `.. (line 1, column 4 of the query)`.
    pub fn in_text(&self, text: &str, what: &str) -> String {
        match self.at {
            Some(byte) => {
                let (line, column) = line_and_column(text, byte);
                format!(
                    "{} (line {line}, column {column} of the {what})",
                    self.message
                )
            }
            None => self.message.clone(),
        }
    }
}
