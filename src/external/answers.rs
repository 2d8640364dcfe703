//! From the newest decisions to a metric of one value, or why there is none.

use super::{
    quantity::quantity,
    selector::{Selector, is_label_value},
    wire,
};
use crate::{
    engine::{
        Catalogue,
        scaling::{Advice, Silence, Target},
    },
    series::Millis,
};
use serde_json::Value;
use std::sync::Arc;

/// The metric: the recommended number of replicas of every workload, with the label `workload`.
pub const METRIC: &str = "predicted-replicas";
/// So many names are listed for somebody who meant another.
const LISTED: usize = 20;

/// Why there is no answer: a status code of HTTP, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// A metric's value with when it was decided, in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) at: Millis,
    pub(super) list: Value,
}

/// The names of the metrics: [`METRIC`], and one for each workload, by which access can be given to one alone.
pub(super) fn names(workloads: &[Arc<str>]) -> Vec<String> {
    let own = workloads
        .iter()
        .filter(|name| is_label_value(name))
        .map(|name| format!("{METRIC}-{name}"));
    std::iter::once(METRIC.to_owned()).chain(own).collect()
}

/// Whether a metric of this name is ours, if it is there at all. What is not is for another adapter.
pub(super) fn is_ours(metric: &str) -> bool {
    metric == METRIC || of_workload(metric).is_some()
}

fn of_workload(metric: &str) -> Option<&str> {
    metric.strip_prefix(METRIC)?.strip_prefix('-')
}

/// The one value that is meant.
///
/// # Errors
/// There is none, or more than one: an empty list says nothing, and a longer one would be added up.
pub(super) fn value(
    catalogue: &Catalogue,
    now: Millis,
    metric: &str,
    selector: &str,
) -> Result<Answer, Refusal> {
    let selector = Selector::parse(selector).map_err(|problem| Refusal::new(400, problem))?;
    // Without a configuration in force nobody knows which there are.
    if let Err(silence @ Silence::Undecided) = catalogue.knows("") {
        return Err(told(silence));
    }
    let workload = meant(&catalogue.workloads(), metric, &selector)?;
    let advice = catalogue.advice(now, &workload).map_err(told)?;
    answer(metric, &advice)
}

fn answer(metric: &str, advice: &Advice) -> Result<Answer, Refusal> {
    // What each replica is to have of it is 1, so it is a number of replicas.
    let quantity = quantity(advice.value(Target::default()));
    let quantity = quantity.map_err(|problem| Refusal::new(503, problem))?;
    Ok(Answer {
        at: advice.at,
        list: wire::value(metric, &advice.workload, advice.at, &quantity),
    })
}

/// The one workload that is meant.
fn meant(workloads: &[Arc<str>], metric: &str, selector: &Selector) -> Result<Arc<str>, Refusal> {
    let named = of_workload(metric);
    let known = workloads
        .iter()
        .filter(|name| named.is_none_or(|named| named == &***name));
    let known: Vec<&Arc<str>> = known.collect();
    if let (Some(named), true) = (named, known.is_empty()) {
        return Err(told(Silence::Stranger(
            named.to_owned(),
            workloads.to_vec(),
        )));
    }
    let mut found = known.iter().filter(|name| {
        let label = |key: &str| (key == "workload").then_some(&****name);
        selector.matches(label)
    });
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(Arc::clone(one)),
        (None, _) => {
            let text = format!(
                "no series of {metric:?} has the labels of labelSelector; write workload=NAME with one of {}",
                listed(&known)
            );
            Err(Refusal::new(404, text))
        }
        (Some(one), Some(other)) => {
            let text = format!(
                "labelSelector means several series of {metric:?} ({one}, {other} ..), and an autoscaler would add them up; write \
                 workload=NAME with one of {}",
                listed(&known)
            );
            Err(Refusal::new(400, text))
        }
    }
}

