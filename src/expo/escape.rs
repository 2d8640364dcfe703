//! Names of metrics and labels as each escaping scheme of Prometheus writes them.
//!
//! Source: `docs/instrumenting/escaping_schemes.md` and `model.EscapeName` of prometheus/common. One
//! difference, on purpose: a colon is legal in a metric's name but in no legacy label name, so it is
//! escaped there, where prometheus/common lets it through and the reader then refuses the line.

use std::{borrow::Cow, fmt};

/// What a reader wants done to names that are not of the old alphabet `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escaping {
    /// Any UTF-8, quoted where needed.
    AllowUtf8,
    /// Everything else becomes `_`. The default of the formats.
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`; everything else `__`.
    Dots,
    /// `U__` and the code points in hexadecimal: can be undone.
    Values,
}

impl Escaping {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// Its name in `Accept` and `Content-Type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The scheme of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
    }

    /// Its place in [`Escaping::ALL`].
    pub(super) const fn index(self) -> usize {
        match self {
            Self::AllowUtf8 => 0,
            Self::Underscores => 1,
            Self::Dots => 2,
            Self::Values => 3,
        }
    }
}

impl fmt::Display for Escaping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A family's name under a scheme. [`Escaping::AllowUtf8`] leaves it as it is.
pub fn escape_family_name(name: &str, scheme: Escaping) -> Cow<'_, str> {
    escape(name, scheme, Alphabet::Metric)
}

/// A label's name under a scheme. [`Escaping::AllowUtf8`] leaves it as it is.
pub fn escape_label_name(name: &str, scheme: Escaping) -> Cow<'_, str> {
    escape(name, scheme, Alphabet::Label)
}

/// Whether a family's name is of the old alphabet, so that it needs no quotes.
pub(super) fn is_legacy_family(name: &str) -> bool {
    is_legacy(name, Alphabet::Metric)
}

/// Whether a label's name is of the old alphabet, so that it needs no quotes.
pub(super) fn is_legacy_label(name: &str) -> bool {
    is_legacy(name, Alphabet::Label)
}

/// Appends a label value (or a quoted name) without its quotes: backslash, quote and line feed escaped.
pub(super) fn push_quoted(out: &mut String, value: &str) {
    push_escaped(out, value, true);
}

/// Appends a help text: backslash and line feed escaped, and quotes where the format wants it.
pub(super) fn push_help(out: &mut String, help: &str, quotes: bool) {
    push_escaped(out, help, quotes);
}

fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    // Nearly always.
    if memchr::memchr3(b'\\', b'\n', b'"', text.as_bytes()).is_none() {
        return out.push_str(text);
    }
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Alphabet {
    Metric,
    Label,
}

fn is_legacy(name: &str, alphabet: Alphabet) -> bool {
    !name.is_empty()
        && name
            .chars()
            .enumerate()
            .all(|(place, letter)| is_legacy_letter(letter, place, alphabet))
}

fn is_legacy_letter(letter: char, place: usize, alphabet: Alphabet) -> bool {
    letter.is_ascii_alphabetic()
        || letter == '_'
        || (letter == ':' && alphabet == Alphabet::Metric)
        || (letter.is_ascii_digit() && place > 0)
}

fn escape(name: &str, scheme: Escaping, alphabet: Alphabet) -> Cow<'_, str> {
    // `dots` changes underscores, so legacy names too.
    let unchanged = match scheme {
        Escaping::AllowUtf8 => true,
        Escaping::Underscores | Escaping::Values => is_legacy(name, alphabet),
        Escaping::Dots => is_legacy(name, alphabet) && !name.contains('_'),
    };
    if unchanged || name.is_empty() {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 8);
    if scheme == Escaping::Values {
        out.push_str("U__");
    }
    for (place, letter) in name.chars().enumerate() {
        // After `U__` a digit is no longer the first letter, but the reference escapes it all the same.
        let legacy = is_legacy_letter(letter, place, alphabet);
        push_letter(&mut out, letter, legacy, scheme);
    }
    Cow::Owned(out)
}

fn push_letter(out: &mut String, letter: char, legacy: bool, scheme: Escaping) {
    match (scheme, letter) {
        (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
        (Escaping::Dots, '.') => out.push_str("_dot_"),
        _ if legacy => out.push(letter),
        (Escaping::Dots, _) => out.push_str("__"),
        (Escaping::Values, _) => out.push_str(&format!("_{:x}_", u32::from(letter))),
        _ => out.push('_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of prometheus/common `model/metric_test.go: TestEscapeName`.
    #[test]
    fn names_are_escaped_as_prometheus_escapes_them() {
        let cases = [
            (
                "no:escaping_required",
                "no:escaping_required",
                "no:escaping__required",
                "no:escaping_required",
            ),
            (
                "mysystem.prod.west.cpu.load",
                "mysystem_prod_west_cpu_load",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
            ),
            (
                "mysystem.prod.west.cpu.load_total",
                "mysystem_prod_west_cpu_load_total",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load__total",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load__total",
            ),
            (
                "http.status:sum",
                "http_status:sum",
                "http_dot_status:sum",
                "U__http_2e_status:sum",
            ),
            (
                "label with 😱",
                "label_with__",
                "label__with____",
                "U__label_20_with_20__1f631_",
            ),
            ("花火", "__", "____", "U___82b1__706b_"),
            ("花", "_", "__", "U___82b1_"),
        ];
        for (name, underscores, dots, values) in cases {
            assert_eq!(escape_family_name(name, Escaping::AllowUtf8), name);
            assert_eq!(escape_family_name(name, Escaping::Underscores), underscores);
            assert_eq!(escape_family_name(name, Escaping::Dots), dots, "{name}");
            assert_eq!(escape_family_name(name, Escaping::Values), values, "{name}");
        }
    }

    #[test]
    fn a_colon_is_no_letter_of_a_label() {
        assert_eq!(escape_label_name("a:b", Escaping::Underscores), "a_b");
        assert_eq!(escape_label_name("a:b", Escaping::Values), "U__a_3a_b");
        assert_eq!(escape_label_name("5xx", Escaping::Underscores), "_xx");
        assert!(!is_legacy_label("a:b") && is_legacy_family("a:b"));
    }
}
