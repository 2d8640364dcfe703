//! Who writes the series into the database.

use super::population::Population;
use crate::{
    engine::Clock,
    expo::wire::{Packer, write::Version},
    series::{Millis, Span},
    source::prometheus::{Address, HttpClient, TlsSettings, plain_client},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const CONNECT: Span = Span::seconds(5);
const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_ANSWER: usize = 1 << 16;

/// Writes a sample of each series at every multiple of the interval.
#[derive(Debug)]
pub(super) struct Sender {
    url: String,
    interval: Millis,
    population: Population,
    http: HttpClient,
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
            url: format!("{base}/api/v1/write"),
            interval: interval.as_millis() as Millis,
            population,
            http: plain_client(&TlsSettings::default(), CONNECT)?,
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
            let due = self.reached + self.interval;
            let wait = due - Clock::System.now();
            sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
            if let Err(problem) = self.turn().await {
                return problem;
            }
        }
    }

    async fn send(&mut self, body: &[u8]) -> Result<(), String> {
        let failed = |text: &dyn std::fmt::Display| format!("POST {}: {text}", self.url);
        let packed = self.packer.pack(body).map_err(|error| failed(&error))?;
        let request = Request::post(&self.url)
            .header(CONTENT_ENCODING, "snappy")
            .header(CONTENT_TYPE, Version::V1.content_type())
            .header("X-Prometheus-Remote-Write-Version", "0.1.0")
            .body(Full::new(Bytes::copy_from_slice(packed)))
            .map_err(|error| failed(&error))?;
        let exchange = async {
            let answer = self.http.request(request).await;
            let answer = answer.map_err(|error| failed(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect();
            let body = body.await.map_err(|error| failed(&error))?;
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            match status.is_success() {
                true => Ok(()),
                false => Err(failed(&format!("{status}: {text}"))),
            }
        };
        let late = |_| failed(&format!("no answer within {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, exchange).await.map_err(late)?
    }
}
