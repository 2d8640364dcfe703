//! The client of Kafka's protocol: all that a program without it does not have.

#[cfg(feature = "kafka")]
mod built;
#[cfg(not(feature = "kafka"))]
mod none;

#[cfg(feature = "kafka")]
pub(crate) use built::{Client, Partition};
#[cfg(not(feature = "kafka"))]
pub(crate) use none::{Client, Partition};

use crate::series::Millis;
use serde::Deserialize;

/// Whether this program was built with Kafka.
pub const BUILT: bool = cfg!(feature = "kafka");

/// A message of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its place in its partition.
    pub(super) offset: i64,
    /// When it was written, as its writer or the broker says.
    pub(super) at: Millis,
    /// What it says.
    pub(super) value: Option<Vec<u8>>,
}

/// Key and value of a message that is to be written.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// What came of a partition.
#[cfg_attr(
    not(feature = "kafka"),
    expect(dead_code, reason = "nobody gives any without the client")
)]
#[derive(Debug)]
pub(super) enum Fetched {
    /// Messages in order, perhaps none.
    Messages {
        /// What came.
        messages: Vec<Message>,
        /// The offset that comes next.
        next: i64,
        /// The offset after everything that is there.
        end: i64,
    },
    /// What was asked for is not there any more, or never was: this is the oldest that is.
    Moved {
        /// Its offset.
        to: i64,
    },
}

/// How messages are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// LZ4.
    Lz4,
    /// Snappy.
    #[default]
    Snappy,
    /// Zstandard.
    Zstd,
}
