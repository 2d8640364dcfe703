//! The task that writes what waits.

use super::{queue::Queue, settings::Settings};
use crate::{
    engine::Clock,
    expo::messages,
    series::Millis,
    sink::remote_write::Sample,
    source::{
        Cause, SourceError,
        kafka::{Client, Pair, Partition},
    },
    telemetry::KafkaEvents,
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;

/// The first pause after a failure; it doubles from one to the next.
const LEAST_PAUSE: Duration = Duration::from_millis(200);
/// The longest of them.
const MOST_PAUSE: Duration = Duration::from_secs(10);
/// Messages that are written at once have so many bytes, unpacked: a broker takes a megabyte unless it is told otherwise.
const MOST_BYTES: usize = 512 << 10;

/// Writes what waits in a queue to a topic.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) queue: Arc<Queue>,
    pub(super) events: Arc<KafkaEvents>,
    pub(super) clock: Clock,
}

/// A connection, and the partitions by it.
struct Session {
    client: Client,
    numbers: Vec<i32>,
    partitions: BTreeMap<i32, Partition>,
}

impl Sender {
    /// Writes until the queue is closed and empty.
    pub(super) async fn run(self) {
        let (mut pause, mut batch) = (LEAST_PAUSE, Vec::new());
        while let Err(error) = self.write(&mut batch, &mut pause).await {
            // Half of it by chance, so that replicas do not come back together.
            let own = pause.mul_f64(0.5 + 0.5 * fastrand::f64());
            self.events.retried(&self.name, batch.len(), &error, own);
            sleep(own).await;
            pause = (2 * pause).min(MOST_PAUSE);
        }
    }

    /// Connects and writes until something fails; `batch` is then what is to be written first.
    async fn write(
        &self,
        batch: &mut Vec<Sample>,
        pause: &mut Duration,
    ) -> Result<(), SourceError> {
        let mut session = self.connect().await?;
        loop {
            if batch.is_empty() {
                match self
                    .queue
                    .take(self.settings.queue.max_samples_per_send)
                    .await
                {
                    Some(samples) => *batch = samples,
                    None => return Ok(()),
                }
            }
            self.send(&mut session, batch).await?;
            *pause = LEAST_PAUSE;
        }
    }

    async fn connect(&self) -> Result<Session, SourceError> {
        let client = Client::connect(&self.settings.cluster()).await?;
        let topic = &self.settings.topic;
        let numbers = client.partitions(topic).await?;
        if numbers.is_empty() {
            let message = format!(
                "there is no topic {topic:?} at these brokers, or we may not see it: create it, or allow us to describe and write it"
            );
            let cause = Cause::Query;
            return Err(SourceError { cause, message });
        }
        Ok(Session {
            client,
            numbers,
            partitions: BTreeMap::new(),
        })
    }

    /// Writes a batch, each series to its partition. What was not written stays in it, in order.
    async fn send(
        &self,
        session: &mut Session,
        batch: &mut Vec<Sample>,
    ) -> Result<(), SourceError> {
        let mut left: BTreeMap<i32, Vec<Sample>> = BTreeMap::new();
        for sample in batch.drain(..) {
            let place = sample.key % session.numbers.len().max(1) as u128;
            let number = session.numbers.get(place as usize).copied();
            left.entry(number.unwrap_or_default())
                .or_default()
                .push(sample);
        }
        while let Some((number, samples)) = left.pop_first() {
            let (messages, rest) = Self::messages(&samples);
            let (head, rest) = samples.split_at(samples.len() - rest);
            if let Err(error) = self.produce(session, number, messages, head).await {
                batch.extend_from_slice(head);
                batch.extend_from_slice(rest);
                batch.extend(left.into_values().flatten());
                return Err(error);
            }
            self.queue.done(head.len());
            self.events.pending(&self.name, -(head.len() as i64));
            if !rest.is_empty() {
                left.insert(number, rest.to_vec());
            }
        }
        Ok(())
    }

    /// Writes messages, which are these samples, to a partition. What the broker refuses for good is done with too.
    async fn produce(
        &self,
        session: &mut Session,
        number: i32,
        messages: Vec<Pair>,
        samples: &[Sample],
    ) -> Result<(), SourceError> {
        let partition = match session.partitions.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let topic = &self.settings.topic;
                new.insert(session.client.partition(topic, number).await?)
            }
        };
        let how = (self.clock.now(), self.settings.compression);
        match partition.produce(messages, how).await {
            Ok(()) => {
                let newest = samples.iter().map(|sample| sample.point.at).max();
                let newest = newest.unwrap_or(Millis::MIN);
                self.events.sent(&self.name, samples.len(), newest);
                Ok(())
            }
            Err(error) if error.cause == Cause::Limit => {
                self.events.refused(&self.name, samples.len(), &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Key and value of as many samples as may be written at once, and how many are left.
    fn messages(samples: &[Sample]) -> (Vec<Pair>, usize) {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        for sample in samples {
            let message = message(sample);
            bytes += message.0.len() + message.1.len();
            if bytes > MOST_BYTES && !messages.is_empty() {
                break;
            }
            messages.push(message);
        }
        let left = samples.len() - messages.len();
        (messages, left)
    }
}

/// Key and value of the message that is a sample. A label of the series goes before an external one of that name.
fn message(sample: &Sample) -> Pair {
    let own = sample.labels.pairs();
    let has = |name: &str| own.iter().any(|(own, _)| own == name);
    let further = sample.external.iter().filter(|(name, _)| !has(name));
    let further = further.map(|(name, value)| (name.as_str(), value.as_str()));
    let all = own.iter().map(|(name, value)| (&**name, &**value));
    let value = messages::write(&sample.name, all.chain(further), sample.point);
    let key = format!("{}{{{}}}", sample.name, sample.labels.as_str());
    (key.into_bytes(), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expo::{RenderedLabels, wire::write::Point};
    use serde_json::{Value, json};

    #[test]
    fn a_message_has_the_external_labels_of_its_sample_and_a_key_without_them() {
        let external = [("cluster", "eu"), ("pod", "never")];
        let external = external.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let sample = Sample {
            key: 0,
            name: "load".into(),
            labels: Arc::new(RenderedLabels::new([("pod", "a")])),
            external: Arc::new(external.to_vec()),
            point: Point::stale(7),
        };
        let (key, value) = message(&sample);
        assert_eq!(key, b"load{pod=\"a\"}");
        let value: Value = serde_json::from_slice(&value).unwrap();
        let labels = json!({"cluster": "eu", "pod": "a"});
        let wanted = json!({"name": "load", "labels": labels, "timestamp": 7, "value": null});
        assert_eq!(value, wanted);
    }
}
