//! Gradient-boosted trees on what the seasons leave: for what follows from what was in other ways than straight lines.
//!
//! One model for every horizon: how many steps ahead is a term like the others ([`known`]), so that neighbouring horizons
//! learn from each other, and what is learnt is the way from the newest value. Targets are in units of what is typical
//! for their horizon, so that no horizon is learnt at the cost of another; trees are small and many ([`boost`]). The
//! seasons are those of [`super::harmonic`]. Nothing is iterated, so nothing explodes: no tree says more than it
//! has seen. Cost: about 14 ms to learn (3 for its seasons), O(1) per step, some microseconds for three horizons; 20 kB a series.

mod boost;
mod known;

use super::{
    Forecaster, ModelFiles,
    column::{PerSeries, per_series},
    harmonic::course,
    profile::Profile,
    wall::Wall,
};
use crate::{
    series::{Grid, Millis, Past, Slot},
    stats::robust::median_of,
};
use boost::Boost;
use known::{Known, Memory, TERMS};

/// Fewer values do not show how they go on.
const LEAST: usize = 48;
/// Rows learnt from, at most.
const MOST_ROWS: usize = 6_000;
/// The first sixteenth of the past has no means worth the name yet.
const WARM_SHARE: usize = 16;
/// Consecutive multiples of this are as far from each other, modulo 1, as can be.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Nothing to set.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Course and trees of each series; `None` where it abstains.
#[derive(Debug)]
pub(super) struct Trees {
    wall: Wall,
    grid: Grid,
    longest: usize,
    models: PerSeries<Model>,
}

#[derive(Debug)]
struct Model {
    profile: Option<Profile>,
    memory: Memory,
    boost: Boost,
    sizes: Sizes,
    known: Known,
    now: Millis,
}

/// How far values are typically from the newest one: by doublings of the steps between.
#[derive(Debug, Clone)]
struct Sizes(Vec<f32>);

impl Trees {
    /// See [`super::ModelSettings::build`].
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every forecaster is built the same way"
    )]
    pub(super) fn build(
        _settings: &Settings,
        grid: Grid,
        horizons: &[usize],
        _files: &ModelFiles,
    ) -> Result<Self, String> {
        Ok(Self {
            wall: Wall::new(grid),
            grid,
            longest: horizons.iter().copied().max().unwrap_or(1),
            models: PerSeries::new(),
        })
    }

    fn learn(&mut self, past: &Past<'_>) -> Option<Model> {
        let count = past.values.iter().filter(|value| value.is_finite()).count();
        if count < LEAST {
            return None;
        }
        self.wall.set_zone(past.zone);
        let profile = course(past, &mut self.wall);
        let (mut rests, mut walls) = (Vec::new(), Vec::new());
        for (place, &value) in past.values.iter().enumerate() {
            let wall = self.wall.walk(past.time(place));
            rests.push(value - profile.as_ref().map_or(0.0, |profile| profile.at(wall)));
            walls.push(wall * self.grid.step());
        }
        let lesson = Lesson {
            first: self.grid.index(past.time(0)),
            sizes: Sizes::of(&rests, self.longest),
            rests,
            walls,
        };
        let memory = Memory::of(count, past.seasons);
        let (boost, known) = lesson.learn(&memory, self.longest);
        Some(Model {
            profile,
            memory,
            boost,
            sizes: lesson.sizes,
            known,
            now: past.end,
        })
    }
}

impl Model {
    /// Expected value at grid time number `target`, where the wall clock is at step `wall`.
    fn at(&self, target: i64, wall: i64, step: Millis) -> f32 {
        let course = self
            .profile
            .as_ref()
            .map_or(0.0, |profile| profile.at(wall));
        let steps = usize::try_from(target - self.known.index)
            .unwrap_or(0)
            .max(1);
        let echo = self
            .memory
            .echoes
            .read(&self.known.echo, self.known.index, steps);
        let terms = self.known.terms(echo, steps, wall * step);
        course + self.known.value() + self.sizes.at(steps) * self.boost.at(&terms)
    }
}

