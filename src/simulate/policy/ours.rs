//! Ours: the forecasts that run live, and the decisions that run live.

use super::{Hpa, Metric, Past, Policy, Size, publish::Delayed};
use crate::{
    decide::{DemandForecast, Inputs, Maximum, Mode, Reading, Replicas, Workload},
    series::Millis,
    simulate::{Foresight, Parameters, Subject, foresight::Outlook},
};
use std::sync::Arc;

/// Our forecasts and decisions.
#[derive(Debug)]
pub(in crate::simulate) struct Ours<'a> {
    foresight: Option<Sight<'a>>,
    workload: Workload,
    inputs: Inputs,
    rate: usize,
    tick: Millis,
    /// Time of the first tick.
    start: Millis,
    /// Ticks between decisions.
    review: usize,
    /// What was decided last.
    decided: Option<f64>,
    /// The trigger beside ours, which knows nothing of forecasts.
    reactive: Option<Hpa>,
    published: Delayed,
}

/// What is foreseen at a level.
#[derive(Debug)]
struct Sight<'a> {
    foresight: &'a Foresight,
    level: usize,
    /// Of each window: the share of its greatest values of a day at or below the quantile, by step.
    coverage: Vec<f32>,
    /// First tick after the step of the forecast in [`Ours::inputs`].
    made: usize,
}

impl<'a> Ours<'a> {
    /// With the quantile at the `level`-th of the levels of `foresight`. `start` is the time of the first tick.
    pub(in crate::simulate) fn new(
        subject: &Subject,
        foresight: &'a Foresight,
        level: usize,
        start: Millis,
        parameters: &Parameters,
    ) -> Self {
        let settings = subject.at_level(f64::from(foresight.levels[level]));
        let window = parameters.ticks(parameters.ours.rate_window);
        let target = parameters.ours.reactive_target;
        Self {
            foresight: Some(Sight {
                foresight,
                level,
                coverage: foresight.coverage(level),
                made: 0,
            }),
            reactive: Some(Hpa { target, window }),
            ..Self::decided(settings, start, parameters)
        }
    }

    /// The same without a trigger beside it.
    pub(in crate::simulate) fn alone(self) -> Self {
        Self {
            reactive: None,
            ..self
        }
    }

    /// What it recommends while it only observes: what is asked for now, and what a person said is the least and the greatest.
    pub(in crate::simulate) fn observing(
        subject: &Subject,
        start: Millis,
        parameters: &Parameters,
    ) -> Self {
        let mut settings = subject.at_level(subject.level);
        settings.mode = Mode::Observe;
        Self::decided(settings, start, parameters)
    }

    fn decided(settings: crate::decide::Settings, start: Millis, parameters: &Parameters) -> Self {
        Self {
            foresight: None,
            review: parameters.ticks(crate::series::Span::millis(settings.review())),
            workload: Workload::new(Arc::new(settings)),
            inputs: Inputs::default(),
            rate: parameters.ticks(parameters.ours.rate_window),
            tick: parameters.tick.as_millis(),
            start,
            decided: None,
            reactive: None,
            published: Delayed::new(parameters),
        }
    }

    fn see(&mut self, tick: usize, past: Past<'_>, size: Size) {
        let now = self.time(tick);
        let at = self.time(past.end());
        let rate = past.rate(self.rate);
        self.inputs.demand = rate.map(|value| Reading { at, value });
        self.inputs.replicas = Some(Replicas {
            at: now,
            ready: size.ready,
            wanted: Some(size.wanted),
        });
        let Some(sight) = &mut self.foresight else {
            return;
        };
        let outlook = sight
            .foresight
            .at(tick)
            .filter(|one| one.made != sight.made);
        if let Some(outlook) = outlook {
            sight.made = outlook.made;
            let made = self.start + outlook.made as Millis * self.tick;
            self.inputs.forecast = sight.forecast(outlook, made).map(Arc::new);
        }
    }

