//! The series of a hub and where their samples go, in 32 bytes each beside an index of their keys.

use hashbrown::HashTable;

/// Where samples of a series go: a seat, and the place of the series in its recorder.
pub(super) type Target = (u32, u32);

/// In place of a seat: there is no target.
const NOBODY: u32 = u32::MAX;
/// In place of a seat: there are several, in this place of the list of those.
const SEVERAL: u32 = u32::MAX - 1;
/// Entries grow by a sixteenth: room for twice as many would be as much again.
const GROWTH: usize = 16;

/// What a series is known by: 128 bits of a hash of its name and labels that nobody outside can foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesKey([u64; 2]);

impl SeriesKey {
    pub(super) fn of(hash: u128) -> Self {
        Self([hash as u64, (hash >> 64) as u64])
    }

    /// As a number.
    pub fn hash(self) -> u128 {
        u128::from(self.0[0]) | u128::from(self.0[1]) << 64
    }
}

/// Where the samples of one series go. Asked for once and used while [`Hub::generation`](super::Hub::generation) is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    index: u32,
    version: u32,
}

impl Route {
    /// Nobody wants it.
    pub const NOWHERE: Self = Self {
        index: u32::MAX,
        version: 0,
    };

    /// Other shards carry what is made of it.
    pub const ELSEWHERE: Self = Self {
        index: u32::MAX,
        version: 1,
    };

    /// Whether samples that go there are kept.
    pub fn is_kept(self) -> bool {
        self.index != u32::MAX
    }

    /// The route of this number.
    #[cfg(test)]
    pub(crate) const fn of(index: u32) -> Self {
        Self { index, version: 0 }
    }
}

/// One series, or a place where there was one.
#[derive(Debug, Clone)]
struct Entry {
    key: SeriesKey,
    to: Target,
    /// How many series had the place before.
    version: u32,
    /// When it was offered to all signals: of which generation of the hub.
    offered: u32,
}

/// The series of a hub.
#[derive(Debug, Default)]
pub(super) struct Routes {
    entries: Vec<Entry>,
    vacant: Vec<u32>,
    by_key: HashTable<u32>,
    several: Vec<Vec<Target>>,
    /// Lists of `several` that are free.
    spare: Vec<u32>,
}

impl Routes {
    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The number of a series.
    pub(super) fn find(&self, key: SeriesKey) -> Option<u32> {
        let found = self.by_key.find(key.0[0], |index| self.is_of(*index, key));
        found.copied()
    }

    /// As [`Routes::find`]; senders mostly send series in the order in which they sent them first, so the one after `before` is
    /// looked at first.
    pub(super) fn find_after(&self, before: u32, key: SeriesKey) -> Option<u32> {
        let next = before.wrapping_add(1);
        if self.is_of(next, key) {
            return Some(next);
        }
        self.find(key)
    }

    /// Whether it is there, of this key.
    fn is_of(&self, index: u32, key: SeriesKey) -> bool {
        let entry = self.entries.get(index as usize);
        entry.is_some_and(|entry| entry.key == key && entry.to.0 != NOBODY)
    }

    /// The route to a series.
    pub(super) fn route(&self, index: u32) -> Route {
        let entry = self.entries.get(index as usize);
        Route {
            index,
            version: entry.map_or(0, |entry| entry.version),
        }
    }

    /// The targets of a route; `None` where its series is no more.
    pub(super) fn targets_of(&self, route: Route) -> Option<&[Target]> {
        let entry = self.entries.get(route.index as usize)?;
        (entry.version == route.version).then(|| self.targets(entry))
    }

    /// Whether a series was offered to all signals in this generation.
    pub(super) fn is_offered(&self, index: u32, generation: u64) -> bool {
        let entry = self.entries.get(index as usize);
        entry.is_some_and(|entry| entry.offered == generation as u32)
    }

