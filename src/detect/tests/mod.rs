//! Tests of several parts together.

mod laws;
mod nab;
mod walk;
