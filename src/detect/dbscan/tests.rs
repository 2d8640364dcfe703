use super::*;
use crate::baseline::Band;

fn detector(settings: &Settings, labels: &[&str]) -> Box<dyn Detector> {
    let mut detector = settings.build(Grid::new(60_000).unwrap());
    detector.grow(labels.len());
    for (slot, &group) in labels.iter().enumerate() {
        detector.assign(slot, &Labels::new([("app", group)]).unwrap());
    }
    detector
}

/// The scores after `steps` steps of the same values and a little noise.
fn scores(detector: &mut dyn Detector, values: &[f32], steps: i64) -> Vec<f32> {
    let slots: Vec<Slot> = (0..values.len()).collect();
    let bands = vec![Band::UNKNOWN; values.len()];
    let mut out = vec![0.0; values.len()];
    let mut random = fastrand::Rng::with_seed(5);
    for step in 0..steps {
        let values: Vec<f32> = values
            .iter()
            .map(|value| value + 0.2 * random.f32())
            .collect();
        let at = step * 60_000;
        let batch = Batch {
            at,
            slots: &slots,
            values: &values,
            bands: &bands,
        };
        detector.step(&batch, &mut out);
    }
    out
}

#[test]
fn one_pod_unlike_its_peers_is_found_after_three_steps_and_no_other() {
    let values = [10.0, 10.1, 9.9, 10.2, 9.8, 30.0];
    let mut detector = detector(&Settings::default(), &["a"; 6]);
    assert!(
        scores(detector.as_mut(), &values, 2)
            .iter()
            .all(|score| score.is_nan())
    );
    let out = scores(detector.as_mut(), &values, 5);
    assert!(out[..5].iter().all(|&score| score == 0.0), "{out:?}");
    assert!(out[5] > 3.0, "{out:?}");
}

/// One step at grid index `index`, of the slots from 0 on.
fn step(detector: &mut dyn Detector, index: i64, values: &[f32]) -> Vec<f32> {
    let slots: Vec<Slot> = (0..values.len()).collect();
    let mut out = vec![0.0; values.len()];
    let batch = Batch {
        at: index * 60_000,
        slots: &slots,
        values,
        bands: &vec![Band::UNKNOWN; values.len()],
    };
    detector.step(&batch, &mut out);
    out
}

