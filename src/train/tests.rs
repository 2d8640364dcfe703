//! That a network learns what there is to learn, from what it may see, and that its file answers as it does.

use super::*;
use crate::{
    contract::{Model, Trust},
    series::Zone,
};
use std::f64::consts::TAU;

const HOUR: Millis = 3_600_000;
const DAYS: usize = 40;

fn grid() -> Grid {
    Grid::new(HOUR).unwrap()
}

/// A day's course whose height changes from day to day, so that the day before is a poor guide, with a little noise.
fn daily(days: usize, seed: u64) -> Series {
    let mut rng = fastrand::Rng::with_seed(seed);
    let heights: Vec<f64> = (0..days).map(|_| 10.0 + 30.0 * rng.f64()).collect();
    let value = |hour: usize| {
        let noise = rng.f64() - 0.5;
        let height = heights[hour / 24];
        (100.0 + height * (TAU * (hour % 24) as f64 / 24.0).sin() + noise) as f32
    };
    let values: Vec<f32> = (0..days * 24).map(value).collect();
    Series {
        end: (values.len() as i64 - 1) * HOUR,
        values,
    }
}

fn settings() -> Settings {
    let features = ["value", "day_sin_1", "day_cos_1", "difference_1"];
    Settings {
        window: 12,
        epochs: 60,
        seed: 7,
        ..Settings::new(
            features.map(str::to_owned).to_vec(),
            vec![Span::minutes(60), Span::minutes(180)],
        )
    }
}

fn trained(series: &[Series], settings: &Settings) -> Result<Trained, String> {
    let task = Task {
        series,
        grid: grid(),
        local: &LocalTime::default(),
        settings,
    };
    train(&task, &mut |_| ())
}

fn model(trained: &Trained, version: &str) -> Model {
    let manifest = trained.manifest("load", version, None, "2026-11-22T09:00:00Z".to_owned());
    Model::load(
        &trained.onnx,
        &manifest.to_json().unwrap(),
        &Trust::default(),
    )
    .unwrap()
}

fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap().install(work)
}

#[test]
fn the_file_answers_as_our_own_arithmetic() {
    for kind in Kind::ALL {
        check_file(kind);
    }
}

fn check_file(kind: Kind) {
    let mut settings = settings();
    (settings.network, settings.epochs) = (kind, 3);
    let trained = trained(&[daily(DAYS, 1)], &settings).unwrap();
    let model = model(&trained, "1");
    assert_eq!(model.reach(), 13);
    let mut rng = fastrand::Rng::with_seed(2);
    for (rows, scale) in [(1, 1.0), (16, 3.0), (70, 30.0)] {
        let number = |_| scale * (2.0 * rng.f32() - 1.0);
        let windows: Vec<f32> = (0..rows * 12 * 4).map(number).collect();
        let (own, mut file) = (trained.answers(&windows), Vec::new());
        hand_out(kind, &trained.onnx, &windows, &own);
        model.run(&windows, &mut file);
        assert_eq!((own.len(), file.len()), (rows * 6, rows * 6));
        for (own, file) in own.iter().zip(&file) {
            assert!(
                (own - file).abs() <= 1e-5 * (1.0 + own.abs()),
                "{kind:?}: {own} {file}"
            );
        }
        for levels in file.chunks_exact(3) {
            assert!(levels.is_sorted(), "{levels:?}");
        }
    }
}

/// For tests/fixtures/onnx/check_trained.py, which asks onnxruntime.
fn hand_out(kind: Kind, onnx: &[u8], windows: &[f32], own: &[f32]) {
    let Some(folder) = std::env::var_os("FORETHOUGHT_ONNX_OUT") else {
        return;
    };
    let path = std::path::Path::new(&folder).join(kind.as_str());
    std::fs::write(path.with_extension("onnx"), onnx).unwrap();
    let numbers = serde_json::json!({"shape": [12, 4], "windows": windows, "answers": own});
    std::fs::write(path.with_extension("json"), numbers.to_string()).unwrap();
}

#[test]
fn same_samples_and_seed_give_the_same_bytes_whatever_the_threads() {
    for kind in Kind::ALL {
        check_bytes(kind);
    }
}

