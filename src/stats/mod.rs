//! Statistics the rest is built of. Pure (invariant 1).

pub mod robust;
pub mod season;
