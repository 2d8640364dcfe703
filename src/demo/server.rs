//! A small Prometheus on a listener: `/api/v1/query` and `/api/v1/query_range` over a [`Dataset`].

use super::{Dataset, api};
use crate::engine::Clock;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A query longer than this is a mistake.
const MAX_FORM: usize = 1 << 20;

/// Requests under way get so long to finish at the end.
const GRACE: Duration = Duration::from_secs(2);

/// After a connection could not be accepted (most often: no file descriptors), wait so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers on `listener` from `data` until `shutdown`; what is asked beyond the time of `clock` is unknown.
pub async fn serve(
    listener: TcpListener,
    data: Arc<dyn Dataset>,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let (tracker, graceful) = (TaskTracker::new(), GracefulShutdown::new());
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the synthetic Prometheus could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        connection(stream, &data, &clock, &tracker, &graceful);
    }
    tracker.close();
    let finished = async {
        graceful.shutdown().await;
        tracker.wait().await;
    };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        tracing::debug!("the synthetic Prometheus left requests unanswered");
    }
}

fn connection(
    stream: TcpStream,
    data: &Arc<dyn Dataset>,
    clock: &Clock,
    tracker: &TaskTracker,
    graceful: &GracefulShutdown,
) {
    let (data, clock) = (Arc::clone(data), clock.clone());
    let service = service_fn(move |request| respond(Arc::clone(&data), clock.clone(), request));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let watched = graceful.watch(connection);
    tracker.spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(
                error,
                "a connection to the synthetic Prometheus ended early"
            );
        }
    });
}

async fn respond(
    data: Arc<dyn Dataset>,
    clock: Clock,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if matches!(path.as_str(), "/-/healthy" | "/-/ready") {
        return Ok(plain(StatusCode::OK, "the synthetic Prometheus is ready\n"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::POST) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "GET and POST only\n");
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, POST"));
        return Ok(refused);
    }
    let mut form = api::form_pairs(request.uri().query().unwrap_or(""));
    match Limited::new(request.into_body(), MAX_FORM).collect().await {
        Ok(body) => form.extend(api::form_pairs(&String::from_utf8_lossy(&body.to_bytes()))),
        Err(_) => {
            return Ok(plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the form is too long or broke off\n",
            ));
        }
    }
    // Three weeks of many series take a while: not on the threads that answer everybody else.
    let answer = move || api::answer(data.as_ref(), clock.now(), &path, &form);
    Ok(match tokio::task::spawn_blocking(answer).await {
        Ok(reply) => json(reply),
        Err(_) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be computed\n",
        ),
    })
}

fn json(reply: api::Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body.into()));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Generated, generated::NAME};
    use hyper_util::client::legacy::{Client, connect::HttpConnector};

    struct Running {
        base: String,
        client: Client<HttpConnector, Full<Bytes>>,
        shutdown: CancellationToken,
        server: tokio::task::JoinHandle<()>,
    }

    #[expect(clippy::disallowed_methods, reason = "a test awaits the task itself")]
    async fn run(series: usize) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let clock = Clock::scaled(1_760_184_000_000, 1.0);
        let data = Arc::new(Generated::new(series, 1));
        let server = tokio::spawn(serve(listener, data, clock, shutdown.clone()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Running {
            base,
            client,
            shutdown,
            server,
        }
    }

    async fn ask(
        running: &Running,
        method: Method,
        path: &str,
        body: &str,
    ) -> (u16, serde_json::Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", running.base))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        let response = running.client.request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn get_and_post_are_answered_alike_and_it_stops() {
        let running = run(20).await;
        let form = format!("query={NAME}&start=1760180400&end=1760184000&step=60");
        let (status, posted) = ask(&running, Method::POST, "/api/v1/query_range", &form).await;
        assert_eq!(status, 200);
        assert_eq!(posted["data"]["result"].as_array().unwrap().len(), 20);
        let path = format!("/api/v1/query_range?{form}");
        let (_, got) = ask(&running, Method::GET, &path, "").await;
        assert_eq!(posted, got);
        let (status, _) = ask(&running, Method::POST, "/api/v1/query", "query=rate(x[5m])").await;
        assert_eq!(status, 422);
        let (status, _) = ask(&running, Method::DELETE, "/api/v1/query", "").await;
        assert_eq!(status, 405);
        let (status, _) = ask(&running, Method::GET, "/-/ready", "").await;
        assert_eq!(status, 200);
        running.shutdown.cancel();
        running.server.await.unwrap();
    }
}
