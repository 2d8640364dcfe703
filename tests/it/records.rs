//! Events, overrides and decisions: kept in a real PostgreSQL and in files, through the API and the command line,
//! while the database is locked, full, gone, killed, newer.

mod commands;
mod faults;
mod postgres;
mod replicas;

use crate::support::{postgres::postgres, program::Program};
use forethought::{
    decide::{Binding, Decision, Effect, Event, Gate, Mode, Order, Override, Parts},
    engine::Clock,
    series::Millis,
    store::{
        Answered, Cleared, Cut, DecisionFilter, EventFilter, Once, SavedState, Settings, Store,
        StoreError,
    },
    telemetry::Telemetry,
};
use std::sync::{Arc, atomic::AtomicI64};

const NOW: Millis = 1_795_000_000_000;
const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// A signal of a source that nobody needs, and what comes after it.
fn configuration(rest: &str) -> String {
    format!(
        "sources: [{{name: main, prometheus: {{url: 'http://127.0.0.1:1', retries: 0}}}}]\n\
         signals: [{{name: load, query: load}}]\n{rest}\n"
    )
}

fn program(rest: &str, flags: &[&str]) -> Program {
    Program::start(&configuration(rest), flags)
}

/// A new database of the shared PostgreSQL.
fn on_postgres() -> Settings {
    let mut settings = Settings::postgres(&postgres().database());
    let server = settings.postgres.as_mut().unwrap();
    server.password_file = Some(postgres().password_file());
    assert_eq!(settings.validate(), []);
    settings
}

/// A store whose clock stands still, but for what is added to `ahead`.
fn store(settings: &Settings, ahead: &Arc<AtomicI64>) -> Store {
    let clock = Clock::Settable {
        behind: Box::new(Clock::scaled(NOW, 1e-9)),
        ahead: Arc::clone(ahead),
    };
    Store::new(
        settings.clone(),
        clock,
        Arc::clone(&Telemetry::default().store),
    )
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn event(name: &str, start: Millis) -> Event {
    Event {
        id: String::new(),
        kind: "campaign".to_owned(),
        name: name.to_owned(),
        start,
        end: start + HOUR,
        lead: None,
        decay: 0,
        effect: Some(Effect::Load(500.0)),
        workloads: Vec::new(),
        author: "ada".to_owned(),
        created: 0,
    }
}

fn order(workload: &str, order: Order, expires: Option<Millis>) -> Override {
    Override {
        id: String::new(),
        workload: workload.to_owned(),
        order,
        reason: "a test".to_owned(),
        author: "ada".to_owned(),
        created: 0,
        expires,
    }
}

fn decision(workload: &str, at: Millis) -> Decision {
    Decision {
        workload: workload.into(),
        at,
        mode: Mode::Guarded,
        replicas: Some(4),
        would_be: Some(4),
        parts: Parts::default(),
        gate: Gate::Open,
        binding: Binding::Forecast,
        held: None,
        demand: Some(350.5),
        demand_forecast: Some(480.0),
        level: 0.95,
        window: 300_000,
        lead: 180_000,
        capacity: Some(120.0),
        generated: Some(at - 60_000),
        ready: Some(3),
        published_replicas: None,
        published_demand: Some(480.0),
        on_demand: None,
        cost_per_hour: None,
        queue: None,
        prewarmed: None,
        withdrawn: false,
        reason: "4 replicas: the forecast asks for them – überall".to_owned(),
    }
}

fn state(workload: &str, at: Millis) -> SavedState {
    SavedState {
        workload: workload.to_owned(),
        at,
        body: format!("{{\"at\":{at}}}"),
    }
}

/// Lets the task of a store run until nothing waits any more.
async fn written(store: &Store) {
    for _ in 0..600 {
        if store.health().queue == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("still waiting: {:?}", store.health());
}

/// Runs the task of a store beside `work`.
async fn kept<T>(store: &Store, work: impl Future<Output = T>) -> T {
    let stop = tokio_util::sync::CancellationToken::new();
    let _ends_the_task = stop.clone().drop_guard();
    tokio::select! {
        () = store.keep(stop) => panic!("the task ended"),
        value = work => value,
    }
}

/// A life of a store, the same for either database.
async fn life(settings: &Settings) {
    let ahead = Arc::new(AtomicI64::new(0));
    let store = store(settings, &ahead);
    store.open().await.unwrap();
    for name in ["a", "b", "c"] {
        store.add_event(event(name, NOW), None).await.unwrap();
    }
    let once = Once::new("events", "k", b"1").unwrap();
    let first = store
        .add_event(event("d", NOW + 1), Some(&once))
        .await
        .unwrap();
    let again = store
        .add_event(event("d", NOW + 1), Some(&once))
        .await
        .unwrap();
    assert!(matches!(&again, Answered::Before(_)), "{again:?}");
    let first = first.into_inner();
    assert_eq!(again.into_inner(), first);
    let other = Once::new("events", "k", b"2").unwrap();
    let reused = store.add_event(event("e", NOW), Some(&other)).await;
    assert_eq!(reused, Err(StoreError::KeyReused));
    let cut = Cut {
        limit: 3,
        cursor: None,
    };
    let page = store.events(EventFilter::default(), &cut).await.unwrap();
    assert_eq!(page.items[0], first);
    let next = Cut {
        cursor: page.next,
        ..cut
    };
    let rest = store.events(EventFilter::default(), &next).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
    store.remove_event(&first.id).await.unwrap();
    assert_eq!(store.snapshot().events.len(), 3);

    for size in [3, 5] {
        let pin = order("checkout", Order::Min(size), Some(NOW + HOUR));
        store.set_override(pin, None).await.unwrap();
    }
    assert_eq!(store.snapshot().overrides.len(), 1);
    assert_eq!(store.snapshot().overrides[0].order, Order::Min(5));
    assert_eq!(
        store.clear_overrides(Cleared::Workload("checkout")).await,
        Ok(1)
    );

    kept(&store, async {
        store.append((0..700).map(|n| decision("checkout", NOW + n)));
        store.append([decision("checkout", NOW)]);
        store.save([state("checkout", NOW), state("checkout", NOW + 700)]);
        written(&store).await;
    })
    .await;
    assert_eq!(
        store.states().await.unwrap(),
        [state("checkout", NOW + 700)]
    );
    let filter = DecisionFilter {
        workload: Some("checkout".to_owned()),
        since: Some(NOW + 690),
        until: None,
    };
    let page = store.decisions(&filter, &Cut::default()).await.unwrap();
    assert_eq!(page.items.len(), 10);
    assert_eq!(page.items[9], decision("checkout", NOW + 690));
    ahead.store(91 * DAY, std::sync::atomic::Ordering::Relaxed);
    // 700 decisions, two orders, one key.
    assert_eq!(store.forget_old().await, Ok(703));
    ahead.store(401 * DAY, std::sync::atomic::Ordering::Relaxed);
    // What the workload learned, of which the last decision is so long ago.
    assert_eq!(store.forget_old().await, Ok(1));
}

#[test]
fn a_life_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(life(&Settings::sqlite(folder.path().join("f.db"))));
}

#[test]
fn a_life_in_postgres() {
    runtime().block_on(life(&on_postgres()));
}
