//! Statistics the rest is built of. Pure (invariant 1).

pub mod clock;
pub mod forest;
pub mod linear;
pub mod moving;
pub mod network;
pub mod ordered;
pub mod profile;
pub mod ridge;
pub mod robust;
pub mod season;
pub mod track;
pub mod words;
