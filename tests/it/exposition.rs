//! What is exposed, in the eyes of others: promtool, Python's prometheus_client, prometheus-parse.

use crate::support::{guard::output, http, live::live, read, root, servers::python};
use prometheus_parse::{Scrape, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Runs a Python program on a text; what it printed.
fn judge(program: &str, text: &str) -> String {
    let output = output(&python("python"), &["-c", program], Some(text));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}",
        said.lines().last().unwrap_or("")
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn as_text() -> String {
    live().program.metrics().unwrap().text
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let output = output("promtool", &["check", "metrics"], Some(&as_text()));
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "");
    assert!(output.status.success());
}

#[test]
fn promtool_would_complain() {
    let wrong = "# TYPE anomaly_score gauge\nanomaly_score{quantile=\"1\"} 1\n";
    let output = output("promtool", &["check", "metrics"], Some(wrong));
    assert!(!output.status.success());
}

#[test]
fn the_open_metrics_parser_of_python_accepts_it() {
    let accept = "application/openmetrics-text;version=1.0.0";
    let address = live().program.address();
    let reply = http::request("GET", address, "/metrics", &[("Accept", accept)], b"").unwrap();
    let kind = reply.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = reply.text();
    let program = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        print(sum(len(family.samples) for family in parse(sys.stdin.read())))";
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(judge(program, &text).trim(), samples.to_string());
    assert!(samples > 50, "{samples} samples");
}

/// A sample: name, labels, value as text.
type Sample = (String, BTreeMap<String, String>, String);

fn with_python(text: &str) -> BTreeSet<Sample> {
    let program = "import sys, json\n\
        from prometheus_client.parser import text_string_to_metric_families as parse\n\
        print(json.dumps([[s.name, s.labels, repr(float(s.value))] for f in parse(sys.stdin.read()) for s in f.samples]))";
    let samples: Vec<Sample> = serde_json::from_str(&judge(program, text)).unwrap();
    let number = |text: String| text.parse::<f64>().unwrap().to_string();
    samples
        .into_iter()
        .map(|(name, labels, value)| (name, labels, number(value)))
        .collect()
}

fn with_prometheus_parse(text: &str) -> BTreeSet<Sample> {
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let samples = scrape.samples.into_iter().filter_map(|sample| {
        let (Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value)) = sample.value
        else {
            return None; // it gathers the buckets of a histogram
        };
        let labels = sample.labels.iter();
        let labels = labels
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Some((sample.metric, labels, value.to_string()))
    });
    samples.collect()
}

#[test]
fn prometheus_parse_reads_the_same_as_python() {
    let text = as_text();
    let theirs = with_prometheus_parse(&text);
    let judged = with_python(&text);
    let missing: Vec<_> = theirs.difference(&judged).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // It cannot be trusted with histograms; everything else it must have seen.
    let rest = judged
        .difference(&theirs)
        .filter(|(name, ..)| !name.ends_with("_bucket"));
    let rest: Vec<_> = rest.collect();
    assert!(rest.is_empty(), "{rest:?}");
    assert!(theirs.len() > 50, "{} samples", theirs.len());
}

#[test]
fn every_metric_we_expose_is_in_the_readme() {
    // Looks for the table itself: a README without one promises nothing yet.
    let readme = if root().join("README.md").exists() {
        read("README.md")
    } else {
        String::new()
    };
    if !readme.contains("| `predicted_<signal>`") {
        println!("SKIPPED: README.md has no table of metrics");
        return;
    }
    let exposed = live().program.metrics().unwrap();
    let signal = crate::support::live::SIGNAL;
    let names = exposed.families().into_iter();
    let names = names.map(|name| name.replace(signal, "<signal>"));
    let missing: Vec<_> = names
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "not in the README's table: {missing:#?}"
    );
}
