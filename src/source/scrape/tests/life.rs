//! What becomes of series and targets in time.

use super::*;
use crate::source::prometheus::tests::server::Part;
use std::{fs, sync::atomic::AtomicI64};

#[tokio::test]
async fn samples_come_with_the_targets_labels_and_their_reports() {
    let server = exposing(|asked| {
        assert_eq!(asked.path, "/metrics");
        let accept = asked.headers["accept"].to_str().unwrap();
        assert!(
            accept.starts_with("application/openmetrics-text;version=1.0.0"),
            "{accept}"
        );
        assert_eq!(asked.headers["x-prometheus-scrape-timeout-seconds"], "0.5");
        "a{path=\"/x\"} 1\na{path=\"/y\"} 2\nnobody_wants_this 3\n".to_owned()
    })
    .await;
    let source = Running::start(ONE, &[&server]);
    source
        .until("three scrapes", |own| {
            own.values("a{path=\"/x\"}").len() >= 3
        })
        .await;
    let kept = source.memory.kept.lock().unwrap();
    let full = format!(
        "a{{instance=\"{}\", job=\"direct\", path=\"/x\"}}",
        server.address
    );
    assert!(kept.series.contains(&full), "{:?}", kept.series);
    // Series that are known are not asked for again: three, and five reports.
    assert_eq!(kept.asked, 8);
    drop(kept);
    assert_eq!(source.values("up")[0], 1.0);
    assert_eq!(source.values("scrape_samples_scraped")[0], 3.0);
    assert_eq!(
        source.values("scrape_samples_post_metric_relabeling")[0],
        3.0
    );
    assert_eq!(source.values("scrape_series_added")[..2], [3.0, 0.0]);
    assert!(source.values("scrape_duration_seconds")[0] > 0.0);
    let samples = source.samples("a{path=\"/y\"}");
    let gap = samples[1].0 - samples[0].0;
    assert!((300..=900).contains(&gap), "{samples:?}");
    let target = &source.targets()[0];
    assert_eq!(
        target.scrape_url,
        format!("http://{}/metrics", server.address)
    );
    assert_eq!((target.health, target.last_samples), (Health::Up, 3));
    assert_eq!(
        source.metric("forethought_scrape_targets{source=\"direct\",state=\"up\"}"),
        1.0
    );
    assert!(source.metric("forethought_scrape_samples_total{source=\"direct\"}") >= 9.0);
}

#[tokio::test]
async fn a_series_that_is_gone_ends_and_may_come_again() {
    let step = Arc::new(AtomicU64::new(0));
    let at = Arc::clone(&step);
    let server = exposing(move |_| match at.load(Ordering::SeqCst) {
        1 => "a 1\n".to_owned(),
        _ => "b{x=\"1\",y=\"2\"} 2\na 1\n".to_owned(),
    })
    .await;
    let source = Running::start(ONE, &[&server]);
    let b = "b{x=\"1\", y=\"2\"}";
    source
        .until("b is there", |own| own.values(b).first() == Some(&2.0))
        .await;
    step.store(1, Ordering::SeqCst);
    source.until("b has ended", |own| own.is_ended(b)).await;
    let count = source.values(b).len();
    source
        .until("a goes on", |own| own.values("a").len() >= count + 3)
        .await;
    assert_eq!(source.values(b).len(), count, "the end is told once");
    step.store(2, Ordering::SeqCst);
    source
        .until("b is back", |own| own.values(b).len() > count)
        .await;
    assert!(!source.values("a").iter().any(|value| value.is_nan()));
}

