//! What the seasons leave, forecast for each horizon by its own regression on what is known now.
//!
//! Terms, all as differences from a slow mean, which is what is forecast without any of them: the newest three
//! values, three faster means, and what was left at the same time one season (of each of the two longest) before
//! the target. A regression for each horizon of a growing list; between two of them the weights are
//! interpolated. Nothing is iterated into the future, so nothing explodes.

use super::echo::Echo;
use crate::stats::{
    linear::{Cholesky, add_scaled, add_square, dot},
    robust::{mad_consistency, median_of},
};

/// Newest values that are terms.
const LAGS: usize = 3;
/// Means that are kept: three terms and, the slowest, what all is measured from.
const MEANS: usize = 4;
const SLOWEST: usize = MEANS - 1;
/// Seasons whose last cycle is a term.
pub(in crate::forecast) const SEASONS: usize = 2;
const BASE: usize = LAGS + SLOWEST;
const TERMS: usize = BASE + SEASONS;

/// The half-life of the slowest mean is this share of the past; on the public series a quarter is worse, a tenth
/// is no better.
const SLOW_SHARE: usize = 7;
/// Half-lives in values, at least; the fastest is always that.
const LEAST_HALF_LIVES: [usize; MEANS] = [3, 5, 8, 16];
/// What the slowest half-life is divided by for the others.
const DIVISORS: [usize; MEANS] = [usize::MAX, 16, 4, 1];
/// Origins learnt from, at most.
const MOST_ROWS: usize = 2_016;
/// Below this many origins a horizon has no weights: the slow mean is its forecast.
const LEAST_ROWS: usize = 12;
/// Share of the origins that must know a term, for it to be one.
const KNOWN_SHARE: f64 = 0.4;
/// The first sixteenth of the past has no means worth the name yet.
const WARM_SHARE: usize = 16;
/// Weights are held back as by this share of all origins, and by one more for each stretch as long as the horizon
/// that the past is short of: overlapping targets say the same.
const PULL: f64 = 5e-4;
/// Targets at least this many steps long count as overlapping.
const LEAST_OVERLAP: usize = 4;
/// Errors beyond this many scales count as that large.
const CLIP: f64 = 1.5;
/// Rounds of clipping.
const ROUNDS: usize = 4;

/// What is known of the rest of one series, by its known values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    /// Newest first.
    lags: [f64; LAGS],
    means: [f64; MEANS],
    /// The share of each mean that is values, not its beginning.
    shares: [f64; MEANS],
    echo: Echo,
    /// Number of the grid time of the newest value.
    newest: i64,
}

/// How the rest of one series goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Direct {
    rates: [f64; MEANS],
    echoes: Echoes,
    /// Steps ahead, growing.
    horizons: Box<[usize]>,
    /// By horizon.
    weights: Box<[[f32; TERMS]]>,
}

/// The seasons whose last cycle is a term, in steps; 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::forecast) struct Echoes {
    seasons: [usize; SEASONS],
    coarse: usize,
}

impl Echoes {
    /// Coarse steps in the shorter season, about.
    const PER_SEASON: usize = 144;

    /// Of the longest of `seasons`, shortest first.
    pub(in crate::forecast) fn of(seasons: &[usize]) -> Self {
        let mut kept = [0; SEASONS];
        for (kept, &season) in kept.iter_mut().zip(seasons.iter().rev()) {
            *kept = season;
        }
        let shortest = kept.into_iter().filter(|&season| season > 0).min();
        Self {
            seasons: kept,
            coarse: (shortest.unwrap_or(1) / Self::PER_SEASON).max(1),
        }
    }

    /// Nothing seen yet, with room for what is read.
    pub(in crate::forecast) fn memory(&self) -> Echo {
        Echo::new(self.coarse, self.reach())
    }

    fn reach(&self) -> usize {
        let longest = self.seasons[0];
        if longest == 0 {
            0
        } else {
            longest + 2 * Echo::margin(self.coarse)
        }
    }

    /// What `echo` says of `steps` after `origin`, by season.
    pub(in crate::forecast) fn read(
        &self,
        echo: &Echo,
        origin: i64,
        steps: usize,
    ) -> [f64; SEASONS] {
        self.seasons.map(|season| {
            if season == 0 {
                return f64::NAN;
            }
            let cycles = (steps + Echo::margin(self.coarse)).div_ceil(season);
            echo.at(origin + steps as i64 - (cycles * season) as i64)
        })
    }
}

impl State {
    fn new(echoes: &Echoes) -> Self {
        Self {
            lags: [f64::NAN; LAGS],
            means: [0.0; MEANS],
            shares: [0.0; MEANS],
            echo: echoes.memory(),
            newest: i64::MIN,
        }
    }

