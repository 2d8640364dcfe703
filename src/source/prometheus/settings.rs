//! The shape of a Prometheus source in the configuration, as in Prometheus' own HTTP client settings.

use crate::{series::Span, source::Secret};
use hyper::Uri;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// One Prometheus-compatible HTTP API.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the API is, without `/api/v1`: `http://prometheus:9090`, `https://mimir/prometheus`.
    pub url: Address,
    /// User and password.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// The `Authorization` header.
    #[serde(default)]
    pub authorization: Option<Authorization>,
    /// Short for `authorization: {credentials: ...}`.
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    /// Short for `authorization: {credentials_file: ...}`; read anew for each request.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// TLS.
    #[serde(default)]
    pub tls_config: TlsSettings,
    /// Further headers of each request, such as `X-Scope-OrgID`.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Whether HTTP/2 is offered to `https` sources.
    #[serde(default = "yes")]
    pub enable_http2: bool,
    /// Longest time for one request, from connecting to the last byte of the answer.
    #[serde(default = "Settings::default_timeout")]
    pub timeout: Span,
    /// Longest time to look up the name, connect and shake hands.
    #[serde(default = "Settings::default_connect_timeout")]
    pub connect_timeout: Span,
    /// Longest pause inside the body of an answer.
    #[serde(default = "Settings::default_idle_timeout")]
    pub idle_timeout: Span,
    /// Most requests at one time.
    #[serde(default = "Settings::default_concurrency")]
    pub concurrency: usize,
    /// Most bytes of one answer, after decompression.
    #[serde(default = "Settings::default_max_response_bytes")]
    pub max_response_bytes: usize,
    /// Most samples of one answer; longer ranges are asked for in several requests.
    #[serde(default = "Settings::default_max_samples")]
    pub max_samples: usize,
    /// How often a failed request is sent again where that may help.
    #[serde(default = "Settings::default_retries")]
    pub retries: u32,
    /// When a failing source is left alone.
    #[serde(default)]
    pub breaker: BreakerSettings,
}

/// User and password.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file with the password; read anew for each request.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// The `Authorization` header.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// The scheme.
    #[serde(default = "Authorization::default_type", rename = "type")]
    pub scheme: String,
    /// What follows the scheme.
    #[serde(default)]
    pub credentials: Option<Secret>,
    /// A file with what follows the scheme; read anew for each request.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
}

/// TLS to the source. Files are read anew for each request, so rotated certificates are seen.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// Authorities to trust, PEM; left out: the public ones.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, PEM, for sources that ask for one.
    pub cert_file: Option<PathBuf>,
    /// The key of `cert_file`, PEM.
    pub key_file: Option<PathBuf>,
    /// The name the source's certificate must bear, where it is not the host of the URL.
    pub server_name: Option<String>,
    /// Accept any certificate. Whoever sits between can then read and forge everything.
    pub insecure_skip_verify: bool,
}

/// When a failing source is left alone.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSettings {
    /// After so many failed requests one after the other.
    pub failures: u32,
    /// For so long the first time; each failed trial doubles it.
    pub pause: Span,
    /// But never longer than this.
    pub max_pause: Span,
}

impl Default for BreakerSettings {
    /// Five failures: one request and its three retries alone do not open it. A quarter of a minute at
    /// most, so that a source that is back is noticed at the next tick of a signal.
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Span::seconds(5),
            max_pause: Span::seconds(15),
        }
    }
}

