//! Label selectors as they stand in URLs
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>).

/// Longest label value, and longest name of a label without its prefix.
const LONGEST: usize = 63;
/// Longest prefix of a label's name, a DNS subdomain.
const LONGEST_PREFIX: usize = 253;

/// What labels must be like; everything where empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    wants: Wants,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wants {
    /// `=`, `==`, `in`.
    In(Vec<String>),
    /// `!=`, `notin`: also where there is no such label.
    NotIn(Vec<String>),
    Exists,
    Absent,
    Above(i64),
    Below(i64),
}

impl Selector {
    /// Reads `workload=checkout`, `workload in (a,b),!team`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::new(text)?;
        let mut all = Vec::new();
        if reader.next == Token::End {
            return Ok(Self(all));
        }
        loop {
            all.push(reader.requirement()?);
            match reader.take()? {
                Token::End => return Ok(Self(all)),
                Token::Comma => {}
                other => return Err(reader.unexpected(&other, "a comma or the end")),
            }
        }
    }

    /// Whether labels are so.
    pub(super) fn matches<'l>(&self, labels: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels(&requirement.key);
            let number = value.and_then(|value| value.parse::<i64>().ok());
            match &requirement.wants {
                Wants::In(values) => value.is_some_and(|value| holds(values, value)),
                Wants::NotIn(values) => value.is_none_or(|value| !holds(values, value)),
                Wants::Exists => value.is_some(),
                Wants::Absent => value.is_none(),
                Wants::Above(bound) => number.is_some_and(|number| number > *bound),
                Wants::Below(bound) => number.is_some_and(|number| number < *bound),
            }
        })
    }
}

fn holds(values: &[String], value: &str) -> bool {
    values.iter().any(|one| one == value)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Comma,
    Open,
    Close,
    Equal,
    NotEqual,
    Not,
    Above,
    Below,
    End,
}

