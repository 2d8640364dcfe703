//! Going down because the host is critical.
//!
//! The only ceiling that a measurement sets. So it needs one that is fresh, says so for a while, and says so in more
//! than one sample; silence is no emergency, and ends one.

use super::Reading;
use crate::series::{Millis, Span};
use serde::{Deserialize, Serialize};

/// When the host is critical, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmergencySettings {
    /// A query with one value: critical while above 0.
    pub host: String,
    /// A reading counts for so long.
    #[serde(default = "default_age")]
    pub max_age: Span,
    /// It must be critical for so long, in two samples at least.
    #[serde(default = "default_for")]
    pub r#for: Span,
    /// Share of the size that is given up.
    #[serde(default = "default_fraction")]
    pub fraction: f64,
    /// Never below this by an emergency.
    #[serde(default = "one")]
    pub floor: u32,
    /// As much again is given up where it is still critical after this.
    #[serde(default = "default_cooldown")]
    pub cooldown: Span,
}

const fn default_age() -> Span {
    Span::minutes(1)
}

const fn default_for() -> Span {
    Span::minutes(1)
}

const fn default_fraction() -> f64 {
    0.25
}

const fn one() -> u32 {
    1
}

const fn default_cooldown() -> Span {
    Span::minutes(5)
}

impl EmergencySettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (field, span, least) in [
            ("max_age", self.max_age, 1),
            ("for", self.r#for, 0),
            ("cooldown", self.cooldown, 1),
        ] {
            let allowed = Span::seconds(least)..=Span::minutes(60);
            if !allowed.contains(&span) {
                let text = format!("{span} is not within {} to 1h", allowed.start());
                problems.push((field.to_owned(), text));
            }
        }
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            let text = format!("{} is not within 0 to 1, 0 excluded", self.fraction);
            problems.push(("fraction".to_owned(), text));
        }
        if self.floor == 0 {
            let text = "0 would switch it off; at least 1".to_owned();
            problems.push(("floor".to_owned(), text));
        }
        problems
    }
}

/// What is known of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Emergency {
    /// Samples since which it is critical: the first and the newest.
    critical: Option<(Millis, Millis)>,
    /// The ceiling in force, and since when.
    ceiling: Option<(u32, Millis)>,
    /// When that was looked at last.
    #[serde(default)]
    looked: Option<Millis>,
}

impl Emergency {
    /// The ceiling at `at`, where there is an emergency. `size`: that before; where it is not known nothing is cut.
    /// A gap longer than a reading counts, between readings or between looks, begins anew: what was confirmed before it
    /// may be long over.
    pub(super) fn ceiling(
        &mut self,
        settings: &EmergencySettings,
        at: Millis,
        host: Option<Reading>,
        size: Option<u32>,
    ) -> Option<u32> {
        let max_age = settings.max_age.as_millis();
        let is_fresh = |host: &Reading| (0..=max_age).contains(&at.saturating_sub(host.at));
        let critical = host.filter(is_fresh).filter(|host| host.value > 0.0);
        let Some(host) = critical else {
            *self = Self::default();
            return None;
        };
        let silent = self.looked.is_some_and(|then| at - then > max_age);
        let newest = self.critical.map(|(_, newest)| newest);
        if silent || newest.is_some_and(|newest| host.at - newest > max_age) {
            *self = Self::default();
        }
        self.looked = Some(at);
        let (first, newest) = self.critical.unwrap_or((host.at, host.at));
        self.critical = Some((first, newest.max(host.at)));
        if newest.max(host.at) <= first || host.at - first < settings.r#for.as_millis() {
            return None;
        }
        let cut = |size: u32| {
            let kept = (f64::from(size) * (1.0 - settings.fraction)).floor() as u32;
            kept.max(settings.floor)
        };
        self.ceiling = match self.ceiling {
            None => size.map(|size| (cut(size), at)),
            Some((ceiling, since)) if at - since >= settings.cooldown.as_millis() => {
                Some((cut(ceiling), at))
            }
            kept => kept,
        };
        self.ceiling.map(|(ceiling, _)| ceiling)
    }

    /// The clock was set back: what was confirmed then has to be again.
    pub(super) fn rewind(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Millis = 1_000;

    fn settings() -> EmergencySettings {
        serde_yaml::from_str("{host: host_critical}").unwrap()
    }

    fn reading(at: Millis, value: f64) -> Option<Reading> {
        Some(Reading { at, value })
    }

    #[test]
    fn needs_a_signal_that_lasts_and_goes_on_being_sent() {
        let (settings, mut emergency) = (settings(), Emergency::default());
        let mut ceiling =
            |at: Millis, host| emergency.ceiling(&settings, at * SECOND, host, Some(20));
        assert_eq!(ceiling(0, reading(0, 1.0)), None);
        // The same sample again confirms nothing.
        assert_eq!(ceiling(60, reading(0, 1.0)), None);
        assert_eq!(ceiling(60, reading(60 * SECOND, 1.0)), Some(15));
        for at in (75..360).step_by(15) {
            assert_eq!(ceiling(at, reading(at * SECOND, 1.0)), Some(15), "{at}");
        }
        assert_eq!(ceiling(360, reading(360 * SECOND, 1.0)), Some(11));
        assert_eq!(ceiling(400, reading(400 * SECOND, 0.0)), None);
        assert_eq!(ceiling(415, reading(415 * SECOND, 1.0)), None);
    }

    #[test]
    fn silence_and_old_samples_are_no_emergency() {
        let (settings, mut emergency) = (settings(), Emergency::default());
        let mut ceiling =
            |at: Millis, host| emergency.ceiling(&settings, at * SECOND, host, Some(20));
        ceiling(0, reading(0, 1.0));
        assert_eq!(ceiling(60, reading(60 * SECOND, 1.0)), Some(15));
        assert_eq!(ceiling(75, None), None);
        assert_eq!(ceiling(90, reading(60 * SECOND, 1.0)), None);
        assert_eq!(ceiling(600, reading(60 * SECOND, 1.0)), None);
        assert_eq!(ceiling(615, reading(615 * SECOND, f64::NAN)), None);
    }

    #[test]
    fn what_was_seen_before_a_gap_confirms_nothing() {
        let settings = settings();
        for confirmed in [false, true] {
            let mut emergency = Emergency::default();
            let mut ceiling = |at: Millis, size: Option<u32>| {
                emergency.ceiling(&settings, at * SECOND, reading(at * SECOND, 1.0), size)
            };
            ceiling(0, Some(20));
            if confirmed {
                assert_eq!(ceiling(60, Some(20)), Some(15));
            }
            // An hour later, as after a restart: neither confirmed nor cut once more.
            assert_eq!(ceiling(3_660, Some(20)), None);
            assert_eq!(ceiling(3_690, Some(20)), None);
            // Where the size is not known there is nothing to cut.
            assert_eq!(ceiling(3_720, None), None);
            assert_eq!(ceiling(3_735, Some(20)), Some(15));
        }
    }
}
