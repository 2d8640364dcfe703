//! What the aggregator and `kubectl explain` read of us: just enough to be valid.

use super::wire::{GROUP, KIND, VERSION, group_version};
use serde_json::{Value, json};

/// Where the description of the group is.
pub(super) fn place() -> String {
    format!("/openapi/v3/apis/{GROUP}/{VERSION}")
}

/// The list of descriptions; `hash` changes when one of them does.
pub(super) fn index(hash: &str) -> Value {
    let name = format!("apis/{GROUP}/{VERSION}");
    let mut paths = serde_json::Map::new();
    let url = format!("{}?hash={hash}", place());
    paths.insert(name, json!({"serverRelativeURL": url}));
    json!({ "paths": paths })
}

/// The third version.
pub(super) fn third() -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{}", name(KIND))});
    let mut document = json!({
        "openapi": "3.0.0",
        "info": info(),
        "components": {"schemas": schemas("#/components/schemas/")},
    });
    let content = json!({"application/json": {"schema": schema}});
    let operation = json!({
        "description": "The value of a metric, of one series",
        "operationId": operation(),
        "tags": ["externalMetrics_v1beta1"],
        "parameters": parameters(&json!({"schema": {"type": "string"}})),
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": "list",
        "x-kubernetes-group-version-kind": gvk(KIND),
    });
    document["paths"] = paths(&operation);
    document
}

/// The second version.
pub(super) fn second() -> Value {
    let schema = json!({"$ref": format!("#/definitions/{}", name(KIND))});
    let operation = json!({
        "description": "The value of a metric, of one series",
        "operationId": operation(),
        "tags": ["externalMetrics_v1beta1"],
        "produces": ["application/json"],
        "schemes": ["https"],
        "parameters": parameters(&json!({"type": "string"})),
        "responses": {"200": {"description": "OK", "schema": schema}},
        "x-kubernetes-action": "list",
        "x-kubernetes-group-version-kind": gvk(KIND),
    });
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths(&operation),
        "definitions": schemas("#/definitions/"),
    })
}

fn info() -> Value {
    json!({"title": "forethought", "version": env!("CARGO_PKG_VERSION")})
}

fn operation() -> &'static str {
    "listExternalMetricsV1beta1NamespacedMetric"
}

fn paths(operation: &Value) -> Value {
    let mut paths = serde_json::Map::new();
    let path = format!(
        "/apis/{}/namespaces/{{namespace}}/{{metric}}",
        group_version()
    );
    paths.insert(path, json!({ "get": operation }));
    Value::Object(paths)
}

/// Parameters of a metric, of this type as the version writes it.
fn parameters(kind: &Value) -> Value {
    let parameter = |name: &str, place: &str, description: &str| {
        let mut parameter = json!({
            "name": name, "in": place, "required": place == "path", "description": description,
        });
        for (key, value) in kind.as_object().into_iter().flatten() {
            parameter[key] = value.clone();
        }
        parameter
    };
    json!([
        parameter("namespace", "path", "The namespace of the autoscaler"),
        parameter("metric", "path", "The metric"),
        parameter(
            "labelSelector",
            "query",
            "Labels of the one series that is meant"
        ),
    ])
}

fn name(kind: &str) -> String {
    format!("io.k8s.metrics.pkg.apis.external_metrics.v1beta1.{kind}")
}

fn gvk(kind: &str) -> Value {
    json!({"group": GROUP, "version": VERSION, "kind": kind})
}

fn schemas(place: &str) -> Value {
    let item = "ExternalMetricValue";
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut all = serde_json::Map::new();
    all.insert(
        name(item),
        json!({
            "description": "The value of one series of a metric",
            "type": "object",
            "required": ["metricName", "metricLabels", "timestamp", "value"],
            "properties": {
                "metricName": text("The metric"),
                "metricLabels": {
                    "description": "The labels of the series",
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                },
                "timestamp": {"type": "string", "format": "date-time", "description": "When it was decided"},
                "window": {"type": "integer", "format": "int64", "description": "Seconds that it is about"},
                "value": text("The value, a quantity"),
            },
        }),
    );
    all.insert(
        name(KIND),
        json!({
            "description": "The values of a metric",
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": text("The version of this document"),
                "kind": text("What this document is"),
                "metadata": {"type": "object"},
                "items": {"type": "array", "items": {"$ref": format!("{place}{}", name(item))}},
            },
            "x-kubernetes-group-version-kind": [gvk(KIND)],
        }),
    );
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference of a document leads somewhere.
    fn references(value: &Value, root: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(place) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = place.trim_start_matches('#');
                    assert!(root.pointer(pointer).is_some(), "{place}");
                }
                fields.values().for_each(|value| references(value, root));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, root)),
            _ => {}
        }
    }

    #[test]
    fn the_descriptions_are_whole() {
        for document in [second(), third()] {
            references(&document, &document);
            let paths = document["paths"].as_object().unwrap();
            let (path, item) = paths.iter().next().unwrap();
            for parameter in item["get"]["parameters"].as_array().unwrap() {
                let name = parameter["name"].as_str().unwrap();
                assert_eq!(
                    path.contains(&format!("{{{name}}}")),
                    parameter["in"] == "path",
                    "{name}"
                );
            }
        }
    }
}
