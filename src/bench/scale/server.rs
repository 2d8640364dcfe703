//! The program that is measured: one source that is pushed to, one wide signal.

use super::{
    ScaleOptions,
    data::{GROUP, NAME},
};
use crate::{
    app::{App, AppOptions, ConfigSource},
    config,
    engine::{Catalogue, Clock, UnitHandle},
    series::Millis,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{runtime::Builder, sync::oneshot, time::Instant};

/// The signal.
const SIGNAL: &str = "load";
/// So many times slower than the real one, a clock stands still for as long as this runs.
const STILL: f64 = 1e-6;
/// What is not there then never will be.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, until dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    catalogue: Arc<Catalogue>,
    began: Millis,
    ahead: Arc<AtomicI64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Starts it, its clock at `began`.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub(super) fn start(options: &ScaleOptions, began: Millis) -> Result<Self, String> {
        let text = configuration(options);
        let config = config::parse(&text, &|_| None).map_err(|problems| problems.to_string())?;
        let ahead = Arc::new(AtomicI64::new(0));
        // As `run` has it.
        let runtime = Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        let entered = runtime.enter();
        let app = AppOptions {
            clock: Clock::Settable {
                behind: Box::new(Clock::scaled(began, STILL)),
                ahead: Arc::clone(&ahead),
            },
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            ..AppOptions::new(ConfigSource::Literal(Box::new(config)))
        };
        drop(entered);
        let app = runtime.block_on(App::build(app));
        let app = app.map_err(|error| error.to_string())?;
        let (address, catalogue) = (app.addr(), app.catalogue());
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(app.run(stopped));
            runtime.shutdown_background();
        });
        Ok(Self {
            address,
            catalogue,
            began,
            ahead,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Sets the clock on.
    pub(super) fn set_clock(&self, now: Millis) {
        self.ahead.store(now - self.began, Ordering::Relaxed);
    }

    /// The signal, as readers see it, once it has read its history, which is none.
    ///
    /// # Errors
    /// It does not get ready.
    pub(super) fn unit(&self) -> Result<Arc<UnitHandle>, String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let units = self.catalogue.units();
            let unit = units.iter().find(|unit| &*unit.name == SIGNAL);
            if let Some(unit) = unit.filter(|unit| unit.outcome.borrow().is_some()) {
                return Ok(Arc::clone(unit));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("the signal {SIGNAL} does not get ready"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has told its panic itself.
            drop(thread.join());
        }
    }
}

/// A pushed source and one signal of every series of it, judged in constant space.
pub(super) fn configuration(options: &ScaleOptions) -> String {
    let ScaleOptions { series, step, .. } = options;
    format!(
        "global: {{evaluation_interval: {step}}}\n\
         sources: [{{name: pushed, remote_write: {{max_series: {series}}}}}]\n\
         signals:\n  - {{name: {SIGNAL}, select: {NAME}, step: {step}, class: wide, emit: anomalous, max_series: {series}, \
         group_by: [{GROUP}], detectors: [{{envelope: {{}}}}, {{zscore: {{}}}}]}}\n"
    )
}
