//! The examples of `docs/examples`: accepted as they are, and every signal finds its series in what its exporter exposes.

use super::points;
use crate::support::{
    eventually, files, now,
    program::{Program, command},
    read,
    server::{Answer, Server},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The example in a hurry, its targets at `address`: each second instead of each minute, which nothing of what is selected
/// depends on.
fn hurried(text: &str, address: &str) -> (String, Vec<String>) {
    let mut whole: Value = serde_yaml::from_str(text).unwrap();
    whole["global"] = json!({"evaluation_interval": "1s"});
    for source in whole["sources"].as_array_mut().unwrap() {
        source["scrape"]["scrape_interval"] = "1s".into();
        source["scrape"]["static_configs"] = json!([{ "targets": [address] }]);
    }
    let mut names = Vec::new();
    for signal in whole["signals"].as_array_mut().unwrap() {
        names.push(signal["name"].as_str().unwrap().to_owned());
        let signal = signal.as_object_mut().unwrap();
        if signal.contains_key("as") {
            signal.insert("window".to_owned(), "5s".into());
        }
        let hurry = json!({"step": "1s", "history": "10m", "offset": "1s", "forecast": {"horizons": ["10s"]}});
        signal.extend(hurry.as_object().unwrap().clone());
    }
    for workload in whole
        .get_mut("workloads")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        workload["lead_time"] = "10s".into();
        workload["pipeline"] = "4s".into();
    }
    // JSON is YAML.
    (whole.to_string(), names)
}

fn exporter(name: &str) -> Server {
    let text = read(format!("tests/fixtures/exporters/{name}.prom"));
    Server::start(move |_| {
        let count = (now() / 10 % 1_000_000_000).to_string();
        let text = text.replace("@COUNT@", &count);
        Answer::Whole(200, "text/plain; version=0.0.4", text)
    })
}

/// What exporters say twice, as a whole and in parts, is counted once.
fn assert_whole(signal: &str, value: f64) {
    let whole = match signal {
        "alb_requests" => 34_123.0,
        // By vhost and queue in the order of labels: `mail`, as queues that clients name by chance are left out.
        "queue_ready_messages" => 17.0,
        _ => return,
    };
    assert_eq!(value, whole, "{signal}");
}

#[test]
fn every_signal_of_every_example_finds_its_series() {
    let examples = files("docs/examples", "yml");
    assert_eq!(examples.len(), 3, "{examples:?}");
    for example in examples {
        let (code, _, err) = command(&["check", example.to_str().unwrap()]);
        assert_eq!((code, err.as_str()), (0, ""));
        let name = example.file_stem().unwrap().to_str().unwrap();
        let exporter = exporter(name);
        let (text, signals) = hurried(&read(&example), &exporter.address());
        let folder = TempDir::new().unwrap();
        let storage = format!("--storage.path={}", folder.path().display());
        let program = Program::start(&text, &[&storage]);
        assert!(signals.len() >= 4);
        for signal in signals {
            eventually(&format!("{name}: {signal} has values"), 60, || {
                let all = points(&program, &signal)?;
                let mut values = all.values().flat_map(|series| series.values());
                match values.next() {
                    Some(value) => {
                        assert_whole(&signal, *value);
                        Ok(())
                    }
                    None => Err(format!("{all:?}")),
                }
            });
        }
    }
}
