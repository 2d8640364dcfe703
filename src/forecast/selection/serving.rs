//! Serving: members are asked, the choice in force says what is published, and where it has no answer the next link.

use super::{
    super::{calibration::Cast, lanes::Lane, reach::Reach, rule::Rule, standby::Source, track},
    Choice, Forecasts, Link, Member, Role, Scratch,
};
use crate::series::Slot;

/// When members are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// On the walk that calibrates, or by somebody who wants to know more.
    Walk,
    Live,
}

/// What everybody expects of one series at one horizon.
pub(super) struct Told<'a> {
    cast: &'a Cast,
    points: &'a [f32],
    others: &'a [f32],
    /// From one row of these to the next, and where in a row it is.
    row: usize,
    place: usize,
    rule: &'a Rule,
    reach: &'a Reach,
    slot: Slot,
    /// Steps ahead that members are asked for, and what of them this is.
    asked: &'a [usize],
    lane: &'a Lane,
    steps: usize,
}

impl Told<'_> {
    /// The expected value of a row of the cast, as it may be published.
    pub(super) fn point(&self, row: usize) -> f32 {
        let cast = self.cast;
        let told = if row < cast.rule() {
            return self.points[row * self.row + self.place];
        } else if row == cast.rule() {
            self.lane.of(|column| self.growth(self.asked[column]))
        } else if row == cast.last_value() {
            self.rule.newest(self.slot)
        } else {
            let place = (row - cast.shadows()) * self.row + self.place;
            self.others.get(place).copied().unwrap_or(f32::NAN)
        };
        self.reach.limit(told, self.steps)
    }

    /// What the rule expects so many steps ahead, as it may be published.
    fn growth(&self, steps: usize) -> f32 {
        let mut told = [f32::NAN];
        self.rule.ahead(self.slot, &[steps], &mut told);
        self.reach.limit(told[0], steps)
    }

    fn chosen(&self, choice: Option<Choice>) -> f32 {
        choice.map_or(f32::NAN, |choice| choice.of(|member| self.point(member)))
    }

    fn of(&self, source: Source, choice: Option<Choice>) -> f32 {
        self.cast.expected(source, choice, |row| self.point(row))
    }
}

impl Forecasts {
    /// Brings what is published up to date, and files the forecasts of origins.
    pub(super) fn publish(&mut self, slots: &[Slot]) {
        self.ask(slots, When::Live);
        self.ask_former(slots);
        let count = self.steps.len();
        let mut origins = Vec::new();
        let (width, levels) = (self.tail_width(), self.levels.len());
        let mut tails = std::mem::take(&mut self.tails);
        for (i, &slot) in slots.iter().enumerate() {
            let origin = self.grid.index(self.now[slot]);
            for h in 0..count {
                let steps = self.steps[h] as i64;
                let wall = self.wall.index(self.now[slot] + steps * self.grid.step());
                let track = &self.tracks[slot * count + h];
                if track.stride == 0 {
                    continue;
                }
                let (bin, choice) = (track.bin(wall), track.choice);
                let usual = choice.map_or(Link::Absent, |choice| self.usual(choice));
                let told = self.told(i, slot, h, slots.len());
                let (chosen, reference) = (told.chosen(choice), told.point(self.cast.reference()));
                let expected = |source| told.of(source, choice);
                let served = track.serve(usual, bin, chosen, expected);
                if let Some(window) = h.checked_sub(self.horizons.len()) {
                    let from = slot * width + window * levels;
                    let own = &mut tails[from..from + levels];
                    let told = track::Told {
                        chosen,
                        other: expected,
                        day_before: self.lanes.day_before(h, self.newest.of(slot)),
                    };
                    track.tail_of(&served, bin, &told, &self.levels, own);
                }
                self.current[slot * count + h] = served;
                let track = &mut self.tracks[slot * count + h];
                let newest = track.newest_target();
                let is_new = newest.is_none_or(|target| target < origin + steps);
                if origin.rem_euclid(track.stride as i64) == 0 && is_new {
                    if !self.bouts.is_empty() {
                        origins.push((i, h));
                    }
                    if chosen.is_finite() {
                        track.forecast(origin + steps, bin, chosen, reference);
                    } else {
                        track.forecast_by_standby(origin + steps, bin, &served, reference);
                    }
                }
            }
        }
        self.tails = tails;
        self.compare(slots, &origins);
    }

    /// Asks everybody about one series once more, for [`Forecasts::quantiles_at`].
    pub(super) fn ask_again(&mut self, slot: Slot) {
        self.ask(&[slot], When::Walk);
        self.ask_former(&[slot]);
    }

    /// Quantiles at one horizon, from whoever serves it.
    pub(super) fn quantiles_at(&self, slot: Slot, h: usize, levels: &[f32], out: &mut [f32]) {
        let place = slot * self.steps.len() + h;
        let (track, served) = (&self.tracks[place], &self.current[place]);
        if served.link == Link::Absent {
            return;
        }
        let steps = self.steps[h] as i64;
        let wall = self.wall.index(self.now[slot] + steps * self.grid.step());
        let (bin, choice) = (track.bin(wall), track.choice);
        let told = self.told(0, slot, h, 1);
        let told = track::Told {
            chosen: told.chosen(choice),
            other: |source| told.of(source, choice),
            day_before: self.lanes.day_before(h, self.newest.of(slot)),
        };
        track.tail_of(served, bin, &told, levels, out);
    }

