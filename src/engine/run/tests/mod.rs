//! The loop in paused time, with a source and units that do as they are told.

mod agreement;
mod doubles;
mod panels;
mod reload;
mod scaling;

use crate::{
    engine::Mode::{Publish, Replay},
    series::Labels,
    telemetry::log::captured,
};
use doubles::{Log, MINUTE, Manner, REPLAY, START, World};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// A world with the signal `a` running; its offset and hash delay are over at minute 1.
async fn running() -> (World, Arc<Log>) {
    let (mut world, log) = (World::new(Manner::Answer), Arc::new(Log::default()));
    let plan = world.signal("a", &log);
    world.run(vec![plan], vec![]).await;
    world.pass(0.99).await;
    assert_eq!(world.served("a"), Some(START));
    log.take();
    world.source.asked();
    (world, log)
}

#[tokio::test(start_paused = true)]
async fn history_is_read_in_order_replayed_and_published() {
    let (mut world, log) = (World::new(Manner::Answer), Arc::new(Log::default()));
    let plan = world.signal("a", &log);
    world.run(vec![plan], vec![]).await;
    assert_eq!(world.served("a"), None);
    assert_eq!(world.report("a").phase, "waiting");
    world.pass(0.001).await;
    let asked = world.source.asked();
    let newest = START - MINUTE;
    assert_eq!(asked[0].start, newest - 7 * 60 * MINUTE);
    assert_eq!(asked[asked.len() - 1].end, newest);
    assert!(
        asked
            .windows(2)
            .all(|pair| pair[1].start == pair[0].end + MINUTE)
    );
    let mut expected: Vec<_> = (1 - REPLAY..=0)
        .map(|index| (newest + index * MINUTE, Replay))
        .collect();
    expected[REPLAY as usize - 1].1 = Publish;
    assert_eq!(log.take(), expected);
    assert_eq!(world.served("a"), Some(newest));
    let trail = world.unit("a").trail.read();
    assert_eq!(trail[0].1.len(), REPLAY as usize);
    assert_eq!(
        world.metric("forethought_signal_backfill_ratio{signal=\"a\"}"),
        Some(1.0)
    );
    assert_eq!(world.report("a").phase, "running");
}

#[tokio::test(start_paused = true)]
async fn a_tick_reads_three_steps_again_and_evaluates_one() {
    let (world, log) = running().await;
    world.pass(3.0).await;
    let evaluated: Vec<_> = (1..=3)
        .map(|index| (START + index * MINUTE, Publish))
        .collect();
    assert_eq!(log.take(), evaluated);
    let spans = world
        .source
        .asked()
        .into_iter()
        .map(|asked| (asked.start, asked.end));
    let expected = [1, 2, 3].map(|index| (START + (index - 4) * MINUTE, START + index * MINUTE));
    assert_eq!(spans.collect::<Vec<_>>(), expected);
    let missed = world.metric("forethought_signal_iterations_missed_total{signal=\"a\"}");
    assert_eq!(missed, Some(0.0));
    let evaluations = world.metric("forethought_signal_evaluations_total{signal=\"a\"}");
    assert_eq!(
        evaluations,
        Some(4.0),
        "the one of the start, and three; what is replayed does not count"
    );
}

