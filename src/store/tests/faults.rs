//! What the file of a store may do while it is in use.

use super::*;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{fs, time::Duration};
use tokio::time::{Instant, sleep};

async fn connect(bench: &Bench) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(bench.file());
    SqliteConnection::connect_with(&options).await.unwrap()
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_in_words() {
    let bench = Bench::new().await;
    let mut other = connect(&bench).await;
    sqlx::raw_sql("INSERT INTO forethought_schema VALUES (99)")
        .execute(&mut other)
        .await
        .unwrap();
    let store = another(bench.store.settings(), &bench.telemetry, &bench.ahead);
    let error = store.open().await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("restore a copy"), "{error}");
    assert!(!error.may_pass());
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    let text = "not a database, and long enough to be taken for one\n".repeat(100);
    fs::write(&file, &text).unwrap();
    let (telemetry, ahead) = (Telemetry::default(), Arc::default());
    let open = async |file| {
        let settings = Settings::sqlite(file);
        another(&settings, &telemetry, &ahead).open().await
    };
    let error = open(file.clone()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unusable(_)), "{error:?}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let missing = folder.path().join("missing/f.db");
    let error = open(missing).await.unwrap_err();
    assert!(
        error.to_string().contains("the folder must be there"),
        "{error}"
    );
}

#[tokio::test]
async fn a_lock_is_told_and_readers_go_on() {
    let bench = Bench::new().await;
    let store = &bench.store;
    store.add_event(event("a", NOW), None).await.unwrap();
    let mut other = connect(&bench).await;
    let lock = sqlx::raw_sql("BEGIN IMMEDIATE; DELETE FROM events");
    lock.execute(&mut other).await.unwrap();
    let refused = store.add_event(event("b", NOW), None).await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked(_)), "{refused:?}");
    assert!(refused.may_pass());
    assert_eq!(names(store, EventFilter::default()).await, ["a"]);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    store.add_event(event("b", NOW), None).await.unwrap();
}

/// Runs the task while `work` goes on.
async fn kept<T>(store: &Store, work: impl Future<Output = T>) -> T {
    let stop = tokio_util::sync::CancellationToken::new();
    let work = async {
        let done = work.await;
        stop.cancel();
        done
    };
    tokio::join!(store.keep(stop.clone()), work).1
}

async fn wait_for(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < limit, "{what} within {limit:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn while_nothing_can_be_written_orders_are_read_all_the_same_and_the_store_is_not_well() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let mut other = connect(&bench).await;
    let vacuum = sqlx::query_scalar("PRAGMA auto_vacuum");
    let incremental: i64 = vacuum.fetch_one(&mut other).await.unwrap();
    assert_eq!(incremental, 2, "room can be given back");
    let work = async {
        wait_for("it is well", Duration::from_secs(5), || store.health().up).await;
        // Another process gives an order, and does not let go of the lock.
        let pin = order("checkout", Order::Pin(30), None);
        let row = sqlx::query("INSERT INTO overrides (id, workload, kind, created, body) VALUES ('p', 'checkout', 'pin', 0, $1)")
            .bind(serde_json::to_string(&pin).unwrap());
        row.execute(&mut other).await.unwrap();
        let lock = sqlx::raw_sql("BEGIN IMMEDIATE");
        lock.execute(&mut other).await.unwrap();
        store.append([decision("a", NOW)]);
        let seen = || store.snapshot().overrides.len() == 1;
        wait_for("the order is seen", Duration::from_millis(5_500), seen).await;
        let told = || {
            store
                .health()
                .error
                .is_some_and(|text| text.contains("locked"))
        };
        wait_for("the lock is told", Duration::from_secs(10), told).await;
        // Reading goes on working, and takes nothing of that back.
        store.refresh().await.unwrap();
        let health = store.health();
        assert!(!health.up && health.queue == 1, "{health:?}");
        assert!(health.error.unwrap().starts_with("writing: "));
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        let well = || store.health().up && store.health().queue == 0;
        wait_for("it is written", Duration::from_secs(20), well).await;
    };
    kept(store, work).await;
}

#[tokio::test]
async fn what_a_store_cannot_write_any_more_the_next_one_writes() {
    let bench = Bench::new().await;
    let (former, next) = (&bench.store, bench.again().await);
    fs::remove_dir_all(bench.folder.path()).unwrap();
    former.append([decision("a", NOW)]);
    next.succeed(former);
    kept(former, async {}).await;
    assert_eq!((former.health().queue, next.health().queue), (0, 1));
    fs::create_dir(bench.folder.path()).unwrap();
    next.flush().await.unwrap();
    let filter = DecisionFilter::default();
    let page = next.decisions(&filter, &Cut::default()).await.unwrap();
    assert_eq!(page.items, [decision("a", NOW)]);
}

