//! The store on files: what is kept, what is refused, and what happens when the file misbehaves.

mod faults;

use super::*;
use crate::{
    decide::{Binding, Effect, Event, Gate, Mode, Order, Override, Parts},
    series::{Millis, Span},
    telemetry::Telemetry,
};
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

const NOW: Millis = 1_795_000_000_000;
const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

pub(super) fn decision(workload: &str, at: Millis) -> Decision {
    Decision {
        workload: workload.into(),
        at,
        mode: Mode::Observe,
        replicas: Some(3),
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
        reason: "4 replicas: the forecast asks for them".to_owned(),
    }
}

fn event(name: &str, start: Millis) -> Event {
    Event {
        id: "chosen by the store".to_owned(),
        kind: "campaign".to_owned(),
        name: name.to_owned(),
        start,
        end: start + HOUR,
        lead: Some(600_000),
        decay: HOUR,
        effect: Some(Effect::Multiplier(2.5)),
        workloads: vec!["checkout".to_owned()],
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

/// A store on a file of its own, with a clock that can be set.
struct Bench {
    folder: TempDir,
    telemetry: Telemetry,
    ahead: Arc<AtomicI64>,
    store: Store,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::sqlite(folder.path().join("f.db"));
        change(&mut settings);
        assert_eq!(settings.validate(), []);
        let (telemetry, ahead) = (Telemetry::default(), Arc::default());
        let store = another(&settings, &telemetry, &ahead);
        store.open().await.unwrap();
        Self {
            folder,
            telemetry,
            ahead,
            store,
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("f.db")
    }

    /// Another store on the same file, as another process has it.
    async fn again(&self) -> Store {
        let store = another(self.store.settings(), &self.telemetry, &self.ahead);
        store.open().await.unwrap();
        store
    }

    fn pass(&self, time: Millis) {
        self.ahead.fetch_add(time, Ordering::Relaxed);
    }
}

/// A clock that stands still, but for what is added to it.
fn another(settings: &Settings, telemetry: &Telemetry, ahead: &Arc<AtomicI64>) -> Store {
    let clock = Clock::Settable {
        behind: Box::new(Clock::scaled(NOW, 1e-9)),
        ahead: Arc::clone(ahead),
    };
    Store::new(settings.clone(), clock, Arc::clone(&telemetry.store))
}

async fn names(store: &Store, filter: EventFilter) -> Vec<String> {
    let page = store.events(filter, &Cut::default()).await.unwrap();
    page.items.into_iter().map(|event| event.name).collect()
}

#[tokio::test]
async fn events_are_kept_listed_and_removed() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let mut ids = Vec::new();
    for (name, start) in [
        ("past", NOW - 3 * DAY),
        ("fading", NOW - 90 * 60_000),
        ("now", NOW - 60_000),
        ("soon", NOW + DAY),
    ] {
        let added = store.add_event(event(name, start), None).await.unwrap();
        let Answered::Done(added) = added else {
            panic!("nothing was asked for before")
        };
        assert_eq!((added.id.len(), added.created), (10, NOW));
        assert_eq!(store.event(&added.id).await.unwrap(), added);
        ids.push(added.id);
    }
    let all = EventFilter::default();
    assert_eq!(names(store, all).await, ["soon", "now", "fading", "past"]);
    let active = EventFilter {
        after: Some(NOW),
        before: Some(NOW + 1),
    };
    assert_eq!(names(store, active).await, ["now", "fading"]);
    let seen = || {
        let snapshot = store.snapshot();
        let names = snapshot.events.iter().map(|event| event.name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(seen(), ["fading", "now", "soon"], "the past is over");
    store.remove_event(&ids[2]).await.unwrap();
    assert_eq!(names(store, active).await, ["fading"]);
    assert_eq!(seen(), ["fading", "soon"]);
    let error = store.remove_event(&ids[2]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown(_)), "{error}");
    let other = bench.again().await;
    assert_eq!(names(&other, all).await, ["soon", "fading", "past"]);
}

#[tokio::test]
async fn an_event_in_force_is_seen_however_many_others_there_were_or_will_be() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let now = event("now", NOW - 60_000);
    store.add_event(now, None).await.unwrap();
    let opened = store.db().await.unwrap();
    let database::Db::Sqlite(pool) = &opened.db else {
        panic!("a file")
    };
    // Thousands were given and are over, thousands will come: as a calendar that is entered by a script.
    let mut transaction = pool.begin().await.unwrap();
    for index in 0..9_000 {
        let start = match index % 3 {
            0 => NOW - 5 * HOUR + index,
            _ => NOW + HOUR + index,
        };
        let other = Event {
            id: format!("other{index}"),
            ..event("other", start)
        };
        sqlx::query("INSERT INTO events VALUES ($1, 'campaign', $2, $3, $4)")
            .bind(&other.id)
            .bind(start)
            .bind(start + 2 * HOUR)
            .bind(serde_json::to_string(&other).unwrap())
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    store.refresh().await.unwrap();
    let seen = store.snapshot();
    assert_eq!(seen.events[0].name, "now");
    assert_eq!(seen.events.len(), 5_000);
}

#[tokio::test]
async fn where_there_are_as_many_orders_as_there_may_be_one_can_still_be_replaced() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let opened = store.db().await.unwrap();
    let database::Db::Sqlite(pool) = &opened.db else {
        panic!("a file")
    };
    let sql = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
               INSERT INTO overrides (id, workload, kind, created, body) SELECT 'o' || i, 'w' || i, 'min', 0, '{}' FROM n";
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
    let another = order("another", Order::Min(3), None);
    let refused = store.set_override(another, None).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooMany(_)), "{refused:?}");
    let higher = order("w7", Order::Min(9), None);
    store.set_override(higher, None).await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM overrides WHERE cleared IS NULL")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(count, 10_000);
}

