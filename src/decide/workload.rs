//! One workload: what it remembers, and how a size comes to be.
//!
//! A decision is made in two halves, as what is shared lies between them: [`Workload::propose`] says what is wanted
//! and what restraints leave of it, [`Workload::settle`] applies what others leave and makes it final.

use super::{
    Binding, Ceiling, Closed, Decision, Gate, Inputs, Mode, Parts, Proposal, Reading, Replicas,
    Settings, State, Truth,
    budget::affordable,
    decision::Held,
    limits::{MaxBreach, Restrained, Situation, Wish},
    orders::Orders,
    outlook::{Outlook, size_for},
    proposal::Target,
    rules::Verdict,
};
use crate::series::Millis;
use std::sync::Arc;

/// A sample may be so much newer than now: clocks differ.
const AHEAD: Millis = 60_000;
/// The demand of about so long is its level.
const LEVEL_MEMORY: f64 = 600_000.0;
/// A demand below this share of its level dropped abnormally.
const ABNORMAL_DROP: f64 = 0.1;
/// A level of fewer replicas than this may fall to nothing without anything being wrong.
const DROP_MIN: f64 = 2.0;

/// One workload.
#[derive(Debug, Clone)]
pub struct Workload {
    pub(super) settings: Arc<Settings>,
    pub(super) name: Arc<str>,
    pub(super) level: f64,
    pub(super) state: State,
}

