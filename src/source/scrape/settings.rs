//! The shape of a scraped source in the configuration, as a job of Prometheus' own `scrape_configs`.

use super::discovery::{FileSdSettings, HttpSdSettings, KubernetesSdSettings};
use crate::{
    series::{Span, relabel::RelabelSettings},
    source::{
        Secret,
        prometheus::{self, Authorization, BasicAuth, TlsSettings},
    },
};
use serde::{Deserialize, Deserializer, de};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// Targets that are scraped by ourselves.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Targets that are named here.
    pub static_configs: Vec<StaticSettings>,
    /// Targets that are named in files.
    pub file_sd_configs: Vec<FileSdSettings>,
    /// Targets that a server names.
    pub http_sd_configs: Vec<HttpSdSettings>,
    /// Targets that run in Kubernetes.
    pub kubernetes_sd_configs: Vec<KubernetesSdSettings>,
    /// How often a target is scraped.
    pub scrape_interval: Span,
    /// Longest time for one scrape; left out: 10 s, or the interval where that is shorter.
    pub scrape_timeout: Option<Span>,
    /// The path of the metrics.
    pub metrics_path: String,
    /// How targets are spoken to.
    pub scheme: Scheme,
    /// Parameters of the URL.
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether a label that a target exposes goes before the target's own one of that name.
    pub honor_labels: bool,
    /// Whether the times that a target exposes are taken.
    pub honor_timestamps: bool,
    /// Whether series with times of their own are stale once they are not exposed any more.
    pub track_timestamps_staleness: bool,
    /// What is read where a target does not say what it answers.
    pub fallback_scrape_protocol: Option<Protocol>,
    /// Whether redirections are followed.
    pub follow_redirects: bool,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// The `Authorization` header.
    pub authorization: Option<Authorization>,
    /// Short for `authorization: {credentials: ...}`.
    pub bearer_token: Option<Secret>,
    /// Short for `authorization: {credentials_file: ...}`; read anew for each scrape.
    pub bearer_token_file: Option<PathBuf>,
    /// TLS.
    pub tls_config: TlsSettings,
    /// Further headers of each scrape.
    pub headers: BTreeMap<String, Secret>,
    /// Whether HTTP/2 is offered to `https` targets.
    pub enable_http2: bool,
    /// What becomes of targets before they are scraped.
    pub relabel_configs: Vec<RelabelSettings>,
    /// What becomes of series before they are taken in.
    pub metric_relabel_configs: Vec<RelabelSettings>,
    /// Most bytes of one scrape, after decompression; 0: no limit.
    pub body_size_limit: ByteSize,
    /// Most samples of one scrape, after relabelling; 0: no limit.
    pub sample_limit: usize,
    /// Most labels of a series; 0: no limit.
    pub label_limit: usize,
    /// Most bytes of a label's name; 0: no limit.
    pub label_name_length_limit: usize,
    /// Most bytes of a label's value; 0: no limit.
    pub label_value_length_limit: usize,
    /// Most targets; where there are more, none is scraped; 0: no limit.
    pub target_limit: usize,
    /// Most scrapes at one time.
    pub concurrency: usize,
}

/// Targets that are named in the configuration, or in what discovers them.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StaticSettings {
    /// `host:port` each.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: BTreeMap<String, String>,
}

/// How a target is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In the clear.
    Http,
    /// By TLS.
    Https,
}

/// What a target exposes, in the words of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// `application/openmetrics-text` 0.0.1.
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetrics001,
    /// `application/openmetrics-text` 1.0.0.
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetrics100,
    /// `application/vnd.google.protobuf`.
    #[serde(rename = "PrometheusProto")]
    Families,
    /// `text/plain` 0.0.4.
    #[serde(rename = "PrometheusText0.0.4")]
    Text004,
    /// `text/plain` 1.0.0.
    #[serde(rename = "PrometheusText1.0.0")]
    Text100,
}

/// A number of bytes: `10MB` or `10485760`. Units are powers of two, as in Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteSize(pub usize);

