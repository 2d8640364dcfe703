use super::*;
use crate::series::Span;
use proptest::prelude::*;

/// Ten days of minutes: accepted after 80 hours.
const MEMORY: Memory = Memory {
    steps: 14_400,
    step: 60_000,
};

fn checks(settings: &str, counter: bool) -> Checks {
    let settings: Settings = serde_yaml::from_str(settings).unwrap();
    let bounds = Bounds::new(None, None, settings.unit);
    Checks::new(&settings, bounds, Some(MEMORY), counter)
}

/// What is found of each of these values.
fn found(checks: &Checks, values: impl IntoIterator<Item = f32>) -> Vec<Option<Finding>> {
    let mut validator = Validator::new(checks.clone());
    validator.grow(1);
    let steps = values.into_iter().enumerate();
    steps
        .map(|(index, value)| validator.step(0, index as i64, value, true))
        .collect()
}

fn count(found: &[Option<Finding>], finding: Finding) -> usize {
    found.iter().filter(|&&one| one == Some(finding)).count()
}

/// A demand that moves every minute.
fn moving(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| 100.0 + random.f32()).collect()
}

fn frozen(before: usize, still: usize) -> Vec<f32> {
    [moving(before, 1), vec![123.0; still]].concat()
}

#[test]
fn units_and_ranges_say_what_can_be() {
    for (unit, possible, impossible) in [
        (
            Unit::Ratio,
            vec![0.0, 0.5, 1.0, 1.005],
            vec![-0.1, 1.1, 57.0],
        ),
        (Unit::Percent, vec![0.0, 57.0, 100.5], vec![-1.0, 150.0]),
        (Unit::Bytes, vec![0.0, 1e12], vec![-1.0]),
        (Unit::Seconds, vec![0.0, 3.5], vec![-0.5]),
        (Unit::Count, vec![0.0, 7.0], vec![-7.0]),
    ] {
        let bounds = Bounds::new(None, None, Some(unit));
        assert!(
            possible.iter().all(|&value| bounds.allow(value)),
            "{unit:?}"
        );
        assert!(
            !impossible.iter().any(|&value| bounds.allow(value)),
            "{unit:?}"
        );
        assert!(!bounds.allow(f32::NAN));
    }
    // What a person wrote goes before the unit, and is meant to the letter.
    let wide = Bounds::new(None, Some(8.0), Some(Unit::Ratio));
    assert!(wide.allow(8.0) && !wide.allow(8.01) && !wide.allow(-0.1));
    assert_eq!(wide.clip(9.0), 8.0);
    let none = Bounds::default();
    assert!(none.allow(-1e30) && none.is_possible());
    assert!(!Bounds::new(Some(5.0), None, Some(Unit::Ratio)).is_possible());
}

#[test]
fn a_series_that_moved_and_stands_still_is_frozen_until_that_is_what_it_does() {
    let checks = checks("{}", false);
    let still = 6_000;
    let found = found(&checks, frozen(500, still));
    assert!(
        found[..559].iter().all(Option::is_none),
        "an hour is waited"
    );
    assert_eq!(found[559], Some(Finding::Frozen));
    let accepted = MEMORY.steps / 3;
    assert!(found[559..500 + accepted].iter().all(Option::is_some));
    assert!(found[501 + accepted..].iter().all(Option::is_none));
}

#[test]
fn a_series_that_moves_again_is_believed_at_once_and_found_again_the_next_time() {
    let checks = checks("{frozen_after: 30m}", false);
    let values = [frozen(200, 90), frozen(100, 90)].concat();
    let found = found(&checks, values);
    assert_eq!(found[289], Some(Finding::Frozen));
    assert_eq!(found[290], None);
    assert_eq!(count(&found[290..], Finding::Frozen), 61);
}

#[test]
fn what_stands_still_by_nature_is_not_frozen() {
    let checks = checks("{unit: percent}", false);
    let mut random = fastrand::Rng::with_seed(7);
    let moving = |count, seed| -> Vec<f32> {
        let values = moving(count, seed).into_iter();
        values.map(|value| value / 2.0).collect()
    };
    let size = |hour: usize| if hour % 24 < 9 { 3 } else { 3 + hour % 7 };
    let samples: Vec<f32> = (0..1_500).map(|_| random.f32()).collect();
    for values in [
        // A setting that somebody changed, and one that nobody did.
        [vec![10.0; 3_000], vec![12.0; 3_000]].concat(),
        vec![7.0; 5_000],
        // Replicas that follow the day.
        (0..6_000).map(|step| size(step / 60) as f32).collect(),
        // A queue that is empty at night, and a machine that is fully used.
        [moving(720, 3), vec![0.0; 720]].concat().repeat(5),
        [moving(500, 4), vec![100.0; 1_000]].concat(),
        // A scrape interval of five minutes on a grid of one.
        samples.iter().flat_map(|&value| [value; 5]).collect(),
    ] {
        let found = found(&checks, values);
        assert_eq!(count(&found, Finding::Frozen), 0);
    }
}

