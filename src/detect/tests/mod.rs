//! Tests of several parts together.

mod nab;
mod walk;
