//! What the sources are asked at decision time.

use crate::{
    series::{Labels, Millis, Share},
    source::{Matrix, RangeRequest},
};
use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::Arc,
};
use xxhash_rust::xxh3::Xxh3;

/// An answer that should be one number has no business being longer.
const FEW_SERIES: usize = 16;

/// One instant query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Which of the sources.
    pub source: usize,
    /// PromQL.
    pub query: String,
    /// Most series of the answer.
    pub max_series: usize,
}

/// What a source answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The time that was asked about.
    pub at: Millis,
    /// One sample a series.
    pub matrix: Arc<Matrix>,
    /// Of the labels of its series.
    shape: u64,
}

impl Answer {
    /// What was answered about `at`.
    pub fn new(at: Millis, matrix: Arc<Matrix>) -> Self {
        let shape = shape(matrix.series.iter().map(|one| &one.labels));
        Self { at, matrix, shape }
    }

    /// Of the labels of its series.
    pub(super) fn shape(&self) -> u64 {
        self.shape
    }
}

impl Question {
    /// The question at `at`: a range of one grid time is an instant.
    pub fn at(&self, at: Millis) -> RangeRequest {
        RangeRequest {
            query: self.query.clone(),
            start: at,
            end: at,
            step: 1_000,
            max_series: self.max_series,
            share: Share::ALL,
        }
    }
}

/// Questions, each once.
#[derive(Debug, Default)]
pub struct Questions(pub(super) Vec<Question>);

impl Questions {
    /// The questions by their place.
    pub fn all(&self) -> &[Question] {
        &self.0
    }

    /// The place of a question whose answer is one number.
    pub fn one(&mut self, source: usize, query: &str) -> usize {
        self.place(source, query, FEW_SERIES)
    }

    /// The place of a question whose answer has up to `max_series`.
    pub fn place(&mut self, source: usize, query: &str, max_series: usize) -> usize {
        let same = |one: &Question| one.source == source && one.query == query;
        if let Some(place) = self.0.iter().position(same) {
            let known = &mut self.0[place].max_series;
            *known = max_series.max(*known);
            return place;
        }
        self.0.push(Question {
            source,
            query: query.to_owned(),
            max_series,
        });
        self.0.len() - 1
    }
}

/// The labels of many series as one number: while it is the same, every series is where it was.
pub(super) fn shape<'l>(labels: impl Iterator<Item = &'l Labels>) -> u64 {
    let mut hasher = Xxh3::new();
    labels.for_each(|labels| labels.hash(&mut hasher));
    hasher.finish()
}

/// The one series of many that has certain labels; remembers where it was while there are no others.
#[derive(Debug, Default)]
pub(super) struct Finder {
    /// Of which shape, and what was found there.
    last: Option<(u64, Result<usize, usize>)>,
}

impl Finder {
    /// Where the one series is whose labels have all of `wanted`. `shape` is that of all labels.
    ///
    /// # Errors
    /// How many there are instead.
    pub(super) fn find<'l>(
        &mut self,
        wanted: &BTreeMap<String, String>,
        shape: u64,
        all: impl Iterator<Item = &'l Labels>,
    ) -> Result<usize, usize> {
        if let Some((_, found)) = self.last.filter(|(known, _)| *known == shape) {
            return found;
        }
        let found = the_one(wanted, all);
        self.last = Some((shape, found));
        found
    }
}

/// The place of the one series of `all` whose labels have all of `wanted`.
///
/// # Errors
/// How many there are instead.
pub fn the_one<'l>(
    wanted: &BTreeMap<String, String>,
    all: impl Iterator<Item = &'l Labels>,
) -> Result<usize, usize> {
    let mut found = all
        .enumerate()
        .filter(|(_, labels)| has_all(labels, wanted));
    match (found.next(), found.count()) {
        (Some((place, _)), 0) => Ok(place),
        (None, _) => Err(0),
        (Some(_), others) => Err(1 + others),
    }
}

/// Whether a series has all the labels that are wanted.
fn has_all(labels: &Labels, wanted: &BTreeMap<String, String>) -> bool {
    let mut wanted = wanted.iter();
    wanted.all(|(name, value)| labels.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_asked_once_with_room_for_whoever_wants_most() {
        let mut questions = Questions::default();
        assert_eq!(questions.one(0, "up"), 0);
        assert_eq!(questions.one(1, "up"), 1);
        assert_eq!(questions.place(0, "up", 500), 0);
        assert_eq!(questions.0.len(), 2);
        assert_eq!(questions.0[0].max_series, 500);
    }

    #[test]
    fn a_second_match_is_seen_though_another_series_went_in_the_same_moment() {
        let label = |app: &str, pod: &str| Labels::new([("app", app), ("pod", pod)]).unwrap();
        let wanted = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
        let before = [label("cart", "1"), label("shop", "1")];
        let after = [label("shop", "2"), label("shop", "1")];
        let mut finder = Finder::default();
        let found = finder.find(&wanted, shape(before.iter()), before.iter());
        assert_eq!(found, Ok(1));
        let found = finder.find(&wanted, shape(after.iter()), after.iter());
        assert_eq!(found, Err(2));
    }

    #[test]
    fn exactly_one_series_is_found_and_found_again() {
        let label = |app: &str, pod: &str| Labels::new([("app", app), ("pod", pod)]).unwrap();
        let mut series = vec![label("a", "1"), label("b", "1"), label("b", "2")];
        let wanted = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect()
        };
        let find = |finder: &mut Finder, wanted: &BTreeMap<String, String>, series: &[Labels]| {
            finder.find(wanted, shape(series.iter()), series.iter())
        };
        let mut finder = Finder::default();
        let a = wanted(&[("app", "a")]);
        assert_eq!(find(&mut finder, &a, &series), Ok(0));
        series.swap(0, 2);
        assert_eq!(find(&mut finder, &a, &series), Ok(2));
        series.push(label("a", "2"));
        assert_eq!(find(&mut finder, &a, &series), Err(2));
        let b = wanted(&[("app", "b")]);
        assert_eq!(find(&mut Finder::default(), &b, &series), Err(2));
        let none = wanted(&[("app", "c")]);
        assert_eq!(find(&mut Finder::default(), &none, &series), Err(0));
    }
}
