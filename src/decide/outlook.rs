//! What a forecast asks for.

use super::{Closed, DemandForecast, MOST_REPLICAS, Maximum};
use crate::series::Millis;

/// Numbers that differ by less are the same: values pass through 32-bit floats on their way.
const ROUNDING: f64 = 1e-6;

/// How many replicas take `demand`, each `capacity`; `None` for numbers that are none, negative, or beyond belief.
pub(super) fn size_for(demand: f64, capacity: f64) -> Option<u32> {
    let size = (demand / capacity * (1.0 - ROUNDING)).ceil();
    let believable = (0.0..=f64::from(MOST_REPLICAS)).contains(&size) && demand >= 0.0;
    believable.then_some(size as u32)
}

/// What a forecast says of the time ahead, in replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outlook {
    /// The quantile of the greatest demand within the window that must be covered.
    pub(super) demand: f64,
    /// How far ahead that reaches, from the decision, milliseconds.
    pub(super) ahead: Millis,
    /// Its size.
    pub(super) need: u32,
    /// The size within the time for which nothing is released.
    pub(super) hold: u32,
}

impl Outlook {
    /// Of the maxima of `forecast` that which covers `window` from `at` on, and that which covers `hold`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn new(
        at: Millis,
        forecast: &DemandForecast,
        window: Millis,
        hold: Millis,
        capacity: f64,
    ) -> Result<Self, Closed> {
        let age = at.saturating_sub(forecast.generated).max(0);
        let must = age.saturating_add(window);
        let covering = covering(&forecast.maxima, must)?;
        // A shorter window than what must be covered says nothing of the rest of it.
        if covering.ahead < must {
            return Err(Closed::NoForecast);
        }
        let holding = self::covering(&forecast.maxima, age.saturating_add(hold))?;
        let size = |demand: f64| size_for(demand, capacity).ok_or(Closed::Implausible);
        let need = size(covering.quantile)?;
        Ok(Self {
            demand: covering.quantile,
            ahead: covering.ahead - age,
            need,
            hold: size(holding.quantile)?.max(need),
        })
    }
}

/// The shortest window that reaches as far as `ahead`, or the longest there is. A window holds those before it, so its
/// quantile is no less than theirs.
pub(super) fn covering(maxima: &[Maximum], ahead: Millis) -> Result<Maximum, Closed> {
    let mut found: Option<Maximum> = None;
    for one in maxima {
        if found.is_some_and(|found| found.ahead >= ahead) {
            break;
        }
        if !one.quantile.is_finite() {
            return Err(Closed::NoForecast);
        }
        let below = found.map_or(0.0, |found| found.quantile);
        found = Some(Maximum {
            quantile: one.quantile.max(below),
            ..*one
        });
    }
    found.ok_or(Closed::NoForecast)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn forecast(quantiles: [f64; 3]) -> DemandForecast {
        let maxima = quantiles.into_iter().zip([5, 10, 15]);
        DemandForecast {
            generated: 0,
            step: MINUTE,
            level: 0.95,
            maxima: maxima
                .map(|(quantile, minutes)| Maximum {
                    ahead: minutes * MINUTE,
                    expected: quantile,
                    quantile,
                })
                .collect(),
            ..DemandForecast::default()
        }
    }

    fn outlook(quantiles: [f64; 3], at: Millis, window: Millis) -> Result<Outlook, Closed> {
        let hold = 15 * MINUTE;
        Outlook::new(at, &forecast(quantiles), window, hold, 10.0)
    }

    #[test]
    fn sizes_are_whole_and_believable() {
        assert_eq!(size_for(120.000_001, 10.0), Some(12));
        assert_eq!(size_for(120.1, 10.0), Some(13));
        assert_eq!(size_for(0.0, 10.0), Some(0));
        for bad in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(size_for(bad, 10.0), None);
        }
    }

    #[test]
    fn the_shortest_window_that_reaches_far_enough_counts_its_age_included() {
        let need = |at, window| outlook([50.0, 80.0, 90.0], at, window).unwrap().need;
        assert_eq!(need(0, 5 * MINUTE), 5);
        assert_eq!(need(MINUTE, 5 * MINUTE), 8);
        assert_eq!(need(MINUTE, 14 * MINUTE), 9);
        let short = outlook([50.0, 80.0, 90.0], MINUTE, 14 * MINUTE + 1);
        assert_eq!(short, Err(Closed::NoForecast));
        assert_eq!(need(-MINUTE, 5 * MINUTE), 5);
    }

    #[test]
    fn a_longer_window_never_asks_for_less() {
        let found = outlook([50.0, 20.0, 10.0], 0, 10 * MINUTE).unwrap();
        assert_eq!((found.need, found.hold), (5, 5));
    }

    #[test]
    fn what_is_no_number_is_no_forecast() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let found = outlook([bad, 1.0, 1.0], 0, MINUTE);
            assert_eq!(found, Err(Closed::NoForecast));
        }
        let found = outlook([1e12, 1e12, 1e12], 0, MINUTE);
        assert_eq!(found, Err(Closed::Implausible));
        let none = Outlook::new(0, &DemandForecast::default(), 1, 1, 1.0);
        assert_eq!(none, Err(Closed::NoForecast));
        // Below 0 is what a model says of a demand that is nearly 0.
        assert_eq!(outlook([-3.0, 1.0, 1.0], 0, MINUTE).unwrap().need, 0);
    }
}
