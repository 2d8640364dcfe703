//! The course of the seasons: Fourier terms by robust ridge regression, around a moving level.

use crate::{
    forecast::{
        profile::{Profile, average, coarse_seasons, coarseness},
        wall::{Wall, phase_of},
    },
    series::{Millis, Past},
    stats::{
        linear::{Cholesky, add_scaled, add_square, dot},
        robust::{mad_consistency, median_of},
    },
};
use std::f64::consts::TAU;

const DAY: Millis = 86_400_000;
/// Coarse steps of a past, at most: the work grows with them, the course hardly gains.
const MOST_COARSE: usize = 2_100;
/// Pairs of waves of the shortest season: what happens within half an hour of a day is seen. On the public series
/// more than 24 are worth a hundredth of the error, jobs at fixed minutes much more.
const MOST_WAVES: usize = 40;
/// Pairs of waves of every longer season; its course within the shorter one is told by the weekend.
const LONG_WAVES: usize = 3;
/// Pairs of waves in which a day of the weekend may differ in shape.
const WEEKEND_WAVES: usize = 4;
/// A wave of order `k` is held back as by `PULL * k^2` values of zero out of every one: the smoother the likelier.
const PULL: f64 = 3e-4;
/// The order at which terms of a week are held back: there are few weeks to see them in.
const WEEK_ORDER: f64 = 3.0;
/// Level, clipping and course depend on each other; this many rounds settle them.
const ROUNDS: usize = 3;
/// What is further off the course than this many scales counts as that far off.
const CLIP: f32 = 2.5;
/// The first day of the epoch was a Thursday.
const WEEKEND: [usize; 2] = [2, 3];

/// Expected departure from the level over the longest season; `None` where no season shows twice.
pub(in crate::forecast) fn course(past: &Past<'_>, wall: &mut Wall) -> Option<Profile> {
    let coarse = coarseness(past, MOST_COARSE)?;
    let (first, values) = average(past, coarse, wall);
    let seasons = coarse_seasons(past, coarse, values.len());
    let basis = Basis::new(&seasons, coarse as Millis * past.grid.step())?;
    let places: Vec<usize> = (0..values.len())
        .map(|index| phase_of(first + index as i64, basis.cells))
        .collect();
    let course = basis.fit(&values, &places)?;
    let course = course.into_iter().map(|value| value as f32).collect();
    Some(Profile::new(coarse, course))
}

/// The terms of the regression, by coarse step of the longest season.
struct Basis {
    cells: usize,
    width: usize,
    /// `cells` rows of `width` terms.
    rows: Vec<f64>,
    /// By term: the order it is held back with.
    orders: Vec<f64>,
}

impl Basis {
    /// `None` without seasons (in coarse steps of `step` milliseconds, shortest first).
    fn new(seasons: &[usize], step: Millis) -> Option<Self> {
        let (&shortest, &longest) = (seasons.first()?, seasons.last()?);
        let per_day = usize::try_from(DAY / step).unwrap_or(0);
        let is_week = longest as Millis * step == 7 * DAY && seasons.contains(&per_day);
        let mut basis = Self {
            cells: longest,
            width: 0,
            rows: Vec::new(),
            orders: orders(seasons, is_week),
        };
        basis.width = basis.orders.len();
        for cell in 0..longest {
            basis.waves(cell, shortest, waves_of(shortest), 1.0);
            for &season in &seasons[1..] {
                basis.waves(cell, season, LONG_WAVES, 1.0);
            }
            if is_week {
                let weekend = WEEKEND.contains(&(cell / per_day));
                let weekend = f64::from(u8::from(weekend)) - 2.0 / 7.0;
                basis.rows.push(weekend);
                basis.waves(cell, per_day, WEEKEND_WAVES, weekend);
            }
        }
        Some(basis)
    }

    /// Appends cosines and sines of `cell`, times `factor`.
    fn waves(&mut self, cell: usize, season: usize, count: usize, factor: f64) {
        let angle = TAU * (cell % season) as f64 / season as f64;
        for order in 1..=count {
            let (sine, cosine) = (order as f64 * angle).sin_cos();
            self.rows.extend([factor * cosine, factor * sine]);
        }
    }

    fn row(&self, cell: usize) -> &[f64] {
        &self.rows[cell * self.width..(cell + 1) * self.width]
    }

    /// The course that `values` (`NaN` where missing) take around their moving level; `places` are their cells.
    fn fit(&self, values: &[f32], places: &[usize]) -> Option<Vec<f64>> {
        let mut counts = vec![0.0; self.cells];
        for (&place, value) in places.iter().zip(values) {
            counts[place] += f64::from(u8::from(value.is_finite()));
        }
        let factor = self.factor(&counts)?;
        let mut course = vec![0.0; self.cells];
        for round in 0..ROUNDS {
            let rest = less_level(values, places, &course);
            let mut rest: Vec<f32> = rest.into_iter().map(|value| value as f32).collect();
            if round > 0 {
                clip(&mut rest);
            }
            let mut sums = vec![0.0; self.cells];
            for (&place, &rest) in places.iter().zip(&rest) {
                if rest.is_finite() {
                    sums[place] += f64::from(rest) + course[place];
                }
            }
            let mut weights = vec![0.0; self.width];
            for (cell, &sum) in sums.iter().enumerate() {
                add_scaled(&mut weights, self.row(cell), sum);
            }
            factor.solve(&mut weights);
            for (cell, value) in course.iter_mut().enumerate() {
                *value = dot(self.row(cell), &weights);
            }
        }
        course
            .iter()
            .all(|value| value.is_finite())
            .then_some(course)
    }

