//! Connections: how many, how slow, and how they end.

use super::{Server, routes, settings::Limits};
use crate::telemetry::WebEvents;
use hyper::{Request, body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// After a failed accept (no file descriptors left, mostly) trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 64;
/// What a connection over the limit is told, before anything of it was read.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\n\r\ntoo many open connections\n";

/// Accepts until `shutdown`, then waits for the requests under way.
pub(super) async fn serve(listener: TcpListener, server: Arc<Server>, shutdown: CancellationToken) {
    let limits = &server.state.settings.limits;
    let room = Arc::new(Semaphore::new(limits.connections));
    let tasks = TaskTracker::new();
    let force = CancellationToken::new();
    while let Some(stream) = accept(&listener, &server.state.telemetry.web, &shutdown).await {
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            refuse(&stream, &server);
            continue;
        };
        let connection = Connection {
            server: Arc::clone(&server),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            force: force.clone(),
            _place: place,
        };
        tasks.spawn(connection.run(stream));
    }
    drop(listener);
    tasks.close();
    if timeout(limits.shutdown, tasks.wait()).await.is_err() {
        force.cancel();
        tasks.wait().await;
    }
}

/// The next connection; `None` when it is time to stop.
pub(crate) async fn accept(
    listener: &TcpListener,
    events: &WebEvents,
    shutdown: &CancellationToken,
) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => return Some(stream),
            Err(error) => {
                events.accept_failed(&error);
                tokio::select! {
                    () = shutdown.cancelled() => return None,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

fn refuse(stream: &TcpStream, server: &Server) {
    server.state.telemetry.web.refused("connections");
    // A courtesy: where the socket does not take it at once, the connection is just closed.
    drop(stream.try_write(FULL));
}

struct Connection {
    server: Arc<Server>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    force: CancellationToken,
    /// Room for another connection, when this one ends.
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let limits = &self.server.state.settings.limits;
        // Answers are written whole: waiting for more to send would only delay them.
        drop(stream.set_nodelay(true));
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let server = Arc::clone(&self.server);
            async move { Ok::<_, Infallible>(routes::answer(server, request).await) }
        });
        let builder = builder(limits, Tracked(self.tasks.clone()));
        let io = TokioIo::new(Patient::new(stream, limits.stall));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut deadline = pin!(sleep(limits.first_request));
        let (mut stopping, mut new) = (false, true);
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = self.shutdown.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.force.cancelled() => return,
                // hyper's own timeout begins only once it knows the version of HTTP.
                () = deadline.as_mut(), if new => {
                    new = false;
                    if !asked.load(Ordering::Relaxed) {
                        self.server.state.telemetry.web.refused("slow_request");
                        return;
                    }
                }
            }
        }
    }
}

fn builder(limits: &Limits, executor: Tracked) -> Builder<Tracked> {
    let mut builder = Builder::new(executor);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(limits.idle)
        .keep_alive_timeout(limits.first_request);
    builder
}

/// Runs what hyper spawns where shutdown waits for it.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// A stream that fails once a write had to wait longer than `patience` without a byte going out: a peer
/// that is gone, or that asks and never reads. Reads wait as long as hyper lets them: a request may take
/// its time to be answered.
pub(crate) struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Set while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(crate) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            deadline: None,
        }
    }

    fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let patience = self.patience;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
