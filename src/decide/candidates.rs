//! What is asked for, and what nobody may go above.

use super::{
    Binding, Ceiling, Closed, Decision, Gate, Inputs, Proposal, Truth, Workload,
    budget::affordable,
    events::Course,
    limits::{MaxBreach, Wish},
    orders::Orders,
    outlook::{Outlook, size_for},
    prewarm,
    proposal::Target,
    rules::Verdict,
    schedule,
    workload::{Present, told},
};

/// What an event multiplies is at most so many times what was measured lately, or what one replica takes: in the minutes
/// until replicas work a demand that has its usual course rarely more than doubles, and where it does, the forecast asks
/// for it by itself.
const MOST_RISE: f64 = 2.0;

impl Workload {
    /// What is asked for: `base`, which restraints leave alone, and `target`, the surplus included.
    pub(super) fn candidates(
        &mut self,
        proposal: &mut Proposal,
        reactive: u32,
        present: &Present,
        outlook: Option<Outlook>,
        inputs: &Inputs,
        orders: &Orders<'_>,
    ) {
        let base = self.base(proposal, reactive, orders);
        let before = self.before(present, base.size);
        let open = outlook.filter(|_| proposal.draft.gate.is_open());
        let sensitivity = self.settings.limits.sensitivity;
        let eager = |size: u32| {
            let surplus = f64::from(size.saturating_sub(base.size));
            base.size + (surplus * sensitivity).ceil() as u32
        };
        let forecast = open.map(|one| eager(one.need));
        let prewarm = open.and_then(|_| self.prewarm(proposal, present, inputs, before));
        // What made things worse may have been an event's or a rule's doing too.
        let withdrawn = proposal.draft.gate == Gate::Shut(Closed::RolledBack);
        let paused = orders.pause.is_some() || withdrawn;
        let event = match paused {
            true => None,
            false => self.event(proposal, present, open, inputs),
        };
        let target = base
            .or(forecast, Binding::Forecast)
            .or(prewarm.map(eager), Binding::Prewarm)
            .or(event, Binding::Event);
        let truths: &[Truth] = if paused { &[] } else { &inputs.rules };
        let target = self.ruled(proposal, base, target, truths, before);
        proposal.target = Some(Target {
            base,
            target,
            before,
        });
    }

    /// What restraints never go below: what is asked for now, and what a person said is the least.
    fn base(&self, proposal: &mut Proposal, reactive: u32, orders: &Orders<'_>) -> Wish {
        let settings = &self.settings;
        let Decision { at, window, .. } = proposal.draft;
        let calendars = &settings.calendars;
        let schedule = schedule::floor(&settings.schedules, at, window, calendars);
        let ordered = orders.min.map(|(size, _)| size);
        proposal.notes.order = orders.min.map(|(_, order)| told(order));
        let parts = &mut proposal.draft.parts;
        parts.schedule = schedule;
        parts.min = Some(settings.limits.min.max(ordered.unwrap_or(0)));
        parts.r#override = ordered;
        let base = Wish {
            size: reactive,
            by: Binding::Reactive,
        };
        base.or(Some(settings.limits.min), Binding::Min)
            .or(schedule, Binding::Schedule)
            .or(ordered, Binding::Override)
    }

    /// The step towards a peak that is further away than the lead time.
    fn prewarm(
        &self,
        proposal: &mut Proposal,
        present: &Present,
        inputs: &Inputs,
        before: u32,
    ) -> Option<u32> {
        let (forecast, capacity) = (inputs.forecast.as_ref()?, present.capacity?);
        let window = proposal.draft.window;
        let rate = self.settings.limits.up;
        let (step, peak) = prewarm::step(present.at, forecast, window, rate, before, capacity)?;
        proposal.draft.parts.prewarm = Some(step);
        proposal.notes.peak = Some(peak);
        Some(step)
    }

    fn event(
        &mut self,
        proposal: &mut Proposal,
        present: &Present,
        open: Option<Outlook>,
        inputs: &Inputs,
    ) -> Option<u32> {
        let (demand, capacity) = (present.measured?, present.capacity?);
        let level = self.state.level.map_or(demand, f64::from);
        // A forecast that went wild is multiplied with the rest, so what it adds stays near what is there.
        let jump = self.settings.gate.max_jump.min(MOST_RISE);
        let most = jump * demand.max(level).max(capacity);
        let course = Course {
            at: present.at,
            demand,
            level,
            forecast: open.map(|one| one.demand.min(most)),
            lead: proposal.draft.window,
            normal: !self.state.low,
        };
        let events = &mut self.state.events;
        let found = events.demand(&self.settings.events, &self.name, course, &inputs.events);
        let (demand, event) = found?;
        let size = size_for(demand, capacity)?;
        proposal.draft.parts.event = Some(size);
        proposal.notes.event = Some(event.name.clone());
        Some(size)
    }

