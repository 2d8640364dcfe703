//! The demo as a process: the synthetic Prometheus, and the real program beside it.

use super::{Workload, server};
use crate::{
    app::{App, AppError, AppOptions, ConfigSource, signals},
    config,
    engine::Clock,
    series::Millis,
};
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The configuration of the demo, as a file would have it.
const CONFIG: &str = include_str!("demo.yml");

/// The variable in it that stands for the address of the synthetic Prometheus.
const VARIABLE: &str = "DEMO_PROMETHEUS";

/// The clock runs at least and at most so many times as fast as the real one. Faster, a step of a minute
/// passes in less time than it takes to read and evaluate it.
pub const SPEEDS: [f64; 2] = [1.0, 600.0];

/// What a demo is made of.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// How many times as fast as the real one the demo's clock runs, see [`SPEEDS`].
    pub speed: f64,
    /// Another seed gives another workload.
    pub seed: u64,
    /// Addresses of the page and everything else; port 0 for any free one.
    pub listen: Vec<SocketAddr>,
    /// What the demo's clock shows at its start; the machine's time where left out.
    pub start: Option<Millis>,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            speed: 1.0,
            seed: 1,
            // Only this machine: a demo is nobody else's business.
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 10_057))],
            start: None,
        }
    }
}

/// Where a running demo is found; displayed as a line for each address.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// Where the program answers, with the real port.
    pub address: SocketAddr,
    /// Where the synthetic Prometheus answers.
    pub prometheus: SocketAddr,
    /// The speed of the clock.
    pub speed: f64,
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = format!("http://{}", reachable(self.address));
        writeln!(f, "page     {base}/")?;
        writeln!(f, "metrics  {base}/metrics")?;
        writeln!(f, "status   {base}/api/v1/status")?;
        writeln!(f, "health   {base}/-/healthy")?;
        writeln!(f, "scaling  forethought explain catalog --url={base}")?;
        writeln!(
            f,
            "behind it: a synthetic Prometheus at http://{}",
            self.prometheus
        )?;
        if self.speed > 1.0 {
            writeln!(f, "the clock runs {} times as fast as yours", self.speed)?;
        }
        f.write_str("Ctrl-C stops it")
    }
}

/// An address that a browser on this machine can open: nobody is found at `0.0.0.0`.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    }
    address
}

/// The configuration of the demo with the address of a Prometheus filled in, to print or to begin with.
pub fn config_text(prometheus: &str) -> String {
    CONFIG.replace(&format!("${{{VARIABLE}}}"), prometheus)
}

/// Runs a demo until `shutdown` is over; `announce` is told once where it is found.
///
/// # Errors
/// A speed that is not allowed, an address that is in use.
pub async fn run(
    options: DemoOptions,
    announce: impl FnOnce(&Announcement),
    shutdown: impl Future<Output = &'static str>,
) -> Result<(), AppError> {
    let [least, most] = SPEEDS;
    if !(least..=most).contains(&options.speed) {
        let speed = options.speed;
        return Err(AppError::Config(format!(
            "--speed: {speed} is not allowed; allowed: {least} to {most}"
        )));
    }
    let start = options.start.unwrap_or_else(|| Clock::System.now());
    let clock = Clock::scaled(start, options.speed);
    let (listener, prometheus) = listen().await?;
    let app = App::build(app_options(&options, clock.clone(), prometheus)?).await?;
    announce(&Announcement {
        address: app.addr(),
        prometheus,
        speed: options.speed,
    });

    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let workload = Arc::new(Workload::new(start, options.seed));
    drop(tracker.spawn(server::serve(listener, workload, clock, stop.clone())));
    app.run(shutdown).await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    Ok(())
}

/// Runs a demo on a runtime of its own until SIGTERM or Ctrl-C.
///
/// # Errors
/// As [`run`].
pub fn block_on(
    options: DemoOptions,
    announce: impl FnOnce(&Announcement),
) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| AppError::Start(format!("no runtime: {error}")))?;
    let result = runtime.block_on(run(options, announce, signals::terminated()));
    // A replay that is under way may take seconds, and nobody needs it any more.
    runtime.shutdown_background();
    result
}

async fn listen() -> Result<(TcpListener, SocketAddr), AppError> {
    let refused = |error| AppError::Start(format!("no port for the synthetic Prometheus: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

fn app_options(
    options: &DemoOptions,
    clock: Clock,
    prometheus: SocketAddr,
) -> Result<AppOptions, AppError> {
    let env = move |name: &str| (name == VARIABLE).then(|| format!("http://{prometheus}"));
    let config =
        config::parse(CONFIG, &env).map_err(|problems| AppError::Config(problems.to_string()))?;
    Ok(AppOptions {
        clock,
        listen: options.listen.clone(),
        ..AppOptions::new(ConfigSource::Literal(Box::new(config)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Dataset;
    use promql_parser::parser::{Expr, parse};

    #[test]
    fn every_query_of_the_configuration_finds_its_series() {
        let config = config::parse(&config_text("http://127.0.0.1:1"), &|_| None).unwrap();
        let workload = Workload::new(0, 1);
        let mut found = 0;
        for signal in &config.signals {
            let Expr::VectorSelector(selector) = parse(&signal.query).unwrap() else {
                panic!(
                    "{}: the synthetic Prometheus answers plain selectors only",
                    signal.name
                );
            };
            let named = |labels: &&crate::series::Labels| {
                labels.get("__name__") == selector.name.as_deref()
            };
            let series = workload.labels().iter().filter(named).count();
            assert!(series >= 4, "{}: {series} series", signal.name);
            found += series;
        }
        for own in &config.workloads {
            let Expr::VectorSelector(selector) =
                parse(&own.replicas.as_ref().unwrap().query).unwrap()
            else {
                panic!("{}: a plain selector", own.name);
            };
            let ready = workload.labels().iter().filter(|labels| {
                let mut matchers = selector.matchers.matchers.iter();
                labels.get("__name__") == selector.name.as_deref()
                    && matchers.all(|one| one.is_match(labels.get(&one.name).unwrap_or("")))
            });
            assert_eq!(ready.count(), 1, "{}", own.name);
            found += 1;
        }
        assert_eq!(found, workload.labels().len(), "every series is watched");
        assert_eq!(config.panels.len(), 1);
    }

    #[test]
    fn addresses_can_be_opened() {
        let announcement = Announcement {
            address: "0.0.0.0:10057".parse().unwrap(),
            prometheus: "127.0.0.1:4000".parse().unwrap(),
            speed: 60.0,
        };
        let text = announcement.to_string();
        assert!(
            text.starts_with("page     http://127.0.0.1:10057/\n"),
            "{text}"
        );
        assert!(text.contains("60 times as fast"), "{text}");
        let explain = "forethought explain catalog --url=http://127.0.0.1:10057\n";
        assert!(text.contains(explain), "{text}");
    }

    #[tokio::test]
    async fn a_speed_that_cannot_be_is_refused() {
        for speed in [0.0, -1.0, 0.5, 601.0, f64::NAN] {
            let options = DemoOptions {
                speed,
                ..DemoOptions::default()
            };
            let refused = run(options, |_| (), async { "never" }).await.unwrap_err();
            assert!(
                refused.to_string().contains("allowed: 1 to 600"),
                "{refused}"
            );
        }
    }
}
