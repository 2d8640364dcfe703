//! What a reload keeps, changes, removes and refuses.

use super::doubles::{FakeSource, Log, MINUTE, Manner, START, World, plan, signal};
use crate::series::{
    Share, Span,
    shard::{Cut, Shard},
};
use std::sync::{Arc, atomic::Ordering};

struct Logs {
    kept: Arc<Log>,
    changed: Arc<Log>,
    removed: Arc<Log>,
}

/// The signals `changed`, `kept` and `removed`, running for a minute.
async fn running() -> (World, Logs) {
    let mut world = World::new(Manner::Answer);
    let logs = Logs {
        kept: Arc::default(),
        changed: Arc::default(),
        removed: Arc::default(),
    };
    let plans = vec![
        world.signal("kept", &logs.kept),
        world.signal("changed", &logs.changed),
        world.signal("removed", &logs.removed),
    ];
    world.run(plans, vec![]).await;
    world.pass(0.99).await;
    (world, logs)
}

fn evaluations(world: &World, name: &str) -> Option<f64> {
    world.metric(&format!(
        "forethought_signal_evaluations_total{{signal=\"{name}\"}}"
    ))
}

#[tokio::test(start_paused = true)]
async fn unchanged_goes_on_changed_starts_again_removed_disappears() {
    let (mut world, logs) = running().await;
    let untouched = world.unit("kept");
    let mut changed = world.signal("changed", &logs.changed);
    changed.settings.history = Some(Span::minutes(60)).into();
    let added = world.signal("added", &Arc::default());
    // The source of the changed one hangs: what it said before is still what readers get.
    world.source.be(Manner::Hang);
    let kept = world.signal("kept", &logs.kept);
    world.run(vec![kept, changed, added], vec![]).await;
    let names: Vec<String> = world
        .catalogue
        .units()
        .iter()
        .map(|unit| unit.name.to_string())
        .collect();
    assert_eq!(names, ["added", "changed", "kept"]);
    assert!(Arc::ptr_eq(&untouched, &world.unit("kept")));
    assert_eq!(logs.kept.made.load(Ordering::Relaxed), 1);
    assert_eq!(logs.changed.made.load(Ordering::Relaxed), 2);
    assert_eq!(
        (world.served("changed"), world.served("added")),
        (Some(START), None)
    );
    assert_eq!(evaluations(&world, "removed"), None);
    assert_eq!(evaluations(&world, "changed"), Some(1.0), "counts on");
    world.source.be(Manner::Answer);
    world.pass(11.0).await;
    assert_eq!(world.served("changed"), world.served("kept"));
    assert_eq!(logs.removed.take().last().unwrap().0, START, "stopped");
}

#[tokio::test(start_paused = true)]
async fn a_changed_signal_that_gets_no_history_goes_absent() {
    let (mut world, logs) = running().await;
    let mut changed = world.signal("changed", &logs.changed);
    changed.settings.query = "down".into();
    world.source.be(Manner::Refuse);
    world.run(vec![changed], vec![]).await;
    world.pass(4.0).await;
    assert_eq!(world.served("changed"), Some(START));
    assert_eq!(world.report("changed").silent_because, None);
    world.pass(2.0).await;
    assert_eq!(world.served("changed"), None);
    assert_eq!(
        world.report("changed").silent_because.as_deref(),
        Some("connection refused")
    );
}

#[tokio::test(start_paused = true)]
async fn another_source_interval_or_revision_is_a_change() {
    let (mut world, logs) = running().await;
    let made = |logs: &Logs| logs.kept.made.load(Ordering::Relaxed);
    let other = FakeSource::new(Manner::Answer);
    let moved = signal("kept", &other, &logs.kept);
    world.run(vec![moved.clone()], vec![]).await;
    assert_eq!(made(&logs), 2);
    let mut revised = moved;
    revised.revision = 1;
    world.run(vec![revised.clone()], vec![]).await;
    assert_eq!(made(&logs), 3);
    let prepared = world
        .fleet
        .prepare(plan(2 * MINUTE, vec![revised.clone()], vec![]))
        .unwrap();
    world.fleet.commit(prepared).await;
    assert_eq!(made(&logs), 4);
    let prepared = world
        .fleet
        .prepare(plan(2 * MINUTE, vec![revised], vec![]))
        .unwrap();
    world.fleet.commit(prepared).await;
    assert_eq!(made(&logs), 4);
}

#[tokio::test(start_paused = true)]
async fn another_share_is_asked_for_and_read_from_the_beginning() {
    let (mut world, logs) = running().await;
    let foreign =
        |world: &World| world.metric("forethought_signal_series_foreign{signal=\"kept\"}");
    assert_eq!(foreign(&world), None, "it is not divided");
    let mut divided = world.signal("kept", &logs.kept);
    divided.share = Share::of(Cut::Series, Shard::new(1, 3).unwrap());
    world.source.asked();
    world.run(vec![divided.clone()], vec![]).await;
    world.pass(0.001).await;
    let asked = world.source.asked();
    assert!(asked.len() > 1 && asked.iter().all(|one| one.share == divided.share));
    // Known before anything is evaluated live.
    assert_eq!(
        (foreign(&world), world.report("kept").foreign),
        (Some(2.0), 2)
    );
    assert_eq!(logs.kept.made.load(Ordering::Relaxed), 2);
    world.run(vec![divided], vec![]).await;
    assert_eq!(
        logs.kept.made.load(Ordering::Relaxed),
        2,
        "the same goes on"
    );
    let whole = world.signal("kept", &logs.kept);
    world.run(vec![whole], vec![]).await;
    assert_eq!(foreign(&world), None);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_cannot_be_built_changes_nothing() {
    let (world, logs) = running().await;
    let before = world.catalogue.units();
    let mut broken = world.signal("broken", &Arc::default());
    broken.make = Arc::new(|| Err("no such model file".into()));
    let plans = vec![world.signal("removed", &logs.removed), broken];
    let problem = world
        .fleet
        .prepare(plan(MINUTE, plans, vec![]))
        .unwrap_err();
    assert_eq!(problem, "signal \"broken\": no such model file");
    let twice = vec![world.signal("a", &logs.kept), world.signal("a", &logs.kept)];
    let problem = world
        .fleet
        .prepare(plan(MINUTE, twice, vec![]))
        .unwrap_err();
    assert_eq!(problem, "the name \"a\" is used twice");
    world.pass(1.0).await;
    assert!(Arc::ptr_eq(&before, &world.catalogue.units()));
    for name in ["changed", "kept", "removed"] {
        assert_eq!(world.served(name), Some(START + MINUTE));
    }
}
