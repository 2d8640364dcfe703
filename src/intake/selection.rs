//! What a signal takes of samples that come by themselves, and how.

use super::{rate::Change, raw::Look};
use crate::{
    promql::{Matchers, Refusal, Selector, check_query},
    series::{Labels, Millis, Span},
};
use serde::Deserialize;
use std::fmt;

/// As long as PromQL looks back for a sample (`--query.lookback-delta` of Prometheus).
const LOOK_BACK: Millis = 300_000;

/// What a rate is taken over where it is not said.
const USUAL_WINDOW: Span = Span::minutes(2);

/// Longer windows would have to be kept in memory, sample by sample.
const LONGEST_WINDOW: Span = Span::minutes(24 * 60);

/// A rate needs two samples.
const LEAST_WINDOW: Span = Span::seconds(2);

/// What is made of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// The value as it is.
    #[default]
    Gauge,
    /// How fast a counter grows, per second.
    Rate,
    /// How much a counter grew within the window.
    Increase,
    /// How much a gauge changed within the window.
    Delta,
}

impl Reading {
    fn change(self) -> Option<Change> {
        match self {
            Self::Gauge => None,
            Self::Rate => Some(Change::Rate),
            Self::Increase => Some(Change::Increase),
            Self::Delta => Some(Change::Delta),
        }
    }

    fn function(self) -> Option<&'static str> {
        match self {
            Self::Gauge => None,
            Self::Rate => Some("rate"),
            Self::Increase => Some("increase"),
            Self::Delta => Some("delta"),
        }
    }
}

/// How several series become one: one of them for each set of values of the labels that stay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// The mean, by these labels.
    AvgBy(Vec<String>),
    /// The mean, by all labels but these.
    AvgWithout(Vec<String>),
    /// How many there are, by these labels.
    CountBy(Vec<String>),
    /// How many there are, by all labels but these.
    CountWithout(Vec<String>),
    /// The greatest, by these labels.
    MaxBy(Vec<String>),
    /// The greatest, by all labels but these.
    MaxWithout(Vec<String>),
    /// The least, by these labels.
    MinBy(Vec<String>),
    /// The least, by all labels but these.
    MinWithout(Vec<String>),
    /// The sum, by these labels.
    SumBy(Vec<String>),
    /// The sum, by all labels but these.
    SumWithout(Vec<String>),
}

impl Aggregate {
    /// The operator, the word for the labels, and the labels, as in PromQL.
    fn parts(&self) -> (&'static str, &'static str, &[String]) {
        match self {
            Self::AvgBy(names) => ("avg", "by", names),
            Self::AvgWithout(names) => ("avg", "without", names),
            Self::CountBy(names) => ("count", "by", names),
            Self::CountWithout(names) => ("count", "without", names),
            Self::MaxBy(names) => ("max", "by", names),
            Self::MaxWithout(names) => ("max", "without", names),
            Self::MinBy(names) => ("min", "by", names),
            Self::MinWithout(names) => ("min", "without", names),
            Self::SumBy(names) => ("sum", "by", names),
            Self::SumWithout(names) => ("sum", "without", names),
        }
    }

    /// The labels of the group that a series belongs to.
    fn group(&self, labels: &Labels) -> Labels {
        match self.parts() {
            (_, "by", names) => labels.only(names),
            (_, _, names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                labels.without(&names)
            }
        }
    }
}

/// What a signal takes of samples that come by themselves: which series, what is made of each, and of several.
#[derive(Debug, Clone)]
pub struct Selection {
    text: Box<str>,
    matchers: Matchers,
    reading: Reading,
    window: Span,
    aggregate: Option<Aggregate>,
}

impl Selection {
    /// Of what is written: `select`, `as`, `window`, `aggregate`.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn new(
        select: &str,
        reading: Reading,
        window: Option<Span>,
        aggregate: Option<Aggregate>,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        let mut found = Vec::new();
        let selector = Selector::parse(select);
        if let Err(refusal) = &selector {
            found.push(("select", no_selector(select, refusal)));
        }
        if let Ok(selector) = &selector
            && selector.matchers.name().is_none()
            && aggregate.is_none()
        {
            let text = "the selector names no metric, and series of several would become one; name it, as in up{job=\"api\"}, or say how they are put together, as in aggregate: {sum_by: [job]}";
            found.push(("select", text.to_owned()));
        }
        check_window(reading, window, &mut found);
        let window = window.unwrap_or(USUAL_WINDOW);
        match selector {
            Ok(selector) if found.is_empty() => Ok(Self {
                text: text_of(select, reading, window, aggregate.as_ref()).into(),
                matchers: selector.matchers,
                reading,
                window,
                aggregate,
            }),
            _ => Err(found),
        }
    }

    /// As PromQL, which is what it means: `sum by (path) (rate(http_requests_total[2m]))`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a series is read; `labels` without the metric's name.
    pub fn wants(&self, name: &str, labels: &Labels) -> bool {
        self.matchers.matches(name, labels)
    }

    /// The labels of what a series becomes.
    pub(super) fn group(&self, labels: &Labels) -> Labels {
        match &self.aggregate {
            Some(aggregate) => aggregate.group(labels),
            None => labels.clone(),
        }
    }

    pub(super) fn reading(&self) -> Reading {
        self.reading
    }

    pub(super) fn aggregate(&self) -> Option<&Aggregate> {
        self.aggregate.as_ref()
    }

    pub(super) fn look(&self) -> Look {
        let window = self.window.as_millis();
        Look {
            back: LOOK_BACK,
            range: self.reading.change().map(|change| (change, window)),
        }
    }

    /// The longest span of samples behind one value.
    pub(super) fn reach(&self) -> Millis {
        match self.reading {
            Reading::Gauge => LOOK_BACK,
            _ => self.window.as_millis().max(LOOK_BACK),
        }
    }

    /// Whether what lies between the first and the newest sample of a step does not matter.
    pub(super) fn is_thin(&self) -> bool {
        self.reading == Reading::Gauge
    }
}

