//! The HTTP client of sources as that of `object_store`: connecting, sending and every pause in an answer have a deadline.

use crate::source::prometheus::{self, Lost};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    header::{HeaderValue, USER_AGENT},
};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Slower than this an upload is given up: beside the time for an answer it gets the time its bytes take.
const LEAST_BYTES_PER_SECOND: u64 = 256 << 10;

const AGENT: &str = concat!("forethought/", env!("CARGO_PKG_VERSION"));

/// Makes clients that share their connections.
#[derive(Clone)]
pub(super) struct Connector {
    client: prometheus::HttpClient,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(client: prometheus::HttpClient, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        let agent = HeaderValue::from_static(AGENT);
        parts.headers.insert(USER_AGENT, agent);
        let extra = body.content_length() as u64 / LEAST_BYTES_PER_SECOND;
        let limit = self.timeout + Duration::from_secs(extra);
        // One piece, so nothing is copied.
        let body = body.collect().await?.to_bytes();
        let request = hyper::Request::from_parts(parts, Full::new(body));
        let answer = timeout(limit, self.client.request(request)).await;
        let answer = answer.map_err(|_| late(limit))?.map_err(|error| {
            let lost = Lost::of(&error);
            let kind = match error.is_connect() {
                _ if lost.is_late => HttpErrorKind::Timeout,
                true => HttpErrorKind::Connect,
                false => HttpErrorKind::Interrupted,
            };
            HttpError::new(kind, Told(lost.text))
        })?;
        let limit = self.timeout;
        Ok(answer.map(|inner| {
            HttpResponseBody::new(Steady {
                inner,
                limit,
                pause: Box::pin(sleep(limit)),
            })
        }))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.send(request))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);

fn late(limit: Duration) -> HttpError {
    let text = format!("no answer within {}s (timeout)", limit.as_secs_f64());
    HttpError::new(HttpErrorKind::Timeout, Told(text))
}

/// The body of an answer with a deadline for each piece.
struct Steady {
    inner: Incoming,
    limit: Duration,
    pause: Pin<Box<Sleep>>,
}

impl Body for Steady {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let limit = self.limit;
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(frame) => {
                self.pause.as_mut().reset(Instant::now() + limit);
                let lost = |error: hyper::Error| {
                    HttpError::new(HttpErrorKind::Interrupted, Told(error.to_string()))
                };
                Poll::Ready(frame.map(|frame| frame.map_err(lost)))
            }
            Poll::Pending => match self.pause.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(late(limit)))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
