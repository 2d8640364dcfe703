//! The Prometheus text formats: escaping, encoding, content negotiation. Pure (invariant 1).

mod chunk;
mod labels;
pub mod names;

pub use chunk::{Chunk, Kind};
pub use labels::RenderedLabels;
