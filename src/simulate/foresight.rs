//! What our own forecasts say at every minute of a trace, worked out once: the forecasters that run live, derived anew as the engine does it
//! and carried on between.

use super::{Demand, Parameters, Subject, subject::Forecasting};
use crate::{
    engine::signal::Epochs,
    forecast::{Forecasts, Settings},
    series::{Grid, Millis, Past, Span},
};

const DAY: Millis = 86_400_000;
/// The maxima of so long must be known for a coverage.
const LEAST_JUDGED: Millis = 14_400_000;

/// Forecasts by step, which is a minute unless a signal says otherwise.
#[derive(Debug, Clone)]
pub struct Foresight {
    /// Windows in steps, shortest first.
    pub windows: Vec<usize>,
    /// Levels of the quantiles, ascending.
    pub levels: Vec<f32>,
    /// Milliseconds of a step.
    pub step: Millis,
    /// By step, window and level; `NaN` where there is none.
    values: Vec<f32>,
    /// By step: `1 - error / error of seasonal naive` at the shortest horizon.
    skill: Vec<f32>,
    /// The demand of every step.
    demand: Vec<f32>,
    /// Ticks of a step, and of the offset.
    every: usize,
    offset: usize,
}

/// What is known of the future at a tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outlook<'a> {
    /// First tick after the step it was made at.
    pub(super) made: usize,
    foresight: &'a Foresight,
    /// Its step.
    pub(super) index: usize,
}

impl Foresight {
    /// Walks the whole trace with the forecasts of `subject`. `progress` is told the share done.
    ///
    /// # Errors
    /// Settings that cannot be.
    pub fn walk(
        demand: &Demand,
        parameters: &Parameters,
        subject: &Subject,
        progress: &dyn Fn(f64),
    ) -> Result<Self, String> {
        let windows = subject.windows();
        let levels = parameters.frontier.level.iter().map(|&level| level as f32);
        let levels = levels.collect::<Vec<f32>>();
        let forecasting = &subject.forecasting;
        let every = parameters.ticks(forecasting.step);
        let grid = Grid::new(forecasting.step.as_millis()).ok_or("no step")?;
        let of_step = |index: usize| {
            let mean = demand.mean(index * every, (index + 1) * every);
            mean.map_or(f32::NAN, |mean| mean as f32)
        };
        let steps: Vec<f32> = (0..demand.ticks.len() / every).map(of_step).collect();
        let mut walk = Walk::new(grid, &windows, forecasting)?;
        let start = grid.floor(demand.start);
        let width = windows.len() * levels.len();
        let mut values = vec![f32::NAN; steps.len() * width];
        let mut skill = Vec::with_capacity(steps.len());
        for (index, row) in values.chunks_exact_mut(width).enumerate() {
            walk.step(&steps[..=index], start + index as i64 * grid.step());
            walk.forecasts.quantiles_of_maxima(0, &levels, row);
            let trust = walk.forecasts.trust(0, 0);
            skill.push(trust.map_or(f32::NAN, |trust| trust.skill_ratio));
            if index.is_multiple_of(1_440) {
                progress(index as f64 / steps.len() as f64);
            }
        }
        Ok(Self {
            windows,
            levels,
            step: grid.step(),
            values,
            skill,
            demand: steps,
            every,
            offset: parameters.ticks(forecasting.offset),
        })
    }

    /// What is known at the beginning of a tick; `None` before the first step.
    pub(super) fn at(&self, tick: usize) -> Option<Outlook<'_>> {
        let over = tick.checked_sub(self.offset)? / self.every;
        let index = over.checked_sub(1)?.min(self.skill.len() - 1);
        Some(Outlook {
            made: over * self.every,
            foresight: self,
            index,
        })
    }

    /// By step: of the greatest values within the shortest window of the day before, the share at or below their quantile; `NaN` while
    /// fewer than four hours are known.
    pub(super) fn coverage(&self, level: usize) -> Vec<f32> {
        let (window, width) = (self.windows[0], self.windows.len() * self.levels.len());
        let day = (DAY / self.step).max(1) as usize;
        let least = LEAST_JUDGED / self.step;
        let mut held: Vec<(u32, u32)> = vec![(0, 0)];
        let mut coverage = Vec::with_capacity(self.demand.len());
        for index in 0..self.demand.len() {
            // The window that has just ended began so many steps ago.
            let judged = index.checked_sub(window).and_then(|origin| {
                let came = self.demand[origin + 1..=index].iter();
                let came = came.copied().fold(f32::NAN, f32::max);
                let quantile = self.values[origin * width + level];
                (came.is_finite() && quantile.is_finite()).then_some(came <= quantile)
            });
            let (yes, all) = held[index];
            held.push((
                yes + u32::from(judged == Some(true)),
                all + u32::from(judged.is_some()),
            ));
            let (before, now) = (held[(index + 1).saturating_sub(day)], held[index + 1]);
            let known = now.1 - before.1;
            coverage.push(if i64::from(known) >= least {
                (now.0 - before.0) as f32 / known as f32
            } else {
                f32::NAN
            });
        }
        coverage
    }

    /// Share of steps with a forecast.
    pub fn known(&self) -> f64 {
        let width = self.windows.len() * self.levels.len();
        let known = self
            .values
            .chunks_exact(width)
            .filter(|row| row[0].is_finite());
        known.count() as f64 / self.skill.len() as f64
    }
}

impl Outlook<'_> {
    /// The quantile of the greatest step within a window, both by their place; `None` where there is none.
    pub(super) fn quantile(&self, window: usize, level: usize) -> Option<f64> {
        let levels = self.foresight.levels.len();
        let width = self.foresight.windows.len() * levels;
        let value = self.foresight.values[self.index * width + window * levels + level];
        value.is_finite().then_some(f64::from(value))
    }

    /// `1 - error / error of seasonal naive`.
    pub(super) fn skill(&self) -> Option<f64> {
        let skill = self.foresight.skill[self.index];
        skill.is_finite().then_some(f64::from(skill))
    }
}

