//! The rows of an answer: `{"metric": {...}, "values": [[seconds, "value"], ...]}`.

use super::decode::Range;
use crate::series::Millis;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use std::fmt;

/// One row, its labels still as JSON.
pub(super) struct Row<'a> {
    pub(super) metric: &'a str,
    /// Ascending, unique, finite.
    pub(super) samples: Vec<(Millis, f64)>,
}

/// What holds for all rows together, and what was found.
pub(super) struct Limits {
    /// Where samples may be.
    pub(super) range: Option<Range>,
    /// How many more there may be.
    left: usize,
    /// Samples left out.
    pub(super) rejected: usize,
    /// Why decoding was given up, if it was for more than the form.
    pub(super) stop: Option<Stop>,
    /// Length of the row before: rows mostly have the same.
    usual: usize,
}

/// Why decoding was given up.
pub(super) enum Stop {
    TooMany,
    Histogram,
    OffGrid(Millis),
}

impl Limits {
    pub(super) fn new(range: Option<Range>, max_samples: usize) -> Self {
        Self {
            range,
            left: max_samples,
            rejected: 0,
            stop: None,
            usual: 0,
        }
    }

    fn give_up<E: de::Error>(&mut self, stop: Stop) -> E {
        self.stop = Some(stop);
        E::custom("given up")
    }

    /// Takes a sample into `samples`, or counts it.
    fn take<E: de::Error>(
        &mut self,
        at: Millis,
        value: f64,
        samples: &mut Vec<(Millis, f64)>,
    ) -> Result<(), E> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(self.give_up(Stop::TooMany));
        };
        self.left = left;
        if self.range.is_some_and(|range| !range.holds(at)) {
            return Err(self.give_up(Stop::OffGrid(at)));
        }
        // StaleNaN is a NaN too.
        if value.is_finite() && samples.last().is_none_or(|last| last.0 < at) {
            samples.push((at, value));
        } else {
            self.rejected += 1;
        }
        Ok(())
    }
}

// === rows ===

/// The list of rows.
pub(super) struct Rows<'l> {
    pub(super) limits: &'l mut Limits,
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = Vec<Row<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = Vec<Row<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let mut rows = Vec::new();
        loop {
            let limits = &mut *self.limits;
            let Some(row) = list.next_element_seed(OneRow { limits })? else {
                return Ok(rows);
            };
            self.limits.usual = row.samples.len();
            rows.push(row);
        }
    }
}

struct OneRow<'l> {
    limits: &'l mut Limits,
}

impl<'de> DeserializeSeed<'de> for OneRow<'_> {
    type Value = Row<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Row<'de>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneRow<'_> {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with metric and values")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Row<'de>, M::Error> {
        let mut metric: Option<&'de RawValue> = None;
        let mut samples = Vec::with_capacity(self.limits.usual);
        while let Some(key) = map.next_key::<&str>()? {
            let limits = &mut *self.limits;
            match key {
                "metric" => metric = Some(map.next_value()?),
                "values" => map.next_value_seed(Samples {
                    limits,
                    samples: &mut samples,
                })?,
                "value" => {
                    let (at, value) = map.next_value::<Sample>()?.0;
                    limits.take(at, value, &mut samples)?;
                }
                "histogram" | "histograms" => {
                    let raw: &RawValue = map.next_value()?;
                    if !matches!(raw.get(), "[]" | "null") {
                        return Err(limits.give_up(Stop::Histogram));
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let metric = metric.ok_or_else(|| de::Error::missing_field("metric"))?;
        Ok(Row {
            metric: metric.get(),
            samples,
        })
    }
}

// === samples ===

struct Samples<'l, 's> {
    limits: &'l mut Limits,
    samples: &'s mut Vec<(Millis, f64)>,
}

impl<'de> DeserializeSeed<'de> for Samples<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Samples<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of samples")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while let Some(Sample((at, value))) = list.next_element()? {
            self.limits.take(at, value, self.samples)?;
        }
        Ok(())
    }
}

/// `[seconds, "value"]`.
struct Sample((Millis, f64));

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Sample;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[seconds, \"value\"]")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut pair: S) -> Result<Sample, S::Error> {
                let missing = || de::Error::invalid_length(0, &"two elements");
                let at: Time = pair.next_element()?.ok_or_else(missing)?;
                let value: Quoted = pair.next_element()?.ok_or_else(missing)?;
                if pair.next_element::<IgnoredAny>()?.is_some() {
                    return Err(de::Error::invalid_length(3, &"two elements"));
                }
                Ok(Sample((at.0, value.0)))
            }
        }
        from.deserialize_seq(Pair)
    }
}

/// Seconds, as milliseconds.
struct Time(Millis);

/// Seconds beyond this (the year 5138) are no time, and their milliseconds might overflow.
const LATEST: f64 = 1e11;

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Seconds;
        impl Visitor<'_> for Seconds {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Time, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Time, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Time, E> {
                if seconds.abs() < LATEST {
                    Ok(Time((seconds * 1_000.0).round() as Millis))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(seconds), &self))
                }
            }
        }
        from.deserialize_any(Seconds)
    }
}

/// A number in quotes, since JSON has no `NaN`.
struct Quoted(f64);

impl<'de> Deserialize<'de> for Quoted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Quoted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number in quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quoted, E> {
                let value = text.parse().map(Quoted);
                value.map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Text)
    }
}
