//! What one signal needs of samples that come by themselves: the newest of each series, and the past on the grid.

mod goes;

use super::{
    Selection,
    aggregate::Group,
    archive::Archive,
    is_stale,
    raw::{Put, Raw},
};
use crate::series::{Grid, Labels, Millis, Share};
use std::collections::HashMap;

/// Steps behind the newest that late samples may still change. Whoever reads the last of them again sees it.
const MUTABLE_STEPS: i64 = 5;

/// A sender's clock may be so far ahead; Prometheus takes no more from a target either.
const MOST_AHEAD: Millis = 600_000;

/// What a recorder is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Which series, and what is made of them.
    pub selection: Selection,
    /// The signal's grid.
    pub grid: Grid,
    /// Steps of past that are kept.
    pub history: usize,
    /// Most series that are read.
    pub max_series: usize,
    /// Of the series that are made, only these; nothing is kept of what others are made of.
    pub share: Share,
}

/// Series of an answer that were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Over the limit.
    pub over: usize,
    /// Of other shards.
    pub foreign: usize,
}

/// Whether a series is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// What is made of it is another shard's.
    Foreign,
    /// It is not selected.
    Unwanted,
    /// It is.
    Wanted,
}

impl Shape {
    /// Index of the oldest step that is kept at `now`.
    pub fn oldest(&self, now: Millis) -> i64 {
        self.grid.index(now) - self.history as i64
    }

    /// Samples before this time have no part in what is kept at `now`.
    pub fn begins(&self, now: Millis) -> Millis {
        self.oldest(now) * self.grid.step() - self.selection.reach()
    }
}

/// What was done with a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It is further ahead of the clock than clocks differ.
    Ahead,
    /// Another value was there for the same time.
    Conflict,
    /// It was there before.
    Duplicate,
    /// It is not finite, and no stale marker.
    NotFinite,
    /// It is older than what may still change.
    Old,
    /// It is kept.
    Stored,
    /// The series has more samples than anybody meant.
    TooMany,
}

impl Verdict {
    /// All verdicts, sorted by label value.
    pub const ALL: [Self; 7] = [
        Self::Ahead,
        Self::Conflict,
        Self::Duplicate,
        Self::NotFinite,
        Self::Old,
        Self::Stored,
        Self::TooMany,
    ];

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::Conflict => "conflict",
            Self::Duplicate => "duplicate",
            Self::NotFinite => "not_finite",
            Self::Old => "old",
            Self::Stored => "stored",
            Self::TooMany => "too_many",
        }
    }
}

/// One series that is read.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Without the metric's name.
    pub(super) labels: Labels,
    /// The metric's name.
    pub(super) name: Box<str>,
    pub(super) raw: Raw,
    /// Which of the recorder's series it is part of.
    group: u32,
    /// Newest step that it has a sample of.
    slot: i64,
    /// Whether it is expected to have more samples.
    is_live: bool,
    /// When it was last seen.
    seen: Millis,
}

/// One series that is made.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    pub(super) labels: Labels,
    pub(super) archive: Archive,
}

/// What one signal needs of samples that come by themselves.
#[derive(Debug, Clone)]
pub struct Recorder {
    shape: Shape,
    members: Vec<Option<Member>>,
    vacant: Vec<u32>,
    pub(super) made: Vec<Made>,
    by_labels: HashMap<Labels, u32>,
    /// Newest step that was computed.
    pub(super) reached: Option<i64>,
    /// Oldest step that a sample came of since.
    dirty: i64,
    /// Time of the newest sample of all. What is kept is counted from here: where all senders were away, what they missed is
    /// taken; where one was, what it missed is too old.
    pub(super) newest: Millis,
    /// Step of the very first sample: who else will come is not known before it is over.
    pub(super) began: Option<i64>,
    /// Newest step that anybody has a sample of.
    open: i64,
    /// Live members that have a sample of it.
    arrived: usize,
    /// Members that are expected to have more samples.
    live: usize,
    groups: Vec<Group>,
}

