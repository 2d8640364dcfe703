//! The chain: who serves when, and with whose errors.

use super::*;
use crate::{
    forecast::{
        Forecaster, ModelSettings, Models,
        member::tests::{BEYOND, Moody},
        seasonal_mean, seasonal_naive,
    },
    series::{Span, Zone},
};

const STEP: Millis = 300_000;
const DAY: usize = 288;

fn grid() -> Grid {
    Grid::new(STEP).unwrap()
}

/// A season with noise.
fn series(seed: u64, days: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let value = |index: usize| {
        let day = (index as f32 / DAY as f32 * std::f32::consts::TAU).sin();
        100.0 + 20.0 * day
    };
    (0..days * DAY)
        .map(|index| value(index) + 4.0 * (random.f32() + random.f32() - 1.0))
        .collect()
}

fn past<'a>(values: &'a [f32], last: usize, seasons: &'a [usize], zone: &'a Zone) -> Past<'a> {
    Past {
        end: last as i64 * STEP,
        grid: grid(),
        values: &values[..=last],
        seasons,
        zone,
    }
}

/// Knows the course of [`series`] without its noise, and says so while it is well.
#[derive(Debug, Clone, Default)]
struct Oracle {
    version: Option<&'static str>,
    trained_until: Option<Millis>,
    now: Millis,
    /// At and after this time it has no number.
    well_until: Millis,
    /// How far it is off.
    off: f32,
}

