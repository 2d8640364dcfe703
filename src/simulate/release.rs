//! The rule of `contracts.md` in its shortest form, for forecasts that are not our own: the greater of what is asked for now and
//! of what is forecast; without a forecast the headroom of the default HPA, and its five minutes.

use super::Parameters;
use std::collections::VecDeque;

/// From demand to replicas.
#[derive(Debug, Clone)]
pub(super) struct Release {
    /// Ticks of the stabilisation without a forecast.
    hold: usize,
    target: f64,
    /// Recommendations without a forecast, oldest first.
    recent: VecDeque<(usize, u32)>,
}

impl Release {
    pub(super) fn new(parameters: &Parameters) -> Self {
        Self {
            hold: parameters.ticks(parameters.hpa_default.stabilisation),
            target: parameters.hpa_default.target,
            recent: VecDeque::new(),
        }
    }

    /// Replicas for what is asked for now and what is forecast; `None` where the present is not known.
    pub(super) fn step(
        &mut self,
        tick: usize,
        now: Option<f64>,
        forecast: Option<f64>,
    ) -> Option<u32> {
        let now = now?;
        let replicas = |demand: f64| (demand - 1e-9).ceil().max(1.0) as u32;
        let reactive = replicas(now / self.target);
        while self
            .recent
            .front()
            .is_some_and(|(at, _)| at + self.hold <= tick)
        {
            self.recent.pop_front();
        }
        self.recent.push_back((tick, reactive));
        let held = self.recent.iter().map(|(_, size)| *size).max();
        match forecast {
            Some(forecast) => Some(replicas(now).max(replicas(forecast))),
            None => held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_takes_the_place_of_headroom_and_hold() {
        let mut release = Release::new(&Parameters::built_in().unwrap());
        assert_eq!(release.step(0, Some(8.0), None), Some(10));
        assert_eq!(release.step(1, Some(4.0), None), Some(10));
        assert_eq!(release.step(2, Some(4.0), Some(4.5)), Some(5));
        assert_eq!(release.step(3, Some(6.0), Some(4.5)), Some(6));
        assert_eq!(release.step(4, None, Some(4.5)), None);
        assert_eq!(release.step(19, Some(4.0), None), Some(10));
        assert_eq!(release.step(20, Some(4.0), None), Some(8));
    }
}
