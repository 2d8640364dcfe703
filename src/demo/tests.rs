//! The engine judged on the workload: it must find what goes wrong, and be quiet otherwise.

use super::{Dataset, Workload, config_text, incidents::Incident, incidents::under_way};
use crate::{
    config,
    engine::{Mode, Outcome, SignalSettings, SignalUnit, UnitOptions},
    forecast::ModelFiles,
    series::Millis,
    source::{Matrix, SeriesSamples},
};

/// A Wednesday, two in the afternoon.
const START: Millis = 1_763_560_800_000;
const SEED: u64 = 1;
const MINUTE: Millis = 60_000;
const DAY: Millis = 1_440 * MINUTE;

/// Verdicts go on a while after the cause is gone.
const AFTERMATH: Millis = 30 * MINUTE;

/// One verdict: series, first and last grid time.
#[derive(Debug)]
struct Found {
    series: String,
    from: Millis,
    to: Millis,
}

/// What a Prometheus would answer for the signal.
fn matrix(workload: &Workload, query: &str, from: Millis, to: Millis) -> Matrix {
    let name = query.split('{').next();
    let mut series: Vec<SeriesSamples> = (0..workload.labels().len())
        .filter(|&index| workload.labels()[index].get("__name__") == name)
        .map(|index| SeriesSamples {
            labels: workload.labels()[index].without(&["__name__"]),
            samples: (0..=(to - from) / MINUTE)
                .map(|step| from + step * MINUTE)
                .filter_map(|at| Some((at, workload.value(index, at)?)))
                .collect(),
        })
        .collect();
    series.sort_by(|one, other| one.labels.cmp(&other.labels));
    Matrix {
        series,
        ..Matrix::default()
    }
}

/// The verdicts of the last day before the start and the first day after it.
fn verdicts(settings: &SignalSettings) -> Vec<Found> {
    let workload = Workload::new(START, SEED);
    let mut unit =
        SignalUnit::new(settings, &UnitOptions::default(), &ModelFiles::default()).unwrap();
    unit.ingest(&matrix(
        &workload,
        &settings.query,
        unit.history_start(START),
        START,
    ));
    let mut at = unit.restart(START);
    let mut found = Vec::new();
    while at < START + DAY {
        at += MINUTE;
        if at > START {
            unit.ingest(&matrix(&workload, &settings.query, at - 3 * MINUTE, at));
        }
        let outcome = unit.advance(at, Mode::Replay);
        if at > START - DAY {
            note(&mut found, &outcome);
        }
    }
    found
}

fn note(found: &mut Vec<Found>, outcome: &Outcome) {
    for series in outcome.series.iter().filter(|series| series.active) {
        let name = series.labels.to_string();
        let open = found
            .iter_mut()
            .rfind(|one| one.series == name && one.to == outcome.at - MINUTE);
        match open {
            Some(open) => open.to = outcome.at,
            None => found.push(Found {
                series: name,
                from: outcome.at,
                to: outcome.at,
            }),
        }
    }
}

fn settings(name: &str) -> SignalSettings {
    let config = config::parse(&config_text("http://127.0.0.1:1"), &|_| None).unwrap();
    config
        .signals
        .into_iter()
        .find(|signal| signal.name == name)
        .unwrap()
}

/// Whether `incident` was under way at some time of a verdict on a series whose name holds `victim`.
fn met(found: &[Found], incident: Incident, victim: &str) -> bool {
    found
        .iter()
        .filter(|one| one.series.contains(victim))
        .any(|one| {
            let minutes = (one.from..=one.to).step_by(MINUTE as usize);
            minutes
                .into_iter()
                .any(|at| under_way(START, SEED, at).any(|now| now.incident == incident))
        })
}

/// Verdicts at whose beginning, and for a while before, nothing was wrong anywhere.
fn unfounded(found: &[Found]) -> Vec<&Found> {
    let calm = |one: &&Found| {
        let before = (one.from - AFTERMATH..=one.from).step_by(MINUTE as usize);
        before
            .into_iter()
            .all(|at| under_way(START, SEED, at).next().is_none())
    };
    found.iter().filter(calm).collect()
}

#[test]
fn incidents_are_found_and_little_else() {
    let cases: [(&str, &[(Incident, &str)]); 5] = [
        (
            "http_requests_per_second",
            &[
                (Incident::FlashSale, "checkout"),
                (Incident::Crawler, "search"),
                (Incident::PaymentsOutage, "payments"),
            ],
        ),
        (
            "latency_p99_seconds",
            &[
                (Incident::SlowDatabase, "cart"),
                (Incident::PaymentsOutage, "checkout"),
            ],
        ),
        (
            "queue_depth_messages",
            &[(Incident::StalledConsumer, "invoices")],
        ),
        (
            "pod_cpu_cores",
            &[(Incident::NoisyPod, "kz8fs"), (Incident::IdlePod, "kz8fs")],
        ),
        ("node_memory_ratio", &[(Incident::MemoryLeak, "node-1")]),
    ];
    let mut wrong = 0;
    for (signal, incidents) in cases {
        let found = verdicts(&settings(signal));
        for &(incident, victim) in incidents {
            assert!(
                met(&found, incident, victim),
                "{signal}: {incident:?} not found in {found:#?}"
            );
        }
        wrong += unfounded(&found).len();
    }
    // 29 series over two days.
    assert!(wrong <= 6, "{wrong} verdicts without a cause");
}
