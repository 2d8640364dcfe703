//! How the versions of a trained model compare, live: the one in force, the one before it, and a challenger that
//! forecasts silently.
//!
//! Every forecast that comes due is scored beside what a naive forecast of the same origin lost (seasonal naive, or the
//! last value where a series has no season), so a series counts the same whatever its size.

use crate::series::{Grid, Millis, Span};
use std::collections::VecDeque;

/// A score this much older counts half.
const HALF_LIFE: Millis = 3 * 86_400_000;
/// How far from a naive forecast the loss of one series may count: a series that hardly moves must not decide.
const BOUNDS: (f64, f64) = (0.01, 100.0);

/// The versions of one trained model of one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    /// The name of the model, such as `checkout`.
    pub model: String,
    /// The version in force, such as `7`.
    pub champion: String,
    /// The version that forecasts silently, where there is one.
    pub challenger: Option<String>,
    /// The version in force before, where it is there and sound.
    pub previous: Option<String>,
    /// Shortest first; those at which nothing was scored are left out.
    pub horizons: Vec<ContestHorizon>,
}

/// What another version of a model is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The version in force before: serves where the one in force has no answer.
    Previous,
    /// Forecasts silently, and is compared.
    Challenger,
}

/// What the versions lost at one horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct ContestHorizon {
    /// How far ahead.
    pub span: Span,
    /// Loss of the version in force relative to a naive forecast: 1 is as good, below is better. Mean absolute errors,
    /// newer ones counting more; the geometric mean over the series, each weighed by its forecasts. With a challenger only
    /// origins count at which both answered, and none that lie in the time either was trained on.
    pub champion: f32,
    /// The same of the challenger, at the same origins; `NaN` where there is none.
    pub challenger: f32,
    /// The same of the version in force before, at the origins at which it answered; `NaN` where there is none.
    pub previous: f32,
    /// Forecasts of the version in force (and with a challenger: of both) behind these figures, all series together.
    pub scored: u64,
    /// The grid time of the earliest of these forecasts.
    pub since: Millis,
}

impl Role {
    /// As in the label `role`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Previous => "previous",
            Self::Challenger => "challenger",
        }
    }
}

/// The versions of one network of a shard, and where their forecasts lie at an origin.
#[derive(Debug, Clone)]
pub(super) struct Bout {
    pub(super) model: String,
    pub(super) champion: Entrant,
    pub(super) challenger: Option<Entrant>,
    pub(super) previous: Option<Entrant>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Entrant {
    pub(super) version: String,
    /// Its row.
    pub(super) row: usize,
    /// Number of the last grid time of what it was trained on.
    pub(super) trained_until: i64,
}

impl Bout {
    /// Whose forecasts are compared, in the order of [`Waiting::told`].
    fn entrants(&self) -> [Option<&Entrant>; 3] {
        let (challenger, previous) = (self.challenger.as_ref(), self.previous.as_ref());
        [Some(&self.champion), challenger, previous]
    }

    /// The forecasts of an origin, given the expected value of each row and that of a naive forecast.
    pub(super) fn waiting(&self, target: i64, naive: f32, point: impl Fn(usize) -> f32) -> Waiting {
        let fresh = |entrant: &&Entrant| target > entrant.trained_until;
        let told = |entrant: &Entrant| point(entrant.row);
        let told = |entrant: Option<&Entrant>| entrant.filter(fresh).map_or(f32::NAN, told);
        Waiting {
            target,
            naive,
            told: self.entrants().map(told),
            is_duel: self.challenger.is_some(),
        }
    }
}

/// Forecasts of one origin that wait for their actual value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Number of the grid time they are for.
    pub(super) target: i64,
    naive: f32,
    /// Champion, challenger, previous; `NaN` where there is none or it must not count.
    told: [f32; 3],
    is_duel: bool,
}

