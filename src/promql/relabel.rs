//! Label sets made from label sets: what is kept of them, and `label_replace` and `label_join`.
//!
//! A metric's name is kept apart from the other labels, so that dropping it costs nothing.

use super::METRIC_NAME;
use crate::series::Labels;
use regex::{Captures, Regex};
use std::sync::Arc;

/// A metric's name, where there is one, and the other labels.
pub(super) type Identity = (Option<Arc<str>>, Labels);

/// A list of label names.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Without the one of the metric's name.
    labels: Vec<String>,
    /// Whether the metric's name is in the list.
    metric: bool,
}

impl Names {
    pub(super) fn new(names: &[String]) -> Self {
        let labels = names.iter().filter(|name| *name != METRIC_NAME);
        Self {
            labels: labels.cloned().collect(),
            metric: names.iter().any(|name| name == METRIC_NAME),
        }
    }

    pub(super) fn push(&mut self, name: &str) {
        if name == METRIC_NAME {
            self.metric = true;
        } else {
            self.labels.push(name.to_owned());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && !self.metric
    }

    /// Whether the metric's name is in the list.
    pub(super) fn has_metric(&self) -> bool {
        self.metric
    }

    /// Nothing but the listed ones.
    pub(super) fn keep(&self, name: Option<&Arc<str>>, labels: &Labels) -> Identity {
        let kept = if self.labels.is_empty() {
            Labels::default()
        } else {
            labels.only(&self.labels)
        };
        (name.filter(|_| self.metric).cloned(), kept)
    }

    /// Everything but the listed ones.
    pub(super) fn remove(&self, name: Option<&Arc<str>>, labels: &Labels) -> Identity {
        let left = if self.labels.is_empty() {
            labels.clone()
        } else {
            let names: Vec<&str> = self.labels.iter().map(String::as_str).collect();
            labels.without(&names)
        };
        (name.filter(|_| !self.metric).cloned(), left)
    }

    /// `own` with the listed ones as they are in `other`; absent where they are absent there.
    pub(super) fn take_over(&self, own: Identity, other: (Option<&Arc<str>>, &Labels)) -> Identity {
        let mut own = own;
        if self.metric {
            own.0 = other.0.cloned();
        }
        for label in &self.labels {
            own.1 = with(&own.1, label, other.1.get(label).unwrap_or_default());
        }
        own
    }
}

/// `labels` with the value of one label; without it where the value is empty. `label` is not that of the name.
pub(super) fn with(labels: &Labels, label: &str, value: &str) -> Labels {
    if labels.get(label).unwrap_or_default() == value {
        return labels.clone();
    }
    let others = labels.iter().filter(|(name, _)| *name != label);
    let all: Vec<(&str, &str)> = others.chain([(label, value)]).collect();
    // Names of a label set are unique, and `label` is not empty: it was checked when the rule was read.
    Labels::new(all).unwrap_or_default()
}

/// As [`with`], for any label.
pub(super) fn set((name, labels): Identity, label: &str, value: &str) -> Identity {
    if label == METRIC_NAME {
        let name = (!value.is_empty()).then(|| Arc::from(value));
        (name, labels)
    } else {
        let labels = with(&labels, label, value);
        (name, labels)
    }
}

fn get<'a>((name, labels): &'a Identity, label: &str) -> &'a str {
    if label == METRIC_NAME {
        name.as_deref().unwrap_or_default()
    } else {
        labels.get(label).unwrap_or_default()
    }
}

/// `label_replace`.
#[derive(Debug, Clone)]
pub(super) struct Replacement {
    pub(super) target: String,
    pub(super) template: String,
    pub(super) source: String,
    pub(super) pattern: Regex,
}

impl Replacement {
    pub(super) fn apply(&self, own: Identity) -> Identity {
        let Some(found) = self.pattern.captures(get(&own, &self.source)) else {
            return own;
        };
        let value = expand(&self.template, &found);
        set(own, &self.target, &value)
    }
}

/// The template of a replacement, filled in as Go's `Regexp.Expand` does: `$1`, `${1}`, `$name`, `$$`; a group that
/// does not exist is empty, and a dollar sign before anything else stands for itself.
pub(crate) fn expand(template: &str, found: &Captures<'_>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = group_name(rest) {
            let group = match name.parse::<usize>() {
                Ok(number) => found.get(number),
                Err(_) => found.name(name),
            };
            out.push_str(group.map_or("", |group| group.as_str()));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

/// The name of a group at the beginning of `text`, and what comes after it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let end = inner.find(|c| !is_of_name(c)).unwrap_or(inner.len());
    let (name, after) = inner.split_at(end);
    let after = match inner.len() < text.len() {
        true => after.strip_prefix('}')?,
        false => after,
    };
    (!name.is_empty()).then_some((name, after))
}

/// `label_join`.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    pub(super) target: String,
    pub(super) separator: String,
    pub(super) sources: Vec<String>,
}

impl Joining {
    pub(super) fn apply(&self, own: Identity) -> Identity {
        let values: Vec<&str> = self
            .sources
            .iter()
            .map(|source| get(&own, source))
            .collect();
        let value = values.join(&self.separator);
        set(own, &self.target, &value)
    }
}

/// Whether a label may be named so, by the rules before Prometheus 3: a name with other characters is most often an
/// argument in the wrong place.
pub(super) fn is_label_name(name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(is_of_name) && name.starts_with(|c: char| !c.is_ascii_digit())
}
