//! The forecaster of ONNX files.

use super::*;
use crate::series::Zone;
use std::sync::Arc;

#[derive(serde::Deserialize)]
struct Answers {
    windows: Vec<Vec<f32>>,
    tiny: Vec<Vec<f32>>,
    quantiles: Vec<Vec<f32>>,
}

fn fixture(name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(root.join("tests/fixtures/forecast").join(name)).unwrap()
}

fn build(name: &str, window: usize, horizons: &[usize]) -> Result<Onnx, String> {
    let path = PathBuf::from(name);
    let files = ModelFiles::from([(path.clone(), Arc::from(fixture(name)))]);
    let settings = Settings {
        path: Some(path),
        window: Some(window),
        ..Settings::default()
    };
    Onnx::build(&settings, Grid::new(60_000).unwrap(), horizons, &files)
}

/// Made by `tests/fixtures/forecast/make_onnx.py`.
#[test]
fn answers_as_onnxruntime_does() {
    let answers: Answers = serde_json::from_slice(&fixture("onnx.json")).unwrap();
    for (name, expected) in [
        ("tiny.onnx", &answers.tiny),
        ("quantiles.onnx", &answers.quantiles),
    ] {
        let mut onnx = build(name, 16, &[1, 5]).unwrap();
        onnx.grow(answers.windows.len());
        let slots: Vec<Slot> = (0..answers.windows.len()).collect();
        for (slot, window) in answers.windows.iter().enumerate() {
            // The first half is learnt, the second comes in step by step.
            let mut past = vec![f32::NAN; 8];
            past.extend(&window[..8]);
            let zone = Zone::default();
            let grid = Grid::new(60_000).unwrap();
            let past = Past {
                end: 0,
                grid,
                values: &past,
                seasons: &[],
                zone: &zone,
            };
            assert!(onnx.fit(slot, &past));
            for (step, &value) in window[8..].iter().enumerate() {
                onnx.extend(60_000 * (step as i64 + 1), &[slot], &[value]);
            }
        }
        let mut out = vec![0.0; slots.len() * 2];
        onnx.predict(&slots, &[1, 5], &mut out);
        for (got, expected) in out.chunks_exact(2).zip(expected) {
            let per_horizon = expected.len() / 2;
            for (h, got) in got.iter().enumerate() {
                let expected = expected[h * per_horizon + per_horizon / 2];
                assert!((got - expected).abs() < 1e-3, "{name}: {got} {expected}");
            }
        }
    }
}

#[test]
fn a_file_that_cannot_serve_is_refused_with_the_reason() {
    for (name, window, horizons, part) in [
        ("unknown.onnx", 16, 2, "unknown operators: Crystalball"),
        ("tiny.onnx", 12, 2, "12"),
        ("tiny.onnx", 16, 3, "answers 2 values for 3 horizons"),
        ("onnx.json", 16, 2, "not an ONNX model"),
    ] {
        let problem = build(name, window, &vec![1; horizons]).unwrap_err();
        assert!(
            problem.starts_with(name) && problem.contains(part),
            "{problem}"
        );
    }
    let settings = Settings {
        path: Some("gone.onnx".into()),
        window: Some(16),
        ..Settings::default()
    };
    let grid = Grid::new(60_000).unwrap();
    let problem = Onnx::build(&settings, grid, &[1], &ModelFiles::new()).unwrap_err();
    assert_eq!(problem, "gone.onnx: no such model file");
}

#[test]
fn a_constant_window_is_forecast_as_it_is_and_a_gap_is_not_a_zero() {
    let mut onnx = build("tiny.onnx", 16, &[1, 5]).unwrap();
    onnx.grow(2);
    let (grid, zone) = (Grid::new(60_000).unwrap(), Zone::default());
    let constant = [7.0_f32; 16];
    let mut gaps = [7.0_f32; 16];
    gaps[..9].fill(f32::NAN);
    for (slot, values) in [constant, gaps].iter().enumerate() {
        let past = Past {
            end: 0,
            grid,
            values,
            seasons: &[],
            zone: &zone,
        };
        onnx.fit(slot, &past);
    }
    let mut out = [0.0; 4];
    onnx.predict(&[0, 1], &[1, 5], &mut out);
    assert_eq!(out[..2], [7.0, 7.0]);
    assert!(out[2].is_nan() && out[3].is_nan());
}