impl PartialEq for Selection {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Selection {}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is more than a selector is refused in the words of rules, which say nothing of what to write here.
fn no_selector(select: &str, refusal: &Refusal) -> String {
    if check_query(select).is_ok() {
        return "this is more than a selector such as up{job=\"api\"}; what is made of the series is written beside it, as in {select: http_requests_total, as: rate, window: 2m, aggregate: {sum_by: [path]}}".to_owned();
    }
    refusal.in_text(select, "selector")
}

fn check_window(reading: Reading, window: Option<Span>, found: &mut Vec<(&'static str, String)>) {
    let Some(window) = window else { return };
    if reading == Reading::Gauge {
        let text = "a window is for as: rate, increase or delta; a gauge is read as it is";
        found.push(("window", text.to_owned()));
    } else if window < LEAST_WINDOW || window > LONGEST_WINDOW {
        let text = format!("{window} is not allowed; allowed: {LEAST_WINDOW} to {LONGEST_WINDOW}");
        found.push(("window", text));
    }
}

fn text_of(select: &str, reading: Reading, window: Span, aggregate: Option<&Aggregate>) -> String {
    let select = select.trim();
    let one = match reading.function() {
        Some(function) => format!("{function}({select}[{window}])"),
        None => select.to_owned(),
    };
    match aggregate.map(Aggregate::parts) {
        Some((operator, word, names)) => {
            format!("{operator} {word} ({}) ({one})", names.join(", "))
        }
        None => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::check_query;

    fn selection(select: &str, reading: Reading, by: Option<Aggregate>) -> Selection {
        Selection::new(select, reading, None, by).unwrap()
    }

    fn problems(select: &str, reading: Reading, window: Option<Span>) -> Vec<&'static str> {
        let found = Selection::new(select, reading, window, None).unwrap_err();
        found.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn what_it_means_is_promql() {
        let sum = || Some(Aggregate::SumBy(vec!["path".into(), "code".into()]));
        for (selection, expected) in [
            (
                selection(" up{job=\"a\"} ", Reading::Gauge, None),
                "up{job=\"a\"}",
            ),
            (
                selection(
                    "http_requests_total{path!=\"/healthz\"}",
                    Reading::Rate,
                    sum(),
                ),
                "sum by (path, code) (rate(http_requests_total{path!=\"/healthz\"}[2m]))",
            ),
            (
                selection(
                    "{__name__=~\"a|b\"}",
                    Reading::Delta,
                    Some(Aggregate::MaxWithout(vec![])),
                ),
                "max without () (delta({__name__=~\"a|b\"}[2m]))",
            ),
        ] {
            assert_eq!(selection.text(), expected);
            check_query(expected).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_key() {
        assert_eq!(problems("rate(x[5m])", Reading::Gauge, None), ["select"]);
        assert_eq!(problems("x + y", Reading::Gauge, None), ["select"]);
        assert_eq!(problems("x offset 5m", Reading::Gauge, None), ["select"]);
        assert_eq!(problems("x{", Reading::Gauge, None), ["select"]);
        assert_eq!(problems("", Reading::Gauge, None), ["select"]);
        assert_eq!(problems("{job=\"a\"}", Reading::Gauge, None), ["select"]);
        for query in ["rate(x[5m])", "sum by (a) (x)"] {
            let found = Selection::new(query, Reading::Gauge, None, None).unwrap_err();
            assert!(found[0].1.contains("as: rate"), "{found:?}");
        }
        let minute = Some(Span::minutes(1));
        assert_eq!(problems("x", Reading::Gauge, minute), ["window"]);
        let zero = Some(Span::default());
        assert_eq!(problems("x{", Reading::Rate, zero), ["select", "window"]);
    }

    #[test]
    fn a_group_has_the_labels_that_stay() {
        let labels = Labels::new([("job", "a"), ("pod", "b")]).unwrap();
        let by = |aggregate| selection("x", Reading::Gauge, Some(aggregate)).group(&labels);
        let job = Labels::new([("job", "a")]).unwrap();
        assert_eq!(by(Aggregate::AvgBy(vec!["job".into()])), job);
        assert_eq!(by(Aggregate::MinWithout(vec!["pod".into()])), job);
        assert_eq!(by(Aggregate::CountBy(vec![])), Labels::default());
        assert_eq!(selection("x", Reading::Gauge, None).group(&labels), labels);
    }
}
