//! Connections of Kubernetes' API server: TLS, HTTP/1.1 and HTTP/2.

use super::{
    access::Access,
    front::{Trust, User},
    other::Other,
    routes,
};
use crate::{
    engine::{Catalogue, Clock},
    telemetry::{ExternalEvents, WebEvents},
    tls::Tls,
    web::{Patient, accept},
};
use arc_swap::ArcSwapOption;
use hyper::{Request, body::Incoming, header::HeaderMap, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the server reads.
#[derive(Debug)]
pub struct State {
    /// The newest decisions.
    pub catalogue: Arc<Catalogue>,
    /// What the time is.
    pub clock: Clock,
    /// Whether there is something to serve.
    pub ready: Arc<AtomicBool>,
    /// What is counted.
    pub events: Arc<ExternalEvents>,
    /// Where connections that cannot be accepted are counted.
    pub web: Arc<WebEvents>,
    /// The certificates.
    pub tls: Arc<Tls>,
    /// Who is believed.
    pub front: Arc<Front>,
    /// Who may ask.
    pub access: Access,
    /// Paths that everybody may read; `*` at the end means everything that begins so.
    pub anonymous_paths: Vec<String>,
    /// Where the metrics are that are not ours.
    pub other: Option<Arc<Other>>,
    /// What one server takes on.
    pub limits: Limits,
}

impl State {
    pub(super) fn is_for_everybody(&self, path: &str) -> bool {
        self.anonymous_paths
            .iter()
            .any(|allowed| match allowed.strip_suffix('*') {
                Some(begin) => path.starts_with(begin),
                None => path == allowed,
            })
    }
}

/// The front proxy, if it is known by now.
#[derive(Debug, Default)]
pub struct Front(ArcSwapOption<Trust>);

impl Front {
    /// Puts `trust` in the place of the former; says whether it is another.
    pub fn trust(&self, trust: Trust) -> bool {
        let former = self.0.load_full();
        let is_other = former.is_none_or(|former| *former != trust);
        if is_other {
            self.0.store(Some(Arc::new(trust)));
        }
        is_other
    }

    pub(super) fn identify(
        &self,
        shown: &[CertificateDer<'_>],
        headers: &HeaderMap,
        now: UnixTime,
    ) -> Result<User, String> {
        match self.0.load_full() {
            Some(trust) => trust.identify(shown, headers, now),
            None => {
                Err("it is not known yet who Kubernetes' front proxy is; see the log".to_owned())
            }
        }
    }
}

/// What one server takes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Open connections. Each API server of the cluster has a few.
    pub connections: usize,
    /// Requests at the same time on one connection.
    pub streams: u32,
    /// A handshake takes no longer, and a first request comes within this.
    pub handshake: Duration,
    /// A connection without a request is closed after this; on HTTP/2 the peer is asked whether it is still there.
    pub idle: Duration,
    /// A reader that takes nothing of its answer for this long is given up on.
    pub stall: Duration,
    /// Bytes of a request's head.
    pub head: usize,
    /// How long requests under way may still take when the server stops.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            streams: 256,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            stall: Duration::from_secs(30),
            // Groups and what else is known of a user fit.
            head: 64 * 1024,
            shutdown: Duration::from_secs(5),
        }
    }
}

/// Serves on `listener` until `shutdown`, then until the requests under way are answered.
pub async fn serve(listener: TcpListener, state: Arc<State>, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    let room = Arc::new(Semaphore::new(state.limits.connections));
    while let Some(stream) = accept(&listener, &state.web, &shutdown).await {
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            state.events.refused("connections", "too many are open");
            continue;
        };
        let connection = Connection {
            state: Arc::clone(&state),
            stop: shutdown.clone(),
        };
        drop(tasks.spawn(async move {
            connection.run(stream).await;
            drop(place);
        }));
    }
    drop(listener);
    tasks.close();
    // Connections end by themselves then; who does not let go is left behind with the runtime.
    drop(timeout(state.limits.shutdown, tasks.wait()).await);
}

struct Connection {
    state: Arc<State>,
    stop: CancellationToken,
}

impl Connection {
    async fn run(&self, stream: TcpStream) {
        let (limits, events) = (&self.state.limits, &self.state.events);
        // Answers are a few bytes: waiting for more to send would only delay them.
        drop(stream.set_nodelay(true));
        let stream = Patient::new(stream, limits.stall);
        let handshake = TlsAcceptor::from(self.state.tls.config()).accept(stream);
        match timeout(limits.handshake, handshake).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let shown: Vec<_> = shown.iter().map(|one| one.clone().into_owned()).collect();
                self.talk(stream, shown.into()).await;
            }
            Ok(Err(error)) => events.refused("handshake", error),
            Err(_) => events.refused("handshake", "it took too long"),
        }
    }

    /// Answers until the peer goes or the server stops.
    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        shown: Arc<[CertificateDer<'static>]>,
    ) {
        let limits = &self.state.limits;
        let _connected = self.state.events.connected();
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (state, shown) = (Arc::clone(&self.state), Arc::clone(&shown));
            async move { Ok::<_, Infallible>(routes::answer(&state, &shown, request).await) }
        });
        let builder = builder(limits);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut deadline = pin!(sleep(limits.handshake));
        let mut end = pin!(sleep(Duration::ZERO));
        let (mut stopping, mut new) = (false, true);
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection of the external metrics API ended early");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                    end.as_mut().reset(Instant::now() + limits.shutdown);
                }
                // Who does not let go is let go of.
                () = end.as_mut(), if stopping => return,
                () = deadline.as_mut(), if new => {
                    new = false;
                    if !asked.load(Ordering::Relaxed) {
                        self.state.events.refused("handshake", "nothing came");
                        return;
                    }
                }
            }
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .keep_alive_interval(limits.idle)
        .keep_alive_timeout(limits.handshake);
    builder
}
