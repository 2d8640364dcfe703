//! The ways in which autoscalers read a recommendation, each as its reader asks.

use crate::{
    keda::ask,
    support::{
        front::{Caller, Front},
        http::{self, Reply},
        now,
        program::Exposition,
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// Nobody waits longer: all of an HPA's sync has three seconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// A way of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// KEDA's `external` trigger, from KEDA 2.17.
    Grpc,
    /// The same before, with whole numbers.
    Whole,
    /// KEDA's `metrics-api` trigger.
    Json,
    /// What Prometheus scrapes, read by KEDA's `prometheus` trigger with `ignoreNullValues: "false"`; of several replicas the greatest, as the
    /// rules of `forethought manifests` have it.
    Series,
    /// `external.metrics.k8s.io`, read by the HPA.
    External,
}

/// All of them.
pub(super) const WAYS: [Way; 5] = [Way::Grpc, Way::Whole, Way::Json, Way::Series, Way::External];

impl Way {
    /// How it says that it does not know.
    pub(super) const fn unknown(self) -> &'static str {
        match self {
            Self::Grpc | Self::Whole => "UNAVAILABLE",
            Self::Json => "503",
            Self::Series => "absent",
            Self::External => "503 Status",
        }
    }

    /// Whether KEDA stands between us and the HPA.
    pub(super) fn is_of_keda(self) -> bool {
        self != Self::External
    }
}

/// What was told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// A sum and what one replica shall have of it, and whether it may not sleep, where the way says so itself.
    Known {
        sum: f64,
        target: f64,
        active: Option<bool>,
    },
    /// No number, and what was said instead.
    Silent {
        code: String,
        /// Whether KEDA knows the metric all the same.
        has_spec: bool,
    },
}

impl Told {
    fn silent(code: impl Into<String>) -> Self {
        Self::Silent {
            code: code.into(),
            has_spec: true,
        }
    }

    fn number(sum: f64) -> Self {
        Self::Known {
            sum,
            target: 1.0,
            active: None,
        }
    }

    /// What was said; `OK` with a number.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Known { .. } => "OK",
            Self::Silent { code, .. } => code,
        }
    }

    /// The replicas that are asked for.
    pub(super) fn replicas(&self) -> Option<f64> {
        match self {
            Self::Known { sum, target, .. } => Some(sum / target),
            Self::Silent { .. } => None,
        }
    }
}

/// What was told at a time in seconds since the epoch.
#[derive(Debug, Clone)]
pub(super) struct Poll {
    pub(super) at: f64,
    pub(super) told: Told,
}

/// Where one replica answers.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    pub(super) grpc: String,
    pub(super) web: String,
    pub(super) external: String,
}

/// What stands before the replicas: it knows where they are, as a Service does.
pub(super) struct Service<'a> {
    replicas: Mutex<Vec<Ends>>,
    caller: Caller,
    front: &'a Front,
    /// `activation` of the gRPC trigger.
    activation: &'static str,
}

