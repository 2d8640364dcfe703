//! What one replica can do: declared by a person, or learned.

use crate::series::Span;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor, value::MapAccessDeserializer},
};
use std::fmt;

/// Demand that one replica can take, as written in configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Capacity {
    /// A person knows it, in the unit of the demand.
    Declared(f64),
    /// It is learned from utilisation.
    Learned(LearnedCapacity),
}

/// How capacity is learned.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedCapacity {
    /// A query of the utilisation, averaged over the replicas: one value.
    pub utilisation: String,
    /// A replica is full at this utilisation, in its unit.
    #[serde(default = "default_target")]
    pub target: f64,
    /// Until something is learned; without it nothing is recommended until then.
    #[serde(default)]
    pub otherwise: Option<f64>,
    /// A reading counts for so long.
    #[serde(default = "default_age")]
    pub max_age: Span,
}

const fn default_target() -> f64 {
    0.7
}

const fn default_age() -> Span {
    Span::minutes(2)
}

impl Capacity {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut positive = |field: &str, value: f64| {
            if !(value > 0.0 && value.is_finite()) {
                let text = format!("{value} is not above 0");
                problems.push((field.to_owned(), text));
            }
        };
        match self {
            Self::Declared(capacity) => positive("", *capacity),
            Self::Learned(learned) => {
                positive("learned.target", learned.target);
                positive("learned.otherwise", learned.otherwise.unwrap_or(1.0));
                positive("learned.max_age", learned.max_age.as_millis() as f64);
                if learned.utilisation.trim().is_empty() {
                    let text = "is empty; write a query with one value".to_owned();
                    problems.push(("learned.utilisation".to_owned(), text));
                }
            }
        }
        problems
    }

    /// What a person said of it.
    pub fn declared(&self) -> Option<f64> {
        match self {
            Self::Declared(capacity) => Some(*capacity),
            Self::Learned(learned) => learned.otherwise,
        }
    }
}

/// The form of a mapping: `{learned: {utilisation: .., target: 0.7}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    learned: LearnedCapacity,
}

impl<'de> Deserialize<'de> for Capacity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CapacityVisitor)
    }
}

struct CapacityVisitor;

impl<'de> Visitor<'de> for CapacityVisitor {
    type Value = Capacity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or `learned: {utilisation: QUERY, target: 0.7}`")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Capacity, E> {
        Ok(Capacity::Declared(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Capacity, E> {
        Ok(Capacity::Declared(value as f64))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Capacity, E> {
        Ok(Capacity::Declared(value as f64))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Capacity, A::Error> {
        let mapping = Mapping::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Capacity::Learned(mapping.learned))
    }
}
