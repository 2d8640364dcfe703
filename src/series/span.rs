//! Durations as Prometheus writes them: `30s`, `1h30m`, `21d`.

use super::grid::Millis;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Units, longest first, with their length in milliseconds. A day has 24 hours, a year 365 days.
const UNITS: [(&str, Millis); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const DAY: Millis = 86_400_000;

/// A span of time in the notation of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(Millis);

impl Span {
    /// A span of so many milliseconds.
    pub const fn millis(millis: Millis) -> Self {
        Self(millis)
    }

    /// A span of so many seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds * 1_000)
    }

    /// A span of so many minutes.
    pub const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// A span of so many days.
    pub const fn days(days: i64) -> Self {
        Self::minutes(days * 24 * 60)
    }

    /// Its length in milliseconds.
    pub const fn as_millis(self) -> Millis {
        self.0
    }

    /// The same span for the standard library; zero where it is negative.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for Span {
    /// One spelling per length, since it becomes the value of labels: whole days from two on (`21d`),
    /// hours below (`24h`), never weeks or years.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 >= 2 * DAY && self.0 % DAY == 0 {
            return write!(f, "{}d", self.0 / DAY);
        }
        let mut rest = self.0;
        for (unit, length) in UNITS.into_iter().filter(|(_, length)| *length < DAY) {
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is not a duration; write it like 30s, 5m, 1h30m or 21d");
        if text == "0" {
            return Ok(Self(0));
        }
        let (mut rest, mut total, mut units) = (text, 0_i64, UNITS.iter());
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let number: i64 = number.parse().map_err(|_| refuse())?;
            let (_, length) = units.find(|(name, _)| *name == unit).ok_or_else(refuse)?;
            let part = number.checked_mul(*length).ok_or_else(refuse)?;
            total = total.checked_add(part).ok_or_else(refuse)?;
            rest = tail;
        }
        if text.is_empty() {
            Err(refuse())
        } else {
            Ok(Self(total))
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SpanVisitor)
    }
}

struct SpanVisitor;

impl de::Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 30s, 5m or 21d")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_reads_and_writes_what_people_write() {
        let cases = [
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("21d", 1_814_400_000),
            ("150ms", 150),
        ];
        for (text, millis) in cases {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.as_millis(), millis);
            assert_eq!(span.to_string(), text);
        }
        for (text, shown) in [
            ("1d", "24h"),
            ("1w", "7d"),
            ("36h", "36h"),
            ("90m", "1h30m"),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), shown);
        }
        for bad in ["", "5", "m", "5x", "1m1h", "1.5h", "-1m", "99999999999y"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
