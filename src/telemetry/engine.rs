//! What the engine counts and logs.

use prometheus_client::registry::Registry;

/// What the engine counts and logs.
#[derive(Debug)]
pub struct EngineEvents {}

impl EngineEvents {
    /// Registers the metrics, each at zero.
    pub fn register(_registry: &mut Registry) -> Self {
        Self {}
    }
}
