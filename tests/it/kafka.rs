//! Topics of Kafka, by way of librdkafka's own mock cluster; its own client writes what we read, and reads what we write.

mod cluster;

use crate::support::{
    eventually,
    fake::Fake,
    guard::free_port,
    now,
    program::{Program, command},
    servers::PASTS,
};
use cluster::Cluster;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

/// Seconds of past that are in the topic before anybody reads it.
const PAST: i64 = 800;
/// Series, each of which jumps once; each in a partition of its own.
const PODS: [&str; 3] = ["a", "b", "c"];
const PACKED: [&str; 5] = ["none", "gzip", "lz4", "snappy", "zstd"];

/// One signal of a topic, a grid time a second, of which every sample counts.
fn configuration(brokers: &str, start: &str) -> String {
    format!(
        r#"
global: {{evaluation_interval: 1s}}
sources:
  - {{name: topic, kafka: {{brokers: ["{brokers}"], topic: samples, start: {start}}}}}
signals:
  - name: load
    select: 'load{{job="test"}}'
    step: 1s
    history: 15m
    offset: 2s
    seasonality: []
    forecast: {{horizons: []}}
    alerting: {{for: 0s}}
"#
    )
}

/// A value with a little noise, the same in every run.
fn quiet(pod: usize, at: i64) -> f64 {
    let noise = (at / 1_000 * 7_919 + pod as i64 * 104_729).rem_euclid(1_000);
    100.0 + noise as f64 / 100.0
}

/// A sample as other programs write it.
fn sample(pod: usize, at: i64, value: f64) -> Value {
    let labels = json!({"__name__": "load", "job": "test", "pod": PODS[pod]});
    match at / 1_000 % 2 {
        0 => json!({"name": "load", "labels": labels, "timestamp": at, "value": value}),
        _ => json!({"labels": labels, "timestamp": at.to_string(), "value": value.to_string()}),
    }
}

fn counted(program: &Program, name: &str, words: &[&str]) -> Result<f64, String> {
    program
        .metrics()?
        .value(&format!("forethought_kafka_{name}"), words)
}

fn counts(program: &Program, name: &str, words: &[&str], wanted: f64) -> Result<(), String> {
    let found = counted(program, name, words)?;
    match found == wanted {
        true => Ok(()),
        false => Err(format!("{name} {words:?} is {found}, not {wanted}")),
    }
}

fn scores(program: &Program) -> Result<Vec<f64>, String> {
    let found = program
        .metrics()?
        .values("anomaly_score", &["signal=\"load\""]);
    match found.len() == PODS.len() {
        true => Ok(found),
        false => Err(format!("{found:?}\n{}", program.log())),
    }
}

/// Writes one sample of each series, that of `jumped` far above all others.
fn tell(cluster: &Cluster, jumped: Option<usize>) {
    let at = now();
    for pod in 0..PODS.len() {
        let value = if jumped == Some(pod) {
            900.0
        } else {
            quiet(pod, at)
        };
        let text = sample(pod, at, value).to_string();
        cluster.produce("samples", "none", &[(pod, at, Some(text.as_bytes()))]);
    }
}

