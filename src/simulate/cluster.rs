//! Replicas that take time to become ready, and the queue in front of them.

use super::{Parameters, autoscaler::Size};
use fastrand::Rng;

/// Replicas of one workload, and work that waits.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    ready: u32,
    /// Ticks at which those that are starting will be ready.
    starting: Vec<usize>,
    /// Work that waits: replicas times ticks.
    pub(super) backlog: f64,
    lead: f64,
    jitter: f64,
    rng: Rng,
}

impl Cluster {
    /// So many, all ready, and nothing waits.
    pub(super) fn new(parameters: &Parameters, replicas: u32) -> Self {
        Self {
            ready: replicas,
            starting: Vec::new(),
            backlog: 0.0,
            lead: parameters.ticks(parameters.lead) as f64,
            jitter: parameters.jitter,
            rng: Rng::with_seed(parameters.seed),
        }
    }

    /// How many there are.
    pub(super) fn size(&self) -> Size {
        let existing = self.ready + self.starting.len() as u32;
        Size {
            wanted: existing,
            existing,
            ready: self.ready,
        }
    }

    /// Those whose time has come are ready from now on.
    pub(super) fn begin(&mut self, tick: usize) {
        let before = self.starting.len();
        self.starting.retain(|&ready| ready > tick);
        self.ready += (before - self.starting.len()) as u32;
    }

    /// So many shall there be. As a ReplicaSet does it, those that are not ready go first, the newest of them before others.
    pub(super) fn scale(&mut self, tick: usize, wanted: u32) {
        let existing = self.size().existing;
        for _ in existing..wanted {
            let spread = (2.0 * self.rng.f64() - 1.0) * self.jitter;
            let lead = (self.lead * (1.0 + spread)).round() as usize;
            self.starting.push(tick + lead);
        }
        let gone = existing.saturating_sub(wanted) as usize;
        let from_starting = gone.min(self.starting.len());
        self.starting.truncate(self.starting.len() - from_starting);
        self.ready -= (gone - from_starting) as u32;
    }

    /// So many are ready, however they came to be.
    pub(super) fn become_ready(&mut self, replicas: u32) {
        self.ready = replicas;
        self.starting.clear();
    }

    /// One tick of work, in replicas: what is not served waits.
    pub(super) fn work(&mut self, demand: f64) {
        self.backlog = (self.backlog + demand - f64::from(self.ready)).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(replicas: u32) -> Cluster {
        Cluster::new(&Parameters::built_in().unwrap(), replicas)
    }

    #[test]
    fn a_new_replica_is_ready_a_lead_time_later() {
        let mut cluster = cluster(2);
        cluster.scale(100, 12);
        assert_eq!((cluster.size().existing, cluster.size().ready), (12, 2));
        let ready = |cluster: &mut Cluster, tick| {
            cluster.begin(tick);
            cluster.size().ready
        };
        // Three minutes, a fifth more or less: 9.6 to 14.4 ticks.
        assert_eq!(ready(&mut cluster, 109), 2);
        assert!((3..12).contains(&ready(&mut cluster, 112)));
        assert_eq!(ready(&mut cluster, 115), 12);
    }

    #[test]
    fn those_that_are_not_ready_go_first() {
        let mut cluster = cluster(5);
        cluster.scale(0, 8);
        cluster.scale(1, 6);
        assert_eq!((cluster.size().existing, cluster.size().ready), (6, 5));
        cluster.scale(2, 3);
        assert_eq!((cluster.size().existing, cluster.size().ready), (3, 3));
    }

    #[test]
    fn what_is_not_served_waits_until_there_is_room() {
        let mut cluster = cluster(4);
        let course: Vec<f64> = [5.0, 6.0, 3.0, 2.5, 1.0]
            .into_iter()
            .map(|demand| {
                cluster.work(demand);
                cluster.backlog
            })
            .collect();
        assert_eq!(course, [1.0, 3.0, 2.0, 0.5, 0.0]);
    }
}
