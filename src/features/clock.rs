//! What the wall clock shows at a time.

use crate::series::{LocalTime, Millis};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use std::f64::consts::TAU;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
const WEEK: Millis = 7 * DAY;
/// The epoch was a Thursday; Monday is 0.
const WEEKDAY_OF_EPOCH: i64 = 3;
/// Hours of the wall clock in which people are at work: the usual ones where nobody says otherwise.
const BUSINESS: std::ops::Range<i64> = 9..17;
const SATURDAY: i64 = 5;

/// A feature of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Hour,
    Weekday,
    DayOfMonth,
    Month,
    Weekend,
    BusinessHours,
    Holiday,
}

/// Every feature of the wall clock by its name.
pub(super) const CLOCKS: [(&str, Clock); 7] = [
    ("hour", Clock::Hour),
    ("weekday", Clock::Weekday),
    ("day_of_month", Clock::DayOfMonth),
    ("month", Clock::Month),
    ("weekend", Clock::Weekend),
    ("business_hours", Clock::BusinessHours),
    ("holiday", Clock::Holiday),
];

/// The season that a harmonic belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Season {
    Day,
    Week,
}

/// The wall clock of one grid time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// What it shows, as if it were UTC.
    wall: Millis,
    holiday: bool,
}

impl Reading {
    pub(super) fn at(at: Millis, local: &mut LocalTime) -> Self {
        Self {
            wall: local.wall(at),
            holiday: local.is_holiday(at),
        }
    }

    pub(super) fn clock(&self, clock: Clock) -> f32 {
        match clock {
            Clock::Hour => centred(self.hour(), 23),
            Clock::Weekday => centred(self.weekday(), 6),
            Clock::DayOfMonth => centred(i64::from(self.date().day()) - 1, 30),
            Clock::Month => centred(i64::from(self.date().month()) - 1, 11),
            Clock::Weekend => flag(self.weekday() >= SATURDAY),
            Clock::BusinessHours => {
                flag(self.weekday() < SATURDAY && BUSINESS.contains(&self.hour()) && !self.holiday)
            }
            Clock::Holiday => flag(self.holiday),
        }
    }

    /// The harmonic of a season: the sine, or the cosine, of so many turns in it.
    pub(super) fn wave(&self, season: Season, harmonic: u8, cosine: bool) -> f32 {
        let (since, length) = match season {
            Season::Day => (self.wall.rem_euclid(DAY), DAY),
            Season::Week => ((self.wall + WEEKDAY_OF_EPOCH * DAY).rem_euclid(WEEK), WEEK),
        };
        let angle = TAU * f64::from(harmonic) * since as f64 / length as f64;
        (if cosine { angle.cos() } else { angle.sin() }) as f32
    }

    fn hour(&self) -> i64 {
        self.wall.rem_euclid(DAY) / HOUR
    }

    fn weekday(&self) -> i64 {
        (self.wall.div_euclid(DAY) + WEEKDAY_OF_EPOCH).rem_euclid(7)
    }

    fn date(&self) -> Date {
        let time = Timestamp::from_millisecond(self.wall).unwrap_or_default();
        TimeZone::UTC.to_datetime(time).date()
    }
}

/// -0.5 for 0, 0.5 for the last.
fn centred(number: i64, last: i64) -> f32 {
    (number as f64 / last as f64 - 0.5) as f32
}

fn flag(is: bool) -> f32 {
    f32::from(u8::from(is))
}
