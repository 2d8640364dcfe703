//! What autoscalers are answered from.

use super::{Catalogue, Clock};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What every answer to an autoscaler is made of, whoever it is.
#[derive(Debug, Clone)]
pub struct Served {
    /// The newest decisions.
    pub catalogue: Arc<Catalogue>,
    /// What the time is.
    pub clock: Clock,
    /// Whether there is something to serve.
    pub ready: Arc<AtomicBool>,
}

impl Served {
    /// Whether there is something to serve by now.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}