/// What is asked of a workload now.
#[derive(Debug, Clone, Copy)]
struct Present {
    at: Millis,
    /// Newest demand, what waits in the queue included where that counts.
    demand: Option<f64>,
    capacity: Option<f64>,
    reactive: Option<u32>,
    actual: Option<Replicas>,
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
            state: state.checked(),
            settings,
        }
    }

    /// What it must be given again after a restart.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is wanted at `at`, and what restraints leave of it. To be settled before the next is made.
    pub fn propose(&mut self, at: Millis, inputs: &Inputs) -> Proposal {
        self.state.rewind(at);
        let orders = Orders::in_force(&self.name, at, &inputs.overrides);
        let present = self.present(at, inputs);
        self.learn(&present, inputs);
        let lead = self.state.lead.lead(self.settings.lead_time);
        let window = self.settings.window(lead);
        let (gate, outlook) = self.outlook(&present, window, inputs, &orders);
        let mut proposal = self.draft(&present, gate, outlook, lead, window, inputs);
        proposal.there = present.actual.map(|one| one.wanted.unwrap_or(one.ready));
        proposal.pin = orders.pin.map(|(size, order)| (size, told(order)));
        if let Some(reactive) = present.reactive {
            self.candidates(&mut proposal, reactive, &present, outlook, inputs, &orders);
            self.ceilings(&mut proposal, &present, outlook, inputs, &orders);
            self.restrain(&mut proposal, &present, outlook);
        }
        self.state.at = Some(at);
        self.note_drop(&present, inputs);
        proposal
    }

    fn present(&self, at: Millis, inputs: &Inputs) -> Present {
        let settings = &self.settings;
        let demand = fresh(at, inputs.demand, settings.demand.max_age.as_millis());
        let demand = demand.map(|demand| demand + self.backlog(at, inputs));
        let capacity = settings.capacity_per_replica.declared();
        let reactive = demand.zip(capacity);
        let reactive = reactive.and_then(|(demand, capacity)| size_for(demand, capacity));
        let age = settings.replicas.as_ref().map(|one| one.max_age);
        let age = age.map_or(i64::MAX, |age| age.as_millis());
        Present {
            at,
            demand,
            capacity,
            reactive,
            actual: inputs.replicas.filter(|one| is_fresh(at, one.at, age)),
        }
    }

    /// What the queue adds to the demand, so that it is empty in time.
    fn backlog(&self, at: Millis, inputs: &Inputs) -> f64 {
        let Some(queue) = &self.settings.queue else {
            return 0.0;
        };
        let within = queue.drain_within.map(|span| span.as_millis() as f64 / 1e3);
        let length = fresh(at, inputs.queue, queue.max_age.as_millis());
        let rate = length.zip(within).map(|(length, within)| length / within);
        rate.unwrap_or(0.0)
    }

    fn learn(&mut self, present: &Present, _inputs: &Inputs) {
        let settings = &self.settings;
        if let Some(actual) = present.actual {
            let follows = matches!(settings.mode, Mode::Guarded | Mode::Full);
            let decided = self.state.size.filter(|_| follows);
            let pipeline = settings.pipeline.as_millis();
            let lead = &mut self.state.lead;
            lead.note(settings.lead_time, actual, decided, pipeline);
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
        let gate = match self.settings.gate.judge(at, self.level, forecast) {
            Gate::Shut(why) => self.shut_first(at, orders, why),
            Gate::Open if self.is_implausible(outlook.need, present.reactive) => {
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

    /// So far above what is asked for now that it is not believed. A workload at its least size may grow from there.
    fn is_implausible(&self, need: u32, reactive: Option<u32>) -> bool {
        let least = self.settings.limits.min.max(1);
        let known = f64::from(reactive.unwrap_or(0).max(least));
        f64::from(need) > self.settings.gate.max_jump * known
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
            published_demand: None,
            reason: String::new(),
        })
    }

    /// What is asked for: `base`, which restraints leave alone, and `target`, the surplus included.
    fn candidates(
        &mut self,
        proposal: &mut Proposal,
        reactive: u32,
        present: &Present,
        outlook: Option<Outlook>,
        inputs: &Inputs,
        orders: &Orders<'_>,
    ) {
        let settings = Arc::clone(&self.settings);
        let limits = &settings.limits;
        let base = Wish {
            size: reactive,
            by: Binding::Reactive,
        };
        let ordered = orders.min.map(|(size, _)| size);
        proposal.notes.order = orders.min.map(|(_, order)| told(order));
        let base = base
            .or(Some(limits.min), Binding::Min)
            .or(proposal.draft.parts.schedule, Binding::Schedule)
            .or(ordered, Binding::Override);
        let before = self.before(present, base.size);
        let truths: &[Truth] = match orders.pause {
            Some(_) => &[],
            None => &inputs.rules,
        };
        let standing = &mut self.state.rule;
        let verdict = standing.judge(&settings.rules, truths, present.at, before);
        let open = outlook.filter(|_| proposal.draft.gate.is_open());
        let eager = |size: u32| {
            let surplus = f64::from(size.saturating_sub(base.size));
            base.size + (surplus * limits.sensitivity).ceil() as u32
        };
        let forecast = open.map(|one| eager(one.need));
        let mut target = base.or(forecast, Binding::Forecast);
        let parts = &mut proposal.draft.parts;
        match verdict {
            Verdict::None => {}
            Verdict::Grow(place, goal) => {
                parts.rule = Some(goal);
                proposal.notes.rule = Some(place);
                target = target.or(Some(goal), Binding::Rule);
            }
            Verdict::Shrink(place, share) => {
                let surplus = f64::from(target.size - base.size);
                let size = base.size + (surplus * share).ceil() as u32;
                parts.rule = Some(size);
                proposal.notes.rule = Some(place);
                if size < target.size {
                    let by = Binding::Rule;
                    target = Wish { size, by };
                }
            }
        }
        parts.min = Some(limits.min.max(ordered.unwrap_or(0)));
        parts.r#override = ordered;
        proposal.target = Some(Target {
            base,
            target,
            before,
        });
    }

    /// The size before: what was decided last, else what is there, else what is asked for.
    fn before(&mut self, present: &Present, otherwise: u32) -> u32 {
        let actual = present.actual.map(|one| one.wanted.unwrap_or(one.ready));
        if let (None, Some(actual)) = (self.state.size, actual) {
            // Nothing is known of what was: what is there was needed until now.
            let span = self.settings.limits.stabilisation.down.as_millis();
            self.state.needs.note(present.at, span, actual);
        }
        self.state.size.or(actual).unwrap_or(otherwise)
    }

    fn ceilings(
        &mut self,
        proposal: &mut Proposal,
        present: &Present,
        outlook: Option<Outlook>,
        inputs: &Inputs,
        orders: &Orders<'_>,
    ) {
        let settings = &self.settings;
        let limits = &settings.limits;
        let open = outlook.filter(|_| proposal.draft.gate.is_open());
        let mut max = limits.max.unwrap_or(super::MOST_REPLICAS);
        if let (MaxBreach::Increase(increase), Some(open)) = (limits.max_breach, open) {
            let buffered = (f64::from(open.need) * (1.0 + increase.buffer)).ceil() as u32;
            max = max.max(buffered.min(increase.ceiling));
        }
        let before = proposal.target.map_or(0, |one| one.before);
        let host = settings.emergency.as_ref();
        let emergency = host.and_then(|host| {
            let state = &mut self.state.emergency;
            state.ceiling(host, present.at, inputs.host, before)
        });
        let budget = limits.budget_per_hour.and_then(|budget| {
            let (cost, spot) = (settings.cost.as_ref(), settings.spot.as_ref());
            affordable(cost, spot, budget, max)
        });
        let mut add = |size: Option<u32>, by: Binding, name: String| {
            let ceiling = size.map(|size| Ceiling { size, by, name });
            proposal.ceilings.extend(ceiling);
        };
        add(Some(max), Binding::Max, String::new());
        let order = orders.max.map(|(_, order)| told(order));
        let ordered = orders.max.map(|(size, _)| size);
        add(ordered, Binding::Override, order.unwrap_or_default());
        add(budget, Binding::Budget, String::new());
        add(emergency, Binding::Emergency, String::new());
        let parts = &mut proposal.draft.parts;
        parts.max = Some(max.min(ordered.unwrap_or(max)));
        parts.budget = budget;
        parts.r#override = ordered.or(parts.r#override);
    }

    /// What release rule, rates and the like leave of what is wanted.
    fn restrain(&mut self, proposal: &mut Proposal, present: &Present, outlook: Option<Outlook>) {
        let Some(Target {
            base,
            target,
            before,
        }) = proposal.target
        else {
            return;
        };
        let at = present.at;
        let settings = Arc::clone(&self.settings);
        let limits = &settings.limits;
        let target = self.stabilised(at, base, target);
        let asked = base.size.max(proposal.draft.parts.rule.unwrap_or(0));
        let past = limits.stabilisation.down.as_millis();
        self.state.needs.note(at, past, asked);
        let ahead = self.needed_ahead(at, proposal.draft.gate, outlook);
        let recent = self.state.needs.greatest(at, past);
        let keep = |past: Option<u32>| past.max(ahead).map(|size| size.min(before));
        proposal.draft.parts.hold = keep(recent);
        let full = self.held_back(at, base, target, before, keep(recent));
        let guarded = self.held_back(at, base, target, before, keep(None));
        proposal.full = Some(self.throttled(base, full));
        proposal.guarded = Some(self.throttled(base, guarded));
    }

    /// The least wish of the time that a wish must last.
    fn stabilised(&mut self, at: Millis, base: Wish, target: Wish) -> Wish {
        let span = self.settings.limits.stabilisation.up.as_millis();
        self.state.wishes.note(at, span, target.size);
        let least = self.state.wishes.least(at, span);
        match least.filter(|least| *least < target.size) {
            Some(least) if least > base.size => Wish {
                size: least,
                by: Binding::Hold,
            },
            Some(_) => base,
            None => target,
        }
    }

    /// What will be needed within the hold, as far as that is known: of a forecast that is missing or too old it is
    /// what the last one said, for as long as the hold.
    fn needed_ahead(&mut self, at: Millis, gate: Gate, outlook: Option<Outlook>) -> Option<u32> {
        match gate {
            Gate::Open => {
                let hold = outlook.map(|one| one.hold);
                self.state.bridge = hold.map(|hold| (hold, at));
                hold
            }
            Gate::Shut(Closed::NoForecast | Closed::Stale | Closed::Capacity) => {
                let hold = self.settings.limits.hold.as_millis();
                let bridge = self.state.bridge.filter(|(_, then)| at - then <= hold);
                bridge.map(|(size, _)| size)
            }
            Gate::Shut(_) => {
                self.state.bridge = None;
                None
            }
        }
    }

    fn held_back(
        &self,
        at: Millis,
        base: Wish,
        target: Wish,
        before: u32,
        keep: Option<u32>,
    ) -> Restrained {
        let limits = &self.settings.limits;
        let situation = Situation {
            at,
            before,
            sizes: &self.state.sizes,
            changed_up: self.state.changed_up,
            changed_down: self.state.changed_down,
            oscillates: self.oscillates(at),
            storm: self.state.storm.is_some_and(|until| at < until),
        };
        let goal = target.or(keep, Binding::Hold);
        let mut found = situation.restrain(limits, base, goal);
        if found.held.is_none() && found.by == Binding::Hold && target.size != found.size {
            found.held = Some(Held {
                by: Binding::Hold,
                wanted: target.size,
            });
        }
        found
    }

    /// The surplus leaves a part of the budget to what is asked for.
    fn throttled(&self, base: Wish, found: Restrained) -> Restrained {
        let settings = &self.settings;
        let limits = &settings.limits;
        let budget = limits
            .budget_per_hour
            .map(|one| one * limits.budget_throttle);
        let (cost, spot) = (settings.cost.as_ref(), settings.spot.as_ref());
        let allowed = budget.and_then(|budget| affordable(cost, spot, budget, found.size));
        let size = allowed.map_or(found.size, |allowed| allowed.max(base.size));
        if size >= found.size {
            return found;
        }
        Restrained {
            size,
            by: match size == base.size {
                true => base.by,
                false => Binding::Budget,
            },
            held: Some(Held {
                by: Binding::Budget,
                wanted: found.size,
            }),
        }
    }

    /// After an abnormal drop those who left may come back all at once. Noted after the decision: what is held now
    /// does not hang on what is asked for now.
    fn note_drop(&mut self, present: &Present, inputs: &Inputs) {
        let verdict = inputs.forecast.as_ref().map(|one| one.anomaly);
        let level = self.state.level;
        let fell = |demand: f64, level: f64, capacity: f64| {
            demand < ABNORMAL_DROP * level && level >= DROP_MIN * capacity
        };
        let fell = match (present.demand, level, present.capacity) {
            (Some(demand), Some(level), Some(capacity)) => fell(demand, level, capacity),
            _ => false,
        };
        let low = fell || verdict == Some(-1);
        if low && !self.state.low {
            let span = self.settings.limits.retry_storm.as_millis();
            self.state.storm = Some(present.at + span);
        }
        self.state.low = low;
        let storm = self.state.storm.is_some_and(|until| present.at < until);
        if let Some(demand) = present.demand.filter(|_| !(low && storm)) {
            // Per decision, not per time: a state must not depend on what came before it but in its fields.
            let share = 1.0 - (-(self.settings.review() as f64) / LEVEL_MEMORY).exp();
            self.state.level = Some(level.map_or(demand, |level| level + share * (demand - level)));
        }
    }
}

/// A reading that is not too old, finite and not negative.
fn fresh(at: Millis, reading: Option<Reading>, max_age: Millis) -> Option<f64> {
    let reading = reading.filter(|one| is_fresh(at, one.at, max_age))?;
    let is_believable = reading.value.is_finite() && reading.value >= 0.0;
    is_believable.then_some(reading.value)
}

fn is_fresh(at: Millis, then: Millis, max_age: Millis) -> bool {
    (-AHEAD..=max_age).contains(&at.saturating_sub(then))
}

/// An order as reasons name it.
fn told(order: &super::Override) -> String {
    format!("by {}: {}", order.author, order.reason)
}
