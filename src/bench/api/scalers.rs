//! Readers that ask as KEDA's operator does: `GetMetrics` over gRPC, on connections that are kept open.

use super::readers::Latency;
use crate::keda::protocol::{GetMetricsRequest, GetMetricsResponse, ScaledObjectRef};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::{collections::HashMap, io, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// The call, as the table names it.
const CALL: &str = "/externalscaler.ExternalScaler/GetMetrics";
/// Connections that share the calls: replicas of KEDA's operator are fewer.
const CONNECTIONS: u32 = 10;
/// Before the message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Asks for every workload in turn, `rate` calls a second in all, until `lasts` is over.
///
/// # Errors
/// A connection that breaks, an answer that is not one value.
pub(super) async fn read(
    address: SocketAddr,
    workloads: &[String],
    rate: f64,
    lasts: Duration,
) -> Result<Latency, String> {
    let (began, mut readers) = (Instant::now(), JoinSet::new());
    let period = Duration::from_secs_f64(1.0 / rate);
    for place in 0..CONNECTIONS {
        let mut calls = Vec::new();
        for workload in workloads {
            calls.push(framed(&request(workload)));
        }
        let first = began + period * place;
        let reader = Reader {
            calls,
            first,
            period: period * CONNECTIONS,
            end: began + lasts,
        };
        readers.spawn(reader.read(address, place as usize));
    }
    let (mut seconds, mut bytes) = (Vec::new(), 0);
    while let Some(read) = readers.join_next().await {
        let read = read.map_err(|panic| panic.to_string())?;
        let (own, length) = read.map_err(|error| format!("{CALL}: {error}"))?;
        seconds.extend(own);
        bytes = length;
    }
    Ok(Latency::new(CALL.to_owned(), bytes, seconds))
}

/// One connection.
struct Reader {
    /// The messages that it sends in turn.
    calls: Vec<Bytes>,
    first: Instant,
    period: Duration,
    end: Instant,
}

impl Reader {
    /// Seconds of each call, and the length of the newest answer.
    async fn read(self, address: SocketAddr, from: usize) -> io::Result<(Vec<f64>, usize)> {
        // Drives the connection until the reader is done.
        let mut driver = JoinSet::new();
        let mut sender = connect(address, &mut driver).await?;
        let (mut seconds, mut bytes, mut due) = (Vec::new(), 0, self.first);
        for call in self.calls.iter().cycle().skip(from) {
            if due >= self.end {
                break;
            }
            let is_late = Instant::now() > due;
            sleep_until(due).await;
            // As for the paths: the timer's delay is not the server's, a late answer's is.
            let began = if is_late { due } else { Instant::now() };
            bytes = ask(&mut sender, address, call.clone()).await?;
            seconds.push(began.elapsed().as_secs_f64());
            due += self.period;
        }
        Ok((seconds, bytes))
    }
}

fn request(workload: &str) -> GetMetricsRequest {
    let metadata = HashMap::from([("workload".to_owned(), workload.to_owned())]);
    GetMetricsRequest {
        scaled_object_ref: Some(ScaledObjectRef {
            name: workload.to_owned(),
            namespace: "default".to_owned(),
            scaler_metadata: metadata,
        }),
        metric_name: "predicted-replicas".to_owned(),
    }
}

fn framed(message: &GetMetricsRequest) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    frame.extend_from_slice(&message.encode_to_vec());
    frame.freeze()
}

async fn connect(
    address: SocketAddr,
    driver: &mut JoinSet<hyper::Result<()>>,
) -> io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(io::Error::other)?;
    driver.spawn(connection);
    Ok(sender)
}

/// Sends one call and reads its answer whole: the length of its message.
async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    address: SocketAddr,
    call: Bytes,
) -> io::Result<usize> {
    let request = Request::post(format!("http://{address}{CALL}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(call))
        .map_err(io::Error::other)?;
    sender.ready().await.map_err(io::Error::other)?;
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    let status = head.headers.get("grpc-status").cloned();
    let status = status.or_else(|| body.trailers()?.get("grpc-status").cloned());
    let body = body.to_bytes();
    let message = body.get(PREFIX..).unwrap_or_default();
    let values = GetMetricsResponse::decode(message).map_err(io::Error::other)?;
    match (
        status.as_ref().map(|status| status.as_bytes()),
        values.metric_values.as_slice(),
    ) {
        (Some(b"0"), [_]) => Ok(message.len()),
        other => Err(io::Error::other(format!("not one value: {other:?}"))),
    }
}
