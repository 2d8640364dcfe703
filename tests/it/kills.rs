//! `kill -9` at random moments, again and again, while samples are pushed, written on and people give orders: what is kept,
//! what is lost, and whether that is told.
//!
//! Twelve times in an ordinary run. `FORETHOUGHT_KILLS=100` says how often, `FORETHOUGHT_SEED` makes the moments of a former run
//! again, which prints its seed.

mod people;
pub(crate) mod receivers;
mod sender;

use crate::{
    intake::{points, shop::parsed},
    support::{eventually, guard::free_port, now, program::Program},
};
use fastrand::Rng;
use forethought::{
    series::{Millis, Share},
    source::local::disk::Past,
};
use people::People;
use receivers::{Health, Judge, Witness};
use sender::{PODS, Sender, truth};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread::sleep,
    time::Duration,
};
use tempfile::TempDir;

/// How often it is killed where nothing else is said.
const KILLS: usize = 12;
/// Of so many processes one lives until what it was sent is surely on disk, and one is killed while it starts.
const TURN: usize = 4;
/// Steps of past that the signal has: seconds.
const HISTORY: i64 = 600;

/// A number of the environment.
fn given(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

fn configuration(folder: &Path, judge: &Judge, witness: &Witness) -> String {
    format!(
        r#"
global: {{evaluation_interval: 1s}}
sources:
  - {{name: pushed, remote_write: {{}}}}
signals:
  - name: load
    select: 'load{{job="test"}}'
    step: 1s
    history: {HISTORY}s
    offset: 1s
    max_age: 10s
    seasonality: []
    forecast: {{horizons: []}}
    alerting: {{for: 0s}}
remote_write:
  - {{url: "http://{}/w", name: judge, queue: {{shards: 2, batch_send_deadline: 200ms, max_backoff: 500ms}}, buffer: {{max_bytes: 16MB}}}}
  - {{url: "http://{}/w", name: witness, queue: {{shards: 1, batch_send_deadline: 20ms}}}}
store: {{sqlite: {}/records.db}}
"#,
        judge.address(),
        witness.address(),
        folder.display()
    )
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// While it starts.
    Early,
    /// At any moment.
    Soon,
    /// When what it was sent is surely on disk.
    Late,
}

/// All who take part, and what is known to be kept and lost.
struct World {
    address: String,
    configuration: String,
    flags: Vec<String>,
    sender: Sender,
    people: People,
    judge: Judge,
    witness: Witness,
    rng: Rng,
    folder: TempDir,
    /// The newest time of the newest snapshot.
    newest: Option<Millis>,
    /// Seconds that were acknowledged and are in no snapshot.
    lost: BTreeSet<i64>,
    kills: Vec<Millis>,
    /// The longest time of which a process knew nothing when it began, seconds.
    longest_gap: f64,
}

impl World {
    fn new(seed: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let (judge, witness) = (Judge::start(seed), Witness::start());
        let address = format!("127.0.0.1:{}", free_port());
        let storage = folder.path().join("data");
        Self {
            configuration: configuration(folder.path(), &judge, &witness),
            flags: vec![
                format!("--storage.path={}", storage.display()),
                "--storage.snapshot-interval=1s".to_owned(),
                "--web.enable-admin-api".to_owned(),
            ],
            sender: Sender::start(&address),
            people: People::start(&address),
            judge,
            witness,
            rng: Rng::with_seed(seed),
            folder,
            address,
            newest: None,
            lost: BTreeSet::new(),
            kills: Vec::new(),
            longest_gap: 0.0,
        }
    }

    fn moment(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.rng.u64(0..most))
    }

    fn launch(&self) -> Program {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        Program::launch(&[], &self.address, &self.configuration, &flags)
    }

    /// One process, from its start to its end.
    fn live(&mut self, fate: Fate) {
        let launched = now();
        let mut program = self.launch();
        if fate == Fate::Early {
            sleep(self.moment(1_000));
            return self.kill(program, None);
        }
        program.listens();
        self.assert_begun(&program, launched);
        if self.kills.is_empty() {
            eventually("scores are written on", 120, || {
                match self.witness.series() {
                    0..=5 => Err(program.log()),
                    _ => Ok(()),
                }
            });
        }
        let kept = (fate == Fate::Late).then(|| {
            program.becomes_ready();
            self.assert_evaluates(&program, launched);
            self.people.assert_kept(&self.address);
            self.two_snapshots(&program)
        });
        sleep(self.moment(2_000));
        assert_nothing_dropped(&program);
        self.kill(program, kept);
    }

    /// What it takes over, and how long before its start it knows nothing.
    fn assert_begun(&mut self, program: &Program, launched: Millis) {
        eventually("the configuration is in force", 60, || {
            let log = program.log();
            let is_in_force = log.contains("configuration in force");
            is_in_force.then_some(()).ok_or(log)
        });
        let shown = program.metrics().unwrap();
        let told = shown.values("forethought_intake_gap_seconds", &["source=\"pushed\""]);
        let Some(newest) = self.newest else {
            return assert!(told.is_empty(), "{told:?}");
        };
        let (least, most) = (launched - newest, now() - newest);
        let gap = told[0];
        self.longest_gap = self.longest_gap.max(gap);
        assert!(
            (least as f64..=most as f64).contains(&(gap * 1_000.0)),
            "nothing is known of {least} to {most} ms, not of {gap} s"
        );
        let log = program.log();
        for wrong in ["cannot be used", "damaged", "panic", "level=error"] {
            assert!(!log.contains(wrong), "{wrong}: {log}");
        }
    }

    /// Waits until a second is evaluated that came since the start; what was kept is what was sent.
    fn assert_evaluates(&self, program: &Program, launched: Millis) {
        let shown = eventually("what comes is evaluated", 60, || {
            let shown = points(program, "load")?;
            let newest = shown
                .values()
                .filter_map(|one| Some(*one.last_key_value()?.0));
            match shown.len() == PODS.len() && newest.min() > Some(launched) {
                true => Ok(shown),
                false => Err(format!("{} series", shown.len())),
            }
        });
        let sent = self.sender.acknowledged();
        for (labels, values) in shown {
            let place = place_of(&labels);
            let first = values
                .first_key_value()
                .map_or(i64::MAX, |(at, _)| at / 1_000);
            let until = self.newest.unwrap_or(0) / 1_000;
            for second in first..=until {
                if sent.contains(&second) && !self.lost.contains(&second) {
                    let value = values.get(&(second * 1_000)).copied();
                    assert_eq!(value, Some(truth(place, second)), "{labels} at {second}");
                }
            }
        }
    }

    /// Waits until two snapshots were written; gives the newest second that was acknowledged before.
    fn two_snapshots(&self, program: &Program) -> i64 {
        let written = || {
            let words = ["source=\"pushed\"", "result=\"written\""];
            let shown = program.metrics()?;
            shown.value("forethought_intake_snapshots_total", &words)
        };
        let acknowledged = self.sender.acknowledged();
        let before = written().unwrap();
        eventually("two snapshots are written", 60, || match written()? {
            now if now >= before + 2.0 => Ok(()),
            now => Err(format!("{now}, {before} before\n{}", program.log())),
        });
        acknowledged.last().copied().unwrap_or(0)
    }

    /// Kills it, and looks at what it leaves. `kept` is the newest second that has to be in it.
    fn kill(&mut self, mut program: Program, kept: Option<i64>) {
        self.kills.push(now());
        program.signal("KILL");
        program.wait(10);
        self.sender.fails();
        assert_tidy(&self.folder.path().join("data"));
        self.look_at_snapshot(kept);
    }

    /// All that was acknowledged and was not lost before is in the newest snapshot, but for what is newer than all of it.
    fn look_at_snapshot(&mut self, kept: Option<i64>) {
        let file = self.folder.path().join("data/pushed.history");
        let Ok(bytes) = fs::read(&file) else {
            assert_eq!((self.newest, kept), (None, None), "the file was there");
            self.lost = self.sender.acknowledged();
            return;
        };
        let past = Past::decode(&bytes).unwrap();
        let newest = past.newest.unwrap_or(0);
        assert!(
            newest >= self.newest.unwrap_or(0),
            "{newest}, {:?}",
            self.newest
        );
        assert!(
            newest / 1_000 >= kept.unwrap_or(0),
            "{newest} and not {kept:?}"
        );
        self.newest = Some(newest);
        let acknowledged = self.sender.acknowledged();
        self.lost.extend(acknowledged.range(newest / 1_000 + 1..));
        let known = values_of(&past, &self.configuration);
        assert!(newest == 0 || known.len() == PODS.len());
        let oldest = now() / 1_000 - HISTORY + 10;
        for (place, values) in known {
            for second in acknowledged.range(oldest..=newest / 1_000) {
                let value = values.get(second).copied();
                let is_kept = value == Some(truth(place, *second));
                assert!(
                    is_kept || self.lost.contains(second),
                    "{} at {second}: {value:?}",
                    PODS[place]
                );
            }
        }
    }
}

