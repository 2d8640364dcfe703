//! Public holidays of a country, worked out from their rules: fixed dates, days counted from Easter, and
//! weekdays of a month.
//!
//! Only holidays of the whole country are here (of Great Britain: those of England and Wales; of
//! Switzerland: those of all cantons), and none that was declared once: an iCal file is for those. A day
//! that is observed on another because it falls on a weekend counts on both.

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
const GOOD_FRIDAY: Rule = day(Easter(-2));
const MAUNDY_THURSDAY: Rule = day(Easter(-3));
const EASTER: Rule = day(Easter(0));
const EASTER_MONDAY: Rule = day(Easter(1));
const ASCENSION: Rule = day(Easter(39));
const PENTECOST: Rule = day(Easter(49));
const WHIT_MONDAY: Rule = day(Easter(50));
const CORPUS_CHRISTI: Rule = day(Easter(60));
const NEW_YEAR: Rule = day(On(1, 1));
const EPIPHANY: Rule = day(On(1, 6));
const MAY_DAY: Rule = day(On(5, 1));
const ASSUMPTION: Rule = day(On(8, 15));
const ALL_SAINTS: Rule = day(On(11, 1));
const CONCEPTION: Rule = day(On(12, 8));
const CHRISTMAS: Rule = day(On(12, 25));
const BOXING_DAY: Rule = day(On(12, 26));
const MIDSUMMER: Rule = day(FirstFrom(6, 20, Weekday::Saturday));
const NORDIC_ALL_SAINTS: Rule = day(FirstFrom(10, 31, Weekday::Saturday));

const fn day(day: Day) -> Rule {
    Rule {
        day,
        years: ALWAYS,
        moved: Moved::Never,
    }
}

