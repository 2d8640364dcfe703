//! From YAML to the settings structs, without stopping at the first error.
//!
//! serde stops at the first thing it cannot read. So what it complained about is noted and taken out
//! of the tree, and the rest is read again, until all of it fits or nothing is left to take out.

use super::{
    path::{Path, Step},
    problem::Problem,
    wording::{self, Complaint},
};
use serde::de::DeserializeOwned;
use serde_yaml::{Value, with::singleton_map_recursive};

/// More problems than this help nobody, and each costs another reading.
const MAX_PROBLEMS: usize = 100;

/// What was taken out of the tree, so that places in the rest can still be named as in the file.
#[derive(Debug, Default)]
pub(super) struct Removed(Vec<Path>);

impl Removed {
    /// The place in the file of what is now at `path` in the tree.
    pub(super) fn original(&self, path: &Path) -> Path {
        let mut original = Path::default();
        for step in path.steps() {
            original = match step {
                Step::Key(key) => original.key(key),
                Step::Index(index) => {
                    let index = self.original_index(&original, *index);
                    original.index(index)
                }
            };
        }
        original
    }

    /// Elements before it that were taken out moved it up.
    fn original_index(&self, list: &Path, index: usize) -> usize {
        let mut gone: Vec<usize> = self
            .0
            .iter()
            .filter_map(|path| match path.split_last() {
                Some((parent, Step::Index(gone))) if parent == *list => Some(*gone),
                _ => None,
            })
            .collect();
        gone.sort_unstable();
        gone.into_iter()
            .fold(index, |index, gone| index + usize::from(gone <= index))
    }

    /// Whether something at, in or around `path` was taken out: what is wrong with the rest of it may
    /// only be wrong for that reason.
    pub(super) fn touches(&self, path: &Path) -> bool {
        self.0
            .iter()
            .any(|gone| gone.holds(path) || path.holds(gone))
    }

    /// Whether exactly this was taken out.
    fn contains(&self, path: &Path) -> bool {
        self.0.contains(path)
    }
}

/// What could be read.
#[derive(Debug)]
pub(super) struct Reading<T> {
    /// The value, without what was wrong; `None` where too much was.
    pub(super) value: Option<T>,
    /// What was left out of it.
    pub(super) removed: Removed,
}

/// Reads `tree`, adding what does not fit to `problems`. `from_env` are the places that the environment
/// filled: text there may stand for a number. Of places that already have a problem nothing more is said.
pub(super) fn read<T: DeserializeOwned>(
    tree: Value,
    from_env: Vec<Path>,
    problems: &mut Vec<Problem>,
) -> Reading<T> {
    let mut reader = Reader {
        tree,
        secret: from_env.clone(),
        from_env,
        known: problems
            .iter()
            .map(|problem| problem.path.clone())
            .collect(),
        emptied: Vec::new(),
        removed: Removed::default(),
        problems,
    };
    let value = reader.run();
    Reading {
        value,
        removed: reader.removed,
    }
}

struct Reader<'p> {
    tree: Value,
    /// Filled by the environment and not yet tried as numbers.
    from_env: Vec<Path>,
    /// Values that no message may show.
    secret: Vec<Path>,
    /// Places whose problem was reported before.
    known: Vec<Path>,
    /// Keys without a value that were tried as empty mappings.
    emptied: Vec<Path>,
    removed: Removed,
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_> {
    fn run<T: DeserializeOwned>(&mut self) -> Option<T> {
        while self.problems.len() < MAX_PROBLEMS {
            let mut track = serde_path_to_error::Track::new();
            let tracked = serde_path_to_error::Deserializer::new(&self.tree, &mut track);
            let error = match singleton_map_recursive::deserialize::<T, _>(tracked) {
                Ok(value) => return Some(value),
                Err(error) => error.to_string(),
            };
            let at = Path::from(&track.path());
            if !self.try_otherwise(&at) && !self.note(&at, &error) {
                return None;
            }
        }
        None
    }

    /// Reads what is at `at` in another way that a person may have meant; `false` where there is none.
    fn try_otherwise(&mut self, at: &Path) -> bool {
        let original = self.removed.original(at);
        let Some(value) = at.get_mut(&mut self.tree) else {
            return false;
        };
        if value.is_null() {
            // `alerting:` with every line below it commented out.
            *value = Value::Mapping(serde_yaml::Mapping::new());
            self.emptied.push(original);
            return true;
        }
        let Some(position) = self.from_env.iter().position(|path| *path == original) else {
            return false;
        };
        self.from_env.remove(position);
        let scalar = value
            .as_str()
            .and_then(|text| serde_yaml::from_str::<Value>(text).ok())
            .filter(|scalar| scalar.is_number() || scalar.is_bool());
        match scalar {
            Some(scalar) => {
                *value = scalar;
                true
            }
            None => false,
        }
    }

    /// Notes the problem and takes its cause out of the tree; `false` where that is not possible.
    fn note(&mut self, at: &Path, error: &str) -> bool {
        let original = self.removed.original(at);
        let (complaint, mut message) = wording::reword(error);
        if let Complaint::MissingKey(key) = &complaint
            && self.removed.contains(&original.key(key))
        {
            return self.take_out(at); // its value was wrong: that was already said
        }
        if self.known.contains(&original) {
            return self.take_out(at);
        }
        let emptied = |value: &Value| value.as_mapping().is_some_and(|map| map.is_empty());
        if complaint == Complaint::Value
            && at.get(&self.tree).is_some_and(emptied)
            && self.removed.touches(&original)
        {
            return self.take_out(at); // what was in it was wrong: that was already said
        }
        if complaint == Complaint::Value {
            if self.emptied.contains(&original) {
                message = format!("{} has no value", last_key(&original));
            } else if self.hides(&original) {
                message = hide(&message, at.get(&self.tree));
            }
        }
        self.problems.push(Problem::new(original, message));
        self.take_out(at)
    }

    fn take_out(&mut self, at: &Path) -> bool {
        let original = self.removed.original(at);
        if at.remove(&mut self.tree) {
            self.removed.0.push(original);
            return true;
        }
        // The library names a place that is not in the tree: what is around it then.
        at.split_last()
            .is_some_and(|(parent, _)| !parent.is_root() && self.take_out(&parent))
    }

    fn hides(&self, original: &Path) -> bool {
        self.secret.contains(original) || is_secret(original)
    }
}

