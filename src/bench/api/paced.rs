//! Readers that ask as autoscalers do: for one workload after another, at a fixed pace, over HTTP/2 on connections that are
//! kept open.

use super::readers::Latency;
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full};
use hyper::{
    Request,
    client::conn::http2::{self, SendRequest},
    http::{self, response::Parts},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Connections that share the calls: replicas of what asks are fewer.
const CONNECTIONS: u32 = 10;

/// How one of them asks.
pub(super) trait Protocol: Send + Sync + 'static {
    /// What is read from and written to.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// What is asked for, as the table names it.
    fn name(&self) -> &str;

    /// Who is asked.
    fn address(&self) -> SocketAddr;

    /// What comes before HTTP.
    fn shake(&self, stream: TcpStream) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// What is sent when it is this workload's turn, counted on and on.
    fn request(&self, turn: usize) -> http::Result<Request<Full<Bytes>>>;

    /// How many bytes of answer one value was.
    ///
    /// # Errors
    /// It was something else.
    fn judge(&self, head: &Parts, body: Collected<Bytes>) -> Result<usize, String>;
}

/// Asks for every workload in turn, `rate` calls a second in all, until `lasts` is over.
///
/// # Errors
/// A connection that breaks, an answer that is not one value.
pub(super) async fn read<P: Protocol>(
    protocol: P,
    rate: f64,
    lasts: Duration,
) -> Result<Latency, String> {
    let (protocol, began) = (Arc::new(protocol), Instant::now());
    let (mut readers, period) = (JoinSet::new(), Duration::from_secs_f64(1.0 / rate));
    for place in 0..CONNECTIONS {
        let reader = Reader {
            protocol: Arc::clone(&protocol),
            from: place as usize,
            first: began + period * place,
            period: period * CONNECTIONS,
            end: began + lasts,
        };
        readers.spawn(reader.read());
    }
    let (mut seconds, mut bytes) = (Vec::new(), 0);
    while let Some(read) = readers.join_next().await {
        let read = read.map_err(|panic| panic.to_string())?;
        let (own, length) = read.map_err(|error| format!("{}: {error}", protocol.name()))?;
        seconds.extend(own);
        bytes = length;
    }
    Ok(Latency::new(protocol.name().to_owned(), bytes, seconds))
}

/// One connection.
struct Reader<P> {
    protocol: Arc<P>,
    /// The workload that it begins with.
    from: usize,
    first: Instant,
    period: Duration,
    end: Instant,
}

impl<P: Protocol> Reader<P> {
    /// Seconds of each call, and the length of the newest answer.
    async fn read(self) -> io::Result<(Vec<f64>, usize)> {
        // Drives the connection until the reader is done.
        let mut driver = JoinSet::new();
        let mut sender = self.connect(&mut driver).await?;
        let (mut seconds, mut bytes, mut due) = (Vec::new(), 0, self.first);
        for turn in self.from.. {
            if due >= self.end {
                break;
            }
            let request = self.protocol.request(turn).map_err(io::Error::other)?;
            let is_late = Instant::now() > due;
            sleep_until(due).await;
            // As for the paths: the timer's delay is not the server's, a late answer's is.
            let began = if is_late { due } else { Instant::now() };
            let (head, body) = ask(&mut sender, request).await?;
            seconds.push(began.elapsed().as_secs_f64());
            let judged = self.protocol.judge(&head, body);
            bytes = judged.map_err(io::Error::other)?;
            due += self.period;
        }
        Ok((seconds, bytes))
    }

    async fn connect(
        &self,
        driver: &mut JoinSet<hyper::Result<()>>,
    ) -> io::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.protocol.address()).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(self.protocol.shake(stream).await?);
        let shaken = http2::handshake(TokioExecutor::new(), stream).await;
        let (sender, connection) = shaken.map_err(io::Error::other)?;
        driver.spawn(connection);
        Ok(sender)
    }
}

/// Sends a request and reads its answer whole.
async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> io::Result<(Parts, Collected<Bytes>)> {
    sender.ready().await.map_err(io::Error::other)?;
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    Ok((head, body))
}
