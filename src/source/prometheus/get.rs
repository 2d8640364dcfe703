//! Getting documents of servers with the HTTP client settings of a source: for what is scraped and discovered.

use super::{
    auth::{Credentials, hide},
    body::{self, Bounds, Words},
    client::{SHOWN, coding},
    connect::{Clients, unreachable_source},
    failure::{Failure, short},
    settings::Settings,
};
use crate::{
    series::Span,
    source::{Cause, SourceError},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
};
use std::fmt;
use tokio::time::{Instant, timeout_at};

/// Redirections that are followed for one document; as in Go.
const MOST_REDIRECTS: usize = 10;
/// Enough of a failed answer for a sentence.
const ERROR_BODY: usize = 4_096;

/// Gets documents of any servers, as one and the same client.
pub(crate) struct Getter {
    clients: Clients,
    credentials: Credentials,
}

/// A document that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    /// Where it is.
    pub(crate) url: &'a str,
    /// Headers beside those of the client's settings.
    pub(crate) headers: HeaderMap,
    /// How long all of it may take, redirections included.
    pub(crate) timeout: Span,
    /// Most bytes of it, decompressed.
    pub(crate) limit: usize,
    /// Whether redirections are followed.
    pub(crate) redirects: bool,
    /// The keys that set `timeout` and `limit`, for messages.
    pub(crate) keys: (&'static str, &'static str),
}

/// A document.
#[derive(Debug)]
pub(crate) struct Got {
    /// What it says it is.
    pub(crate) content_type: Option<String>,
    /// The document, decompressed.
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Getter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Getter").finish_non_exhaustive()
    }
}

/// What one request came to.
enum Answer {
    Got(Got),
    Elsewhere(String),
}

impl Getter {
    /// With the client settings of `settings`, which are valid; their URL and limits mean nothing here. Reads the
    /// files they name.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(crate) fn build(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            clients: Clients::new(settings)?,
            credentials: Credentials::new(settings)?,
        })
    }

    /// Gets a document once.
    ///
    /// # Errors
    /// It is not to be had, or not as wanted. Says nothing of the URL, as whoever asks knows it.
    pub(crate) async fn get(&self, wanted: Wanted<'_>) -> Result<Got, SourceError> {
        let headers = self.credentials.headers().await;
        let headers = headers.map_err(|failure| failure.error)?;
        let got = self.follow(&wanted, &headers).await;
        got.map_err(|failure| SourceError {
            message: hide(failure.error.message, &headers),
            ..failure.error
        })
    }

    async fn follow(&self, wanted: &Wanted<'_>, own: &HeaderMap) -> Result<Got, Failure> {
        let deadline = Instant::now() + wanted.timeout.to_std();
        let first = uri(wanted.url)?;
        let mut at = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut headers = own.clone();
            if (at.scheme(), at.authority()) != (first.scheme(), first.authority()) {
                // Whom we are sent on to is not whom we would show these.
                keep_public(&mut headers);
            }
            headers.extend(wanted.headers.clone());
            match self.once(&at, headers, deadline, wanted).await? {
                Answer::Got(got) => return Ok(got),
                Answer::Elsewhere(to) => at = uri(&resolve(&at, &to))?,
            }
        }
        let text = format!("redirected more than {MOST_REDIRECTS} times, at last to {at}");
        Err(Failure::refused(Cause::Status, text))
    }

    async fn once(
        &self,
        at: &Uri,
        headers: HeaderMap,
        deadline: Instant,
        wanted: &Wanted<'_>,
    ) -> Result<Answer, Failure> {
        let request = Request::get(at).body(Full::new(Bytes::new()));
        let mut request = request.map_err(|error| Failure::own(error.to_string()))?;
        *request.headers_mut() = headers;
        let gzip = HeaderValue::from_static("gzip");
        request.headers_mut().insert(ACCEPT_ENCODING, gzip);
        let client = self.clients.client().await?;
        let answer = timeout_at(deadline, client.request(request)).await;
        let answer = answer
            .map_err(|_| {
                let (timeout, key) = (wanted.timeout, wanted.keys.0);
                Failure::late(format!("no answer within {timeout} {key}"))
            })?
            .map_err(|error| unreachable_source(&error))?;
        let location = text_of(&answer, LOCATION.as_str());
        if let (true, true, Some(to)) = (wanted.redirects, is_redirect(answer.status()), &location)
        {
            return Ok(Answer::Elsewhere(to.clone()));
        }
        read(answer, location, deadline, wanted)
            .await
            .map(Answer::Got)
    }
}