/// What every row was told by every way.
pub(super) type Record = BTreeMap<(&'static str, Way), Vec<Poll>>;

impl<'a> Service<'a> {
    pub(super) fn new(front: &'a Front, replicas: Vec<Ends>) -> Self {
        Self {
            caller: front.caller("").within(PATIENCE),
            front,
            activation: "0",
            replicas: Mutex::new(replicas),
        }
    }

    /// Demand up to this wakes nobody, where the trigger says so to us.
    pub(super) fn activated_above(mut self, demand: &'static str) -> Self {
        self.activation = demand;
        self
    }

    pub(super) fn front(&self) -> &'a Front {
        self.front
    }

    /// The only replica is somewhere else now.
    pub(super) fn moves(&self, ends: Ends) {
        *self.ends() = vec![ends];
    }

    /// Asks for every row by every way each second for so many seconds; replicas in turn.
    pub(super) fn follow(&self, rows: &[&'static str], seconds: u64) -> Record {
        let asks: [(Way, Question<'_>); 3] = [
            (Way::Json, &|turn, names| self.json(turn, names)),
            (Way::Series, &|_, names| self.series(names)),
            (Way::External, &|turn, names| self.external(turn, names)),
        ];
        thread::scope(|scope| {
            let grpc = scope.spawn(|| self.follow_grpc(rows, seconds));
            let others = asks.map(|(way, question)| {
                scope.spawn(move || (way, every_second(rows, seconds, question)))
            });
            let mut record = grpc.join().unwrap();
            for one in others {
                let (way, found) = one.join().unwrap();
                record.extend(found.into_iter().map(|(row, polls)| ((row, way), polls)));
            }
            record
        })
    }

    fn ends(&self) -> MutexGuard<'_, Vec<Ends>> {
        self.replicas.lock().unwrap()
    }

    fn turn(&self, turn: usize) -> Ends {
        let ends = self.ends();
        ends[turn % ends.len()].clone()
    }

    /// gRPC's client goes by the addresses of the beginning, as it comes back to them by itself.
    fn follow_grpc(&self, rows: &[&'static str], seconds: u64) -> Record {
        let addresses: Vec<String> = self.ends().iter().map(|one| one.grpc.clone()).collect();
        let question = json!([{"follow": seconds, "address": addresses.join(","), "names": rows, "metadata": {"activation": self.activation}}]);
        let answers = ask(question);
        let mut record = Record::new();
        for row in rows {
            let polls = answers[0]["polls"][row].as_array().unwrap();
            for (way, names) in [
                (Way::Grpc, ["value", "target"]),
                (Way::Whole, ["whole", "whole_target"]),
            ] {
                let polls = polls.iter().map(|poll| of_grpc(poll, names));
                record.insert((row, way), polls.collect());
            }
        }
        record
    }

    fn json(&self, turn: usize, rows: &[&'static str]) -> Vec<Poll> {
        let web = self.turn(turn).web;
        let told = rows.iter().map(|row| {
            let path = format!("/api/v1/scaling/value?workload={row}");
            told_at(|| {
                let reply = http::get_within(&web, &path, PATIENCE);
                told_of(reply, |reply| {
                    let value: Value = serde_json::from_slice(&reply.body).unwrap();
                    Told::number(value["value"].as_f64().unwrap())
                })
            })
        });
        told.collect()
    }

    fn series(&self, rows: &[&'static str]) -> Vec<Poll> {
        let at = now() as f64 / 1_000.0;
        let ends = self.ends().clone();
        let scraped = ends
            .iter()
            .filter_map(|one| http::get_within(&one.web, "/metrics", PATIENCE).ok());
        let scraped: Vec<Exposition> = scraped.map(|reply| Exposition::new(reply.text())).collect();
        let told = rows.iter().map(|row| {
            let labels = [&*format!("workload=\"{row}\"")];
            let values = scraped.iter().flat_map(|one| {
                let values = one.values("predicted_demand", &labels);
                assert!(values.len() < 2, "KEDA takes one alone: {values:?}");
                values
            });
            let greatest = values.reduce(f64::max);
            let told = match greatest {
                Some(demand) => Told::number(demand / super::stage::CAPACITY),
                None if scraped.is_empty() => Told::silent("gone"),
                None => Told::silent("absent"),
            };
            Poll { at, told }
        });
        told.collect()
    }

    fn external(&self, turn: usize, rows: &[&'static str]) -> Vec<Poll> {
        let caller = self.caller.clone().at(&self.turn(turn).external);
        let told = rows.iter().map(|row| {
            let path = format!(
                "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/predicted-replicas?labelSelector=workload%3D{row}"
            );
            told_at(|| {
                let reply = caller.get(&path);
                told_of(reply, |reply| {
                    let list: Value = serde_json::from_slice(&reply.body).unwrap();
                    let items = list["items"].as_array().unwrap();
                    assert_eq!(items.len(), 1, "an HPA adds them up: {list}");
                    Told::number(quantity(items[0]["value"].as_str().unwrap()))
                })
            })
        });
        told.collect()
    }
}

/// Asks for these rows, the so-manieth time.
type Question<'a> = &'a (dyn Fn(usize, &[&'static str]) -> Vec<Poll> + Sync);

fn every_second(
    rows: &[&'static str],
    seconds: u64,
    question: Question<'_>,
) -> BTreeMap<&'static str, Vec<Poll>> {
    let mut polls: BTreeMap<&'static str, Vec<Poll>> = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs(seconds);
    for turn in 0.. {
        let began = Instant::now();
        if began >= end {
            break;
        }
        for (row, poll) in rows.iter().zip(question(turn, rows)) {
            polls.entry(row).or_default().push(poll);
        }
        thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
    }
    polls
}

fn told_at(question: impl FnOnce() -> Told) -> Poll {
    let at = now() as f64 / 1_000.0;
    Poll {
        at,
        told: question(),
    }
}

fn told_of(reply: Result<Reply, String>, known: impl FnOnce(&Reply) -> Told) -> Told {
    let Ok(reply) = reply else {
        return Told::silent("gone");
    };
    if reply.status == 200 {
        return known(&reply);
    }
    let error: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    match error["kind"] == "Status" && error["code"] == reply.status {
        true => Told::silent(format!("{} Status", reply.status)),
        false => Told::silent(reply.status.to_string()),
    }
}

/// What the client of KEDA's protocol was told; `names` are those of the value and of the target.
fn of_grpc(poll: &Value, names: [&str; 2]) -> Poll {
    let [value, target] = names.map(|name| poll[name].as_f64());
    let code = poll["code"].as_str().unwrap_or_default();
    let told = match (code, value.zip(target)) {
        ("OK", Some((sum, target))) => Told::Known {
            sum,
            target,
            active: poll["active"].as_bool(),
        },
        _ => Told::Silent {
            code: code.to_owned(),
            has_spec: poll["spec"] == true,
        },
    };
    Poll {
        at: poll["at"].as_f64().unwrap(),
        told,
    }
}

/// A quantity of Kubernetes, of those that replicas come in.
fn quantity(text: &str) -> f64 {
    match text.strip_suffix('m') {
        Some(digits) => digits.parse::<f64>().unwrap() / 1_000.0,
        None => text.parse().unwrap(),
    }
}
