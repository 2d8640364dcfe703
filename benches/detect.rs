//! What baseline, detectors, combination and verdict cost: a tick of 10,000 deep series in shards of 256 with the
//! default detectors, a tick of 100,000 wide series with an envelope and a z-score, the rebuild of one series from 18 days at a minute, and a step of 64 series
//! by each detector alone.

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
const SHARD: usize = 256;

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
    fn new(slots: usize, baseline: &baseline::Settings, memory: usize, kinds: &[&str]) -> Self {
        let grid = grid();
        let (alerting, severities) = (AlertingSettings::default(), SeverityThresholds::default());
        let detectors: Vec<_> = kinds
            .iter()
            .map(|kind| settings(kind).build(grid))
            .collect();
        let mut shard = Self {
            slots: (0..slots).collect(),
            baseline: baseline.build(grid),
            verdicts: Verdicts::new(&alerting, &severities, grid, memory),
            bands: vec![Band::UNKNOWN; slots],
            scores: vec![vec![0.0; slots]; detectors.len()],
            detectors,
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
        let scores: Vec<&[f32]> = self.scores.iter().map(Vec::as_slice).collect();
        Combine::Max.apply(&scores, &mut self.combined);
        self.verdicts.step(&batch, &self.combined, &mut self.out);
        self.baseline.observe(at, &self.slots, values);
    }

    fn heap_bytes(&self) -> usize {
        let detectors: usize = self.detectors.iter().map(|one| one.heap_bytes()).sum();
        self.baseline.heap_bytes() + detectors + self.verdicts.heap_bytes()
    }
}

/// The detectors of a signal that names none.
fn defaults() -> Vec<&'static str> {
    detect::defaults().iter().map(|one| one.kind()).collect()
}

