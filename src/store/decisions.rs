//! The decision log, and what carries over from one decision to the next.

use super::{
    Cut, Page, SavedState, Store, StoreError,
    database::{Db, on, transact, within},
    records::{Row, json, read},
};
use crate::{decide::Decision, series::Millis};
use std::sync::atomic::Ordering;

const INSERT: &str = "INSERT INTO decisions (workload, at, body) VALUES ($1, $2, $3) ON CONFLICT (workload, at) DO NOTHING";
/// Newest first; each with the same parameters, so that one without a workload uses the index of times.
const LIST: &str = "SELECT at, workload, body FROM decisions WHERE at >= $1 AND at < $2 AND (at < $3 OR (at = $3 AND workload > $4)) ORDER BY at DESC, workload LIMIT $5";
const LIST_OF: &str = "SELECT at, workload, body FROM decisions WHERE at >= $1 AND at < $2 AND (at < $3 OR (at = $3 AND workload > $4)) AND workload = $6 ORDER BY at DESC, workload LIMIT $5";
/// The newer one stays, by the time of the decision and not of the writing: a replica whose clock is behind, or who
/// writes late, takes nothing back. But one from the future does not stand in the way until that has come.
const SAVE: &str = "INSERT INTO decision_state (workload, at, body) VALUES ($1, $2, $3) ON CONFLICT (workload) DO UPDATE SET at = excluded.at, body = excluded.body WHERE excluded.at > decision_state.at OR decision_state.at > $4";
const STATES: &str = "SELECT workload, at, body FROM decision_state ORDER BY workload";

/// Clocks of replicas may differ by so much before one of them is taken to be wrong.
const CLOCKS_DIFFER: Millis = 5 * 60_000;

/// Which decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// Only those about this workload.
    pub workload: Option<String>,
    /// Only those made then or later.
    pub since: Option<Millis>,
    /// Only those made before.
    pub until: Option<Millis>,
}

// === impl Store ===

impl Store {
    /// Decisions that were written down, newest first. Those that wait to be written are not among them.
    ///
    /// # Errors
    /// The cursor is none of ours, or the database does not work.
    pub async fn decisions(
        &self,
        filter: &DecisionFilter,
        cut: &Cut,
    ) -> Result<Page<Decision>, StoreError> {
        let place = cut.start()?;
        let opened = self.db().await?;
        let sql = match filter.workload {
            Some(_) => LIST_OF,
            None => LIST,
        };
        let rows: Vec<Row> = within!(async {
            Ok(on!(&opened.db, pool => {
                let query = sqlx::query_as(sql)
                    .bind(filter.since.unwrap_or(Millis::MIN))
                    .bind(filter.until.unwrap_or(Millis::MAX))
                    .bind(place.at)
                    .bind(&place.key)
                    .bind(cut.asked());
                match &filter.workload {
                    Some(workload) => query.bind(workload).fetch_all(pool).await?,
                    None => query.fetch_all(pool).await?,
                }
            }))
        })
        .await?;
        let events = &self.inner.events;
        Ok(cut.page(rows, |body| events.readable(read(body))))
    }

    /// What every workload carried over from its newest decision, in the order of their names.
    ///
    /// # Errors
    /// The database does not work.
    pub async fn states(&self) -> Result<Vec<SavedState>, StoreError> {
        let opened = self.db().await?;
        let rows: Vec<(String, Millis, String)> = within!(async {
            Ok(on!(&opened.db, pool => sqlx::query_as(STATES).fetch_all(pool).await?))
        })
        .await?;
        self.inner.states_read.store(true, Ordering::Relaxed);
        let state = |(workload, at, body)| SavedState { workload, at, body };
        Ok(rows.into_iter().map(state).collect())
    }

    /// Writes what was queued; `Ok` means all of it is on disk.
    pub(super) async fn write_now(
        &self,
        decisions: &[Decision],
        states: &[SavedState],
    ) -> Result<(), StoreError> {
        if decisions.is_empty() && states.is_empty() {
            return Ok(());
        }
        let opened = self.db().await?;
        write_all(&opened.db, decisions, states, self.inner.clock.now()).await
    }
}

async fn write_all(
    db: &Db,
    decisions: &[Decision],
    states: &[SavedState],
    now: Millis,
) -> Result<(), StoreError> {
    let bodies: Vec<String> = decisions.iter().map(json).collect::<Result<_, _>>()?;
    transact!(db, tx => {
        for (decision, body) in decisions.iter().zip(&bodies) {
            let row = sqlx::query(INSERT)
                .bind(&*decision.workload)
                .bind(decision.at)
                .bind(body);
            row.execute(&mut **tx).await?;
        }
        // In one order everywhere, so that two replicas never wait for each other.
        for state in states {
            let row = sqlx::query(SAVE)
                .bind(&state.workload)
                .bind(state.at)
                .bind(&state.body)
                .bind(now.saturating_add(CLOCKS_DIFFER));
            row.execute(&mut **tx).await?;
        }
        Ok::<_, StoreError>(())
    })
}
