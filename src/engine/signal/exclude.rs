//! The times of a signal from which nothing is learned, or at which nothing is judged.
//!
//! A pure function of grid time, so it is the same on every replica and after every restart. Days that
//! were asked for are remembered: at an epoch the whole past of every series is asked for.

use crate::{
    engine::settings::{Calendars, ExcludeSettings, Purpose, calendar_of},
    series::{
        Calendar, Millis,
        calendar::{Interval, merged},
    },
};
use jiff::Timestamp;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

const DAY: Millis = 86_400_000;
/// Days remembered; ten years at a step of a day.
const MOST_DAYS: usize = 4_000;

/// What a signal leaves out.
#[derive(Debug, Default)]
pub struct Exclusions {
    entries: Vec<Entry>,
    days: RwLock<BTreeMap<i64, Arc<Day>>>,
}

#[derive(Debug)]
struct Entry {
    /// `None` for a span without a name.
    name: Option<String>,
    calendar: Arc<Calendar>,
    purposes: Vec<Purpose>,
}

/// The spans that touch one day of UTC, sorted and apart.
#[derive(Debug, Default)]
struct Day {
    training: Vec<Interval>,
    scoring: Vec<Interval>,
}

impl Exclusions {
    /// What a signal with these settings leaves out.
    ///
    /// # Errors
    /// A calendar that is not among `calendars`.
    pub fn new(settings: &[ExcludeSettings], calendars: &Calendars) -> Result<Self, String> {
        let entry = |one: &ExcludeSettings| {
            let calendar = match (&one.calendar, one.span()) {
                (Some(name), _) => calendar_of(calendars, name)?,
                (None, span) => Arc::new(span.map(Calendar::fixed).unwrap_or_default()),
            };
            Ok(Entry {
                name: one.calendar.clone(),
                calendar,
                purposes: one.purposes().to_vec(),
            })
        };
        Ok(Self {
            entries: settings.iter().map(entry).collect::<Result<_, String>>()?,
            days: RwLock::default(),
        })
    }

    /// Whether nothing is learned from the value at `at`.
    pub(super) fn not_learned(&self, at: Millis) -> bool {
        !self.entries.is_empty() && covered(&self.day(at).training, at)
    }

    /// Whether the value at `at` is not judged.
    pub(super) fn not_judged(&self, at: Millis) -> bool {
        !self.entries.is_empty() && covered(&self.day(at).scoring, at)
    }

    /// Whether anything is left out at `at`.
    pub(super) fn any(&self, at: Millis) -> bool {
        self.not_learned(at) || self.not_judged(at)
    }

