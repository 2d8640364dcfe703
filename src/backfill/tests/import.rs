//! Samples of former times beside samples that came in time.

use super::super::*;
use crate::{
    config::{self, Config},
    series::{Grid, Labels, Millis, Share},
    source::{
        RangeRequest,
        local::{Hub, Subscription, disk::Shelf},
    },
};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

const CONFIG: &str = r#"
global: {evaluation_interval: 10s}
sources:
  - {name: pushed, remote_write: {}}
  - {name: asked, prometheus: {url: "http://127.0.0.1:1"}}
signals:
  - {name: load, source: pushed, select: load, step: 10s, history: 2h}
  - {name: work, source: pushed, select: work_total, as: rate, window: 1m, aggregate: {sum_by: [job]}, step: 10s, history: 1h}
  - {name: other, source: asked, query: up}
"#;

/// A time on every grid.
const NOW: Millis = 1_700_000_000_000;
const SECOND: Millis = 1_000;

fn parsed() -> Config {
    config::parse(CONFIG, &|_| None).unwrap()
}

/// Series and what they count or show at `at`.
fn all(at: Millis) -> [(&'static str, &'static str, f64); 4] {
    let seconds = (at / SECOND % 100_000) as f64;
    [
        ("load", "a", (seconds / 50.0).sin()),
        ("load", "b", seconds % 77.0),
        ("work_total", "a", seconds * 2.0),
        ("work_total", "b", seconds * 3.0),
    ]
}

/// Samples every five seconds, series by series, as a dump has them.
fn text(from: Millis, to: Millis, factor: f64) -> String {
    let mut text = String::new();
    for series in 0..4 {
        for at in (from..=to).step_by(5_000) {
            let (name, pod, value) = all(at)[series];
            let (seconds, millis) = (at / SECOND, at % SECOND);
            let value = value * factor;
            _ = writeln!(
                text,
                "{name}{{pod=\"{pod}\",job=\"shop\"}} {value} {seconds}.{millis:03}"
            );
        }
    }
    text + "# EOF\n"
}

/// A folder with files, and a folder that keeps.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn storage(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn import(&self, text: &str) -> Result<Imported, String> {
        self.import_for(locals(&parsed()), text)
    }

    fn import_for(&self, locals: Vec<Local>, text: &str) -> Result<Imported, String> {
        let path = self.folder.path().join("past.om");
        fs::write(&path, text).unwrap();
        let options = Import {
            locals,
            storage: self.storage(),
            files: vec![path],
            now: NOW,
        };
        import(&options, &|_, _| {})
    }

    /// What a process finds there, by query: the values of each series.
    fn kept(&self, signal: &str) -> Vec<(Labels, Vec<(Millis, f64)>)> {
        let config = parsed();
        let sources = sources(&locals(&config), &self.storage(), NOW).unwrap();
        let settings = config
            .signals
            .iter()
            .find(|one| one.name == signal)
            .unwrap();
        answer(&*sources["pushed"], &settings.query)
    }
}