#[test]
fn a_habit_of_standing_still_at_night_is_learned_from_the_second_night() {
    let checks = checks("{}", false);
    let day = frozen(960, 480);
    let found = found(&checks, day.repeat(6));
    assert!(count(&found[..2 * 1_440], Finding::Frozen) > 0);
    assert_eq!(count(&found[2 * 1_440..], Finding::Frozen), 0);
}

#[test]
fn only_a_counter_by_its_name_and_its_shape_is_one() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut total = 0.0_f32;
    let mut counter: Vec<f32> = Vec::new();
    for step in 0..1_000 {
        total += random.f32() * 10.0;
        if step % 400 == 399 {
            total = 0.0;
        }
        counter.push(total);
    }
    let named = checks("{}", true);
    assert_eq!(
        count(&found(&named, counter.clone()), Finding::Counter),
        936
    );
    assert_eq!(named.believed(&counter).len(), 0);
    // The same shape: a disk, an uptime. The same name: what is no counter in truth.
    let unnamed = checks("{}", false);
    assert_eq!(
        count(&found(&unnamed, counter.clone()), Finding::Counter),
        0
    );
    let gauge = checks("{counter: gauge}", true);
    assert_eq!(count(&found(&gauge, counter.clone()), Finding::Counter), 0);
    let moving = moving(1_000, 5);
    assert_eq!(count(&found(&named, moving.clone()), Finding::Counter), 0);
    // A young gauge that happened to grow is believed later, all of it.
    let grown: Vec<f32> = (0..80).map(|step| step as f32).chain(moving).collect();
    let taken = count(&found(&named, grown.clone()), Finding::Counter);
    assert!((16..40).contains(&taken), "{taken}");
    assert_eq!(named.believed(&grown).len(), grown.len());
}

#[test]
fn without_a_past_only_the_range_is_asked() {
    let settings: Settings = serde_yaml::from_str("{unit: ratio}").unwrap();
    let bounds = Bounds::new(None, None, settings.unit);
    let wide = Checks::new(&settings, bounds, None, true);
    let mut validator = Validator::new(wide);
    validator.grow(1_000_000);
    assert_eq!(validator.heap_bytes(), 0);
    assert_eq!(validator.step(7, 1, 1.5, true), Some(Finding::OutOfRange));
    assert_eq!(validator.step(7, 1, 0.5, true), None);
}

#[test]
fn the_default_is_never_too_long_and_nothing_is_said_of_short_pasts() {
    let patience = |text: &str, steps, step| {
        let settings: Settings = serde_yaml::from_str(text).unwrap();
        settings.patience(Memory { steps, step })
    };
    assert_eq!(patience("{}", 14_400, 60_000).unwrap().after, 60);
    // Of an hour's step an hour is one value.
    assert_eq!(patience("{}", 14_400, 3_600_000).unwrap().after, 12);
    assert_eq!(patience("{}", 100, 60_000), None);
    assert_eq!(patience("{frozen_after: 0s}", 14_400, 60_000), None);
    assert_eq!(Settings::longest(MEMORY), Some(Span::minutes(2_400)));
    let short = |steps| {
        Settings::longest(Memory {
            steps,
            step: 60_000,
        })
    };
    assert_eq!((short(71), short(72)), (None, Some(Span::minutes(12))));
}

#[test]
fn a_deep_series_costs_what_is_said() {
    assert!(size_of::<State>() <= 40, "{}", size_of::<State>());
}

proptest! {
    /// What the past is masked with is what a walk over it finds, and what is left out leaves no trace.
    #[test]
    fn the_past_is_masked_as_it_was_found(
        pieces in prop::collection::vec((0_usize..400, 0_usize..400, -50_i32..150), 1..6),
    ) {
        let checks = checks("{frozen_after: 20m, unit: percent}", false);
        let mut values = Vec::new();
        for (index, (moves, still, value)) in pieces.into_iter().enumerate() {
            values.extend(moving(moves, index as u64).iter().map(|value| value - 50.0));
            values.extend(vec![value as f32; still]);
        }
        let found = found(&checks, values.clone());
        let expected: Vec<f32> = values
            .iter()
            .zip(&found)
            .map(|(&value, found)| if found.is_some() { f32::NAN } else { value })
            .skip_while(|value| value.is_nan())
            .collect();
        let believed = checks.believed(&values);
        prop_assert_eq!(believed.len(), expected.len());
        for (one, other) in believed.iter().zip(&expected) {
            prop_assert_eq!(one.to_bits(), other.to_bits());
        }
    }
}
