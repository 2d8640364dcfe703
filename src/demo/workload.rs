//! A synthetic but honest workload: a web shop with its services, queues, pods and nodes.
//!
//! Pure: the value of a series at a time is a function of the time, the start of the demo and a seed.
//! It has what real series have: daily and weekly seasons, growth, noise that grows with load, heavy
//! tails, counts that are whole numbers, gaps, a lasting change of level; and [`incidents`].

use super::{
    Dataset, SCRAPE,
    incidents::{self, Incident, Occurrence},
    noise,
};
use crate::series::{Labels, Millis};

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// A new front page brought the catalogue more load for good, so long before the start.
const LAUNCH: Millis = 9 * DAY;

/// One service of the shop.
#[derive(Debug)]
struct Service {
    name: &'static str,
    /// Requests per second at an ordinary evening peak.
    peak: f64,
    /// Load on Saturday and Sunday relative to a weekday.
    weekend: f64,
    /// Seconds of the 99th percentile when there is nothing to do.
    p99: f64,
}

const SERVICES: [Service; 6] = [
    Service {
        name: "cart",
        peak: 710.0,
        weekend: 1.12,
        p99: 0.085,
    },
    Service {
        name: "catalog",
        peak: 2_650.0,
        weekend: 1.18,
        p99: 0.062,
    },
    Service {
        name: "checkout",
        peak: 420.0,
        weekend: 1.06,
        p99: 0.21,
    },
    Service {
        name: "payments",
        peak: 160.0,
        weekend: 1.02,
        p99: 0.38,
    },
    Service {
        name: "recommendations",
        peak: 940.0,
        weekend: 1.15,
        p99: 0.13,
    },
    Service {
        name: "search",
        peak: 1_820.0,
        weekend: 0.88,
        p99: 0.17,
    },
];
const CART: usize = 0;
const CATALOG: usize = 1;
const CHECKOUT: usize = 2;
const PAYMENTS: usize = 3;
const SEARCH: usize = 5;

/// Name of a queue, messages in it at a busy hour, the service that fills it.
const QUEUES: [(&str, f64, usize); 4] = [
    ("emails", 140.0, CHECKOUT),
    ("invoices", 24.0, PAYMENTS),
    ("orders", 60.0, CHECKOUT),
    ("thumbnails", 320.0, CATALOG),
];
const EMAILS: usize = 0;
const INVOICES: usize = 1;
const ORDERS: usize = 2;

/// The pods of the deployment `checkout`.
const PODS: [&str; 8] = [
    "2xk8p", "4hvqz", "7mwtd", "9c6rn", "bq5jl", "kz8fs", "r4nvx", "w7dgm",
];
/// CPU cores a pod of `checkout` needs for one request per second.
const CORES_PER_REQUEST: f64 = 0.011;

/// The deployments that an autoscaler follows: the service, what one replica takes, requests per second.
const SCALED: [(usize, f64); 2] = [(CATALOG, 120.0), (SEARCH, 90.0)];
/// That autoscaler sees the demand of so long ago in what is ready now: scrape, sync, a container that starts.
const STARTING: Millis = 4 * 60_000;
/// It keeps what was asked for within this, as the HPA does when scaling down.
const STABILISATION: Millis = 5 * 60_000;
const MINUTE: Millis = 60_000;
/// The share of what replicas take that it aims at.
const TARGET: f64 = 0.85;

/// The nodes, and the share of memory each holds after a restart.
const NODES: [(&str, f64); 5] = [
    ("node-1:9100", 0.52),
    ("node-2:9100", 0.47),
    ("node-3:9100", 0.58),
    ("node-4:9100", 0.44),
    ("node-5:9100", 0.5),
];

/// What a series measures; the index is that of the service, queue, pod or node.
#[derive(Debug, Clone, Copy)]
enum Measure {
    Requests(usize),
    Latency(usize),
    Queue(usize),
    PodCpu(usize),
    NodeCpu(usize),
    NodeMemory(usize),
    /// Of [`SCALED`].
    Ready(usize),
}

/// The workload of one demo.
#[derive(Debug)]
pub struct Workload {
    start: Millis,
    seed: u64,
    labels: Vec<Labels>,
    measures: Vec<Measure>,
}

