//! One workload: what it remembers, and how a size comes to be.
//!
//! A decision is made in two halves, as what is shared lies between them: [`Workload::propose`] says what is wanted
//! and what restraints leave of it, [`Workload::settle`] applies what others leave and makes it final.

use super::{
    Binding, Closed, Decision, Gate, Inputs, Parts, Proposal, Reading, Replicas, Settings, State,
    orders::Orders,
    outlook::{Outlook, size_for},
};
use crate::series::{Millis, Span};
use std::sync::Arc;

/// A sample may be so much newer than now: clocks differ.
const AHEAD: Millis = 60_000;
/// A size that was asked for within so long may come again, however little is asked for now.
pub(super) const DAYS: Span = Span::days(8);
/// And so many times it.
const SEEN: f64 = 1.5;
/// Nothing is measured in more.
const MOST_BELIEVED: f64 = 1e15;

/// One workload.
#[derive(Debug, Clone)]
pub struct Workload {
    pub(super) settings: Arc<Settings>,
    pub(super) name: Arc<str>,
    pub(super) level: f64,
    pub(super) state: State,
}

/// What is known of a workload now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present {
    pub(super) at: Millis,
    /// Newest demand as measured.
    pub(super) measured: Option<f64>,
    /// The same, what waits in the queue included where that counts.
    pub(super) demand: Option<f64>,
    pub(super) capacity: Option<f64>,
    pub(super) reactive: Option<u32>,
    pub(super) actual: Option<Replicas>,
    pub(super) utilisation: Option<Reading>,
    /// Length of the queue.
    pub(super) queue: Option<f64>,
}

