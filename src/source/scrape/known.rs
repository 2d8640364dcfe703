//! The series of one target by the text in which they are exposed, so that a series that is known costs one look-up:
//! no labels are read, no relabelling is done, nobody is asked where it goes.
//!
//! A text stands for an entry, and several texts may stand for the same one: the same labels in another order are the
//! same series, and must not be told to be gone when they change places.

use super::taker::Passed;
use crate::{
    series::{Labels, Millis},
    source::local::Route,
};
use std::collections::HashMap;
use xxhash_rust::xxh3::{Xxh3, Xxh3Builder};

/// Of series that are no more: a value that Prometheus has for nothing else.
const STALE: f64 = f64::from_bits(crate::expo::STALE_NAN);
/// A target whose scrapes fail, each with other series, must not fill the memory: beyond twice of what it last had,
/// and these, everything is forgotten. As in Prometheus.
const SPARE: usize = 1_000;

/// A series after relabelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Series {
    pub(super) name: String,
    /// Without that of the name.
    pub(super) labels: Labels,
}

/// The series of one target.
#[derive(Debug)]
pub(super) struct Known {
    texts: HashMap<Box<str>, Text, Xxh3Builder>,
    /// Entries by the hash of name and labels.
    ids: HashMap<u128, u32, Xxh3Builder>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Routes of other scrapes than these are asked for anew.
    trusted_since: u64,
    /// Number of the scrape.
    round: u64,
    /// Texts of the last scrape that went well.
    usual: usize,
}

#[derive(Debug, Clone, Copy)]
struct Text {
    /// `None`: relabelling let go of it.
    entry: Option<u32>,
    seen: u64,
}

#[derive(Debug)]
struct Entry {
    id: u128,
    route: Route,
    generation: u64,
    /// The scrape in which it was asked where it goes.
    asked: u64,
    /// The series, where somebody wants it: to find out where its end is to be told.
    wanted: Option<Box<Series>>,
    seen: u64,
    /// Whether the last scrape that went well had it, and its end is to be told.
    alive: bool,
    tracked: bool,
}

/// What is known of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Relabelling let go of it.
    LetGo,
    /// It is this entry.
    Entry(u32),
    /// Nothing, or nothing that is still true.
    Unknown,
}

impl Default for Known {
    fn default() -> Self {
        // Bodies come from others: their texts must not be made to collide.
        let hasher = Xxh3Builder::new().with_seed(fastrand::u64(..));
        Self {
            texts: HashMap::with_hasher(hasher),
            ids: HashMap::with_hasher(hasher),
            entries: Vec::new(),
            free: Vec::new(),
            trusted_since: 0,
            round: 0,
            usual: 0,
        }
    }
}

impl Known {
    /// A scrape begins.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    /// What is known of `text`, in a world of this generation.
    pub(super) fn find(&mut self, text: &str, generation: u64) -> Found {
        let Some(known) = self.texts.get_mut(text) else {
            return Found::Unknown;
        };
        known.seen = self.round;
        let Some(index) = known.entry else {
            return Found::LetGo;
        };
        match self.entries.get(index as usize) {
            Some(Some(entry)) if entry.is_trusted(generation, self.trusted_since) => {
                Found::Entry(index)
            }
            _ => Found::Unknown,
        }
    }

    /// Relabelling let go of the series of this text.
    pub(super) fn let_go(&mut self, text: &str) {
        let seen = self.round;
        self.texts.insert(text.into(), Text { entry: None, seen });
    }

    /// This text is that series, whose samples go there. Gives its entry, and whether it is a new one.
    pub(super) fn learn(
        &mut self,
        text: &str,
        series: Series,
        route: Route,
        generation: u64,
    ) -> (u32, bool) {
        let id = series.id();
        let known = self.ids.get(&id).copied();
        let index = known.unwrap_or_else(|| self.free_slot());
        let wanted = route.is_kept().then(|| Box::new(series));
        if let Some(slot) = self.entries.get_mut(index as usize) {
            match slot {
                Some(entry) => {
                    entry.route = route;
                    entry.generation = generation;
                    entry.asked = self.round;
                    entry.wanted = wanted;
                }
                None => {
                    *slot = Some(Entry {
                        id,
                        route,
                        generation,
                        asked: self.round,
                        wanted,
                        seen: 0,
                        alive: false,
                        tracked: false,
                    });
                }
            }
        }
        self.ids.insert(id, index);
        let text_of = Text {
            entry: Some(index),
            seen: self.round,
        };
        match self.texts.get_mut(text) {
            Some(own) => *own = text_of,
            None => drop(self.texts.insert(text.into(), text_of)),
        }
        (index, known.is_none())
    }

    /// The series of an entry has a sample. `None`: it had one in this scrape already, and this one has no time of
    /// its own to tell them apart. `tracked`: its end will be told.
    pub(super) fn mark(&mut self, index: u32, is_timed: bool, tracked: bool) -> Option<Route> {
        let round = self.round;
        let entry = self.entries.get_mut(index as usize)?.as_mut()?;
        if entry.seen == round && !is_timed {
            return None;
        }
        entry.seen = round;
        entry.tracked = tracked;
        Some(entry.route)
    }

