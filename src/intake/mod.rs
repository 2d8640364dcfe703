//! From samples as they come, scraped or pushed, to values on the grid of a signal.
//!
//! A Prometheus answers a range query with values on a grid. Behind a scrape and behind a push there is nobody who does, so
//! it is done here, once for each signal that reads such a source: a [`Selection`] says which series a signal reads and how
//! (`select`, `as`, `window`, `aggregate`), a [`Recorder`] holds what it needs of them and makes values of it.
//!
//! **The value of a grid time** `t` is that of the first sample in `[t, t + step)`, or of the newest one before `t`, as long
//! as PromQL looks back, where there is none. So it is known as soon as that sample is there, a step before PromQL, which
//! looks from `t` into the past only, would see it; what comes later in the step does not change it; and it depends on the samples
//! alone, not on when they came. Rates end at that sample, and are extrapolated as those of Prometheus are.
//!
//! **How a series is kept** follows from what a signal asks for. One that reads gauges as they are, with a few steps of past, keeps
//! each in a row of 88 bytes ([`wide`]): a million of them are read in columns, in the order of the rows. Any other keeps samples as
//! long as a value is made of them, and what was made of them in compressed pieces ([`deep`]).
//!
//! Pure: it reads no clock and does no IO.

mod aggregate;
mod archive;
mod arrivals;
mod deep;
mod rate;
mod raw;
mod recorder;
mod ring;
mod row;
mod selection;
mod snapshot;
#[cfg(test)]
mod tests;
mod wide;

pub use recorder::{Claim, Full, LeftOut, Recorder, Shape, Verdict};
pub use selection::{Aggregate, Reading, Selection};
pub use snapshot::{Filled, Image, ImageError, Restored};

/// The value that says that a series has ended,.
pub const STALE_NAN: f64 = f64::from_bits(crate::expo::STALE_NAN);

/// Whether a value is the stale marker and no other NaN.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN.to_bits()
}
