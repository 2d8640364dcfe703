//! Each feature by hand, and that a window does not depend on who computes it.

use super::*;
use crate::series::{Zone, calendar::CalendarSettings};
use proptest::prelude::*;
use std::sync::Arc;

const MINUTE: i64 = 60_000;
/// 2026-04-06, a Monday, 00:00 UTC: Easter Monday.
const MONDAY: i64 = 1_775_433_600_000;

fn grid() -> Grid {
    Grid::new(MINUTE).unwrap()
}

fn view(end: i64, values: &[f32]) -> View<'_> {
    View {
        end,
        grid: grid(),
        values,
        inputs: &[],
    }
}

fn local(zone: &str, country: Option<&str>) -> LocalTime {
    let holidays = country.map(|country| {
        let text = format!("{{name: holidays, country: {country}}}");
        let settings: CalendarSettings = serde_yaml::from_str(&text).unwrap();
        Arc::new(settings.build(b"").unwrap())
    });
    LocalTime::new(Zone::named(zone).unwrap(), holidays.into_iter().collect())
}

/// The newest row without the value in front.
fn newest(names: &[&str], view: &View<'_>, local: &mut LocalTime) -> Vec<f32> {
    let names: Vec<&str> = std::iter::once("value")
        .chain(names.iter().copied())
        .collect();
    let set = FeatureSet::new(&names, view.grid).unwrap();
    let mut out = Vec::new();
    let last = view.values.len() - 1;
    set.rows(view, last..last + 1, local, &mut out);
    out.split_off(1)
}

fn of_values(name: &str, values: &[f32]) -> f32 {
    newest(&[name], &view(MONDAY, values), &mut LocalTime::default())[0]
}

#[test]
fn the_wall_clock() {
    let names = [
        "hour",
        "weekday",
        "day_of_month",
        "month",
        "weekend",
        "business_hours",
        "holiday",
    ];
    let mut utc = local("UTC", None);
    let at = |at: i64, local: &mut LocalTime| newest(&names, &view(at, &[1.0]), local);
    let april = (3.0_f64 / 11.0 - 0.5) as f32;
    let sixth = (5.0_f64 / 30.0 - 0.5) as f32;
    assert_eq!(
        at(MONDAY, &mut utc),
        [-0.5, -0.5, sixth, april, 0.0, 0.0, 0.0]
    );
    assert_eq!(at(MONDAY + 10 * 60 * MINUTE, &mut utc)[5], 1.0);
    assert_eq!(
        at(MONDAY + 17 * 60 * MINUTE, &mut utc)[5],
        0.0,
        "17:00 is after work"
    );
    let saturday = at(MONDAY + (5 * 24 + 10) * 60 * MINUTE, &mut utc);
    assert_eq!((saturday[4], saturday[5]), (1.0, 0.0));
    // Berlin is two hours ahead, and has a holiday.
    let mut berlin = local("Europe/Berlin", Some("DE"));
    let late = at(MONDAY - 60 * MINUTE, &mut berlin);
    assert_eq!(
        (late[0], late[1], late[6]),
        ((1.0_f64 / 23.0 - 0.5) as f32, -0.5, 1.0)
    );
    assert_eq!(
        at(MONDAY + 8 * 60 * MINUTE, &mut berlin)[5],
        0.0,
        "a holiday"
    );
    assert_eq!(
        at(MONDAY + 32 * 60 * MINUTE, &mut berlin)[5],
        1.0,
        "Tuesday, 10:00"
    );
}

#[test]
fn harmonics_turn_with_the_local_day_and_week() {
    let names = [
        "day_sin_1",
        "day_cos_1",
        "day_sin_2",
        "week_sin_1",
        "week_cos_1",
    ];
    let close = |got: Vec<f32>, wanted: [f32; 5]| {
        for (got, wanted) in got.iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-6, "{got} {wanted}");
        }
    };
    let six = MONDAY + 6 * 60 * MINUTE;
    let sixteenth = (std::f32::consts::TAU / 28.0).sin_cos();
    close(
        newest(&names, &view(six, &[1.0]), &mut local("UTC", None)),
        [1.0, 0.0, 0.0, sixteenth.0, sixteenth.1],
    );
    close(
        newest(
            &names,
            &view(six - 120 * MINUTE, &[1.0]),
            &mut local("Europe/Berlin", None),
        ),
        [1.0, 0.0, 0.0, sixteenth.0, sixteenth.1],
    );
}