impl Workload {
    /// A workload around `start` (milliseconds since the epoch). The same arguments give the same values.
    pub fn new(start: Millis, seed: u64) -> Self {
        let mut workload = Self {
            start,
            seed,
            labels: Vec::new(),
            measures: Vec::new(),
        };
        for (index, service) in SERVICES.iter().enumerate() {
            let own = [("namespace", "shop"), ("service", service.name)];
            workload.add(
                "service:http_requests:rate2m",
                &own,
                Measure::Requests(index),
            );
            workload.add(
                "service:http_request_duration_seconds:p99",
                &own,
                Measure::Latency(index),
            );
        }
        for (index, (queue, ..)) in QUEUES.iter().enumerate() {
            let own = [("namespace", "shop"), ("queue", *queue)];
            workload.add("queue_messages_ready", &own, Measure::Queue(index));
        }
        for (index, pod) in PODS.iter().enumerate() {
            let pod = format!("checkout-6d9fbc7f4-{pod}");
            let own = [
                ("deployment", "checkout"),
                ("namespace", "shop"),
                ("pod", &pod),
            ];
            workload.add(
                "pod:container_cpu_usage_seconds:rate2m",
                &own,
                Measure::PodCpu(index),
            );
        }
        for (index, (service, _)) in SCALED.iter().enumerate() {
            let deployment = SERVICES[*service].name;
            let own = [("deployment", deployment), ("namespace", "shop")];
            let name = "kube_deployment_status_replicas_ready";
            workload.add(name, &own, Measure::Ready(index));
        }
        for (index, (node, _)) in NODES.iter().enumerate() {
            let own = [("instance", *node)];
            workload.add(
                "instance:node_cpu_utilisation:ratio",
                &own,
                Measure::NodeCpu(index),
            );
            workload.add(
                "instance:node_memory_utilisation:ratio",
                &own,
                Measure::NodeMemory(index),
            );
        }
        workload
    }

    fn add(&mut self, name: &str, own: &[(&str, &str)], measure: Measure) {
        let pairs = own.iter().copied().chain([("__name__", name)]);
        // The names above are distinct and not empty, so there is no label set to refuse.
        if let Ok(labels) = Labels::new(pairs) {
            self.labels.push(labels);
            self.measures.push(measure);
        }
    }

    fn incidents(&self, at: Millis) -> impl Iterator<Item = Occurrence> {
        incidents::under_way(self.start, self.seed, at)
    }

    fn seed(&self, salt: u64, index: usize) -> u64 {
        noise::mix(self.seed ^ (salt << 32) ^ index as u64)
    }

    /// Requests per second that reach a service, before measuring noise.
    fn load(&self, service: usize, at: Millis) -> f64 {
        let own = &SERVICES[service];
        let growth = 1.0 + 0.012 * (at - self.start) as f64 / (7 * DAY) as f64;
        let launch = if service == CATALOG && at >= self.start - LAUNCH {
            1.2
        } else {
            1.0
        };
        let mood = 1.0 + 0.035 * noise::wander(self.seed(1, service), at, 5 * HOUR);
        let load =
            own.peak * time_of_day(at) * day_of_week(at, own.weekend) * growth * launch * mood;
        self.incidents(at)
            .fold(load, |load, one| load * load_factor(&one, service))
    }

    fn requests(&self, service: usize, at: Millis) -> f64 {
        let at = self.stuck(service, at).unwrap_or(at);
        let load = self.load(service, at);
        // Counting noise of a two-minute rate, and what users do together.
        let deviation = (load / 120.0).sqrt() + 0.016 * load;
        (load + deviation * noise::ordinary(self.seed(2, service), at)).max(0.0)
    }

    /// When the exporter of a service hangs: the time of the last value it measured.
    fn stuck(&self, service: usize, at: Millis) -> Option<Millis> {
        self.incidents(at)
            .find(|one| one.incident == Incident::StuckExporter)
            .filter(|one| [CART, SEARCH][one.victim(2)] == service)
            .map(|one| one.began)
    }

    fn latency(&self, service: usize, at: Millis) -> Option<f64> {
        let load = self.load(service, at);
        if load <= 0.0 {
            return None; // without requests there is no percentile of them
        }
        let own = &SERVICES[service];
        let busy = (load / own.peak).min(3.0);
        let seed = self.seed(3, service);
        let ordinary =
            own.p99 * (1.0 + 0.45 * busy * busy) * (0.07 * noise::ordinary(seed, at)).exp();
        let tail = 0.3 * own.p99 * noise::rare(seed, at, 400.0);
        let factor = self
            .incidents(at)
            .fold(1.0, |all, one| all * latency_factor(&one, service));
        Some(ordinary * factor + tail)
    }

