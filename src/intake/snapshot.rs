//! A recorder as bytes, and back: what was scraped or pushed cannot be read again.
//!
//! A Protocol Buffers message, compressed with DEFLATE piece by piece as it lies in memory. The file around it, with its version and
//! checksum, is made by `source::local`.

use super::{
    Recorder, Shape,
    archive::{Archive, Piece},
    raw::Raw,
    recorder::{Claim, Made},
};
use crate::series::{Labels, Millis};
use prost::Message;

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
        let shape = recorder.shape();
        let members = recorder.all_members().map(|member| MemberImage {
            name: member.name.to_string(),
            labels: flat(&member.labels),
            times: differences(member.raw.samples().map(|(at, _)| at)),
            values: member.raw.samples().map(|(_, value)| value).collect(),
        });
        Self {
            selection: shape.selection.text().to_owned(),
            step: shape.grid.step(),
            reached: recorder.reached,
            made: recorder.made.iter().map(made_image).collect(),
            members: members.collect(),
        }
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

fn made_image(made: &Made) -> MadeImage {
    let (start, open) = made.archive.open();
    MadeImage {
        labels: flat(&made.labels),
        starts: made.archive.pieces().map(|piece| piece.start).collect(),
        pieces: made
            .archive
            .pieces()
            .map(|piece| piece.bytes.to_vec())
            .collect(),
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
    Labels::new(pairs).map_err(|_| broken())
}