    /// Takes in the value at grid time number `index`; nothing where it is missing.
    pub(super) fn step(&mut self, direct: &Direct, index: i64, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.newest == i64::MIN {
            self.lags = [value; LAGS];
        }
        self.lags.rotate_right(1);
        self.lags[0] = value;
        for ((mean, share), rate) in self
            .means
            .iter_mut()
            .zip(&mut self.shares)
            .zip(direct.rates)
        {
            *share += rate * (1.0 - *share);
            *mean += rate / *share * (value - *mean);
        }
        self.echo.see(index, value);
        self.newest = index;
    }

    /// The slow mean, and what else is known as differences from it.
    fn terms(&self) -> (f64, [f64; BASE]) {
        let anchor = self.means[SLOWEST];
        let mut terms = [0.0; BASE];
        let known = self.lags.iter().chain(&self.means[..SLOWEST]);
        for (term, value) in terms.iter_mut().zip(known) {
            *term = value - anchor;
        }
        (anchor, terms)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.echo.heap_bytes()
    }
}

/// What was known at one origin.
struct Origin {
    index: i64,
    anchor: f64,
    terms: [f64; BASE],
}

/// What `rests` hold to learn from.
struct Lesson<'a> {
    first: i64,
    rests: &'a [f64],
    origins: Vec<Origin>,
    /// Steps between origins.
    stride: usize,
    /// Of the whole past.
    echo: Echo,
}

impl Direct {
    /// Learns from `rests`, the first of which is at grid time number `first`, how they go on up to `longest` steps,
    /// and what is known after the last of them.
    pub(super) fn fit(
        first: i64,
        rests: &[f64],
        seasons: &[usize],
        longest: usize,
    ) -> (Self, State) {
        let echoes = Echoes::of(seasons);
        let horizons = horizons_up_to(longest);
        let mut direct = Self {
            rates: rates(rests.len()),
            echoes,
            weights: vec![[0.0; TERMS]; horizons.len()].into_boxed_slice(),
            horizons,
        };
        let (lesson, state) = direct.walk(first, rests);
        let weights = direct
            .horizons
            .iter()
            .map(|&steps| lesson.weights(&echoes, steps));
        direct.weights = weights.collect();
        (direct, state)
    }

    /// The state after `rests`, by these parameters.
    #[cfg(test)]
    pub(super) fn state_after(&self, first: i64, rests: &[f64]) -> State {
        self.walk(first, rests).1
    }

    /// Expected value at grid time number `target`.
    pub(super) fn expect(&self, state: &State, target: i64) -> f64 {
        let (anchor, terms) = state.terms();
        let steps = usize::try_from(target - state.newest).unwrap_or(0).max(1);
        let echoes = self.echoes.read(&state.echo, state.newest, steps);
        let echoes = echoes.map(|echo| if echo.is_finite() { echo - anchor } else { 0.0 });
        let (before, after, share) = self.around(steps);
        let weight = |term: usize| {
            let (before, after) = (self.weights[before][term], self.weights[after][term]);
            f64::from(before) + share * f64::from(after - before)
        };
        let terms = terms.iter().chain(&echoes).enumerate();
        anchor + terms.map(|(term, value)| weight(term) * value).sum::<f64>()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.horizons) + size_of_val(&*self.weights)
    }

    /// The places of the horizons around `steps`, and how far it is between them.
    fn around(&self, steps: usize) -> (usize, usize, f64) {
        let after = self.horizons.partition_point(|&horizon| horizon < steps);
        let last = self.horizons.len() - 1;
        if after == 0 || after > last {
            return (after.min(last), after.min(last), 0.0);
        }
        let (from, to) = (self.horizons[after - 1], self.horizons[after]);
        (after - 1, after, (steps - from) as f64 / (to - from) as f64)
    }

    fn walk<'a>(&self, first: i64, rests: &'a [f64]) -> (Lesson<'a>, State) {
        let known = rests.iter().filter(|rest| rest.is_finite()).count();
        let stride = known.div_ceil(MOST_ROWS).max(1);
        let reach = if self.echoes.reach() == 0 {
            0
        } else {
            rests.len()
        };
        let mut lesson = Lesson {
            first,
            rests,
            origins: Vec::with_capacity(known / stride + 1),
            stride,
            echo: Echo::new(self.echoes.coarse, reach),
        };
        let mut state = State::new(&self.echoes);
        let mut left = known;
        for (index, &rest) in (first..).zip(rests) {
            if !rest.is_finite() {
                continue;
            }
            left -= 1;
            state.step(self, index, rest);
            lesson.echo.see(index, rest);
            // Counted from the end: the newest is the one to be most like.
            if left.is_multiple_of(stride) && known - left > known / WARM_SHARE {
                let (anchor, terms) = state.terms();
                lesson.origins.push(Origin {
                    index,
                    anchor,
                    terms,
                });
            }
        }
        (lesson, state)
    }
}