#[test]
fn what_other_clients_write_is_scored_and_garbage_between_harms_nothing() {
    let cluster = Cluster::start();
    cluster.topic("samples", PODS.len());
    let end = now();
    let mut sent = 0;
    for (turn, start) in (end - PAST * 1_000..end).step_by(100_000).enumerate() {
        let lists: Vec<(usize, String)> = (0..PODS.len())
            .map(|pod| {
                let times = (start..(start + 100_000).min(end)).step_by(1_000);
                let list: Vec<Value> = times.map(|at| sample(pod, at, quiet(pod, at))).collect();
                (pod, Value::from(list).to_string())
            })
            .collect();
        let lists = lists
            .iter()
            .map(|(pod, text)| (*pod, start, Some(text.as_bytes())));
        let lists: Vec<_> = lists.collect();
        cluster.produce("samples", PACKED[turn % PACKED.len()], &lists);
        sent += lists.len();
    }
    let garbage: [&[u8]; 3] = [b"garbage", &[0xff, 0xfe], b"{\"name\": \"load\"}"];
    for message in garbage {
        cluster.produce("samples", "none", &[(0, end, Some(message))]);
    }
    cluster.produce("samples", "none", &[(1, end, None)]);
    // A time that no client but librdkafka takes.
    cluster.produce("samples", "none", &[(2, i64::MAX / 4, Some(b"{}"))]);

    let program = Program::start(&configuration(&cluster.brokers, "earliest"), &[]);
    let read = |wanted: usize| {
        eventually("the topic is read", 90, || {
            let words = ["result=\"read\""];
            counts(&program, "messages_total", &words, wanted as f64)
                .map_err(|why| format!("{why}\n{}", program.log()))
        });
    };
    read(sent);
    for _ in 0..3 {
        tell(&cluster, None);
        sent += PODS.len();
    }
    read(sent);
    counts(&program, "messages_total", &["result=\"garbled\""], 3.0).unwrap();
    counts(&program, "messages_total", &["result=\"empty\""], 1.0).unwrap();
    let skipped = counted(&program, "messages_skipped_total", &[]).unwrap();
    assert_eq!(skipped, 1.0, "{}", program.log());
    // The past came in before the signal began.
    eventually("all series are scored", 60, || {
        tell(&cluster, None);
        sent += PODS.len();
        let found = scores(&program)?;
        let quiet = found.iter().all(|score| *score < 1.0);
        quiet.then_some(()).ok_or(format!("{found:?}"))
    });
    for (pod, name) in PODS.iter().enumerate() {
        eventually("a jump is found", 30, || {
            tell(&cluster, Some(pod));
            let word = format!("pod=\"{name}\"");
            let score = program.metrics()?.value("anomaly_score", &[&word])?;
            (score > 1.0).then_some(()).ok_or(score.to_string())
        });
    }
}

#[test]
fn a_broker_may_go_and_come_back_and_nothing_is_lost_or_read_twice() {
    let cluster = Cluster::start();
    cluster.topic("samples", PODS.len());
    let nobody = format!("127.0.0.1:{}", free_port());
    let program = Program::start(&configuration(&nobody, "earliest"), &[]);
    eventually("it is told that nobody is there", 30, || {
        let failures = counted(&program, "failures_total", &["cause=\"connect\""])?;
        counts(&program, "up", &[], 0.0)?;
        (failures >= 1.0).then_some(()).ok_or(program.log())
    });
    // Signals do not wait for it.
    program.becomes_ready();

    tell(&cluster, None);
    let mut sent = PODS.len();
    program.rewrite(&configuration(&cluster.brokers, "earliest"));
    program.signal("HUP");
    let reads = |sent: usize| {
        eventually("everything is read", 60, || {
            counts(&program, "up", &[], 1.0)?;
            counts(
                &program,
                "messages_total",
                &["result=\"read\""],
                sent as f64,
            )
            .map_err(|why| format!("{why}\n{}", program.log()))
        });
    };
    reads(sent);
    for _ in 0..2 {
        cluster.down();
        eventually("the broker is away", 60, || {
            counts(&program, "up", &[], 0.0)
        });
        program.metrics().unwrap();
        cluster.up();
        tell(&cluster, None);
        sent += PODS.len();
        reads(sent);
    }
    // Another limit, another reader: it goes on where the former was.
    let other = configuration(&cluster.brokers, "earliest, max_series: 7");
    let hash = || {
        program
            .metrics()
            .unwrap()
            .value("forethought_config_hash", &[])
    };
    let before = hash();
    program.rewrite(&other);
    program.signal("HUP");
    eventually("it is in force", 10, || {
        (hash() != before).then_some(()).ok_or(program.log())
    });
    tell(&cluster, None);
    sent += PODS.len();
    reads(sent);
    let behind = || counts(&program, "messages_behind", &[], 0.0);
    eventually("nothing is left", 10, behind);
    std::thread::sleep(Duration::from_secs(2));
    reads(sent);
    assert!(!program.log().contains("panic"), "{}", program.log());
}