#[tokio::test(start_paused = true)]
async fn between_grid_times_it_republishes_without_asking() {
    let (mut world, log) = (World::new(Manner::Answer), Arc::new(Log::default()));
    let plan = doubles::plan(15_000, vec![world.signal("a", &log)], vec![]);
    let prepared = world.fleet.prepare(plan).unwrap();
    world.fleet.commit(prepared).await;
    world.pass(0.99).await;
    let mut outcome = world.unit("a").outcome.clone();
    outcome.mark_unchanged();
    world.source.asked();
    world.pass(0.25).await;
    assert!(outcome.has_changed().unwrap(), "said again");
    assert_eq!(world.source.asked(), []);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_caught_up_with_in_one_request() {
    let (world, log) = running().await;
    world.source.be(Manner::Refuse);
    world.pass(3.0).await;
    assert_eq!(log.take(), []);
    assert_eq!(world.served("a"), Some(START), "not too old yet");
    let report = world.report("a");
    assert_eq!(
        (report.phase.as_str(), &report.silent_because),
        ("failing", &None)
    );
    assert_eq!(report.last_error.unwrap().0, "connection refused");
    let failures = "forethought_signal_failures_total{signal=\"a\",cause=\"connect\"}";
    assert_eq!(world.metric(failures), Some(3.0));
    world.source.asked();
    world.source.be(Manner::Answer);
    world.pass(1.0).await;
    let spans = world.source.asked();
    let ends: Vec<_> = spans.iter().map(|asked| (asked.start, asked.end)).collect();
    let caught_up = (START - 3 * MINUTE, START + 3 * MINUTE);
    let next = (START, START + 4 * MINUTE);
    assert_eq!(ends, [caught_up, next], "before the next tick, and at it");
    let modes = [Replay, Replay, Publish, Publish];
    let expected: Vec<_> = (1..)
        .map(|index| START + index * MINUTE)
        .zip(modes)
        .collect();
    assert_eq!(log.take(), expected);
    let report = world.report("a");
    assert_eq!(
        (report.phase.as_str(), report.silent_because),
        ("running", None)
    );
    assert_eq!(world.served("a"), Some(START + 4 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_came_back_is_noticed_before_the_next_tick() {
    let (mut world, log) = (World::new(Manner::Answer), Arc::new(Log::default()));
    let mut plan = doubles::plan(5 * MINUTE, vec![world.signal("a", &log)], vec![]);
    plan.signals[0].settings.max_age = Some(crate::series::Span::minutes(20));
    let prepared = world.fleet.prepare(plan).unwrap();
    world.fleet.commit(prepared).await;
    world.pass(1.0).await;
    log.take();
    world.source.be(Manner::Refuse);
    let (warnings, guard) = captured::lines(tracing::Level::WARN);
    world.pass(5.0).await;
    drop(guard);
    let warnings = warnings.text();
    assert_eq!(warnings.lines().count(), 1, "one a tick: {warnings}");
    let failures = "forethought_signal_failures_total{signal=\"a\",cause=\"connect\"}";
    assert_eq!(world.metric(failures), Some(1.0), "one failed tick");
    assert_eq!(world.report("a").phase, "failing");
    world.source.be(Manner::Answer);
    world.pass(0.26).await;
    assert!(!log.take().is_empty(), "15 s later it is evaluated");
    let report = world.report("a");
    assert_eq!(
        (report.phase.as_str(), report.silent_because),
        ("running", None)
    );
    assert_eq!(report.last_error.unwrap().0, "connection refused");
    assert_eq!(world.metric(failures), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_republished_outcome_ends_the_waiting() {
    let (mut world, log) = (World::new(Manner::Answer), Arc::new(Log::default()));
    let plan = doubles::plan(15_000, vec![world.signal("a", &log)], vec![]);
    let prepared = world.fleet.prepare(plan).unwrap();
    world.fleet.commit(prepared).await;
    world.pass(1.1).await;
    log.take();
    world.set_ahead(-MINUTE);
    world.pass(0.3).await;
    assert_eq!(world.report("a").phase, "waiting");
    world.pass(0.3).await;
    let report = world.report("a");
    assert_eq!(
        (report.phase.as_str(), report.silent_because),
        ("running", None)
    );
    assert_eq!(log.take(), [], "nothing was evaluated");
}

#[tokio::test(start_paused = true)]
async fn while_series_are_left_out_the_source_is_told_which_are_known() {
    let (world, _log) = running().await;
    world.source.known();
    world.source.be(Manner::Crowd);
    world.pass(2.0).await;
    world.source.be(Manner::Answer);
    world.pass(2.0).await;
    let told = world.source.known();
    let told: Vec<Vec<u64>> = told
        .iter()
        .map(|one| one.iter().copied().collect())
        .collect();
    let own = vec![Labels::default().fingerprint()];
    assert_eq!(told, [vec![], own.clone(), own, vec![]]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_stays_away_makes_the_series_absent_and_comes_back() {
    let (world, _log) = running().await;
    world.source.be(Manner::Refuse);
    world.pass(4.4).await;
    assert_eq!(world.served("a"), Some(START));
    world.pass(1.6).await;
    assert_eq!(world.served("a"), None);
    let report = world.report("a");
    assert_eq!(report.silent_because.as_deref(), Some("connection refused"));
    world.source.be(Manner::Answer);
    world.pass(1.0).await;
    assert_eq!(world.served("a"), Some(START + 7 * MINUTE));
    assert_eq!(world.report("a").silent_because, None);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_given_up_and_nothing_is_left_out() {
    let (world, log) = running().await;
    world.source.be(Manner::Hang);
    world.pass(2.5).await;
    assert_eq!(
        world.report("a").phase,
        "running",
        "still within the deadline"
    );
    world.source.be(Manner::Answer);
    world.pass(3.0).await;
    let timeouts = "forethought_signal_failures_total{signal=\"a\",cause=\"timeout\"}";
    assert_eq!(world.metric(timeouts), Some(1.0));
    let evaluated: Vec<_> = log.take().into_iter().map(|(at, _)| at).collect();
    let expected: Vec<_> = (1..=5).map(|index| START + index * MINUTE).collect();
    assert_eq!(evaluated, expected);
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_misses_ticks_but_no_grid_time() {
    let (world, log) = running().await;
    world.source.be(Manner::Late(Duration::from_secs(90)));
    world.pass(10.0).await;
    world.source.be(Manner::Answer);
    world.pass(3.0).await;
    let missed = world.metric("forethought_signal_iterations_missed_total{signal=\"a\"}");
    assert!(missed >= Some(3.0), "{missed:?}");
    let evaluated: Vec<_> = log.take().into_iter().map(|(at, _)| at).collect();
    let expected: Vec<_> = (1..=13).map(|index| START + index * MINUTE).collect();
    assert_eq!(evaluated, expected);
    assert_eq!(
        world.metric("forethought_signal_panics_total{signal=\"a\",kind=\"unit\"}"),
        Some(0.0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_a_little_evaluates_nothing_twice() {
    let (world, log) = running().await;
    world.set_ahead(-3 * MINUTE);
    world.pass(1.5).await;
    let report = world.report("a");
    assert_eq!(report.phase, "waiting");
    assert_eq!(world.served("a"), Some(START));
    assert_eq!(report.silent_because, None, "its outcome is still served");
    world.pass(1.4).await;
    assert_eq!(log.take(), []);
    world.pass(1.1).await;
    assert_eq!(log.take(), [(START + MINUTE, Publish)]);
    assert_eq!(world.report("a").silent_because, None);
    let steps = "forethought_signal_clock_steps_total{signal=\"a\",direction=\"backward\"}";
    assert_eq!(world.metric(steps), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_far_starts_afresh() {
    let (world, log) = running().await;
    world.set_ahead(-120 * MINUTE);
    assert_eq!(world.served("a"), None, "of a time that has not come");
    world.pass(1.0).await;
    let newest = START - 119 * MINUTE;
    assert_eq!(world.served("a"), Some(newest));
    assert_eq!(
        log.take().len(),
        REPLAY as usize + 1,
        "noticed before the tick, and the tick"
    );
    let restarts = "forethought_signal_restarts_total{signal=\"a\",cause=\"clock_back\"}";
    assert_eq!(world.metric(restarts), Some(1.0));
    let trail = world.unit("a").trail.read();
    assert_eq!(trail[0].1.last().unwrap().at, newest);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_forward_is_caught_up_with_or_started_afresh() {
    let (world, log) = running().await;
    world.set_ahead(30 * MINUTE);
    world.pass(1.0).await;
    assert_eq!(log.take().len(), 31, "every grid time between");
    let steps = "forethought_signal_clock_steps_total{signal=\"a\",direction=\"forward\"}";
    assert_eq!(world.metric(steps), Some(1.0));
    let made = log.made.load(Ordering::Relaxed);
    world.set_ahead(5 * 1_440 * MINUTE);
    world.pass(1.0).await;
    assert_eq!(
        log.take().len(),
        REPLAY as usize + 1,
        "noticed before the tick, and the tick"
    );
    assert_eq!(log.made.load(Ordering::Relaxed), made + 1);
    let restarts = "forethought_signal_restarts_total{signal=\"a\",cause=\"gap\"}";
    assert_eq!(world.metric(restarts), Some(1.0));
    assert_eq!(world.served("a"), Some(START + (5 * 1_440 + 32) * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_panic_rebuilds_that_unit_and_harms_no_other() {
    let mut world = World::new(Manner::Answer);
    let (bad, good) = (Arc::new(Log::default()), Arc::new(Log::default()));
    let plans = vec![world.signal("bad", &bad), world.signal("good", &good)];
    world.run(plans, vec![]).await;
    world.pass(0.99).await;
    good.take();
    bad.panic_at.store(START + MINUTE, Ordering::Relaxed);
    world.pass(1.0).await;
    let panics = "forethought_signal_panics_total{signal=\"bad\",kind=\"unit\"}";
    assert_eq!(world.metric(panics), Some(1.0));
    assert_eq!(bad.made.load(Ordering::Relaxed), 2);
    assert_eq!(world.served("bad"), Some(START + MINUTE));
    assert_eq!(
        world.report("bad").last_error.unwrap().0,
        "panicked: told to panic"
    );
    assert_eq!(good.take(), [(START + MINUTE, Publish)]);
    assert_eq!(good.made.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_panics_whenever_live_backs_off() {
    let (world, log) = running().await;
    log.panic_live.store(true, Ordering::Relaxed);
    world.pass(60.0).await;
    let made = log.made.load(Ordering::Relaxed);
    assert!(
        (8..=16).contains(&made),
        "history read {made} times in an hour"
    );
    log.panic_live.store(false, Ordering::Relaxed);
    world.pass(12.0).await;
    assert_eq!(world.served("a"), Some(START + 72 * MINUTE));
    // Calm for so long, so the first panic is again followed by a short pause.
    log.panic_at.store(START + 73 * MINUTE, Ordering::Relaxed);
    world.pass(1.0).await;
    assert_eq!(world.served("a"), Some(START + 73 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_ends_nothing() {
    let (world, _log) = running().await;
    world.source.be(Manner::Panic);
    world.pass(1.0).await;
    world.source.be(Manner::Answer);
    world.pass(2.0).await;
    assert_eq!(world.served("a"), Some(START + 3 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_failed_backfill_says_why_and_tries_again() {
    let (mut world, log) = (World::new(Manner::Refuse), Arc::new(Log::default()));
    let plan = world.signal("a", &log);
    world.run(vec![plan], vec![]).await;
    world.pass(10.0).await;
    let report = world.report("a");
    assert_eq!(report.phase, "failing");
    assert_eq!(report.silent_because.as_deref(), Some("connection refused"));
    let asked = world.source.asked().len();
    assert!(
        (40..60).contains(&asked),
        "{asked}: backs off, but not for long"
    );
    world.source.be(Manner::Answer);
    world.pass(1.0).await;
    assert_eq!(world.report("a").phase, "running");
    assert_eq!(world.served("a"), Some(START + 10 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn stopping_during_a_backfill_stops_at_once() {
    for manner in [Manner::Hang, Manner::Refuse] {
        let (mut world, log) = (World::new(manner), Arc::new(Log::default()));
        let plan = world.signal("a", &log);
        world.run(vec![plan], vec![]).await;
        world.pass(0.1).await;
        let before = Instant::now();
        world.stop.cancel();
        world.tracker.close();
        timeout(Duration::from_secs(1), world.tracker.wait())
            .await
            .unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(log.take(), []);
    }
}
