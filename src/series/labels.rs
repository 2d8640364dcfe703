//! Label sets: sorted, without duplicates, cheap to clone.

use std::{fmt, sync::Arc};
use xxhash_rust::xxh3::Xxh3;

/// One label set, sorted by name. A label with an empty value is the same as no label, as in Prometheus.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

/// Why pairs cannot be a label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The same name twice.
    #[error("label {0:?} appears twice")]
    Duplicate(String),
    /// A label without a name.
    #[error("a label has an empty name (value {0:?})")]
    EmptyName(String),
}

impl Labels {
    /// A label set of `pairs` in any order.
    ///
    /// # Errors
    /// A name twice, or an empty name.
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelError>
    where
        N: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let mut all: Vec<(Box<str>, Box<str>)> = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        all.sort_unstable();
        if let Some((_, value)) = all.iter().find(|(name, _)| name.is_empty()) {
            return Err(LabelError::EmptyName(value.to_string()));
        }
        if let Some(twice) = all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelError::Duplicate(twice[0].0.to_string()));
        }
        all.retain(|(_, value)| !value.is_empty());
        Ok(Self(all.into()))
    }

    /// The value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .0
            .binary_search_by(|(own, _)| own.as_ref().cmp(name))
            .ok()?;
        Some(&self.0[found].1)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Only the labels whose names are in `names`.
    pub fn only(&self, names: &[String]) -> Self {
        self.filtered(|name| names.iter().any(|kept| kept == name))
    }

    /// All labels but those whose names are in `names`.
    pub fn without(&self, names: &[&str]) -> Self {
        self.filtered(|name| !names.contains(&name))
    }

    /// A hash that is the same on every machine and in every version.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        for (name, value) in self.iter() {
            hash.update(name.as_bytes());
            hash.update(&[0xff]);
            hash.update(value.as_bytes());
            hash.update(&[0xff]);
        }
        hash.digest()
    }

    fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| keep(name))
                .cloned()
                .collect(),
        )
    }
}

impl fmt::Display for Labels {
    /// As Prometheus writes it: `{a="b", c="d"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::new(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn order_and_empty_values_do_not_matter() {
        let one = labels(&[("b", "2"), ("a", "1"), ("c", "")]);
        assert_eq!(one, labels(&[("a", "1"), ("b", "2")]));
        assert_eq!(
            one.fingerprint(),
            labels(&[("a", "1"), ("b", "2")]).fingerprint()
        );
        assert_eq!(one.to_string(), r#"{a="1", b="2"}"#);
        assert_eq!(one.get("b"), Some("2"));
        assert_eq!(one.without(&["a"]), labels(&[("b", "2")]));
    }

    #[test]
    fn bad_pairs_are_named() {
        let twice = Labels::new([("a", "1"), ("a", "2")]).unwrap_err();
        assert_eq!(twice.to_string(), "label \"a\" appears twice");
        assert!(Labels::new([("", "1")]).is_err());
    }

    #[test]
    fn neighbouring_labels_do_not_run_together() {
        let one = labels(&[("a", "bc"), ("d", "e")]);
        let other = labels(&[("a", "b"), ("cd", "e")]);
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}
