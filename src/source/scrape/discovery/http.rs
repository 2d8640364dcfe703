//! Targets that a server names, as JSON over HTTP.

use super::{Group, Publisher};
use crate::{
    series::Span,
    source::{
        Secret,
        prometheus::{self, Address, Authorization, BasicAuth, Getter, TlsSettings, Wanted},
        scrape::settings::StaticSettings,
    },
};
use hyper::{
    HeaderMap,
    header::{ACCEPT, HeaderName, HeaderValue},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The most of an answer: a hundred thousand targets fit.
const MOST_BYTES: usize = 64 << 20;
/// Longer answers are given up.
const LONGEST: Span = Span::seconds(30);
/// The label that names the server.
const URL_LABEL: &str = "__meta_url";
const REFRESH: HeaderName = HeaderName::from_static("x-prometheus-refresh-interval-seconds");

/// Targets that a server names.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSdSettings {
    /// Where it is asked.
    pub url: Address,
    /// How often.
    #[serde(default = "HttpSdSettings::default_refresh")]
    pub refresh_interval: Span,
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
    /// Further headers of each request.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

impl HttpSdSettings {
    /// As in Prometheus.
    fn default_refresh() -> Span {
        Span::minutes(1)
    }

    /// The HTTP client settings, as a source has them.
    pub(in crate::source::scrape) fn client(&self) -> prometheus::Settings {
        prometheus::Settings {
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            bearer_token: self.bearer_token.clone(),
            bearer_token_file: self.bearer_token_file.clone(),
            tls_config: self.tls_config.clone(),
            headers: self.headers.clone(),
            ..prometheus::Settings::new("http://server")
        }
    }

    /// All problems, each with the path of the key and what to change.
    pub(in crate::source::scrape) fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |key: &str, text: String| found.push((key.to_owned(), text));
        let url = self.url.to_string();
        let is_web = url.starts_with("http://") || url.starts_with("https://");
        if self.url.has_user() {
            add(
                "url",
                "has a user or password in it; put them into basic_auth".to_owned(),
            );
        } else if !is_web || url.parse::<hyper::Uri>().is_err() {
            add(
                "url",
                format!("{url:?} is no URL; write it like http://inventory/targets"),
            );
        }
        if self.refresh_interval < Span::seconds(1) {
            add("refresh_interval", "must be at least 1s".to_owned());
        }
        let client = self.client().validate();
        found.extend(client.into_iter().filter(|(path, _)| path != "url"));
        found
    }

    /// Makes relative files relative to `directory`.
    pub(in crate::source::scrape) fn set_directory(&mut self, directory: &Path) {
        let mut client = self.client();
        client.set_directory(directory);
        self.basic_auth = client.basic_auth;
        self.authorization = client.authorization;
        self.bearer_token_file = client.bearer_token_file;
        self.tls_config = client.tls_config;
    }
}

/// A server that names targets.
#[derive(Debug)]
pub(super) struct HttpSd {
    getter: Getter,
    url: String,
    refresh: Span,
}

impl HttpSd {
    pub(super) fn build(settings: &HttpSdSettings) -> Result<Self, String> {
        Ok(Self {
            getter: Getter::build(&settings.client())?,
            url: settings.url.to_string(),
            refresh: settings.refresh_interval,
        })
    }

    /// Tells the targets that the server names, for ever. Where it cannot be asked, those of its last answer stay.
    pub(super) async fn run(self, publisher: Publisher) {
        let mut known = None;
        loop {
            match self.ask().await {
                Ok(groups) if known.as_ref() == Some(&groups) => {}
                Ok(groups) => {
                    publisher.tell(groups.clone()).await;
                    known = Some(groups);
                }
                Err(problem) => publisher.failed(&problem),
            }
            tokio::time::sleep(self.refresh.to_std()).await;
        }
    }

    async fn ask(&self) -> Result<Vec<Group>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let seconds = self.refresh.as_millis() as f64 / 1_000.0;
        if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
            headers.insert(REFRESH, value);
        }
        let wanted = Wanted {
            url: &self.url,
            headers,
            timeout: LONGEST.min(self.refresh),
            limit: MOST_BYTES,
            redirects: true,
            keys: ("(refresh_interval, at most 30s)", "(a limit of discovery)"),
        };
        let place = |problem: &str| format!("{}: {problem}; the targets it named stay", self.url);
        let got = self.getter.get(wanted).await;
        let got = got.map_err(|error| place(&error.message))?;
        let kind = got.content_type.unwrap_or_default();
        if !kind
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        {
            let text = format!("expected the content type application/json, found {kind:?}");
            return Err(place(&text));
        }
        let list: Vec<StaticSettings> =
            serde_json::from_slice(&got.body).map_err(|error| place(&error.to_string()))?;
        let more = Some((URL_LABEL, self.url.as_str()));
        Ok(list
            .into_iter()
            .map(|group| Group::of(group, more))
            .collect())
    }
}
