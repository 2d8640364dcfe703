//! Where samples that come by themselves meet the signals that read them.

use crate::{
    intake::{Claim, Full, Recorder, Shape, Verdict},
    series::{Labels, Millis, Share},
    telemetry::IntakeEvents,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::watch;

/// What a signal reads of a hub: its selection as text and the step of its grid are its name.
pub type Subscription = Shape;

/// Where the samples of one series go. Asked for once and used while [`Hub::generation`] is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    index: u32,
    version: u32,
}

impl Route {
    /// Nobody wants it.
    pub const NOWHERE: Self = Self {
        index: u32::MAX,
        version: 0,
    };

    /// Other shards carry what is made of it.
    pub const ELSEWHERE: Self = Self {
        index: u32::MAX,
        version: 1,
    };

    /// Whether samples that go there are kept.
    pub fn is_kept(self) -> bool {
        self.index != u32::MAX
    }

    /// The route of this number.
    #[cfg(test)]
    pub(crate) const fn of(index: u32) -> Self {
        Self { index, version: 0 }
    }
}

/// What became of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// How many had which verdict, in the order of [`Verdict::ALL`].
    verdicts: [u64; Verdict::ALL.len()],
    /// Samples of what other shards carry.
    pub foreign: u64,
    /// Samples that nobody wants.
    pub unwanted: u64,
    /// Samples of routes that are no more: their series was silent for so long that it was forgotten.
    pub lost: u64,
}

impl Taken {
    /// How many samples had this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        Verdict::ALL
            .iter()
            .zip(self.verdicts)
            .find_map(|(own, count)| (*own == verdict).then_some(count))
            .unwrap_or(0)
    }

    fn count(&mut self, verdict: Verdict) {
        let place = Verdict::ALL.iter().position(|own| *own == verdict);
        if let Some(count) = place.and_then(|place| self.verdicts.get_mut(place)) {
            *count += 1;
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in self.verdicts.iter_mut().zip(other.verdicts) {
            *own += more;
        }
        self.foreign += other.foreign;
        self.unwanted += other.unwanted;
        self.lost += other.lost;
    }
}

/// Where samples that come by themselves meet the signals that read them. Shared by those who put in and those who ask.
#[derive(Debug)]
pub struct Hub {
    name: String,
    events: Arc<IntakeEvents>,
    generation: AtomicU64,
    max_series: AtomicUsize,
    state: Mutex<State>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new("", Self::MOST_SERIES, Arc::default())
    }
}

#[derive(Debug, Default)]
struct State {
    seats: Vec<Option<Seat>>,
    routes: Vec<Entry>,
    vacant: Vec<u32>,
    by_series: HashMap<Series, u32>,
}

/// One signal's recorder and who waits for it.
#[derive(Debug)]
struct Seat {
    recorder: Recorder,
    arrivals: watch::Sender<Millis>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Series {
    name: Box<str>,
    labels: Labels,
}

#[derive(Debug)]
struct Entry {
    version: u32,
    /// None where the place is vacant.
    series: Option<Series>,
    /// Seats, and the places of the series in their recorders.
    to: Vec<(u32, u32)>,
}

impl Hub {
    /// What one process can carry.
    pub const MOST_SERIES: usize = 1_000_000;

    /// The hub of a source, which nobody reads yet; it takes at most `max_series` series that are wanted.
    pub fn new(name: &str, max_series: usize, events: Arc<IntakeEvents>) -> Self {
        Self {
            name: name.to_owned(),
            events,
            generation: AtomicU64::new(1),
            max_series: AtomicUsize::new(max_series),
            state: Mutex::default(),
        }
    }

    /// Changes how many series it takes. Those that it has stay.
    pub fn limit(&self, max_series: usize) {
        self.max_series.store(max_series, Ordering::Relaxed);
    }

    // --- Those who put in ---

    /// Changes when signals come or go: routes must then be asked for anew.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Where samples of the series go; `labels` are without the metric's name.
    pub fn route(&self, name: &str, labels: &Labels, now: Millis) -> Route {
        let mut state = self.state();
        let series = Series {
            name: name.into(),
            labels: labels.clone(),
        };
        if let Some(index) = state.by_series.get(&series).copied() {
            state.complete(index, now);
            return state.route(index);
        }
        let (mut to, mut refused, mut foreign) = (Vec::new(), false, false);
        let most = self.max_series.load(Ordering::Relaxed);
        let room = state.by_series.len() < most;
        for (number, seat) in state.seats.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            match seat.recorder.claim(name, labels) {
                Claim::Unwanted => continue,
                Claim::Foreign => foreign = true,
                Claim::Wanted if !room => refused = true,
                Claim::Wanted => match seat.recorder.admit(name, labels, now) {
                    Ok(place) => to.extend(place.map(|place| (number as u32, place))),
                    Err(Full) => refused = true,
                },
            }
        }
        let route = match (to.is_empty(), foreign && !refused) {
            (false, _) => state.enter(series, to),
            (true, true) => Route::ELSEWHERE,
            (true, false) => Route::NOWHERE,
        };
        drop(state);
        if refused {
            self.events.refused(&self.name, name, most);
        }
        route
    }

