//! Ours: the forecasts that run live, and the decisions that run live.

use super::{Hpa, Metric, Past, Policy, Size, publish::Delayed};
use crate::{
    decide::{DemandForecast, Inputs, Maximum, Reading, Replicas, Settings, Workload},
    series::Millis,
    simulate::{Foresight, Parameters, foresight::Outlook},
};
use std::sync::Arc;

/// Our forecasts and decisions.
#[derive(Debug)]
pub(in crate::simulate) struct Ours<'a> {
    foresight: &'a Foresight,
    level: usize,
    workload: Workload,
    inputs: Inputs,
    /// Of each window: the share of its greatest values of a day at or below the quantile, by minute.
    coverage: Vec<f32>,
    /// First tick after the minute of the forecast in [`Ours::inputs`].
    made: usize,
    rate: usize,
    tick: Millis,
    /// The trigger beside ours, which knows nothing of forecasts.
    reactive: Hpa,
    published: Delayed,
}

impl<'a> Ours<'a> {
    /// With the quantile at the `level`-th of the levels of `foresight`.
    ///
    /// # Errors
    /// Settings that cannot be.
    pub(in crate::simulate) fn new(
        foresight: &'a Foresight,
        level: usize,
        parameters: &Parameters,
    ) -> Result<Self, String> {
        let settings = settings(foresight.levels[level], parameters)?;
        Ok(Self {
            foresight,
            level,
            workload: Workload::new(Arc::new(settings)),
            inputs: Inputs::default(),
            coverage: foresight.coverage(level),
            made: 0,
            rate: parameters.ticks(parameters.ours.rate_window),
            tick: parameters.tick.as_millis(),
            reactive: Hpa {
                target: parameters.ours.reactive_target,
                window: parameters.ticks(parameters.ours.rate_window),
            },
            published: Delayed::new(parameters),
        })
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
        let outlook = self.foresight.at(tick).filter(|one| one.made != self.made);
        if let Some(outlook) = outlook {
            self.made = outlook.made;
            self.inputs.forecast = self.forecast(outlook).map(Arc::new);
        }
    }

    fn forecast(&self, outlook: Outlook<'_>) -> Option<DemandForecast> {
        let minute = crate::series::Span::minutes(1).as_millis();
        let windows = self.foresight.windows.iter().enumerate();
        let maxima = windows.map(|(place, &minutes)| {
            Some(Maximum {
                ahead: minutes as Millis * minute,
                expected: outlook.quantile(place, 0)?,
                quantile: outlook.quantile(place, self.level)?,
            })
        });
        let coverage = self.coverage[outlook.index];
        Some(DemandForecast {
            generated: self.time(outlook.made),
            step: minute,
            level: f64::from(self.foresight.levels[self.level]),
            maxima: maxima.collect::<Option<_>>()?,
            coverage: coverage.is_finite().then_some(f64::from(coverage)),
            skill: outlook.skill(),
            ..DemandForecast::default()
        })
    }

    /// Time of the beginning of a tick. Where the trace begins is of no account.
    fn time(&self, tick: usize) -> Millis {
        tick as Millis * self.tick
    }
}

/// The windows whose greatest minute it asks for, in minutes, shortest first.
///
/// # Errors
/// Settings that cannot be.
pub(in crate::simulate) fn windows(parameters: &Parameters) -> Result<Vec<usize>, String> {
    let minute = crate::series::Span::minutes(1);
    let level = *parameters
        .frontier
        .level
        .first()
        .ok_or("frontier.level: is empty")?;
    let settings = settings(level as f32, parameters)?;
    // What is held for nothing beyond that needs no window of its own.
    let least = settings.window(parameters.ours.lead.as_millis());
    let windows = settings.windows(minute).into_iter();
    Ok(windows
        .filter(|window| window.as_millis() >= least)
        .map(|window| (window.as_millis() / minute.as_millis()) as usize)
        .collect())
}

/// The workload of the simulation.
fn settings(level: f32, parameters: &Parameters) -> Result<Settings, String> {
    let text = format!(
        "{{name: simulated, demand: {{signal: demand}}, capacity_per_replica: 1, replicas: {{query: replicas}}, lead_time: {}, \
         pipeline: {}, review: {}, level: {level}, mode: guarded, tolerance: {}}}",
        parameters.ours.lead,
        parameters.ours.pipeline,
        parameters.tick,
        parameters.following_tolerance
    );
    let mut settings: Settings = serde_yaml::from_str(&text).map_err(|error| error.to_string())?;
    settings.limits = parameters.ours.limits.clone();
    settings.limits.min = parameters.replicas.min;
    settings.limits.max = Some(parameters.replicas.max);
    settings.gate = parameters.ours.gate.clone();
    match settings.validate().first() {
        Some((field, problem)) => Err(format!("ours: {field}: {problem}")),
        None => Ok(settings),
    }
}

impl Policy for Ours<'_> {
    fn metrics(&mut self, tick: usize, past: Past<'_>, size: Size, out: &mut Vec<Metric>) {
        self.see(tick, past, size);
        let proposal = self.workload.propose(self.time(tick), &self.inputs);
        let decision = self.workload.settle(proposal, &[]);
        out.push(self.reactive.metric(past));
        out.push(self.published.step(tick, decision.published_demand));
    }
}
