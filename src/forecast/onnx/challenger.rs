//! Which version of a model forecasts silently beside the one in force, as written in configuration.

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::fmt;

/// The word for whatever came last.
const NEWEST: &str = "newest";

/// Which version forecasts silently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenger {
    /// The newest one that is newer than the one in force, and was not in force before it.
    Newest,
    /// This one.
    Version(String),
}

impl fmt::Display for Challenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newest => NEWEST,
            Self::Version(version) => version,
        })
    }
}

impl From<&str> for Challenger {
    fn from(text: &str) -> Self {
        match text {
            NEWEST => Self::Newest,
            version => Self::Version(version.to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Challenger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words)
    }
}

/// Versions are mostly numbers, and `challenger: 8` is what people write.
struct Words;

impl Visitor<'_> for Words {
    type Value = Challenger;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{NEWEST}` or a version; write one like 1.10 in quotes")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Challenger, E> {
        Ok(word.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Challenger, E> {
        Ok(Challenger::Version(number.to_string()))
    }
}
