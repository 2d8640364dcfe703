use super::*;
use crate::{
    baseline::Band,
    detect::tests::alone,
    series::{Zone, calendar::CalendarSettings},
};
use std::{f32::consts::TAU, sync::Arc};

const STEPS: usize = 288;

fn scores(settings: &Settings, values: &[f32]) -> Vec<f32> {
    alone(settings.build(Grid::new(300_000).unwrap()), values)
}

/// A daily course of 100 up and down with noise of about `noise`, on the weekend (the first days and
/// every seventh after) a third of it.
fn course(days: usize, noise: f32, weekend: bool) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..days * STEPS)
        .map(|step| {
            let quiet = weekend && step / STEPS % 7 < 2;
            let size = if quiet { 30.0 } else { 100.0 };
            let random = (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
            500.0 + size * (TAU * step as f32 / STEPS as f32).sin() + noise * random
        })
        .collect()
}

#[test]
fn a_value_of_noon_is_news_at_night() {
    let mut values = course(10, 2.0, false);
    // The course is 400 here, and was 600 twelve hours ago.
    let night = 9 * STEPS + 216;
    values[night] = 500.0;
    let scores = scores(&Settings::default(), &values);
    assert!(scores[night] > 2.0, "{}", scores[night]);
    let others = scores.iter().enumerate().filter(|(step, _)| *step != night);
    assert!(
        others
            .clone()
            .all(|(_, score)| score.is_nan() || *score < 1.0)
    );
    assert_eq!(
        scores.iter().position(|score| score.is_finite()),
        Some(2 * STEPS)
    );
}

#[test]
fn a_noisy_time_of_the_day_has_its_own_scale() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut values: Vec<f32> = (0..10 * STEPS)
        .map(|step| {
            let noise = if step % STEPS < 144 { 1.0 } else { 20.0 };
            500.0 + noise * (random.f32() - 0.5)
        })
        .collect();
    let (quiet, noisy) = (9 * STEPS + 70, 9 * STEPS + 200);
    values[quiet] += 25.0;
    values[noisy] += 25.0;
    let scores = scores(&Settings::default(), &values);
    assert!(scores[noisy] < 1.0, "{}", scores[noisy]);
    assert!(scores[quiet] > 2.0 * scores[noisy], "{}", scores[quiet]);
}

#[test]
fn weekends_are_learned() {
    let values = course(42, 2.0, true);
    // How much louder the last weekend is than the week after it.
    let louder = |week: bool| {
        let settings = Settings {
            week,
            ..Settings::default()
        };
        let scores = scores(&settings, &values);
        let mean = |days: std::ops::Range<usize>| {
            let steps = days.start * STEPS..days.end * STEPS;
            scores[steps].iter().sum::<f32>() / (days.len() * STEPS) as f32
        };
        mean(35..37) / mean(38..42)
    };
    let (with, without) = (louder(true), louder(false));
    assert!(with < 0.7 * without, "{with} and {without}");
}

