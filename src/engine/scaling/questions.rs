//! What the sources are asked at decision time.

use crate::{
    series::{Labels, Millis},
    source::{Matrix, RangeRequest},
};
use std::{collections::BTreeMap, sync::Arc};

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
        }
    }
}

/// Questions, each once.
#[derive(Debug, Default)]
pub(super) struct Questions(pub(super) Vec<Question>);

impl Questions {
    /// The place of a question whose answer is one number.
    pub(super) fn one(&mut self, source: usize, query: &str) -> usize {
        self.place(source, query, FEW_SERIES)
    }

    /// The place of a question whose answer has up to `max_series`.
    pub(super) fn place(&mut self, source: usize, query: &str, max_series: usize) -> usize {
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

/// The one series of many that has certain labels; remembers where it was, as it mostly still is there.
#[derive(Debug, Default)]
pub(super) struct Finder {
    last: Option<(Labels, usize, usize)>,
}

impl Finder {
    /// Where the one series among `count` is whose labels have all of `wanted`.
    ///
    /// # Errors
    /// How many there are instead.
    pub(super) fn find<'l>(
        &mut self,
        wanted: &BTreeMap<String, String>,
        count: usize,
        labels: impl Fn(usize) -> &'l Labels,
    ) -> Result<usize, usize> {
        if let Some((known, place, of)) = &self.last
            && *of == count
            && labels(*place) == known
        {
            return Ok(*place);
        }
        self.last = None;
        let has_all = |place: &usize| {
            let labels = labels(*place);
            wanted
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
        };
        let mut found = (0..count).filter(has_all);
        match (found.next(), found.count()) {
            (Some(place), 0) => {
                self.last = Some((labels(place).clone(), place, count));
                Ok(place)
            }
            (None, _) => Err(0),
            (Some(_), others) => Err(1 + others),
        }
    }
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
            finder.find(wanted, series.len(), |place| &series[place])
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
