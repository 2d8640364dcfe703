//! `forethought manifests`: what Kubernetes needs so that a workload follows its recommendation.

use super::{Failure, workload};
use crate::{
    app::{self, AppOptions, ConfigSource},
    config::Config,
    decide::{Capacity, Settings},
    manifests::{self, Complete, External, Plan, Reactive, Target, Way},
    series::Span,
    tls,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  KEDA over Prometheus, the way to begin with; up{job=\"checkout\"} are the targets that the demand is made of:
    forethought manifests checkout --up='up{job=\"checkout\"}' --fallback=10 --prometheus.url=http://prometheus.monitoring:9090 | kubectl apply -f -
  What of it Prometheus loads, as a rule file:
    forethought manifests checkout --up='up{job=\"checkout\"}' --rules-only > checkout.rules.yml
  KEDA asks forethought itself, and wakes the workload from zero:
    forethought manifests checkout --way=grpc --fallback=10 --grpc.address=forethought-headless.monitoring.svc:10058
  Without KEDA:
    forethought manifests checkout --way=adapter --up='up{job=\"checkout\"}'
  Without KEDA and without an adapter; ca.crt is the authority of forethought's certificate:
    forethought manifests checkout --way=external-metrics --external.service=monitoring/forethought:10059 --external.ca-file=ca.crt

Which way is for whom, and what each does when something fails: docs/serving.md. What is there already: forethought lint.
Exit codes: 0 all well, 1 failed, 2 usage or configuration, or there is no such workload.";

/// Where the second opinion begins: full enough to be worth growing, and above what a replica has when the first is right.
const CPU: u32 = 80;
/// The share of the targets of --up that must be up for their sum to be the demand.
const LEAST_UP: f64 = 0.9;

/// Arguments of `manifests`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The workload, as in the configuration
    #[arg(value_name = "WORKLOAD")]
    workload: String,
    /// The configuration file
    #[arg(
        long = "config.file",
        visible_alias = "config",
        value_name = "FILE",
        default_value = "forethought.yml"
    )]
    config_file: PathBuf,
    /// How the autoscaler reads the recommendation
    #[arg(long, value_name = "WAY", default_value = "prometheus")]
    way: Way,
    /// The name of the objects [default: the workload's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What is scaled [default: Deployment/NAME]
    #[arg(long, value_name = "KIND/NAME", value_parser = target)]
    target: Option<Target>,
    /// Its namespace
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// The `up` of all targets that the demand is made of: where some are gone their sum is not the demand
    #[arg(long, value_name = "SELECTOR", conflicts_with = "without_up")]
    up: Option<String>,
    /// The demand is not made of scraped targets, or is known to be whole
    #[arg(long)]
    without_up: bool,
    /// What was asked for is kept so long when forethought is gone
    #[arg(long, value_name = "SPAN", default_value = "30m", value_parser = super::flags::span)]
    hold: Span,
    /// KEDA keeps at least so many when a trigger has failed: a size that carries a usual peak
    #[arg(long, value_name = "REPLICAS", value_parser = clap::value_parser!(u32).range(1..))]
    fallback: Option<u32>,
    /// Use of its processors, in percent, at which it grows whatever the demand is
    #[arg(long, value_name = "PERCENT", default_value_t = CPU, value_parser = clap::value_parser!(u32).range(1..=100))]
    cpu: u32,
    /// Where KEDA finds Prometheus
    #[arg(
        long = "prometheus.url",
        value_name = "URL",
        default_value = "http://prometheus.monitoring.svc:9090"
    )]
    prometheus: String,
    /// Where KEDA finds forethought
    #[arg(
        long = "forethought.url",
        value_name = "URL",
        default_value = "http://forethought.monitoring.svc:10057"
    )]
    forethought: String,
    /// Where KEDA finds forethought's gRPC: a name that has the addresses of all replicas
    #[arg(
        long = "grpc.address",
        value_name = "ADDRESS",
        default_value = "forethought-headless.monitoring.svc:10058"
    )]
    grpc: String,
    /// Where Kubernetes' API server finds forethought's external metrics
    #[arg(
        long = "external.service",
        value_name = "NAMESPACE/NAME:PORT",
        default_value = "monitoring/forethought:10059",
        value_parser = service
    )]
    external: Service,
    /// The authorities (PEM) of forethought's certificate: writes the APIService and the rights that a cluster needs once too
    /// [default: those are there, from the chart say]
    #[arg(long = "external.ca-file", value_name = "FILE")]
    external_ca: Option<PathBuf>,
    /// The service account that forethought runs as, in the namespace of --external.service [default: its name]
    #[arg(long = "external.service-account", value_name = "NAME")]
    external_account: Option<String>,
    /// Only the recording rules and alerts, as a rule file of Prometheus
    #[arg(long)]
    rules_only: bool,
}

