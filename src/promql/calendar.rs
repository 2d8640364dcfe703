//! Parts of the date of a time in seconds since the epoch, in UTC, for any year that fits.

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A date of the Gregorian calendar and the time of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    days: i64,
    year: i64,
    /// From 1.
    month: i64,
    /// From 1.
    day: i64,
    second_of_day: i64,
}

impl Date {
    /// Of seconds since the epoch; those that fit into no 64-bit integer have no date. After Howard Hinnant,
    /// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    fn of(seconds: f64) -> Option<Self> {
        if seconds.is_nan() || seconds.abs() >= i64::MAX as f64 {
            return None;
        }
        let seconds = seconds as i64; // towards zero, as in Go
        let (days, second_of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let shifted = days + 719_468; // days since 0000-03-01
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153; // March is 0
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = (shifted_month + 2) % 12 + 1;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Some(Self {
            days,
            year,
            month,
            day,
            second_of_day,
        })
    }

    fn is_leap_year(self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in_month(self) -> i64 {
        match self.month {
            2 => 28 + i64::from(self.is_leap_year()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// From 1.
    fn day_of_year(self) -> i64 {
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap_day = i64::from(self.month > 2 && self.is_leap_year());
        before[(self.month - 1) as usize] + leap_day + self.day
    }
}

/// A part of a date; `NaN` where there is no date.
fn part(seconds: f64, of: impl Fn(Date) -> i64) -> f64 {
    Date::of(seconds).map_or(f64::NAN, |date| of(date) as f64)
}

pub(super) fn day_of_month(seconds: f64) -> f64 {
    part(seconds, |date| date.day)
}

/// From 0, Sunday.
pub(super) fn day_of_week(seconds: f64) -> f64 {
    part(seconds, |date| (date.days + 4).rem_euclid(7)) // the epoch was a Thursday
}

pub(super) fn day_of_year(seconds: f64) -> f64 {
    part(seconds, Date::day_of_year)
}

pub(super) fn days_in_month(seconds: f64) -> f64 {
    part(seconds, Date::days_in_month)
}

pub(super) fn hour(seconds: f64) -> f64 {
    part(seconds, |date| date.second_of_day / 3_600)
}

pub(super) fn minute(seconds: f64) -> f64 {
    part(seconds, |date| date.second_of_day / 60 % 60)
}

pub(super) fn month(seconds: f64) -> f64 {
    part(seconds, |date| date.month)
}

pub(super) fn year(seconds: f64) -> f64 {
    part(seconds, |date| date.year)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_has_no_date_is_not_a_number() {
        for seconds in [f64::NAN, f64::INFINITY, -1e300] {
            assert!(year(seconds).is_nan(), "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn is_the_calendar_of_jiff(seconds in -60_000_000_000_i64..200_000_000_000) {
            let at = jiff::Timestamp::from_second(seconds).unwrap();
            let expected = at.to_zoned(jiff::tz::TimeZone::UTC);
            let own = seconds as f64;
            prop_assert_eq!(year(own), f64::from(expected.year()));
            prop_assert_eq!(month(own), f64::from(expected.month()));
            prop_assert_eq!(day_of_month(own), f64::from(expected.day()));
            prop_assert_eq!(day_of_year(own), f64::from(expected.day_of_year()));
            prop_assert_eq!(days_in_month(own), f64::from(expected.days_in_month()));
            let weekday = expected.weekday().to_sunday_zero_offset();
            prop_assert_eq!(day_of_week(own), f64::from(weekday));
            prop_assert_eq!(hour(own), f64::from(expected.hour()));
            prop_assert_eq!(minute(own), f64::from(expected.minute()));
        }
    }
}
