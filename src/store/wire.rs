//! Events, overrides and decisions as people write and read them: in requests, answers and files of commands. Times
//! are RFC 3339, spans such as `30m`.

use super::StoreError;
use crate::{
    decide::{Decision, Effect, Event, Order, Override},
    series::{Millis, Span},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, Visitor},
};
use std::fmt;

/// A time: RFC 3339 where it is written, that or milliseconds since the epoch where it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Millis);

/// An event that is to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// What sort of event.
    pub kind: String,
    /// For people.
    pub name: String,
    /// When it begins.
    pub start: Time,
    /// When it ends.
    pub end: Time,
    /// So long before, what it needs shall be ready; the workload's lead time where left out.
    #[serde(default)]
    pub lead: Option<Span>,
    /// Its effect fades over this.
    #[serde(default)]
    pub decay: Option<Span>,
    /// What it does; what past events of its kind did, where left out.
    #[serde(default)]
    pub effect: Option<Effect>,
    /// The workloads it is for; all where left out.
    #[serde(default)]
    pub workloads: Vec<String>,
    /// Who says so.
    pub author: String,
}

/// An order that is to be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOverride {
    /// The workload it is over.
    pub workload: String,
    /// `"pause"`, `{"pin": 5}`, `{"min": 3}`, `{"max": 9}`.
    pub order: Order,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// When it ends by itself; until somebody clears it where left out.
    #[serde(default)]
    pub expires: Option<Time>,
}

/// An event that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownEvent {
    /// Its name in the store.
    pub id: String,
    /// When it was put in.
    pub created: Time,
    /// The rest.
    #[serde(flatten)]
    pub event: PlainEvent,
}

/// The fields of [`NewEvent`], all of them written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are those of `NewEvent`")]
pub struct PlainEvent {
    pub kind: String,
    pub name: String,
    pub start: Time,
    pub end: Time,
    pub lead: Option<Span>,
    pub decay: Span,
    pub effect: Option<Effect>,
    pub workloads: Vec<String>,
    pub author: String,
}

/// An order that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are those of `Override`")]
pub struct ShownOverride {
    pub id: String,
    pub created: Time,
    pub workload: String,
    pub order: Order,
    pub reason: String,
    pub author: String,
    pub expires: Option<Time>,
}

/// A decision, with its time as people read it; other times in it are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownDecision {
    /// When it was made.
    pub time: Time,
    /// All of it.
    #[serde(flatten)]
    pub decision: Decision,
}

impl From<NewEvent> for Event {
    /// The id and the time of its creation are the store's to give.
    fn from(new: NewEvent) -> Self {
        Self {
            id: String::new(),
            kind: new.kind,
            name: new.name,
            start: new.start.0,
            end: new.end.0,
            lead: new.lead.map(Span::as_millis),
            decay: new.decay.map_or(0, Span::as_millis),
            effect: new.effect,
            workloads: new.workloads,
            author: new.author,
            created: 0,
        }
    }
}

impl From<Event> for ShownEvent {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            created: Time(event.created),
            event: PlainEvent {
                kind: event.kind,
                name: event.name,
                start: Time(event.start),
                end: Time(event.end),
                lead: event.lead.map(Span::millis),
                decay: Span::millis(event.decay),
                effect: event.effect,
                workloads: event.workloads,
                author: event.author,
            },
        }
    }
}

impl From<NewOverride> for Override {
    /// The id and the time it is given are the store's to give.
    fn from(new: NewOverride) -> Self {
        Self {
            id: String::new(),
            workload: new.workload,
            order: new.order,
            reason: new.reason,
            author: new.author,
            created: 0,
            expires: new.expires.map(|time| time.0),
        }
    }
}

impl From<Override> for ShownOverride {
    fn from(order: Override) -> Self {
        Self {
            id: order.id,
            created: Time(order.created),
            workload: order.workload,
            order: order.order,
            reason: order.reason,
            author: order.author,
            expires: order.expires.map(Time),
        }
    }
}

impl From<Decision> for ShownDecision {
    fn from(decision: Decision) -> Self {
        Self {
            time: Time(decision.at),
            decision,
        }
    }
}

/// Reads a JSON document.
///
/// # Errors
/// [`StoreError::Invalid`] with the field that is wrong, unknown or missing.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, StoreError> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let invalid = |field: String, text: String| StoreError::Invalid(vec![(field, text)]);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        // A place it has no name for.
        let is_whole = matches!(path.as_str(), "." | "?");
        let field = if is_whole { "body".to_owned() } else { path };
        invalid(field, error.inner().to_string())
    })?;
    reader
        .end()
        .map_err(|error| invalid("body".to_owned(), error.to_string()))?;
    Ok(value)
}

// === impl Time ===

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"2026-01-31T12:00:00Z\", or milliseconds since the epoch")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        let time: jiff::Timestamp = text
            .parse()
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
        Ok(Time(time.as_millisecond()))
    }

    fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Time, E> {
        Ok(Time(millis))
    }

    fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Time, E> {
        Ok(Time(Millis::try_from(millis).unwrap_or(Millis::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_it_is_written() {
        let text = r#"{"kind":"campaign","name":"Black Friday","start":"2026-11-27T00:00:00Z","end":1795824000000,
            "lead":"30m","effect":{"multiplier":3.5},"author":"ada"}"#;
        let new: NewEvent = read(text.as_bytes()).unwrap();
        let event = Event::from(new);
        assert_eq!(event.validate(), []);
        assert_eq!((event.lead, event.decay), (Some(1_800_000), 0));
        let shown = serde_json::to_value(ShownEvent::from(event)).unwrap();
        assert_eq!(shown["start"], "2026-11-27T00:00:00Z");
        assert_eq!(shown["end"], "2026-11-28T00:00:00Z");
        assert_eq!(shown["lead"], "30m");
        assert_eq!(shown["effect"]["multiplier"], 3.5);
        let mut again = shown.as_object().unwrap().clone();
        again.remove("id");
        again.remove("created");
        let again = serde_json::to_vec(&again).unwrap();
        assert!(
            read::<NewEvent>(&again).is_ok(),
            "what is read can be written"
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let order = |text: &str| {
            read::<NewOverride>(text.as_bytes())
                .unwrap_err()
                .to_string()
        };
        let cases = [
            (
                r#"{"workload":"a","order":"pause","reason":"r","author":"a","expires":"soon"}"#,
                "expires: invalid value: string \"soon\", expected a time such as",
            ),
            (
                r#"{"workload":"a","order":{"pin":-1},"reason":"r","author":"a"}"#,
                "order.pin: invalid value",
            ),
            (
                r#"{"workload":"a","order":"stop","reason":"r","author":"a"}"#,
                "order: unknown variant `stop`, expected one of",
            ),
            (
                r#"{"workload":"a","order":"pause","reason":"r","author":"a","until":1}"#,
                "until: unknown field `until`, expected one of",
            ),
            (r#"{"workload":"a"}"#, "body: missing field `order`"),
            ("[", "body: "),
            ("", "body: EOF"),
        ];
        for (text, part) in cases {
            let said = order(text);
            assert!(said.contains(part), "{text}: {said}");
        }
        let two = r#"{"workload":"a","order":"pause","reason":"r","author":"a"} {}"#;
        assert!(order(two).contains("trailing"), "{}", order(two));
    }
}
