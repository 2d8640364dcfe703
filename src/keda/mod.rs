//! KEDA's `external` and `external-push` triggers: the gRPC service that its operator asks.
//!
//! | file | what |
//! |---|---|
//! | `externalscaler.proto` | the protocol |
//! | `trigger.rs` | what a trigger's metadata ask for |
//! | `service.rs` | the five calls |
//! | `server.rs` | connections, with and without TLS |
//!
//! Every answer is made of the newest decisions, in memory. What is not known is `UNAVAILABLE`, never a number: KEDA takes 0,
//! `NaN` and infinity alike for no load.

mod server;
mod service;
mod trigger;

pub use server::{Limits, State, serve};

/// The generated code of the protocol.
#[expect(
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub(crate) mod protocol {
    tonic::include_proto!("externalscaler");
}