    fn queue(&self, queue: usize, at: Millis) -> f64 {
        let (_, busy_hour, filled_by) = QUEUES[queue];
        // What an incident piles up is told below: here the ordinary load fills the queue.
        let load = (self.load(filled_by, at) / SERVICES[filled_by].peak).max(0.02);
        let noise = (0.2 * noise::ordinary(self.seed(4, queue), at)).exp();
        let nightly = if queue == INVOICES {
            180.0 * bump(hours(at), 2.0, 0.35)
        } else {
            0.0
        };
        let piled: f64 = self
            .incidents(at)
            .map(|one| piled_up(&one, queue) * busy_hour)
            .sum();
        (busy_hour * load * noise + nightly + piled)
            .max(0.0)
            .round()
    }

    fn pod_cpu(&self, pod: usize, at: Millis) -> f64 {
        let share = self.load(CHECKOUT, at) / PODS.len() as f64;
        let own = 1.0 + 0.03 * noise::normal(self.seed(5, pod), 0);
        let noise = 1.0 + 0.035 * noise::ordinary(self.seed(6, pod), at);
        let cores = 0.02 + share * CORES_PER_REQUEST * own * noise;
        self.incidents(at)
            .fold(cores, |cores, one| cores * pod_factor(&one, pod))
            .max(0.0)
    }

    fn node_cpu(&self, node: usize, at: Millis) -> Option<f64> {
        let busy = self.load(CATALOG, at) / SERVICES[CATALOG].peak;
        let noise = 0.022 * noise::ordinary(self.seed(7, node), at);
        let backup = if node == 2 {
            0.16 * bump(hours(at), 3.0, 0.4)
        } else {
            0.0
        };
        let leak = 0.25 * self.leaked(node, at);
        self.scraped(node, at)?;
        Some((0.12 + 0.4 * busy + backup + leak + noise * (0.5 + busy)).clamp(0.01, 1.0))
    }

    fn node_memory(&self, node: usize, at: Millis) -> Option<f64> {
        self.scraped(node, at)?;
        let busy = self.load(CATALOG, at) / SERVICES[CATALOG].peak;
        let caches = 0.03 * noise::wander(self.seed(8, node), at, 30 * HOUR);
        let noise = 0.004 * noise::ordinary(self.seed(9, node), at);
        Some(
            (NODES[node].1 + 0.07 * busy + caches + 0.38 * self.leaked(node, at) + noise)
                .clamp(0.05, 0.99),
        )
    }

    /// Replicas that an autoscaler of the usual kind has got ready: for the greatest demand of a while, some minutes late.
    fn ready(&self, index: usize, at: Millis) -> f64 {
        let (service, capacity) = SCALED[index];
        let last = (at - STARTING).div_euclid(MINUTE) * MINUTE;
        let seen =
            (0..=STABILISATION / MINUTE).map(|back| self.requests(service, last - back * MINUTE));
        (seen.fold(0.0, f64::max) / (TARGET * capacity))
            .ceil()
            .max(2.0)
    }

    /// How much of its leak a node has lost, 0 to 1.
    fn leaked(&self, node: usize, at: Millis) -> f64 {
        let leak = self
            .incidents(at)
            .find(|one| one.incident == Incident::MemoryLeak && one.victim(NODES.len()) == node);
        leak.map_or(0.0, |one| one.progress)
    }

    fn scraped(&self, node: usize, at: Millis) -> Option<()> {
        let gap = |one: Occurrence| {
            one.incident == Incident::ScrapeGap && one.victim(NODES.len()) == node
        };
        (!self.incidents(at).any(gap)).then_some(())
    }
}

impl Dataset for Workload {
    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn value(&self, series: usize, at: Millis) -> Option<f64> {
        let at = at.div_euclid(SCRAPE) * SCRAPE;
        let value = match *self.measures.get(series)? {
            Measure::Requests(service) => self.requests(service, at),
            Measure::Latency(service) => self.latency(service, at)?,
            Measure::Queue(queue) => self.queue(queue, at),
            Measure::PodCpu(pod) => self.pod_cpu(pod, at),
            Measure::NodeCpu(node) => self.node_cpu(node, at)?,
            Measure::NodeMemory(node) => self.node_memory(node, at)?,
            Measure::Ready(index) => self.ready(index, at),
        };
        Some(value)
    }
}