/// Forecasters of one series under way.
struct Walk<'a> {
    forecasts: Forecasts,
    forecasting: &'a Forecasting,
    grid: Grid,
    /// Steps between derivations, and of the past they see.
    refit: usize,
    memory: usize,
}

impl<'a> Walk<'a> {
    fn new(grid: Grid, windows: &[usize], forecasting: &'a Forecasting) -> Result<Self, String> {
        let span = |steps: &usize| Span::millis(*steps as i64 * grid.step());
        let settings = Settings {
            horizons: Some(windows.iter().map(span).collect()),
            windows: windows.iter().map(span).collect(),
            // A signal that is configured has those of all workloads that scale by it: windows are told apart by their place.
            scaled: Vec::new(),
            levels: Vec::new(),
            ..forecasting.settings.clone()
        };
        let mut forecasts = Forecasts::build(&settings, grid, &forecasting.files)?;
        forecasts.grow(1);
        let epochs = Epochs::new(forecasting.history.as_millis(), grid);
        Ok(Self {
            forecasts,
            forecasting,
            grid,
            refit: epochs.refit,
            // An epoch learns of somewhat less: the rest is for a restart, and nothing restarts here.
            memory: epochs.history - 3 * epochs.refit,
        })
    }

    /// Takes in the newest of `values`, which is at `at`.
    fn step(&mut self, values: &[f32], at: Millis) {
        if is_due(values.len(), self.refit) {
            let past = &values[values.len().saturating_sub(self.memory)..];
            let seasons = self.forecasting.seasons(past, self.grid);
            self.forecasts.rebuild(
                0,
                &Past {
                    end: at,
                    grid: self.grid,
                    values: past,
                    seasons: &seasons,
                    zone: &self.forecasting.zone,
                },
            );
        }
        self.forecasts.step(at, &[0], &values[values.len() - 1..]);
    }
}

/// At sixteen steps and their doublings while a series is young, then once an epoch.
fn is_due(age: usize, refit: usize) -> bool {
    age >= 16
        && (age.is_multiple_of(refit) || (age.is_multiple_of(16) && (age / 16).is_power_of_two()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Kind, Trace};

    fn parameters() -> Parameters {
        let mut parameters = Parameters::built_in().unwrap();
        parameters.frontier.level = vec![0.5, 0.9];
        parameters
    }

    /// Ten hours of a demand that climbs, so that every window has a maximum of its own.
    fn climbing(parameters: &Parameters) -> Demand {
        let trace = Trace {
            name: "climbing".into(),
            kind: Kind::Mixed,
            start: 0,
            step: 60_000,
            values: (0..600).map(|minute| 100.0 + minute as f32).collect(),
        };
        Demand::draw(&trace, parameters).unwrap()
    }

    /// The usual workload with one quick forecaster, on a signal that other workloads scale by in windows of so many minutes.
    fn subject(parameters: &Parameters, scaled: &[i64]) -> Subject {
        let mut subject = Subject::usual(parameters).unwrap();
        subject.workload.limits.hold = Span::minutes(20);
        let settings = &mut subject.forecasting.settings;
        *settings = serde_json::from_str(r#"{"models": [{"drift": {}}]}"#).unwrap();
        settings.scaled = scaled.iter().map(|&one| Span::minutes(one)).collect();
        settings.levels = vec![0.7];
        subject
    }

    fn walked(subject: &Subject, parameters: &Parameters) -> Foresight {
        Foresight::walk(&climbing(parameters), parameters, subject, &|_| ()).unwrap()
    }

    #[test]
    fn windows_that_others_scale_by_are_not_taken_for_those_of_the_workload() {
        let parameters = parameters();
        let alone = subject(&parameters, &[]);
        let windows = alone.windows();
        assert_eq!(windows, [7, 22]);
        let own = walked(&alone, &parameters);
        for others in [vec![1, 2], vec![7, 8], vec![15, 100]] {
            let subject = subject(&parameters, &others);
            let grid = Grid::new(60_000).unwrap();
            let walk = Walk::new(grid, &windows, &subject.forecasting).unwrap();
            assert_eq!(walk.forecasts.windows(), windows, "beside {others:?}");
            let beside = walked(&subject, &parameters);
            let bits = |one: &Foresight| -> Vec<u32> {
                one.values.iter().map(|value| value.to_bits()).collect()
            };
            assert!(bits(&beside) == bits(&own), "beside windows of {others:?}");
        }
        assert!(own.known() > 0.5, "{}", own.known());
    }

    #[test]
    fn three_weeks_of_minutes_are_learned_of_as_when_the_documented_results_were_made() {
        let forecasting = Forecasting::default();
        let grid = Grid::new(forecasting.step.as_millis()).unwrap();
        let walk = Walk::new(grid, &[7], &forecasting).unwrap();
        assert_eq!((walk.refit, walk.memory), (1_440, 25_920));
    }

    #[test]
    fn a_history_of_fewer_steps_than_an_epoch_takes_is_as_long_as_that_of_a_signal() {
        let parameters = parameters();
        let mut subject = subject(&parameters, &[]);
        // The least history of a signal of a step of a second; forecasts here are of minutes.
        subject.forecasting.history = Span::seconds(128);
        let short = walked(&subject, &parameters);
        subject.forecasting.history = Span::minutes(128);
        assert_eq!(
            short.values.len(),
            walked(&subject, &parameters).values.len()
        );
        assert!(short.known() > 0.5, "{}", short.known());
    }
}
