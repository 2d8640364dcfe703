//! The task that sends what is in one queue, one request after another.

use super::{
    queue::{Queue, Terms},
    record::{Record, request},
    settings::Protocol,
};
use crate::{
    expo::wire::write::{SAMPLES_WRITTEN, Version},
    source::prometheus::{Delivered, Document, Poster},
    telemetry::RemoteWriteEvents,
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// A receiver that asks for a longer pause gets this one.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// Both need it; the names of headers are in lower case.
const HEADERS: [&[(&str, &str)]; 2] = [
    &[
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", Version::V1.header()),
    ],
    &[
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", Version::V2.header()),
    ],
];

/// What sends the records of one queue.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) name: String,
    pub(super) queue: Arc<Queue>,
    pub(super) poster: Arc<Poster>,
    pub(super) protocol: Protocol,
    pub(super) terms: Terms,
    /// The least and the longest pause.
    pub(super) backoff: (Duration, Duration),
    pub(super) events: Arc<RemoteWriteEvents>,
}

impl Shard {
    /// Sends until the queue is closed and empty.
    pub(super) async fn run(self) {
        while let Some(batch) = self.queue.take(self.terms).await {
            if batch.lost > 0 {
                self.events.dropped(&self.name, batch.lost);
                self.events.pending(&self.name, -(batch.lost as i64));
            }
            let records = batch.records;
            let samples = records.iter().map(|record| record.samples).sum();
            match request(&records, self.protocol) {
                Some(body) => {
                    let document = document(body, self.protocol);
                    self.send(&document, &records, samples).await;
                }
                None if samples > 0 => self.events.dropped(&self.name, samples),
                None => {}
            }
            let done = self.queue.done().await;
            self.events.pending(&self.name, -(done as i64));
        }
    }

    /// Sends a request until it is taken or refused.
    async fn send(&self, document: &Document, batch: &[Record], samples: usize) {
        let (events, name) = (&self.events, &self.name);
        let newest = batch.iter().map(|record| record.newest).max();
        let (mut bound, most) = self.backoff;
        loop {
            match self.poster.deliver(document.clone()).await {
                Delivered::Taken => {
                    return events.taken(name, samples, newest.unwrap_or_default());
                }
                Delivered::Refused(error) => return events.refused(name, samples, &error),
                Delivered::Failed(error, asked) => {
                    // Half of it by chance, so that shards and replicas that failed together do not come back together.
                    let own = bound.mul_f64(0.5 + 0.5 * fastrand::f64());
                    let pause = asked.map_or(own, |asked| asked.clamp(own, LONGEST_ASKED));
                    bound = (2 * bound).min(most);
                    events.retried(name, samples, &error, pause);
                    sleep(pause).await;
                }
            }
        }
    }
}

fn document(body: bytes::Bytes, protocol: Protocol) -> Document {
    let headers = match protocol {
        Protocol::V1 => HEADERS[0],
        Protocol::V2 => HEADERS[1],
    };
    Document {
        body,
        content_type: protocol.version().content_type(),
        headers,
        // Who knows only 1.0 reads a request of 2.0 as an empty one.
        answered_with: (protocol == Protocol::V2).then_some(SAMPLES_WRITTEN),
    }
}
