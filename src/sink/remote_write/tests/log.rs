//! What waits on disk, over restarts, damage and a disk that is full.

use super::super::{log::Log, queue::Queue, record::Record};
use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
};
use tempfile::tempdir;

const ROOM: u64 = 1 << 20;

fn record(newest: i64, bytes: usize) -> Record {
    Record {
        packed: vec![newest as u8; bytes].into(),
        samples: 2,
        newest,
    }
}

/// The next batch, by the newest of each record.
fn taken(log: &mut Log, most: usize) -> (Vec<i64>, usize) {
    let (records, lost) = log.take(most);
    let newest = records.iter().map(|record| record.newest).collect();
    (newest, lost)
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "segment");
    let mut found: Vec<PathBuf> = paths.filter(is_segment).collect();
    found.sort();
    found
}

#[test]
fn what_was_not_taken_is_there_after_a_restart_and_what_was_is_not() {
    let folder = tempdir().unwrap();
    let mut log = Log::open(folder.path(), ROOM).unwrap();
    for newest in 1..=5 {
        assert_eq!(log.push(&record(newest, 100)).unwrap(), 0);
    }
    assert_eq!(log.waiting(), 10);
    assert_eq!(taken(&mut log, 4), (vec![1, 2], 0));
    assert_eq!(log.waiting(), 6);
    log.done();
    assert_eq!(taken(&mut log, 1), (vec![3], 0), "one at least");
    // It ends here: nobody knows whether the third was taken.
    drop(log);
    let mut log = Log::open(folder.path(), ROOM).unwrap();
    assert_eq!(log.waiting(), 6);
    log.push(&record(6, 100)).unwrap();
    assert_eq!(taken(&mut log, 100), (vec![3, 4, 5], 0));
    log.done();
    assert_eq!(taken(&mut log, 100), (vec![6], 0));
    log.done();
    assert_eq!((taken(&mut log, 100), log.waiting()), ((vec![], 0), 0));
    assert_eq!(segments(folder.path()), [""; 0].map(PathBuf::from));
    // Numbers go on: what was taken stays taken.
    log.push(&record(7, 100)).unwrap();
    drop(log);
    let mut log = Log::open(folder.path(), ROOM).unwrap();
    assert_eq!(taken(&mut log, 100), (vec![7], 0));
}

#[test]
fn wherever_a_segment_is_cut_off_what_is_before_is_there() {
    let folder = tempdir().unwrap();
    let mut log = Log::open(folder.path(), ROOM).unwrap();
    for newest in 1..=3 {
        log.push(&record(newest, 10)).unwrap();
    }
    drop(log);
    let path = segments(folder.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let each = (whole.len() - 24) / 3;
    for length in (0..whole.len()).rev() {
        fs::write(&path, &whole[..length]).unwrap();
        let kept = length.saturating_sub(24) / each;
        let mut log = Log::open(folder.path(), ROOM).unwrap();
        assert_eq!(log.waiting(), 2 * kept, "{length} bytes");
        log.push(&record(9, 10)).unwrap();
        let mut all = Vec::new();
        while log.waiting() > 0 {
            let (batch, lost) = taken(&mut log, 100);
            assert_eq!(lost, 0);
            all.extend(batch);
            log.done();
        }
        let mut wanted: Vec<i64> = (1..=kept as i64).collect();
        wanted.push(9);
        assert_eq!(all, wanted, "{length} bytes");
        fs::remove_file(folder.path().join("taken")).unwrap();
    }
}

#[test]
fn what_is_damaged_is_lost_and_counted_and_the_rest_goes_on() {
    let folder = tempdir().unwrap();
    // Two records a segment.
    let mut log = Log::open(folder.path(), 8 * 200).unwrap();
    for newest in 1..=4 {
        log.push(&record(newest, 100)).unwrap();
    }
    let first = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&first).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&first, bytes).unwrap();
    assert_eq!(taken(&mut log, 100), (vec![1], 0));
    log.done();
    assert_eq!(taken(&mut log, 100), (vec![3, 4], 2));
    log.done();
    assert_eq!(log.waiting(), 0);
}

#[test]
fn a_segment_of_another_version_is_put_aside() {
    let folder = tempdir().unwrap();
    let mut log = Log::open(folder.path(), ROOM).unwrap();
    log.push(&record(1, 100)).unwrap();
    drop(log);
    let path = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] += 1;
    fs::write(&path, &bytes).unwrap();
    let log = Log::open(folder.path(), ROOM).unwrap();
    assert_eq!(log.waiting(), 0);
    assert_eq!(fs::read(path.with_extension("unknown")).unwrap(), bytes);
}

#[test]
fn over_its_size_the_oldest_segment_goes() {
    let folder = tempdir().unwrap();
    let most = 8 * 1_000;
    let mut log = Log::open(folder.path(), most).unwrap();
    let (mut pushed, mut dropped) = (0, 0);
    log.push(&record(0, 400)).unwrap();
    assert_eq!(taken(&mut log, 1).0, [0]);
    for newest in 1..100 {
        dropped += log.push(&record(newest, 400)).unwrap();
        pushed += 2;
        let bytes: u64 = segments(folder.path())
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert!(bytes <= most, "{bytes}");
    }
    // What was under way when its segment went is not counted: it may have been taken.
    log.done();
    assert_eq!(log.waiting(), pushed - dropped);
    let first = taken(&mut log, 1).0[0];
    assert_eq!(first, dropped as i64 / 2 + 1, "in order, without a gap");
}

#[test]
fn any_course_of_things_keeps_everything_in_order() {
    for seed in 0..20 {
        let folder = tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut log = Log::open(folder.path(), 60_000).unwrap();
        let (mut wanted, mut next, mut under_way) = (VecDeque::new(), 0, 0);
        for _ in 0..300 {
            match random.u8(..10) {
                0..5 => {
                    next += 1;
                    let bytes = random.usize(1..200);
                    assert_eq!(log.push(&record(next, bytes)).unwrap(), 0);
                    wanted.push_back(next);
                }
                5..8 if under_way == 0 && !wanted.is_empty() => {
                    let batch = taken(&mut log, random.usize(1..9)).0;
                    let front: Vec<i64> = wanted.iter().copied().take(batch.len()).collect();
                    assert_eq!(batch, front, "seed {seed}");
                    under_way = batch.len();
                    assert!(under_way > 0);
                }
                8 => {
                    log.done();
                    wanted.drain(..std::mem::take(&mut under_way));
                }
                9 => {
                    drop(log);
                    log = Log::open(folder.path(), 60_000).unwrap();
                    under_way = 0;
                }
                _ => {}
            }
            assert_eq!(log.waiting(), 2 * (wanted.len() - under_way), "seed {seed}");
        }
    }
}

#[test]
fn a_disk_that_takes_nothing_leaves_it_in_memory_until_it_is_well_again() {
    let folder = tempdir().unwrap();
    let queue = Queue::new(10);
    let gone = folder.path().join("gone");
    queue.attach(Log::open(&gone, ROOM).unwrap());
    fs::remove_dir_all(&gone).unwrap();
    assert!(queue.push(record(1, 10)).failure.is_some());
    assert!(queue.push(record(2, 10)).failure.is_some(), "each time");
    // What waits in memory goes to the disk before what comes now.
    fs::create_dir(&gone).unwrap();
    assert!(queue.push(record(3, 10)).failure.is_none());
    let left = queue.clear();
    assert_eq!((left.kept, left.dropped), (6, 0));
    let mut log = Log::open(&gone, ROOM).unwrap();
    assert_eq!(taken(&mut log, 10), (vec![1, 2, 3], 0));
}