/// The URL of a source. Shown without user and password, should a person have put them there.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl From<&str> for Address {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl Address {
    /// The URL as it may be shown: what stands before an `@` in the authority is left out.
    fn shown(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let Some((_, host)) = authority.rsplit_once('@') else {
            return self.0.clone();
        };
        let tail = rest.strip_prefix(authority).unwrap_or("");
        let separator = if scheme.is_empty() { "" } else { "://" };
        format!("{scheme}{separator}{host}{tail}")
    }

    /// The URL without a slash at its end.
    ///
    /// # Errors
    /// What is wrong with it, without user and password.
    pub(super) fn base(&self) -> Result<String, String> {
        let wanted = "write it like http://prometheus:9090 or https://mimir/prometheus";
        self.without("/api/v1", wanted)
    }

    /// Whether there is a user or a password in it.
    pub fn has_user(&self) -> bool {
        self.shown() != self.0
    }

    /// The URL without a slash at its end; `api` is the path that is added to it, and `wanted` says how
    /// it is to be written.
    ///
    /// # Errors
    /// What is wrong with it, without user and password.
    pub fn without(&self, api: &str, wanted: &str) -> Result<String, String> {
        let shown = self.shown();
        if self.has_user() {
            return Err(String::from(
                "has a user or password in it; put them into basic_auth",
            ));
        }
        let uri: Uri = shown
            .parse()
            .map_err(|error| format!("{shown:?} is not a URL ({error}); {wanted}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https"))
            || uri.host().is_none_or(str::is_empty)
        {
            return Err(format!(
                "{shown:?} does not start with http:// or https:// and a host; {wanted}"
            ));
        }
        if shown.contains(['?', '#']) {
            return Err(format!("{shown:?} has a query or fragment; {wanted}"));
        }
        let base = shown.trim_end_matches('/');
        if base.ends_with(api) {
            return Err(format!(
                "{shown:?} ends in {api}, which is added by itself; {wanted}"
            ));
        }
        Ok(base.to_owned())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown(), f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

fn yes() -> bool {
    true
}

impl Authorization {
    fn default_type() -> String {
        String::from("Bearer")
    }
}

// === impl Settings ===

impl Settings {
    /// A source at `url`, everything else as if left out.
    pub fn new(url: &str) -> Self {
        Self {
            url: Address::from(url),
            basic_auth: None,
            authorization: None,
            bearer_token: None,
            bearer_token_file: None,
            tls_config: TlsSettings::default(),
            headers: BTreeMap::new(),
            enable_http2: true,
            timeout: Self::default_timeout(),
            connect_timeout: Self::default_connect_timeout(),
            idle_timeout: Self::default_idle_timeout(),
            concurrency: Self::default_concurrency(),
            max_response_bytes: Self::default_max_response_bytes(),
            max_samples: Self::default_max_samples(),
            retries: Self::default_retries(),
            breaker: BreakerSettings::default(),
        }
    }

    /// Backfills take seconds; Prometheus' own limit (`--query.timeout`) is two minutes.
    fn default_timeout() -> Span {
        Span::seconds(30)
    }

    /// A lost SYN is repeated after 1 s and 3 s: three chances.
    fn default_connect_timeout() -> Span {
        Span::seconds(5)
    }

    /// A body comes from memory once it has begun; a pause this long is a lost connection.
    fn default_idle_timeout() -> Span {
        Span::seconds(10)
    }

    /// Prometheus runs 20 queries at a time for everybody (`--query.max-concurrency`).
    fn default_concurrency() -> usize {
        4
    }

    /// Ten million samples of about 25 bytes.
    fn default_max_response_bytes() -> usize {
        256 << 20
    }

    /// Prometheus refuses above 50 million (`--query.max-samples`), raw ones included.
    fn default_max_samples() -> usize {
        10_000_000
    }

    /// With backoff from 250 ms these span a few seconds, less than a tick.
    fn default_retries() -> u32 {
        3
    }

    /// The files that are named, with the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        let basic = self.basic_auth.as_ref();
        let other = self.authorization.as_ref();
        let tls = &self.tls_config;
        let all = [
            (
                "basic_auth.password_file",
                basic.and_then(|auth| auth.password_file.as_ref()),
            ),
            (
                "authorization.credentials_file",
                other.and_then(|auth| auth.credentials_file.as_ref()),
            ),
            ("bearer_token_file", self.bearer_token_file.as_ref()),
            ("tls_config.ca_file", tls.ca_file.as_ref()),
            ("tls_config.cert_file", tls.cert_file.as_ref()),
            ("tls_config.key_file", tls.key_file.as_ref()),
        ];
        let named = all.into_iter();
        named
            .filter_map(|(key, file)| Some((key, file?.as_path())))
            .collect()
    }

    /// Makes relative files relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        let basic = self.basic_auth.as_mut().map(|auth| &mut auth.password_file);
        let other = self
            .authorization
            .as_mut()
            .map(|auth| &mut auth.credentials_file);
        let tls = &mut self.tls_config;
        let files = [
            &mut self.bearer_token_file,
            &mut tls.ca_file,
            &mut tls.cert_file,
            &mut tls.key_file,
        ];
        for file in files.into_iter().chain(basic).chain(other).flatten() {
            *file = directory.join(&*file);
        }
    }
}
