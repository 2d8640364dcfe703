//! A process that trains by itself, and one that only shows what is due.

use super::*;
use crate::{contract::Trust, registry::Registry};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_shows_what_is_due_and_trains_where_it_is_told_to() {
    let mut world = World::new().await;
    world.write(&[("requests", 10)]);
    let text = std::fs::read_to_string(world.file()).unwrap();
    let text = text
        .replace("step: 1m, history: 1d", "step: 10m, history: 7d")
        .replace("[15m]", "[20m], train: {model: own, from: 3d}");
    std::fs::write(
        world.file(),
        format!("models: {{directory: models, max_latency: 10s}}\n{text}"),
    )
    .unwrap();
    let shows_only = world.run(world.options()).await;
    shows_only
        .shows("forethought_training_due{model=\"own\"} 1")
        .await;
    let registry = Registry::new(world.folder.path().join("models"), Trust::default(), 5);
    assert!(registry.names().is_err(), "nothing was trained");

    let trains = AppOptions {
        train: Some(TrainingRole::default()),
        ..world.options()
    };
    let running = world.run(trains).await;
    let stored = async {
        while registry.versions("own").is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        timeout(PATIENCE, stored).await.is_ok(),
        "nothing was trained"
    );
    running
        .shows("forethought_training_due{model=\"own\"} 0")
        .await;
    let shown = running.metrics().await;
    assert!(
        shown.contains("forethought_training_runs_total{model=\"own\",result=\"failed\"} 0"),
        "{shown}"
    );
    assert_eq!(registry.versions("own").unwrap(), ["1"]);
}

#[tokio::test]
async fn a_process_that_must_sign_and_has_no_key_does_not_start() {
    let world = World::new().await;
    world.write(&[("requests", 10)]);
    let text = std::fs::read_to_string(world.file()).unwrap();
    let text = text.replace("[15m]", "[15m], train: {model: own}");
    let key = "wqEqMIOsuJOR4gdUTnNJsrWFK6pcbuFb6mLm8b8GkHs=";
    let models = format!("{{directory: models, require_signature: true, trusted_keys: ['{key}']}}");
    std::fs::write(world.file(), format!("models: {models}\n{text}")).unwrap();
    let trains = AppOptions {
        train: Some(TrainingRole::default()),
        ..world.options()
    };
    let problem = App::build(trains).await.unwrap_err().to_string();
    assert!(problem.contains("--models.signing-key"), "{problem}");
    App::build(world.options()).await.unwrap();
}