fn contract(name: &str) -> (Settings, ModelFiles) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx");
    let settings = Settings {
        path: Some(format!("{name}.onnx").into()),
        manifest: Some(format!("{name}.json").into()),
        ..Settings::default()
    };
    let files = settings.files().into_iter().map(|path| {
        let bytes = std::fs::read(root.join(&path)).unwrap();
        (path, Arc::from(bytes))
    });
    let files = files.collect();
    (settings, files)
}

fn daily(count: usize) -> Vec<f32> {
    let value = |index: usize| match index % 11 {
        7 => f32::NAN,
        _ => 100.0 + 20.0 * (index as f32 / 40.0).sin() + (index % 7) as f32,
    };
    (0..count).map(value).collect()
}

fn past_of<'a>(values: &'a [f32], zone: &'a Zone) -> Past<'a> {
    Past {
        end: values.len() as i64 * 60_000,
        grid: Grid::new(60_000).unwrap(),
        values,
        seasons: &[],
        zone,
    }
}

/// Invariant 4, with features that look back and the wall clock: carried on is as fitted there.
#[test]
fn carried_on_is_as_fitted_there() {
    let (grid, zone) = (Grid::new(60_000).unwrap(), Zone::default());
    let values = daily(400);
    for name in ["lstm", "gru"] {
        let (mut settings, files) = contract(name);
        settings.set_local(&LocalTime::new(
            Zone::named("Europe/Berlin").unwrap(),
            Vec::new(),
        ));
        let mut onnx = Onnx::build(&settings, grid, &[60, 61], &files).unwrap();
        onnx.grow(3);
        assert!(onnx.fit(0, &past_of(&values, &zone)));
        // From a young past on, before the features have all they look back on.
        assert!(
            onnx.fit(1, &past_of(&values[..300], &zone))
                && onnx.fit(2, &past_of(&values[..60], &zone))
        );
        for (slot, from) in [(1, 300), (2, 60)] {
            for (index, &value) in values.iter().enumerate().skip(from) {
                onnx.extend((index as i64 + 1) * 60_000, &[slot], &[value]);
            }
        }
        let mut out = [0.0; 6];
        onnx.predict(&[0, 1, 2], &[60, 61], &mut out);
        assert!(out[0].is_finite(), "{name}");
        assert!(out[1].is_nan(), "it has no such horizon");
        assert_eq!([out[2], out[4]], [out[0]; 2], "{name}");
        assert!(
            !onnx.fit(0, &past_of(&values[..59], &zone)),
            "shorter than the window"
        );
        assert_eq!(onnx.version(), Some(format!("{name}/1")));
    }
}

/// Its features would look back on values that a series does not have each time it is derived anew: it would answer otherwise
/// than when it was trained, and otherwise than on another replica.
#[test]
fn a_model_that_looks_back_further_than_is_kept_is_refused() {
    let minute = Grid::new(60_000).unwrap();
    let (mut settings, files) = contract("lstm");
    // As for the time that it takes, before anybody knows how much is kept.
    let reach = settings
        .load(minute, &[Span::minutes(60)], &files)
        .unwrap()
        .reach();
    for (values, refused) in [(reach, false), (reach - 1, true)] {
        settings.set_kept(super::Kept {
            values,
            history_for: |needed, _| 2 * needed,
        });
        match Onnx::build(&settings, minute, &[60], &files) {
            Ok(_) => assert!(!refused),
            Err(problem) => {
                let history = Span::minutes(2 * reach as i64);
                let wanted = format!("set history of the signal to {history} or more");
                assert!(refused && problem.contains(&wanted), "{problem}");
            }
        }
    }
}

