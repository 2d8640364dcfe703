//! What baseline, default detectors, combination and verdict cost: a tick of 10,000 deep series in shards of
//! 256, a tick of 100,000 wide series, and the rebuild of one series from 18 days at a minute.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forethought::{
    baseline::{self, Band, Baseline},
    detect::{
        self, AlertingSettings, Batch, Combine, Detector, SeverityThresholds, Verdict, Verdicts,
    },
    series::{Grid, Millis, Past, Slot, Zone},
    stats::season,
};
use std::{f32::consts::TAU, hint::black_box};

const MINUTE: Millis = 60_000;
const DAY: usize = 1_440;

/// All that watches the series of one shard.
struct Shard {
    slots: Vec<Slot>,
    baseline: Box<dyn Baseline>,
    detectors: Vec<Box<dyn Detector>>,
    verdicts: Verdicts,
    bands: Vec<Band>,
    scores: Vec<Vec<f32>>,
    combined: Vec<f32>,
    out: Vec<Verdict>,
}

impl Shard {
    fn new(slots: usize, baseline: &baseline::Settings, memory: usize) -> Self {
        let grid = grid();
        let (alerting, severities) = (AlertingSettings::default(), SeverityThresholds::default());
        let mut shard = Self {
            slots: (0..slots).collect(),
            baseline: baseline.build(grid),
            detectors: detect::defaults()
                .iter()
                .map(|one| one.build(grid))
                .collect(),
            verdicts: Verdicts::new(&alerting, &severities, grid, memory),
            bands: vec![Band::UNKNOWN; slots],
            scores: vec![vec![0.0; slots]; 2],
            combined: vec![0.0; slots],
            out: vec![Verdict::default(); slots],
        };
        shard.baseline.grow(slots);
        shard.detectors.iter_mut().for_each(|one| one.grow(slots));
        shard.verdicts.grow(slots);
        shard
    }

    fn tick(&mut self, at: Millis, values: &[f32]) {
        self.baseline.expect(at, &self.slots, &mut self.bands);
        let batch = Batch {
            at,
            slots: &self.slots,
            values,
            bands: &self.bands,
        };
        for (detector, scores) in self.detectors.iter_mut().zip(&mut self.scores) {
            detector.step(&batch, scores);
        }
        let scores: [&[f32]; 2] = [&self.scores[0], &self.scores[1]];
        Combine::Max.apply(&scores, &mut self.combined);
        self.verdicts.step(&batch, &self.combined, &mut self.out);
        self.baseline.observe(at, &self.slots, values);
    }

    fn heap_bytes(&self) -> usize {
        let detectors: usize = self.detectors.iter().map(|one| one.heap_bytes()).sum();
        self.baseline.heap_bytes() + detectors + self.verdicts.heap_bytes()
    }
}

fn grid() -> Grid {
    Grid::new(MINUTE).unwrap_or_else(|| unreachable!("a minute is positive"))
}

fn past(days: usize, seasonal: bool) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(1);
    let amplitude = if seasonal { 50.0 } else { 0.0 };
    (0..days * DAY)
        .map(|step| 100.0 + amplitude * (TAU * step as f32 / DAY as f32).sin() + 5.0 * random.f32())
        .collect()
}

/// The whole derivation of one series from its past, as at an epoch.
fn rebuild(shard: &mut Shard, values: &[f32]) {
    let end = values.len() as Millis * MINUTE;
    let seasons = season::detect(values, grid());
    let zone = Zone::default();
    let past = Past {
        end,
        grid: grid(),
        values,
        seasons: &seasons,
        zone: &zone,
    };
    shard.baseline.fit(0, &past);
    let mut out = [0.0];
    let mut bands = [Band::UNKNOWN];
    for detector in &mut shard.detectors {
        detector.reset(0);
    }
    for (index, value) in values.iter().enumerate() {
        let at = past.time(index);
        shard.baseline.expect(at, &[0], &mut bands);
        let batch = Batch {
            at,
            slots: &[0],
            values: &[*value],
            bands: &bands,
        };
        for detector in &mut shard.detectors {
            detector.step(&batch, &mut out);
        }
        shard.baseline.observe(at, &[0], &[*value]);
    }
}

fn ticks(
    c: &mut Criterion,
    name: &str,
    series: usize,
    baseline: &baseline::Settings,
    memory: usize,
    seasonal: bool,
) {
    let shard_size = 256;
    let values = past(3, seasonal);
    let mut shards: Vec<Shard> = (0..series)
        .step_by(shard_size)
        .map(|from| Shard::new(shard_size.min(series - from), baseline, memory))
        .collect();
    let zone = Zone::default();
    let seasons: &[usize] = if seasonal { &[DAY] } else { &[] };
    let mut at = values.len() as Millis * MINUTE;
    let past = Past {
        end: at,
        grid: grid(),
        values: &values,
        seasons,
        zone: &zone,
    };
    for shard in &mut shards {
        for slot in shard.slots.clone() {
            shard.baseline.fit(slot, &past);
        }
    }
    let mut tick = |shards: &mut [Shard]| {
        at += MINUTE;
        let value = values[(at / MINUTE) as usize % values.len()];
        let row: Vec<f32> = (0..shard_size)
            .map(|slot| value + slot as f32 * 1e-3)
            .collect();
        for shard in shards {
            let count = shard.slots.len();
            shard.tick(at, &row[..count]);
            black_box(&shard.out);
        }
    };
    for _ in 0..DAY {
        tick(&mut shards);
    }
    let bytes: usize = shards.iter().map(Shard::heap_bytes).sum();
    let mut group = c.benchmark_group("detect");
    group.throughput(Throughput::Elements(series as u64));
    group.sample_size(10);
    group.bench_function(
        format!("{name} ({} bytes a series)", bytes / series),
        |bencher| {
            bencher.iter(|| tick(&mut shards));
        },
    );
    group.finish();
}

fn all(c: &mut Criterion) {
    ticks(
        c,
        "tick of 10,000 deep series, seasonal",
        10_000,
        &baseline::Settings::Auto,
        DAY,
        true,
    );
    ticks(
        c,
        "tick of 10,000 deep series, rolling",
        10_000,
        &baseline::Settings::Auto,
        DAY,
        false,
    );
    ticks(
        c,
        "tick of 100,000 wide series",
        100_000,
        &baseline::Settings::Wide(baseline::wide::Settings::default()),
        64,
        true,
    );
    for (name, seasonal) in [("seasonal", true), ("rolling", false)] {
        let values = past(18, seasonal);
        let mut shard = Shard::new(1, &baseline::Settings::Auto, DAY);
        let mut group = c.benchmark_group("detect");
        group.sample_size(10);
        group.throughput(Throughput::Elements(values.len() as u64));
        group.bench_function(
            format!("rebuild of 18 days at a minute, {name}"),
            |bencher| {
                bencher.iter(|| rebuild(&mut shard, &values));
            },
        );
        let (seasons, zone) = (season::detect(&values, grid()), Zone::default());
        let past = Past {
            end: values.len() as Millis * MINUTE,
            grid: grid(),
            values: &values,
            seasons: &seasons,
            zone: &zone,
        };
        group.bench_function(format!("fit of 18 days at a minute, {name}"), |bencher| {
            bencher.iter(|| shard.baseline.fit(0, &past));
        });
        group.bench_function(format!("season detection, {name}"), |bencher| {
            bencher.iter(|| season::detect(black_box(&values), grid()));
        });
        group.finish();
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