impl Sizes {
    fn of(rests: &[f32], longest: usize) -> Self {
        let lags = std::iter::successors(Some(1_usize), |lag| lag.checked_mul(2));
        let lags = lags.take_while(|&lag| lag < 2 * longest && lag < rests.len());
        let sizes = lags.map(|lag| {
            let apart = rests[lag..]
                .iter()
                .zip(rests)
                .map(|(new, old)| (new - old).abs());
            let mut apart: Vec<f32> = apart.filter(|size| size.is_finite()).collect();
            let mean = apart.iter().map(|&size| f64::from(size)).sum::<f64>() / apart.len() as f64;
            // Where most values are the same, the others tell.
            median_of(&mut apart).max(0.1 * mean as f32)
        });
        Self(sizes.collect())
    }

    /// `steps` ahead, between the doublings; 0 where nothing is known.
    fn at(&self, steps: usize) -> f32 {
        let place = (steps as f32).log2();
        let below = place as usize;
        let last = self.0.len().saturating_sub(1);
        let at = |index: usize| {
            self.0
                .get(index.min(last))
                .copied()
                .filter(|size| size.is_finite())
        };
        let (low, high) = (at(below).unwrap_or(0.0), at(below + 1).unwrap_or(0.0));
        low + (place - below as f32) * (high - low)
    }
}

/// What a past gives to learn from.
struct Lesson {
    first: i64,
    /// What the seasons leave, and what the wall clock shows in milliseconds.
    rests: Vec<f32>,
    walls: Vec<Millis>,
    sizes: Sizes,
}

impl Lesson {
    /// The trees, and what is known at the end.
    fn learn(&self, memory: &Memory, longest: usize) -> (Boost, Known) {
        let places: Vec<usize> = (0..self.rests.len())
            .filter(|&place| self.rests[place].is_finite())
            .collect();
        let warm = places.len() / WARM_SHARE;
        let per_origin = MOST_ROWS as f64 / (places.len() - warm) as f64;
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        let mut known = Known::new(memory);
        let mut asked = 0_usize;
        for (number, &place) in places.iter().enumerate() {
            known.step(memory, self.first + place as i64, self.rests[place]);
            let until = (number + 1).saturating_sub(warm) as f64 * per_origin.min(3.0);
            while (asked as f64) < until.floor() {
                asked += 1;
                let steps = spread(asked, longest);
                if let Some((row, target)) = self.row(memory, &known, place, steps) {
                    rows.push(row);
                    targets.push(target);
                }
            }
        }
        (Boost::fit(&rows, &targets), known)
    }

    /// The terms at one origin, and what came of it, in units of what is typical.
    fn row(
        &self,
        memory: &Memory,
        known: &Known,
        place: usize,
        steps: usize,
    ) -> Option<([f32; TERMS], f32)> {
        let (target, &wall) = (
            self.rests.get(place + steps)?,
            self.walls.get(place + steps)?,
        );
        let echo = memory.echoes.read(&known.echo, known.index, steps);
        let target = (target - known.value()) / self.sizes.at(steps);
        target
            .is_finite()
            .then(|| (known.terms(echo, steps, wall), target))
    }
}

/// Steps ahead up to `longest`, as many of each doubling, for the question of this number.
fn spread(number: usize, longest: usize) -> usize {
    let share = (number as f64 * GOLDEN).fract();
    let steps = (share * (longest as f64 + 1.0).ln()).exp() as usize;
    steps.clamp(1, longest)
}