/// Writes the manifests.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let options = AppOptions::new(ConfigSource::File(arguments.config_file.clone()));
    let loaded = runtime
        .block_on(app::load(&options))
        .map_err(Failure::Usage)?;
    let settings = workload::named(&loaded.config, &arguments.workload)?;
    let plan = plan(arguments, &loaded.config, settings).map_err(Failure::Usage)?;
    let documents = match arguments.rules_only {
        true => vec![manifests::rule_file(&plan, arguments.way)],
        false => manifests::documents(&plan, arguments.way),
    };
    let text = manifests::yaml(&documents).map_err(Failure::Failed)?;
    Ok(write!(out, "{text}")?)
}

fn plan(arguments: &Arguments, config: &Config, settings: &Settings) -> Result<Plan, String> {
    let capacity = match &settings.capacity_per_replica {
        Capacity::Declared(capacity) => Some(*capacity),
        Capacity::Learned(learned) => learned.otherwise,
    };
    let way = arguments.way;
    if way.needs_rules() && capacity.is_none() {
        return Err(format!(
            "--way: the rules divide the demand by what one replica takes, which workload {:?} learns: write \
             capacity_per_replica.learned.otherwise, or choose metrics-api or grpc",
            settings.name
        ));
    }
    let complete = complete(arguments, settings);
    if way.needs_rules() && complete.is_none() && !arguments.without_up {
        return Err(
            "--up: write a selector such as up{job=\"checkout\"} of the targets that the demand is made of (or demand.complete in the \
             configuration), or the loss of half of them looks like half of the demand and scales down; --without-up where there are none"
                .to_owned(),
        );
    }
    if way.needs_rules() && settings.limits.min == 0 {
        return Err(
            "--way: without a replica there are no targets, and the demand of none is not known: a workload that sleeps \
             never wakes this way; choose grpc or metrics-api, or limits.min: 1"
                .to_owned(),
        );
    }
    if arguments.hold.as_millis() < 2 * settings.review() {
        return Err(format!(
            "--hold: {} is shorter than two decisions take, one every {}",
            arguments.hold,
            Span::millis(settings.review())
        ));
    }
    let is_keda = !matches!(way, Way::Adapter | Way::ExternalMetrics) && !arguments.rules_only;
    if is_keda && arguments.fallback.is_none() {
        return Err(
            "--fallback: write a size that carries a usual peak: KEDA keeps at least so many when a trigger has failed".to_owned(),
        );
    }
    let name = arguments.name.as_ref().unwrap_or(&settings.name);
    if !manifests::is_label(name) {
        return Err(format!(
            "--name: {name:?} is no name for Kubernetes' objects; write up to 50 lower-case letters, digits and dashes"
        ));
    }
    if settings.name.contains("{{") {
        return Err(format!(
            "workload {:?}: alerts take {{{{ for a template",
            settings.name
        ));
    }
    if way == Way::ExternalMetrics && !manifests::is_label_value(&settings.name) {
        return Err(format!(
            "workload {:?}: an HPA selects it by its name, and Kubernetes takes letters, digits, -, _ and . there, at most 63; give it another",
            settings.name
        ));
    }
    let external = arguments
        .external_ca
        .as_ref()
        .filter(|_| way == Way::ExternalMetrics);
    let external = external.map(|file| once(arguments, file)).transpose()?;
    let signal = config
        .signals
        .iter()
        .find(|signal| signal.name == settings.demand.signal);
    let signal =
        signal.ok_or_else(|| format!("there is no signal {:?}", settings.demand.signal))?;
    let demand = reactive(settings, &signal.name, &signal.query, complete);
    let parsed = [
        ("the demand", Some(&demand.query)),
        (
            "--up",
            demand.complete.as_ref().map(|complete| &complete.share),
        ),
    ];
    for (what, query) in parsed {
        let parsed = query
            .map(|query| promql_parser::parser::parse(query))
            .transpose();
        parsed.map_err(|error| format!("{what}: {error}"))?;
    }
    let target = arguments.target.clone();
    let plan = Plan {
        workload: settings.name.clone(),
        target: target.unwrap_or_else(|| Target {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: name.clone(),
        }),
        name: name.clone(),
        namespace: arguments.namespace.clone(),
        capacity,
        min: settings.limits.min,
        max: settings.limits.max.unwrap_or(100),
        demand,
        review: Span::millis(settings.review()),
        hold: arguments.hold,
        fallback: arguments.fallback.unwrap_or(1),
        cpu: arguments.cpu,
        prometheus: arguments.prometheus.clone(),
        forethought: arguments.forethought.clone(),
        grpc: arguments.grpc.clone(),
        external,
    };
    for expression in manifests::expressions(&plan, way) {
        let parsed = promql_parser::parser::parse(&expression);
        parsed.map_err(|error| format!("the rule {expression:?}: {error}"))?;
    }
    Ok(plan)
}

/// What must be there for the demand to be whole: as the flag says, or as decisions go by.
fn complete(arguments: &Arguments, settings: &Settings) -> Option<Complete> {
    let named = arguments.up.as_ref().map(|up| Complete {
        share: format!("avg({up})"),
        least: LEAST_UP,
    });
    let configured = settings.demand.complete.as_ref();
    named.or_else(|| {
        configured.map(|complete| Complete {
            share: complete.query.clone(),
            least: complete.min,
        })
    })
}

