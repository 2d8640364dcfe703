use super::*;
use crate::{
    forecast::{Forecasts, Interval as Band, ModelFiles, Settings},
    series::Zone,
};

const HOUR: Millis = 3_600_000;
const HORIZON: usize = 20;

fn grid() -> Grid {
    Grid::new(HOUR).unwrap()
}

/// From 18:00 to 23:00 on these days.
fn evenings(days: &[i64]) -> Arc<Calendar> {
    let evening = |day: &i64| Interval {
        from: (day * 24 + 18) * HOUR,
        to: (day * 24 + 23) * HOUR,
    };
    Arc::new(Calendar::from_intervals(days.iter().map(evening).collect()))
}

/// Days on which there is a game, of ten weeks; no two of them apart by the same.
const GAMES: [i64; 12] = [6, 13, 17, 26, 33, 35, 44, 48, 55, 60, 64, 69];

/// Days and weeks, some noise, and a game that draws most towards its end.
fn value(hour: i64) -> f32 {
    let phase = hour as f64 / 24.0 * TAU;
    let weekend = if hour / 24 % 7 < 2 { 0.7 } else { 1.0 };
    let mut noise = (hour as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    noise ^= noise >> 29;
    let noise = (noise.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / (1_u64 << 24) as f64;
    // A step is the hour before it.
    let since = (hour - 1) % 24 - 18;
    let game = GAMES.contains(&((hour - 1) / 24)) && (0..5).contains(&since);
    let lift = if game {
        40.0 + 10.0 * since as f64
    } else {
        0.0
    };
    (weekend * (100.0 + 30.0 * phase.sin()) + 6.0 * (noise - 0.5) + lift) as f32
}

fn past<'a>(values: &'a [f32], zone: &'a Zone) -> Past<'a> {
    Past {
        end: (values.len() as i64 - 1) * HOUR,
        grid: grid(),
        values,
        seasons: &[24, 168],
        zone,
    }
}

/// Mean absolute error over the hours of the last four games, forecast 20 hours before each.
fn error_in_games(models: &str, occasions: &Occasions) -> f32 {
    let text = format!("{{horizons: [{HORIZON}h], models: {models}}}");
    let yaml = serde_yaml::Deserializer::from_str(&text);
    let mut settings: Settings =
        serde_yaml::with::singleton_map_recursive::deserialize(yaml).unwrap();
    settings.occasions = occasions.clone();
    let zone = Zone::default();
    let (mut sum, mut count) = (0.0, 0.0);
    for game in &GAMES[8..] {
        let mut forecasts = Forecasts::build(&settings, grid(), &ModelFiles::new()).unwrap();
        forecasts.grow(1);
        let first = game * 24 + 19 - HORIZON as i64;
        let values: Vec<f32> = (0..=first).map(value).collect();
        forecasts.rebuild(0, &past(&values, &zone));
        for hour in first..first + 5 {
            if hour > first {
                forecasts.step(hour * HOUR, &[0], &[value(hour)]);
            }
            let mut out = [Band::ABSENT];
            forecasts.intervals(&[0], &mut out);
            sum += (out[0].expected - value(hour + HORIZON as i64)).abs();
            count += 1.0;
        }
    }
    sum / count
}

#[test]
fn errors_at_events_fall_by_over_half_with_their_calendar() {
    let known = Occasions::new([evenings(&GAMES)]);
    let unknown = Occasions::default();
    for models in [
        "[harmonic: {}]",
        "[lag_regression: {}]",
        "[prophet: {}]",
        "auto",
    ] {
        let (with, without) = (
            error_in_games(models, &known),
            error_in_games(models, &unknown),
        );
        assert!(with < 0.5 * without, "{models}: {with} {without}");
    }
}

#[test]
fn an_effect_follows_the_time_of_day_where_it_was_seen_often() {
    let zone = Zone::default();
    let values: Vec<f32> = (0..70 * 24).map(value).collect();
    let mut effects = Effects::new(&Occasions::new([evenings(&GAMES)]), grid(), &[48]);
    effects.grow(2);
    let plain = effects.learn(0, &past(&values, &zone));
    // The last game is over by then: 17:00 to 23:00 of its day.
    for (hour, lift) in [
        (18, 0.0),
        (19, 40.0),
        (20, 50.0),
        (21, 60.0),
        (23, 80.0),
        (24, 0.0),
    ] {
        let at = 69 * 24 + hour;
        let effect = effects.at(0, at * HOUR);
        assert!((effect - lift).abs() < 9.0, "{hour}: {effect} {lift}");
        let index = at as usize;
        if index < values.len() {
            assert_eq!(plain[index], values[index] - effect as f32);
        }
    }
    let before = effects.with(0, (69 * 24 + 20) * HOUR, 100.0);
    effects.swap(0, 1);
    assert_eq!(effects.with(1, (69 * 24 + 20) * HOUR, 100.0), before);
    assert_eq!(effects.with(0, (69 * 24 + 20) * HOUR, 100.0), 100.0);
}

#[test]
fn without_calendars_and_without_occasions_values_stay_what_they_are() {
    let zone = Zone::default();
    let values: Vec<f32> = (0..10 * 24).map(value).collect();
    for occasions in [Occasions::default(), Occasions::new([evenings(&[400])])] {
        let mut effects = Effects::new(&occasions, grid(), &[48]);
        effects.grow(1);
        let learnt = effects.learn(0, &past(&values, &zone));
        assert!(matches!(learnt, Cow::Borrowed(_)));
        let next = effects.without(240 * HOUR, &[0], &[-0.0]);
        assert!(matches!(next, Cow::Borrowed(_)));
        assert_eq!(
            effects.with(0, 250 * HOUR, -0.0).to_bits(),
            (-0.0_f32).to_bits()
        );
    }
}

#[test]
fn a_step_counts_by_the_share_of_it_that_is_inside() {
    let half_past = Interval {
        from: 10 * HOUR + HOUR / 2,
        to: 12 * HOUR + HOUR / 4,
    };
    let calendar = Arc::new(Calendar::fixed(half_past));
    let mut dates = Dates::new(&Occasions::new([Arc::clone(&calendar), calendar]), grid());
    assert_eq!(dates.count(), 1);
    assert_eq!(dates.share(0, 11 * HOUR), 0.0);
    dates.cover(0, HOUR);
    let shares: Vec<f64> = (10..15).map(|hour| dates.share(0, hour * HOUR)).collect();
    assert_eq!(shares, [0.0, 0.5, 1.0, 0.25, 0.0]);
    assert!(dates.any(13 * HOUR) && !dates.any(14 * HOUR));
}

#[test]
fn a_past_of_nothing_but_occasions_teaches_nothing() {
    let zone = Zone::default();
    let always = Calendar::fixed(Interval {
        from: -HOUR,
        to: 10_000 * HOUR,
    });
    let mut effects = Effects::new(&Occasions::new([Arc::new(always)]), grid(), &[1]);
    effects.grow(1);
    let values: Vec<f32> = (0..240).map(value).collect();
    assert!(matches!(
        effects.learn(0, &past(&values, &zone)),
        Cow::Borrowed(_)
    ));
}
