//! What is simulated beside the numbers: the workload that is ours, the forecasts it goes by, and what a user's own configuration makes of both.

use super::{Parameters, Trace, autoscaler, run};
use crate::{
    decide::{CostSettings, LeadTime, Mode, Settings},
    forecast::{self, ModelFiles},
    series::{Grid, Span, Zone},
    stats,
};

/// A day of minutes is known three weeks back: the defaults of the engine.
const HISTORY: Span = Span::days(21);
/// A slot of the grid is evaluated so long after its end: the default `offset`.
const OFFSET: Span = Span::seconds(30);
/// Step of a signal.
const STEP: Span = Span::minutes(1);
/// Of lead times spread evenly by the jitter, the 90th percentile is so many jitters above the mean. What a workload calls its lead time is that
/// percentile.
const LATE: f64 = 0.8;

/// The workload that is ours.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its settings. The level is set for every point of the frontier.
    pub workload: Settings,
    /// Of the row that is ours.
    pub level: f64,
    /// What its forecasts are made with.
    pub forecasting: Forecasting,
    /// Whether it is a user's own.
    pub is_own: bool,
    /// The replicas that there were, where that is known.
    pub recorded: Option<Trace>,
    /// What is not as it would have been.
    pub notes: Vec<String>,
}

/// What forecasts are made with, as a signal has it.
#[derive(Debug, Clone)]
pub struct Forecasting {
    /// Which forecasters.
    pub settings: forecast::Settings,
    /// The models they read.
    pub files: ModelFiles,
    /// Step of the grid, whole minutes.
    pub step: Span,
    /// How much past there is.
    pub history: Span,
    /// A grid time is evaluated so long after it.
    pub offset: Span,
    /// Season lengths; found where `None`.
    pub seasons: Option<Vec<Span>>,
    /// Zone whose wall clock the seasons follow.
    pub zone: Zone,
}

impl Default for Forecasting {
    /// That of a signal about which nothing is said.
    fn default() -> Self {
        Self {
            settings: forecast::Settings::default(),
            files: ModelFiles::new(),
            step: STEP,
            history: HISTORY,
            offset: OFFSET,
            seasons: None,
            zone: Zone::default(),
        }
    }
}

impl Forecasting {
    /// Season lengths of `values`, in steps.
    pub(super) fn seasons(&self, values: &[f32], grid: Grid) -> Vec<usize> {
        let Some(given) = &self.seasons else {
            return stats::season::detect(values, grid);
        };
        let steps = given.iter().map(|span| grid.steps(span.as_millis()));
        steps.filter(|season| values.len() >= 2 * season).collect()
    }
}

impl Subject {
    /// The workload of the parameters' section `ours`.
    ///
    /// # Errors
    /// Settings that cannot be.
    pub fn usual(parameters: &Parameters) -> Result<Self, String> {
        let text = format!(
            "{{name: simulated, demand: {{signal: demand}}, capacity_per_replica: 1, replicas: {{query: replicas}}, lead_time: {}, \
             pipeline: {}, review: {}, mode: guarded, tolerance: {}}}",
            parameters.ours.lead,
            parameters.ours.pipeline,
            parameters.tick,
            parameters.following_tolerance
        );
        let mut workload: Settings =
            serde_yaml::from_str(&text).map_err(|error| error.to_string())?;
        workload.limits = parameters.ours.limits.clone();
        workload.limits.min = parameters.replicas.min;
        workload.limits.max = Some(parameters.replicas.max);
        workload.gate = parameters.ours.gate.clone();
        if let Some((field, problem)) = workload.validate().first() {
            return Err(format!("ours: {field}: {problem}"));
        }
        Ok(Self {
            workload,
            level: parameters.cost.level(),
            forecasting: Forecasting::default(),
            is_own: false,
            recorded: None,
            notes: Vec::new(),
        })
    }

    /// A user's own workload, with the parameters that its settings make of `parameters`: what a replica serves, how long it takes, how many
    /// there may be, what they cost. What the simulation has no past of is left out and told in [`Subject::notes`].
    pub fn own(
        settings: &Settings,
        forecasting: Forecasting,
        recorded: Option<Trace>,
        parameters: &Parameters,
    ) -> (Self, Parameters) {
        let mut notes = Vec::new();
        let adapted = adapted(settings, parameters, &mut notes);
        let level = settings.level();
        let mut workload = settings.clone();
        left_out(&mut workload, &mut notes);
        // Demand is in replicas by now.
        workload.capacity_per_replica = crate::decide::Capacity::Declared(1.0);
        if !matches!(workload.mode, Mode::Guarded | Mode::Full) {
            notes.push(format!(
                "mode {}: simulated as guarded, as it scales nobody; what it does now is the row reactive",
                workload.mode.as_str()
            ));
            workload.mode = Mode::Guarded;
        }
        let subject = Self {
            workload,
            level,
            forecasting,
            is_own: true,
            recorded,
            notes,
        };
        (subject, adapted)
    }

    /// Its settings at a level of its quantile.
    pub(super) fn at_level(&self, level: f64) -> Settings {
        let mut settings = self.workload.clone();
        settings.level = Some(level);
        settings
    }

    /// The autoscaler that follows it: in `full` our release rule stands in for stabilisation, in `guarded` it is the autoscaler's affair.
    pub(super) fn follower(&self, parameters: &Parameters) -> autoscaler::Settings {
        let mut settings = match self.workload.mode {
            Mode::Full => run::following(parameters),
            _ => run::guarded(parameters),
        };
        settings.tolerance = self.workload.tolerance;
        settings
    }

