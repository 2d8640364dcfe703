//! What is pushed to us by remote write 1.0 and 2.0, as a Prometheus, an agent or a collector does.
//!
//! A [`Receiver`] belongs to one source. It asks who pushes (`gate`), takes a request apart (`expo::wire`), and puts the samples into the
//! source's hub. The server asks it, see `web`.

mod gate;
mod receiver;
mod settings;
#[cfg(test)]
mod tests;

pub use receiver::{Receiver, Refusal, Written};
pub use settings::Settings;

use arc_swap::ArcSwap;
use std::{collections::BTreeMap, sync::Arc};

/// The receivers in force, by source. The app puts others in their place on reload.
pub type Receivers = ArcSwap<BTreeMap<String, Arc<Receiver>>>;
