//! Senders and servers that overdo it: they flood, are slow, send garbage, have a hundred times the series, or a clock that is a day
//! off. Whoever does it right notices nothing.

use crate::{
    intake::newest,
    support::{
        eventually,
        http::{self, Reply},
        now,
        program::Program,
        pushing::{PATH, deliver, packed, point, push, send},
        server::{Answer, Asked, Server},
        throughout, undisturbed,
    },
};
use forethought::{
    expo::wire::{Packer, write::Point},
    intake::STALE_NAN,
};
use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};
use tokio::time::Instant;

const DAY: i64 = 86_400_000;
/// A series is evaluated where its newest value is not older: the machine may be busy with other tests.
const FRESH: i64 = 10_000;
/// Memory that a fault may cost, bytes: the program is not optimised.
const SPARE: f64 = 150e6;
/// What is throttled may be logged so often in these tests, a minute at most each.
const LINES: usize = 8;

/// A source that is pushed to and its signal.
fn configuration(source: &str, max_series: usize) -> String {
    format!(
        r#"
global: {{evaluation_interval: 1s}}
sources: [{{name: pushed, remote_write: {source}}}]
signals:
  - {{name: load, select: 'load{{job="test"}}', max_series: {max_series}, step: 1s, history: 5m, offset: 1s, max_age: 20s, seasonality: [], forecast: {{horizons: []}}}}
"#
    )
}

