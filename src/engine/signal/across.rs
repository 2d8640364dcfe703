//! Detectors that compare the series of a signal with each other: one instance for all shards.

use super::{
    plan::Plan,
    shard::{SLOTS, Shard},
};
use crate::{
    baseline::Band,
    detect::{Batch, Detector, Peers, Scope},
    engine::guard::guarded,
    series::{Labels, Millis, Slot},
};

/// The detectors across the series of one signal.
#[derive(Debug)]
pub(super) struct Across {
    /// With each its position in the configured list.
    detectors: Vec<(usize, Box<dyn Detector>)>,
    /// Slots there is room for.
    room: usize,
    slots: Vec<Slot>,
    values: Vec<f32>,
    bands: Vec<Band>,
    scores: Vec<f32>,
}

impl Across {
    pub(super) fn new(plan: &Plan) -> Self {
        let detectors = plan.scoped(Scope::Across).into_iter();
        Self {
            detectors: detectors
                .map(|position| (position, plan.detector(position)))
                .collect(),
            room: 0,
            slots: Vec::new(),
            values: Vec::new(),
            bands: Vec::new(),
            scores: Vec::new(),
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.detectors.is_empty()
    }

    pub(super) fn assign(&mut self, shard: usize, slot: Slot, labels: &Labels) {
        let slot = shard * SLOTS + slot;
        self.room = self.room.max(slot + 1);
        for (_, detector) in &mut self.detectors {
            detector.grow(self.room);
            detector.assign(slot, labels);
        }
    }

    pub(super) fn evict(&mut self, shard: usize, slot: Slot) {
        for (_, detector) in &mut self.detectors {
            detector.reset(shard * SLOTS + slot);
        }
    }

    /// Fills the score columns of the detectors across series.
    pub(super) fn step(
        &mut self,
        at: Millis,
        plan: &Plan,
        shards: &mut [Shard],
        panics: &mut Vec<&'static str>,
    ) {
        if self.detectors.is_empty() {
            return;
        }
        self.gather(shards);
        if plan.exclusions.not_judged(at) {
            // What is not judged must not count when judging goes on.
            self.values.fill(f32::NAN);
        }
        for (position, detector) in &mut self.detectors {
            self.scores.clear();
            self.scores.resize(self.slots.len(), f32::NAN);
            let batch = Batch {
                at,
                slots: &self.slots,
                values: &self.values,
                bands: &self.bands,
            };
            if guarded(|| detector.step(&batch, &mut self.scores)).is_none() {
                panics.push(detector.kind());
                *detector = fresh(plan, *position, shards);
                self.scores.fill(f32::NAN);
            }
            let mut from = 0;
            for shard in shards.iter_mut() {
                let column = &mut shard.columns.scores[*position];
                let count = column.len();
                column.copy_from_slice(&self.scores[from..from + count]);
                from += count;
            }
        }
    }

    /// Where the peers of a series were at the newest step. Slots are those of the unit, see [`place`].
    pub(super) fn peers(&self, shard: usize, slot: Slot) -> Option<Peers<'_>> {
        let slot = shard * SLOTS + slot;
        let mut all = self.detectors.iter();
        all.find_map(|(_, detector)| detector.peers(slot))
    }

    fn gather(&mut self, shards: &[Shard]) {
        self.slots.clear();
        self.values.clear();
        self.bands.clear();
        for (index, shard) in shards.iter().enumerate() {
            self.slots
                .extend(shard.columns.slots.iter().map(|slot| index * SLOTS + slot));
            self.values.extend_from_slice(&shard.columns.values);
            self.bands.extend_from_slice(&shard.columns.bands);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.detectors
            .iter()
            .map(|(_, detector)| detector.heap_bytes())
            .sum()
    }
}

/// Shard, and slot in it, of a slot of the unit.
pub(super) fn place(slot: Slot) -> (usize, Slot) {
    (slot / SLOTS, slot % SLOTS)
}

/// A detector that knows the series but nothing of their past; it has settled within its memory.
fn fresh(plan: &Plan, position: usize, shards: &[Shard]) -> Box<dyn Detector> {
    let mut detector = plan.detector(position);
    detector.grow(shards.len() * SLOTS);
    for (index, shard) in shards.iter().enumerate() {
        for (slot, member) in shard.members.iter().enumerate() {
            if let Some(member) = member {
                detector.assign(index * SLOTS + slot, &member.labels);
            }
        }
    }
    detector
}
