//! How long it takes from a decision until a new replica does work.

use super::Replicas;
use crate::series::{Millis, Span};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor, value::MapAccessDeserializer},
};
use std::{collections::VecDeque, fmt};

/// The lead time of a workload, as written in configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LeadTime {
    /// A person knows it.
    Given(Span),
    /// It is measured: from when more replicas are asked for until they are ready.
    Measured(MeasuredLead),
}

/// Bounds of a measured lead time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasuredLead {
    /// Never below this.
    pub min: Span,
    /// Never above this.
    pub max: Span,
    /// Until something was measured.
    pub initial: Span,
}

impl Default for MeasuredLead {
    fn default() -> Self {
        Self {
            min: Span::seconds(15),
            max: Span::minutes(15),
            initial: Span::minutes(3),
        }
    }
}

impl Default for LeadTime {
    fn default() -> Self {
        Self::Measured(MeasuredLead::default())
    }
}

impl LeadTime {
    /// The shortest and the longest it can be.
    pub fn range(self) -> (Span, Span) {
        match self {
            Self::Given(span) => (span, span),
            Self::Measured(bounds) => (bounds.min, bounds.max),
        }
    }

    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let most = Span::minutes(120);
        match self {
            Self::Given(span) if !(Span::default()..=most).contains(&span) => {
                let text = format!("{span} is not within 0s to {most}");
                problems.push((String::new(), text));
            }
            Self::Measured(bounds) => {
                if !(Span::seconds(1)..=most).contains(&bounds.max) || bounds.max < bounds.min {
                    let text = format!("{} is not within measured.min to {most}", bounds.max);
                    problems.push(("measured.max".to_owned(), text));
                } else if !(bounds.min..=bounds.max).contains(&bounds.initial) {
                    let text = format!("{} is not within min to max", bounds.initial);
                    problems.push(("measured.initial".to_owned(), text));
                }
            }
            Self::Given(_) => {}
        }
        problems
    }
}

/// The form of a mapping: `{measured: {max: 10m}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    measured: MeasuredLead,
}

impl<'de> Deserialize<'de> for LeadTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LeadVisitor)
    }
}

struct LeadVisitor;

impl<'de> Visitor<'de> for LeadVisitor {
    type Value = LeadTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`measured`, a duration such as 3m, or `measured: {min: 30s, max: 10m}`")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<LeadTime, E> {
        if word == "measured" {
            return Ok(LeadTime::default());
        }
        let span = word.parse::<Span>();
        let span = span.map_err(|_| E::invalid_value(de::Unexpected::Str(word), &self))?;
        Ok(LeadTime::Given(span))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<LeadTime, A::Error> {
        let mapping = Mapping::deserialize(MapAccessDeserializer::new(map))?;
        Ok(LeadTime::Measured(mapping.measured))
    }
}

/// Lead times that were seen lately; p90 of them, smoothed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Measurement {
    /// Size that was asked for, and when.
    pending: VecDeque<(u32, Millis)>,
    /// What was asked for last.
    wanted: Option<u32>,
    /// The newest lead times, milliseconds.
    seen: VecDeque<Millis>,
    /// The estimate, milliseconds.
    smoothed: Option<f32>,
}

/// So many lead times are remembered.
const SEEN: usize = 32;
/// So many increases may be under way.
const PENDING: usize = 16;
/// One slow start is no rule.
const LEAST_SEEN: usize = 3;
/// What share of a new estimate counts.
const NEWS: f32 = 0.3;

impl Measurement {
    /// The lead time in use, milliseconds.
    pub(super) fn lead(&self, settings: LeadTime) -> Millis {
        match settings {
            LeadTime::Given(span) => span.as_millis(),
            LeadTime::Measured(bounds) => {
                let known = self.smoothed.filter(|_| self.seen.len() >= LEAST_SEEN);
                let known = known.map_or(bounds.initial.as_millis(), |known| known as Millis);
                known.clamp(bounds.min.as_millis(), bounds.max.as_millis())
            }
        }
    }

    /// The size at a time. `decided`: what was recommended, where readers follow it and the size that was asked
    /// for is not known; such a lead time contains the `pipeline` between the two.
    pub(super) fn note(
        &mut self,
        settings: LeadTime,
        size: Replicas,
        decided: Option<u32>,
        pipeline: Millis,
    ) {
        let LeadTime::Measured(bounds) = settings else {
            return;
        };
        let Some(wanted) = size.wanted.or(decided) else {
            return;
        };
        // A rise between two readings began somewhere between them; counted from the later one it would seem shorter
        // than it was by as much as readings are apart, which `pipeline` covers.
        if self.wanted.is_some_and(|before| wanted > before) && wanted > size.ready {
            if self.pending.len() == PENDING {
                self.pending.pop_front();
            }
            self.pending.push_back((wanted, size.at));
        }
        self.wanted = Some(wanted);
        self.pending.retain(|(target, _)| *target <= wanted);
        let excess = if size.wanted.is_some() { 0 } else { pipeline };
        let longest = bounds.max.as_millis();
        let is_over = |(target, since): &(u32, Millis)| {
            *target <= size.ready || size.at - since > longest + excess
        };
        while let Some((_, since)) = self.pending.front().copied().filter(is_over) {
            self.pending.pop_front();
            let took = (size.at - since - excess).clamp(0, longest);
            self.learn(took);
        }
    }

