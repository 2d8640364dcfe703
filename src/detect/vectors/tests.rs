//! What holds for every detector over the channels of an entity.

use super::*;
use crate::{
    baseline::Band,
    detect::{self, Batch},
    series::Millis,
};

const STEP: Millis = 60_000;
const MEMORY: usize = 450;

fn grid() -> Grid {
    Grid::new(STEP).unwrap()
}

fn detectors() -> Vec<Box<dyn PanelDetector>> {
    ["deviation", "isolation_forest", "one_class_svm", "pca"]
        .iter()
        .map(|kind| {
            let settings: detect::Settings =
                serde_json::from_str(&format!("{{{kind:?}: {{}}}}")).unwrap();
            let mut detector = settings.build_panel_within(grid(), MEMORY).unwrap();
            detector.grow(2);
            detector.assign(1, &Labels::new([("instance", "a")]).unwrap());
            detector
        })
        .collect()
}

fn row(index: i64, channels: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(index as u64);
    let cause = 4.0 * random.f32() - 2.0;
    (0..channels)
        .map(|channel| cause * (channel as f32 + 1.0).sin() + random.f32() - 0.5)
        .collect()
}

fn step(detector: &mut dyn PanelDetector, index: i64, row: &[f32]) -> f32 {
    let channels: Vec<&[f32]> = row.iter().map(std::slice::from_ref).collect();
    let mut out = [0.0];
    let batch = PanelBatch {
        at: index * STEP,
        slots: &[1],
        channels: &channels,
    };
    detector.step(&batch, &mut out);
    out[0]
}

/// Invariants 3 and 4: with gaps, and after another past.
#[test]
fn a_replay_of_the_memory_reaches_the_state_of_a_long_run() {
    for (mut long, mut fresh) in detectors().into_iter().zip(detectors()) {
        let start = 700;
        let end = start + fresh.memory() as i64;
        assert!(fresh.memory() <= MEMORY);
        for index in 0..end + 150 {
            let mut row = row(index, 5);
            if index < start {
                row.iter_mut().for_each(|value| *value *= 3.0);
            }
            // Whole vectors are missing over the end of a turn, and single values.
            if (900..960).contains(&index) || index % 97 == 0 {
                continue;
            }
            row[index as usize % 5] *= if index % 41 == 0 { f32::NAN } else { 1.0 };
            let before = step(long.as_mut(), index, &row);
            if index < start {
                continue;
            }
            let after = step(fresh.as_mut(), index, &row);
            if index >= end {
                assert_eq!(
                    before.to_bits(),
                    after.to_bits(),
                    "{} at {index}",
                    long.kind()
                );
                assert!(after.is_finite());
            }
        }
    }
}

#[test]
fn ordinary_vectors_are_silent_and_strange_ones_are_not() {
    for mut detector in detectors() {
        let mut loud = 0;
        for index in 0..1_500 {
            let score = step(detector.as_mut(), index, &row(index, 38));
            loud += usize::from(score >= 1.0);
        }
        assert!(loud <= 3, "{}: {loud}", detector.kind());
        let mut last = 0.0;
        for index in 1_500..1_515 {
            let mut row = row(index, 38);
            row[..16].fill(14.0);
            last = step(detector.as_mut(), index, &row);
        }
        assert!(last >= 1.0, "{}: {last}", detector.kind());
    }
}

#[test]
fn channels_that_are_wild_are_named() {
    for mut detector in detectors() {
        for index in 0..1_200 {
            step(detector.as_mut(), index, &row(index, 12));
        }
        assert!(detector.attribution(0).is_empty(), "it has no score");
        let mut wild = row(1_200, 12);
        wild[3] = 9.0;
        wild[7] = -9.0;
        step(detector.as_mut(), 1_200, &wild);
        let shares = detector.attribution(1);
        let kind = detector.kind();
        assert_eq!(shares.len(), 12, "{kind}");
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{kind}");
        let mut order: Vec<usize> = (0..12).collect();
        order.sort_by(|&one, &other| shares[other].total_cmp(&shares[one]));
        order.truncate(2);
        order.sort_unstable();
        assert_eq!(order, [3, 7], "{kind}: {shares:?}");
    }
}

#[test]
fn missing_channels_abstain_and_with_half_of_them_the_entity() {
    for mut detector in detectors() {
        for index in 0..600 {
            let mut row = row(index, 6);
            // It was never there.
            row[5] = f32::NAN;
            step(detector.as_mut(), index, &row);
        }
        let mut some = row(600, 6);
        some[2..].fill(f32::NAN);
        assert!(step(detector.as_mut(), 600, &some).is_nan());
        assert!(detector.attribution(1).is_empty());
        let mut most = row(601, 6);
        most[3..].fill(f32::NAN);
        let score = step(detector.as_mut(), 601, &most);
        assert!(score < 1.0, "{}: {score}", detector.kind());
        assert!(step(detector.as_mut(), 602, &[f32::NAN; 6]).is_nan());
    }
}

