//! Numbers and lines.

use super::escape::{self, Escaping};
use crate::series::Millis;
use std::fmt::Write as _;

/// Integers up to here are exact in an `f64`, and shorter when written as integers.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// Appends `value` so that reading it gives the very same value. Never called with `NaN`.
fn push_number(out: &mut String, value: f64) {
    if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if is_short_integer(value) {
        out.push_str(itoa::Buffer::new().format(value as i64));
    } else {
        out.push_str(ryu::Buffer::new().format(value));
    }
}

/// Minus zero is not one: an integer has no sign of its own there.
fn is_short_integer(value: f64) -> bool {
    value.fract() == 0.0
        && value.abs() < EXACT_INTEGERS
        && (value != 0.0 || value.is_sign_positive())
}

/// `value` as the formats write it: `1`, `0.25`, `1e-7`, `+Inf`.
pub fn number(value: f64) -> String {
    let mut out = String::new();
    push_number(&mut out, value);
    out
}

/// The `f64` with the shortest decimal text that reads back as this `f32`: `0.1`, where a plain
/// conversion would show `0.10000000149011612` and promise digits nobody has computed.
pub fn shortest(value: f32) -> f64 {
    if !value.is_finite() {
        return f64::from(value);
    }
    ryu::Buffer::new()
        .format(value)
        .parse()
        .unwrap_or(f64::from(value))
}

/// The start of every line of a family: its name, up to where the labels go.
#[derive(Debug)]
pub(super) struct LineStart {
    bare: String,
    open: String,
    labels_follow: &'static str,
}

impl LineStart {
    /// For `name`, already escaped; a name that is not legacy goes inside the braces, in quotes.
    pub(super) fn new(name: &str) -> Self {
        if escape::is_legacy_family(name) {
            return Self {
                bare: name.to_string(),
                open: format!("{name}{{"),
                labels_follow: "",
            };
        }
        let mut open = String::from("{\"");
        escape::push_quoted(&mut open, name);
        open.push('"');
        Self {
            bare: format!("{open}}}"),
            open,
            labels_follow: ",",
        }
    }

    /// Appends one line.
    pub(super) fn push_line(&self, out: &mut String, labels: &str, value: f64) {
        self.push_series(out, labels);
        push_number(out, value);
        out.push('\n');
    }

    /// Appends one line whose value is already text.
    pub(super) fn push_line_text(&self, out: &mut String, labels: &str, value: &str) {
        self.push_series(out, labels);
        out.push_str(value);
        out.push('\n');
    }

    /// Appends one line with a time: seconds, as OpenMetrics has them.
    pub(super) fn push_line_at(&self, out: &mut String, labels: &str, value: f64, at: Millis) {
        self.push_series(out, labels);
        push_number(out, value);
        out.push(' ');
        out.push_str(itoa::Buffer::new().format(at.div_euclid(1_000)));
        let rest = at.rem_euclid(1_000);
        if rest > 0 {
            // Digits, so it does not fail.
            _ = write!(out, ".{rest:03}");
        }
        out.push('\n');
    }

    fn push_series(&self, out: &mut String, labels: &str) {
        if labels.is_empty() {
            out.push_str(&self.bare);
            out.push(' ');
        } else {
            out.push_str(&self.open);
            out.push_str(self.labels_follow);
            out.push_str(labels);
            out.push_str("} ");
        }
    }
}

/// The comment lines above a family.
pub(super) struct Header<'a> {
    /// Name as this format wants it in the header.
    pub(super) name: &'a str,
    /// Type as this format calls it.
    pub(super) kind: &'a str,
    /// Not escaped.
    pub(super) help: &'a str,
    /// Only for OpenMetrics.
    pub(super) unit: Option<&'a str>,
}

impl Header<'_> {
    pub(super) fn push(&self, out: &mut String, open_metrics: bool) {
        self.start(out, "HELP");
        escape::push_help(out, self.help, open_metrics);
        out.push('\n');
        self.start(out, "TYPE");
        out.push_str(self.kind);
        out.push('\n');
        // A unit that is not the end of the name makes an OpenMetrics reader refuse everything.
        let unit = self
            .unit
            .filter(|unit| open_metrics && has_suffix(self.name, unit));
        if let Some(unit) = unit {
            self.start(out, "UNIT");
            out.push_str(unit);
            out.push('\n');
        }
    }

    fn start(&self, out: &mut String, word: &str) {
        out.push_str("# ");
        out.push_str(word);
        out.push(' ');
        if escape::is_legacy_family(self.name) {
            out.push_str(self.name);
        } else {
            out.push('"');
            escape::push_quoted(out, self.name);
            out.push('"');
        }
        out.push(' ');
    }
}

fn has_suffix(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit)
        .is_some_and(|rest| rest.ends_with('_'))
}

/// The name of a family in its header: a counter of OpenMetrics goes without `_total`.
pub(super) fn header_name(full: &str, scheme: Escaping, strip: Option<&str>) -> String {
    let escaped = escape::escape_family_name(full, scheme);
    let stripped = strip.and_then(|suffix| escaped.strip_suffix(suffix));
    stripped.unwrap_or(&escaped).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0.0"),
            (1.0, "1"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (1e-7, "1e-7"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (1e300, "1e300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }

    #[test]
    fn a_narrow_number_shows_no_digits_it_has_not() {
        assert_eq!(number(shortest(0.1)), "0.1");
        assert_eq!(number(shortest(1_234.567)), "1234.567");
        assert!(shortest(f32::NAN).is_nan());
        assert_eq!(shortest(0.3) as f32, 0.3_f32);
    }
}
