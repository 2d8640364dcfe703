//! What events do to the demand of a workload.

use serde::Deserialize;

/// What events do to a workload, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventSettings {
    /// Whether they count.
    pub enabled: bool,
    /// No event counts for more than so many times the demand.
    pub max_multiplier: f64,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            max_multiplier: 10.0,
        }
    }
}

impl EventSettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if !(1.0..=1_000.0).contains(&self.max_multiplier) {
            let text = format!("{} is not within 1 to 1000", self.max_multiplier);
            problems.push(("max_multiplier".to_owned(), text));
        }
        problems
    }
}
