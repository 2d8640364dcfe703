//! A recorder as bytes, and back: what was scraped or pushed cannot be read again.
//!
//! A Protocol Buffers message, compressed with DEFLATE piece by piece as it lies in memory. The file around it, with its version and
//! checksum, is made by `source::local`.

use super::{
    Recorder, Shape,
    archive::{Archive, Piece},
    raw::Raw,
    recorder::Claim,
};
use crate::series::{Labels, Millis};
use prost::Message;
use std::collections::{BTreeMap, HashMap};

/// Numbers of labels, bytes and samples beyond this are those of a broken file.
const MOST_LABELS: usize = 4_096;

/// No step of anybody's past is outside, and their differences are numbers.
const FIRST: i64 = i64::MIN / 4;
const LAST: i64 = i64::MAX / 4;

/// A recorder at rest.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    /// What its signal selects, as PromQL.
    #[prost(string, tag = "1")]
    pub selection: String,
    /// Milliseconds from one grid time to the next.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// Newest step that was computed.
    #[prost(sint64, optional, tag = "3")]
    reached: Option<i64>,
    #[prost(message, repeated, tag = "4")]
    made: Vec<MadeImage>,
    #[prost(message, repeated, tag = "5")]
    members: Vec<MemberImage>,
}

#[derive(Clone, PartialEq, Message)]
struct MadeImage {
    /// Names and values in turn.
    #[prost(string, repeated, tag = "1")]
    labels: Vec<String>,
    #[prost(sint64, repeated, tag = "2")]
    starts: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pieces: Vec<Vec<u8>>,
    #[prost(sint64, tag = "4")]
    start: i64,
    #[prost(float, repeated, tag = "5")]
    open: Vec<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct MemberImage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    labels: Vec<String>,
    /// The first as it is, the others as what they are later.
    #[prost(sint64, repeated, tag = "3")]
    times: Vec<i64>,
    #[prost(double, repeated, tag = "4")]
    values: Vec<f64>,
}

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
    fn reach(&mut self, first: Millis, last: Millis) {
        let (from, to) = self.span.unwrap_or((first, last));
        self.span = Some((from.min(first), to.max(last)));
    }
}

/// What in an image cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A label set.
    #[error("the labels {0:?} are no label set")]
    Labels(Vec<String>),
    /// The past of a series.
    #[error("the past of {0} is broken")]
    Past(String),
    /// The newest samples of a series.
    #[error("the newest samples of {0} are broken")]
    Samples(String),
}

impl Image {
    /// Of a recorder.
    pub fn of(recorder: &Recorder) -> Self {
        let shape = recorder.shape();
        let members = recorder.all_members().map(|member| MemberImage {
            name: member.name.to_string(),
            labels: flat(&member.labels),
            times: differences(member.raw.samples().map(|(at, _)| at)),
            values: member.raw.samples().map(|(_, value)| value).collect(),
        });
        let made = recorder.made.iter();
        let made = made.map(|made| made_image(flat(&made.labels), &made.archive));
        Self {
            selection: shape.selection.text().to_owned(),
            step: shape.grid.step(),
            reached: recorder.reached,
            made: made.collect(),
            members: members.collect(),
        }
    }

    /// Of what selects this and knows nothing yet.
    pub fn empty(selection: &str, step: Millis) -> Self {
        Self {
            selection: selection.to_owned(),
            step,
            ..Self::default()
        }
    }

