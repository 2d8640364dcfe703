//! Alerts pushed straight to Alertmanager, for installations without a Prometheus that would judge rules.
//!
//! One [`Pusher`] per Alertmanager, each by itself, as Prometheus does: it looks at the newest outcomes
//! (`alerts` says what is on), compares with what it told (`book`), and posts the difference (`wire`).
//! There is no queue: what could not be sent is asked of the newest outcomes again, so nothing piles up
//! and nothing outdated is sent. At the end nothing is resolved: alerts run out by themselves, or another
//! replica goes on with them.

mod alerts;
mod book;
mod push;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

pub use alerts::{GROUP_ALERT, SERIES_ALERT};
pub use push::{Pusher, Surroundings};
pub use settings::Settings;
