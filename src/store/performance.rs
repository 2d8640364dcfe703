//! How good the forecasts of a signal were, day by day.

use super::{
    Performance, Store, StoreError,
    database::{on, transact, within},
    records::{json, read},
};
use crate::series::Millis;

const UPSERT: &str = "INSERT INTO model_performance (signal, horizon_ms, day, body) VALUES ($1, $2, $3, $4) ON CONFLICT (signal, horizon_ms, day) DO UPDATE SET body = excluded.body";
const LIST: &str = "SELECT body FROM model_performance WHERE day >= $1 AND day < $2 ORDER BY signal, horizon_ms, day LIMIT 100000";

// === impl Store ===

impl Store {
    /// Keeps figures; those of the same signal, horizon and day are replaced.
    ///
    /// # Errors
    /// The database does not work.
    pub async fn keep_performance(&self, figures: &[Performance]) -> Result<(), StoreError> {
        let bodies: Vec<String> = figures.iter().map(json).collect::<Result<_, _>>()?;
        let opened = self.db().await?;
        transact!(&opened.db, tx => {
            for (figure, body) in figures.iter().zip(&bodies) {
                let row = sqlx::query(UPSERT)
                    .bind(&figure.signal)
                    .bind(figure.horizon_ms)
                    .bind(figure.day)
                    .bind(body);
                row.execute(&mut **tx).await?;
            }
            Ok::<_, StoreError>(())
        })
    }

    /// The figures of days that begin in `[since, until)`, by signal, horizon, day.
    ///
    /// # Errors
    /// The database does not work.
    pub async fn performance(
        &self,
        since: Millis,
        until: Millis,
    ) -> Result<Vec<Performance>, StoreError> {
        let opened = self.db().await?;
        let rows: Vec<String> = within!(async {
            Ok(on!(&opened.db, pool => {
                sqlx::query_scalar(LIST).bind(since).bind(until).fetch_all(pool).await?
            }))
        })
        .await?;
        let readable = |body: &String| self.inner.events.readable(read(body));
        Ok(rows.iter().filter_map(readable).collect())
    }
}
