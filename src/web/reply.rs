//! Answers, and the headers all of them carry.

use super::body::Parts;
use crate::expo::GzipStream;
use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
        CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::Serialize;

/// An answer.
pub(super) type Reply = Response<Parts>;

/// Nothing from elsewhere, nothing inline, not in a frame.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
/// Below this gzip does not pay.
const WORTH_GZIP: usize = 1_024;

/// An answer of these parts.
pub(super) fn parts(status: StatusCode, content_type: &str, parts: Vec<Bytes>) -> Reply {
    let body = Parts::new(parts);
    let length = body.len();
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    for (name, value) in [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// A sentence, with a line feed so that it reads well in a terminal.
pub(super) fn text(status: StatusCode, sentence: &str) -> Reply {
    let line = format!("{sentence}\n");
    parts(status, "text/plain; charset=utf-8", vec![line.into()])
}

/// A file that is part of the program.
pub(super) fn asset(content_type: &str, content: &'static str) -> Reply {
    parts(
        StatusCode::OK,
        content_type,
        vec![Bytes::from_static(content.as_bytes())],
    )
}

/// JSON, deflated where the reader allows it and it is worth it.
pub(super) fn json(status: StatusCode, value: &impl Serialize, gzip: bool) -> Reply {
    let bytes = match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => {
            let sentence = format!("the answer cannot be written as JSON: {error}");
            return unwritable(&sentence);
        }
    };
    let packed = gzip && bytes.len() >= WORTH_GZIP;
    let all = if packed {
        let mut stream = GzipStream::default();
        stream.push_plain(&bytes);
        stream.finish()
    } else {
        vec![bytes.into()]
    };
    encoded(parts(status, "application/json", all), packed)
}

/// 500, without what cannot be written.
fn unwritable(sentence: &str) -> Reply {
    let problem = serde_json::json!({ "status": 500, "detail": sentence, "error": sentence });
    let bytes = problem.to_string();
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    parts(status, "application/problem+json", vec![bytes.into()])
}

/// An error of the API, as RFC 9457 has it; `error` is `detail` under the name it had before.
pub(super) fn json_error(status: StatusCode, sentence: &str) -> Reply {
    problem(status, sentence, &[])
}

/// As [`json_error`], with the fields of the request that are wrong.
pub(super) fn problem(status: StatusCode, sentence: &str, fields: &[(String, String)]) -> Reply {
    let mut problem = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("error"),
        "status": status.as_u16(),
        "detail": sentence,
        "error": sentence,
    });
    if !fields.is_empty() {
        let field = |(field, text): &(String, String)| serde_json::json!({ "field": field, "message": text });
        problem["problems"] = fields.iter().map(field).collect();
    }
    let mut reply = json(status, &problem, false);
    let kind = HeaderValue::from_static("application/problem+json");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// Says how the body is encoded, and that this depends on the request.
pub(super) fn encoded(mut reply: Reply, gzip: bool) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    reply
}

/// An error as its reader expects it: a problem below `/api/`, elsewhere a sentence.
pub(super) fn error(status: StatusCode, sentence: &str, is_api: bool) -> Reply {
    match is_api {
        true => json_error(status, sentence),
        false => text(status, sentence),
    }
}

/// 405 with what is allowed.
pub(super) fn not_allowed(allowed: &'static str, is_api: bool) -> Reply {
    let sentence = format!("this path answers to {allowed} only");
    let reply = error(StatusCode::METHOD_NOT_ALLOWED, &sentence, is_api);
    with(reply, ALLOW, HeaderValue::from_static(allowed))
}

/// 503 for a reader who may try again soon.
pub(super) fn busy(sentence: &str, is_api: bool) -> Reply {
    let reply = error(StatusCode::SERVICE_UNAVAILABLE, sentence, is_api);
    with(reply, RETRY_AFTER, HeaderValue::from_static("1"))
}

/// Where the page is.
pub(super) fn redirect(path: &str) -> Reply {
    let reply = text(StatusCode::FOUND, &format!("the page is at {path}"));
    match HeaderValue::from_str(path) {
        Ok(path) => with(reply, LOCATION, path),
        Err(_) => reply,
    }
}

/// The same answer without its body, as HEAD wants it; `Content-Length` stays.
pub(super) fn head_only(reply: Reply) -> Reply {
    reply.map(|_| Parts::default())
}

/// The same answer with another header.
pub(super) fn with(mut reply: Reply, name: HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}
