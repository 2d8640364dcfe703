//! The shape of a receiver of remote write in the configuration. The HTTP client settings are those of a source.

use crate::{
    expo::wire::write::Version,
    series::Span,
    source::{
        Secret,
        prometheus::{self, Address, Authorization, BasicAuth, TlsSettings},
        scrape::ByteSize,
    },
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// One receiver that samples are written to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it takes samples, with the whole path: `http://prometheus:9090/api/v1/write`.
    pub url: Address,
    /// What it is called in metrics and in the log; the URL where left out.
    #[serde(default)]
    pub name: Option<String>,
    /// The version of the protocol.
    #[serde(default)]
    pub version: Protocol,
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
    /// What waits, and how it is sent.
    #[serde(default)]
    pub queue: QueueSettings,
    /// What waits is on disk; in memory where left out.
    #[serde(default)]
    pub buffer: Option<BufferSettings>,
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Protocol {
    /// Every receiver takes it.
    #[default]
    #[serde(rename = "1.0")]
    V1,
    /// Texts stand once in a request.
    #[serde(rename = "2.0")]
    V2,
}

/// What waits to be sent, and how it is sent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// Requests under way at once; a series is always in the same shard, so it stays in order.
    pub shards: usize,
    /// Samples that a shard has room for; the oldest are dropped where there are more.
    pub capacity: usize,
    /// Samples in one request.
    pub max_samples_per_send: usize,
    /// How long the oldest sample waits for a request to be full.
    pub batch_send_deadline: Span,
    /// The pause before a request is sent again; it doubles from one attempt to the next.
    pub min_backoff: Span,
    /// The longest of these pauses.
    pub max_backoff: Span,
}

/// What waits, on disk under `--storage.path`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BufferSettings {
    /// More is not kept: the oldest is dropped. All shards have the same share.
    pub max_bytes: ByteSize,
}

/// Less has no room for the requests of an evaluation.
const LEAST_BUFFER: usize = 1 << 20;
/// More would be a burden for any receiver.
const MOST_SHARDS: usize = 64;

fn yes() -> bool {
    true
}

impl Default for QueueSettings {
    /// Batches and pauses as of Prometheus (`queue_config`); room for an hour of 1,500 series at a minute a shard.
    fn default() -> Self {
        Self {
            shards: 4,
            capacity: 100_000,
            max_samples_per_send: 2_000,
            batch_send_deadline: Span::seconds(5),
            min_backoff: Span::millis(30),
            max_backoff: Span::seconds(5),
        }
    }
}

impl Default for BufferSettings {
    fn default() -> Self {
        Self {
            max_bytes: ByteSize(1 << 30),
        }
    }
}

impl Protocol {
    /// How its requests are written.
    pub const fn version(self) -> Version {
        match self {
            Self::V1 => Version::V1,
            Self::V2 => Version::V2,
        }
    }
}

impl Settings {
    /// A receiver at `url`, everything else as if left out.
    pub fn new(url: &str) -> Self {
        Self {
            url: Address::from(url),
            name: None,
            version: Protocol::default(),
            basic_auth: None,
            authorization: None,
            bearer_token: None,
            bearer_token_file: None,
            tls_config: TlsSettings::default(),
            headers: BTreeMap::new(),
            enable_http2: true,
            timeout: Self::default_timeout(),
            connect_timeout: Self::default_connect_timeout(),
            queue: QueueSettings::default(),
            buffer: None,
        }
    }

    /// What it is called.
    pub fn name(&self) -> String {
        let url = || self.url.to_string();
        self.name.clone().unwrap_or_else(url)
    }

    /// As Prometheus' `remote_timeout`.
    fn default_timeout() -> Span {
        Span::seconds(30)
    }

    /// As for sources.
    fn default_connect_timeout() -> Span {
        Span::seconds(5)
    }