#[tokio::test]
async fn a_full_database_is_told_and_what_waits_is_written_later() {
    let bench = Bench::new().await;
    let store = &bench.store;
    // `max_page_count` is a limit of each connection: all there may be are taken at once.
    let opened = store.db().await.unwrap();
    let database::Db::Sqlite(pool) = &opened.db else {
        panic!("a file")
    };
    let limit = async |pages: i64| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        let mut all = Vec::new();
        for _ in 0..database::FILE_CONNECTIONS {
            all.push(pool.acquire().await.unwrap());
        }
        for connection in &mut all {
            let limit = sqlx::raw_sql(&sql).execute(&mut **connection);
            limit.await.unwrap();
        }
    };
    limit(1).await;
    let all: Vec<Decision> = (0..400).map(|n| decision("a", NOW + n)).collect();
    let error = store.write_now(&all, &[]).await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    store.append(all);
    assert!(store.flush().await.is_err());
    let health = store.health();
    assert!(!health.up && health.queue == 400, "{health:?}");
    assert!(health.error.unwrap().contains("full"));
    limit(1_000_000).await;
    store.flush().await.unwrap();
    assert_eq!(store.health().queue, 0);
}

#[tokio::test]
async fn a_connection_whose_commit_failed_is_not_used_again() {
    let bench = Bench::new().await;
    let opened = bench.store.db().await.unwrap();
    let database::Db::Sqlite(pool) = &opened.db else {
        panic!("a file")
    };
    let all = async || {
        let mut all = Vec::new();
        for _ in 0..database::FILE_CONNECTIONS {
            all.push(pool.acquire().await.unwrap());
        }
        all
    };
    // What is set of a connection tells it from one that was opened later.
    for mut connection in all().await {
        let mark = sqlx::raw_sql("PRAGMA cache_size = 1234");
        mark.execute(&mut *connection).await.unwrap();
    }
    // A child without its parent is refused by the commit, not before.
    let orphan = [
        "CREATE TABLE parent (a PRIMARY KEY)",
        "CREATE TABLE child (a REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO child VALUES (1)",
    ];
    let failed = async {
        database::transact!(&opened.db, tx => {
            for sql in orphan {
                sqlx::query(sql).execute(&mut **tx).await?;
            }
            Ok::<_, StoreError>(())
        })
    };
    assert!(failed.await.is_err());
    let mut marked = 0;
    for mut connection in all().await {
        let size = sqlx::query_scalar::<_, i64>("PRAGMA cache_size");
        marked += i32::from(size.fetch_one(&mut *connection).await.unwrap() == 1_234);
    }
    assert_eq!(marked, database::FILE_CONNECTIONS as i32 - 1);
    bench.store.add_event(event("a", NOW), None).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_removed_is_made_anew_with_what_is_known() {
    let bench = Bench::new().await;
    let store = &bench.store;
    store.add_event(event("a", NOW), None).await.unwrap();
    let pin = order("checkout", Order::Pin(4), None);
    store.set_override(pin, None).await.unwrap();
    let before = store.snapshot();
    fs::remove_file(bench.file()).unwrap();
    store.write_now(&[decision("a", NOW)], &[]).await.unwrap();
    assert!(bench.file().exists());
    let other = bench.again().await;
    let found = other.snapshot();
    assert_eq!(
        (&found.events, &found.overrides),
        (&before.events, &before.overrides)
    );
    let page = other
        .decisions(&DecisionFilter::default(), &Cut::default())
        .await
        .unwrap();
    assert_eq!(page.items.len(), 1, "written where others see it");
}

#[tokio::test]
async fn a_folder_that_is_removed_is_waited_for_and_the_snapshot_holds() {
    let bench = Bench::new().await;
    let store = &bench.store;
    store.add_event(event("a", NOW), None).await.unwrap();
    fs::remove_dir_all(bench.folder.path()).unwrap();
    store.append([decision("a", NOW)]);
    assert!(store.flush().await.is_err());
    bench.pass(60_000);
    assert!(store.refresh().await.is_err());
    let health = store.health();
    assert_eq!((health.up, health.queue), (false, 1));
    assert_eq!(health.snapshot_age_seconds, Some(60.0));
    assert_eq!(store.snapshot().events.len(), 1);
    fs::create_dir(bench.folder.path()).unwrap();
    store.flush().await.unwrap();
    store.refresh().await.unwrap();
    assert!(store.health().up);
    assert_eq!(bench.again().await.snapshot().events.len(), 1);
}

/// A copy in one file, as `docs/store.md` says to make it.
async fn copy(bench: &Bench, name: &str) -> std::path::PathBuf {
    let to = bench.folder.path().join(name);
    let sql = format!("VACUUM INTO '{}'", to.display());
    let mut other = connect(bench).await;
    sqlx::raw_sql(&sql).execute(&mut other).await.unwrap();
    to
}

#[tokio::test]
async fn an_old_copy_that_is_put_into_its_place_counts_and_is_sound() {
    let bench = Bench::new().await;
    let store = &bench.store;
    store.add_event(event("old", NOW), None).await.unwrap();
    let old = copy(&bench, "copy.db").await;
    for index in 0..50 {
        let event = event(&format!("new {index}"), NOW);
        store.add_event(event, None).await.unwrap();
    }
    store.write_now(&[decision("a", NOW)], &[]).await.unwrap();
    fs::rename(old, bench.file()).unwrap();
    assert_eq!(names(store, EventFilter::default()).await, ["old"]);
    store.refresh().await.unwrap();
    assert_eq!(
        store.snapshot().events.len(),
        1,
        "new ones are not put back"
    );
    store.add_event(event("next", NOW), None).await.unwrap();
    let check: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut connect(&bench).await)
        .await
        .unwrap();
    assert_eq!(check, "ok");
    assert_eq!(
        names(&bench.again().await, EventFilter::default())
            .await
            .len(),
        2
    );
}

