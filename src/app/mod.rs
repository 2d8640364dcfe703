//! The process as a value: build, address, run, stop.
