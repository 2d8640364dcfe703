//! The part of Prometheus' HTTP API that the synthetic Prometheus answers: pure, bytes in, bytes out.

use super::{Dataset, SCRAPE};
use crate::series::{Labels, Millis, Span};
use promql_parser::{
    label::{Matcher, Matchers},
    parser::{Expr, VectorSelector},
};
use std::io::Write as _;

/// As Prometheus: more points than this per series are refused.
const MAX_POINTS: i64 = 11_000;

/// As Prometheus: a sample counts as the value of a series for so long.
const LOOKBACK: Millis = 5 * 60_000;

/// An answer: status code and JSON.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Why a request has no answer; becomes Prometheus' error JSON.
#[derive(Debug, PartialEq)]
struct Refusal {
    status: u16,
    kind: &'static str,
    message: String,
}

impl Refusal {
    fn bad_data(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "bad_data",
            message: message.into(),
        }
    }

    fn unsupported(message: impl Into<String>) -> Self {
        Self {
            status: 422,
            kind: "execution",
            message: message.into(),
        }
    }
}

/// Answers a request for `path` with the given parameters when it is `now`.
pub(super) fn answer(
    data: &dyn Dataset,
    now: Millis,
    path: &str,
    form: &[(String, String)],
) -> Reply {
    let result = match path {
        "/api/v1/query_range" => range(data, now, form),
        "/api/v1/query" => instant(data, now, form),
        _ => Err(Refusal {
            status: 404,
            kind: "not_found",
            message: format!("no such path: {path}"),
        }),
    };
    match result {
        Ok(body) => Reply { status: 200, body },
        Err(refusal) => {
            let body = serde_json::json!({
                "status": "error", "errorType": refusal.kind, "error": refusal.message,
            });
            Reply {
                status: refusal.status,
                body: body.to_string().into_bytes(),
            }
        }
    }
}

/// Name and value pairs of a query string or a form, decoded.
pub(super) fn form_pairs(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy();
        decoded.into_owned()
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn range(data: &dyn Dataset, now: Millis, form: &[(String, String)]) -> Result<Vec<u8>, Refusal> {
    let selector = selector(required(form, "query")?)?;
    let start = time(form, "start")?.ok_or_else(|| missing("start"))?;
    let end = time(form, "end")?.ok_or_else(|| missing("end"))?;
    let step = duration(required(form, "step")?)?;
    if step <= 0 {
        return Err(Refusal::bad_data(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if end < start {
        return Err(Refusal::bad_data(
            "end timestamp must not be before start time",
        ));
    }
    if (end - start) / step > MAX_POINTS {
        return Err(Refusal::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. \
             Try decreasing the query resolution (?step=XX)",
        ));
    }
    let mut json = Json::new("matrix");
    for series in selected(data, &selector) {
        let times = (0..=(end - start) / step).map(|index| start + index * step);
        let values = times.filter_map(|at| Some((at, stored(data, series, at, now)?)));
        json.series(&data.labels()[series], values);
    }
    Ok(json.finish())
}

fn instant(data: &dyn Dataset, now: Millis, form: &[(String, String)]) -> Result<Vec<u8>, Refusal> {
    let selector = selector(required(form, "query")?)?;
    let at = time(form, "time")?.unwrap_or(now);
    let mut json = Json::new("vector");
    for series in selected(data, &selector) {
        if let Some(value) = stored(data, series, at, now) {
            json.point(&data.labels()[series], at, value);
        }
    }
    Ok(json.finish())
}

/// What a Prometheus would have at `at` when it is `now`: nothing is known of the future, but the newest
/// sample counts until it is stale.
fn stored(data: &dyn Dataset, series: usize, at: Millis, now: Millis) -> Option<f64> {
    if at - now > LOOKBACK {
        return None;
    }
    let scraped = at.min(now).div_euclid(SCRAPE) * SCRAPE;
    data.value(series, scraped)
        .filter(|value| value.is_finite())
}

fn selector(query: &str) -> Result<VectorSelector, Refusal> {
    let parsed = promql_parser::parser::parse(query)
        .map_err(|error| Refusal::bad_data(format!("invalid parameter \"query\": {error}")))?;
    match unwrapped(parsed) {
        Expr::VectorSelector(plain) if plain.offset.is_none() && plain.at.is_none() => Ok(plain),
        _ => Err(Refusal::unsupported(format!(
            "this synthetic Prometheus answers plain selectors such as name{{label=\"value\"}} only, not {query:?}"
        ))),
    }
}

fn unwrapped(mut expression: Expr) -> Expr {
    while let Expr::Paren(inner) = expression {
        expression = *inner.expr;
    }
    expression
}

fn selected<'a>(
    data: &'a dyn Dataset,
    selector: &'a VectorSelector,
) -> impl Iterator<Item = usize> + 'a {
    (0..data.labels().len()).filter(|&series| {
        let labels = &data.labels()[series];
        let named = selector
            .name
            .as_deref()
            .is_none_or(|name| labels.get("__name__") == Some(name));
        named && matches(&selector.matchers, labels)
    })
}

fn matches(matchers: &Matchers, labels: &Labels) -> bool {
    let all = |of: &[Matcher]| {
        of.iter()
            .all(|one| one.is_match(labels.get(&one.name).unwrap_or("")))
    };
    let alternatives = &matchers.or_matchers;
    all(&matchers.matchers) && (alternatives.is_empty() || alternatives.iter().any(|one| all(one)))
}

fn missing(name: &str) -> Refusal {
    Refusal::bad_data(format!("invalid parameter {name:?}: it is missing"))
}

fn optional<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = form.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str())
}

