//! Who is not answered.

use super::{GROUP, Scene, VERSION, answered, cluster::Mood, metric};
use crate::support::{
    certificates::Authority,
    eventually,
    front::{Caller, PROXY},
    http,
    program::command,
};
use std::fs;
use tokio::time::{Duration, Instant};

#[test]
fn whoever_is_not_the_front_proxy_is_nobody() {
    let scene = Scene::new();
    let program = scene.start(&scene.front.unreviewed());
    let path = metric("predicted-replicas", "workload=checkout");
    let caller = scene.caller(&program);
    answered(&caller, &path, 200);

    let address = program.external_address();
    let forger = Caller::new(&address, &scene.front.own.file("ca.pem"))
        .with("X-Remote-User", "system:admin")
        .with("X-Remote-Group", "system:masters");
    let shown = |authority: &Authority, name: &str| {
        let [certificate, key] = authority.client(name);
        forger.clone().showing(&certificate, &key)
    };
    let other = Authority::new();
    for (who, caller, part) in [
        (
            "without a certificate",
            forger.clone(),
            "no client certificate",
        ),
        ("another authority", shown(&other, PROXY), "authority"),
        (
            "another name",
            shown(&scene.front.proxy, "kubelet"),
            "kubelet",
        ),
        (
            "the server's own authority",
            shown(&scene.front.own, PROXY),
            "authority",
        ),
        ("for nobody", caller.clone().silent(), "x-remote-user"),
    ] {
        for path in [&path, GROUP, VERSION, "/openapi/v2", "/nowhere"] {
            let reply = caller.get(path).unwrap();
            assert_eq!(reply.status, 401, "{who}, {path}: {}", reply.text());
            assert!(
                reply.text().contains(part),
                "{who}, {path}: {}",
                reply.text()
            );
            assert!(
                reply.text().contains("\"reason\":\"Unauthorized\""),
                "{who}: {}",
                reply.text()
            );
        }
        // Probes have no certificate.
        assert_eq!(caller.status("/healthz"), 200, "{who}");
    }
    let plain = http::request("GET", &address, "/healthz", &[], b"");
    assert!(plain.is_err(), "without TLS: {plain:?}");
    let exposed = program.metrics().unwrap();
    let refused = exposed.value(
        "forethought_external_refusals_total",
        &["cause=\"handshake\""],
    );
    assert!(refused.unwrap() >= 1.0, "{}", exposed.text);

    // The next authority of the front proxy.
    let next = Authority::new();
    fs::copy(next.file("ca.pem"), scene.front.proxy.file("ca.pem")).unwrap();
    let path = metric("predicted-replicas", "workload=checkout");
    eventually("the next authority is in force", 40, || {
        match shown(&next, PROXY).get(&path)?.status {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    });
    assert_eq!(
        caller.status(&path),
        401,
        "the former is not believed any more"
    );
}

#[test]
fn discovery_may_be_for_everybody_and_metrics_never() {
    let scene = Scene::new();
    let more = format!(
        "{}\nanonymous_paths: [/healthz, '/apis', {VERSION}, '/openapi/*']",
        scene.front.unreviewed()
    );
    let program = scene.start(&more);
    let nobody = Caller::new(&program.external_address(), &scene.front.own.file("ca.pem"));
    for path in ["/healthz", "/apis", VERSION, "/openapi/v2", "/openapi/v3"] {
        assert_eq!(nobody.status(path), 200, "{path}");
    }
    for path in [
        "/livez",
        GROUP,
        &metric("predicted-replicas", "workload=checkout"),
    ] {
        assert_eq!(nobody.status(path), 401, "{path}");
    }
}

#[test]
fn whoever_may_not_is_told_so_and_nobody_may_where_nobody_knows() {
    let mut scene = Scene::new();
    let more = format!(
        "{}\nauthorization: {{timeout: 2s, cache: 1s}}",
        scene.reviewed()
    );
    let program = scene.start(&more);
    let path = metric("predicted-replicas", "workload=checkout");
    let caller = scene.caller(&program);
    answered(&caller, &path, 200);
    let eve = caller.clone().silent().with("X-Remote-User", "eve");
    let status = answered(&eve, &path, 403);
    let message = status["message"].as_str().unwrap_or_default();
    assert_eq!(status["reason"], "Forbidden", "{status}");
    assert!(
        message.contains("User \"eve\" cannot list resource \"predicted-replicas\"")
            && message.contains("by the rules"),
        "{status}"
    );
    let (before, began) = (scene.cluster.reviews().len(), Instant::now());
    for _ in 0..20 {
        assert_eq!(eve.status(&path), 403);
    }
    let asked = scene.cluster.reviews().len() - before;
    let seconds = began.elapsed().as_secs() as usize;
    assert!(
        asked <= 2 + seconds,
        "{asked} in {seconds} s, of which it remembers one"
    );

    scene.cluster.is(Mood::Strict);
    answered(&caller, &path, 403);
    for mood in [Mood::Broken, Mood::Unsure, Mood::Hung] {
        scene.cluster.is(mood);
        let began = Instant::now();
        let status = answered(&caller, &path, 500);
        assert_eq!(status["reason"], "InternalError", "{mood:?}: {status}");
        assert!(began.elapsed() < Duration::from_secs(10), "{mood:?}");
    }
    scene.cluster.server.refuse();
    answered(&caller, &path, 500);
    assert_eq!(caller.status("/healthz"), 200);
    // As every server of Kubernetes has it: the aggregator looks at discovery as one of these.
    let master = caller.clone().with("X-Remote-Group", "system:masters");
    assert_eq!(master.status(VERSION), 200);
    scene.cluster.is(Mood::Fair);
    scene.cluster.server.resume();
    answered(&caller, &path, 200);
    let exposed = program.metrics().unwrap();
    let failed = exposed.value(
        "forethought_external_access_reviews_total",
        &["result=\"failed\""],
    );
    assert!(failed.unwrap() >= 4.0, "{}", exposed.text);
}

#[test]
fn until_the_front_proxy_is_known_nobody_is_answered() {
    let mut scene = Scene::new();
    scene.cluster.server.refuse();
    let program = scene.start(&scene.reviewed());
    let caller = scene.caller(&program);
    let status = answered(&caller, VERSION, 401);
    assert!(
        status["message"]
            .as_str()
            .is_some_and(|why| why.contains("not known yet")),
        "{status}"
    );
    eventually("it is told", 10, || {
        match program.log().contains("extension-apiserver-authentication") {
            true => Ok(()),
            false => Err(program.log()),
        }
    });
    let known = program
        .metrics()
        .unwrap()
        .value("forethought_external_front_proxy_known", &[]);
    assert_eq!(known, Ok(0.0));
    let exposed = program.metrics().unwrap();
    let gauge = "forethought_external_last_reload_successful";
    assert_eq!(exposed.value(gauge, &["what=\"front_proxy\""]), Ok(0.0));
    assert_eq!(exposed.value(gauge, &["what=\"certificates\""]), Ok(1.0));
    scene.cluster.server.resume();
    answered(&caller, VERSION, 200);
    let autoscaler = metric("predicted-replicas", "workload=checkout");
    answered(&caller, &autoscaler, 200);
}

#[test]
fn another_authority_of_the_cluster_is_in_force_within_about_a_minute() {
    let scene = Scene::new();
    let program = scene.start(&scene.reviewed());
    let former = scene.caller(&program);
    answered(&former, VERSION, 200);
    let next = Authority::new();
    scene
        .cluster
        .trusts(&fs::read_to_string(next.file("ca.pem")).unwrap());
    let [certificate, key] = next.client(PROXY);
    let caller = former.clone().showing(&certificate, &key);
    eventually("the next authority is in force", 90, || {
        match caller.get(VERSION)?.status {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    });
    assert_eq!(former.status(VERSION), 401);
}

#[test]
fn a_file_that_cannot_be_is_refused_with_its_key() {
    let scene = Scene::new();
    let configuration = scene.front.own.file("forethought.yml");
    fs::write(&configuration, scene.shop.configuration()).unwrap();
    let fine = scene.front.unreviewed();
    for (more, part) in [
        ("request_header: {client_ca_file: nowhere.pem, allowed_names: []}\nauthorization: {subject_access_review: false}".to_owned(), "nowhere.pem"),
        ("kubernetes: {kubeconfig: nowhere}".to_owned(), "kubernetes.kubeconfig"),
        (format!("{fine}\nproxy: {{url: 'https://x', tls_config: {{ca_file: nowhere.pem}}}}"), "proxy.tls_config.ca_file"),
        (format!("{fine}\nanonymous_paths: ['/apis*']"), "for users alone"),
        (format!("{fine}\nproxi: 1"), "proxi"),
    ] {
        let file = scene.front.file(&more);
        let (code, out, error) = command(&[
            "run",
            &format!("--config.file={}", configuration.display()),
            "--web.listen-address=127.0.0.1:0",
            "--external.listen-address=127.0.0.1:0",
            &format!("--external.config.file={}", file.display()),
        ]);
        assert_eq!(code, 2, "{more}: {out}{error}");
        assert!(error.contains("--external.config.file: ") && error.contains(part), "{more}: {error}");
    }
    let text = "tls_server_config: {cert_file: server.pem, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}\n";
    let file = scene.front.file("");
    fs::write(&file, text.to_owned() + &fine).unwrap();
    let (code, _, error) = command(&[
        "run",
        &format!("--config.file={}", configuration.display()),
        "--external.listen-address=127.0.0.1:0",
        &format!("--external.config.file={}", file.display()),
    ]);
    assert!(code == 2 && error.contains("client_auth_type"), "{error}");
}