#[test]
fn changes() {
    let values = [1.0, 4.0, 2.0, 8.0, 5.0, 7.0];
    assert_eq!(of_values("rate_1m", &values), 2.0);
    assert_eq!(of_values("rate_5m", &values), 6.0 / 5.0);
    assert!(of_values("rate_15m", &values).is_nan(), "too short");
    assert_eq!(of_values("difference_1", &values), 2.0);
    assert_eq!(of_values("difference_2", &values), 7.0 - 10.0 + 8.0);
    assert_eq!(
        of_values("acceleration_2m", &values),
        (7.0 - 16.0 + 4.0) / 4.0
    );
    assert_eq!(of_values("lag_step", &values), 5.0);
    assert_eq!(of_values("lag_4m", &values), 4.0);
    let long: Vec<f32> = (0..=10_080).map(|index| index as f32).collect();
    for (name, wanted) in [
        ("lag_1h", 10_020.0),
        ("lag_1d", 8_640.0),
        ("lag_1w", 0.0),
        ("rate_60m", 1.0),
    ] {
        assert_eq!(of_values(name, &long), wanted, "{name}");
    }
}

#[test]
fn statistics_of_a_span_need_half_of_it() {
    let gap = f32::NAN;
    let values = [9.0, 1.0, gap, 3.0, gap, 5.0];
    assert_eq!(of_values("mean_5m", &values), 3.0);
    assert_eq!(of_values("std_5m", &values), (8.0_f32 / 3.0).sqrt());
    assert_eq!(of_values("min_5m", &values), 1.0);
    assert_eq!(of_values("max_6m", &values), 9.0);
    assert_eq!(of_values("max_7m", &values), 9.0, "the past begins within");
    assert!(of_values("mean_9m", &values).is_nan());
    assert!(of_values("mean_2m", &[1.0, gap, gap]).is_nan());
}

#[test]
fn what_is_missing_is_said_so() {
    let gap = f32::NAN;
    let values = [1.0, gap, 3.0, f32::INFINITY];
    for name in [
        "rate_1m",
        "lag_2m",
        "difference_1",
        "difference_2",
        "lag_4m",
        "acceleration_1m",
    ] {
        assert!(of_values(name, &values).is_nan(), "{name}");
    }
}

#[test]
fn other_series_come_in_by_name() {
    let inputs = [Input {
        name: "queue_depth",
        values: &[4.0, 9.0],
    }];
    let set = FeatureSet::new(&["value", "input:queue_depth", "input:gone"], grid()).unwrap();
    assert_eq!(set.inputs().collect::<Vec<_>>(), ["queue_depth", "gone"]);
    let view = View {
        inputs: &inputs,
        ..view(MONDAY, &[1.0, 2.0, 3.0])
    };
    let mut out = Vec::new();
    set.rows(&view, 0..3, &mut LocalTime::default(), &mut out);
    let column: Vec<f32> = out.iter().skip(1).step_by(3).copied().collect();
    assert!(column[0].is_nan(), "it begins later");
    assert_eq!(column[1..], [4.0, 9.0]);
    assert!(out.iter().skip(2).step_by(3).all(|number| number.is_nan()));
}

