//! The text of an `RRULE` (RFC 5545, section 3.3.10).

use super::{
    super::recurrence::{End, Frequency, Pattern, weekday},
    Property,
    values::{self, When},
};
use jiff::civil::Weekday;

/// Pattern and end of a recurrence that starts at `start`.
pub(super) fn read(property: &Property, start: &When) -> Result<(Pattern, End), (usize, String)> {
    let mut pattern = Pattern {
        frequency: Frequency::Daily,
        interval: 1,
        months: Vec::new(),
        month_days: Vec::new(),
        weekdays: Vec::new(),
        positions: Vec::new(),
        week_start: Weekday::Monday,
    };
    let (mut end, mut frequency) = (End::Never, None);
    for part in property.text.split(';').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = name.to_ascii_uppercase();
        let wrong = || property.problem(format!("{value:?} is not allowed of {name}"));
        match name.as_str() {
            "FREQ" => frequency = Some(of_frequency(property, value)?),
            "INTERVAL" => pattern.interval = number(value, 1, 10_000).ok_or_else(wrong)?,
            "COUNT" => {
                let count = number(value, 1, 100_000).ok_or_else(wrong)?;
                end = End::After(usize::try_from(count).unwrap_or(usize::MAX));
            }
            "UNTIL" => end = until(property, value, start)?,
            "BYMONTH" => pattern.months = list(value, 1, 12).ok_or_else(wrong)?,
            "BYMONTHDAY" => pattern.month_days = list(value, -31, 31).ok_or_else(wrong)?,
            "BYSETPOS" => pattern.positions = list(value, -366, 366).ok_or_else(wrong)?,
            "BYDAY" => {
                let days = value.split(',').map(nth_weekday);
                pattern.weekdays = days.collect::<Option<_>>().ok_or_else(wrong)?;
            }
            "WKST" => pattern.week_start = weekday(value).ok_or_else(wrong)?,
            other => return Err(property.problem(format!("{other} is not supported"))),
        }
    }
    pattern.frequency = frequency.ok_or_else(|| property.problem("FREQ is missing"))?;
    let nth = pattern.weekdays.iter().any(|(nth, _)| *nth != 0);
    if nth && matches!(pattern.frequency, Frequency::Daily | Frequency::Weekly) {
        return Err(property.problem("numbers in BYDAY are for MONTHLY and YEARLY"));
    }
    Ok((pattern, end))
}

fn of_frequency(property: &Property, word: &str) -> Result<Frequency, (usize, String)> {
    match word {
        "DAILY" => Ok(Frequency::Daily),
        "WEEKLY" => Ok(Frequency::Weekly),
        "MONTHLY" => Ok(Frequency::Monthly),
        "YEARLY" => Ok(Frequency::Yearly),
        _ => Err(property.problem(format!(
            "FREQ={word} is not supported; supported: DAILY, WEEKLY, MONTHLY, YEARLY"
        ))),
    }
}

fn until(property: &Property, text: &str, start: &When) -> Result<End, (usize, String)> {
    let when = values::when(property, text, &start.zone)?;
    if when.whole_day {
        return Ok(End::On(when.local.date()));
    }
    let at = when.zone.first(when.local);
    at.map(End::At)
        .ok_or_else(|| property.problem("UNTIL is out of range"))
}

fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    let number = text.parse().ok()?;
    (least..=most).contains(&number).then_some(number)
}

/// Numbers, none of them 0.
fn list<T: TryFrom<i64>>(text: &str, least: i64, most: i64) -> Option<Vec<T>> {
    let one = |text: &str| {
        let number = number(text, least, most).filter(|&number| number != 0)?;
        T::try_from(number).ok()
    };
    text.split(',').map(one).collect()
}

/// `MO`, `2MO`, `-1FR`.
fn nth_weekday(text: &str) -> Option<(i16, Weekday)> {
    let at = text.len().checked_sub(2)?;
    let (nth, letters) = (text.get(..at)?, text.get(at..)?);
    let nth = match nth {
        "" => 0,
        _ => i16::try_from(number(nth, -53, 53).filter(|&nth| nth != 0)?).ok()?,
    };
    Some((nth, weekday(letters)?))
}
