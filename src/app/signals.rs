//! What the operating system tells the process: stop, read the configuration again.

use super::{App, AppError, AppOptions};
use std::future::pending;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Over when the process is told to stop, by SIGTERM or Ctrl-C; says by which.
pub async fn terminated() -> &'static str {
    let (mut term, mut interrupt) = (
        signal(SignalKind::terminate()).ok(),
        signal(SignalKind::interrupt()).ok(),
    );
    tokio::select! {
        () = heard(&mut term) => "SIGTERM",
        () = heard(&mut interrupt) => "SIGINT",
    }
}

/// Builds and runs a process on a runtime of its own until it is told to stop.
///
/// `built` is told of it before it runs, to print its address for instance. The runtime is left without
/// waiting for what computes: a replay that is under way may take seconds, and nobody needs it any more.
///
/// # Errors
/// As [`App::build`].
pub fn block_on(options: AppOptions, built: impl FnOnce(&App)) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| AppError::Start(format!("no runtime: {error}")))?;
    let result = runtime.block_on(async {
        let app = App::build(options).await?;
        built(&app);
        app.run(terminated()).await;
        Ok(())
    });
    runtime.shutdown_background();
    result
}

/// SIGHUP, which asks for a reload.
#[derive(Debug)]
pub(super) struct Hangup(Option<Signal>);

impl Hangup {
    /// Listens from now on. Where that cannot be, nothing is ever heard: there are other ways to reload.
    pub(super) fn listen() -> Self {
        Self(signal(SignalKind::hangup()).ok())
    }

    /// Waits for the next one.
    pub(super) async fn heard(&mut self) {
        heard(&mut self.0).await;
    }
}

async fn heard(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    pending().await
}
