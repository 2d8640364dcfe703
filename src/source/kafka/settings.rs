//! The shape of a topic that is read.

use super::cluster::{self, Cluster, SaslSettings};
use crate::{
    expo::wire::write::Version,
    series::Span,
    source::{local::Hub, prometheus::TlsSettings, scrape::ByteSize},
};
use serde::{Deserialize, Deserializer, de};
use std::path::{Path, PathBuf};

/// Less would not hold one sample.
const LEAST_MESSAGE: usize = 1 << 10;
/// More than a broker takes, even where it is told to take much.
const MOST_MESSAGE: usize = 64 << 20;

/// A topic that is read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `host:port` each. One is enough to find the others.
    pub brokers: Vec<String>,
    /// The name of the topic.
    pub topic: String,
    /// What a message is.
    #[serde(default)]
    pub format: Format,
    /// Where a process begins that has nothing of the topic on its disk.
    #[serde(default)]
    pub start: Start,
    /// TLS; none where left out.
    #[serde(default)]
    pub tls_config: Option<TlsSettings>,
    /// Who we are; nobody asks where left out.
    #[serde(default)]
    pub sasl: Option<SaslSettings>,
    /// Most series that signals select.
    #[serde(default = "Settings::default_max_series")]
    pub max_series: usize,
    /// Most bytes of one message, unpacked.
    #[serde(default = "Settings::default_max_message_bytes")]
    pub max_message_bytes: ByteSize,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Format {
    /// A sample or a list of samples in JSON.
    #[default]
    #[serde(rename = "json")]
    Json,
    /// The body of a request of remote write 1.0, packed with snappy.
    #[serde(rename = "remote_write")]
    RemoteWrite,
    /// The same of 2.0.
    #[serde(rename = "remote_write_2")]
    RemoteWrite2,
}

/// Where in a topic reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With what comes from now on.
    #[default]
    Latest,
    /// With the oldest message that is still there.
    Earliest,
    /// With what came so long before now.
    Back(Span),
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "latest" => Ok(Self::Latest),
            "earliest" => Ok(Self::Earliest),
            span => span.parse().map(Self::Back).map_err(|_| {
                de::Error::custom(format!(
                    "{text:?} is no place to begin; allowed: latest, earliest, or how long before now, as in 6h"
                ))
            }),
        }
    }
}

impl Format {
    /// The version of remote write that a message is; none where it is JSON.
    pub(super) fn version(self) -> Option<Version> {
        match self {
            Self::Json => None,
            Self::RemoteWrite => Some(Version::V1),
            Self::RemoteWrite2 => Some(Version::V2),
        }
    }
}

impl Settings {
    /// As of what is pushed.
    fn default_max_series() -> usize {
        200_000
    }

    /// A broker takes messages of one megabyte, packed, unless it is told otherwise.
    fn default_max_message_bytes() -> ByteSize {
        ByteSize(16 << 20)
    }

    /// How the brokers are reached.
    pub fn cluster(&self) -> Cluster {
        Cluster {
            brokers: self.brokers.clone(),
            topic: self.topic.clone(),
            tls_config: self.tls_config.clone(),
            sasl: self.sasl.clone(),
        }
    }

    /// All problems, each with the path of the key and what to change. No IO.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = self.cluster().validate();
        let mut add = |path: &str, text: String| found.push((path.to_owned(), text));
        if matches!(self.start, Start::Back(span) if span <= Span::default()) {
            add(
                "start",
                "must be longer than 0s; from now on is latest".to_owned(),
            );
        }
        if !(1..=Hub::MOST_SERIES).contains(&self.max_series) {
            add("max_series", format!("must be 1 to {}", Hub::MOST_SERIES));
        }
        if !(LEAST_MESSAGE..=MOST_MESSAGE).contains(&self.max_message_bytes.0) {
            let text = format!("must be {LEAST_MESSAGE} to {MOST_MESSAGE}");
            add("max_message_bytes", text);
        }
        found
    }

    /// The files that are named, with the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        self.cluster().files()
    }

    /// Makes relative files relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        cluster::set_directory((&mut self.tls_config, &mut self.sasl), directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_topic_is_read_from_where_it_is_told() {
        let start = |text: &str| {
            let settings = read(&format!("{{brokers: ['a:1'], topic: t, start: {text}}}"));
            settings.map(|settings| settings.start)
        };
        assert_eq!(start("earliest"), Ok(Start::Earliest));
        assert_eq!(start("latest"), Ok(Start::Latest));
        assert_eq!(start("6h"), Ok(Start::Back(Span::minutes(360))));
        assert!(start("yesterday").unwrap_err().contains("earliest"));
        let plain = read("{brokers: ['a:1'], topic: t}").unwrap();
        assert_eq!((plain.start, plain.format), (Start::Latest, Format::Json));
        assert_eq!(plain.format.version(), None);
        let packed = read("{brokers: ['a:1'], topic: t, format: remote_write_2}").unwrap();
        assert_eq!(packed.format.version(), Some(Version::V2));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        let text = "{brokers: [a], topic: t, start: 0s, max_series: 0, max_message_bytes: 1}";
        let mut found = read(text).unwrap().validate();
        found.retain(|(_, text)| super::super::refusal(false) != Some(text.as_str()));
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            ["brokers[0]", "start", "max_series", "max_message_bytes"]
        );
    }
}
