use super::*;
use crate::{baseline::Band, detect::tests::alone};

fn scores(settings: &Settings, values: &[f32]) -> Vec<f32> {
    alone(settings.build(Grid::new(300_000).unwrap()), values)
}

#[test]
fn a_change_that_never_was_is_news_though_each_value_is_ordinary() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut values: Vec<f32> = (0..4_000)
        .map(|step| 50.0 * (step as f32 / 30.0).sin() + random.f32())
        .collect();
    // From one side of the course to the other, at once.
    values[3_811] = -values[3_811];
    for extended in [false, true] {
        let settings = Settings {
            extended,
            ..Settings::default()
        };
        let scores = scores(&settings, &values);
        assert!(values[3_811].abs() > 30.0);
        let news = scores[3_811];
        assert!(news >= 1.0, "{news}, extended: {extended}");
        let loud = scores[2_000..3_800].iter().filter(|score| **score >= 1.0);
        assert_eq!(loud.count(), 0, "extended: {extended}");
    }
}

#[test]
fn the_farther_out_the_more_news() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut values: Vec<f32> = (0..4_000).map(|_| random.f32() + random.f32()).collect();
    let mut last = 0.0;
    for far in [4.0, 9.0, 60.0] {
        values[3_800] = far;
        let score = scores(&Settings::default(), &values)[3_800];
        assert!(score > last, "{score} at {far}");
        last = score;
    }
    assert!(last >= 1.0, "{last}");
}

#[test]
fn a_path_is_shortened_by_the_chance_to_end_at_each_cut() {
    assert_eq!(shorten(7.5, 0.0), 7.5);
    assert_eq!(shorten(7.5, 1.0), 1.0);
    // One cut, or two with the chance of one half.
    assert!((shorten(2.0, 0.5) - 1.5).abs() < 1e-6);
    assert!((shorten(7.5, 1e-4) - 7.5).abs() < 0.01);
}

#[test]
fn the_first_change_of_a_constant_series_is_news_of_unknown_size() {
    let mut values = vec![7.0; 2_000];
    values[1_900] = 8.0;
    let scores = scores(&Settings::default(), &values);
    assert_eq!((scores[1_899], scores[1_900]), (0.0, UNMEASURED));
}

#[test]
fn there_is_a_score_when_all_trees_are_grown_and_their_range_is_known() {
    let scores = scores(
        &Settings::default(),
        &(0..2_000).map(|step| (step % 7) as f32).collect::<Vec<_>>(),
    );
    // A week of five minutes: a tree every 15 steps, 32 of them, once 64 points a stride of 4 apart are there;
    // then the warm-up.
    let first = scores.iter().position(|score| score.is_finite()).unwrap();
    let grown = 4 * 64 + RECENT + 32 * 15;
    let expected = grown + WARM_UP as usize;
    assert!(
        (expected - 60..expected + 60).contains(&first),
        "{first}, not {expected}"
    );
}

#[test]
fn a_series_takes_some_forty_kilobytes() {
    let mut detector = Settings::default().build(Grid::new(60_000).unwrap());
    detector.grow(16);
    assert!(
        detector.heap_bytes() / 16 <= 46_000,
        "{}",
        detector.heap_bytes()
    );
}

/// Two detectors over the same series with a gap of each kind, one of which prepares.
#[test]
fn what_is_prepared_is_grown_before_its_step_and_changes_no_score() {
    let band = Band {
        expected: 0.0,
        lower: -1.0,
        upper: 1.0,
        scale: 1.0,
    };
    let mut random = fastrand::Rng::with_seed(3);
    let mut detectors = [(); 2].map(|()| {
        let mut detector = Settings::default().build(Grid::new(300_000).unwrap());
        detector.grow(2);
        let labels = Labels::new([("pod", "one")]).unwrap();
        detector.assign(1, &labels);
        detector
    });
    let mut pieces = 0;
    for index in 0..3_000_i64 {
        // Steps that never were, and values that are missing.
        if (1_500..1_530).contains(&index) {
            continue;
        }
        let missing = index % 97 == 0;
        let value = if missing { f32::NAN } else { random.f32() };
        let scores = detectors.each_mut().map(|detector| {
            let mut out = [0.0; 2];
            let batch = Batch {
                at: index * 300_000,
                slots: &[0, 1],
                values: &[value, -value],
                bands: &[band; 2],
            };
            detector.step(&batch, &mut out);
            out.map(f32::to_bits)
        });
        assert_eq!(scores[0], scores[1], "at {index}");
        while detectors[0].prepare() {
            pieces += 1;
        }
    }
    // A tree every 15 steps of either series.
    assert!((2 * 196..=2 * 200).contains(&pieces), "{pieces}");
}
