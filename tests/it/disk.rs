//! A disk without room, under a real process: what is kept there fails and is counted, everything else goes on, and when there is
//! room again all of it works, without a restart.

use crate::{
    intake::newest,
    kills::receivers::{Health, Judge, Witness},
    support::{
        eventually,
        guard::{free_port, run},
        http, now,
        program::Program,
        pushing::{PATH, push},
        throughout,
    },
};
use forethought::{expo::wire::write::Point, source::local::disk::Past};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};
use tempfile::TempDir;

/// Series, so many that their past is longer than [`LIMIT`].
const PODS: usize = 100;
/// Seconds of past.
const PAST: i64 = 280;
/// Seconds in one request at most: one series comes after the other, and so much later than another's none may come.
const MOST: i64 = 4;
/// With a limit of the size of files instead of a small file system: bytes.
const LIMIT: usize = 65_536;
/// What is throttled is logged as often: seconds.
const LOG_EVERY: usize = 10;

/// How a disk is made small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A file system of 4 MB that only the process sees, and that goes with it.
    FileSystem,
    /// No file may grow beyond [`LIMIT`]: to a program the same as a disk without room, but for the number of the error.
    Limit,
}

struct Disk {
    way: Way,
    folder: TempDir,
}

impl Disk {
    /// What starts the program on it, with a copy of what is in `past`.
    fn before<'a>(&self, folder: &'a str, past: &'a str, user: &'a str) -> Vec<&'a str> {
        let mount =
            "mount -t tmpfs -o size=4m tmpfs \"$0\" && cp \"$1\"/* \"$0\" && shift && exec \"$@\"";
        // Who is told by its error ignores the signal that comes with it.
        let ignore = "cp \"$1\"/* \"$0\" && shift && trap '' XFSZ && exec \"$@\"";
        match self.way {
            Way::FileSystem => vec!["unshare", user, "sh", "-c", mount, folder, past],
            Way::Limit => vec!["sh", "-c", ignore, folder, past],
        }
    }

    /// A path of it as we see it.
    fn path(&self, program: &Program, name: &str) -> PathBuf {
        let root = match self.way {
            Way::FileSystem => PathBuf::from(format!("/proc/{}/root", program.pid())),
            Way::Limit => PathBuf::from("/"),
        };
        let own = self.folder.path().strip_prefix("/").unwrap();
        root.join(own).join(name)
    }

    fn fill(&self, program: &Program) {
        match self.way {
            Way::FileSystem => {
                let mut file = fs::File::create(self.path(program, "filler")).unwrap();
                while file.write_all(&[b'x'; 4_096]).is_ok() {}
            }
            Way::Limit => limit(program, &LIMIT.to_string()),
        }
    }

    fn make_room(&self, program: &Program) {
        match self.way {
            Way::FileSystem => fs::remove_file(self.path(program, "filler")).unwrap(),
            Way::Limit => limit(program, "unlimited"),
        }
    }
}

fn limit(program: &Program, soft: &str) {
    let pid = program.pid().to_string();
    let size = format!("--fsize={soft}:unlimited");
    run("prlimit", &["--pid", &pid, &size], None).unwrap();
}

/// How a file system may be mounted that nobody else sees, if it may be.
fn namespaces() -> Option<&'static str> {
    let mounts = |user: &&&str| {
        let mount = "mount -t tmpfs -o size=1m tmpfs /tmp";
        run("unshare", &[user, "sh", "-c", mount], None).is_ok()
    };
    ["-m", "-mr"].iter().find(mounts).copied()
}

/// Pushes a sample of each series a second, each of which has to be taken.
struct Feeder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn names() -> Vec<String> {
    (0..PODS).map(|pod| format!("p{pod}")).collect()
}

fn feed(address: &str, first: i64, last: i64) {
    let of = |(place, name): (usize, &String)| {
        let points = (first..=last).map(|second| Point {
            at: second * 1_000,
            value: 100.0 + ((second * 7_919 + place as i64 * 104_729) % 1_000) as f64 / 100.0,
        });
        (name.clone(), points.collect())
    };
    let all: Vec<(String, Vec<Point>)> = names().iter().enumerate().map(of).collect();
    assert_eq!(push(address, PATH, &all), 204);
}

