//! All workloads, and what they share.

use super::{
    Binding, Ceiling, Decision, Inputs, Mode, Proposal, SharedSettings, Used, Workload,
    share::{Claim, divide},
};
use crate::series::Millis;

/// All workloads, and what they share.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// In the order of the configuration.
    pub workloads: Vec<Workload>,
    /// What they share.
    pub shared: Vec<SharedSettings>,
    /// What was used of each of those that are quotas; to be given again after a restart.
    pub used: Vec<Used>,
}

impl Board {
    /// Decides on all workloads at `at`. `inputs` are theirs, in their order; those that are missing are not known.
    pub fn decide(&mut self, at: Millis, inputs: &[Inputs]) -> Vec<Decision> {
        let unknown = Inputs::default();
        let inputs = inputs.iter().chain(std::iter::repeat(&unknown));
        let workloads = self.workloads.iter_mut().zip(inputs);
        let proposals: Vec<Proposal> = workloads
            .map(|(workload, inputs)| workload.propose(at, inputs))
            .collect();
        let ceilings = self.ceilings(at, &proposals);
        let workloads = self.workloads.iter_mut().zip(proposals).enumerate();
        let decisions: Vec<Decision> = workloads
            .map(|(place, (workload, proposal))| {
                let own = ceilings.get(place).map_or(&[][..], Vec::as_slice);
                workload.settle(proposal, own)
            })
            .collect();
        self.count(&decisions);
        decisions
    }

    /// What is left to each workload where something that is shared does not suffice. Those that only observe leave to
    /// the others what they would take, and are told what would be left to them if all were followed.
    fn ceilings(&mut self, at: Millis, proposals: &[Proposal]) -> Vec<Vec<Ceiling>> {
        self.used = Used::matched(std::mem::take(&mut self.used), &self.shared);
        let mut found = vec![Vec::new(); proposals.len()];
        for (shared, used) in self.shared.iter().zip(&mut self.used) {
            let limit = used.limit(at, shared);
            let places = 0..proposals.len();
            let places = places.filter(|&place| use_of(&self.workloads[place], shared) > 0.0);
            let places: Vec<usize> = places.collect();
            let claims = |all: bool| -> Vec<Claim> {
                let one = |&place: &usize| {
                    let left = found[place].iter().map(|one: &Ceiling| one.size).min();
                    let workload = &self.workloads[place];
                    let followed = all || workload.is_followed();
                    claim(workload, &proposals[place], shared, left, followed)
                };
                places.iter().map(one).collect()
            };
            let (really, all) = (claims(false), claims(true));
            let (given, would_be) = (divide(limit, &really), divide(limit, &all));
            for (index, &place) in places.iter().enumerate() {
                let (given, claim) = match self.workloads[place].is_followed() {
                    true => (&given, &really[index]),
                    false => (&would_be, &all[index]),
                };
                let size = given.as_ref().map(|given| given[index]);
                found[place].extend(
                    size.filter(|size| *size < claim.wanted)
                        .map(|size| Ceiling {
                            size,
                            by: Binding::Shared,
                            name: shared.name.clone(),
                        }),
                );
            }
        }
        found
    }

    /// What is used of quotas until the next decision.
    fn count(&mut self, decisions: &[Decision]) {
        for (shared, used) in self.shared.iter().zip(&mut self.used) {
            let sizes = decisions.iter().zip(&self.workloads);
            let hourly = sizes.map(|(decision, workload)| {
                let size = match workload.is_followed() {
                    true => decision.ready.max(decision.replicas),
                    false => decision.ready.or(decision.replicas),
                };
                let size = size.unwrap_or(0);
                f64::from(size) * use_of(workload, shared)
            });
            used.note(hourly.sum());
        }
    }
}

/// What one replica of a workload takes of something.
fn use_of(workload: &Workload, shared: &SharedSettings) -> f64 {
    let uses = &workload.settings.uses;
    uses.get(&shared.name).copied().unwrap_or(0.0)
}

/// What a workload claims, where it is `followed` or not. What a person pinned is taken whatever is left, and what nobody
/// decides on stays as it is: both go first. No claim is left with less than the workload's own least.
fn claim(
    workload: &Workload,
    proposal: &Proposal,
    shared: &SharedSettings,
    left: Option<u32>,
    followed: bool,
) -> Claim {
    let settings = &workload.settings;
    let decided = proposal.wanted();
    let decided = decided.filter(|_| followed && settings.mode != Mode::Off);
    let there = proposal.there.or(proposal.draft.parts.reactive);
    let fixed = match (&proposal.pin, decided) {
        (Some((size, _)), _) if followed => Some(*size),
        (_, None) => Some(there.unwrap_or(0)),
        (_, Some(_)) => None,
    };
    let use_each = use_of(workload, shared);
    if let Some(size) = fixed {
        return Claim {
            priority: i32::MAX,
            use_each,
            least: size,
            asked: size,
            wanted: size,
        };
    }
    let wanted = decided.unwrap_or(0).min(left.unwrap_or(u32::MAX));
    Claim {
        priority: settings.priority,
        use_each,
        least: settings.limits.floor().min(wanted),
        asked: proposal.asked().unwrap_or(0).min(wanted),
        wanted,
    }
}
