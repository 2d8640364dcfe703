//! The configuration file: read whole, checked whole, every problem reported at once.

mod env;
mod locate;
mod path;
mod problem;
mod promql;
mod shape;
mod wording;

pub use path::{Path, Step};
pub use problem::{Problem, Problems};
