use super::*;
use crate::{baseline::Band, detect::tests::alone};
use std::{f32::consts::TAU, path::Path};

/// Made by `tests/fixtures/autoencoder/train.py`.
const PARITY: &str = include_str!("../../../tests/fixtures/autoencoder/parity.json");

#[derive(Deserialize)]
struct Parity {
    windows: Vec<Vec<f32>>,
    scaled: Vec<Vec<f32>>,
    answers: Vec<Vec<f32>>,
    errors: Vec<f32>,
}

fn grid() -> Grid {
    Grid::new(300_000).unwrap()
}

fn parity() -> Parity {
    serde_json::from_str(PARITY).unwrap()
}

/// The settings with a file of `tests/fixtures`, read.
fn with_file(name: &str, bytes: &[u8]) -> Result<Settings, String> {
    let mut settings: Settings = serde_json::from_str(&format!("{{\"path\": {name:?}}}")).unwrap();
    assert_eq!(settings.validate(), []);
    let files = ModelFiles::from([(name.into(), bytes.into())]);
    settings.load(&files)?;
    Ok(settings)
}

fn fixture(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(root.join(name)).unwrap()
}

/// A wave of two hours, less than the window of the default model, with a little noise.
fn wave(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|step| 40.0 + 10.0 * (TAU * step as f32 / 24.0).sin() + random.f32())
        .collect()
}

fn correlation(one: &[f32], other: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let (middle, beside) = (mean(one), mean(other));
    let product = |one: &[f32], middle: f32, other: &[f32], beside: f32| -> f32 {
        let pairs = one.iter().zip(other);
        pairs.map(|(a, b)| (a - middle) * (b - beside)).sum()
    };
    product(one, middle, other, beside)
        / (product(one, middle, one, middle) * product(other, beside, other, beside)).sqrt()
}

#[test]
fn the_default_model_answers_as_onnxruntime_does() {
    let parity = parity();
    let network = load(DEFAULT_MODEL).unwrap();
    let mut together = Vec::new();
    network.run(&parity.scaled.concat(), &mut together);
    assert_eq!(together.len(), parity.answers.concat().len());
    for (window, expected) in parity.scaled.iter().zip(&parity.answers) {
        let mut by_itself = Vec::new();
        network.run(window, &mut by_itself);
        for (got, expected) in by_itself.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-4, "{got}, not {expected}");
        }
    }
    for (got, expected) in together.iter().zip(parity.answers.concat()) {
        assert!((got - expected).abs() < 1e-4, "{got}, not {expected}");
    }
}

#[test]
fn errors_are_those_of_plain_arithmetic_in_the_unit_of_the_series() {
    let parity = parity();
    let network = load(DEFAULT_MODEL).unwrap();
    let error = |window: &Vec<f32>| {
        let (mut row, mut answer) = (Vec::new(), Vec::new());
        let values = window.iter().copied();
        let (_, deviation) = network::standardised(values, window.len(), &mut row).unwrap();
        network.run(&row, &mut answer);
        deviation as f32 * missed(&row, &answer)
    };
    let errors: Vec<f32> = parity.windows.iter().map(error).collect();
    for (got, expected) in errors.iter().zip(&parity.errors) {
        assert!((got / expected - 1.0).abs() < 1e-3, "{got}, not {expected}");
    }
    // Over four powers of ten the greatest would say it all.
    let logs = |values: &[f32]| values.iter().map(|value| value.ln()).collect::<Vec<f32>>();
    let alike = correlation(&logs(&errors), &logs(&parity.errors));
    assert!(alike > 0.99, "{alike}");
}

#[test]
fn a_spike_a_burst_and_a_standstill_are_news_and_the_wave_is_not() {
    let ordinary = wave(4_000, 1);
    let mut spike = ordinary.clone();
    spike[3_800] += 8.0;
    let mut burst = ordinary.clone();
    for (index, value) in burst[3_800..3_808].iter_mut().enumerate() {
        *value += if index % 2 == 0 { 4.0 } else { -4.0 };
    }
    let mut standstill = ordinary.clone();
    // On the zero line, where values are ordinary.
    standstill[3_792..3_812].fill(40.5);
    for (what, values) in [
        ("spike", spike),
        ("burst", burst),
        ("standstill", standstill),
    ] {
        let scores = alone(Settings::default().build(grid()), &values);
        let news = scores[3_792..3_820].iter().copied().fold(0.0, f32::max);
        assert!(news >= 1.0, "{what}: {news}");
        let loud = scores[1_000..3_790].iter().find(|score| **score >= 1.0);
        assert_eq!(loud, None, "{what}");
        let calm = &scores[3_860..];
        assert!(calm.iter().all(|score| *score < 1.0), "{what}: {calm:?}");
    }
}