fn load_factor(one: &Occurrence, service: usize) -> f64 {
    let (incident, strength) = (one.incident, one.strength());
    match (incident, service) {
        (Incident::FlashSale, CATALOG | CART | CHECKOUT) => 1.0 + 0.75 * strength,
        (Incident::FlashSale, PAYMENTS) => 1.0 + 0.5 * strength,
        (Incident::Crawler, SEARCH) => 1.0 + 0.8 * strength,
        (Incident::PaymentsOutage, PAYMENTS) => 0.0,
        _ => 1.0,
    }
}

fn latency_factor(one: &Occurrence, service: usize) -> f64 {
    match one.incident {
        Incident::SlowDatabase => 1.0 + 1.3 * one.strength(),
        Incident::SlowRelease if one.victim(SERVICES.len()) == service => 1.55,
        Incident::PaymentsOutage if service == CHECKOUT => 1.0 + 3.0 * one.strength(),
        _ => 1.0,
    }
}

/// Messages an incident adds to a queue, in multiples of what a busy hour has.
fn piled_up(one: &Occurrence, queue: usize) -> f64 {
    // Grows for most of the time, then drains fast.
    let pile = (one.progress / 0.8).min((1.0 - one.progress) / 0.2);
    match (one.incident, queue) {
        (Incident::StalledConsumer, _) if one.victim(QUEUES.len()) == queue => 9.0 * pile,
        (Incident::PaymentsOutage, ORDERS) => 6.0 * pile,
        (Incident::FlashSale, EMAILS | ORDERS) => 1.5 * pile,
        _ => 0.0,
    }
}

fn pod_factor(one: &Occurrence, pod: usize) -> f64 {
    let hit = one.victim(PODS.len()) == pod;
    match one.incident {
        Incident::NoisyPod if hit => 1.0 + 1.4 * one.strength(),
        Incident::IdlePod if hit => 1.0 - 0.93 * one.strength(),
        Incident::IdlePod => 1.0 + 0.93 * one.strength() / (PODS.len() - 1) as f64,
        _ => 1.0,
    }
}

fn hours(at: Millis) -> f64 {
    at.rem_euclid(DAY) as f64 / HOUR as f64
}

/// A bell around `centre` on the clock, `width` hours wide (its standard deviation).
fn bump(hours: f64, centre: f64, width: f64) -> f64 {
    let apart = (hours - centre).rem_euclid(24.0);
    let apart = apart.min(24.0 - apart) / width;
    (-0.5 * apart * apart).exp()
}

/// Load over the day (UTC) relative to the evening peak: a quiet night, a broad midday, a sharp evening.
fn time_of_day(at: Millis) -> f64 {
    let hours = hours(at);
    0.2 + 0.46 * bump(hours, 12.6, 3.2) + 0.72 * bump(hours, 19.8, 2.3)
}

