//! What the server counts and logs.

use prometheus_client::registry::Registry;

/// What the server counts and logs.
#[derive(Debug)]
pub struct WebEvents {}

impl WebEvents {
    /// Registers the metrics, each at zero.
    pub fn register(_registry: &mut Registry) -> Self {
        Self {}
    }
}