impl Recorder {
    /// One that knows nothing yet.
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            members: Vec::new(),
            vacant: Vec::new(),
            made: Vec::new(),
            by_labels: HashMap::new(),
            reached: None,
            dirty: i64::MAX,
            newest: Millis::MIN,
            began: None,
            open: i64::MIN,
            arrived: 0,
            live: 0,
            groups: Vec::new(),
        }
    }

    /// What it is for.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Takes over what another one was for, of the same selection and grid: how much past, how many series, which share of
    /// them. Gives the places of series that are read no more.
    pub fn reshape(&mut self, shape: Shape) -> Vec<u32> {
        let narrower = !shape.share.covers(&self.shape.share);
        self.shape = shape;
        match narrower {
            true => self.forget_foreign(),
            false => Vec::new(),
        }
    }

    /// Series that are read.
    pub fn members(&self) -> usize {
        self.members.len() - self.vacant.len()
    }

    // --- Samples ---

    /// The place of a series, or why it has none: `None` where it is not wanted or what is made of it is another shard's,
    /// an error where there are too many.
    ///
    /// # Errors
    /// There is no room for another series.
    pub fn admit(&mut self, name: &str, labels: &Labels, now: Millis) -> Result<Option<u32>, Full> {
        if self.claim(name, labels) != Claim::Wanted {
            return Ok(None);
        }
        if self.members() >= self.shape.max_series {
            return Err(Full);
        }
        let raw = Raw::default();
        Ok(Some(self.place(name, labels, raw, now)))
    }

    pub(super) fn place(&mut self, name: &str, labels: &Labels, raw: Raw, now: Millis) -> u32 {
        let group = self.group_of(&self.shape.selection.group(labels));
        let member = Member {
            labels: labels.clone(),
            name: name.into(),
            raw,
            group,
            slot: i64::MIN,
            is_live: false,
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

    /// Takes in a sample of the series at `place`; `now` is the time of the clock.
    pub fn take(&mut self, place: u32, at: Millis, value: f64, now: Millis) -> Verdict {
        if at > now.saturating_add(MOST_AHEAD) {
            return Verdict::Ahead;
        }
        if !value.is_finite() && !is_stale(value) {
            return Verdict::NotFinite;
        }
        let grid = self.shape.grid;
        if self.newest > now.saturating_add(MOST_AHEAD) {
            self.forget_after(now);
        }
        let newest = self.newest.max(at).min(now);
        let kept =
            newest.saturating_sub(MUTABLE_STEPS * grid.step() + self.shape.selection.reach());
        // However long it was away: before that nothing is kept, and somebody's clock is wrong.
        let kept = kept.max(now.saturating_sub(self.longest() * grid.step()));
        let Some(member) = self
            .members
            .get_mut(place as usize)
            .and_then(Option::as_mut)
        else {
            return Verdict::Old;
        };
        member.seen = now;
        if at < kept {
            return Verdict::Old;
        }
        let thin = self.shape.selection.is_thin().then_some(grid);
        let is_newest = member.raw.newest().is_none_or(|newest| newest.0 < at);
        match member.raw.put(at, value, thin) {
            Put::Stored => {}
            Put::Duplicate => return Verdict::Duplicate,
            Put::Conflict => return Verdict::Conflict,
            Put::Old => return Verdict::Old,
            Put::TooMany => return Verdict::TooMany,
        }
        member.raw.forget_before(kept);
        if is_stale(value) {
            if is_newest {
                self.ended(place);
            }
        } else {
            // A clock that is ahead must not make the others wait.
            self.arrived(place, grid.index(at.min(now)));
        }
        self.newest = newest;
        self.began.get_or_insert(grid.index(at));
        // What is older stays as it was computed: not all that it was made of is still there.
        let mutable = grid.index(newest) - MUTABLE_STEPS;
        self.dirty = self.dirty.min(grid.index(at).max(mutable));
        // What is about to be let go of is computed before.
        if self.dirty < mutable {
            self.compute_until(grid.index(newest) - 1);
        }
        Verdict::Stored
    }

    fn arrived(&mut self, place: u32, slot: i64) {
        let Some(member) = self.members[place as usize].as_mut() else {
            return;
        };
        if !member.is_live {
            member.is_live = true;
            self.live += 1;
        }
        if slot > self.open {
            self.open = slot;
            self.arrived = 0;
        }
        if slot > member.slot {
            member.slot = slot;
            self.arrived += usize::from(slot == self.open);
        }
    }

    fn ended(&mut self, place: u32) {
        let Some(member) = self
            .members
            .get_mut(place as usize)
            .and_then(Option::as_mut)
        else {
            return;
        };
        if std::mem::take(&mut member.is_live) {
            self.live -= 1;
            self.arrived -= usize::from(member.slot == self.open);
            member.slot = i64::MIN;
        }
    }

    /// The newest grid time of which every series that is expected to have a sample has one: what there is to know of it
    /// is known.
    pub fn complete(&self) -> Option<Millis> {
        let whole = self.live > 0 && self.arrived >= self.live && self.began < Some(self.open);
        whole.then(|| self.open * self.shape.grid.step())
    }

    // --- Values ---

    /// Tells the values from grid time `start` to `end` of at most `max_series` series of `share`, sorted by labels; returns
    /// how many series were left out. Those that may have changed since are computed anew.
    pub fn range(
        &mut self,
        (start, end): (Millis, Millis),
        (max_series, share): (usize, &Share),
        mut tell: impl FnMut(&Labels, Vec<(Millis, f64)>),
    ) -> LeftOut {
        let grid = self.shape.grid;
        self.compute_until(grid.index(end));
        let (first, last) = (grid.index(start), grid.index(end));
        let mut sorted: Vec<&Made> = self.made.iter().collect();
        sorted.sort_unstable_by(|one, other| one.labels.cmp(&other.labels));
        let (mut told, mut left) = (0, LeftOut::default());
        for made in sorted {
            let mut samples = Vec::new();
            made.archive.read(first, last, |index, value| {
                samples.push((index * grid.step(), f64::from(value)));
            });
            if samples.is_empty() {
                continue;
            }
            if !share.has(&made.labels) {
                left.foreign += 1;
            } else if told < max_series {
                tell(&made.labels, samples);
                told += 1;
            } else {
                left.over += 1;
            }
        }
        left
    }

    /// The values at `at`, any time, sorted by labels. There is none of what is made of series half of which and more have gone
    /// silent without an end, until they are forgotten: whoever sent them is away, and without them a sum would be too low.
    pub fn instant(&mut self, at: Millis) -> Vec<(Labels, f64)> {
        let look = self.shape.selection.look();
        self.gather(|raw| raw.at(at, &look));
        for member in self.members.iter().flatten() {
            if member.raw.is_silent(at, &look) {
                self.groups[member.group as usize].miss();
            }
        }
        let how = self.shape.selection.aggregate();
        let groups = self.made.iter().zip(&self.groups);
        let known = groups.filter_map(|(made, group)| {
            let value = group.value(how)?;
            value.is_finite().then(|| (made.labels.clone(), value))
        });
        let mut found: Vec<_> = known.collect();
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        found
    }

    /// Computes every step up to `last` that was not yet, and those again that samples came of since.
    pub fn compute_until(&mut self, last: i64) {
        let step = self.shape.grid.step();
        let look = self.shape.selection.look();
        // Nothing is known of the time before the first sample, nor of that after which nobody looks back to the last.
        let end = self.newest.saturating_add(self.shape.selection.reach());
        let end = last.min(self.shape.grid.index(end));
        let next = self
            .reached
            .map_or(i64::MAX, |reached| reached.saturating_add(1));
        for index in self.dirty.min(next).max(end - self.longest())..=end {
            self.gather(|raw| raw.of_step(index * step, step, &look));
            let how = self.shape.selection.aggregate();
            for (made, group) in self.made.iter_mut().zip(&self.groups) {
                let value = group.value(how).map_or(f32::NAN, |value| value as f32);
                let value = if value.is_finite() { value } else { f32::NAN };
                made.archive.set(index, value);
            }
        }
        if self.newest > Millis::MIN {
            self.reached = Some(self.reached.map_or(last, |reached| reached.max(last)));
            self.dirty = i64::MAX;
        }
    }

    /// Steps of past that anything is known of, samples that values are made of included.
    fn longest(&self) -> i64 {
        let reach = self.shape.selection.reach() / self.shape.grid.step();
        self.shape.history as i64 + MUTABLE_STEPS + reach
    }

    /// The groups of one time, of what `value` is of each member.
    fn gather(&mut self, value: impl Fn(&Raw) -> Option<f64>) {
        self.groups.clear();
        self.groups.resize(self.made.len(), Group::EMPTY);
        let how = self.shape.selection.aggregate();
        for member in self.members.iter().flatten() {
            if let Some(value) = value(&member.raw) {
                self.groups[member.group as usize].take(value, how);
            }
        }
    }

    /// Lets go of what is after `now`: the clock was ahead and was set back.
    pub(super) fn forget_after(&mut self, now: Millis) {
        let index = self.shape.grid.index(now);
        for member in self.members.iter_mut().flatten() {
            member.raw.forget_after(now);
            member.slot = member.slot.min(index - 1);
            member.seen = member.seen.min(now);
        }
        for made in &mut self.made {
            made.archive.forget_after(index);
        }
        self.newest = self.newest.min(now);
        self.reached = self.reached.map(|reached| reached.min(index));
        self.began = self.began.map(|began| began.min(index));
        self.dirty = i64::MAX;
        (self.open, self.arrived) = (self.open.min(index - 1), 0);
    }

    /// Expects more samples of those that had some lately, as it did before it was put away.
    pub(super) fn expect_members(&mut self, now: Millis) {
        let reach = self.shape.selection.reach();
        for member in self.members.iter_mut().flatten() {
            let newest = member.raw.newest();
            let lately = |sample: (Millis, f64)| !is_stale(sample.1) && sample.0 > now - reach;
            if newest.is_some_and(lately) && !member.is_live {
                member.is_live = true;
                self.live += 1;
            }
        }
    }

    // --- What is there ---

    /// Whether a series is read here. A group of series goes to one shard as a whole.
    pub fn claim(&self, name: &str, labels: &Labels) -> Claim {
        let Shape {
            selection, share, ..
        } = &self.shape;
        match selection.wants(name, labels) {
            false => Claim::Unwanted,
            // Most of the time nothing is divided.
            true if *share == Share::ALL || share.has(&selection.group(labels)) => Claim::Wanted,
            true => Claim::Foreign,
        }
    }

    /// The series that are read: place, name, labels.
    pub fn places(&self) -> impl Iterator<Item = (u32, &str, &Labels)> {
        let members = self.members.iter().enumerate();
        members.filter_map(|(place, member)| {
            let member = member.as_ref()?;
            Some((place as u32, &*member.name, &member.labels))
        })
    }

    /// The members.
    pub(super) fn all_members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    /// Bytes on the heap, labels included.
    pub fn heap_bytes(&self) -> usize {
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

/// There is no room for another series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for another series")]
pub struct Full;
