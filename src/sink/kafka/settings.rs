//! The shape of a topic that is written to.

use crate::source::{
    kafka::{Cluster, Compression, SaslSettings, set_directory},
    prometheus::TlsSettings,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A topic that is written to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `host:port` each. One is enough to find the others.
    pub brokers: Vec<String>,
    /// The name of the topic.
    pub topic: String,
    /// What it is called in metrics and in the log; the topic where left out.
    #[serde(default)]
    pub name: Option<String>,
    /// How messages are packed.
    #[serde(default)]
    pub compression: Compression,
    /// TLS; none where left out.
    #[serde(default)]
    pub tls_config: Option<TlsSettings>,
    /// Who we are; nobody asks where left out.
    #[serde(default)]
    pub sasl: Option<SaslSettings>,
    /// What waits.
    #[serde(default)]
    pub queue: QueueSettings,
}

/// What waits to be written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// Samples that there is room for; the oldest are dropped where there are more.
    pub capacity: usize,
    /// Samples that are written at a time.
    pub max_samples_per_send: usize,
}

impl Default for QueueSettings {
    /// As of remote write, whose shards have as much room together.
    fn default() -> Self {
        Self {
            capacity: 400_000,
            max_samples_per_send: 2_000,
        }
    }
}

impl Settings {
    /// What it is called.
    pub fn name(&self) -> String {
        self.name.as_ref().unwrap_or(&self.topic).clone()
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
        let name = self.name.as_deref();
        if name.is_some_and(|name| name.trim().is_empty()) {
            let text = "the name is empty; leave it out or say what the topic is called";
            add("name", text.to_owned());
        }
        let QueueSettings {
            capacity,
            max_samples_per_send: most,
        } = self.queue;
        if most == 0 {
            add("queue.max_samples_per_send", "must be 1 or more".to_owned());
        }
        if capacity < most {
            let text = format!(
                "{capacity} is less than max_samples_per_send ({most}); make room for one at least"
            );
            add("queue.capacity", text);
        }
        found
    }

    /// The files that are named, with the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        self.cluster().files()
    }

    /// Makes relative files relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        set_directory((&mut self.tls_config, &mut self.sasl), directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kafka::refusal;

    fn read(text: &str) -> Settings {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn a_topic_is_called_as_it_is_told() {
        let plain = read("{brokers: ['a:1'], topic: t}");
        assert_eq!(
            (plain.name().as_str(), plain.compression),
            ("t", Compression::Snappy)
        );
        assert_eq!(read("{brokers: ['a:1'], topic: t, name: n}").name(), "n");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        let wrong =
            "{brokers: [], topic: t, name: ' ', queue: {capacity: 1, max_samples_per_send: 2}}";
        for (text, expected) in [
            (wrong, ["brokers", "name", "queue.capacity"].as_slice()),
            (
                "{brokers: ['a:1'], topic: t, queue: {max_samples_per_send: 0}}",
                &["queue.max_samples_per_send"],
            ),
        ] {
            let mut found = read(text).validate();
            found.retain(|(_, text)| refusal(false) != Some(text.as_str()));
            let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(keys, expected);
        }
    }
}