    fn factor(&self, counts: &[f64]) -> Option<Cholesky> {
        let mut gram = vec![0.0; self.width * self.width];
        for (cell, &count) in counts.iter().enumerate() {
            add_square(&mut gram, self.row(cell), count);
        }
        let total: f64 = counts.iter().sum();
        for (place, order) in self.orders.iter().enumerate() {
            gram[place * (self.width + 1)] += PULL * order * order * total;
        }
        Cholesky::new(gram, self.width)
    }
}

/// By term, in the order of a row: how strongly it is held back.
fn orders(seasons: &[usize], is_week: bool) -> Vec<f64> {
    let twice = |order: usize| [order as f64; 2];
    let mut orders: Vec<f64> = (1..=waves_of(seasons[0])).flat_map(twice).collect();
    orders.extend(vec![WEEK_ORDER; 2 * LONG_WAVES * (seasons.len() - 1)]);
    if is_week {
        orders.push(WEEK_ORDER);
        orders.extend((1..=WEEKEND_WAVES).flat_map(twice));
    }
    orders
}

/// Pairs of waves of the shortest season: below half of its steps, beyond which they repeat.
fn waves_of(season: usize) -> usize {
    MOST_WAVES.min((season - 1) / 2)
}

/// What is left of `values` without `course` and without the mean over the season around each of them (over what
/// there is of it at the ends).
fn less_level(values: &[f32], places: &[usize], course: &[f64]) -> Vec<f64> {
    let rest: Vec<f64> = values
        .iter()
        .zip(places)
        .map(|(&value, &place)| f64::from(value) - course[place])
        .collect();
    // Less one of them: sums of small differences keep their digits.
    let base = rest.iter().copied().find(|value| value.is_finite());
    let base = base.unwrap_or(0.0);
    let mut sums = vec![(0.0, 0_u32)];
    let mut sum = (0.0, 0);
    for value in &rest {
        if value.is_finite() {
            sum = (sum.0 + value - base, sum.1 + 1);
        }
        sums.push(sum);
    }
    let width = course.len();
    let around = |index: usize| {
        let (from, to) = (
            index.saturating_sub(width / 2),
            (index + width - width / 2).min(rest.len()),
        );
        base + (sums[to].0 - sums[from].0) / f64::from(sums[to].1 - sums[from].1)
    };
    (0..rest.len())
        .map(|index| rest[index] - around(index))
        .collect()
}

/// Pulls wild values in.
fn clip(rest: &mut [f32]) {
    let mut sizes: Vec<f32> = rest.iter().map(|value| value.abs()).collect();
    sizes.retain(|size| size.is_finite());
    let limit = CLIP * mad_consistency() * median_of(&mut sizes);
    if limit > 0.0 {
        for value in rest {
            // NaN stays NaN.
            *value = value.clamp(-limit, limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Grid, Zone};

    const QUARTER: Millis = 900_000;
    const PER_DAY: usize = 96;

    fn fit(values: &[f32], seasons: &[usize]) -> Option<Profile> {
        let (grid, zone) = (Grid::new(QUARTER).unwrap(), Zone::default());
        let past = Past {
            end: (values.len() as i64 - 1) * QUARTER,
            grid,
            values,
            seasons,
            zone: &zone,
        };
        course(&past, &mut Wall::new(grid))
    }

    /// Working hours on working days, from a Thursday on, with a level that wanders.
    fn work(index: usize) -> f32 {
        let (day, place) = (index / PER_DAY, index % PER_DAY);
        let at_work = (32..72).contains(&place) && !WEEKEND.contains(&(day % 7));
        100.0 + 0.01 * index as f32 + if at_work { 30.0 } else { 0.0 }
    }

    #[test]
    fn waves_of_day_and_weekend_follow_the_course_whatever_the_level() {
        let mut values: Vec<f32> = (0..21 * PER_DAY).map(work).collect();
        // An outage and a gap.
        values[700..730].fill(0.0);
        values[1_000..1_100].fill(f32::NAN);
        let profile = fit(&values, &[PER_DAY, 7 * PER_DAY]).unwrap();
        let at = |day: usize, place: usize| profile.at((day * PER_DAY + place) as i64);
        for day in [0, 1, 4, 5, 6] {
            let step = at(day, 52) - at(day, 10);
            assert!((25.0..35.0).contains(&step), "{day}: {step}");
        }
        for day in WEEKEND {
            let step = at(day, 52) - at(day, 10);
            assert!(step.abs() < 6.0, "{day}: {step}");
        }
        // The edges of working hours are sharp.
        assert!(at(0, 36) - at(0, 28) > 20.0);
    }

    #[test]
    fn a_course_needs_two_cycles_and_is_nothing_for_a_constant() {
        let values: Vec<f32> = (0..150).map(work).collect();
        assert!(fit(&values, &[PER_DAY]).is_none());
        assert!(fit(&values, &[]).is_none());
        let constant = fit(&[-3e9; 400], &[PER_DAY]).unwrap();
        assert!((0..400).all(|index| constant.at(index) == 0.0));
    }

    #[test]
    fn seasons_too_short_for_all_waves_have_fewer() {
        let values: Vec<f32> = (0..200)
            .map(|index| [1.0, 5.0, 2.0, 0.0][index % 4])
            .collect();
        let profile = fit(&values, &[4]).unwrap();
        let step = profile.at(1) - profile.at(3);
        assert!((step - 5.0).abs() < 0.05, "{step}");
        assert_eq!(waves_of(4), 1);
        assert_eq!(waves_of(5), 2);
    }
}
