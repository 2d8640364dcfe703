//! Least and greatest sizes of certain times.

use serde::Deserialize;

/// A least or greatest size of certain times, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// The least size.
    #[serde(default)]
    pub min: Option<u32>,
    /// The greatest size.
    #[serde(default)]
    pub max: Option<u32>,
}

impl ScheduleSettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.min.is_none() && self.max.is_none() {
            let text = "give min, max or both".to_owned();
            problems.push((String::new(), text));
        }
        problems
    }
}
