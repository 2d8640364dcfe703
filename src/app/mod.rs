//! The process as a value: build, address, run, stop.
//!
//! [`App::build`] reads files, binds listeners and builds every source and unit, but starts nothing;
//! [`App::run`] starts everything and returns when it has stopped. There are no globals: tests run
//! several of them in one process.
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | what a process is made of |
//! | `load.rs` | the configuration and the model files, read whole |
//! | `models.rs` | trained models: which version is in force |
//! | `follow.rs` | the store whose pin is followed |
//! | `calendars.rs` | the calendars, and the iCal files among those |
//! | `wiring.rs` | from a configuration to sources and units |
//! | `records.rs` | the store of events, overrides and decisions in force |
//! | `performance.rs` | how good forecasts were, day by day |
//! | `pushers.rs` | the Alertmanagers in force |
//! | `writers.rs` | the receivers of remote write in force |
//! | `hubs.rs` | where samples that come by themselves meet the signals that select them, and their files |
//! | `receivers.rs` | the sources in force that are pushed to |
//! | `scrapers.rs` | the sources in force that scrape |
//! | `topics.rs` | the topics in force that are read |
//! | `topic_writers.rs` | the topics in force that are written to |
//! | `tasks.rs` | tasks by name that outlast a reload, or take the place of one another: those of writers and topics |
//! | `deployment.rs` | the configuration in force, and how another takes its place |
//! | `training` | trained models: from the past of a signal to a version in the registry |
//! | `retrain.rs` | trained models kept up to date |
//! | `scaling.rs`, `ledger.rs` | the workloads that are decided on, and what is kept of that |
//! | `scaler_service.rs` | what answers KEDA's operator |
//! | `external_service.rs` | what answers Kubernetes' API server |
//! | `signals.rs` | SIGTERM, Ctrl-C, SIGHUP |

mod calendars;
mod deployment;
mod external_service;
mod follow;
mod hubs;
mod ledger;
mod load;
mod models;
mod options;
mod performance;
mod pushers;
mod receivers;
mod records;
mod retrain;
mod scaler_service;
mod scaling;
mod scrapers;
pub mod signals;
mod tasks;
#[cfg(test)]
mod tests;
mod topic_writers;
mod topics;
pub(crate) mod training;
mod wiring;
mod writers;

pub(crate) use load::{Loaded, load};
pub(crate) use models::{fits, latency, leave_out_hanging, too_slow};
pub use options::{AppError, AppOptions, ConfigSource, Environment};
pub use retrain::TrainingRole;

use crate::{
    engine::{
        Catalogue, Pool, Served,
        run::{Fleet, FleetParts},
    },
    telemetry::Telemetry,
    web::{self, Lifecycle},
};
use deployment::{Built, Deployment, Parts};
use external_service::ExternalService;
use follow::Follower;
use hubs::Hubs;
use ledger::StoreLedger;
use pushers::Pushers;
use records::Records;
use retrain::Retrainer;
use scaler_service::ScalerService;
use scaling::Scaler;
use scrapers::Scrapers;
use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use topic_writers::TopicWriters;
use topics::Topics;
use writers::Writers;

/// The process is ready after this long even where a unit has no outcome yet: one dead source must
/// not keep all other series from being scraped for good. Shorter than the 10 minutes after which
/// Kubernetes gives up on a rollout, long enough for a broken configuration to hold one up.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// Requests of people waiting to be carried out.
const LIFECYCLE: usize = 8;