/// How the versions did on one series at one horizon.
#[derive(Debug, Clone, Default)]
pub(super) struct Score {
    waiting: VecDeque<Waiting>,
    /// Absolute errors of champion, challenger and a naive forecast, where the first two had one.
    duel: [f64; 3],
    /// Of the previous version and a naive forecast.
    former: [f64; 2],
    /// Number of forecasts in `duel` and `former`, older ones counting less.
    weights: [f64; 2],
    /// Forecasts in `duel`.
    count: u64,
    /// Number of the grid time of the first of those.
    first: Option<i64>,
    /// Of the newest actual value that was taken in.
    newest: Option<i64>,
}

impl Score {
    /// Files the forecasts of an origin.
    pub(super) fn file(&mut self, waiting: Waiting) {
        let newest = self.waiting.back().map(|one| one.target);
        if newest.is_none_or(|newest| newest < waiting.target) {
            self.waiting.push_back(waiting);
        }
    }

    /// Forecasts due by grid time number `index` meet their actual value, which `actual` gives by its number.
    pub(super) fn resolve(&mut self, index: i64, grid: Grid, actual: impl Fn(i64) -> f32) {
        while let Some(due) = self.waiting.front().copied() {
            if due.target > index {
                break;
            }
            self.waiting.pop_front();
            self.add(&due, actual(due.target), grid);
        }
    }

    fn add(&mut self, due: &Waiting, actual: f32, grid: Grid) {
        let error = |told: f32| f64::from((actual - told).abs());
        let naive = error(due.naive);
        if !naive.is_finite() {
            return;
        }
        let [champion, challenger, previous] = due.told.map(error);
        let newest = self.newest.replace(due.target).unwrap_or(due.target);
        let kept = (-((due.target - newest) * grid.step()) as f64 / HALF_LIFE as f64).exp2();
        let sums = self.duel.iter_mut().chain(&mut self.former);
        sums.chain(&mut self.weights).for_each(|sum| *sum *= kept);
        if champion.is_finite() && (challenger.is_finite() || !due.is_duel) {
            self.duel[0] += champion;
            self.duel[1] += challenger;
            self.duel[2] += naive;
            self.weights[0] += 1.0;
            self.count += 1;
            self.first.get_or_insert(due.target);
        }
        if previous.is_finite() {
            self.former[0] += previous;
            self.former[1] += naive;
            self.weights[1] += 1.0;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<Waiting>()
    }
}

/// How the versions of one model did on some series.
#[derive(Debug, Clone)]
pub struct Tally {
    bout: Bout,
    /// By horizon.
    sums: Vec<Sums>,
}

/// Weighted logarithms of losses relative to a naive forecast.
#[derive(Debug, Clone, Default)]
struct Sums {
    /// Champion, challenger, previous: sum and weight.
    losses: [(f64, f64); 3],
    scored: u64,
    since: Option<i64>,
}

impl Tally {
    pub(super) fn new(bout: &Bout, horizons: usize) -> Self {
        Self {
            bout: bout.clone(),
            sums: vec![Sums::default(); horizons],
        }
    }

    /// Takes in a series.
    pub(super) fn add(&mut self, h: usize, score: &Score) {
        let sums = &mut self.sums[h];
        let [champion, challenger, naive] = score.duel;
        let [previous, beside] = score.former;
        let [duel, former] = score.weights;
        for ((sum, weight), (loss, naive, own)) in sums.losses.iter_mut().zip([
            (champion, naive, duel),
            (challenger, naive, duel),
            (previous, beside, former),
        ]) {
            let ratio = (loss / naive).clamp(BOUNDS.0, BOUNDS.1);
            if naive > 0.0 && ratio.is_finite() {
                *sum += own * ratio.ln();
                *weight += own;
            }
        }
        sums.scored += score.count;
        sums.since = [sums.since, score.first].into_iter().flatten().min();
    }