    /// Puts what `other` knows into the gaps: what is here stays. Steps before `oldest` are left out. `other` has the same
    /// selection and grid.
    ///
    /// # Errors
    /// What of either is broken. Nothing is taken then.
    pub fn fill(&mut self, other: &Self, oldest: i64) -> Result<Filled, ImageError> {
        let mut filled = Filled::default();
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
            filled.values += values.len();
            filled.series += 1;
            filled.reach(*first * self.step, *last * self.step);
            values.extend(known);
            let image = made_image(image.labels.clone(), &archive(values));
            match own {
                Some(own) => *own = image,
                None => made.push(image),
            }
        }
        self.made = made;
        self.reached = self.reached.max(other.reached);
        filled.newer = self.take_members(&other.members);
        Ok(filled)
    }

    /// The newest samples of series, where they are newer than those that are here: of how many they are.
    fn take_members(&mut self, others: &[MemberImage]) -> usize {
        let key = |member: &MemberImage| (member.name.clone(), member.labels.clone());
        let places: HashMap<_, usize> = self.members.iter().map(key).zip(0..).collect();
        let mut newer = 0;
        for member in others {
            match places.get(&key(member)) {
                Some(own) if self.members[*own].newest() >= member.newest() => continue,
                Some(own) => self.members[*own].clone_from(member),
                None => self.members.push(member.clone()),
            }
            newer += 1;
        }
        newer
    }

    /// The newest time that anything is known of.
    pub fn newest(&self) -> Option<Millis> {
        let raw = self.members.iter().filter_map(MemberImage::newest).max();
        raw.max(self.reached.map(|index| index.saturating_mul(self.step)))
    }

    /// The recorder again, of the same selection and grid. `now` is the time of the clock.
    ///
    /// # Errors
    /// What is broken in it. Nothing of it is taken then.
    pub fn restore(&self, shape: Shape, now: Millis) -> Result<Recorder, ImageError> {
        let mut recorder = Recorder::new(shape);
        for image in &self.made {
            let labels = labels_of(&image.labels)?;
            let broken = || ImageError::Past(labels.to_string());
            let archive = archive_of(image).ok_or_else(broken)?;
            // The process before may have had another share of them.
            if !recorder.shape().share.has(&labels) {
                continue;
            }
            let group = recorder.group_of(&labels);
            recorder.made[group as usize].archive = archive;
        }
        for image in &self.members {
            let labels = labels_of(&image.labels)?;
            let broken = || ImageError::Samples(format!("{}{labels}", image.name));
            let raw = raw_of(image).ok_or_else(broken)?;
            let is_own = recorder.claim(&image.name, &labels) != Claim::Foreign;
            if is_own && recorder.members() < recorder.shape().max_series {
                recorder.place(&image.name, &labels, raw, now);
            }
        }
        recorder.began = Some(i64::MIN);
        recorder.expect_members(now);
        recorder.reached = self
            .reached
            .filter(|index| *index <= recorder.shape().grid.index(now));
        let samples = self.members.iter().filter_map(MemberImage::newest);
        recorder.newest = samples.filter(|at| *at <= now).max().unwrap_or(Millis::MIN);
        recorder.forget_after(now);
        Ok(recorder)
    }
}

impl MemberImage {
    fn newest(&self) -> Option<Millis> {
        let sum = |at: Millis, later: &i64| at.saturating_add(*later);
        (!self.times.is_empty()).then(|| self.times.iter().fold(0, sum))
    }
}

fn made_image(labels: Vec<String>, archive: &Archive) -> MadeImage {
    let (start, open) = archive.open();
    MadeImage {
        labels,
        starts: archive.pieces().map(|piece| piece.start).collect(),
        pieces: archive.pieces().map(|piece| piece.bytes.to_vec()).collect(),
        start,
        open: open.to_vec(),
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

fn archive_of(image: &MadeImage) -> Option<Archive> {
    if image.starts.len() != image.pieces.len() {
        return None;
    }
    let both = image.starts.iter().zip(&image.pieces);
    let pieces = both.map(|(start, bytes)| Piece {
        start: *start,
        bytes: bytes.as_slice().into(),
    });
    Archive::of(pieces.collect(), image.start, image.open.clone())
}

fn raw_of(image: &MemberImage) -> Option<Raw> {
    if image.times.len() != image.values.len() {
        return None;
    }
    let mut samples = Vec::with_capacity(image.times.len());
    let mut at: Millis = 0;
    for (place, (difference, value)) in image.times.iter().zip(&image.values).enumerate() {
        if place > 0 && *difference <= 0 {
            return None;
        }
        at = at.checked_add(*difference)?;
        samples.push((at, *value));
    }
    Some(Raw::of(samples))
}

fn differences(times: impl Iterator<Item = Millis>) -> Vec<i64> {
    let mut before = 0;
    times
        .map(|at| at - std::mem::replace(&mut before, at))
        .collect()
}

fn flat(labels: &Labels) -> Vec<String> {
    let pairs = labels.iter().flat_map(|(name, value)| [name, value]);
    pairs.map(str::to_owned).collect()
}

fn labels_of(flat: &[String]) -> Result<Labels, ImageError> {
    let broken = || ImageError::Labels(flat.to_vec());
    if !flat.len().is_multiple_of(2) || flat.len() > MOST_LABELS {
        return Err(broken());
    }
    let pairs = flat.chunks_exact(2);
    let pairs = pairs.map(|pair| (pair[0].as_str(), pair[1].as_str()));
    Labels::new(pairs).map_err(|_| broken())
}
