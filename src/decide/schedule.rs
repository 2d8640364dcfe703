//! Least and greatest sizes of certain times: cron, calendars, hours of the day.

use super::cron::Cron;
use crate::series::{Calendar, Millis, Span, Zone};
use serde::{Deserialize, Deserializer, de};
use std::{collections::BTreeMap, sync::Arc};

const DAY: Millis = 86_400_000;
const HOUR: Millis = 3_600_000;
/// The epoch was a Thursday; Monday is 0.
const WEEKDAY_OF_EPOCH: i64 = 3;

/// A least or greatest size of certain times, as written in configuration. Exactly one of `cron`, `calendar`, and a
/// profile of `hours`, `weekdays`, `months` says which times.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// The least size.
    #[serde(default)]
    pub min: Option<u32>,
    /// The greatest size.
    #[serde(default)]
    pub max: Option<u32>,
    /// It begins when this fires.
    #[serde(default)]
    pub cron: Option<Cron>,
    /// It ends so long after.
    #[serde(default)]
    pub r#for: Option<Span>,
    /// It holds inside the times of the calendar of this name.
    #[serde(default)]
    pub calendar: Option<String>,
    /// It holds in these hours of the day.
    #[serde(default)]
    pub hours: Option<Hours>,
    /// It holds on these days of the week.
    #[serde(default)]
    pub weekdays: Vec<Weekday>,
    /// It holds in these months, 1 to 12.
    #[serde(default)]
    pub months: Vec<i8>,
    /// The zone of its wall clock; UTC where left out.
    #[serde(default)]
    pub timezone: ZoneName,
}

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZoneName(Zone);

/// Hours of the day, as `8-18`: from the first on, before the second; over midnight where the second is not greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: i64,
    to: i64,
}

/// A day of the week: `mon` to `sun`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekday(i64);

/// Calendars by name.
pub(super) type Calendars = BTreeMap<String, Arc<Calendar>>;

impl ScheduleSettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |field: &str, text: &str| problems.push((field.to_owned(), text.to_owned()));
        match (self.min, self.max) {
            (None, None) => add("", "give min, max or both"),
            (Some(min), Some(max)) if max < min => add("max", "is less than min"),
            _ => {}
        }
        let is_profile =
            self.hours.is_some() || !self.weekdays.is_empty() || !self.months.is_empty();
        let kinds = [self.cron.is_some(), self.calendar.is_some(), is_profile];
        if kinds.into_iter().filter(|given| *given).count() != 1 {
            let text =
                "give exactly one of cron, calendar, and a profile of hours, weekdays, months";
            add("", text);
        }
        let allowed = Span::minutes(1)..=Span::days(31);
        match (self.cron.is_some(), self.r#for) {
            (true, None) => add("for", "is required with cron: how long it holds"),
            (false, Some(_)) => add("for", "belongs to cron"),
            (true, Some(span)) if !allowed.contains(&span) => add("for", "is not within 1m to 31d"),
            _ => {}
        }
        if self.months.iter().any(|month| !(1..=12).contains(month)) {
            add("months", "months are 1 to 12");
        }
        problems
    }

    /// Whether it holds at `at`.
    pub(super) fn holds(&self, at: Millis, calendars: &Calendars) -> bool {
        let zone = &self.timezone.0;
        if let (Some(cron), Some(length)) = (&self.cron, self.r#for) {
            return cron.last(at, length.as_millis(), zone).is_some();
        }
        if let Some(name) = &self.calendar {
            return calendars.get(name).is_some_and(|one| one.contains(at));
        }
        let wall = at.saturating_add(zone.offset(at));
        let hour = wall.rem_euclid(DAY) / HOUR;
        let weekday = Weekday((wall.div_euclid(DAY) + WEEKDAY_OF_EPOCH).rem_euclid(7));
        let month = || zone.date(at).map_or(0, |date| date.month());
        self.hours.is_none_or(|hours| hours.contain(hour))
            && (self.weekdays.is_empty() || self.weekdays.contains(&weekday))
            && (self.months.is_empty() || self.months.contains(&month()))
    }
}

impl Hours {
    fn contain(self, hour: i64) -> bool {
        match self.from < self.to {
            true => (self.from..self.to).contains(&hour),
            false => hour >= self.from || hour < self.to,
        }
    }
}

/// The greatest floor in force at `at`, or within `ahead` of it, as what it asks for must be ready in time.
pub(super) fn floor(
    schedules: &[ScheduleSettings],
    at: Millis,
    ahead: Millis,
    calendars: &Calendars,
) -> Option<u32> {
    let holds =
        |one: &&ScheduleSettings| one.holds(at, calendars) || one.holds(at + ahead, calendars);
    let floors = schedules.iter().filter(|one| one.min.is_some());
    floors.filter(holds).filter_map(|one| one.min).max()
}

