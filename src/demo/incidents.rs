//! What goes wrong in the synthetic workload, and when: a schedule around the time the demo starts.
//!
//! Each incident comes once in about a day, so that the charts of the last day always hold a few and a
//! viewer at speed 60 meets one every two minutes. Further back, where nobody looks but everything is
//! learned from, only one in five happened.

use super::noise;
use crate::series::Millis;

const MINUTE: Millis = 60_000;

/// After so long the schedule begins again. Not a whole day, so that incidents drift through the day.
const CYCLE: Millis = 23 * 60 * MINUTE;

/// Of the cycles before the last one, one in so many happened.
const RARITY: u64 = 5;

/// The kinds of incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// A crawler takes the search for its own.
    Crawler,
    /// A flash sale: a burst of load on the shop.
    FlashSale,
    /// A pod fell out of the load balancer: it idles while its peers work.
    IdlePod,
    /// A node leaks memory until the culprit is restarted.
    MemoryLeak,
    /// A pod needs far more CPU than its peers for the same work.
    NoisyPod,
    /// Payments stop altogether; checkout waits for them and orders pile up.
    PaymentsOutage,
    /// A node cannot be scraped: its series have no samples.
    ScrapeGap,
    /// The shared database is slow, and everybody with it.
    SlowDatabase,
    /// A release made a service slower, until the next one puts it right.
    SlowRelease,
    /// The consumers of a queue hang: it grows and grows, then drains.
    StalledConsumer,
    /// An exporter gives the same value again and again.
    StuckExporter,
}

/// First minute after the start, minutes it lasts. The sums leave room between one and the next.
const SCHEDULE: [(Incident, i64, i64); 11] = [
    (Incident::FlashSale, 5, 35),
    (Incident::NoisyPod, 75, 50),
    (Incident::PaymentsOutage, 170, 14),
    (Incident::StalledConsumer, 260, 55),
    (Incident::StuckExporter, 340, 330),
    (Incident::SlowRelease, 520, 400),
    (Incident::ScrapeGap, 700, 18),
    (Incident::MemoryLeak, 800, 90),
    (Incident::Crawler, 1_040, 60),
    (Incident::SlowDatabase, 1_180, 16),
    (Incident::IdlePod, 1_290, 45),
];

/// One incident that is under way at some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Occurrence {
    /// What it is.
    pub incident: Incident,
    /// Which time it happens: 0 for the first after the demo started. Victims rotate with it.
    pub turn: i64,
    /// When it began.
    pub began: Millis,
    /// Share of it that is over, from 0 to below 1.
    pub progress: f64,
}

impl Occurrence {
    /// Which of `count` candidates it hits.
    pub fn victim(&self, count: usize) -> usize {
        // A step of 3 does not visit neighbours one after the other, and meets all of 4, 5 and 8.
        usize::try_from((self.turn * 3 + 5).rem_euclid(count as i64)).unwrap_or(0)
    }

    /// How strong it is, 0 to 1: rises over the first tenth, holds, and falls over the last tenth.
    pub fn strength(&self) -> f64 {
        (self.progress * 10.0)
            .min((1.0 - self.progress) * 10.0)
            .min(1.0)
    }
}

/// The incidents that are under way at `at` of a demo that started at `start`.
pub fn under_way(start: Millis, seed: u64, at: Millis) -> impl Iterator<Item = Occurrence> {
    SCHEDULE
        .iter()
        .filter_map(move |&(incident, first, lasts)| {
            let since = at - start - first * MINUTE;
            let (turn, elapsed) = (since.div_euclid(CYCLE), since.rem_euclid(CYCLE));
            if elapsed >= lasts * MINUTE || !happened(turn, seed, first) {
                return None;
            }
            Some(Occurrence {
                incident,
                turn,
                began: at - elapsed,
                progress: elapsed as f64 / (lasts * MINUTE) as f64,
            })
        })
}

fn happened(turn: i64, seed: u64, salt: i64) -> bool {
    turn >= -1 || noise::hash(seed ^ salt.cast_unsigned(), turn).is_multiple_of(RARITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = 1_760_000_000_000;

    fn count_over(from: i64, to: i64) -> usize {
        let minutes = from..to;
        minutes
            .filter(|minute| {
                let at = START + minute * MINUTE;
                under_way(START, 1, at).any(|one| one.began == at)
            })
            .count()
    }

    #[test]
    fn a_viewer_meets_incidents_soon_and_finds_some_in_the_last_day() {
        assert!(count_over(0, 6) >= 1);
        assert!(count_over(0, 180) >= 3);
        assert!(count_over(-1_440, 0) >= 10);
        let older = count_over(-21 * 1_440, -1_440);
        assert!((20..90).contains(&older), "{older}");
    }

    #[test]
    fn victims_rotate_over_everybody() {
        let hit = |count| {
            let mut seen = vec![false; count];
            for turn in 0..count as i64 {
                let one = Occurrence {
                    incident: Incident::NoisyPod,
                    turn,
                    began: 0,
                    progress: 0.0,
                };
                seen[one.victim(count)] = true;
            }
            seen.iter().all(|&seen| seen)
        };
        assert!(hit(4) && hit(5) && hit(8));
    }

    #[test]
    fn strength_rises_and_falls() {
        let at = |progress| Occurrence {
            incident: Incident::FlashSale,
            turn: 0,
            began: 0,
            progress,
        };
        assert!(at(0.0).strength() < 1e-9);
        assert!((at(0.5).strength() - 1.0).abs() < 1e-9);
        assert!(at(0.99).strength() < 0.2);
    }
}