#[test]
fn a_partition_that_nobody_leads_holds_back_no_other_and_loses_nothing() {
    let cluster = Cluster::start();
    cluster.topic("samples", PODS.len());
    let tell = |pods: &[usize]| {
        for &pod in pods {
            let at = now();
            let text = sample(pod, at, quiet(pod, at)).to_string();
            cluster.produce("samples", "none", &[(pod, at, Some(text.as_bytes()))]);
        }
    };
    tell(&[0, 1, 2]);
    cluster.lead("samples", 1, false);
    let program = Program::start(&configuration(&cluster.brokers, "earliest"), &[]);
    let reads = |sent: f64| {
        eventually("what can be read is read", 60, || {
            counts(&program, "up", &[], 1.0)?;
            counts(&program, "messages_total", &["result=\"read\""], sent)
                .map_err(|why| format!("{why}\n{}", program.log()))
        });
    };
    reads(2.0);
    program.becomes_ready();
    let failures = || -> f64 {
        let shown = program.metrics().unwrap();
        shown
            .values("forethought_kafka_failures_total", &[])
            .iter()
            .sum()
    };
    eventually("it is told", 30, || {
        (failures() > 0.0).then_some(()).ok_or(program.log())
    });
    cluster.lead("samples", 1, true);
    reads(3.0);
    cluster.lead("samples", 1, false);
    let before = failures();
    eventually("it is told again", 30, || {
        (failures() > before).then_some(()).ok_or(program.log())
    });
    tell(&[0, 2]);
    reads(5.0);
    cluster.lead("samples", 1, true);
    tell(&[1]);
    reads(6.0);
    counts(&program, "messages_skipped_total", &[], 0.0).unwrap();
    assert!(!program.log().contains("panic"), "{}", program.log());
}

/// A configuration in a hurry, which writes what it publishes to a topic.
fn writing(source: &str, brokers: &str, packed: &str) -> String {
    format!(
        r#"
global: {{evaluation_interval: 2s, external_labels: {{cluster: eu-1, path: never}}}}
sources: [{{name: main, prometheus: {{url: "http://{source}"}}}}]
signals:
  - name: written_requests
    query: shop_requests_per_second
    step: 2s
    history: 2h
    offset: 1s
    max_age: 20s
    seasonality: [10m]
    alerting: {{for: 4s, recover_for: 4s, refractory: 2s}}
    forecast: {{horizons: [10s, 1m]}}
kafka:
  - {{brokers: ["{brokers}"], topic: shown, compression: {packed}}}
"#
    )
}

fn reading(brokers: &str) -> String {
    format!(
        r#"
global: {{evaluation_interval: 1s}}
sources:
  - {{name: topic, kafka: {{brokers: ["{brokers}"], topic: shown, start: earliest}}}}
signals:
  - {{name: read_back, select: anomaly_score, step: 1s, history: 10m, offset: 1s, seasonality: [], forecast: {{horizons: []}}}}
"#
    )
}

