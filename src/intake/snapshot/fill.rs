//! What one image knows in the gaps of another: samples of former times beside what came by itself.

use super::{Image, ImageError, MadeImage, MemberImage, archive_of, differences, made_image};
use crate::{intake::archive::Archive, series::Millis};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// No step of anybody's past is outside, and their differences are numbers.
const FIRST: i64 = i64::MIN / 4;
const LAST: i64 = i64::MAX / 4;

/// What became of the gaps of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filled {
    /// Values of grid times that nothing was known of.
    pub values: usize,
    /// Series that have some of them.
    pub series: usize,
    /// Values that were there already, and stayed.
    pub kept: usize,
    /// Series whose newest samples came with them.
    pub newer: usize,
    /// The first and the last of those grid times.
    pub span: Option<(Millis, Millis)>,
}

impl Filled {
    /// A series got values of steps from the `first` to the `last`.
    fn count(&mut self, values: usize, first: Millis, last: Millis) {
        self.values += values;
        self.series += 1;
        let (from, to) = self.span.unwrap_or((first, last));
        self.span = Some((from.min(first), to.max(last)));
    }
}

impl Image {
    /// Puts what `other` knows into the gaps: what is here stays. Steps before `oldest` are left out. `other` has the same
    /// selection and grid.
    ///
    /// # Errors
    /// What of either is broken. Nothing is taken then.
    pub fn fill(&mut self, other: &Self, oldest: i64) -> Result<Filled, ImageError> {
        let mut filled = Filled::default();
        self.fill_made(other, oldest, &mut filled)?;
        self.reached = self.reached.max(other.reached);
        let key = |member: &MemberImage| (member.name.clone(), member.labels.clone());
        let places: HashMap<_, usize> = self.members.iter().map(key).zip(0..).collect();
        for member in &other.members {
            let place = places.get(&key(member)).copied();
            if other.is_plain() {
                self.fill_member(place, member, oldest, &mut filled);
            } else {
                filled.newer += usize::from(self.take_member(place, member));
            }
        }
        Ok(filled)
    }

    fn fill_made(
        &mut self,
        other: &Self,
        oldest: i64,
        filled: &mut Filled,
    ) -> Result<(), ImageError> {
        let mut made = self.made.clone();
        let places = made.iter().map(|own| own.labels.clone()).zip(0..);
        let places: HashMap<Vec<String>, usize> = places.collect();
        for image in &other.made {
            let own = places.get(&image.labels).map(|place| &mut made[*place]);
            let known = own.as_deref().map_or(Ok(BTreeMap::new()), values_of)?;
            let mut values = values_of(image)?.split_off(&oldest);
            let is_known = |index: &i64| known.contains_key(index);
            filled.kept += values.keys().filter(|index| is_known(index)).count();
            values.retain(|index, _| !is_known(index));
            let (Some((first, _)), Some((last, _))) =
                (values.first_key_value(), values.last_key_value())
            else {
                continue;
            };
            filled.count(values.len(), *first * self.step, *last * self.step);
            values.extend(known);
            let image = made_image(image.labels.clone(), &archive(values));
            match own {
                Some(own) => *own = image,
                None => made.push(image),
            }
        }
        self.made = made;
        Ok(())
    }

    /// The newest samples of a series that values were made of, where they are newer than those that are here; whether they are.
    fn take_member(&mut self, place: Option<usize>, member: &MemberImage) -> bool {
        match place.map(|place| &mut self.members[place]) {
            Some(own) if own.newest() >= member.newest() => return false,
            Some(own) => own.clone_from(member),
            None => self.members.push(member.clone()),
        }
        true
    }

    /// The samples of a series that values are still to be made of: of each step where there is none here.
    fn fill_member(
        &mut self,
        place: Option<usize>,
        member: &MemberImage,
        oldest: i64,
        filled: &mut Filled,
    ) {
        let place = place.unwrap_or_else(|| {
            self.members.push(MemberImage {
                times: Vec::new(),
                values: Vec::new(),
                ..member.clone()
            });
            self.members.len() - 1
        });
        let (step, own) = (self.step.max(1), &mut self.members[place]);
        filled.newer += usize::from(own.newest() < member.newest());
        let mut samples: BTreeMap<Millis, f64> = own.samples().collect();
        let known: BTreeSet<i64> = samples.keys().map(|at| at.div_euclid(step)).collect();
        let mut steps = BTreeSet::new();
        for (at, value) in member.samples() {
            let index = at.div_euclid(step);
            if !known.contains(&index) {
                steps.insert(index);
                samples.insert(at, value);
            } else if index >= oldest {
                filled.kept += 1;
            }
        }
        let steps = steps.split_off(&oldest);
        if let (Some(first), Some(last)) = (steps.first(), steps.last()) {
            filled.count(steps.len(), first * step, last * step);
        }
        own.times = differences(samples.keys().copied());
        own.values = samples.into_values().collect();
    }
}

impl MemberImage {
    fn samples(&self) -> impl Iterator<Item = (Millis, f64)> {
        let mut at: Millis = 0;
        let times = self.times.iter().map(move |later| {
            at = at.saturating_add(*later);
            at
        });
        times.zip(self.values.iter().copied())
    }
}

/// The values of a past, gaps left out.
fn values_of(image: &MadeImage) -> Result<BTreeMap<i64, f32>, ImageError> {
    let archive = archive_of(image).ok_or_else(|| ImageError::Past(image.labels.join(",")))?;
    let mut values = BTreeMap::new();
    archive.read(FIRST, LAST, |index, value| {
        values.insert(index, value);
    });
    Ok(values)
}

fn archive(values: BTreeMap<i64, f32>) -> Archive {
    let mut archive = Archive::default();
    for (index, value) in values {
        // In ascending order nothing is too old.
        archive.set(index, value);
    }
    archive
}