impl Forecaster for Oracle {
    fn kind(&self) -> &'static str {
        "oracle"
    }

    fn version(&self) -> Option<String> {
        self.version.map(|version| format!("load/{version}"))
    }

    fn trained_until(&self) -> Option<Millis> {
        self.trained_until
    }

    fn is_network(&self) -> bool {
        true
    }

    fn grow(&mut self, _slots: usize) {}

    fn evict(&mut self, _slot: Slot) {}

    fn swap(&mut self, _one: Slot, _other: Slot) {}

    fn fit(&mut self, _slot: Slot, past: &Past<'_>) -> bool {
        self.now = past.end;
        true
    }

    fn extend(&mut self, at: Millis, _slots: &[Slot], _values: &[f32]) {
        self.now = at;
    }

    fn predict(&self, _slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        for (out, &steps) in out.iter_mut().zip(horizons) {
            let index = (self.now / STEP) as f32 + steps as f32;
            let day = (index / DAY as f32 * std::f32::consts::TAU).sin();
            let known = self.now < self.well_until;
            *out = if known {
                100.0 + 20.0 * day + self.off
            } else {
                f32::INFINITY
            };
        }
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

fn oracle(well_until: usize, off: f32) -> Box<Oracle> {
    Box::new(Oracle {
        now: 0,
        well_until: well_until as Millis * STEP,
        off,
        ..Oracle::default()
    })
}

fn build(models: Vec<ModelSettings>) -> Forecasts {
    let settings = Settings {
        horizons: Some(vec![Span::minutes(15), Span::minutes(60)]),
        models: Models::Given(models),
        ..Settings::default()
    };
    Forecasts::build(&settings, grid(), &ModelFiles::new()).unwrap()
}

fn mean() -> ModelSettings {
    ModelSettings::SeasonalMean(seasonal_mean::Settings::default())
}

/// What was published at one step.
#[derive(Debug, Clone, Copy)]
struct Said {
    link: Link,
    interval: Interval,
    actual: f32,
}

/// Rebuilt after six days, stepped to the end; what was said of the second horizon at each step, with what came.
fn run(forecasts: &mut Forecasts, values: &[f32], seasons: &[usize]) -> Vec<Said> {
    let zone = Zone::default();
    forecasts.grow(1);
    forecasts.rebuild(0, &past(values, 6 * DAY, seasons, &zone));
    let mut said = Vec::new();
    for index in 6 * DAY + 1..values.len() {
        forecasts.step(index as i64 * STEP, &[0], &[values[index]]);
        let mut out = [Interval::ABSENT; 2];
        forecasts.intervals(&[0], &mut out);
        said.push(Said {
            link: forecasts.link(0, 1),
            interval: out[1],
            actual: values.get(index + 12).copied().unwrap_or(f32::NAN),
        });
    }
    said
}

/// Share of actual values inside, and mean width, of what that link said.
fn measured(said: &[Said], link: Link) -> (f32, f32) {
    let of = |one: &&Said| one.link == link && one.actual.is_finite();
    let all: Vec<&Said> = said.iter().filter(of).collect();
    assert!(all.len() > 200, "{link:?}: {}", all.len());
    let inside = |one: &&&Said| (one.interval.lower..=one.interval.upper).contains(&one.actual);
    let widths = all
        .iter()
        .map(|one| one.interval.upper - one.interval.lower);
    let count = all.len() as f32;
    (
        all.iter().filter(inside).count() as f32 / count,
        widths.sum::<f32>() / count,
    )
}

#[test]
fn each_link_serves_with_the_errors_it_made_itself() {
    let values = series(3, 12);
    let ill = 9 * DAY;
    // The champion falls silent on the ninth day; what stands by differs from case to case.
    let former = || oracle(usize::MAX >> 32, 3.0);
    let cases = [
        (vec![mean()], true, Link::Previous),
        (vec![mean()], false, Link::Ensemble),
        (vec![], false, Link::SeasonalNaive),
    ];
    let mut widths = Vec::new();
    for (models, with_former, expected) in cases {
        let mut forecasts = build(if models.is_empty() {
            vec![mean()]
        } else {
            models.clone()
        });
        if models.is_empty() {
            forecasts.members.clear();
        }
        forecasts.insert(oracle(ill, 0.0));
        if with_former {
            forecasts.insert_shadow(Role::Previous, former());
        }
        let said = run(&mut forecasts, &values, &[DAY]);
        let (before, after) = said.split_at(ill - 6 * DAY - 1);
        assert!(before.iter().all(|one| one.link == Link::Champion));
        assert!(
            after.iter().all(|one| one.link == expected),
            "{expected:?}: {:?}",
            after[0]
        );
        assert!(forecasts.has_fallen_back(0, 1));
        let (own, width) = measured(before, Link::Champion);
        assert!((own - 0.9).abs() < 0.06, "{own}");
        let (covered, wider) = measured(after, expected);
        assert!((covered - 0.9).abs() < 0.06, "{expected:?}: {covered}");
        assert!(wider > 1.02 * width, "{expected:?}: {wider} {width}");
        widths.push(wider);
        let mut quantiles = [0.0; 6];
        forecasts.quantiles(0, &[0.1, 0.5, 0.9], &mut quantiles);
        assert!(quantiles[3] < quantiles[4] && quantiles[4] < quantiles[5]);
        let of = said.last().unwrap().interval;
        assert!(of.lower < quantiles[3] && quantiles[5] < of.upper);
    }
    assert!(widths[1] < widths[2], "{widths:?}");
}

#[test]
fn where_only_growth_is_left_it_is_carried_on_with_its_errors_and_then_there_is_nothing() {
    let mut values = series(4, 12);
    let ill = 9 * DAY;
    values[11 * DAY..].fill(f32::NAN);
    let mut forecasts = build(vec![mean()]);
    forecasts.members.clear();
    forecasts.insert(oracle(ill, 0.0));
    // No season is known: seasonal naive has nothing to say.
    let said = run(&mut forecasts, &values, &[]);
    let (before, after) = said.split_at(ill - 6 * DAY - 1);
    let after = &after[..2 * DAY];
    assert!(before.iter().all(|one| one.link == Link::Champion));
    assert!(after[..DAY].iter().all(|one| one.link == Link::Rule));
    let ((_, width), (covered, wider)) = (
        measured(before, Link::Champion),
        measured(after, Link::Rule),
    );
    assert!((covered - 0.9).abs() < 0.07, "{covered}");
    assert!(wider > width, "{wider} {width}");
    let last = said.last().unwrap();
    assert!(last.link == Link::Absent && last.interval.expected.is_nan());
}

#[test]
fn a_champion_that_is_well_again_is_in_force_again_and_learns_from_its_own_errors_only() {
    let values = series(5, 12);
    let silent = |from: usize, to: usize| {
        let mut forecasts = build(vec![mean()]);
        forecasts.insert(oracle(usize::MAX >> 32, 0.0));
        let mut said = Vec::new();
        let zone = Zone::default();
        forecasts.grow(1);
        forecasts.rebuild(0, &past(&values, 6 * DAY, &[DAY], &zone));
        let network = forecasts.members.len() - 1;
        let live = values.iter().enumerate().take(12 * DAY - 12);
        for (index, &value) in live.skip(6 * DAY + 1) {
            // As the breaker does.
            forecasts.members[network].settle(true, (from..to).contains(&index));
            forecasts.step(index as i64 * STEP, &[0], &[value]);
            said.push(forecasts.link(0, 1));
        }
        let mut out = [Interval::ABSENT; 2];
        forecasts.intervals(&[0], &mut out);
        (said, out[1])
    };
    let (always, expected) = silent(0, 0);
    assert!(always.iter().all(|&link| link == Link::Champion));
    let (paused, after) = silent(7 * DAY, 8 * DAY);
    let count = paused.iter().filter(|&&link| link == Link::Ensemble);
    assert_eq!(count.count(), DAY);
    assert_eq!(paused.last(), Some(&Link::Champion));
    // A day of the wider errors of another would show.
    let width = |one: Interval| one.upper - one.lower;
    assert!(
        (width(after) / width(expected) - 1.0).abs() < 0.05,
        "{after:?} {expected:?}"
    );
}

#[test]
fn a_statistical_choice_falls_back_on_another_one_that_answers() {
    let mut values = series(6, 12);
    values[8 * DAY] = BEYOND;
    let naive = ModelSettings::SeasonalNaive(seasonal_naive::Settings::default());
    let mut forecasts = build(vec![naive]);
    forecasts.insert(Box::new(Moody::default()));
    let said = run(&mut forecasts, &values, &[DAY]);
    assert!(said.iter().all(|one| one.link == Link::Ensemble));
    assert!(said.iter().all(|one| one.interval.upper.is_finite()));
    let failed = forecasts.take_failures().find(|(.., times)| *times > 0);
    assert_eq!(failed, Some(("moody", FailureReason::NotFinite, 1)));
    assert!(!forecasts.has_fallen_back(0, 1), "still what it usually is");
}

/// A version that is so far off, and was trained on what came before that step.
fn version(version: &'static str, off: f32, until: usize) -> Box<Oracle> {
    Box::new(Oracle {
        version: Some(version),
        trained_until: Some(until as Millis * STEP),
        ..*oracle(usize::MAX >> 32, off)
    })
}

/// A champion, a better challenger that was trained on more, and a worse one before.
fn contenders() -> Forecasts {
    let mut forecasts = build(vec![mean()]);
    forecasts.insert(version("7", 2.0, 0));
    forecasts.insert_shadow(Role::Challenger, version("8", 0.0, 5 * DAY));
    forecasts.insert_shadow(Role::Previous, version("6", 4.0, 0));
    forecasts
}

fn contest(forecasts: &Forecasts) -> crate::forecast::Contest {
    let mut tallies = Vec::new();
    forecasts.tally(0, &mut tallies);
    let spans = [Span::minutes(15), Span::minutes(60)].into_iter();
    tallies.remove(0).contest(grid(), spans)
}

#[test]
fn versions_are_compared_on_what_none_of_them_was_trained_on_and_silently() {
    let values = series(7, 10);
    let mut forecasts = contenders();
    let said = run(&mut forecasts, &values, &[DAY]);
    let mut alone = build(vec![mean()]);
    alone.insert(version("7", 2.0, 0));
    let without = run(&mut alone, &values, &[DAY]);
    let seen = |said: &[Said]| -> Vec<Interval> { said.iter().map(|one| one.interval).collect() };
    assert_eq!(seen(&said), seen(&without), "nobody sees a challenger");

    let contest = contest(&forecasts);
    assert_eq!(contest.model, "load");
    assert_eq!(contest.champion, "7");
    assert_eq!(contest.challenger.as_deref(), Some("8"));
    assert_eq!(contest.previous.as_deref(), Some("6"));
    assert_eq!(contest.horizons.len(), 2);
    for at in &contest.horizons {
        assert!(at.since > (5 * DAY) as Millis * STEP, "{at:?}");
        // Every third or so of the steps of five days is an origin.
        assert!((300..5 * DAY as u64).contains(&at.scored), "{at:?}");
        assert!(at.challenger < at.champion, "{at:?}");
        assert!(at.champion < at.previous, "{at:?}");
        // The noise is triangular, 4 wide to each side: 4/3 in the mean, and 1.87 between two of them.
        assert!((at.challenger - 1.333 / 1.867).abs() < 0.06, "{at:?}");
    }
}

#[test]
fn a_comparison_follows_from_the_window_and_goes_where_its_series_goes() {
    let values = series(8, 10);
    let zone = Zone::default();
    let (mut old, mut young) = (contenders(), contenders());
    run(&mut old, &values[..9 * DAY], &[DAY]);
    old.rebuild(0, &past(&values, 9 * DAY, &[DAY], &zone));
    young.grow(3);
    young.rebuild(2, &past(&values, 9 * DAY, &[DAY], &zone));
    young.swap(2, 0);
    for (index, &value) in values.iter().enumerate().skip(9 * DAY + 1) {
        let at = index as i64 * STEP;
        old.step(at, &[0], &[value]);
        young.step(at, &[0], &[value]);
    }
    assert_eq!(contest(&old), contest(&young));
    let before = contest(&old).horizons[0].scored;
    young.evict(0);
    assert!(contest(&young).horizons.is_empty(), "{before}");
}

/// AR(1) around a level, rho 0.6.
fn wandering(seed: u64, count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut level = 0.0_f32;
    let step = |_| {
        let noise = (0..6).map(|_| random.f32()).sum::<f32>() - 3.0;
        level = 0.6 * level + noise;
        100.0 + level
    };
    (0..count).map(step).collect()
}

#[test]
fn quantiles_of_the_maximum_hold_what_the_maximum_of_quantiles_does_not() {
    const LEVELS: [f32; 2] = [0.8, 0.95];
    let (steps, count) = (12_usize, 24 * DAY);
    let values = wandering(9, count);
    let settings = Settings {
        horizons: Some(
            (1..=steps as i64)
                .map(|step| Span::minutes(5 * step))
                .collect(),
        ),
        windows: vec![Span::minutes(60)],
        levels: LEVELS.to_vec(),
        models: Models::Given(vec![
            ModelSettings::LastValue(crate::forecast::last_value::Settings::default()),
            mean(),
        ]),
        ..Settings::default()
    };
    let mut forecasts = Forecasts::build(&settings, grid(), &ModelFiles::new()).unwrap();
    forecasts.grow(1);
    assert_eq!(forecasts.windows(), [steps]);
    let zone = Zone::default();
    forecasts.rebuild(0, &past(&values, 14 * DAY, &[], &zone));
    let (mut held, mut naive, mut judged) = ([0; 2], [0; 2], 0);
    for index in 14 * DAY + 1..count - steps {
        forecasts.step(index as i64 * STEP, &[0], &values[index..=index]);
        let mut of_maximum = [f32::NAN; LEVELS.len()];
        forecasts.quantiles_of_maxima(0, &LEVELS, &mut of_maximum);
        let mut kept_up = [f32::NAN; LEVELS.len()];
        forecasts.tails(&[0], &mut kept_up);
        assert_eq!(kept_up, of_maximum);
        let mut single = vec![f32::NAN; steps * LEVELS.len()];
        forecasts.quantiles(0, &LEVELS, &mut single);
        let came = values[index + 1..=index + steps].iter();
        let came = came.copied().fold(f32::NAN, f32::max);
        judged += 1;
        for place in 0..LEVELS.len() {
            let single = single.iter().skip(place).step_by(LEVELS.len());
            let greatest = single.copied().fold(f32::NAN, f32::max);
            held[place] += usize::from(came <= of_maximum[place]);
            naive[place] += usize::from(came <= greatest);
        }
    }
    let below = forecasts.trust_of_maximum(0, 0).unwrap().below_ratio;
    assert!((below - 0.95).abs() < 0.05, "{below}");
    forecasts.evict(0);
    let mut gone = [0.0; LEVELS.len()];
    forecasts.tails(&[0], &mut gone);
    assert!(gone.iter().all(|value| value.is_nan()), "{gone:?}");
    let share = |count: usize| count as f32 / judged as f32;
    for (place, level) in LEVELS.into_iter().enumerate() {
        let (held, naive) = (share(held[place]), share(naive[place]));
        assert!((held - level).abs() < 0.03, "{level}: {held}");
        assert!(naive < level - 0.05, "{level}: {naive}");
    }
}

#[test]
fn windows_change_nothing_else_and_follow_from_the_window() {
    let values = series(11, 9);
    let zone = Zone::default();
    let with = |windows: Vec<Span>| {
        let settings = Settings {
            horizons: Some(vec![Span::minutes(20), Span::minutes(60)]),
            windows,
            models: Models::Given(vec![mean()]),
            ..Settings::default()
        };
        let mut forecasts = Forecasts::build(&settings, grid(), &ModelFiles::new()).unwrap();
        forecasts.grow(2);
        forecasts
    };
    let end = |forecasts: &mut Forecasts, slot: Slot| {
        forecasts.rebuild(slot, &past(&values, 8 * DAY, &[DAY], &zone));
        for (index, &value) in values.iter().enumerate().skip(8 * DAY + 1) {
            forecasts.step(index as i64 * STEP, &[slot], &[value]);
        }
        let (mut at, mut within) = ([Interval::ABSENT; 2], [Interval::ABSENT; 2]);
        forecasts.intervals(&[slot], &mut at);
        forecasts.maxima(&[slot], &mut within);
        (at, within)
    };
    let windows = vec![Span::minutes(60), Span::minutes(120)];
    let (at, within) = end(&mut with(windows.clone()), 0);
    let (plain, none) = end(&mut with(Vec::new()), 0);
    assert_eq!(
        at, plain,
        "what is forecast at horizons is as without windows"
    );
    assert!(none.iter().all(|one| one.expected.is_nan()));
    assert!(
        within[0].expected >= at[1].expected - 1.0,
        "{within:?} {at:?}"
    );
    assert!(within[0].upper > within[0].expected && within[1].upper.is_finite());
    let mut other = with(windows);
    other.rebuild(1, &past(&values, 5 * DAY, &[DAY], &zone));
    other.swap(0, 1);
    other.evict(0);
    assert_eq!(end(&mut other, 1).1, within);
}

/// Half of 600 values are no past for a day ahead, but for a quarter of an hour.
#[test]
fn a_horizon_too_long_for_the_past_takes_no_other_with_it() {
    let settings = Settings {
        horizons: Some(vec![Span::minutes(15), Span::days(1)]),
        models: Models::Given(vec![ModelSettings::LagRegression(Default::default())]),
        ..Settings::default()
    };
    let mut forecasts = Forecasts::build(&settings, grid(), &ModelFiles::new()).unwrap();
    let (values, zone) = (series(3, 6), Zone::default());
    forecasts.grow(1);
    forecasts.rebuild(0, &past(&values, 599, &[], &zone));
    assert_eq!(forecasts.model(0, 0), Some("lag_regression"));
    let failed: u64 = forecasts.take_failures().map(|(.., times)| times).sum();
    assert_eq!(failed, 0);
}