/// The least ceiling in force at `at`.
pub(super) fn ceiling(
    schedules: &[ScheduleSettings],
    at: Millis,
    calendars: &Calendars,
) -> Option<u32> {
    let ceilings = schedules.iter().filter(|one| one.max.is_some());
    let holding = ceilings.filter(|one| one.holds(at, calendars));
    holding.filter_map(|one| one.max).min()
}

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Zone::named(&name).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = || {
            let (from, to) = text.split_once('-')?;
            let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
            let valid = (0..24).contains(&from) && (0..=24).contains(&to) && from != to;
            valid.then_some(Self { from, to })
        };
        read().ok_or_else(|| {
            de::Error::custom(format!("{text:?} are not hours; write them like 8-18"))
        })
    }
}

impl<'de> Deserialize<'de> for Weekday {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let place = known.into_iter().zip(0..).find(|(name, _)| *name == text);
        place.map(|(_, place)| Self(place)).ok_or_else(|| {
            let known = known.join(", ");
            de::Error::custom(format!("{text:?} is not a weekday; allowed: {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::calendar::Interval;

    /// 2026-03-02, a Monday, 00:00 UTC.
    const MONDAY: Millis = 1_772_409_600_000;

    fn read(text: &str) -> ScheduleSettings {
        let found: ScheduleSettings = serde_yaml::from_str(text).unwrap();
        assert_eq!(found.validate(), [], "{text}");
        found
    }

    /// The hours of the week in which it holds.
    fn hours(schedule: &ScheduleSettings, calendars: &Calendars) -> Vec<i64> {
        let holds = |hour: &i64| schedule.holds(MONDAY + hour * HOUR, calendars);
        (0..168).filter(holds).collect()
    }

    #[test]
    fn holds_when_it_should() {
        let none = Calendars::default();
        let cron = read("{cron: '0 8 * * 1-2', for: 10h, min: 5}");
        let expected: Vec<i64> = (8..18).chain(32..42).collect();
        assert_eq!(hours(&cron, &none), expected);
        let profile = read("{hours: 22-2, weekdays: [mon], months: [3], min: 5}");
        assert_eq!(hours(&profile, &none), [0, 1, 22, 23]);
        let berlin = read("{hours: 8-10, weekdays: [tue], timezone: Europe/Berlin, max: 5}");
        assert_eq!(hours(&berlin, &none), [31, 32]);
        let from = MONDAY + 3 * HOUR;
        let sale = Calendar::fixed(Interval {
            from,
            to: from + 2 * HOUR,
        });
        let calendars = Calendars::from([("sale".to_owned(), Arc::new(sale))]);
        let named = read("{calendar: sale, min: 20}");
        assert_eq!(hours(&named, &calendars), [3, 4]);
        assert_eq!(hours(&named, &none), [0_i64; 0]);
    }

    #[test]
    fn floors_come_early_and_the_stricter_counts() {
        let all = [
            read("{hours: 8-18, min: 5, max: 30}"),
            read("{hours: 9-10, min: 8, max: 40}"),
        ];
        let calendars = Calendars::default();
        let at = |minutes: i64| MONDAY + minutes * 60_000;
        let both = |minutes| {
            let floor = floor(&all, at(minutes), 5 * 60_000, &calendars);
            (floor, ceiling(&all, at(minutes), &calendars))
        };
        assert_eq!(both(7 * 60), (None, None));
        assert_eq!(both(7 * 60 + 55), (Some(5), None));
        assert_eq!(both(9 * 60), (Some(8), Some(30)));
        assert_eq!(both(17 * 60 + 59), (Some(5), Some(30)));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, field) in [
            ("{hours: 8-18}", ""),
            ("{min: 3}", ""),
            ("{min: 3, hours: 8-9, calendar: sale}", ""),
            ("{min: 3, cron: '0 8 * * *'}", "for"),
            ("{min: 3, hours: 8-9, for: 1h}", "for"),
            ("{min: 3, max: 2, hours: 8-9}", "max"),
            ("{min: 3, months: [13]}", "months"),
        ] {
            let found: ScheduleSettings = serde_yaml::from_str(text).unwrap();
            let fields: Vec<_> = found.validate().into_iter().map(|one| one.0).collect();
            assert_eq!(fields, [field], "{text}");
        }
        for text in [
            "{min: 3, hours: 8}",
            "{min: 3, hours: 8-25}",
            "{min: 3, weekdays: [monday]}",
            "{min: 3, hours: 8-9, timezone: Mars/Olympus}",
            "{min: 3, cron: often, for: 1h}",
        ] {
            assert!(
                serde_yaml::from_str::<ScheduleSettings>(text).is_err(),
                "{text}"
            );
        }
    }
}
