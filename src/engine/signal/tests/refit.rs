//! What is derived between the ticks, and what corrections do to it.

use super::*;
use crate::baseline::Band;

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

/// Outcomes from grid time `wrong` on of a unit that read a wrong value of series 0 then, and the right one with the
/// next grid time. `between` runs after every step.
fn corrected(wrong: i64, end: i64, between: impl Fn(&mut SignalUnit)) -> Vec<Outcome> {
    let start = wrong - 50;
    let mut unit = unit(&settings());
    unit.ingest(&matrix(unit.history_start(start * STEP) / STEP, start));
    let from = unit.restart(start * STEP) / STEP;
    for index in from + 1..=start {
        unit.advance(index * STEP, Mode::Replay);
    }
    let mut outcomes = Vec::new();
    for index in start + 1..=end {
        let mut news = matrix(index - REREAD as i64, index);
        if index == wrong {
            news.series[0].samples.last_mut().unwrap().1 += 15.0;
        }
        unit.ingest(&news);
        let outcome = unit.advance(index * STEP, Mode::Study);
        assert_eq!(outcome.counts.corrections, usize::from(index == wrong + 1));
        if index >= wrong {
            outcomes.push(outcome);
        }
        between(&mut unit);
    }
    outcomes
}

/// Of series 0, at the grid times after the one that was wrong.
fn bands(outcomes: &[Outcome]) -> Vec<Band> {
    let band = |outcome: &Outcome| {
        let own = outcome.series.iter().find(|one| one.labels == labels(0));
        own.map_or(Band::UNKNOWN, |one| one.band)
    };
    outcomes[1..].iter().map(band).collect()
}

#[test]
fn what_was_learned_from_a_value_that_was_corrected_is_derived_again() {
    let (wrong, end) = (2_450, 2_640);
    let right = run(wrong - 50, end, end - wrong + 1);
    let repaired = corrected(wrong, end, |unit| while unit.refit() {});
    let left = corrected(wrong, end, |_| {});
    let (right_bands, repaired_bands, left_bands) = (bands(&right), bands(&repaired), bands(&left));
    // The right value came with the grid time after the wrong one, and the next is judged by what was derived from it.
    assert_eq!(right_bands[1..], repaired_bands[1..]);
    assert_ne!(right_bands[1..20], left_bands[1..20]);
    for (step, (one, other)) in right.iter().zip(&repaired).enumerate().skip(3) {
        // What was said of the wrong value fades before it is forgotten.
        if step > 160 {
            assert_same(one, other);
        }
        let active = |outcome: &Outcome| outcome.series[0].active;
        assert_eq!(active(one), active(other));
        // As text, where NaN is the same as NaN.
        assert_eq!(
            format!("{:?}", one.forecasts),
            format!("{:?}", other.forecasts)
        );
    }
    // Where nobody repairs, one wrong value moves what is expected by little, and until the next epoch only.
    let scale = right_bands[0].scale;
    for (one, other) in right_bands.iter().zip(&left_bands) {
        assert!(
            (one.expected - other.expected).abs() < 0.2 * scale,
            "{one:?} {other:?}"
        );
    }
    let epochs = Epochs::new(7 * 86_400_000, Grid::new(STEP).unwrap());
    let later = epochs.refit + epochs.lag;
    assert_eq!(right_bands[later..], left_bands[later..]);
}

/// A unit that has just started at `start` and does so much late work in a step.
fn live(start: i64, late_work: usize) -> SignalUnit {
    let options = UnitOptions {
        late_work: Some(late_work),
        ..UnitOptions::default()
    };
    let mut unit = SignalUnit::new(&settings(), &options, &ModelFiles::default()).unwrap();
    unit.ingest(&matrix(unit.history_start(start * STEP) / STEP, start));
    for index in unit.restart(start * STEP) / STEP + 1..=start {
        unit.advance(index * STEP, Mode::Replay);
    }
    unit
}

fn next(unit: &mut SignalUnit, index: i64) -> Outcome {
    unit.ingest(&matrix(index, index));
    unit.advance(index * STEP, Mode::Study)
}

fn forecasts(outcome: &Outcome) -> usize {
    let known = outcome.forecasts.iter();
    known.filter(|one| one.expected.is_finite()).count()
}

