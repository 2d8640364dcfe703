//! What the queue in front of a workload does.

use crate::series::Span;
use serde::Deserialize;

/// The queue in front of a workload, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueSettings {
    /// A query of its length, one value.
    pub query: String,
    /// A reading counts for so long.
    #[serde(default = "default_age")]
    pub max_age: Span,
    /// What waits shall be done within this time: it counts as demand, where the demand is a rate per second of the
    /// same things. Without it the queue is only described.
    #[serde(default)]
    pub drain_within: Option<Span>,
}

const fn default_age() -> Span {
    Span::minutes(2)
}

impl QueueSettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let allowed = Span::seconds(1)..=Span::days(1);
        for (field, span) in [
            ("max_age", Some(self.max_age)),
            ("drain_within", self.drain_within),
        ] {
            if let Some(span) = span.filter(|span| !allowed.contains(span)) {
                let text = format!("{span} is not within 1s to 24h");
                problems.push((field.to_owned(), text));
            }
        }
        problems
    }
}