impl Feeder {
    /// Begins at this second.
    fn start(address: &str, mut next: i64) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (own, address) = (Arc::clone(&stop), address.to_owned());
        let thread = thread::spawn(move || {
            while !own.load(Ordering::SeqCst) {
                let last = now() / 1_000;
                if last < next {
                    sleep(Duration::from_millis(50));
                    continue;
                }
                let last = last.min(next + MOST - 1);
                feed(&address, next, last);
                next = last + 1;
            }
        });
        let thread = Some(thread);
        Self { stop, thread }
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

const SIGNAL: &str = r#"
global: {evaluation_interval: 1s}
sources: [{name: pushed, remote_write: {}}]
signals:
  - {name: load, select: load, step: 1s, history: 300s, offset: 1s, max_age: 20s, seasonality: [], forecast: {horizons: []}}
"#;

fn configuration(judge: &Judge, witness: &Witness, storage: &Path) -> String {
    format!(
        r#"{SIGNAL}
remote_write:
  - {{url: "http://{}/w", name: judge, queue: {{shards: 1, batch_send_deadline: 200ms, max_backoff: 500ms}}, buffer: {{max_bytes: 2MB}}}}
  - {{url: "http://{}/w", name: witness, queue: {{shards: 1, batch_send_deadline: 50ms}}}}
store: {{sqlite: {}/records.db}}
"#,
        judge.address(),
        witness.address(),
        storage.display()
    )
}

/// What a process leaves that was pushed to: without a past nothing is scored, and so there is nothing to write on. Gives the second
/// after its newest.
fn past(folder: &Path) -> i64 {
    let storage = format!("--storage.path={}", folder.display());
    let mut program = Program::ready(SIGNAL, &[&storage]);
    let end = now() / 1_000;
    for first in (end - PAST..end).step_by(MOST as usize) {
        feed(program.address(), first, (first + MOST - 1).min(end - 1));
    }
    program.signal("TERM");
    assert!(program.wait(30).success(), "{}", program.log());
    end
}

/// Adds an event; the answer's status.
fn add_event(program: &Program) -> u16 {
    let (start, name) = (now(), "x".repeat(200));
    let end = start + 3_600_000;
    let body =
        format!(r#"{{"kind":"test","name":"{name}","start":{start},"end":{end},"author":"ada"}}"#);
    let headers = [("Content-Type", "application/json")];
    let address = program.address();
    let reply = http::request("POST", address, "/api/v1/events", &headers, body.as_bytes());
    reply.unwrap().status
}

fn snapshots(program: &Program, result: &str) -> f64 {
    let words = format!("result=\"{result}\"");
    let shown = program.metrics().unwrap();
    let counted = shown.value("forethought_intake_snapshots_total", &[&words]);
    counted.unwrap()
}

fn judged(program: &Program, what: &str) -> f64 {
    let name = format!("forethought_remote_write_{what}");
    let shown = program.metrics().unwrap();
    shown.value(&name, &["remote_write=\"judge\""]).unwrap()
}

/// What was pushed a moment ago is evaluated.
fn is_evaluated(program: &Program) -> Result<(), String> {
    let shown = newest(program, "load")?;
    let oldest = shown.values().min().copied().unwrap_or(0);
    match now() - oldest < 10_000 {
        true => Ok(()),
        false => Err(format!("{} series, {} ms ago", shown.len(), now() - oldest)),
    }
}

/// Bytes of what waits on disk.
fn buffered(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let bytes = entries.map(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => buffered(&path),
            false => fs::metadata(&path).map_or(0, |about| about.len()),
        }
    });
    bytes.sum()
}

/// Each of these is logged now and then, and not each time.
fn assert_calm(log: &str, since: i64, parts: &[&str]) {
    let seconds = (now() - since) as usize / 1_000;
    for part in parts {
        let lines = log.lines().filter(|line| line.contains(part)).count();
        assert!(lines >= 1, "{part}: {log}");
        assert!(lines <= 2 + seconds / LOG_EVERY, "{part}: {log}");
    }
}

