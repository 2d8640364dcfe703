//! A known cause of load.

use crate::series::Millis;
use serde::{Deserialize, Serialize};

/// What an event does to the demand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The demand is so many times what it would be.
    Multiplier(f64),
    /// The demand is at least this, in the unit of the demand.
    Load(f64),
}

/// A known cause of load: a campaign, a game, a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique; given by the store.
    pub id: String,
    /// What sort of event, such as `campaign`; past events of one kind teach what the next will do.
    pub kind: String,
    /// For people.
    pub name: String,
    /// When it begins.
    pub start: Millis,
    /// When it ends; after `start`.
    pub end: Millis,
    /// So long before its start what it needs shall be ready; the workload's lead time where left out.
    pub lead: Option<Millis>,
    /// After its end the effect fades over this; 0: at once.
    pub decay: Millis,
    /// What it does. `None`: what past events of its kind did.
    pub effect: Option<Effect>,
    /// The workloads it is for; none: all.
    pub workloads: Vec<String>,
    /// Who put it in.
    pub author: String,
    /// When.
    pub created: Millis,
}
