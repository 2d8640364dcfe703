//! Snappy's block format, in which remote write is packed.
//!
//! Source: `format_description.txt` of google/snappy.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};
use std::fmt;
use thiserror::Error;

/// The start of the other format of snappy, which is for streams.
const FRAMED: &[u8] = b"\xFF\x06\x00\x00sNaPpY";

/// A block never holds more than 64 bytes for each three of its own, which a copy takes, but for its header.
const BEST_RATIO: usize = 22;

/// Why a body cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnappyError {
    /// It has no bytes. An empty message is one byte when packed.
    #[error("expected a body packed with snappy, found an empty one")]
    Empty,
    /// The format for streams.
    #[error("expected snappy's block format, found its framed one: pack the body as one block")]
    Framed,
    /// More than the reader takes. Nothing was unpacked.
    #[error("{length} bytes when unpacked, where {limit} is the limit: send fewer series at once")]
    TooLarge {
        /// What the body says of itself.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// More than so few bytes can hold. Nothing was unpacked.
    #[error("{packed} bytes cannot hold the {length} that they declare")]
    Implausible {
        /// What the body says of itself.
        length: usize,
        /// Its bytes.
        packed: usize,
    },
    /// It is not snappy, or was cut off.
    #[error("expected a body packed with snappy: {0}")]
    Broken(snap::Error),
}

/// Unpacks one body after another into the same bytes.
#[derive(Default)]
pub struct Unpacker {
    decoder: Decoder,
    unpacked: Vec<u8>,
}

impl Unpacker {
    /// Without room for anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `packed` holds, at most `limit` bytes. How many it says they are is judged before there is room for
    /// them.
    ///
    /// # Errors
    /// It is too large or no block of snappy.
    pub fn unpack(&mut self, packed: &[u8], limit: usize) -> Result<&[u8], SnappyError> {
        if packed.is_empty() {
            return Err(SnappyError::Empty);
        }
        if packed.starts_with(FRAMED) {
            return Err(SnappyError::Framed);
        }
        let length = decompress_len(packed).map_err(SnappyError::Broken)?;
        if length > limit {
            return Err(SnappyError::TooLarge { length, limit });
        }
        if length / BEST_RATIO > packed.len() {
            let packed = packed.len();
            return Err(SnappyError::Implausible { length, packed });
        }
        if self.unpacked.len() < length {
            self.unpacked.resize(length, 0);
        }
        let room = self.unpacked.get_mut(..length).unwrap_or_default();
        let done = self.decoder.decompress(packed, room);
        let done = done.map_err(SnappyError::Broken)?;
        Ok(self.unpacked.get(..done).unwrap_or_default())
    }

    /// Keeps room for `bytes` at most, so that one large body does not hold its room for ever.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.unpacked.truncate(bytes);
        self.unpacked.shrink_to(bytes);
    }
}

/// Without the bytes.
impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker")
            .field("room", &self.unpacked.capacity())
            .finish_non_exhaustive()
    }
}

/// Packs one body after another into the same bytes.
pub struct Packer {
    encoder: Encoder,
    packed: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

impl Packer {
    /// Without room for anything yet.
    pub fn new() -> Self {
        Self {
            encoder: Encoder::new(),
            packed: Vec::new(),
        }
    }

    /// `body`, packed.
    ///
    /// # Errors
    /// It is too large for the format, which has room for 4 GiB.
    pub fn pack(&mut self, body: &[u8]) -> Result<&[u8], SnappyError> {
        let longest = max_compress_len(body.len());
        if longest == 0 {
            let (length, limit) = (body.len(), u32::MAX as usize);
            return Err(SnappyError::TooLarge { length, limit });
        }
        if self.packed.len() < longest {
            self.packed.resize(longest, 0);
        }
        let done = self.encoder.compress(body, &mut self.packed);
        let done = done.map_err(SnappyError::Broken)?;
        Ok(self.packed.get(..done).unwrap_or_default())
    }
}

/// Without the bytes.
impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer")
            .field("room", &self.packed.capacity())
            .finish_non_exhaustive()
    }
}
