//! A calendar in the configuration file.

use super::{
    Calendar, Daily, Rule,
    holidays::CountryCode,
    ical,
    recurrence::{days_of, weekday},
};
use crate::series::{Millis, Zone};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Deserializer, de};
use std::path::{Path, PathBuf};

/// What is wrong with settings: path of the key below them, and a sentence with what is allowed.
pub type Problems = Vec<(String, String)>;

/// One calendar: of a country, of an iCal file, or every day between two times.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarSettings {
    /// The name that signals refer to.
    pub name: String,
    /// The public holidays of a country, each a whole local day.
    #[serde(default)]
    country: Option<CountryCode>,
    /// The events of an iCal file.
    #[serde(default)]
    ical: Option<PathBuf>,
    /// Every day, or on some days of the week, between two times.
    #[serde(default)]
    daily: Option<DailySettings>,
    /// Zone of the country's days, or of the file's times without one.
    #[serde(default)]
    timezone: Option<String>,
}

/// Spans between two wall clock times.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailySettings {
    from: ClockTime,
    to: ClockTime,
    #[serde(default)]
    days: Vec<WeekdayName>,
    #[serde(default)]
    timezone: Option<String>,
}

impl CalendarSettings {
    /// Everything that is wrong with this calendar by itself.
    pub fn validate(&self) -> Problems {
        let mut found = Problems::new();
        let kinds = [
            self.country.is_some(),
            self.ical.is_some(),
            self.daily.is_some(),
        ];
        if kinds.iter().filter(|&&given| given).count() != 1 {
            let text = "give exactly one of the keys country, daily and ical";
            found.push((String::new(), text.to_owned()));
        }
        check_zone("timezone", self.timezone.as_deref(), &mut found);
        if let Some(daily) = &self.daily {
            check_zone("daily.timezone", daily.timezone.as_deref(), &mut found);
            if self.timezone.is_some() {
                let text = "of a daily calendar the zone is daily.timezone";
                found.push(("timezone".to_owned(), text.to_owned()));
            }
            if daily.from == daily.to {
                let text = "is the same as daily.from; whole days are from 00:00 to 24:00";
                found.push(("daily.to".to_owned(), text.to_owned()));
            }
        }
        found
    }

    /// The iCal file it is read from.
    pub fn file(&self) -> Option<&Path> {
        self.ical.as_deref()
    }

    /// Makes a relative file name relative to `directory`.
    pub fn set_directory(&mut self, directory: &Path) {
        if let Some(file) = &mut self.ical {
            *file = directory.join(&*file);
        }
    }

    /// The zone its days and times are shown in.
    ///
    /// # Errors
    /// A zone that is not known.
    pub fn zone(&self) -> Result<Zone, String> {
        let own = self.daily.as_ref().map_or(&self.timezone, |d| &d.timezone);
        let usual = self.country.map(|country| country.0.zone);
        own.as_deref()
            .or(usual)
            .map_or(Ok(Zone::default()), Zone::named)
    }

    /// The calendar. `content` is that of its file, where it has one.
    ///
    /// # Errors
    /// What is wrong with the content, each with its line, from 1 (0 where it has none).
    pub fn build(&self, content: &[u8]) -> Result<Calendar, Vec<(usize, String)>> {
        let zone = self.zone().map_err(|problem| vec![(0, problem)])?;
        if self.ical.is_some() {
            return ical::read(content, &zone);
        }
        let mut calendar = Calendar::default();
        if let Some(country) = self.country {
            calendar.rules.push(Rule::Holidays(country.0, zone));
        } else if let Some(daily) = &self.daily {
            let days: Vec<_> = daily.days.iter().map(|day| day.0).collect();
            calendar.rules.push(Rule::Daily(Daily {
                from: daily.from.0,
                to: daily.to.0,
                days: days_of(&days),
                zone,
            }));
        }
        Ok(calendar)
    }
}

fn check_zone(key: &str, name: Option<&str>, found: &mut Problems) {
    if let Some(Err(problem)) = name.map(Zone::named) {
        found.push((key.to_owned(), problem));
    }
}

/// Minutes since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ClockTime(i64);

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = || {
            let (hours, minutes) = text.split_once(':')?;
            if hours.len() != 2 || minutes.len() != 2 {
                return None;
            }
            let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
            let total = i64::from(hours) * 60 + i64::from(minutes);
            (minutes < 60 && total <= 24 * 60).then_some(Self(total))
        };
        read().ok_or_else(|| {
            let text = format!("{text:?} is not a time of day; write it like 06:30, at most 24:00");
            de::Error::custom(text)
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WeekdayName(jiff::civil::Weekday);

impl<'de> Deserialize<'de> for WeekdayName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let letters = known.contains(&text.as_str()).then(|| text.get(..2));
        let found = letters.flatten().map(str::to_ascii_uppercase);
        let found = found.and_then(|letters| weekday(&letters));
        found.map(Self).ok_or_else(|| {
            let known = known.join(", ");
            de::Error::custom(format!("{text:?} is not a weekday; allowed: {known}"))
        })
    }
}

/// A point in time, as configured: RFC 3339, or a date, which is its midnight in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Millis);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = text.parse::<Timestamp>().ok();
        let midnight = || {
            let midnight = text.parse::<Date>().ok()?.at(0, 0, 0, 0);
            Zone::default().first(midnight)
        };
        let date = text.len() == 10;
        let found = if date {
            midnight()
        } else {
            time.map(Timestamp::as_millisecond)
        };
        found.map(Self).ok_or_else(|| {
            let text = format!(
                "{text:?} is not a time; write it like 2026-11-01T00:00:00Z or 2026-11-01 (UTC)"
            );
            de::Error::custom(text)
        })
    }
}