    /// Takes in samples: route, milliseconds, value. A series ends with [`crate::intake::STALE_NAN`]. `now` is the time of
    /// the clock.
    pub fn take(&self, samples: &[(Route, Millis, f64)], now: Millis) -> Taken {
        let mut taken = Taken::default();
        let mut state = self.state();
        let State { seats, routes, .. } = &mut *state;
        let mut touched = BTreeSet::new();
        for &(route, at, value) in samples {
            if !route.is_kept() {
                let count = match route {
                    Route::ELSEWHERE => &mut taken.foreign,
                    _ => &mut taken.unwanted,
                };
                *count += 1;
                continue;
            }
            let entry = routes.get(route.index as usize);
            let Some(entry) = entry.filter(|entry| entry.version == route.version) else {
                taken.lost += 1;
                continue;
            };
            // A sample that two signals read is one sample; what the first says of it is said.
            let mut first = None;
            for &(number, place) in &entry.to {
                if let Some(seat) = seats.get_mut(number as usize).and_then(Option::as_mut) {
                    let verdict = seat.recorder.take(place, at, value, now);
                    first.get_or_insert(verdict);
                    touched.insert(number);
                }
            }
            first.into_iter().for_each(|verdict| taken.count(verdict));
        }
        for number in touched {
            if let Some(Some(seat)) = seats.get(number as usize) {
                seat.tell();
            }
        }
        drop(state);
        self.events.taken(&self.name, &taken);
        taken
    }

    // --- Those who ask ---

    /// Gives `subscription` a recorder, or that of another signal that selects the same; with more past or series where it
    /// asks for more. Less is for [`Hub::retain`] to say, which knows all who select it.
    /// `restored` is what a former process knew of it.
    pub fn subscribe(&self, subscription: Subscription, restored: Option<Recorder>) {
        let mut state = self.state();
        let State { seats, .. } = &mut *state;
        let mut own = seats.iter_mut().flatten();
        if let Some(seat) = own.find(|seat| same(&seat.recorder, &subscription)) {
            let share = seat.recorder.shape().share.clone();
            let widest = wider(subscription, seat.recorder.shape());
            // More than before, so that nothing of it goes.
            let is_more = widest.share != share;
            drop(seat.recorder.reshape(widest));
            if is_more {
                self.generation.fetch_add(1, Ordering::AcqRel);
            }
            return;
        }
        let recorder = restored.unwrap_or_else(|| Recorder::new(subscription));
        let number = state.sit(Seat {
            recorder,
            arrivals: watch::Sender::new(Millis::MIN),
        });
        state.introduce(number);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets every recorder that none of `subscriptions` is for; of the others, what none of them asks for.
    pub fn retain(&self, subscriptions: &[Subscription]) {
        let mut state = self.state();
        let wanted = |recorder: &Recorder| subscriptions.iter().any(|one| same(recorder, one));
        let (mut gone, mut foreign) = (BTreeSet::new(), BTreeSet::new());
        for (number, seat) in state.seats.iter_mut().enumerate() {
            if seat.as_ref().is_some_and(|seat| !wanted(&seat.recorder)) {
                *seat = None;
                gone.insert(number as u32);
            }
        }
        for (number, seat) in state.seats.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            let own = subscriptions.iter();
            let own = own.filter(|one| same(&seat.recorder, one)).cloned();
            if let Some(widest) = own.reduce(|one, other| wider(one, &other)) {
                let places = seat.recorder.reshape(widest).into_iter();
                foreign.extend(places.map(|place| (number as u32, place)));
            }
        }
        if !gone.is_empty() || !foreign.is_empty() {
            let is_gone =
                |target: (u32, u32)| gone.contains(&target.0) || foreign.contains(&target);
            let _ = state.drop_targets(is_gone);
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// What `ask` makes of the recorder for a selection that has all series of `share`, or of that for a step where one is
    /// given, whatever it has; `None` where there is none.
    pub fn with<T>(
        &self,
        selection: &str,
        (step, share): (Option<Millis>, &Share),
        ask: impl FnOnce(&mut Recorder) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        let mut seats = state.seats.iter_mut().flatten();
        let covers = |seat: &Seat| step.is_some() || seat.recorder.shape().share.covers(share);
        let seat = seats.find(|seat| seat.is_for(selection, step) && covers(seat))?;
        Some(ask(&mut seat.recorder))
    }

    /// Tells the newest grid time of which everything has come that is expected.
    pub fn arrivals(&self, selection: &str, step: Millis) -> Option<watch::Receiver<Millis>> {
        let state = self.state();
        let mut seats = state.seats.iter().flatten();
        let seat = seats.find(|seat| seat.is_for(selection, Some(step)))?;
        Some(seat.arrivals.subscribe())
    }

    /// What `look` makes of each recorder.
    pub fn each<T>(&self, look: impl Fn(&Recorder) -> T) -> Vec<T> {
        let state = self.state();
        let seats = state.seats.iter().flatten();
        seats.map(|seat| look(&seat.recorder)).collect()
    }

    /// Computes what nobody asked for in time, and forgets what is old. To be called now and then.
    pub fn tidy(&self, now: Millis) {
        let mut state = self.state();
        let mut gone = BTreeSet::new();
        for (number, seat) in state.seats.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            let grid = seat.recorder.shape().grid;
            seat.recorder.compute_until(grid.index(now) - 1);
            let places = seat.recorder.tidy(now);
            gone.extend(places.into_iter().map(|place| (number as u32, place)));
            seat.tell();
        }
        // One signal may forget a series that another goes on with: whoever brings it again has to ask anew.
        if !gone.is_empty() && state.drop_targets(|target| gone.contains(&target)) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        self.events.series(&self.name, state.by_series.len());
    }

    /// Series that are wanted.
    pub fn series(&self) -> usize {
        self.state().by_series.len()
    }

    /// A panic while it was held leaves at worst one sample half taken in: what was counted may be off by it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn is_for(&self, selection: &str, step: Option<Millis>) -> bool {
        let shape = self.recorder.shape();
        shape.selection.text() == selection && step.is_none_or(|step| shape.grid.step() == step)
    }

