//! What is derived between the ticks, and what corrections do to it.

use super::*;

/// A unit started at `start`, and its outcomes up to `end`. `between` runs after every step.
fn follow(start: i64, end: i64, between: impl Fn(&mut SignalUnit)) -> Vec<Outcome> {
    let mut unit = unit(&settings());
    unit.ingest(&matrix(unit.history_start(start * STEP) / STEP, start));
    let from = unit.restart(start * STEP) / STEP;
    let replayed = (from + 1..=start).map(|index| unit.advance(index * STEP, Mode::Replay));
    let mut outcomes: Vec<Outcome> = replayed.collect();
    for index in start + 1..=end {
        between(&mut unit);
        unit.ingest(&matrix(index, index));
        outcomes.push(unit.advance(index * STEP, Mode::Study));
    }
    outcomes
}

#[test]
fn a_tick_derives_nothing_that_was_derived_before_it_and_says_the_same() {
    let (start, end) = (2_600, 2_800);
    let between = follow(start, end, |unit| while unit.refit() {});
    let on_tick = follow(start, end, |_| {});
    let a_little = follow(start, end, |unit| {
        unit.refit();
    });
    let late = |outcomes: &[Outcome]| -> usize {
        let live = outcomes.iter().filter(|one| one.at > (start + 1) * STEP);
        live.map(|one| one.counts.late_pieces).sum()
    };
    assert_eq!(late(&between), 0);
    assert!(late(&on_tick) > late(&a_little), "nobody did it before");
    for ((one, other), third) in between.iter().zip(&on_tick).zip(&a_little) {
        assert_same(one, other);
        assert_same(one, third);
        assert_eq!(one.forecasts, other.forecasts);
    }
}

/// Every series has its epochs at its own times, and each is installed as late after it.
#[test]
fn series_are_derived_at_different_times() {
    let (start, end) = (2_600, 2_800);
    let outcomes = follow(start, end, |_| {});
    let live = outcomes.iter().filter(|one| one.at > start * STEP);
    let busy = live.filter(|one| one.counts.late_pieces > 0).count();
    let epochs = Epochs::new(7 * 86_400_000, Grid::new(STEP).unwrap());
    let most = 5 * (end - start) / epochs.refit as i64;
    assert!((5..=most as usize + 5).contains(&busy), "{busy} of {most}");
}
