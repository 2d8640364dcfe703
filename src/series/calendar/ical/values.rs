//! Values of iCalendar: dates, times, durations (RFC 5545, section 3.3).

use super::{super::recurrence::Length, Property};
use crate::series::Zone;
use jiff::civil::{Date, DateTime, Time};

/// A wall clock time, or a whole day (its midnight).
#[derive(Debug, Clone)]
pub(in super::super) struct When {
    pub(in super::super) local: DateTime,
    pub(in super::super) zone: Zone,
    pub(in super::super) whole_day: bool,
}

type Read<T> = Result<T, (usize, String)>;

/// The times of a list.
pub(super) fn list(property: &Property, zone: &Zone) -> Read<Vec<When>> {
    let texts = property.text.split(',');
    texts.map(|text| when(property, text, zone)).collect()
}

/// One date or time: `20261101`, `20261101T080000`, `20261101T080000Z`; `zone` is that of times
/// without one.
pub(super) fn when(property: &Property, text: &str, zone: &Zone) -> Read<When> {
    if property.parameter("VALUE") == Some("PERIOD") {
        return Err(property.problem("periods are not supported"));
    }
    let (text, utc) = match text.trim().strip_suffix('Z') {
        Some(text) => (text, true),
        None => (text.trim(), false),
    };
    let zone = match property.parameter("TZID") {
        _ if utc => Zone::default(),
        Some(name) => Zone::named(name).map_err(|problem| property.problem(problem))?,
        None => zone.clone(),
    };
    let wrong = || {
        let text =
            format!("{text:?} is not a date such as 20261101 or a time such as 20261101T080000Z");
        property.problem(text)
    };
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let date = date(day).ok_or_else(wrong)?;
    let time_of_day = time.map_or(Some(Time::midnight()), clock);
    Ok(When {
        local: DateTime::from_parts(date, time_of_day.ok_or_else(wrong)?),
        zone,
        whole_day: time.is_none(),
    })
}

fn date(text: &str) -> Option<Date> {
    let part = |from, to| digits(text.get(from..to)?);
    if text.len() != 8 {
        return None;
    }
    let (month, day) = (part(4, 6)?, part(6, 8)?);
    Date::new(
        part(0, 4)?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    )
    .ok()
}

fn clock(text: &str) -> Option<Time> {
    if text.len() != 6 {
        return None;
    }
    let part = |from, to| i8::try_from(digits(text.get(from..to)?)?).ok();
    // A leap second is the last one of its minute.
    Time::new(part(0, 2)?, part(2, 4)?, part(4, 6)?.min(59), 0).ok()
}

fn digits(text: &str) -> Option<i16> {
    let all = text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

/// `P1W`, `P1DT2H`, `PT30M`: civil days and exact hours, minutes and seconds.
pub(super) fn duration(property: &Property) -> Read<Length> {
    let read = || {
        let text = property.text.trim();
        let text = text.strip_prefix('+').unwrap_or(text).strip_prefix('P')?;
        let (days, time) = match text.split_once('T') {
            Some((days, time)) => (days, time),
            None => (text, ""),
        };
        let days = sum(days, &[('W', 7), ('D', 1)])?;
        let millis = sum(time, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)])?;
        (!text.is_empty()).then_some(Length { days, millis })
    };
    let wrong = || {
        let text = format!(
            "{:?} is not a duration such as PT30M or P1DT2H",
            property.text
        );
        property.problem(text)
    };
    read().ok_or_else(wrong)
}

/// The sum of numbers with units, which come in this order.
fn sum(text: &str, units: &[(char, i64)]) -> Option<i64> {
    let (mut total, mut number, mut units) = (0_i64, None, units.iter());
    for letter in text.chars() {
        if let Some(digit) = letter.to_digit(10) {
            number = Some(number.unwrap_or(0_i64) * 10 + i64::from(digit));
            // No event takes a thousand years.
            if number > Some(31_536_000) {
                return None;
            }
        } else {
            let (_, length) = units.find(|(unit, _)| *unit == letter)?;
            total = total.checked_add(number.take()?.checked_mul(*length)?)?;
        }
    }
    number.is_none().then_some(total)
}
