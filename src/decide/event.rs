//! A known cause of load.

use crate::series::Millis;
use serde::{Deserialize, Serialize};

/// What an event does to the demand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The demand is so many times what it would be.
    Multiplier(f64),
    /// The demand is at least this, in the unit of the demand.
    Load(f64),
}

/// A known cause of load: a campaign, a game, a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique; given by the store.
    pub id: String,
    /// What sort of event, such as `campaign`; past events of one kind teach what the next will do.
    pub kind: String,
    /// For people.
    pub name: String,
    /// When it begins.
    pub start: Millis,
    /// When it ends; after `start`.
    pub end: Millis,
    /// So long before its start what it needs shall be ready; the workload's lead time where left out.
    pub lead: Option<Millis>,
    /// After its end the effect fades over this; 0: at once.
    pub decay: Millis,
    /// What it does. `None`: what past events of its kind did.
    pub effect: Option<Effect>,
    /// The workloads it is for; none: all.
    pub workloads: Vec<String>,
    /// Who put it in.
    pub author: String,
    /// When.
    pub created: Millis,
}

/// What a person may write into a field.
pub(super) const LONGEST_NAME: usize = 200;
const LONGEST_KIND: usize = 64;
const LONGEST_AUTHOR: usize = 100;
/// As long as the longest name of Kubernetes.
const LONGEST_WORKLOAD: usize = 253;
const MOST_WORKLOADS: usize = 1_000;
const DAY: Millis = 86_400_000;
/// Longer than any season: what is always so is no event.
const LONGEST: Millis = 366 * DAY;
const LONGEST_LEAD: Millis = 7 * DAY;
const LONGEST_DECAY: Millis = 30 * DAY;
/// A typing mistake, more likely than a thousandfold demand.
const MOST_TIMES: f64 = 1_000.0;
const MOST_LOAD: f64 = 1e15;
/// The year 2000, and the year 2100: outside, seconds were taken for milliseconds or the other way round.
pub(super) const TIMES: std::ops::Range<Millis> = 946_684_800_000..4_102_444_800_000;

// === impl Event ===

impl Event {
    /// What is wrong with it: the field, and the problem with what is allowed.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |field: &str, text: String| found.push((field.to_owned(), text));
        if !is_word(&self.kind, LONGEST_KIND) {
            let text = format!(
                "must be 1 to {LONGEST_KIND} lower-case letters, digits, _ or -, such as campaign"
            );
            add("kind", text);
        }
        check_text("name", &self.name, LONGEST_NAME, &mut add);
        check_text("author", &self.author, LONGEST_AUTHOR, &mut add);
        for (field, time) in [("start", self.start), ("end", self.end)] {
            if !TIMES.contains(&time) {
                add(field, "must be a time from 2000 to 2100".to_owned());
            }
        }
        if self.end <= self.start {
            add("end", "must be after start".to_owned());
        } else if self.end.saturating_sub(self.start) > LONGEST {
            add("end", "must be at most 366d after start".to_owned());
        }
        if self
            .lead
            .is_some_and(|lead| !(0..=LONGEST_LEAD).contains(&lead))
        {
            add("lead", "must be 0s to 7d".to_owned());
        }
        if !(0..=LONGEST_DECAY).contains(&self.decay) {
            add("decay", "must be 0s to 30d".to_owned());
        }
        if let Some(problem) = self.effect.and_then(Effect::problem) {
            add("effect", problem);
        }
        check_workloads(&self.workloads, &mut add);
        found
    }
}

impl Effect {
    fn problem(self) -> Option<String> {
        match self {
            Self::Multiplier(times) if !(times > 0.0 && times <= MOST_TIMES) => Some(format!(
                "multiplier must be above 0 and at most {MOST_TIMES}"
            )),
            Self::Load(load) if !(0.0..=MOST_LOAD).contains(&load) => {
                Some(format!("load must be 0 to {MOST_LOAD:e}"))
            }
            _ => None,
        }
    }
}

fn check_workloads(workloads: &[String], add: &mut dyn FnMut(&str, String)) {
    if workloads.len() > MOST_WORKLOADS {
        let text = format!("must be at most {MOST_WORKLOADS}; leave them out for all");
        add("workloads", text);
    }
    for (index, name) in workloads.iter().enumerate().take(MOST_WORKLOADS) {
        check_text(&format!("workloads[{index}]"), name, LONGEST_WORKLOAD, add);
        if workloads.iter().take(index).any(|before| before == name) {
            add(
                &format!("workloads[{index}]"),
                format!("{name:?} is there twice"),
            );
        }
    }
}

fn is_word(text: &str, longest: usize) -> bool {
    let is_fine = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
    };
    (1..=longest).contains(&text.len()) && text.bytes().all(is_fine)
}

/// Reports a text that is empty, too long, or has control characters, which could fake a line of a log.
pub(super) fn check_text(
    field: &str,
    text: &str,
    longest: usize,
    add: &mut dyn FnMut(&str, String),
) {
    if text.trim().is_empty() {
        add(field, "must not be empty".to_owned());
    } else if text.chars().count() > longest {
        add(field, format!("must have at most {longest} characters"));
    } else if text.chars().any(char::is_control) {
        add(field, "must not have control characters".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: String::new(),
            kind: "campaign".to_owned(),
            name: "Black Friday".to_owned(),
            start: 1_795_737_600_000,
            end: 1_795_824_000_000,
            lead: None,
            decay: 0,
            effect: Some(Effect::Multiplier(3.0)),
            workloads: vec!["checkout".to_owned()],
            author: "ada".to_owned(),
            created: 0,
        }
    }

    #[test]
    fn an_event_says_every_problem_at_once_by_its_field() {
        assert_eq!(event().validate(), []);
        let wrong = Event {
            kind: "Big Sale".to_owned(),
            name: " ".to_owned(),
            start: 1_795_737_600,
            end: 1_795_737_600,
            lead: Some(-1),
            decay: 31 * DAY,
            effect: Some(Effect::Multiplier(f64::NAN)),
            workloads: vec!["a".to_owned(), "a".to_owned(), "b\nc".to_owned()],
            author: "x".repeat(101),
            ..event()
        };
        let fields: Vec<String> = wrong
            .validate()
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        let expected = [
            "kind",
            "name",
            "author",
            "start",
            "end",
            "end",
            "lead",
            "decay",
            "effect",
            "workloads[1]",
            "workloads[2]",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn effects_out_of_reason_are_refused() {
        for (effect, sound) in [
            (Effect::Multiplier(0.5), true),
            (Effect::Multiplier(0.0), false),
            (Effect::Multiplier(f64::INFINITY), false),
            (Effect::Load(0.0), true),
            (Effect::Load(-1.0), false),
            (Effect::Load(f64::NAN), false),
        ] {
            assert_eq!(effect.problem().is_none(), sound, "{effect:?}");
        }
    }
}