fn listed(names: &[&Arc<str>]) -> String {
    let some: Vec<&str> = names.iter().take(LISTED).map(|name| &***name).collect();
    match names.len().saturating_sub(LISTED) {
        _ if names.is_empty() => "none, as the configuration has no workload".to_owned(),
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

/// Unavailable is what comes and goes, the rest is for a person to change.
fn told(silence: Silence) -> Refusal {
    let code = match silence {
        Silence::Stranger(..) => 404,
        Silence::Off(_) => 409,
        Silence::Undecided | Silence::Unknown(..) => 503,
    };
    Refusal::new(code, silence.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(workloads: &[&str], metric: &str, selector: &str) -> Result<String, (u16, String)> {
        let workloads: Vec<Arc<str>> = workloads.iter().map(|name| Arc::from(*name)).collect();
        let selector = Selector::parse(selector).unwrap();
        let found = meant(&workloads, metric, &selector);
        found
            .map(|name| name.to_string())
            .map_err(|refusal| (refusal.code, refusal.message))
    }

    #[test]
    fn one_workload_is_meant_or_none() {
        let all = ["checkout", "search", "Search API"];
        let checkout = Ok("checkout".to_owned());
        assert_eq!(found(&all, METRIC, "workload=checkout"), checkout);
        assert_eq!(found(&all, "predicted-replicas-checkout", ""), checkout);
        assert_eq!(
            found(&all, "predicted-replicas-Search API", ""),
            Ok("Search API".to_owned())
        );
        assert_eq!(found(&["checkout"], METRIC, ""), checkout);
        for (metric, selector, code, part) in [
            (METRIC, "workload=cart", 404, "checkout, search"),
            (METRIC, "", 400, "add them up"),
            (METRIC, "workload in (checkout,search)", 400, "add them up"),
            (METRIC, "region=eu", 404, "workload=NAME"),
            ("predicted-replicas-cart", "", 404, "\"cart\""),
            (
                "predicted-replicas-checkout",
                "workload=search",
                404,
                "checkout",
            ),
        ] {
            let (told, message) = found(&all, metric, selector).unwrap_err();
            assert_eq!(told, code, "{metric} {selector}: {message}");
            assert!(message.contains(part), "{metric} {selector}: {message}");
        }
        let (code, message) = found(&[], METRIC, "").unwrap_err();
        assert_eq!(code, 404);
        assert!(message.contains("no workload"), "{message}");
    }

    #[test]
    fn what_is_not_ours_is_left_to_others() {
        for (name, ours) in [
            (METRIC, true),
            ("predicted-replicas-checkout", true),
            ("predicted-replicasx", false),
            ("predicted", false),
            ("s0-predicted-replicas", false),
            ("queue_length", false),
        ] {
            assert_eq!(is_ours(name), ours, "{name}");
        }
        let workloads = ["checkout", "Search API"].map(Arc::from);
        assert_eq!(names(&workloads), [METRIC, "predicted-replicas-checkout"]);
    }

    #[test]
    fn what_is_not_known_is_unavailable_and_never_a_number() {
        let catalogue = Catalogue::default();
        let refusal = value(&catalogue, 0, METRIC, "workload=checkout").unwrap_err();
        assert_eq!(
            refusal.code, 503,
            "no configuration is in force: {refusal:?}"
        );
        catalogue.announce(vec![Arc::from("checkout")]);
        let refusal = value(&catalogue, 0, METRIC, "workload=checkout").unwrap_err();
        assert_eq!(refusal.code, 503, "{refusal:?}");
        let refusal = value(&catalogue, 0, METRIC, "workload=").unwrap_err();
        assert_eq!(refusal.code, 404, "{refusal:?}");
        let refusal = value(&catalogue, 0, METRIC, "workload in").unwrap_err();
        assert_eq!(refusal.code, 400, "{refusal:?}");
        let off = told(Silence::Off(Arc::from("checkout")));
        assert_eq!(off.code, 409);
    }

    #[test]
    fn the_number_that_is_asked_for_is_rounded_up() {
        let advice = Advice {
            workload: Arc::from("checkout"),
            at: 1_000,
            replicas: 17,
            asked: 16.800_01,
            demand: 1.0,
            is_floored: false,
        };
        let told = answer(METRIC, &advice).unwrap();
        assert_eq!(told.list["items"][0]["value"], "16801m");
        let wrong = Advice {
            asked: f64::NAN,
            ..advice
        };
        assert_eq!(answer(METRIC, &wrong).unwrap_err().code, 503);
    }
}
