//! Tests of several parts together.

mod laws;
mod nab;
mod settings;
mod walk;