/// Load over the week relative to an ordinary weekday; the days run into each other around midnight.
fn day_of_week(at: Millis, weekend: f64) -> f64 {
    let factor = |day: i64| match day.rem_euclid(7) {
        2 | 3 => weekend, // 1970-01-01 was a Thursday
        1 => 1.03,
        _ => 1.0,
    };
    let day = at.div_euclid(DAY);
    let hours = hours(at);
    let to_next = ((hours - 21.0) / 6.0).clamp(0.0, 0.5);
    let to_former = ((3.0 - hours) / 6.0).clamp(0.0, 0.5);
    factor(day) * (1.0 - to_next - to_former)
        + factor(day + 1) * to_next
        + factor(day - 1) * to_former
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Saturday, noon.
    const START: Millis = 1_760_184_000_000;

    fn workload() -> Workload {
        Workload::new(START, 42)
    }

    fn index(workload: &Workload, name: &str, label: &str, value: &str) -> usize {
        let wanted = |labels: &Labels| {
            labels.get("__name__") == Some(name) && labels.get(label) == Some(value)
        };
        workload.labels().iter().position(wanted).unwrap()
    }

    fn mean(workload: &Workload, series: usize, from: Millis, minutes: i64) -> f64 {
        let values: Vec<f64> = (0..minutes)
            .filter_map(|minute| workload.value(series, from + minute * MINUTE))
            .collect();
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn values_are_finite_and_of_a_sensible_size() {
        let workload = workload();
        assert!((25..=40).contains(&workload.labels().len()));
        for series in 0..workload.labels().len() {
            for minute in (-21 * 1_440..1_440).step_by(7) {
                if let Some(value) = workload.value(series, START + minute * MINUTE) {
                    let name = &workload.labels()[series];
                    assert!((0.0..20_000.0).contains(&value), "{name}: {value}");
                }
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_values_and_another_does_not() {
        let (one, other) = (workload(), Workload::new(START, 43));
        let at = START - 3 * DAY;
        for series in 0..one.labels().len() {
            assert_eq!(one.value(series, at), workload().value(series, at));
        }
        assert_ne!(one.value(0, at), other.value(0, at));
    }

    #[test]
    fn seasons_are_in_it() {
        let workload = workload();
        let search = index(
            &workload,
            "service:http_requests:rate2m",
            "service",
            "search",
        );
        let day = |days_back: i64, hour: i64| {
            let midnight = (START - days_back * DAY).div_euclid(DAY) * DAY;
            mean(&workload, search, midnight + hour * HOUR, 60)
        };
        assert!(day(4, 20) > 3.0 * day(4, 4));
        // START is a Saturday: a week before is one too, three days before is a Wednesday.
        assert!(day(7, 20) < 0.95 * day(3, 20));
    }

    #[test]
    fn incidents_are_in_it() {
        let workload = workload();
        let payments = index(
            &workload,
            "service:http_requests:rate2m",
            "service",
            "payments",
        );
        let slow = index(
            &workload,
            "service:http_request_duration_seconds:p99",
            "service",
            "payments",
        );
        let outage = START + 175 * MINUTE;
        assert!(workload.value(payments, outage).unwrap() < 1e-9);
        assert_eq!(workload.value(slow, outage), None);

        let catalog = index(
            &workload,
            "service:http_requests:rate2m",
            "service",
            "catalog",
        );
        let sale = mean(&workload, catalog, START + 15 * MINUTE, 15);
        assert!(sale > 1.5 * mean(&workload, catalog, START - 30 * MINUTE, 30));

        let pods: Vec<f64> = (0..workload.labels().len())
            .filter(|&series| workload.labels()[series].get("pod").is_some())
            .map(|series| mean(&workload, series, START + 85 * MINUTE, 20))
            .collect();
        let least = pods.iter().copied().fold(f64::MAX, f64::min);
        assert_eq!(pods.iter().filter(|&&cores| cores > 1.8 * least).count(), 1);
    }

    #[test]
    fn the_autoscaler_follows_the_demand_and_is_late() {
        let workload = workload();
        let catalog = ("service:http_requests:rate2m", "service", "catalog");
        let ready = (
            "kube_deployment_status_replicas_ready",
            "deployment",
            "catalog",
        );
        let [demand, ready] =
            [catalog, ready].map(|(name, label, value)| index(&workload, name, label, value));
        let short = |at: &i64| {
            let taken = 120.0 * workload.value(ready, *at).unwrap();
            workload.value(demand, *at).unwrap() > taken
        };
        let minutes = || (0..1_440).map(|minute| START + minute * MINUTE);
        let sizes: Vec<f64> = minutes()
            .map(|at| workload.value(ready, at).unwrap())
            .collect();
        assert!(
            sizes
                .iter()
                .all(|size| size.fract() == 0.0 && (2.0..60.0).contains(size))
        );
        let (least, most) = (
            sizes.iter().copied().fold(f64::MAX, f64::min),
            sizes.iter().copied().fold(0.0, f64::max),
        );
        assert!(most > 3.0 * least, "{least} to {most}");
        // The flash sale comes faster than its containers start.
        let missed = minutes().filter(short).count();
        assert!((1..60).contains(&missed), "{missed}");
    }

    #[test]
    fn a_hung_exporter_repeats_itself_and_a_lost_node_is_absent() {
        let workload = workload();
        let mut stuck = 0;
        let mut absent = 0;
        for series in 0..workload.labels().len() {
            let at = |minute: i64| workload.value(series, START + minute * MINUTE);
            // What follows a hung exporter stands still as well.
            let hung = workload.labels()[series].get("deployment") != Some("search")
                && (400..600).all(|minute| at(minute) == at(400));
            stuck += usize::from(hung);
            absent += usize::from((702..717).all(|minute| at(minute).is_none()));
        }
        assert_eq!((stuck, absent), (1, 2));
    }
}
