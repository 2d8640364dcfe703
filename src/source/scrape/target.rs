//! From what was discovered to what is scraped: labels, URL and times of a target, as Prometheus makes them
//! (`scrape/target.go` of 3.x).

use super::settings::Settings;
use crate::series::{
    Labels, Millis, Span,
    relabel::{self, LabelMap, Relabel},
};
use hyper::Uri;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use xxhash_rust::xxh3::Xxh3;

/// Where a target is: `host:port`.
pub(super) const ADDRESS: &str = "__address__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PATH: &str = "__metrics_path__";
const SCHEME: &str = "__scheme__";
const PARAMETER: &str = "__param_";
/// What discovery says of a target, for relabelling only.
const META: &str = "__meta_";
const INSTANCE: &str = "instance";
const JOB: &str = "job";

/// What a path may not hold as it is.
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A target.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What was discovered of it.
    pub discovered: LabelMap,
    /// The labels that its series get.
    pub labels: Labels,
    /// What is asked for.
    pub url: String,
    /// How often.
    pub interval: Span,
    /// How long one scrape may take.
    pub timeout: Span,
    /// Of its URL and labels, internal ones included: who it is. The same on every machine.
    pub id: u64,
}

/// What becomes of something discovered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Candidate {
    /// It is scraped.
    Target(Box<Target>),
    /// Relabelling let go of it.
    Dropped(LabelMap),
    /// It cannot be scraped, and why.
    Invalid(LabelMap, String),
}

/// What becomes of a target with the labels `found`, of a source of this name.
pub(super) fn candidate(
    name: &str,
    settings: &Settings,
    steps: &[Relabel],
    found: &LabelMap,
) -> Candidate {
    let discovered = with_defaults(name, settings, found);
    let mut labels = discovered.clone();
    if !relabel::relabel(&mut labels, steps) {
        return Candidate::Dropped(discovered);
    }
    match target(settings, labels, &discovered) {
        Ok(target) => Candidate::Target(Box::new(target)),
        Err(problem) => Candidate::Invalid(discovered, problem),
    }
}

/// What is wrong with the address of a target, if anything is.
pub(super) fn refuse_address(address: &str) -> Option<String> {
    let wanted = "write host:port, without scheme and path";
    if address.is_empty() {
        return Some(format!("a target has no address; {wanted}"));
    }
    let odd = |letter: char| letter == '/' || letter == '@' || letter.is_whitespace();
    address
        .contains(odd)
        .then(|| format!("{address:?} is no address; {wanted}"))
}

impl Target {
    /// The time of the first scrape after `now`: once per interval, at a place that follows from who it is, so that
    /// targets are spread and every start finds the same times.
    pub(super) fn first_after(&self, now: Millis) -> Millis {
        let interval = self.interval.as_millis().max(1);
        let offset = (self.id % interval.unsigned_abs()) as Millis;
        let next = now - now.rem_euclid(interval) + offset;
        if next > now { next } else { next + interval }
    }
}

fn with_defaults(name: &str, settings: &Settings, found: &LabelMap) -> LabelMap {
    let mut labels: LabelMap = found.clone();
    labels.retain(|_, value| !value.is_empty());
    let mut default = |label: &str, value: String| {
        if !labels.contains_key(label) {
            relabel::set(&mut labels, label, value);
        }
    };
    default(JOB, name.to_owned());
    default(INTERVAL, settings.scrape_interval.to_string());
    default(TIMEOUT, settings.timeout().to_string());
    default(PATH, settings.metrics_path.clone());
    default(SCHEME, settings.scheme.as_str().to_owned());
    for (parameter, values) in &settings.params {
        if let Some(first) = values.first() {
            default(&format!("{PARAMETER}{parameter}"), first.clone());
        }
    }
    labels
}

fn target(
    settings: &Settings,
    mut labels: LabelMap,
    discovered: &LabelMap,
) -> Result<Target, String> {
    let get = |label: &str| labels.get(label).map_or("", String::as_str);
    let address = get(ADDRESS).to_owned();
    if let Some(problem) = refuse_address(&address) {
        return Err(problem);
    }
    let span = |label: &str| -> Result<Span, String> {
        let span: Span = get(label)
            .parse()
            .map_err(|problem| format!("{label}: {problem}"))?;
        match span.as_millis() > 0 {
            true => Ok(span),
            false => Err(format!("{label}: must be longer than 0s")),
        }
    };
    let (interval, timeout) = (span(INTERVAL)?, span(TIMEOUT)?);
    if timeout > interval {
        return Err(format!(
            "{TIMEOUT} ({timeout}) is longer than {INTERVAL} ({interval})"
        ));
    }
    let scheme = get(SCHEME);
    if !["http", "https"].contains(&scheme) {
        return Err(format!(
            "{SCHEME}: {scheme:?} is not allowed; allowed: http, https"
        ));
    }
    let url = url(settings, &labels, &address);
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("{url} is no URL: {error}"))?;
    let host = uri.host().unwrap_or_default();
    if host.is_empty() {
        return Err(format!("{url} is no URL: it has no host"));
    }
    if address.len() > host.len() && uri.port_u16().is_none() {
        return Err(format!(
            "{url} is no URL: its port is no number up to 65535"
        ));
    }
    labels.retain(|name, _| !name.starts_with(META));
    if !labels.contains_key(INSTANCE) {
        labels.insert(INSTANCE.to_owned(), address);
    }
    let id = id(&url, &labels);
    labels.retain(|name, _| !name.starts_with("__"));
    Ok(Target {
        discovered: discovered.clone(),
        labels: Labels::new(labels).map_err(|error| error.to_string())?,
        url,
        interval,
        timeout,
        id,
    })
}

