//! Where each series lives, by its labels. Only places are kept here, a few bytes a series: the labels are with the series,
//! and whoever looks one up says where.

use super::shard::SLOTS;
use crate::series::{Labels, Slot};
use std::hash::{BuildHasher, RandomState};

/// Where a series lives: shard and slot.
pub(super) type Place = (u32, u32);

/// The number of a place: all of a unit are counted through.
pub(super) fn number(shard: usize, slot: Slot) -> u32 {
    (shard * SLOTS + slot) as u32
}

/// Shard and slot of the place with this number.
pub(super) fn place(number: u32) -> (usize, Slot) {
    let number = number as usize;
    (number / SLOTS, number % SLOTS)
}

/// No place.
pub(super) const NOWHERE: u32 = u32::MAX;
/// A place was here: whoever looks goes on.
const GONE: u32 = u32::MAX - 1;
/// Least number of entries.
const LEAST: usize = 16;

/// Numbers of places, found by the hash of the labels of who lives there. Nobody can foresee the hashes.
#[derive(Debug, Default)]
pub(super) struct Places {
    entries: Vec<u32>,
    used: usize,
    gone: usize,
    hasher: RandomState,
}

impl Places {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// The place of the series with these labels; `labels_of` gives the labels of a place.
    pub(super) fn get<'l>(
        &self,
        labels: &Labels,
        labels_of: impl Fn(u32) -> Option<&'l Labels>,
    ) -> Option<u32> {
        self.find(labels, labels_of)
            .map(|entry| self.entries[entry])
    }

    /// Takes in a place whose labels are not there yet.
    pub(super) fn insert<'l>(
        &mut self,
        labels: &Labels,
        place: u32,
        labels_of: impl Fn(u32) -> Option<&'l Labels>,
    ) {
        // Four fifths full at most.
        if 5 * (self.used + self.gone + 1) > 4 * self.entries.len() {
            self.rebuild(labels_of);
        }
        self.put(labels, place);
        self.used += 1;
    }

    /// Forgets the place of these labels.
    pub(super) fn remove<'l>(
        &mut self,
        labels: &Labels,
        labels_of: impl Fn(u32) -> Option<&'l Labels>,
    ) {
        if let Some(entry) = self.find(labels, labels_of) {
            self.entries[entry] = GONE;
            self.used -= 1;
            self.gone += 1;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<u32>()
    }

    fn find<'l>(
        &self,
        labels: &Labels,
        labels_of: impl Fn(u32) -> Option<&'l Labels>,
    ) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        let mut entry = self.first(labels);
        loop {
            match self.entries[entry] {
                NOWHERE => return None,
                GONE => {}
                place if labels_of(place) == Some(labels) => return Some(entry),
                _ => {}
            }
            entry = self.after(entry);
        }
    }

    fn put(&mut self, labels: &Labels, place: u32) {
        let mut entry = self.first(labels);
        while self.entries[entry] != NOWHERE {
            entry = self.after(entry);
        }
        self.entries[entry] = place;
    }

    /// Twice as many entries as places.
    fn rebuild<'l>(&mut self, labels_of: impl Fn(u32) -> Option<&'l Labels>) {
        let length = (2 * (self.used + 1)).max(LEAST);
        let before = std::mem::replace(&mut self.entries, vec![NOWHERE; length]);
        self.gone = 0;
        for place in before.into_iter().filter(|&place| place < GONE) {
            if let Some(labels) = labels_of(place) {
                self.put(labels, place);
            }
        }
    }

    /// Where to begin to look.
    fn first(&self, labels: &Labels) -> usize {
        let hash = u128::from(self.hasher.hash_one(labels));
        ((hash * self.entries.len() as u128) >> u64::BITS) as usize
    }

    fn after(&self, entry: usize) -> usize {
        if entry + 1 == self.entries.len() {
            0
        } else {
            entry + 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn finds_what_a_map_finds(steps in prop::collection::vec((any::<bool>(), 0_usize..60), 0..400)) {
            let labels: Vec<Labels> = (0..60)
                .map(|own: i32| Labels::new([("pod", own.to_string())]).unwrap())
                .collect();
            let (mut places, mut map) = (Places::default(), HashMap::new());
            let labels_of = |place: u32| labels.get(place as usize);
            for (comes, own) in steps {
                let known = map.contains_key(&labels[own]);
                if comes && !known {
                    places.insert(&labels[own], own as u32, labels_of);
                    map.insert(labels[own].clone(), own as u32);
                } else if !comes {
                    places.remove(&labels[own], labels_of);
                    map.remove(&labels[own]);
                }
                prop_assert_eq!(places.len(), map.len());
            }
            for labels in &labels {
                prop_assert_eq!(places.get(labels, labels_of), map.get(labels).copied());
            }
        }
    }

    #[test]
    fn a_place_takes_eight_bytes_at_most() {
        let mut places = Places::default();
        let labels: Vec<Labels> = (0..10_000)
            .map(|own: i32| Labels::new([("pod", own.to_string())]).unwrap())
            .collect();
        for (place, own) in labels.iter().enumerate() {
            places.insert(own, place as u32, |place| labels.get(place as usize));
        }
        assert!(places.heap_bytes() <= 8 * labels.len() + 64);
    }
}
