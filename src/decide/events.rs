//! What events do to the demand of a workload.
//!
//! An event asks for so many times the demand there was before it began, from its lead on until its end, fading after.
//! The demand before it is kept when it begins: from then on what is measured and forecast contains the event itself,
//! and multiplying that would count it twice. Where nobody said what an event does, it is taken to do what those of its
//! kind did: the median over past ones of the ratio of the 90th percentile of the demand inside to the demand before.

use super::{Effect, Event};
use crate::series::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// So many events are followed at a time.
const FOLLOWED: usize = 32;
/// So many kinds are remembered, and so many events of each.
const KINDS: usize = 64;
const EACH: usize = 8;
/// So many values of the demand inside an event.
const INSIDE: usize = 64;
/// An event of fewer values teaches nothing.
const LEAST_INSIDE: usize = 4;

/// What events do to a workload, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventSettings {
    /// Whether they count.
    pub enabled: bool,
    /// No event counts for more than so many times the demand.
    pub max_multiplier: f64,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            max_multiplier: 10.0,
        }
    }
}

impl EventSettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if !(1.0..=1_000.0).contains(&self.max_multiplier) {
            let text = format!("{} is not within 1 to 1000", self.max_multiplier);
            problems.push(("max_multiplier".to_owned(), text));
        }
        problems
    }
}

/// The events that are followed, and what past ones did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Events {
    followed: Vec<Followed>,
    /// By kind, what the newest did, as multiples of the demand before.
    learned: BTreeMap<String, VecDeque<f32>>,
}

/// An event from its lead on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Followed {
    id: String,
    /// The demand that it multiplies: what was measured or forecast when it began, the greater.
    base: f32,
    /// The demand before it, which what is measured inside is compared with.
    outside: f32,
    inside: Vec<f32>,
    /// Every so many values one is kept.
    stride: u32,
    seen: u32,
    /// Whether it has taught what its kind does.
    taught: bool,
}

/// The demand as events see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) at: Millis,
    /// Measured now.
    pub(super) demand: f64,
    /// Measured over the last minutes.
    pub(super) level: f64,
    /// Forecast, where that counts; no more than is plausible.
    pub(super) forecast: Option<f64>,
    /// From a decision until its replicas work, where an event has no lead of its own.
    pub(super) lead: Millis,
    /// Whether values may teach: the demand is not abnormally low.
    pub(super) normal: bool,
}

impl Events {
    /// The demand before those in force is not known in the unit of now; what past ones did is a ratio.
    pub(super) fn forget_followed(&mut self) {
        self.followed.clear();
    }

