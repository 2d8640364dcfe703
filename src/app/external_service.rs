//! What answers Kubernetes' API server: addresses, certificates, who is believed and who may ask.

use super::{AppError, AppOptions, bind};
use crate::{
    engine::Served,
    external::{self, Access, Cluster, Front, Other, Review, Settings, Trust},
    telemetry::{ExternalEvents, Telemetry},
    tls::Tls,
};
use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often files are looked at. Those of a Kubernetes secret take up to a minute to arrive anyhow.
const POLL_FILES: Duration = Duration::from_secs(15);
/// How often the API server is asked who its front proxy is: an authority changes over days.
const POLL_CLUSTER: Duration = Duration::from_secs(60);
/// And while that was never known.
const POLL_UNKNOWN: Duration = Duration::from_secs(2);

/// The service that was built and does not run yet.
#[derive(Debug)]
pub(super) struct ExternalService {
    listeners: Vec<TcpListener>,
    parts: Parts,
}

#[derive(Debug)]
struct Parts {
    file: PathBuf,
    settings: Settings,
    tls: Arc<Tls>,
    front: Arc<Front>,
    is_known: bool,
    cluster: Option<Cluster>,
    other: Option<Arc<Other>>,
}

impl ExternalService {
    /// Reads the file and those it names, and binds the addresses; nothing where it is not wanted. Sends nothing.
    ///
    /// # Errors
    /// What cannot be read or does not fit, an address that is in use.
    pub(super) async fn build(options: &AppOptions) -> Result<Option<Self>, AppError> {
        let Some(file) = options
            .external_config
            .as_ref()
            .filter(|_| !options.external.is_empty())
        else {
            return Ok(None);
        };
        let wrong = |problem| AppError::Config(format!("--external.config.file: {problem}"));
        Ok(Some(Self {
            parts: Parts::read(file.clone()).await.map_err(wrong)?,
            listeners: bind(&options.external, "external.listen-address").await?,
        }))
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
        let (parts, events) = (self.parts, Arc::clone(&telemetry.external));
        let reviews = &parts.settings.authorization;
        let reviewer = parts
            .cluster
            .clone()
            .filter(|_| reviews.subject_access_review);
        let reviewer = reviewer.map(|cluster| Arc::new(cluster) as Arc<dyn Review>);
        let state = Arc::new(external::State {
            served,
            events: Arc::clone(&events),
            web: Arc::clone(&telemetry.web),
            tls: Arc::clone(&parts.tls),
            front: Arc::clone(&parts.front),
            access: Access::new(reviewer, reviews),
            anonymous_paths: parts.settings.anonymous_paths.clone(),
            other: parts.other.clone(),
            limits: external::Limits::default(),
        });
        for listener in self.listeners {
            if let Ok(address) = listener.local_addr() {
                events.listening(&address);
            }
            drop(tracker.spawn(external::serve(listener, Arc::clone(&state), stop.clone())));
        }
        let stop = stop.clone();
        drop(tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = parts.follow(&events) => {}
            }
        }));
    }
}

impl Parts {
    async fn read(file: PathBuf) -> Result<Self, String> {
        let settings = Settings::load(&file)?;
        let tls = Arc::new(Tls::load_for_any_client(&file, &["h2", "http/1.1"])?);
        let place = |problem| format!("{}: {problem}", file.display());
        let cluster = match settings.needs_kubernetes() {
            true => Some(Cluster::find(&settings.kubernetes).await.map_err(place)?),
            false => None,
        };
        let other = settings.proxy.as_ref().map(Other::build).transpose();
        let mut parts = Self {
            other: other.map_err(place)?.map(Arc::new),
            front: Arc::default(),
            is_known: false,
            settings,
            tls,
            cluster,
            file: file.clone(),
        };
        // What a file says is known now; what the API server says may take its time, and nothing else waits for it.
        if parts.settings.request_header.is_some() {
            parts.front.trust(trusted(&parts.settings).map_err(place)?);
            parts.is_known = true;
        }
        Ok(parts)
    }

    /// Reads again what may change, until dropped.
    async fn follow(self, events: &ExternalEvents) {
        match self.is_known {
            true => events.front_proxy_known(self.source()),
            false => events.front_proxy_sought(self.source()),
        }
        let tls = Arc::clone(&self.tls);
        let certificates = tls.follow(|read| events.read_again("certificates", read));
        let other = async {
            let Some(other) = &self.other else { return };
            loop {
                let other = Arc::clone(other);
                events.read_again("proxy", &blocking(move || other.renew()).await);
                sleep(POLL_FILES).await;
            }
        };
        tokio::join!(certificates, other, self.follow_front(events));
    }

    /// Who says who the front proxy is.
    fn source(&self) -> &'static str {
        match self.settings.request_header {
            Some(_) => "file",
            None => "cluster",
        }
    }

    async fn follow_front(&self, events: &ExternalEvents) {
        let mut known = self.is_known;
        loop {
            let read = match &self.cluster {
                Some(cluster) if self.settings.request_header.is_none() => {
                    cluster.front_proxy().await
                }
                _ => {
                    let file = self.file.clone();
                    blocking(move || Settings::load(&file).and_then(|settings| trusted(&settings)))
                        .await
                }
            };
            let read = read.map(|trust| {
                if self.front.trust(trust) {
                    events.front_proxy_known(self.source());
                }
                known = true;
            });
            events.read_again("front_proxy", &read);
            let pause = match self.settings.request_header {
                _ if !known => POLL_UNKNOWN,
                Some(_) => POLL_FILES,
                None => POLL_CLUSTER,
            };
            sleep(pause).await;
        }
    }
}

/// The front proxy as the file has it.
fn trusted(settings: &Settings) -> Result<Trust, String> {
    let header = settings.request_header.as_ref();
    let header =
        header.ok_or("request_header: was removed; start anew to read it from the cluster")?;
    let file = &header.client_ca_file;
    let place = |problem: String| {
        format!(
            "request_header.client_ca_file {}: {problem}",
            file.display()
        )
    };
    let pem = fs::read(file).map_err(|error| place(error.to_string()))?;
    Trust::new(&pem, header).map_err(place)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(panic.to_string()))
}
