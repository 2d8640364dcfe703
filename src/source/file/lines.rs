//! Times as files have them.

use crate::series::Millis;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// From here on a number is milliseconds: as seconds it would be the year 5138, as milliseconds it is
/// 1973, before there was anything to measure.
const FIRST_MILLIS: f64 = 1e11;

/// Seconds or milliseconds since 1970, as milliseconds.
pub(super) fn number_time(text: &str) -> Option<Millis> {
    let number: f64 = text.parse().ok()?;
    if !number.is_finite() || number.abs() >= FIRST_MILLIS * 1_000.0 {
        return None;
    }
    let millis = if number.abs() < FIRST_MILLIS {
        number * 1_000.0
    } else {
        number
    };
    Some(millis.round() as Millis)
}

/// A number (see [`number_time`]), RFC 3339, or a date and time without zone, taken as UTC.
pub(super) fn any_time(text: &str) -> Option<Millis> {
    let text = text.trim();
    if let Some(time) = number_time(text) {
        return Some(time);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let time: DateTime = text.parse().ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    Some(time.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_every_usual_form() {
        let cases = [
            ("1396398240", Some(1_396_398_240_000)),
            ("1396398240.5", Some(1_396_398_240_500)),
            ("1396398240500", Some(1_396_398_240_500)),
            ("2014-04-02 00:24:00", Some(1_396_398_240_000)),
            ("2014-04-02T00:24:00", Some(1_396_398_240_000)),
            (" 2014-04-02T00:24:00.5Z ", Some(1_396_398_240_500)),
            ("2014-04-02T02:24:00+02:00", Some(1_396_398_240_000)),
            ("2014-04-02", Some(1_396_396_800_000)),
            ("yesterday", None),
            ("", None),
            ("NaN", None),
            ("1e300", None),
        ];
        for (text, time) in cases {
            assert_eq!(any_time(text), time, "{text}");
        }
    }
}
