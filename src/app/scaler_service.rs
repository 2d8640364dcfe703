//! What answers KEDA's operator: addresses and certificates, bound and read before anything runs.

use super::{AppError, AppOptions, bind};
use crate::{engine::Served, keda, telemetry::Telemetry, tls::Tls};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The service that was built and does not run yet; nothing where it is not wanted.
#[derive(Debug)]
pub(super) struct ScalerService {
    listeners: Vec<TcpListener>,
    tls: Option<Arc<Tls>>,
}

impl ScalerService {
    /// Reads the certificates and binds the addresses. Starts nothing.
    ///
    /// # Errors
    /// A certificate that cannot be read or does not fit, an address that is in use.
    pub(super) async fn build(options: &AppOptions) -> Result<Self, AppError> {
        let tls = options.grpc_config.as_ref().map(|file| {
            let loaded = Tls::load(file, &["h2"]);
            loaded.map_err(|problem| AppError::Config(format!("--grpc.config.file: {problem}")))
        });
        Ok(Self {
            tls: tls.transpose()?.map(Arc::new),
            listeners: bind(&options.grpc, "grpc.listen-address").await?,
        })
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let bound = self.listeners.iter();
        bound
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Answers until `stop`.
    pub(super) fn start(
        self,
        served: Served,
        telemetry: &Telemetry,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let state = Arc::new(keda::State {
            served,
            events: Arc::clone(&telemetry.scaler),
            web: Arc::clone(&telemetry.web),
            tls: self.tls,
            limits: keda::Limits::default(),
        });
        if let Some(tls) = state.tls.clone() {
            let (events, stop) = (Arc::clone(&state.events), stop.clone());
            drop(tracker.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tls.follow(|read| events.certificates_read(read)) => {}
                }
            }));
        }
        for listener in self.listeners {
            if let Ok(address) = listener.local_addr() {
                telemetry.scaler.listening(&address, state.tls.is_some());
            }
            drop(tracker.spawn(keda::serve(listener, Arc::clone(&state), stop.clone())));
        }
    }
}
