//! Whether a recommendation did good, and what becomes of one that did not.

use crate::series::Span;
use serde::Deserialize;

/// How recommendations are watched, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerifySettings {
    /// Whether they are.
    pub enabled: bool,
    /// A query of the utilisation with one value, where capacity is declared.
    pub utilisation: Option<String>,
    /// A workload is saturated above this, in the unit of the utilisation.
    pub saturated: f64,
    /// Watched for so long after its replicas should be ready.
    pub watch: Span,
    /// Where it made things worse, only what is asked for now counts for so long.
    pub withdraw: Span,
}

impl Default for VerifySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            utilisation: None,
            saturated: 0.95,
            watch: Span::minutes(5),
            withdraw: Span::minutes(30),
        }
    }
}

impl VerifySettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if !(self.saturated > 0.0 && self.saturated.is_finite()) {
            let text = format!("{} is not above 0", self.saturated);
            problems.push(("saturated".to_owned(), text));
        }
        for (field, span, most) in [
            ("watch", self.watch, Span::minutes(60)),
            ("withdraw", self.withdraw, Span::days(1)),
        ] {
            if !(Span::minutes(1)..=most).contains(&span) {
                let text = format!("{span} is not within 1m to {most}");
                problems.push((field.to_owned(), text));
            }
        }
        problems
    }
}
