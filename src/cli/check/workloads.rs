//! Whether the sources answer what workloads ask: the one series of the demand, and one number to each other query.

use super::Sources;
use crate::{
    config::{Config, SourceSettings},
    decide::Settings,
    engine::{
        SignalSettings,
        scaling::{Questions, the_one},
    },
    series::{Labels, Millis},
    source::{Matrix, Source},
};
use std::collections::BTreeMap;

/// Labels shown of series that could be meant.
const SHOWN: usize = 3;

/// What is wrong, a line each.
pub(super) async fn complaints(config: &Config, sources: &Sources<'_>, now: Millis) -> Vec<String> {
    let (questions, wanted) = questions(config);
    let mut answers = Vec::new();
    // One after another, each once: a check must not be a load.
    for question in questions.all() {
        let source = sources.get(config.sources[question.source].name.as_str());
        answers.push(match source {
            Some(source) => {
                let answered = source.range(question.at(now)).await;
                answered.map_err(|error| error.to_string())
            }
            None => Err("its source is not configured".to_owned()),
        });
    }
    let mut found = Vec::new();
    for one in &wanted {
        let complaint = |text: String| format!("workload {}: {text}", one.workload.name);
        // That the signal itself has no answer was said of the signal.
        if let Some(Ok(matrix)) = one.demand.map(|place| &answers[place]) {
            found.extend(demand(one.workload, one.signal, matrix).map(complaint));
        }
        for (key, query, place) in &one.others {
            found.extend(one_number(key, query, &answers[*place]).map(complaint));
        }
    }
    found
}

/// What a workload asks, by the places of its questions.
struct Wanted<'c> {
    workload: &'c Settings,
    signal: &'c SignalSettings,
    /// Of its signal; `None` where that is scraped or pushed, and nobody can be asked.
    demand: Option<usize>,
    /// Of its own queries, under the key that has each.
    others: Vec<(&'static str, &'c str, usize)>,
}

/// What all workloads ask: what several want is asked once.
fn questions(config: &Config) -> (Questions, Vec<Wanted<'_>>) {
    let mut questions = Questions::default();
    let wanted = config.workloads.iter().filter_map(|workload| {
        let is_its = |signal: &&SignalSettings| signal.name == workload.demand.signal;
        // Whether there is such a signal, and a source of it, was checked before.
        let signal = config.signals.iter().find(is_its)?;
        let place = |source: &SourceSettings| {
            let same = |one: &SourceSettings| one.name == source.name;
            config.sources.iter().position(same)
        };
        let own = config.source_of(signal);
        let own = own.filter(|source| source.kind.as_prometheus().is_some());
        let demand = own.and_then(place);
        let demand = demand.map(|own| questions.place(own, &signal.query, signal.max_series));
        let asked = config.asked_of(signal).and_then(place);
        let others = asked.into_iter().flat_map(|asked| {
            let queries = workload.queries().into_iter();
            queries.map(move |(key, query)| (key, query, asked))
        });
        let others = others.map(|(key, query, asked)| (key, query, questions.one(asked, query)));
        Some(Wanted {
            workload,
            signal,
            demand,
            others: others.collect(),
        })
    });
    let wanted = wanted.collect();
    (questions, wanted)
}

/// The demand has to be one series of the signal.
fn demand(workload: &Settings, signal: &SignalSettings, answer: &Matrix) -> Option<String> {
    let wanted = &workload.demand.r#match;
    let all: Vec<&Labels> = answer.series.iter().map(|one| &one.labels).collect();
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
    match the_one(wanted, all.iter().copied()) {
        Ok(_) => None,
        Err(_) if all.is_empty() => None,
        Err(0) => Some(format!(
            "none of the {} series of the signal {named} has all labels of demand.match, so nothing would be recommended; there are {}",
            all.len(),
            shown(&all)
        )),
        Err(count) => Some(format!(
            "{count} series of the signal {named} have the labels of demand.match, and one is needed, so nothing would be recommended; add a label that tells them apart: {}",
            shown(&of_them(wanted, &all))
        )),
    }
}

/// Those that have all of `wanted`.
fn of_them<'l>(wanted: &BTreeMap<String, String>, all: &[&'l Labels]) -> Vec<&'l Labels> {
    let all = all.iter().copied();
    all.filter(|labels| the_one(wanted, [*labels].into_iter()).is_ok())
        .collect()
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
    fn every_query_of_a_workload_is_asked_and_what_several_want_once() {
        let mut config = Config::single("http://x:1", "load", "up").unwrap();
        let shop = "{name: shop, demand: {signal: load, match: {app: shop}, complete: {query: whole}}, \
             capacity_per_replica: {learned: {utilisation: used}}, limits: {max: 9}, replicas: {query: ready}}";
        let cart = "{name: cart, demand: {signal: load, match: {app: cart}}, capacity_per_replica: 10, \
             limits: {max: 9}, verify: {utilisation: used}, replicas: {query: there, wanted: ready}}";
        for text in [shop, cart] {
            config.workloads.push(serde_yaml::from_str(text).unwrap());
        }
        let (questions, wanted) = questions(&config);
        let asked = questions.all().iter();
        let asked: Vec<(&str, usize)> = asked
            .map(|one| (one.query.as_str(), one.max_series))
            .collect();
        let few = asked[1].1;
        assert_eq!(asked[0], ("up", config.signals[0].max_series));
        let rest = ["whole", "ready", "used", "there"].map(|query| (query, few));
        assert_eq!(asked[1..], rest);
        let keys = |place: usize| -> Vec<&str> {
            let others = wanted[place].others.iter();
            others.map(|(key, _, _)| *key).collect()
        };
        let learned = "capacity_per_replica.learned.utilisation";
        assert_eq!(
            keys(0),
            ["demand.complete.query", "replicas.query", learned]
        );
        let verified = ["replicas.query", "replicas.wanted", "verify.utilisation"];
        assert_eq!(keys(1), verified);
        assert_eq!((wanted[0].demand, wanted[1].demand), (Some(0), Some(0)));
        assert_eq!(wanted[0].others[1].2, wanted[1].others[1].2);
    }

    #[test]
    fn other_queries_have_to_be_one_number() {
        let said = |apps: &[&str]| one_number("replicas.query", "ready", &Ok(matrix(apps)));
        assert_eq!(said(&["a"]), None);
        assert!(said(&[]).unwrap().contains("matches nothing"));
        assert!(said(&["a", "b"]).unwrap().contains("2 series"));
        let failed = one_number("queue.query", "q", &Err("refused".to_owned()));
        assert_eq!(failed.as_deref(), Some("queue.query: refused"));
    }
}
