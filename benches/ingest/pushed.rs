//! From the packed body of a request to the recorder of a wide signal, of ten thousand series to a million, with what they take.
//!
//! All times are those of the processor, so that what else the machine does is not measured; each the best of some passes.

use super::hex;
use fastrand::Rng;
use forethought::{
    engine::Clock,
    expo::wire::{
        Packer,
        write::{Outgoing, Point, Version, Writer},
    },
    intake::{Reading, Selection, Shape},
    series::{Grid, Labels, Millis, Share},
    source::{
        Known, RangeRequest, Source, TableRequest,
        local::{Hub, LocalSource, disk::Shelf},
        remote_write::{Receiver, Settings},
    },
};
use std::{
    fs,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

const NAME: &str = "container_memory_working_set_bytes";
const STEP: Millis = 60_000;
const START: Millis = 1_700_000_040_000;
/// Of a request.
const SERIES: usize = 2_000;
/// Times that each thing is done; the best counts.
const PASSES: usize = 6;
/// Samples that are pushed at a time at least: a processor's time is counted in ticks.
const LEAST: usize = 400_000;

type Pairs = Vec<(&'static str, String)>;

/// Labels as cAdvisor has them: eight with the metric's name, some 150 bytes.
fn all_series(count: usize) -> Vec<Pairs> {
    let mut random = Rng::with_seed(super::SEED);
    let series = (0..count).map(|number| {
        let node = number / 100;
        vec![
            ("cluster", "eu-west-1".to_owned()),
            ("container", "app".to_owned()),
            (
                "instance",
                format!("10.{}.{}.7:8080", node / 256, node % 256),
            ),
            ("job", "kubelet".to_owned()),
            ("namespace", "payments".to_owned()),
            ("node", format!("node-{node:05}")),
            (
                "pod",
                format!("checkout-{}-{}", hex(&mut random, 9), hex(&mut random, 5)),
            ),
        ]
    });
    series.collect()
}

/// A minute of all series in packed requests.
fn requests(series: &[Pairs], order: &[u32], at: Millis) -> Vec<Vec<u8>> {
    let (mut writer, mut packer) = (Writer::new(Version::V1), Packer::new());
    let mut bodies = Vec::new();
    let mut labels = Vec::new();
    for part in order.chunks(SERIES) {
        writer.clear();
        for &number in part {
            labels.clear();
            let pairs = series[number as usize].iter();
            labels.extend(pairs.map(|(name, value)| (*name, value.as_str())));
            let own = i64::from(number);
            writer.push(&Outgoing {
                name: NAME,
                labels: &labels,
                samples: &[Point {
                    at: at + own % STEP,
                    value: (own + at / STEP % 100) as f64 * 1.1,
                }],
                metadata: None,
                created: None,
            });
        }
        let mut body = Vec::new();
        writer.append_to(&mut body);
        bodies.push(packer.pack(&body).unwrap().to_vec());
    }
    bodies
}

/// CPU time of `work`, and what it gave.
fn on_cpu<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let before = cpu();
    let made = work();
    (cpu() - before, made)
}

/// CPU time of this thread so far (Linux; see `Documentation/scheduler/sched-stats.rst`).
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the bench needs Linux with schedstat"))
}

/// Bytes of the process that are in memory: now, and at most since [`forget_peak`].
fn resident() -> (usize, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.map(|line| line.trim().trim_end_matches(" kB").parse::<usize>());
        1_024
            * kib
                .and_then(Result::ok)
                .expect("the bench needs Linux with /proc")
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Lets the most that was in memory begin anew.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("the bench needs Linux with /proc");
}

/// A minute, and its requests.
type Minute = (i64, Vec<Vec<u8>>);

struct World {
    hub: Arc<Hub>,
    receiver: Receiver,
    ahead: Arc<AtomicI64>,
    shape: Shape,
}

impl World {
    fn new(series: usize) -> Self {
        let shape = Shape {
            selection: Selection::new(NAME, Reading::Gauge, None, None).unwrap(),
            grid: Grid::new(STEP).unwrap(),
            history: 1,
            max_series: series,
            share: Share::ALL,
        };
        let hub = Arc::new(Hub::new("pushed", series, Arc::default()));
        hub.subscribe(shape.clone(), None);
        let ahead = Arc::<AtomicI64>::default();
        let clock = Clock::Settable {
            behind: Box::new(Clock::scaled(START, 0.0)),
            ahead: Arc::clone(&ahead),
        };
        let settings = Settings {
            max_series: series,
            ..Settings::default()
        };
        let around = (Arc::default(), clock);
        let receiver = Receiver::build("pushed", &settings, Arc::clone(&hub), around).unwrap();
        Self {
            hub,
            receiver,
            ahead,
            shape,
        }
    }

