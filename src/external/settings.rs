//! The file behind `--external.config.file`.

use crate::{
    series::Span,
    source::prometheus::{Authorization, TlsSettings},
};
use hyper::Uri;
use serde::{Deserialize, de::IgnoredAny};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Nobody waits longer for another server.
const LONGEST: Span = Span::seconds(30);
/// No such file is longer.
const MOST_BYTES: u64 = 1024 * 1024;

/// The file behind `--external.config.file`; paths in it are relative to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The certificate and key, read by [`crate::tls::Tls`].
    #[serde(rename = "tls_server_config")]
    _tls: IgnoredAny,
    /// Who may say on whose behalf it asks; left out: as Kubernetes says, in a ConfigMap.
    #[serde(default)]
    pub request_header: Option<RequestHeader>,
    /// How the API server is reached.
    #[serde(default)]
    pub kubernetes: Kubernetes,
    /// Whether users may ask.
    #[serde(default)]
    pub authorization: Reviews,
    /// What everybody may ask for, whoever it is; `*` at the end means everything that begins so.
    #[serde(default = "Settings::default_anonymous_paths")]
    pub anonymous_paths: Vec<String>,
    /// Where metrics are that are not ours.
    #[serde(default)]
    pub proxy: Option<Proxy>,
}

/// The front proxy: who it is, and where it says for whom it asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestHeader {
    /// Authorities of its certificate, PEM; read again when it changes.
    pub client_ca_file: PathBuf,
    /// Common names that its certificate may have; any where empty.
    pub allowed_names: Vec<String>,
    /// Headers with the user.
    #[serde(default = "RequestHeader::default_username_headers")]
    pub username_headers: Vec<String>,
    /// Headers with the user's identifier.
    #[serde(default = "RequestHeader::default_uid_headers")]
    pub uid_headers: Vec<String>,
    /// Headers with groups.
    #[serde(default = "RequestHeader::default_group_headers")]
    pub group_headers: Vec<String>,
    /// Beginnings of headers with what else is known of the user.
    #[serde(default = "RequestHeader::default_extra_header_prefixes")]
    pub extra_header_prefixes: Vec<String>,
}

/// How the API server is reached; left out: as a pod reaches it, or by the `KUBECONFIG` that there is.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kubernetes {
    /// A file as `kubectl` has it.
    pub kubeconfig: Option<PathBuf>,
}

/// Whether users may ask.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reviews {
    /// Ask the API server whether a user may; if not, everybody may for whom the front proxy asks.
    pub subject_access_review: bool,
    /// The API server has so long to answer.
    pub timeout: Span,
    /// Its answers are remembered so long.
    pub cache: Span,
}

/// Another adapter of external metrics.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Where it is, such as `https://prometheus-adapter.monitoring.svc`.
    pub url: String,
    /// TLS to it, and our certificate.
    #[serde(default)]
    pub tls_config: TlsSettings,
    /// Who we are to it, such as the token of our service account.
    #[serde(default)]
    pub authorization: Option<Authorization>,
    /// It has so long to answer.
    #[serde(default = "Proxy::default_timeout")]
    pub timeout: Span,
}

impl Settings {
    /// Reads the file; blocks.
    ///
    /// # Errors
    /// What cannot be read or does not fit, with the key.
    pub fn load(file: &Path) -> Result<Self, String> {
        let place = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
        let length = fs::metadata(file).map_err(|error| place(&error))?.len();
        if length > MOST_BYTES {
            return Err(place(&format!("{length} bytes; at most {MOST_BYTES}")));
        }
        let text = fs::read(file).map_err(|error| place(&error))?;
        let mut settings: Self = serde_yaml::from_slice(&text).map_err(|error| place(&error))?;
        settings.set_directory(file.parent().unwrap_or(Path::new("")));
        settings.validate().map_err(|problem| place(&problem))?;
        Ok(settings)
    }

    /// Whether the API server is asked for anything.
    pub fn needs_kubernetes(&self) -> bool {
        self.request_header.is_none() || self.authorization.subject_access_review
    }

    fn set_directory(&mut self, directory: &Path) {
        let authority = self.request_header.as_mut();
        let authority = authority.map(|header| &mut header.client_ca_file);
        let mut files: Vec<&mut PathBuf> = authority.into_iter().collect();
        files.extend(self.kubernetes.kubeconfig.as_mut());
        if let Some(proxy) = &mut self.proxy {
            let tls = &mut proxy.tls_config;
            files.extend(
                [&mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file]
                    .into_iter()
                    .flatten(),
            );
            let token = proxy.authorization.as_mut();
            files.extend(token.and_then(|token| token.credentials_file.as_mut()));
        }
        for file in files {
            *file = directory.join(&*file);
        }
    }

    fn validate(&self) -> Result<(), String> {
        within("authorization.timeout", self.authorization.timeout)?;
        if self.authorization.cache.as_millis() > Span::minutes(5).as_millis() {
            return Err(
                "authorization.cache: at most 5m: so long a user may still ask who may no longer"
                    .to_owned(),
            );
        }
        for path in &self.anonymous_paths {
            if !path.starts_with('/') {
                return Err(format!("anonymous_paths: {path:?} does not begin with /"));
            }
            if path.contains("/namespaces") || wide(path) {
                return Err(format!(
                    "anonymous_paths: {path:?} has metrics below it, which are for users alone; health is at /healthz, discovery at /apis"
                ));
            }
        }
        if let Some(header) = &self.request_header
            && header.username_headers.is_empty()
        {
            return Err("request_header.username_headers: at least one is needed".to_owned());
        }
        self.proxy.as_ref().map_or(Ok(()), Proxy::validate)
    }

