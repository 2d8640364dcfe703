//! Three shards and one process that carries everything, beside one Prometheus: together they say what it says; one dies, and
//! nothing changes in the others.

use crate::{
    keda::ask,
    support::{
        eventually,
        program::{Exposition, Program},
        servers::prometheus,
        throughout,
    },
};
use serde_json::json;
use std::collections::BTreeMap;

const EVALUATED: &str = "forethought_signal_last_evaluation_timestamp_seconds";
/// Series of the job.
const SERIES: usize = 12;
/// The signals: divided by all labels, by zone, not divided as a workload reads it, and all in one shard.
const SIGNALS: [&str; 4] = ["fleet_each", "fleet_zones", "fleet_demand", "fleet_alike"];

fn configuration() -> String {
    let address = prometheus().address();
    let all = "fleet_load{job=\"fleet\"}";
    let zones = format!("label_replace({all}, \"zone\", \"$1\", \"path\", \"/(.).*\")");
    let signal = |name: &str, query: &str, more: &str| {
        format!(
            "  - {{name: {name}, query: \'{query}\', step: 2s, history: 20m, offset: 1s, max_age: 20s, seasonality: [], {more}}}\n"
        )
    };
    let signals = [
        signal(SIGNALS[0], all, "forecast: {horizons: []}"),
        signal(
            SIGNALS[1],
            &zones,
            "forecast: {horizons: []}, peers: [zone], group_by: [zone]",
        ),
        signal(
            SIGNALS[2],
            &format!("sum({all})"),
            "forecast: {horizons: [10s]}",
        ),
        signal(
            SIGNALS[3],
            all,
            "forecast: {horizons: []}, detectors: [{zscore: {}}, {dbscan: {}}]",
        ),
    ];
    format!(
        r#"
global: {{evaluation_interval: 2s}}
sources: [{{name: main, prometheus: {{url: "http://{address}"}}}}]
signals:
{}workloads:
  - name: fleet
    demand: {{signal: fleet_demand, max_age: 20s}}
    capacity_per_replica: 1
    limits: {{min: 0, max: 10000}}
"#,
        signals.concat()
    )
}

/// The scores of a signal, by the labels of their series.
fn scores(exposed: &Exposition, signal: &str) -> BTreeMap<String, f64> {
    let label = format!("signal=\"{signal}\"");
    let words = [label.as_str()];
    let lines = exposed.lines("anomaly_score", &words);
    let pair = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    };
    lines.map(pair).collect()
}

/// When a signal was evaluated last; nothing where it is all in another shard.
fn evaluated(exposed: &Exposition, signal: &str) -> Option<f64> {
    let label = format!("signal=\"{signal}\"");
    exposed.values(EVALUATED, &[&label]).first().copied()
}

/// What all of them expose of the same evaluation of a signal.
fn of_one_evaluation(programs: &[&Program], signal: &str) -> Result<Vec<Exposition>, String> {
    let all = || -> Result<Vec<Exposition>, String> {
        programs.iter().map(|program| program.metrics()).collect()
    };
    // Its time is told just before the scores are: what is the same twice belongs together.
    let (first, second) = (all()?, all()?);
    let times = |all: &[Exposition]| -> Vec<f64> {
        all.iter()
            .filter_map(|one| evaluated(one, signal))
            .collect()
    };
    let (before, after) = (times(&first), times(&second));
    match before == after && after.windows(2).all(|pair| pair[0] == pair[1]) {
        true => Ok(second),
        false => Err(format!("{signal} was evaluated at {before:?}, {after:?}")),
    }
}

fn assert_equal(part: &BTreeMap<String, f64>, whole: &BTreeMap<String, f64>) {
    for (series, score) in part {
        let other = whole
            .get(series)
            .unwrap_or_else(|| panic!("{series} is of nobody"));
        assert!(
            (score - other).abs() <= 1e-6,
            "{series}: {score} instead of {other}"
        );
    }
}

/// Of each signal the shards say together what the last of `programs` says, each of them what no other says.
fn assert_divided(programs: &[&Program]) {
    for signal in SIGNALS {
        let expected = if signal == "fleet_demand" { 1 } else { SERIES };
        let exposed = eventually("all evaluate the same time", 60, || {
            let exposed = of_one_evaluation(programs, signal)?;
            // A process that has just started may be ready before the newest scrape is in.
            match exposed.last().map(|whole| scores(whole, signal).len()) {
                Some(scored) if scored == expected => Ok(exposed),
                scored => Err(format!("{signal}: {scored:?} of {expected} are scored")),
            }
        });
        let (whole, shards) = exposed.split_last().unwrap();
        let whole = scores(whole, signal);
        let shards: Vec<_> = shards.iter().map(|one| scores(one, signal)).collect();
        let sizes: Vec<usize> = shards.iter().map(BTreeMap::len).collect();
        shards.iter().for_each(|own| assert_equal(own, &whole));
        if signal == "fleet_demand" {
            assert_eq!((whole.len(), sizes), (1, vec![1; 3]));
            continue;
        }
        assert_eq!(whole.len(), SERIES, "{signal}");
        // As many as there are, and all of them among those: none is in two.
        assert_eq!(sizes.iter().sum::<usize>(), SERIES, "{signal}: {sizes:?}");
        let mut together: Vec<&String> = shards.iter().flat_map(BTreeMap::keys).collect();
        together.sort();
        together.dedup();
        assert_eq!(together.len(), SERIES, "{signal}: {sizes:?}");
        let of_threes = sizes.iter().all(|size| size % 3 == 0);
        match signal {
            "fleet_each" => assert!(sizes.iter().all(|size| *size < SERIES), "{sizes:?}"),
            "fleet_zones" => assert!(of_threes, "a zone is in two shards: {sizes:?}"),
            _ => assert!(sizes.contains(&SERIES), "{sizes:?}"),
        }
    }
}

