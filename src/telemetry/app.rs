//! What the process as a whole counts and logs: build, readiness, configuration.

use crate::series::Shard;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{fmt, sync::atomic::AtomicU64};

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The revision it was built from; set `FORETHOUGHT_REVISION` when building.
pub const REVISION: &str = match option_env!("FORETHOUGHT_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Prometheus reads numbers as `f64`, which holds whole ones exactly up to 2^53: a hash is cut to what
/// every reader gets as it was.
const EXACT_BITS: u32 = 52;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
    revision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Trained {
    model: String,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Which {
    shard: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    store: String,
}

/// What the process as a whole counts and logs.
#[derive(Debug, Default)]
pub struct AppEvents {
    reloaded: Gauge,
    reloaded_at: Gauge<f64, AtomicU64>,
    hash: Gauge,
    reload_failures: Counter,
    ready: Gauge,
    shards: Family<Which, Gauge>,
    models: Family<Trained, Gauge>,
    store_up: Family<Place, Gauge>,
    store_failures: Family<Place, Counter>,
}

impl AppEvents {
    /// Registers the metrics, each at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self::default();
        let build = Family::<Build, Gauge>::default();
        let labels = Build {
            version: VERSION,
            revision: REVISION,
        };
        build.get_or_create_owned(&labels).set(1);
        registry.register(
            "build_info",
            "Always 1; what this program was built from",
            build,
        );
        registry.register(
            "config_last_reload_successful",
            "Whether the newest attempt to load the configuration worked",
            events.reloaded.clone(),
        );
        registry.register(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded",
            events.reloaded_at.clone(),
        );
        registry.register(
            "config_hash",
            "Hash of the configuration in force; replicas must agree",
            events.hash.clone(),
        );
        registry.register(
            "config_reload_failures",
            "Attempts to load the configuration that failed",
            events.reload_failures.clone(),
        );
        registry.register(
            "ready",
            "Whether every signal and panel has had its first outcome, or long enough to get it",
            events.ready.clone(),
        );
        registry.register(
            "shards",
            "How many processes divide the series between them; the label says which of them this is, from 0 on; absent where one carries all",
            events.shards.clone(),
        );
        registry.register(
            "model_info",
            "Always 1; the version in force of each trained model with a manifest; replicas must agree",
            events.models.clone(),
        );
        registry.register(
            "model_store_up",
            "Whether the newest look at the store of models that is followed worked, and what it has in force was taken",
            events.store_up.clone(),
        );
        registry.register(
            "model_store_failures",
            "Looks at a model in the store that is followed that failed, or found one that was not taken",
            events.store_failures.clone(),
        );
        events
    }

    /// The process carries a part of the series.
    pub fn sharded(&self, shard: Shard) {
        let which = Which {
            shard: shard.index(),
        };
        let count = i64::from(shard.count());
        self.shards.get_or_create_owned(&which).set(count);
        tracing::info!(%shard, "carrying a part of the series");
    }

    /// These trained models are in force, by name and version, and no others.
    pub fn models<'m>(&self, models: impl Iterator<Item = (&'m str, &'m str)>) {
        self.models.clear();
        for (model, version) in models {
            let labels = Trained {
                model: model.to_owned(),
                version: version.to_owned(),
            };
            self.models.get_or_create_owned(&labels).set(1);
            tracing::info!(model, version, "model in force");
        }
    }

    /// The store of models at `store` was looked at.
    pub fn store_looked(&self, store: &str, worked: bool) {
        let place = place(store);
        // Zero from the beginning on, so that the first failure is a rise.
        drop(self.store_failures.get_or_create(&place));
        let up = self.store_up.get_or_create_owned(&place);
        if up.set(i64::from(worked)) == 0 && worked {
            tracing::info!(store, "following the store of models");
        }
    }

    /// A version was put in force here because the store says so.
    pub fn store_followed(&self, store: &str, model: &str, version: &str) {
        tracing::info!(store, model, version, "took over from the store of models");
    }

    /// A version that was only here made room for the one of its number in the store.
    pub fn version_set_aside(&self, model: &str, version: &str, aside: &std::path::Path) {
        let aside = aside.display();
        tracing::warn!(model, version, %aside, "the store has another version of this number; that of this machine was moved aside");
    }

    /// A model could not be followed; what is in force stays. The same problem is said once.
    pub fn store_failed(&self, store: &str, model: &str, error: &dyn fmt::Display, is_new: bool) {
        self.store_failures.get_or_create_owned(&place(store)).inc();
        if is_new {
            tracing::warn!(store, model, %error, "cannot follow the store of models, what is in force stays");
        } else {
            tracing::debug!(store, model, %error, "cannot follow the store of models");
        }
    }

    /// No store is followed any more.
    pub fn store_left(&self) {
        self.store_up.clear();
        self.store_failures.clear();
    }

    /// A configuration is in force since `at`, seconds since the epoch.
    pub fn loaded(&self, hash: u64, at: f64, signals: usize, panels: usize) {
        self.reloaded.set(1);
        self.reloaded_at.set(at);
        self.hash.set(exact(hash));
        tracing::info!(signals, panels, "configuration in force");
    }

    /// A configuration could not be loaded; the former one stays.
    pub fn load_failed(&self, error: &dyn fmt::Display) {
        self.reloaded.set(0);
        self.reload_failures.inc();
        tracing::error!(%error, "configuration not loaded, the former one stays in force");
    }

    /// The process became ready, or is about to stop.
    pub fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
        tracing::info!(ready, "readiness changed");
    }

    /// The process stops.
    pub fn stopping(&self, why: &str) {
        tracing::info!(why, "stopping");
    }

    /// Tasks were still at work when the grace period was over.
    pub fn drained_late(&self, seconds: f64) {
        tracing::warn!(seconds, "still at work after the grace period, leaving");
    }

    /// A server stopped by itself.
    pub fn server_failed(&self, address: &dyn fmt::Display, error: &dyn fmt::Display) {
        tracing::error!(%address, %error, "the server stopped");
    }

    /// A server listens.
    pub fn listening(&self, address: &dyn fmt::Display) {
        tracing::info!(%address, "listening");
    }
}

fn place(store: &str) -> Place {
    Place {
        store: store.to_owned(),
    }
}

/// The upper bits of a hash, as many as an `f64` holds.
fn exact(hash: u64) -> i64 {
    // 52 bits fit.
    (hash >> (u64::BITS - EXACT_BITS)) as i64
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Telemetry;

    #[test]
    fn a_hash_is_a_whole_number_that_survives_being_read_as_a_float() {
        let telemetry = Telemetry::default();
        for hash in [u64::MAX, u64::MAX - (1 << 12), 0x0123_4567_89ab_cdef] {
            telemetry.app.loaded(hash, 0.0, 1, 0);
            let text = telemetry.open_metrics().unwrap();
            let line = "forethought_config_hash ";
            let shown = text
                .lines()
                .find_map(|shown| shown.strip_prefix(line))
                .unwrap();
            let whole: u64 = shown.parse().unwrap();
            assert_eq!(whole, hash >> 12);
            assert_eq!(shown.parse::<f64>().unwrap() as u64, whole);
        }
    }
}
