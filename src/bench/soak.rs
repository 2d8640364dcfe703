//! Whether a process that asks a real time-series database holds out: how fresh what it shows is, how long its ticks take, and
//! what it occupies, over hours in which series come and go.
//!
//! A sender writes the series into the database by remote write, as agents do. The process under test is a child, so that its memory
//! and CPU are its own; it is asked for `/metrics` twice a second, as nobody would, to see when an evaluation is there.

mod child;
mod population;
mod report;
mod sender;
mod watch;

pub use report::{Minute, SoakReport};

use crate::series::Span;
use child::Child;
use population::Population;
use sender::Sender;
use std::time::Duration;
use tokio::{runtime::Builder, time::Instant};
use watch::Watch;

/// The one signal.
const SIGNAL: &str = "soak";
/// The one metric.
const METRIC: &str = "soak_load";
/// Churn is told as a share per this.
const CHURN_PER: Duration = Duration::from_secs(600);

/// What to do.
#[derive(Debug, Clone)]
pub struct SoakOptions {
    /// Where the database is: it takes remote write at `/api/v1/write` and answers `/api/v1/query_range`.
    pub url: String,
    /// Series that there are at any time.
    pub series: usize,
    /// From one sample of a series to the next, and the step of the signal.
    pub interval: Span,
    /// How long after a grid time it is asked for.
    pub offset: Span,
    /// Share of the series that others take the place of within ten minutes.
    pub churn: f64,
    /// How long it lasts, from the first evaluation on.
    pub lasts: Duration,
}

/// Runs the soak; `progress` is told once a minute how it goes.
///
/// # Errors
/// A database that does not take what is written or does not answer; a child that does not start, or ends.
pub fn run(options: &SoakOptions, progress: &dyn Fn(&str)) -> Result<SoakReport, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(soak(options, progress))
}

async fn soak(options: &SoakOptions, progress: &dyn Fn(&str)) -> Result<SoakReport, String> {
    let interval = options.interval.to_std();
    let share = options.churn * interval.as_secs_f64() / CHURN_PER.as_secs_f64();
    let population = Population::new(options.series, share);
    let mut sender = Sender::new(&options.url, interval, population)?;
    progress("writing the first samples");
    sender.turn().await?;
    let child = Child::start(options)?;
    let mut watch = Watch::new(child, options)?;
    // Whichever ends first ends it all: the sender only by failing.
    tokio::select! {
        failed = sender.go_on() => Err(failed),
        watched = watch.follow(Instant::now(), progress) => watched,
    }
}
