//! The tables, and how those of an older version become those of this one.
//!
//! Each step is applied once, in order, in one transaction with the note that it was. The lock is taken first, so that
//! replicas that start together do not do it twice.

use super::{
    StoreError,
    database::{Db, within},
};
use sqlx::Executor;

/// The steps; the first makes schema 1. A step that was released never changes: another is added.
const STEPS: &[&str] = &[include_str!("schema/0001_records.sql")];

/// The schema of this version.
pub(super) const NEWEST: i64 = STEPS.len() as i64;

const NOTES: &str =
    "CREATE TABLE IF NOT EXISTS forethought_schema (version BIGINT NOT NULL PRIMARY KEY)";
const APPLIED: &str = "SELECT COALESCE(MAX(version), 0) FROM forethought_schema";
const NOTE: &str = "INSERT INTO forethought_schema (version) VALUES ($1)";
/// Any number that nobody else takes: "foreth" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(112585593021544)";

/// The same for either kind of transaction.
macro_rules! apply {
    ($transaction:expr) => {{
        let mut transaction = $transaction;
        transaction.execute(NOTES).await?;
        let applied = sqlx::query_scalar(APPLIED).fetch_one(&mut *transaction);
        for (version, step) in missing(applied.await?)? {
            transaction.execute(step).await?;
            let note = sqlx::query(NOTE).bind(version);
            note.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }};
}

/// Applies what is missing.
///
/// # Errors
/// The database does not answer, or its schema is newer than [`NEWEST`].
pub(super) async fn bring_up_to_date(db: &Db) -> Result<(), StoreError> {
    within!(async {
        match db {
            Db::Sqlite(pool) => {
                // Only who has something to write waits for who writes.
                if applied_in_file(pool).await? == Some(NEWEST) {
                    return Ok(());
                }
                apply!(pool.begin_with("BEGIN IMMEDIATE").await?)
            }
            Db::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                transaction.execute(LOCK).await?;
                apply!(transaction)
            }
        }
    })
    .await
}

async fn applied_in_file(pool: &sqlx::SqlitePool) -> Result<Option<i64>, StoreError> {
    let table = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'forethought_schema'";
    let tables: i64 = sqlx::query_scalar(table).fetch_one(pool).await?;
    if tables == 0 {
        return Ok(None);
    }
    let applied: i64 = sqlx::query_scalar(APPLIED).fetch_one(pool).await?;
    drop(missing(applied)?);
    Ok(Some(applied))
}

/// The steps after schema `applied`, each with the schema it makes.
fn missing(applied: i64) -> Result<impl Iterator<Item = (i64, &'static str)>, StoreError> {
    if applied > NEWEST {
        return Err(StoreError::Newer {
            found: applied,
            known: NEWEST,
        });
    }
    let numbered = (1..).zip(STEPS.iter().copied());
    Ok(numbered.filter(move |(version, _)| *version > applied))
}