    /// The windows whose greatest demand it asks for, in steps of its forecasts, shortest first.
    pub(super) fn windows(&self) -> Vec<usize> {
        let step = self.forecasting.step;
        let (least, _) = self.workload.lead_time.range();
        // What is held for nothing beyond that needs no window of its own.
        let least = self.workload.window(least.as_millis());
        let windows = self.workload.windows(step).into_iter();
        let long = windows.filter(|window| window.as_millis() >= least);
        long.map(|window| (window.as_millis() / step.as_millis()) as usize)
            .collect()
    }
}

/// `parameters` with what a workload says of itself.
fn adapted(settings: &Settings, parameters: &Parameters, notes: &mut Vec<String>) -> Parameters {
    let mut adapted = parameters.clone();
    adapted.capacity.declared = settings.capacity_per_replica.declared();
    if adapted.capacity.declared.is_none() {
        notes.push(format!(
            "capacity_per_replica is learned and has no `otherwise`: a replica is taken to serve what makes the busiest time of the first half need {}",
            parameters.capacity.replicas
        ));
    }
    if settings.limits.min == 0 {
        let note = "limits.min is 0: sleeping and waking are not replayed, so 1 is the least";
        notes.push(note.to_owned());
    }
    adapted.replicas.min = settings.limits.min.max(1);
    adapted.replicas.max = settings.limits.max.unwrap_or(parameters.replicas.max);
    let lead = match settings.lead_time {
        LeadTime::Given(span) => span,
        LeadTime::Measured(bounds) => {
            notes.push(format!(
                "lead_time is measured: replicas are taken to need what measured.initial says, {}",
                bounds.initial
            ));
            bounds.initial
        }
    };
    let mean = lead.as_millis() as f64 / (1.0 + LATE * parameters.jitter);
    adapted.lead = Span::millis(mean.round() as i64);
    adapted.cost = cost(settings, parameters.cost);
    adapted.following_tolerance = settings.tolerance;
    let level = settings.level();
    let levels = &mut adapted.frontier.level;
    levels.retain(|one| (one - level).abs() > 1e-9);
    levels.push(level);
    levels.sort_by(f64::total_cmp);
    adapted
}

/// Prices whose critical ratio is the workload's level.
fn cost(settings: &Settings, usual: super::parameters::Cost) -> super::parameters::Cost {
    let given = settings.cost.as_ref();
    let price = |of: fn(&CostSettings) -> Option<f64>| given.and_then(of);
    let level = settings.level();
    let replica_hour = price(|cost| cost.replica_hour).unwrap_or(usual.replica_hour);
    super::parameters::Cost {
        replica_hour,
        shortfall_hour: price(|cost| cost.shortfall_hour)
            .unwrap_or(replica_hour * level / (1.0 - level)),
    }
}

/// Takes away what the simulation has no past of.
fn left_out(workload: &mut Settings, notes: &mut Vec<String>) {
    let mut gone = Vec::new();
    if workload.queue.take().is_some() {
        gone.push("queue");
    }
    if workload.demand.complete.take().is_some() {
        gone.push("demand.complete");
    }
    if workload.emergency.take().is_some() {
        gone.push("emergency");
    }
    if !std::mem::take(&mut workload.rules).is_empty() {
        gone.push("rules");
    }
    if !std::mem::take(&mut workload.uses).is_empty() {
        gone.push("uses");
    }
    if !gone.is_empty() {
        notes.push(format!(
            "left out, as there is no past of it to replay: {}",
            gone.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(rest: &str) -> Settings {
        let text = format!(
            "{{name: checkout, demand: {{signal: requests}}, capacity_per_replica: 120{rest}}}"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    fn own(rest: &str) -> (Subject, Parameters) {
        let parameters = Parameters::built_in().unwrap();
        Subject::own(&workload(rest), Forecasting::default(), None, &parameters)
    }

    #[test]
    fn a_workload_says_what_a_replica_serves_how_long_it_takes_and_what_it_costs() {
        let (subject, parameters) = own(
            ", lead_time: 290s, mode: full, level: 0.9, tolerance: 0.05, limits: {min: 3, max: 40}, cost: {replica_hour: 2.0}",
        );
        assert_eq!(parameters.capacity.declared, Some(120.0));
        assert_eq!((parameters.replicas.min, parameters.replicas.max), (3, 40));
        // Nine tenths are ready within 1 + 0.8 * 0.2 of the mean.
        assert_eq!(parameters.lead, Span::seconds(250));
        assert!((parameters.cost.level() - 0.9).abs() < 1e-12);
        assert_eq!(parameters.cost.replica_hour, 2.0);
        let levels = &parameters.frontier.level;
        assert_eq!(levels.iter().filter(|&&level| level == 0.9).count(), 1);
        assert!(levels.is_sorted() && subject.level == 0.9 && subject.is_own);
        assert_eq!(subject.follower(&parameters).tolerance, 0.05);
        assert_eq!(subject.follower(&parameters).down.stabilisation, 0);
        assert!(subject.notes.is_empty(), "{:?}", subject.notes);
    }

    #[test]
    fn what_cannot_be_replayed_is_left_out_and_told() {
        let (subject, parameters) = own(
            ", lead_time: measured, queue: {query: depth}, rules: [{when: 'a > 1', scale: 2}], cost: {replica_hour: 1, shortfall_hour: 4}, limits: {min: 0}",
        );
        assert!(subject.workload.queue.is_none() && subject.workload.rules.is_empty());
        assert_eq!((subject.level, parameters.cost.level()), (0.8, 0.8));
        let told = subject.notes.join("\n");
        for part in [
            "queue, rules",
            "measured.initial",
            "mode observe",
            "limits.min is 0",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(
            (subject.workload.limits.min, parameters.replicas.min),
            (0, 1)
        );
        assert_eq!(subject.workload.mode, Mode::Guarded);
        assert_eq!(subject.follower(&parameters).down.stabilisation, 600);
    }
}
