//! The past of one series on the grid: 32-bit values, the older ones compressed.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::collections::VecDeque;

/// Values of a compressed piece.
const PIECE: usize = 512;

/// Values that stay uncompressed behind the newest, since they may still change.
const OPEN: usize = 8;

/// Bytes of a value.
const WIDTH: usize = size_of::<f32>();

/// The values of one series by grid index; a gap is `NaN`.
#[derive(Debug, Clone, Default)]
pub(super) struct Archive {
    pieces: VecDeque<Piece>,
    /// Index of the first value of `open`.
    start: i64,
    open: Vec<f32>,
}

/// [`PIECE`] values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// Index of the first value.
    pub(super) start: i64,
    /// See [`squeeze`].
    pub(super) bytes: Box<[u8]>,
}

impl Archive {
    /// Of what [`Archive::pieces`] and [`Archive::open`] gave. `None` where they do not fit together or are broken.
    pub(super) fn of(pieces: Vec<Piece>, start: i64, open: Vec<f32>) -> Option<Self> {
        let mut end = i64::MIN;
        for piece in &pieces {
            if piece.start < end || unsqueeze(&piece.bytes).is_none() {
                return None;
            }
            end = piece.start.checked_add(PIECE as i64)?;
        }
        (end <= start).then(|| Self {
            pieces: pieces.into(),
            start,
            open,
        })
    }

    /// Sets the value at `index`. `false` where that is too long ago to be changed.
    pub(super) fn set(&mut self, index: i64, value: f32) -> bool {
        if self.open.is_empty() {
            self.start = index;
        }
        let Ok(place) = usize::try_from(index - self.start) else {
            return self.set_before(index, value);
        };
        if place >= self.open.len() {
            if value.is_nan() {
                return true;
            }
            self.grow_to(place);
        }
        let place = (index - self.start) as usize;
        self.open[place] = value;
        self.close();
        true
    }

    /// What came before all that is not compressed; only where nothing of it is in a piece.
    fn set_before(&mut self, index: i64, value: f32) -> bool {
        let missing = (self.start - index) as usize;
        let is_in = |piece: &Piece| piece.start + PIECE as i64 > index;
        if self.pieces.back().is_some_and(is_in) || missing > OPEN {
            return false;
        }
        if !value.is_nan() {
            let gap = std::iter::once(value).chain(std::iter::repeat_n(f32::NAN, missing - 1));
            self.open.splice(0..0, gap);
            self.start = index;
        }
        true
    }

    /// Makes room for the value at `place` of `open`; a gap of pieces and more is not written down.
    fn grow_to(&mut self, place: usize) {
        if place > 2 * PIECE {
            let index = self.start + place as i64;
            self.open
                .resize(self.open.len().next_multiple_of(PIECE), f32::NAN);
            while !self.open.is_empty() {
                self.close_one();
            }
            self.start = index;
        }
        let place = if self.open.is_empty() { 0 } else { place };
        self.open.resize(place + 1, f32::NAN);
    }

    fn close(&mut self) {
        while self.open.len() >= PIECE + OPEN {
            self.close_one();
        }
    }

    fn close_one(&mut self) {
        let rest = self.open.split_off(PIECE.min(self.open.len()));
        let piece = std::mem::replace(&mut self.open, rest);
        self.pieces.push_back(Piece {
            start: self.start,
            bytes: squeeze(&piece),
        });
        self.start += PIECE as i64;
    }

    /// Tells every value from index `first` to `last` that is no gap, in order.
    pub(super) fn read(&self, first: i64, last: i64, mut tell: impl FnMut(i64, f32)) {
        let mut tell_all = |start: i64, values: &[f32]| {
            let from = usize::try_from(first - start).unwrap_or(0);
            let known = values.iter().enumerate().skip(from);
            for (place, value) in known {
                let index = start + place as i64;
                if index > last {
                    break;
                }
                if !value.is_nan() {
                    tell(index, *value);
                }
            }
        };
        for piece in &self.pieces {
            let overlaps = piece.start <= last && piece.start + PIECE as i64 > first;
            if let Some(values) = overlaps.then(|| unsqueeze(&piece.bytes)).flatten() {
                tell_all(piece.start, &values);
            }
        }
        tell_all(self.start, &self.open);
    }

