//! The workload that a person names.

use super::Failure;
use crate::{
    config::{Config, suggestion},
    decide::Settings,
};

/// Names told where none is like the one that was asked for: a configuration may have hundreds.
const TOLD: usize = 20;

/// The workload of a configuration called `name`.
pub(super) fn named<'c>(config: &'c Config, name: &str) -> Result<&'c Settings, Failure> {
    let mut all = config.workloads.iter();
    let found = all.find(|one| one.name == name);
    found.ok_or_else(|| {
        let names = config.workloads.iter().map(|one| one.name.as_str());
        Failure::Usage(unknown(name, &names.collect::<Vec<_>>()))
    })
}

fn unknown(name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return format!(
            "there is no workload called {name:?}; the configuration has none: name what is to be scaled under workloads"
        );
    }
    let near = suggestion(name, known.iter().copied());
    let told = known.iter().take(TOLD).copied().collect::<Vec<_>>();
    let more = match known.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "there is no workload called {name:?}{near}; there are: {}{more}",
        told.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_there_is_told_with_those_that_are() {
        let said = unknown("chekout", &["checkout", "search"]);
        let expected = "there is no workload called \"chekout\" (did you mean checkout?); there are: checkout, search";
        assert_eq!(said, expected);
        assert!(unknown("x", &[]).contains("under workloads"));
        let names: Vec<String> = (0..22).map(|n| format!("w{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let said = unknown("checkout", &names);
        assert!(said.ends_with("w19 and 2 more"), "{said}");
    }

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_a_mistake_of_usage() {
        let mut config = Config::single("http://x:1", "load", "up").unwrap();
        let shop = "{name: shop, demand: {signal: load}, capacity_per_replica: 10}";
        config.workloads.push(serde_yaml::from_str(shop).unwrap());
        assert_eq!(named(&config, "shop").unwrap().name, "shop");
        assert_eq!(named(&config, "shops").unwrap_err().exit_code(), 2);
    }
}