fn answer(source: &dyn crate::source::Source, query: &str) -> Vec<(Labels, Vec<(Millis, f64)>)> {
    let request = RangeRequest {
        query: query.to_owned(),
        start: NOW - 7_200 * SECOND,
        end: NOW - 10 * SECOND,
        step: 10 * SECOND,
        max_series: 10,
        share: Share::ALL,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let matrix = runtime.block_on(source.range(request)).unwrap();
    let series = matrix.series.into_iter();
    series.map(|one| (one.labels, one.samples)).collect()
}

/// The hub of a process that was there when the samples came.
fn present(from: Millis, to: Millis) -> Hub {
    let hub = Hub::default();
    for (_, subscription) in &locals(&parsed())[0].signals {
        hub.subscribe(subscription.clone(), None);
    }
    for at in (from..=to).step_by(5_000) {
        for (name, pod, value) in all(at) {
            let labels = Labels::new([("job", "shop"), ("pod", pod)]).unwrap();
            let route = hub.route(name, &labels, at);
            hub.take(&[(route, at, value)], at);
        }
        if at % 15_000 == 0 {
            hub.tidy(at);
        }
    }
    hub.tidy(to + 10 * SECOND);
    hub
}

#[test]
fn what_is_imported_is_what_a_process_would_have_kept() {
    let world = World::new();
    let from = NOW - 7_000 * SECOND;
    let imported = world.import(&text(from, NOW - 5 * SECOND, 1.0)).unwrap();
    assert_eq!(imported.signals.len(), 2, "{imported}");
    assert_eq!(
        imported.taken,
        4 * 1_400 - imported.left_out.values().sum::<u64>()
    );
    let hub = std::sync::Arc::new(present(from, NOW - 5 * SECOND));
    let process = crate::source::local::LocalSource::new("pushed", hub);
    for signal in parsed().signals.iter().take(2) {
        let (kept, wanted) = (world.kept(&signal.name), answer(&process, &signal.query));
        assert_eq!(kept.len(), wanted.len(), "{}", signal.name);
        // A process lets go of what is old in pieces, so it may still have some of that.
        for ((labels, kept), (own, mut wanted)) in kept.into_iter().zip(wanted) {
            assert_eq!(labels, own);
            let begins = NOW - signal.history().as_millis();
            wanted.retain(|sample| sample.0 >= begins);
            assert!(
                wanted.len() > 300,
                "{} {labels}: {}",
                signal.name,
                wanted.len()
            );
            assert_eq!(kept, wanted, "{} {labels}", signal.name);
        }
    }
    let said = imported.to_string();
    assert!(said.contains("load (source pushed): "), "{said}");
}

#[test]
fn what_was_there_stays_and_gaps_are_filled() {
    let world = World::new();
    world
        .import(&text(NOW - 3_000 * SECOND, NOW - 2_000 * SECOND, 1.0))
        .unwrap();
    let mut before = world.kept("load");
    for (_, samples) in &mut before {
        // Where nothing is known an answer looks back for a while.
        samples.retain(|sample| sample.0 <= NOW - 2_000 * SECOND);
        assert_eq!(samples.len(), 101);
    }
    let again = world
        .import(&text(NOW - 5_000 * SECOND, NOW - SECOND * 1_000, 10.0))
        .unwrap();
    let after = world.kept("load");
    let filled = &again.signals[0].filled;
    assert_eq!(filled.series, 2);
    assert!(filled.kept == 202 && filled.values >= 400, "{filled:?}");
    for ((labels, old), (_, new)) in before.iter().zip(&after) {
        let kept = new.iter().filter(|sample| old.contains(sample)).count();
        assert_eq!(kept, old.len(), "{labels}: what was there is there");
        assert!(new.len() >= old.len() + 280, "{labels}");
        assert!(new.windows(2).all(|pair| pair[0].0 < pair[1].0), "{labels}");
    }
}

#[test]
fn what_is_left_out_is_counted_by_why() {
    let world = World::new();
    let at = |ago: Millis| (NOW - ago * SECOND) / SECOND;
    let lines = [
        format!("load{{pod=\"a\"}} 1 {}", at(60)),
        format!("load{{pod=\"a\"}} 1 {}", at(60)),
        format!("load{{pod=\"a\"}} NaN {}", at(50)),
        format!("load{{pod=\"a\"}} 1 {}", at(-60)),
        format!("load{{pod=\"a\"}} 1 {}", at(90_000)),
        format!("up{{pod=\"a\"}} 1 {}", at(60)),
    ];
    let imported = world.import(&lines.join("\n")).unwrap();
    assert_eq!(imported.taken, 1);
    let left_out: Vec<(LeftOut, u64)> = imported.left_out.into_iter().collect();
    let all = [
        LeftOut::Unwanted,
        LeftOut::Old,
        LeftOut::Ahead,
        LeftOut::NotFinite,
        LeftOut::Twice,
    ];
    assert_eq!(left_out, all.map(|why| (why, 1)));

    let other = World::new();
    let why = other.import(&lines[5]).unwrap_err();
    assert!(why.contains("1 no signal selects them"), "{why}");
    let why = other.import("load 1\n").unwrap_err();
    assert!(why.contains("past.om: line 1: has no time"), "{why}");
    assert_eq!(fs::read_dir(other.storage()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_a_process_holds_is_left_alone() {
    let world = World::new();
    let held = Shelf::new(&world.storage(), "pushed").unwrap();
    let beside = Shelf::new(&world.storage(), "another").unwrap();
    let past = text(NOW - 100 * SECOND, NOW - SECOND, 1.0);
    let why = world.import(&past).unwrap_err();
    assert!(why.contains("stop it first"), "{why}");
    drop((held, beside));
    world.import(&past).unwrap();
}

/// What is in a file now that one bit of it is another.
fn damaged(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_damaged_file_is_left_as_it_is() {
    let world = World::new();
    let past = text(NOW - 100 * SECOND, NOW - SECOND, 1.0);
    world.import(&past).unwrap();
    let path = world.storage().join("pushed.history");
    let bytes = damaged(&path);
    let why = world.import(&past).unwrap_err();
    assert!(why.contains("damaged"), "{why}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let why = sources(&locals(&parsed()), &world.storage(), NOW).unwrap_err();
    assert!(why.contains("damaged"), "{why}");
}

#[test]
fn a_source_without_a_past_says_where_it_is_looked_for() {
    let world = World::new();
    let why = sources(&locals(&parsed()), &world.storage(), NOW).unwrap_err();
    assert!(
        why.contains("pushed.history") && why.contains("--storage.path"),
        "{why}"
    );
}

#[test]
fn a_signal_that_asks_for_little_and_comes_first_costs_another_nothing_of_its_past() {
    let world = World::new();
    let from = NOW - 3_000 * SECOND;
    world.import(&text(from, NOW - 5 * SECOND, 1.0)).unwrap();
    let mut locals = locals(&parsed());
    let (_, mut little) = locals[0].signals[0].clone();
    little.history = 1;
    let query = little.selection.text().to_owned();
    locals[0].signals.insert(0, ("now".to_owned(), little));
    let restored = sources(&locals, &world.storage(), NOW).unwrap();
    let known = answer(&*restored["pushed"], &query);
    assert_eq!(known, world.kept("load"));
    assert!(known.iter().all(|(_, samples)| samples.len() > 290));

    let other = World::new();
    let past = text(from, NOW - 5 * SECOND, 1.0);
    let imported = other.import_for(locals, &past).unwrap();
    assert_eq!(other.kept("load"), known);
    let both = &imported.signals[0];
    assert_eq!(both.signals, ["now", "load"]);
    assert_eq!(both.filled.values, 2 * 300, "{imported}");
    assert_eq!(imported.signals[1].signals, ["work"]);
    let said = imported.to_string();
    assert!(
        said.starts_with("now, load (source pushed): 600 values of 2 series filled in, "),
        "{said}"
    );
}

#[test]
fn who_comes_back_after_it_was_forgotten_is_taken_again() {
    let world = World::new();
    let line = |pod: &str, ago: Millis| format!("load{{pod=\"{pod}\"}} 1 {}\n", NOW / SECOND - ago);
    let stays = (1..=400).map(|n| line("a", n * 10));
    let goes = (1..=400).filter(|n| !(100..=300).contains(n));
    let lines: String = stays.chain(goes.map(|n| line("b", n * 10))).collect();
    let imported = world.import(&lines).unwrap();
    assert_eq!(imported.left_out, [].into());
    assert_eq!(imported.taken, 400 + 199);
    let kept = world.kept("load");
    assert_eq!(kept[0].1.len(), 400, "{:?}", kept[0].0);
    // For five minutes it is what it was.
    assert_eq!(kept[1].1.len(), 199 + 29, "{:?}", kept[1].0);
}

#[test]
fn a_damaged_file_of_one_source_leaves_those_of_all_as_they_are() {
    let world = World::new();
    let mut both = locals(&parsed());
    both.push(Local {
        name: "scraped".to_owned(),
        ..both[0].clone()
    });
    let past = text(NOW - 100 * SECOND, NOW - 50 * SECOND, 1.0);
    world.import_for(both.clone(), &past).unwrap();
    let sound = world.storage().join("pushed.history");
    let before = fs::read(&sound).unwrap();
    damaged(&world.storage().join("scraped.history"));
    let more = text(NOW - 500 * SECOND, NOW - SECOND, 1.0);
    let why = world.import_for(both, &more).unwrap_err();
    assert!(
        why.contains("scraped.history") && why.contains("damaged"),
        "{why}"
    );
    assert!(fs::read(&sound).unwrap() == before, "nothing is changed");
}

#[test]
fn what_is_kept_ends_with_the_newest_sample_however_coarse_another_signal_is() {
    let world = World::new();
    let mut locals = locals(&parsed());
    let (_, fine) = locals[0].signals[0].clone();
    let hourly = Subscription {
        grid: Grid::new(3_600 * SECOND).unwrap(),
        ..fine.clone()
    };
    locals[0].signals.push(("hourly".to_owned(), hourly));
    let newest = NOW - 5 * SECOND;
    let past = text(NOW - 3_000 * SECOND, newest, 1.0);
    world.import_for(locals, &past).unwrap();
    let kept = Shelf::at(&world.storage(), "pushed").read().unwrap();
    assert_eq!(kept.newest, Some(newest), "what is missing begins here");
    let restored = kept.of(&fine, NOW).unwrap().unwrap();
    assert_eq!(restored.members(), 2, "nobody was silent");
}