    /// Lets go of pieces that are wholly before `index`.
    pub(super) fn forget_before(&mut self, index: i64) {
        let is_old = |piece: &Piece| piece.start + PIECE as i64 <= index;
        while self.pieces.front().is_some_and(is_old) {
            self.pieces.pop_front();
        }
        if self.newest() < index {
            self.open = Vec::new();
            return;
        }
        // A past shorter than a piece is never closed. Now and then, so that it costs little.
        let old = usize::try_from(index - self.start).unwrap_or(0);
        if old > OPEN && old > self.open.len() / 2 {
            self.open.drain(..old);
            self.open.shrink_to(2 * self.open.len());
            self.start = index;
        }
    }

    /// Lets go of what is after `index`, with what is written down in one piece with it.
    pub(super) fn forget_after(&mut self, index: i64) {
        let kept = usize::try_from(index + 1 - self.start).unwrap_or(0);
        self.open.truncate(kept);
        let is_after = |piece: &Piece| piece.start + PIECE as i64 > index + 1;
        while self.pieces.back().is_some_and(is_after) {
            self.pieces.pop_back();
        }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.open.is_empty()
    }

    /// Index of the newest value.
    fn newest(&self) -> i64 {
        self.start + self.open.len() as i64 - 1
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    pub(super) fn open(&self) -> (i64, &[f32]) {
        (self.start, &self.open)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let pieces = self.pieces.iter().map(|piece| piece.bytes.len());
        pieces.sum::<usize>()
            + self.pieces.capacity() * size_of::<Piece>()
            + self.open.capacity() * WIDTH
    }
}

/// Each value as what differs from the one before it, bit by bit; all first bytes, then all second ones, and so on; then
/// DEFLATE. Values that are like the one before share their first bytes, and gaps are long runs.
fn squeeze(values: &[f32]) -> Box<[u8]> {
    let mut planes = vec![0; WIDTH * values.len()];
    let mut before = 0;
    for (place, value) in values.iter().enumerate() {
        let bits = value.to_bits();
        for (plane, byte) in (bits ^ before).to_be_bytes().into_iter().enumerate() {
            planes[plane * values.len() + place] = byte;
        }
        before = bits;
    }
    let mut out = Vec::with_capacity(planes.len() + 64);
    let mut deflate = Compress::new(Compression::fast(), false);
    // The room is that of the plain bytes and what DEFLATE adds at worst, so it ends in one call.
    let done = deflate.compress_vec(&planes, &mut out, FlushCompress::Finish);
    debug_assert!(done.is_ok());
    out.into()
}

/// The [`PIECE`] values; `None` where the bytes are broken.
fn unsqueeze(bytes: &[u8]) -> Option<Vec<f32>> {
    let mut planes = Vec::with_capacity(WIDTH * PIECE);
    let mut inflate = Decompress::new(false);
    let status = inflate.decompress_vec(bytes, &mut planes, FlushDecompress::Finish);
    if !matches!(status, Ok(Status::StreamEnd)) || planes.len() != WIDTH * PIECE {
        return None;
    }
    let mut before = 0;
    let values = (0..PIECE).map(|place| {
        let bytes = [0, 1, 2, 3].map(|plane| planes[plane * PIECE + place]);
        before ^= u32::from_be_bytes(bytes);
        f32::from_bits(before)
    });
    Some(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn all(archive: &Archive) -> BTreeMap<i64, f32> {
        let mut found = BTreeMap::new();
        archive.read(i64::MIN / 2, i64::MAX / 2, |index, value| {
            assert_eq!(found.insert(index, value), None, "told twice: {index}");
        });
        found
    }

    #[test]
    fn what_was_put_in_is_read_again_and_takes_less_than_it_would_plain() {
        let mut archive = Archive::default();
        let value = |index: i64| (100.0 + (index as f32 / 200.0).sin() * 40.0).round();
        for index in 0..30_240 {
            assert!(archive.set(index, value(index)));
        }
        for index in [0, 511, 512, 30_239] {
            let mut found = None;
            archive.read(index, index, |_, value| found = Some(value));
            assert_eq!(found, Some(value(index)), "{index}");
        }
        assert_eq!(all(&archive).len(), 30_240);
        let bytes = archive.heap_bytes();
        assert!(bytes < 30_240 * 2, "{bytes}");
        assert!(!archive.set(100, 1.0), "long written down");
        assert!(archive.set(30_235, 7.0));
        assert_eq!(all(&archive)[&30_235], 7.0);
        archive.forget_before(20_000);
        let first = *all(&archive).keys().next().unwrap();
        assert!((20_000 - PIECE as i64..=20_000).contains(&first), "{first}");
        archive.forget_before(40_000);
        assert!(archive.is_empty());
    }

    #[test]
    fn a_long_gap_costs_nothing() {
        let mut archive = Archive::default();
        archive.set(5, 1.0);
        archive.set(1_000_000_000_000, 2.0);
        archive.set(1_000_000_000_001, 3.0);
        // The first sample after it may come late.
        assert!(archive.set(999_999_999_997, 4.0));
        assert!(!archive.set(999_999_999_980, 5.0), "too long ago");
        let found: Vec<_> = all(&archive).into_iter().collect();
        assert_eq!(
            found,
            [
                (5, 1.0),
                (999_999_999_997, 4.0),
                (1_000_000_000_000, 2.0),
                (1_000_000_000_001, 3.0)
            ]
        );
        assert!(archive.heap_bytes() < 10_000);
    }

    #[test]
    fn broken_bytes_are_nothing() {
        let sound = squeeze(&[1.0; PIECE]);
        assert_eq!(unsqueeze(&sound).unwrap(), [1.0; PIECE]);
        assert!(unsqueeze(&sound[..sound.len() - 1]).is_none());
        assert!(unsqueeze(&[]).is_none());
        assert!(unsqueeze(&squeeze(&[1.0; PIECE - 1])).is_none());
        let piece = |start| Piece {
            start,
            bytes: sound.clone(),
        };
        assert!(Archive::of(vec![piece(0), piece(512)], 1_024, vec![]).is_some());
        assert!(Archive::of(vec![piece(0), piece(511)], 1_024, vec![]).is_none());
        assert!(Archive::of(vec![piece(0)], 511, vec![]).is_none());
        assert!(Archive::of(vec![piece(i64::MAX)], i64::MAX, vec![]).is_none());
    }

    #[test]
    fn a_short_past_takes_little() {
        let mut archive = Archive::default();
        for index in 0..10_000 {
            archive.set(index, index as f32);
            archive.forget_before(index - 3);
        }
        assert!(all(&archive).len() < 20);
        assert!((9_996..10_000).all(|index| all(&archive)[&index] == index as f32));
        assert!(archive.heap_bytes() < 400, "{}", archive.heap_bytes());
    }

    #[test]
    fn values_that_do_not_shrink_read_back() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let values: Vec<f32> = (0..PIECE).map(|_| f32::from_bits(random.u32(..))).collect();
            let bits = |values: &[f32]| -> Vec<u32> {
                values.iter().map(|value| value.to_bits()).collect()
            };
            let read = unsqueeze(&squeeze(&values)).unwrap();
            assert_eq!(bits(&read), bits(&values));
        }
    }

    proptest! {
        #[test]
        fn any_values_in_ascending_order_come_back_bit_by_bit(
            values in prop::collection::vec((1_i64..60, any::<f32>()), 1..1_500),
        ) {
            let mut archive = Archive::default();
            let mut expected = BTreeMap::new();
            let mut index = -700;
            for (gap, value) in values {
                index += gap;
                prop_assert!(archive.set(index, value));
                if !value.is_nan() {
                    expected.insert(index, value);
                }
            }
            let pieces: Vec<_> = archive.pieces().cloned().collect();
            let (start, open) = archive.open();
            let again = Archive::of(pieces, start, open.to_vec()).unwrap();
            for archive in [archive, again] {
                let found = all(&archive);
                prop_assert!(found.iter().map(|(i, v)| (*i, v.to_bits())).eq(expected.iter().map(|(i, v)| (*i, v.to_bits()))));
            }
        }
    }
}
