//! Steps towards a peak that is further away than the lead time, and whether they sufficed.
//!
//! Without a rate the forecast over the lead time is early enough. With one a high peak needs a start before that: as
//! much earlier as the steps take that the rate allows.

use super::{DemandForecast, Rate, outlook::size_for};
use crate::series::Millis;
use serde::{Deserialize, Serialize};

/// A rise that takes longer is a plateau.
const LONGEST: Millis = 7_200_000;

/// The size that must be reached now, so that `rate` allows what every later peak needs in time; and the size of the
/// peak that asks for most. `window` is what a decision must cover, `size` the present one.
pub(super) fn step(
    at: Millis,
    forecast: &DemandForecast,
    window: Millis,
    rate: Option<Rate>,
    size: u32,
    capacity: f64,
) -> Option<(u32, u32)> {
    let rate = rate?;
    let (per, each) = (rate.per.as_millis().max(1), rate.replicas(size));
    let age = at.saturating_sub(forecast.generated).max(0);
    let pairs = forecast.maxima.windows(2);
    let steps = pairs.filter_map(|pair| {
        let need = size_for(pair[1].quantile.max(0.0), capacity)?;
        // The peak of the longer window lies after the shorter one, where it is greater at all.
        let slack = (pair[0].ahead - age - window).max(0) / per;
        let later = each.saturating_mul(u32::try_from(slack).unwrap_or(u32::MAX));
        Some((need.saturating_sub(later), need))
    });
    steps.max()
}

/// A rise of the demand, followed up to its crest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Rises {
    /// The least size that was asked for since the last rise.
    trough: Option<u32>,
    rise: Option<Rise>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Rise {
    since: Millis,
    crest: u32,
    /// Whether fewer were ready at any time than were asked for.
    short: bool,
}

impl Rises {
    /// What is asked for now, and what is ready. When a rise is over: whether enough was ready all the time.
    pub(super) fn note(&mut self, at: Millis, asked: u32, ready: u32) -> Option<bool> {
        let Some(rise) = &mut self.rise else {
            let trough = self.trough.map_or(asked, |trough| trough.min(asked));
            self.trough = Some(trough);
            if asked >= trough + 2 && u64::from(asked) * 4 >= u64::from(trough) * 5 {
                let short = ready < asked;
                self.rise = Some(Rise {
                    since: at,
                    crest: asked,
                    short,
                });
            }
            return None;
        };
        rise.crest = rise.crest.max(asked);
        rise.short |= ready < asked;
        let falls = u64::from(asked) * 10 <= u64::from(rise.crest) * 9;
        if !falls && at - rise.since <= LONGEST {
            return None;
        }
        let sufficed = !rise.short;
        *self = Self {
            trough: Some(asked),
            rise: None,
        };
        Some(sufficed)
    }

    /// The clock was set back.
    pub(super) fn rewind(&mut self, at: Millis) {
        if let Some(rise) = &mut self.rise {
            rise.since = rise.since.min(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decide::Maximum, series::Span};

    const MINUTE: Millis = 60_000;

    fn forecast() -> DemandForecast {
        let maxima = [(8, 500.0), (20, 900.0), (60, 2_000.0)];
        let maxima = maxima.map(|(minutes, quantile)| Maximum {
            ahead: minutes * MINUTE,
            expected: quantile,
            quantile,
        });
        DemandForecast {
            step: MINUTE,
            maxima: maxima.to_vec(),
            ..DemandForecast::default()
        }
    }

    fn rate(replicas: u32) -> Option<Rate> {
        Some(Rate {
            replicas: Some(replicas),
            fraction: None,
            per: Span::minutes(1),
        })
    }

    #[test]
    fn starts_as_early_as_the_rate_makes_necessary() {
        let step = |at, rate| step(at, &forecast(), 6 * MINUTE, rate, 4, 100.0);
        assert_eq!(step(0, None), None);
        // 20 replicas in 20 - 6 minutes at the earliest: one a minute gives 14, so 6 are needed now; the 9 that may
        // be needed in 8 - 6 minutes ask for 7 now.
        assert_eq!(step(0, rate(1)), Some((7, 9)));
        assert_eq!(step(MINUTE, rate(1)), Some((8, 9)));
        assert_eq!(step(5 * MINUTE, rate(1)), Some((11, 20)));
        assert_eq!(step(0, rate(100)), Some((0, 20)));
    }

    #[test]
    fn a_rise_is_judged_when_it_is_over() {
        let mut rises = Rises::default();
        let mut note = |minute: i64, asked, ready| rises.note(minute * MINUTE, asked, ready);
        for (minute, asked) in [10, 10, 11, 12, 13, 18, 20, 19].into_iter().enumerate() {
            assert_eq!(note(minute as i64, asked, 20), None);
        }
        assert_eq!(note(8, 17, 20), Some(true));
        assert_eq!(note(9, 22, 20), None);
        assert_eq!(note(10, 17, 20), Some(false));
        assert_eq!(note(11, 16, 20), None);
    }
}
