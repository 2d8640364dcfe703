//! Our own metrics and log events. A leaf: the core never uses it (invariant 2).
//!
//! A log line and its counter are one thing: adapters call one method here for both.

mod app;
mod engine;
mod external;
mod intake;
mod invalid;
mod kafka;
pub mod log;
mod process;
mod reload;
mod remote_write;
mod scaler;
mod scaling;
mod scrape;
mod sink;
mod source;
mod store;
mod throttle;
mod training;
mod unit_labels;
mod web;

pub use app::{AppEvents, REVISION, VERSION};
pub use engine::{EngineEvents, Evaluated};
pub use external::ExternalEvents;
pub use intake::IntakeEvents;
pub use invalid::InvalidEvents;
pub use kafka::{KafkaEvents, MessageResult};
pub use remote_write::RemoteWriteEvents;
pub use scaler::ScalerEvents;
pub use scaling::ScalingEvents;
pub use scrape::ScrapeEvents;
pub use sink::SinkEvents;
pub use source::SourceEvents;
pub use store::StoreEvents;
pub use training::{PromotedBy, TrainingEvents, TrainingResult};
pub use web::WebEvents;

use process::Process;
use prometheus_client::{encoding::text, registry::Registry};
use std::sync::Arc;

/// Every event of the program, and the registry that shows their counters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// What the process as a whole counts.
    pub app: Arc<AppEvents>,
    /// What the engine counts.
    pub engine: Arc<EngineEvents>,
    /// What is counted of the external metrics API.
    pub external: Arc<ExternalEvents>,
    /// What is counted of samples that come by themselves.
    pub intake: Arc<IntakeEvents>,
    /// What is counted of topics.
    pub kafka: Arc<KafkaEvents>,
    /// What is counted of what is sent by remote write.
    pub remote_write: Arc<RemoteWriteEvents>,
    /// What is counted of what autoscalers ask.
    pub scaler: Arc<ScalerEvents>,
    /// What is counted of decisions.
    pub scaling: Arc<ScalingEvents>,
    /// What is counted of what is scraped.
    pub scrape: Arc<ScrapeEvents>,
    /// What is counted of what is sent.
    pub sink: Arc<SinkEvents>,
    /// What the sources count.
    pub source: Arc<SourceEvents>,
    /// What is counted of the store of events, overrides and decisions.
    pub store: Arc<StoreEvents>,
    /// What is counted of trainings.
    pub training: Arc<TrainingEvents>,
    /// What the server counts.
    pub web: Arc<WebEvents>,
    registry: Arc<Registry>,
    /// `process_*` bear no prefix of ours: every dashboard knows them by these names.
    process: Arc<Registry>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("forethought");
        let app = Arc::new(AppEvents::register(&mut registry));
        let engine = Arc::new(EngineEvents::register(&mut registry));
        let external = Arc::new(ExternalEvents::register(&mut registry));
        let intake = Arc::new(IntakeEvents::register(&mut registry));
        let kafka = Arc::new(KafkaEvents::register(&mut registry));
        let remote_write = Arc::new(RemoteWriteEvents::register(&mut registry));
        let scaler = Arc::new(ScalerEvents::register(&mut registry));
        let scaling = Arc::new(ScalingEvents::register(&mut registry));
        let scrape = Arc::new(ScrapeEvents::register(&mut registry));
        let sink = Arc::new(SinkEvents::register(&mut registry));
        let source = Arc::new(SourceEvents::register(&mut registry));
        let store = Arc::new(StoreEvents::register(&mut registry));
        let training = Arc::new(TrainingEvents::register(&mut registry));
        let web = Arc::new(WebEvents::register(&mut registry));
        let mut process = Registry::default();
        process.register_collector(Box::new(Process));
        Self {
            app,
            engine,
            external,
            intake,
            kafka,
            remote_write,
            scaler,
            scaling,
            scrape,
            sink,
            source,
            store,
            training,
            web,
            registry: Arc::new(registry),
            process: Arc::new(process),
        }
    }
}

impl Telemetry {
    /// Our own metrics in the OpenMetrics text format, with its `# EOF`.
    ///
    /// # Errors
    /// Never, as writing into a string cannot fail; the encoder's signature has it.
    pub fn open_metrics(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode_registry(&mut out, &self.registry)?;
        text::encode_registry(&mut out, &self.process)?;
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_shows_itself_under_the_usual_names() {
        let telemetry = Telemetry::default();
        telemetry.app.loaded(u64::MAX, 1.5, 1, 0);
        let shown = telemetry.open_metrics().unwrap();
        let value = |name: &str| {
            let line = shown.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<f64>().ok())
        };
        for name in [
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_open_fds",
            "process_threads",
        ] {
            assert!(value(name) > Some(0.0), "{name} in {shown}");
        }
        assert_eq!(
            value("forethought_config_last_reload_successful"),
            Some(1.0)
        );
        assert_eq!(
            value("forethought_config_last_reload_success_timestamp_seconds"),
            Some(1.5)
        );
        assert_eq!(
            value("forethought_config_hash"),
            Some((1_u64 << 52) as f64 - 1.0)
        );
        assert!(shown.contains("forethought_build_info{version="));
        assert!(shown.ends_with("# EOF\n"));
    }

    #[test]
    fn two_in_one_process_do_not_mix() {
        let (one, other) = (Telemetry::default(), Telemetry::default());
        one.app.ready(true);
        assert!(
            one.open_metrics()
                .unwrap()
                .contains("forethought_ready 1\n")
        );
        assert!(
            other
                .open_metrics()
                .unwrap()
                .contains("forethought_ready 0\n")
        );
    }
}
