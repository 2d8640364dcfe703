//! What a signal asks its source: a table where there is one, else a list of series.

use super::signal::{LIVE_DEADLINE, SignalTask, Unit};
use crate::{
    engine::pool::Panicked,
    series::{Millis, Share},
    source::{Answer, Cause, Matrix, Prints, RangeRequest, SourceError, TableRequest},
};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// What a table told that was taken in.
pub(super) struct Told {
    pub(super) rows: usize,
    /// Series over the limit.
    pub(super) dropped: usize,
    pub(super) took: Duration,
}

impl SignalTask {
    fn range(&self, start: Millis, end: Millis) -> RangeRequest {
        RangeRequest {
            query: self.query.clone(),
            start,
            end,
            step: self.timing.grid.step(),
            max_series: self.max_series,
            share: self.share.clone(),
        }
    }

    /// Asks the source for a table, where it has them and the unit takes them, and takes it in; `None` where it does not. In the
    /// pool: of very many series it is computing, not waiting.
    pub(super) async fn ask_for_table(
        &self,
        unit: Unit,
        start: Millis,
        end: Millis,
    ) -> Result<(Unit, Option<Told>), Panicked> {
        // Who has to be asked has no tables, and a turn in the pool would be for nothing.
        let has_tables = || {
            let step = self.timing.grid.step();
            self.source.arrivals(&self.query, step).is_some()
        };
        if !unit.takes_tables() || !has_tables() {
            return Ok((unit, None));
        }
        let (source, range) = (Arc::clone(&self.source), self.range(start, end));
        let work = move |unit: &mut Unit| {
            let began = Instant::now();
            // Once more with all labels, where the source tells less than is not known.
            for known in [unit.known(), None] {
                let request = TableRequest {
                    range: range.clone(),
                    known,
                };
                let table = source.table(&request)?;
                if unit.ingest_table(&table) {
                    return Some(Told {
                        rows: table.rows,
                        dropped: table.dropped,
                        took: began.elapsed(),
                    });
                }
            }
            None
        };
        self.pool.run(unit, work).await
    }

    /// Asks for what was.
    pub(super) async fn ask(
        &self,
        start: Millis,
        end: Millis,
        deadline: Duration,
    ) -> Result<Matrix, SourceError> {
        let asked = self.source.range(self.range(start, end));
        self.answer(asked, deadline).await
    }

    /// Asks live, where series that are evaluated are to be among those that are kept.
    pub(super) async fn ask_on(&self, start: Millis, end: Millis) -> Result<Matrix, SourceError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Arc::clone(&kept());
        let asked = self.source.range_on(self.range(start, end), known);
        let matrix = self.answer(asked, LIVE_DEADLINE).await?;
        // While nothing is left out this takes no time.
        let over = matrix.series.iter().filter(|_| matrix.dropped > 0);
        let prints: Prints = over.map(|series| series.labels.fingerprint()).collect();
        *kept() = Arc::new(prints);
        Ok(matrix)
    }

    async fn answer(&self, asked: Answer<'_>, deadline: Duration) -> Result<Matrix, SourceError> {
        let answer = timeout(deadline, asked).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(SourceError {
                cause: Cause::Timeout,
                message: format!(
                    "source {:?} did not answer within {} s",
                    self.source.name(),
                    deadline.as_secs()
                ),
            })
        });
        if let (Ok(matrix), true) = (&answer, self.is_divided()) {
            self.desk.foreign(matrix.foreign);
        }
        answer
    }

    /// Whether other shards carry series of it, and answers show how many: what comes by itself and is another shard's is
    /// not even taken in.
    fn is_divided(&self) -> bool {
        let step = self.timing.grid.step();
        self.share != Share::ALL && self.source.arrivals(&self.query, step).is_none()
    }
}
