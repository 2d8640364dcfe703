//! forethought sits beside Prometheus: it reads series, learns what is normal, scores anomalies,
//! forecasts, and gives everything back as series.
//!
//! # Map
//!
//! * The core: [`series`] (labels, grid, window), [`stats`], [`baseline`], [`detect`], [`features`] and
//!   [`contract`] (what trained models see, and what they promise), [`forecast`], [`train`], [`promql`] (rules over
//!   current series), [`decide`] (from forecasts to sizes), [`intake`] (from samples that come by themselves to values on a grid), [`quality`] (whether values can be believed), [`expo`] (text formats and protobuf).
//! * [`engine`]: units (a signal, a panel), their outcomes, the catalogue readers see, and the loop that
//!   drives them. Start reading at [`engine::SignalUnit::advance`].
//! * Adapters: [`source`], [`sink`], [`web`], [`keda`] (what its operator asks), [`tls`], [`manifests`] (Kubernetes objects for a workload), [`registry`] (models on disk), and [`store`] (events, overrides, decisions). [`telemetry`] is what they count and log with.
//! * [`config`] composes the settings that live beside the code they set; [`app`] is the process as a
//!   value; [`cli`] the command line; [`demo`], [`backtest`] and [`mod@bench`] are what its commands call.
//!
//! # Invariants
//!
//! 1. **The core is pure.** It does no IO, reads no clock, spawns nothing, logs nothing. Same input, same
//!    bytes out.
//! 2. **Dependencies point one way**: `main -> cli -> app -> adapters -> engine -> core`. `telemetry` is a
//!    leaf the core never uses.
//! 3. **The time-series database is the history.** A restart reads windows back with `query_range`; every
//!    online state is derived from a bounded span of samples, from aligned epochs.
//! 4. **Same inputs, same answer on every replica.** State at T after running since long ago equals a fresh
//!    start at T.
//! 5. **A read never computes.** Every reader answers from the newest outcome; but `scaling/evaluate`, which decides on one
//!    workload what would be if.
//! 6. **A detector or a forecaster is one file** plus its name in one sorted list.
//! 7. **validate: no IO. build: no spawn. run: the rest.** A reload builds everything before it stops
//!    anything.
//! 8. **Absence over lies.** What is unknown, stale or warming up is absent: never 0, never `NaN`, never the
//!    last value without a limit.
//! 9. **Never below reactive.** A recommendation binds only the surplus above what the present asks for.
//!    Only ceilings that a person named go below it.
//! 10. **One bad series, detector, model or source never harms another.** A panic in one is counted and
//!     its state rebuilt.
//!
//! `tests/it/tidy.rs` keeps 1, 2 and 6.

pub mod app;
pub mod backfill;
pub mod backtest;
pub mod baseline;
pub mod bench;
pub mod cli;
pub mod config;
pub mod contract;
pub mod decide;
pub mod demo;
pub mod detect;
pub mod engine;
pub mod expo;
pub mod external;
pub mod features;
pub mod forecast;
pub mod intake;
pub mod keda;
pub mod manifests;
pub mod promql;
pub mod quality;
pub mod registry;
pub mod series;
pub mod simulate;
pub mod sink;
pub mod source;
pub mod stats;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod train;
pub mod web;