/// Where nobody works between the steps and steps may not catch up, what was derived last is in force, forecasts until
/// they are too old; and everything is as ever soon after the work is done.
#[test]
fn what_is_late_leaves_the_last_derivation_in_force_until_it_is_too_old() {
    let start = 2_700;
    let epochs = Epochs::new(7 * 86_400_000, Grid::new(STEP).unwrap());
    let (refit, age) = (epochs.refit as i64, epochs.forecast_age() as i64);
    let (gone, end) = (start + age + epochs.lag as i64, start + age + 150);
    let mut unit = live(start, 0);
    let mut late = 0;
    for index in start + 1..=gone {
        let outcome = next(&mut unit, index);
        assert_eq!(outcome.counts.late_pieces, 0, "{index}");
        late += outcome.counts.late_refits;
        if index <= start + age - refit && outcome.series.len() == 5 {
            assert_eq!((forecasts(&outcome), outcome.counts.outdated), (10, 0));
        }
        if index == gone {
            assert_eq!((forecasts(&outcome), outcome.counts.outdated), (0, 5));
            // Forecasts only: what is anomalous is judged as before.
            assert!(outcome.series.iter().all(|one| one.score.is_finite()));
        }
    }
    assert!((10..=25).contains(&late), "{late}");
    let recovered = (gone + 1..=end).map(|index| {
        while unit.refit() {}
        next(&mut unit, index)
    });
    let recovered: Vec<Outcome> = recovered.collect();
    assert_eq!(recovered[0].counts.late_refits, 0);
    assert_eq!(
        (forecasts(&recovered[1]), recovered[1].counts.outdated),
        (10, 0)
    );
    let never_late = run(start, end, 20);
    let recovered = &recovered[recovered.len() - 20..];
    assert_eq!(bands(recovered), bands(&never_late));
    let text = |all: &[Outcome]| -> Vec<String> {
        let forecasts = all.iter().map(|one| format!("{:?}", one.forecasts));
        forecasts.collect()
    };
    assert_eq!(text(recovered), text(&never_late));
}

#[test]
fn a_step_does_no_more_late_work_than_it_may() {
    let start = 2_700;
    let mut unit = live(start, 1);
    let (mut pieces, mut late, mut longest, mut waits) = (0, 0, 0, 0);
    for index in start + 1..=start + 400 {
        let counts = next(&mut unit, index).counts;
        assert!(counts.late_pieces <= 1, "{index}: {counts:?}");
        assert_eq!(counts.outdated, 0, "{index}");
        pieces += counts.late_pieces;
        late += counts.late_refits;
        waits = if counts.late_pieces > 0 { waits + 1 } else { 0 };
        longest = longest.max(waits);
    }
    // Fit, one walk, forecasts, and the values since: each in a step of its own.
    assert!(late >= 15 && pieces > 4 * (late - 1), "{pieces} {late}");
    assert!(longest >= 4, "{longest}");
    // A quarter of a second is more than all of that.
    let mut unit = live(start, UnitOptions::LATE_WORK);
    for (index, other) in (start + 1..=start + 400).zip(run(start, start + 400, 400)) {
        let one = next(&mut unit, index);
        assert_eq!(one.counts.late_refits, 0);
        assert_same(&one, &other);
    }
}

/// More series than a shard had places for derivations once: each has its own.
#[test]
fn a_hundred_series_born_together_are_derived_between_the_steps() {
    let (start, born) = (2_700, 2_710);
    let mut unit = live(start, 0);
    for index in start + 1..=born + 60 {
        let mut news = matrix(index, index);
        let young = (100..200).filter(|_| index >= born);
        news.series.extend(young.map(|series| SeriesSamples {
            labels: labels(series),
            samples: vec![(index * STEP, 100.0 + noise(series, index))],
        }));
        unit.ingest(&news);
        let outcome = unit.advance(index * STEP, Mode::Study);
        let counts = &outcome.counts;
        assert_eq!((counts.late_refits, counts.late_pieces), (0, 0), "{index}");
        while unit.refit() {}
    }
    assert_eq!(unit.series(), 105);
}
