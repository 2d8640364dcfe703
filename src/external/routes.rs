//! From a request to its answer: who asks, whether that user may, and what is there.

use super::{
    accept::{Form, form},
    access::{Verdict, Wish},
    answers::{self, Refusal},
    openapi, other,
    server::State,
    wire::{self, GROUP, VERSION},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
        VIA, X_CONTENT_TYPE_OPTIONS,
    },
};
use percent_encoding::percent_decode_str;
use rustls::pki_types::{CertificateDer, UnixTime};
use serde_json::Value;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// An answer.
pub(super) type Reply = Response<Full<Bytes>>;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Alive,
    Ready,
    Version,
    Groups,
    Group,
    Resources,
    Metric { namespace: String, metric: String },
    SecondApi,
    ThirdApis,
    ThirdApi,
    Nothing,
}

impl Route {
    fn of(path: &str) -> Self {
        let group = format!("/apis/{GROUP}");
        let version = format!("{group}/{VERSION}");
        match path.trim_end_matches('/') {
            "/healthz" | "/healthz/ping" | "/livez" | "/livez/ping" => Self::Alive,
            "/readyz" => Self::Ready,
            "/version" => Self::Version,
            "/apis" => Self::Groups,
            "/openapi/v2" => Self::SecondApi,
            "/openapi/v3" => Self::ThirdApis,
            other if other == group => Self::Group,
            other if other == version => Self::Resources,
            other if other == openapi::place() => Self::ThirdApi,
            other => other
                .strip_prefix(&version)
                .and_then(|rest| rest.strip_prefix("/namespaces/"))
                .and_then(Self::metric)
                .unwrap_or(Self::Nothing),
        }
    }

    /// What is behind `namespaces/`.
    fn metric(rest: &str) -> Option<Self> {
        let (namespace, metric) = rest.split_once('/')?;
        let decode = |text: &str| {
            let text = percent_decode_str(text).decode_utf8().ok()?;
            // What Kubernetes does not take as a part of a path.
            let odd = text.is_empty() || text.contains(['/', '%']) || text == "." || text == "..";
            (!odd).then(|| text.into_owned())
        };
        if metric.contains('/') {
            return None;
        }
        Some(Self::Metric {
            namespace: decode(namespace)?,
            metric: decode(metric)?,
        })
    }

    /// The word under which it is counted.
    fn name(&self) -> &'static str {
        match self {
            Self::Alive | Self::Ready => "health",
            Self::Version => "version",
            Self::Groups | Self::Group | Self::Resources => "discovery",
            Self::Metric { .. } => "metric",
            Self::SecondApi | Self::ThirdApis | Self::ThirdApi => "openapi",
            Self::Nothing => "other",
        }
    }
}