fn url(settings: &Settings, labels: &LabelMap, address: &str) -> String {
    let get = |label: &str| labels.get(label).map_or("", String::as_str);
    let mut parameters = settings.params.clone();
    let given = labels.iter().filter_map(|(name, value)| {
        let parameter = name.strip_prefix(PARAMETER)?;
        Some((parameter.to_owned(), value.clone()))
    });
    for (parameter, value) in given {
        let values = parameters.entry(parameter).or_default();
        match values.first_mut() {
            Some(first) => *first = value,
            None => values.push(value),
        }
    }
    let encode = |text: &str| utf8_percent_encode(text, IN_QUERY).to_string();
    let pairs: Vec<String> = parameters
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    let path = utf8_percent_encode(get(PATH), IN_PATH).to_string();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mark = if pairs.is_empty() { "" } else { "?" };
    format!(
        "{}://{address}{slash}{path}{mark}{}",
        get(SCHEME),
        pairs.join("&")
    )
}

fn id(url: &str, labels: &LabelMap) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(url.as_bytes());
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        hash.update(&[0xff]);
        hash.update(text.as_bytes());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> LabelMap {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    fn candidate_of(yaml: &str, pairs: &[(&str, &str)]) -> Candidate {
        let settings: Settings = serde_yaml::from_str(yaml).unwrap();
        let steps: Vec<Relabel> = settings
            .relabel_configs
            .iter()
            .map(|step| Relabel::new(step).unwrap())
            .collect();
        candidate("direct", &settings, &steps, &found(pairs))
    }

    #[track_caller]
    fn target_of(yaml: &str, pairs: &[(&str, &str)]) -> Target {
        match candidate_of(yaml, pairs) {
            Candidate::Target(target) => *target,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_usual_target_is_as_in_prometheus() {
        let target = target_of(
            "{}",
            &[
                ("__address__", "checkout:8080"),
                ("__meta_x", "y"),
                ("env", "prod"),
            ],
        );
        assert_eq!(target.url, "http://checkout:8080/metrics");
        let labels = r#"{env="prod", instance="checkout:8080", job="direct"}"#;
        assert_eq!(target.labels.to_string(), labels);
        assert_eq!(
            (target.interval, target.timeout),
            (Span::seconds(15), Span::seconds(10))
        );
        assert_eq!(target.discovered["__scrape_interval__"], "15s");
        assert_eq!(target.discovered["__meta_x"], "y");
    }

    #[test]
    fn internal_labels_say_what_is_asked_for() {
        let target = target_of(
            "{params: {module: [a, b], x: ['1 2']}, scheme: https, metrics_path: probe}",
            &[
                ("__address__", "[::1]:9115"),
                ("__param_module", "http"),
                ("__param_target", "https://example.org/?q"),
                ("__scrape_interval__", "1m"),
                ("__scrape_timeout__", "30s"),
                ("job", "blackbox"),
                ("instance", "here"),
            ],
        );
        assert_eq!(
            target.url,
            "https://[::1]:9115/probe?module=http&module=b&target=https%3A%2F%2Fexample.org%2F%3Fq&x=1%202"
        );
        assert_eq!(
            target.labels.to_string(),
            r#"{instance="here", job="blackbox"}"#
        );
        assert_eq!(
            (target.interval, target.timeout),
            (Span::minutes(1), Span::seconds(30))
        );
    }

    #[test]
    fn relabelling_sees_everything_and_may_let_go() {
        let yaml = "{relabel_configs: [{source_labels: [__meta_port], regex: '80', action: drop}, {source_labels: [__address__], target_label: __param_target}, {target_label: __address__, replacement: 'probe:9115'}, {source_labels: [__param_target], target_label: instance}]}";
        let target = target_of(yaml, &[("__address__", "a:1")]);
        assert_eq!(target.url, "http://probe:9115/metrics?target=a%3A1");
        assert_eq!(target.labels.get("instance"), Some("a:1"));
        let dropped = candidate_of(yaml, &[("__address__", "a:1"), ("__meta_port", "80")]);
        assert!(matches!(dropped, Candidate::Dropped(_)), "{dropped:?}");
    }

    #[test]
    fn what_cannot_be_scraped_is_told() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[], "no address"),
            (
                &[("__address__", "http://a:1/x")],
                "without scheme and path",
            ),
            (
                &[("__address__", "a:1"), ("__scrape_interval__", "0s")],
                "longer than 0s",
            ),
            (
                &[("__address__", "a:1"), ("__scrape_timeout__", "1m")],
                "is longer than",
            ),
            (
                &[("__address__", "a:1"), ("__scheme__", "ftp")],
                "allowed: http, https",
            ),
            (&[("__address__", "a:x")], "no URL"),
        ];
        for (pairs, part) in cases {
            match candidate_of("{}", pairs) {
                Candidate::Invalid(_, problem) => assert!(problem.contains(part), "{problem}"),
                other => panic!("{pairs:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn scrapes_are_spread_and_always_at_the_same_times() {
        let one = target_of("{}", &[("__address__", "a:1")]);
        let other = target_of("{}", &[("__address__", "a:2")]);
        let now = 1_700_000_000_000;
        let first = one.first_after(now);
        assert!(first > now && first <= now + 15_000);
        assert_eq!(one.first_after(first), first + 15_000);
        assert_eq!(one.first_after(first - 1), first);
        assert_ne!(first, other.first_after(now));
        assert_eq!(
            one.id,
            target_of("{}", &[("__address__", "a:1"), ("__meta_a", "b")]).id
        );
    }
}
