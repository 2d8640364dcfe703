//! What holds for every detector and baseline, whatever the data.

use super::walk::Walk;
use crate::{
    baseline, detect,
    detect::{Batch, MAX_SCORE},
    series::{Grid, Millis},
};
use proptest::prelude::*;
use std::f32::consts::TAU;

const STEP: Millis = 300_000;
const DAY: usize = 288;

/// Detectors for which a value farther out is not meant to be more anomalous: `changepoint` counts what stays, `dbscan`
/// compares series, and how lonely a point is among others has an end.
const NOT_MONOTONE: &[&str] = &["changepoint", "dbscan", "isolation_forest", "one_class_svm"];

fn grid() -> Grid {
    Grid::new(STEP).unwrap()
}

fn baselines() -> Vec<baseline::Settings> {
    baseline::KINDS
        .iter()
        .map(|kind| match *kind {
            "auto" => serde_json::from_value("auto".into()).unwrap(),
            kind => serde_json::from_str(&format!("{{{kind:?}: {{}}}}")).unwrap(),
        })
        .collect()
}

/// Noise on a daily course, four days.
fn values(seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..4 * DAY)
        .map(|step| 5.0 * (TAU * step as f32 / DAY as f32).sin() + random.f32())
        .collect()
}

fn scores(baseline: &baseline::Settings, values: &[f32]) -> Vec<Vec<f32>> {
    Walk::new(grid(), baseline, &detect::defaults())
        .score(0, values)
        .scores
}

/// Scores and bands of the newest 20 values, after one rebuild on all before them.
fn newest(baseline: &baseline::Settings, values: &[f32]) -> Vec<Vec<f32>> {
    let mut walk = Walk::new(grid(), baseline, &detect::defaults());
    let split = values.len() - 20;
    walk.rebuild(split as i64 * STEP, &values[..split]);
    walk.go_on(split as i64 * STEP, &values[split..]).scores
}