    /// The link at which a choice is served as long as it has an answer.
    pub(super) fn usual(&self, choice: Choice) -> Link {
        let mut networks = self.cast.networks.iter().enumerate();
        match networks.any(|(member, &is_network)| is_network && choice.has(member)) {
            true => Link::Champion,
            false => Link::Ensemble,
        }
    }

    /// Forecasts of every member and the reference into the scratch buffer.
    pub(super) fn ask(&mut self, slots: &[Slot], when: When) {
        let size = slots.len() * self.steps.len();
        let Scratch { points, asked, .. } = &mut self.scratch;
        points.resize(size * (self.members.len() + 1), f32::NAN);
        asked.resize(slots.len() * self.lanes.asked.len(), f32::NAN);
        let ask = |member: &mut Member, out: &mut [f32]| match when {
            When::Live => member.predict_live(slots, &self.lanes.asked, out),
            When::Walk => member.predict(slots, &self.lanes.asked, out),
        };
        let everyone = self.members.iter_mut().chain([&mut self.reference]);
        for (member, out) in everyone.zip(points.chunks_exact_mut(size.max(1))) {
            if self.lanes.is_plain() {
                ask(member, out);
                limited(slots, &self.reaches, &self.lanes.asked, out);
            } else {
                ask(member, asked);
                limited(slots, &self.reaches, &self.lanes.asked, asked);
                self.lanes.collapse(asked, out);
            }
        }
    }

    /// The former versions of networks, of the series whose choice has no answer at some horizon, into the scratch buffer.
    fn ask_former(&mut self, slots: &[Slot]) {
        self.scratch.others.clear();
        if self.cast.former.iter().all(Option::is_none) {
            return;
        }
        let needy = (0..slots.len()).filter(|&i| self.needs_former(i, slots[i], slots.len()));
        let needy: Vec<usize> = needy.collect();
        self.ask_others(slots, &needy, |role| role == Role::Previous);
    }

    /// Other versions of networks, of those series that are at these positions of `slots`, into the scratch buffer.
    pub(super) fn ask_others(
        &mut self,
        slots: &[Slot],
        positions: &[usize],
        whom: impl Fn(Role) -> bool,
    ) {
        let count = self.steps.len();
        let size = slots.len() * count;
        self.scratch.others.clear();
        if positions.is_empty() {
            return;
        }
        let asked: Vec<Slot> = positions.iter().map(|&i| slots[i]).collect();
        let mut answers = vec![f32::NAN; asked.len() * self.lanes.asked.len()];
        let mut told = vec![f32::NAN; asked.len() * count];
        let whole = self.shadows.len() * size;
        self.scratch.others.resize(whole, f32::NAN);
        let rows = self.scratch.others.chunks_exact_mut(size);
        for (shadow, row) in self.shadows.iter_mut().zip(rows) {
            if whom(shadow.role) {
                shadow
                    .member
                    .predict(&asked, &self.lanes.asked, &mut answers);
                limited(&asked, &self.reaches, &self.lanes.asked, &mut answers);
                self.lanes.collapse(&answers, &mut told);
                for (&i, told) in positions.iter().zip(told.chunks_exact(count)) {
                    row[i * count..(i + 1) * count].copy_from_slice(told);
                }
            }
        }
    }

    /// Whether the choice for the `i`-th of `slots` series has no answer at some horizon, and a former version might.
    fn needs_former(&self, i: usize, slot: Slot, slots: usize) -> bool {
        (0..self.steps.len()).any(|h| {
            let track = &self.tracks[slot * self.steps.len() + h];
            let waits = |source: &Source| *source == Source::Previous;
            let stands_by = track.standbys.iter().any(|standby| waits(&standby.source));
            stands_by
                && !self
                    .told(i, slot, h, slots)
                    .chosen(track.choice)
                    .is_finite()
        })
    }

    /// What is in the scratch buffers about the `i`-th of `slots` series.
    pub(super) fn told(&self, i: usize, slot: Slot, h: usize, slots: usize) -> Told<'_> {
        let count = self.steps.len();
        Told {
            cast: &self.cast,
            points: &self.scratch.points,
            others: &self.scratch.others,
            row: slots * count,
            place: i * count + h,
            rule: &self.rule,
            reach: &self.reaches[slot],
            slot,
            asked: &self.lanes.asked,
            lane: self.lanes.get(h),
            steps: self.steps[h],
        }
    }
}

/// Forecasts as they may be published, rows of all slots one after the other.
pub(super) fn limited(slots: &[Slot], reaches: &[Reach], horizons: &[usize], points: &mut [f32]) {
    let size = slots.len() * horizons.len();
    for row in points.chunks_exact_mut(size.max(1)) {
        for (slot, row) in slots.iter().zip(row.chunks_exact_mut(horizons.len())) {
            for (point, &steps) in row.iter_mut().zip(horizons) {
                *point = reaches[*slot].limit(*point, steps);
            }
        }
    }
}