/// The demand of now in PromQL, as decisions ask for it.
fn reactive(
    settings: &Settings,
    signal: &str,
    query: &str,
    complete: Option<Complete>,
) -> Reactive {
    let demand = &settings.demand;
    if let Some(own) = &demand.query {
        return Reactive {
            recorded: None,
            query: own.clone(),
            complete,
        };
    }
    if demand.r#match.is_empty() {
        return Reactive {
            recorded: None,
            query: query.to_owned(),
            complete,
        };
    }
    let name = format!("signal:{signal}:value");
    let matchers = demand.r#match.iter();
    let matchers = matchers.map(|(label, value)| (label.as_str(), value.as_str()));
    let matchers: Vec<String> = matchers
        .chain([(manifests::FOR, settings.name.as_str())])
        .map(|(label, value)| format!("{label}={}", serde_json::Value::from(value)))
        .collect();
    Reactive {
        query: format!("{name}{{{}}}", matchers.join(",")),
        recorded: Some((name, query.to_owned())),
        complete,
    }
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    namespace: String,
    name: String,
    port: u16,
}

/// Reads `monitoring/forethought:10059`.
fn service(text: &str) -> Result<Service, String> {
    let parts = text.split_once('/').and_then(|(namespace, rest)| {
        let (name, port) = rest.rsplit_once(':')?;
        let named = manifests::is_label(namespace) && manifests::is_label(name);
        let port = port.parse().ok().filter(|port| *port > 0);
        named.then_some((namespace.to_owned(), name.to_owned(), port?))
    });
    let (namespace, name, port) = parts.ok_or_else(|| {
        format!("{text:?} is not NAMESPACE/NAME:PORT, such as monitoring/forethought:10059")
    })?;
    Ok(Service {
        namespace,
        name,
        port,
    })
}

/// What a cluster needs once, with the authorities in `file`.
fn once(arguments: &Arguments, file: &Path) -> Result<External, String> {
    let place = |problem: String| format!("--external.ca-file: {}: {problem}", file.display());
    let pem = fs::read(file).map_err(|error| place(error.to_string()))?;
    tls::pem::certificates(&pem).map_err(place)?;
    if String::from_utf8_lossy(&pem).contains("PRIVATE KEY") {
        return Err(place(
            "has a private key in it, which everybody could read in the APIService".to_owned(),
        ));
    }
    let service = &arguments.external;
    let account = arguments.external_account.as_ref();
    Ok(External {
        service: service.name.clone(),
        namespace: service.namespace.clone(),
        port: service.port,
        service_account: account.unwrap_or(&service.name).clone(),
        ca_bundle: STANDARD.encode(pem),
    })
}

/// Reads `Deployment/checkout`, `StatefulSet/db`, `argoproj.io/v1alpha1/Rollout/checkout`.
fn target(text: &str) -> Result<Target, String> {
    let wrong = || {
        format!(
            "{text:?} is not KIND/NAME, such as Deployment/checkout, or GROUP/VERSION/KIND/NAME"
        )
    };
    let parts: Vec<&str> = text.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(wrong());
    }
    let (api_version, kind, name) = match parts.as_slice() {
        [kind @ ("Deployment" | "StatefulSet" | "ReplicaSet"), name] => {
            ("apps/v1".to_owned(), *kind, *name)
        }
        [group, version, kind, name] => (format!("{group}/{version}"), *kind, *name),
        _ => return Err(wrong()),
    };
    Ok(Target {
        api_version,
        kind: kind.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_read() {
        let read = |text| service(text).map(|one| (one.namespace, one.name, one.port));
        let wanted = ("monitoring".to_owned(), "forethought".to_owned(), 443);
        assert_eq!(read("monitoring/forethought:443"), Ok(wanted));
        for bad in [
            "forethought",
            "a/b",
            "a/b:x",
            "a/b:0",
            "/b:1",
            "a/B:1",
            "a/b/c:1",
        ] {
            assert!(
                read(bad)
                    .unwrap_err()
                    .contains("monitoring/forethought:10059"),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_is_scaled_is_read() {
        let read = |text| target(text).map(|one| (one.api_version, one.kind, one.name));
        let of = |version: &str, kind: &str, name: &str| {
            Ok((version.to_owned(), kind.to_owned(), name.to_owned()))
        };
        assert_eq!(read("StatefulSet/db"), of("apps/v1", "StatefulSet", "db"));
        assert_eq!(
            read("argoproj.io/v1alpha1/Rollout/x"),
            of("argoproj.io/v1alpha1", "Rollout", "x")
        );
        for bad in ["checkout", "Deployment/", "Rollout/x", "a/b/c"] {
            assert!(
                read(bad).unwrap_err().contains("Deployment/checkout"),
                "{bad}"
            );
        }
    }
}