#[tokio::test]
async fn what_a_workload_learned_outlives_its_decisions_and_is_read_before_it_goes() {
    let bench = Bench::with(|settings| settings.retention.decisions = Span::days(1)).await;
    let store = &bench.store;
    let state = SavedState {
        workload: "winter".to_owned(),
        at: NOW,
        body: "learned".to_owned(),
    };
    let made = [decision("winter", NOW)];
    store
        .write_now(&made, std::slice::from_ref(&state))
        .await
        .unwrap();
    // The season after next.
    bench.pass(399 * DAY);
    let again = bench.again().await;
    assert_eq!(again.forget_old().await, Ok(1), "the decision");
    assert_eq!(again.states().await.unwrap(), [state]);
    bench.pass(2 * DAY);
    let later = bench.again().await;
    assert_eq!(later.forget_old().await, Ok(0), "nobody has read it yet");
    assert_eq!(later.states().await.unwrap().len(), 1);
    assert_eq!(later.forget_old().await, Ok(1));
}

#[tokio::test]
async fn what_is_not_sound_is_refused_by_its_field() {
    let bench = Bench::new().await;
    let wrong = Event {
        end: NOW - DAY,
        ..event("", NOW)
    };
    let error = bench.store.add_event(wrong, None).await.unwrap_err();
    let text = "name: must not be empty; end: must be after start";
    assert_eq!(error.to_string(), text);
    let wrong = order("checkout", Order::Min(3), Some(NOW - 1));
    let error = bench.store.set_override(wrong, None).await.unwrap_err();
    assert_eq!(error.to_string(), "expires: must be in the future");
    assert_eq!(bench.store.snapshot().overrides.len(), 0);
}

#[tokio::test]
async fn lists_come_in_pages_without_loss_or_repetition() {
    let bench = Bench::new().await;
    let store = &bench.store;
    // Several begin at the same time.
    for index in 0..23 {
        let event = event(&index.to_string(), NOW + (index / 5) * HOUR);
        store.add_event(event, None).await.unwrap();
    }
    let (mut found, mut cut) = (
        Vec::new(),
        Cut {
            limit: 4,
            cursor: None,
        },
    );
    loop {
        let page = store.events(EventFilter::default(), &cut).await.unwrap();
        assert!(page.items.len() <= 4);
        found.extend(
            page.items
                .into_iter()
                .map(|event| (event.start, event.name)),
        );
        let Some(next) = page.next else { break };
        cut.cursor = Some(next);
    }
    assert!(found.is_sorted_by(|one, other| one.0 >= other.0));
    let mut names: Vec<i64> = found
        .iter()
        .map(|(_, name)| name.parse().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, (0..23).collect::<Vec<_>>());
    cut.cursor = Some("nonsense".to_owned());
    let error = store
        .events(EventFilter::default(), &cut)
        .await
        .unwrap_err();
    assert_eq!(error, StoreError::Cursor);
}