struct Reader<'t> {
    text: &'t str,
    rest: &'t str,
    next: Token,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Result<Self, String> {
        let mut reader = Self {
            text,
            rest: text,
            next: Token::End,
        };
        reader.take()?;
        Ok(reader)
    }

    /// The next token, and looks at the one after it.
    fn take(&mut self) -> Result<Token, String> {
        let after = self.read()?;
        Ok(std::mem::replace(&mut self.next, after))
    }

    fn read(&mut self) -> Result<Token, String> {
        self.rest = self.rest.trim_start();
        for (sign, token) in [
            ("==", Token::Equal),
            ("!=", Token::NotEqual),
            ("=", Token::Equal),
            ("!", Token::Not),
            (",", Token::Comma),
            ("(", Token::Open),
            (")", Token::Close),
            (">", Token::Above),
            ("<", Token::Below),
        ] {
            if let Some(rest) = self.rest.strip_prefix(sign) {
                self.rest = rest;
                return Ok(token);
            }
        }
        let end = |letter: char| letter.is_whitespace() || "=!,()<>".contains(letter);
        let (word, rest) = match self.rest.find(end) {
            Some(place) => self.rest.split_at(place),
            None => (self.rest, ""),
        };
        self.rest = rest;
        match word {
            "" => Ok(Token::End),
            word => Ok(Token::Word(word.to_owned())),
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.next == Token::Not {
            self.take()?;
            let key = self.key()?;
            return Ok(Requirement {
                key,
                wants: Wants::Absent,
            });
        }
        let key = self.key()?;
        let wants = match self.next.clone() {
            Token::End | Token::Comma => Wants::Exists,
            Token::Equal => Wants::In(vec![self.compared()?]),
            Token::NotEqual => Wants::NotIn(vec![self.compared()?]),
            Token::Above => Wants::Above(self.number()?),
            Token::Below => Wants::Below(self.number()?),
            Token::Word(word) if word == "in" => Wants::In(self.set()?),
            Token::Word(word) if word == "notin" => Wants::NotIn(self.set()?),
            other => return Err(self.unexpected(&other, "=, ==, !=, in, notin, > or <")),
        };
        Ok(Requirement { key, wants })
    }

    fn key(&mut self) -> Result<String, String> {
        match self.take()? {
            Token::Word(key) if is_key(&key) => Ok(key),
            Token::Word(key) => Err(format!(
                "labelSelector: {key:?} is not the name of a label; those are letters, digits, -, _ and ., at most {LONGEST}"
            )),
            other => Err(self.unexpected(&other, "the name of a label")),
        }
    }

    /// What is behind `=` or `!=`, which may be nothing.
    fn compared(&mut self) -> Result<String, String> {
        self.take()?;
        self.value()
    }

    fn value(&mut self) -> Result<String, String> {
        let Token::Word(value) = self.next.clone() else {
            return Ok(String::new());
        };
        self.take()?;
        match is_label_value(&value) {
            true => Ok(value),
            false => Err(format!(
                "labelSelector: {value:?} is not the value of a label; those are letters, digits, -, _ and ., at most {LONGEST}"
            )),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let text = self.compared()?;
        let number = text.parse();
        number.map_err(|_| format!("labelSelector: {text:?} is not a whole number"))
    }

    fn set(&mut self) -> Result<Vec<String>, String> {
        self.take()?;
        match self.take()? {
            Token::Open => {}
            other => return Err(self.unexpected(&other, "(")),
        }
        let mut values = vec![self.value()?];
        loop {
            match self.take()? {
                Token::Comma => values.push(self.value()?),
                Token::Close => return Ok(values),
                other => return Err(self.unexpected(&other, "a comma or )")),
            }
        }
    }

    fn unexpected(&self, found: &Token, wanted: &str) -> String {
        let found = match found {
            Token::Word(word) => format!("{word:?}"),
            Token::End => "the end".to_owned(),
            sign => format!("{sign:?}").to_lowercase(),
        };
        format!(
            "labelSelector {:?}: there is {found} where {wanted} should be",
            self.text
        )
    }
}

fn is_key(text: &str) -> bool {
    let (prefix, name) = match text.rsplit_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let prefix = prefix.is_none_or(|prefix| {
        let plain = |part: &str| {
            let letter =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            is_framed(part) && part.bytes().all(letter)
        };
        prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(plain)
    });
    prefix && !name.is_empty() && is_label_value(name)
}

/// Whether Kubernetes takes it as the value of a label; it may be empty.
pub fn is_label_value(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.is_empty() || (text.len() <= LONGEST && text.bytes().all(plain) && is_framed(text))
}

fn is_framed(text: &str) -> bool {
    let ends = [text.as_bytes().first(), text.as_bytes().last()];
    ends.iter()
        .all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the labels `workload=checkout, tier=3` are meant.
    fn means(text: &str) -> Result<bool, String> {
        let labels = |key: &str| match key {
            "workload" => Some("checkout"),
            "example.org/tier" => Some("3"),
            _ => None,
        };
        Ok(Selector::parse(text)?.matches(labels))
    }

    #[test]
    fn every_operator_is_understood() {
        for (text, wanted) in [
            ("", true),
            ("  ", true),
            ("workload=checkout", true),
            ("workload==checkout", true),
            (" workload = checkout , example.org/tier ", true),
            ("workload=search", false),
            ("workload!=search", true),
            ("workload!=checkout", false),
            ("region!=eu", true),
            ("workload in (search,checkout)", true),
            ("workload in (search, cart)", false),
            ("workload in ()", false),
            ("workload notin (search)", true),
            ("workload notin (checkout,search)", false),
            ("region notin (eu)", true),
            ("region in (,eu)", false),
            ("workload", true),
            ("region", false),
            ("!region", true),
            ("! workload", false),
            ("workload=", false),
            ("example.org/tier>2", true),
            ("example.org/tier > 3", false),
            ("example.org/tier<4,workload", true),
            ("workload>1", false),
            ("workload=checkout,workload=search", false),
            ("in", false),
            ("workload in (in,checkout)", true),
        ] {
            assert_eq!(means(text), Ok(wanted), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_and_nothing_else_is_made_of_it() {
        for (text, part) in [
            (",", "the name of a label"),
            ("workload=checkout,", "the name of a label"),
            ("=checkout", "the name of a label"),
            ("workload checkout", "=, ==, !="),
            ("workload=a b", "a comma or the end"),
            ("workload in a", "("),
            ("workload in (a", "a comma or )"),
            ("workload in (a))", "a comma or the end"),
            ("workload=a/b", "value of a label"),
            ("workload=-a", "value of a label"),
            ("work$load=a", "name of a label"),
            ("a/b/c=d", "name of a label"),
            ("Big.org/x=d", "name of a label"),
            ("/x=d", "name of a label"),
            ("workload>many", "whole number"),
            ("!", "the name of a label"),
            ("größe", "name of a label"),
        ] {
            let error = means(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let long = "a".repeat(64);
        assert!(means(&format!("workload={long}")).is_err());
        assert!(means(&format!("{long}=a")).is_err());
    }
}
