//! Overrides: orders of people over workloads.

use super::{
    Answered, Cut, Once, Page, Store, StoreError,
    database::{Db, on, within},
    once::once_only,
    records::{Row, json, new_id, read},
};
use crate::{
    decide::{Order, Override},
    series::Millis,
};

/// No more orders than this in force.
const MOST_OVERRIDES: i64 = 10_000;

const INSERT: &str = "INSERT INTO overrides (id, workload, kind, created, expires, body) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
/// One that expired makes room as well.
const SUPERSEDE: &str =
    "UPDATE overrides SET cleared = $3 WHERE workload = $1 AND kind = $2 AND cleared IS NULL";
const COUNT: &str =
    "SELECT COUNT(*) FROM overrides WHERE cleared IS NULL AND (expires IS NULL OR expires > $1)";
const IN_FORCE: &str = "SELECT body FROM overrides WHERE cleared IS NULL AND (expires IS NULL OR expires > $1) ORDER BY created, id LIMIT $2";
/// Newest first.
const LIST: &str = "SELECT created, id, body FROM overrides WHERE (created < $1 OR (created = $1 AND id > $2)) AND (cleared IS NULL AND (expires IS NULL OR expires > $3)) ORDER BY created DESC, id LIMIT $4";
const CLEAR: &str = "UPDATE overrides SET cleared = $2 WHERE id = $1 AND cleared IS NULL AND (expires IS NULL OR expires > $2)";
const CLEAR_ALL: &str = "UPDATE overrides SET cleared = $2 WHERE workload = $1 AND cleared IS NULL AND (expires IS NULL OR expires > $2)";

/// What is to be cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared<'c> {
    /// The order with this id.
    Id(&'c str),
    /// Every order over this workload.
    Workload(&'c str),
}

// === impl Store ===

impl Store {
    /// Keeps `order` under a new id. An order of the same kind over the same workload makes room for it: a workload
    /// has one pin, one least size. With `once`, a request that came before sets nothing.
    ///
    /// # Errors
    /// It is not sound, there are too many, the key of `once` came with something else, or the database does not work.
    pub async fn set_override(
        &self,
        mut order: Override,
        once: Option<&Once>,
    ) -> Result<Answered<Override>, StoreError> {
        let now = self.inner.clock.now();
        order.id = new_id();
        order.created = now;
        let problems = order.validate();
        if !problems.is_empty() {
            return Err(StoreError::Invalid(problems));
        }
        let body = json(&order)?;
        let opened = self.db().await?;
        let before = once_only!(&opened.db, once, &body, now, tx => {
            let former = sqlx::query(SUPERSEDE)
                .bind(&order.workload)
                .bind(kind(order.order))
                .bind(now);
            former.execute(&mut **tx).await?;
            // Without the one it replaces, which comes back where this is refused.
            let count: i64 = sqlx::query_scalar(COUNT).bind(now).fetch_one(&mut **tx).await?;
            if count >= MOST_OVERRIDES {
                return Err(too_many());
            }
            let row = sqlx::query(INSERT)
                .bind(&order.id)
                .bind(&order.workload)
                .bind(kind(order.order))
                .bind(order.created)
                .bind(order.expires)
                .bind(&body);
            if row.execute(&mut **tx).await?.rows_affected() == 0 {
                let text = "another order of this kind was given at the same moment; look at it and try again";
                return Err(StoreError::Conflict(text.to_owned()));
            }
        })?;
        self.answered(before, order).await
    }

    /// The overrides in force, newest first.
    ///
    /// # Errors
    /// The cursor is none of ours, or the database does not work.
    pub async fn overrides(&self, cut: &Cut) -> Result<Page<Override>, StoreError> {
        let now = self.inner.clock.now();
        let place = cut.start()?;
        let opened = self.db().await?;
        let rows: Vec<Row> = within!(async {
            Ok(on!(&opened.db, pool => {
                sqlx::query_as(LIST)
                    .bind(place.at)
                    .bind(&place.key)
                    .bind(now)
                    .bind(cut.asked())
                    .fetch_all(pool)
                    .await?
            }))
        })
        .await?;
        let events = &self.inner.events;
        Ok(cut.page(rows, |body| events.readable(read(body))))
    }

    /// Ends orders; says how many there were.
    ///
    /// # Errors
    /// There is none, or the database does not work.
    pub async fn clear_overrides(&self, which: Cleared<'_>) -> Result<u64, StoreError> {
        let now = self.inner.clock.now();
        let (sql, of) = match which {
            Cleared::Id(id) => (CLEAR, id),
            Cleared::Workload(workload) => (CLEAR_ALL, workload),
        };
        let opened = self.db().await?;
        let cleared = within!(async {
            Ok(on!(&opened.db, pool => {
                sqlx::query(sql).bind(of).bind(now).execute(pool).await?.rows_affected()
            }))
        })
        .await?;
        if cleared == 0 {
            return Err(StoreError::Unknown(match which {
                Cleared::Id(id) => format!("no override {id:?} is in force"),
                Cleared::Workload(workload) => format!("no override over {workload:?} is in force"),
            }));
        }
        self.changed().await;
        Ok(cleared)
    }
}

/// The bodies of the orders in force at `now`, for a snapshot.
pub(super) async fn in_force(db: &Db, now: Millis) -> Result<Vec<String>, StoreError> {
    within!(async {
        Ok(on!(db, pool => {
            sqlx::query_scalar(IN_FORCE)
                .bind(now)
                .bind(MOST_OVERRIDES)
                .fetch_all(pool)
                .await?
        }))
    })
    .await
}

/// Keeps an order that has its id already.
pub(super) async fn insert(db: &Db, order: &Override) -> Result<(), StoreError> {
    let body = json(order)?;
    within!(async {
        on!(db, pool => {
            let row = sqlx::query(INSERT)
                .bind(&order.id)
                .bind(&order.workload)
                .bind(kind(order.order))
                .bind(order.created)
                .bind(order.expires)
                .bind(&body);
            row.execute(pool).await?;
        });
        Ok(())
    })
    .await
}

/// The word of an order, as in its JSON.
fn kind(order: Order) -> &'static str {
    match order {
        Order::Pause => "pause",
        Order::Pin(_) => "pin",
        Order::Min(_) => "min",
        Order::Max(_) => "max",
    }
}

fn too_many() -> StoreError {
    StoreError::TooMany(format!(
        "there are {MOST_OVERRIDES} overrides in force, which is the most; clear some first"
    ))
}
