//! A recorder as bytes, and back: what was scraped or pushed cannot be read again.
//!
//! A Protocol Buffers message, compressed with DEFLATE piece by piece as it lies in memory. The file around it, with its version and
//! checksum, is made by `source::local`.

mod fill;

pub use fill::Filled;

use super::{
    Recorder, Shape,
    archive::{Archive, Piece},
    raw::Raw,
    recorder::{Body, Claim},
};
use crate::series::{Labels, Millis};
use prost::Message;
use std::collections::HashSet;

/// Numbers of labels, bytes and samples beyond this are those of a broken file.
const MOST_LABELS: usize = 4_096;

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
        Self::part(recorder, 0, usize::MAX).0
    }

    /// A part of a recorder, which begins with the series `first` and has `count` of them at most, so that there never is all of a large
    /// one at once; and with which to go on, where it has more. One that has a long past has one part.
    pub fn part(recorder: &Recorder, first: usize, count: usize) -> (Self, Option<usize>) {
        let shape = recorder.shape();
        let mut image = Self {
            selection: shape.selection.text().to_owned(),
            step: shape.grid.step(),
            ..Self::default()
        };
        let next = match &recorder.body {
            Body::Deep(deep) => {
                let members = deep.places();
                let members =
                    members.map(|(_, name, labels, raw)| member(name, labels, raw.samples()));
                image.members = members.collect();
                let made = deep.made.iter();
                let made = made.map(|made| made_image(flat(&made.labels), &made.archive));
                image.made = made.collect();
                image.reached = deep.reached;
                None
            }
            Body::Wide(wide) => {
                let (kept, next) = wide.part(first, count);
                let members = kept.into_iter();
                let members =
                    members.map(|one| member(one.name, one.labels, one.samples.into_iter()));
                image.members = members.collect();
                next
            }
        };
        (image, next)
    }

    /// Of what selects this and knows nothing yet.
    pub fn empty(selection: &str, step: Millis) -> Self {
        Self {
            selection: selection.to_owned(),
            step,
            ..Self::default()
        }
    }

    /// Whether it has nothing but series and their newest samples.
    pub fn is_plain(&self) -> bool {
        self.made.is_empty()
    }

    /// Takes the series of another part of the same recorder, which is as plain.
    pub fn append(&mut self, part: Self) {
        self.members.extend(part.members);
        self.reached = self.reached.max(part.reached);
    }

    /// It in parts of `count` series at most. One that has a past is one part.
    pub fn parts(&self, count: usize) -> impl Iterator<Item = Self> {
        let count = if self.is_plain() { count } else { usize::MAX };
        let firsts = (0..self.members.len().max(1)).step_by(count);
        firsts.map(move |first| Self {
            members: self
                .members
                .iter()
                .skip(first)
                .take(count)
                .cloned()
                .collect(),
            made: self.made.clone(),
            selection: self.selection.clone(),
            ..*self
        })
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
        let mut restored = Restored::new(shape, now);
        restored.add(self)?;
        Ok(restored.finish())
    }
}

/// A recorder that is made again of its parts.
#[derive(Debug)]
pub struct Restored {
    recorder: Recorder,
    reached: Option<i64>,
    now: Millis,
    /// Series that are there: each is there once.
    seen: HashSet<Labels>,
}

impl Restored {
    /// Of no parts yet. `now` is the time of the clock.
    pub fn new(shape: Shape, now: Millis) -> Self {
        Self {
            recorder: Recorder::new(shape),
            reached: None,
            now,
            seen: HashSet::new(),
        }
    }

    /// Takes in a part, of the same selection and grid.
    ///
    /// # Errors
    /// What is broken in it.
    pub fn add(&mut self, image: &Image) -> Result<(), ImageError> {
        let recorder = &mut self.recorder;
        if let Body::Deep(deep) = &mut recorder.body {
            for image in &image.made {
                let labels = labels_of(&image.labels)?;
                let broken = || ImageError::Past(labels.to_string());
                let archive = archive_of(image).ok_or_else(broken)?;
                // The process before may have had another share of them.
                if !recorder.shape.share.has(&labels) {
                    continue;
                }
                let group = deep.group_of(&labels);
                deep.made[group as usize].archive = archive;
            }
        }
        for image in &image.members {
            let labels = labels_of(&image.labels)?;
            let broken = || ImageError::Samples(format!("{}{labels}", image.name));
            let raw = raw_of(image).ok_or_else(broken)?;
            let is_there =
                matches!(recorder.body, Body::Wide(_)) && !self.seen.insert(labels.clone());
            let is_own = recorder.claim(&image.name, &labels) != Claim::Foreign;
            if is_own && !is_there && recorder.members() < recorder.shape().max_series {
                let newest = raw.newest().filter(|newest| newest.0 <= self.now);
                recorder.newest = recorder
                    .newest
                    .max(newest.map_or(Millis::MIN, |newest| newest.0));
                recorder.place((&image.name, &labels), raw, self.now);
            }
        }
        self.reached = self.reached.max(image.reached);
        Ok(())
    }

    /// The recorder.
    pub fn finish(self) -> Recorder {
        let (mut recorder, now) = (self.recorder, self.now);
        recorder.began = Some(i64::MIN);
        recorder.forget_after(now);
        recorder.wake(self.reached, now);
        recorder
    }
}

impl MemberImage {
    fn newest(&self) -> Option<Millis> {
        let sum = |at: Millis, later: &i64| at.saturating_add(*later);
        (!self.times.is_empty()).then(|| self.times.iter().fold(0, sum))
    }
}

fn member(
    name: &str,
    labels: &Labels,
    samples: impl Iterator<Item = (Millis, f64)> + Clone,
) -> MemberImage {
    MemberImage {
        name: name.to_owned(),
        labels: flat(labels),
        times: differences(samples.clone().map(|(at, _)| at)),
        values: samples.map(|(_, value)| value).collect(),
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
    Labels::sorted(pairs).map_err(|_| broken())
}
