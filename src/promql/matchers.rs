//! Which series a selector wants.

use super::METRIC_NAME;
use crate::series::Labels;
use regex::{Regex, RegexBuilder};

/// Bytes that one compiled regular expression may take. The search itself is linear in the value.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// The conditions of one selector: groups, one of which must hold as a whole.
#[derive(Debug, Clone)]
pub struct Matchers {
    name: Option<Box<str>>,
    groups: Vec<Vec<Matcher>>,
}

/// A condition on one label. A label that is absent has the empty value.
#[derive(Debug, Clone)]
pub struct Matcher {
    label: Box<str>,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Equal(Box<str>),
    NotEqual(Box<str>),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Matchers {
    /// Of the series with this metric name, if any, those for which one of `groups` holds; no group means all.
    pub fn new(name: Option<&str>, mut groups: Vec<Vec<Matcher>>) -> Self {
        let mut name = name.map(Box::from);
        // The usual spelling of a name that is no word; an index can look it up.
        if let ([group], None) = (groups.as_mut_slice(), &name) {
            let found = group.iter().position(Matcher::names_one_metric);
            if let Some(Test::Equal(value)) = found.map(|at| group.remove(at).test) {
                name = Some(value);
            }
        }
        Self { name, groups }
    }

    /// The metric name that is asked for, if it is exactly one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether a series is wanted; `labels` are without the metric's name.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.wants(name, |matcher| matcher.matches(name, labels))
    }

    /// Whether series of this metric can be wanted, whatever their labels.
    pub fn may_match(&self, name: &str) -> bool {
        self.may_match_with(name, &[])
    }

    /// Whether series of this metric that have the labels `known` can be wanted, whatever their other labels.
    pub fn may_match_with(&self, name: &str, known: &[(&str, &str)]) -> bool {
        self.wants(name, |matcher| {
            let label = &*matcher.label;
            let all = known.iter().copied().chain([(METRIC_NAME, name)]);
            let mut values = all.filter(|(own, _)| *own == label);
            values.all(|(_, value)| matcher.test.holds(value))
        })
    }

    /// Whether the name is right, and every condition of some group `holds`.
    fn wants(&self, name: &str, holds: impl Fn(&Matcher) -> bool) -> bool {
        self.name.as_deref().is_none_or(|own| own == name)
            && (self.groups.is_empty() || self.groups.iter().any(|group| group.iter().all(&holds)))
    }

    /// The labels that every wanted series has with one value, as `absent` gives them: by equality, with no other
    /// condition on the same label.
    pub(super) fn certain(&self) -> Vec<(&str, &str)> {
        let [group] = self.groups.as_slice() else {
            return Vec::new();
        };
        let is_only = |wanted: &str| {
            group
                .iter()
                .filter(|matcher| &*matcher.label == wanted)
                .count()
                == 1
        };
        let certain = group.iter().filter_map(|matcher| match &matcher.test {
            Test::Equal(value) => Some((&*matcher.label, &**value)),
            _ => None,
        });
        certain
            .filter(|(label, _)| *label != METRIC_NAME && is_only(label))
            .collect()
    }
}

impl Matcher {
    /// `label=value`.
    pub fn equal(label: &str, value: &str) -> Self {
        Self::of(label, Test::Equal(value.into()))
    }

    /// `label!=value`.
    pub fn not_equal(label: &str, value: &str) -> Self {
        Self::of(label, Test::NotEqual(value.into()))
    }

    /// `label=~expression`, matching the whole value.
    ///
    /// # Errors
    /// What is wrong with the regular expression.
    pub fn like(label: &str, expression: &str) -> Result<Self, String> {
        Ok(Self::of(label, Test::Matches(whole(expression)?)))
    }

    /// `label!~expression`, matching the whole value.
    ///
    /// # Errors
    /// What is wrong with the regular expression.
    pub fn not_like(label: &str, expression: &str) -> Result<Self, String> {
        Ok(Self::of(label, Test::MatchesNot(whole(expression)?)))
    }

    fn of(label: &str, test: Test) -> Self {
        Self {
            label: label.into(),
            test,
        }
    }

    fn names_one_metric(&self) -> bool {
        &*self.label == METRIC_NAME && matches!(self.test, Test::Equal(_))
    }

    fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.test.holds(if &*self.label == METRIC_NAME {
            name
        } else {
            labels.get(&self.label).unwrap_or_default()
        })
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equal(own) => **own == *value,
            Self::NotEqual(own) => **own != *value,
            Self::Matches(own) => own.is_match(value),
            Self::MatchesNot(own) => !own.is_match(value),
        }
    }
}

/// A regular expression that matches whole values, the dot newlines too, as in Prometheus 3.
pub(crate) fn whole(expression: &str) -> Result<Regex, String> {
    let anchored = format!("^(?s:{})$", in_ascii(expression));
    let built = RegexBuilder::new(&anchored)
        .size_limit(MAX_REGEX_BYTES)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            format!("the regular expression {expression:?} takes too much memory; write it shorter")
        }
        _ => format!("{expression:?} is no regular expression"),
    })
}

/// The expression with the classes `\d`, `\w`, `\s` and the boundary `\b` as Go has them: of ASCII, where ours would be of
/// all scripts.
fn in_ascii(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let mut letters = expression.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
            Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
            Some('b') => out.push_str("(?-u:\\b)"),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_go() {
        let check = |expression: &str, value: &str, expected: bool| {
            let found = whole(expression).unwrap().is_match(value);
            assert_eq!(found, expected, "{expression} {value}");
        };
        check(r"K\wln", "Köln", false);
        check(r"K\Wln", "Köln", true);
        check(r"K[\w-]ln", "K-ln", true);
        check(r"K[^\d]ln", "Köln", true);
        check(r"\d+", "٣", false);
        check(r"a\sb\\d", "a b\\d", true);
        check(r"K.*\b.*ln", "Köln", true);
        check("a.b", "a\nb", true);
        check("a|b", "ab", false);
    }

    #[test]
    fn a_large_expression_is_refused() {
        let error = whole(r"(\pL{500}){500}").unwrap_err();
        assert!(error.contains("too much memory"), "{error}");
    }
}
