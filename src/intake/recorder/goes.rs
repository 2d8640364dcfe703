//! What a recorder lets go of: what is old, and what other shards carry.

use super::{Archive, Made, Recorder};
use crate::series::Millis;
use std::collections::BTreeMap;

/// A series that has been silent for so long after its last sample went out of sight is forgotten.
const FORGOTTEN_AFTER: Millis = 600_000;

impl Recorder {
    /// Forgets what is older than it has to keep, and members that were silent for long; gives the places of those.
    pub fn tidy(&mut self, now: Millis) -> Vec<u32> {
        let reach = self.shape.selection.reach();
        let mut gone = Vec::new();
        for place in 0..self.members.len() as u32 {
            let Some(member) = &self.members[place as usize] else {
                continue;
            };
            let newest = member
                .raw
                .newest()
                .map_or(member.seen, |newest| newest.0.min(now));
            if newest < now - reach {
                self.ended(place);
            }
            let quiet = self.members[place as usize]
                .as_ref()
                .is_some_and(|member| member.seen.max(newest) < now - reach - FORGOTTEN_AFTER);
            if quiet {
                self.members[place as usize] = None;
                self.vacant.push(place);
                gone.push(place);
            }
        }
        let index = self.shape.grid.index(now) - self.shape.history as i64;
        for made in &mut self.made {
            made.archive.forget_before(index);
        }
        self.drop_empty();
        gone
    }

    /// Forgets all that is of other shards, and gives the places of the series that were read.
    pub(super) fn forget_foreign(&mut self) -> Vec<u32> {
        let share = self.shape.share.clone();
        let mut gone = Vec::new();
        for place in 0..self.members.len() as u32 {
            let group = self.members[place as usize]
                .as_ref()
                .map(|member| member.group);
            let labels = group.map(|group| &self.made[group as usize].labels);
            if labels.is_some_and(|labels| !share.has(labels)) {
                self.ended(place);
                self.members[place as usize] = None;
                self.vacant.push(place);
                gone.push(place);
            }
        }
        for made in &mut self.made {
            if !share.has(&made.labels) {
                made.archive = Archive::default();
            }
        }
        self.drop_empty();
        gone
    }

    /// Forgets series that are made of nothing any more.
    fn drop_empty(&mut self) {
        let mut used = vec![false; self.made.len()];
        for member in self.members.iter().flatten() {
            used[member.group as usize] = true;
        }
        let keep = |index: usize, made: &Made| used[index] || !made.archive.is_empty();
        if self
            .made
            .iter()
            .enumerate()
            .all(|(index, made)| keep(index, made))
        {
            return;
        }
        let mut places = BTreeMap::new();
        let old = std::mem::take(&mut self.made);
        self.by_labels.clear();
        for (index, made) in old.into_iter().enumerate() {
            if keep(index, &made) {
                let place = self.made.len() as u32;
                places.insert(index as u32, place);
                self.by_labels.insert(made.labels.clone(), place);
                self.made.push(made);
            }
        }
        for member in self.members.iter_mut().flatten() {
            member.group = places[&member.group];
        }
    }
}
