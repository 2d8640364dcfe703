//! How much past a signal has, and how much of it a series must have shown before it is forecast.

use crate::series::Span;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor, value::MapAccessDeserializer},
};
use std::fmt;

/// `history: 21d`, or `history: {length: 21d, min: 3d}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// How much past is read and kept; left out: see [`super::SignalSettings::history`].
    pub length: Option<Span>,
    /// A series is forecast when so much of its past is known; left out: as the horizons ask.
    pub min: Option<Span>,
}

/// The mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    #[serde(default)]
    length: Option<Span>,
    #[serde(default)]
    min: Option<Span>,
}

impl From<Option<Span>> for History {
    fn from(length: Option<Span>) -> Self {
        Self { length, min: None }
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HistoryVisitor)
    }
}

struct HistoryVisitor;

impl<'de> Visitor<'de> for HistoryVisitor {
    type Value = History;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a duration such as 30s, 5m or 21d, or a mapping such as {length: 21d, min: 3d}",
        )
    }

    fn visit_unit<E: de::Error>(self) -> Result<History, E> {
        Ok(History::default())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<History, E> {
        let length: Span = text.parse().map_err(E::custom)?;
        Ok(History::from(Some(length)))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<History, A::Error> {
        let Mapping { length, min } = Mapping::deserialize(MapAccessDeserializer::new(map))?;
        Ok(History { length, min })
    }
}