fn a_full_disk_stops_nothing_but_what_is_kept_on_it(way: Way, user: &str) {
    let (judge, witness) = (Judge::start(1), Witness::start());
    judge.set(Health::Well);
    let disk = Disk {
        way,
        folder: TempDir::new().unwrap(),
    };
    let left = TempDir::new().unwrap();
    let next = past(left.path());
    let folder = disk.folder.path().display().to_string();
    let address = format!("127.0.0.1:{}", free_port());
    let mut program = Program::launch(
        &disk.before(&folder, &left.path().display().to_string(), user),
        &address,
        &configuration(&judge, &witness, disk.folder.path()),
        &[
            &format!("--storage.path={folder}"),
            "--storage.snapshot-interval=1s",
            "--web.enable-admin-api",
        ],
    );
    program.listens();
    let feeder = Feeder::start(&address, next);
    program.becomes_ready();
    eventually("it is evaluated", 60, || is_evaluated(&program));
    let history = disk.path(&program, "pushed.history");
    eventually("its past is on disk", 60, || {
        let bytes = fs::metadata(&history).map_or(0, |about| about.len());
        match bytes > LIMIT as u64 {
            true => Ok(()),
            false => Err(format!("{bytes} bytes\n{}", program.log())),
        }
    });
    assert_eq!(add_event(&program), 201);
    judge.set(Health::Away);

    let began = now();
    disk.fill(&program);
    let failures = |least: f64| {
        let counted = (
            snapshots(&program, "failed"),
            judged(&program, "disk_failures_total"),
        );
        match counted.0 >= least && counted.1 >= least {
            true => Ok(()),
            false => Err(format!("{counted:?}\n{}", program.log())),
        }
    };
    // What a database makes of another error than that of a full disk is that it is gone.
    let told = match way {
        Way::FileSystem => 507,
        Way::Limit => 503,
    };
    eventually("a person is told", 60, || match add_event(&program) {
        status if status == told => Ok(()),
        other => Err(other.to_string()),
    });
    eventually("what fails is counted", 90, || failures(3.0));
    throughout("everything else goes on", 3, || is_evaluated(&program));
    assert_calm(
        &program.log(),
        began,
        &["cannot write what came by itself", "cannot be kept on disk"],
    );
    let bytes = fs::read(&history).unwrap();
    assert!(Past::decode(&bytes).is_ok(), "the former one is as it was");

    disk.make_room(&program);
    let (written, waiting) = (
        snapshots(&program, "written"),
        buffered(&disk.path(&program, "remote_write")),
    );
    eventually("its past is written again", 30, || {
        match snapshots(&program, "written") - written {
            2.0.. => Ok(()),
            more => Err(format!("{more}\n{}", program.log())),
        }
    });
    eventually("an event is kept again", 60, || match add_event(&program) {
        201 => Ok(()),
        other => Err(other.to_string()),
    });
    eventually("what waits is on disk again", 30, || {
        match buffered(&disk.path(&program, "remote_write")) {
            now if now > waiting + 10_000 => Ok(()),
            now => Err(format!(
                "{now} bytes, and {waiting} before\n{}",
                program.log()
            )),
        }
    });
    let failed = judged(&program, "disk_failures_total");
    judge.set(Health::Well);
    eventually("nothing waits any more", 60, || {
        match judged(&program, "samples_pending") {
            0.0..2_000.0 => Ok(()),
            waiting => Err(format!("{waiting}\n{}", program.log())),
        }
    });
    let lost = [
        "disk_failures_total",
        "samples_dropped_total",
        "samples_failed_total",
    ];
    let lost = lost.map(|what| judged(&program, what));
    assert_eq!(lost, [failed, 0.0, 0.0]);
    feeder.end();
    program.signal("TERM");
    assert!(program.wait(30).success(), "{}", program.log());
    assert_eq!(judge.compare(&witness, &[]), 0);
}

#[test]
fn a_small_file_system_that_is_full_stops_nothing_but_what_is_kept_on_it() {
    match namespaces() {
        Some(user) => a_full_disk_stops_nothing_but_what_is_kept_on_it(Way::FileSystem, user),
        None => {
            println!("SKIPPED: nothing may be mounted here; the limit of files is tried instead")
        }
    }
}

#[test]
fn files_that_may_not_grow_stop_nothing_but_what_is_kept_in_them() {
    a_full_disk_stops_nothing_but_what_is_kept_on_it(Way::Limit, "");
}