    /// The scrape went well: what it had not is gone, and told to be so at `at`.
    pub(super) fn finish(
        &mut self,
        at: Millis,
        generation: u64,
        route: impl Fn(&Series) -> Route,
    ) -> Vec<Passed> {
        let round = self.round;
        let mut ends = Vec::new();
        for slot in 0..self.entries.len() {
            let Some(Some(entry)) = self.entries.get_mut(slot) else {
                continue;
            };
            if entry.seen == round {
                entry.alive = entry.tracked;
                continue;
            }
            ends.extend(entry.end(at, generation, &route));
            self.ids.remove(&entry.id);
            self.entries[slot] = None;
            self.free.push(slot as u32);
        }
        self.texts.retain(|_, text| text.seen == round);
        self.usual = self.texts.len();
        ends
    }

    /// The scrape failed, or there will be none any more: everything is told to be gone at `at`. What is known stays.
    pub(super) fn fail(
        &mut self,
        at: Millis,
        generation: u64,
        route: impl Fn(&Series) -> Route,
    ) -> Vec<Passed> {
        let entries = self.entries.iter_mut().flatten();
        let ends = entries.filter_map(|entry| entry.end(at, generation, &route));
        let ends = ends.collect();
        if self.texts.len() > 2 * self.usual + SPARE {
            *self = Self {
                round: self.round,
                ..Self::default()
            };
        }
        ends
    }

    /// Where series go must be asked anew: what took them has forgotten some that were silent for long.
    pub(super) fn distrust(&mut self) {
        self.trusted_since = self.round + 1;
    }

    fn free_slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        })
    }
}

impl Entry {
    /// Whether where it goes is still known.
    fn is_trusted(&self, generation: u64, since: u64) -> bool {
        self.generation == generation && self.asked >= since
    }

    /// Its last sample, where it is to have one.
    fn end(
        &mut self,
        at: Millis,
        generation: u64,
        route: impl Fn(&Series) -> Route,
    ) -> Option<Passed> {
        if !std::mem::take(&mut self.alive) {
            return None;
        }
        let to = match &self.wanted {
            Some(series) if self.generation != generation => route(series),
            _ => self.route,
        };
        to.is_kept().then_some((to, at, STALE))
    }
}

impl Series {
    /// The same for the same series only, as far as anybody will ever see.
    fn id(&self) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(self.name.as_bytes());
        for text in self.labels.iter().flat_map(|(name, value)| [name, value]) {
            hash.update(&[0xff]);
            hash.update(text.as_bytes());
        }
        hash.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn series(name: &str) -> Series {
        Series {
            name: name.to_owned(),
            labels: Labels::default(),
        }
    }

    /// A scrape of these texts, each the series of its first letter; the routes told to be gone.
    fn scrape(known: &mut Known, texts: &[&str], generation: u64) -> Vec<Route> {
        known.begin();
        for text in texts {
            let index = match known.find(text, generation) {
                Found::Entry(index) => index,
                Found::LetGo => continue,
                Found::Unknown => {
                    let letter = text.as_bytes()[0];
                    let name = char::from(letter).to_string();
                    known
                        .learn(text, series(&name), route(letter), generation)
                        .0
                }
            };
            known.mark(index, false, true).unwrap();
        }
        ends(known.finish(7, generation, |_| Route::of(99)))
    }

    fn ends(passed: Vec<Passed>) -> Vec<Route> {
        let stale = |(route, at, value): Passed| {
            assert_eq!((at, value.to_bits()), (7, crate::expo::STALE_NAN));
            route
        };
        passed.into_iter().map(stale).collect()
    }

    fn route(letter: u8) -> Route {
        Route::of(u32::from(letter))
    }

    #[test]
    fn what_is_not_there_any_more_is_told_once() {
        let mut known = Known::default();
        assert_eq!(scrape(&mut known, &["a{x}", "b"], 1), []);
        assert_eq!(scrape(&mut known, &["a{x}"], 1), [route(b'b')]);
        assert_eq!(scrape(&mut known, &["a{x}"], 1), []);
        assert_eq!(scrape(&mut known, &["b", "a{x}"], 1), []);
        assert_eq!(known.texts.len(), 2);
    }

    #[test]
    fn the_same_series_in_another_spelling_goes_on() {
        let mut known = Known::default();
        assert_eq!(scrape(&mut known, &["a{x,y}"], 1), []);
        assert_eq!(scrape(&mut known, &["a{y,x}"], 1), []);
        assert_eq!(known.texts.len(), 1);
        known.begin();
        let Found::Entry(index) = known.find("a{y,x}", 1) else {
            panic!("unknown");
        };
        assert_eq!(known.mark(index, false, true), Some(route(b'a')));
        let (again, is_new) = known.learn("a{x,y}", series("a"), route(b'a'), 1);
        assert_eq!((again, is_new), (index, false));
        assert_eq!(known.mark(again, false, true), None, "twice in one scrape");
        assert_eq!(
            known.mark(again, true, true),
            Some(route(b'a')),
            "with times they are two samples"
        );
    }

