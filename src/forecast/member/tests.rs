//! A failure leaves out one member of one series, and nobody else.

use super::*;
use crate::{
    forecast::{
        Forecasts, Interval, ModelFiles, ModelSettings, Models, Settings, last_value, seasonal_mean,
    },
    series::{Grid, Span, Zone},
};

const STEP: Millis = 60_000;

/// The last value, with moods about some of them.
#[derive(Debug, Default)]
pub(in crate::forecast) struct Moody {
    newest: Vec<f32>,
    pub(in crate::forecast) is_network: bool,
}

/// Panics when it takes this in, half way through.
pub(in crate::forecast) const BAD_TO_TAKE: f32 = 13.0;
/// Panics when it is asked after this.
pub(in crate::forecast) const BAD_TO_TELL: f32 = 14.0;
/// Has no finite answer after this.
pub(in crate::forecast) const BEYOND: f32 = 15.0;
/// Panics when it learns a past that ends with this.
pub(in crate::forecast) const BAD_TO_LEARN: f32 = 16.0;

impl Forecaster for Moody {
    fn kind(&self) -> &'static str {
        "moody"
    }

    fn is_network(&self) -> bool {
        self.is_network
    }

    fn grow(&mut self, slots: usize) {
        self.newest.resize(slots, f32::NAN);
    }

    fn evict(&mut self, slot: Slot) {
        self.newest[slot] = f32::NAN;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.newest.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let newest = past.values[past.values.len() - 1];
        assert!(newest != BAD_TO_LEARN, "no");
        self.newest[slot] = newest;
        true
    }

    fn extend(&mut self, _at: Millis, slots: &[Slot], values: &[f32]) {
        for (&slot, &value) in slots.iter().zip(values) {
            self.newest[slot] = 0.5;
            assert!(value != BAD_TO_TAKE, "no");
            self.newest[slot] = value;
        }
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons.len())) {
            assert!(self.newest[slot] != BAD_TO_TELL, "no");
            let value = self.newest[slot];
            row.fill(if value == BEYOND {
                f32::INFINITY
            } else {
                value
            });
        }
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

fn grid() -> Grid {
    Grid::new(STEP).unwrap()
}

fn past<'a>(values: &'a [f32], zone: &'a Zone) -> Past<'a> {
    Past {
        end: 0,
        grid: grid(),
        values,
        seasons: &[],
        zone,
    }
}

/// Three series that were learned.
fn member(is_network: bool) -> Member {
    let mut member = Member::new(Box::new(Moody {
        is_network,
        ..Moody::default()
    }));
    member.grow(3);
    let zone = Zone::default();
    for slot in 0..3 {
        member.fit(slot, &past(&[1.0, 2.0], &zone));
    }
    member
}

fn told(member: &mut Member) -> [f32; 3] {
    let mut out = [0.0; 3];
    member.predict_live(&[0, 1, 2], &[1], &mut out);
    out
}

#[test]
fn whoever_panics_over_a_value_is_left_out_for_that_series_until_it_learns_anew() {
    for bad in [BAD_TO_TAKE, BAD_TO_TELL, BEYOND] {
        let mut member = member(false);
        member.extend(STEP, &[0, 1, 2], &[3.0, bad, 5.0]);
        let now = told(&mut member);
        assert_eq!([now[0], now[2]], [3.0, 5.0], "{bad}");
        assert!(now[1].is_nan(), "{bad}: {now:?}");
        let reason = usize::from(bad == BEYOND);
        let failures = member.take_failures();
        assert_eq!(
            (failures[reason], failures[1 - reason]),
            (1, 0),
            "{bad}: {failures:?}"
        );

        member.extend(2 * STEP, &[0, 1, 2], &[6.0, 7.0, 8.0]);
        let later = told(&mut member);
        assert_eq!([later[0], later[2]], [6.0, 8.0]);
        assert!(
            later[1].is_nan(),
            "{bad}: left out, whatever its values are"
        );
        assert_eq!(member.take_failures(), [0, 0], "counted once");

        let zone = Zone::default();
        member.fit(1, &past(&[9.0], &zone));
        assert!(told(&mut member)[1].is_nan(), "only a rebuild forgives");
        member.evict(1);
        member.fit(1, &past(&[9.0], &zone));
        assert_eq!(told(&mut member), [6.0, 9.0, 8.0], "{bad}");
    }
}

