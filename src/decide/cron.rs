//! When a cron expression fires: five fields, as crontab(5).

use crate::series::{Millis, Zone};
use jiff::{Span as CivilSpan, civil::Date};
use serde::{Deserialize, Deserializer, de};
use std::str::FromStr;

const DAY: Millis = 86_400_000;
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Minute, hour, day of the month, month, weekday (0 or 7 is Sunday). Where both kinds of days are given, either will
/// do, as in cron.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether both kinds of days are given.
    either: bool,
}

impl Cron {
    /// When it fired last at or before `at`, no longer than `within` milliseconds ago.
    pub(super) fn last(&self, at: Millis, within: Millis, zone: &Zone) -> Option<Millis> {
        let mut date = zone.date(at)?;
        for _ in 0..within.div_euclid(DAY) + 3 {
            if self.fires_on(date)
                && let Some(found) = self.last_on(date, at, zone)
            {
                return (at - found < within).then_some(found);
            }
            date = date.checked_sub(CivilSpan::new().days(1)).ok()?;
        }
        None
    }

    fn fires_on(&self, date: Date) -> bool {
        let has = |set: u64, value: i8| set >> value & 1 == 1;
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let days = match self.either {
            true => day || weekday,
            false => day && weekday,
        };
        has(self.months, date.month()) && days
    }

    fn last_on(&self, date: Date, at: Millis, zone: &Zone) -> Option<Millis> {
        let set = |set: u64, most: i8| (0..=most).rev().filter(move |value| set >> value & 1 == 1);
        for hour in set(self.hours, 23) {
            // A whole hour after now needs no look at its minutes; one more for clocks that are set.
            let start = zone.first(date.at(hour, 0, 0, 0))?;
            if start > at + DAY / 24 {
                continue;
            }
            for minute in set(self.minutes, 59) {
                let found = zone.first(date.at(hour, minute, 0, 0))?;
                if found <= at {
                    return Some(found);
                }
            }
        }
        None
    }
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!(
                "{text:?} has {} fields; a cron expression has five: minute hour day month weekday",
                fields.len()
            ));
        };
        let weekday_set = field("weekday", weekdays, 0, 7, &WEEKDAYS)?;
        Ok(Self {
            minutes: field("minute", minutes, 0, 59, &[])?,
            hours: field("hour", hours, 0, 23, &[])?,
            days: field("day", days, 1, 31, &[])?,
            months: field("month", months, 1, 12, &MONTHS)?,
            // Sunday is 0 and 7.
            weekdays: weekday_set & 0x7f | weekday_set >> 7 & 1,
            either: !days.starts_with('*') && !weekdays.starts_with('*'),
        })
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The values of a field as bits. `names` are those of its values, from `least` on.
fn field(name: &str, text: &str, least: u8, most: u8, names: &[&str]) -> Result<u64, String> {
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let refuse = || {
            format!(
                "{part:?} is not a {name}; allowed: {least} to {most}, a-b, */n and lists of them"
            )
        };
        let value = |text: &str| {
            let lower = text.to_ascii_lowercase();
            let named = names.iter().position(|name| *name == lower);
            let named = named.and_then(|place| u8::try_from(place).ok());
            let value = named
                .map(|place| place + least)
                .or_else(|| text.parse().ok());
            value
                .filter(|value| (least..=most).contains(value))
                .ok_or_else(refuse)
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (value(from)?, value(to)?),
            None if part.contains('/') => (value(range)?, most),
            None => (value(range)?, value(range)?),
        };
        let step: usize = step
            .parse()
            .ok()
            .filter(|step| *step > 0)
            .ok_or_else(refuse)?;
        if from > to {
            return Err(refuse());
        }
        for value in (from..=to).step_by(step) {
            set |= 1 << value;
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Millis = 3_600_000;
    /// 2026-03-01, a Sunday, 00:00 UTC.
    const SUNDAY: Millis = 1_772_323_200_000;

    fn last(text: &str, at: Millis, zone: &str) -> Option<Millis> {
        let zone = Zone::named(zone).unwrap();
        let found = text.parse::<Cron>().unwrap().last(at, 30 * DAY, &zone);
        found.map(|found| (found - SUNDAY) / 60_000)
    }

    #[test]
    fn finds_when_it_fired_last() {
        let monday = SUNDAY + DAY;
        for (text, at, minutes) in [
            ("0 8 * * 1-5", monday + 9 * HOUR, Some(32 * 60)),
            ("0 8 * * mon-fri", monday + 9 * HOUR, Some(32 * 60)),
            ("0 8 * * 1-5", monday + 7 * HOUR, Some(-2 * 1_440 + 8 * 60)),
            ("*/15 * * * *", monday + 100 * 60_000, Some(1_440 + 90)),
            ("30 23 1 * *", monday, Some(23 * 60 + 30)),
            ("0 0 1 mar 5", monday, Some(0)),
            ("0 0 * * 7", monday, Some(0)),
            ("0 0 31 2 *", monday, None),
            ("5/20 4,6 * * *", monday, Some(6 * 60 + 45)),
        ] {
            assert_eq!(last(text, at, "UTC"), minutes, "{text}");
        }
        // 8:00 in Berlin is 7:00 UTC in winter.
        let berlin = last("0 8 * * *", SUNDAY + 12 * HOUR, "Europe/Berlin");
        assert_eq!(berlin, Some(7 * 60));
    }

    #[test]
    fn a_time_that_is_left_out_is_the_one_after_the_gap() {
        // 2026-03-29 02:30 does not exist in Berlin: the clock goes from 2 to 3 at 1:00 UTC.
        let day = SUNDAY + 28 * DAY;
        let found = last("30 2 * * *", day + 12 * HOUR, "Europe/Berlin");
        assert_eq!(found, Some(28 * 1_440 + 90));
    }

    #[test]
    fn refuses_and_says_what_is_allowed() {
        for (text, part) in [
            ("0 8 * *", "five"),
            ("60 8 * * *", "0 to 59"),
            ("0 8 * * 8", "weekday"),
            ("0 8 0 * *", "1 to 31"),
            ("0 9-8 * * *", "hour"),
            ("*/0 * * * *", "minute"),
            ("0 8 * foo *", "month"),
        ] {
            let error = text.parse::<Cron>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9a-z*/, -]{0,24}", at in any::<i64>()) {
            if let Ok(cron) = text.parse::<Cron>() {
                let at = at % (200 * 365 * DAY);
                let found = cron.last(at, 7 * DAY, &Zone::default());
                prop_assert!(found.is_none_or(|found| found <= at && at - found < 7 * DAY));
            }
        }
    }
}
