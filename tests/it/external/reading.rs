//! What Kubernetes reads.

use super::{GROUP, Scene, VERSION, answered, metric};
use crate::support::{
    eventually,
    front::AUTOSCALER,
    server::{Answer, Server},
    servers::kubectl,
};
use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::Time};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

/// As `k8s.io/metrics` has it, of Kubernetes' own parts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalMetricValue {
    metric_name: String,
    metric_labels: BTreeMap<String, String>,
    timestamp: Time,
    value: Quantity,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalMetricValueList {
    kind: String,
    api_version: String,
    items: Vec<ExternalMetricValue>,
}

/// A quantity in thousandths.
fn milli(quantity: &str) -> f64 {
    match quantity.strip_suffix('m') {
        Some(digits) => digits.parse().unwrap(),
        None => quantity.parse::<f64>().unwrap() * 1_000.0,
    }
}

#[test]
fn kubernetes_own_types_read_the_recommendation() {
    let scene = Scene::new();
    let program = scene.start(&scene.reviewed());
    let caller = scene.caller(&program);
    let path = metric("predicted-replicas", "workload=checkout");
    let list = answered(&caller, &path, 200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = kube::Client::try_from(caller.kube()).unwrap();
        let get = |path: &str| hyper::Request::get(path).body(Vec::new()).unwrap();
        let list: ExternalMetricValueList = client.request(get(&path)).await.unwrap();
        assert_eq!(list.kind, "ExternalMetricValueList");
        assert_eq!(list.api_version, "external.metrics.k8s.io/v1beta1");
        let [value] = list.items.as_slice() else {
            panic!("{list:?}")
        };
        assert_eq!(value.metric_name, "predicted-replicas");
        assert_eq!(value.metric_labels["workload"], "checkout");
        assert!(
            (0.0..=60_000.0).contains(&milli(&value.value.0)),
            "{value:?}"
        );
        let age = crate::support::now() - value.timestamp.0.as_millisecond();
        assert!((-1_000..60_000).contains(&age), "{age}");

        let groups = client.list_api_groups().await.unwrap();
        assert_eq!(groups.groups[0].name, "external.metrics.k8s.io");
        let preferred = groups.groups[0].preferred_version.clone().unwrap();
        let resources = client
            .list_api_group_resources(&preferred.group_version)
            .await
            .unwrap();
        let names: Vec<&str> = resources
            .resources
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        let own =
            ["checkout", "watched", "resting"].map(|name| format!("predicted-replicas-{name}"));
        assert_eq!(names, ["predicted-replicas", &own[0], &own[1], &own[2]]);
        assert!(resources.resources.iter().all(|one| one.namespaced));
        let all = client.list_api_groups_aggregated().await.unwrap();
        let all = serde_json::to_value(&all.items).unwrap();
        assert_eq!(
            all[0]["versions"][0]["resources"][0]["resource"], "predicted-replicas",
            "{all}"
        );
        let version = client.apiserver_version().await.unwrap();
        assert_eq!(
            version.git_version,
            format!("v{}", env!("CARGO_PKG_VERSION"))
        );

        let wrong = client
            .request::<Value>(get(&metric("predicted-replicas", "workload=cart")))
            .await;
        let kube::Error::Api(status) = wrong.unwrap_err() else {
            panic!("no status")
        };
        assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
    });
    let reviews = scene.cluster.reviews();
    let of_metric: Vec<&Value> = reviews
        .iter()
        .filter(|review| !review["resourceAttributes"].is_null())
        .collect();
    assert_eq!(
        of_metric[0]["resourceAttributes"],
        json!({"group": "external.metrics.k8s.io", "version": "v1beta1", "namespace": "shop", "resource": "predicted-replicas", "verb": "list"})
    );
    assert_eq!(of_metric[0]["user"], AUTOSCALER);
    assert_eq!(
        of_metric[0]["groups"],
        json!(["system:serviceaccounts", "system:authenticated"])
    );
    let exposed = program.metrics().unwrap();
    let asked = exposed.value(
        "forethought_external_requests_total",
        &["resource=\"metric\"", "code=\"200\""],
    );
    assert!(asked.unwrap() >= 2.0, "{}", exposed.text);
    let reviewed = exposed.value(
        "forethought_external_access_reviews_total",
        &["result=\"allowed\""],
    );
    assert_eq!(reviewed, Ok(reviews.len() as f64));
    assert_eq!(
        exposed.value("forethought_external_front_proxy_known", &[]),
        Ok(1.0)
    );
    for what in ["certificates", "front_proxy"] {
        let label = format!("what=\"{what}\"");
        let current = exposed.value("forethought_external_last_reload_successful", &[&label]);
        assert_eq!(current, Ok(1.0), "{what}");
    }
}

