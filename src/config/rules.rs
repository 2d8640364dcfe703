//! Rules of workloads: are they PromQL that we can answer, over series that there are?

use super::{Path, check::Report, wording};
use crate::{
    expo::names,
    promql::{Expression, Refusal},
};

/// Checks one rule at its place in the file. A name that nothing has is refused: the rule could never hold, or always
/// would.
pub(super) fn check(text: &str, signals: &[String], at: &Path, report: Report<'_>) {
    let rule = match Expression::parse_condition(text) {
        Ok(rule) => rule,
        Err(refusal) => return report(at.clone(), refusal.in_text(text, "rule")),
    };
    let known = known(signals);
    for selector in rule.selectors() {
        if known.iter().any(|name| selector.matchers.may_match(name)) {
            continue;
        }
        let message = match selector.matchers.name() {
            Some(name) => {
                let near = wording::suggestion(name, known.iter().map(String::as_str));
                format!(
                    "no signal is called {name:?}{near}, and nothing that is published of one; signals: {}",
                    signals.join(", ")
                )
            }
            None => "no signal has such a name, and nothing that is published of one".to_owned(),
        };
        let refusal = Refusal {
            at: Some(selector.at),
            message,
        };
        report(at.clone(), refusal.in_text(text, "rule"));
    }
    if let Some(caution) = rule.caution() {
        report(at.clone(), caution.in_text(text, "rule"));
    }
}

/// Every name that a rule can read.
fn known(signals: &[String]) -> Vec<String> {
    let of = |signal: &String| names::names_of_signal(signal);
    let verdicts = names::VERDICTS.map(str::to_owned);
    signals.iter().flat_map(of).chain(verdicts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let signals = ["queue_depth".to_owned(), "growth".to_owned()];
        let (mut found, at) = (Vec::new(), Path::default().key("when"));
        check(text, &signals, &at, &mut |path, text| {
            found.push(format!("{path}: {text}"));
        });
        found
    }

    #[track_caller]
    fn check_refused(text: &str, parts: &[&str]) {
        let found = problems(text);
        let all = parts.iter().all(|part| found.concat().contains(part));
        assert!(found.len() == 1 && all, "{text}: {found:?}");
    }

    #[test]
    fn what_is_published_can_be_read() {
        for text in [
            "queue_depth > 1000 and on() growth > 50",
            "predicted_upper_queue_depth{horizon=\"1h\"} > 3",
            "predicted_window_max_growth > 3",
            "anomaly_active{signal=\"growth\"} == 1",
            "{__name__=~\"predicted_.*\"} > 1",
        ] {
            assert_eq!(problems(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        check_refused(
            "growth > 1 and on() queue_dept > 2",
            &[
                "when: no signal is called \"queue_dept\" (did you mean queue_depth?)",
                "queue_depth, growth (line 1, column 21 of the rule)",
            ],
        );
        check_refused(
            "{__name__=~\"depth.*\"}",
            &["no signal has such a name", "column 1 "],
        );
        check_refused(
            "growth > bool 1",
            &["holds where there is any", "column 8 "],
        );
        check_refused(
            "rate(growth[5m]) > 1",
            &["make the query a signal", "column 1 "],
        );
        check_refused("1 + 1", &["gives a number", "column 3 "]);
    }
}
