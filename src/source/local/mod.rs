//! Where samples that come by themselves go, scraped or pushed.

mod hub;

pub use hub::{Hub, Route, Taken};
