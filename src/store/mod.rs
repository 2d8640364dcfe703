//! What cannot be read again from anywhere: events and overrides that people gave, decisions and what carries over
//! between them, how good models were. In a file (SQLite) or in a database that replicas share (PostgreSQL).
//!
//! A decision never waits for the store. It reads the newest [`Snapshot`], and what it has to say goes into a bounded
//! queue ([`Store::append`], [`Store::save`]); a task in the background ([`Store::keep`]) refreshes the one and empties
//! the other. While the database is gone the last snapshot holds, and its age is told.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | the mapping `store` of the configuration |
//! | `schema.rs`, `schema/` | the tables, and how older ones are brought up to date |
//! | `database.rs` | connections, transactions, a file that was replaced |
//! | `events.rs`, `overrides.rs`, `decisions.rs`, `performance.rs` | what is kept |
//! | `wire.rs` | the same as people write and read them |
//! | `known.rs` | orders and events name workloads that there are |
//! | `once.rs` | a request that comes twice is carried out once |
//! | `snapshot.rs`, `queue.rs`, `keeper.rs` | what decisions read and write, and who does it for them |
//! | `retention.rs` | what is old is removed, a piece at a time |

mod database;
mod decisions;
mod error;
mod events;
mod keeper;
mod known;
mod once;
mod overrides;
mod performance;
mod queue;
mod records;
mod retention;
mod schema;
mod settings;
mod snapshot;
#[cfg(test)]
mod tests;
pub mod wire;

pub use decisions::DecisionFilter;
pub use error::StoreError;
pub use events::EventFilter;
pub use keeper::Health;
pub use known::KnownWorkloads;
pub use once::{Answered, Once};
pub use overrides::Cleared;
pub use records::{Cut, MOST_ITEMS, Page, Performance, SavedState, USUAL_ITEMS};
pub use settings::{DatabaseUrl, PostgresSettings, PostgresTls, Retention, Settings, TlsMode};
pub use snapshot::Snapshot;

use crate::{decide::Decision, engine::Clock, telemetry::StoreEvents};
use arc_swap::{ArcSwap, ArcSwapOption};
use database::{Opened, Still};
use keeper::Watch;
use queue::Queue;
use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// The records of a process. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    clock: Clock,
    events: Arc<StoreEvents>,
    /// Connected when it is first needed, and again after its file was replaced.
    opened: ArcSwapOption<Opened>,
    opening: tokio::sync::Mutex<Loss>,
    snapshot: ArcSwap<Snapshot>,
    /// Held from the reading of a snapshot until it is in its place: a newer one is never replaced by an older.
    refreshing: tokio::sync::Mutex<()>,
    queue: Mutex<Queue>,
    /// There is something to do before the next refresh is due.
    wake: Notify,
    watch: Mutex<Watch>,
    /// What workloads learned was read, so whoever needs it has it.
    states_read: AtomicBool,
    /// The store that took the place of this one.
    heir: OnceLock<Store>,
}

/// What became of a file that was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Loss {
    #[default]
    None,
    /// It was removed.
    Gone,
    /// It is made anew, and what is known goes into it.
    Anew,
}

// === impl Store ===

