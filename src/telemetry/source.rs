//! What the sources counts and logs.

use prometheus_client::registry::Registry;

/// What the sources counts and logs.
#[derive(Debug)]
pub struct SourceEvents {}

impl SourceEvents {
    /// Registers the metrics, each at zero.
    pub fn register(_registry: &mut Registry) -> Self {
        Self {}
    }
}