    /// As those of Kubernetes' own servers, for probes.
    fn default_anonymous_paths() -> Vec<String> {
        ["/healthz", "/livez", "/readyz"]
            .map(str::to_owned)
            .to_vec()
    }
}

/// Whether paths that begin so are those of metrics.
fn wide(path: &str) -> bool {
    let metrics = format!("/apis/{}/namespaces/", super::wire::group_version());
    let begin = path.strip_suffix('*');
    begin.is_some_and(|begin| metrics.starts_with(begin))
}

fn within(key: &str, span: Span) -> Result<(), String> {
    match (1..=LONGEST.as_millis()).contains(&span.as_millis()) {
        true => Ok(()),
        false => Err(format!("{key}: {span} is not within 1ms to {LONGEST}")),
    }
}

impl Proxy {
    fn validate(&self) -> Result<(), String> {
        within("proxy.timeout", self.timeout)?;
        let wrong = || {
            format!(
                "proxy.url: {:?} must be an address such as https://prometheus-adapter.monitoring.svc",
                self.url
            )
        };
        let uri: Uri = self.url.parse().map_err(|_| wrong())?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let plain = uri.query().is_none() && !self.url.contains('@');
        if !known || !plain || uri.host().is_none_or(str::is_empty) {
            return Err(wrong());
        }
        if let Some(authorization) = &self.authorization
            && authorization.credentials.is_some() == authorization.credentials_file.is_some()
        {
            return Err(
                "proxy.authorization: write credentials or credentials_file, one of them"
                    .to_owned(),
            );
        }
        if self.tls_config.cert_file.is_some() != self.tls_config.key_file.is_some() {
            return Err("proxy.tls_config: cert_file and key_file go together".to_owned());
        }
        Ok(())
    }

    /// A sync of an HPA asks for one metric after another.
    fn default_timeout() -> Span {
        Span::seconds(3)
    }
}

impl RequestHeader {
    fn default_username_headers() -> Vec<String> {
        vec!["X-Remote-User".to_owned()]
    }

    fn default_uid_headers() -> Vec<String> {
        vec!["X-Remote-Uid".to_owned()]
    }

    fn default_group_headers() -> Vec<String> {
        vec!["X-Remote-Group".to_owned()]
    }

    fn default_extra_header_prefixes() -> Vec<String> {
        vec!["X-Remote-Extra-".to_owned()]
    }
}

impl Default for Reviews {
    /// Kubernetes' own servers remember for 10 s too.
    fn default() -> Self {
        Self {
            subject_access_review: true,
            timeout: Span::seconds(5),
            cache: Span::seconds(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("external.yml");
        fs::write(
            &file,
            format!("tls_server_config: {{cert_file: a, key_file: b}}\n{more}"),
        )
        .unwrap();
        Settings::load(&file)
    }

    #[test]
    fn what_is_left_out_is_as_kubernetes_has_it() {
        let settings = read("").unwrap();
        assert!(settings.needs_kubernetes());
        assert_eq!(settings.anonymous_paths, ["/healthz", "/livez", "/readyz"]);
        let own = "request_header: {client_ca_file: ca.pem, allowed_names: [front-proxy-client]}\nauthorization: {subject_access_review: false}";
        let settings = read(own).unwrap();
        assert!(!settings.needs_kubernetes());
        let header = settings.request_header.unwrap();
        assert!(header.client_ca_file.is_absolute(), "{header:?}");
        assert_eq!(header.username_headers, ["X-Remote-User"]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        for (more, part) in [
            ("request_header: {client_ca_file: x}", "allowed_names"),
            ("request_haeder: {}", "request_haeder"),
            (
                "request_header: {client_ca_file: x, allowed_names: [], username_headers: []}",
                "username_headers",
            ),
            ("authorization: {timeout: 0s}", "authorization.timeout"),
            ("authorization: {timeout: 1h}", "authorization.timeout"),
            ("authorization: {cache: 1h}", "authorization.cache"),
            ("anonymous_paths: [healthz]", "does not begin with /"),
            ("anonymous_paths: ['/*']", "for users alone"),
            ("anonymous_paths: ['/apis/*']", "for users alone"),
            (
                "anonymous_paths: [/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/x]",
                "for users alone",
            ),
            ("proxy: {url: adapter}", "proxy.url"),
            ("proxy: {url: 'ftp://adapter'}", "proxy.url"),
            ("proxy: {url: 'https://a:b@adapter'}", "proxy.url"),
            (
                "proxy: {url: 'https://adapter', timeout: 2h}",
                "proxy.timeout",
            ),
            (
                "proxy: {url: 'https://adapter', authorization: {}}",
                "credentials_file",
            ),
            (
                "proxy: {url: 'https://adapter', tls_config: {cert_file: x}}",
                "go together",
            ),
        ] {
            let error = read(more).unwrap_err();
            assert!(error.contains(part), "{more}: {error}");
        }
        read("anonymous_paths: [/healthz, /apis, /openapi/*]").unwrap();
    }
}