#[tokio::test]
async fn a_workload_has_one_order_of_a_kind_until_it_expires_or_is_cleared() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let set = async |order| store.set_override(order, None).await.unwrap().into_inner();
    set(order("checkout", Order::Min(3), None)).await;
    set(order("checkout", Order::Min(5), Some(NOW + HOUR))).await;
    set(order("checkout", Order::Max(9), None)).await;
    let pin = set(order("search", Order::Pin(4), Some(NOW + DAY))).await;
    let shown = || {
        let snapshot = store.snapshot();
        let shown = snapshot.overrides.iter().map(|order| order.order);
        let mut shown: Vec<String> = shown.map(|order| format!("{order:?}")).collect();
        shown.sort();
        shown
    };
    assert_eq!(shown(), ["Max(9)", "Min(5)", "Pin(4)"]);
    bench.pass(2 * HOUR);
    store.open().await.unwrap();
    assert_eq!(shown(), ["Max(9)", "Pin(4)"], "Min(3) does not come back");
    set(order("checkout", Order::Min(2), None)).await;
    assert_eq!(
        store.clear_overrides(Cleared::Workload("checkout")).await,
        Ok(2)
    );
    assert_eq!(store.clear_overrides(Cleared::Id(&pin.id)).await, Ok(1));
    assert!(shown().is_empty());
    let page = store.overrides(&Cut::default()).await.unwrap();
    assert!(page.items.is_empty());
    let error = store
        .clear_overrides(Cleared::Id(&pin.id))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unknown(_)), "{error}");
}

#[tokio::test]
async fn a_request_that_comes_twice_is_carried_out_once() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let once = Once::new("POST /events", "k1", b"body").unwrap();
    let first = store.add_event(event("a", NOW), Some(&once)).await.unwrap();
    let again = store.add_event(event("a", NOW), Some(&once)).await.unwrap();
    let Answered::Before(before) = &again else {
        panic!("{again:?}")
    };
    assert_eq!(*before, first.into_inner());
    assert_eq!(names(store, EventFilter::default()).await, ["a"]);
    let other = Once::new("POST /events", "k1", b"another body").unwrap();
    let error = store.add_event(event("b", NOW), Some(&other)).await;
    assert_eq!(error, Err(StoreError::KeyReused));
    let elsewhere = Once::new("POST /overrides", "k1", b"another body").unwrap();
    let pin = order("checkout", Order::Pin(3), None);
    let set = store
        .set_override(pin.clone(), Some(&elsewhere))
        .await
        .unwrap();
    assert!(matches!(set, Answered::Done(_)));
    let set = store.set_override(pin, Some(&elsewhere)).await.unwrap();
    assert!(matches!(set, Answered::Before(_)));
    for key in ["", "a b", "ä", &"x".repeat(201)] {
        assert!(Once::new("x", key, b"").is_err(), "{key}");
    }
    // Two at the same moment: one of them is carried out.
    let once = Once::new("POST /events", "k2", b"body").unwrap();
    let both = tokio::join!(
        store.add_event(event("c", NOW), Some(&once)),
        store.add_event(event("c", NOW), Some(&once)),
    );
    assert_eq!(both.0.unwrap().into_inner(), both.1.unwrap().into_inner());
    assert_eq!(names(store, EventFilter::default()).await.len(), 2);
}

#[tokio::test]
async fn decisions_are_written_once_and_listed_newest_first() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let all: Vec<Decision> = (0..10)
        .flat_map(|step| [decision("a", NOW + step), decision("b", NOW + step)])
        .collect();
    store.write_now(&all, &[]).await.unwrap();
    // The other replica came to the same.
    let other = bench.again().await;
    let mut same = decision("a", NOW);
    same.reason = "in other words".to_owned();
    other
        .write_now(&[same, decision("a", NOW + 10)], &[])
        .await
        .unwrap();
    let filter = DecisionFilter {
        workload: Some("a".to_owned()),
        ..DecisionFilter::default()
    };
    let page = store.decisions(&filter, &Cut::default()).await.unwrap();
    let times: Vec<Millis> = page
        .items
        .iter()
        .map(|decision| decision.at - NOW)
        .collect();
    assert_eq!(times, (0..=10).rev().collect::<Vec<_>>());
    assert_eq!(page.items[10], decision("a", NOW));
    let filter = DecisionFilter {
        since: Some(NOW + 2),
        until: Some(NOW + 4),
        workload: None,
    };
    let cut = Cut {
        limit: 3,
        cursor: None,
    };
    let page = store.decisions(&filter, &cut).await.unwrap();
    let next = Cut {
        cursor: page.next.clone(),
        ..cut
    };
    let rest = store.decisions(&filter, &next).await.unwrap();
    let shown: Vec<(&str, Millis)> = page
        .items
        .iter()
        .chain(&rest.items)
        .map(|decision| (&*decision.workload, decision.at - NOW))
        .collect();
    assert_eq!(shown, [("a", 3), ("b", 3), ("a", 2), ("b", 2)]);
    assert_eq!(rest.next, None);
}

