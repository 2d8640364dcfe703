//! What forecasts cost: a rebuild of one deep series, a step of ten thousand, bytes per series.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use forethought::{
    forecast::{Forecasts, Interval, ModelFiles, Settings},
    series::{Grid, Millis, Past, Slot, Zone},
};
use std::hint::black_box;

const MINUTE: Millis = 60_000;
const DAY: usize = 1_440;
/// What a rebuild sees of 21 days.
const PAST: usize = 18 * DAY;
const SERIES: usize = 10_000;
/// Slots of one shard, as in the engine.
const SHARD: usize = 256;
/// Series with a past of their own; the others repeat them.
const DISTINCT: usize = 8;

/// A day, a week, a trend and noise.
fn series(seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..PAST)
        .map(|minute| {
            let day = (minute as f32 / DAY as f32 * std::f32::consts::TAU).sin();
            let weekend = if minute / DAY % 7 >= 5 { 0.6 } else { 1.0 };
            (200.0 + 80.0 * day) * weekend + minute as f32 * 1e-3 + 30.0 * random.f32()
        })
        .collect()
}

fn forecasts(slots: usize) -> Forecasts {
    let grid = Grid::new(MINUTE).expect("positive");
    let mut forecasts =
        Forecasts::build(&Settings::default(), grid, &ModelFiles::new()).expect("defaults");
    forecasts.grow(slots);
    forecasts
}

fn rebuild(forecasts: &mut Forecasts, slot: Slot, values: &[f32]) {
    let past = Past {
        end: (PAST as Millis - 1) * MINUTE,
        grid: Grid::new(MINUTE).expect("positive"),
        values,
        seasons: &[DAY, 7 * DAY],
        zone: &Zone::default(),
    };
    forecasts.rebuild(slot, &past);
}

fn bench_rebuild(criterion: &mut Criterion) {
    let values = series(1);
    let mut one = forecasts(1);
    criterion.bench_function("forecast/rebuild 21d at 1m", |bencher| {
        bencher.iter(|| rebuild(&mut one, 0, black_box(&values)));
    });
}

fn bench_step(criterion: &mut Criterion) {
    let pasts: Vec<Vec<f32>> = (0..DISTINCT as u64).map(series).collect();
    let mut shards: Vec<Forecasts> = (0..SERIES.div_ceil(SHARD))
        .map(|_| {
            let mut shard = forecasts(SHARD);
            for slot in 0..SHARD {
                rebuild(&mut shard, slot, &pasts[slot % DISTINCT]);
            }
            shard
        })
        .collect();
    let slots: Vec<Slot> = (0..SHARD).collect();
    let mut out = vec![Interval::ABSENT; SHARD * 3];
    let mut at = PAST as Millis * MINUTE;
    criterion.bench_function("forecast/step of 10,000 series", |bencher| {
        bencher.iter_batched(
            || {
                at += MINUTE;
                let values: Vec<f32> = (0..SHARD).map(|slot| 200.0 + slot as f32).collect();
                (at, values)
            },
            |(at, values)| {
                for shard in &mut shards {
                    shard.step(at, &slots, &values);
                    shard.intervals(&slots, &mut out);
                }
                black_box(&out);
            },
            BatchSize::SmallInput,
        );
    });
    let bytes: usize = shards.iter().map(Forecasts::heap_bytes).sum();
    report(bytes / (shards.len() * SHARD));
}

#[expect(clippy::print_stdout, reason = "a bench speaks to a person")]
fn report(bytes: usize) {
    println!("forecast/bytes per series: {bytes}");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = bench_rebuild, bench_step
}
criterion_main!(benches);
