//! What a process is made of.

use super::TrainingRole;
use crate::{config::Config, engine::Clock, series::Shard, source::Source, web};
use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// The default port; see `README.md` for how it was chosen.
const PORT: u16 = 10_057;
/// How often the content of the configuration file is looked at. A `ConfigMap` takes up to a minute to
/// arrive anyhow, and its file is swapped by a symbolic link that a file watch does not see.
const POLL: Duration = Duration::from_secs(15);
/// How often what came by itself is written to the folder for it: a crash loses at most so much.
const SNAPSHOTS: Duration = Duration::from_secs(60);
/// Each is the whole past, so oftener than this it would be all that is done.
const SNAPSHOTS_LEAST: Duration = Duration::from_secs(1);
/// How long requests under way may take at the end; Kubernetes gives 30 s in all.
const GRACE: Duration = Duration::from_secs(15);

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub enum ConfigSource {
    /// A file, which can be reloaded.
    File(PathBuf),
    /// A value, which stays as it is.
    Literal(Box<Config>),
}

/// Looks up a variable.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a process is made of. The options are what needs a restart; the rest is in the configuration.
#[derive(Clone)]
pub struct AppOptions {
    /// Where the configuration comes from.
    pub config: ConfigSource,
    /// Addresses to listen on; port 0 for any free one.
    pub listen: Vec<SocketAddr>,
    /// Addresses on which KEDA's operator asks; none where that is not wanted.
    pub grpc: Vec<SocketAddr>,
    /// The file with `tls_server_config` for those; without it nothing is encrypted.
    pub grpc_config: Option<PathBuf>,
    /// Addresses on which `external.metrics.k8s.io` is served; none where empty.
    pub external: Vec<SocketAddr>,
    /// The file with certificates, the front proxy and access for those.
    pub external_config: Option<PathBuf>,
    /// Paths and limits of the server.
    pub web: web::Settings,
    /// Where people reach the page (`--web.external-url`), without a slash at its end, if that is known.
    pub external_url: Option<String>,
    /// Whether `/-/reload` and `/-/quit` are allowed.
    pub lifecycle: bool,
    /// Whether events and overrides can be changed over HTTP.
    pub admin: bool,
    /// Value of the label `forethought_replica` of everything published.
    pub replica: Option<String>,
    /// Which of several processes this is that divide the series between them; all series where left out.
    pub shard: Option<Shard>,
    /// The time.
    pub clock: Clock,
    /// Bytes that the series may take in all; a configuration that may need more is refused.
    pub memory_limit: Option<usize>,
    /// The folder that keeps what comes by itself over a restart; memory only where left out.
    pub storage: Option<PathBuf>,
    /// How often what comes by itself is written there; a crash loses at most so much.
    pub snapshot_interval: Duration,
    /// How often the content of the configuration file is looked at.
    pub poll_interval: Duration,
    /// How long requests under way may take at the end.
    pub grace: Duration,
    /// Threads to compute with; one per processor where left out.
    pub threads: Option<NonZeroUsize>,
    /// Sources inside this process, beside those of the configuration. A signal uses one by its name,
    /// or the first where the configuration has no sources at all.
    pub sources: Vec<Arc<dyn Source>>,
    /// Whether this process trains models, and with what; where not, it only shows what is due.
    pub train: Option<TrainingRole>,
    /// Looks up `${NAME}` of the configuration file.
    pub env: Environment,
}

/// Why a process could not be built.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Options or configuration; usage, not failure: exit code 2.
    #[error("{0}")]
    Config(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another with --{flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What sets it.
        flag: &'static str,
        /// What the operating system said.
        #[source]
        error: io::Error,
    },
    /// The machine refused something.
    #[error("{0}")]
    Start(String),
}

// === impl AppOptions ===

impl AppOptions {
    /// The options of `forethought run` without flags.
    pub fn new(config: ConfigSource) -> Self {
        Self {
            config,
            listen: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))],
            grpc: Vec::new(),
            grpc_config: None,
            external: Vec::new(),
            external_config: None,
            web: web::Settings::default(),
            external_url: None,
            lifecycle: false,
            admin: false,
            replica: None,
            shard: None,
            clock: Clock::System,
            memory_limit: None,
            storage: None,
            snapshot_interval: SNAPSHOTS,
            poll_interval: POLL,
            grace: GRACE,
            threads: None,
            sources: Vec::new(),
            train: None,
            env: Arc::new(environment),
        }
    }

    /// Checks the options; no IO.
    ///
    /// # Errors
    /// Every flag that is wrong, a line each.
    pub fn validate(&self) -> Result<(), AppError> {
        let mut problems: Vec<String> = self
            .web
            .validate()
            .into_iter()
            .map(|(flag, problem)| format!("--{flag}: {problem}"))
            .collect();
        if self.listen.is_empty() {
            problems.push("--web.listen-address: at least one address is needed".into());
        }
        if self.grpc.is_empty() && self.grpc_config.is_some() {
            problems.push("--grpc.config.file: needs --grpc.listen-address".into());
        }
        if self.external.is_empty() != self.external_config.is_none() {
            problems.push(
                "--external.listen-address and --external.config.file go together: the external metrics API is never served \
                 without TLS"
                    .into(),
            );
        }
        if self.poll_interval.is_zero() {
            problems.push("the poll interval of the configuration must be positive".into());
        }
        if self.snapshot_interval < SNAPSHOTS_LEAST {
            problems.push("--storage.snapshot-interval: must be 1s or longer".into());
        }
        if self.replica.as_ref().is_some_and(String::is_empty) {
            problems.push("--replica: must not be empty; leave it out for no label".into());
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(AppError::Config(problems.join("\n")))
        }
    }
}

impl fmt::Debug for AppOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppOptions")
            .field("config", &self.config)
            .field("listen", &self.listen)
            .field("replica", &self.replica)
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

impl AppError {
    /// The exit code of a command that ended with this: 2 for usage or configuration, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Listen { .. } | Self::Start(_) => 1,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads variables for `${NAME}` in the configuration file"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
