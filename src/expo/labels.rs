//! Label sets as text, rendered once per series.

use super::escape::{self, Escaping};
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// A label set as the formats write it. Rendered when a series is first seen, copied into every line.
///
/// One text serves every format and scheme where all names are of the old alphabet, which is nearly
/// always; else what a scheme wants is derived from it when a chunk is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedLabels {
    /// `a="1",b="2"`, sorted by name, without braces; names that need it are quoted.
    text: Box<str>,
    /// Hash of `text`, to find equal sets quickly.
    key: u64,
    /// Every name is of the old alphabet.
    legacy: bool,
}

impl RenderedLabels {
    /// Renders `pairs`; a name given twice keeps its first value. A pair with an empty name or value is
    /// left out: for Prometheus it is the same as no label. So is `__name__`, which the family has.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = pairs
            .into_iter()
            .filter(|(name, _)| !name.is_empty() && *name != "__name__")
            .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
            .collect();
        // Stable: of two pairs with one name the first given stays first, and stays.
        pairs.sort_by(|one, other| one.0.cmp(&other.0));
        pairs.dedup_by(|later, kept| later.0 == kept.0);
        pairs.retain(|(_, value)| !value.is_empty());
        let legacy = pairs.iter().all(|(name, _)| escape::is_legacy_label(name));
        let text = write(&pairs);
        Self {
            key: xxh3_64(text.as_bytes()),
            legacy,
            text: text.into(),
        }
    }

    /// The text between the braces that a scheme wants: sorted by name, no name twice.
    pub(super) fn text(&self, scheme: Escaping) -> Cow<'_, str> {
        let same = match scheme {
            Escaping::AllowUtf8 => true,
            Escaping::Underscores | Escaping::Values => self.legacy,
            Escaping::Dots => false,
        };
        if same {
            return Cow::Borrowed(&self.text);
        }
        Cow::Owned(escaped(&self.text, scheme))
    }

    /// The text between the braces with every name as it is. Equal sets have equal texts.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Names and values, sorted by name.
    pub fn pairs(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        // What `new` wrote can be read.
        parse(&self.text).unwrap_or_default()
    }

    /// Equal texts have equal keys; unequal ones nearly never.
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// Whether every name is of the old alphabet.
    pub(super) fn is_legacy(&self) -> bool {
        self.legacy
    }

    /// A set from text as [`RenderedLabels::text`] gives it, such as our own metrics'. `None` where it is
    /// not of that form.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let pairs = parse(text)?;
        Some(Self::new(
            pairs
                .iter()
                .map(|(name, value)| (name.as_ref(), value.as_ref())),
        ))
    }

    /// The text without the label `name`.
    pub(super) fn text_without(&self, name: &str) -> String {
        let mut pairs = parse(&self.text).unwrap_or_default();
        pairs.retain(|(own, _)| own != name);
        write(&pairs)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.text.len()
    }
}

/// Names under `scheme`. Two names that become one are told apart: the name that needed no escaping keeps
/// it, the others get `_2`, `_3`, ... in the order of their original names.
fn escaped(text: &str, scheme: Escaping) -> String {
    let pairs = parse(text).unwrap_or_default();
    let names: Vec<Cow<'_, str>> = pairs
        .iter()
        .map(|(name, _)| escape::escape_label_name(name, scheme))
        .collect();
    let mut taken: Vec<String> = pairs
        .iter()
        .zip(&names)
        .filter(|((name, _), escaped)| name == *escaped)
        .map(|((name, _), _)| name.to_string())
        .collect();
    let mut renamed: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::with_capacity(pairs.len());
    for ((name, value), escaped) in pairs.iter().zip(names) {
        let free = if *name == escaped {
            escaped.into_owned()
        } else {
            let free = free_name(&escaped, &taken);
            taken.push(free.clone());
            free
        };
        renamed.push((Cow::Owned(free), value.clone()));
    }
    renamed.sort();
    write(&renamed)
}

fn free_name(wanted: &str, taken: &[String]) -> String {
    let mut free = wanted.to_string();
    let mut number = 2;
    while taken.contains(&free) {
        free = format!("{wanted}_{number}");
        number += 1;
    }
    free
}

fn write(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    let mut text = String::with_capacity(pairs.len() * 32);
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        if escape::is_legacy_label(name) {
            text.push_str(name);
        } else {
            text.push('"');
            escape::push_quoted(&mut text, name);
            text.push('"');
        }
        text.push_str("=\"");
        escape::push_quoted(&mut text, value);
        text.push('"');
    }
    text
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Reads back what [`write`] wrote.
fn parse(text: &str) -> Option<Vec<Pair<'_>>> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = if rest.starts_with('"') {
            quoted(rest)?
        } else {
            let (name, _) = rest.split_once('=')?;
            (Cow::Borrowed(name), rest.get(name.len()..)?)
        };
        let (value, after) = quoted(after.strip_prefix('=')?)?;
        pairs.push((name, value));
        rest = after.strip_prefix(',').unwrap_or(after);
        if rest.len() == after.len() && !rest.is_empty() {
            return None;
        }
    }
    Some(pairs)
}

/// A quoted text at the start of `text`, without quotes and escapes, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let (value, rest) = (inner.get(..end)?, inner.get(end + 1..)?);
    if !value.contains('\\') {
        return Some((Cow::Borrowed(value), rest));
    }
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next()? {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    Some((Cow::Owned(out), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pairs: &[(&str, &str)], scheme: Escaping) -> String {
        RenderedLabels::new(pairs.iter().copied())
            .text(scheme)
            .into_owned()
    }

    #[test]
    fn hostile_values_stay_inside_their_quotes() {
        let hostile = "a\"} 1\n# EOF\\";
        let shown = text(&[("x", hostile)], Escaping::Underscores);
        assert_eq!(shown, r#"x="a\"} 1\n# EOF\\""#);
        assert_eq!(parse(&shown).unwrap(), vec![("x".into(), hostile.into())]);
    }

    #[test]
    fn the_first_of_two_values_stays_and_order_does_not_matter() {
        let pairs = [
            ("b", "2"),
            ("a", "1"),
            ("b", "3"),
            ("c", ""),
            ("__name__", "m"),
        ];
        assert_eq!(text(&pairs, Escaping::AllowUtf8), r#"a="1",b="2""#);
        let one = RenderedLabels::new([("b", "2"), ("a", "1")]);
        assert_eq!(one, RenderedLabels::new([("a", "1"), ("b", "2")]));
    }

    #[test]
    fn each_scheme_writes_names_its_way() {
        let pairs = [("pod.name", "x"), ("a_b", "y")];
        let want = [
            r#"a_b="y","pod.name"="x""#,
            r#"a_b="y",pod_name="x""#,
            r#"a__b="y",pod_dot_name="x""#,
            r#"U__pod_2e_name="x",a_b="y""#,
        ];
        for (scheme, want) in Escaping::ALL.into_iter().zip(want) {
            assert_eq!(text(&pairs, scheme), want, "{scheme}");
        }
    }

    #[test]
    fn names_that_become_one_are_told_apart() {
        let pairs = [
            ("a.b", "dot"),
            ("a_b", "kept"),
            ("a-b", "dash"),
            ("a_b_2", "two"),
        ];
        assert_eq!(
            text(&pairs, Escaping::Underscores),
            r#"a_b="kept",a_b_2="two",a_b_3="dash",a_b_4="dot""#
        );
    }
}
