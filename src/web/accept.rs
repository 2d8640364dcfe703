//! How connections are taken in and how they end, the same for every server of the program.

use crate::telemetry::WebEvents;
use hyper_util::{
    rt::TokioTimer,
    server::{conn::auto::Builder, graceful::GracefulConnection},
};
use std::{fmt::Display, future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// After a failed accept (no file descriptors left, mostly) trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come in.
pub(crate) struct Door<'d> {
    pub(crate) listener: TcpListener,
    /// Connections at the same time.
    pub(crate) most: usize,
    /// What fails is counted here.
    pub(crate) events: &'d WebEvents,
    pub(crate) stop: &'d CancellationToken,
    /// What waits for connections.
    pub(crate) tasks: &'d TaskTracker,
}

impl Door<'_> {
    /// Runs `talk` for each connection; one too many goes to `refuse`. When it is time to stop nobody comes in any more, and
    /// `tasks` are closed.
    pub(crate) async fn open<F>(self, refuse: impl Fn(&TcpStream), talk: impl Fn(TcpStream) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let room = Arc::new(Semaphore::new(self.most));
        while let Some(stream) = self.accept().await {
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                refuse(&stream);
                continue;
            };
            // Answers are sent whole: waiting for more to send would only delay them.
            drop(stream.set_nodelay(true));
            let talk = talk(stream);
            drop(self.tasks.spawn(async move {
                talk.await;
                drop(place);
            }));
        }
        self.tasks.close();
    }

    /// The next connection; `None` when it is time to stop.
    async fn accept(&self) -> Option<TcpStream> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => return Some(stream),
                Err(error) => {
                    self.events.accept_failed(&error);
                    tokio::select! {
                        () = self.stop.cancelled() => return None,
                        () = sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }
}

/// When a connection ends that does not end by itself.
pub(crate) struct Ending<'e> {
    /// Then nothing new is taken on.
    pub(crate) stop: &'e CancellationToken,
    /// How long what is under way may still take then; who does not let go is let go of.
    pub(crate) patience: Duration,
    /// Within this something must have come: hyper's own timeout begins only once it knows the version of HTTP.
    pub(crate) first: Duration,
}

/// A connection that was ended as nothing came.
#[derive(Debug)]
pub(crate) struct Silent;

/// Answers until the peer goes or the connection is ended.
///
/// # Errors
/// By the time that something must have come, `has_come` says that nothing has.
pub(crate) async fn drive<C>(
    connection: C,
    ending: Ending<'_>,
    has_come: impl Fn() -> bool,
) -> Result<(), Silent>
where
    C: GracefulConnection<Error: Display>,
{
    let mut connection = pin!(connection);
    let mut deadline = pin!(sleep(ending.first));
    let mut end = pin!(sleep(Duration::ZERO));
    let (mut stopping, mut new) = (false, true);
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                return Ok(());
            }
            () = ending.stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
                end.as_mut().reset(Instant::now() + ending.patience);
            }
            () = end.as_mut(), if stopping => return Ok(()),
            () = deadline.as_mut(), if new => {
                new = false;
                if !has_come() {
                    return Err(Silent);
                }
            }
        }
    }
}

/// What a connection of HTTP/1.1 or HTTP/2 keeps to.
pub(crate) struct Manners {
    /// A connection without a request is closed after this; on HTTP/2 the peer is asked whether it is still there.
    pub(crate) idle: Duration,
    /// It has so long to say so.
    pub(crate) answer: Duration,
    /// Bytes of a request's head.
    pub(crate) head: usize,
    /// Requests at the same time on one connection of HTTP/2.
    pub(crate) streams: u32,
}

/// What serves connections with these manners; `executor` runs what hyper spawns.
pub(crate) fn http<E>(executor: E, manners: &Manners) -> Builder<E> {
    let mut builder = Builder::new(executor);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(manners.idle)
        .max_buf_size(manners.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(manners.head).unwrap_or(u32::MAX))
        .max_concurrent_streams(manners.streams)
        .keep_alive_interval(manners.idle)
        .keep_alive_timeout(manners.answer);
    builder
}
