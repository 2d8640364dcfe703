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
        let Some(text) = self.one(name)? else {
            return Ok(otherwise);
        };
        let number: Option<usize> = text.parse().ok();
        number
            .filter(|number| allowed.contains(number))
            .ok_or_else(|| {
                let (least, most) = (allowed.start(), allowed.end());
                format!(
                    "parameter {name:?} must be a whole number from {least} to {most}, got {text:?}"
                )
            })
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
}
