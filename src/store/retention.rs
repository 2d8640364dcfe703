//! What is old is removed, a piece at a time, so that nobody waits long for the lock.

use super::{
    Store, StoreError,
    database::{Db, on, within},
    once::REMEMBERED,
};
use crate::series::{Millis, Span};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::sleep;

/// Rows of one transaction.
const PIECE: i64 = 1_000;
/// Pieces of one table and hour: what is left over waits for the next hour.
const PIECES: usize = 200;
/// Pages given back to the disk at a time.
const GIVE_BACK: &str = "PRAGMA incremental_vacuum(2000)";

/// `$1`: the time before which it is old. `$2`: how many.
const TABLES: [&str; 5] = [
    "DELETE FROM decisions WHERE (workload, at) IN (SELECT workload, at FROM decisions WHERE at < $1 ORDER BY at LIMIT $2)",
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE end_at < $1 LIMIT $2)",
    "DELETE FROM overrides WHERE id IN (SELECT id FROM overrides WHERE cleared < $1 OR expires < $1 LIMIT $2)",
    "DELETE FROM model_performance WHERE (signal, horizon_ms, day) IN (SELECT signal, horizon_ms, day FROM model_performance WHERE day < $1 LIMIT $2)",
    "DELETE FROM idempotency WHERE name IN (SELECT name FROM idempotency WHERE created < $1 LIMIT $2)",
];
const STATES: &str = "DELETE FROM decision_state WHERE workload IN (SELECT workload FROM decision_state WHERE at < $1 LIMIT $2)";
/// When the oldest decision that may stay was made; nothing where there are fewer. `$2`: only before this.
const OLDEST: &str =
    "SELECT at FROM decisions WHERE at < $2 ORDER BY at DESC, workload LIMIT 1 OFFSET $1";
/// When the oldest past event that may stay ended. `$2`: now.
const OLDEST_EVENT: &str =
    "SELECT end_at FROM events WHERE end_at < $2 ORDER BY end_at DESC LIMIT 1 OFFSET $1";
/// What a workload learned is kept for so long after its last decision: one that comes back after its season, or after
/// a year, decides as it did. It is a few kilobytes a workload.
const KEPT_STATE: Span = Span::days(400);
/// No more events that are over than this, whatever their age: they are only for people to look at.
const MOST_PAST_EVENTS: i64 = 100_000;
/// Between two pieces of a table: whoever waits for the lock gets it.
const BREATH: Duration = Duration::from_millis(20);

// === impl Store ===

impl Store {
    /// Removes what is older than it may be; says how many rows.
    ///
    /// # Errors
    /// The database does not work; what was removed is removed.
    pub async fn forget_old(&self) -> Result<u64, StoreError> {
        let now = self.inner.clock.now();
        let kept = &self.inner.settings.retention;
        let opened = self.db().await?;
        let before = |span: Span| now.saturating_sub(span.as_millis());
        let most = i64::from(kept.max_decisions);
        let surplus = nth_newest(&opened.db, OLDEST, most, Millis::MAX).await?;
        let surplus_events = nth_newest(&opened.db, OLDEST_EVENT, MOST_PAST_EVENTS, now).await?;
        let limits = [
            before(kept.decisions).max(surplus),
            before(kept.events).max(surplus_events),
            before(kept.overrides),
            before(kept.performance),
            now.saturating_sub(REMEMBERED),
        ];
        let mut removed = 0;
        for (sql, limit) in TABLES.into_iter().zip(limits) {
            removed += remove(&opened.db, sql, limit).await?;
        }
        // A process that was off for longer than that reads it first.
        if self.inner.states_read.load(Ordering::Relaxed) {
            removed += remove(&opened.db, STATES, before(KEPT_STATE)).await?;
        }
        if removed > 0
            && let Db::Sqlite(pool) = &opened.db
        {
            within!(async { Ok(sqlx::query(GIVE_BACK).execute(pool).await.map(drop)?) }).await?;
        }
        Ok(removed)
    }
}

/// The time of the newest row but `most - 1`, before `until`; the least one where there are fewer.
async fn nth_newest(
    db: &Db,
    sql: &'static str,
    most: i64,
    until: Millis,
) -> Result<Millis, StoreError> {
    let found: Option<Millis> = within!(async {
        Ok(on!(db, pool => {
            sqlx::query_scalar(sql).bind(most - 1).bind(until).fetch_optional(pool).await?
        }))
    })
    .await?;
    Ok(found.unwrap_or(Millis::MIN))
}

async fn remove(db: &Db, sql: &'static str, limit: Millis) -> Result<u64, StoreError> {
    let mut removed = 0;
    for _ in 0..PIECES {
        let some = within!(async {
            Ok(on!(db, pool => {
                sqlx::query(sql).bind(limit).bind(PIECE).execute(pool).await?.rows_affected()
            }))
        })
        .await?;
        removed += some;
        if some < PIECE as u64 {
            break;
        }
        sleep(BREATH).await;
    }
    Ok(removed)
}
