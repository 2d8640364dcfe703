//! Real processes on a file that is locked, full, killed over, or of a newer version.

use super::*;
use crate::support::{eventually, guard::run, http, program::command};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

const STORE: &str = "store: {sqlite: f.db}";

/// A folder with a configuration.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f.yml"), configuration(STORE)).unwrap();
    folder
}

fn add(folder: &Path, name: &str) -> (i32, String, String) {
    let file = format!("--config.file={}", folder.join("f.yml").display());
    let name = format!("--name={name}");
    command(&[
        "events",
        "add",
        &file,
        "--kind=test",
        &name,
        "--start=now",
        "--for=1h",
        "--author=ada",
    ])
}

async fn connect(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("f.db"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn execute(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

/// The names of all events, and that the file is sound.
fn names(folder: &Path) -> Vec<String> {
    runtime().block_on(async {
        let check: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(&mut connect(folder).await)
            .await
            .unwrap();
        assert_eq!(check, "ok");
        let store = store(&Settings::sqlite(folder.join("f.db")), &Arc::default());
        store.open().await.unwrap();
        let events = store.snapshot().events.clone();
        events.iter().map(|event| event.name.clone()).collect()
    })
}

#[test]
fn a_file_that_another_process_locks_is_told_and_works_again_after() {
    let folder = folder();
    assert_eq!(add(folder.path(), "a").0, 0);
    let runtime = runtime();
    let mut lock = runtime.block_on(connect(folder.path()));
    runtime.block_on(execute(&mut lock, "BEGIN IMMEDIATE; DELETE FROM events"));
    let (code, _, complaint) = add(folder.path(), "b");
    assert_eq!(code, 1, "{complaint}");
    assert!(
        complaint.contains("locked by another process"),
        "{complaint}"
    );
    runtime.block_on(execute(&mut lock, "ROLLBACK"));
    assert_eq!(add(folder.path(), "b").0, 0);
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn a_full_disk_is_told_and_nothing_is_garbled() {
    let folder = folder();
    assert_eq!(add(folder.path(), "first").0, 0);
    // No file may grow beyond this: to a program the same as a disk without room. The signal that comes with it
    // is ignored, as by a program that is told by its error instead.
    let script = format!(
        "trap '' XFSZ; ulimit -f 200; for i in $(seq 200); do \
         {} events add --config.file={}/f.yml --kind=test --name=$(printf %0200d $i) --start=now --for=1h --author=ada --workload=$(printf %0250d $i) || exit 9; done",
        crate::support::program::BINARY,
        folder.path().display(),
    );
    let complaint = run("bash", &["-c", &script], None).unwrap_err();
    assert!(complaint.contains("exit status: 9"), "{complaint}");
    let told = ["disk", "full", "I/O"]
        .iter()
        .any(|word| complaint.contains(word));
    assert!(told, "{complaint}");
    let added = complaint.lines().filter(|line| line.len() == 10).count();
    assert!(added > 0, "{complaint}");
    assert_eq!(add(folder.path(), "last").0, 0, "there is room again");
    assert_eq!(
        names(folder.path()).len(),
        added + 2,
        "those that were told to be kept are"
    );
}

#[test]
fn what_was_acknowledged_survives_kill_9_in_the_middle_of_writes() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("f.db");
    let rest = format!("store: {{sqlite: {}}}", database.display());
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let mut program = program(&rest, &["--web.enable-admin-api"]);
        let address = program.address().to_owned();
        // Four people write at once, until the process is gone: after more of their writes in each round.
        let written = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (address, written) = (address.clone(), Arc::clone(&written));
                std::thread::spawn(move || {
                    let mut kept = Vec::new();
                    for n in 0.. {
                        let name = format!("{round}-{writer}-{n}");
                        if !post(&address, &name) {
                            break;
                        }
                        kept.push(name);
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                    kept
                })
            })
            .collect();
        eventually("they have written some", 60, || {
            let written = written.load(Ordering::Relaxed);
            let wanted = 20 + 13 * round;
            (written >= wanted).then_some(()).ok_or(written.to_string())
        });
        program.signal("KILL");
        program.wait(10);
        for writer in writers {
            acknowledged.extend(writer.join().unwrap());
        }
        let found = names(folder.path());
        let lost: Vec<&String> = acknowledged
            .iter()
            .filter(|name| !found.contains(name))
            .collect();
        assert!(
            lost.is_empty(),
            "round {round}: {lost:?} of {}",
            acknowledged.len()
        );
    }
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    println!(
        "{} events were acknowledged, and all of them are there",
        acknowledged.len()
    );
}

fn post(address: &str, name: &str) -> bool {
    let now = Clock::System.now();
    let body = format!(
        r#"{{"kind":"test","name":"{name}","start":{now},"end":{},"author":"ada"}}"#,
        now + HOUR
    );
    let headers = [("Content-Type", "application/json")];
    let reply = http::request("POST", address, "/api/v1/events", &headers, body.as_bytes());
    reply.is_ok_and(|reply| reply.status == 201)
}

#[test]
fn a_newer_schema_is_refused_by_commands_and_by_the_process() {
    let folder = folder();
    assert_eq!(add(folder.path(), "a").0, 0);
    let runtime = runtime();
    runtime.block_on(async {
        let mut other = connect(folder.path()).await;
        execute(&mut other, "INSERT INTO forethought_schema VALUES (7)").await;
    });
    let (code, _, complaint) = add(folder.path(), "b");
    assert_eq!(code, 1);
    assert!(complaint.contains("has schema 7"), "{complaint}");
    let file = format!("--config.file={}", folder.path().join("f.yml").display());
    let (code, _, complaint) = command(&["run", &file, "--web.listen-address=127.0.0.1:0"]);
    assert_eq!(code, 2, "{complaint}");
    assert!(
        complaint.contains("store: the database has schema 7"),
        "{complaint}"
    );
}

#[test]
fn a_file_that_is_taken_away_from_a_process_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("f.db");
    let rest = format!("store: {{sqlite: {}}}", database.display());
    let program = program(&rest, &["--web.enable-admin-api"]);
    assert!(post(program.address(), "kept"));
    fs::remove_file(&database).unwrap();
    eventually("the file is there again", 20, || {
        match database.exists() && program.log().contains("was removed") {
            true => Ok(()),
            false => Err(program.log()),
        }
    });
    // It is there before what is known is in it.
    eventually("the event is in it", 20, || {
        let names = names(folder.path());
        (names == ["kept"]).then_some(()).ok_or(names.join(", "))
    });
}
