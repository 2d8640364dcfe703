//! What choosing with the labels is worth: constants of the default detectors chosen on one half of the files of the
//! Numenta Anomaly Benchmark, and judged on the other.

use super::{
    AnomalyError, Contender, Progress, THRESHOLD, contender,
    data::{self, Labelled},
    mean,
    nab::{Key, Paper},
    nab_table::at_threshold,
    report::{Profiles, table, tenths},
    walk_all,
};
use crate::{detect, engine::SignalSettings};
use serde::Serialize;
use std::{fmt, path::Path};

/// Shares of the width of the envelope that score 1; the default in the middle, as below.
const NOVELTIES: [f64; 5] = [0.02, 0.03, 0.04, 0.055, 0.08];
/// Scales of the residual of the forecast that score 1.
const RESIDUALS: [f64; 3] = [5.5, 8.0, 12.0];
/// Scales of the baseline that score 1.
const DISTANCES: [f64; 3] = [4.5, 6.0, 8.5];

/// One point of the grid: the constants that decide most about how much is told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Constants {
    /// `envelope.novelty`
    pub novelty: f64,
    /// `forecast_residual.threshold`
    pub residual: f64,
    /// `zscore.threshold`
    pub distance: f64,
}

impl Constants {
    const DEFAULT: Self = Self {
        novelty: NOVELTIES[NOVELTIES.len() / 2],
        residual: RESIDUALS[RESIDUALS.len() / 2],
        distance: DISTANCES[DISTANCES.len() / 2],
    };

    /// The whole grid.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for novelty in NOVELTIES {
            for residual in RESIDUALS {
                all.extend(DISTANCES.map(|distance| Self {
                    novelty,
                    residual,
                    distance,
                }));
            }
        }
        all
    }

    /// The default detectors with these constants.
    fn detectors(self) -> Result<Vec<detect::Settings>, serde_json::Error> {
        [
            serde_json::json!({"envelope": {"novelty": self.novelty}}),
            serde_json::json!({"forecast_residual": {"threshold": self.residual}}),
            serde_json::json!({"zscore": {"threshold": self.distance}}),
        ]
        .into_iter()
        .map(serde_json::from_value)
        .collect()
    }
}

/// Figures of both halves.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Folds {
    /// Points of the grid.
    pub settings: usize,
    /// One half chosen on, the other judged on; then the other way round.
    pub rows: Vec<Fold>,
}

/// One half chosen on, the other judged on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fold {
    /// The half that was chosen on: `odd` or `even` positions by name.
    pub chosen_on: &'static str,
    /// What was best there, by the standard score; of equals the last of the grid.
    pub constants: Constants,
    /// Standard score there.
    pub chosen: f64,
    /// Scores of the same constants on the other half.
    pub judged: Profiles,
    /// Scores of the default on the other half.
    pub default: Profiles,
}

/// Walks the files in `folder` with every point of the grid, and everything else as shared.
pub(super) fn measure(
    folder: &Path,
    shared: &SignalSettings,
    progress: Progress<'_>,
) -> Result<Folds, AnomalyError> {
    let series =
        data::nab(folder).map_err(|problem| AnomalyError::Input(format!("--nab: {problem}")))?;
    let mut tried = Vec::new();
    for constants in Constants::all() {
        let detectors = constants
            .detectors()
            .map_err(|error| AnomalyError::Failed(error.to_string()))?;
        let contender = contender::of_detectors(shared, detectors);
        tried.push((constants, halves(&contender, &series, progress)?));
    }
    let rows = [("odd", 0, 1), ("even", 1, 0)];
    Ok(Folds {
        settings: tried.len(),
        rows: rows
            .into_iter()
            .filter_map(|(name, on, other)| fold(&tried, name, on, other))
            .collect(),
    })
}

/// Scores of one contender: odd positions, even positions.
fn halves(
    contender: &Contender,
    series: &[Labelled],
    progress: Progress<'_>,
) -> Result<[Profiles; 2], AnomalyError> {
    let field = walk_all(contender, series, progress)?;
    let keys: Vec<Key> = series
        .iter()
        .map(|one| Key::new(one.times.len(), &one.windows))
        .collect();
    let half = |from: usize| {
        let papers = keys.iter().zip(&field.walks).skip(from).step_by(2);
        let papers: Vec<Paper<'_>> = papers
            .map(|(key, walk)| (key, walk.shown.scores.as_slice()))
            .collect();
        Profiles::of(|profile| at_threshold(&papers, profile, THRESHOLD))
    };
    Ok([half(0), half(1)])
}

