//! Two replicas beside one Prometheus: they agree, and the end of one is nothing to the other.

use crate::support::{
    eventually,
    live::configuration,
    program::{Exposition, Program},
    servers::prometheus,
    throughout,
};
use std::collections::BTreeMap;

const SIGNAL: &str = "twins_queue";
const EVALUATED: &str = "forethought_signal_last_evaluation_timestamp_seconds";

/// The derived series with their values; the label of the replica is taken out of the names.
fn derived(exposed: &Exposition, replica: &str) -> BTreeMap<String, f64> {
    let label = format!("forethought_replica=\"{replica}\"");
    let mut found = BTreeMap::new();
    for line in exposed.text.lines() {
        if line.starts_with("predicted_") || line.starts_with("anomaly_") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(
                series.contains(&label),
                "without the replica's label: {line}"
            );
            found.insert(series.replace(&label, ""), value.parse().unwrap());
        }
    }
    found
}

/// What both expose of the same evaluation.
fn of_one_evaluation(one: &Program, other: &Program) -> Result<[Exposition; 2], String> {
    let both = [one.metrics()?, other.metrics()?];
    let at = [
        both[0].value(EVALUATED, &[])?,
        both[1].value(EVALUATED, &[])?,
    ];
    if at[0] == at[1] {
        Ok(both)
    } else {
        Err(format!("evaluated at {at:?}"))
    }
}

#[test]
fn replicas_agree_and_the_end_of_one_disturbs_nothing() {
    let config = configuration("twins", SIGNAL);
    let old = Program::ready(&config, &["--replica=old"]);
    let scrape_old = prometheus().scrape_forethought(old.address());
    // The second starts when the first has run for a while: a long run must equal a fresh start.
    eventually("the first replica has run", 60, || {
        let evaluations = old
            .metrics()?
            .value("forethought_signal_evaluations_total", &[])?;
        if evaluations >= 10.0 {
            Ok(())
        } else {
            Err(evaluations.to_string())
        }
    });
    let young = Program::ready(&config, &["--replica=young"]);
    let _scrape_young = prometheus().scrape_forethought(young.address());

    for _ in 0..3 {
        let [one, other] = eventually("both evaluate the same time", 30, || {
            of_one_evaluation(&old, &young)
        });
        assert_agree(&derived(&one, "old"), &derived(&other, "young"));
    }

    let of =
        |replica: &str| format!("count(predicted_{SIGNAL}{{forethought_replica=\"{replica}\"}})");
    for replica in ["old", "young"] {
        // Two series at three horizons.
        eventually("both are scraped", 30, || {
            match prometheus().value(&of(replica))? {
                6.0 => Ok(()),
                other => Err(other.to_string()),
            }
        });
    }
    drop(old);
    // Prometheus marks the series of a target it cannot scrape as stale.
    eventually(
        "the series of the dead replica end",
        20,
        || match prometheus().query(&of("old"))?.len() {
            0 => Ok(()),
            _ => Err("they are still there".to_owned()),
        },
    );
    throughout(
        "the other's series go on without a gap",
        10,
        || match prometheus().value(&of("young"))? {
            6.0 => Ok(()),
            other => Err(format!("{other} series")),
        },
    );
    drop(scrape_old);
}

fn assert_agree(one: &BTreeMap<String, f64>, other: &BTreeMap<String, f64>) {
    let names = |all: &BTreeMap<String, f64>| -> Vec<String> {
        // Counters tell what a process saw; the trust in forecasts is the past of one process too.
        let counted = |name: &&String| !name.starts_with("anomaly_events_total");
        all.keys().filter(counted).cloned().collect()
    };
    assert_eq!(
        names(one),
        names(other),
        "the replicas publish different series"
    );
    assert!(one.len() > 20, "{} series", one.len());
    for name in names(one) {
        let (a, b) = (one[&name], other[&name]);
        let close = |tolerance: f64| (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1e-9);
        let agree = match name.as_str() {
            name if name.starts_with("anomaly_score") => (a - b).abs() <= 1e-6,
            name if name.starts_with("anomaly_") => a == b,
            _ => close(0.01),
        };
        assert!(
            agree,
            "{name}: {a} after a long run, {b} after a fresh start"
        );
    }
}