impl Forecaster for Trees {
    fn kind(&self) -> &'static str {
        "trees"
    }

    per_series!(models);

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let model = self.learn(past);
        self.models.put(slot, model)
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let (wall, index) = (self.wall.walk(at), self.grid.index(at));
        self.models.extend(slots, values, |model, value| {
            let course = model
                .profile
                .as_ref()
                .map_or(0.0, |profile| profile.at(wall));
            model.known.step(&model.memory, index, value - course);
            model.now = at;
        });
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut targets = self.wall.targets(horizons);
        self.models
            .predict(slots, horizons.len(), out, |_, model, row| {
                let walls = targets.after(model.now);
                let now = self.grid.index(model.now);
                for ((out, &steps), &wall) in row.iter_mut().zip(horizons).zip(walls) {
                    *out = model.at(now + steps as i64, wall, self.grid.step());
                }
            });
    }

    fn heap_bytes(&self) -> usize {
        self.models.heap_bytes(|model| {
            let profile = model.profile.as_ref().map_or(0, Profile::heap_bytes);
            profile + model.boost.heap_bytes() + model.known.heap_bytes() + model.sizes.0.len() * 4
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;

    const HOUR: Millis = 3_600_000;
    const DAY: usize = 24;

    fn trees() -> Trees {
        let grid = Grid::new(HOUR).unwrap();
        let settings = Settings::default();
        let mut trees = Trees::build(&settings, grid, &[1, DAY], &ModelFiles::new()).unwrap();
        trees.grow(2);
        trees
    }

    fn learn(trees: &mut Trees, values: &[f32], seasons: &[usize]) -> bool {
        let zone = Zone::default();
        let past = Past {
            end: (values.len() as i64 - 1) * HOUR,
            grid: trees.grid,
            values,
            seasons,
            zone: &zone,
        };
        trees.fit(0, &past)
    }

    fn ahead(trees: &Trees, horizons: &[usize]) -> Vec<f32> {
        let mut out = vec![0.0; horizons.len()];
        trees.predict(&[0], horizons, &mut out);
        out
    }

    fn noisy(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(5);
        (0..count)
            .map(|hour| {
                let wave = (hour as f32 / DAY as f32 * std::f32::consts::TAU).sin();
                100.0 + 20.0 * wave + 2.0 * (random.f32() - 0.5)
            })
            .collect()
    }

    /// Five steps up, and back in one: after a change a straight line goes on, or returns.
    #[test]
    fn what_no_straight_line_says_is_learnt() {
        let values: Vec<f32> = (0..1_600).map(|hour| (hour % 6 * 10) as f32).collect();
        for last in 1_590..1_596 {
            let mut trees = trees();
            assert!(learn(&mut trees, &values[..=last], &[]));
            let (got, expected) = (ahead(&trees, &[1])[0], values[last + 1]);
            assert!((got - expected).abs() < 8.0, "{last}: {got} {expected}");
        }
    }

    #[test]
    fn seasons_go_on() {
        let values = noisy(40 * DAY);
        let mut trees = trees();
        assert!(learn(&mut trees, &values, &[DAY]));
        for steps in [1, 6, 13, DAY] {
            let hour = (values.len() - 1 + steps) as f32;
            let expected = 100.0 + 20.0 * (hour / DAY as f32 * std::f32::consts::TAU).sin();
            let got = ahead(&trees, &[steps])[0];
            assert!((got - expected).abs() < 2.0, "{steps}: {got} {expected}");
        }
    }

    #[test]
    fn carried_on_equals_a_refit_with_the_same_parameters() {
        let mut values = noisy(30 * DAY);
        let from = 27 * DAY;
        values[from + 5..from + 9].fill(f32::NAN);
        let mut carried = trees();
        assert!(learn(&mut carried, &values[..from], &[DAY]));
        for (hour, &value) in values.iter().enumerate().skip(from) {
            carried.extend(hour as i64 * HOUR, &[0], &[value]);
        }
        let model = carried.models.of(0);
        let mut whole = Known::new(&model.memory);
        for (hour, value) in (0..).zip(&values) {
            let course = model.profile.as_ref().unwrap().at(hour);
            whole.step(&model.memory, hour, value - course);
        }
        // As text: what is not known is NaN.
        assert_eq!(format!("{:?}", model.known), format!("{whole:?}"));
    }

    #[test]
    fn horizons_are_asked_alike() {
        let mut asked = [0; 4];
        for number in 0..1_000 {
            let steps = spread(number, 288);
            assert!((1..=288).contains(&steps));
            asked[[3, 17, 70, 288]
                .iter()
                .position(|&end| steps <= end)
                .unwrap()] += 1;
        }
        assert!(
            asked.iter().all(|count| (200..300).contains(count)),
            "{asked:?}"
        );
        assert_eq!(spread(7, 1), 1);
    }

    #[test]
    fn sizes_grow_with_the_steps_between() {
        let line: Vec<f32> = (0..100).map(|place| place as f32).collect();
        let sizes = Sizes::of(&line, 24);
        for steps in [1, 2, 3, 8, 24] {
            assert!((sizes.at(steps) - steps as f32).abs() < 0.1 * steps as f32);
        }
        assert_eq!(Sizes::of(&[], 24).at(5), 0.0);
    }

    #[test]
    fn with_too_little_it_abstains_and_a_constant_stays() {
        let mut trees = trees();
        let mut values = [f32::NAN; 80];
        values[3..50].fill(5.0);
        assert!(!learn(&mut trees, &values, &[]));
        assert!(ahead(&trees, &[1])[0].is_nan());
        values[60] = 5.0;
        assert!(learn(&mut trees, &values, &[]));
        assert_eq!(ahead(&trees, &[1, 30]), [5.0, 5.0]);
    }
}