fn fold(
    tried: &[(Constants, [Profiles; 2])],
    chosen_on: &'static str,
    on: usize,
    other: usize,
) -> Option<Fold> {
    let best = tried
        .iter()
        .max_by(|one, two| one.1[on].standard.total_cmp(&two.1[on].standard))?;
    let default = tried.iter().find(|one| one.0 == Constants::DEFAULT)?;
    Some(Fold {
        chosen_on,
        constants: best.0,
        chosen: best.1[on].standard,
        judged: best.1[other],
        default: default.1[other],
    })
}

impl fmt::Display for Folds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "NAB in two halves, odd and even positions by name: the best of {} settings on one, judged on the other; scores at the threshold 1",
            self.settings
        )?;
        let head = [
            "chosen on",
            "novelty",
            "residual",
            "zscore",
            "there",
            "judged: standard",
            "low FP",
            "low FN",
            "default: standard",
            "low FP",
            "low FN",
        ];
        let mut rows: Vec<Vec<String>> = self.rows.iter().map(Fold::cells).collect();
        rows.push(self.mean_cells());
        table(f, &head, 1, &rows)
    }
}

impl Folds {
    fn mean_cells(&self) -> Vec<String> {
        let of = |field: fn(&Fold) -> f64| mean(self.rows.iter().map(field)).unwrap_or(f64::NAN);
        let mut cells = vec!["mean".to_owned()];
        cells.extend([const { String::new() }; 3]);
        let figures = [
            of(|fold| fold.chosen),
            of(|fold| fold.judged.standard),
            of(|fold| fold.judged.low_false_alarms),
            of(|fold| fold.judged.low_misses),
            of(|fold| fold.default.standard),
            of(|fold| fold.default.low_false_alarms),
            of(|fold| fold.default.low_misses),
        ];
        cells.extend(figures.map(tenths));
        cells
    }
}

impl Fold {
    fn cells(&self) -> Vec<String> {
        let Constants {
            novelty,
            residual,
            distance,
        } = self.constants;
        let mut cells = vec![self.chosen_on.to_owned()];
        cells.extend([novelty, residual, distance].map(|value| value.to_string()));
        cells.push(tenths(self.chosen));
        for profiles in [self.judged, self.default] {
            let figures = [
                profiles.standard,
                profiles.low_false_alarms,
                profiles.low_misses,
            ];
            cells.extend(figures.map(tenths));
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_grid_is_the_default() {
        let all = Constants::all();
        assert_eq!(all.len(), 45);
        assert_eq!(all[all.len() / 2], Constants::DEFAULT);
        let detectors = Constants::DEFAULT.detectors().unwrap();
        assert_eq!(detectors, detect::defaults());
    }

    #[test]
    fn what_is_best_on_one_half_is_judged_on_the_other() {
        let flat = |standard| Profiles {
            standard,
            ..Profiles::default()
        };
        let loud = Constants {
            novelty: 0.02,
            ..Constants::DEFAULT
        };
        let tried = [
            (loud, [flat(70.0), flat(10.0)]),
            (Constants::DEFAULT, [flat(60.0), flat(40.0)]),
        ];
        let odd = fold(&tried, "odd", 0, 1).unwrap();
        assert_eq!((odd.constants, odd.chosen), (loud, 70.0));
        assert_eq!((odd.judged, odd.default), (flat(10.0), flat(40.0)));
        let even = fold(&tried, "even", 1, 0).unwrap();
        assert_eq!((even.chosen, even.judged), (40.0, flat(60.0)));
        let folds = Folds {
            settings: 2,
            rows: vec![odd, even],
        };
        let text = folds.to_string();
        let last = text.lines().last().unwrap();
        let cells: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(
            cells,
            ["mean", "55.0", "35.0", "0.0", "0.0", "50.0", "0.0", "0.0"]
        );
    }
}
