//! Which of several processes carries a series: exactly one, by a hash of its labels.

use super::Labels;
use std::{fmt, num::NonZeroU32, str::FromStr, sync::Arc};
use xxhash_rust::xxh3::xxh3_64;

/// One of several processes that divide the series between them, written `1/3`: the second of three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: NonZeroU32,
}

/// More processes than this nobody means: each reads every answer of the sources.
const MOST: u32 = 1_000;

impl Shard {
    /// The process number `index`, from 0 on, of `count`; `None` where there is no such one.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        let count = NonZeroU32::new(count).filter(|count| count.get() <= MOST)?;
        (index < count.get()).then_some(Self { index, count })
    }

    /// Which one it is, from 0 on.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.count.get()
    }

    /// Hashed once more: the hash of the labels chooses other things too, such as when a series is derived anew, and
    /// those are to be spread evenly in each shard.
    fn place(self, hash: u64) -> u32 {
        // The rest is below the divisor, which fits.
        (xxh3_64(&hash.to_le_bytes()) % u64::from(self.count())) as u32
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let numbers =
            parts.and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let shard = numbers.and_then(|(index, count)| Self::new(index, count));
        shard.ok_or_else(|| {
            format!(
                "{text:?} is not a shard; write which one, from 0 on, and how many there are (1 to {MOST}), as in 0/3, 1/3 and 2/3"
            )
        })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// What the shard of a series follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// All its labels.
    Series,
    /// These labels: series in which they have the same values are in one shard.
    Labels(Arc<[String]>),
    /// This name, which all of them share: they are in one shard.
    Together(Arc<str>),
}

impl Cut {
    /// Which of as many shards as `of` is one of has the series with these labels, from 0 on.
    pub fn shard(&self, labels: &Labels, of: Shard) -> u32 {
        let hash = match self {
            Self::Series => labels.fingerprint(),
            Self::Labels(names) => labels.fingerprint_of(names),
            Self::Together(name) => xxh3_64(name.as_bytes()),
        };
        of.place(hash)
    }
}

/// What one process carries of the series of a signal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Share(Option<(Cut, Shard)>);

impl Share {
    /// Every series.
    pub const ALL: Self = Self(None);

    /// The series of this shard.
    pub fn of(cut: Cut, shard: Shard) -> Self {
        Self((shard.count() > 1).then_some((cut, shard)))
    }

    /// Whether it has the series with these labels.
    pub fn has(&self, labels: &Labels) -> bool {
        let Some((cut, shard)) = &self.0 else {
            return true;
        };
        cut.shard(labels, *shard) == shard.index
    }

    /// Whether no series can be in it: all are together in another shard.
    pub fn is_nothing(&self) -> bool {
        match &self.0 {
            Some((Cut::Together(_), _)) => !self.has(&Labels::default()),
            _ => false,
        }
    }