    #[test]
    fn a_failure_tells_everything_to_be_gone_but_forgets_nothing() {
        let mut known = Known::default();
        scrape(&mut known, &["a", "b"], 1);
        known.begin();
        assert_eq!(
            ends(known.fail(7, 1, |_| Route::of(99))),
            [route(b'a'), route(b'b')]
        );
        known.begin();
        assert_eq!(ends(known.fail(7, 1, |_| Route::of(99))), []);
        assert!(matches!(known.find("a", 1), Found::Entry(_)));
        assert_eq!(scrape(&mut known, &["a"], 1), []);
        assert_eq!(scrape(&mut known, &[], 1), [route(b'a')]);
    }

    #[test]
    fn in_another_generation_everything_is_asked_anew() {
        let mut known = Known::default();
        scrape(&mut known, &["a", "b"], 1);
        known.begin();
        assert_eq!(known.find("a", 2), Found::Unknown);
        assert_eq!(scrape(&mut known, &["a"], 2), [Route::of(99)]);
    }

    #[test]
    fn where_series_go_can_be_asked_anew() {
        let mut known = Known::default();
        scrape(&mut known, &["a"], 1);
        known.distrust();
        known.begin();
        assert_eq!(known.find("a", 1), Found::Unknown);
        assert_eq!(scrape(&mut known, &["a"], 1), []);
        known.begin();
        assert!(matches!(known.find("a", 1), Found::Entry(_)));
    }

    #[test]
    fn what_nobody_wants_or_has_its_own_times_is_not_told_to_be_gone() {
        let mut known = Known::default();
        known.begin();
        let (nobody, _) = known.learn("a", series("a"), Route::NOWHERE, 1);
        let (timed, _) = known.learn("b", series("b"), route(b'b'), 1);
        known.let_go("c");
        known.mark(nobody, false, true);
        known.mark(timed, true, false);
        assert_eq!(known.finish(7, 1, |_| Route::of(99)), []);
        assert_eq!(known.find("c", 1), Found::LetGo);
        assert_eq!(scrape(&mut known, &[], 1), []);
        assert!(known.texts.is_empty() && known.ids.is_empty());
        assert_eq!(known.free.len(), 2);
    }

    #[test]
    fn failures_with_ever_new_series_do_not_grow_for_ever() {
        let mut known = Known::default();
        for number in 0..5_000 {
            known.begin();
            known.learn(
                &format!("a{number}"),
                series(&format!("a{number}")),
                route(b'a'),
                1,
            );
            known.fail(7, 1, |_| Route::of(99));
            assert!(known.texts.len() <= SPARE + 1);
        }
    }

    /// A scrape that has these texts, or one that fails after them.
    fn rounds() -> impl Strategy<Value = Vec<(bool, Vec<&'static str>)>> {
        let text = prop::sample::select(vec!["a{x}", "a{y}", "b", "b{z}", "c", "d"]);
        let texts = prop::collection::btree_set(text, 0..6);
        let scrape = (
            prop::bool::weighted(0.8),
            texts.prop_map(|set| set.into_iter().collect()),
        );
        prop::collection::vec(scrape, 1..20)
    }

    proptest! {
        /// What ends is what was there and is not any more, whatever the order, spelling and failures before.
        #[test]
        fn ends_are_those_of_a_list_of_series(rounds in rounds(), forgetful in any::<bool>()) {
            let (mut known, mut alive) = (Known::default(), BTreeSet::new());
            for (number, (is_well, texts)) in rounds.into_iter().enumerate() {
                let generation = if forgetful { number as u64 / 3 } else { 1 };
                let mut seen = BTreeSet::new();
                known.begin();
                for text in texts {
                    let letter = text.as_bytes()[0];
                    let index = match known.find(text, generation) {
                        Found::Entry(index) => index,
                        _ => {
                            let name = char::from(letter).to_string();
                            known.learn(text, series(&name), route(letter), generation).0
                        }
                    };
                    let first = seen.insert(letter);
                    prop_assert_eq!(known.mark(index, false, true).is_some(), first);
                }
                let to = |series: &Series| route(series.name.as_bytes()[0]);
                let passed = match is_well {
                    true => known.finish(7, generation, to),
                    false => known.fail(7, generation, to),
                };
                let now = if is_well { seen } else { BTreeSet::new() };
                let gone: BTreeSet<u8> = alive.difference(&now).copied().collect();
                let told = ends(passed);
                prop_assert_eq!(told.len(), gone.len());
                prop_assert!(gone.iter().all(|letter| told.contains(&route(*letter))));
                alive = now;
            }
        }
    }
}
