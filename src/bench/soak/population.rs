//! Who is there: pods that are replaced by others now and then, each with one series.

use super::METRIC;
use crate::{
    expo::wire::write::{Outgoing, Point, Version, Writer},
    intake::STALE_NAN,
    series::Millis,
};
use fastrand::Rng;
use std::collections::BTreeSet;

/// Series of one request, as Prometheus' default.
const IN_REQUEST: usize = 2_000;
const SEED: u64 = 7;
/// Pods of one deployment, and deployments of one namespace.
const PODS: usize = 50;
const DEPLOYMENTS: usize = 20;

/// The pods that there are.
#[derive(Debug)]
pub(super) struct Population {
    /// How often the pod at each place was replaced.
    generations: Vec<u32>,
    /// Replaced since the turn before: their series end.
    replaced: BTreeSet<usize>,
    /// Share that is replaced from one turn to the next, and what of it is not a whole pod yet.
    share: f64,
    owed: f64,
    random: Rng,
}

impl Population {
    /// So many, of which `share` is replaced from one turn to the next.
    pub(super) fn new(series: usize, share: f64) -> Self {
        Self {
            generations: vec![0; series],
            replaced: BTreeSet::new(),
            share,
            owed: 0.0,
            random: Rng::with_seed(SEED),
        }
    }

    /// The requests of one time, not packed: the ends of those that went, and a sample of each that is there. Then some are replaced.
    pub(super) fn turn(&mut self, at: Millis) -> Vec<Vec<u8>> {
        let mut requests = Requests::default();
        for place in std::mem::take(&mut self.replaced) {
            let former = self.generations[place] - 1;
            requests.push(place, former, at, STALE_NAN);
        }
        for place in 0..self.generations.len() {
            // Each has a level of its own, and noise of a twentieth of it.
            let level = 100.0 + (place % 1_000) as f64;
            let noise = self.random.f64() - 0.5;
            requests.push(
                place,
                self.generations[place],
                at,
                level * (1.0 + 0.1 * noise),
            );
        }
        self.replace();
        requests.finish()
    }

    fn replace(&mut self) {
        self.owed += self.share * self.generations.len() as f64;
        let due = self.owed as usize;
        self.owed -= due as f64;
        for _ in 0..due {
            let place = self.random.usize(..self.generations.len());
            if self.replaced.insert(place) {
                self.generations[place] += 1;
            }
        }
    }
}

struct Requests {
    writer: Writer,
    bodies: Vec<Vec<u8>>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            writer: Writer::new(Version::V1),
            bodies: Vec::new(),
        }
    }
}

impl Requests {
    fn push(&mut self, place: usize, generation: u32, at: Millis, value: f64) {
        let deployment = place / PODS;
        let app = format!("app-{deployment:04}");
        let namespace = format!("team-{}", deployment / DEPLOYMENTS);
        let pod = format!("{app}-7d9f8b6c5-{place:06}-{generation}");
        let instance = format!(
            "10.{}.{}.{}:8080",
            place >> 16 & 255,
            place >> 8 & 255,
            place & 255
        );
        let node = format!("node-{:03}", place % 500);
        let labels = [
            ("cluster", "eu-west-1"),
            ("container", "app"),
            ("deployment", &app),
            ("instance", &instance),
            ("job", "kubernetes-pods"),
            ("namespace", &namespace),
            ("node", &node),
            ("pod", &pod),
        ];
        self.writer.push(&Outgoing {
            name: METRIC,
            labels: &labels,
            samples: &[Point { at, value }],
            metadata: None,
            created: None,
        });
        if self.writer.len() >= IN_REQUEST {
            self.next();
        }
    }

    fn next(&mut self) {
        let mut body = Vec::with_capacity(self.writer.bytes());
        self.writer.append_to(&mut body);
        self.writer.clear();
        self.bodies.push(body);
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.writer.is_empty() {
            self.next();
        }
        self.bodies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        expo::wire::write::{Item, Limits, Reader},
        intake::is_stale,
    };

    /// Pods that had a sample at one turn, and those that ended.
    fn read(bodies: &[Vec<u8>]) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut there, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for body in bodies {
            let mut reader = Reader::new(body, Version::V1, Limits::default());
            while let Some(item) = reader.next_item().unwrap() {
                let Item::Series(series) = item else { continue };
                let (_, pod) = series
                    .labels
                    .iter()
                    .find(|(name, _)| *name == "pod")
                    .unwrap();
                let into = match is_stale(series.samples[0].value) {
                    true => &mut ended,
                    false => &mut there,
                };
                into.insert((*pod).to_owned());
            }
        }
        (there, ended)
    }

    #[test]
    fn as_many_are_replaced_as_was_asked_for_and_those_end() {
        let mut population = Population::new(5_000, 0.01);
        let bodies = population.turn(0);
        assert_eq!(bodies.len(), 3);
        let (mut before, ended) = read(&bodies);
        assert_eq!((before.len(), ended.len()), (5_000, 0));
        let mut gone = 0;
        for turn in 1..=10 {
            let (there, ended) = read(&population.turn(turn * 30_000));
            let went: BTreeSet<String> = before.difference(&there).cloned().collect();
            assert_eq!(went, ended);
            assert_eq!(there.len(), 5_000);
            gone += went.len();
            before = there;
        }
        assert!((480..=500).contains(&gone), "{gone}");
    }
}
