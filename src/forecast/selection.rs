//! All forecasts of a shard: members, the choice among them, intervals, and trust.
//!
//! At a rebuild the members are fitted to the older part of the past and carried through the rest of
//! it without looking ahead; what they forecast at aligned origins on the way decides which one (or
//! a mean of the best two) is used at each horizon, and calibrates its interval. On the way they are
//! fitted anew some times, the last time to all but the newest eighth of the past. Between rebuilds
//! members are carried on, and forecasts that come due adapt the interval; the choice stays. Where it has no
//! answer, another link of the chain serves; see [`super::standby`].

mod compare;
mod derive;
mod serving;

use super::{
    Asked, FailureReason, Interval, Link, ModelFiles, Role, Settings, Trust,
    calibration::Cast,
    choice::Choice,
    contest::{Bout, Score},
    health::Health,
    lanes::{Lanes, Newest},
    member::Member,
    reach::Reach,
    rule::Rule,
    seasonal_naive::SeasonalNaive,
    track::{Served, Track},
    wall::Wall,
};
use crate::{
    series::{Grid, Millis, Past, Slot, swap_rows},
    stats::robust::median_of,
};

/// Below this many values nothing is forecast.
const LEAST_PAST: usize = 30;

/// The forecasts of all series of one shard.
#[derive(Debug)]
pub struct Forecasts {
    grid: Grid,
    horizons: Vec<usize>,
    lanes: Lanes,
    /// Steps ahead of all that is forecast: the horizons, then the windows. What follows says horizon of both.
    steps: Vec<usize>,
    /// By horizon, then window: values of a past that must be known.
    least_known: Vec<usize>,
    interval: f32,
    members: Vec<Member>,
    /// What skill is measured against.
    reference: Member,
    rule: Rule,
    newest: Newest,
    shadows: Vec<Shadow>,
    cast: Cast,
    /// The networks whose versions are compared.
    bouts: Vec<Bout>,
    /// By bout, then slot, horizons inner.
    scores: Vec<Vec<Score>>,
    wall: Wall,
    /// By slot: newest grid time taken in.
    now: Vec<Millis>,
    /// By slot: what its past and the steps since have shown.
    reaches: Vec<Reach>,
    health: Health,
    /// By slot, horizons inner.
    tracks: Vec<Track>,
    /// By slot, horizons inner: what is published now.
    current: Vec<Served>,
    /// Of the greatest value within a window: the levels of the quantiles that are kept up.
    levels: Vec<f32>,
    /// By slot, then window, levels inner.
    tails: Vec<f32>,
    scratch: Scratch,
}

/// The name of the newest network, where another has it too.
fn twice(members: &[Member]) -> Option<String> {
    let (newest, others) = members.split_last()?;
    let name = newest.is_network().then(|| newest.name())?;
    let mut others = others.iter();
    others
        .any(|other| other.is_network() && other.name() == name)
        .then_some(name)
}

/// Another version of the network of a member.
#[derive(Debug)]
struct Shadow {
    /// Which member.
    of: usize,
    role: Role,
    member: Member,
}

/// Buffers kept between steps.
#[derive(Debug, Default)]
struct Scratch {
    slots: Vec<Slot>,
    values: Vec<f32>,
    /// By member (the reference last), then slot, horizons inner.
    points: Vec<f32>,
    /// By shadow, then slot, horizons inner; empty where none was asked.
    others: Vec<f32>,
    /// By slot, what one member was asked for inner.
    asked: Vec<f32>,
}