fn check_bytes(kind: Kind) {
    let mut settings = settings();
    (settings.network, settings.epochs) = (kind, 2);
    let series = [daily(DAYS, 1), daily(DAYS, 2)];
    let one = in_pool(1, || trained(&series, &settings).unwrap());
    let two = in_pool(3, || trained(&series, &settings).unwrap());
    assert!(one.onnx == two.onnx, "{kind:?}");
    assert_eq!(one.epochs, two.epochs);
    settings.seed += 1;
    assert!(
        trained(&series, &settings).unwrap().onnx != one.onnx,
        "{kind:?}"
    );
}

#[test]
fn the_days_that_judge_are_never_looked_at() {
    let mut settings = settings();
    settings.epochs = 2;
    let series = daily(DAYS, 1);
    for kind in Kind::ALL {
        settings.network = kind;
        let before = trained(std::slice::from_ref(&series), &settings).unwrap();
        let mut changed = series.clone();
        for index in 0..changed.values.len() {
            if changed.time(grid(), index) >= before.split.test {
                changed.values[index] = -1e4 * index as f32;
            }
        }
        let after = trained(&[changed], &settings).unwrap();
        assert!(after.onnx == before.onnx, "{kind:?}");
        assert_eq!(after.epochs, before.epochs, "{kind:?}");
    }
}

#[test]
fn gaps_stay_missing_and_windows_of_gaps_are_left_out() {
    let mut settings = settings();
    settings.epochs = 2;
    let whole = trained(&[daily(DAYS, 1)], &settings).unwrap();
    assert_eq!(whole.left_out, 0);
    let mut holed = daily(DAYS, 1);
    holed.values[200..300].fill(f32::NAN);
    let some = trained(&[holed], &settings).unwrap();
    // From the sixth hour of the gap to the fifth after it less than half of a window is known; and the seven before that
    // are followed by nothing at either horizon.
    assert_eq!(some.left_out, 99 + 7);
    assert_eq!(some.windows + some.left_out, whole.windows);
    let nothing = Series {
        end: 960 * HOUR,
        values: vec![f32::NAN; 960],
    };
    let problem = trained(&[nothing], &settings).unwrap_err();
    assert!(problem.contains("too many values are missing"), "{problem}");
}

#[test]
fn a_past_that_is_too_short_is_said_with_how_much_is_needed() {
    let problem = trained(&[daily(4, 1)], &settings()).unwrap_err();
    assert!(problem.contains("too short: 4d; with these"), "{problem}");
    assert!(trained(&[], &settings()).is_err());
}

#[test]
fn it_learns_what_the_day_before_cannot_tell_and_wins() {
    let series = [daily(DAYS, 1)];
    let settings = settings();
    let new = trained(&series, &settings).unwrap();
    let best = new.best().unwrap();
    assert!(
        best.validation < 0.5 * new.epochs[0].validation,
        "{:?}",
        new.epochs
    );
    let weak = trained(
        &series,
        &Settings {
            epochs: 1,
            ..settings.clone()
        },
    )
    .unwrap();
    let (new_model, weak_model) = (model(&new, "2"), model(&weak, "1"));
    let (local, zone) = (LocalTime::default(), Zone::default());
    let against = |model, champion| Trial {
        series: &series,
        grid: grid(),
        local: &local,
        zone: &zone,
        split: new.split,
        history: Span::days(21),
        horizons: &settings.horizons,
        model,
        name: "load/2",
        champion: Some(Champion {
            name: "load/1",
            model: champion,
        }),
    };
    let rule = Rule {
        margin: 0.02,
        max_error: Some(0.1),
    };
    let judged = judge(&against(&new_model, &weak_model)).unwrap();
    let names: Vec<&str> = judged
        .standings
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["load/2", "load/1", gate::DEFAULT, gate::NAIVE]);
    // A seventh of forty days, without the last three hours, whose targets are not there.
    assert_eq!(judged.origins, 960 / 7 - 3 + 1);
    assert_eq!(
        objections(&judged, &rule),
        Vec::<String>::new(),
        "{judged:?}"
    );
    let found = objections(&judge(&against(&weak_model, &new_model)).unwrap(), &rule);
    assert!(found[0].contains("higher than that of load/1"), "{found:?}");
    // Against itself nobody wins.
    let found = objections(&judge(&against(&new_model, &new_model)).unwrap(), &rule);
    assert!(found[0].contains("0.0 % lower"), "{found:?}");
}
