//! `external.metrics.k8s.io/v1beta1`: the recommendation as Kubernetes' own autoscaler (HPA) asks for it, behind the API server.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | the file behind `--external.config.file` |
//! | `server.rs` | connections |
//! | `routes.rs` | from a request to its answer |
//! | `front.rs` | on whose behalf is asked: headers of the front proxy, if it is the front proxy |
//! | `access.rs` | whether that user may |
//! | `kubernetes.rs`, `elsewhere.rs` | the API server that says both, with and without the feature `kube` |
//! | `answers.rs` | from the newest decisions to a metric of one value |
//! | `selector.rs`, `quantity.rs`, `accept.rs` | label selectors, quantities, what a reader can take |
//! | `wire.rs`, `openapi.rs` | documents |
//! | `other.rs` | the adapter that has what is not ours |
//!
//! Values are made of the newest decisions, in memory; only whether a user may is asked for, and remembered. What is not known
//! is an error, never a number and never an empty list.

mod accept;
mod access;
mod answers;
#[cfg(not(feature = "kube"))]
mod elsewhere;
mod front;
#[cfg(feature = "kube")]
mod kubernetes;
mod openapi;
mod other;
mod quantity;
mod routes;
mod selector;
mod server;
mod settings;
mod wire;

pub use access::{Access, Question, Review, Verdict, Wish};
pub use answers::METRIC;
#[cfg(not(feature = "kube"))]
pub use elsewhere::Cluster;
pub use front::{Trust, User};
#[cfg(feature = "kube")]
pub use kubernetes::Cluster;
pub use other::Other;
pub use selector::is_label_value;
pub use server::{Front, Limits, State, serve};
pub use settings::{Kubernetes, Proxy, RequestHeader, Reviews, Settings};
