//! Whoever follows what was told, beside an HPA that knows the present alone.

use super::{
    keda::{Behaviour, Fallback, Keda, ScaledObject},
    stage::{CAPACITY, World},
    ways::{Poll, Told, Way},
};
use forethought::simulate::autoscaler::{Autoscaler, Metric, Settings, Size};

/// The demand of now counts for six seconds, and a decision is made of it every two.
const LATE: i64 = 9;
/// Seconds of the HPA's time for one of ours.
pub(super) const SYNC: i64 = 15;

/// Who follows one way.
pub(super) struct Follower {
    name: &'static str,
    /// Whether the present scales it too, by a trigger that works.
    beside: bool,
    client: Client,
    pub(super) size: u32,
}

enum Client {
    /// The HPA reads it.
    Hpa(Autoscaler),
    Keda(Keda),
}

impl Follower {
    fn hpa(name: &'static str, beside: bool, settings: &Settings, size: u32) -> Self {
        Self {
            name,
            beside,
            client: Client::Hpa(Autoscaler::new(settings.clone())),
            size,
        }
    }

    /// One that may sleep, after a minute of nothing; one replica is nothing yet.
    pub(super) fn sleeper(name: &'static str, fallback: Option<Behaviour>, size: u32) -> Self {
        Self::keda(name, false, 0, fallback, &sudden(), size)
    }

    fn keda(
        name: &'static str,
        beside: bool,
        min: u32,
        fallback: Option<Behaviour>,
        hpa: &Settings,
        size: u32,
    ) -> Self {
        let object = ScaledObject {
            min,
            cooldown: 60,
            polling: 30,
            activation: 1.0,
            fallback: fallback.map(|behaviour| Fallback {
                threshold: 3,
                replicas: 2,
                behaviour,
            }),
            hpa: hpa.clone(),
        };
        Self {
            name,
            beside,
            client: Client::Keda(Keda::new(object)),
            size,
        }
    }

    /// The size after the sync at `now`.
    pub(super) fn sync(&mut self, now: i64, none_ready: bool, told: &Told, present: Metric) -> u32 {
        let there = Size {
            wanted: self.size,
            existing: self.size,
            ready: if none_ready { 0 } else { self.size },
        };
        let beside = if self.beside { vec![present] } else { vec![] };
        self.size = match &mut self.client {
            Client::Keda(keda) => keda.sync(now, there, told, &beside),
            Client::Hpa(hpa) => {
                let ours = match told {
                    Told::Known { sum, target, .. } => Metric::Average {
                        sum: *sum,
                        target: *target,
                    },
                    Told::Silent { .. } => Metric::Failed,
                };
                hpa.sync(now, there, &[&[ours], &*beside].concat())
            }
        };
        self.size
    }
}

/// Feeds what was told to all who may follow it: never fewer replicas than by the present alone where that scales too, never scaled down below the
/// present where it does not, and never put to sleep.
pub(super) fn judge(row: &str, way: Way, polls: &[Poll], world: &World) {
    // Of the pods none is ready: those that were started ahead never are while they are needed most.
    for none_ready in [false, true] {
        let start = polls
            .first()
            .map_or(1, |poll| (demand(poll, world) / CAPACITY).ceil() as u32);
        let mut alone = Autoscaler::new(Settings::new(1, 100));
        let mut size_alone = start;
        let mut followers = followers(way, start);
        let mut course = Vec::new();
        for (sync, poll) in polls.iter().enumerate() {
            let now = sync as i64 * SYNC;
            enough(row, way, poll, world);
            let present = Metric::Average {
                sum: demand(poll, world),
                target: CAPACITY,
            };
            let there = Size {
                wanted: size_alone,
                existing: size_alone,
                ready: if none_ready { 0 } else { size_alone },
            };
            size_alone = alone.sync(now, there, &[present]);
            let least = (lately(poll, world) / CAPACITY * 0.9).floor() as u32;
            course.push(format!("{sync}: {size_alone} alone, told {poll:?}"));
            for one in &mut followers {
                let before = one.size;
                let size = one.sync(now, none_ready, &poll.told, present);
                let bound = if one.beside {
                    size_alone
                } else {
                    before.min(least)
                };
                assert!(
                    size >= bound,
                    "{row}, {way:?}, {}: {before} to {size}, fewer than {bound}: {course:#?}",
                    one.name
                );
            }
        }
    }
}

/// Who may follow this way.
fn followers(way: Way, start: u32) -> Vec<Follower> {
    let (usual, sudden) = (Settings::new(1, 100), sudden());
    let higher = Some(Behaviour::CurrentReplicasIfHigher);
    match way.is_of_keda() {
        false => vec![
            Follower::hpa("beside the present", true, &usual, start),
            Follower::hpa("by itself", false, &sudden, start),
        ],
        true => vec![
            Follower::keda("beside the present", true, 1, None, &usual, start),
            Follower::keda(
                "with a floor",
                true,
                1,
                Some(Behaviour::Static),
                &usual,
                start,
            ),
            Follower::keda("with a fallback", true, 1, higher, &usual, start),
            Follower::keda("by itself", false, 1, None, &sudden, start),
            Follower::keda(
                "by itself with a fallback",
                false,
                1,
                higher,
                &sudden,
                start,
            ),
            Follower::sleeper("one that may sleep", None, start),
            Follower::sleeper("one that may sleep, with a fallback", higher, start),
        ],
    }
}

/// Down at once.
fn sudden() -> Settings {
    let mut settings = Settings::new(1, 100);
    settings.down.stabilisation = 0;
    settings
}

/// A number is no less than the present asks for, or did when what is newest was made, and is no reason to sleep.
fn enough(row: &str, way: Way, poll: &Poll, world: &World) {
    let Told::Known {
        sum,
        target,
        active,
    } = &poll.told
    else {
        return;
    };
    let least = lately(poll, world) / CAPACITY * 0.95;
    assert!(
        sum / target >= least && active.is_none_or(|active| active),
        "{row}, {way:?}: less than the present asks for, {least}: {poll:?}"
    );
}

fn demand(poll: &Poll, world: &World) -> f64 {
    world.demand(poll.at as i64)
}

/// The least demand that an answer may be of.
fn lately(poll: &Poll, world: &World) -> f64 {
    let at = poll.at as i64;
    let lately = (at - LATE..=at).map(|second| world.demand(second));
    lately.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            stage::{Fault, Load},
            ways::WAYS,
        },
        *,
    };

    #[test]
    fn the_judgement_bites() {
        let world = World {
            fault: Fault::None,
            load: Load::Steps(Vec::new()),
        };
        let poll = |second: i64, sum: f64, way: Way| Poll {
            at: second as f64,
            told: Told::Known {
                sum,
                target: 1.0,
                active: matches!(way, Way::Grpc | Way::Whole).then_some(true),
            },
        };
        for way in WAYS {
            let well: Vec<Poll> = (0..60).map(|second| poll(second, 10.0, way)).collect();
            judge("well", way, &well, &world);
            // No number is taken for none while something fails, and a little too little.
            for wrong in [0.0, 4.0] {
                let gone = (0..28).map(|second| {
                    let fails = (6..20).contains(&second);
                    poll(second, if fails { wrong } else { 10.0 }, way)
                });
                let gone: Vec<Poll> = gone.collect();
                let judged = std::panic::catch_unwind(|| judge("wrong", way, &gone, &world));
                assert!(judged.is_err(), "{way:?} {wrong}");
            }
        }
    }
}
