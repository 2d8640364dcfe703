//! A person's order over a workload.

use crate::series::Millis;
use serde::{Deserialize, Serialize};

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Nothing predictive: the reactive part alone.
    Pause,
    /// Exactly so many, whatever anybody asks for.
    Pin(u32),
    /// At least so many.
    Min(u32),
    /// At most so many: a human ceiling, which may go below reactive.
    Max(u32),
}

/// An order with its reason and expiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Unique; given by the store.
    pub id: String,
    /// The workload it is over.
    pub workload: String,
    /// What is ordered.
    pub order: Order,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// When it was given.
    pub created: Millis,
    /// From when on it holds no more; `None`: until somebody clears it.
    pub expires: Option<Millis>,
}