#[test]
fn a_model_that_was_not_made_for_the_signal_is_refused() {
    let minute = Grid::new(60_000).unwrap();
    let build = |settings: &Settings, grid: Grid, horizons: &[usize], files: &ModelFiles| {
        Onnx::build(settings, grid, horizons, files).unwrap_err()
    };
    let (settings, files) = contract("gru");
    let problem = build(&settings, Grid::new(300_000).unwrap(), &[3], &files);
    assert_eq!(
        problem,
        "gru.onnx: was made for a step of 1m, but the step of the signal is 5m"
    );
    let problem = build(&settings, minute, &[7], &files);
    assert_eq!(
        problem,
        "gru.onnx: answers none of the horizons 7m; it has 15m, 1h, 24h"
    );
    let mut signed = settings.clone();
    let required = || Trust {
        required: true,
        keys: Vec::new(),
    };
    signed.place(None, required());
    assert!(build(&signed, minute, &[60], &files).contains("is not signed"));
    let mut placed = settings.clone();
    placed.model = Some("checkout".into());
    placed.place(None, Trust::default());
    placed.path = None;
    placed.manifest = None;
    assert!(build(&placed, minute, &[60], &files).contains("no version of it is in force"));
    let path = PathBuf::from("tiny.onnx");
    let files = ModelFiles::from([(path.clone(), Arc::from(fixture("tiny.onnx")))]);
    let mut plain = Settings {
        path: Some(path),
        window: Some(16),
        ..Settings::default()
    };
    plain.place(None, required());
    assert!(build(&plain, minute, &[1, 5], &files).contains("has no manifest"));
}

#[test]
fn one_network_serves_all_shards() {
    let (settings, files) = contract("gru");
    let grid = Grid::new(60_000).unwrap();
    let load = |settings: &Settings| settings.load(grid, &[Span::minutes(15)], &files).unwrap();
    let (one, other) = (load(&settings), load(&settings.clone()));
    assert!(Arc::ptr_eq(&one, &other));
    // Other bytes under the same name are another network.
    let (_, again) = contract("gru");
    let third = settings.load(grid, &[Span::minutes(15)], &again).unwrap();
    assert!(!Arc::ptr_eq(&one, &third));
}

#[test]
fn a_challenger_is_a_version_as_people_write_it() {
    for (text, expected) in [
        ("newest", Challenger::Newest),
        ("8", Challenger::Version("8".into())),
        ("'1.10'", Challenger::Version("1.10".into())),
    ] {
        let text = format!("{{model: checkout, challenger: {text}}}");
        let settings: Settings = serde_yaml::from_str(&text).unwrap();
        assert_eq!(settings.challenger, Some(expected));
    }
    let ambiguous = serde_yaml::from_str::<Settings>("{model: checkout, challenger: 1.10}");
    assert!(ambiguous.unwrap_err().to_string().contains("in quotes"));
}

#[test]
fn settings_say_what_goes_together() {
    let problems = |text: &str| -> Vec<String> {
        let settings: Settings = serde_yaml::from_str(text).unwrap();
        settings
            .validate()
            .into_iter()
            .map(|(field, _)| field)
            .collect()
    };
    for (text, expected) in [
        ("{path: x.onnx, window: 9}", &[][..]),
        ("{path: x.onnx, manifest: x.json}", &[]),
        ("{model: checkout}", &[]),
        ("{model: checkout, challenger: newest}", &[]),
        ("{model: checkout, challenger: 8}", &[]),
        ("{model: checkout, challenger: a/b}", &["challenger"]),
        (
            "{path: x.onnx, manifest: x.json, challenger: newest}",
            &["challenger"],
        ),
        ("{}", &["path", "window"]),
        ("{path: '', window: 1}", &["path", "window"]),
        ("{path: x.onnx, manifest: x.json, window: 9}", &["window"]),
        (
            "{model: a/b, path: x.onnx, window: 9, manifest: m}",
            &["model", "path", "window", "manifest"],
        ),
    ] {
        assert_eq!(problems(text), expected, "{text}");
    }
}