#[tokio::test]
async fn a_copy_with_the_first_schema_and_with_rows_of_another_version_is_read() {
    let bench = Bench::new().await;
    let store = &bench.store;
    store.add_event(event("sound", NOW), None).await.unwrap();
    let mut other = connect(&bench).await;
    // One with a field nobody knows any more, one that lacks what every event has by now.
    let future = serde_json::to_value(event("with more", NOW)).unwrap();
    let mut future = future.as_object().unwrap().clone();
    future.insert("colour".to_owned(), "red".into());
    let future = serde_json::to_string(&future).unwrap();
    for (id, body) in [
        ("f", future.as_str()),
        ("g", "{\"id\":\"g\"}"),
        ("h", "no JSON"),
    ] {
        sqlx::query("INSERT INTO events VALUES ($1, 'campaign', $2, $2, $3)")
            .bind(id)
            .bind(NOW)
            .bind(body)
            .execute(&mut other)
            .await
            .unwrap();
    }
    // Before the first version: no tables at all, and none noted.
    sqlx::raw_sql("DROP TABLE forethought_schema; DROP TABLE decisions; DROP TABLE decision_state; DROP TABLE overrides; DROP TABLE model_performance; DROP TABLE idempotency; ALTER TABLE events RENAME TO kept")
        .execute(&mut other)
        .await
        .unwrap();
    sqlx::raw_sql("DROP INDEX events_by_end; DROP INDEX events_by_start")
        .execute(&mut other)
        .await
        .unwrap();
    let store = bench.again().await;
    sqlx::raw_sql("INSERT INTO events SELECT * FROM kept")
        .execute(&mut other)
        .await
        .unwrap();
    store.refresh().await.unwrap();
    let mut found = names(&store, EventFilter::default()).await;
    found.sort();
    assert_eq!(found, ["sound", "with more"]);
    let shown = bench.telemetry.open_metrics().unwrap();
    let count = shown
        .lines()
        .find_map(|line| line.strip_prefix("forethought_store_unreadable_records_total "));
    assert!(count.unwrap().parse::<u64>().unwrap() >= 2, "{count:?}");
}

#[tokio::test]
async fn an_override_that_expires_while_the_database_is_gone_holds_no_more() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let pin = order("checkout", Order::Pin(4), Some(NOW + HOUR));
    store.set_override(pin, None).await.unwrap();
    let order = |at: Millis| {
        let snapshot = store.snapshot();
        let holds = snapshot.in_force(at).map(|order| order.order);
        holds.collect::<Vec<_>>()
    };
    fs::remove_dir_all(bench.folder.path()).unwrap();
    bench.pass(HOUR - 1);
    assert!(store.refresh().await.is_err());
    assert_eq!(order(NOW + HOUR - 1), [Order::Pin(4)]);
    bench.pass(1);
    assert!(store.refresh().await.is_err());
    assert!(order(NOW + HOUR).is_empty());
    // And it is not put back into a file that is made anew as if it still held.
    fs::create_dir(bench.folder.path()).unwrap();
    store.refresh().await.unwrap();
    assert_eq!(store.snapshot().overrides.len(), 0);
}
