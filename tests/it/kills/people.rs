//! People who write events and give orders, and know what was acknowledged.

use crate::support::{http, now};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};

/// Workloads that orders are given for, in turn.
const WORKLOADS: i64 = 5;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Shared {
    events: Mutex<BTreeSet<String>>,
    /// The least that was ordered for each workload: orders count up.
    orders: Mutex<BTreeMap<String, i64>>,
    stop: AtomicBool,
}

pub(super) struct People {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl People {
    pub(super) fn start(address: &str) -> Self {
        let shared = Arc::<Shared>::default();
        let (own, address) = (Arc::clone(&shared), address.to_owned());
        let thread = Some(thread::spawn(move || own.run(&address)));
        Self { shared, thread }
    }

    pub(super) fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// How much was acknowledged.
    pub(super) fn count(&self) -> usize {
        let orders = self.shared.orders.lock().unwrap();
        self.shared.events.lock().unwrap().len() + orders.len()
    }

    /// What was acknowledged is there.
    pub(super) fn assert_kept(&self, address: &str) {
        let events = self.shared.events.lock().unwrap().clone();
        let orders = self.shared.orders.lock().unwrap().clone();
        let shown = pages(address, "events");
        let shown: BTreeSet<&str> = shown
            .iter()
            .filter_map(|event| event["name"].as_str())
            .collect();
        let missing = events.iter().find(|name| !shown.contains(&***name));
        assert_eq!(missing, None, "of {} events", events.len());
        let shown = pages(address, "overrides");
        for (workload, least) in orders {
            let own = shown.iter().find(|order| order["workload"] == *workload);
            let least_shown = own.and_then(|order| order["order"]["min"].as_i64());
            assert!(
                least_shown >= Some(least),
                "{workload}: {least_shown:?} and not {least}"
            );
        }
    }
}

impl Drop for People {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self, address: &str) {
        for number in 1.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let (name, workload) = (
                format!("event {number}"),
                format!("w{}", number % WORKLOADS),
            );
            let (start, author) = (now(), "ada");
            let event = json!({"kind": "test", "name": name, "start": start, "end": start + 3_600_000, "author": author});
            if post(address, "events", &event) {
                self.events.lock().unwrap().insert(name);
            }
            let order = json!({"workload": workload, "order": {"min": number}, "reason": "a test", "author": author});
            if post(address, "overrides", &order) {
                self.orders.lock().unwrap().insert(workload, number);
            }
            sleep(PAUSE);
        }
    }
}

fn post(address: &str, what: &str, body: &Value) -> bool {
    let headers = [("Content-Type", "application/json")];
    let path = format!("/api/v1/{what}");
    let body = body.to_string();
    let reply = http::request("POST", address, &path, &headers, body.as_bytes());
    reply.is_ok_and(|reply| reply.status == 201)
}

/// All of a list.
fn pages(address: &str, what: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = http::json(address, &format!("/api/v1/{what}?limit=1000{cursor}")).unwrap();
        all.extend(page[what].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", http::encode(next)),
            None => return all,
        }
    }
}
