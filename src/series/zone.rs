//! Local time for seasons: how far a zone's wall clock is from UTC.

use super::grid::Millis;
use jiff::{Timestamp, tz::TimeZone};

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