#[test]
fn a_name_that_cannot_be_is_refused_with_what_is_allowed() {
    for (name, part) in [
        ("speed", "allowed: value, hour"),
        ("mean_soon", "not a duration"),
        ("mean_90s", "not a whole number of steps of 1m"),
        ("lag_0s", "not a whole number of steps"),
        ("lag_8d", "looks back further than 7d"),
        ("day_sin_17", "harmonics are 1 to 16"),
        ("difference_3", "allowed:"),
        ("input:", "allowed:"),
        ("value", "twice"),
    ] {
        let problems = FeatureSet::new(&["value", name], grid()).unwrap_err();
        assert_eq!(problems[0].0, 1, "{name}");
        assert!(problems[0].1.contains(part), "{name}: {problems:?}");
    }
    let problems = FeatureSet::new(&["hour", "value"], grid()).unwrap_err();
    assert!(problems[0].1.contains("first feature must be value"));
    let none: [&str; 0] = [];
    assert!(FeatureSet::new(&none, grid()).is_err());
}

#[test]
fn a_window_is_filled_column_by_column_and_scaled() {
    let set = FeatureSet::new(&["value", "lag_step", "difference_1", "weekend"], grid()).unwrap();
    let gap = f32::NAN;
    let mut out = vec![7.0];
    let scaling = Scaling::Window { floor: 0.0 };
    let mut utc = LocalTime::default();
    let values = [gap, 1.0, gap, 3.0];
    let scale = set.window(&view(MONDAY, &values), 4, &scaling, &mut utc, &mut out);
    assert_eq!(
        scale,
        Some(Scale {
            shift: 2.0,
            factor: 1.0
        })
    );
    // The last value is a Monday's; the three minutes before it are a Sunday's.
    let expected = [
        -1.0, -1.0, 0.0, 1.0, -1.0, -1.0, 0.0, 1.0, -1.0, -1.0, 0.0, 1.0, 1.0, -1.0, 0.0, 0.0,
    ];
    assert_eq!(out[1..], expected);
    out.clear();
    assert_eq!(
        set.window(&view(MONDAY, &values), 5, &scaling, &mut utc, &mut out),
        None
    );
    let sparse = [gap, gap, gap, 3.0];
    assert_eq!(
        set.window(&view(MONDAY, &sparse), 4, &scaling, &mut utc, &mut out),
        None
    );
    let constant = set.window(&view(MONDAY, &[7.5; 4]), 4, &scaling, &mut utc, &mut out);
    assert_eq!(
        constant,
        Some(Scale {
            shift: 7.5,
            factor: 0.0
        })
    );
    assert!(out.is_empty());
    let floored = Scaling::Window { floor: 0.1 };
    let constant = set.window(&view(MONDAY, &[7.5; 4]), 4, &floored, &mut utc, &mut out);
    assert_eq!(
        constant,
        Some(Scale {
            shift: 7.5,
            factor: 0.75
        })
    );
    assert_eq!(out.len(), 16);
}

