//! The Prometheus text formats: escaping, encoding, content negotiation, [parsing](parse); the [protobuf ones](wire); and [JSON](messages).
//! Pure (invariant 1).
//!
//! The way of a value: a unit gives [`Chunk`]s, one per family. A chunk encodes its sample lines once
//! per escaping scheme, on first use, and deflates them once. [`assemble`] puts the chunks of all units
//! and our own metrics under one header per family, without copying the lines.

mod assemble;
mod chunk;
mod encode;
mod escape;
mod format;
mod gzip;
mod labels;
pub mod messages;
pub mod names;
pub mod parse;
#[cfg(test)]
pub(crate) mod strict;
#[cfg(test)]
mod tests;
mod timed;
mod translate;
pub mod wire;

pub use assemble::{Exposition, NameFilter, assemble};
pub use chunk::{Chunk, Kind};
pub use encode::{number, shortest};
pub use escape::{Escaping, escape_family_name, escape_label_name};
pub use format::{Format, negotiate, wants_gzip};
pub use gzip::{Deflated, GzipStream};
pub use labels::RenderedLabels;
pub use timed::{END, TimedFamily, timed_labels};
pub use translate::{OwnFamily, translate};

/// The bits of the value that ends a series, as Prometheus has them (`model/value/value.go`). Every other NaN is a value.
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;