/// A value for each of `peers` at each of `steps`: around 10, noise of 1 that stays for about `lasting` steps.
fn noise(peers: usize, steps: usize, lasting: f32) -> Vec<Vec<f32>> {
    let mut random = fastrand::Rng::with_seed(peers as u64);
    let mut normal = || (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
    let keep = 1.0 - 1.0 / lasting;
    let mut now: Vec<f32> = (0..peers).map(|_| normal()).collect();
    let mut rows = Vec::new();
    for _ in 0..steps {
        for one in &mut now {
            *one = keep * *one + (1.0 - keep * keep).sqrt() * normal();
        }
        rows.push(now.iter().map(|one| 10.0 + one).collect());
    }
    rows
}

/// How many of ten thousand scores are 1 or more.
fn loud(settings: &Settings, rows: &[Vec<f32>]) -> f64 {
    let mut detector = detector(settings, &vec!["a"; rows[0].len()]);
    let rows = rows.iter().enumerate();
    let scores = rows.flat_map(|(index, row)| step(detector.as_mut(), index as i64, row));
    let (loud, all) = scores.fold((0, 0), |(loud, all), score| {
        (loud + usize::from(score >= 1.0), all + 1)
    });
    1e4 * loud as f64 / all as f64
}

#[test]
fn noise_that_lasts_is_no_alarm_although_the_peers_are_few() {
    let clusters_alone = Settings {
        mad: 1e-3,
        ..Settings::default()
    };
    let mut alone = 0.0;
    for peers in [3, 4, 5, 8, 20] {
        let rows = noise(peers, 2_000, 20.0);
        assert!(loud(&Settings::default(), &rows) < 2.0, "{peers} peers");
        alone += loud(&clusters_alone, &rows);
    }
    assert!(alone > 50.0, "distance would not be needed: {alone}");
}

#[test]
fn the_end_of_a_long_row_of_peers_is_not_apart() {
    // Each is a little farther from the next one; the last is 9 spreads from the middle.
    let row: Vec<f32> = (0..40).map(|peer| (0.11 * peer as f32).exp()).collect();
    let settings = Settings {
        least: 1,
        of: 1,
        ..Settings::default()
    };
    let out = step(detector(&settings, &["a"; 40]).as_mut(), 0, &row);
    assert!(out.iter().all(|&score| score == 0.0), "{out:?}");
    let (middle, spread) = middle_and_spread(&row);
    assert!((row[39] - middle) / spread > settings.mad as f32);
    let mut farther = row;
    farther[39] *= 3.0;
    let out = step(detector(&settings, &["a"; 40]).as_mut(), 0, &farther);
    assert!(out[39] > 1.0, "{out:?}");
}

#[test]
fn the_smaller_of_two_bands_is_unlike_the_greater_one() {
    let values = [10.0, 10.1, 9.9, 50.0, 50.1, 50.2, 49.9];
    let mut detector = detector(&Settings::default(), &["a"; 7]);
    let out = scores(detector.as_mut(), &values, 5);
    assert!(out[..3].iter().all(|&score| score > 1.0), "{out:?}");
    assert!(out[3..].iter().all(|&score| score == 0.0), "{out:?}");
    let peers = detector.peers(0).unwrap();
    assert_eq!((peers.present.len(), peers.together), (7, 4));
    assert!(peers.low > 49.0 && peers.high < 51.0, "{peers:?}");
}

#[test]
fn of_identical_peers_the_one_that_differs_is_found() {
    let mut zeros = vec![0.0; 5];
    let mut detector = detector(&Settings::default(), &["a"; 5]);
    for index in 0..10 {
        assert!(
            step(detector.as_mut(), index, &zeros)
                .iter()
                .all(|&score| score.is_nan() || score == 0.0)
        );
    }
    zeros[2] = 1e-3;
    let out = (10..13).map(|index| step(detector.as_mut(), index, &zeros));
    assert_eq!(out.last().unwrap(), [0.0, 0.0, UNMEASURED, 0.0, 0.0]);
    // At another level a small difference is a small share of it.
    let hundred = [100.0, 100.0, 101.0, 100.0, 100.0];
    let out = (13..20).map(|index| step(detector.as_mut(), index, &hundred));
    assert!(out.last().unwrap()[2] < 1.0);
}

#[test]
fn steps_without_a_value_confirm_nothing_afterwards() {
    let mut detector = detector(&Settings::default(), &["a"; 6]);
    let odd = [10.0, 10.1, 9.9, 10.2, 9.8, 30.0];
    for index in 0..2 {
        step(detector.as_mut(), index, &odd);
    }
    // Long after, at the place in the ring that follows: two steps are not three.
    let again = step(detector.as_mut(), 1_002, &odd);
    assert!(again[5].is_nan(), "{again:?}");
}

#[test]
fn a_replay_of_the_memory_reaches_the_state_of_a_long_run() {
    let rows = noise(5, 400, 5.0);
    let make = || detector(&Settings::default(), &["a"; 5]);
    let (mut long, mut fresh) = (make(), make());
    let memory = long.memory();
    // What a restart leaves for detectors across series.
    assert!(memory <= 64, "{memory}");
    for (index, row) in rows.iter().enumerate() {
        let strange: Vec<f32> = row.iter().map(|value| value * value * value).collect();
        let before = index < 200;
        let one = step(
            long.as_mut(),
            index as i64,
            if before { &strange } else { row },
        );
        if before {
            continue;
        }
        let other = step(fresh.as_mut(), index as i64, row);
        if index >= 200 + memory {
            assert_eq!(one, other, "{index}");
        }
    }
}

#[test]
fn groups_are_judged_apart_and_two_camps_not_at_all() {
    let values = [10.0, 10.1, 9.9, 50.0, 50.1, 50.2, 49.9];
    let by = Settings {
        by: vec!["app".into()],
        ..Settings::default()
    };
    let mut apart = detector(&by, &["a", "a", "a", "b", "b", "b", "b"]);
    assert!(
        scores(apart.as_mut(), &values, 5)
            .iter()
            .all(|&score| score == 0.0)
    );
    let camps = [10.0, 10.1, 9.9, 50.0, 50.1, 50.2];
    let mut together = detector(&Settings::default(), &["a"; 6]);
    assert!(
        scores(together.as_mut(), &camps, 5)
            .iter()
            .all(|score| score.is_nan() || *score == 0.0)
    );
    let mut pair = detector(&Settings::default(), &["a"; 2]);
    assert!(
        scores(pair.as_mut(), &[1.0, 100.0], 5)
            .iter()
            .all(|score| score.is_nan())
    );
}

#[test]
fn many_identical_peers_and_gaps_are_no_trouble() {
    let mut values = vec![5.0; 20_000];
    values[7] = 500.0;
    values[8] = f32::NAN;
    let mut detector = detector(&Settings::default(), &vec!["a"; values.len()]);
    let out = scores(detector.as_mut(), &values, 4);
    assert!(out[7] >= 1.0 && out[8].is_nan());
    assert_eq!(out.iter().filter(|&&score| score > 0.0).count(), 1);
}

#[test]
fn the_order_of_peers_does_not_matter() {
    let mut random = fastrand::Rng::with_seed(2);
    let values: Vec<f32> = (0..600)
        .map(|_| random.f32() * 10.0)
        .chain([80.0, -40.0])
        .collect();
    let turned: Vec<f32> = values.iter().rev().copied().collect();
    let settings = Settings {
        least: 1,
        of: 1,
        ..Settings::default()
    };
    let score = |values: &[f32]| {
        let slots: Vec<Slot> = (0..values.len()).collect();
        let bands = vec![Band::UNKNOWN; values.len()];
        let mut out = vec![0.0; values.len()];
        let mut detector = detector(&settings, &vec!["a"; values.len()]);
        detector.step(
            &Batch {
                at: 0,
                slots: &slots,
                values,
                bands: &bands,
            },
            &mut out,
        );
        out
    };
    let mut back = score(&turned);
    back.reverse();
    let forth = score(&values);
    assert_eq!(forth, back);
    assert!(forth[600] > 1.0 && forth[601] > 1.0);
}

#[test]
fn an_entity_of_a_panel_that_is_odd_in_one_signal_is_found() {
    let settings = Settings {
        least: 1,
        of: 1,
        ..Settings::default()
    };
    let mut detector = settings.build_panel(Grid::new(60_000).unwrap());
    let one: Vec<f32> = (0..40).map(|index| index as f32 % 10.0).collect();
    let mut other = one.clone();
    let (mut one, slots): (Vec<f32>, Vec<Slot>) = (one, (0..41).collect());
    one.push(9.0);
    other.push(-30.0);
    detector.grow(41);
    let mut out = vec![0.0; 41];
    let channels: [&[f32]; 2] = [&one, &other];
    detector.step(
        &PanelBatch {
            at: 0,
            slots: &slots,
            channels: &channels,
        },
        &mut out,
    );
    assert!(out[40] > 1.0, "{out:?}");
    assert!(out[..40].iter().all(|&score| score == 0.0));
}

#[test]
fn the_nearest_of_sorted_points_is_the_nearest_of_all() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut values = |count: usize| -> Vec<f64> { (0..count).map(|_| random.f64()).collect() };
    let (points, probes) = (values(50), values(200));
    let column = Array2::from_shape_vec((50, 1), points.clone()).unwrap();
    let sorted = Majority::new(&column);
    for probe in probes.into_iter().chain([-1.0, 2.0]) {
        let distances = points.iter().map(|point| (point - probe).abs());
        let expected = distances.min_by(f64::total_cmp);
        assert_eq!(sorted.nearest(ndarray::arr1(&[probe]).view()), expected);
    }
    let none = Array2::zeros((0, 1));
    assert_eq!(
        Majority::new(&none).nearest(ndarray::arr1(&[1.0]).view()),
        None
    );
}