impl Workload {
    /// A workload that knows nothing of what was.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self::restore(settings, State::default())
    }

    /// A workload that goes on from `state`.
    pub fn restore(settings: Arc<Settings>, state: State) -> Self {
        Self {
            name: settings.name.as_str().into(),
            level: settings.level(),
            state: state.checked().adopted(settings.unit()),
            settings,
        }
    }

    /// What it must be given again after a restart.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// When it was decided on last.
    pub fn decided(&self) -> Option<Millis> {
        self.state.at
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is wanted at `at`, and what restraints leave of it. To be settled before the next is made.
    pub fn propose(&mut self, at: Millis, inputs: &Inputs) -> Proposal {
        self.state.rewind(at);
        self.state.expire(at, self.settings.memory());
        let orders = Orders::in_force(&self.name, at, &inputs.overrides);
        let present = self.present(at, inputs);
        let withdrew = self.state.withdrew;
        self.learn(&present, inputs);
        self.heed_verdict(&present, inputs);
        let lead = self.state.lead.lead(self.settings.lead_time);
        let window = self.settings.window(lead);
        let (gate, outlook) = self.outlook(&present, window, inputs, &orders);
        let mut proposal = self.draft(&present, gate, outlook, lead, window, inputs);
        proposal.draft.queue = self.queue(&present);
        proposal.draft.prewarmed = self.judge_rise(&present);
        // Not by the time alone: a reload may decide on the same time again.
        proposal.draft.withdrawn = self.state.withdrew != withdrew;
        proposal.notes.incomplete = inputs.incomplete;
        proposal.notes.lacks_queue = present.measured.is_some() && present.demand.is_none();
        proposal.there = present.actual.map(|one| one.wanted.unwrap_or(one.ready));
        proposal.utilisation = present.utilisation.map(|one| one.value);
        proposal.pin = orders.pin.map(|(size, order)| (size, told(order)));
        let emergency = self.emergency(&present, inputs);
        if let Some(reactive) = present.reactive {
            self.candidates(&mut proposal, reactive, &present, outlook, inputs, &orders);
            self.ceilings(&mut proposal, outlook, emergency, &orders);
            self.restrain(&mut proposal, &present, outlook);
        }
        let before = proposal.target.map(|target| target.before);
        self.note_drop(&present, inputs, before);
        self.note_asked(&present);
        self.state.at = Some(at);
        proposal
    }

    fn present(&self, at: Millis, inputs: &Inputs) -> Present {
        let settings = &self.settings;
        let measured = fresh(at, inputs.demand, settings.demand.max_age.as_millis());
        let queue = settings.queue.as_ref();
        let queue_age = queue.map_or(0, |queue| queue.max_age.as_millis());
        let queue = fresh(at, inputs.queue, queue_age).filter(|_| queue.is_some());
        let demand = measured
            .zip(self.backlog(queue))
            .map(|(one, other)| one + other);
        let capacity = self.capacity(at);
        let reactive = demand.zip(capacity);
        let reactive = reactive.and_then(|(demand, capacity)| size_for(demand, capacity));
        let age = settings.replicas.as_ref().map(|one| one.max_age);
        let age = age.map_or(i64::MAX, |age| age.as_millis());
        let used_age = settings.utilisation_age().as_millis();
        Present {
            at,
            measured,
            demand,
            capacity,
            reactive,
            actual: inputs.replicas.filter(|one| is_fresh(at, one.at, age)),
            utilisation: inputs
                .utilisation
                .filter(|one| fresh(at, Some(*one), used_age).is_some()),
            queue,
        }
    }

    /// What the queue adds to the demand, so that it is empty in time; `None` where it counts and is not known: taken
    /// for empty it would give up what its backlog needs.
    fn backlog(&self, length: Option<f64>) -> Option<f64> {
        let queue = self.settings.queue.as_ref();
        match queue.and_then(|queue| queue.drain_within) {
            Some(within) => length.map(|length| length / (within.as_millis() as f64 / 1e3)),
            None => Some(0.0),
        }
    }

    /// Whether the forecast counts, and what it asks for, which is told even where it does not.
    fn outlook(
        &self,
        present: &Present,
        window: Millis,
        inputs: &Inputs,
        orders: &Orders<'_>,
    ) -> (Gate, Option<Outlook>) {
        let at = present.at;
        let Some(forecast) = &inputs.forecast else {
            return (self.shut_first(at, orders, Closed::NoForecast), None);
        };
        let Some(capacity) = present.capacity else {
            return (self.shut_first(at, orders, Closed::Capacity), None);
        };
        let hold = self.settings.limits.hold.as_millis();
        let outlook = match Outlook::new(at, forecast, window, hold, capacity) {
            Ok(outlook) => outlook,
            Err(why) => return (self.shut_first(at, orders, why), None),
        };
        let gate = match self.settings.gate.judge(
            at,
            self.settings.forecast_age(Span::millis(forecast.step)),
            self.level,
            forecast,
        ) {
            Gate::Shut(why) => self.shut_first(at, orders, why),
            Gate::Open if self.is_implausible(at, outlook.need, present.reactive, capacity) => {
                self.shut_first(at, orders, Closed::Implausible)
            }
            Gate::Open => self.ordered_shut(at, orders).map_or(Gate::Open, Gate::Shut),
        };
        (gate, Some(outlook))
    }

    /// What a person or a rollback says goes before what the forecast is like.
    fn shut_first(&self, at: Millis, orders: &Orders<'_>, why: Closed) -> Gate {
        Gate::Shut(self.ordered_shut(at, orders).unwrap_or(why))
    }

    fn ordered_shut(&self, at: Millis, orders: &Orders<'_>) -> Option<Closed> {
        let withdrawn = self.state.withdrawn.is_some_and(|until| at < until);
        let paused = orders.pause.map(|_| Closed::Paused);
        paused.or(withdrawn.then_some(Closed::RolledBack))
    }

    /// So far above what is asked for now, and was of late, that it is not believed: a demand that seems to vanish, as
    /// when most of its targets are lost, says nothing against the forecast. A workload at its least size may grow from
    /// there, and what is not much above the most of the last week has been there before: nights of no load end.
    fn is_implausible(&self, at: Millis, need: u32, reactive: Option<u32>, capacity: f64) -> bool {
        let least = self.settings.limits.min.max(1);
        let level = self.state.level;
        let usual = level.and_then(|level| size_for(f64::from(level), capacity));
        let known = f64::from(reactive.max(usual).unwrap_or(0).max(least));
        let most = self.state.asked.greatest(at, DAYS.as_millis());
        let seen = f64::from(most.unwrap_or(0)) * SEEN;
        f64::from(need) > (self.settings.gate.max_jump * known).max(seen)
    }

    fn draft(
        &self,
        present: &Present,
        gate: Gate,
        outlook: Option<Outlook>,
        lead: Millis,
        window: Millis,
        inputs: &Inputs,
    ) -> Proposal {
        let parts = Parts {
            reactive: present.reactive,
            forecast: outlook.map(|one| one.need),
            ..Parts::default()
        };
        let generated = inputs.forecast.as_ref().map(|one| one.generated);
        Proposal::new(Decision {
            workload: self.name.clone(),
            at: present.at,
            mode: self.settings.mode,
            replicas: None,
            would_be: None,
            parts,
            gate,
            binding: Binding::Reactive,
            held: None,
            demand: present.demand,
            demand_forecast: outlook.map(|one| one.demand),
            level: self.level,
            window,
            lead,
            capacity: present.capacity,
            generated,
            ready: present.actual.map(|one| one.ready),
            published_replicas: None,
            published_demand: None,
            on_demand: None,
            cost_per_hour: None,
            queue: None,
            prewarmed: None,
            withdrawn: false,
            reason: String::new(),
        })
    }
}

/// A reading that is not too old, not negative and within what can be measured.
pub(super) fn fresh(at: Millis, reading: Option<Reading>, max_age: Millis) -> Option<f64> {
    let reading = reading.filter(|one| is_fresh(at, one.at, max_age))?;
    let is_believable = (0.0..=MOST_BELIEVED).contains(&reading.value);
    is_believable.then_some(reading.value)
}

fn is_fresh(at: Millis, then: Millis, max_age: Millis) -> bool {
    (-AHEAD..=max_age).contains(&at.saturating_sub(then))
}

/// An order as reasons name it.
pub(super) fn told(order: &super::Override) -> String {
    format!("by {}: {}", order.author, order.reason)
}
