//! More series than there is room for.

use super::*;

/// Samples of these series from grid time to grid time.
fn answer(series: &[(u64, i64, i64)]) -> Matrix {
    let one = |&(series, from, to): &(u64, i64, i64)| SeriesSamples {
        labels: labels(series),
        samples: (from..=to).map(|index| (index * STEP, 100.0)).collect(),
    };
    Matrix {
        series: series.iter().map(one).collect(),
        ..Matrix::default()
    }
}

fn place_of(unit: &SignalUnit, series: u64) -> Option<u32> {
    unit.places.get(&labels(series), labels_in(&unit.shards))
}

#[test]
fn a_newcomer_takes_the_place_of_one_that_is_gone_and_not_of_one_that_comes_behind_it() {
    let limited = SignalSettings {
        max_series: 3,
        ..settings()
    };
    let mut unit = unit(&limited);
    unit.ingest(&answer(&[(7, 0, 10), (8, 0, 10), (9, 0, 10)]));
    unit.restart(10 * STEP);
    let first = unit.evaluated().unwrap() / STEP + 1;
    for index in first..=10 {
        unit.advance(index * STEP, Mode::Replay);
    }
    let before = [7, 8].map(|series| place_of(&unit, series));
    // Sorted by labels: those that are new come first. The last one is gone.
    unit.ingest(&answer(&[(1, 11, 11), (2, 11, 11), (7, 6, 11), (8, 6, 11)]));
    let outcome = unit.advance(11 * STEP, Mode::Publish);
    assert_eq!(outcome.counts.refused, 1, "there was room for one of two");
    let after = [7, 8].map(|series| place_of(&unit, series));
    assert_eq!(before, after);
    assert!(place_of(&unit, 1).is_some());
}
