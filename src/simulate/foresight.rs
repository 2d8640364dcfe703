//! What our own forecasts say at every minute of a trace, worked out once: the forecasters that run live, derived anew as the engine does it
//! and carried on between.

use super::{Demand, Parameters};
use crate::{
    forecast::{Forecasts, ModelFiles, Settings},
    series::{Grid, Millis, Past, Span, Zone},
    stats::season,
};

const DAY: Millis = 86_400_000;
/// History of a signal, and how often a series is derived anew: the defaults of the engine.
const HISTORY: Millis = 21 * DAY;
/// A slot of the grid is evaluated so long after its end: the default `offset`.
const OFFSET: Span = Span::seconds(30);
/// Step of the signal.
pub(super) const STEP: Span = Span::minutes(1);

/// Forecasts by minute.
#[derive(Debug, Clone)]
pub struct Foresight {
    /// Windows in minutes, shortest first.
    pub windows: Vec<usize>,
    /// Levels of the quantiles, ascending.
    pub levels: Vec<f32>,
    /// By minute, window and level; `NaN` where there is none.
    values: Vec<f32>,
    /// By minute: `1 - error / error of seasonal naive` at the shortest horizon.
    skill: Vec<f32>,
    /// The demand of every minute.
    minutes: Vec<f32>,
    /// Ticks of a minute, and of the offset.
    minute: usize,
    offset: usize,
}

/// What is known of the future at a tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outlook<'a> {
    /// First tick after the minute it was made at.
    pub(super) made: usize,
    foresight: &'a Foresight,
    /// Its minute.
    pub(super) index: usize,
}

/// Share of the maxima of so many minutes must be known for a coverage.
const LEAST_JUDGED: usize = 240;

impl Foresight {
    /// Walks the whole trace. `progress` is told the share done.
    ///
    /// # Errors
    /// Settings that cannot be.
    pub fn walk(
        demand: &Demand,
        parameters: &Parameters,
        progress: &dyn Fn(f64),
    ) -> Result<Self, String> {
        let windows = &super::policy::windows(parameters)?;
        let levels = parameters.frontier.level.iter().map(|&level| level as f32);
        let levels = &levels.collect::<Vec<f32>>();
        let minute = parameters.ticks(STEP);
        let grid = Grid::new(STEP.as_millis()).ok_or("no step")?;
        let minutes: Vec<f32> = (0..demand.ticks.len() / minute)
            .map(|index| {
                demand
                    .mean(index * minute, (index + 1) * minute)
                    .map_or(f32::NAN, |mean| mean as f32)
            })
            .collect();
        let mut walk = Walk::new(grid, windows)?;
        let start = grid.floor(demand.start);
        let mut values = vec![f32::NAN; minutes.len() * windows.len() * levels.len()];
        let mut skill = Vec::with_capacity(minutes.len());
        for (index, row) in values
            .chunks_exact_mut(windows.len() * levels.len())
            .enumerate()
        {
            walk.step(&minutes[..=index], start + index as i64 * grid.step());
            walk.forecasts.quantiles_of_maxima(0, levels, row);
            skill.push(
                walk.forecasts
                    .trust(0, 0)
                    .map_or(f32::NAN, |trust| trust.skill_ratio),
            );
            if index.is_multiple_of(1_440) {
                progress(index as f64 / minutes.len() as f64);
            }
        }
        Ok(Self {
            windows: windows.to_vec(),
            levels: levels.to_vec(),
            values,
            skill,
            minutes,
            minute,
            offset: parameters.ticks(OFFSET),
        })
    }

    /// What is known at the beginning of a tick; `None` before the first minute.
    pub(super) fn at(&self, tick: usize) -> Option<Outlook<'_>> {
        let over = tick.checked_sub(self.offset)? / self.minute;
        let index = over.checked_sub(1)?.min(self.skill.len() - 1);
        Some(Outlook {
            made: over * self.minute,
            foresight: self,
            index,
        })
    }

    /// By minute: of the greatest values within the shortest window of the day before, the share at or below their quantile; `NaN` while
    /// fewer than four hours are known.
    pub(super) fn coverage(&self, level: usize) -> Vec<f32> {
        let (window, width) = (self.windows[0], self.windows.len() * self.levels.len());
        let day = 1_440;
        let mut held: Vec<(u32, u32)> = vec![(0, 0)];
        let mut coverage = Vec::with_capacity(self.minutes.len());
        for index in 0..self.minutes.len() {
            // The window that has just ended began so many minutes ago.
            let judged = index.checked_sub(window).and_then(|origin| {
                let came = self.minutes[origin + 1..=index].iter();
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
            coverage.push(if known as usize >= LEAST_JUDGED {
                (now.0 - before.0) as f32 / known as f32
            } else {
                f32::NAN
            });
        }
        coverage
    }

    /// Share of minutes with a forecast.
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
    /// The quantile of the greatest minute within a window, both by their place; `None` where there is none.
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
struct Walk {
    forecasts: Forecasts,
    grid: Grid,
    /// Steps between derivations, and of the past they see.
    refit: usize,
    memory: usize,
}

impl Walk {
    fn new(grid: Grid, windows: &[usize]) -> Result<Self, String> {
        let span = |steps: &usize| Span::millis(*steps as i64 * grid.step());
        let settings = Settings {
            horizons: Some(windows.iter().map(span).collect()),
            windows: windows.iter().map(span).collect(),
            ..Settings::default()
        };
        let mut forecasts = Forecasts::build(&settings, grid, &ModelFiles::new())?;
        forecasts.grow(1);
        let refit = grid.steps(HISTORY / 21);
        Ok(Self {
            forecasts,
            grid,
            refit,
            memory: grid.steps(HISTORY) - 3 * refit,
        })
    }

    /// Takes in the newest of `values`, which is at `at`.
    fn step(&mut self, values: &[f32], at: Millis) {
        if is_due(values.len(), self.refit) {
            let past = &values[values.len().saturating_sub(self.memory)..];
            let seasons = season::detect(past, self.grid);
            self.forecasts.rebuild(
                0,
                &Past {
                    end: at,
                    grid: self.grid,
                    values: past,
                    seasons: &seasons,
                    zone: &Zone::default(),
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
