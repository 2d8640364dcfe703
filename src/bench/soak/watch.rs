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
    source::prometheus::{Getter, Settings, Wanted},
};
use hyper::HeaderMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it is looked at: what is measured is right to this.
const LOOK: Duration = Duration::from_millis(500);
const MINUTE: Duration = Duration::from_secs(60);
/// The first evaluation has to read some history; it has this long.
const READY_WITHIN: Duration = Duration::from_secs(600);
const PATIENCE: Span = Span::seconds(30);
const LONGEST_ANSWER: usize = 256 << 20;

/// Looks at one process.
pub(super) struct Watch {
    child: Child,
    options: SoakOptions,
    getter: Getter,
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
        let url = format!("http://{}/metrics", child.address);
        Ok(Self {
            getter: Getter::build(&Settings::new(&url))?,
            url,
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
        let mut used = (Instant::now(), Usage::of(self.child.id()));
        progress(Minute::HEAD);
        while began.elapsed() < self.options.lasts {
            sleep(LOOK).await;
            let shown = self.shown().await?;
            self.look(&shown, &mut seen, &mut minute);
            let over = MINUTE * (report.minutes.len() as u32 + 1);
            if began.elapsed() >= over || began.elapsed() >= self.options.lasts {
                let now = Usage::of(self.child.id());
                let seconds = used.0.elapsed().as_secs_f64();
                minute.cpu_ratio = (now.cpu_seconds - used.1.cpu_seconds) / seconds;
                minute.resident_bytes = now.resident_bytes;
                used = (Instant::now(), now);
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
        let got = self.getter.get(Wanted {
            url: &self.url,
            headers: HeaderMap::new(),
            timeout: PATIENCE,
            limit: LONGEST_ANSWER,
            redirects: false,
            keys: ("", ""),
        });
        let body = got.await.map_err(|error| error.to_string())?.body;
        Ok(Shown::new(String::from_utf8_lossy(&body).into_owned()))
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