#[tokio::test]
async fn a_target_that_dies_ends_all_its_series_and_harms_no_other() {
    let is_dead = Arc::new(AtomicU64::new(0));
    let at = Arc::clone(&is_dead);
    let ill = Server::new(move |_| match at.load(Ordering::SeqCst) {
        0 => text("ill 1\n"),
        _ => Reply::parts(vec![Part::CutNow]),
    })
    .await;
    let well = exposing(|_| "well 1\n".to_owned()).await;
    let source = Running::start("static_configs: [{targets: ['{}', '{}']}]", &[&ill, &well]);
    source.until_up().await;
    is_dead.store(1, Ordering::SeqCst);
    source.until("the end", |own| own.is_ended("ill")).await;
    let (ends, before) = (source.values("ill").len(), source.values("well").len());
    source
        .until("others go on", |own| own.values("well").len() > before + 3)
        .await;
    assert_eq!(source.values("ill").len(), ends, "the end is told once");
    let ups = source.values("up");
    assert!(ups.contains(&0.0) && ups.contains(&1.0), "{ups:?}");
    assert!(
        source.metric("forethought_scrape_failures_total{source=\"direct\",cause=\"connect\"}")
            >= 1.0
    );
    is_dead.store(0, Ordering::SeqCst);
    source.until("it is back", |own| !own.is_ended("ill")).await;
}

#[tokio::test]
async fn a_source_that_is_stopped_ends_its_series_but_not_where_the_process_ends() {
    let server = exposing(|_| "a 1\n".to_owned()).await;
    for quits in [false, true] {
        let mut source = Running::start(ONE, &[&server]);
        source.until_up().await;
        if quits {
            source.quit.cancel();
        }
        source.stop.cancel();
        source.tasks.join_next().await.unwrap().unwrap();
        assert_eq!(source.is_ended("a"), !quits);
        assert_eq!(source.is_ended("up"), !quits);
        assert!(source.targets().is_empty());
        assert_eq!(
            source.metric("forethought_scrape_targets{source=\"direct\",state=\"up\"}"),
            0.0
        );
    }
}

