//! A recorder of whatever: members and what is made of them, their past in compressed pieces.

use super::{
    Shape, Verdict,
    aggregate::Group,
    archive::Archive,
    arrivals::Arrivals,
    is_stale,
    raw::{Put, Raw},
    recorder::{FORGOTTEN_AFTER, MUTABLE_STEPS, Sample},
};
use crate::series::{Labels, Millis, Share};
use std::collections::{BTreeMap, HashMap};

/// One series that is read.
#[derive(Debug, Clone)]
struct Member {
    /// Without the metric's name.
    labels: Labels,
    /// The metric's name.
    name: Box<str>,
    raw: Raw,
    /// Which of the recorder's series it is part of.
    group: u32,
    /// Newest step that it has a sample of, as long as it is expected to have more.
    slot: Option<i64>,
    /// When it was last seen.
    seen: Millis,
}

/// One series that is made.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    pub(super) labels: Labels,
    pub(super) archive: Archive,
}

/// Members and what is made of them.
#[derive(Debug, Clone)]
pub(super) struct Deep {
    members: Vec<Option<Member>>,
    vacant: Vec<u32>,
    pub(super) made: Vec<Made>,
    by_labels: HashMap<Labels, u32>,
    /// Newest step that was computed.
    pub(super) reached: Option<i64>,
    /// Oldest step that a sample came of since.
    dirty: i64,
    arrivals: Arrivals,
    groups: Vec<Group>,
    /// How many times the series that are made got other numbers.
    pub(super) numbering: u64,
}

impl Default for Deep {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            vacant: Vec::new(),
            made: Vec::new(),
            by_labels: HashMap::new(),
            reached: None,
            dirty: i64::MAX,
            arrivals: Arrivals::default(),
            groups: Vec::new(),
            numbering: 0,
        }
    }
}

impl Deep {
    /// Series that are read.
    pub(super) fn members(&self) -> usize {
        self.members.len() - self.vacant.len()
    }

    // --- Samples ---

    /// Gives a series a place.
    pub(super) fn place(
        &mut self,
        shape: &Shape,
        (name, labels): (&str, &Labels),
        raw: Raw,
        now: Millis,
    ) -> u32 {
        let group = self.group_of(&shape.selection.group(labels));
        let member = Member {
            labels: labels.clone(),
            name: name.into(),
            raw,
            group,
            slot: None,
            seen: now,
        };
        match self.vacant.pop() {
            Some(place) => {
                self.members[place as usize] = Some(member);
                place
            }
            None => {
                self.members.push(Some(member));
                (self.members.len() - 1) as u32
            }
        }
    }

    /// One with these series, each in its place.
    pub(super) fn of<'a>(
        shape: &Shape,
        name: &str,
        series: impl Iterator<Item = Option<(&'a Labels, Raw, Millis)>>,
    ) -> Self {
        let mut deep = Self::default();
        let mut vacant = Vec::new();
        for (place, one) in series.enumerate() {
            if let Some((labels, raw, seen)) = one {
                deep.place(shape, (name, labels), raw, seen);
            } else {
                vacant.push(place as u32);
                deep.members.push(None);
            }
        }
        deep.vacant = vacant;
        deep
    }

    pub(super) fn group_of(&mut self, labels: &Labels) -> u32 {
        if let Some(group) = self.by_labels.get(labels) {
            return *group;
        }
        let group = self.made.len() as u32;
        self.made.push(Made {
            labels: labels.clone(),
            archive: Archive::default(),
        });
        self.by_labels.insert(labels.clone(), group);
        group
    }

    /// Takes in a sample of the series at `place`.
    pub(super) fn take(&mut self, shape: &Shape, place: u32, sample: &Sample) -> Verdict {
        let &Sample {
            at,
            value,
            now,
            kept,
            ..
        } = sample;
        let members = self.members.get_mut(place as usize);
        let Some(member) = members.and_then(Option::as_mut) else {
            return Verdict::Old;
        };
        member.seen = now;
        if at < kept {
            return Verdict::Old;
        }
        let thin = shape.selection.is_thin().then_some(shape.grid);
        let is_newest = member.raw.newest().is_none_or(|newest| newest.0 < at);
        match member.raw.put(at, value, thin) {
            Put::Stored => {}
            other => return other.into(),
        }
        member.raw.forget_before(kept);
        if !is_stale(value) {
            // A clock that is ahead must not make the others wait.
            let slot = shape.grid.index(at.min(now));
            self.arrivals.came(member.slot, slot);
            member.slot = member.slot.max(Some(slot));
        } else if is_newest && let Some(slot) = member.slot.take() {
            self.arrivals.ended(slot);
        }
        Verdict::Stored
    }

