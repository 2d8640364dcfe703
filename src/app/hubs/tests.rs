use super::*;
use crate::{
    app::ConfigSource,
    intake::{Reading, Selection},
    series::{
        Grid, Labels,
        shard::{Cut, Shard},
    },
    source,
};
use std::path::Path;

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_written_as_often_as_was_asked_for_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Arc::new(Shelf::new(folder.path(), "pushed").unwrap());
    let hub = Arc::<Hub>::default();
    let keeper = Keeper {
        name: "pushed".to_owned(),
        shelf: Some(Arc::clone(&shelf)),
        hub,
        clock: Clock::System,
        // No whole number of turns.
        every: Duration::from_secs(25),
        events: Arc::default(),
    };
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    tracker.spawn(keeper.run(stop.clone()));
    let is_written = || std::fs::remove_file(shelf.path()).is_ok();
    sleep(Duration::from_secs(24)).await;
    assert!(!is_written());
    for _ in 0..3 {
        sleep(Duration::from_secs(2)).await;
        assert!(is_written());
        sleep(Duration::from_secs(22)).await;
        assert!(!is_written());
        sleep(Duration::from_secs(1)).await;
    }
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    assert!(is_written(), "its last words");
}

const STEP: Millis = 10_000;
const NOW: Millis = 1_700_000_000_000;

fn subscription(history: usize, share: Share) -> Subscription {
    Subscription {
        selection: Selection::new("load", Reading::Gauge, None, None).unwrap(),
        grid: Grid::new(STEP).unwrap(),
        history,
        max_series: 10,
        share,
    }
}

/// What a process kept of 400 steps of two series.
fn past(folder: &Path) -> Past {
    let hub = Hub::default();
    hub.subscribe(subscription(500, Share::ALL), None);
    for at in (NOW - 400 * STEP..=NOW).step_by(STEP as usize) {
        for pod in ["a", "b"] {
            let labels = Labels::new([("pod", pod)]).unwrap();
            let route = hub.route("load", &labels, at);
            hub.take(&[(route, at, 1.0)], at);
        }
    }
    hub.tidy(NOW);
    let shelf = Shelf::new(folder, "pushed").unwrap();
    shelf.write(&hub).unwrap();
    shelf.read().unwrap()
}

/// Values of each series that is there after a restart.
fn restored(subscriptions: Vec<Subscription>, past: &Past) -> Vec<usize> {
    let hub = Arc::<Hub>::default();
    let source = Arc::new(LocalSource::new("pushed", Arc::clone(&hub)));
    let home = Home {
        source: Arc::clone(&source) as Arc<dyn Source>,
        progress: None,
        shelf: None,
        hub: Arc::clone(&hub),
    };
    let prepared = PreparedHubs {
        subscriptions: [("pushed".to_owned(), subscriptions)].into(),
        ..PreparedHubs::default()
    };
    prepared.subscribe("pushed", &home, Some(past), NOW, &IntakeEvents::default());
    let mut found = Vec::new();
    hub.with("load", (Some(STEP), &Share::ALL), |recorder| {
        let span = (NOW - 400 * STEP, NOW);
        recorder.range(span, (10, &Share::ALL), |_, samples| {
            found.push(samples.len());
        })
    });
    found
}

#[test]
fn who_asks_for_little_and_comes_first_costs_another_nothing_of_its_past() {
    let folder = tempfile::tempdir().unwrap();
    let past = past(folder.path());
    let deep = || subscription(500, Share::ALL);
    assert_eq!(restored(vec![deep()], &past), [401, 401]);
    let shares = (0..2).map(|index| {
        let shard = Shard::new(index, 2).unwrap();
        Share::of(Cut::Labels(["pod".to_owned()].into()), shard)
    });
    let few = shares.map(|share| subscription(500, share));
    let little = few.chain([subscription(1, Share::ALL), subscription(20, Share::ALL)]);
    for one in little {
        let both = vec![one.clone(), deep()];
        assert_eq!(restored(both, &past), [401, 401], "{one:?}");
    }
}

#[tokio::test]
async fn a_source_that_becomes_a_topic_or_is_one_no_more_keeps_its_hub_and_is_asked_as_what_it_is()
{
    let (tracker, quit) = (TaskTracker::new(), CancellationToken::new());
    let mut hubs = Hubs::new(tracker.clone(), quit.clone());
    let mut config = Config::single("http://x:9090", "load", "node_load1").unwrap();
    let options = AppOptions::new(ConfigSource::Literal(Box::new(config.clone())));
    let telemetry = Telemetry::default();
    let topic = SourceKind::Kafka(serde_yaml::from_str("{brokers: ['a:1'], topic: t}").unwrap());
    let pushed = SourceKind::RemoteWrite(source::remote_write::Settings::default());
    let mut before: Option<(Arc<Hub>, Arc<dyn Source>)> = None;
    for (kind, is_other) in [
        (pushed.clone(), true),
        (topic.clone(), true),
        (topic.clone(), false),
        (pushed, true),
    ] {
        let is_topic = kind == topic;
        config.sources[0].kind = kind;
        let prepared = hubs.prepare(&config, &options, &telemetry).await.unwrap();
        assert_eq!(prepared.progress("main").is_some(), is_topic);
        let hub = Arc::clone(prepared.hub("main").unwrap());
        let source = Arc::clone(prepared.source("main").unwrap());
        if let Some((same, other)) = before {
            assert!(Arc::ptr_eq(&same, &hub));
            assert_eq!(!Arc::ptr_eq(&other, &source), is_other);
        }
        before = Some((hub, source));
        hubs.commit(prepared, &config, &options, &telemetry);
    }
    quit.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn of_a_topic_no_gap_is_told_as_it_fills_it() {
    let folder = tempfile::tempdir().unwrap();
    let topic = SourceKind::Kafka(serde_yaml::from_str("{brokers: ['a:1'], topic: t}").unwrap());
    let pushed = SourceKind::RemoteWrite(source::remote_write::Settings::default());
    let mut config = Config::single("http://x:9090", "load", "node_load1").unwrap();
    let mut options = AppOptions::new(ConfigSource::Literal(Box::new(config.clone())));
    options.storage = Some(folder.path().to_owned());
    let gap = "forethought_intake_gap_seconds{source=\"main\"}";
    for (kind, is_told) in [(topic, false), (pushed, true)] {
        config.sources[0].kind = kind;
        let (tracker, quit) = (TaskTracker::new(), CancellationToken::new());
        let mut hubs = Hubs::new(tracker.clone(), quit.clone());
        let telemetry = Telemetry::default();
        let mut prepared = hubs.prepare(&config, &options, &telemetry).await.unwrap();
        // As a former process would have left it.
        let past = prepared.pasts.get_mut("main").unwrap();
        past.newest = Some(options.clock.now() - 60_000);
        hubs.commit(prepared, &config, &options, &telemetry);
        let shown = telemetry.open_metrics().unwrap();
        assert_eq!(shown.contains(gap), is_told, "{shown}");
        quit.cancel();
        tracker.close();
        tracker.wait().await;
    }
}
