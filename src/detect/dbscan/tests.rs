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