#[test]
fn what_is_published_is_written_to_a_topic_and_read_back() {
    let (cluster, fake) = (Cluster::start(), Fake::start(PASTS[0].1[0]));
    cluster.topic("shown", 2);
    for packed in PACKED {
        let text = writing(&fake.address(), &cluster.brokers, packed);
        let mut writer = Program::start(&text, &[]);
        eventually("it is written", 60, || {
            let sent = counted(&writer, "samples_total", &[])?;
            (sent > 0.0).then_some(()).ok_or(writer.log())
        });
        if packed != PACKED[0] {
            // How it is packed is all that differs.
            continue;
        }
        eventually("something is scored and forecast", 60, || {
            let shown = writer.metrics()?;
            let names = ["anomaly_score", "predicted_written_requests"];
            let there = names.iter().all(|name| !shown.values(name, &[]).is_empty());
            there.then_some(()).ok_or("not yet".to_owned())
        });
        cluster.down();
        let retried = || {
            let found = counted(&writer, "samples_retried_total", &[])?;
            (found > 0.0).then_some(()).ok_or(writer.log())
        };
        eventually("samples wait", 60, retried);
        cluster.up();
        eventually("they are written", 60, || {
            counts(&writer, "samples_pending", &[], 0.0)
        });
        writer.signal("TERM");
        assert!(writer.wait(30).success(), "{}", writer.log());
        let log = writer.log();
        assert!(!log.contains("samples were dropped"), "{log}");
        judge(&cluster.consume("shown"));
    }
    let total = cluster.consume("shown").len() as f64;
    let reader = Program::start(&reading(&cluster.brokers), &[]);
    eventually("all of it is read back", 60, || {
        let read = counted(&reader, "messages_total", &["result=\"read\""])?;
        // Of those that were killed the broker may have got a last word.
        (read >= total).then_some(()).ok_or(reader.log())
    });
    counts(&reader, "messages_total", &["result=\"garbled\""], 0.0).unwrap();
    let stored = reader
        .metrics()
        .unwrap()
        .value("forethought_intake_samples_total", &["result=\"stored\""]);
    assert!(stored.unwrap() > 0.0);
}

/// What librdkafka read: samples in order, each series in one partition, with the external labels, and ended.
fn judge(messages: &[Value]) {
    let mut partitions: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    let mut last: BTreeMap<&str, Value> = BTreeMap::new();
    let mut told: BTreeMap<(&str, i64), Value> = BTreeMap::new();
    for message in messages {
        let key = message["key"].as_str().unwrap();
        let number = message["partition"].as_i64().unwrap();
        partitions.entry(key).or_default().insert(number);
        let sample: Value = serde_json::from_str(message["value"].as_str().unwrap()).unwrap();
        assert_eq!(sample["labels"]["cluster"], "eu-1", "{sample}");
        if sample["name"] == "anomaly_score" {
            assert_ne!(sample["labels"]["path"], "never", "{sample}");
        }
        // Once more where an answer was lost, but the same.
        let at = sample["timestamp"].as_i64().unwrap();
        let before = told.insert((key, at), sample["value"].clone());
        assert!(
            before.is_none_or(|before| before == sample["value"]),
            "{sample}"
        );
        last.insert(key, sample);
    }
    let names: BTreeSet<&str> = last
        .values()
        .map(|sample| sample["name"].as_str().unwrap())
        .collect();
    assert!(names.contains("anomaly_score"), "{names:?}");
    assert!(names.contains("predicted_written_requests"), "{names:?}");
    assert!(partitions.values().all(|numbers| numbers.len() == 1));
    let used: BTreeSet<i64> = partitions.into_values().flatten().collect();
    assert_eq!(used.len(), 2, "both partitions have series");
    let open: Vec<&Value> = last
        .values()
        .filter(|sample| !sample["value"].is_null())
        .collect();
    assert!(open.is_empty(), "these never ended: {open:?}");
}

#[test]
fn check_names_what_is_wrong_with_a_topic() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forethought.yml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        command(&["check", file.to_str().unwrap()])
    };
    let sound = configuration("kafka-0:9092", "6h");
    let sink = "kafka: [{brokers: ['kafka-0:9092'], topic: shown}]\n";
    let (code, said, problems) = check(&format!("{sound}{sink}"));
    assert_eq!(code, 0, "{problems}");
    assert!(said.contains("1 topic"), "{said}");
    let twice = "kafka: [{brokers: ['a:1'], topic: shown}, {brokers: ['b:1'], topic: shown, tls_config: {ca_file: nowhere.pem}}]\n";
    let (code, _, problems) = check(&format!("{}{twice}", configuration("kafka-0", "soon")));
    assert_eq!(code, 2);
    for part in [
        "sources[0].kafka.start: ",
        "kafka[1].topic: \"shown\" is already the name of kafka[0]",
        "kafka[1].tls_config.ca_file: cannot read",
    ] {
        assert!(problems.contains(part), "{part} is not in {problems}");
    }
}
