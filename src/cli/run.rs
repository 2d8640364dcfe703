//! `forethought run`.

use super::{Failure, flags};
use crate::{
    app::{AppOptions, ConfigSource, TrainingRole, signals},
    config::{Config, Problems},
    expo::names::refuse_signal_name,
    series::{Shard, Span},
    web::{self, route_prefix_of},
};
use clap::ArgGroup;
use std::{net::SocketAddr, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  forethought run --config.file=forethought.yml --web.enable-lifecycle
  forethought run --prometheus.url=http://localhost:9090 --query=node_load1
  forethought run --config.file=forethought.yml --web.listen-address=127.0.0.1:10057 --web.listen-address='[::1]:10057'

The file is read again when its content changes, on SIGHUP, and on POST /-/reload. SIGTERM and Ctrl-C
end the program after the requests under way. What can be in the file: docs/configuration.md";

/// The name of a signal whose query is not a name by itself.
const DEFAULT_NAME: &str = "value";

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("configuration").required(true).args(["config_file", "prometheus_url"])
)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Without a file: the address of a Prometheus-compatible server, such as http://localhost:9090
    #[arg(long = "prometheus.url", value_name = "URL", requires = "query")]
    prometheus_url: Option<String>,
    /// Without a file: the query whose series are watched
    #[arg(
        long,
        value_name = "PROMQL",
        requires = "prometheus_url",
        conflicts_with = "config_file"
    )]
    query: Option<String>,
    /// Without a file: series are published as `predicted_<NAME>` [default: the query, if it is just a name]
    #[arg(
        long,
        value_name = "NAME",
        requires = "prometheus_url",
        conflicts_with = "config_file"
    )]
    name: Option<String>,
    /// How often the content of the file is looked at for changes
    #[arg(long = "config.poll-interval", value_name = "SPAN", default_value = "15s", value_parser = flags::span)]
    poll_interval: Span,
    /// Value of the label forethought_replica on everything published; set it where several run beside
    /// one Prometheus
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,
    /// Carry only a part of the series: which one of how many, from 0 on, such as 1/3; the processes divide them by a hash of
    /// labels [default: all series]
    #[arg(long, value_name = "I/N", value_parser = flags::shard)]
    shard: Option<Shard>,
    /// Refuse configurations whose series may take more memory than this, such as 2GiB [default: none]
    #[arg(long = "storage.memory-limit", value_name = "BYTES", value_parser = flags::bytes)]
    memory_limit: Option<usize>,
    /// Keep what was scraped or pushed here, and what waits to be written (remote_write), so that a restart goes on where it
    /// was; made when something needs it
    #[arg(long = "storage.path", value_name = "DIR", default_value = "data")]
    storage: PathBuf,
    /// How often what was scraped or pushed is written there: a crash loses at most so much
    #[arg(long = "storage.snapshot-interval", value_name = "SPAN", default_value = "1m", value_parser = flags::span)]
    snapshot_interval: Span,
    /// Train the models of `forecast.train` when they are due, and put in force what is better; of several replicas only
    /// one should
    #[arg(long, conflicts_with = "prometheus_url")]
    train: bool,
    /// With --train: an Ed25519 private key (PKCS#8, DER) to sign manifests with
    #[arg(long = "models.signing-key", value_name = "FILE", requires = "train")]
    signing_key: Option<PathBuf>,
    #[command(flatten)]
    web: WebFlags,
    #[command(flatten)]
    grpc: GrpcFlags,
    #[command(flatten)]
    external: ExternalFlags,
}

/// How KEDA's operator reaches the program.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "KEDA")]
struct GrpcFlags {
    /// Address on which `external` and `external-push` triggers of KEDA are answered (gRPC), such as 0.0.0.0:10058; can be
    /// given several times [default: none]
    #[arg(long = "grpc.listen-address", value_name = "ADDRESS", value_parser = flags::address)]
    grpc_listen: Vec<SocketAddr>,
    /// A file with tls_server_config for those addresses, as exporters of Prometheus have it; read again when it changes
    /// [default: no encryption]
    #[arg(
        long = "grpc.config.file",
        value_name = "FILE",
        requires = "grpc_listen"
    )]
    grpc_config: Option<PathBuf>,
}

/// How Kubernetes' API server reaches the program.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "External metrics of Kubernetes")]
struct ExternalFlags {
    /// Address on which external.metrics.k8s.io is served to Kubernetes' API server (HTTPS), such as 0.0.0.0:10059; can be
    /// given several times [default: none]
    #[arg(long = "external.listen-address", value_name = "ADDRESS", value_parser = flags::address, requires = "external_config")]
    external_listen: Vec<SocketAddr>,
    /// A file with the certificate, the front proxy, access, and the adapter that has other metrics; certificates are read
    /// again when they change
    #[arg(
        long = "external.config.file",
        value_name = "FILE",
        requires = "external_listen"
    )]
    external_config: Option<PathBuf>,
}

