//! From a proposal to a decision.

use super::{
    Binding, Ceiling, Decision, Mode, Proposal, Workload,
    budget::cost_per_hour,
    limits::Restrained,
    reason,
    verify::{Health, Watch},
};
use crate::series::{Millis, Span};

/// So many turns are remembered.
const TURNS: usize = 16;
/// That of an HPA where nothing else is said.
const USUAL_STABILISATION: Span = Span::minutes(5);

impl Workload {
    /// Makes a proposal final. `shared`: what others leave of what is shared.
    pub fn settle(&mut self, mut proposal: Proposal, shared: &[Ceiling]) -> Decision {
        proposal.ceilings.extend_from_slice(shared);
        let left = shared.iter().map(|one| one.size).min();
        proposal.draft.parts.shared = left;
        let full = proposal.full.map(|found| capped(found, &proposal.ceilings));
        let guarded = proposal
            .guarded
            .map(|found| capped(found, &proposal.ceilings));
        let chosen = match self.settings.mode {
            Mode::Off => None,
            Mode::Guarded => guarded,
            Mode::Observe | Mode::Full => full,
        };
        let pinned = proposal.pin.as_ref().map(|(size, _)| Restrained {
            size: *size,
            by: Binding::Override,
            held: None,
        });
        let chosen = pinned
            .filter(|_| self.settings.mode != Mode::Off)
            .or(chosen);
        let decision = self.finish(&proposal, chosen, pinned.or(full));
        if let Some(found) = chosen {
            self.watch(&decision, &proposal, found.size);
            self.commit(decision.at, found.size);
        }
        decision
    }

    fn finish(
        &self,
        proposal: &Proposal,
        chosen: Option<Restrained>,
        full: Option<Restrained>,
    ) -> Decision {
        let mut decision = proposal.draft.clone();
        if let Some((size, _)) = &proposal.pin {
            decision.parts.r#override = Some(*size);
        }
        decision.would_be = full
            .filter(|_| decision.mode != Mode::Off)
            .map(|found| found.size);
        decision.replicas = match decision.mode {
            Mode::Off => None,
            // Whoever reads it is scaled by it: observing must scale nobody.
            Mode::Observe => decision.parts.reactive,
            Mode::Guarded | Mode::Full => chosen.map(|found| found.size),
        };
        if let Some(found) = chosen {
            decision.binding = found.by;
            decision.held = found.held;
        }
        let settings = &self.settings;
        let (cost, spot) = (settings.cost.as_ref(), settings.spot.as_ref());
        decision.on_demand = spot
            .zip(decision.replicas)
            .map(|(spot, size)| spot.on_demand(size));
        decision.cost_per_hour = decision
            .replicas
            .and_then(|size| cost_per_hour(cost, spot, size));
        decision.published_replicas = self.asked(&decision, proposal);
        // In the unit that an autoscaler's fixed target is in: with what was learned in its place, a size times it over
        // that target would undo what was learned.
        let each = self.settings.capacity_per_replica.declared();
        decision.published_demand = match decision.mode {
            Mode::Observe => each.and(decision.demand),
            _ => decision
                .published_replicas
                .zip(each)
                .map(|(asked, each)| asked * each),
        };
        decision.reason = reason::sentence(&self.settings, proposal, &decision);
        decision
    }

    /// The number of replicas that makes an autoscaler arrive at the recommendation: it leaves the size alone while what it
    /// divides is within its tolerance of it, so a size just above is asked for with more than that. Contracts, section 8,
    /// step 8. Where a workload is only observed, what its demand comes to.
    fn asked(&self, decision: &Decision, proposal: &Proposal) -> Option<f64> {
        let size = decision.replicas?;
        if decision.mode == Mode::Observe {
            let each = decision.capacity.filter(|each| *each > 0.0);
            let shared = decision
                .demand
                .zip(each)
                .map(|(demand, each)| demand / each);
            return Some(shared.unwrap_or(f64::from(size)));
        }
        let tolerance = self.settings.tolerance;
        let there = proposal.there.filter(|there| *there > 0);
        let within = |there: &u32| {
            size > *there && f64::from(size) <= f64::from(*there) * (1.0 + tolerance) + 1e-9
        };
        let asked = match there.filter(within) {
            // Between where the tolerance ends and the next whole size: rounded up it is that.
            Some(there) => {
                let edge = f64::from(there) * (1.0 + tolerance);
                (edge + (edge + 1e-9).floor() + 1.0) / 2.0
            }
            None => f64::from(size),
        };
        let most = proposal.ceilings.iter().map(|one| one.size).min();
        let most = most.map_or(asked, |most| f64::from(most.max(size)));
        Some(asked.min(most))
    }

    /// A change of our own making is watched: more for what is forecast, or a release earlier than an autoscaler by
    /// itself would have made it.
    fn watch(&mut self, decision: &Decision, proposal: &Proposal, size: u32) {
        let before = proposal.target.map_or(size, |target| target.before);
        if size == before {
            return;
        }
        // A climb of many steps is one change; what turned round has nothing left to be judged.
        let watch = self.state.watch.take();
        let watch = watch.filter(|watch| watch.goes_on(before, size));
        let surplus = matches!(
            decision.binding,
            Binding::Forecast | Binding::Prewarm | Binding::Event | Binding::Rule | Binding::RateUp
        );
        let early = self.settings.limits.stabilisation.down < USUAL_STABILISATION;
        let ours = match size > before {
            true => surplus,
            false => early && decision.mode == Mode::Full && !decision.binding.is_ceiling(),
        };
        let enabled = self.settings.verify.enabled && self.is_followed();
        let known = decision.ready.zip(decision.parts.reactive);
        let start = known.filter(|_| ours && enabled).map(|(ready, asked)| {
            let health = Health {
                at: decision.at,
                ready,
                wanted: None,
                asked,
                utilisation: proposal.utilisation,
            };
            Watch::new(health, before, size)
        });
        self.state.watch = watch.or(start);
    }

    fn commit(&mut self, at: Millis, size: u32) {
        let state = &mut self.state;
        if let Some(before) = state.size.filter(|before| *before != size) {
            let up = size > before;
            let changed = match up {
                true => &mut state.changed_up,
                false => &mut state.changed_down,
            };
            *changed = Some(at);
            if state.turns.back().is_none_or(|(_, last)| *last != up) {
                if state.turns.len() == TURNS {
                    state.turns.pop_front();
                }
                state.turns.push_back((at, up));
            }
        }
        state.size = Some(size);
        state.sizes.note(at, self.settings.limits.memory(), size);
    }

    /// Whether it went up and down too often of late.
    pub(super) fn oscillates(&self, at: Millis) -> bool {
        let settings = self.settings.limits.oscillation;
        let turns = &self.state.turns;
        let oldest = turns.len().checked_sub(settings.changes);
        let since = oldest.and_then(|place| turns.get(place));
        since.is_some_and(|(then, _)| at - then <= settings.within.as_millis())
    }
}

/// `found` under the lowest ceiling.
fn capped(found: Restrained, ceilings: &[Ceiling]) -> Restrained {
    let lowest = ceilings.iter().min_by_key(|one| one.size);
    match lowest.filter(|one| one.size < found.size) {
        Some(ceiling) => Restrained {
            size: ceiling.size,
            by: ceiling.by,
            held: Some(super::Held {
                by: ceiling.by,
                wanted: found.size,
            }),
        },
        None => found,
    }
}
