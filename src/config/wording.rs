//! The words of a problem: what serde says, said for the person who wrote the file.

use crate::stats::words::nearest;

/// ` (did you mean ...?)`, or nothing.
pub fn suggestion<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, allowed).map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}

/// What kind of thing serde complains about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// A key that is not known.
    UnknownKey,
    /// A required key that is not there.
    MissingKey(String),
    /// A value that is not allowed.
    Value,
}

/// Sorts serde's message into a [`Complaint`] and says it in our words.
pub(super) fn reword(message: &str) -> (Complaint, String) {
    let quoted = backticked(message);
    let (first, rest) = match quoted.split_first() {
        Some((first, rest)) => (*first, rest),
        None => ("", &quoted[..]),
    };
    if message.starts_with("unknown field") {
        return (Complaint::UnknownKey, unknown("key", first, rest));
    }
    if message.starts_with("unknown variant") {
        return (Complaint::Value, unknown("value", first, rest));
    }
    if message.starts_with("missing field") {
        let text = format!("the key {first} is required");
        return (Complaint::MissingKey(first.to_owned()), text);
    }
    (Complaint::Value, plain(message))
}

fn unknown(what: &str, word: &str, allowed: &[&str]) -> String {
    if allowed.is_empty() {
        return format!("unknown {what} {word:?}; none is allowed here");
    }
    let mut sorted = allowed.to_vec();
    sorted.sort_unstable();
    let near = suggestion(word, sorted.iter().copied());
    format!(
        "unknown {what} {word:?}{near}; allowed: {}",
        sorted.join(", ")
    )
}

/// The words between backticks.
fn backticked(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// `invalid type: X, expected Y` as `expected Y, found X`, with the names of Rust's types translated.
fn plain(message: &str) -> String {
    let said = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix));
    let Some((found, expected)) = said.and_then(|said| said.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    format!(
        "expected {}, found {}",
        type_name(expected),
        found_name(found)
    )
}

fn type_name(rust: &str) -> &str {
    match rust {
        "f64" | "f32" => "a number",
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number of 0 or more",
        "i64" | "i32" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "text",
        "a sequence" => "a list",
        "a map" | "map" => "a mapping of keys",
        "map with a single key" | "singleton map" => "a mapping with one key",
        "path string" => "a file path",
        _ if rust.starts_with("struct ") => "a mapping of keys",
        _ if rust.starts_with("enum ") => "a word or a mapping with one key",
        _ => rust,
    }
}

fn found_name(serde: &str) -> String {
    let plain = [
        ("unit value", "nothing"),
        ("null", "nothing"),
        ("map", "a mapping"),
        ("sequence", "a list"),
    ];
    if let Some((_, name)) = plain.iter().find(|(word, _)| *word == serde) {
        return (*name).to_owned();
    }
    match backticked(serde).first() {
        Some(value) => (*value).to_owned(),
        None => serde.trim_start_matches("string ").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_slips_only() {
        let allowed = ["threshold", "window"];
        assert_eq!(nearest("treshold", allowed), Some("threshold"));
        assert_eq!(nearest("windows", allowed), Some("window"));
        assert_eq!(nearest("colour", allowed), None);
        assert_eq!(nearest("mian", ["main"]), Some("main"));
        assert_eq!(nearest("b", ["a"]), None);
    }

    #[track_caller]
    fn check(message: &str, expected: &str) {
        assert_eq!(reword(message).1, expected);
    }

    #[test]
    fn rewords() {
        check(
            "unknown field `xyzq`, expected one of `step`, `name`",
            "unknown key \"xyzq\"; allowed: name, step",
        );
        check(
            "unknown field `ste`, expected `step` or `name`",
            "unknown key \"ste\" (did you mean step?); allowed: name, step",
        );
        check(
            "unknown field `x`, there are no fields",
            "unknown key \"x\"; none is allowed here",
        );
        check(
            "invalid type: string \"a, expected b\", expected f64",
            "expected a number, found \"a, expected b\"",
        );
        check(
            "invalid type: integer `5`, expected a string",
            "expected text, found 5",
        );
        check("missing field `query`", "the key query is required");
        check("something else", "something else");
    }
}
