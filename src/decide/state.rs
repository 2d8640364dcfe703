//! What carries over from one decision to the next.

use super::{
    emergency::Emergency, events::Events, extent::Extent, lead::Measurement, learned::Learner,
    prewarm::Rises, queue::Readings, rules::Standing, verify::Watch,
};
use crate::series::Millis;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Changes with every change of what the fields mean; a state of another version is not read.
const VERSION: u32 = 1;

/// What a workload remembers. Bounded; written down whenever its decision changes and every 15 s, and read back by a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    version: u32,
    /// What the demand was measured in, see [`super::Settings::unit`].
    unit: Option<u64>,
    /// The newest decision.
    pub(super) at: Option<Millis>,
    /// The size that was decided on last.
    pub(super) size: Option<u32>,
    /// Such sizes lately, for rates.
    pub(super) sizes: Extent,
    /// What was asked for lately: reactive, events, rules.
    pub(super) needs: Extent,
    /// The demand's own size, without events and rules, over the last eight days.
    pub(super) asked: Extent,
    /// What the surplus would have been without restraints lately.
    pub(super) wishes: Extent,
    pub(super) changed_up: Option<Millis>,
    pub(super) changed_down: Option<Millis>,
    /// Changes against the one before, the newest last; whether each went up.
    pub(super) turns: VecDeque<(Millis, bool)>,
    /// What the last forecast that counted asked for, and when that was.
    pub(super) bridge: Option<(u32, Millis)>,
    /// The demand of the last minutes, smoothed.
    pub(super) level: Option<f32>,
    /// Whether the demand was abnormally low at the newest decision.
    pub(super) low: bool,
    /// The size that an abnormal drop keeps, and until when.
    pub(super) storm: Option<(u32, Millis)>,
    pub(super) lead: Measurement,
    pub(super) rule: Standing,
    pub(super) emergency: Emergency,
    /// The forecast does not count until then: a recommendation made things worse.
    pub(super) withdrawn: Option<Millis>,
    /// When that was decided last.
    pub(super) withdrew: Option<Millis>,
    /// The change that is watched.
    pub(super) watch: Option<Watch>,
    pub(super) capacity: Learner,
    pub(super) events: Events,
    pub(super) queue: Readings,
    pub(super) rises: Rises,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            unit: None,
            at: None,
            size: None,
            sizes: Extent::default(),
            needs: Extent::default(),
            asked: Extent::default(),
            wishes: Extent::default(),
            changed_up: None,
            changed_down: None,
            turns: VecDeque::new(),
            bridge: None,
            level: None,
            low: false,
            storm: None,
            lead: Measurement::default(),
            rule: Standing::default(),
            emergency: Emergency::default(),
            withdrawn: None,
            withdrew: None,
            watch: None,
            capacity: Learner::default(),
            events: Events::default(),
            queue: Readings::default(),
            rises: Rises::default(),
        }
    }
}

impl State {
    /// This state, or none at all where another version wrote it.
    pub(super) fn checked(self) -> Self {
        match self.version {
            VERSION => self,
            _ => Self::default(),
        }
    }

    /// This state for a workload whose demand is measured in `unit`. Where that is another than before, what was learned
    /// of the demand says nothing about the new one; sizes and lead times are the same whatever asks for them.
    pub(super) fn adopted(mut self, unit: u64) -> Self {
        if self.unit.is_some_and(|before| before != unit) {
            self.capacity = Learner::default();
            self.level = None;
            self.asked = Extent::default();
            self.low = false;
            self.storm = None;
            self.watch = None;
            self.queue = Readings::default();
            self.events.forget_followed();
        }
        self.unit = Some(unit);
        self
    }

    /// Where the newest decision is more than `memory` ago, the size of then says nothing about now: what is there counts,
    /// as without a state.
    pub(super) fn expire(&mut self, at: Millis, memory: Millis) {
        if self.at.is_some_and(|last| at - last > memory) {
            self.size = None;
            self.sizes = Extent::default();
            self.wishes = Extent::default();
        }
    }

    /// Where the clock was set back to `at`, nothing stays in the future: it would hold sizes until then.
    pub(super) fn rewind(&mut self, at: Millis) {
        let Some(last) = self.at.filter(|last| at < *last) else {
            return;
        };
        self.at = Some(at);
        for extent in [
            &mut self.sizes,
            &mut self.needs,
            &mut self.asked,
            &mut self.wishes,
        ] {
            extent.rewind(at);
        }
        for then in [&mut self.changed_up, &mut self.changed_down] {
            *then = then.map(|then| then.min(at));
        }
        for (then, _) in &mut self.turns {
            *then = (*then).min(at);
        }
        if let Some((_, then)) = &mut self.bridge {
            *then = (*then).min(at);
        }
        // What was to last so much longer still does.
        let later = |until: Millis| at + (until - last).max(0);
        self.withdrawn = self.withdrawn.map(later);
        self.storm = self.storm.map(|(size, until)| (size, later(until)));
        if let Some(watch) = &mut self.watch {
            watch.rewind(at);
        }
        self.capacity.rewind(at);
        self.queue.rewind();
        self.rises.rewind(at);
        self.lead.rewind();
        self.rule.rewind(at);
        self.emergency.rewind();
    }
}
