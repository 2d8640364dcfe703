//! What is old is removed, a piece at a time, so that nobody waits long for the lock.

use super::{
    Retention, Store, StoreError,
    database::{Db, on, within},
    once::REMEMBERED,
};
use crate::series::{Millis, Span};

/// Rows of one transaction.
const PIECE: i64 = 1_000;
/// Pieces of one table and hour: what is left over waits for the next hour.
const PIECES: usize = 200;
/// Pages given back to the disk at a time.
const GIVE_BACK: &str = "PRAGMA incremental_vacuum(2000)";

/// `$1`: the time before which it is old. `$2`: how many.
const TABLES: [&str; 6] = [
    "DELETE FROM decisions WHERE (workload, at) IN (SELECT workload, at FROM decisions WHERE at < $1 ORDER BY at LIMIT $2)",
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE end_at < $1 LIMIT $2)",
    "DELETE FROM overrides WHERE id IN (SELECT id FROM overrides WHERE cleared < $1 OR expires < $1 LIMIT $2)",
    "DELETE FROM decision_state WHERE workload IN (SELECT workload FROM decision_state WHERE at < $1 LIMIT $2)",
    "DELETE FROM model_performance WHERE (signal, horizon_ms, day) IN (SELECT signal, horizon_ms, day FROM model_performance WHERE day < $1 LIMIT $2)",
    "DELETE FROM idempotency WHERE name IN (SELECT name FROM idempotency WHERE created < $1 LIMIT $2)",
];
/// When the oldest decision that may stay was made; nothing where there are fewer.
const OLDEST: &str = "SELECT at FROM decisions ORDER BY at DESC, workload LIMIT 1 OFFSET $1";

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
        let decisions = oldest_decision(&opened.db, kept, now).await?;
        let before = |span: Span| now.saturating_sub(span.as_millis());
        let limits = [
            decisions,
            before(kept.events),
            before(kept.overrides),
            before(kept.decisions),
            before(kept.performance),
            now.saturating_sub(REMEMBERED),
        ];
        let mut removed = 0;
        for (sql, limit) in TABLES.into_iter().zip(limits) {
            removed += remove(&opened.db, sql, limit).await?;
        }
        if removed > 0
            && let Db::Sqlite(pool) = &opened.db
        {
            within!(async { Ok(sqlx::query(GIVE_BACK).execute(pool).await.map(drop)?) }).await?;
        }
        Ok(removed)
    }
}

/// Decisions before this are too old, or more than may be.
async fn oldest_decision(db: &Db, kept: &Retention, now: Millis) -> Result<Millis, StoreError> {
    let surplus: Option<Millis> = within!(async {
        Ok(on!(db, pool => {
            sqlx::query_scalar(OLDEST)
                .bind(i64::from(kept.max_decisions) - 1)
                .fetch_optional(pool)
                .await?
        }))
    })
    .await?;
    let old = now.saturating_sub(kept.decisions.as_millis());
    Ok(surplus.map_or(old, |surplus| surplus.max(old)))
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
        tokio::task::yield_now().await;
    }
    Ok(removed)
}