#[test]
fn a_reset_entity_is_as_new_and_memory_does_not_grow() {
    for (mut used, mut fresh) in detectors().into_iter().zip(detectors()) {
        for index in 0..1_200 {
            step(used.as_mut(), index, &row(index + 5_000, 4));
        }
        let bytes = used.heap_bytes();
        used.reset(1);
        for index in 1_200..2_000 {
            let row = row(index, 4);
            let (used, fresh) = (
                step(used.as_mut(), index, &row),
                step(fresh.as_mut(), index, &row),
            );
            assert_eq!(used.to_bits(), fresh.to_bits());
        }
        // How many vectors support a region, and how many components there are, differs.
        assert!(used.heap_bytes() <= bytes + 4_000, "{}", used.heap_bytes());
    }
}

/// Learns nothing but how often it is asked to.
#[derive(Debug, Clone)]
struct Counting(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Learner for Counting {
    type Model = ();
    const KIND: &'static str = "counting";

    fn least(&self) -> f32 {
        1.0
    }

    fn learn(&self, _rows: Rows<'_>, _turn: i64) -> Option<()> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Some(())
    }

    fn rate(&self, (): &(), _row: &[f32]) -> f32 {
        0.0
    }

    fn bytes(&self, (): &()) -> usize {
        0
    }
}

#[test]
fn no_step_learns_many_entities_anew() {
    const ENTITIES: usize = 256;
    let learned = Counting(std::sync::Arc::default());
    let mut vectors = Vectors::new(learned.clone(), grid(), 1_125, Calm::PANEL);
    vectors.make_room(ENTITIES);
    for slot in 0..ENTITIES {
        let labels = Labels::new([("pod", format!("checkout-{slot}"))]).unwrap();
        vectors.place_in_turn(slot, &labels);
    }
    let mut each = Vec::new();
    for index in 0..375 {
        for slot in 0..ENTITIES {
            vectors.score(slot, index, [0.5].into_iter());
        }
        each.push(learned.0.swap(0, std::sync::atomic::Ordering::Relaxed));
    }
    // A turn is 125 steps, so two of 256 on average; all at once it would be 256.
    assert_eq!(each[250..].iter().sum::<usize>(), ENTITIES);
    assert!(each[250..].iter().all(|&learned| learned <= 8), "{each:?}");
}

/// Otherwise all series of a signal would be learned at the same step.
#[test]
fn when_a_single_series_is_learned_follows_from_its_labels() {
    for kind in ["deviation", "one_class_svm", "pca"] {
        let text = format!("{{{kind:?}: {{}}}}");
        let settings: detect::Settings = serde_json::from_str(&text).unwrap();
        let mut detector = settings.build(grid());
        detector.grow(2);
        for (slot, name) in ["one", "another"].into_iter().enumerate() {
            detector.assign(slot, &Labels::new([("pod", name)]).unwrap());
        }
        let band = Band {
            expected: 0.0,
            lower: -3.0,
            upper: 3.0,
            scale: 1.0,
        };
        let apart = (0..600).any(|index| {
            let value = row(index, 1)[0];
            let mut out = [0.0; 2];
            let batch = Batch {
                at: index * STEP,
                slots: &[0, 1],
                values: &[value; 2],
                bands: &[band; 2],
            };
            detector.step(&batch, &mut out);
            out[0].to_bits() != out[1].to_bits()
        });
        assert!(apart, "{kind}");
    }
}

#[test]
fn what_is_prepared_is_not_learned_in_a_step_and_changes_no_score() {
    let learned = Counting(std::sync::Arc::default());
    let count = || learned.0.load(std::sync::atomic::Ordering::Relaxed);
    let mut vectors = Vectors::new(learned.clone(), grid(), 1_125, Calm::PANEL);
    vectors.make_room(1);
    for index in 0..500 {
        let before = count();
        vectors.score(0, index, [0.5].into_iter());
        // Of the first vectors there is nothing to learn yet.
        assert_eq!(count(), before, "at {index}");
        while vectors.prepare_one() {}
    }
    assert_eq!(count(), 4);

    for (mut prepared, mut plain) in detectors().into_iter().zip(detectors()) {
        for index in 0..900 {
            // With a gap, after which what was prepared is of no use.
            if (400..=450).contains(&index) {
                continue;
            }
            let row = row(index, 5);
            let scores = [&mut prepared, &mut plain].map(|one| step(one.as_mut(), index, &row));
            assert_eq!(scores[0].to_bits(), scores[1].to_bits(), "{}", plain.kind());
            while prepared.prepare() {}
        }
    }
}
