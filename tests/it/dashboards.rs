//! The dashboards follow the rules of Grafana's dashboard-linter, and more. Their queries are run
//! against a real Prometheus elsewhere, see [`queries`].

use crate::support::{files, read};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;

/// A query of a panel.
#[derive(Debug)]
pub(crate) struct Query {
    /// `dashboard / panel / letter`.
    pub(crate) place: String,
    /// As in the file.
    pub(crate) expression: String,
}

impl Query {
    /// With the variables replaced as Grafana does it with everything selected.
    pub(crate) fn filled(&self, signal: &str, horizon: &str, actual: &str, rate: &str) -> String {
        self.expression
            .replace("$__rate_interval", rate)
            .replace("$job", ".+")
            .replace("$instance", ".+")
            .replace("${signal}", signal)
            .replace("$signal", signal)
            .replace("$horizon", horizon)
            .replace("${actual}", actual)
    }
}

/// Every query of every panel of every dashboard.
pub(crate) fn queries() -> Vec<Query> {
    let mut found = Vec::new();
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for target in list(panel, "targets") {
                found.push(Query {
                    place: format!(
                        "{name} / {} / {}",
                        string(panel, "title"),
                        string(target, "refId")
                    ),
                    expression: string(target, "expr").to_owned(),
                });
            }
        }
    }
    found
}

fn dashboards() -> Vec<(String, Value)> {
    let found: Vec<_> = files("dashboards", "json")
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&read(path)).unwrap())
        })
        .collect();
    assert!(found.len() >= 3, "the dashboards were not found");
    found
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

/// The panels that show something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels")
        .iter()
        .filter(|panel| string(panel, "type") != "row")
}

fn variable<'a>(dashboard: &'a Value, name: &str) -> &'a Value {
    let all = list(&dashboard["templating"], "list");
    let found = all.iter().find(|variable| string(variable, "name") == name);
    found.unwrap_or_else(|| panic!("no variable {name}"))
}

#[test]
fn dashboards_can_be_provisioned_and_not_edited() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        assert_eq!(string(&dashboard, "uid"), name, "{name}: the uid is fixed");
        assert!(uids.insert(name.clone()), "{name}: the uid is taken");
        assert_eq!(dashboard["editable"], Value::Bool(false), "{name}");
        assert_eq!(dashboard["schemaVersion"], 41, "{name}");
        assert!(
            dashboard.get("id").is_none(),
            "{name}: an id is the server's business"
        );
        assert!(!string(&dashboard, "title").is_empty(), "{name}");
        assert!(!string(&dashboard, "refresh").is_empty(), "{name}");
        assert!(
            list(&dashboard, "tags").contains(&"forethought".into()),
            "{name}"
        );
    }
}

#[test]
fn dashboards_have_the_variables_everybody_expects() {
    for (name, dashboard) in dashboards() {
        let all = list(&dashboard["templating"], "list");
        let sources: Vec<_> = all
            .iter()
            .filter(|one| string(one, "type") == "datasource")
            .collect();
        assert_eq!(sources.len(), 1, "{name}");
        assert_eq!(string(sources[0], "name"), "datasource", "{name}");
        assert_eq!(string(sources[0], "label"), "Data source", "{name}");
        assert_eq!(string(sources[0], "query"), "prometheus", "{name}");
        for (word, label) in [("job", "Job"), ("instance", "Instance")] {
            let variable = variable(&dashboard, word);
            assert_eq!(string(variable, "label"), label, "{name}");
            assert_eq!(string(variable, "type"), "query", "{name}");
            assert_eq!(
                string(&variable["datasource"], "uid"),
                "$datasource",
                "{name}"
            );
            assert_eq!(variable["multi"], Value::Bool(true), "{name}");
            assert_eq!(string(variable, "allValue"), ".+", "{name}");
            assert_eq!(
                variable["refresh"], 2,
                "{name}: {word} is read again when the time changes"
            );
        }
        for query in all.iter().filter(|one| string(one, "type") == "query") {
            assert_eq!(query["refresh"], 2, "{name}: {}", string(query, "name"));
        }
    }
}

