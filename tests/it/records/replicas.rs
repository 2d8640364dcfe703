//! Replicas that share a PostgreSQL, and what becomes of them while it is gone.

use super::*;
use crate::support::postgres::Postgres;
use std::sync::atomic::Ordering;

const APART: Millis = 30_000;

#[test]
fn replicas_that_start_together_make_the_tables_once() {
    let settings = on_postgres();
    runtime().block_on(async {
        let ahead = Arc::new(AtomicI64::new(0));
        let stores: Vec<Store> = (0..6).map(|_| store(&settings, &ahead)).collect();
        let all = stores.iter().map(|store| async { store.open().await });
        let mut set = Vec::new();
        // All at once: each waits for whoever was first.
        for open in all {
            set.push(Box::pin(open));
        }
        let opened = join_all(set).await;
        assert!(opened.iter().all(Result::is_ok), "{opened:?}");
        stores[5].add_event(event("a", NOW), None).await.unwrap();
        let cut = Cut::default();
        let seen = stores[0].events(EventFilter::default(), &cut).await;
        assert_eq!(seen.unwrap().items.len(), 1);
    });
}

/// Polls all to their ends, at the same time.
async fn join_all<F: Future + Unpin>(mut all: Vec<F>) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in all.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = std::pin::Pin::new(future).poll(context)
            {
                *slot = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[test]
fn two_replicas_with_clocks_apart_write_one_log_and_keep_the_newest_state() {
    let settings = on_postgres();
    runtime().block_on(async {
        let (right, late) = (
            Arc::new(AtomicI64::new(0)),
            Arc::new(AtomicI64::new(-APART)),
        );
        let (one, other) = (store(&settings, &right), store(&settings, &late));
        one.open().await.unwrap();
        other.open().await.unwrap();
        // Decisions are made at aligned times: both come to each, the late one half a minute after.
        let times = |from: Millis| (0..20).map(move |n| from + n * 15_000);
        kept(
            &one,
            kept(&other, async {
                for at in times(NOW) {
                    right.store(at - NOW, Ordering::Relaxed);
                    late.store(at - NOW - APART, Ordering::Relaxed);
                    one.append([decision("checkout", at)]);
                    one.save([state("checkout", at)]);
                    other.append([decision("checkout", at - APART)]);
                    other.save([state("checkout", at - APART)]);
                    written(&one).await;
                    written(&other).await;
                }
            }),
        )
        .await;
        let page = one
            .decisions(&DecisionFilter::default(), &Cut::default())
            .await
            .unwrap();
        let logged: Vec<Millis> = page
            .items
            .iter()
            .rev()
            .map(|decision| decision.at)
            .collect();
        let expected: Vec<Millis> = (0..22).map(|n| NOW - APART + n * 15_000).collect();
        assert_eq!(logged, expected, "each once, none missing");
        let newest = NOW + 19 * 15_000;
        assert_eq!(one.states().await.unwrap(), [state("checkout", newest)]);
        assert_eq!(other.states().await.unwrap(), [state("checkout", newest)]);

        // An order ends for each by its own clock, and one that is given by one is seen by the other.
        right.store(0, Ordering::Relaxed);
        late.store(-APART, Ordering::Relaxed);
        let pin = order("checkout", Order::Pin(7), Some(NOW + 60_000));
        one.set_override(pin, None).await.unwrap();
        other.open().await.unwrap();
        right.store(60_000, Ordering::Relaxed);
        late.store(60_000 - APART, Ordering::Relaxed);
        one.open().await.unwrap();
        other.open().await.unwrap();
        assert_eq!(one.snapshot().overrides.len(), 0);
        assert_eq!(other.snapshot().overrides.len(), 1);
        late.store(60_000, Ordering::Relaxed);
        other.open().await.unwrap();
        assert_eq!(other.snapshot().overrides.len(), 0);
    });
}

#[test]
fn postgres_stops_and_starts_and_nothing_is_lost() {
    let server = Postgres::start();
    let mut settings = Settings::postgres(&server.database());
    settings.postgres.as_mut().unwrap().password_file = Some(server.password_file());
    let runtime = runtime();
    let ahead = Arc::new(AtomicI64::new(0));
    let store = store(&settings, &ahead);
    let stop = tokio_util::sync::CancellationToken::new();
    runtime.block_on(store.open()).unwrap();
    let pin = order("checkout", Order::Pin(4), Some(NOW + HOUR));
    runtime.block_on(store.set_override(pin, None)).unwrap();
    let task = {
        let (store, stop) = (store.clone(), stop.clone());
        runtime.spawn(async move { store.keep(stop).await })
    };
    server.stop();
    store.append([decision("checkout", NOW)]);
    crate::support::eventually("the outage is noticed", 20, || {
        let health = store.health();
        match (health.up, health.queue, &health.error) {
            (false, 1, Some(error)) if !error.contains(crate::support::postgres::PASSWORD) => {
                Ok(())
            }
            _ => Err(format!("{health:?}")),
        }
    });
    let error = runtime
        .block_on(store.add_event(event("a", NOW), None))
        .unwrap_err();
    assert!(error.may_pass(), "{error:?}");
    ahead.store(HOUR / 2, Ordering::Relaxed);
    let snapshot = store.snapshot();
    assert_eq!(
        snapshot.in_force(NOW + HOUR / 2).count(),
        1,
        "the snapshot holds"
    );
    assert_eq!(
        snapshot.in_force(NOW + HOUR).count(),
        0,
        "but not for longer than it says"
    );
    assert_eq!(store.health().snapshot_age_seconds, Some(1_800.0));
    server.again();
    crate::support::eventually("it is back", 60, || {
        let health = store.health();
        match health.up && health.queue == 0 {
            true => Ok(()),
            false => Err(format!("{health:?}")),
        }
    });
    let filter = DecisionFilter::default();
    let page = runtime
        .block_on(store.decisions(&filter, &Cut::default()))
        .unwrap();
    assert_eq!(page.items, [decision("checkout", NOW)]);
    stop.cancel();
    runtime.block_on(task).unwrap();
}

#[test]
fn a_process_starts_while_postgres_is_gone_and_says_so() {
    let url = "postgres://forethought@127.0.0.1:1/forethought";
    let program = program(&format!("store: {{postgres: {{url: '{url}'}}}}"), &[]);
    crate::support::eventually("the store is told to be down", 20, || {
        match program
            .metrics()?
            .value("forethought_store_up", &["database=\"postgres\""])?
        {
            0.0 if program.log().contains("the store does not work") => Ok(()),
            other => Err(format!("{other}: {}", program.log())),
        }
    });
}