impl Default for Settings {
    fn default() -> Self {
        Self {
            static_configs: Vec::new(),
            file_sd_configs: Vec::new(),
            http_sd_configs: Vec::new(),
            kubernetes_sd_configs: Vec::new(),
            // Four to a step of a minute.
            scrape_interval: Span::seconds(15),
            scrape_timeout: None,
            metrics_path: "/metrics".to_owned(),
            scheme: Scheme::Http,
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            fallback_scrape_protocol: None,
            follow_redirects: true,
            basic_auth: None,
            authorization: None,
            bearer_token: None,
            bearer_token_file: None,
            tls_config: TlsSettings::default(),
            headers: BTreeMap::new(),
            enable_http2: true,
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            // A large kube-state-metrics exposes a quarter of it.
            body_size_limit: ByteSize(256 << 20),
            sample_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            target_limit: 0,
            // As many bodies are in memory at most.
            concurrency: 100,
        }
    }
}

impl Settings {
    /// What Prometheus waits for a target where nothing else is said.
    const USUAL_TIMEOUT: Span = Span::seconds(10);

    /// Longest time for one scrape.
    pub fn timeout(&self) -> Span {
        let usual = Self::USUAL_TIMEOUT.min(self.scrape_interval);
        self.scrape_timeout.unwrap_or(usual)
    }

    /// The HTTP client settings, as a source has them. Its URL means nothing.
    pub(super) fn client(&self) -> prometheus::Settings {
        prometheus::Settings {
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            bearer_token: self.bearer_token.clone(),
            bearer_token_file: self.bearer_token_file.clone(),
            tls_config: self.tls_config.clone(),
            headers: self.headers.clone(),
            enable_http2: self.enable_http2,
            ..prometheus::Settings::new("http://target")
        }
    }

    /// The files that are named and must be there, with the keys that name them.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let own = owned("", &self.client());
        let servers = self.http_sd_configs.iter().enumerate();
        let of_servers = servers.flat_map(|(index, server)| {
            owned(&format!("http_sd_configs[{index}]."), &server.client())
        });
        let clusters = self.kubernetes_sd_configs.iter().enumerate();
        let of_clusters = clusters.filter_map(|(index, cluster)| {
            let key = format!("kubernetes_sd_configs[{index}].kubeconfig_file");
            Some((key, cluster.kubeconfig_file.clone()?))
        });
        own.into_iter()
            .chain(of_servers)
            .chain(of_clusters)
            .collect()
    }

    /// Makes relative files relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        let mut client = self.client();
        client.set_directory(directory);
        self.basic_auth = client.basic_auth;
        self.authorization = client.authorization;
        self.bearer_token_file = client.bearer_token_file;
        self.tls_config = client.tls_config;
        for files in &mut self.file_sd_configs {
            files.set_directory(directory);
        }
        for server in &mut self.http_sd_configs {
            server.set_directory(directory);
        }
        for cluster in &mut self.kubernetes_sd_configs {
            cluster.set_directory(directory);
        }
    }
}

fn owned(prefix: &str, client: &prometheus::Settings) -> Vec<(String, PathBuf)> {
    let files = client.files().into_iter();
    files
        .map(|(key, file)| (format!("{prefix}{key}"), file.to_owned()))
        .collect()
}

impl Scheme {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl ByteSize {
    /// The most that is allowed; 0 means that everything is.
    pub fn limit(self) -> usize {
        match self.0 {
            0 => usize::MAX,
            bytes => bytes,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let size: usize = match unit.trim() {
            "" | "B" => 1,
            "KB" | "KiB" => 1 << 10,
            "MB" | "MiB" => 1 << 20,
            "GB" | "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<usize>().ok()?.checked_mul(size).map(Self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteSizeVisitor)
    }
}

struct ByteSizeVisitor;

impl de::Visitor<'_> for ByteSizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes such as 10MB or 10485760")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        usize::try_from(bytes).map(ByteSize).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        ByteSize::parse(text).ok_or_else(|| {
            E::custom(format!(
                "{text:?} is no number of bytes; write it like 10MB or 10485760"
            ))
        })
    }
}
