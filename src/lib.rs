//! forethought sits beside Prometheus: it reads series, learns what is normal, scores anomalies,
//! forecasts, and gives everything back as series.

pub mod app;
pub mod backtest;
pub mod baseline;
pub mod bench;
pub mod cli;
pub mod config;
pub mod demo;
pub mod detect;
pub mod engine;
pub mod expo;
pub mod forecast;
pub mod series;
pub mod source;
pub mod stats;
pub mod telemetry;
pub mod web;
