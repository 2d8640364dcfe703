use super::*;

const REFERENCE: &str = include_str!("../../../tests/fixtures/detect/one_class_svm.json");

/// Made by `tests/fixtures/detect/make.py`.
#[derive(Deserialize)]
struct Reference {
    rows: Vec<Vec<f64>>,
    probes: Vec<Vec<f32>>,
    nu: f64,
    width: f64,
    rho: f64,
    sums: Vec<f64>,
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

#[test]
fn sums_are_those_of_scikit_learn() {
    let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
    let values = reference.rows.concat();
    let rows = Array2::from_shape_vec((reference.rows.len(), 6), values).unwrap();
    let region = Region::around(rows, reference.nu, reference.width).unwrap();
    let sums: Vec<f64> = reference.probes.iter().map(|row| region.sum(row)).collect();
    let alike = correlation(&sums, &reference.sums);
    assert!(alike > 0.999, "{alike}");
    let rho = region.svm.rho;
    assert!(
        (rho / reference.rho - 1.0).abs() < 0.02,
        "{rho}, not {}",
        reference.rho
    );
}

/// Made by `tests/fixtures/detect/make_pyod.py`.
const PYOD: &str = include_str!("../../../tests/fixtures/detect/pyod.json");

#[derive(Deserialize)]
struct Pyod {
    svm: Vec<f64>,
}

/// What PyOD calls the score is the border less the sum; the rate is of the same order, but rises with the distance
/// far outside, where the sum is the same for all.
#[test]
fn learns_and_orders_as_pyod_does() {
    let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
    let pyod: Pyod = serde_json::from_str(PYOD).unwrap();
    let values: Vec<f32> = reference
        .rows
        .iter()
        .flatten()
        .map(|&value| value as f32)
        .collect();
    let learner = Support { nu: reference.nu };
    let rows = Rows {
        values: &values,
        channels: 6,
    };
    let region = learner.learn(rows, 0).unwrap();
    let sums = reference.probes.iter().map(|row| -region.sum(row));
    let alike = correlation(&sums.collect::<Vec<_>>(), &pyod.svm);
    assert!(alike > 0.999, "{alike}");
    let mut order: Vec<usize> = (0..pyod.svm.len()).collect();
    order.sort_by(|&one, &other| pyod.svm[one].total_cmp(&pyod.svm[other]));
    let rates: Vec<f32> = order
        .iter()
        .map(|&index| learner.rate(&region, &reference.probes[index]))
        .collect();
    let turns = rates.windows(2).filter(|pair| pair[1] < pair[0] - 0.02);
    assert_eq!(turns.count(), 0, "{rates:?}");
}

#[test]
fn the_farther_outside_the_higher_the_rate_and_a_second_region_is_known() {
    let mut random = fastrand::Rng::with_seed(7);
    // Two ways of working, far apart.
    let rows: Vec<f32> = (0..400)
        .flat_map(|index| {
            let middle = if index % 2 == 0 { -6.0 } else { 6.0 };
            [middle + random.f32(), middle + random.f32()]
        })
        .collect();
    let learner = Settings::default().support();
    let rows = Rows {
        values: &rows,
        channels: 2,
    };
    let region = learner.learn(rows, 0).unwrap();
    let rates =
        [-5.5, 0.0, 3.0, 6.5, 300.0].map(|place: f32| learner.rate(&region, &[place, place]));
    assert!(rates[0].max(rates[3]) < 1.05 && rates[1] > 1.1, "{rates:?}");
    assert!(rates[1] > rates[2] && rates[2] > rates[3], "{rates:?}");
    assert!(rates[4] > rates[1] && rates[4].is_finite(), "{rates:?}");
}