    /// All problems, each with the path of the key and what to change. No IO.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let wanted = "write it like http://prometheus:9090/api/v1/write";
        // Never in the way: slashes at the end are left out before it is looked for.
        let url = self.url.without("/api/v1/", wanted);
        let cut = |url: &String| url.ends_with("/api/v1");
        match url {
            Err(problem) => found.push(("url".to_owned(), problem)),
            Ok(url) if cut(&url) => {
                let text = format!("{url:?} is not where samples are taken; {wanted}");
                found.push(("url".to_owned(), text));
            }
            Ok(_) => {}
        }
        if self
            .name
            .as_ref()
            .is_some_and(|name| name.trim().is_empty())
        {
            let text = "the name is empty; leave it out or say what the receiver is called";
            found.push(("name".to_owned(), text.to_owned()));
        }
        let client = self.client().validate();
        found.extend(client.into_iter().filter(|(path, _)| path != "url"));
        self.queue.check(&mut found);
        let most = self.buffer.as_ref().map(|buffer| buffer.max_bytes.0);
        if let Some(most) = most.filter(|&most| most < LEAST_BUFFER) {
            let text = format!("{most} bytes are not allowed; allowed: 1MB or more");
            found.push(("buffer.max_bytes".to_owned(), text));
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

impl QueueSettings {
    fn check(&self, found: &mut Vec<(String, String)>) {
        let mut wrong = |key: &str, text: String| found.push((format!("queue.{key}"), text));
        if !(1..=MOST_SHARDS).contains(&self.shards) {
            let text = format!(
                "{} is not allowed; allowed: 1 to {MOST_SHARDS}",
                self.shards
            );
            wrong("shards", text);
        }
        if self.max_samples_per_send == 0 {
            wrong("max_samples_per_send", "must be 1 or more".to_owned());
        }
        if self.capacity < self.max_samples_per_send {
            let text = format!(
                "{} is less than max_samples_per_send ({}); make room for one request at least",
                self.capacity, self.max_samples_per_send
            );
            wrong("capacity", text);
        }
        for (key, span) in [
            ("batch_send_deadline", self.batch_send_deadline),
            ("min_backoff", self.min_backoff),
        ] {
            if span.as_millis() <= 0 {
                wrong(key, "must be longer than 0s".to_owned());
            }
        }
        if self.max_backoff < self.min_backoff {
            let text = format!(
                "{} is shorter than min_backoff ({})",
                self.max_backoff, self.min_backoff
            );
            wrong("max_backoff", text);
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
        let url = "http://a:9090/api/v1/write";
        assert_eq!(read(&format!("url: {url}")), Settings::new(url));
        assert_eq!(Settings::new(url).validate(), []);
        assert_eq!(Settings::new(url).name(), url);
        assert_eq!(read("{url: 'http://a', name: b}").name(), "b");
        let version = read("{url: 'http://a', version: '2.0'}").version;
        assert_eq!(version, Protocol::V2);
    }

    #[test]
    fn every_problem_has_its_key() {
        let wrong = read(
            "url: http://a/api/v1/\nname: ' '\nbearer_token: x\nbasic_auth: {username: 'a:b'}\ntimeout: 0s\nqueue: {shards: 0, capacity: 1, max_samples_per_send: 2, batch_send_deadline: 0s, min_backoff: 2s, max_backoff: 1s}\nbuffer: {max_bytes: 1000KB}\n",
        );
        let found = wrong.validate();
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "url",
            "name",
            "bearer_token",
            "basic_auth.username",
            "timeout",
            "queue.shards",
            "queue.capacity",
            "queue.batch_send_deadline",
            "queue.max_backoff",
            "buffer.max_bytes",
        ];
        assert_eq!(keys, expected, "{found:?}");
        assert!(found[0].1.contains("/api/v1/write"), "{found:?}");
        let none = read("{url: 'http://a', queue: {max_samples_per_send: 0}}").validate();
        assert_eq!(none[0].0, "queue.max_samples_per_send");
    }
}
