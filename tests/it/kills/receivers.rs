//! Who takes what is written on: a judge that is often unwell, with a buffer on disk before it, and a witness that sees what
//! was there to be written.

use crate::support::{
    now,
    pushing::{Labels, samples},
    server::{Answer, Asked, Server},
};
use fastrand::Rng;
use forethought::series::Millis;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// What was evaluated so short before a kill may not have been looked at: every 200 ms it is, on a machine that has time.
const UNSEEN: Millis = 1_500;

/// Values by time, as bits: what comes again has to be the same.
type Known = BTreeMap<Labels, BTreeMap<Millis, u64>>;

/// Values by time, as bits, and when they came first.
type Seen = BTreeMap<Labels, BTreeMap<Millis, (u64, Millis)>>;

#[derive(Default)]
struct Written {
    values: Known,
    /// What came after something later, or again with another value.
    disordered: Vec<String>,
}

/// How a judge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// Every third request or so does not get through, and of every tenth it is not known.
    Unwell,
    /// Takes nothing.
    Away,
    Well,
}

/// A receiver that says that it is not well, or breaks the connection after it took everything.
pub(crate) struct Judge {
    written: Arc<Mutex<Written>>,
    health: Arc<Mutex<Health>>,
    server: Server,
}

/// A receiver that takes everything, and knows when.
pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
    server: Server,
}

impl Judge {
    pub(crate) fn start(seed: u64) -> Self {
        let written = Arc::<Mutex<Written>>::default();
        let health = Arc::new(Mutex::new(Health::Unwell));
        let rng = Mutex::new(Rng::with_seed(!seed));
        let (own, state) = (Arc::clone(&written), Arc::clone(&health));
        let server = Server::start(move |asked| {
            let luck = match *state.lock().unwrap() {
                Health::Well => 1.0,
                Health::Away => 0.0,
                Health::Unwell => rng.lock().unwrap().f64(),
            };
            if luck < 0.3 {
                return Answer::Whole(503, "text/plain", String::new());
            }
            own.lock().unwrap().take(asked);
            match luck < 0.4 {
                true => Answer::Close,
                false => Answer::Whole(204, "text/plain", String::new()),
            }
        });
        Self {
            written,
            health,
            server,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.server.address()
    }

    /// Is so from now on.
    pub(crate) fn set(&self, health: Health) {
        *self.health.lock().unwrap() = health;
    }

    /// Samples that it has.
    pub(crate) fn count(&self) -> usize {
        let written = self.written.lock().unwrap();
        written.values.values().map(BTreeMap::len).sum()
    }

    /// It has everything that the witness has, in order; but for what was new when one of `kills` came: how much that is.
    pub(crate) fn compare(&self, witness: &Witness, kills: &[Millis]) -> usize {
        let written = self.written.lock().unwrap();
        assert!(
            written.disordered.is_empty(),
            "{} of {:#?}",
            written.disordered.len(),
            written.disordered.iter().take(20).collect::<Vec<_>>()
        );
        let seen = witness.seen.lock().unwrap();
        assert!(seen.len() > 5, "{:?}", seen.keys());
        let mut late = 0;
        for (labels, values) in &*seen {
            let own = written.values.get(labels);
            for (at, (bits, when)) in values {
                let is_there = own.and_then(|own| own.get(at)) == Some(bits);
                let is_new = kills
                    .iter()
                    .any(|kill| (when - UNSEEN..when + UNSEEN).contains(kill));
                assert!(is_there || is_new, "{labels:?} at {at}, seen at {when}");
                late += usize::from(!is_there);
            }
        }
        late
    }
}

impl Witness {
    pub(crate) fn start() -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let own = Arc::clone(&seen);
        let server = Server::start(move |asked| {
            let mut seen = own.lock().unwrap();
            for (labels, point) in samples(asked) {
                if !point.is_stale() {
                    let values = seen.entry(labels).or_default();
                    // What comes again later is what was there first.
                    let value = (point.value.to_bits(), now());
                    values.entry(point.at).or_insert(value);
                }
            }
            Answer::Whole(204, "text/plain", String::new())
        });
        Self { seen, server }
    }

    pub(crate) fn address(&self) -> String {
        self.server.address()
    }

    /// How many series it has seen.
    pub(crate) fn series(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Written {
    fn take(&mut self, asked: &Asked) {
        for (labels, point) in samples(asked) {
            if point.is_stale() {
                continue;
            }
            let own = self.values.entry(labels.clone()).or_default();
            let newest = own.last_key_value().map(|(at, _)| *at);
            let bits = point.value.to_bits();
            match own.get(&point.at) {
                Some(known) if *known == bits => {}
                Some(known) => {
                    let (known, value) = (f64::from_bits(*known), point.value);
                    let text = format!("{labels:?}: {value} and {known} at {}", point.at);
                    self.disordered.push(text);
                }
                None if newest > Some(point.at) => {
                    let text = format!("{labels:?}: {} after {newest:?}", point.at);
                    self.disordered.push(text);
                }
                None => {
                    own.insert(point.at, bits);
                }
            }
        }
    }
}