/// How the program is reached.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Web")]
struct WebFlags {
    /// Address to listen on; can be given several times
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "0.0.0.0:10057", value_parser = flags::address)]
    listen: Vec<SocketAddr>,
    /// Allow POST and PUT on /-/reload and /-/quit
    #[arg(long = "web.enable-lifecycle")]
    lifecycle: bool,
    /// Allow POST and DELETE of events and overrides under /api/v1 to everybody who reaches the address
    #[arg(long = "web.enable-admin-api")]
    admin: bool,
    /// Path of the metrics
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = "/metrics"
    )]
    telemetry_path: String,
    /// The URL under which people reach this program, if a proxy is in front of it
    #[arg(long = "web.external-url", value_name = "URL")]
    external_url: Option<String>,
    /// Prefix of every path [default: the path of --web.external-url]
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    route_prefix: Option<String>,
}

/// Runs until it is told to stop.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let options = options(arguments)?;
    Ok(signals::block_on(options, |_| ())?)
}

/// What the flags mean.
fn options(arguments: Arguments) -> Result<AppOptions, Failure> {
    let mut options = AppOptions::new(source(&arguments)?);
    options.web = arguments.web.settings()?;
    let external_url = arguments.web.external_url.as_deref();
    options.external_url = external_url.map(|url| url.trim_end_matches('/').to_owned());
    options.listen = arguments.web.listen;
    options.grpc = arguments.grpc.grpc_listen;
    options.grpc_config = arguments.grpc.grpc_config;
    options.external = arguments.external.external_listen;
    options.external_config = arguments.external.external_config;
    options.lifecycle = arguments.web.lifecycle;
    options.admin = arguments.web.admin;
    options.replica = arguments.replica;
    options.shard = arguments.shard;
    options.train = arguments.train.then_some(TrainingRole {
        signing_key: arguments.signing_key,
    });
    options.memory_limit = arguments.memory_limit;
    options.storage = Some(arguments.storage.clone());
    options.snapshot_interval = arguments.snapshot_interval.to_std();
    options.poll_interval = arguments.poll_interval.to_std();
    Ok(options)
}

fn source(arguments: &Arguments) -> Result<ConfigSource, Failure> {
    if let Some(file) = &arguments.config_file {
        return Ok(ConfigSource::File(file.clone()));
    }
    // clap has seen to it that both are there where no file is.
    let url = arguments.prometheus_url.as_deref().unwrap_or_default();
    let query = arguments.query.as_deref().unwrap_or_default();
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => name_of(query),
    };
    match Config::single(url, &name, query) {
        Ok(config) => Ok(ConfigSource::Literal(Box::new(config))),
        Err(problems) => Err(Failure::Usage(as_flags(&problems))),
    }
}

/// The query, if it is just a name. Recorded series have colons in theirs, which are not exposed.
fn name_of(query: &str) -> String {
    let name = query.replace(':', "_");
    match refuse_signal_name(&name) {
        None => name,
        Some(_) => DEFAULT_NAME.to_owned(),
    }
}

