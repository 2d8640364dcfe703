//! Connections: what is answered on them, and how slow they may be.

use super::{
    Server,
    accept::{Door, Ending, Manners, drive, http},
    routes,
};
use hyper::{Request, body::Incoming, rt::Executor, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
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
    time::{Sleep, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 64;
/// What a connection over the limit is told, before anything of it was read.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\n\r\ntoo many open connections\n";

/// Accepts until `shutdown`, then waits for the requests under way.
pub(super) async fn serve(listener: TcpListener, server: Arc<Server>, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    let door = Door {
        listener,
        most: server.state.settings.limits.connections,
        events: &server.state.telemetry.web,
        stop: &shutdown,
        tasks: &tasks,
    };
    let talk = |stream| {
        let connection = Connection {
            server: Arc::clone(&server),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        };
        connection.run(stream)
    };
    door.open(|stream| refuse(stream, &server), talk).await;
    // Each connection gives up by itself in time.
    tasks.wait().await;
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
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let limits = &self.server.state.settings.limits;
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let server = Arc::clone(&self.server);
            async move { Ok::<_, Infallible>(routes::answer(server, request).await) }
        });
        let manners = Manners {
            idle: limits.idle,
            answer: limits.first_request,
            head: limits.head,
            streams: STREAMS,
        };
        let builder = http(Tracked(self.tasks.clone()), &manners);
        let io = TokioIo::new(Patient::new(stream, limits.stall));
        let ending = Ending {
            stop: &self.shutdown,
            patience: limits.shutdown,
            first: limits.first_request,
        };
        let connection = builder.serve_connection(io, service);
        let ended = drive(connection, ending, || asked.load(Ordering::Relaxed)).await;
        if ended.is_err() {
            self.server.state.telemetry.web.refused("slow_request");
        }
    }
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
