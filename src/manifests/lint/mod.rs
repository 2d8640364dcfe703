//! Hazards of ScaledObjects and HPAs that are there: ways in which a failure, of anybody, scales a workload down.
//!
//! Each hazard has a code, as those of other linters have, so that it can be looked up in docs/serving.md.

mod hpa;
mod scaled_object;

use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// No manifest has more documents.
const MOST_DOCUMENTS: usize = 10_000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A failure scales down, or to the wrong size.
    Error,
    /// A failure does more harm than it must.
    Warning,
}

/// One hazard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// `ScaledObject shop/checkout`.
    pub object: String,
    /// The path of the field, such as `spec.triggers[0].metadata.ignoreNullValues`.
    pub field: String,
    /// What can happen, and what to write.
    pub text: String,
}

/// What is collected of one object.
struct Report<'a> {
    object: String,
    findings: &'a mut Vec<Finding>,
}

impl Report<'_> {
    fn error(&mut self, code: &'static str, field: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Error, code, field.into(), text.into());
    }

    fn warning(&mut self, code: &'static str, field: impl Into<String>, text: impl Into<String>) {
        self.add(Severity::Warning, code, field.into(), text.into());
    }

    fn add(&mut self, severity: Severity, code: &'static str, field: String, text: String) {
        let object = self.object.clone();
        self.findings.push(Finding {
            code,
            severity,
            object,
            field,
            text,
        });
    }
}

/// Looks at every document of a file of YAML or JSON. Objects of other kinds are left alone; lists are opened. Returns the
/// hazards, and how many objects were looked at.
///
/// # Errors
/// What is no YAML, with its place.
pub fn lint(text: &str) -> Result<(Vec<Finding>, usize), String> {
    let mut findings = Vec::new();
    let mut seen = 0;
    for (place, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        if place == MOST_DOCUMENTS {
            return Err(format!("more than {MOST_DOCUMENTS} documents"));
        }
        let value = Value::deserialize(document).map_err(|error| error.to_string())?;
        look(&value, &mut findings, &mut seen);
    }
    Ok((findings, seen))
}

fn look(value: &Value, findings: &mut Vec<Finding>, seen: &mut usize) {
    let kind = value["kind"].as_str().unwrap_or_default();
    let group = value["apiVersion"].as_str().unwrap_or_default();
    if kind == "List" {
        let items = value["items"].as_array();
        items
            .into_iter()
            .flatten()
            .for_each(|item| look(item, findings, seen));
        return;
    }
    let meta = &value["metadata"];
    let (namespace, name) = (
        meta["namespace"].as_str(),
        meta["name"].as_str().unwrap_or("?"),
    );
    let place = namespace.map_or(name.to_owned(), |namespace| format!("{namespace}/{name}"));
    let mut report = Report {
        object: format!("{kind} {place}"),
        findings,
    };
    match (kind, group.split('/').next().unwrap_or_default()) {
        ("ScaledObject", "keda.sh") => scaled_object::look(value, &mut report),
        ("HorizontalPodAutoscaler", "autoscaling") => hpa::look(value, &mut report),
        _ => return,
    }
    *seen += 1;
}

/// Whether a query or a metric's name is of ours.
fn is_ours(text: &str) -> bool {
    text.contains("predicted_")
        || text.contains("predicted-replicas")
        || text.contains("workload:demand:")
        || text.contains("workload_demand_")
        || text.contains("workload:replicas:")
}

/// Whether a query holds what we asked for when we are gone, and stays absent when the demand does.
fn is_guarded(query: &str) -> bool {
    query.contains("workload:demand:scale") || query.contains("workload_demand_scale")
}

/// The share of the pods that may go within five minutes before it is too much.
const MOST_LOST: f64 = 0.5;
const FIVE_MINUTES: f64 = 300.0;

/// What is wrong with how quickly an HPA of at most `most` may go down: `Err` says what to write.
fn slow_enough(behavior: &Value, most: u64) -> Result<(), &'static str> {
    const WRITE: &str = "write behavior.scaleDown with stabilizationWindowSeconds: 600 and policies: [{type: Percent, value: 10, periodSeconds: 60}]: as it is one \
                         wrong number takes half of the replicas and more within five minutes";
    let down = &behavior["scaleDown"];
    if down["selectPolicy"] == "Disabled" {
        return Ok(());
    }
    let window = down["stabilizationWindowSeconds"].as_u64().unwrap_or(300);
    let none = Vec::new();
    let policies = down["policies"].as_array().unwrap_or(&none);
    let lost = policies.iter().map(|policy| lost(policy, most));
    let lost = match down["selectPolicy"] == "Min" {
        true => lost.fold(1.0, f64::min),
        false => lost.fold(0.0, f64::max),
    };
    match policies.is_empty() || lost >= MOST_LOST || window < 300 {
        true => Err(WRITE),
        false => Ok(()),
    }
}

/// The share of `most` pods that a policy lets go within five minutes.
fn lost(policy: &Value, most: u64) -> f64 {
    let value = policy["value"].as_f64().unwrap_or(100.0);
    let periods = FIVE_MINUTES / policy["periodSeconds"].as_f64().unwrap_or(15.0).max(1.0);
    match policy["type"] == "Pods" {
        true => value * periods / most.max(1) as f64,
        false => 1.0 - (1.0 - value.min(100.0) / 100.0).powf(periods),
    }
}

impl Severity {
    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            severity,
            object,
            field,
            text,
        } = self;
        write!(
            f,
            "{}: {object}: {field}: {text} [{code}]",
            severity.as_str()
        )
    }
}
