//! The HTTP server: every answer comes from what was already computed (invariant 5).
//!
//! | path | method | answer |
//! |---|---|---|
//! | `/` `/page.css` `/page.js` `/workloads.js` `/favicon.ico` | GET | the page with the charts |
//! | `/metrics` | GET | the exposition; `name[]` chooses families |
//! | `/-/healthy` | GET | 200 as long as the process answers |
//! | `/-/ready` | GET | 200 once there is something to serve, else 503 with the reason |
//! | `/-/reload` `/-/quit` | PUT, POST | with `--web.enable-lifecycle`, else 403 |
//! | `/api/v1/status` | GET | what is loaded and why a signal is silent |
//! | `/api/v1/signals` | GET | the signals and panels |
//! | `/api/v1/series` | GET | the recent past and the forecasts of a signal's series |
//! | `/api/v1/events` `/api/v1/events/ID` | GET, POST, DELETE | known causes of load; changes with `--web.enable-admin-api` |
//! | `/api/v1/overrides` `/api/v1/overrides/ID` | GET, POST, DELETE | orders over workloads; likewise |
//! | `/api/v1/scaling/decisions` | GET | what was decided, and why |
//! | `/api/v1/workloads` `/api/v1/scaling/status` `/api/v1/queues` | GET | the newest decisions, and what they are about |
//! | `/api/v1/scaling/value` | GET | what an autoscaler is told of a workload |
//! | `/api/v1/scaling/evaluate` | GET | what would be decided if something were otherwise: the one read that computes |
//! | `/api/v1/models/accuracy` `/api/v1/predictions/current` | GET | how good forecasts were, and what they are |
//! | `/api/v1/targets` | GET | the targets of sources that scrape, and how their newest scrapes went |
//! | `/api/v1/write` | POST | takes what is pushed by remote write; `/api/v1/write/SOURCE` where several sources are pushed to |
//! | `/api/v1/health` | GET | what is well and what is not, with a score |

mod accept;
mod api;
mod body;
mod connection;
mod control;
mod metrics;
mod query;
mod records;
mod reply;
mod routes;
mod settings;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use accept::{Door, Ending, Manners, drive, http};
pub(crate) use connection::Patient;
pub use settings::{Limits, Settings, route_prefix_of};

use crate::{
    engine::{Catalogue, Clock},
    series::Shard,
    source::{remote_write::Receivers, scrape::Board},
    store::Store,
    telemetry::Telemetry,
};
use arc_swap::ArcSwapOption;
use serde::Serialize;
use std::sync::{Arc, Mutex, atomic::AtomicBool};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// What the server reads.
#[derive(Debug)]
pub struct State {
    /// The units and their newest outcomes.
    pub catalogue: Arc<Catalogue>,
    /// Our own metrics.
    pub telemetry: Telemetry,
    /// What the time is.
    pub clock: Clock,
    /// Whether there is something to serve.
    pub ready: Arc<AtomicBool>,
    /// Where `/-/reload` and `/-/quit` go; `None` where the lifecycle API is not enabled.
    pub lifecycle: Option<mpsc::Sender<Lifecycle>>,
    /// Events, overrides, decisions; nothing where the configuration has no store.
    pub store: Arc<ArcSwapOption<Store>>,
    /// Whether events and overrides can be changed.
    pub admin: bool,
    /// Which part of the series this process carries; all where left out.
    pub shard: Option<Shard>,
    /// What became of the configuration; the app keeps it up to date.
    pub config: Arc<Mutex<ConfigReport>>,
    /// The targets of sources that scrape.
    pub targets: Arc<Board>,
    /// Who takes what is pushed.
    pub receivers: Arc<Receivers>,
    /// Paths and limits.
    pub settings: Settings,
}

/// What a person asks of the process over HTTP.
#[derive(Debug)]
pub enum Lifecycle {
    /// Read the configuration file again, and say how it went.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Stop.
    Quit,
}

/// What became of the configuration, for `/api/v1/status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ConfigReport {
    /// The file; `None` where there is none.
    pub file: Option<String>,
    /// Whether the newest attempt to load it went well.
    pub last_reload_successful: bool,
    /// When it was loaded last, seconds since the epoch.
    pub last_reload_success: Option<f64>,
    /// Why the newest attempt failed; the former configuration is still in force then.
    pub last_error: Option<String>,
}

/// Serves on `listener` until `shutdown`, then until the requests under way are answered (at most
/// [`Limits::shutdown`]).
pub async fn serve(listener: TcpListener, state: Arc<State>, shutdown: CancellationToken) {
    let limits = &state.settings.limits;
    let server = Arc::new(Server {
        scrapes: Arc::new(Semaphore::new(limits.requests)),
        queries: Semaphore::new(QUERIES),
        started: Instant::now(),
        state,
    });
    connection::serve(listener, server, shutdown).await;
}

/// Requests of the API that may be put together at the same time; the others wait.
const QUERIES: usize = 4;

/// The state with what belongs to one run of the server.
#[derive(Debug)]
struct Server {
    state: Arc<State>,
    /// `/metrics` being answered.
    scrapes: Arc<Semaphore>,
    /// API requests being put together.
    queries: Semaphore,
    started: Instant,
}
