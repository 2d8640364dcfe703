//! A connection to the brokers of a topic, and what is known of each partition by way of it. One that fails is tried again later,
//! and keeps no other waiting.

use super::{
    Client, Partition, Progress,
    client::Fetched,
    merge::Merge,
    progress::{Place, Position},
    settings::Settings,
};
use crate::{
    series::Millis,
    source::{Cause, SourceError},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

/// The first pause after a failure; it doubles from one to the next.
pub(super) const LEAST_PAUSE: Duration = Duration::from_millis(500);
/// The longest of them.
pub(super) const MOST_PAUSE: Duration = Duration::from_secs(30);
/// How long a broker holds back an answer for messages to come, while nothing else waits to be taken.
const WAIT: Duration = Duration::from_millis(500);

/// A connection, and what came by it.
pub(super) struct Session {
    client: Arc<Client>,
    topic: String,
    progress: Arc<Progress>,
    /// What was asked and is not answered yet.
    asked: JoinSet<Answer>,
    /// Of which partition.
    asks: BTreeMap<Id, i32>,
    partitions: BTreeMap<i32, State>,
    /// What was fetched and not taken yet.
    pub(super) waiting: Merge,
}

/// What was asked of a partition, once it is over.
pub(super) type Answer = Result<Came, SourceError>;

/// What came of it.
pub(super) enum Came {
    /// A connection to its broker, and the offset that is read next.
    Opened(Partition, i64),
    /// What there was from this offset on.
    Fetched(i64, Fetched),
}

/// What is known of a partition.
#[derive(Default)]
struct State {
    open: Option<Arc<Partition>>,
    is_asked: bool,
    /// The offset after what was fetched.
    fetched: i64,
    /// Messages that are there and were not fetched.
    behind: i64,
    /// The offset after what was there when it was asked for first.
    target: Option<i64>,
    /// Nothing came since.
    failed: Option<Failed>,
}

/// A partition that failed.
#[derive(Debug, Clone, Copy)]
struct Failed {
    cause: Cause,
    pause: Duration,
    again: Instant,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// No broker answers, or not to us.
    pub(super) async fn connect(
        settings: &Settings,
        progress: &Arc<Progress>,
    ) -> Result<Self, SourceError> {
        let client = Client::connect(&settings.cluster()).await?;
        Ok(Self {
            client: Arc::new(client),
            topic: settings.topic.clone(),
            progress: Arc::clone(progress),
            asked: JoinSet::new(),
            asks: BTreeMap::new(),
            partitions: BTreeMap::new(),
            waiting: Merge::default(),
        })
    }

    /// Looks which partitions there are; tells their numbers.
    ///
    /// # Errors
    /// No answer, or no such topic.
    pub(super) async fn look(&self) -> Result<Vec<i32>, SourceError> {
        let all = self.client.partitions(&self.topic).await?;
        if all.is_empty() {
            let message = format!(
                "there is no topic {:?} at these brokers, or we may not see it: create it, or allow us to describe and read it",
                self.topic
            );
            let cause = Cause::Query;
            return Err(SourceError { cause, message });
        }
        Ok(all)
    }

    /// These are to be read.
    pub(super) fn add(&mut self, numbers: &[i32]) {
        for &number in numbers {
            self.partitions.entry(number).or_default();
            self.waiting.add(number);
        }
    }

    /// Asks for what comes next of the partitions of which nothing is left, all at once; of one that failed when its time has come.
    pub(super) fn ask(&mut self, now: Instant) {
        let wait = if self.waiting.is_empty() {
            WAIT
        } else {
            Duration::ZERO
        };
        for number in self.waiting.empty() {
            let Some(state) = self.partitions.get_mut(&number) else {
                continue;
            };
            if !state.may_be_asked(now) {
                continue;
            }
            state.is_asked = true;
            let offset = state.fetched;
            let task = match &state.open {
                Some(partition) => {
                    let partition = Arc::clone(partition);
                    let fetch = async move { partition.fetch(offset, wait).await };
                    self.asked
                        .spawn(async move { fetch.await.map(|came| Came::Fetched(offset, came)) })
                }
                None => {
                    let (client, topic) = (Arc::clone(&self.client), self.topic.clone());
                    let position = self.progress.position(number);
                    self.asked
                        .spawn(async move { open(&client, &topic, (number, position)).await })
                }
            };
            self.asks.insert(task.id(), number);
        }
    }

    /// The next answer, with its partition, as long as one is missing that the others wait for; those that are there already of the rest.
    pub(super) async fn answer(&mut self) -> Option<(i32, Answer)> {
        let mut all = self.partitions.values();
        let done = if all.any(State::is_waited_for) {
            self.asked.join_next_with_id().await
        } else {
            self.asked.try_join_next_with_id()
        };
        let (id, answer) = done?.unwrap_or_else(|error| (error.id(), Err(panicked(&error))));
        let number = self.asks.remove(&id)?;
        self.partitions.get_mut(&number)?.is_asked = false;
        Some((number, answer))
    }

    /// A partition can be fetched from this offset on.
    pub(super) fn opened(&mut self, number: i32, partition: Partition, offset: i64) {
        let state = self.partitions.entry(number).or_default();
        state.open = Some(Arc::new(partition));
        state.fetched = offset;
    }

    /// Whether a partition can be fetched, or could when it was asked last.
    pub(super) fn is_open(&self, number: i32) -> bool {
        let state = self.partitions.get(&number);
        state.is_some_and(|state| state.open.is_some())
    }

    /// What `offset` asked for came of a partition.
    pub(super) fn came(&mut self, number: i32, offset: i64, fetched: Fetched) {
        let state = self.partitions.entry(number).or_default();
        state.failed = None;
        match fetched {
            Fetched::Messages {
                messages,
                next,
                end,
            } => {
                state.fetched = next;
                state.behind = (end - next).max(0);
                state.target.get_or_insert(end);
                let at_end = messages.is_empty() && next == offset;
                self.waiting.put(number, (messages, at_end));
            }
            Fetched::Moved { to } => state.fetched = to,
        }
    }

    /// A partition failed; it is asked anew, by another connection, when its time has come.
    ///
    /// # Errors
    /// `error` itself, where no partition is left that did not fail.
    pub(super) fn failed(
        &mut self,
        number: i32,
        error: SourceError,
        now: Instant,
    ) -> Result<SourceError, SourceError> {
        let state = self.partitions.entry(number).or_default();
        state.open = None;
        state.failed = Some(Failed::after(state.failed, error.cause, now));
        self.waiting.pass(number);
        let mut all = self.partitions.values();
        if all.all(|state| state.failed.is_some()) {
            return Err(error);
        }
        Ok(error)
    }

    /// Messages that are there and were not fetched.
    pub(super) fn behind(&self) -> i64 {
        self.partitions.values().map(|state| state.behind).sum()
    }

    /// Whether everything was fetched that was there when it began, but of partitions that do not answer.
    pub(super) fn has_reached(&self) -> bool {
        self.partitions.values().all(State::has_reached)
    }
}

impl State {
    fn may_be_asked(&self, now: Instant) -> bool {
        !self.is_asked && self.failed.is_none_or(|failed| now >= failed.again)
    }

    /// For one that failed nobody waits.
    fn is_waited_for(&self) -> bool {
        self.is_asked && self.failed.is_none()
    }

    fn has_reached(&self) -> bool {
        match self.failed {
            // What cannot be read is soon behind us; who is away may stay away.
            Some(failed) => failed.cause != Cause::Decode,
            None => self.target.is_some_and(|end| self.fetched >= end),
        }
    }
}

impl Failed {
    fn after(before: Option<Self>, cause: Cause, now: Instant) -> Self {
        let pause = before.map_or(LEAST_PAUSE, |before| (2 * before.pause).min(MOST_PAUSE));
        Self {
            cause,
            pause,
            again: now + pause,
        }
    }
}

async fn open(client: &Client, topic: &str, (number, position): (i32, Position)) -> Answer {
    let partition = client.partition(topic, number).await?;
    let offset = match position {
        Position::At(offset) => offset,
        Position::From(place) => begin(&partition, place).await?,
    };
    Ok(Came::Opened(partition, offset))
}

async fn begin(partition: &Partition, place: Place) -> Result<i64, SourceError> {
    match place {
        Place::Earliest => partition.earliest().await,
        Place::Latest => partition.latest().await,
        Place::Since(at) => since(partition, at).await,
    }
}

async fn since(partition: &Partition, at: Millis) -> Result<i64, SourceError> {
    // First: what comes between the two questions is to be read.
    let end = partition.latest().await?;
    Ok(partition.since(at).await?.unwrap_or(end))
}

fn panicked(_: &JoinError) -> SourceError {
    SourceError {
        cause: Cause::Decode,
        message: "fetching panicked; please report it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_failed_is_tried_later_each_time_and_nobody_waits_for_it() {
        let begun = Instant::now();
        let mut state = State {
            is_asked: true,
            ..State::default()
        };
        assert!(state.is_waited_for() && !state.may_be_asked(begun));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let failed = Failed::after(state.failed, Cause::Timeout, begun);
            pauses.push(failed.pause.as_millis());
            state.failed = Some(failed);
        }
        assert_eq!(
            pauses,
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
        assert!(!state.is_waited_for());
        state.is_asked = false;
        assert!(!state.may_be_asked(begun + MOST_PAUSE - LEAST_PAUSE));
        assert!(state.may_be_asked(begun + MOST_PAUSE));
    }

    #[test]
    fn the_past_is_in_when_all_of_it_was_fetched_but_of_those_who_are_away() {
        let mut state = State::default();
        assert!(!state.has_reached(), "nothing is known");
        state.target = Some(7);
        assert!(!state.has_reached());
        state.fetched = 7;
        assert!(state.has_reached());
        for (cause, expected) in [(Cause::Connect, true), (Cause::Decode, false)] {
            state.failed = Some(Failed::after(None, cause, Instant::now()));
            assert_eq!(state.has_reached(), expected, "{cause:?}");
        }
    }
}
