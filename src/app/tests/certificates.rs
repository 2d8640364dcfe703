//! Whether what servers have in force is what lies on disk.

use super::{
    super::{
        AppOptions, ConfigSource, external_service::ExternalService, scaler_service::ScalerService,
    },
    ANY_PORT,
};
use crate::{
    engine::{Catalogue, Clock, Served},
    telemetry::Telemetry,
};
use std::{fs, path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::time::{Duration, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Every file is looked at within this.
const LOOKED_AT: Duration = Duration::from_secs(60);

/// The folder of a server, with its certificate and a file that names it.
fn folder(more: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let file = |name: &str| folder.path().join(name);
    for name in ["server.pem", "front.pem", "other.pem"] {
        fs::write(file(name), own.cert.pem()).unwrap();
    }
    fs::write(file("server.key"), own.signing_key.serialize_pem()).unwrap();
    let text =
        format!("tls_server_config: {{cert_file: server.pem, key_file: server.key}}\n{more}");
    fs::write(file("server.yml"), text).unwrap();
    folder
}

fn served() -> Served {
    Served {
        catalogue: Arc::new(Catalogue::default()),
        clock: Clock::System,
        ready: Arc::default(),
    }
}

fn options() -> AppOptions {
    AppOptions::new(ConfigSource::File("none.yml".into()))
}

/// The value of a sample, by its name and labels.
fn shown(telemetry: &Telemetry, sample: &str) -> Option<f64> {
    let text = telemetry.open_metrics().unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

/// Breaks the file, mends it, and looks at what is told of it after each.
async fn breaks_and_is_mended(telemetry: &Telemetry, file: &Path, gauge: &str, failures: &str) {
    sleep(LOOKED_AT).await;
    assert_eq!(shown(telemetry, gauge), Some(1.0), "at first");
    let (sound, before) = (fs::read(file).unwrap(), shown(telemetry, failures).unwrap());
    fs::write(file, "neither a certificate nor a key").unwrap();
    sleep(LOOKED_AT * 3).await;
    assert_eq!(shown(telemetry, gauge), Some(0.0), "{file:?} is broken");
    assert_eq!(
        shown(telemetry, failures),
        Some(before + 1.0),
        "counted once"
    );
    fs::write(file, sound).unwrap();
    sleep(LOOKED_AT).await;
    assert_eq!(shown(telemetry, gauge), Some(1.0), "{file:?} is mended");
    assert_eq!(shown(telemetry, failures), Some(before + 1.0));
}

#[tokio::test(start_paused = true)]
async fn a_server_of_scalers_tells_whether_its_certificates_are_in_force() {
    let folder = folder("");
    let options = AppOptions {
        grpc: vec![ANY_PORT],
        grpc_config: Some(folder.path().join("server.yml")),
        ..options()
    };
    let telemetry = Telemetry::default();
    let gauge = "forethought_scaler_last_reload_successful{what=\"certificates\"}";
    assert_eq!(shown(&telemetry, gauge), None, "no server has any");
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let service = ScalerService::build(&options).await.unwrap();
    service.start(served(), &telemetry, &tracker, &stop);
    let failures = "forethought_scaler_certificate_failures_total";
    for name in ["server.key", "server.pem", "server.yml"] {
        let file = folder.path().join(name);
        breaks_and_is_mended(&telemetry, &file, gauge, failures).await;
    }
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn the_external_metrics_api_tells_whether_its_files_are_in_force() {
    let folder = folder(
        "request_header: {client_ca_file: front.pem, allowed_names: []}\n\
         authorization: {subject_access_review: false}\n\
         proxy: {url: 'https://adapter', tls_config: {ca_file: other.pem}}\n",
    );
    let options = AppOptions {
        external: vec![ANY_PORT],
        external_config: Some(folder.path().join("server.yml")),
        ..options()
    };
    let telemetry = Telemetry::default();
    let gauge = |what| format!("forethought_external_last_reload_successful{{what=\"{what}\"}}");
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let service = ExternalService::build(&options).await.unwrap().unwrap();
    service.start(served(), &telemetry, &tracker, &stop);
    let all = [
        ("certificates", "server.key"),
        ("front_proxy", "front.pem"),
        ("proxy", "other.pem"),
    ];
    let failures = "forethought_external_reload_failures_total";
    for (what, name) in all {
        let file = folder.path().join(name);
        breaks_and_is_mended(&telemetry, &file, &gauge(what), failures).await;
    }
    // One of them is broken, and the others are what they were.
    fs::write(folder.path().join("front.pem"), "").unwrap();
    sleep(LOOKED_AT).await;
    let told = all.map(|(what, _)| shown(&telemetry, &gauge(what)));
    assert_eq!(told, [Some(1.0), Some(0.0), Some(1.0)]);
    stop.cancel();
}