    /// Takes in some minutes; nanoseconds a sample.
    fn push(&self, minutes: &[Minute], series: usize) -> f64 {
        let (took, taken) = on_cpu(|| {
            let mut taken = 0;
            for (minute, bodies) in minutes {
                self.ahead.store((minute + 1) * STEP, Ordering::Relaxed);
                for body in bodies {
                    taken += self.receiver.take(body, Version::V1).unwrap().samples;
                }
            }
            taken
        });
        let samples = series * minutes.len();
        assert_eq!(taken, samples as u64, "samples were lost");
        took.as_nanos() as f64 / samples as f64
    }

    /// Reads one minute in columns; nanoseconds a series, and what is known then.
    fn read(&self, minute: i64, known: Option<Known>, series: usize) -> (f64, Known) {
        let at = START + minute * STEP;
        let source = LocalSource::new("pushed", Arc::clone(&self.hub));
        let range = RangeRequest {
            query: self.shape.selection.text().to_owned(),
            start: at,
            end: at,
            step: STEP,
            max_series: series,
            share: Share::ALL,
        };
        let request = TableRequest { range, known };
        let times = 10 * LEAST / series;
        let (took, table) = on_cpu(|| {
            (1..times).for_each(|_| drop(source.table(black_box(&request))));
            source.table(black_box(&request)).unwrap()
        });
        assert!(table.values.iter().filter(|value| !value.is_nan()).count() == series);
        let known = Known {
            key: table.key,
            rows: table.rows,
        };
        (took.as_nanos() as f64 / (times * series) as f64, known)
    }
}

/// Figures of so many series.
fn tell(series: usize) {
    let all = all_series(series);
    let mut order: Vec<u32> = (0..series as u32).collect();
    let texts = all.iter().take(100).map(|pairs| {
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        Labels::new(pairs).unwrap().heap_bytes()
    });
    let text = texts.sum::<usize>() / 100;
    let first = [(0, requests(&all, &order, START))];
    let before = resident().0;
    let mut world = World::new(series);
    let mut new = world.push(&first, series);
    let grew = resident().0.saturating_sub(before) / series;
    for _ in 1..LEAST / series {
        world = World::new(series);
        new = new.min(world.push(&first, series));
    }
    drop(first);
    let (first_read, mut known) = world.read(0, None, series);
    let [mut in_order, mut mixed, mut read, mut tidied] = [f64::MAX; 4];
    let block = (LEAST / series).max(1) as i64;
    let mut minute = 0;
    for pass in 0..2 * PASSES {
        let is_mixed = pass % 2 == 0;
        if is_mixed {
            Rng::with_seed(pass as u64).shuffle(&mut order);
        } else {
            order.sort_unstable();
        }
        let minutes = minute + 1..=minute + block;
        let minutes = minutes.map(|minute| (minute, requests(&all, &order, START + minute * STEP)));
        let minutes: Vec<Minute> = minutes.collect();
        minute += block;
        let best = if is_mixed { &mut mixed } else { &mut in_order };
        *best = best.min(world.push(&minutes, series));
        let (took, now_known) = world.read(minute, Some(known), series);
        (read, known) = (read.min(took), now_known);
        let times = 10 * LEAST / series;
        let now = START + (minute + 1) * STEP;
        let took = on_cpu(|| (0..times).for_each(|_| world.hub.tidy(now))).0;
        tidied = tidied.min(took.as_nanos() as f64 / (times * series) as f64);
    }
    let per_second = |nanos: f64| 1e3 / nanos;
    println!(
        "pushed, {series} series of {text} bytes of labels: new {:.2} M samples/s, known {:.2} M samples/s, known in another order {:.2} M samples/s; read in columns {read:.0} ns a series, the first time {first_read:.0} ns; tidied {tidied:.0} ns a series",
        per_second(new),
        per_second(in_order),
        per_second(mixed),
    );
    let own = world.hub.heap_bytes() / series;
    println!(
        "pushed, {series} series: {own} bytes each as counted, {} beyond the labels; the process grew by {grew} bytes each",
        own as i64 - text as i64
    );
    keep(&world, series, START + (minute + 1) * STEP);
}

/// Writes and reads the file.
fn keep(world: &World, series: usize, now: Millis) {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path(), "pushed").unwrap();
    let peak = |before: usize| resident().1.saturating_sub(before) / series;
    forget_peak();
    let before = resident().0;
    let (write, bytes) = on_cpu(|| shelf.write(&world.hub).unwrap());
    let most_writing = peak(before);
    forget_peak();
    let before = resident().0;
    let (read, restored) = on_cpu(|| shelf.read().unwrap().of(&world.shape, now).unwrap());
    let most_reading = peak(before);
    assert_eq!(restored.map(|own| own.members()), Some(series));
    println!(
        "kept, {series} series: {} bytes each in the file, written in {:.0} ms with {most_writing} bytes more each at most, read in {:.0} ms with {most_reading} bytes",
        bytes / series,
        write.as_secs_f64() * 1e3,
        read.as_secs_f64() * 1e3,
    );
}

/// Figures of ten thousand, a hundred thousand, a million.
pub(super) fn figures() {
    for series in [10_000, 100_000, 1_000_000] {
        tell(series);
    }
}