fn required<'a>(form: &'a [(String, String)], name: &str) -> Result<&'a str, Refusal> {
    optional(form, name).ok_or_else(|| missing(name))
}

/// A time as Prometheus takes it: seconds since the epoch, or RFC 3339.
fn time(form: &[(String, String)], name: &str) -> Result<Option<Millis>, Refusal> {
    let Some(text) = optional(form, name) else {
        return Ok(None);
    };
    if let Some(millis) = seconds(text) {
        return Ok(Some(millis));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => Ok(Some(timestamp.as_millisecond())),
        Err(_) => Err(Refusal::bad_data(format!(
            "invalid parameter {name:?}: cannot parse {text:?} to a valid timestamp"
        ))),
    }
}

/// A duration as Prometheus takes it: seconds, or `1m30s`.
fn duration(text: &str) -> Result<Millis, Refusal> {
    let span = || text.parse::<Span>().ok().map(Span::as_millis);
    seconds(text).or_else(span).ok_or_else(|| {
        Refusal::bad_data(format!(
            "invalid parameter \"step\": cannot parse {text:?} to a valid duration"
        ))
    })
}

fn seconds(text: &str) -> Option<Millis> {
    let seconds: f64 = text.parse().ok()?;
    let millis = (seconds * 1_000.0).round();
    // Beyond 2^53 a float no longer knows its milliseconds, and nobody means such a time.
    (millis.abs() < 9e15).then_some(millis as Millis)
}

/// Writes an answer without building a tree of it first.
struct Json {
    out: Vec<u8>,
    first: bool,
}

