//! The messages of several partitions in the order in which they were written, so that the past of one does not come too late
//! beside that of another. Pure.

use super::client::Message;
use std::collections::{BTreeMap, VecDeque};

/// What was fetched and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Merge {
    partitions: BTreeMap<i32, Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// Nothing more could be read when it was asked for last.
    at_end: bool,
}

impl Merge {
    /// A partition that is read.
    pub(super) fn add(&mut self, partition: i32) {
        self.partitions.entry(partition).or_default();
    }

    /// Those of which nothing is left, which must be fetched.
    pub(super) fn empty(&self) -> Vec<i32> {
        let empty = self.partitions.iter();
        let empty = empty.filter(|(_, waiting)| waiting.messages.is_empty());
        empty.map(|(partition, _)| *partition).collect()
    }

    /// Whether nothing is left of any.
    pub(super) fn is_empty(&self) -> bool {
        let mut all = self.partitions.values();
        all.all(|waiting| waiting.messages.is_empty())
    }

    /// What came of a partition, in order, and whether nothing more can be read of it now.
    pub(super) fn put(&mut self, partition: i32, (messages, at_end): (Vec<Message>, bool)) {
        let waiting = self.partitions.entry(partition).or_default();
        waiting.at_end = at_end;
        waiting.messages.extend(messages);
    }

    /// A partition of which nothing is left does not answer: nobody waits for what comes next of it, until something does.
    pub(super) fn pass(&mut self, partition: i32) {
        self.partitions.entry(partition).or_default().at_end = true;
    }

    /// The next message of all of them, with its partition; none while it is not known what comes next of one.
    pub(super) fn next(&mut self) -> Option<(i32, Message)> {
        let is_open = |waiting: &Waiting| waiting.messages.is_empty() && !waiting.at_end;
        if self.partitions.values().any(is_open) {
            return None;
        }
        let heads = self
            .partitions
            .iter_mut()
            .filter_map(|(partition, waiting)| {
                let at = waiting.messages.front()?.at;
                Some((at, *partition, waiting))
            });
        let (_, partition, waiting) = heads.min_by_key(|&(at, partition, _)| (at, partition))?;
        Some((partition, waiting.messages.pop_front()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(at: i64) -> Message {
        Message {
            offset: at,
            at,
            value: None,
        }
    }

    fn drain(merge: &mut Merge) -> Vec<(i32, i64)> {
        let next = std::iter::from_fn(|| merge.next());
        next.map(|(partition, message)| (partition, message.at))
            .collect()
    }

    #[test]
    fn messages_come_in_the_order_in_which_they_were_written() {
        let mut merge = Merge::default();
        for partition in 0..3 {
            merge.add(partition);
        }
        assert_eq!(merge.empty(), [0, 1, 2]);
        let came = |times: &[i64]| (times.iter().copied().map(message).collect(), false);
        merge.put(0, came(&[1, 4, 5]));
        assert_eq!(drain(&mut merge), [], "of the others nothing is known");
        merge.put(1, came(&[2, 3]));
        merge.put(2, (Vec::new(), true));
        assert_eq!(drain(&mut merge), [(0, 1), (1, 2), (1, 3)]);
        assert_eq!(merge.empty(), [1, 2]);
        assert!(!merge.is_empty());
        merge.put(1, (Vec::new(), true));
        merge.put(2, came(&[4]));
        assert_eq!(drain(&mut merge), [(0, 4), (2, 4)]);
        merge.put(2, (Vec::new(), true));
        assert_eq!(drain(&mut merge), [(0, 5)]);
        assert!(merge.is_empty());
        merge.put(0, (Vec::new(), false));
        merge.put(1, came(&[6]));
        assert_eq!(
            drain(&mut merge),
            [],
            "the end of a transaction is not that of a partition"
        );
    }

    #[test]
    fn a_partition_that_does_not_answer_holds_back_no_other() {
        let mut merge = Merge::default();
        merge.add(0);
        merge.add(1);
        let came = |times: &[i64]| (times.iter().copied().map(message).collect(), false);
        merge.put(0, came(&[1, 4]));
        assert_eq!(drain(&mut merge), []);
        merge.pass(1);
        assert_eq!(drain(&mut merge), [(0, 1), (0, 4)]);
        assert_eq!(merge.empty(), [0, 1], "it is asked again");
        merge.put(0, came(&[5, 6]));
        merge.put(1, came(&[2]));
        assert_eq!(drain(&mut merge), [(1, 2)], "it answers, and is waited for");
    }
}
