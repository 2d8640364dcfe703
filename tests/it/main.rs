//! The one integration binary: the program as a whole, against the real servers of Debian's packages.
//!
//! Every helper is under `support`; a test that needs a server takes it from there, and one instance
//! of each serves the whole run.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop, helpers outside `#[test]` too"
)]
#![expect(
    clippy::print_stdout,
    reason = "tests print what they skipped and what they measured"
)]

mod accuracy;
mod artefacts;
mod backfill;
mod chart;
mod cli;
mod dashboards;
mod disk;
mod exposition;
#[cfg(feature = "kube")]
mod external;
mod faults;
mod fuzz;
mod intake;
#[cfg(feature = "kafka")]
mod kafka;
mod keda;
mod kills;
mod live;
mod manifests;
mod matrix;
mod models;
mod overload;
mod page;
mod parsing;
mod prewarm;
mod promql;
mod protobuf;
mod push;
mod pushed;
mod records;
mod remote_write;
mod replicas;
mod retrain;
mod scale;
mod scaling;
mod scrape;
mod servers;
mod shard;
mod simulate;
mod soak;
mod sources;
#[cfg(feature = "object-store")]
mod store;
mod support;
mod tidy;
mod train;
mod validation;
