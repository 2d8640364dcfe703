use super::*;
use crate::detect::PanelBatch;

const REFERENCE: &str = include_str!("../../../tests/fixtures/detect/pca.json");

/// Made by `tests/fixtures/detect/make.py`.
#[derive(Deserialize)]
struct Reference {
    rows: Vec<Vec<f64>>,
    probes: Vec<Vec<f64>>,
    variances: Vec<f64>,
    errors: Vec<f64>,
}

#[test]
fn components_and_errors_are_those_of_scikit_learn() {
    let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
    let values = reference.rows.concat();
    let rows = Array2::from_shape_vec((reference.rows.len(), 6), values).unwrap();
    let plane = Plane::through(rows.view(), 0.9).unwrap();
    assert_eq!(plane.along.len(), reference.variances.len());
    for (ours, theirs) in plane.along.iter().zip(&reference.variances) {
        assert!(
            (ours - theirs).abs() < 1e-9 * theirs,
            "{ours}, not {theirs}"
        );
    }
    for (probe, theirs) in reference.probes.iter().zip(&reference.errors) {
        let (_, left) = plane.split(Array1::from(probe.clone()).view());
        let ours = left.dot(&left);
        assert!(
            (ours - theirs).abs() < 1e-9 * (1.0 + theirs),
            "{ours}, not {theirs}"
        );
    }
}

/// Made by `tests/fixtures/detect/make_pyod.py`.
const PYOD: &str = include_str!("../../../tests/fixtures/detect/pyod.json");

#[derive(Deserialize)]
struct Pyod {
    pca: Vec<f64>,
}

fn correlation(one: &[f64], other: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (middle, beside) = (mean(one), mean(other));
    let product = |one: &[f64], middle: f64, other: &[f64], beside: f64| -> f64 {
        let pairs = one.iter().zip(other);
        pairs.map(|(a, b)| (a - middle) * (b - beside)).sum()
    };
    product(one, middle, other, beside)
        / (product(one, middle, one, middle) * product(other, beside, other, beside)).sqrt()
}

/// Its components are ours, its score is not. PyOD adds up how far a vector is from the *tip* of each component (taken
/// for a point at distance 1), over the share of variance of that component: nearly a multiple of the length of the
/// vector, whatever its direction. What Shyu et al. (2003) describe, and we compute, is how far it is *along* each
/// component in units of its deviation: little where the entity moves as it always does. So from our components PyOD's
/// score comes out (the sign of a component is arbitrary, hence not to the digit), and the two scores are akin only.
#[test]
fn the_score_of_pyod_follows_from_our_components_and_is_another() {
    let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
    let pyod: Pyod = serde_json::from_str(PYOD).unwrap();
    let values = reference.rows.concat();
    let rows = Array2::from_shape_vec((reference.rows.len(), 6), values).unwrap();
    let all = Plane::through(rows.view(), 1.0).unwrap();
    let tips = |probe: &Vec<f64>| -> f64 {
        let probe = Array1::from(probe.clone());
        let parts = all.axes.rows().into_iter().zip(&all.along);
        let whole = all.along.sum();
        let parts = parts.map(|(tip, along)| {
            let apart = &probe - &tip;
            apart.dot(&apart).sqrt() / (along / whole)
        });
        parts.sum()
    };
    let theirs: Vec<f64> = reference.probes.iter().map(tips).collect();
    let alike = correlation(&theirs, &pyod.pca);
    assert!(alike > 0.99, "{alike}");
    let plane = Plane::through(rows.view(), 0.9).unwrap();
    let ours = reference.probes.iter().map(|probe| {
        let squared = plane.distance(Array1::from(probe.clone()).view());
        squared.sqrt()
    });
    let akin = correlation(&ours.collect::<Vec<_>>(), &pyod.pca);
    assert!((0.8..0.95).contains(&akin), "{akin}");
}

/// Four channels that follow one cause, each with a little noise.
fn together(random: &mut fastrand::Rng) -> [f32; 4] {
    let cause = 6.0 * random.f32() - 3.0;
    [1.0, 0.8, -0.9, 0.7].map(|load| load * cause + 0.2 * random.f32())
}

fn step(detector: &mut dyn PanelDetector, index: i64, row: [f32; 4]) -> f32 {
    let columns = row.map(|value| [value]);
    let channels: Vec<&[f32]> = columns.iter().map(<[f32; 1]>::as_slice).collect();
    let mut out = [0.0];
    let batch = PanelBatch {
        at: index * 60_000,
        slots: &[0],
        channels: &channels,
    };
    detector.step(&batch, &mut out);
    out[0]
}

#[test]
fn a_channel_that_leaves_the_others_is_news_and_is_named() {
    let mut random = fastrand::Rng::with_seed(4);
    let mut detector = Settings::default().build_panel(Grid::new(60_000).unwrap(), 900);
    detector.grow(1);
    for index in 0..1_500 {
        let score = step(detector.as_mut(), index, together(&mut random));
        assert!(score.is_nan() || score < 1.0, "{score} at {index}");
    }
    let mut last = 0.0;
    for index in 1_500..1_515 {
        let mut row = together(&mut random);
        row[2] += 8.0;
        last = step(detector.as_mut(), index, row);
    }
    assert!(last > 1.0, "{last}");
    let shares = detector.attribution(0);
    assert!(shares[2] > 0.6, "{shares:?}");
    assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn an_incident_does_not_own_a_component() {
    let mut random = fastrand::Rng::with_seed(4);
    let mut rows: Vec<f32> = (0..600).flat_map(|_| together(&mut random)).collect();
    rows[..4 * 10]
        .iter_mut()
        .skip(2)
        .step_by(4)
        .for_each(|value| *value = 8.0);
    let learner = Settings::default().components();
    let rows = Rows {
        values: &rows,
        channels: 4,
    };
    let plane = learner.learn(rows, 0).unwrap();
    // One cause, one component; what was cut off is not in it.
    assert_eq!(plane.along.len(), 1);
    let apart = learner.rate(&plane, &[0.0, 0.0, 8.0, 0.0]);
    let ordinary = learner.rate(&plane, &[2.0, 1.6, -1.8, 1.4]);
    assert!(apart > 2.0 * ordinary, "{apart} and {ordinary}");
}