impl Json {
    fn new(kind: &str) -> Self {
        let head =
            format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":[");
        Self {
            out: head.into_bytes(),
            first: true,
        }
    }

    fn labels(&mut self, labels: &Labels) {
        let comma: &[u8] = if self.first { b"" } else { b"," };
        self.first = false;
        self.out.extend_from_slice(comma);
        self.out.extend_from_slice(b"{\"metric\":{");
        for (index, (name, value)) in labels.iter().enumerate() {
            self.out
                .extend_from_slice(if index == 0 { b"" } else { b"," });
            self.text(name);
            self.out.push(b':');
            self.text(value);
        }
    }

    fn text(&mut self, text: &str) {
        // Writing to memory cannot go wrong, and neither can a string be anything but JSON.
        let written = serde_json::to_writer(&mut self.out, text);
        debug_assert!(written.is_ok());
    }

    fn sample(&mut self, at: Millis, value: f64) {
        let mut integer = itoa::Buffer::new();
        let mut float = ryu::Buffer::new();
        self.out.push(b'[');
        self.out
            .extend_from_slice(integer.format(at.div_euclid(1_000)).as_bytes());
        if at % 1_000 != 0 {
            let written = write!(self.out, ".{:03}", at.rem_euclid(1_000));
            debug_assert!(written.is_ok());
        }
        self.out.extend_from_slice(b",\"");
        self.out
            .extend_from_slice(float.format_finite(value).as_bytes());
        self.out.extend_from_slice(b"\"]");
    }

    fn series(&mut self, labels: &Labels, samples: impl Iterator<Item = (Millis, f64)>) {
        let mut samples = samples.peekable();
        if samples.peek().is_none() {
            return;
        }
        self.labels(labels);
        self.out.extend_from_slice(b"},\"values\":[");
        for (index, (at, value)) in samples.enumerate() {
            self.out
                .extend_from_slice(if index == 0 { b"" } else { b"," });
            self.sample(at, value);
        }
        self.out.extend_from_slice(b"]}");
    }

    fn point(&mut self, labels: &Labels, at: Millis, value: f64) {
        self.labels(labels);
        self.out.extend_from_slice(b"},\"value\":");
        self.sample(at, value);
        self.out.push(b'}');
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"]}}");
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Workload;
    use serde_json::Value;

    const NOW: Millis = 1_760_184_000_000;

    fn ask(path: &str, form: &str) -> (u16, Value) {
        let reply = answer(&Workload::new(NOW, 1), NOW, path, &form_pairs(form));
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    #[test]
    fn a_range_has_a_value_for_every_step() {
        let (status, json) = ask(
            "/api/v1/query_range",
            "query=service%3Ahttp_requests%3Arate2m{service=~\"cart|search\"}&start=1760180400&end=1760184000&step=1m",
        );
        assert_eq!(status, 200);
        assert_eq!(json["data"]["resultType"], "matrix");
        let result = json["data"]["result"].as_array().unwrap();
        assert_eq!(result.len(), 2);
        assert_eq!(result[0]["metric"]["service"], "cart");
        assert_eq!(
            result[0]["metric"]["__name__"],
            "service:http_requests:rate2m"
        );
        let values = result[0]["values"].as_array().unwrap();
        assert_eq!(values.len(), 61);
        assert_eq!(values[1][0], 1_760_180_460);
        assert!(values[1][1].as_str().unwrap().parse::<f64>().unwrap() > 0.0);
    }

    #[test]
    fn the_future_is_unknown() {
        let form = "query=queue_messages_ready&start=2025-10-11T12:00:00Z&end=1760188000&step=60";
        let (_, json) = ask("/api/v1/query_range", form);
        let values = json["data"]["result"][0]["values"].as_array().unwrap();
        // The newest sample counts for the five minutes of lookback, and no longer.
        assert_eq!(values.len(), 6);
        assert_eq!(values[0][1], values[5][1]);
    }

    #[test]
    fn an_instant_is_a_vector() {
        let (status, json) = ask(
            "/api/v1/query",
            "query={pod=~\"checkout.*\",namespace!=\"x\"}&time=1760180400.5",
        );
        assert_eq!(
            (status, &json["data"]["resultType"]),
            (200, &Value::from("vector"))
        );
        assert_eq!(json["data"]["result"].as_array().unwrap().len(), 8);
        assert_eq!(json["data"]["result"][0]["value"][0], 1_760_180_400.5);
        let (_, nobody) = ask("/api/v1/query", "query=nobody");
        assert_eq!(nobody["data"]["result"], Value::Array(Vec::new()));
    }

    #[test]
    fn refusals_are_those_of_prometheus() {
        let range = "/api/v1/query_range";
        let cases = [
            (range, "query=up{&start=0&end=1&step=1", 400, "bad_data"),
            (
                range,
                "query=sum(up)&start=0&end=1&step=1",
                422,
                "execution",
            ),
            (
                range,
                "query=up offset 5m&start=0&end=1&step=1",
                422,
                "execution",
            ),
            (range, "start=0&end=1&step=1", 400, "bad_data"),
            (range, "query=up&start=x&end=1&step=1", 400, "bad_data"),
            (range, "query=up&start=2&end=1&step=1", 400, "bad_data"),
            (range, "query=up&start=1&end=2&step=0", 400, "bad_data"),
            (range, "query=up&start=0&end=11001&step=1", 400, "bad_data"),
            ("/api/v1/query", "query=up&time=soon", 400, "bad_data"),
            ("/api/v1/alerts", "", 404, "not_found"),
        ];
        for (path, form, status, kind) in cases {
            let (given, json) = ask(path, form);
            assert_eq!(
                (given, json["errorType"].as_str().unwrap()),
                (status, kind),
                "{form}"
            );
            assert_eq!(json["status"], "error");
        }
    }
}