    fn time(&self, tick: usize) -> Millis {
        self.start + tick as Millis * self.tick
    }
}

impl Sight<'_> {
    fn forecast(&self, outlook: Outlook<'_>, made: Millis) -> Option<DemandForecast> {
        let step = self.foresight.step;
        let windows = self.foresight.windows.iter().enumerate();
        let maxima = windows.map(|(place, &steps)| {
            Some(Maximum {
                ahead: steps as Millis * step,
                expected: outlook.quantile(place, 0)?,
                quantile: outlook.quantile(place, self.level)?,
            })
        });
        let coverage = self.coverage[outlook.index];
        Some(DemandForecast {
            generated: made,
            step,
            level: f64::from(self.foresight.levels[self.level]),
            maxima: maxima.collect::<Option<_>>()?,
            coverage: coverage.is_finite().then_some(f64::from(coverage)),
            skill: outlook.skill(),
            ..DemandForecast::default()
        })
    }
}

impl Policy for Ours<'_> {
    fn metrics(&mut self, tick: usize, past: Past<'_>, size: Size, out: &mut Vec<Metric>) {
        if tick.is_multiple_of(self.review) {
            self.see(tick, past, size);
            let proposal = self.workload.propose(self.time(tick), &self.inputs);
            let decision = self.workload.settle(proposal, &[]);
            self.decided = decision.published_demand;
        }
        out.extend(self.reactive.map(|trigger| trigger.metric(past)));
        out.push(self.published.step(tick, self.decided));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{
        Demand, Kind, Trace,
        autoscaler::{Autoscaler, Settings},
    };

    /// So many replicas' worth of demand for ten minutes, and not a replica more or less.
    fn steady(replicas: f64) -> Demand {
        let trace = Trace {
            name: "steady".into(),
            kind: Kind::Mixed,
            start: 1_800_000_000_000,
            step: 15_000,
            values: vec![100.0; 40],
        };
        let mut parameters = Parameters::built_in().unwrap();
        parameters.capacity.declared = Some(100.0 / replicas);
        Demand::draw(&trace, &parameters).unwrap()
    }

    /// The size an autoscaler of this tolerance arrives at from 16, told what a workload that is told of the tolerance publishes, or
    /// of another.
    fn reached(demand: f64, tolerance: f64, told: f64) -> u32 {
        let mut parameters = Parameters::built_in().unwrap();
        parameters.following_tolerance = told;
        let mut subject = Subject::usual(&parameters).unwrap();
        subject.workload.mode = Mode::Guarded;
        let demand = steady(demand);
        let mut ours = Ours::decided(subject.at_level(0.95), demand.start, &parameters);
        let mut settings = Settings::new(1, 100);
        settings.tolerance = tolerance;
        let mut autoscaler = Autoscaler::new(settings);
        let (mut size, mut metrics) = (16, Vec::new());
        for tick in 0..40 {
            metrics.clear();
            let there = Size {
                wanted: size,
                existing: size,
                ready: size,
            };
            let past = demand.until(tick);
            ours.metrics(tick, past, there, &mut metrics);
            size = autoscaler.sync(tick as i64 * 15, there, &metrics);
        }
        size
    }

    #[test]
    fn the_tolerance_of_the_autoscaler_does_not_swallow_a_step_from_16_to_17() {
        // 17 by 16 is 1.0625: within a tolerance of 0.1, and the next size beyond 17.6 is 18.
        assert_eq!(
            reached(16.5, 0.1, 0.0),
            16,
            "what is not compensated is swallowed"
        );
        assert_eq!(reached(16.5, 0.1, 0.1), 18);
        assert_eq!(reached(16.5, 0.05, 0.05), 17);
        assert_eq!(reached(16.5, 0.0, 0.0), 17);
        assert_eq!(
            reached(16.0, 0.1, 0.1),
            16,
            "what is not wanted is not asked for"
        );
        assert_eq!(reached(20.0, 0.1, 0.1), 20);
    }
}
