//! What forethought publishes, written by remote write: to a real Prometheus and VictoriaMetrics; and to a receiver that is away
//! while the program is killed.

use crate::support::{
    eventually,
    fake::Fake,
    http,
    program::Program,
    pushing::{Labels, samples},
    server::{Answer, Asked, Server},
    servers::{PASTS, instant, prometheus_of, victoria_metrics},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

/// Values with their times in milliseconds, in the order in which they came.
type Points = Vec<(i64, f64)>;

/// What was written: values, and when series ended.
#[derive(Default)]
struct Written {
    values: BTreeMap<Labels, Points>,
    ends: BTreeMap<Labels, Vec<i64>>,
}

impl Written {
    fn take(&mut self, asked: &Asked) {
        for (labels, point) in samples(asked) {
            if point.is_stale() {
                self.ends.entry(labels).or_default().push(point.at);
            } else {
                let values = self.values.entry(labels).or_default();
                values.push((point.at, point.value));
            }
        }
    }

    fn times(&self) -> BTreeSet<i64> {
        self.values.values().flatten().map(|(at, _)| *at).collect()
    }
}

/// A receiver that takes everything.
fn receiver(written: &Arc<Mutex<Written>>) -> Server {
    let written = Arc::clone(written);
    Server::start(move |asked| {
        written.lock().unwrap().take(asked);
        Answer::Whole(204, "text/plain", String::new())
    })
}

/// A configuration in a hurry; `receivers` are lines of `remote_write`.
fn configuration(source: &str, cluster: &str, receivers: &[String]) -> String {
    let receivers = receivers.join("\n  - ");
    format!(
        r#"
global: {{evaluation_interval: 2s, external_labels: {{cluster: "{cluster}", path: never}}}}
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
remote_write:
  - {receivers}
"#
    )
}

/// What a server has of a cluster.
fn stored(address: &str, cluster: &str) -> Result<BTreeMap<Labels, Points>, String> {
    let query = http::encode(&format!("{{cluster=\"{cluster}\"}}[10m]"));
    let answer = http::json(address, &format!("/api/v1/query?query={query}"))?;
    let found = answer["data"]["result"].as_array();
    let found = found.ok_or_else(|| answer.to_string())?.iter();
    let series = found.map(|series| {
        let labels = serde_json::from_value(series["metric"].clone()).unwrap();
        let values = series["values"].as_array().unwrap().iter().map(|point| {
            let seconds = point[0].as_f64().unwrap();
            let value = point[1].as_str().unwrap().parse().unwrap();
            ((seconds * 1_000.0).round() as i64, value)
        });
        // VictoriaMetrics shows the end of a series too, as NaN, which no value of ours is.
        let values = values.filter(|(_, value): &(i64, f64)| !value.is_nan());
        (labels, values.collect())
    });
    Ok(series.collect())
}

#[test]
fn real_servers_have_every_sample_and_every_series_ends_with_the_program() {
    let written = Arc::default();
    let (fake, judge) = (Fake::start(PASTS[0].1[0]), receiver(&written));
    let own = prometheus_of(|_| "global: {}\n".to_owned());
    let victoria = victoria_metrics();
    let url = |address: &str, rest: &str| {
        format!(
            "{{url: \"http://{address}/api/v1/write\", queue: {{batch_send_deadline: 1s}}{rest}}}"
        )
    };
    let receivers = [
        url(&judge.address(), ", name: judge"),
        url(&own.address, ""),
        url(&victoria.address, ", version: \"1.0\""),
    ];
    let mut program = Program::ready(
        &configuration(&fake.address(), "written", &receivers),
        &["--replica=one"],
    );
    eventually("some evaluations are written", 90, || {
        let times = written.lock().unwrap().times();
        match times.len() >= 6 {
            true => Ok(()),
            false => Err(format!("{times:?}\n{}", program.log())),
        }
    });
    // What /metrics shows of the signal is what is written.
    let shown = program.metrics().unwrap();
    let names: BTreeSet<String> =
        written
            .lock()
            .unwrap()
            .values
            .keys()
            .fold(BTreeSet::new(), |mut names, labels| {
                names.insert(labels["__name__"].clone());
                names
            });
    for family in shown.families() {
        let is_ours = family.starts_with("anomaly_") || family.starts_with("predicted_");
        assert!(
            !is_ours || names.contains(family),
            "{family} is not written"
        );
    }
    assert!(names.contains("predicted_written_requests") && names.contains("anomaly_score"));
    assert_eq!(
        shown.value("forethought_remote_write_samples_failed_total", &["judge"]),
        Ok(0.0)
    );
    program.signal("TERM");
    assert!(program.wait(30).success(), "{}", program.log());

    let written = written.lock().unwrap();
    for (labels, points) in &written.values {
        assert!(
            points.is_sorted_by(|one, other| one.0 < other.0),
            "{labels:?}"
        );
        assert_eq!(labels["cluster"], "written");
        assert_eq!(labels["forethought_replica"], "one");
        assert!(
            labels
                .get("path")
                .is_none_or(|path| path == "never" || path == PASTS[0].1[0].path)
        );
        let ends = &written.ends[labels];
        assert!(ends.last() > points.last().map(|(at, _)| at), "{labels:?}");
    }
    for address in [&own.address, &victoria.address] {
        eventually("everything is there", 30, || {
            let stored = stored(address, "written")?;
            match stored == written.values {
                true => Ok(()),
                false => Err(format!("{stored:?}\ninstead of {:?}", written.values)),
            }
        });
        eventually("every series has ended", 30, || {
            match instant(address, "{cluster=\"written\"}")?.as_slice() {
                [] => Ok(()),
                some => Err(format!("{some:?}")),
            }
        });
    }
}

#[test]
fn neither_an_outage_nor_kill_9_loses_anything_that_is_on_disk() {
    let (written, seen) = (
        Arc::<Mutex<Written>>::default(),
        Arc::<Mutex<Written>>::default(),
    );
    let (fake, witness) = (Fake::start(PASTS[0].1[0]), receiver(&seen));
    let mut judge = receiver(&written);
    judge.refuse();
    let folder = tempfile::tempdir().unwrap();
    let storage = format!("--storage.path={}", folder.path().display());
    let receivers = [
        format!(
            "{{url: \"http://{}/w\", name: judge, queue: {{batch_send_deadline: 1s}}, buffer: {{max_bytes: 64MB}}}}",
            judge.address()
        ),
        format!(
            "{{url: \"http://{}/w\", name: witness, queue: {{batch_send_deadline: 50ms}}}}",
            witness.address()
        ),
    ];
    let configuration = configuration(&fake.address(), "killed", &receivers);
    let flags = [storage.as_str()];
    let more = |count: usize, program: &Program| {
        let before = seen.lock().unwrap().times().len();
        eventually("more evaluations", 90, || {
            let times = seen.lock().unwrap().times().len();
            match times >= before + count {
                true => Ok(()),
                false => Err(format!("{times}\n{}", program.log())),
            }
        });
    };
    let mut first = Program::ready(&configuration, &flags);
    more(3, &first);
    first.signal("KILL");
    first.wait(30);
    let mut second = Program::ready(&configuration, &flags);
    more(3, &second);
    assert!(written.lock().unwrap().values.is_empty(), "it is away");
    judge.resume();
    eventually("nothing waits any more", 60, || {
        let shown = second.metrics()?;
        let pending = shown.value("forethought_remote_write_samples_pending", &["judge"])?;
        match written.lock().unwrap().times().len() > 5 && pending < 100.0 {
            true => Ok(()),
            false => Err(format!("{pending}\n{}", second.log())),
        }
    });
    second.signal("TERM");
    assert!(second.wait(30).success(), "{}", second.log());
    let (written, seen) = (written.lock().unwrap(), seen.lock().unwrap());
    for (labels, points) in &seen.values {
        let kept = &written.values[labels];
        // The second process may have begun with the time that the first one ended with.
        assert!(
            kept.is_sorted_by(|one, other| one.0 <= other.0),
            "{labels:?}: {kept:?}"
        );
        let missing = points.iter().find(|point| !kept.contains(point));
        assert_eq!(missing, None, "{labels:?}: {kept:?}");
    }
    assert!(seen.values.len() > 5, "{:?}", seen.values.keys());
}