    /// A sample of `at` came; the newest of all is that of `newest`.
    pub(super) fn changed(&mut self, shape: &Shape, at: Millis, newest: Millis) {
        // What is older stays as it was computed: not all that it was made of is still there.
        let mutable = shape.grid.index(newest) - MUTABLE_STEPS;
        self.dirty = self.dirty.min(shape.grid.index(at).max(mutable));
        // What is about to be let go of is computed before.
        if self.dirty < mutable {
            self.compute_until(shape, newest, shape.grid.index(newest) - 1);
        }
    }

    /// The newest step of which everything has come that is expected.
    pub(super) fn complete(&self) -> Option<i64> {
        self.arrivals.complete()
    }

    // --- Values ---

    /// The value of a series from step `first` to `last`, see [`Archive::read`].
    pub(super) fn read(&self, row: usize, (first, last): (i64, i64), tell: impl FnMut(i64, f32)) {
        if let Some(made) = self.made.get(row) {
            made.archive.read(first, last, tell);
        }
    }

    /// Of each series that is made, whether one of those it is made of is there still.
    pub(super) fn live_rows(&self) -> Vec<bool> {
        let mut live = vec![false; self.made.len()];
        for member in self.members.iter().flatten() {
            live[member.group as usize] |= member.slot.is_some();
        }
        live
    }

    /// The values at `at`, any time.
    pub(super) fn instant(&mut self, shape: &Shape, at: Millis) -> Vec<(Labels, f64)> {
        let look = shape.selection.look();
        self.gather(shape, |raw| raw.at(at, &look));
        for member in self.members.iter().flatten() {
            if member.raw.is_silent(at, &look) {
                self.groups[member.group as usize].miss();
            }
        }
        let how = shape.selection.aggregate();
        let groups = self.made.iter().zip(&self.groups);
        let known = groups.filter_map(|(made, group)| {
            let value = group.value(how)?;
            value.is_finite().then(|| (made.labels.clone(), value))
        });
        known.collect()
    }

    /// Computes every step up to `last` that was not yet, and those again that samples came of since.
    pub(super) fn compute_until(&mut self, shape: &Shape, newest: Millis, last: i64) {
        let step = shape.grid.step();
        let look = shape.selection.look();
        // Nothing is known of the time before the first sample, nor of that after which nobody looks back to the last.
        let end = newest.saturating_add(shape.selection.reach());
        let end = last.min(shape.grid.index(end));
        let next = self
            .reached
            .map_or(i64::MAX, |reached| reached.saturating_add(1));
        for index in self.dirty.min(next).max(end - shape.longest())..=end {
            self.gather(shape, |raw| raw.of_step(index * step, step, &look));
            let how = shape.selection.aggregate();
            for (made, group) in self.made.iter_mut().zip(&self.groups) {
                let value = group.value(how).map_or(f32::NAN, |value| value as f32);
                let value = if value.is_finite() { value } else { f32::NAN };
                made.archive.set(index, value);
            }
        }
        if newest > Millis::MIN {
            self.reached = Some(self.reached.map_or(last, |reached| reached.max(last)));
            self.dirty = i64::MAX;
        }
    }

    /// The groups of one time, of what `value` is of each member.
    fn gather(&mut self, shape: &Shape, value: impl Fn(&Raw) -> Option<f64>) {
        self.groups.clear();
        self.groups.resize(self.made.len(), Group::EMPTY);
        let how = shape.selection.aggregate();
        for member in self.members.iter().flatten() {
            if let Some(value) = value(&member.raw) {
                self.groups[member.group as usize].take(value, how);
            }
        }
    }

    /// Lets go of what is after `now`: the clock was ahead and was set back.
    pub(super) fn forget_after(&mut self, shape: &Shape, now: Millis) {
        let index = shape.grid.index(now);
        for member in self.members.iter_mut().flatten() {
            member.raw.forget_after(now);
            // Whoever comes in the step that is now comes anew.
            member.slot = member.slot.map(|_| i64::MIN);
            member.seen = member.seen.min(now);
        }
        for made in &mut self.made {
            made.archive.forget_after(index);
        }
        self.reached = self.reached.map(|reached| reached.min(index));
        self.dirty = i64::MAX;
        self.count_arrivals();
    }