    /// `values`, the first of them at `begin`, as what learns from them sees them: `NaN` inside.
    pub fn learnable<'v>(&self, begin: Millis, step: Millis, values: &'v [f32]) -> Cow<'v, [f32]> {
        let mut seen = Cow::Borrowed(values);
        if self.entries.is_empty() {
            return seen;
        }
        let mut index = 0;
        while index < values.len() {
            let at = begin + index as i64 * step;
            let day = self.day(at);
            let midnight = (at.div_euclid(DAY) + 1) * DAY;
            let until = index + usize::try_from((midnight - 1 - at) / step).unwrap_or(0) + 1;
            let until = until.min(values.len());
            if !day.training.is_empty() {
                for (place, value) in seen.to_mut().iter_mut().enumerate().take(until).skip(index) {
                    if covered(&day.training, begin + place as i64 * step) {
                        *value = f32::NAN;
                    }
                }
            }
            index = until;
        }
        seen
    }

    /// Why nothing is judged at `at`, if so, and until when.
    pub(super) fn why(&self, at: Millis) -> Option<String> {
        if !self.not_judged(at) {
            return None;
        }
        let judged = |entry: &&Entry| entry.purposes.contains(&Purpose::Scoring);
        let mut own = self.entries.iter().filter(judged);
        let entry = own.find(|entry| entry.calendar.contains(at))?;
        let until = Timestamp::from_millisecond(self.end(at)).ok()?;
        let by = match &entry.name {
            Some(name) => format!("by calendar {name}"),
            None => "by a fixed range".to_owned(),
        };
        let until = until.strftime("%Y-%m-%d %H:%M UTC");
        Some(format!("excluded {by} until {until}"))
    }

    /// When judging goes on; where it does not within a year, the end of what is known then.
    fn end(&self, at: Millis) -> Millis {
        let mut end = at;
        while end < at + 366 * DAY {
            let day = self.day(end);
            match day
                .scoring
                .iter()
                .find(|one| one.from <= end && end < one.to)
            {
                Some(one) => end = one.to,
                None => break,
            }
        }
        end
    }

    fn day(&self, at: Millis) -> Arc<Day> {
        let number = at.div_euclid(DAY);
        // Days are only ever added whole: a panic elsewhere leaves nothing to repair.
        let known = self.days.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(day) = known.get(&number) {
            return Arc::clone(day);
        }
        drop(known);
        let day = Arc::new(self.work_out(number));
        let mut known = self.days.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_DAYS {
            known.clear();
        }
        known.insert(number, Arc::clone(&day));
        day
    }

    fn work_out(&self, number: i64) -> Day {
        let mut day = Day::default();
        for entry in &self.entries {
            let found = entry.calendar.touching(number * DAY, (number + 1) * DAY);
            for purpose in &entry.purposes {
                let own = match purpose {
                    Purpose::Training => &mut day.training,
                    Purpose::Scoring => &mut day.scoring,
                };
                own.extend(&found);
            }
        }
        Day {
            training: merged(day.training),
            scoring: merged(day.scoring),
        }
    }
}

fn covered(intervals: &[Interval], at: Millis) -> bool {
    let next = intervals.partition_point(|interval| interval.to <= at);
    intervals
        .get(next)
        .is_some_and(|interval| interval.from <= at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exclusions(text: &str) -> Exclusions {
        let settings: Vec<ExcludeSettings> = serde_yaml::from_str(text).unwrap();
        Exclusions::new(&settings, &Calendars::default()).unwrap()
    }

    #[test]
    fn purposes_are_apart_and_the_end_is_that_of_all_that_touch() {
        let own = exclusions(
            "[{from: 1970-01-02, to: 1970-01-04, for: [training]}, {from: 1970-01-03, to: 1970-01-05, for: [scoring]}, {from: 1970-01-05, to: 1970-01-06}]",
        );
        let days: Vec<(bool, bool)> = (0..6)
            .map(|day| (own.not_learned(day * DAY), own.not_judged(day * DAY)))
            .collect();
        let (no, training, scoring, both) =
            ((false, false), (true, false), (false, true), (true, true));
        assert_eq!(days, [no, training, both, scoring, both, no]);
        assert_eq!(own.why(DAY), None);
        let why = own.why(2 * DAY).unwrap();
        assert_eq!(why, "excluded by a fixed range until 1970-01-06 00:00 UTC");
        let unknown: Vec<ExcludeSettings> = serde_yaml::from_str("[{calendar: x}]").unwrap();
        assert!(Exclusions::new(&unknown, &Calendars::default()).is_err());
    }

    proptest! {
        #[test]
        fn masking_asks_of_each_value_what_asking_does(
            begin in -5 * DAY..5 * DAY, step in 1_000_i64..2 * DAY, count in 0_usize..200,
        ) {
            let own = exclusions("[{from: 1970-01-01T05:00:00Z, to: 1970-01-01T23:59:59Z}, {from: 1970-01-03, to: 1970-01-20}]");
            let values = vec![1.0; count];
            let seen = own.learnable(begin, step, &values);
            for (index, value) in seen.iter().enumerate() {
                let inside = own.not_learned(begin + index as i64 * step);
                prop_assert_eq!(value.is_nan(), inside);
            }
        }
    }
}
