//! How brokers are reached: what a source and a sink have in common.

use crate::source::{
    Secret,
    prometheus::{self, TlsSettings},
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The longest name that Kafka allows a topic.
const LONGEST_TOPIC: usize = 249;

/// Brokers, and a topic of theirs.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// `host:port` each. One is enough to find the others.
    pub brokers: Vec<String>,
    /// The name of the topic.
    pub topic: String,
    /// TLS; none where left out.
    pub tls_config: Option<TlsSettings>,
    /// Who we are; nobody asks where left out.
    pub sasl: Option<SaslSettings>,
}

/// Who we are, by SASL.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaslSettings {
    /// How it is shown.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// The user.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file with the password, read anew for each connection.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// How a password is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Mechanism {
    /// As it is.
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    /// As a proof, with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// As a proof, with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// Why a configuration that names Kafka is refused by a program that was `built` without it.
pub fn refusal(built: bool) -> Option<&'static str> {
    const TEXT: &str = "this forethought was built without Kafka; build it with: cargo build --release --features kafka";
    (!built).then_some(TEXT)
}

impl Cluster {
    /// All problems, each with the path of the key and what to change. No IO.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |path: &str, text: String| found.push((path.to_owned(), text));
        if let Some(text) = refusal(super::BUILT) {
            add("brokers", text.to_owned());
        }
        if self.brokers.is_empty() {
            add(
                "brokers",
                "name one at least, as in [kafka-0:9092]".to_owned(),
            );
        }
        for (index, broker) in self.brokers.iter().enumerate() {
            let port = broker.rsplit_once(':');
            let sound = port.is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
            });
            if !sound {
                let text = format!("{broker:?} is no broker; write host:port, as in kafka-0:9092");
                add(&format!("brokers[{index}]"), text);
            }
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=LONGEST_TOPIC).contains(&self.topic.len()) || !self.topic.bytes().all(allowed) {
            let text = format!(
                "{:?} is no topic: 1 to {LONGEST_TOPIC} letters, digits, dots, underscores and hyphens",
                self.topic
            );
            add("topic", text);
        }
        if let Some(tls) = &self.tls_config {
            if tls.server_name.is_some() {
                let text =
                    "is not there for Kafka: each broker is known by the host that it announces";
                add("tls_config.server_name", text.to_owned());
            }
            let client = client(tls).validate();
            found.extend(
                client
                    .into_iter()
                    .filter(|(path, _)| path.starts_with("tls_config")),
            );
        }
        found.extend(self.sasl.iter().flat_map(SaslSettings::validate));
        found
    }

    /// The files that are named, with the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let client = self.tls_config.as_ref().map(client);
        let named = client.iter().flat_map(prometheus::Settings::files);
        let named = named.map(|(key, file)| (key, file.to_owned()));
        let password = self
            .sasl
            .iter()
            .filter_map(|sasl| sasl.password_file.clone());
        named
            .chain(password.map(|file| ("sasl.password_file", file)))
            .collect()
    }
}

/// Makes relative files relative to `directory`.
pub(crate) fn set_directory(
    (tls, sasl): (&mut Option<TlsSettings>, &mut Option<SaslSettings>),
    directory: &Path,
) {
    if let Some(tls) = tls {
        let mut client = client(tls);
        client.set_directory(directory);
        *tls = client.tls_config;
    }
    if let Some(file) = sasl.as_mut().and_then(|sasl| sasl.password_file.as_mut()) {
        *file = directory.join(&*file);
    }
}

/// In the shape of what is said of HTTP: the rules are the same.
fn client(tls: &TlsSettings) -> prometheus::Settings {
    prometheus::Settings {
        tls_config: tls.clone(),
        ..prometheus::Settings::new("https://broker")
    }
}

impl SaslSettings {
    fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if self.username.is_empty() {
            found.push(("sasl.username".to_owned(), "the name is empty".to_owned()));
        }
        if self.password.is_some() == self.password_file.is_some() {
            let text = "give one of password and password_file".to_owned();
            found.push(("sasl.password".to_owned(), text));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(brokers: &[&str], topic: &str) -> Cluster {
        Cluster {
            brokers: brokers.iter().map(|&broker| broker.to_owned()).collect(),
            topic: topic.to_owned(),
            tls_config: None,
            sasl: None,
        }
    }

    /// But for what a program without Kafka says of each.
    fn keys(cluster: &Cluster) -> Vec<String> {
        let mut found = cluster.validate();
        found.retain(|(_, text)| refusal(false) != Some(text.as_str()));
        found.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_program_that_was_built_without_says_how_to_build() {
        assert_eq!(refusal(true), None);
        let text = refusal(false).unwrap();
        assert!(
            text.contains("cargo build --release --features kafka"),
            "{text}"
        );
        let said = cluster(&["a:9092"], "t").validate();
        let expected =
            refusal(cfg!(feature = "kafka")).map(|text| ("brokers".to_owned(), text.to_owned()));
        assert_eq!(said, Vec::from_iter(expected));
    }

    #[test]
    fn every_problem_has_its_key() {
        assert_eq!(
            keys(&cluster(&["kafka-0.kafka:9092", "[::1]:9092"], "a.b-c_D9")),
            [""; 0]
        );
        let none = cluster(&[], "");
        assert_eq!(keys(&none), ["brokers", "topic"]);
        let wrong = cluster(
            &["kafka", "http://kafka:9092", ":9092", "a:port", "a:9092"],
            "a b",
        );
        let found = [
            "brokers[0]",
            "brokers[1]",
            "brokers[2]",
            "brokers[3]",
            "topic",
        ];
        assert_eq!(keys(&wrong), found);
        let tls: TlsSettings = serde_yaml::from_str("{server_name: x, cert_file: a}").unwrap();
        let sasl: SaslSettings =
            serde_yaml::from_str("{username: '', mechanism: SCRAM-SHA-512}").unwrap();
        let closed = Cluster {
            tls_config: Some(tls),
            sasl: Some(sasl),
            ..cluster(&["a:9092"], "t")
        };
        let found = keys(&closed);
        let expected = [
            "tls_config.server_name",
            "tls_config.key_file",
            "sasl.username",
            "sasl.password",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn files_are_named_and_placed() {
        let mut tls = Some(serde_yaml::from_str("{ca_file: ca.pem}").unwrap());
        let mut sasl = Some(serde_yaml::from_str("{username: a, password_file: word}").unwrap());
        set_directory((&mut tls, &mut sasl), Path::new("/etc/x"));
        let cluster = Cluster {
            tls_config: tls,
            sasl,
            ..cluster(&["a:9092"], "t")
        };
        let expected = [
            ("tls_config.ca_file", PathBuf::from("/etc/x/ca.pem")),
            ("sasl.password_file", PathBuf::from("/etc/x/word")),
        ];
        assert_eq!(cluster.files(), expected);
    }
}