#[test]
fn many_requests_share_a_connection_until_the_program_stops() {
    let scene = Scene::new();
    let mut program = scene.start(&scene.reviewed());
    let caller = scene.caller(&program);
    let path = metric("predicted-replicas", "workload=checkout");
    answered(&caller, &path, 200);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let client = caller.http2();
    runtime.block_on(async {
        let first = client.request(caller.request(&path)).await.unwrap();
        assert_eq!(
            (first.status().as_u16(), first.version()),
            (200, hyper::Version::HTTP_2)
        );
        let mut all = JoinSet::new();
        for _ in 0..100 {
            let reply = client.request(caller.request(&path));
            all.spawn(timeout(Duration::from_secs(20), reply));
        }
        for reply in all.join_all().await {
            assert_eq!(reply.unwrap().unwrap().status(), 200);
        }
    });
    eventually("one connection carries all", 10, || {
        let open = program
            .metrics()?
            .value("forethought_external_connections", &[])?;
        match open == 1.0 {
            true => Ok(()),
            false => Err(open.to_string()),
        }
    });
    // One that is kept open holds up nobody.
    program.signal("TERM");
    assert!(program.wait(20).success(), "{}", program.log());
    let gone = runtime.block_on(client.request(caller.request(&path)));
    assert!(gone.is_err(), "{gone:?}");
}

#[test]
fn kubectl_reads_the_recommendation() {
    let scene = Scene::new();
    let program = scene.start(&scene.front.unreviewed());
    let caller = scene.caller(&program);
    let path = metric("predicted-replicas-checkout", "");
    answered(&caller, &path, 200);
    let front = caller.serve();
    let kubectl = |arguments: &[&str]| kubectl(&front.address(), arguments);
    let (fine, out, error) = kubectl(&["get", "--raw", &path]);
    assert!(fine, "{error}");
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        list["items"][0]["metricLabels"],
        json!({"workload": "checkout"}),
        "{list}"
    );
    let (fine, out, error) = kubectl(&[
        "api-resources",
        "--api-group=external.metrics.k8s.io",
        "--no-headers",
    ]);
    assert!(fine && error.is_empty(), "{out}{error}");
    let line = out
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .collect::<Vec<_>>();
    assert_eq!(
        line,
        [
            "predicted-replicas",
            "external.metrics.k8s.io/v1beta1",
            "true",
            "ExternalMetricValueList"
        ]
    );
    let (fine, out, error) = kubectl(&["api-versions"]);
    assert!(
        fine && out.contains("external.metrics.k8s.io/v1beta1"),
        "{out}{error}"
    );
    let (fine, _, error) = kubectl(&[
        "get",
        "--raw",
        &metric("predicted-replicas", "workload=cart"),
    ]);
    assert!(
        !fine && error.contains("workload=NAME with one of checkout"),
        "{error}"
    );
    program.becomes_ready();
    let (fine, out, _) = kubectl(&["get", "--raw", "/readyz"]);
    assert!(fine && out == "ok", "{out}");
    for path in [GROUP, VERSION, "/openapi/v2", "/openapi/v3", "/version"] {
        let (fine, out, error) = kubectl(&["get", "--raw", path]);
        assert!(
            fine && serde_json::from_str::<Value>(&out).is_ok(),
            "{path}: {out}{error}"
        );
    }
}