    /// What the rule in force makes of the wish.
    fn ruled(
        &mut self,
        proposal: &mut Proposal,
        base: Wish,
        target: Wish,
        truths: &[Truth],
        before: u32,
    ) -> Wish {
        let rules = &self.settings.rules;
        let standing = &mut self.state.rule;
        let (place, size) = match standing.judge(rules, truths, proposal.draft.at, before) {
            Verdict::None => return target,
            Verdict::Grow(place, goal) => (place, goal),
            Verdict::Shrink(place, share) => {
                let surplus = f64::from(target.size - base.size);
                (place, base.size + (surplus * share).ceil() as u32)
            }
        };
        let shrinks = rules.get(place).is_some_and(|rule| rule.scale < 1.0);
        proposal.draft.parts.rule = Some(size);
        proposal.notes.rule = Some(place);
        match shrinks {
            true if size < target.size => Wish {
                size,
                by: Binding::Rule,
            },
            true => target,
            false => target.or(Some(size), Binding::Rule),
        }
    }

    /// The size before: what was decided last, else what is there, else what is asked for.
    fn before(&mut self, present: &Present, otherwise: u32) -> u32 {
        let actual = present.actual.map(|one| one.wanted.unwrap_or(one.ready));
        if let (None, Some(actual)) = (self.state.size, actual) {
            // Nothing is known of what was: what is there was needed until now, perhaps for a peak just ahead.
            let span = self.settings.limits.stabilisation.down.as_millis();
            self.state.needs.note(present.at, span, actual);
            self.state.bridge = Some((actual, present.at));
        }
        self.state.size.or(actual).unwrap_or(otherwise)
    }

    /// The ceiling of an emergency. Looked at with every decision, also where the demand is not known: what confirms an
    /// emergency must not be what was seen before a gap.
    pub(super) fn emergency(&mut self, present: &Present, inputs: &Inputs) -> Option<u32> {
        let host = self.settings.emergency.as_ref()?;
        let actual = present.actual.map(|one| one.wanted.unwrap_or(one.ready));
        let asked = present
            .reactive
            .map(|size| size.max(self.settings.limits.min));
        let size = self.state.size.or(actual).or(asked);
        let state = &mut self.state.emergency;
        state.ceiling(host, present.at, inputs.host, size)
    }

    /// What nobody may go above.
    pub(super) fn ceilings(
        &self,
        proposal: &mut Proposal,
        outlook: Option<Outlook>,
        emergency: Option<u32>,
        orders: &Orders<'_>,
    ) {
        let settings = &self.settings;
        let at = proposal.draft.at;
        let limits = &settings.limits;
        let open = outlook.filter(|_| proposal.draft.gate.is_open());
        let mut max = limits.max.unwrap_or(super::MOST_REPLICAS);
        if let (MaxBreach::Increase(increase), Some(open)) = (limits.max_breach, open) {
            let buffered = (f64::from(open.need) * (1.0 + increase.buffer)).ceil() as u32;
            max = max.max(buffered.min(increase.ceiling));
        }
        let budget = limits.budget_per_hour.and_then(|budget| {
            let (cost, spot) = (settings.cost.as_ref(), settings.spot.as_ref());
            let size = affordable(cost, spot, budget, max)?;
            Some(size.max(limits.floor()))
        });
        let scheduled = schedule::ceiling(&settings.schedules, at, &settings.calendars);
        let mut add = |size: Option<u32>, by: Binding, name: String| {
            let ceiling = size.map(|size| Ceiling { size, by, name });
            proposal.ceilings.extend(ceiling);
        };
        add(Some(max), Binding::Max, String::new());
        add(scheduled, Binding::Max, " by a schedule".to_owned());
        let order = orders.max.map(|(_, order)| told(order));
        let ordered = orders.max.map(|(size, _)| size);
        add(ordered, Binding::Override, order.unwrap_or_default());
        add(budget, Binding::Budget, String::new());
        add(emergency, Binding::Emergency, String::new());
        let parts = &mut proposal.draft.parts;
        let others = [scheduled, ordered].into_iter().flatten();
        parts.max = Some(others.fold(max, u32::min));
        parts.budget = budget;
        parts.r#override = ordered.or(parts.r#override);
    }
}
