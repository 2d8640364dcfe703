//! Who may ask: certificates of the server and of clients, and what happens when they change.

use super::{Shop, ask, streams, text};
use crate::support::{
    certificates::Authority,
    eventually,
    program::{Program, command},
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// A client called `host`, as questions name it.
fn client(authority: &Authority, host: &str) -> Value {
    let [certificate, key] = authority.client(host);
    json!({"ca": text(&authority.file("ca.pem")), "cert": text(&certificate), "key": text(&key)})
}

/// A server's folder: its file, certificate and key.
fn configured(authority: &Authority, more: &str) -> PathBuf {
    authority.sign(
        "localhost",
        &authority.file("server.pem"),
        &authority.file("server.key"),
    );
    let file = authority.file("tls.yml");
    let text =
        format!("tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n{more}");
    fs::write(&file, text).unwrap();
    file
}

fn spec(address: &str, tls: &Value) -> Value {
    ask(json!([{"address": address, "call": "GetMetricSpec", "name": "checkout", "tls": tls}]))[0]
        .clone()
}

#[test]
fn only_clients_that_prove_who_they_are_may_ask() {
    let (authority, other) = (Authority::new(), Authority::new());
    let more = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [keda-operator]\n";
    let file = configured(&authority, more);
    let shop = Shop::open();
    let flag = format!("--grpc.config.file={}", file.display());
    let program = Program::start(
        &shop.configuration(),
        &["--grpc.listen-address=127.0.0.1:0", &flag],
    );
    let address = program.grpc_address();

    let operator = client(&authority, "keda-operator");
    let answer = spec(&address, &operator);
    assert_eq!(answer["code"], "OK", "{answer}\n{}", program.log());
    let nameless = json!({"ca": operator["ca"]});
    let foreign = json!({"ca": operator["ca"], "cert": client(&other, "keda-operator")["cert"], "key": client(&other, "keda-operator")["key"]});
    let misled = client(&other, "keda-operator");
    for (who, tls) in [
        ("without a certificate", &nameless),
        ("another name", &client(&authority, "prometheus")),
        ("a name that another authority has signed", &foreign),
        ("who does not know the authority", &misled),
    ] {
        let answer = spec(&address, tls);
        assert_eq!(answer["code"], "UNAVAILABLE", "{who}: {answer}");
    }
    let plain = ask(json!([{"address": address, "call": "GetMetricSpec", "name": "checkout"}]));
    assert_eq!(plain[0]["code"], "UNAVAILABLE", "without TLS: {plain:?}");
    let exposed = program.metrics().unwrap();
    let refused = |cause: &str| {
        exposed.value(
            "forethought_scaler_refusals_total",
            &[&format!("cause=\"{cause}\"")],
        )
    };
    assert!(
        refused("identity").unwrap() >= 1.0 && refused("handshake").unwrap() >= 3.0,
        "{}",
        exposed.text
    );
}

#[test]
fn a_certificate_that_changed_is_used_and_a_broken_one_is_not() {
    let (authority, next) = (Authority::new(), Authority::new());
    let file = configured(&authority, "  min_version: TLS13\n");
    let shop = Shop::open();
    let flag = format!("--grpc.config.file={}", file.display());
    let program = Program::start(
        &shop.configuration(),
        &["--grpc.listen-address=127.0.0.1:0", &flag],
    );
    let address = program.grpc_address();
    let trust = |authority: &Authority| json!({"ca": text(&authority.file("ca.pem"))});
    assert_eq!(spec(&address, &trust(&authority))["code"], "OK");

    let current = |wanted: f64| {
        let current = program
            .metrics()?
            .value("forethought_scaler_last_reload_successful", &[])?;
        match current == wanted {
            true => Ok(()),
            false => Err(program.log()),
        }
    };
    eventually("they are in force", 10, || current(1.0));
    fs::write(authority.file("server.key"), "no key").unwrap();
    eventually("it is told", 40, || current(0.0));
    let exposed = program.metrics().unwrap();
    let failures = exposed.value("forethought_scaler_certificate_failures_total", &[]);
    assert_eq!(failures, Ok(1.0), "{}", program.log());
    assert_eq!(
        spec(&address, &trust(&authority))["code"],
        "OK",
        "the former is in force"
    );

    // Who holds a stream since the former ones is not left on it.
    let held = json!([{
        "address": address, "call": "StreamIsActive", "name": "checkout", "seconds": 60, "tls": trust(&authority)
    }]);
    let ended = std::thread::scope(|scope| {
        let held = scope.spawn(|| ask(held));
        streams(&program);
        next.sign(
            "localhost",
            &authority.file("server.pem"),
            &authority.file("server.key"),
        );
        eventually("the next one is in force", 40, || {
            let answer = spec(&address, &trust(&next));
            match answer["code"] == "OK" {
                true => Ok(()),
                false => Err(answer.to_string()),
            }
        });
        held.join().unwrap()
    });
    eventually("the next ones are in force", 10, || current(1.0));
    assert_eq!(ended[0]["code"], "UNAVAILABLE", "{ended:?}");
    let details = ended[0]["details"].as_str().unwrap_or_default();
    assert!(details.contains("connect again"), "{ended:?}");
}

#[test]
fn a_file_that_cannot_be_is_refused_with_its_key() {
    let authority = Authority::new();
    let shop = Shop::open();
    let configuration = authority.file("forethought.yml");
    fs::write(&configuration, shop.configuration()).unwrap();
    for (more, part) in [
        (
            "  client_auth_type: RequireAndVerifyClientCert\n",
            "client_ca_file: is needed",
        ),
        ("  client_ca_file: ca.pem\n", "needs client_auth_type"),
        (
            "  client_auth_type: RequireAnyClientCert\n",
            "RequireAnyClientCert",
        ),
        ("  client_ca_file: nowhere.pem\n", "nowhere.pem"),
        ("  cert_fiel: x\n", "cert_fiel"),
        ("  client_allowed_sans: [keda]\n", "client_allowed_sans"),
        (
            "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n  client_allowed_sans: [keda]\n",
            "needs client_auth_type: RequireAndVerifyClientCert",
        ),
    ] {
        let file = configured(&authority, more);
        let (code, out, error) = command(&[
            "run",
            &format!("--config.file={}", configuration.display()),
            "--web.listen-address=127.0.0.1:0",
            "--grpc.listen-address=127.0.0.1:0",
            &format!("--grpc.config.file={}", file.display()),
        ]);
        assert_eq!(code, 2, "{more}: {out}{error}");
        assert!(
            error.contains("--grpc.config.file: ") && error.contains(part),
            "{more}: {error}"
        );
    }
}