#[test]
fn every_panel_says_what_it_shows() {
    for (name, dashboard) in dashboards() {
        let mut titles = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = string(panel, "title");
            assert!(
                !title.is_empty() && titles.insert(title),
                "{name}: title {title:?}"
            );
            assert!(
                !string(panel, "description").is_empty(),
                "{name} / {title}: no description"
            );
            assert_eq!(
                string(&panel["datasource"], "uid"),
                "$datasource",
                "{name} / {title}"
            );
            let unit = string(&panel["fieldConfig"]["defaults"], "unit");
            assert!(!unit.is_empty(), "{name} / {title}: no unit");
            assert!(
                !list(panel, "targets").is_empty(),
                "{name} / {title}: no query"
            );
            for target in list(panel, "targets") {
                assert_eq!(
                    string(&target["datasource"], "uid"),
                    "$datasource",
                    "{name} / {title}"
                );
            }
        }
    }
}

#[test]
fn panels_lie_beside_each_other() {
    for (name, dashboard) in dashboards() {
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&dashboard, "panels") {
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{name}: an id twice"
            );
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(place("x") + place("w") <= 24, "{name}: wider than the page");
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(
                        cells.insert((x, y)),
                        "{name} / {}: overlaps",
                        string(panel, "title")
                    );
                }
            }
        }
    }
}

/// The selectors in braces of a query.
fn selectors(expression: &str) -> Vec<String> {
    let braces = Regex::new(r"[a-z_}]\{([^{}$]*(?:\$[a-z]+[^{}$]*)*)\}").unwrap();
    braces
        .captures_iter(expression)
        .map(|captures| captures[1].to_owned())
        .collect()
}

#[test]
fn every_query_is_narrowed_by_job_and_instance() {
    for query in queries() {
        if query.expression == "${actual}" {
            continue; // the user's own
        }
        let found = selectors(&query.expression);
        assert!(!found.is_empty(), "{}: {}", query.place, query.expression);
        for selector in found {
            for matcher in ["job=~\"$job\"", "instance=~\"$instance\""] {
                assert!(selector.contains(matcher), "{}: {selector}", query.place);
            }
        }
    }
}

#[test]
fn every_metric_of_a_query_has_a_selector() {
    // A bare name would escape the check above.
    let bare = Regex::new(
        r"\b(forethought|predicted|anomaly)_[a-z_]*[a-z](?:\$\{signal\})?(?:[^a-z_{$]|$)",
    )
    .unwrap();
    for query in queries() {
        let text = query.expression.replace("(forethought_replica)", "");
        assert!(!bare.is_match(&text), "{}: {text}", query.place);
    }
}

#[test]
fn rates_use_the_interval_of_the_scrape() {
    let range = Regex::new(r"\[([^\]]*)\]").unwrap();
    let counter = Regex::new(r"_total\{").unwrap();
    let rate = Regex::new(r"(rate|increase)\(\w+_total\{").unwrap();
    for query in queries() {
        let text = &query.expression;
        for captures in range.captures_iter(text) {
            assert_eq!(&captures[1], "$__rate_interval", "{}", query.place);
        }
        let (counters, rates) = (counter.find_iter(text), rate.find_iter(text));
        assert_eq!(
            rates.count(),
            counters.count(),
            "{}: a bare counter",
            query.place
        );
    }
}

#[test]
fn every_query_is_promql() {
    for query in queries() {
        let filled = query.filled("requests", "15m", "up", "5m");
        assert!(
            !filled.contains('$'),
            "{}: a variable is left in {filled}",
            query.place
        );
        if let Err(error) = promql_parser::parser::parse(&filled) {
            panic!("{}: {filled}: {error}", query.place);
        }
    }
}
