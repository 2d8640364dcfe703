//! Samples that come by way of Kafka: a topic that is read. An optional feature of the build (`kafka`).
//!
//! A [`Reader`] belongs to one source. It reads every partition of the topic (`reader`, with a `session` by way of `client`), and puts what messages say
//! into the source's hub as what is pushed is (`taker`). How far it has come is in [`Progress`], which outlives it. Signals ask a
//! [`TopicSource`], which first lets the past come in that the reader was told to begin with.
//!
//! Every process reads the whole topic, as every replica needs every series: no consumer group, and nothing is committed. Where a
//! process that starts has a past on its disk, it begins where that ends.
//!
//! Everything but `client` is the same in a program that was built without Kafka, where settings that name it are refused.

mod client;
mod cluster;
mod merge;
mod progress;
mod reader;
mod session;
mod settings;
mod source;
mod taker;

pub use client::{BUILT, Compression};
pub(crate) use client::{Client, Pair, Partition};
pub(crate) use cluster::set_directory;
pub use cluster::{Cluster, Mechanism, SaslSettings, refusal};
pub use progress::Progress;
pub use reader::{Reader, Surroundings};
pub use settings::{Format, Settings, Start};
pub use source::TopicSource;