impl Store {
    /// A store of `settings`, which are valid. Connects to nothing yet.
    pub fn new(settings: Settings, clock: Clock, events: Arc<StoreEvents>) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings,
                clock,
                events,
                opened: ArcSwapOption::empty(),
                opening: tokio::sync::Mutex::default(),
                snapshot: ArcSwap::default(),
                refreshing: tokio::sync::Mutex::default(),
                queue: Mutex::default(),
                wake: Notify::new(),
                watch: Mutex::default(),
                states_read: AtomicBool::new(false),
                heir: OnceLock::new(),
            }),
        }
    }

    /// Takes the place of `former` in a running process. Where nothing could be read yet, what `former` last read holds
    /// on until that works: orders of people do not end because a database is gone. What `former` cannot write any more
    /// is written by this one.
    pub fn succeed(&self, former: &Self) {
        if former.inner.states_read.load(Ordering::Relaxed) {
            self.inner.states_read.store(true, Ordering::Relaxed);
        }
        let known = former.snapshot();
        if let Some(age) = known.age(self.inner.clock.now())
            && self.snapshot().at.is_none()
        {
            self.inner.snapshot.store(known);
            let age = Duration::from_millis(age.unsigned_abs());
            self.inner.events.carried(self.kind(), age);
        }
        // There is one heir: a store is put out of force once.
        drop(former.inner.heir.set(self.clone()));
    }

    /// Takes what `former` leaves unwritten.
    fn inherit(&self, former: &Self) {
        let (decisions, states) = former.queue().give_away();
        self.append(decisions);
        self.save(states);
    }

    /// What it was made from.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Connects, makes or updates the tables, and reads the first snapshot.
    ///
    /// # Errors
    /// The database does not answer, is not ours, or is of a newer version.
    pub async fn open(&self) -> Result<(), StoreError> {
        self.refresh().await
    }

    /// Lets go of the database: for a command that is done. What waits in the queue is not written.
    pub async fn close(&self) {
        if let Some(opened) = self.inner.opened.swap(None) {
            opened.close().await;
        }
    }

    /// Events and overrides as they were last read. Never waits.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.snapshot.load_full()
    }

    /// Writes decisions down soon. Never waits: where the database is gone for long the oldest are given up, and
    /// counted. One that is there already, by workload and time, is left as it is.
    pub fn append(&self, decisions: impl IntoIterator<Item = Decision>) {
        let (length, dropped) = {
            let mut queue = self.queue();
            let before = queue.len();
            let dropped = queue.append(decisions);
            if (queue.len(), dropped) == (before, 0) {
                return;
            }
            (queue.len(), dropped)
        };
        self.inner.events.queued(self.kind(), length, dropped);
        self.inner.wake.notify_one();
    }

    /// Writes states down soon, the newest of each workload. Never waits.
    pub fn save(&self, states: impl IntoIterator<Item = SavedState>) {
        let length = {
            let mut queue = self.queue();
            queue.save(states);
            queue.len()
        };
        self.inner.events.queued(self.kind(), length, 0);
        self.inner.wake.notify_one();
    }

    fn kind(&self) -> &'static str {
        self.inner.settings.kind()
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.inner
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The open database; opens it where it is not, or where its file is another one by now.
    async fn db(&self) -> Result<Arc<Opened>, StoreError> {
        if let Some(opened) = self.inner.opened.load_full()
            && opened.still().await == Still::There
        {
            return Ok(opened);
        }
        let mut loss = self.inner.opening.lock().await;
        if let Some(opened) = self.inner.opened.load_full() {
            match opened.still().await {
                Still::There => return Ok(opened),
                Still::Gone => *loss = Loss::Gone,
                Still::Replaced => *loss = Loss::None,
            }
            self.inner.events.file_replaced(*loss == Loss::Gone);
            self.inner.opened.store(None);
            opened.leave().await;
        }
        if *loss == Loss::Gone {
            // Where a copy was put into its place, that counts.
            *loss = match database::is_there(&self.inner.settings).await {
                true => Loss::None,
                false => Loss::Anew,
            };
        }
        let opened = Arc::new(Opened::open(&self.inner.settings).await?);
        if *loss == Loss::Anew {
            self.put_back(&opened).await?;
        }
        *loss = Loss::None;
        self.inner.opened.store(Some(Arc::clone(&opened)));
        Ok(opened)
    }

    /// Fills a file that was made anew, as the former one was removed while we ran, with what is known of it.
    async fn put_back(&self, opened: &Opened) -> Result<(), StoreError> {
        let known = self.snapshot();
        for event in known.events.iter() {
            events::insert(&opened.db, event).await?;
        }
        for order in known.in_force(self.inner.clock.now()) {
            overrides::insert(&opened.db, order).await?;
        }
        Ok(())
    }

    /// After a change of ours: the snapshot has it before anybody is told that it worked.
    async fn changed(&self) {
        // Where it fails it is written all the same, and the task reads it as soon as that works again.
        drop(self.refresh().await);
    }
}
