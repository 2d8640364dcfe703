//! How far a topic was read. Outlives the reader, so that another one with other settings goes on where it was.

use super::{Cluster, Start};
use crate::series::Millis;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// A process that has a past begins so long before its end: clocks of those who write differ. What comes twice is left out.
const OVERLAP: Millis = 300_000;
/// What cannot be read is tried so often before it is skipped: it may be the connection.
const PATIENCE: u32 = 3;

/// How far a topic was read.
#[derive(Debug)]
pub struct Progress {
    /// Up to when something is known already.
    known_until: Option<Millis>,
    state: Mutex<State>,
    caught_up: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// Of which topic at which brokers.
    of: Option<(Vec<String>, String)>,
    /// By partition: the offset that is read next.
    next: BTreeMap<i32, i64>,
    /// Where others begin, which were found and not read yet.
    begins: BTreeMap<i32, Place>,
    /// How often in a row what comes next could not be read.
    stumbles: BTreeMap<i32, u32>,
}

/// Where a partition is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// At this offset.
    At(i64),
    /// Nothing of it was read.
    From(Place),
}

/// Where a partition is read from that was not read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Earliest,
    Latest,
    /// The first message that came at this time or later.
    Since(Millis),
}

impl Progress {
    /// Nothing was read yet by this process; former ones knew something up to `known_until`.
    pub fn new(known_until: Option<Millis>) -> Self {
        Self {
            known_until,
            state: Mutex::default(),
            caught_up: watch::Sender::new(false),
        }
    }

    /// Tells when everything was read that was there at the start, or that nobody should wait for it any longer.
    pub(super) fn caught_up(&self) -> watch::Receiver<bool> {
        self.caught_up.subscribe()
    }

    /// It is so now.
    pub(super) fn is_caught_up(&self) {
        self.caught_up.send_replace(true);
    }

    /// Reads on in this topic. Where it is another one than before, nothing of it was read: the name is another, or no broker is
    /// among those that were named before.
    pub(super) fn read_on(&self, cluster: &Cluster) {
        let mut state = self.state();
        let is_same = state.of.as_ref().is_some_and(|(brokers, topic)| {
            let is_known = |broker| brokers.contains(broker);
            *topic == cluster.topic && cluster.brokers.iter().any(is_known)
        });
        if !is_same {
            *state = State::default();
        }
        state.of = Some((cluster.brokers.clone(), cluster.topic.clone()));
    }

    /// There are these partitions. Where one that is new begins is decided now, as others may be read before it answers.
    pub(super) fn found(&self, partitions: &[i32], start: Start, now: Millis) {
        let place = self.place(start, now);
        let mut state = self.state();
        for partition in partitions {
            if !state.next.contains_key(partition) {
                state.begins.entry(*partition).or_insert(place);
            }
        }
    }

    /// A partition did not answer at `now`. What comes from then on is not lost.
    pub(super) fn missed(&self, partition: i32, now: Millis) {
        if let Some(place @ Place::Latest) = self.state().begins.get_mut(&partition) {
            *place = Place::Since(now);
        }
    }

    /// Where a partition is read from.
    pub(super) fn position(&self, partition: i32) -> Position {
        let state = self.state();
        let place = state.begins.get(&partition);
        match state.next.get(&partition) {
            Some(offset) => Position::At(*offset),
            None => Position::From(place.copied().unwrap_or(Place::Earliest)),
        }
    }

    /// A partition is read from `offset` on; nothing changes where it was read before.
    pub(super) fn begin(&self, partition: i32, offset: i64) {
        let mut state = self.state();
        state.begins.remove(&partition);
        state.next.entry(partition).or_insert(offset);
    }

    /// Where a partition begins of which nothing was read. One that is new has only what nobody has read.
    fn place(&self, start: Start, now: Millis) -> Place {
        let state = self.state();
        if !state.next.is_empty() || !state.begins.is_empty() {
            return Place::Earliest;
        }
        match (self.known_until, start) {
            (Some(until), _) => Place::Since(until.min(now) - OVERLAP),
            (None, Start::Earliest) => Place::Earliest,
            (None, Start::Latest) => Place::Latest,
            (None, Start::Back(span)) => Place::Since(now - span.as_millis()),
        }
    }

    /// Everything before `offset` was read.
    pub(super) fn advance(&self, partition: i32, offset: i64) {
        let mut state = self.state();
        state.begins.remove(&partition);
        state.next.insert(partition, offset);
        state.stumbles.remove(&partition);
    }

    /// What comes next could be read, or that there is nothing.
    pub(super) fn could_be_read(&self, partition: i32) {
        self.state().stumbles.remove(&partition);
    }

