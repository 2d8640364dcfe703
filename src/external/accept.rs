//! What a reader can take: JSON, and of `/apis` the aggregated discovery
//! (<https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery>).

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON.
    Json,
    /// JSON of an `APIGroupDiscoveryList` of this version.
    Discovery(&'static str),
}

/// Versions of the aggregated discovery, which are alike in what we say.
const DISCOVERY: [&str; 2] = ["v2", "v2beta1"];

/// What of an `Accept` header we can answer; `None` where nothing is. `aggregated`: whether the aggregated discovery is at this
/// path.
pub(super) fn form(accept: Option<&str>, aggregated: bool) -> Option<Form> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Some(Form::Json);
    };
    let mut ranges: Vec<(f64, Form)> = accept
        .split(',')
        .filter_map(|range| read(range, aggregated))
        .filter(|(quality, _)| *quality > 0.0)
        .collect();
    // Stable: of equals the first.
    ranges.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    ranges.first().map(|(_, form)| *form)
}

fn read(range: &str, aggregated: bool) -> Option<(f64, Form)> {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    if !["application/json", "application/*", "*/*"].contains(&kind.as_str()) {
        return None;
    }
    let (mut quality, mut version, mut group, mut target) = (1.0, None, None, None);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => quality = value.parse().unwrap_or(0.0),
            "v" => version = Some(value),
            "g" => group = Some(value),
            "as" => target = Some(value),
            _ => {}
        }
    }
    let form = match (target, group) {
        (None, _) => Form::Json,
        (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io")) if aggregated => {
            let known = DISCOVERY.iter().find(|known| Some(**known) == version)?;
            Form::Discovery(known)
        }
        // A table of metrics, say.
        _ => return None,
    };
    Some((quality, form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_answered_to_who_can_read_it() {
        for accept in [
            None,
            Some(""),
            Some("*/*"),
            Some("application/json"),
            Some("application/vnd.kubernetes.protobuf, application/json"),
            Some(
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            ),
            Some("application/*;q=0.1, text/html"),
        ] {
            assert_eq!(form(accept, false), Some(Form::Json), "{accept:?}");
        }
        for accept in [
            "application/vnd.kubernetes.protobuf",
            "application/yaml",
            "application/json;q=0",
            "application/json;as=Table;v=v1;g=meta.k8s.io",
        ] {
            assert_eq!(form(Some(accept), false), None, "{accept}");
        }
    }

    #[test]
    fn the_aggregated_discovery_is_answered_where_it_is_preferred() {
        let aggregator = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(form(Some(aggregator), true), Some(Form::Discovery("v2")));
        assert_eq!(form(Some(aggregator), false), Some(Form::Json));
        let beta = "application/json;q=0.9, application/json;as=APIGroupDiscoveryList;v=v2beta1;g=apidiscovery.k8s.io";
        assert_eq!(form(Some(beta), true), Some(Form::Discovery("v2beta1")));
        let next = "application/json;as=APIGroupDiscoveryList;v=v3;g=apidiscovery.k8s.io";
        assert_eq!(form(Some(next), true), None);
    }
}