#[test]
fn a_model_of_ones_own_is_what_judges() {
    let mut values = wave(2_000, 2);
    values[1_900] += 30.0;
    let spike_of = |settings: &Settings| alone(settings.build(grid()), &values)[1_900];
    assert!(spike_of(&Settings::default()) >= 1.0);
    let knows_everything = with_file("same.onnx", &fixture("autoencoder/same.onnx")).unwrap();
    assert_eq!(spike_of(&knows_everything), 0.0);
    // The same model as a file.
    let own = with_file("own.onnx", DEFAULT_MODEL).unwrap();
    assert_eq!(spike_of(&own), spike_of(&Settings::default()));
}

#[test]
fn a_file_that_cannot_serve_is_refused_with_the_reason() {
    let truncated = &DEFAULT_MODEL[..DEFAULT_MODEL.len() / 2];
    for (name, bytes, part) in [
        ("truncated", truncated.to_vec(), "not an ONNX model"),
        ("text", b"no model".to_vec(), "not an ONNX model"),
        ("empty", Vec::new(), "holds no graph"),
        (
            "open",
            fixture("autoencoder/open.onnx"),
            "not of the shape (N, window) with a fixed window",
        ),
        (
            "short",
            fixture("autoencoder/short.onnx"),
            "takes a window of 4 values; allowed: 8 to 1024",
        ),
        (
            "half",
            fixture("autoencoder/half.onnx"),
            "answers 8 values to a window of 16",
        ),
        ("nan", fixture("autoencoder/nan.onnx"), "not finite"),
        (
            "forecaster",
            fixture("forecast/tiny.onnx"),
            "answers 2 values to a window of 16",
        ),
        (
            "unknown",
            fixture("forecast/unknown.onnx"),
            "unknown operators: Crystalball",
        ),
        ("huge", vec![0; (64 << 20) + 1], "at most 64 MiB"),
    ] {
        let problem = with_file(name, &bytes).unwrap_err();
        let named = problem.starts_with(&format!("{name}: "));
        assert!(named && problem.contains(part), "{problem}");
    }
    let mut gone: Settings = serde_json::from_str("{\"path\": \"gone.onnx\"}").unwrap();
    let problem = gone.load(&ModelFiles::new()).unwrap_err();
    assert_eq!(problem, "gone.onnx: no such model file");
    let silent = alone(gone.build(grid()), &wave(100, 3));
    assert!(silent.iter().all(|score| score.is_nan()));
}

#[test]
fn gaps_become_straight_lines() {
    let gap = f32::NAN;
    let mut values = [gap, gap, 4.0, gap, 6.0, gap, gap, 0.0];
    bridge(&mut values);
    assert_eq!(values, [4.0, 4.0, 4.0, 5.0, 6.0, 4.0, 2.0, 0.0]);
    let mut greatest = [1e30, gap, -1e30];
    bridge(&mut greatest);
    assert_eq!(greatest, [1e30, 0.0, -1e30]);
}

#[test]
fn a_window_with_too_many_gaps_is_not_judged_and_a_few_are_no_news() {
    let mut values = wave(3_000, 4);
    for (start, count) in [(2_500, 16), (2_700, 17)] {
        for gap in 0..count {
            values[start + 3 * gap] = f32::NAN;
        }
    }
    let scores = alone(Settings::default().build(grid()), &values);
    // All of them are in the window.
    assert!(scores[2_547].is_finite() && scores[2_750].is_nan());
    assert!(scores[2_547..2_700].iter().all(|score| *score < 1.0));
}

/// A shard steps its series together, and an epoch walks them one by one.
#[test]
fn together_and_one_by_one_series_have_the_same_scores() {
    let columns: Vec<Vec<f32>> = (0..40).map(|seed| wave(200, seed)).collect();
    let slots: Vec<Slot> = (0..columns.len()).collect();
    let mut detector = Settings::default().build(grid());
    detector.grow(slots.len());
    let bands = vec![Band::UNKNOWN; slots.len()];
    let apart: Vec<Vec<f32>> = columns
        .iter()
        .map(|values| alone(Settings::default().build(grid()), values))
        .collect();
    for step in 0..200 {
        let values: Vec<f32> = columns.iter().map(|column| column[step]).collect();
        let mut out = vec![0.0; slots.len()];
        let at = step as i64 * 300_000;
        let batch = Batch {
            at,
            slots: &slots,
            values: &values,
            bands: &bands,
        };
        detector.step(&batch, &mut out);
        for (score, apart) in out.iter().zip(&apart) {
            let same = score.is_nan() && apart[step].is_nan()
                || (score - apart[step]).abs() <= 1e-4 * (1.0 + score);
            assert!(same, "{score} and {} at {step}", apart[step]);
        }
    }
}

#[test]
fn a_series_takes_three_hundred_bytes() {
    let mut detector = Settings::default().build(grid());
    detector.grow(256);
    assert!(detector.heap_bytes() / 256 <= 310);
}
