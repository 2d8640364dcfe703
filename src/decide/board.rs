//! All workloads, and what they share.

use super::{
    Binding, Ceiling, Decision, Inputs, Proposal, SharedSettings, Workload,
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
        let ceilings = self.ceilings(&proposals);
        let workloads = self.workloads.iter_mut().zip(proposals);
        workloads
            .enumerate()
            .map(|(place, (workload, proposal))| {
                let own = ceilings.get(place).map_or(&[][..], Vec::as_slice);
                workload.settle(proposal, own)
            })
            .collect()
    }

    /// What is left to each workload where something that is shared does not suffice. As if all of them were followed,
    /// those that only observe included.
    fn ceilings(&self, proposals: &[Proposal]) -> Vec<Vec<Ceiling>> {
        let mut found: Vec<Vec<Ceiling>> = Vec::new();
        for shared in &self.shared {
            let places: Vec<usize> = (0..proposals.len())
                .filter(|&place| self.use_of(place, shared) > 0.0)
                .collect();
            let claim = |&place: &usize| {
                let left = found.get(place).into_iter().flatten();
                let left = left.map(|one| one.size).min().unwrap_or(u32::MAX);
                let asked = proposals[place].asked().unwrap_or(0).min(left);
                Claim {
                    priority: self.workloads[place].settings.priority,
                    use_each: self.use_of(place, shared),
                    asked,
                    wanted: proposals[place].wanted().unwrap_or(0).min(left).max(asked),
                }
            };
            let claims: Vec<Claim> = places.iter().map(claim).collect();
            let Some(given) = divide(shared.limit, &claims) else {
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

    /// What one replica of a workload takes of something.
    fn use_of(&self, place: usize, shared: &SharedSettings) -> f64 {
        let uses = &self.workloads[place].settings.uses;
        uses.get(&shared.name).copied().unwrap_or(0.0)
    }
}
