//! What is predicted and scored, written to time-series databases by remote write 1.0 or 2.0.
//!
//! One [`Writer`] per receiver. It looks for new outcomes, and makes samples of what `/metrics` shows of each, stamped with the
//! time that was evaluated; a series that is not shown any more gets a stale marker, once (`book`). Samples go into the
//! queue of a shard by the hash of their series (`queue`), and from there in requests to the receiver (`shard`), which may be
//! slow, or away: an evaluation never waits for it. A queue has bounds; where it is full the oldest samples are dropped and
//! counted. Where settings have a `buffer` what waits is on disk (`log`), before it is sent, and memory is for a disk that fails;
//! up to which time each unit was written is there too (`reached`).
//!
//! In a queue are *records*: requests of version 1.0, packed. Written one after another they are one request again, and for
//! 2.0 they are read and written anew, so what waits is small and has one form.

mod book;
mod feed;
mod log;
mod queue;
mod reached;
mod record;
mod run;
mod settings;
mod shard;
#[cfg(test)]
mod tests;

pub(in crate::sink) use book::External;
pub(in crate::sink) use feed::{Feed, Sample};
pub use run::{Handover, Surroundings, Writer};
pub use settings::{BufferSettings, Protocol, QueueSettings, Settings};
