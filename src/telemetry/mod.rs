//! Our own metrics and log events. A leaf: the core never uses it (invariant 2).
//!
//! A log line and its counter are one thing: adapters call one method here for both.

mod engine;
pub mod log;
mod source;
mod web;

pub use engine::{EngineEvents, Evaluated};
pub use source::SourceEvents;
pub use web::WebEvents;

use prometheus_client::registry::Registry;
use std::sync::Arc;

/// Every event of the program, and the registry that shows their counters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// What the engine counts.
    pub engine: Arc<EngineEvents>,
    /// What the sources count.
    pub source: Arc<SourceEvents>,
    /// What the server counts.
    pub web: Arc<WebEvents>,
    registry: Arc<Registry>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("forethought");
        let engine = Arc::new(EngineEvents::register(&mut registry));
        let source = Arc::new(SourceEvents::register(&mut registry));
        let web = Arc::new(WebEvents::register(&mut registry));
        Self {
            engine,
            source,
            web,
            registry: Arc::new(registry),
        }
    }
}

impl Telemetry {
    /// Our own metrics in the OpenMetrics text format, with its `# EOF`.
    ///
    /// # Errors
    /// Never, as writing into a string cannot fail; the encoder's signature has it.
    pub fn open_metrics(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
