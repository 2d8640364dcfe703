//! Outcomes of a panel's signals as thin as its detectors can do with: a panel with `pca` waits for 2,000 grid
//! times of each signal before it starts, which would be some hundred bytes for every series and grid time.

use crate::{
    baseline::Band,
    engine::outcome::{Outcome, SeriesOutcome},
    series::{Labels, Millis},
};
use std::sync::Arc;

/// An outcome that waits.
#[derive(Debug)]
pub(super) enum Kept {
    /// As it came.
    Whole(Arc<Outcome>),
    /// What a panel judges by.
    Thin(Thin),
}

/// Of each series its value, what was expected of it and in which scale: twelve bytes a series, beside labels that
/// successive grid times share.
#[derive(Debug)]
pub(super) struct Thin {
    unit: Arc<str>,
    at: Millis,
    excluded: Option<String>,
    labels: Arc<[Labels]>,
    known: Box<[Known]>,
}

/// Makes outcomes of one signal thin.
#[derive(Debug, Clone, Default)]
pub(super) struct Thinner {
    /// Those of the outcome before.
    labels: Arc<[Labels]>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    value: f32,
    expected: f32,
    scale: f32,
}

impl Thinner {
    /// What a panel judges by of this outcome. A series of which nothing was expected is none to a panel.
    pub(super) fn thin(&mut self, outcome: &Outcome) -> Kept {
        let known = || outcome.series.iter().filter(|one| one.band.is_known());
        if !known().map(|one| &one.labels).eq(self.labels.iter()) {
            self.labels = known().map(|one| one.labels.clone()).collect();
        }
        let of = |one: &SeriesOutcome| Known {
            value: match outcome.doubt(&one.labels) {
                Some(_) => f32::NAN,
                None => one.value,
            },
            expected: one.band.expected,
            scale: one.band.scale,
        };
        Kept::Thin(Thin {
            unit: Arc::clone(&outcome.unit),
            at: outcome.at,
            excluded: outcome.excluded.clone(),
            labels: Arc::clone(&self.labels),
            known: known().map(of).collect(),
        })
    }
}

impl Kept {
    /// An outcome that a panel judges as it would have judged the one that came.
    pub(super) fn whole(self) -> Arc<Outcome> {
        match self {
            Self::Whole(outcome) => outcome,
            Self::Thin(thin) => Arc::new(thin.whole()),
        }
    }

    /// Bytes of the series; those of labels are shared by all that have the same ones.
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Whole(outcome) => size_of_val(&*outcome.series),
            Self::Thin(thin) => {
                let shared = size_of_val(&*thin.labels) / Arc::strong_count(&thin.labels);
                size_of_val(&*thin.known) + shared
            }
        }
    }
}

impl Thin {
    fn whole(self) -> Outcome {
        let series = |(labels, known): (&Labels, &Known)| SeriesOutcome {
            labels: labels.clone(),
            value: known.value,
            band: Band {
                expected: known.expected,
                // No panel asks for the bounds.
                lower: known.expected,
                upper: known.expected,
                scale: known.scale,
            },
            score: f32::NAN,
            active: false,
            severity: 0,
            direction: 0,
            began: false,
            since: None,
            worst: 0,
            reason: None,
        };
        Outcome {
            unit: self.unit,
            at: self.at,
            excluded: self.excluded,
            series: self.labels.iter().zip(&self.known).map(series).collect(),
            ..Outcome::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{
            PanelSettings, PanelUnit, UnitOptions,
            outcome::{Doubt, Mode},
        },
        quality::Finding,
        series::Grid,
    };

    const HOSTS: i64 = 40;
    const STEP: Millis = 60_000;

    /// Hosts that leave what was expected of them by less than a scale, some by more in the end.
    fn outcome(unit: &str, step: i64) -> Outcome {
        let series: Vec<SeriesOutcome> = (0..HOSTS)
            .map(|host| {
                let wobble = ((host * 7 + step * 3 + unit.len() as i64) % 11) as f32 / 5.0;
                let news = if step > 180 && host % 20 == 0 {
                    70.0
                } else {
                    0.0
                };
                let expected = if host == 7 && step < 50 {
                    f32::NAN
                } else {
                    host as f32
                };
                SeriesOutcome {
                    labels: Labels::new([("instance", format!("host-{host:03}"))]).unwrap(),
                    value: expected + wobble + news,
                    band: Band {
                        expected,
                        lower: expected - 6.0,
                        upper: expected + 6.0,
                        scale: 2.0,
                    },
                    score: 0.3,
                    active: false,
                    severity: 0,
                    direction: 0,
                    began: false,
                    since: None,
                    worst: 0,
                    reason: None,
                }
            })
            .collect();
        // Series are sorted by labels, and so are these.
        let doubts = series.iter().filter(|_| step == 110).map(|one| Doubt {
            labels: one.labels.clone(),
            finding: Finding::Frozen,
            value: one.value,
        });
        let doubts = doubts.collect();
        Outcome {
            unit: unit.into(),
            at: step * STEP,
            series,
            excluded: (step == 100).then(|| "excluded".to_owned()),
            doubts,
            ..Outcome::default()
        }
    }

    #[test]
    fn a_panel_judges_thin_outcomes_as_it_judges_whole_ones() {
        let text = r#"{"name": "hosts", "signals": ["cpu", "memory"], "on": ["instance"],
                       "detectors": [{"dbscan": {}}, {"pca": {}}]}"#;
        let settings: PanelSettings = serde_json::from_str(text).unwrap();
        let grid = Grid::new(STEP).unwrap();
        let panel = || PanelUnit::new(&settings, &UnitOptions::default(), grid, Some(200)).unwrap();
        let (mut of_whole, mut of_thin) = (panel(), panel());
        let mut thinners = [Thinner::default(), Thinner::default()];
        let mut scored = 0;
        for step in 0..200 {
            let whole = ["cpu", "memory"].map(|unit| Arc::new(outcome(unit, step)));
            let thin = [0, 1].map(|input| thinners[input].thin(&whole[input]).whole());
            let one = of_whole.advance(step * STEP, &whole, Mode::Study);
            let other = of_thin.advance(step * STEP, &thin, Mode::Study);
            // Compared as text, where NaN is the same as NaN.
            assert_eq!(format!("{:?}", one.series), format!("{:?}", other.series));
            scored += one.series.iter().filter(|one| one.score >= 1.0).count();
        }
        assert!(scored > 0, "the incident is seen");
    }

    #[test]
    fn what_waits_takes_twelve_bytes_a_series_and_shared_labels() {
        let mut thinner = Thinner::default();
        let waiting: Vec<Kept> = (0..500)
            .map(|step| thinner.thin(&outcome("cpu", step)))
            .collect();
        let bytes: usize = waiting.iter().map(Kept::heap_bytes).sum();
        let each = bytes as f64 / (500.0 * HOSTS as f64);
        assert!(each < 12.2, "{each}");
        let whole = Kept::Whole(Arc::new(outcome("cpu", 1)));
        assert!(
            whole.heap_bytes() / HOSTS as usize > 64,
            "as it came it is far more"
        );
    }
}
