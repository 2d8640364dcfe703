//! What is predicted and scored, written to a topic of Kafka. An optional feature of the build (`kafka`), see
//! [`source::kafka`](crate::source::kafka).
//!
//! One [`Writer`] per topic. What is written when is as in remote write: its book of series is asked (`Feed`). A sample is a message
//! in JSON, as a source reads it; its key is its series, so that the samples of a series are in one partition and in order. What
//! waits is in memory (`queue`), bounded, the oldest dropped and counted; an evaluation never waits for a broker. A message may
//! come twice where an answer was lost: readers leave out what they have.

mod queue;
mod sender;
mod settings;
mod writer;

pub use settings::{QueueSettings, Settings};
pub use writer::{Handover, Surroundings, Writer};
