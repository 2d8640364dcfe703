//! Keeps `docs/configuration.md` and `docs/forethought.yml` complete: the keys are asked of the structs
//! themselves, by giving each mapping a key that cannot be.

use super::*;
use std::{collections::BTreeSet, fs};

const NONSENSE: &str = "no_such_key";

fn docs(name: &str) -> String {
    fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A file in which `path` has a key that cannot be; `[]` in it is a list.
fn with_nonsense(path: &[String]) -> String {
    let mut value = serde_json::json!({ NONSENSE: {} });
    for key in path.iter().rev() {
        value = match key.strip_suffix("[]") {
            Some(key) => serde_json::json!({ key: [value] }),
            None => serde_json::json!({ key: value }),
        };
    }
    value.to_string()
}

/// The keys allowed at `path`, or the kinds (single-key mappings); `None` where there is neither.
fn allowed(path: &[String]) -> Option<Vec<String>> {
    let problems = parse(&with_nonsense(path), &|_| None).err()?;
    let plain: String = path.join(".").replace("[]", "[0]");
    let wanted = if plain.is_empty() {
        NONSENSE.to_owned()
    } else {
        format!("{plain}.{NONSENSE}")
    };
    let problem = problems.iter().find(|problem| {
        problem.path.to_string() == wanted && problem.message.starts_with("unknown")
    })?;
    let listed = problem
        .message
        .split_once("allowed: ")
        .map(|(_, list)| list);
    let words = listed.into_iter().flat_map(|list| list.split(", "));
    if problem.message.starts_with("unknown key") {
        return Some(words.map(str::to_owned).collect());
    }
    // Of the words of an enum only those that are mappings: others are values, not keys.
    let is_mapping = |word: &&str| {
        let mut inner = path.to_vec();
        inner.push((*word).to_owned());
        allowed(&inner).is_some()
    };
    let kinds: Vec<String> = words.filter(is_mapping).map(str::to_owned).collect();
    (!kinds.is_empty()).then_some(kinds)
}

fn walk(path: &[String], found: &mut BTreeSet<String>) {
    for key in allowed(path).unwrap_or_default() {
        for form in [key.clone(), format!("{key}[]")] {
            let mut inner = path.to_vec();
            inner.push(form);
            walk(&inner, found);
        }
        let mut whole = path.to_vec();
        whole.push(key);
        found.insert(whole.join("."));
    }
}

/// What the reference has in the first cell of a row: `` | `key` | ``.
fn documented() -> BTreeSet<String> {
    let text = docs("configuration.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`'))
        .map(|(key, _)| key.to_owned())
        .filter(|key| !key.starts_with("--"))
        .collect()
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let mut keys = BTreeSet::new();
    walk(&[], &mut keys);
    // A panel's detectors, alerting and severity are those of a signal: said once.
    keys.retain(|key| {
        let inner = key.strip_prefix("panels[].");
        inner.is_none_or(|key| !key.contains('.') && !key.contains("[]"))
    });
    // So are the HTTP client settings of what scrapes, and steps of relabelling.
    keys.retain(|key| {
        let Some(inner) = key.strip_prefix("sources[].scrape.") else {
            return true;
        };
        let inner = inner.strip_prefix("http_sd_configs[].").unwrap_or(inner);
        let said = [
            "authorization.",
            "basic_auth.",
            "metric_relabel_configs[].",
            "tls_config.",
        ];
        !said.iter().any(|start| inner.starts_with(start))
    });
    assert!(keys.len() > 60, "{keys:?}");
    assert!(keys.contains("signals[].detectors[].zscore.threshold"));
    let documented = documented();
    let missing: Vec<_> = keys.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&keys).collect();
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:#?}"
    );
    assert!(
        unknown.is_empty(),
        "in docs/configuration.md, but no key: {unknown:#?}"
    );
}

#[test]
fn the_example_is_good() {
    let text = docs("forethought.yml");
    if let Err(problems) = parse(&text, &|_| None) {
        panic!("{}", problems.render("docs/forethought.yml"));
    }
}

/// The pieces of YAML in a document.
fn snippets(text: &str) -> Vec<&str> {
    let snippets = text.split("```yaml\n").skip(1);
    let snippets = snippets.filter_map(|rest| rest.split_once("```"));
    snippets.map(|(snippet, _)| snippet).collect()
}

#[test]
fn the_snippets_about_sources_are_good() {
    for name in ["../README.md", "scraping.md", "sources.md"] {
        let text = docs(name);
        let whole = snippets(&text).into_iter();
        let whole: Vec<&str> = whole
            .filter(|snippet| snippet.starts_with("sources:") && snippet.contains("signals:"))
            .filter(|snippet| source::kafka::BUILT || !snippet.contains("kafka:"))
            .collect();
        assert!(!whole.is_empty(), "{name}");
        for snippet in whole {
            if let Err(problems) = parse(snippet, &|_| None) {
                panic!("{snippet}\n{}", problems.render(name));
            }
        }
    }
}

#[test]
fn what_is_said_to_be_the_same_in_promql_is_what_is_meant() {
    let text = docs("sources.md");
    let (_, rest) = text.split_once("| written | the same in PromQL |").unwrap();
    let (table, _) = rest.split_once("\n\n").unwrap();
    let rows = table.lines().skip(2);
    let rows = rows.filter_map(|row| row.trim_matches(['|', ' ']).split_once(" | "));
    let mut seen = 0;
    for (written, meant) in rows {
        let keys = written.replace("`, `", ", ").replace('`', "");
        let text = format!(
            "sources: [{{name: a, scrape: {{static_configs: [{{targets: ['a:1']}}]}}}}]\nsignals: [{{name: a, {keys}}}]"
        );
        let config = parse(&text, &|_| None).unwrap_or_else(|why| panic!("{}", why.render(&text)));
        assert_eq!(config.signals[0].query, meant.trim_matches('`'), "{keys}");
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_snippets_of_the_reference_are_good() {
    let text = docs("configuration.md");
    let snippets = snippets(&text);
    assert!(!snippets.is_empty());
    for snippet in snippets {
        let env = |_: &str| Some("x".to_owned());
        if let Err(problems) = parse(snippet, &env) {
            panic!("{snippet}\n{}", problems.render("snippet"));
        }
    }
}
