//! Relabelling: what becomes of a label set, step by step, as Prometheus does it (`model/relabel/relabel.go` of 3.x).
//!
//! Pure: no IO, no clock (invariant 1).

mod settings;
#[cfg(test)]
mod tests;

pub use settings::{Action, RelabelSettings};

use crate::promql;
use md5::{Digest, Md5};
use regex::Regex;
use std::collections::BTreeMap;

/// Labels by name while they are being changed. An empty value is the same as no label.
pub type LabelMap = BTreeMap<String, String>;

/// A step of relabelling, its regular expression compiled.
#[derive(Debug, Clone)]
pub struct Relabel {
    settings: RelabelSettings,
    regex: Regex,
}

/// Takes `labels` through `steps`. `false`: the whole of it is let go of, and what `labels` are then means nothing.
#[must_use]
pub fn relabel(labels: &mut LabelMap, steps: &[Relabel]) -> bool {
    steps.iter().all(|step| step.apply(labels))
}

/// Sets a label; an empty value takes it away.
pub fn set(labels: &mut LabelMap, name: &str, value: String) {
    if value.is_empty() {
        labels.remove(name);
    } else if let Some(own) = labels.get_mut(name) {
        *own = value;
    } else {
        labels.insert(name.to_owned(), value);
    }
}

impl Relabel {
    /// A step as `settings`, which are valid, say.
    ///
    /// # Errors
    /// What is wrong with the regular expression.
    pub fn new(settings: &RelabelSettings) -> Result<Self, String> {
        Ok(Self {
            regex: promql::whole_value(&settings.regex)?,
            settings: settings.clone(),
        })
    }

    /// One step; `false` where `labels` are let go of.
    fn apply(&self, labels: &mut LabelMap) -> bool {
        let settings = &self.settings;
        let target = settings.target_label.as_str();
        let joined = self.joined(labels);
        match settings.action {
            Action::Drop => return !self.regex.is_match(&joined),
            Action::Keep => return self.regex.is_match(&joined),
            Action::DropEqual => return get(labels, target) != joined,
            Action::KeepEqual => return get(labels, target) == joined,
            Action::Replace => self.replace(labels, &joined),
            Action::Lowercase => set(labels, target, lowercase(&joined)),
            Action::Uppercase => set(labels, target, uppercase(&joined)),
            Action::HashMod => set(labels, target, hash_mod(&joined, settings.modulus)),
            Action::LabelMap => self.map_names(labels),
            Action::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
        }
        true
    }

    fn joined(&self, labels: &LabelMap) -> String {
        let sources = self.settings.source_labels.iter();
        let values: Vec<&str> = sources.map(|name| get(labels, name)).collect();
        values.join(&self.settings.separator)
    }

    fn replace(&self, labels: &mut LabelMap, joined: &str) {
        let Some(found) = self.regex.captures(joined) else {
            return;
        };
        let target = promql::expand(&self.settings.target_label, &found);
        if !target.is_empty() {
            let value = promql::expand(&self.settings.replacement, &found);
            set(labels, &target, value);
        }
    }

    fn map_names(&self, labels: &mut LabelMap) {
        let renamed: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(name, value)| {
                let found = self.regex.captures(name)?;
                let new = promql::expand(&self.settings.replacement, &found);
                Some((new, value.clone()))
            })
            .collect();
        for (name, value) in renamed.into_iter().filter(|(name, _)| !name.is_empty()) {
            set(labels, &name, value);
        }
    }
}

fn get<'a>(labels: &'a LabelMap, name: &str) -> &'a str {
    labels.get(name).map_or("", String::as_str)
}

/// The last eight bytes of the MD5, as a number, modulo `modulus`: what targets are shared out by between several
/// Prometheus servers, so it must be the very same.
fn hash_mod(text: &str, modulus: u64) -> String {
    let hash = Md5::digest(text.as_bytes());
    let number = hash
        .iter()
        .skip(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number.checked_rem(modulus).unwrap_or(0).to_string()
}

/// Letter by letter, as in Go: where one letter would become several, its first one.
fn lowercase(text: &str) -> String {
    let first = |letter: char| letter.to_lowercase().next().unwrap_or(letter);
    text.chars().map(first).collect()
}

/// Letter by letter, as in Go: a letter that would become several, as `ß`, stays.
fn uppercase(text: &str) -> String {
    let one = |letter: char| {
        let mut upper = letter.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => letter,
        }
    };
    text.chars().map(one).collect()
}