    /// Whether it has what `other` has.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.is_none() || self == other
    }

    /// What has both: everything, where they differ.
    pub fn wider(self, other: &Self) -> Self {
        if self == *other { self } else { Self::ALL }
    }

    /// Of how many parts of about the same size it is one: what is all together in one shard is one part.
    pub fn parts(&self) -> usize {
        match &self.0 {
            None | Some((Cut::Together(_), _)) => 1,
            Some((_, shard)) => usize::try_from(shard.count()).unwrap_or(usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn names(names: &[&str]) -> Arc<[String]> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn labels() -> impl Strategy<Value = Labels> {
        let pairs = prop::collection::btree_map("[a-d]", "[a-z]{0,3}", 0..4);
        pairs.prop_map(|pairs| Labels::new(pairs).unwrap())
    }

    fn cut() -> impl Strategy<Value = Cut> {
        prop_oneof![
            Just(Cut::Series),
            prop::collection::vec("[a-d]", 1..3).prop_map(|names| Cut::Labels(names.into())),
            "[a-z]{1,4}".prop_map(|name| Cut::Together(name.into())),
        ]
    }

    fn shares(cut: &Cut, count: u32) -> Vec<Share> {
        let shards = (0..count).map(|index| Shard::new(index, count).unwrap());
        shards.map(|shard| Share::of(cut.clone(), shard)).collect()
    }

    proptest! {
        #[test]
        fn each_series_is_in_exactly_one_shard(cut in cut(), count in 1..9_u32, labels in labels()) {
            let all = shares(&cut, count);
            prop_assert_eq!(all.iter().filter(|share| share.has(&labels)).count(), 1);
            let nothing = all.iter().any(|share| share.is_nothing() && share.has(&labels));
            prop_assert!(!nothing);
        }

        #[test]
        fn what_belongs_together_is_in_one_shard(
            count in 1..9_u32,
            one in labels(),
            other in labels(),
            by in prop::collection::vec("[a-d]", 1..3),
        ) {
            let equal = one.only(&by) == other.only(&by);
            let cut = Cut::Labels(by.into());
            let of = Shard::new(0, count).unwrap();
            prop_assert!(!equal || cut.shard(&one, of) == cut.shard(&other, of));
            let together = Cut::Together("x".into());
            prop_assert_eq!(together.shard(&one, of), together.shard(&other, of));
        }
    }

    #[test]
    fn one_shard_has_everything() {
        let only = Share::of(Cut::Series, Shard::new(0, 1).unwrap());
        assert_eq!((&only, only.parts()), (&Share::ALL, 1));
        assert!(Share::ALL.has(&Labels::default()) && !Share::ALL.is_nothing());
    }

    #[test]
    fn what_is_together_is_one_part_and_the_rest_as_many_as_there_are_shards() {
        assert!(
            shares(&Cut::Series, 3)
                .iter()
                .all(|share| share.parts() == 3)
        );
        let together = shares(&Cut::Together("cpu".into()), 3);
        assert!(together.iter().all(|share| share.parts() == 1));
    }

    #[test]
    fn series_are_spread_evenly_whatever_else_their_hash_chooses() {
        let series: Vec<Labels> = (0..30_000)
            .map(|n| Labels::new([("n", n.to_string())]).unwrap())
            .collect();
        for share in shares(&Cut::Series, 3) {
            let own: Vec<&Labels> = series.iter().filter(|one| share.has(one)).collect();
            assert!((9_500..10_500).contains(&own.len()), "{}", own.len());
            // Grid times of derivations are such a remainder.
            let places: Vec<u64> = own.iter().map(|one| one.fingerprint() % 3).collect();
            for place in 0..3 {
                let here = places.iter().filter(|own| **own == place).count();
                assert!((3_000..3_700).contains(&here), "{here}");
            }
        }
    }

    #[test]
    fn the_shard_of_a_series_never_changes_with_the_version() {
        let pod = Labels::new([("namespace", "shop"), ("pod", "cart-1")]).unwrap();
        let of = |cut: Cut| cut.shard(&pod, Shard::new(0, 1_000).unwrap());
        let by = of(Cut::Labels(names(&["namespace"])));
        let found = [of(Cut::Series), by, of(Cut::Together("cpu".into()))];
        assert_eq!(found, [336, 299, 742]);
    }

    #[test]
    fn shares_that_differ_are_covered_by_everything_alone() {
        let of = |index| Share::of(Cut::Series, Shard::new(index, 3).unwrap());
        assert!(of(1).covers(&of(1)) && !of(1).covers(&of(2)) && !of(1).covers(&Share::ALL));
        assert!(Share::ALL.covers(&of(1)));
        assert_eq!(of(1).wider(&of(1)), of(1));
        assert_eq!(of(1).wider(&of(2)), Share::ALL);
    }

    #[test]
    fn a_shard_is_written_as_which_of_how_many() {
        for text in ["0/1", "2/3", "999/1000"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        let distinct: BTreeSet<String> = (0..3)
            .map(|index| Shard::new(index, 3).unwrap().to_string())
            .collect();
        assert_eq!(distinct.len(), 3);
        for bad in [
            "3/3", "1", "", "1/", "-1/3", "0/0", "a/b", "0/1001", "1/3/5",
        ] {
            let error = bad.parse::<Shard>().unwrap_err();
            assert!(error.contains("as in 0/3"), "{bad}: {error}");
        }
    }
}