#[tokio::test]
async fn targets_in_files_come_and_go_while_it_runs() {
    let (one, other) = (
        exposing(|_| "one 1\n".to_owned()).await,
        exposing(|_| "other 1\n".to_owned()).await,
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.json");
    let write = |targets: &[&Server]| {
        let addresses: Vec<String> = targets
            .iter()
            .map(|server| server.address.to_string())
            .collect();
        let text = serde_json::json!([{"targets": addresses, "labels": {"env": "x"}}]);
        fs::write(folder.path().join("draft"), text.to_string()).unwrap();
        fs::rename(folder.path().join("draft"), &file).unwrap();
    };
    // Twice the same target is one.
    write(&[&one, &one]);
    let yaml = format!(
        "file_sd_configs: [{{files: ['{}/*.json'], refresh_interval: 200ms}}]",
        folder.path().display()
    );
    let source = Running::start(&yaml, &[]);
    source.until_up().await;
    assert_eq!(source.targets().len(), 1);
    assert_eq!(source.targets()[0].labels.get("env"), Some("x"));
    write(&[&one, &other]);
    source
        .until("the other", |own| {
            !own.values("other{env=\"x\"}").is_empty()
        })
        .await;
    fs::write(&file, "[{").unwrap();
    let before = source.values("other{env=\"x\"}").len();
    source
        .until("others go on", |own| {
            own.values("other{env=\"x\"}").len() > before + 3
        })
        .await;
    assert_eq!(source.targets().len(), 2);
    assert!(
        source.metric(
            "forethought_scrape_discovery_failures_total{source=\"direct\",mechanism=\"file\"}"
        ) >= 1.0
    );
    write(&[&other]);
    source
        .until("the end", |own| own.is_ended("one{env=\"x\"}"))
        .await;
    assert!(
        !source
            .values("other{env=\"x\"}")
            .iter()
            .any(|value| value.is_nan()),
        "it was not touched"
    );
}

#[tokio::test]
async fn a_server_names_targets_and_they_stay_where_it_fails() {
    let target = exposing(|_| "a 1\n".to_owned()).await;
    let mood = Arc::new(AtomicU64::new(0));
    let (at, address) = (Arc::clone(&mood), target.address);
    let inventory = Server::new(move |asked| {
        assert_eq!(asked.headers["authorization"], "Bearer abc");
        let json = [("content-type", "application/json")];
        match at.load(Ordering::SeqCst) {
            0 => Reply::with(200, &json, format!("[{{\"targets\": [\"{address}\"]}}]")),
            1 => Reply::status(500, "no"),
            2 => Reply::with(200, &json, "{}"),
            3 => Reply::with(200, &[("content-type", "text/html")], "[]"),
            _ => Reply::with(200, &json, "[]"),
        }
    })
    .await;
    let yaml = "http_sd_configs: [{url: 'http://{}/targets?a=b', bearer_token: abc, refresh_interval: 1s}]";
    let source = Running::start(yaml, &[&inventory]);
    source.until_up().await;
    let url = &source.targets()[0].discovered_labels["__meta_url"];
    assert_eq!(*url, format!("http://{}/targets?a=b", inventory.address));
    let failures =
        "forethought_scrape_discovery_failures_total{source=\"direct\",mechanism=\"http\"}";
    for (number, next) in [1, 2, 3].into_iter().enumerate() {
        mood.store(next, Ordering::SeqCst);
        source
            .until("it failed", |own| {
                let text = own.telemetry.open_metrics().unwrap();
                text.contains(failures) && own.metric(failures) > number as f64
            })
            .await;
        assert_eq!(source.targets().len(), 1);
    }
    mood.store(4, Ordering::SeqCst);
    source
        .until("no target is left", |own| own.targets().is_empty())
        .await;
    source.until("the end", |own| own.is_ended("a")).await;
}

#[tokio::test]
async fn relabelling_drops_targets_and_series() {
    let server =
        exposing(|_| "a{instance=\"own\",tmp=\"x\"} 1\nb 2\nb 3\nsecret 4\n".to_owned()).await;
    let yaml = "static_configs: [{targets: ['{}', 'nowhere:1', 'http://bad/']}]\nrelabel_configs: [{source_labels: [__address__], regex: 'nowhere.*', action: drop}, {target_label: zone, replacement: eu}]\nmetric_relabel_configs: [{source_labels: [__name__], regex: secret, action: drop}, {regex: tmp, action: labeldrop}]";
    // The address of the third is refused where it is written down; discovered ones are told.
    let yaml = yaml.replace(", 'http://bad/'", "");
    let source = Running::start(&yaml, &[&server]);
    source.until_up().await;
    let mut series = source.series();
    series.retain(|series| !series.contains("scrape_") && !series.starts_with("up"));
    assert_eq!(
        series,
        [
            "a{exported_instance=\"own\", zone=\"eu\"}",
            "b{zone=\"eu\"}"
        ]
    );
    assert_eq!(
        source.values("b{zone=\"eu\"}")[0],
        2.0,
        "the first of two counts"
    );
    assert_eq!(source.values("scrape_samples_scraped{zone=\"eu\"}")[0], 4.0);
    assert_eq!(
        source.values("scrape_samples_post_metric_relabeling{zone=\"eu\"}")[0],
        3.0
    );
    let wish = Wish {
        dropped: true,
        ..Wish::default()
    };
    let report = source.board.report(&wish);
    assert_eq!(
        report.dropped_targets[0].discovered_labels["__address__"],
        "nowhere:1"
    );
    assert_eq!(report.dropped_target_counts["direct"], 1);
    for (reason, least) in [("duplicate", 1.0), ("relabelled", 1.0)] {
        let line = format!(
            "forethought_scrape_samples_dropped_total{{source=\"direct\",reason=\"{reason}\"}}"
        );
        assert!(source.metric(&line) >= least);
    }
}

#[tokio::test]
async fn labels_and_times_of_the_target_can_be_honoured() {
    let now = Clock::System.now();
    let (early, ahead) = (now - 5_000, now + 3_600_000);
    let server =
        exposing(move |_| format!("a{{instance=\"own\",job=\"\"}} 1 {early}\nb 2 {ahead}\n")).await;
    let source = Running::start(&format!("{ONE}\nhonor_labels: true"), &[&server]);
    source.until_up().await;
    {
        let kept = source.memory.kept.lock().unwrap();
        assert_eq!(kept.samples["a{instance=\"own\"}"][0], (early, 1.0));
        assert!(
            !kept.samples.keys().any(|series| series.starts_with("b{")),
            "too far ahead"
        );
    }
    let plain = Running::start(&format!("{ONE}\nhonor_timestamps: false"), &[&server]);
    plain.until_up().await;
    assert!(plain.samples("b")[0].0 < ahead);
}

#[tokio::test]
async fn signals_that_come_and_go_are_noticed() {
    let server = exposing(|_| "a 1\nb 1\n".to_owned()).await;
    let source = Running::start(ONE, &[&server]);
    source.until_up().await;
    source.memory.generation.store(1, Ordering::SeqCst);
    source
        .until("all are asked for again", |own| {
            own.memory.kept.lock().unwrap().asked == 14
        })
        .await;
    assert!(!source.is_ended("a"));
    source.memory.kept.lock().unwrap().forgets = true;
    source
        .until("where they go is asked again", |own| {
            own.memory.kept.lock().unwrap().asked == 21
        })
        .await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_stops_nothing() {
    let server = exposing(|_| "a 1\n".to_owned()).await;
    let ahead = Arc::new(AtomicI64::new(3_600_000));
    let clock = Clock::Settable {
        behind: Box::new(Clock::System),
        ahead: Arc::clone(&ahead),
    };
    let source = Running::start_at(clock, ONE, &[&server]);
    source.until_up().await;
    ahead.store(0, Ordering::SeqCst);
    let now = Clock::System.now();
    source
        .until("scrapes go on by the new time", |own| {
            let last = own.samples("a").last().copied();
            last.is_some_and(|(at, _)| at < now + 60_000)
        })
        .await;
}

#[tokio::test]
async fn a_long_body_is_read_elsewhere_and_known_the_next_time() {
    let server = exposing(|_| {
        let lines = (0..20_000).map(|number| format!("nobody_long{{number=\"{number}\"}} 1\n"));
        lines.chain(["a 1\n".to_owned()]).collect()
    })
    .await;
    let source = Running::start(&format!("{ONE}\nscrape_interval: 1s"), &[&server]);
    source
        .until("two scrapes", |own| own.values("a").len() >= 2)
        .await;
    assert_eq!(source.values("scrape_samples_scraped")[..2], [20_001.0; 2]);
    assert_eq!(source.values("scrape_series_added")[..2], [20_001.0, 0.0]);
    assert_eq!(source.memory.kept.lock().unwrap().asked, 20_006);
}

#[tokio::test]
async fn a_panic_is_counted_and_the_target_begins_anew() {
    let one = exposing(|_| "a 1\n".to_owned()).await;
    let other = exposing(|_| "b 1\n".to_owned()).await;
    let yaml = "static_configs: [{targets: ['{}', '{}']}]";
    let source = Running::start(yaml, &[&one, &other]);
    source.until_up().await;
    {
        let mut kept = source.memory.kept.lock().unwrap();
        kept.panics = true;
        source.memory.generation.store(1, Ordering::SeqCst);
    }
    let panics = "forethought_scrape_panics_total{source=\"direct\"}";
    source
        .until("it is counted", |own| own.metric(panics) > 0.0)
        .await;
    source.until_up().await;
    let before = (source.values("a").len(), source.values("b").len());
    source
        .until("both go on", |own| {
            own.values("a").len() > before.0 && own.values("b").len() > before.1
        })
        .await;
    let up = "forethought_scrape_targets{source=\"direct\",state=\"up\"}";
    assert_eq!(source.metric(up), 2.0);
}
