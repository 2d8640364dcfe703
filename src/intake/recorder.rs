//! What one signal needs of samples that come by themselves: the newest of each series, and the past on the grid.

use super::{
    Selection,
    deep::Deep,
    is_stale,
    raw::{Put, Raw},
    wide::Wide,
};
use crate::series::{Grid, Labels, Millis, Share};

/// Steps behind the newest that late samples may still change. Whoever reads the last of them again sees it.
pub(super) const MUTABLE_STEPS: i64 = 5;

/// A sender's clock may be so far ahead; Prometheus takes no more from a target either.
const MOST_AHEAD: Millis = 600_000;

/// A series that has been silent for so long after its last sample went out of sight is forgotten.
pub(super) const FORGOTTEN_AFTER: Millis = 600_000;

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
    /// Whether `other` selects the same on the same grid: then both are read from one recorder.
    pub fn shares_recorder(&self, other: &Self) -> bool {
        self.selection == other.selection && self.grid == other.grid
    }

    /// Index of the oldest step that is kept at `now`.
    pub fn oldest(&self, now: Millis) -> i64 {
        self.grid.index(now) - self.history as i64
    }

    /// Samples before this time have no part in what is kept at `now`.
    pub fn begins(&self, now: Millis) -> Millis {
        self.oldest(now) * self.grid.step() - self.selection.reach()
    }

    /// Steps of past that anything is known of, samples that values are made of included.
    pub(super) fn longest(&self) -> i64 {
        let reach = self.selection.reach() / self.grid.step();
        self.history as i64 + MUTABLE_STEPS + reach
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

impl From<Put> for Verdict {
    fn from(put: Put) -> Self {
        match put {
            Put::Stored => Self::Stored,
            Put::Duplicate => Self::Duplicate,
            Put::Conflict => Self::Conflict,
            Put::Old => Self::Old,
            Put::TooMany => Self::TooMany,
        }
    }
}

/// A sample that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: Millis,
    pub(super) value: f64,
    /// The time of the clock.
    pub(super) now: Millis,
    /// What is before is too old.
    pub(super) kept: Millis,
}

/// How series are kept: each as it is in a few bytes, or whatever is made of them with its past.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Deep(Deep),
    Wide(Wide),
}

/// What one signal needs of samples that come by themselves.
#[derive(Debug, Clone)]
pub struct Recorder {
    pub(super) shape: Shape,
    pub(super) body: Body,
    /// Milliseconds behind the newest sample that late ones may have a part in.
    late: Millis,
    /// Milliseconds of [`Shape::longest`].
    longest: Millis,
    /// Time of the newest sample of all. What is kept is counted from here: where all senders were away, what they missed is
    /// taken; where one was, what it missed is too old.
    pub(super) newest: Millis,
    /// Step of the very first sample: who else will come is not known before it is over.
    pub(super) began: Option<i64>,
}

impl Recorder {
    /// One that knows nothing yet.
    pub fn new(shape: Shape) -> Self {
        let body = match Wide::new(&shape) {
            Some(wide) => Body::Wide(wide),
            None => Body::Deep(Deep::default()),
        };
        let mut new = Self {
            shape: shape.clone(),
            body,
            late: 0,
            longest: 0,
            newest: Millis::MIN,
            began: None,
        };
        drop(new.reshape(shape));
        new
    }

    /// What it is for.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Takes over what another one was for, of the same selection and grid: how much past, how many series, which share of
    /// them. Gives the places of series that are read no more.
    pub fn reshape(&mut self, shape: Shape) -> Vec<u32> {
        let narrower = !shape.share.covers(&self.shape.share);
        let step = shape.grid.step();
        self.late = MUTABLE_STEPS * step + shape.selection.reach();
        self.longest = shape.longest() * step;
        if let Body::Wide(wide) = &self.body
            && Wide::new(&shape).is_none()
        {
            self.body = Body::Deep(wide.deepened(&shape, self.newest));
        }
        self.shape = shape;
        match (narrower, &mut self.body) {
            (false, _) => Vec::new(),
            (true, Body::Deep(deep)) => deep.forget_foreign(&self.shape.share),
            (true, Body::Wide(wide)) => wide.forget_foreign(&self.shape.share),
        }
    }

    /// Series that are read.
    pub fn members(&self) -> usize {
        match &self.body {
            Body::Deep(deep) => deep.members(),
            Body::Wide(wide) => wide.members(),
        }
    }

    // --- Samples ---