/// The problems, with flags in the place of the keys they stand for.
fn as_flags(problems: &Problems) -> String {
    let lines = problems.iter().map(|problem| {
        let path = problem.path.to_string();
        let flag = match path.as_str() {
            "sources[0].prometheus.url" => "--prometheus.url",
            "signals[0].query" => "--query",
            "signals[0].name" => "--name",
            other => other,
        };
        format!("{flag}: {}", problem.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl WebFlags {
    fn settings(&self) -> Result<web::Settings, Failure> {
        let prefix = match (&self.route_prefix, &self.external_url) {
            (Some(prefix), _) => prefix.trim_end_matches('/').to_owned(),
            (None, Some(url)) => {
                route_prefix_of(url).map_err(|problem| Failure::Usage(format!("--{problem}")))?
            }
            (None, None) => String::new(),
        };
        Ok(web::Settings {
            telemetry_path: self.telemetry_path.clone(),
            route_prefix: prefix,
            ..web::Settings::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;
    use clap::Parser;

    fn parse(flags: &[&str]) -> Result<AppOptions, String> {
        let arguments = ["forethought", "run"].iter().chain(flags);
        let cli = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?;
        let Command::Run(arguments) = cli.command else {
            return Err("another command".to_owned());
        };
        options(*arguments).map_err(|failure| failure.to_string())
    }

    #[test]
    fn flags_become_options() {
        let options = parse(&[
            "--config.file=x.yml",
            "--web.listen-address=127.0.0.1:1",
            "--web.listen-address=:2",
            "--web.enable-lifecycle",
            "--web.enable-admin-api",
            "--grpc.listen-address=:3",
            "--grpc.config.file=tls.yml",
            "--external.listen-address=:4",
            "--external.config.file=external.yml",
            "--web.external-url=https://example.org/a/b/",
            "--replica=one",
            "--shard=1/3",
            "--storage.memory-limit=1GiB",
            "--storage.snapshot-interval=5s",
            "--config.poll-interval=5s",
            "--log.level=debug",
        ])
        .unwrap();
        assert!(matches!(options.config, ConfigSource::File(path) if path.ends_with("x.yml")));
        assert_eq!(options.listen.len(), 2);
        assert!(options.lifecycle && options.admin);
        assert_eq!(options.grpc[0].to_string(), "0.0.0.0:3");
        assert!(
            options
                .grpc_config
                .is_some_and(|file| file.ends_with("tls.yml"))
        );
        assert_eq!(options.external[0].to_string(), "0.0.0.0:4");
        assert_eq!(options.external_config, Some(PathBuf::from("external.yml")));
        assert_eq!(options.web.route_prefix, "/a/b");
        let page = options.external_url.as_deref();
        assert_eq!(page, Some("https://example.org/a/b"));
        assert_eq!(options.replica.as_deref(), Some("one"));
        assert_eq!(options.shard, Shard::new(1, 3));
        assert_eq!(options.memory_limit, Some(1 << 30));
        assert_eq!(options.poll_interval.as_secs(), 5);
        assert_eq!(options.snapshot_interval.as_secs(), 5);
        let defaults = parse(&["--config.file=x.yml"]).unwrap();
        assert_eq!(defaults.listen[0].to_string(), "0.0.0.0:10057");
        assert_eq!(defaults.web.telemetry_path, "/metrics");
        assert!(
            defaults.grpc.is_empty() && defaults.external.is_empty(),
            "nothing more is open than was asked for"
        );
        assert!(!defaults.admin, "nobody scales by a request unless told so");
        let usual = AppOptions::new(ConfigSource::File("x.yml".into()));
        assert_eq!(defaults.poll_interval, usual.poll_interval);
        assert_eq!(defaults.snapshot_interval, usual.snapshot_interval);
        assert_eq!(
            defaults.train, None,
            "only a process that is told to trains"
        );
        let trains = parse(&["--config.file=x.yml", "--train", "--models.signing-key=k"]).unwrap();
        let key = trains.train.and_then(|role| role.signing_key);
        assert_eq!(key, Some(PathBuf::from("k")));
    }

    #[test]
    fn one_query_needs_no_file() {
        let url = "--prometheus.url=http://x:9090";
        let ConfigSource::Literal(config) = parse(&[url, "--query=node_load1"]).unwrap().config
        else {
            panic!("a file")
        };
        assert_eq!(config.signals[0].name, "node_load1");
        assert_eq!(
            name_of("job:http_requests:rate2m"),
            "job_http_requests_rate2m"
        );
        let ConfigSource::Literal(config) = parse(&[url, "--query=rate(x[5m])"]).unwrap().config
        else {
            panic!("a file")
        };
        assert_eq!(config.signals[0].name, DEFAULT_NAME);
    }

    #[test]
    fn wrong_flags_say_what_to_change() {
        let url = "--prometheus.url=http://x:9090";
        for (flags, part) in [
            (vec![], "--config.file"),
            (vec![url], "--query"),
            (vec![url, "--query=sum("], "--query: \"(\" is not closed"),
            (vec![url, "--query=up", "--name=x_total"], "--name: "),
            (
                vec!["--prometheus.url=x", "--query=up"],
                "--prometheus.url: ",
            ),
            (vec!["--config.file=x", "--query=up"], "--query"),
            (
                vec!["--config.file=x", "--grpc.config.file=x"],
                "--grpc.listen-address",
            ),
            (
                vec!["--config.file=x", "--external.config.file=x"],
                "--external.listen-address",
            ),
            (
                vec!["--config.file=x", "--external.listen-address=:1"],
                "--external.config.file",
            ),
            (vec![url, "--query=up", "--train"], "cannot be used with"),
            (vec!["--config.file=x", "--shard=3/3"], "as in 0/3"),
            (vec!["--config.file=x", "--models.signing-key=k"], "--train"),
            (
                vec!["--config.file=x", "--storage.memory-limit=big"],
                "2GiB",
            ),
            (
                vec!["--config.file=x", "--web.listen-address=9090"],
                "0.0.0.0:10057",
            ),
            (
                vec!["--config.file=x", "--web.external-url=x"],
                "--web.external-url",
            ),
            (
                vec!["--config.file=x", "--log.level=loud"],
                "debug, info, warn, error",
            ),
            (vec!["--config.file=x", "--log.format=xml"], "logfmt, json"),
        ] {
            let error = parse(&flags).map(|_| ()).unwrap_err();
            assert!(error.contains(part), "{flags:?}: {error}");
        }
    }
}