    /// The result, at these horizons.
    pub fn contest(self, grid: Grid, horizons: impl Iterator<Item = Span>) -> Contest {
        let version = |entrant: &Option<Entrant>| entrant.as_ref().map(|one| one.version.clone());
        let told = |(span, sums): (Span, Sums)| {
            let since = sums.since.filter(|_| sums.scored > 0)?;
            let loss = |(sum, weight): (f64, f64)| (sum / weight).exp() as f32;
            let [champion, challenger, previous] = sums.losses.map(loss);
            Some(ContestHorizon {
                span,
                champion,
                challenger,
                previous,
                scored: sums.scored,
                since: since * grid.step(),
            })
        };
        Contest {
            challenger: version(&self.bout.challenger),
            previous: version(&self.bout.previous),
            horizons: horizons.zip(self.sums).filter_map(told).collect(),
            model: self.bout.model,
            champion: self.bout.champion.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bout(challenger: bool) -> Bout {
        let entrant = |version: &str, row| Entrant {
            version: version.into(),
            row,
            trained_until: 0,
        };
        Bout {
            model: "load".into(),
            champion: entrant("7", 0),
            challenger: challenger.then(|| entrant("8", 1)),
            previous: None,
        }
    }

    /// A series whose champion errs by `champion`, its challenger by `challenger`, and naive by `naive`.
    fn score(bout: &Bout, champion: f32, challenger: f32, naive: f32) -> Score {
        let grid = Grid::new(60_000).unwrap();
        let mut score = Score::default();
        for target in 1..=50 {
            let errors = [champion, challenger];
            score.file(bout.waiting(target, 100.0 + naive, |row| 100.0 + errors[row]));
            score.file(bout.waiting(target, f32::NAN, |_| f32::NAN));
        }
        score.resolve(100, grid, |_| 100.0);
        score
    }

    fn told(bout: &Bout, scores: &[Score]) -> ContestHorizon {
        let mut tally = Tally::new(bout, 1);
        scores.iter().for_each(|score| tally.add(0, score));
        let spans = std::iter::once(Span::minutes(15));
        let grid = Grid::new(60_000).unwrap();
        tally.contest(grid, spans).horizons.remove(0)
    }

    #[test]
    fn a_big_series_counts_no_more_than_a_small_one() {
        let bout = bout(true);
        let scores = [
            score(&bout, 1.0, 2.0, 4.0),
            score(&bout, 4e6, 1e6, 4e6),
            // Moves nowhere: nothing to be better than.
            score(&bout, 1.0, 0.0, 0.0),
        ];
        let told = told(&bout, &scores);
        assert!((told.champion - 0.5).abs() < 1e-4, "{told:?}");
        assert!(
            (told.challenger - 0.125_f32.sqrt()).abs() < 1e-4,
            "{told:?}"
        );
        assert!(told.previous.is_nan());
        assert_eq!((told.scored, told.since), (150, 60_000));
    }

    #[test]
    fn with_a_challenger_only_origins_of_both_count_and_without_one_those_of_the_champion() {
        let duel = bout(true);
        let told = |bout: &Bout| {
            let score = score(bout, 1.0, f32::NAN, 4.0);
            let mut tally = Tally::new(bout, 1);
            tally.add(0, &score);
            let spans = std::iter::once(Span::minutes(15));
            tally.contest(Grid::new(60_000).unwrap(), spans).horizons
        };
        assert!(told(&duel).is_empty());
        let alone = told(&bout(false));
        assert!((alone[0].champion - 0.25).abs() < 1e-5 && alone[0].challenger.is_nan());
    }

    #[test]
    fn what_is_three_days_older_counts_half() {
        let (bout, grid) = (bout(false), Grid::new(60_000).unwrap());
        let mut score = Score::default();
        let day = 1_440;
        for (target, error) in [(1, 3.0), (1 + 3 * day, 6.0)] {
            score.file(bout.waiting(target, 110.0, |_| 100.0 + error));
            score.resolve(target, grid, |_| 100.0);
        }
        let told = told(&bout, &[score]);
        assert!(
            (told.champion - (1.5 + 6.0) / 15.0).abs() < 1e-4,
            "{told:?}"
        );
    }
}