    /// A series was offered to all signals in this generation.
    pub(super) fn offered(&mut self, index: u32, generation: u64) {
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.offered = generation as u32;
        }
    }

    fn targets<'a>(&'a self, entry: &'a Entry) -> &'a [Target] {
        match entry.to {
            (NOBODY, _) => &[],
            (SEVERAL, list) => self.several.get(list as usize).map_or(&[], Vec::as_slice),
            _ => std::slice::from_ref(&entry.to),
        }
    }

    /// Whether samples of a series go to a seat.
    pub(super) fn goes_to(&self, index: u32, seat: u32) -> bool {
        let entry = self.entries.get(index as usize);
        let targets = entry.map_or(&[][..], |entry| self.targets(entry));
        targets.iter().any(|target| target.0 == seat)
    }

    /// A new series, with its first target.
    pub(super) fn enter(&mut self, key: SeriesKey, to: Target) -> u32 {
        let index = match self.vacant.pop() {
            Some(index) => {
                let entry = &mut self.entries[index as usize];
                (entry.key, entry.to, entry.offered) = (key, to, 0);
                index
            }
            None => {
                if self.entries.len() == self.entries.capacity() {
                    self.entries.reserve_exact(self.entries.len() / GROWTH + 16);
                }
                self.entries.push(Entry {
                    key,
                    to,
                    version: 0,
                    offered: 0,
                });
                (self.entries.len() - 1) as u32
            }
        };
        let entries = &self.entries;
        let hash = |index: &u32| entries[*index as usize].key.0[0];
        self.by_key.insert_unique(key.0[0], index, hash);
        index
    }

    /// Another target of a series.
    pub(super) fn add(&mut self, index: u32, target: Target) {
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return;
        };
        match entry.to {
            (SEVERAL, list) => self.several[list as usize].push(target),
            first => {
                let list = self.spare.pop().unwrap_or_else(|| {
                    self.several.push(Vec::new());
                    (self.several.len() - 1) as u32
                });
                self.several[list as usize].extend([first, target]);
                entry.to = (SEVERAL, list);
            }
        }
    }

    /// Changes targets to what `keep` makes of them, forgets those of which it makes none, and the series that no target is left for.
    /// Says whether one that lost a target has others left.
    pub(super) fn change(&mut self, keep: impl Fn(Target) -> Option<Target>) -> bool {
        let mut others = false;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            match entry.to {
                (NOBODY, _) => continue,
                (SEVERAL, list) => {
                    let targets = &mut self.several[list as usize];
                    let before = targets.len();
                    targets.retain_mut(|target| {
                        let kept = keep(*target);
                        *target = kept.unwrap_or(*target);
                        kept.is_some()
                    });
                    others |= !targets.is_empty() && targets.len() < before;
                    if let [] | [_] = targets[..] {
                        entry.to = targets.pop().unwrap_or((NOBODY, 0));
                        self.spare.push(list);
                    }
                }
                target => entry.to = keep(target).unwrap_or((NOBODY, 0)),
            }
            if entry.to.0 == NOBODY {
                let of_it = self
                    .by_key
                    .find_entry(entry.key.0[0], |own| *own == index as u32);
                if let Ok(found) = of_it {
                    found.remove();
                }
                entry.version = entry.version.wrapping_add(1);
                self.vacant.push(index as u32);
            }
        }
        others
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let several = self.several.iter();
        let targets: usize = several.map(Vec::capacity).sum();
        self.entries.capacity() * size_of::<Entry>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.by_key.allocation_size()
            + self.spare.capacity() * size_of::<u32>()
            + self.several.capacity() * size_of::<Vec<Target>>()
            + targets * size_of::<Target>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_targets_are_used_again() {
        let mut routes = Routes::default();
        let keys = (0..100_u32).map(|n| (n, SeriesKey::of(u128::from(n))));
        for (n, key) in keys.clone() {
            routes.enter(key, (0, n));
        }
        for round in 0..3 {
            for (n, key) in keys.clone() {
                let index = routes.find(key).unwrap();
                routes.add(index, (1, n));
                routes.add(index, (2, 100 + n));
            }
            assert_eq!((routes.several.len(), routes.spare.len()), (100, 0));
            // One goes, one moves.
            let others = routes.change(|(seat, place)| (seat != 1).then_some((seat, place + 1)));
            assert!(others);
            for (n, key) in keys.clone() {
                let route = routes.route(routes.find(key).unwrap());
                let first = (0, n + 1 + 2 * round);
                let expected = [first, (2, 101 + n)];
                assert_eq!(routes.targets_of(route), Some(&expected[..]));
            }
            assert!(routes.change(|(seat, place)| (seat == 0).then_some((seat, place + 1))));
            assert_eq!((routes.several.len(), routes.spare.len()), (100, 100));
        }
        assert!(!routes.change(|_| None));
        assert_eq!((routes.len(), routes.vacant.len()), (0, 100));
    }
}
