//! Who writes the series into the database.

use super::population::Population;
use crate::{
    engine::Clock,
    expo::wire::{Packer, write::Version},
    series::Millis,
    source::prometheus::{Address, Delivered, Document, Poster, Settings},
};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::sleep;

const HEADERS: &[(&str, &str)] = &[
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", Version::V1.header()),
];

/// Writes a sample of each series at every multiple of the interval.
#[derive(Debug)]
pub(super) struct Sender {
    poster: Poster,
    interval: Millis,
    population: Population,
    packer: Packer,
    /// The newest time that was written.
    reached: Millis,
}

impl Sender {
    /// # Errors
    /// An address that is none.
    pub(super) fn new(
        url: &str,
        interval: Duration,
        population: Population,
    ) -> Result<Self, String> {
        let base =
            Address::from(url).without("/api/v1/write", "write it like http://localhost:8428");
        let base = base.map_err(|problem| format!("--url: {problem}"))?;
        Ok(Self {
            poster: Poster::build(&Settings::new(&format!("{base}/api/v1/write")))?,
            interval: interval.as_millis() as Millis,
            population,
            packer: Packer::new(),
            reached: Millis::MIN,
        })
    }

    /// Writes what there is at the newest multiple of the interval.
    ///
    /// # Errors
    /// The database does not take it.
    pub(super) async fn turn(&mut self) -> Result<(), String> {
        let now = Clock::System.now();
        let at = now - now % self.interval;
        for body in self.population.turn(at) {
            self.send(&body).await?;
        }
        self.reached = at;
        Ok(())
    }

    /// Goes on writing; why it had to stop.
    pub(super) async fn go_on(&mut self) -> String {
        loop {
            sleep(Clock::System.until(self.reached + self.interval)).await;
            if let Err(problem) = self.turn().await {
                return problem;
            }
        }
    }

    async fn send(&mut self, body: &[u8]) -> Result<(), String> {
        let packed = self.packer.pack(body).map_err(|error| error.to_string())?;
        let document = Document {
            body: Bytes::copy_from_slice(packed),
            content_type: Version::V1.content_type(),
            headers: HEADERS,
            answered_with: None,
        };
        match self.poster.deliver(document).await {
            Delivered::Taken => Ok(()),
            Delivered::Refused(error) | Delivered::Failed(error, _) => Err(error.to_string()),
        }
    }
}
