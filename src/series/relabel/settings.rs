//! The shape of a step of relabelling in the configuration, and its checks: those of Prometheus
//! (`model/relabel/relabel.go`, `Config.Validate`).

use serde::{Deserialize, Deserializer, de};

/// One step of relabelling, as Prometheus has it in `relabel_configs` and `metric_relabel_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelabelSettings {
    /// The labels whose values are joined and looked at.
    pub source_labels: Vec<String>,
    /// What stands between the joined values.
    pub separator: String,
    /// A regular expression that matches the whole text.
    pub regex: String,
    /// What a hash is divided by.
    pub modulus: u64,
    /// The label that is set; with references such as `$1` for `replace`.
    pub target_label: String,
    /// What it is set to, with references such as `$1`.
    pub replacement: String,
    /// What is done.
    pub action: Action,
}

/// What a step of relabelling does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Lets go of everything that matches.
    Drop,
    /// Lets go of everything where the joined values are that of the target label.
    DropEqual,
    /// Sets a label to a hash of the joined values.
    HashMod,
    /// Lets go of everything that does not match.
    Keep,
    /// Lets go of everything where the joined values are not that of the target label.
    KeepEqual,
    /// Takes away the labels whose names match.
    LabelDrop,
    /// Takes away the labels whose names do not match.
    LabelKeep,
    /// Copies the labels whose names match to other names.
    LabelMap,
    /// Sets a label to the joined values in lower case.
    Lowercase,
    /// Sets a label where the joined values match.
    Replace,
    /// Sets a label to the joined values in upper case.
    Uppercase,
}

/// The words for what a step does, sorted.
const ACTIONS: [(&str, Action); 11] = [
    ("drop", Action::Drop),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("keep", Action::Keep),
    ("keepequal", Action::KeepEqual),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("labelmap", Action::LabelMap),
    ("lowercase", Action::Lowercase),
    ("replace", Action::Replace),
    ("uppercase", Action::Uppercase),
];

impl Default for RelabelSettings {
    /// As in Prometheus.
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            regex: Self::ANYTHING.to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: Self::FIRST_GROUP.to_owned(),
            action: Action::Replace,
        }
    }
}

impl RelabelSettings {
    /// The regular expression where none is given.
    pub(super) const ANYTHING: &str = "(.*)";
    /// The replacement where none is given.
    const FIRST_GROUP: &str = "$1";

    /// All problems, each with the path of the key and what to change.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |key: &str, problem: String| found.push((key.to_owned(), problem));
        let action = self.action.as_str();
        if let Err(problem) = crate::promql::whole_value(&self.regex) {
            add("regex", problem);
        }
        if self.source_labels.iter().any(String::is_empty) {
            add("source_labels", "the name of a label is empty".to_owned());
        }
        if self.action == Action::HashMod && self.modulus == 0 {
            let text = "is needed for hashmod, and must be at least 1";
            add("modulus", text.to_owned());
        }
        if self.action.sets_target() && self.target_label.is_empty() {
            add("target_label", format!("is needed for {action}"));
        }
        if self.action == Action::LabelMap && self.replacement.is_empty() {
            let text = "is needed for labelmap: it is the new name";
            add("replacement", text.to_owned());
        }
        for (key, _) in self
            .given()
            .into_iter()
            .filter(|(key, given)| *given && !self.action.takes(key))
        {
            let allowed = self.action.allowed();
            add(
                key,
                format!("has no meaning for {action}, which takes only {allowed}"),
            );
        }
        found
    }

    /// Which keys differ from what they are where they are left out.
    fn given(&self) -> [(&'static str, bool); 6] {
        let default = Self::default();
        [
            ("source_labels", self.source_labels != default.source_labels),
            ("separator", self.separator != default.separator),
            ("regex", self.regex != default.regex),
            ("modulus", self.modulus != default.modulus),
            ("target_label", self.target_label != default.target_label),
            ("replacement", self.replacement != default.replacement),
        ]
    }
}

impl Action {
    /// Its word in the configuration.
    pub fn as_str(self) -> &'static str {
        let found = ACTIONS.iter().find(|(_, action)| *action == self);
        found.map_or("replace", |(word, _)| word)
    }

    fn sets_target(self) -> bool {
        use Action::{DropEqual, HashMod, KeepEqual, Lowercase, Replace, Uppercase};
        matches!(
            self,
            Replace | KeepEqual | DropEqual | HashMod | Lowercase | Uppercase
        )
    }

    /// Whether Prometheus accepts a key beside the action. It passes over some that mean nothing, and so do we.
    fn takes(self, key: &str) -> bool {
        match self {
            Self::LabelDrop | Self::LabelKeep => key == "regex",
            Self::KeepEqual | Self::DropEqual => ["source_labels", "target_label"].contains(&key),
            Self::Lowercase | Self::Uppercase => key != "replacement",
            _ => true,
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::LabelDrop | Self::LabelKeep => "regex",
            Self::KeepEqual | Self::DropEqual => "source_labels and target_label",
            _ => "source_labels, separator and target_label",
        }
    }
}

impl<'de> Deserialize<'de> for Action {
    /// In any case, as in Prometheus.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = ACTIONS
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(&text));
        found.map(|(_, action)| *action).ok_or_else(|| {
            let words: Vec<&str> = ACTIONS.iter().map(|(word, _)| *word).collect();
            de::Error::custom(format!(
                "{text:?} is no action; allowed: {}",
                words.join(", ")
            ))
        })
    }
}
