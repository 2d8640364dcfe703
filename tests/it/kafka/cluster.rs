//! librdkafka's mock cluster, in a process of its own: `tests/fixtures/kafka/broker.py`.

use crate::support::{eventually, guard::Guarded, http, servers::python};
use base64::{Engine, engine::general_purpose::STANDARD};
use regex::Regex;
use serde_json::{Value, json};

/// A message: its partition, when it was written, and what it says.
pub(super) type Message<'a> = (usize, i64, Option<&'a [u8]>);

/// A cluster of one broker.
pub(super) struct Cluster {
    /// Where it is reached: `host:port`.
    pub(super) brokers: String,
    control: String,
    _process: Guarded,
}

impl Cluster {
    pub(super) fn start() -> Self {
        let script = "tests/fixtures/kafka/broker.py".to_owned();
        let process = Guarded::start(&python("python"), |_| vec![script]);
        let said = Regex::new(r"brokers=(\S+) control=(\S+)").unwrap();
        let (brokers, control) = eventually("there is a broker", 30, || {
            let log = process.log();
            let found = said.captures(&log);
            let found = found.map(|found| (found[1].to_owned(), found[2].to_owned()));
            found.ok_or(log)
        });
        Self {
            brokers,
            control,
            _process: process,
        }
    }

    /// Makes a topic.
    pub(super) fn topic(&self, name: &str, partitions: usize) {
        let made = self.ask("/topic", &json!({"topic": name, "partitions": partitions}));
        assert_eq!(made, 0);
    }

    /// Writes messages with librdkafka, packed like this.
    pub(super) fn produce(&self, topic: &str, packed: &str, messages: &[Message<'_>]) {
        let messages: Vec<Value> = messages
            .iter()
            .map(|(partition, at, value)| {
                let value = value.map(|value| STANDARD.encode(value));
                json!({"partition": partition, "timestamp": at, "base64": value})
            })
            .collect();
        let asked = json!({"topic": topic, "compression": packed, "messages": messages});
        self.ask("/produce", &asked);
    }

    /// Everything of a topic, read with librdkafka: `partition`, `key` and `value` of each message.
    pub(super) fn consume(&self, topic: &str) -> Vec<Value> {
        let found = self.ask("/consume", &json!({"topic": topic, "seconds": 2}));
        found.as_array().unwrap().clone()
    }

    /// A partition has a leader, or has none.
    pub(super) fn lead(&self, topic: &str, partition: usize, is_led: bool) {
        let broker = if is_led { 1 } else { -1 };
        let asked = json!({"topic": topic, "partition": partition, "broker": broker});
        assert_eq!(self.ask("/lead", &asked), 0);
    }

    /// The broker goes away.
    pub(super) fn down(&self) {
        assert_eq!(self.ask("/down", &json!({})), 0);
    }

    /// It comes back, with all that was written.
    pub(super) fn up(&self) {
        assert_eq!(self.ask("/up", &json!({})), 0);
    }

    fn ask(&self, path: &str, asked: &Value) -> Value {
        let body = asked.to_string();
        let headers = [("Content-Type", "application/json")];
        let reply = http::request("POST", &self.control, path, &headers, body.as_bytes());
        let reply = reply.unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        serde_json::from_str(&reply.text()).unwrap()
    }
}
