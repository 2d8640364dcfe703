//! What is asked of a workload, and whether all of it was measured.

use super::settings::default_age;
use crate::series::Span;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is asked of a workload, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemandSettings {
    /// The signal whose forecast counts.
    pub signal: String,
    /// Labels of the one series that is meant.
    #[serde(default)]
    pub r#match: BTreeMap<String, String>,
    /// Asked at decision time for the newest demand, one value; the signal's own query, narrowed by `match`, where
    /// left out.
    #[serde(default)]
    pub query: Option<String>,
    /// The newest demand counts for so long.
    #[serde(default = "default_age")]
    pub max_age: Span,
    /// How much of what it is measured at must be there; where left out, what was measured is believed.
    #[serde(default)]
    pub complete: Option<CompleteSettings>,
}

/// How much of what the demand is measured at must be there: a sum over half of the targets is half, and looks like half
/// the demand.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompleteSettings {
    /// A query of the share that is there, one value, such as `avg(up{app="checkout"})`.
    pub query: String,
    /// Where that share is below this, or not known, the demand is not used.
    #[serde(default = "default_least")]
    pub min: f64,
}

/// As in section 9.3 of the contracts.
const fn default_least() -> f64 {
    0.9
}

impl CompleteSettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let allowed = self.min > 0.0 && self.min <= 1.0;
        let problem = || {
            let text = format!("{} is not above 0 and at most 1", self.min);
            ("min".to_owned(), text)
        };
        (!allowed).then(problem).into_iter().collect()
    }
}