/// With one value an hour, an hour of the week is known by one value a week: what is noise there is less with the
/// hours beside it.
#[test]
fn hours_beside_weigh_in_where_an_hour_has_few_values() {
    let mut random = fastrand::Rng::with_seed(7);
    let values: Vec<f32> = (0..70 * STEPS)
        .map(|step| {
            if step % (STEPS / 24) != 0 {
                return f32::NAN;
            }
            let random = (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
            500.0 + 100.0 * (TAU * step as f32 / STEPS as f32).sin() + 20.0 * random
        })
        .collect();
    let sum = |smooth_week, week| -> f32 {
        let settings = Settings {
            smooth_week,
            week,
            ..Settings::default()
        };
        let scores = &scores(&settings, &values)[21 * STEPS..];
        scores.iter().filter(|score| score.is_finite()).sum()
    };
    let (plain, smooth, none) = (sum(false, true), sum(true, true), sum(true, false));
    assert!(smooth < 0.995 * plain, "{smooth}, not {plain}");
    // There is nothing to know of the week.
    assert!(none < smooth, "{none}, not {smooth}");
}

#[test]
fn a_series_takes_a_few_kilobytes() {
    let mut detector = Settings::default().build(Grid::new(60_000).unwrap());
    detector.grow(64);
    assert!(
        detector.heap_bytes() / 64 <= 2_800,
        "{}",
        detector.heap_bytes()
    );
}

const HOUR: Millis = 3_600_000;
/// A Monday, 00:00 in Berlin: 2025-03-03, and four weeks before the clock is set forward.
const MONDAY: Millis = 1_740_956_400_000;

/// The scores of five-minute values from `MONDAY` on, by this wall clock.
fn scores_by(local: &LocalTime, values: &[f32]) -> Vec<f32> {
    let grid = Grid::new(300_000).unwrap();
    let mut detector = Settings::default().build_local(grid, local);
    detector.grow(1);
    let score = |(index, value): (usize, &f32)| {
        let mut out = [0.0];
        let batch = Batch {
            at: MONDAY + index as i64 * 300_000,
            slots: &[0],
            values: &[*value],
            bands: &[Band::UNKNOWN],
        };
        detector.step(&batch, &mut out);
        out[0]
    };
    values.iter().enumerate().map(score).collect()
}

fn berlin() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

/// People who begin at eight and end at five by the clock of Berlin, from `MONDAY` on; none where `free` says so of
/// a day (numbered from `MONDAY` on).
fn workdays(days: i64, free: impl Fn(i64) -> bool) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(11);
    let zone = berlin();
    (0..days * STEPS as i64)
        .map(|index| {
            let at = MONDAY + index * 300_000;
            let wall = at + zone.offset(at) - (MONDAY + zone.offset(MONDAY));
            let hour = wall.rem_euclid(DAY) as f32 / HOUR as f32;
            let busy = |from: f32| 1.0 / (1.0 + (4.0 * (from - hour)).exp());
            let size = if free(wall.div_euclid(DAY)) {
                30.0
            } else {
                300.0
            };
            let random = (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
            100.0 + size * (busy(8.0) - busy(17.0)) + 3.0 * random
        })
        .collect()
}

fn greatest(scores: &[f32], days: std::ops::Range<usize>) -> f32 {
    let steps = &scores[days.start * STEPS..days.end * STEPS];
    steps.iter().copied().fold(0.0, f32::max)
}

#[test]
fn a_clock_that_is_set_moves_nothing() {
    let weekend = |day: i64| day % 7 >= 5;
    let values = workdays(35, weekend);
    let local = scores_by(&LocalTime::new(berlin(), Vec::new()), &values);
    let utc = scores_by(&LocalTime::default(), &values);
    // Set forward on the Sunday of the fourth week; the Monday after it shows whether it was noticed.
    assert!(greatest(&utc, 28..29) > 1.0, "{}", greatest(&utc, 28..29));
    assert!(
        greatest(&local, 21..35) < 1.0,
        "{}",
        greatest(&local, 21..35)
    );
}

#[test]
fn a_holiday_is_a_sunday() {
    // Easter Monday: 2025-04-21, the 50th day.
    let free = |day: i64| day % 7 >= 5 || day == 49;
    let values = workdays(52, free);
    let text = "{name: holidays, country: DE}";
    let settings: CalendarSettings = serde_yaml::from_str(text).unwrap();
    let holidays = vec![Arc::new(settings.build(b"").unwrap())];
    let with = scores_by(&LocalTime::new(berlin(), holidays), &values);
    let without = scores_by(&LocalTime::new(berlin(), Vec::new()), &values);
    assert!(
        greatest(&without, 49..50) > 1.5,
        "{}",
        greatest(&without, 49..50)
    );
    // Good Friday was no holiday for these people: by the calendar it should have been quiet.
    assert!(greatest(&with, 46..47) > 1.5, "{}", greatest(&with, 46..47));
    assert!(greatest(&with, 49..50) < 1.0, "{}", greatest(&with, 49..50));
}