const fn monday(month: i8, nth: i8) -> Rule {
    day(Nth(month, nth, Weekday::Monday))
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

/// Every country whose holidays are known, by its code.
pub static COUNTRIES: &[Country] = &[
    Country {
        code: "AT",
        zone: "Europe/Vienna",
        rules: &[
            NEW_YEAR,
            EPIPHANY,
            EASTER_MONDAY,
            MAY_DAY,
            ASCENSION,
            WHIT_MONDAY,
            CORPUS_CHRISTI,
            ASSUMPTION,
            day(On(10, 26)),
            ALL_SAINTS,
            CONCEPTION,
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "BE",
        zone: "Europe/Brussels",
        rules: &[
            NEW_YEAR,
            EASTER,
            EASTER_MONDAY,
            MAY_DAY,
            ASCENSION,
            PENTECOST,
            WHIT_MONDAY,
            day(On(7, 21)),
            ASSUMPTION,
            ALL_SAINTS,
            day(On(11, 11)),
            CHRISTMAS,
        ],
    },
    Country {
        code: "CH",
        zone: "Europe/Zurich",
        rules: &[NEW_YEAR, ASCENSION, day(On(8, 1)), CHRISTMAS],
    },
    Country {
        code: "CZ",
        zone: "Europe/Prague",
        rules: &[
            NEW_YEAR,
            GOOD_FRIDAY,
            EASTER_MONDAY,
            MAY_DAY,
            day(On(5, 8)),
            day(On(7, 5)),
            day(On(7, 6)),
            day(On(9, 28)),
            day(On(10, 28)),
            day(On(11, 17)),
            day(On(12, 24)),
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "DE",
        zone: "Europe/Berlin",
        rules: &[
            NEW_YEAR,
            GOOD_FRIDAY,
            EASTER_MONDAY,
            MAY_DAY,
            ASCENSION,
            WHIT_MONDAY,
            day(On(10, 3)),
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "DK",
        zone: "Europe/Copenhagen",
        rules: &[
            NEW_YEAR,
            MAUNDY_THURSDAY,
            GOOD_FRIDAY,
            EASTER,
            EASTER_MONDAY,
            day(Easter(26)).until(2023),
            ASCENSION,
            PENTECOST,
            WHIT_MONDAY,
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "ES",
        zone: "Europe/Madrid",
        rules: &[
            NEW_YEAR,
            EPIPHANY,
            GOOD_FRIDAY,
            MAY_DAY,
            ASSUMPTION,
            day(On(10, 12)),
            ALL_SAINTS,
            day(On(12, 6)),
            CONCEPTION,
            CHRISTMAS,
        ],
    },
    Country {
        code: "FI",
        zone: "Europe/Helsinki",
        rules: &[
            NEW_YEAR,
            EPIPHANY,
            GOOD_FRIDAY,
            EASTER,
            EASTER_MONDAY,
            MAY_DAY,
            ASCENSION,
            PENTECOST,
            day(FirstFrom(6, 19, Weekday::Friday)),
            MIDSUMMER,
            NORDIC_ALL_SAINTS,
            day(On(12, 6)),
            day(On(12, 24)),
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "FR",
        zone: "Europe/Paris",
        rules: &[
            NEW_YEAR,
            EASTER_MONDAY,
            MAY_DAY,
            day(On(5, 8)),
            ASCENSION,
            WHIT_MONDAY,
            day(On(7, 14)),
            ASSUMPTION,
            ALL_SAINTS,
            day(On(11, 11)),
            CHRISTMAS,
        ],
    },
    Country {
        code: "GB",
        zone: "Europe/London",
        rules: &[
            NEW_YEAR.moved(Moved::Next),
            GOOD_FRIDAY,
            EASTER_MONDAY,
            monday(5, 1),
            monday(5, -1),
            monday(8, -1),
            CHRISTMAS.moved(Moved::Next),
            BOXING_DAY.moved(Moved::Next),
        ],
    },
    Country {
        code: "IE",
        zone: "Europe/Dublin",
        rules: &[
            NEW_YEAR,
            day(Brigid).since(2023),
            day(On(3, 17)),
            EASTER_MONDAY,
            monday(5, 1),
            monday(6, 1),
            monday(8, 1),
            monday(10, -1),
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "IT",
        zone: "Europe/Rome",
        rules: &[
            NEW_YEAR,
            EPIPHANY,
            EASTER,
            EASTER_MONDAY,
            day(On(4, 25)),
            MAY_DAY,
            day(On(6, 2)),
            ASSUMPTION,
            day(On(10, 4)).since(2026),
            ALL_SAINTS,
            CONCEPTION,
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "NL",
        zone: "Europe/Amsterdam",
        rules: &[
            NEW_YEAR,
            GOOD_FRIDAY,
            EASTER,
            EASTER_MONDAY,
            day(Kings),
            day(EveryFifth(5, 5)),
            ASCENSION,
            PENTECOST,
            WHIT_MONDAY,
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "NO",
        zone: "Europe/Oslo",
        rules: &[
            NEW_YEAR,
            MAUNDY_THURSDAY,
            GOOD_FRIDAY,
            EASTER,
            EASTER_MONDAY,
            MAY_DAY,
            day(On(5, 17)),
            ASCENSION,
            PENTECOST,
            WHIT_MONDAY,
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "PL",
        zone: "Europe/Warsaw",
        rules: &[
            NEW_YEAR,
            EPIPHANY,
            EASTER,
            EASTER_MONDAY,
            MAY_DAY,
            day(On(5, 3)),
            PENTECOST,
            CORPUS_CHRISTI,
            ASSUMPTION,
            ALL_SAINTS,
            day(On(11, 11)),
            day(On(12, 24)).since(2025),
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "PT",
        zone: "Europe/Lisbon",
        rules: &[
            NEW_YEAR,
            GOOD_FRIDAY,
            EASTER,
            day(On(4, 25)),
            MAY_DAY,
            CORPUS_CHRISTI,
            day(On(6, 10)),
            ASSUMPTION,
            day(On(10, 5)),
            ALL_SAINTS,
            day(On(12, 1)),
            CONCEPTION,
            CHRISTMAS,
        ],
    },
    Country {
        code: "SE",
        zone: "Europe/Stockholm",
        rules: &[
            NEW_YEAR,
            EPIPHANY,
            GOOD_FRIDAY,
            EASTER,
            EASTER_MONDAY,
            MAY_DAY,
            ASCENSION,
            PENTECOST,
            day(On(6, 6)),
            MIDSUMMER,
            NORDIC_ALL_SAINTS,
            CHRISTMAS,
            BOXING_DAY,
        ],
    },
    Country {
        code: "US",
        zone: "America/New_York",
        rules: &[
            NEW_YEAR.moved(Moved::Nearest),
            monday(1, 3),
            monday(2, 3),
            monday(5, -1),
            day(On(6, 19)).since(2021).moved(Moved::Nearest),
            day(On(7, 4)).moved(Moved::Nearest),
            monday(9, 1),
            monday(10, 2),
            day(On(11, 11)).moved(Moved::Nearest),
            day(Nth(11, 4, Weekday::Thursday)),
            CHRISTMAS.moved(Moved::Nearest),
        ],
    },
];

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
