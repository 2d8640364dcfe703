//! The chart, with Helm's own code: every values file in `ci`, judged by the schemas of what it makes, and run.

use crate::support::{
    eventually, files,
    guard::{Guarded, output, run, tail},
    program::{BINARY, command},
    read, root,
    servers::{helm, node, python},
};
use forethought::external::Settings;
use serde::Deserialize;
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::tempdir;

const CHART: &str = "helm/forethought";
/// Kinds whose schemas are not Kubernetes' own.
const OTHERS: [&str; 3] = ["PodMonitor", "PrometheusRule", "ServiceMonitor"];

/// The values files, by name.
fn values() -> Vec<(String, String)> {
    let all = files("helm/forethought/ci", "yaml");
    assert!(all.len() >= 4, "{all:?}");
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    all.iter()
        .map(|path| (name(path), path.display().to_string()))
        .collect()
}

fn rendered(values: &str) -> (String, Vec<Value>) {
    let text = helm(&[
        "template",
        "release",
        CHART,
        "--namespace=monitoring",
        "-f",
        values,
    ])
    .unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text);
    let objects = documents.map(|one| Value::deserialize(one).unwrap());
    let objects: Vec<Value> = objects.filter(|one| !one.is_null()).collect();
    (text, objects)
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|one| one["kind"] == kind).collect()
}

/// The pods that objects make.
fn pods(objects: &[Value]) -> Vec<&Value> {
    let made = objects
        .iter()
        .filter_map(|one| one.pointer("/spec/template/spec"));
    let own = objects
        .iter()
        .filter(|one| one["kind"] == "Pod")
        .map(|one| &one["spec"]);
    made.chain(own).collect()
}

#[test]
fn every_values_file_is_linted_and_fits_the_schemas() {
    let folder = tempdir().unwrap();
    for (name, values) in values() {
        helm(&["lint", "--strict", CHART, "-f", &values]).unwrap();
        let (_, objects) = rendered(&values);
        let (others, own): (Vec<Value>, Vec<Value>) = objects
            .into_iter()
            .partition(|one| OTHERS.iter().any(|kind| one["kind"] == *kind));
        for (place, object) in own.iter().enumerate() {
            let file = folder.path().join(format!("{name}-{place}.yml"));
            fs::write(&file, serde_yaml::to_string(object).unwrap()).unwrap();
            let arguments = ["--strict", "-k", "1.35", &file.display().to_string()];
            run(&python("kubernetes-validate"), &arguments, None).unwrap();
        }
        let judge = ["tests/fixtures/manifests/validate.mjs", &node()];
        let said = output("node", &judge, Some(&Value::from(others).to_string()));
        assert!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&said.stdout), "", "{name}");
    }
}