    /// What comes next cannot be read. After some attempts it is skipped, more from one time to the next as nobody knows where
    /// what is sound begins again; tells how many messages.
    pub(super) fn stumble(&self, partition: i32) -> u64 {
        let mut state = self.state();
        let State { next, stumbles, .. } = &mut *state;
        let Some(offset) = next.get_mut(&partition) else {
            return 0;
        };
        let times = stumbles.entry(partition).or_insert(0);
        *times += 1;
        let Some(beyond) = times.checked_sub(PATIENCE) else {
            return 0;
        };
        let skipped = 1_u64 << beyond.min(20);
        *offset += skipped as i64;
        skipped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Span;

    fn topic(name: &str) -> Cluster {
        topic_at(name, &["a:9092"])
    }

    fn topic_at(name: &str, brokers: &[&str]) -> Cluster {
        Cluster {
            brokers: brokers.iter().map(|&broker| broker.to_owned()).collect(),
            topic: name.to_owned(),
            tls_config: None,
            sasl: None,
        }
    }

    #[test]
    fn it_begins_where_the_past_ends_or_where_it_is_told() {
        let hour = Span::minutes(60);
        let now = 10 * hour.as_millis();
        let fresh = Progress::new(None);
        assert_eq!(fresh.place(Start::Latest, now), Place::Latest);
        assert_eq!(fresh.place(Start::Earliest, now), Place::Earliest);
        let back = fresh.place(Start::Back(hour), now);
        assert_eq!(back, Place::Since(now - hour.as_millis()));
        for start in [Start::Latest, Start::Earliest, Start::Back(hour)] {
            let restarted = Progress::new(Some(now - 1_000));
            let place = Place::Since(now - 1_000 - OVERLAP);
            assert_eq!(restarted.place(start, now), place);
        }
        // What was written by a clock that was ahead.
        let ahead = Progress::new(Some(now + 1));
        assert_eq!(ahead.place(Start::Latest, now), Place::Since(now - OVERLAP));
        fresh.read_on(&topic("t"));
        fresh.advance(0, 7);
        assert_eq!(
            fresh.place(Start::Latest, now),
            Place::Earliest,
            "a new partition"
        );
    }

    #[test]
    fn another_reader_of_the_same_topic_goes_on() {
        let progress = Progress::new(None);
        progress.read_on(&topic("t"));
        progress.advance(0, 7);
        progress.read_on(&topic("t"));
        assert_eq!(progress.position(0), Position::At(7));
        progress.read_on(&topic("u"));
        assert_eq!(progress.position(0), Position::From(Place::Earliest));
    }

    #[test]
    fn brokers_may_be_named_one_after_another_without_beginning_anew() {
        let progress = Progress::new(None);
        progress.read_on(&topic_at("t", &["a:9092"]));
        progress.advance(0, 7);
        for brokers in [&["b:9092", "a:9092"][..], &["c:9092", "b:9092"]] {
            progress.read_on(&topic_at("t", brokers));
            assert_eq!(progress.position(0), Position::At(7), "{brokers:?}");
        }
        progress.read_on(&topic_at("t", &["a:9092"]));
        let anew = Position::From(Place::Earliest);
        assert_eq!(progress.position(0), anew, "another cluster, perhaps");
    }

    #[test]
    fn what_cannot_be_read_is_tried_again_and_then_skipped() {
        let progress = Progress::new(None);
        assert_eq!(progress.stumble(0), 0, "nothing is known of it");
        progress.advance(0, 10);
        let skipped: Vec<u64> = (0..6).map(|_| progress.stumble(0)).collect();
        assert_eq!(skipped, [0, 0, 1, 2, 4, 8]);
        assert_eq!(progress.position(0), Position::At(25));
        progress.advance(0, 26);
        assert_eq!(progress.stumble(0), 0);
        for _ in 0..2 * PATIENCE {
            assert_eq!(progress.stumble(0), 0, "not in a row");
            progress.could_be_read(0);
        }
        assert_eq!(progress.position(0), Position::At(26));
    }

    #[test]
    fn a_partition_that_does_not_answer_at_first_begins_where_it_was_told() {
        let progress = Progress::new(None);
        progress.read_on(&topic("t"));
        progress.found(&[0, 1], Start::Latest, 1_000);
        progress.missed(1, 2_000);
        progress.begin(0, 7);
        progress.begin(0, 3);
        assert_eq!(progress.position(0), Position::At(7));
        progress.found(&[0, 1, 2], Start::Latest, 3_000);
        progress.missed(1, 4_000);
        let since = Position::From(Place::Since(2_000));
        assert_eq!(
            progress.position(1),
            since,
            "what came meanwhile is not lost"
        );
        let new = Position::From(Place::Earliest);
        assert_eq!(progress.position(2), new, "nobody has read it");
    }
}