/// Does it right: pushes what is there of each of its series once in a while, and again what was not taken.
struct Decent {
    stop: Arc<AtomicBool>,
    pushed: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Decent {
    fn start(address: &str, pods: &[&'static str]) -> Self {
        let (stop, pushed) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (pods, address) = (pods.to_vec(), address.to_owned());
        let own = (Arc::clone(&stop), Arc::clone(&pushed));
        let thread = thread::spawn(move || {
            while !own.0.load(Ordering::SeqCst) {
                let at = now();
                let all: Vec<_> = pods.iter().map(|pod| (*pod, point(at, 100.0))).collect();
                match push(&address, PATH, &all) {
                    204 => {
                        own.1.fetch_add(1, Ordering::SeqCst);
                        sleep(Duration::from_millis(500));
                    }
                    503 => sleep(Duration::from_millis(5)),
                    other => panic!("who does it right is told {other}"),
                }
            }
        });
        let thread = Some(thread);
        Self {
            stop,
            pushed,
            thread,
        }
    }

    fn pushed(&self) -> usize {
        self.pushed.load(Ordering::SeqCst)
    }

    /// It was never told that it does it wrong.
    fn end(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Decent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Each of these has a value that is new.
fn are_fresh(program: &Program, pods: &[&str]) -> Result<(), String> {
    let shown = newest(program, "load")?;
    let late = pods.iter().filter(|pod| {
        let word = format!("\"{pod}\"");
        let own = shown.iter().find(|(labels, _)| labels.contains(&word));
        own.is_none_or(|(_, at)| now() - at > FRESH)
    });
    let late: Vec<_> = late.collect();
    match late.is_empty() {
        true => Ok(()),
        false => Err(format!("{late:?} of {shown:?} at {}", now())),
    }
}

fn counted(program: &Program, name: &str, words: &[&str]) -> f64 {
    program.metrics().unwrap().value(name, words).unwrap()
}

/// The beginning of a request to push, whose body will have so many bytes.
fn begin(address: &str, path: &str, bytes: u64, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// The status that is answered before all of the body came.
fn answered(mut stream: TcpStream) -> u16 {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    let text = String::from_utf8_lossy(&start).into_owned();
    text.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn senders_that_do_not_go_on_keep_no_place_from_others() {
    let program = Program::ready(&configuration("{concurrency: 1}", 100), &[]);
    let address = program.address();
    let whole = packed(&[("slow", point(now(), 1.0))]);
    let slow = (0..20).map(|_| begin(address, PATH, whole.len() as u64, &whole[..10]));
    let mut slow: Vec<TcpStream> = slow.collect();
    eventually("all of them are read", 30, || {
        let shown = program.metrics()?;
        match shown.value("forethought_web_requests_in_flight", &[])? {
            20.0.. => Ok(()),
            other => Err(other.to_string()),
        }
    });
    for _ in 0..20 {
        let sample = packed(&[("a", point(now(), 1.0))]);
        let reply = deliver(address, PATH, &[], &sample).unwrap();
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    // One that goes on after all is taken.
    let mut late = slow.pop().unwrap();
    late.write_all(&whole[10..]).unwrap();
    assert_eq!(answered(late), 204);
}

#[test]
fn what_is_declared_to_be_too_much_is_not_waited_for() {
    let program = Program::ready(&configuration("{max_request_bytes: 65536}", 100), &[]);
    for bytes in [65_537, 1 << 40] {
        let stream = begin(program.address(), PATH, bytes, b"");
        assert_eq!(answered(stream), 413, "{bytes}");
    }
}

/// Pushes as fast as it can in so many connections at a time, for some seconds; how often it was taken and told to come again.
fn flood(address: &str, connections: usize, seconds: u64) -> (usize, usize) {
    let (taken, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let names: Vec<String> = (0..2_000).map(|number| format!("flood{number}")).collect();
    let samples: Vec<_> = names.iter().map(|name| (name, point(now(), 1.0))).collect();
    let body = packed(&samples);
    let until = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                while Instant::now() < until {
                    let count = match send(address, PATH, &[], &body) {
                        204 => &taken,
                        503 => &busy,
                        other => panic!("{other}"),
                    };
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    (taken.into_inner(), busy.into_inner())
}

#[test]
fn a_flood_stops_neither_people_nor_other_senders() {
    let _alone = undisturbed();
    let source = "{concurrency: 1, max_request_bytes: 262144, max_series: 3}";
    let program = Program::ready(&configuration(source, 100), &[]);
    let pods = ["a", "b", "c"];
    let decent = Decent::start(program.address(), &pods);
    eventually("it is evaluated", 60, || are_fresh(&program, &pods));
    let (before, pushed) = (program.resident(), decent.pushed());
    let address = program.address().to_owned();
    let flood = thread::spawn(move || flood(&address, 100, 5));
    let mut longest = Duration::ZERO;
    while !flood.is_finished() {
        for path in ["/-/healthy", "/metrics"] {
            let began = Instant::now();
            http::get(program.address(), path).unwrap();
            longest = longest.max(began.elapsed());
        }
        assert!(program.resident() < before + SPARE);
        sleep(Duration::from_millis(100));
    }
    let (taken, busy) = flood.join().unwrap();
    let own = decent.pushed() - pushed;
    println!(
        "{taken} were taken, {busy} told to come again, {own} of others; an answer took {longest:?} at most"
    );
    assert!(taken > 0 && busy > 0 && own > 0, "{taken} {busy} {own}");
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    eventually("it goes on", 30, || are_fresh(&program, &pods));
    decent.end();
    let lines = program.log().lines().count();
    assert!(lines < 40, "{}", program.log());
}

/// Paths, of which those that read a body come first.
const PATHS: [&str; 12] = [
    "/api/v1/write",
    "/api/v1/write/pushed",
    "/api/v1/events",
    "/api/v1/overrides",
    "/api/v1/write/nobody",
    "/api/v1/events/1",
    "/api/v1/series",
    "/api/v1/scaling/evaluate",
    "/api/v1/nothing",
    "/metrics",
    "/-/reload",
    "/",
];

#[test]
fn garbage_on_any_path_is_refused_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("records.db");
    let mut text = configuration("{max_request_bytes: 65536}", 100);
    writeln!(text, "store: {{sqlite: {}}}", store.display()).unwrap();
    let program = Program::ready(&text, &["--web.enable-admin-api"]);
    let decent = Decent::start(program.address(), &["a"]);
    let mut noise = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..1_000).map(|_| noise.u8(..)).collect();
    let sound = packed(&[("a", point(now(), 1.0))]);
    let bodies = [
        Vec::new(),
        noise.clone(),
        Packer::new().pack(&noise).unwrap().to_vec(),
        sound[..sound.len() - 3].to_vec(),
        Packer::new().pack(&vec![0; 1 << 20]).unwrap().to_vec(),
        vec![0; 100_000],
        br#"{"kind": 3, "name": ["#.to_vec(),
        "[".repeat(50_000).into_bytes(),
    ];
    let kinds = [
        "application/x-protobuf",
        "application/json",
        "text/plain",
        "\u{1f4a3}",
    ];
    let before = program.resident();
    for path in PATHS {
        for kind in kinds {
            for body in &bodies {
                let headers = [("Content-Type", kind), ("Content-Encoding", "snappy")];
                let reply = http::request("POST", program.address(), path, &headers, body);
                let status = match &reply {
                    Ok(Reply { status, .. }) => *status,
                    // It was refused before all of it was read.
                    Err(error) if body.len() > 10_000 => match error.contains("os error") {
                        true => 413,
                        false => panic!("{path} {kind}: {error}"),
                    },
                    Err(error) => panic!("{path} {kind}: {error}"),
                };
                let shown = body.len();
                assert!(
                    (400..500).contains(&status),
                    "{path} {kind} {shown}: {status}"
                );
            }
        }
        let status = answered(begin(program.address(), path, 1 << 40, b""));
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert!(program.resident() < before + SPARE);
    eventually("it goes on", 30, || are_fresh(&program, &["a"]));
    decent.end();
    let log = program.log();
    assert!(!log.contains("panic"), "{log}");
    assert!(log.lines().count() < 60, "{log}");
}

/// They are sorted behind whatever floods.
const OLD: [&str; 10] = ["z0", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z8", "z9"];

fn assert_calm(program: &Program, part: &str) {
    let log = program.log();
    let lines = log.lines().filter(|line| line.contains(part)).count();
    assert!((1..=LINES).contains(&lines), "{lines} of {part:?}: {log}");
}

#[test]
fn a_hundred_times_the_series_push_out_none_that_was_there() {
    let program = Program::ready(&configuration("{max_series: 500}", 20), &[]);
    let decent = Decent::start(program.address(), &OLD);
    eventually("it is evaluated", 60, || are_fresh(&program, &OLD));
    let before = program.resident();
    let (mut round, mut names) = (0, Vec::new());
    throughout("the old ones are evaluated", 8, || {
        let new = (0..1_000).map(|number| format!("a{round}-{number}"));
        let new: Vec<(String, Vec<Point>)> = new.map(|name| (name, point(now(), 1.0))).collect();
        let status = push(program.address(), PATH, &new);
        assert!([204, 503].contains(&status), "{status}");
        names.extend(new.into_iter().map(|(name, _)| name));
        round += 1;
        are_fresh(&program, &OLD)
    });
    let dropped = || {
        counted(
            &program,
            "forethought_signal_series_dropped",
            &["signal=\"load\""],
        )
    };
    assert!(dropped() > 400.0, "{}", dropped());
    let refused = counted(&program, "forethought_intake_series_refused_total", &[]);
    assert!(refused > 500.0, "{refused} of {}", names.len());
    assert!(program.resident() < before + SPARE);
    assert_calm(&program, "no room");
    // It ends: whoever sent it says so.
    for some in names.chunks(1_000) {
        let ends: Vec<_> = some
            .iter()
            .map(|name| (name, point(now(), STALE_NAN)))
            .collect();
        eventually("its end is taken", 30, || {
            match push(program.address(), PATH, &ends) {
                204 => Ok(()),
                other => Err(other.to_string()),
            }
        });
    }
    eventually("nothing is left out any more", 60, || match dropped() {
        0.0 => are_fresh(&program, &OLD),
        other => Err(format!("{other} series")),
    });
    decent.end();
}

/// A Prometheus whose series explode on demand; those that come then are sorted first.
fn crowded(asked: &Asked, explodes: bool) -> Answer {
    let (start, end) = (asked.seconds("start") as i64, asked.seconds("end") as i64);
    let old = OLD.map(str::to_owned).into_iter();
    let new = (0..1_000).map(|number| format!("a{number}"));
    let mut series = String::new();
    for (name, first) in old
        .map(|name| (name, start))
        .chain(new.filter(|_| explodes).map(|name| (name, end)))
    {
        let values: Vec<String> = (first..=end).map(|at| format!("[{at},\"100\"]")).collect();
        let values = values.join(",");
        write!(
            series,
            r#"{{"metric":{{"pod":"{name}"}},"values":[{values}]}},"#
        )
        .unwrap();
    }
    series.pop();
    Answer::json(
        200,
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#),
    )
}

#[test]
fn a_hundred_times_the_series_of_a_query_push_out_none_that_was_there() {
    let explodes = Arc::<AtomicBool>::default();
    let own = Arc::clone(&explodes);
    let server = Server::start(move |asked| crowded(asked, own.load(Ordering::SeqCst)));
    let text = format!(
        r#"
global: {{evaluation_interval: 1s}}
sources: [{{name: main, prometheus: {{url: "http://{}"}}}}]
signals:
  - {{name: load, query: load, max_series: 12, step: 1s, history: 5m, offset: 1s, max_age: 20s, seasonality: [], forecast: {{horizons: []}}}}
"#,
        server.address()
    );
    let program = Program::ready(&text, &[]);
    eventually("it is evaluated", 60, || are_fresh(&program, &OLD));
    explodes.store(true, Ordering::SeqCst);
    let dropped = || {
        counted(
            &program,
            "forethought_signal_series_dropped",
            &["signal=\"load\""],
        )
    };
    eventually("some are left out", 30, || match dropped() {
        998.0 => Ok(()),
        other => Err(other.to_string()),
    });
    throughout("the old ones are evaluated", 12, || {
        are_fresh(&program, &OLD)
    });
    let refused = counted(
        &program,
        "forethought_signal_series_refused",
        &["signal=\"load\""],
    );
    assert_eq!(refused, 0.0);
    explodes.store(false, Ordering::SeqCst);
    eventually("nothing is left out any more", 30, || match dropped() {
        0.0 => are_fresh(&program, &OLD),
        other => Err(other.to_string()),
    });
}

#[test]
fn senders_whose_clocks_are_a_day_off_are_told_and_harm_nobody() {
    let program = Program::ready(&configuration("{}", 100), &[]);
    let address = program.address();
    // They come first.
    for _ in 0..5 {
        assert_eq!(
            push(address, PATH, &[("ahead", point(now() + DAY, 1.0))]),
            400
        );
        assert_eq!(
            push(address, PATH, &[("behind", point(now() - DAY, 1.0))]),
            204
        );
    }
    let decent = Decent::start(address, &["a", "b"]);
    eventually("others are evaluated", 60, || {
        are_fresh(&program, &["a", "b"])
    });
    throughout("others are evaluated", 4, || {
        let (ahead, behind) = (now() + DAY, now() - DAY);
        assert_eq!(push(address, PATH, &[("ahead", point(ahead, 1.0))]), 400);
        assert_eq!(push(address, PATH, &[("behind", point(behind, 1.0))]), 204);
        are_fresh(&program, &["a", "b"])
    });
    for result in ["ahead", "old"] {
        let word = format!("result=\"{result}\"");
        let count = counted(&program, "forethought_intake_samples_total", &[&word]);
        assert!(count >= 10.0, "{count} {result}");
    }
    assert_eq!(newest(&program, "load").unwrap().len(), 2);
    decent.end();
    // Their clocks are right again.
    let all = ["a", "ahead", "b", "behind"];
    let decent = Decent::start(address, &all);
    eventually("all are evaluated", 30, || are_fresh(&program, &all));
    decent.end();
    assert!(program.log().lines().count() < 60, "{}", program.log());
}
