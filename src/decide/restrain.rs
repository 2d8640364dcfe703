//! What release rule, rates and the like leave of what is asked for.

use super::{
    Binding, Closed, Gate, Proposal, Workload,
    budget::affordable,
    decision::Held,
    limits::{Restrained, Situation, Wish},
    outlook::Outlook,
    proposal::Target,
    workload::Present,
};
use crate::series::Millis;
use std::sync::Arc;

impl Workload {
    /// What release rule, rates and the like leave of what is wanted.
    pub(super) fn restrain(
        &mut self,
        proposal: &mut Proposal,
        present: &Present,
        outlook: Option<Outlook>,
    ) {
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
        let parts = &proposal.draft.parts;
        let named = parts.rule.max(parts.event).unwrap_or(0);
        let asked = base.size.max(named.min(target.size));
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

    /// What will be needed within the hold, as far as that is known. Of a forecast that is missing, too old or not
    /// believed, or of a demand that left its usual course, it is what the last one said, for as long as the hold.
    fn needed_ahead(&mut self, at: Millis, gate: Gate, outlook: Option<Outlook>) -> Option<u32> {
        match gate {
            Gate::Open => {
                let hold = outlook.map(|one| one.hold);
                self.state.bridge = hold.map(|hold| (hold, at));
                hold
            }
            Gate::Shut(
                Closed::NoForecast
                | Closed::Stale
                | Closed::Capacity
                | Closed::Anomaly
                | Closed::Implausible,
            ) => {
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
        };
        let storm = self.state.storm.filter(|(_, until)| at < *until);
        let storm = storm.map(|(size, _)| size);
        let goal = target
            .or(keep, Binding::Hold)
            .or(storm, Binding::RetryStorm);
        let mut found = situation.restrain(limits, base, goal);
        let kept = matches!(found.by, Binding::Hold | Binding::RetryStorm);
        if found.held.is_none() && kept && target.size != found.size {
            found.held = Some(Held {
                by: found.by,
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
}
