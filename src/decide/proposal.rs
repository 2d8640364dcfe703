//! A decision that is not yet final.

use super::{
    Binding, Decision, Incomplete,
    limits::{Restrained, Wish},
};

/// What a size may not be above, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceiling {
    /// The greatest size.
    pub size: u32,
    /// What kind of ceiling it is.
    pub by: Binding,
    /// Which one, for people; empty where there is one of its kind only.
    pub name: String,
}

/// What one workload wants, before what is shared with others is known.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The decision as far as it is known.
    pub(super) draft: Decision,
    /// What was asked for; `None` where the demand is not known.
    pub(super) target: Option<Target>,
    /// What restraints left of it in mode `full`.
    pub(super) full: Option<Restrained>,
    /// And where the autoscaler that follows has its own stabilisation.
    pub(super) guarded: Option<Restrained>,
    pub(super) ceilings: Vec<Ceiling>,
    /// The size that the autoscaler has in hand.
    pub(super) there: Option<u32>,
    pub(super) utilisation: Option<f64>,
    /// Ordered exactly, with who and why.
    pub(super) pin: Option<(u32, String)>,
    pub(super) notes: Notes,
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// What restraints do not bind.
    pub(super) base: Wish,
    /// The surplus included.
    pub(super) target: Wish,
    /// The size before.
    pub(super) before: u32,
}

/// What only reasons need.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    /// The demand is measured, but not what waits in the queue, which counts.
    pub(super) lacks_queue: bool,
    /// Why the demand that was measured is not used.
    pub(super) incomplete: Option<Incomplete>,
    pub(super) order: Option<String>,
    pub(super) rule: Option<usize>,
    /// The event that asks for most.
    pub(super) event: Option<String>,
    /// The peak that pre-warming leads to.
    pub(super) peak: Option<u32>,
}

impl Proposal {
    pub(super) fn new(draft: Decision) -> Self {
        Self {
            draft,
            target: None,
            full: None,
            guarded: None,
            ceilings: Vec::new(),
            there: None,
            utilisation: None,
            pin: None,
            notes: Notes::default(),
        }
    }

    /// The size that is wanted, after the workload's own ceilings; `None` where nothing is known.
    pub fn wanted(&self) -> Option<u32> {
        let found = self.full?.size;
        let pinned = self.pin.as_ref().map(|(size, _)| *size);
        Some(pinned.unwrap_or(self.capped(found)))
    }

    /// The part of it that is asked for now, so goes before all surplus.
    pub fn asked(&self) -> Option<u32> {
        let base = self.target?.base.size;
        Some(self.capped(base).min(self.wanted()?))
    }

    fn capped(&self, size: u32) -> u32 {
        let ceilings = self.ceilings.iter().map(|one| one.size);
        ceilings.min().map_or(size, |least| least.min(size))
    }
}
