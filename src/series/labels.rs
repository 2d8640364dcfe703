//! Label sets: sorted, without duplicates, cheap to clone.

use std::{cmp::Ordering, fmt, sync::Arc};
use xxhash_rust::xxh3::Xxh3;

/// One label set, sorted by name. A label with an empty value is the same as no label, as in Prometheus.
///
/// One allocation of little more than the text: of a million series the labels are what takes most. It begins with
/// the number of labels and the lengths of each name and value (see [`put`]), and goes on with those one after the
/// other; nothing for no labels. The same set is always the same text.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels(Arc<str>);

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
        let pairs = all.iter().map(|(name, value)| (&**name, &**value));
        Ok(Self::packed(pairs.filter(|(_, value)| !value.is_empty())))
    }

    /// As [`Labels::new`], and at once where the pairs are sorted by name.
    ///
    /// # Errors
    /// As [`Labels::new`].
    pub fn sorted<'a>(
        pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Self, LabelError> {
        let mut before = "";
        for (name, _) in pairs.clone() {
            // An empty name is not after any.
            if name <= before {
                return Self::new(pairs);
            }
            before = name;
        }
        Ok(Self::packed(pairs.filter(|(_, value)| !value.is_empty())))
    }

    /// Of pairs that are sorted and not empty.
    fn packed<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let bytes = |(name, value): (&str, &str)| name.len() + value.len() + 2 * LENGTH_BYTES;
        let room: usize = pairs.clone().map(bytes).sum();
        let mut text = String::with_capacity(room + LENGTH_BYTES);
        match pairs.clone().count() {
            0 => return Self::default(),
            count => put(&mut text, count),
        }
        for (name, value) in pairs.clone() {
            put(&mut text, name.len());
            put(&mut text, value.len());
        }
        for (name, value) in pairs {
            text.push_str(name);
            text.push_str(value);
        }
        Self(text.into())
    }

    /// The value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.iter();
        all.find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let mut lengths = self.0.as_bytes();
        let left = take(&mut lengths);
        let mut text = lengths;
        for _ in 0..2 * left {
            take(&mut text);
        }
        let (_, text) = self.0.split_at(self.0.len() - text.len());
        Iter {
            left,
            lengths,
            text,
        }
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        take(&mut self.0.as_bytes())
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes on the heap, shared by all clones.
    pub fn heap_bytes(&self) -> usize {
        // With the two counters of references.
        self.0.len() + 2 * size_of::<usize>()
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
        hash_of(self.iter())
    }

    /// The fingerprint of [`Labels::only`] these, without making it.
    pub fn fingerprint_of(&self, names: &[String]) -> u64 {
        hash_of(
            self.iter()
                .filter(|(own, _)| names.iter().any(|name| name == own)),
        )
    }

    fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept: Vec<(&str, &str)> = self.iter().filter(|(name, _)| keep(name)).collect();
        Self::packed(kept.into_iter())
    }
}

fn hash_of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hash = Xxh3::new();
    for (name, value) in pairs {
        hash.update(name.as_bytes());
        hash.update(&[0xff]);
        hash.update(value.as_bytes());
        hash.update(&[0xff]);
    }
    hash.digest()
}
/// Digits of all lengths but the longest.
const LENGTH_BYTES: usize = 2;

/// Writes a number in digits of 64, the lowest first; all but the last one have 64 added. They are ASCII, so the text
/// is one.
fn put(text: &mut String, mut number: usize) {
    while number >= 64 {
        text.push(char::from(64 + (number % 64) as u8));
        number /= 64;
    }
    text.push(char::from(number as u8));
}

/// Reads what [`put`] wrote; 0 where nothing is left.
fn take(bytes: &mut &[u8]) -> usize {
    let (mut number, mut unit) = (0, 1);
    while let Some((&digit, rest)) = bytes.split_first() {
        *bytes = rest;
        number += unit * usize::from(digit % 64);
        unit *= 64;
        if digit < 64 {
            break;
        }
    }
    number
}

#[derive(Clone)]
struct Iter<'a> {
    left: usize,
    lengths: &'a [u8],
    text: &'a str,
}

impl<'a> Iter<'a> {
    fn part(&mut self) -> &'a str {
        let (part, rest) = self.text.split_at(take(&mut self.lengths));
        self.text = rest;
        part
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((self.part(), self.part()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl Ord for Labels {
    /// By the first name or value that differs.
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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
    use proptest::prelude::*;
    use std::collections::BTreeMap;

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
    fn pairs_that_are_sorted_and_others_are_the_same() {
        let sorted = |pairs: &[(&str, &str)]| Labels::sorted(pairs.iter().copied());
        let expected = labels(&[("a", "1"), ("b", "2")]);
        assert_eq!(
            sorted(&[("a", "1"), ("b", "2"), ("c", "")]),
            Ok(expected.clone())
        );
        assert_eq!(sorted(&[("b", "2"), ("a", "1")]), Ok(expected));
        assert_eq!(sorted(&[]), Ok(Labels::default()));
        for bad in [&[("a", "1"), ("a", "2")][..], &[("", "1"), ("a", "2")]] {
            assert_eq!(sorted(bad), Labels::new(bad.iter().copied()));
            assert!(sorted(bad).is_err());
        }
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

    proptest! {
        #[test]
        fn are_read_back_as_they_were_given_and_sort_as_pairs_do(
            one in prop::collection::btree_map("[a-c]{1,2}|.{1,80}", ".{1,200}", 0..70),
            other in prop::collection::btree_map("[a-c]{1,2}", "[a-c]{1,2}", 0..4),
        ) {
            let pairs = |map: &BTreeMap<String, String>| -> Vec<(String, String)> {
                map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
            };
            let (first, second) = (pairs(&one), pairs(&other));
            let labels = |pairs: &[(String, String)]| Labels::new(pairs.to_vec()).unwrap();
            let read: Vec<_> = labels(&first)
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            prop_assert_eq!(&read, &first);
            prop_assert_eq!(labels(&first).len(), first.len());
            prop_assert_eq!(labels(&first).cmp(&labels(&second)), first.cmp(&second));
            for (name, value) in &first {
                let labels = labels(&first);
                prop_assert_eq!(labels.get(name), Some(value.as_str()));
            }
        }
    }

    #[test]
    fn take_little_more_than_their_text() {
        let own = labels(&[("pod", "checkout-7d9f8b6c5-x2x4z"), ("namespace", "shop")]);
        assert_eq!(own.heap_bytes(), 16 + 1 + 4 + 3 + 24 + 9 + 4);
        assert_eq!(Labels::new::<&str, &str>([]).unwrap(), Labels::default());
    }
}