impl Forecasts {
    /// Forecasts without any series yet.
    ///
    /// # Errors
    /// What a person can change: a horizon that the grid does not have, a model file that is missing
    /// or cannot be run.
    pub fn build(settings: &Settings, grid: Grid, files: &ModelFiles) -> Result<Self, String> {
        let horizons = settings.horizon_steps(grid).map_err(|problems| {
            let texts: Vec<String> = problems
                .into_iter()
                .map(|(field, text)| format!("{field}: {text}"))
                .collect();
            texts.join("; ")
        })?;
        let windows = settings.all_windows().into_iter();
        let windows: Vec<usize> = windows.map(|span| grid.steps(span.as_millis())).collect();
        let lanes = Lanes::new(&horizons, &windows, grid);
        let asked = &lanes.asked;
        let (mut members, mut shadows) = (Vec::new(), Vec::new());
        for (of, model) in settings.members().into_iter().enumerate() {
            let model = model.answering(&horizons);
            members.push(Member::new(model.build(grid, asked, files)?));
            if let Some(twice) = twice(&members) {
                return Err(format!(
                    "two networks are called {twice}; what is published of them could not be told apart"
                ));
            }
            for (role, built) in model.build_shadows(grid, asked, files)? {
                let member = Member::new(built);
                shadows.push(Shadow { of, role, member });
            }
        }
        let least_known = lanes.steps().into_iter();
        let least_known = least_known.map(|steps| settings.least_known(grid, steps));
        let mut forecasts = Self {
            grid,
            least_known: least_known.collect(),
            horizons,
            steps: lanes.steps(),
            interval: settings.interval as f32,
            members,
            reference: Member::new(Box::new(SeasonalNaive::shortest(grid))),
            rule: Rule::new(grid),
            newest: Newest::new(&lanes),
            lanes,
            shadows,
            cast: Cast::default(),
            bouts: Vec::new(),
            scores: Vec::new(),
            wall: Wall::new(grid),
            now: Vec::new(),
            reaches: Vec::new(),
            health: Health::new(grid),
            tracks: Vec::new(),
            current: Vec::new(),
            levels: settings.levels.clone(),
            tails: Vec::new(),
            scratch: Scratch::default(),
        };
        forecasts.set_cast();
        Ok(forecasts)
    }

    /// The horizons in steps, shortest first.
    pub fn horizons(&self) -> &[usize] {
        &self.horizons
    }

    /// The windows in steps, shortest first.
    pub fn windows(&self) -> &[usize] {
        &self.steps[self.horizons.len()..]
    }

    /// Makes room for `slots` series in all; new ones know nothing.
    pub fn grow(&mut self, slots: usize) {
        self.everyone().for_each(|member| member.grow(slots));
        self.rule.grow(slots);
        self.newest.grow(slots);
        self.now.resize(slots, Millis::MIN);
        self.reaches.resize(slots, Reach::NOTHING);
        self.health.grow(slots);
        self.tracks
            .resize_with(slots * self.steps.len(), Track::default);
        self.current
            .resize(slots * self.steps.len(), Served::NOTHING);
        self.tails.resize(slots * self.tail_width(), f32::NAN);
        for scores in &mut self.scores {
            scores.resize_with(slots * self.steps.len(), Score::default);
        }
    }

    /// Forgets one series.
    pub fn evict(&mut self, slot: Slot) {
        self.everyone().for_each(|member| member.evict(slot));
        self.rule.evict(slot);
        self.now[slot] = Millis::MIN;
        self.reaches[slot] = Reach::NOTHING;
        self.health.evict(slot);
        let range = self.range(slot);
        self.tracks[range.clone()].fill_with(Track::default);
        for scores in &mut self.scores {
            scores[range.clone()].fill_with(Score::default);
        }
        self.current[range].fill(Served::NOTHING);
        let width = self.tail_width();
        self.tails[slot * width..(slot + 1) * width].fill(f32::NAN);
    }

    /// Exchanges what is known of two series.
    pub fn swap(&mut self, one: Slot, other: Slot) {
        self.everyone().for_each(|member| member.swap(one, other));
        self.rule.swap(one, other);
        self.newest.swap(one, other);
        self.now.swap(one, other);
        self.reaches.swap(one, other);
        self.health.swap(one, other);
        swap_rows(&mut self.tracks, self.steps.len(), one, other);
        swap_rows(&mut self.current, self.steps.len(), one, other);
        let width = self.tail_width();
        swap_rows(&mut self.tails, width, one, other);
        for scores in &mut self.scores {
            swap_rows(scores, self.steps.len(), one, other);
        }
    }