    /// The greatest demand that an event in force asks for, and that event.
    pub(super) fn demand<'a>(
        &mut self,
        settings: &EventSettings,
        workload: &str,
        course: Course,
        events: &'a [Event],
    ) -> Option<(f64, &'a Event)> {
        self.let_go(course, events);
        let mut greatest: Option<(f64, &Event)> = None;
        for event in events {
            let meant =
                event.workloads.is_empty() || event.workloads.iter().any(|name| name == workload);
            if !(meant && settings.enabled && in_force(event, course)) {
                continue;
            }
            let base = self.follow(event, course);
            let demand = self.asked(settings, event, base, course.at);
            if let Some(demand) = demand.filter(|demand| greatest.is_none_or(|one| one.0 < *demand))
            {
                greatest = Some((demand, event));
            }
        }
        greatest
    }

    /// Lets go of events that have faded or were removed. One that has ended teaches what its kind does: once, and also
    /// where it faded between two decisions or does not count any more.
    fn let_go(&mut self, course: Course, events: &[Event]) {
        let mut lessons = Vec::new();
        self.followed.retain_mut(|followed| {
            let Some(event) = events.iter().find(|event| event.id == followed.id) else {
                return false;
            };
            if course.at >= event.end && !followed.taught {
                followed.taught = true;
                lessons.extend(followed.ratio().map(|ratio| (&event.kind, ratio)));
            }
            in_force(event, course)
        });
        for (kind, ratio) in lessons {
            self.learn(kind, ratio);
        }
    }

    /// The base of an event; `None` where it was not followed when it began.
    fn follow(&mut self, event: &Event, course: Course) -> Option<f64> {
        let place = self.followed.iter().position(|one| one.id == event.id);
        let begun = course.at >= event.start;
        let Some(place) = place else {
            // Put in after it began, or while too many are followed: what there was before is not known.
            if begun || self.followed.len() == FOLLOWED {
                return None;
            }
            self.followed.push(Followed::new(event, course));
            return self.followed.last().map(|one| f64::from(one.base));
        };
        let followed = &mut self.followed[place];
        if !begun {
            *followed = Followed::new(event, course);
        } else if course.at < event.end {
            followed.keep(course);
        }
        Some(f64::from(followed.base))
    }

    fn learn(&mut self, kind: &str, ratio: f32) {
        if self.learned.len() == KINDS && !self.learned.contains_key(kind) {
            return;
        }
        let past = self.learned.entry(kind.to_owned()).or_default();
        if past.len() == EACH {
            past.pop_front();
        }
        past.push_back(ratio);
    }

    /// What events of a kind do, as a multiple of the demand before; `None` where none was seen.
    fn usual(&self, kind: &str) -> Option<f64> {
        let past = self.learned.get(kind)?;
        let mut sorted: Vec<f32> = past.iter().copied().collect();
        sorted.sort_unstable_by(f32::total_cmp);
        sorted.get(sorted.len() / 2).copied().map(f64::from)
    }

    fn asked(
        &self,
        settings: &EventSettings,
        event: &Event,
        base: Option<f64>,
        at: Millis,
    ) -> Option<f64> {
        let since = at.saturating_sub(event.end).max(0) as f64;
        let weight = match event.decay {
            decay if decay > 0 => (1.0 - since / decay as f64).clamp(0.0, 1.0),
            _ => 1.0,
        };
        let times = |multiplier: f64| {
            let multiplier = multiplier.min(settings.max_multiplier);
            base.map(|base| base * (1.0 + (multiplier - 1.0) * weight))
        };
        let demand = match event.effect {
            Some(Effect::Load(load)) => Some(load * weight),
            Some(Effect::Multiplier(multiplier)) => times(multiplier),
            None => self.usual(&event.kind).and_then(times),
        };
        demand.filter(|demand| demand.is_finite() && *demand > 0.0)
    }
}

/// From its lead on until it has faded.
fn in_force(event: &Event, course: Course) -> bool {
    let lead = event.lead.unwrap_or(course.lead).max(0);
    let from = event.start.saturating_sub(lead);
    let to = event.end.saturating_add(event.decay.max(1));
    (from..to).contains(&course.at)
}

impl Followed {
    fn new(event: &Event, course: Course) -> Self {
        Self {
            id: event.id.clone(),
            base: course.demand.max(course.forecast.unwrap_or(0.0)) as f32,
            outside: course.level as f32,
            inside: Vec::new(),
            stride: 1,
            seen: 0,
            taught: false,
        }
    }

    /// Keeps every so many values: half of them are dropped, and twice as few come, whenever there are too many.
    fn keep(&mut self, course: Course) {
        if !course.normal {
            return;
        }
        if self.seen.is_multiple_of(self.stride) {
            if self.inside.len() == INSIDE {
                let mut place = 0;
                self.inside.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride = self.stride.saturating_mul(2);
            }
            self.inside.push(course.demand as f32);
        }
        self.seen = self.seen.wrapping_add(1);
    }