async fn read(
    answer: Response<Incoming>,
    location: Option<String>,
    deadline: Instant,
    wanted: &Wanted<'_>,
) -> Result<Got, Failure> {
    let status = answer.status();
    let content_type = text_of(&answer, CONTENT_TYPE.as_str());
    let coding = coding(answer.headers())?;
    let (timeout, bytes) = wanted.keys;
    let bounds = Bounds {
        bytes: if status == StatusCode::OK {
            wanted.limit
        } else {
            ERROR_BODY
        },
        // Only the whole has a limit.
        idle: wanted.timeout,
        deadline,
        timeout: wanted.timeout,
        words: Words {
            timeout,
            idle: timeout,
            bytes,
        },
    };
    let body = body::read(answer.into_body(), coding, bounds).await;
    if status == StatusCode::OK {
        return Ok(Got {
            content_type,
            body: body?,
        });
    }
    let said = String::from_utf8(body.unwrap_or_default()).unwrap_or_default();
    let mut message = format!("the server answered {status}");
    if let Some(to) = location {
        message.push_str(&format!(" and points to {}", short(&to, SHOWN)));
    }
    if !said.trim().is_empty() {
        message.push_str(&format!(": {}", short(&said, SHOWN)));
    }
    Err(Failure::refused(Cause::Status, message))
}

fn uri(text: &str) -> Result<Uri, Failure> {
    let bad = |why: String| {
        Failure::refused(
            Cause::Connect,
            format!("{} is no URL: {why}", short(text, SHOWN)),
        )
    };
    let uri: Uri = text.parse().map_err(|error| bad(format!("{error}")))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(bad("it needs http:// or https:// and a host".to_owned())),
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn text_of(answer: &Response<Incoming>, name: &str) -> Option<String> {
    let value = answer.headers().get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The place that `to` means to a document at `at` (RFC 3986, 5.2, without dots in paths).
fn resolve(at: &Uri, to: &str) -> String {
    let to = to.split('#').next().unwrap_or(to);
    let scheme = at.scheme_str().unwrap_or("http");
    let authority = at.authority().map_or("", |authority| authority.as_str());
    if to.contains("://") {
        to.to_owned()
    } else if to.starts_with("//") {
        format!("{scheme}:{to}")
    } else if to.starts_with('/') {
        format!("{scheme}://{authority}{to}")
    } else if to.starts_with('?') || to.is_empty() {
        format!("{scheme}://{authority}{}{to}", at.path())
    } else {
        let folder = at.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{to}")
    }
}

/// Removes who we are, and everything that was called a secret.
fn keep_public(headers: &mut HeaderMap) {
    let is_secret =
        |name: &HeaderName, value: &HeaderValue| value.is_sensitive() || *name == AUTHORIZATION;
    let named = headers
        .iter()
        .filter(|(name, value)| is_secret(name, value));
    let secrets: Vec<HeaderName> = named.map(|(name, _)| name.clone()).collect();
    for name in secrets {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_resolved_as_browsers_do() {
        let at: Uri = "http://a:9100/probe/metrics?x=1".parse().unwrap();
        let cases = [
            ("https://b/c", "https://b/c"),
            ("//b/c", "http://b/c"),
            ("/c?d=e#f", "http://a:9100/c?d=e"),
            ("other", "http://a:9100/probe/other"),
            ("?y=2", "http://a:9100/probe/metrics?y=2"),
        ];
        for (to, expected) in cases {
            assert_eq!(resolve(&at, to), expected, "{to}");
        }
    }

    #[test]
    fn secrets_are_not_shown_to_whom_we_are_sent_on() {
        let mut headers = HeaderMap::new();
        let mut secret = HeaderValue::from_static("one");
        secret.set_sensitive(true);
        headers.insert("x-scope-orgid", secret);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer abc"));
        headers.insert("accept", HeaderValue::from_static("text/plain"));
        keep_public(&mut headers);
        let left: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["accept"]);
    }

    #[test]
    fn only_web_addresses_are_gone_to() {
        for bad in ["ftp://a/b", "/b", "", "http://", "http://a b/"] {
            let message = uri(bad).unwrap_err().error.message;
            assert!(message.contains("is no URL"), "{bad}: {message}");
        }
    }
}