/// Keys of a source below which values may be secrets, also where they were written in the wrong shape.
const SECRET_KEYS: [&str; 6] = [
    "authorization",
    "basic_auth",
    "bearer_token",
    "headers",
    "tls_config",
    "url",
];

/// Whether what is written at `path` may be a secret.
fn is_secret(path: &Path) -> bool {
    path.steps().iter().any(|step| match step {
        Step::Key(key) => SECRET_KEYS.contains(&key.as_str()) || key.contains("password"),
        Step::Index(_) => false,
    })
}

/// `message` without the value it may cite.
fn hide(message: &str, value: Option<&Value>) -> String {
    let text = match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return message.to_owned(),
    };
    if text.is_empty() {
        return message.to_owned();
    }
    // A part of it may be cited too: then nothing of the message is sure to be harmless.
    let hidden = message
        .replace(&format!("{text:?}"), "<hidden>")
        .replace(&text, "<hidden>");
    if hidden == *message {
        "its value (hidden here) is not allowed".to_owned()
    } else {
        hidden
    }
}

fn last_key(path: &Path) -> String {
    let last = path.steps().iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.clone()),
        Step::Index(_) => None,
    });
    last.unwrap_or_else(|| "the file".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Item {
        name: String,
        #[serde(default)]
        size: u32,
        #[serde(default)]
        kinds: Vec<Kind>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain(Plain),
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Plain {
        #[serde(default)]
        depth: u32,
    }

    fn run(text: &str, env: &[&str]) -> (Reading<Outer>, Vec<String>) {
        let mut problems = Vec::new();
        let env = env.iter().map(|path| path.parse().unwrap()).collect();
        let reading = read(serde_yaml::from_str(text).unwrap(), env, &mut problems);
        let lines = problems.iter().map(ToString::to_string).collect();
        (reading, lines)
    }

    #[test]
    fn reports_everything_with_the_places_of_the_file() {
        let text = "items:\n- {nam: a}\n- {name: b, size: x, kinds: [{plian: {}}, {plain: {deep: 1}}]}\n- {name: [], size: 2}\n- {name: d, size: -1}";
        let (reading, problems) = run(text, &[]);
        let expected = [
            "items[0].nam: unknown key \"nam\" (did you mean name?); allowed: kinds, name, size",
            "items[0]: the key name is required",
            "items[1].size: expected a whole number of 0 or more, found \"x\"",
            "items[1].kinds[0].plian: unknown value \"plian\" (did you mean plain?); allowed: plain",
            "items[1].kinds[1].plain.deep: unknown key \"deep\"; allowed: depth",
            "items[2].name: expected text, found a list",
            "items[3].size: expected a whole number of 0 or more, found -1",
        ];
        assert_eq!(problems, expected);
        let names: Vec<_> = reading
            .value
            .unwrap()
            .items
            .into_iter()
            .map(|i| i.name)
            .collect();
        assert_eq!(names, ["b", "d"]);
    }

    #[test]
    fn text_of_the_environment_may_be_a_number_and_is_never_shown() {
        let (reading, problems) = run(
            "items: [{name: '5', size: '5'}]",
            &["items[0].name", "items[0].size"],
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!(reading.value.unwrap().items[0].size, 5);
        let (_, problems) = run("items: [{name: a, size: hunter2}]", &["items[0].size"]);
        assert_eq!(problems.len(), 1);
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }

    #[test]
    fn a_key_without_a_value_is_an_empty_mapping_where_that_fits() {
        let (reading, problems) = run("items: [{name: a, kinds: [{plain: }]}]", &[]);
        assert_eq!(problems, [""; 0]);
        assert_eq!(reading.value.unwrap().items[0].kinds.len(), 1);
        let (_, problems) = run("items: [{name: }]", &[]);
        assert_eq!(problems, ["items[0].name: name has no value"]);
    }
}
