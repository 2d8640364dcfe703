//! How soon the API answers while everything is evaluated, and while nothing is.
//!
//! The server is the real one on a runtime of its own, the source a synthetic Prometheus on another, and the readers come over
//! loopback sockets on a third, all in this process: they share the processors. What is measured is the time from
//! sending a request until the last byte of the answer, and from when it should have been sent where the answer before
//! came late.
//!
//! Autoscalers ask as they do in a cluster: KEDA's operator over gRPC, Kubernetes' API server over TLS with the certificate of
//! its front proxy, on behalf of a user whom another API server on a loopback socket lets read.

mod certificate;
mod cluster;
mod metrics;
mod paced;
mod readers;
mod scalers;
mod server;

pub use readers::Latency;

use super::shown::Shown;
use crate::{engine::Clock, series::Span};
use metrics::FrontProxy;
use readers::{Plan, Target};
use scalers::Operator;
use server::{Beside, Server};
use std::{fmt, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep},
};

/// So many times slower than the real one, the clock of a server that has nothing to do stands still.
const STILL: f64 = 1e-4;
/// Not every scrape is a read of a person: they come less often.
const SCRAPES_PER_SECOND: f64 = 1.0;
/// The first answers come from a server that has just started.
const WARM_UP: Duration = Duration::from_secs(5);
/// A server that is not ready after this will not be.
const READY_WITHIN: Duration = Duration::from_secs(1_800);

/// What to measure.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Series of the one signal.
    pub series: usize,
    /// Workloads, each of a series of its own; no more than series.
    pub workloads: usize,
    /// Grid step of the signal, and how often decisions are made.
    pub step: Span,
    /// History of the signal.
    pub history: Span,
    /// Reads a second of each path.
    pub rate: f64,
    /// Calls a second of KEDA's operator over gRPC, and as many reads of external metrics by Kubernetes' API server; none of
    /// either where 0.
    pub scaler_rate: f64,
    /// How long is read.
    pub lasts: Duration,
    /// Whether answers are to be deflated, as for a browser.
    pub gzip: bool,
}

/// What was measured.
#[derive(Debug)]
pub struct ApiReport {
    options: ApiOptions,
    /// While everything was evaluated, with what was done meanwhile.
    busy: (Vec<Latency>, Done),
    /// While nothing was.
    idle: Vec<Latency>,
}

/// What the server did while it was read.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    evaluations: f64,
    decisions: f64,
    /// Of the newest decision on all workloads.
    deciding_seconds: f64,
    /// How often Kubernetes' API server was asked whether a user may read.
    reviews: f64,
}

/// Measures; `progress` is told what is being done.
///
/// # Errors
/// A server that does not start or does not get ready, a path that is not answered with 200.
pub fn run(options: &ApiOptions, progress: &dyn Fn(&str)) -> Result<ApiReport, String> {
    if options.workloads > options.series {
        return Err("each workload needs a series of its own".to_owned());
    }
    let (idle, _) = measure(options, STILL, "idle", progress)?;
    let busy = measure(options, 1.0, "evaluating", progress)?;
    Ok(ApiReport {
        options: options.clone(),
        busy,
        idle,
    })
}

fn measure(
    options: &ApiOptions,
    speed: f64,
    name: &str,
    progress: &dyn Fn(&str),
) -> Result<(Vec<Latency>, Done), String> {
    let clock = Clock::scaled(Clock::System.now(), speed);
    let source = Beside::source(options.series, clock.clone())?;
    let server = Server::start(options, &source, clock)?;
    let runtime = current_thread()?;
    runtime.block_on(async {
        let target = Target::new(server.address, options.gzip);
        progress(&format!("{name}: getting ready"));
        ready(&target).await?;
        sleep(WARM_UP).await;
        progress(&format!("{name}: reading"));
        let before = done(&target).await?;
        let plans = plans(options);
        let paths = readers::read(&target, &plans, options.lasts);
        let (paths, calls) = tokio::join!(paths, calls(&server, options));
        let mut latencies = paths?;
        latencies.extend(calls?);
        let after = done(&target).await?;
        let done = Done {
            evaluations: after.evaluations - before.evaluations,
            decisions: after.decisions - before.decisions,
            deciding_seconds: after.deciding_seconds,
            reviews: after.reviews - before.reviews,
        };
        Ok((latencies, done))
    })
}

/// What autoscalers ask for, where they are to ask: by each protocol as often.
async fn calls(server: &Server, options: &ApiOptions) -> Result<Vec<Latency>, String> {
    if options.scaler_rate <= 0.0 {
        return Ok(Vec::new());
    }
    let workloads: Vec<String> = (0..options.workloads).map(workload).collect();
    let (rate, lasts) = (options.scaler_rate, options.lasts);
    let operator = Operator::new(server.scaler, &workloads);
    let proxy = FrontProxy::new(server.external, &server.identity, &workloads)?;
    let calls = paced::read(operator, rate, lasts);
    let (calls, reads) = tokio::join!(calls, paced::read(proxy, rate, lasts));
    Ok(vec![calls?, reads?])
}