/// Groups are of the shard that has them, and of those that nobody has whole nothing is said.
fn assert_groups(programs: &[&Program]) {
    let groups = |program: &&Program, signal: &str| {
        let label = format!("signal=\"{signal}\"");
        let metrics = program.metrics().unwrap();
        metrics.values("anomaly_group_ratio", &[&label]).len()
    };
    let (whole, shards) = programs.split_last().unwrap();
    let of = |signal: &str| {
        shards
            .iter()
            .map(|shard| groups(shard, signal))
            .sum::<usize>()
    };
    assert_eq!((groups(whole, "fleet_zones"), of("fleet_zones")), (4, 4));
    assert_eq!((groups(whole, "fleet_each"), of("fleet_each")), (1, 0));
    assert_eq!((groups(whole, "fleet_alike"), of("fleet_alike")), (1, 1));
}

/// A shard says which one it is, and what of the answers it left to others.
fn assert_told(program: &Program, index: usize) {
    let metrics = program.metrics().unwrap();
    let label = format!("shard=\"{index}\"");
    assert_eq!(metrics.value("forethought_shards", &[&label]), Ok(3.0));
    let status = program.json("/api/v1/status").unwrap();
    assert_eq!(status["shard"], format!("{index}/3"));
    let each = ["signal=\"fleet_each\""];
    let own = metrics.value("forethought_signal_series", &each).unwrap();
    let foreign = metrics.value("forethought_signal_series_foreign", &each);
    assert_eq!(own + foreign.unwrap(), SERIES as f64);
    let dropped = metrics.value("forethought_signal_series_dropped", &each);
    assert_eq!(dropped, Ok(0.0), "what others carry is not left out");
    let whole = ["signal=\"fleet_demand\""];
    let foreign = metrics.values("forethought_signal_series_foreign", &whole);
    assert_eq!(foreign, [0.0; 0]);
}

/// What KEDA is told of the workload over gRPC.
fn told(program: &Program) -> Result<f64, String> {
    let question = json!({"address": program.grpc_address(), "call": "GetMetrics", "name": "fleet", "metric": "predicted-replicas", "metadata": {"workload": "fleet"}});
    let answer = ask(json!([question])).remove(0);
    let value = answer.pointer("/metricValues/0/metricValueFloat");
    value
        .and_then(|value| value.as_f64())
        .ok_or_else(|| answer.to_string())
}

/// Each of them answers an autoscaler with all of the demand, not with its part of it.
fn assert_whole(programs: &[&Program]) {
    let demand = prometheus()
        .value("sum(fleet_load{job=\"fleet\"})")
        .unwrap();
    for program in programs {
        let replicas = eventually("KEDA is told a size", 30, || told(program));
        // One takes 1. The demand moves by a few percent between an answer and another.
        assert!(
            replicas > 0.85 * demand,
            "{replicas} for a demand of {demand}"
        );
    }
}

fn start(flags: &[&str]) -> Program {
    let keda = "--grpc.listen-address=127.0.0.1:0";
    Program::start(&configuration(), &[flags, &[keda]].concat())
}

#[test]
fn three_shards_say_what_one_process_says_and_the_end_of_one_is_nothing_to_the_others() {
    let flags = ["--shard=0/3", "--shard=1/3", "--shard=2/3"];
    let mut shards = flags.map(|flag| start(&[flag])).into_iter();
    let whole = start(&[]);
    let [first, mut second, third] = [(); 3].map(|()| shards.next().unwrap());
    for program in [&first, &second, &third, &whole] {
        program.becomes_ready();
    }
    let all = [&first, &second, &third, &whole];
    assert_divided(&all);
    assert_groups(&all);
    for (index, program) in all[..3].iter().enumerate() {
        assert_told(program, index);
    }
    let alone = whole.metrics().unwrap();
    assert_eq!(alone.values("forethought_shards", &[]), [0.0; 0]);
    assert_whole(&all);

    let names = |program: &Program| -> Result<Vec<String>, String> {
        let metrics = program.metrics()?;
        let scores = SIGNALS.map(|signal| scores(&metrics, signal).into_keys());
        Ok(scores.into_iter().flatten().collect())
    };
    let left = [&first, &third];
    let before = left.map(|program| names(program).unwrap());
    let time = |program: &Program| evaluated(&program.metrics().unwrap(), "fleet_each");
    let then = left.map(time);
    second.signal("KILL");
    second.wait(10);
    throughout("the others go on with what they carry", 6, || {
        for (program, before) in left.iter().zip(&before) {
            match names(program)? == *before {
                true => {}
                false => return Err("their series are others".to_owned()),
            }
        }
        Ok(())
    });
    assert!(
        left.map(time)
            .iter()
            .zip(then)
            .all(|(now, then)| *now > then)
    );
    assert_whole(&left);

    let again = start(&[flags[1]]);
    again.becomes_ready();
    assert_divided(&[&first, &again, &third, &whole]);
}
