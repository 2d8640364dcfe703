//! Samples as messages of a topic: JSON, one sample a message or a list of them. Written as read, so that what we write is read again,
//! to the last bit.
//!
//! `{"name": "load", "labels": {"pod": "a"}, "timestamp": 1700000000000, "value": 1.5}`
//!
//! Read as prometheus-kafka-adapter writes it too: the time as text of RFC 3339, the value as text, the name among the labels
//! (<https://github.com/Telefonica/prometheus-kafka-adapter>). A value that is `null` says that the series has ended.

use super::wire::write::{Outgoing, Point, Writer};
use crate::series::Millis;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
    ser::{SerializeMap, Serializer},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The label that is the name.
const NAME: &str = "__name__";

/// Puts the samples of one message into `request`, in its order; how many there are. Labels are judged by who reads the request.
///
/// # Errors
/// It is not JSON, or not a sample or a list of samples; then nothing of it was put in.
pub fn read(message: &[u8], request: &mut Writer) -> Result<usize, String> {
    let first = message.iter().find(|byte| !byte.is_ascii_whitespace());
    let all: Vec<Sample<'_>> = match first {
        Some(b'[') => serde_json::from_slice(message),
        _ => serde_json::from_slice(message).map(|one| vec![one]),
    }
    .map_err(|error| error.to_string())?;
    if let Some(twice) = all.iter().find_map(Sample::other_name) {
        return Err(twice);
    }
    for sample in &all {
        sample.put_into(request);
    }
    Ok(all.len())
}

/// One sample as a message; `labels` are without the name and sorted by name.
pub fn write<'l>(
    name: &str,
    labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    point: Point,
) -> Vec<u8> {
    let message = Written {
        name,
        labels: Map(labels.into_iter().collect()),
        timestamp: point.at,
        value: Shown(point),
    };
    // Texts and numbers can always be written.
    serde_json::to_vec(&message).unwrap_or_default()
}

/// A sample as it comes. Further keys are of no matter.
#[derive(Debug, Deserialize)]
struct Sample<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    labels: Pairs<'a>,
    timestamp: Time,
    value: Value,
}

/// Labels in the order of the text.
#[derive(Debug, Default)]
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

#[derive(Debug)]
struct Time(Millis);

/// Nothing where the series has ended.
#[derive(Debug)]
struct Value(Option<f64>);

impl Sample<'_> {
    /// Says so where it has two names that differ.
    fn other_name(&self) -> Option<String> {
        let name = self.name.as_ref().map(|name| &*name.0)?;
        let mut labels = self.labels.0.iter();
        let (_, other) = labels.find(|(key, value)| key == NAME && value != name)?;
        Some(format!(
            "the name is {name:?}, but the label {NAME} is {other:?}"
        ))
    }

    fn put_into(&self, request: &mut Writer) {
        let own = |key: &str| {
            let mut labels = self.labels.0.iter();
            labels.find_map(|(name, value)| (name == key).then_some(&**value))
        };
        let name = self
            .name
            .as_ref()
            .map(|name| &*name.0)
            .or_else(|| own(NAME));
        let name = name.unwrap_or_default();
        let others = self.labels.0.iter().filter(|(key, _)| key != NAME);
        let mut labels: Vec<(&str, &str)> = others.map(|(key, value)| (&**key, &**value)).collect();
        labels.sort_unstable();
        let at = self.timestamp.0;
        let point = match self.value.0 {
            Some(value) => Point { at, value },
            None => Point::stale(at),
        };
        request.push(&Outgoing {
            name,
            labels: &labels,
            samples: &[point],
            metadata: None,
            created: None,
        });
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels such as {\"pod\": \"a\"}")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
        let mut pairs = Vec::new();
        while let Some((Text(name), Text(value))) = map.next_entry::<Text<'de>, Text<'de>>()? {
            pairs.push((name, value));
        }
        Ok(Pairs(pairs))
    }
}

/// Borrowed wherever nothing in it is escaped.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("milliseconds since 1970 or a time such as \"2026-01-01T00:00:00Z\"")
    }

    fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Time, E> {
        Ok(Time(millis))
    }

    fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Time, E> {
        i64::try_from(millis).map(Time).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, millis: f64) -> Result<Time, E> {
        // What is out of range is so far ahead that it is left out.
        Ok(Time(millis.round() as Millis))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        if let Ok(millis) = text.parse() {
            return Ok(Time(millis));
        }
        let time = text.parse::<jiff::Timestamp>();
        time.map(|time| Time(time.as_millisecond()))
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As text: the numbers of the JSON library may differ from it in the last bits.
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let wanted = "a number, a number as text, or null for the end of the series";
        let unwanted = || de::Error::custom(format!("{raw} is not {wanted}"));
        let value = match raw.as_bytes().first() {
            Some(b'n') => return Ok(Self(None)),
            Some(b'"') => {
                let text: Cow<'_, str> = serde_json::from_str(raw).map_err(|_| unwanted())?;
                text.parse().ok()
            }
            // One that is out of range is no number of JSON.
            _ => raw.parse().ok().filter(|value: &f64| value.is_finite()),
        };
        value.map(|value| Self(Some(value))).ok_or_else(unwanted)
    }
}

/// A sample as it goes.
#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    labels: Map<'a>,
    timestamp: Millis,
    value: Shown,
}

struct Map<'a>(Vec<(&'a str, &'a str)>);

