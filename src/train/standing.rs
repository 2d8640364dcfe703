//! Errors of everybody, series by series.
//!
//! Errors are in deviations of their series: in its own unit one large series among many small ones would decide alone. A
//! series in which nothing moves tells nobody from anybody and is not judged by.

use super::{
    LEVELS,
    gate::{Answers, Score, Standing},
    head::median,
};

/// What is judged of one series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Its origins.
    pub(super) origins: usize,
    /// Its population deviation, above 0.
    pub(super) deviation: f64,
}

/// The errors of everybody, each judged where all who answer a horizon have an answer. `actuals` are by origin and horizon,
/// the origins those of `shares`, one series after the other.
pub(super) fn standings_of(
    answers: &[Answers],
    actuals: &[f32],
    horizons: usize,
    shares: &[Share],
) -> Vec<Standing> {
    let mut scores: Vec<Vec<Option<Score>>> = vec![Vec::new(); answers.len()];
    for horizon in 0..horizons {
        let speakers: Vec<bool> = answers
            .iter()
            .map(|one| one.speaks(horizon, horizons))
            .collect();
        let mut totals = vec![Total::default(); answers.len()];
        let mut origins = 0..;
        for share in shares {
            let mut sums = vec![Sum::default(); answers.len()];
            for origin in origins.by_ref().take(share.origins) {
                let place = origin * horizons + horizon;
                add(&mut sums, answers, &speakers, place, actuals[place]);
            }
            for (total, sum) in totals.iter_mut().zip(&sums) {
                total.add(sum, share.deviation);
            }
        }
        for ((scores, total), one) in scores.iter_mut().zip(&totals).zip(answers) {
            scores.push(total.score(one.has_quantiles));
        }
    }
    answers
        .iter()
        .zip(scores)
        .map(|(one, scores)| Standing {
            name: one.name.clone(),
            role: one.role,
            scores,
        })
        .collect()
}

/// Adds what everybody answered to one actual value, if all who could have.
fn add(sums: &mut [Sum], answers: &[Answers], speakers: &[bool], place: usize, actual: f32) {
    let rows = answers.iter().map(|one| one.row(place));
    let rows: Vec<Option<[f32; LEVELS.len()]>> = rows.collect();
    let mut all = rows.iter().zip(speakers);
    if !actual.is_finite() || !all.all(|(row, &speaks)| row.is_some() || !speaks) {
        return;
    }
    for (sum, row) in sums.iter_mut().zip(rows) {
        if let Some(row) = row {
            sum.add(actual, row);
        }
    }
}

impl Answers {
    /// The answer at a place of origins by horizons, if there is one.
    fn row(&self, place: usize) -> Option<[f32; LEVELS.len()]> {
        let row = &self.values[place * LEVELS.len()..(place + 1) * LEVELS.len()];
        let row: [f32; LEVELS.len()] = row.try_into().ok()?;
        row.iter().all(|value| value.is_finite()).then_some(row)
    }

    fn speaks(&self, horizon: usize, horizons: usize) -> bool {
        let places = self.values.len() / LEVELS.len();
        let mut places = (horizon..places).step_by(horizons);
        places.any(|place| self.row(place).is_some())
    }
}

/// Of one series, in its unit.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    count: usize,
    errors: f64,
    losses: f64,
    actuals: f64,
}

/// Of all series, in their deviations.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    count: usize,
    errors: f64,
    losses: f64,
    /// The ratio of each series once for each of its values that count.
    ratios: f64,
    with_ratio: usize,
}

impl Sum {
    fn add(&mut self, actual: f32, row: [f32; LEVELS.len()]) {
        let actual = f64::from(actual);
        self.count += 1;
        self.actuals += actual.abs();
        self.errors += (actual - f64::from(row[median()])).abs();
        for (level, value) in LEVELS.into_iter().zip(row) {
            let error = actual - f64::from(value);
            self.losses += 2.0 * (level * error).max((level - 1.0) * error) / LEVELS.len() as f64;
        }
    }
}

impl Total {
    fn add(&mut self, sum: &Sum, deviation: f64) {
        self.count += sum.count;
        self.errors += sum.errors / deviation;
        self.losses += sum.losses / deviation;
        // Of zeros there is no share.
        if sum.actuals > 0.0 {
            self.ratios += sum.count as f64 * sum.errors / sum.actuals;
            self.with_ratio += sum.count;
        }
    }

    fn score(&self, has_quantiles: bool) -> Option<Score> {
        let count = self.count as f64;
        (self.count > 0).then(|| Score {
            count: self.count,
            mae: self.errors / count,
            quantile_loss: has_quantiles.then(|| self.losses / count),
            error_ratio: self.ratios / self.with_ratio as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::gate::Role, *};

    /// Answers of somebody whose errors are these, by origin, at one horizon.
    fn answers(role: Role, actuals: &[f32], errors: &[f32]) -> Answers {
        let row = |(actual, error): (&f32, &f32)| [actual + error; LEVELS.len()];
        Answers {
            role,
            name: format!("{role:?}"),
            has_quantiles: true,
            values: actuals.iter().zip(errors).flat_map(row).collect(),
        }
    }

    #[test]
    fn a_large_series_among_small_ones_does_not_decide_alone() {
        // Ten small series in which the new one is twice as good, and a large one in which it is a little worse.
        let actuals: Vec<f32> = (0..11)
            .map(|series| if series < 10 { 1.0 } else { 1e6 })
            .collect();
        let errors = |small: f32, large: f32| -> Vec<f32> {
            (0..11)
                .map(|series| if series < 10 { small } else { large })
                .collect()
        };
        let all = [
            answers(Role::New, &actuals, &errors(0.1, 1.2e5)),
            answers(Role::Naive, &actuals, &errors(0.2, 1.0e5)),
        ];
        let shares: Vec<Share> = actuals
            .iter()
            .map(|&actual| Share {
                origins: 1,
                deviation: f64::from(actual),
            })
            .collect();
        let found = standings_of(&all, &actuals, 1, &shares);
        let [new, naive] = [0, 1].map(|place: usize| found[place].scores[0].unwrap());
        assert_eq!(new.count, 11);
        assert!(
            (new.mae - (10.0 * 0.1 + 0.12) / 11.0).abs() < 1e-6,
            "{new:?}"
        );
        assert!(
            (naive.mae - (10.0 * 0.2 + 0.1) / 11.0).abs() < 1e-6,
            "{naive:?}"
        );
        assert!((new.error_ratio - new.mae).abs() < 1e-6, "{new:?}");
        assert!(super::super::gain(&found[0], &found[1]).0.unwrap() > 0.4);
    }

    #[test]
    fn a_value_counts_where_all_who_could_have_an_answer() {
        let actuals = [10.0, 20.0];
        let mut mute = answers(Role::Naive, &actuals, &[1.0, 2.0]);
        mute.values[0] = f32::NAN;
        let silent = answers(Role::Champion, &actuals, &[f32::NAN; 2]);
        let all = [answers(Role::New, &actuals, &[4.0, 5.0]), mute, silent];
        let share = Share {
            origins: 2,
            deviation: 10.0,
        };
        let found = standings_of(&all, &actuals, 1, &[share]);
        let new = found[0].scores[0].unwrap();
        assert_eq!((new.count, new.mae, new.error_ratio), (1, 0.5, 0.25));
        assert_eq!(found[2].scores, [None]);
    }
}
