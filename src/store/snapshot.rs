//! Events and overrides as they were last read: what decisions look at.

use super::{Store, StoreError, events, overrides, records::read};
use crate::{
    decide::{Event, Override},
    series::Millis,
};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Events and overrides as they were last read. Immutable; whoever decides reads it.
///
/// It holds while the database is gone. An override in it still ends when it expires: whoever uses it looks at that.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// When it was read; `None`: never yet, so nothing is known of either.
    pub at: Option<Millis>,
    /// The events that are in force or to come, and those that ended within two hours. What past ones did is in the
    /// state of the workloads that saw them.
    pub events: Arc<Vec<Event>>,
    /// The orders that were in force when it was read, oldest first.
    pub overrides: Arc<Vec<Override>>,
    /// Of what it was read from.
    hash: u128,
}

impl Snapshot {
    /// How old it is at `now`, milliseconds; `None` where nothing was read yet.
    pub fn age(&self, now: Millis) -> Option<Millis> {
        Some(now.saturating_sub(self.at?).max(0))
    }

    /// The orders that hold at `at`: one that expired since the snapshot was read does not.
    pub fn in_force(&self, at: Millis) -> impl Iterator<Item = &Override> {
        let holds = move |order: &&Override| order.expires.is_none_or(|expires| at < expires);
        self.overrides.iter().filter(holds)
    }
}

// === impl Store ===

impl Store {
    /// Reads the snapshot anew. Where nothing changed the lists stay the same allocation.
    pub(super) async fn read_snapshot(&self) -> Result<(), StoreError> {
        let _one_after_the_other = self.inner.refreshing.lock().await;
        let opened = self.db().await?;
        let now = self.inner.clock.now();
        let events = events::to_come(&opened.db, now).await?;
        let orders = overrides::in_force(&opened.db, now).await?;
        let hash = hash(&[&events, &orders]);
        let before = self.snapshot();
        let next = if before.hash == hash && before.at.is_some() {
            Snapshot {
                at: Some(now),
                ..(*before).clone()
            }
        } else {
            let tell = &self.inner.events;
            let events = events.iter().filter_map(|body| tell.readable(read(body)));
            let orders = orders.iter().filter_map(|body| tell.readable(read(body)));
            Snapshot {
                at: Some(now),
                events: Arc::new(events.collect()),
                overrides: Arc::new(orders.collect()),
                hash,
            }
        };
        self.inner.snapshot.store(Arc::new(next));
        Ok(())
    }
}

fn hash(lists: &[&[String]]) -> u128 {
    let mut hash = Xxh3::new();
    for list in lists {
        hash.update(&list.len().to_le_bytes());
        for body in *list {
            hash.update(&body.len().to_le_bytes());
            hash.update(body.as_bytes());
        }
    }
    hash.digest128()
}