    /// The place of a series that has none yet, or why it has none: `None` where it is not wanted or what is made of it is
    /// another shard's, an error where there are too many.
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
        Ok(Some(self.place((name, labels), Raw::default(), now)))
    }

    /// Gives a series with these samples a place.
    pub(super) fn place(&mut self, series: (&str, &Labels), raw: Raw, now: Millis) -> u32 {
        match &mut self.body {
            Body::Deep(deep) => deep.place(&self.shape, series, raw, now),
            Body::Wide(wide) => wide.place(series, &raw, now),
        }
    }

    /// Takes in a sample of the series at `place`; `now` is the time of the clock.
    pub fn take(&mut self, place: u32, at: Millis, value: f64, now: Millis) -> Verdict {
        if at > now.saturating_add(MOST_AHEAD) {
            return Verdict::Ahead;
        }
        if !value.is_finite() && !is_stale(value) {
            return Verdict::NotFinite;
        }
        self.follow_clock(now);
        let newest = self.newest.max(at).min(now);
        let kept = newest.saturating_sub(self.late);
        let sample = Sample {
            at,
            value,
            now,
            // However long it was away: before that nothing is kept, and somebody's clock is wrong.
            kept: kept.max(now.saturating_sub(self.longest)),
        };
        let verdict = match &mut self.body {
            Body::Deep(deep) => deep.take(&self.shape, place, &sample),
            Body::Wide(wide) => wide.take(place, &sample),
        };
        if verdict != Verdict::Stored {
            return verdict;
        }
        self.newest = newest;
        if self.began.is_none() {
            self.began = Some(self.shape.grid.index(at));
        }
        if let Body::Deep(deep) = &mut self.body {
            deep.changed(&self.shape, at, newest);
        }
        verdict
    }

    /// Time of the newest sample of all; nothing where none came.
    pub fn newest(&self) -> Option<Millis> {
        (self.newest > Millis::MIN).then_some(self.newest)
    }

    /// The newest grid time of which every series that is expected to have a sample has one: what there is to know of it
    /// is known.
    pub fn complete(&self) -> Option<Millis> {
        let whole = match &self.body {
            Body::Deep(deep) => deep.complete(),
            Body::Wide(wide) => wide.complete(),
        };
        let known = whole.filter(|index| self.began < Some(*index));
        known.map(|index| index * self.shape.grid.step())
    }

    // --- Values ---

    /// Tells the values from grid time `start` to `end` of at most `max_series` series of `share`, sorted by labels; returns
    /// how many series were left out: those that are gone and those that came last, so that a flood of new ones takes the place of none. Values that
    /// may have changed since are computed anew.
    pub fn range(
        &mut self,
        (start, end): (Millis, Millis),
        (max_series, share): (usize, &Share),
        mut tell: impl FnMut(&Labels, Vec<(Millis, f64)>),
    ) -> LeftOut {
        let grid = self.shape.grid;
        let (first, last) = (grid.index(start), grid.index(end));
        self.compute_until(last);
        let (mut known, mut left) = (Vec::new(), LeftOut::default());
        for row in self.by_seniority(max_series) {
            let labels = self.label(row);
            let mut samples = Vec::new();
            self.read(row, (first, last), |index, value| {
                samples.push((index * grid.step(), f64::from(value)));
            });
            if samples.is_empty() {
                continue;
            }
            if !share.has(labels) {
                left.foreign += 1;
            } else if known.len() < max_series {
                known.push((labels, samples));
            } else {
                left.over += 1;
            }
        }
        known.sort_unstable_by_key(|(labels, _)| *labels);
        for (labels, samples) in known {
            tell(labels, samples);
        }
        left
    }

    /// Tells the values of a row from step `first` to `last`, but for gaps.
    fn read(&self, row: usize, steps: (i64, i64), tell: impl FnMut(i64, f32)) {
        match &self.body {
            Body::Deep(deep) => deep.read(row, steps, tell),
            Body::Wide(wide) => wide.read(row, steps, tell),
        }
    }

    /// Series that are made, those that are forgotten and have their number still included. A row of [`Recorder::columns`] is that of
    /// the series with this number.
    pub fn rows(&self) -> usize {
        match &self.body {
            Body::Deep(deep) => deep.made.len(),
            Body::Wide(wide) => wide.rows(),
        }
    }

    /// The labels of the rows from `first` on.
    pub fn labels_from(&self, first: usize) -> impl Iterator<Item = &Labels> {
        (first..self.rows()).map(|row| self.label(row))
    }

    fn label(&self, row: usize) -> &Labels {
        match &self.body {
            Body::Deep(deep) => &deep.made[row].labels,
            Body::Wide(wide) => wide.labels(row),
        }
    }

    /// Another number whenever rows stand for other series than before. New series are appended, which changes nothing.
    pub fn numbering(&self) -> u64 {
        match &self.body {
            Body::Deep(deep) => deep.numbering,
            Body::Wide(wide) => wide.numbering,
        }
    }

    /// The values from grid time `start` to `end`, one column of [`Recorder::rows`] values a grid time, a gap being `NaN`, of the series
    /// that [`Recorder::range`] tells, with its values; and how many were left out.
    pub fn columns(
        &mut self,
        (start, end): (Millis, Millis),
        (max_series, share): (usize, &Share),
    ) -> (Vec<f32>, LeftOut) {
        let grid = self.shape.grid;
        let (first, last) = (grid.index(start), grid.index(end));
        self.compute_until(last);
        let rows = self.rows();
        let mut values = vec![f32::NAN; rows * (last - first + 1).max(0) as usize];
        let (mut told, mut left) = (0, LeftOut::default());
        // There is nothing of others: no labels need to be hashed.
        let all_own = share.covers(&self.shape.share);
        for row in self.by_seniority(max_series) {
            let is_own = all_own || share.has(self.label(row));
            let mut any = false;
            self.read(row, (first, last), |index, value| {
                any = true;
                if is_own && told < max_series {
                    values[(index - first) as usize * rows + row] = value;
                }
            });
            match any {
                true if !is_own => left.foreign += 1,
                true if told < max_series => told += 1,
                true => left.over += 1,
                false => {}
            }
        }
        (values, left)
    }

    /// The rows: where there may be more than `max_series`, those that are there before those that are gone. Each in the order in
    /// which they came.
    fn by_seniority(&self, max_series: usize) -> impl Iterator<Item = usize> + use<> {
        let rows = self.rows();
        // There may be a million of them, of which mostly none is left out.
        let order = (rows > max_series).then(|| {
            let is_live = match &self.body {
                Body::Deep(deep) => deep.live_rows(),
                Body::Wide(wide) => wide.live_rows(),
            };
            let mut order: Vec<usize> = (0..rows).collect();
            order.sort_by_key(|row| !is_live[*row]);
            order
        });
        (0..rows).map(move |place| order.as_ref().map_or(place, |order| order[place]))
    }

    /// The values at `at`, any time, in the order in which their series came. There is none of what is made of series half of which and more have gone
    /// silent without an end, until they are forgotten: whoever sent them is away, and without them a sum would be too low.
    pub fn instant(&mut self, at: Millis) -> Vec<(Labels, f64)> {
        match &mut self.body {
            Body::Deep(deep) => deep.instant(&self.shape, at),
            Body::Wide(wide) => wide.instant(at),
        }
    }

    /// Computes every step up to `last` that was not yet, and those again that samples came of since.
    pub fn compute_until(&mut self, last: i64) {
        // Of a wide signal there is nothing to compute: steps are kept as their samples come.
        if let Body::Deep(deep) = &mut self.body {
            deep.compute_until(&self.shape, self.newest, last);
        }
    }

    /// Finds out whether the clock was ahead and was set back: then samples may be of its former time, or only what was computed,
    /// where senders were right all the while.
    fn follow_clock(&mut self, now: Millis) {
        let most = now.saturating_add(MOST_AHEAD);
        let computed = match &self.body {
            Body::Deep(deep) => deep.reached,
            Body::Wide(_) => None,
        };
        if self.newest > most || computed > Some(self.shape.grid.index(most)) {
            self.forget_after(now);
        }
    }

    /// Lets go of what is after `now`: the clock was ahead and was set back.
    pub(super) fn forget_after(&mut self, now: Millis) {
        match &mut self.body {
            Body::Deep(deep) => deep.forget_after(&self.shape, now),
            Body::Wide(wide) => wide.forget_after(now),
        }
        let index = self.shape.grid.index(now);
        self.newest = self.newest.min(now);
        self.began = self.began.map(|began| began.min(index));
    }

    /// Goes on after it was put away: computes again what is after step `reached`, and expects more samples of those that had some
    /// lately.
    pub(super) fn wake(&mut self, reached: Option<i64>, now: Millis) {
        let index = self.shape.grid.index(now);
        let reached = reached.filter(|reached| *reached <= index);
        match &mut self.body {
            Body::Deep(deep) => deep.wake(&self.shape, reached, now),
            Body::Wide(wide) => wide.wake(self.shape.selection.reach(), now),
        }
    }

    // --- What goes ---

    /// Forgets what is older than it has to keep, and members that were silent for long; gives the places of those.
    pub fn tidy(&mut self, now: Millis) -> Vec<u32> {
        self.follow_clock(now);
        match &mut self.body {
            Body::Deep(deep) => deep.tidy(&self.shape, now),
            Body::Wide(wide) => wide.tidy(&self.shape, now),
        }
    }

    /// Moves series together once an eighth of the places are of none. Where it does, it tells the new place of each by its old
    /// one; that of one that is not there is `u32::MAX`.
    pub fn compact(&mut self) -> Option<Vec<u32>> {
        match &mut self.body {
            Body::Deep(_) => None,
            Body::Wide(wide) => wide.compact(),
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
        let (deep, wide) = match &self.body {
            Body::Deep(deep) => (Some(deep), None),
            Body::Wide(wide) => (None, Some(wide)),
        };
        let deep = deep.into_iter().flat_map(Deep::places);
        let wide = wide.into_iter().flat_map(Wide::places);
        deep.map(|(place, name, labels, _)| (place, name, labels))
            .chain(wide)
    }

    /// Bytes on the heap, labels included.
    pub fn heap_bytes(&self) -> usize {
        match &self.body {
            Body::Deep(deep) => deep.heap_bytes(),
            Body::Wide(wide) => wide.heap_bytes(),
        }
    }
}

/// There is no room for another series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for another series")]
pub struct Full;
