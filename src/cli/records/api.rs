//! Asking a forethought that runs, over its API.

use crate::{
    cli::Failure,
    series::Span,
    source::prometheus::{Address, HttpClient, TlsSettings, plain_client},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    header::{CONTENT_TYPE, USER_AGENT},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

const WANTED: &str = "write it like http://localhost:10057";
/// Longer than the server itself waits for its database.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Span = Span::seconds(5);
/// A page of a thousand decisions is a tenth of it.
const LONGEST_ANSWER: usize = 16 << 20;
const AGENT: &str = concat!("forethought/", env!("CARGO_PKG_VERSION"));

/// A client of one process.
#[derive(Debug)]
pub(in crate::cli) struct Client {
    base: String,
    http: HttpClient,
}

impl Client {
    /// A client of the process at `url`, its route prefix included.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let base = Address::from(url)
            .without("/api/v1", WANTED)
            .map_err(|problem| format!("--url: {problem}"))?;
        Ok(Self {
            base: format!("{base}/api/v1"),
            http: plain_client(&TlsSettings::default(), CONNECT)?,
        })
    }

    /// Gives the JSON document at `path`.
    pub(in crate::cli) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, None).await
    }

    /// Posts a JSON document.
    pub(in crate::cli) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(in crate::cli) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::DELETE, path, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let place = format!("{}/{path}", self.base);
        let failed = |text: String| Failure::Failed(format!("{method} {place}: {text}"));
        let mut request = Request::builder()
            .method(method.clone())
            .uri(&place)
            .header(USER_AGENT, AGENT);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let answer = self.http.request(request).await;
            let answer = answer.map_err(|error| failed(chain(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect();
            let body = body.await.map_err(|error| failed(error.to_string()))?;
            Ok::<_, Failure>((status, body.to_bytes()))
        };
        let late = || failed(format!("no answer within {}s", PATIENCE.as_secs()));
        let (status, body) = timeout(PATIENCE, exchange).await.map_err(|_| late())??;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let value: Result<Value, _> = serde_json::from_slice(&body);
        match value {
            Ok(value) if status.is_success() => Ok(value),
            Ok(problem) => {
                let detail = problem["detail"].as_str().unwrap_or("no reason was given");
                Err(refused(status, detail, &failed))
            }
            Err(_) => Err(failed(format!(
                "{status}, and not what forethought answers; look at --url and its path prefix"
            ))),
        }
    }
}

/// What was wrong with what the person wrote is usage.
fn refused(status: StatusCode, detail: &str, failed: &dyn Fn(String) -> Failure) -> Failure {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            Failure::Usage(detail.to_owned())
        }
        StatusCode::NOT_FOUND => Failure::Failed(detail.to_owned()),
        status => failed(format!("{status}: {detail}")),
    }
}

/// An error with what is behind it: the outermost of hyper says only that it could not connect.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        text = format!("{text}: {error}");
        inner = error.source();
    }
    text
}

/// The field `name` of an answer.
pub(in crate::cli) fn field<T: DeserializeOwned>(answer: Value, name: &str) -> Result<T, Failure> {
    let value = match answer {
        Value::Object(mut all) => all.remove(name).unwrap_or(Value::Null),
        _ => Value::Null,
    };
    of(value)
}

/// An answer as what it should be.
pub(in crate::cli) fn of<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::Failed(format!("the answer cannot be read: {error}")))
}