#[test]
fn fixed_scaling_and_none() {
    let set = FeatureSet::new(&["value", "difference_1"], grid()).unwrap();
    let fixed = Scaling::Fixed {
        means: vec![10.0, 1.0],
        deviations: vec![2.0, 4.0],
    };
    let mut utc = LocalTime::default();
    let mut out = Vec::new();
    let scale = set.window(
        &view(MONDAY, &[12.0, 11.0, 16.0]),
        2,
        &fixed,
        &mut utc,
        &mut out,
    );
    assert_eq!(
        scale,
        Some(Scale {
            shift: 10.0,
            factor: 2.0
        })
    );
    assert_eq!(out, [0.5, -0.5, 3.0, 1.0]);
    out.clear();
    let scale = set.window(
        &view(MONDAY, &[12.0, f32::NAN, 16.0]),
        3,
        &Scaling::None,
        &mut utc,
        &mut out,
    );
    assert_eq!(
        scale,
        Some(Scale {
            shift: 0.0,
            factor: 1.0
        })
    );
    assert_eq!(
        out,
        [12.0, 0.0, 12.0, 0.0, 16.0, 0.0],
        "no difference is known: none"
    );
    assert_eq!(fixed.problems(2), [""; 0]);
    let wrong = Scaling::Fixed {
        means: vec![f64::NAN],
        deviations: vec![0.0, 1.0],
    };
    assert_eq!(wrong.problems(2).len(), 3);
    assert_eq!(Scaling::Window { floor: -1.0 }.problems(1).len(), 1);
    let text = r#"[{"window": {}}, "none", {"fixed": {"means": [1], "deviations": [2]}}]"#;
    let read: Vec<Scaling> = serde_json::from_str(text).unwrap();
    assert_eq!(read[0], Scaling::Window { floor: 0.0 });
    assert!(serde_json::from_str::<Scaling>(r#"{"window": {"roof": 1}}"#).is_err());
}

/// One of each kind.
const ALL: &[&str] = &[
    "value",
    "hour",
    "weekday",
    "day_of_month",
    "month",
    "weekend",
    "business_hours",
    "holiday",
    "rate_1m",
    "rate_5m",
    "rate_15m",
    "rate_60m",
    "mean_15m",
    "std_15m",
    "min_15m",
    "max_1h",
    "lag_step",
    "lag_1h",
    "difference_1",
    "difference_2",
    "day_sin_1",
    "day_cos_3",
    "week_sin_1",
    "week_cos_2",
    "acceleration_5m",
];

proptest! {
    /// Rows of a whole past, rows of its newest end, and the newest row by itself are the same.
    #[test]
    fn whoever_computes_them_rows_are_the_same(
        values in prop::collection::vec(prop_oneof![4 => -1e3_f32..1e3, 1 => Just(f32::NAN)], 130..400),
        steps in 1_usize..40,
        end in 0_i64..100_000,
    ) {
        let set = FeatureSet::new(ALL, grid()).unwrap();
        let mut berlin = local("Europe/Berlin", Some("DE"));
        let end = MONDAY + end * MINUTE;
        let bits = |rows: &[f32]| rows.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        let whole = view(end, &values);
        let mut all = Vec::new();
        set.rows(&whole, 0..values.len(), &mut berlin, &mut all);
        let tail = all.split_off((values.len() - steps) * set.width());
        // What a live window keeps is no more than what rows look back on.
        let kept = (set.lookback() + steps).min(values.len());
        let newest = view(end, &values[values.len() - kept..]);
        let mut rows = Vec::new();
        set.rows(&newest, kept - steps..kept, &mut berlin, &mut rows);
        prop_assert_eq!(bits(&rows), bits(&tail));
        // Step by step, as of each time.
        let mut one_by_one = Vec::new();
        for back in (0..steps).rev() {
            let until = values.len() - back;
            let then = view(end - back as i64 * MINUTE, &values[..until]);
            set.rows(&then, until - 1..until, &mut berlin, &mut one_by_one);
        }
        prop_assert_eq!(bits(&one_by_one), bits(&tail));
        // And the window of both.
        let scaling = Scaling::Window { floor: 0.0 };
        let (mut one, mut other) = (Vec::new(), tail.clone());
        let scale = set.window(&newest, steps, &scaling, &mut berlin, &mut one);
        prop_assert_eq!(scale, set.scaled(&mut other, &scaling));
        if scale.is_some_and(|scale| scale.factor > 0.0) {
            prop_assert!(one.iter().all(|number| number.is_finite()));
            prop_assert_eq!(bits(&one), bits(&other));
        }
    }

    /// Scaled by the window, a series shifted and stretched gives the same window.
    #[test]
    fn a_window_does_not_know_the_unit(
        values in prop::collection::vec(0_f32..100.0, 100..130),
        shift in -100_i32..100,
    ) {
        let set = FeatureSet::new(ALL, grid()).unwrap();
        let other: Vec<f32> = values.iter().map(|value| value * 4.0 + shift as f32).collect();
        let scaling = Scaling::Window { floor: 0.0 };
        let windows = [&values, &other].map(|values| {
            let mut out = Vec::new();
            set.window(&view(MONDAY, values), 30, &scaling, &mut LocalTime::default(), &mut out);
            out
        });
        for (one, other) in windows[0].iter().zip(&windows[1]) {
            prop_assert!((one - other).abs() < 1e-3 * (1.0 + one.abs()), "{} {}", one, other);
        }
    }
}
