//! Where in the file something stands: `signals[2].detectors[0].zscore.threshold`.

use serde_path_to_error::Segment;
use serde_yaml::Value;
use std::{fmt, str::FromStr};

/// One step down into the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into the value of a key.
    Key(String),
    /// Into an element of a list, the first is 0.
    Index(usize),
}

/// A place in the file, from its top. The empty path is the whole file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Path(Vec<Step>);

impl Path {
    /// The steps, outermost first.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is the whole file.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The place of `key` inside this one.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.child(Step::Key(key.to_owned()))
    }

    /// The place of the element `index` inside this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.child(Step::Index(index))
    }

    /// This path, one step further.
    #[must_use]
    pub fn child(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// This path followed by `other`.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// The place written as `text`.
    pub(super) fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(path) => path,
            Err(never) => match never {},
        }
    }

    /// The place around this one, and the last step; `None` at the top.
    pub fn split_last(&self) -> Option<(Self, &Step)> {
        let (last, rest) = self.0.split_last()?;
        Some((Self(rest.to_vec()), last))
    }

    /// Whether `other` is this place or inside it.
    pub fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The value here, if there is one.
    pub fn get<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    /// The value here, to change it.
    pub fn get_mut<'v>(&self, root: &'v mut Value) -> Option<&'v mut Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(index),
        })
    }

    /// Takes the value here out of the tree; elements behind it move up. Says whether there was one.
    pub fn remove(&self, root: &mut Value) -> bool {
        let Some((parent, last)) = self.split_last() else {
            return false;
        };
        match (parent.get_mut(root), last) {
            (Some(Value::Mapping(map)), Step::Key(key)) => map.remove(key.as_str()).is_some(),
            (Some(Value::Sequence(list)), Step::Index(index)) if *index < list.len() => {
                list.remove(*index);
                true
            }
            _ => false,
        }
    }
}

impl From<&serde_path_to_error::Path> for Path {
    fn from(path: &serde_path_to_error::Path) -> Self {
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { variant } => Some(Step::Key(variant.clone())),
            Segment::Unknown => None,
        });
        Self(steps.collect())
    }
}

impl FromStr for Path {
    type Err = std::convert::Infallible;

    /// Reads what [`Path`]'s `Display` writes, for the field paths of the settings structs.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut steps = Vec::new();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let mut pieces = part.split('[');
            if let Some(key) = pieces.next().filter(|key| !key.is_empty()) {
                steps.push(Step::Key(key.to_owned()));
            }
            let indices = pieces.filter_map(|piece| piece.trim_end_matches(']').parse().ok());
            steps.extend(indices.map(Step::Index));
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_it_writes() {
        for text in ["", "global", "signals[2].detectors[0].zscore.threshold"] {
            let path: Path = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn finds_and_removes() {
        let mut root: Value = serde_yaml::from_str("a: [{b: 1}, {b: 2}]").unwrap();
        let path: Path = "a[1].b".parse().unwrap();
        assert_eq!(path.get(&root), Some(&Value::from(2)));
        assert!("a[0]".parse::<Path>().unwrap().remove(&mut root));
        assert_eq!(path.get(&root), None);
        assert!(!path.remove(&mut root));
        assert!("a[0].b".parse::<Path>().unwrap().remove(&mut root));
    }
}
