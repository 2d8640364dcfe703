//! Line and column of a place in the file.
//!
//! The YAML library tells positions only with its errors. So the place is found by walking to it with
//! the library itself and raising an error there: slower than a table, and only done for what is wrong,
//! but never of another opinion about YAML than the reader.

use super::path::{Path, Step};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Line and column of the value at `path`, both from 1, or of the nearest place around it that is in
/// the text; `None` where the text is not YAML at all.
pub(super) fn value(text: &str, path: &Path) -> Option<(usize, usize)> {
    find(text, path, false)
}

/// Like [`value`], but of the key that leads there.
pub(super) fn key(text: &str, path: &Path) -> Option<(usize, usize)> {
    find(text, path, true)
}

fn find(text: &str, path: &Path, at_key: bool) -> Option<(usize, usize)> {
    for length in (0..=path.steps().len()).rev() {
        let walk = Walk {
            steps: path.steps().get(..length)?,
            at_key: at_key && length == path.steps().len(),
        };
        let arrived = walk.deserialize(serde_yaml::Deserializer::from_str(text));
        if let Err(error) = arrived
            && let Some(place) = error.location()
        {
            return Some((place.line(), place.column()));
        }
    }
    None
}

/// Goes down `steps`, then fails on purpose so that the library says where that was.
struct Walk<'p> {
    steps: &'p [Step],
    at_key: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    // Asked of a scalar: every visit that is not written below ends in this error.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the place looked for")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.steps.split_first() else {
            return match self.steps {
                [] => Err(de::Error::custom("here")),
                _ => while_some(|| map.next_entry::<IgnoredAny, IgnoredAny>()),
            };
        };
        let stop = self.at_key && rest.is_empty();
        while let Some(found) = map.next_key_seed(KeyNamed { wanted, stop })? {
            if found {
                let at_key = self.at_key;
                map.next_value_seed(Walk {
                    steps: rest,
                    at_key,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.steps.split_first() else {
            return match self.steps {
                [] => Err(de::Error::custom("here")),
                _ => while_some(|| list.next_element::<IgnoredAny>()),
            };
        };
        for _ in 0..*wanted {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        list.next_element_seed(Walk {
            steps: rest,
            at_key: self.at_key,
        })?;
        while_some(|| list.next_element::<IgnoredAny>())
    }
}

fn while_some<T, E>(mut next: impl FnMut() -> Result<Option<T>, E>) -> Result<(), E> {
    while next()?.is_some() {}
    Ok(())
}

/// Reads a key: whether it is the one looked for; fails there where that is the place.
struct KeyNamed<'p> {
    wanted: &'p str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for KeyNamed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeyNamed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        if key == self.wanted && self.stop {
            return Err(E::custom("here"));
        }
        Ok(key == self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a:\n  - b: 1\n    c: [x, {d: y}]\n  - e: |\n      long\n\nf:\n";

    #[track_caller]
    fn check(path: &str, at_value: (usize, usize), at_key: (usize, usize)) {
        let path: Path = path.parse().unwrap();
        assert_eq!(value(TEXT, &path), Some(at_value), "value of {path}");
        assert_eq!(key(TEXT, &path), Some(at_key), "key of {path}");
    }

    #[test]
    fn finds_values_and_keys() {
        check("a[0].b", (2, 8), (2, 5));
        check("a[0].c", (3, 8), (3, 5));
        check("a[0].c[0]", (3, 9), (3, 9));
        check("a[0].c[1].d", (3, 16), (3, 13));
        check("f", (7, 3), (7, 1));
    }

    #[test]
    fn falls_back_to_what_is_around() {
        check("a[0].missing.deeper", (2, 5), (2, 5));
        check("a[7]", (2, 3), (2, 3));
        check("", (1, 1), (1, 1));
        assert_eq!(value("a: [", &Path::default()), Some((1, 1)));
    }
}
