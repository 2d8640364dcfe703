//! Whether the sources answer what workloads ask: the one series of the demand, and one number to each other query.

use super::Sources;
use crate::{
    config::Config,
    decide::Settings,
    engine::{
        SignalSettings,
        scaling::{Question, has_all},
    },
    series::{Labels, Millis},
    source::{Matrix, Source},
};

/// Labels shown of series that could be meant.
const SHOWN: usize = 3;
/// An answer that should be one number.
const FEW: usize = 16;

/// What is wrong, a line each.
pub(super) async fn complaints(config: &Config, sources: &Sources<'_>, now: Millis) -> Vec<String> {
    let mut found = Vec::new();
    for workload in &config.workloads {
        let wanted = |signal: &&SignalSettings| signal.name == workload.demand.signal;
        // Whether there is such a signal was checked before.
        let Some(signal) = config.signals.iter().find(wanted) else {
            continue;
        };
        let source = config.source_of(signal);
        let Some(source) = source.and_then(|source| sources.get(source.name.as_str())) else {
            continue;
        };
        let complaint = |text: String| format!("workload {}: {text}", workload.name);
        let series = answer(source, &signal.query, signal.max_series, now).await;
        // That the signal itself has no answer was said of the signal.
        if let Ok(matrix) = &series {
            found.extend(demand(workload, signal, matrix).map(complaint));
        }
        for (key, query) in queries(workload) {
            let answered = answer(source, query, FEW, now).await;
            found.extend(one_number(key, query, &answered).map(complaint));
        }
    }
    found
}

/// What a workload asks beside the signal, under the key that says so.
fn queries(workload: &Settings) -> Vec<(&'static str, &str)> {
    let replicas = workload.replicas.as_ref();
    let queue = workload.queue.as_ref();
    let host = workload.emergency.as_ref();
    let all = [
        ("demand.query", workload.demand.query.as_deref()),
        ("replicas.query", replicas.map(|one| one.query.as_str())),
        (
            "replicas.wanted",
            replicas.and_then(|one| one.wanted.as_deref()),
        ),
        ("queue.query", queue.map(|one| one.query.as_str())),
        ("emergency.host", host.map(|one| one.host.as_str())),
    ];
    all.into_iter()
        .filter_map(|(key, query)| Some((key, query?)))
        .collect()
}

async fn answer(
    source: &impl Source,
    query: &str,
    max_series: usize,
    now: Millis,
) -> Result<Matrix, String> {
    let question = Question {
        source: 0,
        query: query.to_owned(),
        max_series,
    };
    let answered = source.range(question.at(now)).await;
    answered.map_err(|error| error.to_string())
}

/// The demand has to be one series of the signal.
fn demand(workload: &Settings, signal: &SignalSettings, answer: &Matrix) -> Option<String> {
    let wanted = &workload.demand.r#match;
    let is_meant = |labels: &&Labels| has_all(labels, wanted);
    let all: Vec<&Labels> = answer.series.iter().map(|one| &one.labels).collect();
    let meant: Vec<&Labels> = all.iter().copied().filter(is_meant).collect();
    let named = &signal.name;
    let shown = |labels: &[&Labels]| {
        let texts: Vec<String> = labels
            .iter()
            .take(SHOWN)
            .map(|one| one.to_string())
            .collect();
        let more = if labels.len() > SHOWN {
            " and others"
        } else {
            ""
        };
        format!("{}{more}", texts.join(", "))
    };
    match meant.len() {
        1 => None,
        _ if all.is_empty() => None,
        0 => Some(format!(
            "none of the {} series of the signal {named} has all labels of demand.match, so nothing would be recommended; there are {}",
            all.len(),
            shown(&all)
        )),
        count => Some(format!(
            "{count} series of the signal {named} have the labels of demand.match, and one is needed, so nothing would be recommended; add a label that tells them apart: {}",
            shown(&meant)
        )),
    }
}

fn one_number(key: &str, query: &str, answered: &Result<Matrix, String>) -> Option<String> {
    match answered {
        Err(error) => Some(format!("{key}: {error}")),
        Ok(matrix) => match matrix.series.len() {
            1 => None,
            0 => Some(format!(
                "{key}: the query matches nothing now; look for a mistaken metric or label name in {query}"
            )),
            count => Some(format!(
                "{key}: the query answers with {count} series, and one is needed, as by sum(..) or max(..): {query}"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SeriesSamples;

    fn workload(matched: &str) -> Settings {
        let text = format!(
            "{{name: shop, demand: {{signal: load, match: {matched}}}, capacity_per_replica: 10, limits: {{max: 9}}, replicas: {{query: ready}}}}"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    fn matrix(apps: &[&str]) -> Matrix {
        let one = |app: &&str| SeriesSamples {
            labels: Labels::new([("app", *app), ("zone", "a")]).unwrap(),
            samples: vec![(0, 1.0)],
        };
        Matrix {
            series: apps.iter().map(one).collect(),
            ..Matrix::default()
        }
    }

    #[test]
    fn the_demand_has_to_be_one_series() {
        let config = Config::single("http://x:1", "load", "up").unwrap();
        let said = |matched: &str, apps: &[&str]| {
            demand(&workload(matched), &config.signals[0], &matrix(apps))
        };
        assert_eq!(said("{app: shop}", &["cart", "shop"]), None);
        assert_eq!(said("{}", &["shop"]), None);
        // Said of the signal already.
        assert_eq!(said("{}", &[]), None);
        let none = said("{app: shpo}", &["cart", "shop"]).unwrap();
        assert!(
            none.starts_with("none of the 2 series of the signal load"),
            "{none}"
        );
        assert!(none.contains("app=\"cart\""), "{none}");
        let many = said("{zone: a}", &["a", "b", "c", "d"]).unwrap();
        assert!(
            many.starts_with("4 series") && many.ends_with("and others"),
            "{many}"
        );
    }

    #[test]
    fn other_queries_have_to_be_one_number() {
        assert_eq!(queries(&workload("{}")), [("replicas.query", "ready")]);
        let said = |apps: &[&str]| one_number("replicas.query", "ready", &Ok(matrix(apps)));
        assert_eq!(said(&["a"]), None);
        assert!(said(&[]).unwrap().contains("matches nothing"));
        assert!(said(&["a", "b"]).unwrap().contains("2 series"));
        let failed = one_number("queue.query", "q", &Err("refused".to_owned()));
        assert_eq!(failed.as_deref(), Some("queue.query: refused"));
    }
}
