//! What is sent, when, and what becomes of it where the other side misbehaves.

mod book;
mod pushing;

use super::{alerts::Terms, book::Reading};
use crate::{
    baseline::Band,
    engine::{Outcome, SeriesOutcome},
    series::{Labels, Millis},
};
use std::{collections::BTreeMap, sync::Arc};

const MINUTE: Millis = 60_000;
/// 2023-11-14T23:00:00Z, a whole minute.
const START: Millis = 28_333_380 * MINUTE;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied()).unwrap()
}

/// A series of this path, as expected.
fn calm(path: &str) -> SeriesOutcome {
    SeriesOutcome {
        labels: labels(&[("path", path)]),
        value: 10.0,
        band: Band {
            expected: 10.0,
            lower: 8.0,
            upper: 12.0,
            scale: 1.0,
        },
        score: 0.5,
        active: false,
        severity: 0,
        direction: 0,
        began: false,
        since: None,
        worst: 0,
        reason: None,
    }
}

/// A series of this path whose verdict is on since `since`.
fn on(path: &str, worst: u8, since: Millis) -> SeriesOutcome {
    SeriesOutcome {
        value: 30.0,
        score: 3.25,
        active: true,
        severity: 1,
        direction: 1,
        since: Some(since),
        worst,
        ..calm(path)
    }
}

fn outcome(at: Millis, series: Vec<SeriesOutcome>) -> Outcome {
    Outcome {
        unit: "rps".into(),
        at,
        series,
        ..Outcome::default()
    }
}

fn reading(outcome: Outcome) -> Vec<Reading> {
    vec![Reading {
        outcome: Arc::new(outcome),
        is_panel: false,
    }]
}

/// No share of a group is over its threshold.
fn terms() -> Terms {
    Terms {
        external_labels: BTreeMap::from([("cluster".to_owned(), "eu-1".to_owned())]),
        group_threshold: 1.0,
    }
}
