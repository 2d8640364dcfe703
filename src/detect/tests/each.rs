//! What holds for every detector that looks at each series by itself, one by one.

use super::walk::Walk;
use crate::{
    baseline::{self, Band},
    detect::{self, Batch, Detector, MAX_SCORE, Scope},
    series::{Grid, Labels, Millis},
};
use proptest::prelude::*;
use std::f32::consts::TAU;

const STEP: Millis = 300_000;
const DAY: usize = 288;
/// Long enough for the slowest to know what is normal.
const DAYS: usize = 8;

fn grid() -> Grid {
    Grid::new(STEP).unwrap()
}

fn settings() -> impl Iterator<Item = detect::Settings> {
    detect::KINDS
        .iter()
        .map(|kind| serde_json::from_str(&format!("{{{kind:?}: {{}}}}")).unwrap())
        .filter(|one: &detect::Settings| one.build(grid()).scope() == Scope::Series)
}

/// Noise on a daily course. In 1024ths: scaled by a power of two or moved by a whole number, every
/// rounding is the same.
fn values(seed: u64, days: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..days * DAY)
        .map(|step| 5.0 * (TAU * step as f32 / DAY as f32).sin() + random.f32())
        .map(|value| (value * 1_024.0).round() / 1_024.0)
        .collect()
}

/// All scores, with the baseline fitted once, on all but the newest 20 values.
fn scores(one: &detect::Settings, values: &[f32]) -> Vec<f32> {
    let mut walk = Walk::new(grid(), &baseline::Settings::Auto, std::slice::from_ref(one));
    let split = values.len() - 20;
    walk.fit_baseline(split as i64 * STEP, &values[..split]);
    walk.go_on(0, values).scores.remove(0)
}

const BAND: Band = Band {
    expected: 0.5,
    lower: -1.0,
    upper: 2.0,
    scale: 0.3,
};

/// Steps a detector that has one slot, without a baseline.
fn step(detector: &mut dyn Detector, index: usize, value: f32) -> f32 {
    let mut out = [0.0];
    let batch = Batch {
        at: index as i64 * STEP,
        slots: &[0],
        values: &[value],
        bands: &[BAND],
    };
    detector.step(&batch, &mut out);
    out[0]
}