fn place_of(labels: &str) -> usize {
    let is_own = |pod: &&str| labels.contains(&format!("\"{pod}\""));
    PODS.iter().position(is_own).unwrap()
}

/// The values of a snapshot, by pod and second.
fn values_of(past: &Past, configuration: &str) -> BTreeMap<usize, BTreeMap<i64, f64>> {
    let shape = parsed(configuration).signals[0]
        .subscription(100, Share::ALL)
        .unwrap();
    let mut recorder = past.of(&shape, now()).unwrap().unwrap();
    let end = past.newest.unwrap_or(0) / 1_000 * 1_000;
    let mut found = BTreeMap::new();
    let span = (end - HISTORY * 1_000, end);
    recorder.range(span, (100, &Share::ALL), |labels, values| {
        let values = values.into_iter().map(|(at, value)| (at / 1_000, value));
        found.insert(place_of(&labels.to_string()), values.collect());
    });
    found
}

fn assert_nothing_dropped(program: &Program) {
    let shown = program.metrics().unwrap();
    for what in ["samples_dropped", "samples_failed", "disk_failures"] {
        let name = format!("forethought_remote_write_{what}_total");
        let counted = shown.value(&name, &["remote_write=\"judge\""]);
        assert_eq!(counted, Ok(0.0), "{name}: {}", program.log());
    }
    let failed = ["result=\"failed\""];
    let failed = shown.value("forethought_intake_snapshots_total", &failed);
    assert_eq!(failed, Ok(0.0), "{}", program.log());
}

