//! Local time with its holidays, as something with a weekly course follows it.

use super::{
    calendar::{Calendar, Interval, merged},
    grid::Millis,
    zone::Zone,
};
use std::sync::Arc;

const DAY: Millis = 86_400_000;
const HOUR: Millis = 3_600_000;
/// Clocks are set at whole quarters of an hour.
const QUARTER: Millis = 900_000;
/// The epoch was a Thursday; Monday is 0.
const WEEKDAY_OF_EPOCH: i64 = 3;
/// Holidays have the course of this weekday.
const SUNDAY: i64 = 6;

/// A wall clock and the holidays of its place.
///
/// A pure function of time. What was asked for last is remembered, as the next question is usually about the same
/// quarter of an hour, or the one after it; so asking needs `&mut`.
#[derive(Debug, Clone, Default)]
pub struct LocalTime {
    zone: Zone,
    holidays: Vec<Arc<Calendar>>,
    /// A quarter of an hour (since the epoch), and how far the wall clock is from UTC in it.
    offset: Option<(i64, Millis)>,
    /// A day of UTC, and its holidays.
    day: Option<(i64, Vec<Interval>)>,
}

impl LocalTime {
    /// The wall clock of `zone`; times inside any of `holidays` are holidays.
    pub fn new(zone: Zone, holidays: Vec<Arc<Calendar>>) -> Self {
        Self {
            zone,
            holidays,
            offset: None,
            day: None,
        }
    }

    /// Milliseconds since midnight that the wall clock shows at `at`.
    pub fn of_day(&mut self, at: Millis) -> Millis {
        self.wall(at).rem_euclid(DAY)
    }

    /// The hour of the week, 0 to 167 from Monday on; on a holiday that of Sunday.
    pub fn hour_of_week(&mut self, at: Millis) -> usize {
        let wall = self.wall(at);
        let weekday = match self.is_holiday(at) {
            true => SUNDAY,
            false => (wall.div_euclid(DAY) + WEEKDAY_OF_EPOCH).rem_euclid(7),
        };
        (weekday * 24 + wall.rem_euclid(DAY) / HOUR) as usize
    }

    /// Whether `at` is inside a holiday.
    pub fn is_holiday(&mut self, at: Millis) -> bool {
        if self.holidays.is_empty() {
            return false;
        }
        let day = at.div_euclid(DAY);
        if self.day.as_ref().is_none_or(|(known, _)| *known != day) {
            self.day = Some((day, self.holidays_of(day)));
        }
        let mut spans = self.day.iter().flat_map(|(_, spans)| spans);
        spans.any(|span| span.from <= at && at < span.to)
    }

    /// The holidays that touch one day of UTC.
    fn holidays_of(&self, day: i64) -> Vec<Interval> {
        let all = self.holidays.iter();
        let all = all.flat_map(|one| one.touching(day * DAY, (day + 1) * DAY));
        merged(all.collect())
    }

    /// What the wall clock shows at `at`, in milliseconds since the epoch as if it were UTC.
    pub fn wall(&mut self, at: Millis) -> Millis {
        let quarter = at.div_euclid(QUARTER);
        let offset = match self.offset {
            Some((known, offset)) if known == quarter => offset,
            _ => self.zone.offset(at),
        };
        self.offset = Some((quarter, offset));
        at + offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::calendar::CalendarSettings;

    /// 2025-10-25, a Saturday, 22:00 UTC: midnight in Berlin. The clock is set back at 1:00 UTC.
    const SATURDAY: Millis = 1_761_429_600_000;

    fn berlin(country: Option<&str>) -> LocalTime {
        let holidays = country.map(|country| {
            let text = format!("{{name: holidays, country: {country}}}");
            let settings: CalendarSettings = serde_yaml::from_str(&text).unwrap();
            Arc::new(settings.build(b"").unwrap())
        });
        let zone = Zone::named("Europe/Berlin").unwrap();
        LocalTime::new(zone, holidays.into_iter().collect())
    }

    #[test]
    fn the_hour_of_the_week_is_that_of_the_wall_clock() {
        let mut utc = LocalTime::default();
        assert_eq!((utc.of_day(0), utc.hour_of_week(0)), (0, 3 * 24));
        assert_eq!(utc.hour_of_week(-1), 3 * 24 - 1);
        assert_eq!(utc.hour_of_week(4 * DAY), 0);
        let mut berlin = berlin(None);
        // Sunday has 25 hours: the third of them comes twice.
        let hours = (0..26).map(|hour| berlin.hour_of_week(SATURDAY + hour * HOUR));
        let expected: Vec<usize> = [0, 1, 2, 2, 3]
            .into_iter()
            .chain(4..24)
            .map(|hour| 6 * 24 + hour)
            .chain([0])
            .collect();
        assert_eq!(hours.collect::<Vec<_>>(), expected);
        assert_eq!(berlin.of_day(SATURDAY + 90 * 60_000), 90 * 60_000);
        // Asked backwards it says the same.
        assert_eq!(berlin.hour_of_week(SATURDAY), 6 * 24);
    }

    #[test]
    fn a_holiday_has_the_course_of_a_sunday_from_local_midnight_on() {
        let mut berlin = berlin(Some("DE"));
        // Easter Monday, 2026-04-06: it begins at 22:00 UTC of the day before.
        let monday = 1_775_426_400_000;
        assert_eq!(berlin.hour_of_week(monday - HOUR), 6 * 24 + 23);
        let hours = (0..24).map(|hour| berlin.hour_of_week(monday + hour * HOUR));
        assert!(hours.eq(6 * 24..7 * 24));
        assert_eq!(berlin.hour_of_week(monday + DAY), 24);
        assert!(!berlin.is_holiday(monday - 1) && berlin.is_holiday(monday));
    }
}