struct Shown(Point);

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Point { value, .. } = self.0;
        if self.0.is_stale() {
            return serializer.serialize_unit();
        }
        // JSON has no numbers for these.
        if value.is_nan() {
            serializer.serialize_str("NaN")
        } else if value.is_infinite() {
            serializer.serialize_str(if value > 0.0 { "+Inf" } else { "-Inf" })
        } else {
            serializer.serialize_f64(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expo::wire::write::{Item, Limits, Reader, Version};
    use proptest::prelude::*;

    type Read = Vec<(String, Vec<(String, String)>, Millis, u64)>;

    fn taken(message: &str) -> Result<Read, String> {
        let mut request = Writer::new(Version::V1);
        let count = read(message.as_bytes(), &mut request)?;
        let mut body = Vec::new();
        request.append_to(&mut body);
        let mut reader = Reader::new(&body, Version::V1, Limits::default());
        let mut found = Vec::new();
        while let Some(item) = reader.next_item().unwrap() {
            let Item::Series(series) = item else {
                return Err(format!("{item:?}"));
            };
            let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
            let labels = series.labels.iter().map(owned).collect();
            let [point] = series.samples else {
                panic!("{series:?}");
            };
            found.push((
                series.name.to_owned(),
                labels,
                point.at,
                point.value.to_bits(),
            ));
        }
        assert_eq!(found.len(), count, "{message}");
        Ok(found)
    }

    fn sample(name: &str, labels: &[(&str, &str)], at: Millis, value: f64) -> Read {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let labels = labels.iter().map(owned).collect();
        vec![(name.to_owned(), labels, at, value.to_bits())]
    }

    #[test]
    fn every_spelling_is_the_same_sample() {
        let wanted = sample("load", &[("job", "x"), ("pod", "a\"b")], 1_500, 2.5);
        for message in [
            r#"{"name":"load","labels":{"pod":"a\"b","job":"x"},"timestamp":1500,"value":2.5}"#,
            r#"{"timestamp":"1970-01-01T00:00:01.5Z","value":"2.5","name":"load","labels":{"__name__":"load","job":"x","pod":"a\"b"}}"#,
            r#"{"labels":{"__name__":"load","job":"x","pod":"a\"b"},"timestamp":"1500","value":2.5,"more":[1]}"#,
            "\n [ {\"name\":\"load\",\"labels\":{\"job\":\"x\",\"pod\":\"a\\\"b\"},\"timestamp\":1500.2,\"value\":2.5e0} ]",
        ] {
            assert_eq!(taken(message), Ok(wanted.clone()), "{message}");
        }
        let two =
            r#"[{"name":"a","timestamp":1,"value":1},{"name":"b","timestamp":-2,"value":-3}]"#;
        let both = [sample("a", &[], 1, 1.0), sample("b", &[], -2, -3.0)].concat();
        assert_eq!(taken(two), Ok(both));
        assert_eq!(taken("[]"), Ok(Vec::new()));
        let ended = Point::stale(7);
        let found = taken(r#"{"name":"a","timestamp":7,"value":null}"#);
        assert_eq!(found, Ok(sample("a", &[], 7, ended.value)));
        let odd = taken(r#"{"name":"a","timestamp":7,"value":"NaN"}"#).unwrap();
        assert!(f64::from_bits(odd[0].3).is_nan() && odd[0].3 != ended.value.to_bits());
    }

    #[test]
    fn what_is_no_sample_says_why_and_nothing_of_it_is_taken() {
        for (message, why) in [
            ("", "EOF"),
            ("garbage", "expected value"),
            ("{}", "missing field `timestamp`"),
            (r#"{"name":"a","value":1}"#, "missing field `timestamp`"),
            (r#"{"name":"a","timestamp":1}"#, "missing field `value`"),
            (
                r#"{"name":"a","timestamp":"soon","value":1}"#,
                "milliseconds since 1970",
            ),
            (
                r#"{"name":"a","timestamp":1,"value":"many"}"#,
                "a number as text",
            ),
            (r#"{"name":"a","timestamp":1,"value":true}"#, "a number"),
            (
                r#"{"name":"a","labels":{"pod":1},"timestamp":1,"value":1}"#,
                "string",
            ),
            (
                r#"{"name":"a","labels":{"__name__":"b"},"timestamp":1,"value":1}"#,
                "\"b\"",
            ),
            (
                r#"[{"name":"a","timestamp":1,"value":1},{}]"#,
                "missing field",
            ),
            (r#"{"name":"a","timestamp":1,"value":1} more"#, "trailing"),
        ] {
            let mut request = Writer::new(Version::V1);
            let problem = read(message.as_bytes(), &mut request).unwrap_err();
            assert!(problem.contains(why), "{message}: {problem}");
            assert!(request.is_empty(), "{message}");
        }
        // Who reads the request says what is wrong with labels.
        for message in [
            r#"{"timestamp":1,"value":1}"#,
            r#"{"name":"a","labels":{"x":"1","x":"2"},"timestamp":1,"value":1}"#,
        ] {
            assert!(taken(message).unwrap_err().contains("Refused"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            name in "[a-z_:]{1,9}",
            labels in prop::collection::btree_map("[a-z]{1,6}", "\\PC{1,9}", 0..4),
            at in 0_i64..4_000_000_000_000,
            bits in any::<u64>(),
        ) {
            let value = f64::from_bits(bits);
            let point = if value.is_nan() { Point::stale(at) } else { Point { at, value } };
            let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let message = String::from_utf8(write(&name, pairs.clone(), point)).unwrap();
            let pairs: Vec<(&str, &str)> = pairs.collect();
            let found = taken(&message).unwrap();
            prop_assert_eq!(found, sample(&name, &pairs, at, point.value), "{}", message);
        }

        #[test]
        fn nothing_panics(message in prop::collection::vec(any::<u8>(), 0..60)) {
            drop(read(&message, &mut Writer::new(Version::V1)));
        }
    }
}