#[tokio::test]
async fn the_newest_state_stays_whoever_writes_last() {
    let bench = Bench::new().await;
    let state = |at, body: &str| SavedState {
        workload: "a".to_owned(),
        at,
        body: body.to_owned(),
    };
    let (store, behind) = (&bench.store, bench.again().await);
    let kept = async || {
        let states = store.states().await.unwrap();
        states
            .into_iter()
            .map(|state| state.body)
            .collect::<Vec<_>>()
    };
    store.write_now(&[], &[state(NOW, "newest")]).await.unwrap();
    behind
        .write_now(&[], &[state(NOW - 30_000, "late")])
        .await
        .unwrap();
    assert_eq!(kept().await, ["newest"]);
    behind
        .write_now(&[], &[state(NOW + 1, "newer")])
        .await
        .unwrap();
    assert_eq!(kept().await, ["newer"]);
    // Written by a replica whose clock was a day ahead.
    store
        .write_now(&[], &[state(NOW + DAY, "wrong")])
        .await
        .unwrap();
    store
        .write_now(&[], &[state(NOW + 2, "right")])
        .await
        .unwrap();
    assert_eq!(kept().await, ["right"]);
}

#[tokio::test]
async fn performance_of_a_day_is_replaced() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let day = |day: Millis, error| Performance {
        signal: "load".to_owned(),
        horizon_ms: HOUR,
        day: day * DAY,
        model: Some("ets".to_owned()),
        error: Some(error),
        coverage: None,
        skill: Some(-0.5),
        count: 96,
    };
    let all = [day(1, 0.1), day(2, 0.2), day(3, 0.3)];
    store.keep_performance(&all).await.unwrap();
    store.keep_performance(&[day(2, 0.25)]).await.unwrap();
    let found = store.performance(2 * DAY, 4 * DAY).await.unwrap();
    assert_eq!(found, [day(2, 0.25), day(3, 0.3)]);
}

#[tokio::test]
async fn what_is_old_is_removed_in_pieces_and_what_is_not_stays() {
    let bench = Bench::with(|settings| settings.retention.max_decisions = 1_500).await;
    let store = &bench.store;
    let old = (0..2_500).map(|n| decision("old", NOW - 100 * DAY + n));
    let new = (0..1_600).map(|n| decision("new", NOW - DAY + n));
    let all: Vec<Decision> = old.chain(new).collect();
    for piece in all.chunks(500) {
        store.write_now(piece, &[]).await.unwrap();
    }
    store
        .add_event(event("old", NOW - 731 * DAY), None)
        .await
        .unwrap();
    store
        .add_event(event("kept", NOW - 729 * DAY), None)
        .await
        .unwrap();
    let soon = order("a", Order::Pause, Some(NOW + 1));
    store.set_override(soon, None).await.unwrap();
    store
        .set_override(order("b", Order::Pause, None), None)
        .await
        .unwrap();
    bench.pass(HOUR);
    assert_eq!(store.forget_old().await, Ok(2_600 + 1));
    assert_eq!(names(store, EventFilter::default()).await, ["kept"]);
    let filter = DecisionFilter::default();
    let cut = Cut {
        limit: MOST_ITEMS,
        cursor: None,
    };
    let page = store.decisions(&filter, &cut).await.unwrap();
    let rest = Cut {
        cursor: page.next,
        ..cut
    };
    let rest = store.decisions(&filter, &rest).await.unwrap();
    assert_eq!((page.items.len(), rest.items.len()), (1_000, 500));
    assert_eq!(rest.items.last().unwrap().at, NOW - DAY + 100);
    bench.pass(91 * DAY);
    let rest = 1_500 + 2;
    let what = "the decisions, the expired order, the event";
    assert_eq!(store.forget_old().await, Ok(rest), "{what}");
    store.open().await.unwrap();
    assert_eq!(store.snapshot().overrides.len(), 1);
}

#[tokio::test]
async fn the_task_writes_what_was_queued_and_at_the_end_the_rest() {
    let bench = Bench::new().await;
    let (store, stop) = (
        bench.store.clone(),
        tokio_util::sync::CancellationToken::new(),
    );
    let task = {
        let (store, stop) = (store.clone(), stop.clone());
        async move { store.keep(stop).await }
    };
    let state = SavedState {
        workload: "a".to_owned(),
        at: NOW,
        body: "{}".to_owned(),
    };
    let work = async {
        store.append((0..1_200).map(|n| decision("a", NOW + n)));
        while store.health().queue > 0 || store.health().size_bytes.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        store.save([state.clone()]);
        store.append([decision("b", NOW)]);
        stop.cancel();
    };
    tokio::join!(task, work);
    let health = store.health();
    assert!(
        health.up && health.queue == 0 && health.size_bytes > Some(0),
        "{health:?}"
    );
    let other = bench.again().await;
    assert_eq!(other.states().await.unwrap(), [state]);
    let filter = DecisionFilter {
        workload: Some("b".to_owned()),
        ..DecisionFilter::default()
    };
    let page = other.decisions(&filter, &Cut::default()).await.unwrap();
    assert_eq!(page.items, [decision("b", NOW)]);
}
