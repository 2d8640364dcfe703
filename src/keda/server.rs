//! Connections of KEDA's operator: HTTP/2, with and without TLS.

use super::{protocol::external_scaler_server::ExternalScalerServer, service::Scaler};
use crate::{
    engine::Served,
    telemetry::{ScalerEvents, WebEvents},
    tls::Tls,
    web::{Door, Ending, drive},
};
use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    future::pending,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, body::Body, codegen::Service};
use tonic_health::{ServingStatus, server::HealthReporter};

/// The service as health checks name it; the empty name is the process.
const NAME: &str = "externalscaler.ExternalScaler";
/// Bytes of the preface of HTTP/2; what is none is refused at once.
const PREFACE: usize = 24;
/// No message of KEDA is longer.
const LONGEST_MESSAGE: usize = 64 * 1024;
/// How often readiness is looked at.
const READY_POLL: Duration = Duration::from_millis(250);

/// What the service reads.
#[derive(Debug)]
pub struct State {
    /// The newest decisions, and whether there is something to serve.
    pub served: Served,
    /// What is counted.
    pub events: Arc<ScalerEvents>,
    /// Where connections that cannot be accepted are counted.
    pub web: Arc<WebEvents>,
    /// TLS, where it is wanted.
    pub tls: Option<Arc<Tls>>,
    /// What one server takes on.
    pub limits: Limits,
}

/// What one server takes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Open connections. KEDA's operator has one for each address.
    pub connections: usize,
    /// Calls at the same time on one connection, and streams on all of them. Each `external-push` trigger has two for as
    /// long as it lives.
    pub streams: u32,
    /// A handshake takes no longer, that of TLS and that of HTTP/2.
    pub handshake: Duration,
    /// A peer that is silent for so long is asked whether it is still there, and has as long to answer.
    pub silence: Duration,
    /// How long calls under way may still take when the server stops.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            streams: 8_192,
            handshake: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            shutdown: Duration::from_secs(5),
        }
    }
}

/// Serves on `listener` until `shutdown`, then until the calls under way are answered.
pub async fn serve(listener: TcpListener, state: Arc<State>, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    let (health, checks) = tonic_health::server::health_reporter();
    let scaler = Scaler {
        state: Arc::clone(&state),
        stop: shutdown.clone(),
        tasks: tasks.clone(),
        room: Arc::new(Semaphore::new(state.limits.streams as usize)),
    };
    let server = Arc::new(Server {
        scaler,
        health: checks,
        state,
        shutdown,
    });
    drop(tasks.spawn(tell_health(
        Arc::clone(&server.state),
        health,
        server.shutdown.clone(),
    )));
    let (state, shutdown) = (Arc::clone(&server.state), server.shutdown.clone());
    let door = Door {
        listener,
        most: state.limits.connections,
        events: &state.web,
        stop: &shutdown,
        tasks: &tasks,
    };
    let refuse = |_: &TcpStream| state.events.refused("connections", "too many are open");
    let talk = |stream| Arc::clone(&server).run(stream);
    door.open(refuse, talk).await;
    // Connections end by themselves then; who does not let go is left behind with the runtime.
    drop(timeout(state.limits.shutdown, tasks.wait()).await);
}

/// The health service says what readiness says.
async fn tell_health(state: Arc<State>, health: HealthReporter, shutdown: CancellationToken) {
    let mut told = None;
    loop {
        let ready = state.served.is_ready() && !shutdown.is_cancelled();
        if told.replace(ready) != Some(ready) {
            let status = match ready {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            };
            for name in ["", NAME] {
                health.set_service_status(name, status).await;
            }
        }
        if shutdown.is_cancelled() {
            return;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(READY_POLL) => {}
        }
    }
}

struct Server<H> {
    scaler: Scaler,
    health: H,
    state: Arc<State>,
    shutdown: CancellationToken,
}

impl<H> Server<H>
where
    H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    H::Future: Send,
{
    async fn run(self: Arc<Self>, stream: TcpStream) {
        let Some(tls) = &self.state.tls else {
            return self.talk(stream, None).await;
        };
        // Before the handshake: what changes during it must not be missed.
        let renewed = tls.renewals();
        let handshake = TlsAcceptor::from(tls.config()).accept(stream);
        let events = &self.state.events;
        match timeout(self.state.limits.handshake, handshake).await {
            Ok(Ok(stream)) => match tls.admit(stream.get_ref().1.peer_certificates()) {
                Ok(()) => self.talk(stream, Some(renewed)).await,
                Err(why) => events.refused("identity", why),
            },
            Ok(Err(error)) => events.refused("handshake", error),
            Err(_) => events.refused("handshake", "it took too long"),
        }
    }

    /// Answers until the peer goes, the server stops, or other certificates are in force.
    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        mut renewed: Option<watch::Receiver<()>>,
    ) {
        let _connected = self.state.events.connected();
        let limits = &self.state.limits;
        let stop = self.shutdown.child_token();
        let scaler = Scaler {
            stop: stop.clone(),
            ..self.scaler.clone()
        };
        let scaler = ExternalScalerServer::new(scaler).max_decoding_message_size(LONGEST_MESSAGE);
        let service = service_fn(|request| self.answer(scaler.clone(), request));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .keep_alive_interval(limits.silence)
            .keep_alive_timeout(limits.silence);
        let came = Arc::new(AtomicUsize::new(0));
        let stream = Watched {
            stream,
            came: Arc::clone(&came),
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let ending = Ending {
            stop: &stop,
            patience: limits.shutdown,
            first: limits.handshake,
        };
        // Whoever comes again is judged by the certificates and names that are in force now.
        let renewal = async {
            changed(&mut renewed).await;
            stop.cancel();
            pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = drive(connection, ending, || came.load(Ordering::Relaxed) >= PREFACE) => ended,
            () = renewal => return,
        };
        if ended.is_err() {
            self.state.events.refused("handshake", "nothing came");
        }
    }

    fn answer(
        &self,
        mut scaler: ExternalScalerServer<Scaler>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static {
        let mut health = self.health.clone();
        async move {
            let called = request.uri().path().trim_start_matches('/');
            match called.split_once('/') {
                Some((NAME, _)) => scaler.call(request).await,
                Some(("grpc.health.v1.Health", _)) => health.call(request).await,
                _ => {
                    let text = format!(
                        "there is no /{called}; there are {NAME} and grpc.health.v1.Health"
                    );
                    Ok(Status::unimplemented(text).into_http())
                }
            }
        }
    }
}

/// Waits for other certificates; for ever where there are none.
async fn changed(renewed: &mut Option<watch::Receiver<()>>) {
    if let Some(renewed) = renewed
        && renewed.changed().await.is_ok()
    {
        return;
    }
    pending().await
}

/// A stream that knows how much has come.
struct Watched<S> {
    stream: S,
    came: Arc<AtomicUsize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = buffer.filled().len() - before;
        self.came.fetch_add(new, Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
