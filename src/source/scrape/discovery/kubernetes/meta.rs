//! Labels that Prometheus gives to what it finds in Kubernetes.

use crate::series::relabel::LabelMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

const PREFIX: &str = "__meta_kubernetes_";

/// Adds a label under the prefix of Kubernetes; an empty value is none.
pub(super) fn put(labels: &mut LabelMap, name: &str, value: impl Into<String>) {
    let value = value.into();
    if !value.is_empty() {
        labels.insert(format!("{PREFIX}{name}"), value);
    }
}

/// As [`put`], where there is something.
pub(super) fn put_some(labels: &mut LabelMap, name: &str, value: Option<&String>) {
    put(labels, name, value.cloned().unwrap_or_default());
}

/// Adds the labels and annotations of an object of this role.
pub(super) fn put_object(labels: &mut LabelMap, role: &str, object: &ObjectMeta) {
    for (kind, all) in [
        ("label", &object.labels),
        ("annotation", &object.annotations),
    ] {
        for (name, value) in all.iter().flatten() {
            let name = sanitised(name);
            put(labels, &format!("{role}_{kind}_{name}"), value);
            put(labels, &format!("{role}_{kind}present_{name}"), "true");
        }
    }
}

/// The name with everything but letters, digits and `_` made `_`.
pub(super) fn sanitised(name: &str) -> String {
    let of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let letters = name.chars();
    letters
        .map(|letter| if of_name(letter) { letter } else { '_' })
        .collect()
}

/// `host:port`, in brackets where the host is an IPv6 address.
pub(super) fn join(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
