//! Events: known causes of load.

use super::{
    Answered, Cut, Once, Page, Store, StoreError,
    database::{Db, on, within},
    once::once_only,
    records::{Row, json, new_id, read},
};
use crate::{decide::Event, series::Millis};

/// No more events than this that are not over yet: each is looked at by every decision.
const MOST_EVENTS: i64 = 2_000;
/// An event that is over is in snapshots for so much longer: the decision after its end looks back at what it did, also
/// where decisions are made once in half an hour.
const LOOKED_BACK_AT: Millis = 2 * 3_600_000;
/// More than so many in a snapshot are not looked at; those that begin last are left out.
const IN_SNAPSHOT: i64 = 5_000;

/// Which events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Only those that end, their decay included, after this.
    pub after: Option<Millis>,
    /// Only those that begin before this.
    pub before: Option<Millis>,
}

const INSERT: &str = "INSERT INTO events (id, kind, start_at, end_at, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING";
const COUNT: &str = "SELECT COUNT(*) FROM events WHERE end_at > $1";
const ONE: &str = "SELECT body FROM events WHERE id = $1";
const REMOVE: &str = "DELETE FROM events WHERE id = $1";
/// In the order in which they begin: where there are too many, those that are far off can wait.
const TO_COME: &str = "SELECT body FROM events WHERE end_at > $1 ORDER BY start_at, id LIMIT $2";
/// Latest first.
const LIST: &str = "SELECT start_at, id, body FROM events WHERE end_at > $1 AND start_at < $2 AND (start_at < $3 OR (start_at = $3 AND id > $4)) ORDER BY start_at DESC, id LIMIT $5";

// === impl Store ===

impl Store {
    /// Keeps `event` under a new id, which is given back in it. With `once`, a request that came before adds nothing.
    ///
    /// # Errors
    /// It is not sound, there are too many, the key of `once` came with something else, or the database does not work.
    pub async fn add_event(
        &self,
        mut event: Event,
        once: Option<&Once>,
    ) -> Result<Answered<Event>, StoreError> {
        let now = self.inner.clock.now();
        event.id = new_id();
        event.created = now;
        let problems = event.validate();
        if !problems.is_empty() {
            return Err(StoreError::Invalid(problems));
        }
        let body = json(&event)?;
        let opened = self.db().await?;
        let before = once_only!(&opened.db, once, &body, now, tx => {
            let count: i64 = sqlx::query_scalar(COUNT).bind(now).fetch_one(&mut **tx).await?;
            if count >= MOST_EVENTS {
                return Err(too_many());
            }
            let row = sqlx::query(INSERT)
                .bind(&event.id)
                .bind(&event.kind)
                .bind(event.start)
                .bind(end(&event))
                .bind(&body);
            if row.execute(&mut **tx).await?.rows_affected() == 0 {
                let text = "the id of the event was taken already; try again";
                return Err(StoreError::Conflict(text.to_owned()));
            }
        })?;
        self.answered(before, event).await
    }

    /// Events, latest first.
    ///
    /// # Errors
    /// The cursor is none of ours, or the database does not work.
    pub async fn events(&self, filter: EventFilter, cut: &Cut) -> Result<Page<Event>, StoreError> {
        let opened = self.db().await?;
        let rows = list(&opened.db, filter, cut).await?;
        let events = &self.inner.events;
        Ok(cut.page(rows, |body| events.readable(read(body))))
    }

    /// The event with this id.
    ///
    /// # Errors
    /// There is none, or the database does not work.
    pub async fn event(&self, id: &str) -> Result<Event, StoreError> {
        let opened = self.db().await?;
        let found: Option<String> = within!(async {
            Ok(on!(&opened.db, pool => {
                sqlx::query_scalar(ONE).bind(id).fetch_optional(pool).await?
            }))
        })
        .await?;
        read(&found.ok_or_else(|| unknown(id))?)
    }

    /// Removes the event with this id.
    ///
    /// # Errors
    /// There is none, or the database does not work.
    pub async fn remove_event(&self, id: &str) -> Result<(), StoreError> {
        let opened = self.db().await?;
        let removed = within!(async {
            Ok(on!(&opened.db, pool => {
                sqlx::query(REMOVE).bind(id).execute(pool).await?.rows_affected()
            }))
        })
        .await?;
        if removed == 0 {
            return Err(unknown(id));
        }
        self.changed().await;
        Ok(())
    }
}

/// Rows of a page and one more.
async fn list(db: &Db, filter: EventFilter, cut: &Cut) -> Result<Vec<Row>, StoreError> {
    let place = cut.start()?;
    within!(async {
        Ok(on!(db, pool => {
            sqlx::query_as(LIST)
                .bind(filter.after.unwrap_or(Millis::MIN))
                .bind(filter.before.unwrap_or(Millis::MAX))
                .bind(place.at)
                .bind(&place.key)
                .bind(cut.asked())
                .fetch_all(pool)
                .await?
        }))
    })
    .await
}

/// The bodies of the events that are not over at `now`, or only just, for a snapshot.
pub(super) async fn to_come(db: &Db, now: Millis) -> Result<Vec<String>, StoreError> {
    within!(async {
        Ok(on!(db, pool => {
            sqlx::query_scalar(TO_COME)
                .bind(now.saturating_sub(LOOKED_BACK_AT))
                .bind(IN_SNAPSHOT)
                .fetch_all(pool)
                .await?
        }))
    })
    .await
}

/// Keeps an event that has its id already; one that is there stays.
pub(super) async fn insert(db: &Db, event: &Event) -> Result<(), StoreError> {
    let body = json(event)?;
    within!(async {
        on!(db, pool => {
            let row = sqlx::query(INSERT)
                .bind(&event.id)
                .bind(&event.kind)
                .bind(event.start)
                .bind(end(event))
                .bind(&body);
            row.execute(pool).await?;
        });
        Ok(())
    })
    .await
}

/// From then on nothing of it is left.
fn end(event: &Event) -> Millis {
    event.end.saturating_add(event.decay)
}

fn too_many() -> StoreError {
    StoreError::TooMany(format!(
        "there are {MOST_EVENTS} events that are not over yet, which is the most; remove some first"
    ))
}

fn unknown(id: &str) -> StoreError {
    StoreError::Unknown(format!("there is no event {id:?}"))
}
