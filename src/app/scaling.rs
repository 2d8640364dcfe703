//! The workloads in force: one task decides on all of them.

use super::{
    load::Loaded,
    options::AppOptions,
    wiring::{self, Sources},
};
use crate::{
    decide::{Settings, SharedSettings},
    engine::{
        Catalogue, Clock, Pool, ScalingUnit,
        run::{Carried, MakeScaling, ScalingTask},
        scaling::{Ledger, WorkloadPlan},
    },
    promql::Expression,
    quality::Bounds,
    series::{Millis, Span},
    source::Source,
    telemetry::Telemetry,
};
use std::sync::Arc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use xxhash_rust::xxh3::xxh3_64;

/// The workloads in force.
#[derive(Debug)]
pub(super) struct Scaler {
    tracker: TaskTracker,
    stop: CancellationToken,
    pool: Pool,
    clock: Clock,
    ledger: Arc<dyn Ledger>,
    /// What workloads remember goes on over reloads.
    carried: Carried,
    running: Option<(Terms, CancellationToken)>,
}

/// What a task follows from: where it is the same, the task stays.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Terms {
    settings: u64,
    /// Addresses of the sources: another source is another one.
    sources: Vec<usize>,
}

/// The workloads of a configuration, ready to run.
#[derive(Debug)]
pub(super) struct PreparedScaling {
    terms: Terms,
    plans: Vec<WorkloadPlan>,
    shared: Vec<SharedSettings>,
    sources: Vec<Arc<dyn Source>>,
    tick: Span,
    replica: Option<String>,
}

// === impl Scaler ===

impl Scaler {
    /// Decides nothing yet. `tracker` waits for its task, `stop` ends it.
    pub(super) fn new(
        tracker: TaskTracker,
        stop: CancellationToken,
        pool: Pool,
        clock: Clock,
        ledger: Arc<dyn Ledger>,
    ) -> Self {
        Self {
            tracker,
            stop,
            pool,
            clock,
            ledger,
            carried: Carried::default(),
            running: None,
        }
    }

    /// Whether anything is decided on.
    pub(super) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Works out what `loaded` wants decided. Starts nothing.
    ///
    /// # Errors
    /// What in the settings cannot be, with the name of the workload.
    pub(super) fn prepare(
        loaded: &Loaded,
        sources: &Sources,
        options: &AppOptions,
    ) -> Result<PreparedScaling, String> {
        let config = &loaded.config;
        let (mut plans, mut used): (Vec<WorkloadPlan>, Vec<Arc<dyn Source>>) = Default::default();
        for settings in &config.workloads {
            let named = |problem: String| format!("workload {:?}: {problem}", settings.name);
            let signal = config
                .signals
                .iter()
                .find(|signal| signal.name == settings.demand.signal)
                .ok_or_else(|| named(format!("there is no signal {:?}", settings.demand.signal)))?;
            let source = wiring::source_of(signal, config, sources, options)?;
            let asked = config.asked_of(signal);
            let asked = asked.and_then(|asked| sources.get(&asked.name));
            let asked = asked.map_or_else(|| Arc::clone(&source), |(_, asked)| Arc::clone(asked));
            let rules = settings.rules.iter().map(|rule| {
                let parsed = Expression::parse_condition(&rule.when);
                parsed.map_err(|refusal| named(refusal.in_text(&rule.when, "rule")))
            });
            plans.push(WorkloadPlan {
                rules: rules.collect::<Result<_, _>>()?,
                settings: Arc::new(whole(settings, loaded)),
                step: signal.step,
                interval: signal.forecast.interval,
                query: signal.query.clone(),
                max_series: signal.max_series,
                source: place_of(source, &mut used),
                asked: place_of(asked, &mut used),
                bounds: match settings.demand.query {
                    Some(_) => Bounds::default(),
                    None => signal.bounds(),
                },
            });
        }
        let review = |plan: &WorkloadPlan| plan.settings.review();
        let tick = plans.iter().map(review).min().unwrap_or(Millis::MAX);
        let text = format!("{plans:?} {:?} {:?}", config.shared, options.replica);
        let address = |source: &Arc<dyn Source>| Arc::as_ptr(source).cast::<()>() as usize;
        Ok(PreparedScaling {
            terms: Terms {
                settings: xxh3_64(text.as_bytes()),
                sources: used.iter().map(address).collect(),
            },
            plans,
            shared: config.shared.clone(),
            sources: used,
            tick: Span::millis(tick),
            replica: options.replica.clone(),
        })
    }

    /// Decides on what was prepared, and on nothing else any more.
    pub(super) fn commit(
        &mut self,
        prepared: PreparedScaling,
        catalogue: &Arc<Catalogue>,
        telemetry: &Telemetry,
    ) {
        let same = |(running, _): &(Terms, _)| *running == prepared.terms;
        if self.running.as_ref().is_some_and(same) {
            return;
        }
        if let Some((_, stop)) = self.running.take() {
            stop.cancel();
        }
        let names = prepared.plans.iter().map(|plan| &*plan.settings.name);
        telemetry.scaling.announce(names.clone(), prepared.tick);
        catalogue.announce(names.map(Arc::from).collect());
        if prepared.plans.is_empty() {
            catalogue.decided(None);
            return;
        }
        let stop = self.stop.child_token();
        let PreparedScaling {
            terms,
            plans,
            shared,
            sources,
            tick,
            replica,
        } = prepared;
        let make: MakeScaling =
            Arc::new(move || ScalingUnit::new(&plans, shared.clone(), replica.as_deref()));
        let task = Arc::new(ScalingTask {
            make,
            sources,
            tick,
            catalogue: Arc::clone(catalogue),
            ledger: Arc::clone(&self.ledger),
            carried: self.carried.clone(),
            clock: self.clock.clone(),
            pool: self.pool.clone(),
            events: Arc::clone(&telemetry.scaling),
        });
        self.running = Some((terms, stop.clone()));
        drop(self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task.run() => {}
            }
        }));
    }
}

/// The place of a source among those that are `used`, which it is from now on.
fn place_of(source: Arc<dyn Source>, used: &mut Vec<Arc<dyn Source>>) -> usize {
    let same = |known: &Arc<dyn Source>| Arc::ptr_eq(known, &source);
    let place = used.iter().position(same).unwrap_or(used.len());
    if place == used.len() {
        used.push(source);
    }
    place
}

/// The settings of a workload with what is elsewhere in the configuration.
fn whole(settings: &Settings, loaded: &Loaded) -> Settings {
    let calendars = loaded.calendars.iter();
    let calendars = calendars.map(|(name, named)| (name.clone(), Arc::clone(&named.calendar)));
    Settings {
        calendars: calendars.collect(),
        ..settings.clone()
    }
}