/// A process that was built and does not run yet.
#[derive(Debug)]
pub struct App {
    options: AppOptions,
    telemetry: Telemetry,
    deployment: Deployment,
    first: Built,
    listeners: Vec<TcpListener>,
    scaler: ScalerService,
    external: Option<ExternalService>,
    addresses: Vec<SocketAddr>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

// === impl App ===

impl App {
    /// Checks the options, reads the configuration, binds the addresses, and builds every source and
    /// unit. Starts nothing.
    ///
    /// # Errors
    /// What a person can change: everything that is wrong with the configuration, an address that is
    /// in use, a model file that cannot be read, too little memory allowed.
    pub async fn build(options: AppOptions) -> Result<Self, AppError> {
        options.validate()?;
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let telemetry = Telemetry::default();
        if let Some(shard) = options.shard {
            telemetry.app.sharded(shard);
        }
        let parts = FleetParts {
            catalogue: Arc::new(Catalogue::default()),
            pool: Pool::new(options.threads).map_err(AppError::Start)?,
            clock: options.clock.clone(),
            events: Arc::clone(&telemetry.engine),
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        let pushers = Pushers::new(tracker.clone(), stop.clone());
        let writers = Writers::new(tracker.clone(), stop.clone());
        let hubs = Hubs::new(tracker.clone(), stop.clone());
        let scrapers = Scrapers::new(tracker.clone(), stop.clone());
        let topics = Topics::new(tracker.clone(), stop.clone());
        let topic_writers = TopicWriters::new(tracker.clone(), stop.clone());
        let retrainer = Retrainer::new(tracker.clone(), stop.clone());
        let records = Records::new(tracker.clone(), stop.clone());
        let scaler = Scaler::new(
            tracker.clone(),
            stop.clone(),
            // Not the pool of the signals: a replay takes a thread of that for minutes, and what is asked for now cannot wait.
            Pool::new(Some(NonZeroUsize::MIN)).map_err(AppError::Start)?,
            options.clock.clone(),
            Arc::new(StoreLedger(records.slot())),
        );
        let parts = Parts {
            fleet: Fleet::new(parts),
            scaler,
            pushers,
            writers,
            hubs,
            scrapers,
            topics,
            topic_writers,
            retrainer,
            follower: Follower::new(tracker.clone(), stop.clone()),
            records,
        };
        let (deployment, first) = Deployment::build(&options, parts, telemetry.clone()).await?;
        let listeners = bind(&options.listen, "web.listen-address").await?;
        let scaler = ScalerService::build(&options).await?;
        let external = ExternalService::build(&options).await?;
        let addresses = listeners.iter().map(TcpListener::local_addr);
        Ok(Self {
            addresses: addresses
                .collect::<Result<_, _>>()
                .map_err(|error| AppError::Start(error.to_string()))?,
            options,
            telemetry,
            deployment,
            first,
            listeners,
            scaler,
            external,
            tracker,
            stop,
        })
    }

    /// The first address that is listened on, with its real port.
    pub fn addr(&self) -> SocketAddr {
        // `validate` refuses options without an address.
        self.addresses[0]
    }

    /// Every address that is listened on.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Every address on which KEDA's operator is answered.
    pub fn grpc_addrs(&self) -> Vec<SocketAddr> {
        self.scaler.addresses()
    }

    /// Every address on which `external.metrics.k8s.io` is served.
    pub fn external_addrs(&self) -> Vec<SocketAddr> {
        let service = self.external.as_ref();
        service.map_or_else(Vec::new, ExternalService::addresses)
    }

    /// What readers see: for a program that has the process inside itself.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.deployment.catalogue()
    }

