//! The groups that series are counted in, where there are so many series that looking for the labels of the group of each would
//! be what a step costs: every place knows the number of its group.

use super::{
    places::{self, NOWHERE},
    shard::SLOTS,
};
use crate::series::{Labels, Slot};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// The groups of one unit.
#[derive(Debug)]
pub(super) struct Groups {
    by: Arc<[String]>,
    numbers: HashMap<Labels, u32>,
    groups: Vec<Entry>,
    /// Numbers that no group has.
    vacant: Vec<u32>,
    /// The number of the group of every place, shard after shard.
    of: Vec<u32>,
    /// Numbers sorted by labels; empty where groups came or went since.
    sorted: Vec<u32>,
}

#[derive(Debug, Default)]
struct Entry {
    labels: Labels,
    /// Series in it.
    members: u32,
    /// Of those, how many were judged in this step.
    judged: AtomicU32,
}

/// Counts the judged series of one shard.
#[derive(Debug)]
pub(super) struct Tally<'g> {
    groups: &'g [Entry],
    of: &'g [u32],
    /// The group of those counted last, and how many of them were not added yet: neighbours often share a group, and threads
    /// that add to the same number wait for each other.
    last: u32,
    count: u32,
}

impl Groups {
    pub(super) fn new(by: &Arc<[String]>) -> Self {
        Self {
            by: Arc::clone(by),
            numbers: HashMap::new(),
            groups: Vec::new(),
            vacant: Vec::new(),
            of: Vec::new(),
            sorted: Vec::new(),
        }
    }

    /// A series with these labels comes to a place.
    pub(super) fn admit(&mut self, place: u32, labels: &Labels) {
        let own = labels.only(&self.by);
        let number = match self.numbers.get(&own) {
            Some(&number) => number,
            None => self.begin(own),
        };
        self.groups[number as usize].members += 1;
        let place = place as usize;
        if self.of.len() <= place {
            // Whole shards.
            self.of.resize((place / SLOTS + 1) * SLOTS, NOWHERE);
        }
        self.of[place] = number;
    }

    /// The series of a place goes.
    pub(super) fn evict(&mut self, place: u32) {
        let own = self.of.get_mut(place as usize);
        let number = own.map_or(NOWHERE, |own| std::mem::replace(own, NOWHERE));
        let Some(group) = self.groups.get_mut(number as usize) else {
            return;
        };
        group.members -= 1;
        if group.members == 0 {
            self.numbers.remove(&std::mem::take(&mut group.labels));
            self.vacant.push(number);
            self.sorted.clear();
        }
    }

    /// Begins to count anew.
    pub(super) fn reset(&mut self) {
        for group in &mut self.groups {
            *group.judged.get_mut() = 0;
        }
    }

    /// Counts those of a shard.
    pub(super) fn tally(&self, shard: usize) -> Tally<'_> {
        let from = places::number(shard, 0) as usize;
        Tally {
            groups: &self.groups,
            of: self.of.get(from..from + SLOTS).unwrap_or_default(),
            last: NOWHERE,
            count: 0,
        }
    }

    /// The number of the group of a place.
    pub(super) fn of(&self, place: u32) -> Option<u32> {
        let number = self.of.get(place as usize).copied();
        number.filter(|&number| number != NOWHERE)
    }

    /// The groups of which anything was judged, sorted by labels: number, labels, how many.
    pub(super) fn judged(&mut self) -> impl Iterator<Item = (u32, &Labels, usize)> {
        if self.sorted.is_empty() {
            self.sorted.extend(self.numbers.values());
            let labels = |&number: &u32| &self.groups[number as usize].labels;
            self.sorted
                .sort_unstable_by(|one, other| labels(one).cmp(labels(other)));
        }
        self.sorted.iter().filter_map(|&number| {
            let group = &self.groups[number as usize];
            let judged = group.judged.load(Ordering::Relaxed) as usize;
            (judged > 0).then_some((number, &group.labels, judged))
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let labels = self.numbers.keys().map(Labels::heap_bytes);
        labels.sum::<usize>()
            + self.numbers.capacity() * size_of::<(Labels, u32)>()
            + self.groups.capacity() * size_of::<Entry>()
            + (self.vacant.capacity() + self.of.capacity() + self.sorted.capacity())
                * size_of::<u32>()
    }

    fn begin(&mut self, labels: Labels) -> u32 {
        let entry = Entry {
            labels: labels.clone(),
            ..Entry::default()
        };
        let number = match self.vacant.pop() {
            Some(number) => {
                self.groups[number as usize] = entry;
                number
            }
            None => {
                self.groups.push(entry);
                (self.groups.len() - 1) as u32
            }
        };
        self.numbers.insert(labels, number);
        self.sorted.clear();
        number
    }
}

impl Tally<'_> {
    /// The series at this slot was judged.
    pub(super) fn count(&mut self, slot: Slot) {
        let number = self.of.get(slot).copied().unwrap_or(NOWHERE);
        if number != self.last {
            self.end();
            self.last = number;
        }
        self.count += 1;
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        let count = std::mem::take(&mut self.count);
        if let Some(group) = self.groups.get(self.last as usize) {
            group.judged.fetch_add(count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(app: &str, pod: &str) -> Labels {
        Labels::new([("app", app), ("pod", pod)]).unwrap()
    }

    #[test]
    fn counts_those_that_were_judged_by_group_and_forgets_groups_without_series() {
        let by: Arc<[String]> = ["app".to_owned()].into();
        let mut groups = Groups::new(&by);
        let mail = places::number(1, 3);
        for (place, app) in [(0, "shop"), (1, "mail"), (2, "shop"), (mail, "mail")] {
            groups.admit(place, &labels(app, &place.to_string()));
        }
        let told = |groups: &mut Groups| -> Vec<(String, usize)> {
            groups.reset();
            for (shard, slots) in [(0, &[0, 1, 2][..]), (1, &[3])] {
                let mut tally = groups.tally(shard);
                slots.iter().for_each(|&slot| tally.count(slot));
                tally.end();
            }
            let judged = groups.judged();
            judged
                .map(|(_, labels, count)| (labels.get("app").unwrap().to_owned(), count))
                .collect()
        };
        let both = [("mail".to_owned(), 2), ("shop".to_owned(), 2)];
        assert_eq!(told(&mut groups), both);
        groups.evict(1);
        groups.evict(mail);
        assert_eq!(told(&mut groups), both[1..]);
        groups.admit(1, &labels("door", "1"));
        assert_eq!(told(&mut groups), [("door".to_owned(), 1), both[1].clone()]);
        assert_eq!(groups.groups.len(), 2, "a number is given again");
    }
}
