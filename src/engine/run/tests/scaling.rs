//! The task of all workloads, with a store that is away at first.

use super::{
    super::{Carried, MakeScaling, ScalingTask},
    doubles::{Manner, World},
};
use crate::{
    decide::{Decision, Settings},
    engine::{
        ScalingUnit,
        pool::Pool,
        scaling::{Ledger, Records, SavedState, States, WorkloadPlan},
    },
    quality::Bounds,
    series::Span,
    source::Source,
};
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};
use tokio_util::sync::CancellationToken;

/// A store that does not answer before it is told to.
#[derive(Debug, Default)]
struct Shelf {
    stored: Mutex<Option<Vec<SavedState>>>,
    saved: Mutex<Vec<SavedState>>,
}

impl Shelf {
    fn newest(&self) -> String {
        let saved = self.saved.lock().unwrap();
        saved.last().map(|one| one.text.clone()).unwrap_or_default()
    }
}

impl Ledger for Shelf {
    fn records(&self) -> Records {
        Records::default()
    }

    fn states(&self) -> States<'_> {
        let stored = self.stored.lock().unwrap().clone();
        Box::pin(async { stored.ok_or_else(|| "the database is away".to_owned()) })
    }

    fn append(&self, _: Vec<Decision>) {}

    fn save(&self, states: Vec<SavedState>) {
        self.saved.lock().unwrap().extend(states);
    }
}

fn make(name: &'static str) -> MakeScaling {
    Arc::new(move || {
        let text = format!(
            "{{name: {name}, demand: {{signal: requests}}, capacity_per_replica: 1e9, mode: full}}"
        );
        let value: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        let settings: Settings =
            serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap();
        let plan = WorkloadPlan {
            settings: Arc::new(settings),
            rules: Vec::new(),
            step: Span::minutes(1),
            interval: 0.9,
            query: "requests".to_owned(),
            max_series: 1,
            source: 0,
            asked: 0,
            bounds: Bounds::default(),
        };
        ScalingUnit::new(&[plan], Vec::new(), None)
    })
}

/// Starts a task as a reload does: in the place of the one before, with what that left.
fn start(
    world: &World,
    carried: &Carried,
    shelf: &Arc<Shelf>,
    name: &'static str,
) -> CancellationToken {
    let task = Arc::new(ScalingTask {
        make: make(name),
        sources: vec![Arc::clone(&world.source) as Arc<dyn Source>],
        tick: Span::seconds(15),
        catalogue: Arc::clone(&world.catalogue),
        ledger: Arc::clone(shelf) as Arc<dyn Ledger>,
        carried: carried.clone(),
        clock: world.clock.clone(),
        pool: Pool::new(NonZeroUsize::new(1)).unwrap(),
        events: Arc::clone(&world.telemetry.scaling),
    });
    let stop = world.stop.child_token();
    let stopped = stop.clone();
    drop(world.tracker.spawn(async move {
        tokio::select! {
            () = stopped.cancelled() => {}
            () = task.run() => {}
        }
    }));
    stop
}

/// As it was saved long ago, with something that nobody else knows.
fn stored(name: &str) -> SavedState {
    SavedState {
        workload: name.into(),
        at: 1,
        text: "{\"version\":1,\"withdrew\":12345}".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_counts_though_a_reload_came_before_the_store_answered() {
    let (world, carried) = (World::new(Manner::Answer), Carried::default());
    let shelf = Arc::new(Shelf::default());
    let first = start(&world, &carried, &shelf, "shop");
    world.pass(1.0).await;
    assert!(world.catalogue.scaling(world.clock.now()).is_some());
    assert_eq!(shelf.newest(), "", "the store was not read");
    first.cancel();
    let second = start(&world, &carried, &shelf, "shop");
    world.pass(1.0).await;
    *shelf.stored.lock().unwrap() = Some(vec![stored("shop")]);
    world.pass(1.0).await;
    assert!(shelf.newest().contains("12345"), "{}", shelf.newest());
    // From then on this process knows better than the store.
    *shelf.stored.lock().unwrap() = Some(vec![SavedState {
        text: stored("shop").text.replace("12345", "54321"),
        ..stored("shop")
    }]);
    second.cancel();
    let _third = start(&world, &carried, &shelf, "shop");
    world.pass(1.0).await;
    assert!(shelf.newest().contains("12345"), "{}", shelf.newest());
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_of_a_workload_that_a_reload_brings_counts() {
    let (world, carried) = (World::new(Manner::Answer), Carried::default());
    let shelf = Arc::new(Shelf::default());
    *shelf.stored.lock().unwrap() = Some(vec![stored("mail")]);
    let first = start(&world, &carried, &shelf, "shop");
    world.pass(1.0).await;
    first.cancel();
    let _second = start(&world, &carried, &shelf, "mail");
    world.pass(1.0).await;
    assert!(shelf.newest().contains("12345"), "{}", shelf.newest());
}
