//! The shape of an Alertmanager in the configuration. The HTTP client settings are those of a source.

use crate::{
    engine::settings::is_label_name,
    series::Span,
    source::{
        Secret,
        prometheus::{self, Address, Authorization, BasicAuth, TlsSettings},
    },
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// One Alertmanager that alerts are sent to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it is, without `/api/v2`: `http://alertmanager:9093`, `https://example.org/alertmanager`.
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
    /// Further headers of each request.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Whether HTTP/2 is offered to `https` addresses.
    #[serde(default = "yes")]
    pub enable_http2: bool,
    /// Longest time for one request.
    #[serde(default = "Settings::default_timeout")]
    pub timeout: Span,
    /// Longest time to look up the name, connect and shake hands.
    #[serde(default = "Settings::default_connect_timeout")]
    pub connect_timeout: Span,
    /// Labels of every alert, beside those of `global`; a label of the series goes before.
    #[serde(default)]
    pub external_labels: BTreeMap<String, String>,
    /// How often an alert that is on is sent again.
    #[serde(default = "Settings::default_resend")]
    pub resend: Span,
    /// The share of a group's series that may be anomalous before the group is an alert, 0 to 1.
    #[serde(default = "Settings::default_group_threshold")]
    pub group_threshold: f64,
}

/// Alerts sent more often than this only load the network.
const LEAST_RESEND: Span = Span::seconds(1);
/// Alertmanager would keep an alert for four times as long after our end.
const LONGEST_RESEND: Span = Span::minutes(60);

fn yes() -> bool {
    true
}

impl Settings {
    /// An Alertmanager at `url`, everything else as if left out.
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
            external_labels: BTreeMap::new(),
            resend: Self::default_resend(),
            group_threshold: Self::default_group_threshold(),
        }
    }

    /// As Prometheus' own `timeout` for Alertmanagers.
    fn default_timeout() -> Span {
        Span::seconds(10)
    }

    /// As for sources.
    fn default_connect_timeout() -> Span {
        Span::seconds(5)
    }

    /// As Prometheus' `--rules.alert.resend-delay`.
    fn default_resend() -> Span {
        Span::minutes(1)
    }

    /// As the shipped alert on `anomaly_group_ratio`.
    fn default_group_threshold() -> f64 {
        0.5
    }

    /// All problems, each with the path of the key and what to change. No IO.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let wanted = "write it like http://alertmanager:9093 or https://example.org/alertmanager";
        if let Err(problem) = self.url.without("/api/v2", wanted) {
            found.push(("url".to_owned(), problem));
        }
        let client = self.client().validate();
        found.extend(client.into_iter().filter(|(path, _)| path != "url"));
        for label in self.external_labels.keys() {
            if !is_label_name(label) || label.starts_with("__") {
                let text =
                    format!("{label:?} is not a label name (letters, digits, _; not __ in front)");
                found.push((format!("external_labels.{label}"), text));
            }
        }
        if self.resend < LEAST_RESEND || self.resend > LONGEST_RESEND {
            let text = format!(
                "{} is not allowed; allowed: {LEAST_RESEND} to {LONGEST_RESEND}",
                self.resend
            );
            found.push(("resend".to_owned(), text));
        }
        if !(0.0..1.0).contains(&self.group_threshold) {
            let text = format!(
                "{} is not allowed; allowed: 0 to below 1",
                self.group_threshold
            );
            found.push(("group_threshold".to_owned(), text));
        }
        found
    }

    /// The files that are named, with the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let client = self.client();
        let named = client.files().into_iter();
        named.map(|(key, file)| (key, file.to_path_buf())).collect()
    }

    /// Makes relative files relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        let mut client = self.client();
        client.set_directory(directory);
        self.basic_auth = client.basic_auth;
        self.authorization = client.authorization;
        self.bearer_token_file = client.bearer_token_file;
        self.tls_config = client.tls_config;
    }

    /// The part of the settings that is about HTTP, as those of a source.
    pub(super) fn client(&self) -> prometheus::Settings {
        prometheus::Settings {
            url: self.url.clone(),
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            bearer_token: self.bearer_token.clone(),
            bearer_token_file: self.bearer_token_file.clone(),
            tls_config: self.tls_config.clone(),
            headers: self.headers.clone(),
            enable_http2: self.enable_http2,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            max_response_bytes: 65_536,
            ..prometheus::Settings::new("")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Settings {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_left_out_is_as_in_new() {
        assert_eq!(read("url: http://a:9093"), Settings::new("http://a:9093"));
        assert_eq!(Settings::new("http://a:9093/prefix/").validate(), []);
    }

    #[test]
    fn every_problem_has_its_key() {
        let wrong = read(
            "url: http://a/api/v2\nresend: 500ms\ngroup_threshold: 1\nexternal_labels: {a-b: c}\ntimeout: 0s\nbearer_token: x\nbasic_auth: {username: 'a:b'}\n",
        );
        let found = wrong.validate();
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "url",
            "bearer_token",
            "basic_auth.username",
            "timeout",
            "external_labels.a-b",
            "resend",
            "group_threshold",
        ];
        assert_eq!(keys, expected, "{found:?}");
        assert!(found[0].1.contains("http://alertmanager:9093"), "{found:?}");
    }

    #[test]
    fn relative_files_are_beside_the_configuration_file() {
        let mut settings = read("url: http://a\nauthorization: {credentials_file: token}\n");
        assert_eq!(settings.files()[0].1, Path::new("token"));
        settings.set_directory(Path::new("/etc/forethought"));
        let file = settings.authorization.unwrap().credentials_file.unwrap();
        assert_eq!(file, Path::new("/etc/forethought/token"));
    }
}
