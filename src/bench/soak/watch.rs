//! Looks at the process under test: what it shows, and what it occupies.

use super::{
    SoakOptions,
    child::Child,
    report::{Minute, SoakReport},
};
use crate::{
    bench::{cpu::Usage, shown::Shown},
    engine::Clock,
    series::{Millis, Span},
    source::prometheus::{HttpClient, TlsSettings, plain_client},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often it is looked at: what is measured is right to this.
const LOOK: Duration = Duration::from_millis(500);
const MINUTE: Duration = Duration::from_secs(60);
/// The first evaluation has to read some history; it has this long.
const READY_WITHIN: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(30);
const LONGEST_ANSWER: usize = 256 << 20;
const CONNECT: Span = Span::seconds(5);

/// Looks at one process.
pub(super) struct Watch {
    child: Child,
    options: SoakOptions,
    http: HttpClient,
    url: String,
}

/// What is remembered from look to look.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// The newest grid time shown.
    at: Millis,
    /// Seconds for which the database was asked, of all requests.
    asking: f64,
}

impl Watch {
    /// # Errors
    /// No client could be made.
    pub(super) fn new(child: Child, options: &SoakOptions) -> Result<Self, String> {
        Ok(Self {
            http: plain_client(&TlsSettings::default(), CONNECT)?,
            url: format!("http://{}/metrics", child.address),
            child,
            options: options.clone(),
        })
    }

    /// Looks until it has lasted long enough; `progress` is told each minute.
    ///
    /// # Errors
    /// The process ends, or shows nothing.
    pub(super) async fn follow(
        &mut self,
        began: Instant,
        progress: &dyn Fn(&str),
    ) -> Result<SoakReport, String> {
        let mut seen = self.first(began).await?;
        let began = Instant::now();
        let mut report = SoakReport::new(&self.options);
        let mut minute = Minute::default();
        let mut used = Usage::of(self.child.id());
        while began.elapsed() < self.options.lasts {
            sleep(LOOK).await;
            let shown = self.shown().await?;
            self.look(&shown, &mut seen, &mut minute);
            let over = MINUTE * (report.minutes.len() as u32 + 1);
            if began.elapsed() >= over || began.elapsed() >= self.options.lasts {
                let now = Usage::of(self.child.id());
                minute.cpu_seconds = now.cpu_seconds - used.cpu_seconds;
                minute.resident_bytes = now.resident_bytes;
                used = now;
                minute.note(&shown);
                progress(&minute.to_string());
                report.minutes.push(std::mem::take(&mut minute));
            }
        }
        Ok(report)
    }

    /// Waits for the first evaluation.
    async fn first(&mut self, began: Instant) -> Result<Seen, String> {
        loop {
            sleep(LOOK).await;
            let shown = self.shown().await.unwrap_or_default();
            let at = shown.evaluated();
            if at > 0 {
                return Ok(Seen {
                    at,
                    asking: shown.asking(),
                });
            }
            if let Some(said) = self.child.ended() {
                return Err(said);
            }
            if began.elapsed() > READY_WITHIN {
                return Err("no evaluation within ten minutes".to_owned());
            }
        }
    }

    fn look(&self, shown: &Shown, seen: &mut Seen, minute: &mut Minute) {
        let age = (Clock::System.now() - seen.at) as f64 / 1_000.0;
        minute.freshness_seconds = minute.freshness_seconds.max(age);
        let at = shown.evaluated();
        if at > seen.at {
            let asking = shown.asking();
            let tick = asking - seen.asking + shown.sum("forethought_signal_last_duration_seconds");
            minute.tick_seconds = minute.tick_seconds.max(tick);
            minute.evaluations += 1;
            *seen = Seen { at, asking };
        }
    }

    async fn shown(&mut self) -> Result<Shown, String> {
        if let Some(said) = self.child.ended() {
            return Err(said);
        }
        let request = Request::get(&self.url).body(Full::new(Bytes::new()));
        let request = request.map_err(|error| error.to_string())?;
        let failed = |text: &dyn std::fmt::Display| format!("GET {}: {text}", self.url);
        let exchange = async {
            let answer = self.http.request(request).await;
            let answer = answer.map_err(|error| failed(&error))?;
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect();
            let body = body.await.map_err(|error| failed(&error))?;
            Ok(Shown::new(
                String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            ))
        };
        let late = |_| failed(&format!("no answer within {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, exchange).await.map_err(late)?
    }
}

impl Shown {
    fn evaluated(&self) -> Millis {
        (self.sum("forethought_signal_last_evaluation_timestamp_seconds") * 1_000.0) as Millis
    }

    fn asking(&self) -> f64 {
        self.sum("forethought_source_request_duration_seconds_sum")
    }
}

impl Minute {
    fn note(&mut self, shown: &Shown) {
        self.series = shown.sum("forethought_signal_series") as usize;
        self.failures = shown.sum("forethought_signal_failures_total") as usize;
        self.missed = shown.sum("forethought_signal_iterations_missed_total") as usize;
        self.refused = shown.sum("forethought_signal_series_refused") as usize;
    }
}
