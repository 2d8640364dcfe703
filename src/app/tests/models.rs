//! A running process follows the version in force, and keeps the former one where the new one is not sound.

use super::*;
use crate::{
    app::load::Loaded,
    contract::{Manifest, Trust},
    registry::{MODEL_FILE, Registry},
};
use std::path::Path;

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

/// A registry with versions 1 to 3 of a model, the first in force.
fn registry(folder: &Path) -> Registry {
    let registry = Registry::new(folder.join("models"), Trust::default(), 5);
    for version in ["1", "2", "3"] {
        let mut manifest = Manifest::read(&fixture("gru.json")).unwrap();
        manifest.version = version.to_owned();
        let bytes = manifest.to_json().unwrap();
        registry.add(&fixture("gru.onnx"), &bytes).unwrap();
    }
    registry.promote("gru", "1").unwrap();
    registry
}

/// The configuration with the model as the only forecaster of `requests`.
fn write(world: &World, models: &str) {
    world.write(&[("requests", 10)]);
    let text = std::fs::read_to_string(world.file()).unwrap();
    let text = text.replace("[15m]", "[15m], models: [onnx: {model: gru}]");
    std::fs::write(world.file(), format!("models: {models}\n{text}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_follows_the_version_in_force() {
    let mut world = World::new().await;
    let registry = registry(world.folder.path());
    write(&world, "{directory: models, max_latency: 10s}");
    let options = AppOptions {
        poll_interval: Duration::from_millis(50),
        ..world.options()
    };
    let running = world.run(options).await;
    running.is_ready().await;
    running
        .shows("forethought_model_info{model=\"gru\",version=\"1\"} 1")
        .await;
    let of_signal = |version: &str| {
        format!(
            "predicted_model_info{{model=\"onnx\",signal=\"requests\",version=\"gru/{version}\"}} 1"
        )
    };
    running.shows(&of_signal("1")).await;
    registry.promote("gru", "2").unwrap();
    running.shows(&of_signal("2")).await;
    let now = running.metrics().await;
    assert!(
        !now.contains("forethought_model_info{model=\"gru\",version=\"1\"}"),
        "{now}"
    );
    // Changed on disk between promotion and reload: refused, and 2 stays.
    registry.promote("gru", "3").unwrap();
    running.shows(&of_signal("3")).await;
    registry.rollback("gru").unwrap();
    running.shows(&of_signal("2")).await;
    let place = world.folder.path().join("models/gru/3").join(MODEL_FILE);
    std::fs::write(&place, "swapped").unwrap();
    let pin = registry.in_force("gru").unwrap().pin.0;
    std::fs::write(&pin, "{\"format\": 1, \"version\": \"3\"}").unwrap();
    running
        .shows("forethought_config_last_reload_successful 0")
        .await;
    let (status, answer) = running.ask("POST", "/-/reload").await;
    assert_eq!(status, 500);
    assert!(answer.contains("SHA-256"), "{answer}");
    let after = running.metrics().await;
    assert!(after.contains(&of_signal("2")), "{after}");
    assert!(
        after.contains("predicted_requests{") && after.contains("horizon=\"15m\""),
        "{after}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_followed_though_the_former_one_is_gone_and_trust_is_asked_anew() {
    let mut world = World::new().await;
    let registry = registry(world.folder.path());
    write(&world, "{directory: models, max_latency: 10s}");
    let options = AppOptions {
        poll_interval: Duration::from_millis(50),
        ..world.options()
    };
    let running = world.run(options).await;
    running.is_ready().await;
    let version =
        |version: &str| format!("forethought_model_info{{model=\"gru\",version=\"{version}\"}} 1");
    running.shows(&version("1")).await;
    std::fs::remove_dir_all(world.folder.path().join("models/gru/1")).unwrap();
    registry.promote("gru", "2").unwrap();
    running.shows(&version("2")).await;
    // Nobody signed it: from now on that matters, also for what runs.
    write(
        &world,
        "{directory: models, max_latency: 10s, require_signature: true, trusted_keys: \
        ['11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=']}",
    );
    running
        .shows("forethought_config_last_reload_successful 0")
        .await;
    let (status, answer) = running.ask("POST", "/-/reload").await;
    assert!(
        status == 500 && answer.contains("is not signed"),
        "{answer}"
    );
    running.shows(&version("2")).await;
}

#[tokio::test]
async fn what_is_not_sound_does_not_start() {
    let world = World::new().await;
    let registry = registry(world.folder.path());
    let refusal = async |models: &str| {
        write(&world, models);
        let built = App::build(world.options()).await;
        built
            .err()
            .map(|error| (error.exit_code(), error.to_string()))
            .unwrap_or_default()
    };
    let (code, text) = refusal(
        "{directory: models, max_latency: 10s, require_signature: true, trusted_keys: \
        ['11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=']}",
    )
    .await;
    assert!(
        code == 2 && text.contains("models/gru/1/model.onnx: is not signed"),
        "{text}"
    );
    let (_, text) = refusal("{directory: elsewhere}").await;
    assert!(text.contains("no version is in force"), "{text}");
    let (_, text) = refusal("{}").await;
    assert!(
        text.contains("forecast.models[0].onnx.model: needs the registry of models"),
        "{text}"
    );
    std::fs::remove_file(registry.in_force("gru").unwrap().pin.0).unwrap();
    let (_, text) = refusal("{directory: models}").await;
    assert!(
        text.contains("forethought models promote gru VERSION"),
        "{text}"
    );
}

/// Another version of the model.
fn add(registry: &Registry, version: &str) {
    let mut manifest = Manifest::read(&fixture("gru.json")).unwrap();
    manifest.version = version.to_owned();
    let bytes = manifest.to_json().unwrap();
    registry.add(&fixture("gru.onnx"), &bytes).unwrap();
}

/// The versions beside the one in force, as they were read.
fn beside(loaded: &Loaded) -> String {
    let marker = |path: &&std::path::PathBuf| path.to_string_lossy().contains(".beside-");
    let path = loaded.models.keys().find(marker).unwrap();
    String::from_utf8_lossy(&loaded.models[path]).into_owned()
}

#[tokio::test]
async fn the_former_version_and_the_challenger_run_beside_the_one_in_force_and_are_followed() {
    let world = World::new().await;
    let registry = registry(world.folder.path());
    let wish = |wish: &str| {
        write(&world, "{directory: models, max_latency: 10s}");
        let text = std::fs::read_to_string(world.file()).unwrap();
        let text = text.replace("{model: gru}", &format!("{{model: gru{wish}}}"));
        std::fs::write(world.file(), text).unwrap();
    };
    let read = async || {
        let loaded = load(&world.options()).await?;
        let seen = load::peek(&world.options(), &loaded.models, &loaded.calendar_files).await;
        assert_eq!(seen, Some(loaded.hash), "nothing changed since");
        Ok::<_, String>(loaded)
    };
    wish("");
    assert_eq!(beside(&read().await.unwrap()), "");
    registry.promote("gru", "2").unwrap();
    assert_eq!(beside(&read().await.unwrap()), "previous gru/1\n");
    wish(", challenger: newest");
    let loaded = read().await.unwrap();
    assert_eq!(beside(&loaded), "previous gru/1\nchallenger gru/3\n");

    // A new version is noticed as a new pin is.
    add(&registry, "10");
    let seen = load::peek(&world.options(), &loaded.models, &loaded.calendar_files).await;
    assert!(seen.is_some() && seen != Some(loaded.hash));
    let newer = read().await.unwrap();
    assert_eq!(beside(&newer), "previous gru/1\nchallenger gru/10\n");
    // Somebody went back from it: it does not challenge by itself.
    registry.promote("gru", "10").unwrap();
    registry.rollback("gru").unwrap();
    assert_eq!(beside(&read().await.unwrap()), "previous gru/10\n");
    wish(", challenger: 3");
    assert_eq!(
        beside(&read().await.unwrap()),
        "previous gru/10\nchallenger gru/3\n"
    );
    wish(", challenger: 4");
    let told = beside(&read().await.unwrap());
    assert_eq!(told, "previous gru/10\n", "there is no version 4: left out");

    // One that is not sound is no challenger unless it was named; the one in force runs in any case.
    let swapped = world.folder.path().join("models/gru/3").join(MODEL_FILE);
    std::fs::write(swapped, "swapped").unwrap();
    wish(", challenger: 3");
    let problem = App::build(world.options()).await.unwrap_err().to_string();
    assert!(problem.contains("SHA-256"), "{problem}");
    registry.promote("gru", "1").unwrap();
    std::fs::remove_dir_all(world.folder.path().join("models/gru/10")).unwrap();
    wish(", challenger: newest");
    assert_eq!(
        beside(&read().await.unwrap()),
        "previous gru/2\nchallenger gru/3\n"
    );
    App::build(world.options()).await.unwrap();
}