#[test]
fn what_is_not_known_is_an_error_and_never_a_number() {
    let scene = Scene::new();
    scene.shop.fails.store(true, Ordering::Relaxed);
    let program = scene.start(&scene.front.unreviewed());
    let caller = scene.caller(&program);
    let path = metric("predicted-replicas", "workload=checkout");
    let status = answered(&caller, &path, 503);
    assert_eq!(status["kind"], "Status", "{status}");
    assert_eq!(status["reason"], "ServiceUnavailable", "{status}");
    assert_eq!(caller.status("/healthz"), 200);
    assert_eq!(caller.status("/readyz"), 500, "nothing is there to serve");
    assert_eq!(
        caller.status(VERSION),
        200,
        "discovery does not wait for a decision"
    );

    scene.shop.fails.store(false, Ordering::Relaxed);
    answered(&caller, &path, 200);
    // In thousandths, rounded up, and the same as over JSON.
    eventually("both ways say the same", 30, || {
        let told = program.json("/api/v1/scaling/value?workload=checkout")?;
        let list: Value =
            serde_json::from_slice(&caller.get(&path)?.body).map_err(|error| error.to_string())?;
        let (asked, told) = (
            told["value"].as_f64().unwrap(),
            list["items"][0]["value"].as_str().unwrap_or("0"),
        );
        let over = milli(told) - asked * 1_000.0;
        match (-1e-6..1.0).contains(&over) {
            true => Ok(()),
            false => Err(format!("{told} for {asked}")),
        }
    });
    for (name, selector, code, part) in [
        ("predicted-replicas", "", 400, "add them up"),
        (
            "predicted-replicas",
            "workload in (checkout,watched)",
            400,
            "add them up",
        ),
        (
            "predicted-replicas",
            "workload notin (checkout,watched,resting)",
            404,
            "workload=NAME",
        ),
        ("predicted-replicas", "workload=a=b", 400, "labelSelector"),
        ("predicted-replicas", "workload=resting", 409, "mode off"),
        ("predicted-replicas-chekcout", "", 404, "checkout, watched"),
        ("queue", "", 404, "predicted-replicas"),
    ] {
        let status = answered(&caller, &metric(name, selector), code);
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{name} {selector}: {status}");
        assert!(status["items"].is_null(), "{status}");
    }
    answered(
        &caller,
        &metric("predicted-replicas", "workload!=watched,workload!=resting"),
        200,
    );
    let protobuf = caller
        .clone()
        .with("Accept", "application/vnd.kubernetes.protobuf");
    answered(&protobuf, &path, 406);
    assert_eq!(caller.ask("DELETE", &path).unwrap().status, 405);
    assert_eq!(caller.status(&format!("{path}&watch=true")), 405);

    scene.shop.fails.store(true, Ordering::Relaxed);
    let status = answered(&caller, &path, 503);
    let message = status["message"].as_str().unwrap_or_default();
    assert!(message.contains("not known"), "{status}");
}

#[test]
fn what_is_not_ours_is_asked_for_elsewhere() {
    let scene = Scene::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let mut other = Server::start(move |asked| {
        let token = asked.header("authorization").to_owned();
        let via = asked.header("via").to_owned();
        seen.lock().unwrap().push((asked.uri.clone(), token, via));
        match asked.path.rsplit('/').next().unwrap() {
            "queue" => Answer::json(
                200,
                json!({"kind": "ExternalMetricValueList", "items": [{"value": "7"}]}).to_string(),
            ),
            "page" => Answer::Whole(200, "text/html", "<html>log in</html>".to_owned()),
            "secret" => Answer::json(403, json!({"kind": "Status", "code": 403}).to_string()),
            "slow" => Answer::Hang,
            _ => Answer::json(
                404,
                json!({"kind": "Status", "code": 404, "message": "theirs"}).to_string(),
            ),
        }
    });
    let more = format!(
        "{}\nproxy: {{url: 'http://{}', timeout: 1s, authorization: {{credentials_file: token}}}}",
        scene.front.unreviewed(),
        other.address()
    );
    let token = scene.front.own.file("token");
    std::fs::write(&token, "one\n").unwrap();
    let program = scene.start(&more);
    let caller = scene.caller(&program);
    let path = metric("queue", "name in (a b,c)");
    let list = answered(&caller, &path, 200);
    assert_eq!(list["items"][0]["value"], "7");
    std::fs::write(&token, "two\n").unwrap();
    assert_eq!(caller.status(&path), 200);
    let all = asked.lock().unwrap().clone();
    let tokens: Vec<&str> = all.iter().map(|(_, token, _)| token.as_str()).collect();
    assert_eq!(
        tokens,
        ["Bearer one", "Bearer two"],
        "a token is another one every hour"
    );
    assert!(
        all[0].0
            == "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue?labelSelector=name%20in%20%28a%20b%2Cc%29",
        "{all:?}"
    );
    assert!(all[0].2.contains("forethought"), "{all:?}");
    for (name, code, part) in [
        ("page", 503, "log in"),
        ("secret", 503, "does not let us in"),
        ("slow", 503, "1s"),
        ("nobody", 404, "theirs"),
        ("predicted-replicas-cart", 404, "checkout"),
    ] {
        let status = answered(&caller, &metric(name, ""), code);
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{name}: {status}");
    }
    let looped = caller.clone().with("Via", "1.1 forethought-external");
    assert!(
        looped.get(&path).unwrap().text().contains("leads back"),
        "it would go round for ever"
    );
    // What is ours does not wait for others, nor end with them.
    other.refuse();
    let gone = answered(&caller, &path, 503);
    assert_eq!(gone["reason"], "ServiceUnavailable", "{gone}");
    answered(
        &caller,
        &metric("predicted-replicas", "workload=checkout"),
        200,
    );
    other.resume();
    answered(&caller, &path, 200);
    let exposed = program.metrics().unwrap();
    let failed = exposed.value(
        "forethought_external_handed_on_total",
        &["result=\"failed\""],
    );
    assert!(failed.unwrap() >= 4.0, "{}", exposed.text);
}