/// Answers a request that came with these certificates.
pub(super) async fn answer<B>(
    state: &State,
    shown: &[CertificateDer<'static>],
    request: Request<B>,
) -> Reply {
    let path = request.uri().path();
    let route = Route::of(path);
    let reply = match admit(state, shown, &request, &route).await {
        Ok(()) => serve(state, &request, &route).await,
        Err(refusal) => Err(refusal),
    };
    let code = reply
        .as_ref()
        .map_or_else(|refusal| refusal.code, |reply| reply.status().as_u16());
    let problem = reply.as_ref().err().map(|refusal| refusal.message.as_str());
    state.events.answered(route.name(), code, problem);
    let mut reply = reply.unwrap_or_else(|refusal| refuse(&refusal));
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// Whether it may be asked.
async fn admit<B>(
    state: &State,
    shown: &[CertificateDer<'static>],
    request: &Request<B>,
    route: &Route,
) -> Result<(), Refusal> {
    let path = request.uri().path();
    let is_metric = matches!(route, Route::Metric { .. });
    if !is_metric && state.is_for_everybody(path) {
        return method(request);
    }
    let now = u64::try_from(state.served.clock.now()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now));
    let user = state.front.identify(shown, request.headers(), now);
    let user = user.map_err(|why| Refusal::new(401, format!("Unauthorized: {why}")))?;
    method(request)?;
    let wish = match route {
        Route::Metric { namespace, metric } => Wish::Metric {
            namespace: namespace.clone(),
            metric: metric.clone(),
        },
        _ => Wish::Path(path.to_owned()),
    };
    let (name, told) = (user.name.clone(), wish.told());
    let verdict = state.access.permit(user, wish, |answer| {
        state.events.reviewed(answer_word(answer))
    });
    match verdict.await {
        Ok(Verdict::Allowed) => Ok(()),
        Ok(Verdict::Denied(reason)) => {
            let more = if reason.is_empty() {
                String::new()
            } else {
                format!(": {reason}")
            };
            Err(Refusal::new(
                403,
                format!("forbidden: User {name:?} cannot {told}{more}"),
            ))
        }
        // As servers of Kubernetes say it; whoever is not known to may may not.
        Err(problem) => Err(Refusal::new(
            500,
            format!("Internal Server Error: {path:?}: {problem}"),
        )),
    }
}

fn answer_word(answer: &Result<Verdict, String>) -> &'static str {
    match answer {
        Ok(Verdict::Allowed) => "allowed",
        Ok(Verdict::Denied(_)) => "denied",
        Err(_) => "failed",
    }
}

fn method<B>(request: &Request<B>) -> Result<(), Refusal> {
    match request.method() == Method::GET {
        true => Ok(()),
        false => Err(Refusal::new(405, "this API answers to GET only")),
    }
}

async fn serve<B>(state: &State, request: &Request<B>, route: &Route) -> Result<Reply, Refusal> {
    let headers = request.headers();
    match route {
        Route::Alive => return Ok(text(StatusCode::OK, "ok")),
        Route::Ready if state.served.is_ready() => {
            return Ok(text(StatusCode::OK, "ok"));
        }
        Route::Ready => {
            let text_of =
                "[-]decisions failed: there is nothing to serve yet\nreadyz check failed\n";
            return Ok(text(StatusCode::INTERNAL_SERVER_ERROR, text_of));
        }
        _ => {}
    }
    let accept = headers
        .get(ACCEPT)
        .map(|accept| accept.to_str().unwrap_or("?"));
    let aggregated = *route == Route::Groups;
    let form = form(accept, aggregated).ok_or_else(|| {
        Refusal::new(
            406,
            "only the following media types are accepted: application/json",
        )
    })?;
    let metrics = || answers::names(&state.served.catalogue.workloads());
    let document = match route {
        Route::Version => wire::version(),
        Route::Groups => wire::groups(form, &metrics()),
        Route::Group => wire::group(),
        Route::Resources => wire::resources(&metrics()),
        Route::SecondApi => openapi::second(),
        Route::ThirdApis => openapi::index(&hash(&openapi::third())),
        Route::ThirdApi => openapi::third(),
        Route::Metric { namespace, metric } => {
            return self::metric(state, request, namespace, metric).await;
        }
        Route::Alive | Route::Ready | Route::Nothing => {
            return Err(Refusal::new(
                404,
                "the server could not find the requested resource",
            ));
        }
    };
    Ok(cached(headers, form, &document))
}

async fn metric<B>(
    state: &State,
    request: &Request<B>,
    namespace: &str,
    metric: &str,
) -> Result<Reply, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let selector = parameter(query, "labelSelector")?.unwrap_or_default();
    let watch = parameter(query, "watch")?;
    if watch.is_some_and(|watch| !["0", "false"].contains(&watch.as_str())) {
        return Err(Refusal::new(405, "metrics cannot be watched"));
    }
    if answers::is_ours(metric) {
        let now = state.served.clock.now();
        let answer = answers::value(&state.served.catalogue, now, metric, &selector)?;
        state.events.fresh(now.saturating_sub(answer.at));
        return Ok(json(
            StatusCode::OK,
            Form::Json,
            answer.list.to_string().into(),
        ));
    }
    let Some(other) = &state.other else {
        let text = format!(
            "there is no metric {metric:?}; ours is {:?}",
            answers::METRIC
        );
        return Err(Refusal::new(404, text));
    };
    let mut came = request.headers().get_all(VIA).iter();
    if came.any(|via| via.to_str().is_ok_and(|via| via.contains(other::NAME))) {
        let text = format!("proxy.url leads back to ourselves: nobody has {metric:?}");
        return Err(Refusal::new(503, text));
    }
    let answer = other.ask(namespace, metric, &selector).await;
    state.events.handed_on(answer.is_ok());
    let (status, body) = answer?;
    Ok(json(status, Form::Json, body))
}

/// The first parameter of that name.
fn parameter(query: &str, name: &str) -> Result<Option<String>, Refusal> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(|text| text.into_owned())
    };
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(key).is_ok_and(|key| key == name) {
            let value = decode(value);
            return value
                .map(Some)
                .map_err(|_| Refusal::new(400, format!("{name}: is not text")));
        }
    }
    Ok(None)
}

fn hash(document: &Value) -> String {
    format!("{:016X}", xxh3_64(document.to_string().as_bytes()))
}

/// A document that those who have it already need not read again.
fn cached(headers: &HeaderMap, form: Form, document: &Value) -> Reply {
    let tag = format!("\"{}\"", hash(document));
    let has = headers.get_all(IF_NONE_MATCH).iter();
    let mut has = has
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','));
    let mut reply = match has.any(|one| one.trim() == tag) {
        true => {
            let mut reply = Reply::default();
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            reply
        }
        false => json(StatusCode::OK, form, document.to_string().into()),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        reply.headers_mut().insert(ETAG, tag);
    }
    reply
}

fn refuse(refusal: &Refusal) -> Reply {
    let status = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let document = wire::status(refusal.code, &refusal.message);
    // Without Retry-After: clients of Kubernetes would wait and ask again, and an autoscaler's loop with them.
    let mut reply = json(status, Form::Json, document.to_string().into());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        reply
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET"));
    }
    reply
}

fn json(status: StatusCode, form: Form, body: Bytes) -> Reply {
    let kind = match form {
        Form::Json => "application/json".to_owned(),
        Form::Discovery(version) => {
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
        }
    };
    typed(status, &kind, body)
}

fn text(status: StatusCode, text: &'static str) -> Reply {
    typed(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

fn typed(status: StatusCode, kind: &str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    if let Ok(kind) = HeaderValue::from_str(kind) {
        reply.headers_mut().insert(CONTENT_TYPE, kind);
    }
    reply
}

#[cfg(test)]
mod tests;
