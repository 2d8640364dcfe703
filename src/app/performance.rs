//! How good forecasts were, written down day by day: what the metrics say now is gone tomorrow.

use super::records::StoreSlot;
use crate::{
    engine::{Catalogue, Clock, Outcome},
    series::Millis,
    store::Performance,
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// How often the figures of the day are written; the last of a day stay.
const EVERY: Duration = Duration::from_secs(600);
const DAY: Millis = 86_400_000;

/// Writes the figures of every signal now and then, until dropped.
pub(super) async fn keep(catalogue: Arc<Catalogue>, slot: StoreSlot, clock: Clock) {
    loop {
        sleep(EVERY).await;
        let Some(store) = slot.load_full() else {
            continue;
        };
        let now = clock.now();
        let fresh = catalogue.fresh(now);
        let figures: Vec<Performance> = fresh.iter().flat_map(|one| of(one, now)).collect();
        if !figures.is_empty() {
            // What goes wrong with the database the store says itself; the next time writes what is newer.
            drop(store.keep_performance(&figures).await);
        }
    }
}

/// The figures of a signal at every horizon that can be judged.
fn of(outcome: &Outcome, now: Millis) -> Vec<Performance> {
    let horizons = outcome.accuracy().enumerate();
    let figures = horizons.filter(|(_, one)| one.is_known());
    let figures = figures.map(|(place, one)| {
        let links = outcome.links.iter().skip(place);
        let links = links.step_by(outcome.horizons.len());
        Performance {
            signal: outcome.unit.to_string(),
            horizon_ms: one.horizon.span.as_millis(),
            day: now.div_euclid(DAY) * DAY,
            model: most(links.map(|link| link.name())),
            error: one.error.map(f64::from),
            coverage: one.coverage.map(f64::from),
            skill: one.skill.map(f64::from),
            count: outcome.series.len() as u64,
        }
    });
    figures.collect()
}

/// The one that is there most often; of equals the first by name.
fn most<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let most = counts.iter().rev().max_by_key(|(_, count)| **count)?;
    Some((*most.0).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::Horizon,
        forecast::{Link, Trust},
        series::Span,
    };

    #[test]
    fn what_can_be_judged_is_written_with_what_served_most() {
        let span = |minutes| Horizon {
            span: Span::minutes(minutes),
            steps: 1,
        };
        let outcome = Outcome {
            unit: "requests".into(),
            horizons: Arc::new([span(15), span(60)]),
            trust: vec![
                Some(Trust {
                    error_ratio: 0.25,
                    coverage_ratio: 0.5,
                    below_ratio: 0.75,
                    skill_ratio: f32::NAN,
                }),
                None,
            ],
            links: vec![
                Link::Ensemble,
                Link::Absent,
                Link::Champion,
                Link::Absent,
                Link::Ensemble,
                Link::Absent,
            ],
            ..Outcome::default()
        };
        let figures = of(&outcome, DAY + 5);
        let [one] = figures.as_slice() else {
            panic!("{figures:?}");
        };
        assert_eq!((one.horizon_ms, one.day), (900_000, DAY));
        assert_eq!(one.model.as_deref(), Some("ensemble"));
        assert_eq!((one.error, one.skill), (Some(0.25), None));
    }
}
