//! A sender that knows what was acknowledged, and sends again what was not, as Prometheus does.

use crate::support::{
    eventually, now,
    pushing::{PATH, deliver, packed},
};
use forethought::expo::wire::write::Point;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};

/// Series, each with a sample a second.
pub(super) const PODS: [&str; 3] = ["a", "b", "c"];
/// Seconds before the start that it sends too: with less past nothing is scored.
const PAST: i64 = 500;
/// Seconds in one request at most: one series comes after the other, and so much later than another's none may come.
const MOST: i64 = 4;

/// The value of a series in a second; single precision holds it.
pub(super) fn truth(place: usize, second: i64) -> f64 {
    let noise = (second * 7_919 + place as i64 * 104_729).rem_euclid(1_000);
    100_000.0 + noise as f64
}

#[derive(Default)]
struct Shared {
    acknowledged: Mutex<BTreeSet<i64>>,
    /// What is no reason to send it again.
    refused: Mutex<Vec<String>>,
    failures: AtomicUsize,
    stop: AtomicBool,
}

pub(super) struct Sender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    pub(super) fn start(address: &str) -> Self {
        let shared = Arc::<Shared>::default();
        let (own, address) = (Arc::clone(&shared), address.to_owned());
        let thread = Some(thread::spawn(move || own.run(&address)));
        Self { shared, thread }
    }

    /// Seconds of which every series' sample was acknowledged.
    pub(super) fn acknowledged(&self) -> BTreeSet<i64> {
        let refused = self.shared.refused.lock().unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        self.shared.acknowledged.lock().unwrap().clone()
    }

    /// Waits until a request fails: all that was acknowledged before is known then.
    pub(super) fn fails(&self) {
        let failures = || self.shared.failures.load(Ordering::SeqCst);
        let before = failures();
        // One may have been under way.
        eventually("the sender notices", 30, || match failures() {
            now if now >= before + 2 => Ok(()),
            now => Err(now.to_string()),
        });
    }

    pub(super) fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self, address: &str) {
        let mut next = now() / 1_000 - PAST;
        while !self.stop.load(Ordering::SeqCst) {
            let last = (now() / 1_000).min(next + MOST - 1);
            if last < next {
                sleep(Duration::from_millis(20));
                continue;
            }
            let body = request(next, last);
            while !self.stop.load(Ordering::SeqCst) && !self.try_once(address, &body, next..=last) {
                self.failures.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(50));
            }
            next = last + 1;
        }
    }

    fn try_once(&self, address: &str, body: &[u8], seconds: std::ops::RangeInclusive<i64>) -> bool {
        let Ok(reply) = deliver(address, PATH, &[], body) else {
            return false;
        };
        match reply.status {
            204 => self.acknowledged.lock().unwrap().extend(seconds),
            500.. => return false,
            status => {
                let text = format!("{status}: {}", reply.text());
                self.refused.lock().unwrap().push(text);
            }
        }
        true
    }
}

/// The samples of these seconds.
fn request(first: i64, last: i64) -> Vec<u8> {
    let of = |(place, pod): (usize, &&'static str)| {
        let points = (first..=last).map(|second| Point {
            at: second * 1_000,
            value: truth(place, second),
        });
        (*pod, points.collect())
    };
    let all: Vec<(&str, Vec<Point>)> = PODS.iter().enumerate().map(of).collect();
    packed(&all)
}