    fn tell(&self) {
        if let Some(complete) = self.recorder.complete() {
            self.arrivals.send_if_modified(|newest| {
                let news = complete > *newest;
                *newest = complete.max(*newest);
                news
            });
        }
    }
}

impl State {
    fn route(&self, index: u32) -> Route {
        Route {
            index,
            version: self
                .routes
                .get(index as usize)
                .map_or(0, |entry| entry.version),
        }
    }

    fn enter(&mut self, series: Series, to: Vec<(u32, u32)>) -> Route {
        let index = match self.vacant.pop() {
            Some(index) => {
                let entry = &mut self.routes[index as usize];
                entry.series = Some(series.clone());
                entry.to = to;
                index
            }
            None => {
                self.routes.push(Entry {
                    version: 0,
                    series: Some(series.clone()),
                    to,
                });
                (self.routes.len() - 1) as u32
            }
        };
        self.by_series.insert(series, index);
        self.route(index)
    }

    fn sit(&mut self, seat: Seat) -> u32 {
        let free = self.seats.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        self.seats[number] = Some(seat);
        number as u32
    }

    /// Offers a series again to the signals that do not read it: they had no room, or had forgotten it.
    fn complete(&mut self, index: u32, now: Millis) {
        let Self { seats, routes, .. } = self;
        let Some(entry) = routes.get_mut(index as usize) else {
            return;
        };
        let Some(series) = &entry.series else { return };
        for (number, seat) in seats.iter_mut().enumerate() {
            let number = number as u32;
            if entry.to.iter().any(|(own, _)| *own == number) {
                continue;
            }
            if let Some(seat) = seat
                && let Ok(Some(place)) = seat.recorder.admit(&series.name, &series.labels, now)
            {
                entry.to.push((number, place));
            }
        }
    }

    /// Makes the series that a newcomer brought known. Those that were there are offered to it when they come again.
    fn introduce(&mut self, number: u32) {
        let Some(Some(seat)) = self.seats.get(number as usize) else {
            return;
        };
        let brought = seat.recorder.places().map(|(place, name, labels)| {
            let labels = labels.clone();
            let name = name.into();
            (Series { name, labels }, place)
        });
        let brought: Vec<_> = brought.collect();
        for (series, place) in brought {
            match self.by_series.get(&series) {
                Some(index) => self.routes[*index as usize].to.push((number, place)),
                None => {
                    self.enter(series, vec![(number, place)]);
                }
            }
        }
    }

    /// Forgets targets, and the series that nobody is left for.
    /// Says whether one of them has others left.
    fn drop_targets(&mut self, is_gone: impl Fn((u32, u32)) -> bool) -> bool {
        let mut others = false;
        for (index, entry) in self.routes.iter_mut().enumerate() {
            let before = entry.to.len();
            entry.to.retain(|target| !is_gone(*target));
            others |= !entry.to.is_empty() && entry.to.len() < before;
            if entry.to.is_empty()
                && let Some(series) = entry.series.take()
            {
                self.by_series.remove(&series);
                entry.version = entry.version.wrapping_add(1);
                self.vacant.push(index as u32);
            }
        }
        others
    }
}

/// One of two that select the same, with as much as either asks for.
fn wider(one: Subscription, other: &Subscription) -> Subscription {
    Subscription {
        history: one.history.max(other.history),
        max_series: one.max_series.max(other.max_series),
        share: one.share.wider(&other.share),
        ..one
    }
}

fn same(recorder: &Recorder, other: &Subscription) -> bool {
    let own = recorder.shape();
    own.selection == other.selection && own.grid == other.grid
}