/// Files that somebody has to look after are neither left nor made.
fn assert_tidy(storage: &Path) {
    let mut folders = vec![storage.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // At most one of each: the next process uses the same name.
            let own = [
                "pushed.history",
                "pushed.new",
                "pushed.probe",
                "taken",
                "reached",
                "reached.new",
            ];
            let is_known = own.contains(&&*name) || name.ends_with(".segment");
            assert!(is_known, "{}", path.display());
        }
    }
}

#[test]
fn kill_9_at_random_moments_loses_no_more_than_is_told() {
    let kills = given("FORETHOUGHT_KILLS").map_or(KILLS, |count| count as usize);
    let seed = given("FORETHOUGHT_SEED").unwrap_or_else(|| now() as u64);
    println!("{kills} kills, FORETHOUGHT_SEED={seed}");
    let mut world = World::new(seed);
    for number in 0..kills {
        world.live(match number % TURN {
            1 => Fate::Early,
            3 => Fate::Late,
            _ => Fate::Soon,
        });
    }
    let launched = now();
    let mut program = world.launch();
    program.listens();
    world.assert_begun(&program, launched);
    program.becomes_ready();
    world.assert_evaluates(&program, launched);
    world.people.stop();
    world.people.assert_kept(&world.address);
    world.judge.set(Health::Well);
    world.sender.stop();
    eventually("nothing waits any more", 60, || {
        let shown = program.metrics()?;
        let waiting = shown.value(
            "forethought_remote_write_samples_pending",
            &["remote_write=\"judge\""],
        )?;
        match waiting < 20.0 {
            true => Ok(()),
            false => Err(format!("{waiting}\n{}", program.log())),
        }
    });
    assert_nothing_dropped(&program);
    program.signal("TERM");
    assert!(program.wait(30).success(), "{}", program.log());
    world.look_at_snapshot(world.sender.acknowledged().last().copied());
    for left in ["pushed.new", "pushed.probe"] {
        assert!(!world.folder.path().join("data").join(left).exists());
    }
    let late = world.judge.compare(&world.witness, &world.kills);
    println!(
        "{} seconds were acknowledged, {} of them lost with a crash, the longest gap was {:.1} s; {} events and orders were \
         acknowledged and are there; {} samples were written on, {late} of the last second before a kill were not",
        world.sender.acknowledged().len(),
        world.lost.len(),
        world.longest_gap,
        world.people.count(),
        world.judge.count(),
    );
}