impl Lesson<'_> {
    /// The weights of the terms `steps` ahead.
    fn weights(&self, echoes: &Echoes, steps: usize) -> [f32; TERMS] {
        let (rows, targets) = self.rows(echoes, steps);
        if targets.len() < LEAST_ROWS {
            return [0.0; TERMS];
        }
        let span = (targets.len() * self.stride) as f64;
        let pull = PULL + steps.max(LEAST_OVERLAP) as f64 / span;
        let weights = robust(rows, &targets, pull).unwrap_or([0.0; TERMS]);
        weights.map(|weight| weight as f32)
    }

    /// Terms at each origin and what came of it, both as differences from its slow mean.
    fn rows(&self, echoes: &Echoes, steps: usize) -> (Vec<[f64; TERMS]>, Vec<f64>) {
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        let mut known = [0; SEASONS];
        for origin in &self.origins {
            let place = (origin.index - self.first) as usize + steps;
            let Some(target) = self.rests.get(place).filter(|rest| rest.is_finite()) else {
                continue;
            };
            let mut row = [0.0; TERMS];
            row[..BASE].copy_from_slice(&origin.terms);
            let read = echoes.read(&self.echo, origin.index, steps);
            for ((term, echo), known) in row[BASE..].iter_mut().zip(read).zip(&mut known) {
                *term = echo - origin.anchor;
                *known += usize::from(echo.is_finite());
            }
            rows.push(row);
            targets.push(target - origin.anchor);
        }
        let least = (KNOWN_SHARE * rows.len() as f64) as usize;
        for row in &mut rows {
            for (term, &known) in row[BASE..].iter_mut().zip(&known) {
                if known <= least {
                    *term = 0.0;
                }
            }
        }
        let mut whole = rows
            .iter()
            .map(|row| row.iter().all(|term| term.is_finite()));
        targets.retain(|_| whole.next().unwrap_or(false));
        rows.retain(|row| row.iter().all(|term| term.is_finite()));
        (rows, targets)
    }
}

/// Ridge regression with errors clipped at [`CLIP`] scales, by pseudo-values (Huber 1981, section 7.8): the matrix
/// stays, so a round costs next to nothing. Terms are held back by `pull` in units of their own size. `None` where it
/// cannot be solved.
fn robust(mut rows: Vec<[f64; TERMS]>, targets: &[f64], pull: f64) -> Option<[f64; TERMS]> {
    let mut sizes = [0.0_f64; TERMS];
    for row in &rows {
        for (size, term) in sizes.iter_mut().zip(row) {
            *size += term * term;
        }
    }
    let sizes = sizes.map(|size| if size > 0.0 { size.sqrt() } else { 1.0 });
    let mut gram = vec![0.0; TERMS * TERMS];
    for row in &mut rows {
        for (term, size) in row.iter_mut().zip(sizes) {
            *term /= size;
        }
        add_square(&mut gram, row, 1.0);
    }
    for term in 0..TERMS {
        gram[term * (TERMS + 1)] += pull;
    }
    let factor = Cholesky::new(gram, TERMS)?;
    let mut values = targets.to_vec();
    let mut weights = [0.0; TERMS];
    for round in 0..=ROUNDS {
        if round > 0 && !clip(&rows, targets, &weights, &mut values) {
            break;
        }
        weights = [0.0; TERMS];
        for (row, &value) in rows.iter().zip(&values) {
            add_scaled(&mut weights, row, value);
        }
        factor.solve(&mut weights);
    }
    for (weight, size) in weights.iter_mut().zip(sizes) {
        *weight /= size;
    }
    weights
        .iter()
        .all(|weight| weight.is_finite())
        .then_some(weights)
}

/// Sets `values` to what is expected plus the error, clipped. `false` where there is nothing to clip by: most errors
/// are none.
fn clip(
    rows: &[[f64; TERMS]],
    targets: &[f64],
    weights: &[f64; TERMS],
    values: &mut [f64],
) -> bool {
    let mut errors = Vec::with_capacity(rows.len());
    for ((row, target), value) in rows.iter().zip(targets).zip(values.iter_mut()) {
        *value = dot(row, weights);
        errors.push((target - *value) as f32);
    }
    let mut sizes: Vec<f32> = errors.iter().map(|error| error.abs()).collect();
    let limit = CLIP * f64::from(mad_consistency() * median_of(&mut sizes));
    if !(limit > 0.0 && limit.is_finite()) {
        return false;
    }
    for (value, error) in values.iter_mut().zip(errors) {
        *value += f64::from(error).clamp(-limit, limit);
    }
    true
}