    fn count_arrivals(&mut self) {
        let members = self.members.iter().flatten();
        self.arrivals = Arrivals::of(members.filter_map(|member| member.slot));
    }

    /// Goes on after it was put away: computes again from step `reached` on or, where nothing was computed, all that samples are
    /// of, and expects more samples of those that had some lately.
    pub(super) fn wake(&mut self, shape: &Shape, reached: Option<i64>, now: Millis) {
        let reach = shape.selection.reach();
        let mut oldest = i64::MAX;
        for member in self.members.iter_mut().flatten() {
            let first = member.raw.samples().next();
            oldest = oldest.min(first.map_or(i64::MAX, |first| shape.grid.index(first.0)));
            let newest = member.raw.newest();
            let lately = |sample: (Millis, f64)| !is_stale(sample.1) && sample.0 > now - reach;
            if newest.is_some_and(lately) {
                member.slot.get_or_insert(i64::MIN);
            }
        }
        self.reached = reached;
        if reached.is_none() {
            self.dirty = oldest;
        }
        self.count_arrivals();
    }

    // --- What goes ---

    /// Forgets what is older than it has to keep, and members that were silent for long; gives the places of those.
    pub(super) fn tidy(&mut self, shape: &Shape, now: Millis) -> Vec<u32> {
        let reach = shape.selection.reach();
        let mut gone = Vec::new();
        for (place, own) in self.members.iter_mut().enumerate() {
            let Some(member) = own else { continue };
            let newest = member.raw.newest();
            let newest = newest.map_or(member.seen, |newest| newest.0.min(now));
            if newest < now - reach
                && let Some(slot) = member.slot.take()
            {
                self.arrivals.ended(slot);
            }
            if member.seen.max(newest) < now - reach - FORGOTTEN_AFTER {
                *own = None;
                gone.push(place as u32);
            }
        }
        self.vacant.extend(&gone);
        let index = shape.grid.index(now) - shape.history as i64;
        for made in &mut self.made {
            made.archive.forget_before(index);
        }
        self.drop_empty();
        gone
    }

    /// Forgets all that is of other shards, and gives the places of the series that were read.
    pub(super) fn forget_foreign(&mut self, share: &Share) -> Vec<u32> {
        let mut gone = Vec::new();
        for (place, own) in self.members.iter_mut().enumerate() {
            let Some(member) = own else { continue };
            if share.has(&self.made[member.group as usize].labels) {
                continue;
            }
            if let Some(slot) = member.slot.take() {
                self.arrivals.ended(slot);
            }
            *own = None;
            gone.push(place as u32);
        }
        self.vacant.extend(&gone);
        for made in &mut self.made {
            if !share.has(&made.labels) {
                made.archive = Archive::default();
            }
        }
        self.drop_empty();
        gone
    }

    /// Forgets series that are made of nothing any more, once an eighth of all are: the others get other numbers by it.
    fn drop_empty(&mut self) {
        let mut used = vec![false; self.made.len()];
        for member in self.members.iter().flatten() {
            used[member.group as usize] = true;
        }
        let keep = |index: usize, made: &Made| used[index] || !made.archive.is_empty();
        let made = self.made.iter().enumerate();
        let empty = made.filter(|(index, made)| !keep(*index, made)).count();
        if empty == 0 || empty < self.made.len() / 8 {
            return;
        }
        self.numbering += 1;
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

    /// The series that are read: place, name, labels, samples.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, &str, &Labels, &Raw)> {
        let members = self.members.iter().enumerate();
        members.filter_map(|(place, member)| {
            let member = member.as_ref()?;
            Some((place as u32, &*member.name, &member.labels, &member.raw))
        })
    }

    /// Bytes on the heap, labels included.
    pub(super) fn heap_bytes(&self) -> usize {
        let members = self.members.iter().flatten();
        let members: usize = members
            .map(|member| member.raw.heap_bytes() + member.labels.heap_bytes() + member.name.len())
            .sum();
        let made = self.made.iter();
        let made: usize = made
            .map(|made| made.archive.heap_bytes() + made.labels.heap_bytes())
            .sum();
        members
            + made
            + self.members.capacity() * size_of::<Option<Member>>()
            + self.made.capacity() * size_of::<Made>()
            + self.groups.capacity() * size_of::<Group>()
            + self.by_labels.capacity() * size_of::<(Labels, u32)>()
    }
}
