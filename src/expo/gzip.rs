//! One gzip stream put together from pieces that were deflated before.
//!
//! A piece ends with a full flush: it is aligned to bytes and refers to nothing before it. So pieces can be
//! put one behind the other inside *one* gzip member (as `pigz` does), whose checksum is combined from
//! theirs. Several members one after another would be valid too, and Prometheus reads them, but browsers
//! and others stop after the first.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Ten bytes: magic, deflate, no flags, no time (same input, same bytes), no hint, system unknown.
const MEMBER_START: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A last block with nothing in it.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];
/// Most a stored block can hold.
const STORED_MAX: usize = 65_535;
/// Setting up a compressor costs more than it saves below this.
const WORTH_DEFLATING: usize = 2_048;

/// Bytes deflated so that they can stand anywhere in a [`GzipStream`].
pub struct Deflated {
    bytes: Bytes,
    crc: Crc,
    plain_len: usize,
}

impl std::fmt::Debug for Deflated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflated")
            .field("bytes", &self.bytes.len())
            .field("plain_len", &self.plain_len)
            .finish()
    }
}

impl Deflated {
    /// Deflates `plain` at level 1: a scrape is read once, at once, over a near network.
    pub fn new(plain: &[u8]) -> Self {
        let mut compress = Compress::new(Compression::fast(), false);
        // Room for text that does not shrink at all: a compressor that runs out of it keeps some of the block or of the flush
        // for the next call, and does not say so.
        let mut bytes = Vec::with_capacity(plain.len() + plain.len() / 4 + 1_024);
        let status = compress.compress_vec(plain, &mut bytes, FlushCompress::Full);
        let is_whole = compress.total_in() == plain.len() as u64 && bytes.len() < bytes.capacity();
        if !(is_whole && matches!(status, Ok(Status::Ok))) {
            return stored(plain);
        }
        bytes.shrink_to_fit();
        let mut crc = Crc::new();
        crc.update(plain);
        Self {
            bytes: bytes.into(),
            crc,
            plain_len: plain.len(),
        }
    }

    /// Bytes once deflated.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.plain_len == 0
    }
}

/// Puts one gzip member together.
pub struct GzipStream {
    parts: Vec<Bytes>,
    /// Plain text not yet put into a block.
    plain: Vec<u8>,
    crc: Crc,
    plain_len: usize,
}

impl std::fmt::Debug for GzipStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GzipStream")
            .field("parts", &self.parts.len())
            .field("plain_len", &self.plain_len)
            .finish()
    }
}

impl Default for GzipStream {
    fn default() -> Self {
        Self {
            parts: vec![Bytes::from_static(&MEMBER_START)],
            plain: Vec::new(),
            crc: Crc::new(),
            plain_len: 0,
        }
    }
}

impl GzipStream {
    /// Appends text that was not deflated before.
    pub fn push_plain(&mut self, text: &[u8]) {
        self.plain.extend_from_slice(text);
    }

    /// Appends a piece, without copying it.
    pub fn push(&mut self, piece: &Deflated) {
        self.flush_plain();
        self.take(piece);
    }

    /// The whole stream, in parts.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.flush_plain();
        let mut end = LAST_BLOCK.to_vec();
        end.extend_from_slice(&self.crc.sum().to_le_bytes());
        // The format keeps the length modulo 2^32.
        end.extend_from_slice(&(self.plain_len as u32).to_le_bytes());
        self.parts.push(end.into());
        self.parts
    }

    fn take(&mut self, piece: &Deflated) {
        self.crc.combine(&piece.crc);
        self.plain_len += piece.plain_len;
        self.parts.push(piece.bytes.clone());
    }

    fn flush_plain(&mut self) {
        let plain = std::mem::take(&mut self.plain);
        if plain.len() >= WORTH_DEFLATING {
            self.take(&Deflated::new(&plain));
        } else if !plain.is_empty() {
            self.take(&stored(&plain));
        }
    }
}

/// `plain` as it is, in blocks that only store.
fn stored(plain: &[u8]) -> Deflated {
    let mut bytes = Vec::with_capacity(plain.len() + 5);
    for block in plain.chunks(STORED_MAX) {
        let length = block.len() as u16;
        bytes.push(0);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&(!length).to_le_bytes());
        bytes.extend_from_slice(block);
    }
    let mut crc = Crc::new();
    crc.update(plain);
    Deflated {
        bytes: bytes.into(),
        crc,
        plain_len: plain.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use proptest::prelude::*;
    use std::io::Read;

    /// Reads one member and says what was behind it.
    fn unpack(stream: &[u8]) -> (Vec<u8>, usize) {
        let mut decoder = GzDecoder::new(stream);
        let mut plain = Vec::new();
        decoder.read_to_end(&mut plain).unwrap();
        (plain, decoder.into_inner().len())
    }

    #[test]
    fn pieces_and_plain_text_become_one_member() {
        let line = "predicted_x{a=\"1\"} 0.25\n".repeat(20_000);
        let noise: Vec<u8> = (0..300_000_u64)
            .map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
            .collect();
        let (line, noise) = (line.as_bytes(), noise.as_slice());
        let mut stream = GzipStream::default();
        stream.push_plain(b"# HELP\n");
        stream.push(&Deflated::new(line));
        stream.push(&Deflated::new(b""));
        stream.push_plain(noise);
        stream.push(&Deflated::new(noise));
        stream.push_plain(b"# EOF\n");
        let bytes = stream.finish().concat();
        let want = [&b"# HELP\n"[..], line, noise, noise, b"# EOF\n"].concat();
        let (plain, behind) = unpack(&bytes);
        assert!(plain == want, "{} of {} bytes", plain.len(), want.len());
        assert_eq!(behind, 0);
    }

    #[test]
    fn nothing_is_a_stream_too() {
        assert_eq!(unpack(&GzipStream::default().finish().concat()).0, b"");
    }

    /// Text that shrinks to a half or so: numbers, as answers of the API and samples are.
    fn numbers(random: &mut fastrand::Rng) -> String {
        let count = random.usize(200..8_000);
        let numbers = (0..count).map(|_| random.f32().to_string());
        numbers.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_piece_is_whole_wherever_its_end_falls() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..1_000 {
            let text = numbers(&mut random);
            let mut stream = GzipStream::default();
            stream.push(&Deflated::new(text.as_bytes()));
            stream.push_plain(b"# EOF\n");
            let bytes = stream.finish().concat();
            let mut plain = Vec::new();
            let read = GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain);
            assert!(read.is_ok(), "{} bytes of text: {read:?}", text.len());
            assert!(plain == [text.as_bytes(), b"# EOF\n"].concat());
        }
    }

    proptest! {
        #[test]
        fn any_pieces_read_back(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..5_000)), 0..8)) {
            let mut stream = GzipStream::default();
            for (deflate, piece) in &pieces {
                if *deflate {
                    stream.push(&Deflated::new(piece));
                } else {
                    stream.push_plain(piece);
                }
            }
            let want: Vec<u8> = pieces.into_iter().flat_map(|(_, piece)| piece).collect();
            prop_assert_eq!(unpack(&stream.finish().concat()).0, want);
        }
    }
}
