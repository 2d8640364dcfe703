//! Panels: joined replays, late inputs, and what restarts with them.

use super::doubles::{FakeSource, Log, MINUTE, Manner, PanelLog, START, World, panel, signal};
use crate::engine::Mode::{Publish, Replay};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

fn took(log: &PanelLog) -> Vec<(i64, Vec<String>, crate::engine::Mode)> {
    std::mem::take(&mut log.lock().unwrap())
}

fn both() -> Vec<String> {
    vec!["a".into(), "b".into()]
}

#[tokio::test(start_paused = true)]
async fn a_panel_waits_for_the_history_of_every_signal() {
    let (mut world, log) = (World::new(Manner::Answer), PanelLog::default());
    let slow = FakeSource::new(Manner::Refuse);
    let signals = vec![
        world.signal("a", &Arc::default()),
        signal("b", &slow, &Arc::default()),
    ];
    world.run(signals, vec![panel(&["a", "b"], &log)]).await;
    world.pass(2.99).await;
    assert_eq!(took(&log), []);
    assert_eq!(world.served("a"), Some(START + 2 * MINUTE), "not held up");
    let report = world.report("panel");
    assert_eq!(
        report.silent_because.unwrap(),
        "signal \"b\" has not published yet"
    );
    slow.be(Manner::Answer);
    world.pass(1.0).await;
    let took = took(&log);
    let newest = START + 3 * MINUTE;
    assert_eq!(took.last(), Some(&(newest, both(), Publish)));
    let (joined, _): (Vec<_>, Vec<_>) = took.iter().partition(|(_, inputs, _)| *inputs == both());
    assert!(joined.len() >= 5, "the panel's memory, joined: {took:?}");
    assert!(took.windows(2).all(|pair| pair[1].0 == pair[0].0 + MINUTE));
    assert_eq!(world.served("panel"), Some(newest));
    assert_eq!(world.report("panel").silent_because, None);
}

#[tokio::test(start_paused = true)]
async fn a_late_input_abstains_and_is_counted() {
    let (mut world, log) = (World::new(Manner::Answer), PanelLog::default());
    let slow = FakeSource::new(Manner::Answer);
    let signals = vec![
        world.signal("a", &Arc::default()),
        signal("b", &slow, &Arc::default()),
    ];
    world.run(signals, vec![panel(&["a", "b"], &log)]).await;
    world.pass(0.99).await;
    assert_eq!(world.served("panel"), Some(START));
    took(&log);
    // Later than the grace of one interval.
    slow.be(Manner::Late(Duration::from_secs(80)));
    world.pass(1.0).await;
    assert_eq!(took(&log), [], "waiting for b");
    slow.be(Manner::Answer);
    world.pass(1.0).await;
    let late = took(&log);
    assert_eq!(late[0], (START + MINUTE, vec!["a".into()], Publish));
    let counted = "forethought_signal_inputs_late_total{signal=\"panel\"}";
    assert_eq!(world.metric(counted), Some(1.0));
    world.pass(2.0).await;
    let later = took(&log);
    let newest = START + 4 * MINUTE;
    assert_eq!(later.last(), Some(&(newest, both(), Publish)));
    assert!(
        later
            .iter()
            .all(|(_, _, mode)| [Replay, Publish].contains(mode))
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_panel_restarts_its_signals_and_an_unchanged_one_nothing() {
    let (mut world, log) = (World::new(Manner::Answer), PanelLog::default());
    let (a, b, c): (Arc<Log>, Arc<Log>, Arc<Log>) = Default::default();
    let signals = |world: &World| {
        vec![
            world.signal("a", &a),
            world.signal("b", &b),
            world.signal("c", &c),
        ]
    };
    let made = || [&a, &b, &c].map(|log| log.made.load(Ordering::Relaxed));
    let plans = signals(&world);
    world.run(plans, vec![]).await;
    assert_eq!(made(), [1, 1, 1]);
    let plans = signals(&world);
    world.run(plans, vec![panel(&["a", "b"], &log)]).await;
    assert_eq!(made(), [2, 2, 1], "the panel needs their past");
    let mut plans = signals(&world);
    plans[2].settings.query = "down".into();
    world.run(plans, vec![panel(&["a", "b"], &log)]).await;
    assert_eq!(made(), [2, 2, 2], "no panel listens to c");
    let mut plans = signals(&world);
    plans[0].settings.query = "down".into();
    world
        .run(plans.clone(), vec![panel(&["a", "b"], &log)])
        .await;
    assert_eq!(
        made(),
        [3, 3, 3],
        "c was changed back, a was changed, b hears for the panel"
    );
    world.run(plans, vec![]).await;
    assert_eq!(
        made(),
        [3, 3, 3],
        "nobody has to restart for a panel that is gone"
    );
    world.pass(1.0).await;
    assert_eq!(world.served("a"), Some(START));
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_far_starts_the_panel_afresh_with_its_signals() {
    let (mut world, log) = (World::new(Manner::Answer), PanelLog::default());
    let signals = vec![
        world.signal("a", &Arc::default()),
        world.signal("b", &Arc::default()),
    ];
    world.run(signals, vec![panel(&["a", "b"], &log)]).await;
    world.pass(1.99).await;
    took(&log);
    world.set_ahead(-120 * MINUTE);
    assert_eq!(world.served("panel"), None, "of a time that has not come");
    world.pass(2.0).await;
    let newest = START - 117 * MINUTE;
    assert_eq!(world.served("panel"), Some(newest));
    let took = took(&log);
    assert!(
        took.iter().all(|(_, inputs, _)| *inputs == both()),
        "{took:?}"
    );
    assert!(took.len() > 5, "the panel's memory as well: {took:?}");
    let restarts = "forethought_signal_restarts_total{signal=\"panel\",cause=\"clock_back\"}";
    assert_eq!(world.metric(restarts), Some(1.0));
}