#[test]
fn a_panic_while_learning_is_one_of_that_series() {
    let mut member = member(false);
    let zone = Zone::default();
    member.evict(1);
    member.fit(1, &past(&[1.0, BAD_TO_LEARN], &zone));
    assert_eq!(member.take_failures(), [1, 0]);
    let now = told(&mut member);
    assert_eq!([now[0], now[2]], [2.0, 2.0]);
    assert!(now[1].is_nan());
    // The mark goes where the series goes.
    member.swap(1, 2);
    member.extend(STEP, &[0, 1, 2], &[4.0, 4.0, 4.0]);
    let now = told(&mut member);
    assert_eq!([now[0], now[1]], [4.0, 4.0]);
    assert!(now[2].is_nan());
}

#[test]
fn a_network_that_answers_others_is_left_out_for_the_series_it_failed_for() {
    for (bad, reason) in [(BAD_TO_TELL, 0), (BEYOND, 1)] {
        let mut member = member(true);
        member.extend(STEP, &[0, 1, 2], &[3.0, bad, 5.0]);
        assert!(!told(&mut member)[1].is_finite());
        let expected = Asked {
            series: 3,
            answered: 2,
        };
        assert_eq!(member.asked(), expected);
        assert_eq!(member.take_failures()[reason], 1);
        member.settle(true, false);
        member.extend(2 * STEP, &[0, 1, 2], &[6.0, 7.0, 8.0]);
        let later = told(&mut member);
        assert_eq!([later[0], later[2]], [6.0, 8.0], "{bad}");
        assert!(later[1].is_nan(), "{bad}");
    }
}

#[test]
fn a_network_that_answers_nobody_is_asked_again_when_it_may() {
    let mut member = member(true);
    member.extend(STEP, &[0, 1, 2], &[BEYOND, BAD_TO_TELL, BEYOND]);
    told(&mut member);
    let none = Asked {
        series: 3,
        answered: 0,
    };
    assert_eq!(member.asked(), none);
    assert_eq!(member.take_failures(), [1, 2]);
    member.settle(false, true);
    member.extend(2 * STEP, &[0, 1, 2], &[6.0, 7.0, 8.0]);
    assert!(
        told(&mut member).iter().all(|value| value.is_nan()),
        "not asked"
    );
    assert_eq!(member.asked(), Asked::default());
    member.settle(false, false);
    assert_eq!(told(&mut member), [6.0, 7.0, 8.0], "nothing was forgotten");
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| 100.0 + 10.0 * random.f32()).collect()
}

/// Two series of which the second makes a third member fail at the end of its past, or later.
fn beside(bad: Option<(usize, f32)>) -> (Vec<Interval>, u64) {
    let settings = Settings {
        horizons: Some(vec![Span::minutes(5), Span::minutes(10)]),
        models: Models::Given(vec![
            ModelSettings::LastValue(last_value::Settings::default()),
            ModelSettings::SeasonalMean(seasonal_mean::Settings::default()),
        ]),
        ..Settings::default()
    };
    let mut forecasts = Forecasts::build(&settings, grid(), &ModelFiles::new()).unwrap();
    forecasts.insert(Box::new(Moody::default()));
    forecasts.grow(2);
    let (zone, first) = (Zone::default(), noise(1, 500));
    let mut second = noise(2, 500);
    if let Some((place, value)) = bad {
        second[place] = value;
    }
    forecasts.rebuild(0, &past(&first[..400], &zone));
    forecasts.rebuild(1, &past(&second[..400], &zone));
    for index in 400..500 {
        let at = (index as i64 - 399) * STEP;
        forecasts.step(at, &[0, 1], &[first[index], second[index]]);
    }
    let mut out = vec![Interval::ABSENT; 4];
    forecasts.intervals(&[0, 1], &mut out);
    let failures = forecasts.take_failures();
    let failures = failures.filter(|(kind, ..)| *kind == "moody");
    (out, failures.map(|(.., times)| times).sum())
}

#[test]
fn other_series_and_members_go_on_as_if_nothing_had_been() {
    let (expected, none) = beside(None);
    assert_eq!(none, 0);
    for bad in [BAD_TO_TAKE, BAD_TO_TELL, BEYOND] {
        // In the walk that calibrates, and live.
        for place in [320, 450] {
            let (got, failures) = beside(Some((place, bad)));
            assert_eq!(got[..2], expected[..2], "{bad} {place}");
            let wide = |interval: &Interval| interval.upper - interval.lower;
            assert!(
                got[2..].iter().all(|interval| wide(interval) > 1.0),
                "{bad} {place}: {got:?}"
            );
            assert_eq!(failures, 1, "{bad} {place}");
        }
    }
}
