//! Where samples that come by themselves meet the signals that read them.

use super::{
    routes::{Route, Routes, SeriesKey, Target},
    taken::Taken,
};
use crate::{
    intake::{Claim, Full, Image, Recorder, Shape},
    series::{Labels, Millis, Share},
    telemetry::IntakeEvents,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Series that are told at a time, some milliseconds of work.
const SERIES_OF_A_PART: usize = 4_096;

/// What a signal reads of a hub: its selection as text and the step of its grid are its name.
pub type Subscription = Shape;

/// Where samples that come by themselves meet the signals that read them. Shared by those who put in and those who ask.
#[derive(Debug)]
pub struct Hub {
    name: String,
    events: Arc<IntakeEvents>,
    generation: AtomicU64,
    max_series: AtomicUsize,
    /// Makes keys that nobody can foresee, so that nobody can make two series share one.
    seed: u64,
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
    routes: Routes,
}

/// One signal's recorder and who waits for it.
#[derive(Debug)]
struct Seat {
    recorder: Recorder,
    /// What [`Recorder::numbering`] was when its rows got their key, and that key.
    rows: (u64, u64),
    /// Samples came that it was not told of yet.
    is_touched: bool,
    arrivals: watch::Sender<Millis>,
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
            seed: fastrand::u64(..),
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

    /// What the series is known by; `labels` are without the metric's name, sorted. `room` is used again and again.
    pub fn key<'a>(
        &self,
        name: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        room: &mut Vec<u8>,
    ) -> SeriesKey {
        room.clear();
        room.extend_from_slice(name.as_bytes());
        for (name, value) in labels {
            // No text in UTF-8 has these bytes.
            room.push(0xff);
            room.extend_from_slice(name.as_bytes());
            room.push(0xfe);
            room.extend_from_slice(value.as_bytes());
        }
        SeriesKey::of(xxh3_128_with_seed(room, self.seed))
    }

    /// Where samples of these series go; `None` of one that [`Hub::route`] is to be asked for.
    pub fn find<'a>(&self, series: impl Iterator<Item = (SeriesKey, &'a mut Option<Route>)>) {
        let state = self.state();
        let generation = self.generation();
        let mut before = u32::MAX;
        for (key, route) in series {
            let found = state.routes.find_after(before, key);
            before = found.unwrap_or(before);
            let offered = found.filter(|index| state.routes.is_offered(*index, generation));
            *route = offered.map(|index| state.routes.route(index));
        }
    }

    /// Where samples of the series go; `labels` are without the metric's name.
    pub fn route(&self, name: &str, labels: &Labels, now: Millis) -> Route {
        let key = self.key(name, labels.iter(), &mut Vec::new());
        let mut guard = self.state();
        let State { seats, routes } = &mut *guard;
        let known = routes.find(key);
        let (mut index, mut refused, mut foreign) = (known, false, false);
        let most = self.max_series.load(Ordering::Relaxed);
        let room = known.is_some() || routes.len() < most;
        for (number, seat) in seats.iter_mut().enumerate() {
            let number = number as u32;
            let Some(seat) = seat else { continue };
            if index.is_some_and(|index| routes.goes_to(index, number)) {
                continue;
            }
            match seat.recorder.claim(name, labels) {
                Claim::Unwanted => continue,
                Claim::Foreign => foreign = true,
                Claim::Wanted if !room => refused = true,
                Claim::Wanted => match (seat.recorder.admit(name, labels, now), index) {
                    (Ok(None), _) => {}
                    (Ok(Some(place)), None) => index = Some(routes.enter(key, (number, place))),
                    (Ok(Some(place)), Some(index)) => routes.add(index, (number, place)),
                    // What is known already was refused before.
                    (Err(Full), _) => refused |= known.is_none(),
                },
            }
        }
        let route = match index {
            Some(index) => {
                routes.offered(index, self.generation());
                routes.route(index)
            }
            None if foreign && !refused => Route::ELSEWHERE,
            None => Route::NOWHERE,
        };
        drop(guard);
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
        let State { seats, routes } = &mut *state;
        for &(route, at, value) in samples {
            if !route.is_kept() {
                let count = match route {
                    Route::ELSEWHERE => &mut taken.foreign,
                    _ => &mut taken.unwanted,
                };
                *count += 1;
                continue;
            }
            let Some(targets) = routes.targets_of(route) else {
                taken.lost += 1;
                continue;
            };
            // A sample that two signals read is one sample; what the first says of it is said.
            let mut first = None;
            for &(number, place) in targets {
                if let Some(Some(seat)) = seats.get_mut(number as usize) {
                    let verdict = seat.recorder.take(place, at, value, now);
                    first.get_or_insert(verdict);
                    seat.is_touched = true;
                }
            }
            first.into_iter().for_each(|verdict| taken.count(verdict));
        }
        for seat in seats.iter_mut().flatten() {
            if std::mem::take(&mut seat.is_touched) {
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
    /// `restored` is what a former process knew of it; where several select the same, of what they are [`joined`], as the first
    /// one is taken.
    pub fn subscribe(&self, subscription: Subscription, restored: Option<Recorder>) {
        let mut state = self.state();
        let State { seats, .. } = &mut *state;
        let mut own = seats.iter_mut().flatten();
        if let Some(seat) = own.find(|seat| seat.recorder.shape().shares_recorder(&subscription)) {
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
        let number = state.sit(Seat::new(recorder));
        self.introduce(&mut state, number);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets every recorder that none of `subscriptions` is for; of the others, what none of them asks for.
    pub fn retain(&self, subscriptions: &[Subscription]) {
        let mut state = self.state();
        let wanted = |recorder: &Recorder| {
            let mut own = subscriptions.iter();
            own.any(|one| recorder.shape().shares_recorder(one))
        };
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
            let shape = seat.recorder.shape();
            let own = own.filter(|one| shape.shares_recorder(one)).cloned();
            if let Some(widest) = own.reduce(|one, other| wider(one, &other)) {
                let places = seat.recorder.reshape(widest).into_iter();
                foreign.extend(places.map(|place| (number as u32, place)));
            }
        }
        if !gone.is_empty() || !foreign.is_empty() {
            let is_gone = |target: Target| gone.contains(&target.0) || foreign.contains(&target);
            state
                .routes
                .change(|target| (!is_gone(target)).then_some(target));
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// As [`Hub::with`], with the number that the rows of the recorder have as long as they stand for the same series.
    pub fn with_rows<T>(
        &self,
        selection: &str,
        step: Millis,
        ask: impl FnOnce(&mut Recorder, u64) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        let mut seats = state.seats.iter_mut().flatten();
        let seat = seats.find(|seat| seat.is_for(selection, Some(step)))?;
        let key = seat.key();
        Some(ask(&mut seat.recorder, key))
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

    /// Tells the recorders in parts, so that nobody has to wait until all is told; see [`Image::part`]. What `tell` gives ends it.
    ///
    /// # Errors
    /// Those of `tell`.
    pub fn images<E>(&self, mut tell: impl FnMut(Image) -> Result<(), E>) -> Result<(), E> {
        let (mut number, mut first, mut rows) = (0, 0, None);
        loop {
            let mut state = self.state();
            let Some(seat) = state.seats.get_mut(number) else {
                return Ok(());
            };
            let part = seat.as_mut().map(|seat| {
                let key = Some(seat.key());
                // They were moved meanwhile. Who reads it takes those once that are told twice.
                if rows != key {
                    (rows, first) = (key, 0);
                }
                Image::part(&seat.recorder, first, SERIES_OF_A_PART)
            });
            drop(state);
            let (image, next) = part.map_or((None, None), |(image, next)| (Some(image), next));
            image.map_or(Ok(()), &mut tell)?;
            (number, first) = match next {
                Some(next) => (number, next),
                None => (number + 1, 0),
            };
        }
    }

    /// Computes what nobody asked for in time, and forgets what is old. To be called now and then.
    pub fn tidy(&self, now: Millis) {
        let mut state = self.state();
        let State { seats, routes } = &mut *state;
        let (mut gone, mut moved) = (BTreeSet::new(), BTreeMap::new());
        for (number, seat) in seats.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            let number = number as u32;
            let grid = seat.recorder.shape().grid;
            seat.recorder.compute_until(grid.index(now) - 1);
            let places = seat.recorder.tidy(now);
            gone.extend(places.into_iter().map(|place| (number, place)));
            if let Some(places) = seat.recorder.compact() {
                moved.insert(number, places);
            }
            seat.tell();
        }
        let keep = |target: Target| match moved.get(&target.0) {
            _ if gone.contains(&target) => None,
            Some(places) => Some((target.0, *places.get(target.1 as usize)?)),
            None => Some(target),
        };
        // One signal may forget a series that another goes on with: whoever brings it again has to ask anew.
        let is_same = gone.is_empty() && moved.is_empty();
        if !is_same && routes.change(keep) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        self.events.series(&self.name, routes.len());
    }

    /// Computes every step up to that of `newest`, the time of the newest sample, as nothing more will come; forgets nothing.
    pub fn finish(&self, newest: Millis) {
        let mut state = self.state();
        for seat in state.seats.iter_mut().flatten() {
            let last = seat.recorder.shape().grid.index(newest);
            seat.recorder.compute_until(last);
        }
    }

    /// Series that are wanted.
    pub fn series(&self) -> usize {
        self.state().routes.len()
    }

    /// Bytes on the heap, with those of all recorders and labels.
    pub fn heap_bytes(&self) -> usize {
        let state = self.state();
        let seats = state.seats.iter().flatten();
        let recorders: usize = seats.map(|seat| seat.recorder.heap_bytes()).sum();
        recorders + state.routes.heap_bytes()
    }

    /// Makes the series that a newcomer brought known. Those that were there are offered to it when they come again.
    fn introduce(&self, state: &mut State, number: u32) {
        let State { seats, routes } = state;
        let Some(Some(seat)) = seats.get(number as usize) else {
            return;
        };
        let mut room = Vec::new();
        for (place, name, labels) in seat.recorder.places() {
            let key = self.key(name, labels.iter(), &mut room);
            match routes.find(key) {
                Some(index) => routes.add(index, (number, place)),
                None => {
                    routes.enter(key, (number, place));
                }
            }
        }
    }

    /// A panic while it was held leaves at worst one sample half taken in: what was counted may be off by it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn new(recorder: Recorder) -> Self {
        Self {
            rows: (recorder.numbering(), new_key()),
            recorder,
            is_touched: false,
            arrivals: watch::Sender::new(Millis::MIN),
        }
    }

    /// Another one since rows got other numbers.
    fn key(&mut self) -> u64 {
        let numbering = self.recorder.numbering();
        if self.rows.0 != numbering {
            self.rows = (numbering, new_key());
        }
        self.rows.1
    }

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
    fn sit(&mut self, seat: Seat) -> u32 {
        let free = self.seats.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        self.seats[number] = Some(seat);
        number as u32
    }
}

/// A number that the rows of no other recorder of this process have.
fn new_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One subscription for each recorder that `subscriptions` need, with as much as any of those that share it asks for: what a
/// former process knew is restored once, and has to be enough for all of them.
pub fn joined(subscriptions: &[Subscription]) -> Vec<Subscription> {
    let mut joined: Vec<Subscription> = Vec::new();
    for one in subscriptions {
        match joined.iter_mut().find(|own| own.shares_recorder(one)) {
            Some(own) => *own = wider(own.clone(), one),
            None => joined.push(one.clone()),
        }
    }
    joined
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