    /// Derives the state of one series from its past alone, up to and including `past.end`.
    pub fn rebuild(&mut self, slot: Slot, past: &Past<'_>) {
        self.evict(slot);
        let shortest = self.least_known.iter().min();
        if past.values.len() < LEAST_PAST || shortest.is_none_or(|&least| past.known() < least) {
            return;
        }
        self.wall.set_zone(past.zone);
        self.calibrate(slot, past);
        self.health.derive(slot, past, &self.wall);
        self.now[slot] = past.end;
        self.publish(&[slot]);
    }

    /// Takes in the values at grid time `at` (`NaN` where missing). Series whose past already holds
    /// `at` (a rebuild at this very time) stay as they are.
    pub fn step(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        if self.steps.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.scratch.slots);
        let mut taken = std::mem::take(&mut self.scratch.values);
        fresh.clear();
        taken.clear();
        for (&slot, &value) in slots.iter().zip(values) {
            if self.now[slot] != Millis::MIN && self.now[slot] < at {
                fresh.push(slot);
                taken.push(value);
                self.now[slot] = at;
                self.reaches[slot].see(value);
                self.rule.see(slot, value);
                self.newest.see(slot, value);
            }
        }
        for member in self.everyone() {
            member.extend(at, &fresh, &taken);
        }
        let wall = self.wall.index(at);
        self.health.step(wall, &fresh, &taken);
        self.resolve(at, &fresh, &taken);
        self.publish(&fresh);
        self.scratch.slots = fresh;
        self.scratch.values = taken;
    }

    /// What is published now: `out[i * horizons + j]` is that of `slots[i]` at the `j`-th horizon.
    pub fn intervals(&self, slots: &[Slot], out: &mut [Interval]) {
        self.published(slots, 0, self.horizons.len(), out);
    }

    /// As [`Forecasts::intervals`], of the greatest value within each of the windows.
    pub fn maxima(&self, slots: &[Slot], out: &mut [Interval]) {
        self.published(slots, self.horizons.len(), self.windows().len(), out);
    }

    /// Quantiles of the greatest value within each of the windows at the levels of the settings, as they are kept up:
    /// `out[(i * windows + w) * levels + l]` is that of `slots[i]`; `NaN` where nothing is published.
    pub fn tails(&self, slots: &[Slot], out: &mut [f32]) {
        let width = self.tail_width();
        if width == 0 {
            return;
        }
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(width)) {
            row.copy_from_slice(&self.tails[slot * width..(slot + 1) * width]);
        }
    }

    /// Quantiles of the future of one series: `out[h * levels.len() + l]` is the value that is not
    /// exceeded at the `h`-th horizon with probability `levels[l]` (0 to 1), never falling with it; `NaN`
    /// where nothing is published.
    pub fn quantiles(&mut self, slot: Slot, levels: &[f32], out: &mut [f32]) {
        self.quantiles_from(0, slot, levels, out);
    }

    /// As [`Forecasts::quantiles`], of the greatest value within each of the windows.
    pub fn quantiles_of_maxima(&mut self, slot: Slot, levels: &[f32], out: &mut [f32]) {
        self.quantiles_from(self.horizons.len(), slot, levels, out);
    }

    fn published(&self, slots: &[Slot], from: usize, count: usize, out: &mut [Interval]) {
        if count == 0 {
            return;
        }
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(count)) {
            let own = &self.current[self.range(slot)][from..];
            for (out, served) in row.iter_mut().zip(own) {
                *out = served.interval;
            }
        }
    }

    fn quantiles_from(&mut self, from: usize, slot: Slot, levels: &[f32], out: &mut [f32]) {
        out.fill(f32::NAN);
        if from == self.steps.len() || levels.is_empty() {
            return;
        }
        self.ask_again(slot);
        for (h, row) in out.chunks_exact_mut(levels.len()).enumerate() {
            self.quantiles_at(slot, from + h, levels, row);
        }
    }

    /// How far the forecasts of a series at the `h`-th horizon can be trusted; `None` before any came due.
    pub fn trust(&self, slot: Slot, h: usize) -> Option<Trust> {
        self.tracks[slot * self.steps.len() + h].trust()
    }

    /// As [`Forecasts::trust`], of the greatest value within the `w`-th window.
    pub fn trust_of_maximum(&self, slot: Slot, w: usize) -> Option<Trust> {
        self.trust(slot, self.horizons.len() + w)
    }

    /// How far a series has drifted from what its forecasts were derived from, 1 at the threshold: the greater of what its
    /// newest day and its errors say; `NaN` while neither is known.
    pub fn drift(&self, slot: Slot) -> f32 {
        let [inputs, errors] = self.drifts(slot);
        inputs.max(errors)
    }

    /// The two parts of [`Forecasts::drift`]: what its newest day says, and what its errors say,
    /// the median over its horizons.
    pub fn drifts(&self, slot: Slot) -> [f32; 2] {
        let tracks = self.tracks[self.range(slot)][..self.horizons.len()].iter();
        let mut errors: Vec<f32> = tracks
            .map(Track::drift)
            .filter(|score| score.is_finite())
            .collect();
        [self.health.inputs(slot), median_of(&mut errors)]
    }

    /// The forecaster chosen for a series at the `h`-th horizon.
    pub fn model(&self, slot: Slot, h: usize) -> Option<&'static str> {
        match self.tracks[slot * self.steps.len() + h].choice? {
            Choice::One(member) => Some(self.members[member].kind()),
            Choice::Two(..) => Some("mean_of_two"),
        }
    }

    /// The link of the chain that serves a series at the `h`-th horizon now.
    pub fn link(&self, slot: Slot, h: usize) -> Link {
        self.current[slot * self.steps.len() + h].link
    }

    /// Whether something else serves than what was chosen; a series for which nothing was chosen has not fallen back.
    pub fn has_fallen_back(&self, slot: Slot, h: usize) -> bool {
        let choice = self.tracks[slot * self.steps.len() + h].choice;
        choice.is_some_and(|choice| self.usual(choice) != self.link(slot, h))
    }

    /// The versions of the networks among the members called `model`, such as `checkout/7`.
    pub fn versions(&self, model: &str) -> impl Iterator<Item = String> {
        let members = self.members.iter();
        let of = members.filter(move |member| member.kind() == model);
        of.filter_map(|member| member.version())
    }

    /// How often members failed since the last call: forecaster, reason, times. Those that never did are told too.
    pub fn take_failures(&mut self) -> impl Iterator<Item = (&'static str, FailureReason, u64)> {
        self.everyone().flat_map(|member| {
            let kind = member.kind();
            let reasons = FailureReason::ALL.into_iter();
            let times = reasons.zip(member.take_failures());
            times.map(move |(reason, times)| (kind, reason, times))
        })
    }

    /// The networks among the members: what each is called, and how it did in the newest step.
    pub fn networks(&self) -> impl Iterator<Item = (String, Asked)> {
        let networks = self.members.iter().filter(|member| member.is_network());
        networks.map(|member| (member.name(), member.asked()))
    }

    /// After all shards of a signal have stepped: by network, in the order of [`Forecasts::networks`], whether it
    /// answered any series of the signal, and whether it rests at the next step.
    pub fn settle(&mut self, verdicts: impl Iterator<Item = (bool, bool)>) {
        let members = self.members.iter_mut();
        let networks = members.filter(|member| member.is_network());
        for (member, (answers, rests)) in networks.zip(verdicts) {
            member.settle(answers, rests);
        }
    }

    /// Bytes of state, all series together.
    pub fn heap_bytes(&self) -> usize {
        let shadows = self.shadows.iter().map(|shadow| &shadow.member);
        let members = self.members.iter().chain([&self.reference]).chain(shadows);
        let tracks: usize = self.tracks.iter().map(Track::heap_bytes).sum();
        let scores = self.scores.iter().flatten();
        let scores = scores.map(|score| size_of::<Score>() + score.heap_bytes());
        members.map(Member::heap_bytes).sum::<usize>()
            + tracks
            + scores.sum::<usize>()
            + self.rule.heap_bytes()
            + self.newest.heap_bytes()
            + self.tracks.capacity() * size_of::<Track>()
            + self.current.capacity() * size_of::<Served>()
            + self.tails.capacity() * size_of::<f32>()
            + self.now.capacity() * size_of::<Millis>()
            + self.reaches.capacity() * size_of::<Reach>()
            + self.health.heap_bytes()
            + (self.scratch.points.capacity() + self.scratch.others.capacity()) * size_of::<f32>()
    }

    /// Quantiles kept up of one series.
    fn tail_width(&self) -> usize {
        self.windows().len() * self.levels.len()
    }

    fn range(&self, slot: Slot) -> std::ops::Range<usize> {
        let count = self.steps.len();
        slot * count..(slot + 1) * count
    }

    /// Works out whose forecasts lie where.
    fn set_cast(&mut self) {
        self.cast = Cast {
            networks: self.members.iter().map(Member::is_network).collect(),
            of_maxima: self.members.iter().map(Member::is_of_maxima).collect(),
            former: vec![None; self.members.len()],
            rows: 0,
        };
        let first = self.cast.shadows();
        self.cast.rows = first + self.shadows.len();
        for (place, shadow) in self.shadows.iter().enumerate() {
            if shadow.role == Role::Previous {
                self.cast.former[shadow.of] = Some(first + place);
            }
        }
        self.bouts = self.bouts();
        self.scores = vec![Vec::new(); self.bouts.len()];
    }

    /// The members, the reference, and the other versions.
    fn everyone(&mut self) -> impl Iterator<Item = &mut Member> {
        let shadows = self.shadows.iter_mut().map(|shadow| &mut shadow.member);
        let members = self.members.iter_mut().chain([&mut self.reference]);
        members.chain(shadows)
    }

    /// Forecasts that come due at `at` meet their actual value.
    fn resolve(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let index = self.grid.index(at);
        let count = self.steps.len();
        for (&slot, &value) in slots.iter().zip(values) {
            let newest = self.newest.of(slot);
            let tracks = &mut self.tracks[slot * count..(slot + 1) * count];
            for (h, track) in tracks.iter_mut().enumerate() {
                while let Some(due) = track.due(index) {
                    let actual = match (due.target == index, h < self.horizons.len()) {
                        (false, _) => f32::NAN,
                        (true, true) => value,
                        (true, false) => self.lanes.get(h).actual(newest),
                    };
                    track.resolve(&due, actual);
                }
            }
            let range = slot * count..(slot + 1) * count;
            for score in self
                .scores
                .iter_mut()
                .flat_map(|all| &mut all[range.clone()])
            {
                score.resolve(index, self.grid, |target| {
                    if target == index { value } else { f32::NAN }
                });
            }
        }
    }
}

#[cfg(test)]
impl Forecasts {
    /// A further member.
    pub(super) fn insert(&mut self, member: Box<dyn super::Forecaster>) {
        self.members.push(Member::new(member));
        self.set_cast();
    }

    /// Another version of the newest member.
    pub(super) fn insert_shadow(&mut self, role: Role, member: Box<dyn super::Forecaster>) {
        let (of, member) = (self.members.len() - 1, Member::new(member));
        self.shadows.push(Shadow { of, role, member });
        self.set_cast();
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod windows;