    fn ratio(&self) -> Option<f32> {
        let mut sorted = self.inside.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let high = sorted[(last as f32 * 0.9).round() as usize];
        let ratio = high / self.outside;
        (sorted.len() >= LEAST_INSIDE && ratio.is_finite()).then_some(ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn event(id: &str, effect: Option<Effect>) -> Event {
        Event {
            id: id.to_owned(),
            kind: "game".to_owned(),
            name: "Final".to_owned(),
            start: 60 * MINUTE,
            end: 90 * MINUTE,
            lead: Some(10 * MINUTE),
            decay: 20 * MINUTE,
            effect,
            workloads: vec!["checkout".to_owned()],
            author: "ada".to_owned(),
            created: 0,
        }
    }

    fn course(minute: i64, demand: f64) -> Course {
        Course {
            at: minute * MINUTE,
            demand,
            level: 100.0,
            forecast: None,
            lead: 5 * MINUTE,
            normal: true,
        }
    }

    fn asked(events: &mut Events, all: &[Event], minute: i64, demand: f64) -> Option<f64> {
        let settings = EventSettings::default();
        let found = events.demand(&settings, "checkout", course(minute, demand), all);
        found.map(|(demand, _)| demand)
    }

    #[test]
    fn multiplies_what_there_was_before_it_began_and_fades() {
        let (mut events, all) = (
            Events::default(),
            [event("1", Some(Effect::Multiplier(3.0)))],
        );
        assert_eq!(asked(&mut events, &all, 49, 100.0), None);
        assert_eq!(asked(&mut events, &all, 50, 100.0), Some(300.0));
        assert_eq!(asked(&mut events, &all, 59, 110.0), Some(330.0));
        assert_eq!(asked(&mut events, &all, 70, 300.0), Some(330.0));
        assert_eq!(asked(&mut events, &all, 100, 200.0), Some(220.0));
        assert_eq!(asked(&mut events, &all, 110, 100.0), None);
        assert!(events.followed.is_empty());
    }

    #[test]
    fn a_load_is_what_it_says_whenever_it_was_put_in() {
        let (mut events, all) = (Events::default(), [event("1", Some(Effect::Load(500.0)))]);
        assert_eq!(asked(&mut events, &all, 70, 300.0), Some(500.0));
        let late = [event("2", Some(Effect::Multiplier(3.0)))];
        assert_eq!(asked(&mut Events::default(), &late, 70, 300.0), None);
        for bad in [
            Effect::Load(f64::NAN),
            Effect::Load(-1.0),
            Effect::Multiplier(f64::INFINITY),
        ] {
            let found = asked(&mut Events::default(), &[event("3", Some(bad))], 55, 100.0);
            assert!(found.is_none_or(|one| one <= 1_000.0), "{bad:?}: {found:?}");
        }
    }

    #[test]
    fn learns_from_its_kind_what_the_next_will_do() {
        let mut events = Events::default();
        for (id, times) in [("1", 2.0), ("2", 2.5), ("3", 9.0)] {
            let all = [event(id, None)];
            for minute in 45..115 {
                let inside = (60..90).contains(&minute);
                asked(
                    &mut events,
                    &all,
                    minute,
                    if inside { 100.0 * times } else { 100.0 },
                );
            }
        }
        assert_eq!(events.usual("game"), Some(2.5));
        assert_eq!(events.usual("sale"), None);
        assert_eq!(
            asked(&mut events, &[event("4", None)], 55, 100.0),
            Some(250.0)
        );
    }

    #[test]
    fn learns_also_where_no_decision_is_made_at_the_very_end() {
        let mut events = Events::default();
        let mut short = event("1", None);
        (short.decay, short.end) = (0, 90 * MINUTE + 1);
        for minute in 45..115 {
            let inside = (60..91).contains(&minute);
            let demand = if inside { 250.0 } else { 100.0 };
            asked(&mut events, std::slice::from_ref(&short), minute, demand);
        }
        assert_eq!(events.usual("game"), Some(2.5));
        assert_eq!(events.learned["game"].len(), 1);
        assert!(events.followed.is_empty());
    }

    #[test]
    fn teaches_once_also_where_events_were_switched_off_meanwhile() {
        let (mut events, all) = (Events::default(), [event("1", None)]);
        let settings = |minute: i64| EventSettings {
            enabled: minute < 80,
            ..EventSettings::default()
        };
        for minute in 45..115 {
            let inside = (60..90).contains(&minute);
            let course = course(minute, if inside { 250.0 } else { 100.0 });
            events.demand(&settings(minute), "checkout", course, &all);
        }
        assert_eq!(events.learned["game"], [2.5]);
        assert!(events.followed.is_empty());
    }

    #[test]
    fn other_workloads_are_left_alone_and_memory_is_bounded() {
        let mut elsewhere = event("1", Some(Effect::Load(500.0)));
        elsewhere.workloads = vec!["cart".to_owned()];
        let mut events = Events::default();
        assert_eq!(asked(&mut events, &[elsewhere], 55, 100.0), None);
        let many: Vec<_> = (0..200).map(|id| event(&id.to_string(), None)).collect();
        for second in 0..3_600 {
            let at = course(0, 100.0);
            let at = Course {
                at: 50 * MINUTE + second * 1_000,
                ..at
            };
            events.demand(&EventSettings::default(), "checkout", at, &many);
        }
        assert_eq!(events.followed.len(), FOLLOWED);
        assert!(events.followed.iter().all(|one| one.inside.len() <= INSIDE));
    }
}
