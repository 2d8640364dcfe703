//! Public holidays of a country, worked out from their rules: fixed dates, days counted from Easter, and
//! weekdays of a month.
//!
//! Only holidays of the whole country are here (of Great Britain: those of England and Wales; of
//! Switzerland: those of all cantons), and none that was declared once: an iCal file is for those. A day
//! that is observed on another because it falls on a weekend counts on both.

mod countries;

pub use countries::COUNTRIES;

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Deserializer, de};

/// A country whose public holidays are known.
#[derive(Debug)]
pub struct Country {
    /// ISO 3166-1 alpha-2.
    pub code: &'static str,
    /// Zone whose days the holidays are, where no other is set: that of the capital.
    pub zone: &'static str,
    rules: &'static [Rule],
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    day: Day,
    years: (i16, i16),
    moved: Moved,
}

#[derive(Debug, Clone, Copy)]
enum Day {
    /// Month and day.
    On(i8, i8),
    /// Days after Easter Sunday.
    Easter(i32),
    /// Month, which of them (-1: the last), weekday.
    Nth(i8, i8, Weekday),
    /// The first such weekday on or after this day.
    FirstFrom(i8, i8, Weekday),
    /// In years that are a whole multiple of five.
    EveryFifth(i8, i8),
    /// King's Day: April 27, a day earlier where that is a Sunday.
    Kings,
    /// St Brigid's Day: the first Monday of February, February 1 where that is a Friday.
    Brigid,
}

/// What becomes of a holiday on a weekend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Never,
    /// Saturday to Friday, Sunday to Monday.
    Nearest,
    /// To the next day that is neither of the weekend nor a holiday.
    Next,
}

use Day::{Brigid, Easter, EveryFifth, FirstFrom, Kings, Nth, On};

const ALWAYS: (i16, i16) = (i16::MIN, i16::MAX);

const fn day(day: Day) -> Rule {
    Rule {
        day,
        years: ALWAYS,
        moved: Moved::Never,
    }
}

impl Rule {
    const fn since(mut self, year: i16) -> Self {
        self.years.0 = year;
        self
    }

    const fn until(mut self, year: i16) -> Self {
        self.years.1 = year;
        self
    }

    const fn moved(mut self, moved: Moved) -> Self {
        self.moved = moved;
        self
    }

    fn date(&self, year: i16) -> Option<Date> {
        if year < self.years.0 || year > self.years.1 {
            return None;
        }
        let on = |month, day| Date::new(year, month, day).ok();
        match self.day {
            On(month, day) => on(month, day),
            Easter(days) => {
                let easter = easter(year)?;
                easter.checked_add(jiff::Span::new().days(days)).ok()
            }
            Nth(month, nth, weekday) => on(month, 1)?.nth_weekday_of_month(nth, weekday).ok(),
            FirstFrom(month, day, weekday) => {
                let first = on(month, day)?;
                let days = first.weekday().until(weekday);
                first.checked_add(jiff::Span::new().days(days)).ok()
            }
            EveryFifth(month, day) => on(month, day).filter(|_| year % 5 == 0),
            Kings => {
                let usual = on(4, 27)?;
                let sunday = usual.weekday() == Weekday::Sunday;
                if sunday { on(4, 26) } else { Some(usual) }
            }
            Brigid => {
                let first = on(2, 1)?;
                let friday = first.weekday() == Weekday::Friday;
                let monday = || first.nth_weekday_of_month(1, Weekday::Monday).ok();
                if friday { Some(first) } else { monday() }
            }
        }
    }
}

impl Country {
    /// The country with this code, in capitals or not.
    ///
    /// # Errors
    /// A sentence with the codes that are known.
    pub fn named(code: &str) -> Result<&'static Self, String> {
        let known = |country: &&Self| country.code.eq_ignore_ascii_case(code);
        COUNTRIES.iter().find(known).ok_or_else(|| {
            let codes: Vec<&str> = COUNTRIES.iter().map(|country| country.code).collect();
            format!(
                "the holidays of {code:?} are not known; known: {}; an iCal file can have any others",
                codes.join(", ")
            )
        })
    }

    /// Whether `date` is a public holiday.
    pub fn is_holiday(&self, date: Date) -> bool {
        // A New Year's Day on a Saturday is observed in the year before.
        let next = date.month() == 12 && self.dates(date.year().saturating_add(1)).contains(&date);
        next || self.dates(date.year()).contains(&date)
    }

    /// The holidays of a year, and the days on which those on a weekend are observed.
    fn dates(&self, year: i16) -> Vec<Date> {
        let dated = |rule: &Rule| Some((rule.date(year)?, rule.moved));
        let own: Vec<(Date, Moved)> = self.rules.iter().filter_map(dated).collect();
        let mut dates: Vec<Date> = own.iter().map(|(date, _)| *date).collect();
        for (date, moved) in own {
            dates.extend(observed(date, moved, &dates));
        }
        dates
    }
}