/// Doubling, and `longest` itself.
fn horizons_up_to(longest: usize) -> Box<[usize]> {
    let longest = longest.max(1);
    let doubling = std::iter::successors(Some(1_usize), |steps| steps.checked_mul(2));
    doubling
        .take_while(|&steps| steps < longest)
        .chain([longest])
        .collect()
}

/// Weights of the newest value in the means, for a past of `count` values.
fn rates(count: usize) -> [f64; MEANS] {
    let slowest = (count / SLOW_SHARE).max(LEAST_HALF_LIVES[SLOWEST]);
    std::array::from_fn(|mean| {
        let half_life = (slowest / DIVISORS[mean]).max(LEAST_HALF_LIVES[mean]);
        1.0 - 0.5_f64.powf(1.0 / half_life as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, count: usize) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count)
            .map(|_| random.f64() + random.f64() - 1.0)
            .collect()
    }

    /// `x(t) = 0.8 x(t - 1) + e(t)` around 50.
    fn fading(count: usize) -> Vec<f64> {
        let mut value = 0.0;
        let noise = noise(1, count).into_iter();
        noise
            .map(|noise| {
                value = 0.8 * value + noise;
                50.0 + value
            })
            .collect()
    }

    #[test]
    fn each_horizon_keeps_of_the_newest_value_what_the_process_keeps() {
        let mut rests = fading(6_000);
        rests.extend([50.0, 60.0]);
        let (direct, state) = Direct::fit(0, &rests, &[], 32);
        for steps in [1, 2, 3, 6, 30] {
            let got = direct.expect(&state, 6_001 + steps);
            let expected = 50.0 + 10.0 * 0.8_f64.powi(steps as i32);
            assert!((got - expected).abs() < 0.6, "{steps}: {got} {expected}");
        }
    }

    #[test]
    fn what_was_left_a_season_ago_is_left_again() {
        let shape = noise(2, 48);
        let mut slow = 0.0;
        let rests: Vec<f64> = (0..20 * 48)
            .map(|step| {
                slow = shape[step % 48] + 0.6 * slow;
                slow
            })
            .collect();
        let (direct, state) = Direct::fit(7, &rests, &[48], 40);
        for steps in [4, 16, 40] {
            let got = direct.expect(&state, 7 + 20 * 48 - 1 + steps as i64);
            let expected = rests[19 * 48 + steps - 1];
            assert!((got - expected).abs() < 0.5, "{steps}: {got} {expected}");
        }
    }

    #[test]
    fn carried_on_equals_a_walk_through_all_with_the_same_parameters() {
        let mut rests = fading(1_200);
        rests[400..440].fill(f64::NAN);
        rests[910..920].fill(f64::NAN);
        let (direct, mut state) = Direct::fit(5, &rests[..900], &[48], 24);
        let before = state.clone();
        for (index, &rest) in (905..).zip(&rests[900..]) {
            state.step(&direct, index, rest);
        }
        assert_eq!(state, direct.state_after(5, &rests));
        assert_ne!(state, before);
    }

    #[test]
    fn after_a_gap_the_forecast_is_one_from_further_ago() {
        let rests = fading(900);
        let (direct, state) = Direct::fit(0, &rests, &[], 24);
        let mut later = state.clone();
        (900..908).for_each(|index| later.step(&direct, index, f64::NAN));
        assert_eq!(direct.expect(&later, 910), direct.expect(&state, 910));
    }

    #[test]
    fn what_cannot_be_learnt_is_the_slow_mean() {
        let mut rests = vec![f64::NAN; 60];
        rests[10..30].fill(4.0);
        rests[40..44].fill(8.0);
        let (direct, state) = Direct::fit(0, &rests, &[], 50);
        assert_eq!(direct.weights[direct.horizons.len() - 1], [0.0; TERMS]);
        let got = direct.expect(&state, 110);
        assert!((4.0..6.0).contains(&got), "{got}");
        let (direct, state) = Direct::fit(0, &[-3e9; 200], &[48], 24);
        assert_eq!(direct.expect(&state, 220), -3e9);
    }

    #[test]
    fn horizons_double_and_are_interpolated() {
        assert_eq!(*horizons_up_to(12), [1, 2, 4, 8, 12]);
        assert_eq!(*horizons_up_to(0), [1]);
        let (direct, _) = Direct::fit(0, &fading(200), &[], 12);
        assert_eq!(direct.around(1), (0, 0, 0.0));
        assert_eq!(direct.around(6), (2, 3, 0.5));
        assert_eq!(direct.around(99), (4, 4, 0.0));
    }
}
