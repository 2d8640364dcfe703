//! Query parameters: an unknown or doubled one is an error that names it, as everywhere else.

use percent_encoding::percent_decode_str;
use std::ops::RangeInclusive;

/// The parameters of one request, in the order given.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind `?`.
    ///
    /// # Errors
    /// Something that is not UTF-8 after decoding, or a name that is not in `allowed`.
    pub(super) fn parse(text: Option<&str>, allowed: &[&str]) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for pair in text
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            if !allowed.contains(&name.as_str()) {
                return Err(unknown(&name, allowed));
            }
            let value = decoded(value)?;
            // No name and no cursor has them, and databases differ in what they make of them.
            if value.chars().any(char::is_control) {
                return Err(format!(
                    "parameter {name:?} has a control character in it, got {value:?}"
                ));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// Every value of a parameter that may be repeated.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once.
    ///
    /// # Errors
    /// It is given twice.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, String> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(format!(
                "parameter {name:?} is given more than once; give it once"
            ));
        }
        Ok(first)
    }

    /// The value of a parameter that has to be given, and once; `what` it says is told where it is not.
    ///
    /// # Errors
    /// It is given twice, or not at all.
    pub(super) fn needed(&self, name: &str, what: &str) -> Result<&str, String> {
        let value = self.one(name)?;
        value.ok_or_else(|| format!("parameter {name:?} is missing: {what}"))
    }

    /// What `read` makes of a parameter, which must be what `must_be` says; `None` where it is not given.
    ///
    /// # Errors
    /// It is given twice, or `read` makes nothing of it.
    pub(super) fn read<T>(
        &self,
        name: &str,
        must_be: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        let value = read(text)
            .ok_or_else(|| format!("parameter {name:?} must be {must_be}, got {text:?}"))?;
        Ok(Some(value))
    }

    /// A finite number of 0 or more, `None` where it is not given.
    ///
    /// # Errors
    /// It is given twice, or is no such number.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, String> {
        self.read(name, "a number of 0 or more", |text| {
            let number: Option<f64> = text.parse().ok();
            number.filter(|number| number.is_finite() && *number >= 0.0)
        })
    }

    /// A whole number, `otherwise` where it is not given.
    ///
    /// # Errors
    /// It is given twice, is no whole number, or not in `allowed`.
    pub(super) fn whole(
        &self,
        name: &str,
        otherwise: usize,
        allowed: RangeInclusive<usize>,
    ) -> Result<usize, String> {
        let (least, most) = (allowed.start(), allowed.end());
        let must_be = format!("a whole number from {least} to {most}");
        let number = self.read(name, &must_be, |text| {
            let number: Option<usize> = text.parse().ok();
            number.filter(|number| allowed.contains(number))
        })?;
        Ok(number.unwrap_or(otherwise))
    }
}

fn unknown(name: &str, allowed: &[&str]) -> String {
    if allowed.is_empty() {
        return format!("unknown parameter {name:?}; this path takes none");
    }
    let known: Vec<String> = allowed.iter().map(|name| format!("{name:?}")).collect();
    format!(
        "unknown parameter {name:?}; known here: {}",
        known.join(", ")
    )
}

fn decoded(text: &str) -> Result<String, String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| format!("the query part {text:?} is not UTF-8 after decoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_unknown_ones_named() {
        let query = Query::parse(
            Some("name[]=a+b&name%5B%5D=%C3%A4&&limit=5"),
            &["name[]", "limit"],
        )
        .unwrap();
        assert_eq!(query.all("name[]").collect::<Vec<_>>(), ["a b", "ä"]);
        assert_eq!(query.one("limit"), Ok(Some("5")));
        assert_eq!(query.one("signal"), Ok(None));
        assert!(query.one("name[]").unwrap_err().contains("more than once"));
        let unknown = Query::parse(Some("nmae=x"), &["name[]"]).unwrap_err();
        assert_eq!(
            unknown,
            "unknown parameter \"nmae\"; known here: \"name[]\""
        );
        assert!(Query::parse(Some("a=%FF"), &["a"]).is_err());
        let refused = Query::parse(Some("a=x%00y"), &["a"]).unwrap_err();
        let text = "parameter \"a\" has a control character in it, got \"x\\0y\"";
        assert_eq!(refused, text);
        assert_eq!(Query::parse(None, &[]), Ok(Query::default()));
    }

    #[test]
    fn what_is_no_such_number_or_missing_is_told() {
        let text = "ready=3&load=-0.5&ratio=1e9999&share=NaN&name=x&twice=1&twice=2";
        let allowed = ["load", "name", "ratio", "ready", "share", "twice"];
        let query = Query::parse(Some(text), &allowed).unwrap();
        assert_eq!(query.number("ready"), Ok(Some(3.0)));
        assert_eq!(query.number("none"), Ok(None));
        for (name, value) in [("load", "-0.5"), ("ratio", "1e9999"), ("share", "NaN")] {
            let wrong = format!("parameter {name:?} must be a number of 0 or more, got {value:?}");
            assert_eq!(query.number(name), Err(wrong));
        }
        assert_eq!(query.whole("ready", 7, 1..=9), Ok(3));
        assert_eq!(query.whole("none", 7, 1..=9), Ok(7));
        let wrong = "parameter \"ready\" must be a whole number from 4 to 9, got \"3\"";
        assert_eq!(query.whole("ready", 7, 4..=9), Err(wrong.to_owned()));
        assert_eq!(query.needed("name", "who"), Ok("x"));
        let missing = "parameter \"none\" is missing: who is meant";
        assert_eq!(
            query.needed("none", "who is meant"),
            Err(missing.to_owned())
        );
        assert!(query.needed("twice", "x").unwrap_err().contains("once"));
        assert!(query.number("twice").unwrap_err().contains("once"));
    }
}
