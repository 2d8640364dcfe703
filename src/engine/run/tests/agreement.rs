//! The real unit in the real loop: a process that ran through trouble and one that started just now
//! give the same outcome (invariant 4).

use super::doubles::{Log, MINUTE, Manner, World};
use crate::{
    engine::{
        Outcome, SignalUnit, UnitOptions,
        run::{EvaluateSignal, SignalPlan},
    },
    forecast::ModelFiles,
};
use std::sync::Arc;

/// The fake source's series counts up: noise is not needed to tell states apart.
fn real(world: &World) -> SignalPlan {
    let mut plan = world.signal("real", &Arc::<Log>::default());
    let text =
        "{name: real, query: up, step: 1m, history: 1d, offset: 30s, forecast: {horizons: [15m]}}";
    plan.settings = serde_yaml::from_str(text).unwrap();
    let settings = plan.settings.clone();
    plan.make = Arc::new(move || {
        let unit = SignalUnit::new(&settings, &UnitOptions::default(), &ModelFiles::new())?;
        Ok(Box::new(unit) as Box<dyn EvaluateSignal>)
    });
    plan
}

fn newest(world: &World) -> Arc<Outcome> {
    world.unit("real").fresh(world.clock.now()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ran_through_trouble_agrees_with_a_fresh_one() {
    let mut old = World::new(Manner::Answer);
    let plan = real(&old);
    old.run(vec![plan], vec![]).await;
    old.pass(20.0).await;
    old.source.be(Manner::Refuse);
    old.pass(30.0).await;
    old.source.be(Manner::Answer);
    old.set_ahead(45 * MINUTE);
    old.pass(9.99).await;

    let mut fresh = World::new(Manner::Answer);
    fresh.set_ahead(old.clock.now() - fresh.clock.now());
    let plan = real(&fresh);
    fresh.run(vec![plan], vec![]).await;
    fresh.pass(1.0).await;
    old.pass(0.0).await;

    let (old, fresh) = (newest(&old), newest(&fresh));
    assert_eq!(old.at, fresh.at);
    let (one, other) = (&old.series[0], &fresh.series[0]);
    assert!(
        one.band.expected.is_finite() && one.score.is_finite(),
        "{one:?}"
    );
    assert_eq!(
        (one.score, one.active, one.band),
        (other.score, other.active, other.band)
    );
    assert_eq!(old.forecasts, fresh.forecasts);
    assert!(old.forecasts[0].expected.is_finite());
}

/// A day of history has an epoch every 68 minutes, so one of them is among these.
#[tokio::test(start_paused = true)]
async fn a_tick_finds_done_what_its_epochs_need() {
    let mut world = World::new(Manner::Answer);
    let plan = real(&world);
    world.run(vec![plan], vec![]).await;
    // What was begun before the start is late.
    world.pass(8.0).await;
    for _ in 0..80 {
        world.pass(1.0).await;
        let newest = newest(&world);
        assert_eq!(newest.counts.late_pieces, 0, "{}", newest.at);
    }
}