/// Everything that can be read, as those who read it ask.
fn plans(options: &ApiOptions) -> Vec<Plan> {
    let one = workload(0);
    let paths = [
        "/api/v1/workloads".to_owned(),
        format!("/api/v1/workloads?name={one}"),
        "/api/v1/scaling/status".to_owned(),
        "/api/v1/scaling/decisions".to_owned(),
        format!("/api/v1/scaling/decisions?workload={one}"),
        format!("/api/v1/scaling/evaluate?workload={one}&demand=500"),
        "/api/v1/queues".to_owned(),
        "/api/v1/models/accuracy".to_owned(),
        "/api/v1/predictions/current".to_owned(),
        "/api/v1/health".to_owned(),
        "/api/v1/events".to_owned(),
        "/api/v1/overrides".to_owned(),
        "/api/v1/status".to_owned(),
        "/api/v1/signals".to_owned(),
        "/api/v1/series?signal=load".to_owned(),
    ];
    let period = Duration::from_secs_f64(1.0 / options.rate);
    let reads = paths.into_iter().map(|path| Plan { path, period });
    let scrapes = Plan {
        path: "/metrics".to_owned(),
        period: Duration::from_secs_f64(1.0 / SCRAPES_PER_SECOND),
    };
    reads.chain([scrapes]).collect()
}

fn workload(index: usize) -> String {
    format!("app-{index:06}")
}

async fn ready(target: &Target) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let answer = target.get("/-/ready").await;
        match answer {
            Ok((200, _)) => return Ok(()),
            _ if began.elapsed() < READY_WITHIN => sleep(Duration::from_millis(500)).await,
            Ok((_, body)) => return Err(format!("the server is not ready: {body}")),
            Err(error) => return Err(format!("the server does not answer: {error}")),
        }
    }
}

async fn done(target: &Target) -> Result<Done, String> {
    let (_, text) = target
        .get("/metrics")
        .await
        .map_err(|error| error.to_string())?;
    let shown = Shown::new(text);
    Ok(Done {
        evaluations: shown.sum("forethought_signal_evaluations_total"),
        decisions: shown.sum("forethought_scaling_evaluations_total"),
        deciding_seconds: shown.sum("forethought_scaling_last_evaluation_duration_seconds"),
        reviews: shown.sum("forethought_external_access_reviews_total"),
    })
}

fn current_thread() -> Result<Runtime, String> {
    let built = Builder::new_current_thread().enable_all().build();
    built.map_err(|error| format!("no runtime: {error}"))
}

impl fmt::Display for ApiReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (busy, done) = &self.busy;
        let ApiOptions {
            series,
            workloads,
            rate,
            scaler_rate,
            lasts,
            ..
        } = &self.options;
        writeln!(
            f,
            "{series} series, {workloads} workloads; {rate} reads a second of each path over {} s, {SCRAPES_PER_SECOND} of /metrics, \
             {scaler_rate} of autoscalers by each protocol",
            lasts.as_secs()
        )?;
        writeln!(
            f,
            "while evaluating: {} evaluations, {} decisions on all workloads ({:.1} ms the last), {} access reviews\n",
            done.evaluations,
            done.decisions,
            done.deciding_seconds * 1e3,
            done.reviews
        )?;
        let head =
            ["p50", "p95", "p99", "max", "p50", "p95", "max"].map(|head| format!("{head:>7}"));
        writeln!(f, "{:62}{:>8}  evaluating, ms{:>14}  idle, ms", "", "", "")?;
        writeln!(f, "{:62}{:>8}{}", "path", "bytes", head.concat())?;
        for (busy, idle) in busy.iter().zip(&self.idle) {
            let own = [0.5, 0.95, 0.99, 1.0].map(|share| busy.quantile(share));
            let own = own
                .into_iter()
                .chain([0.5, 0.95, 1.0].map(|share| idle.quantile(share)));
            let cells: String = own
                .map(|seconds| format!("{:>7.2}", seconds * 1e3))
                .collect();
            writeln!(f, "{:62}{:>8}{cells}", busy.path, busy.bytes)?;
        }
        Ok(())
    }
}

impl ApiReport {
    /// The longest of the 95th percentiles of the paths of the API while everything is evaluated, seconds.
    pub fn worst_p95(&self) -> f64 {
        let api = self
            .busy
            .0
            .iter()
            .filter(|one| one.path.starts_with("/api/"));
        api.map(|one| one.quantile(0.95)).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ApiOptions {
        ApiOptions {
            series: 3,
            workloads: 2,
            step: Span::seconds(1),
            history: Span::minutes(5),
            rate: 20.0,
            scaler_rate: 100.0,
            lasts: Duration::from_secs(3),
            gzip: false,
        }
    }

    #[test]
    fn every_path_is_read_while_something_is_done_and_while_nothing_is() {
        let report = run(&options(), &|_| ()).unwrap();
        let (busy, done) = &report.busy;
        assert!(done.evaluations >= 1.0 && done.decisions >= 1.0, "{done:?}");
        assert_eq!(done.reviews >= 1.0, cfg!(feature = "kube"), "{done:?}");
        assert_eq!(busy.len(), report.idle.len());
        for one in busy.iter().chain(&report.idle) {
            assert!(one.bytes > 10, "{one:?}");
            assert!(one.quantile(0.5) > 0.0 && one.quantile(0.5) <= one.quantile(1.0));
        }
        assert!(report.worst_p95() > 0.0);
        for path in [scalers::CALL, metrics::READ] {
            // Any that is not answered with one value is an error of the whole.
            for latencies in [busy, &report.idle] {
                let calls = latencies.iter().find(|one| one.path == path);
                assert!(calls.is_some_and(|calls| calls.count() > 250), "{calls:?}");
            }
        }
        let text = report.to_string();
        assert!(text.contains("/api/v1/scaling/status"), "{text}");
    }

    #[test]
    fn a_workload_needs_a_series() {
        let options = ApiOptions {
            workloads: 4,
            ..options()
        };
        assert!(run(&options, &|_| ()).unwrap_err().contains("series"));
    }
}