fn close(one: &[f32], other: &[f32], tolerance: f32) -> Result<(), String> {
    for (step, (one, other)) in one.iter().zip(other).enumerate() {
        let difference = (one - other).abs();
        let same = (one.is_nan() && other.is_nan()) || difference <= tolerance * (1.0 + one.abs());
        if !same {
            return Err(format!("{one} and {other} at {step}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_score_does_not_depend_on_unit_or_zero_point(
        seed in 0_u64..1_000,
        scale in prop_oneof![Just(0.03125_f32), Just(2.0), Just(1_048_576.0)],
        shift in -50_i8..50,
        spike in 0_u8..40,
    ) {
        let mut plain = values(seed, DAYS);
        plain[DAYS * DAY - 3] += f32::from(spike);
        let scaled: Vec<f32> = plain.iter().map(|value| value * scale).collect();
        let shifted: Vec<f32> = plain.iter().map(|value| value + f32::from(shift)).collect();
        for one in settings() {
            let (plain, scaled) = (scores(&one, &plain), scores(&one, &scaled));
            close(&plain, &scaled, 1e-3)
                .map_err(|text| TestCaseError::fail(format!("{}: {text}", one.kind())))?;
            // What leaves the band is a difference of rounded numbers.
            let newest = plain.len() - 20;
            close(&plain[newest..], &scores(&one, &shifted)[newest..], 2e-2)
                .map_err(|text| TestCaseError::fail(format!("{}: {text}", one.kind())))?;
        }
    }

    #[test]
    fn a_score_rises_with_the_deviation(
        seed in 0_u64..1_000,
        near in 0.1_f32..20.0,
        more in 0.1_f32..20.0,
        below in any::<bool>(),
    ) {
        for one in settings() {
            // How far a shape is from others, and how soon a point is set apart, follows no single value.
            if ["isolation_forest", "matrix_profile"].contains(&one.kind()) {
                continue;
            }
            let last = |deviation: f32| {
                let mut values = values(seed, 4);
                *values.last_mut().unwrap() += if below { -deviation } else { deviation };
                *scores(&one, &values).last().unwrap()
            };
            let (near, far) = (last(6.0 + near), last(6.0 + near + more));
            prop_assert!(far >= near, "{} at {near}, {far} farther out", one.kind());
        }
    }

    #[test]
    fn nothing_breaks_a_score(
        parts in prop::collection::vec(
            (prop_oneof![
                Just(f32::NAN), Just(0.0), Just(f32::MAX), Just(f32::MIN), Just(f32::MIN_POSITIVE),
                Just(f32::INFINITY), Just(1e-30_f32), -1e6_f32..1e6,
            ], 1_usize..400),
            1..12,
        ),
    ) {
        let values: Vec<f32> = parts.iter().flat_map(|&(value, count)| vec![value; count]).collect();
        for one in settings() {
            let mut detector = one.build(grid());
            detector.grow(1);
            for (index, &value) in values.iter().enumerate() {
                let score = step(&mut *detector, index, value);
                let fine = score.is_nan() || (0.0..=MAX_SCORE).contains(&score);
                prop_assert!(fine, "{} at {index}: {score}", one.kind());
                prop_assert!(value.is_finite() || score.is_nan(), "{} at {index}", one.kind());
            }
        }
    }
}

#[test]
fn ordinary_days_do_not_alarm_and_are_judged() {
    for one in settings() {
        let scores = scores(&one, &values(5, DAYS));
        let newest = &scores[(DAYS - 2) * DAY..];
        let loud = newest.iter().filter(|score| **score >= 1.0).count();
        assert_eq!(loud, 0, "{}: {newest:?}", one.kind());
        assert!(
            newest.iter().all(|score| score.is_finite()),
            "{}",
            one.kind()
        );
    }
}

#[test]
fn a_constant_series_never_alarms() {
    for one in settings() {
        for value in [0.0, 5.0, -3e9, 1e-20] {
            for score in scores(&one, &[value; 3 * DAY]) {
                let silent = score.is_nan() || score == 0.0;
                assert!(silent, "{} {value}: {score}", one.kind());
            }
        }
    }
}

#[test]
fn counts_that_jump_by_one_do_not_alarm() {
    let mut random = fastrand::Rng::with_seed(9);
    let counts: Vec<f32> = (0..DAYS * DAY)
        .map(|_| f32::from(random.u8(..) < 8))
        .collect();
    for one in settings() {
        let scores = scores(&one, &counts);
        let loud = scores[DAYS / 2 * DAY..].iter().find(|score| **score >= 1.0);
        assert_eq!(loud, None, "{}", one.kind());
    }
}

#[test]
fn gaps_are_silence_and_no_zeros() {
    for one in settings() {
        let mut gappy: Vec<f32> = values(1, DAYS)
            .iter()
            .map(|value| value + 1_000.0)
            .collect();
        let gap = (DAYS - 1) * DAY..(DAYS - 1) * DAY + 40;
        gappy[gap.clone()].fill(f32::NAN);
        let scores = scores(&one, &gappy);
        assert!(scores[gap.clone()].iter().all(|score| score.is_nan()));
        let loud = scores[gap.end..].iter().find(|score| **score >= 1.0);
        assert_eq!(loud, None, "{}", one.kind());
        let storm = self::scores(&one, &vec![f32::NAN; 3 * DAY]);
        assert!(storm.iter().all(|score| score.is_nan()), "{}", one.kind());
    }
}

#[test]
fn a_reset_series_is_as_new_and_memory_does_not_grow() {
    let (one, other) = (values(1, DAYS), values(2, DAYS));
    for settings in settings() {
        let mut fresh = settings.build(grid());
        let mut used = settings.build(grid());
        fresh.grow(1);
        used.grow(1);
        for (index, &value) in other.iter().cycle().take(4 * other.len()).enumerate() {
            step(&mut *used, index, value);
        }
        let bytes = used.heap_bytes();
        used.reset(0);
        for (index, &value) in one.iter().enumerate() {
            let fresh = step(&mut *fresh, index, value).to_bits();
            let used = step(&mut *used, index, value).to_bits();
            assert_eq!(fresh, used, "{} at {index}", settings.kind());
        }
        let kind = settings.kind();
        assert!(used.heap_bytes() <= bytes, "{kind}: {}", used.heap_bytes());
        assert!(bytes <= 120_000, "{kind}: {bytes}");
    }
}

#[test]
fn exchanged_series_go_on_as_each_other() {
    let (one, other) = (values(1, DAYS), values(2, DAYS));
    let labels = |name: &str| Labels::new([("pod", name)]).unwrap();
    for settings in settings() {
        let scores = |exchanged_at: usize| -> Vec<[u32; 2]> {
            let mut detector = settings.build(grid());
            detector.grow(3);
            detector.assign(0, &labels("one"));
            detector.assign(2, &labels("other"));
            let step = |(index, (&one, &other)): (usize, (&f32, &f32))| {
                let exchanged = index >= exchanged_at;
                if index == exchanged_at {
                    detector.swap(2, 0);
                }
                let values = if exchanged {
                    [other, one]
                } else {
                    [one, other]
                };
                let mut out = [0.0; 2];
                let batch = Batch {
                    at: index as i64 * STEP,
                    slots: &[0, 2],
                    values: &values,
                    bands: &[BAND; 2],
                };
                detector.step(&batch, &mut out);
                let [one, other] = out.map(f32::to_bits);
                if exchanged {
                    [other, one]
                } else {
                    [one, other]
                }
            };
            one.iter().zip(&other).enumerate().map(step).collect()
        };
        let (never, halfway) = (scores(usize::MAX), scores(one.len() / 2 + 17));
        assert_eq!(never, halfway, "{}", settings.kind());
    }
}

/// Invariant 3: what was before the memory does not matter.
#[test]
fn a_replay_of_the_memory_reaches_the_state_of_a_long_run() {
    let course = values(3, 7);
    let bounded = settings().filter(|one| one.build(grid()).memory() < usize::MAX);
    for settings in bounded {
        let (mut long, mut fresh) = (settings.build(grid()), settings.build(grid()));
        long.grow(1);
        fresh.grow(1);
        let start = 2 * DAY;
        for index in 0..start + fresh.memory() + 100 {
            let value = course[index % course.len()];
            // What only the long run sees is of another size.
            let strange = 30.0 * value * f32::from(index < start);
            let before = step(&mut *long, index, value + strange);
            if index < start {
                continue;
            }
            let after = step(&mut *fresh, index, value);
            if index >= start + fresh.memory() {
                let same = (before - after).abs() <= 1e-2 * (1.0 + after.abs());
                let kind = settings.kind();
                assert!(same, "{kind}: {before} and {after}");
            }
        }
    }
}

#[test]
fn neither_the_slot_nor_its_neighbours_matter() {
    let columns: Vec<Vec<f32>> = (0..3).map(|seed| values(seed, 3)).collect();
    for settings in settings() {
        let together = |order: [usize; 3]| {
            let mut detector = settings.build(grid());
            detector.grow(3);
            let mut kept = vec![Vec::new(); 3];
            for (step, _) in columns[0].iter().enumerate() {
                let row: Vec<f32> = order.iter().map(|&column| columns[column][step]).collect();
                let mut out = [0.0; 3];
                let band = Band {
                    expected: 0.5,
                    lower: -1.0,
                    upper: 2.0,
                    scale: 0.3,
                };
                let batch = Batch {
                    at: step as i64 * STEP,
                    slots: &[0, 1, 2],
                    values: &row,
                    bands: &[band; 3],
                };
                detector.step(&batch, &mut out);
                for (slot, score) in out.iter().enumerate() {
                    kept[order[slot]].push(score.to_bits());
                }
            }
            kept
        };
        let kind = settings.kind();
        assert_eq!(together([0, 1, 2]), together([2, 0, 1]), "{kind}");
    }
}
