//! What KEDA's operator asks: `GetMetrics` over gRPC.

use super::paced::Protocol;
use crate::keda::protocol::{GetMetricsRequest, GetMetricsResponse, ScaledObjectRef};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{Collected, Full};
use hyper::{
    Request,
    http::{self, response::Parts},
};
use prost::Message;
use std::{collections::HashMap, io, net::SocketAddr};
use tokio::net::TcpStream;

/// The call, as the table names it.
pub(super) const CALL: &str = "/externalscaler.ExternalScaler/GetMetrics";
/// Before the message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// KEDA's operator.
pub(super) struct Operator {
    address: SocketAddr,
    /// A message for each workload.
    calls: Vec<Bytes>,
}

impl Operator {
    /// It asks `address` for these workloads.
    pub(super) fn new(address: SocketAddr, workloads: &[String]) -> Self {
        let calls = workloads.iter().map(|workload| framed(&request(workload)));
        Self {
            address,
            calls: calls.collect(),
        }
    }
}

impl Protocol for Operator {
    type Stream = TcpStream;

    fn name(&self) -> &str {
        CALL
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn shake(&self, stream: TcpStream) -> io::Result<TcpStream> {
        Ok(stream)
    }

    fn request(&self, turn: usize) -> http::Result<Request<Full<Bytes>>> {
        let call = self.calls[turn % self.calls.len()].clone();
        Request::post(format!("http://{}{CALL}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(call))
    }

    fn judge(&self, head: &Parts, body: Collected<Bytes>) -> Result<usize, String> {
        let status = head.headers.get("grpc-status").cloned();
        let status = status.or_else(|| body.trailers()?.get("grpc-status").cloned());
        let body = body.to_bytes();
        let message = body.get(PREFIX..).unwrap_or_default();
        let values = GetMetricsResponse::decode(message).map_err(|error| error.to_string())?;
        match (
            status.as_ref().map(|status| status.as_bytes()),
            values.metric_values.as_slice(),
        ) {
            (Some(b"0"), [_]) => Ok(message.len()),
            other => Err(format!("not one value: {other:?}")),
        }
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