/// A detector with the defaults of its kind.
fn settings(kind: &str) -> detect::Settings {
    serde_json::from_str(&format!("{{{kind:?}: {{}}}}"))
        .unwrap_or_else(|error| unreachable!("{kind}: {error}"))
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

/// A tick of so many series, all at once.
struct Ticks {
    series: usize,
    baseline: baseline::Settings,
    detectors: Vec<&'static str>,
    memory: usize,
    seasonal: bool,
}

impl Ticks {
    /// Shards after a fit and a day of ticks, and the time.
    fn warm(&self, values: &[f32]) -> (Vec<Shard>, Millis) {
        let seasons: &[usize] = if self.seasonal { &[DAY] } else { &[] };
        let mut at = values.len() as Millis * MINUTE;
        let past = Past {
            end: at,
            grid: grid(),
            values,
            seasons,
            zone: &Zone::default(),
        };
        let mut shards: Vec<Shard> = (0..self.series)
            .step_by(SHARD)
            .map(|from| {
                let slots = SHARD.min(self.series - from);
                Shard::new(slots, &self.baseline, self.memory, &self.detectors)
            })
            .collect();
        for shard in &mut shards {
            for slot in shard.slots.clone() {
                shard.baseline.fit(slot, &past);
            }
        }
        for _ in 0..DAY {
            at = tick(&mut shards, at, values);
        }
        (shards, at)
    }

    fn bench(&self, c: &mut Criterion, name: &str) {
        let values = past(3, self.seasonal);
        let mut group = c.benchmark_group("detect");
        group.throughput(Throughput::Elements(self.series as u64));
        group.sample_size(10);
        // Only where it is asked for, and once: warming up takes seconds.
        let mut warm = None;
        group.bench_function(name, |bencher| {
            let (shards, at) = warm.get_or_insert_with(|| self.warm(&values));
            bencher.iter(|| *at = tick(shards, *at, &values));
        });
        group.finish();
    }

    /// Measured by the state itself, not by a clock; nothing else can say it.
    fn report_bytes(&self, c: &mut Criterion, name: &str) {
        let values = past(3, self.seasonal);
        let few = Self {
            series: SHARD,
            baseline: self.baseline.clone(),
            detectors: self.detectors.clone(),
            ..*self
        };
        let bytes = few.warm(&values).0[0].heap_bytes() / SHARD;
        let mut group = c.benchmark_group("bytes a series");
        group.sample_size(10);
        group.bench_function(format!("{name}: {bytes}"), |bencher| {
            bencher.iter(|| black_box(bytes))
        });
        group.finish();
    }
}

fn tick(shards: &mut [Shard], at: Millis, values: &[f32]) -> Millis {
    let at = at + MINUTE;
    let value = values[(at / MINUTE) as usize % values.len()];
    let row: Vec<f32> = (0..SHARD).map(|slot| value + slot as f32 * 1e-3).collect();
    for shard in shards {
        let count = shard.slots.len();
        shard.tick(at, &row[..count]);
        black_box(&shard.out);
    }
    at
}

fn rebuilds(c: &mut Criterion, name: &str, seasonal: bool) {
    let values = past(18, seasonal);
    let mut shard = Shard::new(1, &baseline::Settings::Auto, DAY, &defaults());
    let (seasons, zone) = (season::detect(&values, grid()), Zone::default());
    let past = Past {
        end: values.len() as Millis * MINUTE,
        grid: grid(),
        values: &values,
        seasons: &seasons,
        zone: &zone,
    };
    let mut group = c.benchmark_group("detect");
    group.sample_size(10);
    group.throughput(Throughput::Elements(values.len() as u64));
    group.bench_function(
        format!("rebuild of 18 days at a minute, {name}"),
        |bencher| {
            bencher.iter(|| rebuild(&mut shard, &values));
        },
    );
    group.bench_function(format!("fit of 18 days at a minute, {name}"), |bencher| {
        bencher.iter(|| shard.baseline.fit(0, &past));
    });
    group.bench_function(format!("season detection, {name}"), |bencher| {
        bencher.iter(|| season::detect(black_box(&values), grid()));
    });
    group.finish();
}

/// A step of 64 series by one detector that has seen ten days at five minutes.
fn alone(c: &mut Criterion, kind: &str) {
    const SERIES: usize = 64;
    const STEP: Millis = 5 * MINUTE;
    let grid = Grid::new(STEP).unwrap_or_else(|| unreachable!("five minutes are positive"));
    let settings = settings(kind);
    let values = past(2, true);
    let slots: Vec<Slot> = (0..SERIES).collect();
    let bands = [Band {
        expected: 100.0,
        lower: 0.0,
        upper: 200.0,
        scale: 20.0,
    }; SERIES];
    let mut group = c.benchmark_group("detect");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function(format!("64 series, {kind} alone"), |bencher| {
        let mut detector = settings.build(grid);
        detector.grow(SERIES);
        let mut index = 0;
        let mut step = || {
            index += 1;
            let value = values[index % values.len()];
            let row: [f32; SERIES] = std::array::from_fn(|slot| value + slot as f32 * 1e-3);
            let mut out = [0.0; SERIES];
            let batch = Batch {
                at: index as Millis * STEP,
                slots: &slots,
                values: &row,
                bands: &bands,
            };
            detector.step(&batch, &mut out);
            black_box(&out);
        };
        (0..2 * DAY).for_each(|_| step());
        bencher.iter(&mut step);
    });
    group.finish();
}

/// One tick of 10,000 peers in one group.
fn peers(c: &mut Criterion) {
    const PEERS: usize = 10_000;
    let mut detector = detect::dbscan::Settings::default().build(grid());
    detector.grow(PEERS);
    let slots: Vec<Slot> = (0..PEERS).collect();
    let values = past(18, false);
    let values = &values[..PEERS];
    let bands = vec![Band::UNKNOWN; PEERS];
    let mut out = vec![0.0; PEERS];
    let mut group = c.benchmark_group("detect");
    group.throughput(Throughput::Elements(PEERS as u64));
    let mut index = 0;
    group.bench_function("10,000 peers, dbscan alone", |bencher| {
        bencher.iter(|| {
            index += 1;
            let batch = Batch {
                at: index * MINUTE,
                slots: &slots,
                values,
                bands: &bands,
            };
            detector.step(&batch, &mut out);
            black_box(&out);
        });
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    let deep = |seasonal| Ticks {
        series: 10_000,
        baseline: baseline::Settings::Auto,
        detectors: defaults(),
        memory: DAY,
        seasonal,
    };
    let wide = |daily| Ticks {
        series: 100_000,
        baseline: baseline::Settings::Wide(baseline::wide::Settings {
            daily,
            ..Default::default()
        }),
        detectors: vec!["envelope", "zscore"],
        // As the engine has it: no past is kept to derive verdicts from.
        memory: 0,
        seasonal: daily,
    };
    deep(true).bench(c, "tick of 10,000 deep series, seasonal");
    deep(false).bench(c, "tick of 10,000 deep series, rolling");
    wide(true).bench(c, "tick of 100,000 wide series");
    rebuilds(c, "seasonal", true);
    rebuilds(c, "rolling", false);
    for kind in detect::KINDS.iter().filter(|kind| **kind != "dbscan") {
        alone(c, kind);
    }
    peers(c);
    deep(true).report_bytes(c, "deep, seasonal");
    deep(false).report_bytes(c, "deep, rolling");
    wide(true).report_bytes(c, "wide, 24 parts of the day");
    wide(false).report_bytes(c, "wide, one level");
}

criterion_group!(benches, all);
criterion_main!(benches);