#[test]
fn no_pod_may_do_more_than_it_must() {
    for (name, values) in values() {
        let (_, objects) = rendered(&values);
        let pods = pods(&objects);
        assert_eq!(pods.len(), 2, "{name}");
        for pod in pods {
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
                "{name}"
            );
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            for container in pod["containers"].as_array().unwrap() {
                let context = &container["securityContext"];
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(
                    context["capabilities"]["drop"],
                    serde_json::json!(["ALL"]),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn services_and_probes_point_at_what_is_there() {
    for (name, values) in values() {
        let (_, objects) = rendered(&values);
        let workload = objects
            .iter()
            .find(|one| one["kind"] == "Deployment" || one["kind"] == "StatefulSet")
            .unwrap();
        let container = &workload["spec"]["template"]["spec"]["containers"][0];
        let ports: Vec<&Value> = container["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| &port["name"])
            .collect();
        for probe in ["livenessProbe", "readinessProbe"] {
            let get = &container[probe]["httpGet"];
            assert!(ports.contains(&&get["port"]), "{name}: {get}");
            assert!(
                ["/-/healthy", "/-/ready"]
                    .iter()
                    .any(|path| get["path"] == *path),
                "{name}: {get}"
            );
        }
        let labels = &workload["spec"]["template"]["metadata"]["labels"];
        let services = of_kind(&objects, "Service");
        for service in &services {
            for port in service["spec"]["ports"].as_array().unwrap() {
                assert!(ports.contains(&&port["targetPort"]), "{name}: {port}");
            }
            let selector = service["spec"]["selector"].as_object().unwrap();
            assert!(
                selector.iter().all(|(key, value)| labels[key] == *value),
                "{name}: {selector:?}"
            );
        }
        if workload["kind"] == "StatefulSet" {
            let headless = services
                .iter()
                .find(|one| one["metadata"]["name"] == workload["spec"]["serviceName"]);
            assert_eq!(headless.unwrap()["spec"]["clusterIP"], "None", "{name}");
        }
    }
}

/// The program starts with the arguments and the configuration that the chart gives it.
#[test]
fn what_the_chart_starts_starts() {
    for (name, values) in values() {
        let (_, objects) = rendered(&values);
        let config = of_kind(&objects, "ConfigMap")
            .into_iter()
            .find_map(|one| one["data"]["forethought.yml"].as_str());
        let Some(config) = config else {
            assert_eq!(name, "placed-values", "a ConfigMap of the user's own");
            continue;
        };
        let (code, out, error) = {
            let folder = tempdir().unwrap();
            let file = folder.path().join("forethought.yml");
            let token = folder.path().join("token");
            fs::write(&token, "a token").unwrap();
            let config = config.replace("/etc/secrets/token", &token.display().to_string());
            fs::write(
                &file,
                config.replace("/var/lib/forethought", &folder.path().display().to_string()),
            )
            .unwrap();
            command(&["check", &file.display().to_string()])
        };
        assert_eq!(code, 0, "{name}: {out}{error}");
        let workload = objects
            .iter()
            .find(|one| one["kind"] == "Deployment" || one["kind"] == "StatefulSet")
            .unwrap();
        let arguments = workload["spec"]["template"]["spec"]["containers"][0]["args"]
            .as_array()
            .unwrap();
        let mut program = Guarded::start(BINARY, |folder| {
            let file = folder.join("forethought.yml");
            fs::write(&file, "sources: [{name: main, prometheus: {url: 'http://127.0.0.1:9'}}]\nsignals: [{name: up_targets, query: up}]\n").unwrap();
            let local = |argument: &Value| {
                let text = argument.as_str().unwrap();
                match text.split_once('=') {
                    Some(("--config.file", _)) => format!("--config.file={}", file.display()),
                    Some((flag @ ("--web.listen-address" | "--grpc.listen-address"), _)) => {
                        format!("{flag}=127.0.0.1:0")
                    }
                    // Kubernetes puts the number of the pod in.
                    _ => text.replace("$(POD_INDEX)", "1"),
                }
            };
            // The certificates are a Secret's.
            let arguments = arguments.iter().map(local);
            arguments
                .filter(|text| {
                    !text.starts_with("--grpc.config.file") && !text.starts_with("--external.")
                })
                .collect()
        });
        eventually("it listens", 20, || {
            let log = program.log();
            if let Some(status) = program.ended() {
                panic!("{name}: {status}\n{log}");
            }
            match log.contains("listening") {
                true => Ok(()),
                false => Err(tail(&log, 5)),
            }
        });
    }
}

#[test]
fn each_shard_is_told_which_one_it_is() {
    let (_, values) = values()
        .into_iter()
        .find(|(name, _)| name == "shards-values")
        .unwrap();
    let (_, objects) = rendered(&values);
    let workload = &of_kind(&objects, "StatefulSet")[0]["spec"];
    assert_eq!(workload["replicas"], 3);
    let container = &workload["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap();
    for wanted in ["--shard=$(POD_INDEX)/3", "--replica=$(POD_NAME)"] {
        assert!(arguments.iter().any(|one| one == wanted), "{arguments:?}");
    }
    let mut variables = container["env"].as_array().unwrap().iter();
    let index = variables.find(|one| one["name"] == "POD_INDEX").unwrap();
    let path = &index["valueFrom"]["fieldRef"]["fieldPath"];
    assert_eq!(path, "metadata.labels['apps.kubernetes.io/pod-index']");
    // No two of them go at once: each has series that no other has.
    let budget = &of_kind(&objects, "PodDisruptionBudget")[0]["spec"];
    assert_eq!(budget["maxUnavailable"], 1);
    assert!(budget["minAvailable"].is_null());
}

#[test]
fn the_api_server_finds_what_the_chart_serves() {
    let (_, values) = values()
        .into_iter()
        .find(|(name, _)| name == "external-values")
        .unwrap();
    let (_, objects) = rendered(&values);
    let settings = of_kind(&objects, "ConfigMap")
        .into_iter()
        .find_map(|one| one["data"]["external.yml"].as_str());
    let folder = tempdir().unwrap();
    let file = folder.path().join("external.yml");
    fs::write(&file, settings.unwrap()).unwrap();
    let settings = Settings::load(&file).unwrap();
    assert!(settings.needs_kubernetes() && settings.proxy.is_some());

    let service = &of_kind(&objects, "APIService")[0]["spec"]["service"];
    let named = |one: &&&Value| one["metadata"]["name"] == service["name"];
    let services = of_kind(&objects, "Service");
    let found = services.iter().find(named).unwrap();
    let mut ports = found["spec"]["ports"].as_array().unwrap().iter();
    assert!(ports.any(|port| port["port"] == service["port"] && port["name"] == "external"));
    let pod = pods(&objects)[0];
    let mounts = pod["containers"][0]["volumeMounts"].to_string();
    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert!(
        mounts.contains(account),
        "the API server cannot be asked without a token: {mounts}"
    );
    let bindings = [
        of_kind(&objects, "ClusterRoleBinding"),
        of_kind(&objects, "RoleBinding"),
    ]
    .concat();
    for role in [
        "system:auth-delegator",
        "extension-apiserver-authentication-reader",
    ] {
        let binding = bindings.iter().find(|one| one["roleRef"]["name"] == role);
        let subject = &binding.unwrap()["subjects"][0];
        assert_eq!(subject["name"], pod["serviceAccountName"], "{role}");
        assert_eq!(subject["namespace"], "monitoring", "{role}");
    }
}

#[test]
fn the_chart_carries_the_alerts_and_dashboards_of_this_version() {
    let (_, values) = values()
        .into_iter()
        .find(|(name, _)| name == "grpc-values")
        .unwrap();
    let (_, objects) = rendered(&values);
    let rules = of_kind(&objects, "PrometheusRule")[0].to_string();
    for file in ["forethought-self", "scaling", "series"] {
        let shipped: Value =
            serde_yaml::from_str(&read(root().join(format!("alerts/{file}.yml")))).unwrap();
        for rule in shipped["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap())
        {
            let name = rule["alert"].as_str().unwrap_or_default();
            assert!(rules.contains(&format!("\"{name}\"")), "{name}");
        }
    }
    assert!(
        rules.contains("https://wiki.example.org/forethought#")
            && !rules.contains("\"docs/runbooks.md"),
        "links lead somewhere"
    );
    let shown = of_kind(&objects, "ConfigMap")
        .iter()
        .filter(|one| one["metadata"]["labels"]["grafana_dashboard"] == "1")
        .count();
    assert_eq!(shown, files("dashboards", "json").len());
    let chart: Value =
        serde_yaml::from_str(&read(root().join("helm/forethought/Chart.yaml"))).unwrap();
    for key in ["version", "appVersion"] {
        assert_eq!(chart[key], env!("CARGO_PKG_VERSION"), "{key}");
    }
}

#[test]
fn values_that_cannot_be_are_refused_by_name() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    for (values, part) in [
        ("replica: 3", "replica"),
        ("grpc: {enabeld: true}", "enabeld"),
        ("kind: DaemonSet", "kind"),
        ("web: {port: 0}", "port"),
        ("memoryLimit: much", "memoryLimit"),
        ("persistence: {enabled: true}", "kind: StatefulSet"),
        (
            "podMonitor: {enabled: true}\nserviceMonitor: {enabled: true}",
            "choose one",
        ),
        (
            "grpc: {enabled: true, tls: {secretName: x, allowedSans: [keda]}}",
            "requireClientCertificate",
        ),
        (
            "grpc: {enabled: true, tls: {requireClientCertificate: true}}",
            "secretName",
        ),
        ("config: {store: {sqlite: x.db}}", "of one replica"),
        (
            "{replicas: 1, shards: 2, config: {store: {sqlite: x.db}}}",
            "of one replica",
        ),
        ("shards: 0", "shards"),
        ("external: {enabled: true}", "external.tls.secretName"),
        (
            "external: {enabled: true, tls: {secretName: x}}",
            "external.apiService.caBundle",
        ),
        (
            "external: {enabled: true, tls: {secretName: x}, config: {tls_server_config: {}}}",
            "external.config.tls_server_config",
        ),
        (
            "external: {apiService: {caBundle: '-----BEGIN'}}",
            "caBundle",
        ),
    ] {
        fs::write(&file, values).unwrap();
        let error = helm(&[
            "template",
            "release",
            CHART,
            "-f",
            &file.display().to_string(),
        ])
        .unwrap_err();
        assert!(error.contains(part), "{values}: {error}");
    }
}
