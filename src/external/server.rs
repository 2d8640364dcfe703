//! Connections of Kubernetes' API server: TLS, HTTP/1.1 and HTTP/2.

use super::{
    access::Access,
    front::{Trust, User},
    other::Other,
    routes,
};
use crate::{
    engine::Served,
    telemetry::{ExternalEvents, WebEvents},
    tls::Tls,
    web::{Door, Ending, Manners, Patient, drive, http},
};
use arc_swap::ArcSwapOption;
use hyper::{Request, body::Incoming, header::HeaderMap, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the server reads.
#[derive(Debug)]
pub struct State {
    /// The newest decisions, and whether there is something to serve.
    pub served: Served,
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
    let door = Door {
        listener,
        most: state.limits.connections,
        events: &state.web,
        stop: &shutdown,
        tasks: &tasks,
    };
    let refuse = |_: &TcpStream| state.events.refused("connections", "too many are open");
    let talk = |stream| {
        let connection = Connection {
            state: Arc::clone(&state),
            stop: shutdown.clone(),
        };
        connection.run(stream)
    };
    door.open(refuse, talk).await;
    // Connections end by themselves then; who does not let go is left behind with the runtime.
    drop(timeout(state.limits.shutdown, tasks.wait()).await);
}

/// The certificates that a client has shown. Wrapped, as the compiler forgets that they borrow nothing where a task is generic.
struct Shown(Vec<CertificateDer<'static>>);

struct Connection {
    state: Arc<State>,
    stop: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let (limits, events) = (&self.state.limits, &self.state.events);
        let stream = Patient::new(stream, limits.stall);
        let handshake = TlsAcceptor::from(self.state.tls.config()).accept(stream);
        match timeout(limits.handshake, handshake).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let shown = shown.iter().map(|one| one.clone().into_owned());
                let shown = Arc::new(Shown(shown.collect()));
                self.talk(stream, shown).await;
            }
            Ok(Err(error)) => events.refused("handshake", error),
            Err(_) => events.refused("handshake", "it took too long"),
        }
    }

    /// Answers until the peer goes or the server stops.
    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        shown: Arc<Shown>,
    ) {
        let (limits, events) = (&self.state.limits, &self.state.events);
        let _connected = events.connected();
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (state, shown) = (Arc::clone(&self.state), Arc::clone(&shown));
            async move { Ok::<_, Infallible>(routes::answer(&state, &shown.0, request).await) }
        });
        let manners = Manners {
            idle: limits.idle,
            answer: limits.handshake,
            head: limits.head,
            streams: limits.streams,
        };
        let builder = http(TokioExecutor::new(), &manners);
        let ending = Ending {
            stop: &self.stop,
            patience: limits.shutdown,
            first: limits.handshake,
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let ended = drive(connection, ending, || asked.load(Ordering::Relaxed)).await;
        if ended.is_err() {
            events.refused("handshake", "nothing came");
        }
    }
}