    /// Our own metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Runs until `shutdown` is over or somebody asks to quit, then stops everything: units at once,
    /// requests under way get a grace period.
    ///
    /// Work in the compute pool cannot be interrupted. It is not waited for beyond the grace period;
    /// end the runtime with `shutdown_background`, see [`signals::block_on`].
    pub async fn run(self, shutdown: impl Future) {
        let Self {
            options,
            telemetry,
            mut deployment,
            first,
            listeners,
            scaler,
            external,
            tracker,
            stop,
            ..
        } = self;
        let ready = Arc::new(AtomicBool::new(false));
        let (sender, mut lifecycle) = mpsc::channel(LIFECYCLE);
        let state = Arc::new(web::State {
            catalogue: deployment.catalogue(),
            telemetry: telemetry.clone(),
            clock: options.clock.clone(),
            ready: Arc::clone(&ready),
            lifecycle: options.lifecycle.then(|| sender.clone()),
            store: deployment.store(),
            admin: options.admin,
            shard: options.shard,
            config: deployment.report(),
            targets: deployment.targets(),
            receivers: deployment.receivers(),
            settings: options.web.clone(),
        });
        for listener in listeners {
            if let Ok(address) = listener.local_addr() {
                telemetry.app.listening(&address);
            }
            let serve = web::serve(listener, Arc::clone(&state), stop.clone());
            drop(tracker.spawn(serve));
        }
        let served = Served {
            catalogue: deployment.catalogue(),
            clock: options.clock.clone(),
            ready: Arc::clone(&ready),
        };
        scaler.start(served.clone(), &telemetry, &tracker, &stop);
        if let Some(external) = external {
            external.start(served, &telemetry, &tracker, &stop);
        }
        deployment.put_in_force(first).await;
        let (catalogue, store) = (deployment.catalogue(), deployment.store());
        let keeps = performance::keep(catalogue, store, options.clock.clone());
        let stopped = stop.clone();
        drop(tracker.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = keeps => {}
            }
        }));
        drop(tracker.spawn(become_ready(
            deployment.catalogue(),
            deployment.scales(),
            Arc::clone(&ready),
            telemetry.clone(),
            stop.clone(),
        )));
        let why = steer(&mut deployment, &mut lifecycle, &options, shutdown).await;
        telemetry.app.stopping(why);
        if ready.swap(false, Ordering::AcqRel) {
            telemetry.app.ready(false);
        }
        stop.cancel();
        tracker.close();
        if timeout(options.grace, tracker.wait()).await.is_err() {
            telemetry.app.drained_late(options.grace.as_secs_f64());
        }
    }
}

/// Binds every address; `flag` is what sets them.
async fn bind(addresses: &[SocketAddr], flag: &'static str) -> Result<Vec<TcpListener>, AppError> {
    let mut listeners = Vec::new();
    for &address in addresses {
        let bound = TcpListener::bind(address).await;
        listeners.push(bound.map_err(|error| AppError::Listen {
            address,
            flag,
            error,
        })?);
    }
    Ok(listeners)
}

/// Reloads when asked or when the file changed, until it is time to stop: returns why.
async fn steer(
    deployment: &mut Deployment,
    lifecycle: &mut mpsc::Receiver<Lifecycle>,
    options: &AppOptions,
    shutdown: impl Future,
) -> &'static str {
    tokio::pin!(shutdown);
    let mut hangup = signals::Hangup::listen();
    let mut poll = interval(options.poll_interval);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = &mut shutdown => return "told to",
            asked = lifecycle.recv() => match asked {
                Some(Lifecycle::Reload(answer)) => {
                    let result = deployment.reload().await;
                    // Nobody waits for the answer any more: the reload happened all the same.
                    drop(answer.send(result));
                }
                Some(Lifecycle::Quit) => return "asked to quit",
                // Cannot be: `run` keeps a sender.
                None => return "nobody can ask any more",
            },
            () = hangup.heard() => drop(deployment.reload().await),
            _ = poll.tick() => deployment.reload_if_changed().await,
        }
    }
}

/// Waits for the first outcome of every unit that runs at the start, and the first decisions; not for ever.
async fn become_ready(
    catalogue: Arc<Catalogue>,
    scales: bool,
    ready: Arc<AtomicBool>,
    telemetry: Telemetry,
    stop: CancellationToken,
) {
    let all = async {
        for unit in catalogue.units().iter() {
            let mut outcome = unit.outcome.clone();
            // The unit was removed: nothing more will come of it.
            drop(outcome.wait_for(Option::is_some).await.map(drop));
        }
        if scales {
            let mut decided = catalogue.follow_scaling();
            drop(decided.wait_for(Option::is_some).await.map(drop));
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        _ = timeout(READY_WITHIN, all) => {
            ready.store(true, Ordering::Release);
            telemetry.app.ready(true);
        }
    }
}