/// Another day on which a holiday is observed; `taken` are days that cannot be it.
fn observed(date: Date, moved: Moved, taken: &[Date]) -> Option<Date> {
    let weekend = |date: Date| matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    if moved == Moved::Never || !weekend(date) {
        return None;
    }
    if moved == Moved::Nearest && date.weekday() == Weekday::Saturday {
        return date.yesterday().ok();
    }
    let mut next = date.tomorrow().ok()?;
    while weekend(next) || (moved == Moved::Next && taken.contains(&next)) {
        next = next.tomorrow().ok()?;
    }
    Some(next)
}

/// Easter Sunday of the Gregorian calendar, by the "anonymous" algorithm (Meeus, Astronomical Algorithms,
/// 1991, chapter 8); `None` for years before 1.
fn easter(year: i16) -> Option<Date> {
    let y = u32::try_from(year).ok().filter(|&y| y > 0)?;
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 19 * l) / 433;
    let n = h + l + 90 - 7 * m;
    let (month, day) = (n / 25, (h + l + 33 * (n / 25) + 19 - 7 * m) % 32);
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// A code of [`COUNTRIES`], as configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountryCode(pub(super) &'static Country);

impl PartialEq for CountryCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.code == other.0.code
    }
}

impl<'de> Deserialize<'de> for CountryCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Country::named(&code).map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
    };

    /// Easter Sundays as published by the US Census Bureau's table.
    #[test]
    fn easter_is_where_it_was() {
        for (year, month, day) in [
            (1990, 4, 15),
            (2000, 4, 23),
            (2008, 3, 23),
            (2011, 4, 24),
            (2024, 3, 31),
            (2025, 4, 20),
            (2038, 4, 25),
        ] {
            assert_eq!(easter(year), Some(jiff::civil::date(year, month, day)));
        }
        assert_eq!((easter(0), easter(-5)), (None, None));
    }

    #[test]
    fn countries_are_sorted_and_their_zones_exist() {
        assert!(COUNTRIES.is_sorted_by_key(|country| country.code));
        for country in COUNTRIES {
            crate::series::Zone::named(country.zone).unwrap();
        }
        assert!(Country::named("de").is_ok());
        assert!(Country::named("XX").unwrap_err().contains("AT, BE, CH"));
    }

    /// Against the Python package `holidays`: `tests/fixtures/calendar/make.py` wrote its answers.
    #[test]
    fn holidays_are_those_of_the_reference() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/calendar/holidays.json"
        );
        let text = fs::read_to_string(file).unwrap();
        let reference: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).unwrap();
        let mut wrong = String::new();
        for country in COUNTRIES {
            // Spain's regions move what falls on a Sunday, and Italy's day of unity is one: left out.
            let known = |day: &Date| {
                day.weekday() != Weekday::Sunday || !["ES", "IT"].contains(&country.code)
            };
            let theirs = reference[country.code]
                .iter()
                .filter(|day| known(&day.parse().unwrap()));
            let theirs: BTreeSet<String> = theirs.cloned().collect();
            let ours: BTreeSet<String> = (2023..=2034)
                .flat_map(|year| {
                    let first = jiff::civil::date(year, 1, 1);
                    first
                        .series(jiff::Span::new().days(1))
                        .take(first.days_in_year() as usize)
                })
                .filter(|date| known(date) && country.is_holiday(*date))
                .map(|date| date.to_string())
                .collect();
            let code = country.code;
            wrong.extend(
                theirs
                    .difference(&ours)
                    .map(|day| format!("{code} lacks {day}\n")),
            );
            wrong.extend(
                ours.difference(&theirs)
                    .map(|day| format!("{code} has {day}\n")),
            );
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}
