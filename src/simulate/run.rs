//! One policy over one trace.

use super::{
    Demand, Parameters, Trace,
    autoscaler::{Autoscaler, Behaviour, Policy as Rate, Settings},
    cluster::Cluster,
    measure::{Meter, Score, Yardstick},
    parameters::{Down, HpaPoint},
    policy::Policy,
};
use crate::series::Millis;

/// What runs under a policy.
#[derive(Debug)]
pub(super) struct Course<'a> {
    demand: &'a Demand,
    parameters: &'a Parameters,
    /// The part on which is tuned, and that which is scored.
    yardsticks: [Yardstick; 2],
}

/// Which part of a trace is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Before the split: for tuning.
    First,
    /// After it: for scoring.
    Second,
}

impl<'a> Course<'a> {
    pub(super) fn new(demand: &'a Demand, parameters: &'a Parameters) -> Self {
        let ranges = [(0, demand.split), (demand.split, demand.ticks.len())];
        Self {
            demand,
            parameters,
            yardsticks: ranges.map(|range| Yardstick::new(demand, parameters, range)),
        }
    }

    /// Runs `policy` under an autoscaler from the beginning and judges one part. `begin` replicas are ready at first.
    pub(super) fn run(
        &self,
        settings: Settings,
        policy: &mut dyn Policy,
        part: Part,
        begin: Option<u32>,
    ) -> Score {
        let (yardstick, end) = match part {
            Part::First => (&self.yardsticks[0], self.demand.split),
            Part::Second => (&self.yardsticks[1], self.demand.ticks.len()),
        };
        let parameters = self.parameters;
        let begin = begin.unwrap_or_else(|| self.usual());
        let mut cluster = Cluster::new(parameters, begin);
        let mut autoscaler = Autoscaler::new(settings);
        let mut meter = Meter::new(yardstick, parameters);
        let (age, sync) = (
            parameters.ticks(parameters.scrape_age),
            parameters.ticks(parameters.sync),
        );
        let mut metrics = Vec::with_capacity(2);
        for tick in 0..end {
            cluster.begin(tick);
            if tick.is_multiple_of(sync) {
                metrics.clear();
                let size = cluster.size();
                policy.metrics(
                    tick,
                    self.demand.until(tick.saturating_sub(age)),
                    size,
                    &mut metrics,
                );
                let now = tick as i64 * parameters.tick.as_millis() / 1_000;
                let wanted = autoscaler.sync(now, size, &metrics);
                cluster.scale(tick, wanted);
            }
            let demand = self.demand.ticks[tick];
            cluster.work(if demand.is_finite() { demand } else { 0.0 });
            meter.see(tick, demand, cluster.size(), cluster.backlog);
        }
        meter.finish()
    }

    /// Judges the size that there was: all of it ready. While it is not known it is as it was, and before it was ever known as it was
    /// first.
    pub(super) fn recorded(&self, recorded: &Trace, part: Part) -> Score {
        let (yardstick, end) = match part {
            Part::First => (&self.yardsticks[0], self.demand.split),
            Part::Second => (&self.yardsticks[1], self.demand.ticks.len()),
        };
        let size = |there: f32| there.round().max(0.0) as u32;
        let first = recorded.values.iter().find(|there| there.is_finite());
        let mut cluster = Cluster::new(self.parameters, first.map_or(0, |&there| size(there)));
        let mut meter = Meter::new(yardstick, self.parameters);
        for tick in 0..end {
            let at = self.demand.start + tick as Millis * self.parameters.tick.as_millis();
            let place = (at - recorded.start).div_euclid(recorded.step);
            let place = usize::try_from(place).ok();
            let there = place.and_then(|place| recorded.values.get(place));
            if let Some(&there) = there.filter(|there| there.is_finite()) {
                cluster.become_ready(size(there));
            }
            let demand = self.demand.ticks[tick];
            cluster.work(if demand.is_finite() { demand } else { 0.0 });
            meter.see(tick, demand, cluster.size(), cluster.backlog);
        }
        meter.finish()
    }

    /// What the first hour takes at four fifths.
    fn usual(&self) -> u32 {
        let hour = self.parameters.ticks(crate::series::Span::minutes(60));
        let mean = self.demand.mean(0, hour).unwrap_or(0.0);
        (mean / 0.8).ceil().max(1.0) as u32
    }
}

/// The autoscaler of an HPA at one point of the grid.
pub(super) fn autoscaler(point: &HpaPoint, parameters: &Parameters) -> Settings {
    let mut settings = plain(parameters);
    settings.tolerance = point.tolerance;
    settings.down = Behaviour {
        stabilisation: point.stabilisation.as_millis() / 1_000,
        policies: match point.down {
            Down::Fast => vec![Rate::Percent(100, 15)],
            Down::Slow => vec![Rate::Percent(10, 60), Rate::Pods(1, 60)],
        },
        ..Behaviour::usual_down()
    };
    settings
}

/// The autoscaler that follows what our policy publishes.
pub(super) fn guarded(parameters: &Parameters) -> Settings {
    let mut settings = following(parameters);
    settings.down.stabilisation = parameters.ours.stabilisation.as_millis() / 1_000;
    settings
}

/// The autoscaler that follows what is published: it goes down as soon as it is told.
pub(super) fn following(parameters: &Parameters) -> Settings {
    let mut settings = plain(parameters);
    settings.tolerance = parameters.following_tolerance;
    settings.down.stabilisation = 0;
    settings
}

fn plain(parameters: &Parameters) -> Settings {
    Settings::new(parameters.replicas.min, parameters.replicas.max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Kind;

    fn trace(start: Millis, values: Vec<f32>) -> Trace {
        Trace {
            name: "steady".into(),
            kind: Kind::Mixed,
            start,
            step: 60_000,
            values,
        }
    }

    #[test]
    fn the_size_that_there_was_is_not_nothing_before_it_is_known() {
        let mut parameters = Parameters::built_in().unwrap();
        parameters.capacity.declared = Some(10.0);
        let demand = Demand::draw(&trace(0, vec![40.0; 120]), &parameters).unwrap();
        let course = Course::new(&demand, &parameters);
        // Known from the second half's tenth minute on, with a gap and then more.
        let mut sizes = vec![f32::NAN, 5.0, f32::NAN, 7.0];
        sizes.resize(50, 7.0);
        let score = course.recorded(&trace(70 * 60_000, sizes), Part::Second);
        assert_eq!((score.minutes, score.violations), (60, 0), "{score:?}");
        let hours = (13.0 * 5.0 + 47.0 * 7.0) / 60.0;
        assert!((score.replica_hours - hours).abs() < 0.1, "{score:?}");
        let never = course.recorded(&trace(0, vec![f32::NAN; 120]), Part::Second);
        assert_eq!(never.violations, 60);
    }
}
