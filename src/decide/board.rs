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

    /// What is left to each workload where something that is shared does not suffice. As if all of them were followed,
    /// those that only observe included.
    fn ceilings(&mut self, at: Millis, proposals: &[Proposal]) -> Vec<Vec<Ceiling>> {
        let mut found: Vec<Vec<Ceiling>> = Vec::new();
        self.used.resize(self.shared.len(), Used::default());
        for (shared, used) in self.shared.iter().zip(&mut self.used) {
            let limit = used.limit(at, shared);
            let places = 0..proposals.len();
            let places = places.filter(|&place| use_of(&self.workloads[place], shared) > 0.0);
            let places: Vec<usize> = places.collect();
            let claims: Vec<Claim> = places
                .iter()
                .map(|&place| {
                    let left = found.get(place).into_iter().flatten();
                    let left = left.map(|one| one.size).min();
                    claim(&self.workloads[place], &proposals[place], shared, left)
                })
                .collect();
            let Some(given) = divide(limit, &claims) else {
                continue;
            };
            found.resize(proposals.len(), Vec::new());
            for ((place, size), claim) in places.into_iter().zip(given).zip(claims) {
                if size < claim.wanted {
                    found[place].push(Ceiling {
                        size,
                        by: Binding::Shared,
                        name: shared.name.clone(),
                    });
                }
            }
        }
        found
    }

    /// What is used of quotas until the next decision.
    fn count(&mut self, decisions: &[Decision]) {
        for (shared, used) in self.shared.iter().zip(&mut self.used) {
            let sizes = decisions.iter().zip(&self.workloads);
            let hourly = sizes.map(|(decision, workload)| {
                let size = decision.ready.max(decision.replicas).unwrap_or(0);
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

/// What a workload claims. What a person pinned is taken whatever is left, and what nobody decides on stays as it is: both go
/// first.
fn claim(
    workload: &Workload,
    proposal: &Proposal,
    shared: &SharedSettings,
    left: Option<u32>,
) -> Claim {
    let settings = &workload.settings;
    let decided = proposal.wanted().filter(|_| settings.mode != Mode::Off);
    let fixed = match (&proposal.pin, decided) {
        (Some((size, _)), _) => Some(*size),
        (None, None) => Some(proposal.there.unwrap_or(0)),
        (None, Some(_)) => None,
    };
    let wanted = decided.unwrap_or(0).min(left.unwrap_or(u32::MAX));
    Claim {
        priority: fixed.map_or(settings.priority, |_| i32::MAX),
        use_each: use_of(workload, shared),
        asked: fixed.unwrap_or(proposal.asked().unwrap_or(0).min(wanted)),
        wanted: fixed.unwrap_or(wanted),
    }
}
