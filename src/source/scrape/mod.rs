//! Targets that are scraped by ourselves, as a job of Prometheus: found (`discovery`), relabelled (`target`), asked each
//! at its own times (`run`, `fetch`), read (`ingest`), and passed on to the signals that want their series
//! ([`local`](super::local)).
//!
//! A series that is known costs one look-up of the text it is exposed in (`known`). No target waits for another: each
//! has a loop of its own, those that answer too late have places of their own, and long bodies are read elsewhere.

mod board;
mod discovery;
mod failure;
mod fetch;
mod ingest;
mod known;
mod pool;
mod run;
mod settings;
mod taker;
mod target;
#[cfg(test)]
mod tests;
mod validate;

pub use board::{Active, Board, Dropped, Health, Invalid, Report, Wish};
pub use discovery::{
    FileSdSettings, HttpSdSettings, KubernetesSdSettings, Namespaces, Role, Selector,
};
pub use failure::{Cause, Failure};
pub use ingest::Counts;
pub use pool::{Scraper, Surroundings};
pub use settings::{ByteSize, Protocol, Scheme, Settings, StaticSettings};
pub use taker::Taker;
pub use target::Target;
