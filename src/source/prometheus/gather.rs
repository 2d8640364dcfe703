//! Puts the answers of several requests together and keeps to the limit on series.

use super::decode::Decoded;
use crate::{
    series::{Labels, Millis, Share},
    source::{Matrix, Prints, SeriesSamples},
};
use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

/// How many left-out series are named.
const NAMED: usize = 3;

/// The answer so far.
#[derive(Debug)]
pub(super) struct Gathered {
    max_series: usize,
    share: Share,
    /// Those that are kept before others, and then who was there first; nothing where every replica is to keep the same.
    known: Option<Arc<Prints>>,
    series: Vec<SeriesSamples>,
    foreign: usize,
    dropped: BTreeSet<u64>,
    examples: Vec<Labels>,
    warnings: Vec<String>,
    rejected: usize,
}

impl Gathered {
    /// Nothing yet; at most `max_series` series of `share` will be kept.
    pub(super) fn new(max_series: usize, share: Share) -> Self {
        Self {
            max_series,
            share,
            known: None,
            series: Vec::new(),
            foreign: 0,
            dropped: BTreeSet::new(),
            examples: Vec::new(),
            warnings: Vec::new(),
            rejected: 0,
        }
    }

    /// Of more than there is room for, those of `known` are kept, then those whose first sample is the oldest.
    pub(super) fn preferring(mut self, known: Option<Arc<Prints>>) -> Self {
        self.known = known;
        self
    }

    /// Adds an answer whose samples are all later than those before.
    pub(super) fn add(&mut self, mut decoded: Decoded) {
        let all = decoded.series.len();
        decoded
            .series
            .retain(|series| self.share.has(&series.labels));
        self.foreign = self.foreign.max(all - decoded.series.len());
        self.rejected += decoded.rejected;
        for warning in decoded.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        let before = std::mem::take(&mut self.series);
        self.series = merge(before, decoded.series);
        self.cut();
    }

    /// Some of the series left out, by labels.
    pub(super) fn examples(&self) -> String {
        let names: Vec<String> = self.examples.iter().map(Labels::to_string).collect();
        names.join(" ")
    }

    /// The whole answer.
    pub(super) fn finish(self) -> Matrix {
        Matrix {
            series: self.series,
            warnings: self.warnings,
            dropped: self.dropped.len(),
            foreign: self.foreign,
            rejected: self.rejected,
        }
    }

    /// Keeps the first by rank. One that is over the limit now stays so when more come: its first sample is later then.
    fn cut(&mut self) {
        if self.series.len() <= self.max_series {
            return;
        }
        let known = self.known.as_deref();
        let mut ranks: Vec<Rank> = self.series.iter().map(|one| rank(one, known)).collect();
        let (_, &mut limit, _) = ranks.select_nth_unstable(self.max_series);
        let (dropped, examples) = (&mut self.dropped, &mut self.examples);
        self.series.retain(|series| {
            let own = rank(series, known);
            let keep = own < limit;
            if !keep && dropped.insert(own.2) && examples.len() < NAMED {
                examples.push(series.labels.clone());
            }
            keep
        });
    }
}

/// Whether it is new, since when it is there, its fingerprint.
type Rank = (bool, Millis, u64);

/// Without `known` by fingerprints alone: every replica keeps the same series, whatever the order they came in.
fn rank(series: &SeriesSamples, known: Option<&Prints>) -> Rank {
    let print = series.labels.fingerprint();
    match known {
        None => (false, 0, print),
        Some(known) => {
            let first = series
                .samples
                .first()
                .map_or(Millis::MAX, |sample| sample.0);
            (!known.contains(&print), first, print)
        }
    }
}

