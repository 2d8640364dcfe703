//! The protobuf formats: [remote write](mod@write) 1.0 and 2.0, and [what targets answer with](families) where they are
//! asked for it. Pure (invariant 1): bytes in, items out.
//!
//! What is sent is written by [`write::Writer`] and packed by [`Packer`].
//!
//! Both readers go over a body once and borrow from it. They allocate nothing per series and per sample once their
//! scratch has grown, and nothing that a body merely declares: lengths are checked against the bytes that are there,
//! and [`Unpacker`] checks what a packed body says of itself before it makes room for it.
//!
//! The wire format is that of protocol buffers. A field that a message does not know is passed over, whatever its
//! type; one that it knows and that has another type is an error, and so are groups, which no message here ever had.
//! Messages are entered only where the format says so, so a body cannot make a reader nest deeper than the format does.

mod body;
mod cursor;
mod error;
pub mod families;
mod label;
mod put;
mod snappy;
#[cfg(test)]
mod tests;
pub mod write;

pub use body::{Body, BodyError};
pub use error::{Problem, WireError};
pub use snappy::{Packer, SnappyError, Unpacker};