    /// The clock was set back: what is under way cannot be measured any more.
    pub(super) fn rewind(&mut self) {
        self.pending.clear();
    }

    fn learn(&mut self, took: Millis) {
        if self.seen.len() == SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(took);
        let mut sorted: Vec<Millis> = self.seen.iter().copied().collect();
        sorted.sort_unstable();
        let p90 = sorted[(sorted.len() * 9).div_ceil(10) - 1] as f32;
        let before = self.smoothed.filter(|_| self.seen.len() > LEAST_SEEN);
        self.smoothed = Some(before.map_or(p90, |before| before + NEWS * (p90 - before)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Millis = 1_000;

    fn size(at: Millis, ready: u32, wanted: u32) -> Replicas {
        Replicas {
            at,
            ready,
            wanted: Some(wanted),
        }
    }

    /// So many increases of one replica, each ready after `took`.
    fn measure(measurement: &mut Measurement, from: Millis, count: u32, took: Millis) -> Millis {
        let settings = LeadTime::default();
        let mut at = from;
        for round in 0..count {
            let before = 10 + round;
            measurement.note(settings, size(at, before, before), None, 0);
            measurement.note(settings, size(at + SECOND, before, before + 1), None, 0);
            at += SECOND + took;
            measurement.note(settings, size(at, before + 1, before + 1), None, 0);
            at += 600 * SECOND;
            measurement.note(settings, size(at, 1, 1), None, 0);
        }
        at
    }

    #[test]
    fn is_what_was_measured_and_follows_slowly() {
        let mut measurement = Measurement::default();
        assert_eq!(measurement.lead(LeadTime::default()), 180 * SECOND);
        let at = measure(&mut measurement, 0, 2, 40 * SECOND);
        assert_eq!(measurement.lead(LeadTime::default()), 180 * SECOND);
        let at = measure(&mut measurement, at, 8, 40 * SECOND);
        assert_eq!(measurement.lead(LeadTime::default()), 40 * SECOND);
        let at = measure(&mut measurement, at, 1, 400 * SECOND);
        assert!(measurement.lead(LeadTime::default()) < 200 * SECOND);
        measure(&mut measurement, at, 30, 400 * SECOND);
        let lead = measurement.lead(LeadTime::default());
        assert!((390 * SECOND..=400 * SECOND).contains(&lead), "{lead}");
    }

    #[test]
    fn replicas_that_never_get_ready_count_as_slow_and_are_forgotten() {
        let (mut measurement, settings) = (Measurement::default(), LeadTime::default());
        measurement.note(settings, size(0, 5, 5), None, 0);
        for minute in 1..=90 {
            measurement.note(settings, size(minute * 60 * SECOND, 5, 8), None, 0);
        }
        assert_eq!(measurement.seen, [900 * SECOND]);
        assert!(measurement.pending.is_empty());
    }

    #[test]
    fn without_what_was_asked_for_the_decision_counts_and_its_way() {
        let (mut measurement, settings) = (Measurement::default(), LeadTime::default());
        let ready = |at, ready| Replicas {
            at,
            ready,
            wanted: None,
        };
        let pipeline = 75 * SECOND;
        measurement.note(settings, ready(0, 5), Some(5), pipeline);
        measurement.note(settings, ready(15 * SECOND, 5), Some(9), pipeline);
        measurement.note(settings, ready(135 * SECOND, 9), Some(9), pipeline);
        assert_eq!(measurement.seen, [45 * SECOND]);
    }

    #[test]
    fn reads_words_spans_and_bounds() {
        let read = |text: &str| {
            let value = serde_yaml::Deserializer::from_str(text);
            serde_yaml::with::singleton_map_recursive::deserialize::<LeadTime, _>(value)
        };
        assert_eq!(read("measured").unwrap(), LeadTime::default());
        assert_eq!(read("3m").unwrap(), LeadTime::Given(Span::minutes(3)));
        let bounds = read("{measured: {max: 10m}}").unwrap();
        assert_eq!(bounds.range(), (Span::seconds(15), Span::minutes(10)));
        for bad in ["soon", "{measured: {most: 1m}}", "{guess: {}}", "3"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("{measured: {max: 10s}}").unwrap().validate().len(), 1);
    }
}
