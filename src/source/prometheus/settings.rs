//! The shape of a Prometheus source in the configuration, as in Prometheus' own HTTP client settings.

use crate::{series::Span, source::Secret};
use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};
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
    /// Five failures: one request and its three retries alone do not open it. A minute at most, so
    /// that a source that is back is noticed within the next tick or two.
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Span::seconds(5),
            max_pause: Span::seconds(60),
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
        let shown = self.shown();
        if shown != self.0 {
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
        if base.ends_with("/api/v1") {
            return Err(format!(
                "{shown:?} ends in /api/v1, which is added by itself; {wanted}"
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

/// Headers a request gets from elsewhere, and where from.
const RESERVED: [(&str, &str); 11] = [
    ("accept-encoding", "it is set by itself"),
    ("authorization", "use authorization or basic_auth"),
    ("connection", "it belongs to the connection"),
    ("content-encoding", "it is set by itself"),
    ("content-length", "it is set by itself"),
    ("content-type", "it is set by itself"),
    ("host", "it is made from url"),
    ("te", "it belongs to the connection"),
    ("transfer-encoding", "it belongs to the connection"),
    ("upgrade", "it belongs to the connection"),
    ("user-agent", "it is set by itself"),
];

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

    /// All problems, each with the path of the key and what to change. No IO.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Problems::default();
        if let Err(problem) = self.url.base() {
            found.add("url", problem);
        }
        self.check_auth(&mut found);
        self.check_headers(&mut found);
        self.check_tls(&mut found);
        self.check_limits(&mut found);
        found.0
    }

    fn check_auth(&self, found: &mut Problems) {
        let ways = [
            ("basic_auth", self.basic_auth.is_some()),
            ("authorization", self.authorization.is_some()),
            ("bearer_token", self.bearer_token.is_some()),
            ("bearer_token_file", self.bearer_token_file.is_some()),
        ];
        let given: Vec<&str> = ways.iter().filter(|way| way.1).map(|way| way.0).collect();
        if let [_, second, ..] = given[..] {
            found.add(
                second,
                format!("only one of {} can be given", given.join(" and ")),
            );
        }
        if let Some(basic) = &self.basic_auth {
            if basic.password.is_some() && basic.password_file.is_some() {
                let path = "basic_auth.password_file";
                found.add(path, "only one of password and password_file can be given");
            }
            if basic.username.contains(':') {
                found.add("basic_auth.username", "must not contain a colon (RFC 7617)");
            }
        }
        if let Some(authorization) = &self.authorization {
            authorization.check(found);
        }
        if self
            .bearer_token
            .as_ref()
            .is_some_and(|token| !sendable(token))
        {
            found.add("bearer_token", UNSENDABLE);
        }
    }

    fn check_headers(&self, found: &mut Problems) {
        for (name, value) in &self.headers {
            let path = format!("headers.{name}");
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                found.add(&path, "is not a header name (letters, digits and - only)");
            }
            let lower = name.to_ascii_lowercase();
            if let Some((_, instead)) = RESERVED.iter().find(|(name, _)| *name == lower) {
                found.add(&path, format!("cannot be given here: {instead}"));
            }
            if !sendable(value) {
                found.add(&path, UNSENDABLE);
            }
        }
    }

    fn check_tls(&self, found: &mut Problems) {
        let tls = &self.tls_config;
        if tls.cert_file.is_some() && tls.key_file.is_none() {
            found.add("tls_config.key_file", "is needed where cert_file is given");
        }
        if tls.key_file.is_some() && tls.cert_file.is_none() {
            found.add("tls_config.cert_file", "is needed where key_file is given");
        }
        if let Some(name) = &tls.server_name
            && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            let path = "tls_config.server_name";
            found.add(path, format!("{name:?} is not a DNS name or IP address"));
        }
        if tls.insecure_skip_verify && tls.ca_file.is_some() {
            let path = "tls_config.insecure_skip_verify";
            found.add(path, "makes ca_file useless; give only one of them");
        }
    }

    fn check_limits(&self, found: &mut Problems) {
        let spans = [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
            ("idle_timeout", self.idle_timeout),
            ("breaker.pause", self.breaker.pause),
        ];
        for (path, span) in spans {
            if span.as_millis() <= 0 {
                found.add(path, "must be longer than 0s");
            }
        }
        if self.breaker.max_pause < self.breaker.pause {
            found.add(
                "breaker.max_pause",
                "must not be shorter than breaker.pause",
            );
        }
        if self.breaker.failures == 0 {
            found.add("breaker.failures", "must be at least 1");
        }
        if !(1..=MOST_CONCURRENCY).contains(&self.concurrency) {
            found.add("concurrency", format!("must be 1 to {MOST_CONCURRENCY}"));
        }
        if self.retries > MOST_RETRIES {
            found.add("retries", format!("must be 0 to {MOST_RETRIES}"));
        }
        if self.max_response_bytes < LEAST_RESPONSE {
            let path = "max_response_bytes";
            found.add(path, format!("must be at least {LEAST_RESPONSE}"));
        }
        if self.max_samples == 0 {
            found.add("max_samples", "must be at least 1");
        }
    }
}