/// Merges two answers sorted by labels; samples of `later` follow those of `earlier`.
fn merge(earlier: Vec<SeriesSamples>, later: Vec<SeriesSamples>) -> Vec<SeriesSamples> {
    if earlier.is_empty() {
        return later;
    }
    let mut merged = Vec::with_capacity(earlier.len().max(later.len()));
    let (mut earlier, mut later) = (earlier.into_iter().peekable(), later.into_iter().peekable());
    while let (Some(one), Some(other)) = (earlier.peek(), later.peek()) {
        match one.labels.cmp(&other.labels) {
            Ordering::Less => merged.extend(earlier.next()),
            Ordering::Greater => merged.extend(later.next()),
            Ordering::Equal => merged.extend(earlier.next().map(|mut series| {
                let more = later.next().map(|later| later.samples);
                series.samples.extend(more.unwrap_or_default());
                series
            })),
        }
    }
    merged.extend(earlier);
    merged.extend(later);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::shard::{Cut, Shard};

    fn series(name: usize, times: &[i64]) -> SeriesSamples {
        SeriesSamples {
            labels: Labels::new([("a", format!("{name:03}"))]).unwrap(),
            samples: times.iter().map(|&at| (at, 1.0)).collect(),
        }
    }

    fn answer(names: impl Iterator<Item = usize>, at: i64) -> Decoded {
        Decoded {
            series: names.map(|name| series(name, &[at])).collect(),
            warnings: vec![String::from("w")],
            rejected: 1,
        }
    }

    #[test]
    fn series_that_come_and_go_are_joined_by_their_labels() {
        let mut all = Gathered::new(10, Share::ALL);
        all.add(answer([1, 3].into_iter(), 1));
        all.add(answer([2, 3].into_iter(), 2));
        let matrix = all.finish();
        let expected = [series(1, &[1]), series(2, &[2]), series(3, &[1, 2])];
        assert_eq!(matrix.series, expected);
        assert_eq!((matrix.rejected, matrix.dropped), (2, 0));
        assert_eq!(matrix.warnings, ["w"]);
    }

    #[test]
    fn the_same_series_are_kept_however_the_answer_is_cut() {
        let mut once = Gathered::new(7, Share::ALL);
        once.add(answer(0..100, 1));
        let mut often = Gathered::new(7, Share::ALL);
        for start in [50, 0, 25, 75] {
            often.add(answer(start..start + 25, 1));
        }
        // A dropped series that comes again is not counted again.
        often.add(answer(0..100, 2));
        assert_eq!(once.examples().matches("a=").count(), NAMED);
        let (once, often) = (once.finish(), often.finish());
        let names = |matrix: &Matrix| -> Vec<Labels> {
            let all = matrix.series.iter();
            all.map(|series| series.labels.clone()).collect()
        };
        assert_eq!(names(&once), names(&often));
        assert_eq!((once.dropped, often.dropped), (93, 93));
        assert_eq!(once.series.len(), 7);
    }

    #[test]
    fn who_goes_on_keeps_what_it_has_and_then_who_was_there_first() {
        // 95 to 99 are old; hundreds come with the newest grid time.
        let mut answer = Decoded {
            series: (0..100).map(|name| series(name, &[3])).collect(),
            warnings: Vec::new(),
            rejected: 0,
        };
        for old in &mut answer.series[95..] {
            old.samples = vec![(1, 1.0), (2, 1.0), (3, 1.0)];
        }
        let kept = |known: Prints| {
            let known = Some(Arc::new(known));
            let mut gathered = Gathered::new(7, Share::ALL).preferring(known);
            gathered.add(Decoded {
                series: answer.series.clone(),
                ..Decoded::default()
            });
            let matrix = gathered.finish();
            assert_eq!((matrix.series.len(), matrix.dropped), (7, 93));
            let all = matrix.series.into_iter();
            all.map(|series| series.labels).collect::<Vec<_>>()
        };
        let name = |name: usize| series(name, &[]).labels;
        let first = kept(Prints::default());
        for old in 95..100 {
            assert!(first.contains(&name(old)), "{old} of {first:?}");
        }
        // From the next time on age says nothing: whoever is known stays.
        let known = [3, 20, 41, 60, 61, 62].map(name);
        let prints = known.iter().map(Labels::fingerprint).collect();
        let next = kept(prints);
        assert!(known.iter().all(|one| next.contains(one)), "{next:?}");
    }

    #[test]
    fn the_limit_is_on_the_series_of_the_shard() {
        let share = |index| Share::of(Cut::Series, Shard::new(index, 3).unwrap());
        let mut kept = 0;
        for index in 0..3 {
            let mut gathered = Gathered::new(60, share(index));
            gathered.add(answer(0..100, 1));
            gathered.add(answer(0..90, 2));
            let matrix = gathered.finish();
            assert_eq!(
                matrix.dropped, 0,
                "foreign series are none that are left out"
            );
            assert_eq!(matrix.foreign, 100 - matrix.series.len());
            assert!(
                matrix
                    .series
                    .iter()
                    .all(|one| share(index).has(&one.labels))
            );
            kept += matrix.series.len();
        }
        assert_eq!(kept, 100);
        let mut narrow = Gathered::new(7, share(0));
        narrow.add(answer(0..100, 1));
        let narrow = narrow.finish();
        assert_eq!(narrow.series.len(), 7);
        assert_eq!(narrow.dropped, 100 - narrow.foreign - 7);
    }
}
