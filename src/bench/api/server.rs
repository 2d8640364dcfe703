//! The server that is measured, and what it asks: each on threads of its own.

use super::{ApiOptions, certificate::Identity, cluster, current_thread, metrics::HOST, workload};
use crate::{
    app::{App, AppOptions, ConfigSource},
    config,
    demo::{Generated, generated, server},
    engine::Clock,
    series::Span,
};
use std::{
    fmt::Write as _,
    fs,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot};
use tokio_util::sync::CancellationToken;

const SEED: u64 = 1;
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// The front proxy, as clusters call it.
const FRONT_PROXY: &str = "front-proxy-client";

/// What the server asks, until dropped.
pub(super) struct Beside {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Beside {
    /// The synthetic Prometheus.
    ///
    /// # Errors
    /// No port or no thread for it.
    pub(super) fn source(series: usize, clock: Clock) -> Result<Self, String> {
        let data = Arc::new(Generated::new(series, SEED));
        Self::start(|listener, stop| server::serve(listener, data, clock, stop))
    }

    /// Kubernetes' API server.
    fn cluster() -> Result<Self, String> {
        Self::start(cluster::serve)
    }

    fn start<F: Future<Output = ()>>(
        serve: impl FnOnce(TcpListener, CancellationToken) -> F + Send + 'static,
    ) -> Result<Self, String> {
        let runtime = current_thread()?;
        let listener = runtime
            .block_on(TcpListener::bind(ANY_PORT))
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        drop(thread::spawn(move || {
            runtime.block_on(serve(listener, stopped))
        }));
        Ok(Self { address, stop })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The server, until dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Where KEDA's operator is answered.
    pub(super) scaler: SocketAddr,
    /// Where Kubernetes' API server is answered.
    pub(super) external: SocketAddr,
    /// Its certificate there, and that of the front proxy.
    pub(super) identity: Identity,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    folder: PathBuf,
    _cluster: Beside,
}

impl Server {
    /// Starts it on this source.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub(super) fn start(
        options: &ApiOptions,
        source: &Beside,
        clock: Clock,
    ) -> Result<Self, String> {
        let (folder, cluster) = (folder()?, Beside::cluster()?);
        let identity = Identity::new(FRONT_PROXY, HOST)?;
        let external = external(&folder, &identity, &cluster);
        let external = external.map_err(|error| format!("{}: {error}", folder.display()))?;
        let text = configuration(options, source.address, &folder);
        let config = config::parse(&text, &|_| None).map_err(|problems| problems.to_string())?;
        let app = AppOptions {
            clock,
            listen: vec![ANY_PORT],
            grpc: vec![ANY_PORT],
            external: vec![ANY_PORT],
            external_config: Some(external),
            ..AppOptions::new(ConfigSource::Literal(Box::new(config)))
        };
        // As `run` has it.
        let runtime = Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        let app = runtime
            .block_on(App::build(app))
            .map_err(|error| error.to_string())?;
        let first = |addresses: Vec<SocketAddr>| {
            let first = addresses.first().copied();
            first.ok_or("no address for autoscalers was bound")
        };
        let (address, scaler) = (app.addr(), first(app.grpc_addrs())?);
        let external = first(app.external_addrs())?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(app.run(stopped));
            runtime.shutdown_background();
        });
        Ok(Self {
            address,
            scaler,
            external,
            identity,
            stop: Some(stop),
            thread: Some(thread),
            folder,
            _cluster: cluster,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has told its panic itself.
            drop(thread.join());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A folder for the store and the certificate.
fn folder() -> Result<PathBuf, String> {
    let name = format!("forethought-bench-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let made = fs::create_dir_all(&folder);
    made.map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// Writes what `--external.config.file` names: the front proxy is known from a file, and the cluster is asked whether users may,
/// by programs that can.
fn external(folder: &Path, identity: &Identity, cluster: &Beside) -> std::io::Result<PathBuf> {
    let reviews = match cfg!(feature = "kube") {
        true => "kubernetes: {kubeconfig: kubeconfig}",
        false => "authorization: {subject_access_review: false}",
    };
    let text = format!(
        "tls_server_config: {{cert_file: own.pem, key_file: own.key}}\n\
         request_header: {{client_ca_file: own.pem, allowed_names: [{FRONT_PROXY}]}}\n{reviews}\n"
    );
    let kubeconfig = cluster::kubeconfig(cluster.address);
    let files = [
        ("own.pem", &identity.certificate),
        ("own.key", &identity.key),
        ("kubeconfig", &kubeconfig),
        ("external.yml", &text),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content)?;
    }
    Ok(folder.join("external.yml"))
}

fn configuration(options: &ApiOptions, source: SocketAddr, folder: &Path) -> String {
    let ApiOptions {
        series,
        workloads,
        step,
        history,
        ..
    } = options;
    let hour = Span::millis(step.as_millis() * 60);
    let mut text = format!(
        "global: {{evaluation_interval: {step}}}\n\
         sources: [{{name: main, prometheus: {{url: 'http://{source}'}}}}]\n\
         store: {{sqlite: '{}'}}\n\
         signals:\n  - {{name: load, query: '{}', step: {step}, history: {history}, max_series: {series}, \
         forecast: {{horizons: [{step}, {hour}]}}}}\n\
         workloads:\n",
        folder.join("bench.db").display(),
        generated::NAME,
    );
    for index in 0..*workloads {
        let name = workload(index);
        _ = writeln!(
            text,
            "  - {{name: {name}, demand: {{signal: load, match: {{deployment: {name}}}}}, capacity_per_replica: 20, \
             lead_time: {}, limits: {{min: 1, max: 500}}, mode: guarded}}",
            Span::millis(step.as_millis() * 4),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_configuration_is_sound() {
        let many = ApiOptions {
            series: 1_000,
            workloads: 1_000,
            step: Span::seconds(5),
            history: Span::minutes(120),
            rate: 1.0,
            scaler_rate: 1.0,
            lasts: Duration::from_secs(1),
            gzip: false,
        };
        let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let text = configuration(&many, source, Path::new("/nowhere"));
        let config = config::parse(&text, &|_| None).unwrap();
        assert_eq!(config.workloads.len(), 1_000);
    }
}