fn close(one: &[Vec<f32>], other: &[Vec<f32>], tolerance: f32) -> Result<(), String> {
    for (one, other) in one.iter().flatten().zip(other.iter().flatten()) {
        let difference = (one - other).abs();
        let same = (one.is_nan() && other.is_nan()) || difference <= tolerance * (1.0 + one.abs());
        if !same {
            return Err(format!("{one} and {other}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn scores_do_not_depend_on_unit_or_zero_point(
        seed in 0_u64..1_000,
        // Powers of two: they scale a float exactly, so every rounding is the same.
        scale in prop_oneof![Just(0.03125_f32), Just(2.0), Just(1_048_576.0)],
        shift in -50.0_f32..50.0,
        spike in 0.0_f32..40.0,
    ) {
        let mut plain = values(seed);
        plain[4 * DAY - 3] += spike;
        let scaled: Vec<f32> = plain.iter().map(|value| value * scale).collect();
        let shifted: Vec<f32> = plain.iter().map(|value| value + shift).collect();
        for baseline in baselines() {
            let scores = newest(&baseline, &plain);
            close(&scores, &newest(&baseline, &scaled), 1e-4).map_err(TestCaseError::fail)?;
            // The wide baseline measures a level that never moved by itself, and keeps no past to tell.
            if baseline.kind() != "wide" {
                close(&scores, &newest(&baseline, &shifted), 2e-2).map_err(TestCaseError::fail)?;
            }
        }
    }

    #[test]
    fn a_score_rises_with_the_deviation(seed in 0_u64..1_000, near in 0.1_f32..20.0, more in 0.1_f32..20.0) {
        for baseline in baselines() {
            let last = |deviation: f32| {
                let mut values = values(seed);
                *values.last_mut().unwrap() += deviation;
                let scores = newest(&baseline, &values);
                scores.iter().map(|column| *column.last().unwrap()).collect::<Vec<f32>>()
            };
            for (near, far) in last(6.0 + near).into_iter().zip(last(6.0 + near + more)) {
                prop_assert!(far >= near, "{} at {near}, {far} farther out", baseline.kind());
            }
        }
    }

    #[test]
    fn every_detector_of_single_values_rises_with_the_deviation(
        seed in 0_u64..1_000, near in 0.1_f32..20.0, more in 0.1_f32..20.0, side in prop_oneof![Just(1.0_f32), Just(-1.0)],
    ) {
        for kind in detect::KINDS.iter().filter(|kind| !NOT_MONOTONE.contains(kind)) {
            let detector: detect::Settings = serde_json::from_str(&format!("{{{kind:?}: {{}}}}")).unwrap();
            let last = |deviation: f32| {
                let mut values = values(seed);
                *values.last_mut().unwrap() += side * deviation;
                let mut walk = Walk::new(grid(), &baseline::Settings::Auto, std::slice::from_ref(&detector));
                *walk.score(0, &values).scores[0].last().unwrap()
            };
            let (near, far) = (last(6.0 + near), last(6.0 + near + more));
            prop_assert!(far >= near || near.is_nan(), "{kind} {near} and {far} farther out");
        }
    }

    #[test]
    fn nothing_breaks_a_score(
        parts in prop::collection::vec(
            (prop_oneof![
                Just(f32::NAN), Just(0.0), Just(f32::MAX), Just(f32::MIN), Just(f32::MIN_POSITIVE),
                Just(f32::INFINITY), Just(1e-30_f32), -1e6_f32..1e6,
            ], 1_usize..200),
            1..12,
        ),
    ) {
        let values: Vec<f32> = parts.iter().flat_map(|&(value, count)| vec![value; count]).collect();
        for baseline in baselines() {
            let mut walk = Walk::new(grid(), &baseline, &detect::defaults());
            let scored = walk.score(0, &values);
            for score in scored.scores.iter().flatten() {
                prop_assert!(score.is_nan() || (0.0..=MAX_SCORE).contains(score), "{score}");
            }
            for band in &scored.bands {
                prop_assert!(band.scale.is_nan() || band.scale > 0.0, "{band:?}");
            }
        }
    }
}

#[test]
fn a_constant_series_never_alarms() {
    for baseline in baselines() {
        for value in [0.0, 5.0, -3e9, 1e-20] {
            for score in scores(&baseline, &[value; 4 * DAY]).iter().flatten() {
                assert!(
                    score.is_nan() || *score == 0.0,
                    "{} {value}: {score}",
                    baseline.kind()
                );
            }
        }
    }
}

#[test]
fn counts_that_jump_by_one_do_not_alarm() {
    let mut random = fastrand::Rng::with_seed(9);
    let counts: Vec<f32> = (0..4 * DAY).map(|_| f32::from(random.u8(..) < 8)).collect();
    for baseline in baselines() {
        // The first jump of a series that never moved is new to everybody.
        let settled = scores(&baseline, &counts)
            .into_iter()
            .map(|column| column[DAY..].to_vec());
        for score in settled.flatten() {
            assert!(
                score.is_nan() || score < 1.0,
                "{}: {score}",
                baseline.kind()
            );
        }
    }
}

#[test]
fn gaps_are_silence_and_no_zeros() {
    for baseline in baselines() {
        let mut gappy: Vec<f32> = values(1).iter().map(|value| value + 1_000.0).collect();
        gappy[3 * DAY..3 * DAY + 40].fill(f32::NAN);
        let scores = scores(&baseline, &gappy);
        for column in &scores {
            assert!(
                column[3 * DAY..3 * DAY + 40]
                    .iter()
                    .all(|score| score.is_nan())
            );
            let after = &column[3 * DAY + 40..];
            assert!(
                after.iter().all(|score| score.is_nan() || *score < 1.0),
                "{}",
                baseline.kind()
            );
        }
        let storm = vec![f32::NAN; 3 * DAY];
        assert!(
            self::scores(&baseline, &storm)
                .iter()
                .flatten()
                .all(|score| score.is_nan())
        );
    }
}

#[test]
fn a_rebuilt_series_is_as_one_that_was_always_there() {
    for baseline in baselines() {
        let (one, other) = (values(1), values(2));
        let fresh = newest(&baseline, &one);
        let mut used = Walk::new(grid(), &baseline, &detect::defaults());
        used.score(0, &other);
        let split = one.len() - 20;
        used.rebuild(split as i64 * STEP, &one[..split]);
        let again = used.go_on(split as i64 * STEP, &one[split..]).scores;
        assert_eq!(fresh, again, "{}", baseline.kind());
    }
}

#[test]
fn neither_the_slot_nor_its_neighbours_matter() {
    for baseline in baselines() {
        let columns: Vec<Vec<f32>> = (0..3).map(values).collect();
        let together = |order: [usize; 3]| {
            let mut baseline = baseline.build(grid());
            let mut detectors: Vec<_> = detect::defaults()
                .iter()
                .map(|one| one.build(grid()))
                .collect();
            baseline.grow(3);
            detectors.iter_mut().for_each(|one| one.grow(3));
            let mut kept = vec![Vec::new(); 3];
            for (slot, &column) in order.iter().enumerate() {
                Walk::fit(baseline.as_mut(), slot, grid(), &columns[column]);
            }
            for (step, _) in columns[0].iter().enumerate() {
                let row: Vec<f32> = order.iter().map(|&column| columns[column][step]).collect();
                let at = step as i64 * STEP;
                let mut bands = [baseline::Band::UNKNOWN; 3];
                baseline.expect(at, &[0, 1, 2], &mut bands);
                let batch = Batch {
                    at,
                    slots: &[0, 1, 2],
                    values: &row,
                    bands: &bands,
                };
                for detector in &mut detectors {
                    let mut out = [0.0; 3];
                    detector.step(&batch, &mut out);
                    for (slot, score) in out.iter().enumerate() {
                        kept[order[slot]].push(score.to_bits());
                    }
                }
                baseline.observe(at, &[0, 1, 2], &row);
            }
            kept
        };
        assert_eq!(
            together([0, 1, 2]),
            together([2, 0, 1]),
            "{}",
            baseline.kind()
        );
    }
}