/// More at a time than this is an attack.
const MOST_CONCURRENCY: usize = 100;
/// More retries would outlast the tick they belong to.
const MOST_RETRIES: u32 = 10;
/// Less than this would not hold an error text.
const LEAST_RESPONSE: usize = 65_536;

const UNSENDABLE: &str =
    "has characters that cannot be in a header (line ends, control characters)";

fn sendable(value: &Secret) -> bool {
    HeaderValue::from_str(value.expose()).is_ok()
}

impl Authorization {
    fn check(&self, found: &mut Problems) {
        match (&self.credentials, &self.credentials_file) {
            (Some(_), Some(_)) => found.add(
                "authorization.credentials_file",
                "only one of credentials and credentials_file can be given",
            ),
            (None, None) => found.add("authorization", "needs credentials or credentials_file"),
            (Some(credentials), None) if !sendable(credentials) => {
                found.add("authorization.credentials", UNSENDABLE);
            }
            _ => {}
        }
        let scheme = self.scheme.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            found.add("authorization.type", "cannot be Basic; use basic_auth");
        } else if scheme.is_empty() || HeaderName::from_bytes(scheme.as_bytes()).is_err() {
            found.add("authorization.type", "must be one word such as Bearer");
        }
    }
}

#[derive(Default)]
struct Problems(Vec<(String, String)>);

impl Problems {
    fn add(&mut self, path: &str, problem: impl Into<String>) {
        self.0.push((path.to_owned(), problem.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Settings {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn the_defaults_are_sound_and_paths_of_thanos_and_mimir_are_kept() {
        let settings = read("url: http://mimir:8080/prometheus/\n");
        assert_eq!(settings.validate(), []);
        assert_eq!(settings.url.base().unwrap(), "http://mimir:8080/prometheus");
        assert_eq!(settings, {
            let mut same = Settings::new("http://mimir:8080/prometheus/");
            same.timeout = Span::seconds(30);
            same
        });
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_path() {
        let settings = read(
            r#"
url: "ftp://x"
basic_auth: {username: "a:b", password: p, password_file: f}
authorization: {type: basic}
bearer_token: t
headers: {Authorization: x, "a b": y, X-Fine: z, X-Line: "a\nb"}
tls_config: {cert_file: c, ca_file: d, server_name: "a b", insecure_skip_verify: true}
timeout: 0s
concurrency: 0
retries: 99
max_samples: 0
max_response_bytes: 1
breaker: {failures: 0, pause: 10s, max_pause: 1s}
"#,
        );
        let paths: Vec<String> = settings
            .validate()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        let expected = [
            "url",
            "authorization",
            "basic_auth.password_file",
            "basic_auth.username",
            "authorization",
            "authorization.type",
            "headers.Authorization",
            "headers.X-Line",
            "headers.a b",
            "tls_config.key_file",
            "tls_config.server_name",
            "tls_config.insecure_skip_verify",
            "timeout",
            "breaker.max_pause",
            "breaker.failures",
            "concurrency",
            "retries",
            "max_response_bytes",
            "max_samples",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn bad_urls_say_what_to_write_and_never_a_password() {
        let cases = [
            ("prometheus:9090", "http://"),
            ("http://", "http://"),
            ("http://h/p?x=1", "query or fragment"),
            ("http://h/api/v1", "added by itself"),
            ("http://user:hunter2@h:9090/p", "basic_auth"),
        ];
        for (url, part) in cases {
            let problems = Settings::new(url).validate();
            assert_eq!(problems[0].0, "url");
            assert!(problems[0].1.contains(part), "{url}: {problems:?}");
            assert!(!problems[0].1.contains("hunter2"));
        }
        let url = Address::from("http://user:hunter2@h:9090/p@q");
        assert_eq!(
            format!("{url} {url:?}"),
            "http://h:9090/p@q \"http://h:9090/p@q\""
        );
    }

    #[test]
    fn unknown_keys_are_errors_and_debug_shows_no_secret() {
        let error = serde_yaml::from_str::<Settings>("url: http://x\ntimout: 1s\n").unwrap_err();
        assert!(
            error.to_string().contains("unknown field `timout`"),
            "{error}"
        );
        let settings = read(
            "url: http://x\nheaders: {X-Scope-OrgID: hunter2}\nbasic_auth: {username: u, password: hunter2}\n",
        );
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn relative_files_are_beside_the_configuration_file() {
        let mut settings = read(
            "url: http://x\nbasic_auth: {username: u, password_file: p}\ntls_config: {ca_file: /a/ca}\n",
        );
        settings.set_directory(Path::new("/etc/forethought"));
        let password = settings.basic_auth.unwrap().password_file.unwrap();
        assert_eq!(password, Path::new("/etc/forethought/p"));
        assert_eq!(settings.tls_config.ca_file.unwrap(), Path::new("/a/ca"));
    }
}
