//! Local time for seasons: how far a zone's wall clock is from UTC.

use super::grid::Millis;
use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};

/// A time zone by its IANA name. The default is UTC.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Zone {
    /// `None` for UTC, which needs no look-up.
    zone: Option<TimeZone>,
}

impl Zone {
    /// The zone called `name`, such as `Europe/Berlin`; the error names what was not found.
    pub fn named(name: &str) -> Result<Self, String> {
        if matches!(name, "UTC" | "Etc/UTC") {
            return Ok(Self::default());
        }
        match TimeZone::get(name) {
            Ok(zone) => Ok(Self { zone: Some(zone) }),
            Err(_) => Err(format!(
                "unknown time zone {name:?}; use an IANA name such as Europe/Berlin"
            )),
        }
    }

    /// Milliseconds to add to UTC at `at` to read the wall clock.
    pub fn offset(&self, at: Millis) -> Millis {
        let Some(zone) = &self.zone else { return 0 };
        let Ok(time) = Timestamp::from_millisecond(at) else {
            return 0;
        };
        i64::from(zone.to_offset(time).seconds()) * 1_000
    }

    /// The local day at `at`; `None` for times that have no year of four digits.
    pub fn date(&self, at: Millis) -> Option<Date> {
        let time = Timestamp::from_millisecond(at).ok()?;
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        Some(zone.to_datetime(time).date())
    }

    /// When the wall clock shows `local`, for the first time where it does twice; where it never does,
    /// as long after the clock was set as `local` is after that (RFC 5545, section 3.3.5).
    pub fn first(&self, local: DateTime) -> Option<Millis> {
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let time = zone.to_ambiguous_timestamp(local).compatible();
        time.ok().map(Timestamp::as_millisecond)
    }

    /// As [`Zone::first`], for the last time where the wall clock shows `local` twice.
    pub fn last(&self, local: DateTime) -> Option<Millis> {
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let time = zone.to_ambiguous_timestamp(local).later();
        time.ok().map(Timestamp::as_millisecond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_daylight_saving() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        assert_eq!(berlin.offset(1_705_320_000_000), 3_600_000);
        assert_eq!(berlin.offset(1_721_044_800_000), 7_200_000);
        assert_eq!(Zone::default().offset(0), 0);
        assert!(
            Zone::named("Mars/Olympus")
                .unwrap_err()
                .contains("Mars/Olympus")
        );
    }
}
