//! What a decision costs: 1,000 workloads at one tick, with all that may be in force, and one of them alone.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forethought::{
    decide::{
        Board, DemandForecast, Inputs, Maximum, Reading, Replicas, Settings, SharedSettings, Truth,
        Workload,
    },
    series::Millis,
};
use std::{hint::black_box, sync::Arc};

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const START: Millis = 1_760_000_400_000;
const WORKLOADS: usize = 1_000;

fn settings(place: usize) -> Settings {
    let text = format!(
        "{{name: workload-{place}, demand: {{signal: requests}}, lead_time: measured, mode: full,
        capacity_per_replica: {{learned: {{utilisation: cpu, otherwise: 100}}}},
        cost: {{replica_hour: 0.1, shortfall_hour: 2}}, priority: {}, uses: {{cpu: 0.5}},
        limits: {{min: 2, max: 80, up: {{replicas: 8, per: 1m}}, down: {{fraction: 0.2, per: 1m}}, budget_per_hour: 9}},
        schedules: [{{cron: '0 8 * * mon-fri', for: 10h, min: 4, timezone: Europe/Berlin}}],
        rules: [{{when: queue_depth > 1000, scale: 1.5}}], queue: {{query: queue_length}}}}",
        place % 5,
    );
    let text = serde_yaml::Deserializer::from_str(&text);
    let settings: Settings =
        serde_yaml::with::singleton_map_recursive::deserialize(text).expect("settings");
    assert!(settings.validate().is_empty(), "{:?}", settings.validate());
    settings
}

fn inputs(place: usize, at: Millis) -> Inputs {
    let phase = at as f64 / (20.0 * MINUTE as f64) + place as f64;
    let demand = 1_500.0 + 1_000.0 * phase.sin();
    let maximum = |minutes: Millis| Maximum {
        ahead: minutes * MINUTE,
        expected: demand,
        quantile: demand * (1.1 + minutes as f64 / 100.0),
    };
    let reading = |value: f64| Some(Reading { at, value });
    Inputs {
        demand: reading(demand),
        replicas: Some(Replicas {
            at,
            ready: 20,
            wanted: Some(20),
        }),
        forecast: Some(Arc::new(DemandForecast {
            generated: at - 30 * SECOND,
            step: MINUTE,
            level: 0.96,
            maxima: [5, 10, 20, 60].map(maximum).to_vec(),
            coverage: Some(0.95),
            skill: Some(0.2),
            anomaly: 0,
            drift: None,
        })),
        utilisation: reading(demand / 3_000.0),
        queue: reading(100.0),
        rules: vec![Truth::Fails],
        ..Inputs::default()
    }
}

fn board(workloads: usize) -> Board {
    Board {
        workloads: (0..workloads)
            .map(|place| Workload::new(Arc::new(settings(place))))
            .collect(),
        shared: vec![SharedSettings {
            name: "cpu".to_owned(),
            limit: workloads as f64 * 8.0,
            per: None,
        }],
        used: Vec::new(),
    }
}

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for workloads in [1, WORKLOADS] {
        let (mut board, mut at) = (board(workloads), START);
        // An hour and more, so that everything remembered is there.
        let mut tick = |board: &mut Board| {
            at += 30 * SECOND;
            let inputs: Vec<Inputs> = (0..workloads).map(|place| inputs(place, at)).collect();
            let (decisions, took) = timed(|| board.decide(at, &inputs));
            black_box(decisions);
            took
        };
        for _ in 0..150 {
            tick(&mut board);
        }
        group.throughput(Throughput::Elements(workloads as u64));
        group.bench_function(format!("{workloads} workloads"), |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| tick(&mut board)).sum());
        });
    }
    group.finish();
}

/// What `work` gives and how long it took, without what prepares it.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures the time that passes"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, std::time::Duration) {
    let begun = std::time::Instant::now();
    (work(), begun.elapsed())
}

criterion_group!(benches, decide);
criterion_main!(benches);
