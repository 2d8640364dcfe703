//! The Prometheus source against real servers: the same numbers from each, however they are asked.

use crate::support::{
    http,
    server::{Answer, Server},
    servers::{HISTORY_STEP, PASTS, history_end, prometheus, victoria_metrics},
};
use forethought::{
    series::{Millis, Share},
    source::{
        Cause, Matrix, RangeRequest, Source, SourceError,
        prometheus::{PrometheusSource, Settings},
    },
    telemetry::Telemetry,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// Asks the source at `url` for one range.
fn ask(url: &str, request: &RangeRequest) -> Result<Matrix, SourceError> {
    let settings = Settings::new(url);
    let source = PrometheusSource::build("it", &settings, Telemetry::default().source).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(source.range(request.clone()))
}

fn url(address: &str) -> String {
    format!("http://{address}")
}

/// `points` grid times of the shop's series, all of them before anything was scraped.
fn shop(points: i64, step: Millis) -> RangeRequest {
    let end = (history_end() * 1_000 - 10_000) / step * step;
    RangeRequest {
        query: PASTS[0].1[0].metric.to_owned(),
        start: end - (points - 1) * step,
        end,
        step,
        max_series: 100,
        share: Share::ALL,
    }
}

/// Every value is what the history says; `least` of them per series.
fn assert_history(matrix: &Matrix, least: usize) {
    let pasts = PASTS[0].1;
    assert_eq!(matrix.series.len(), pasts.len());
    for series in &matrix.series {
        let path = series.labels.get("path").unwrap();
        let past = pasts.iter().find(|past| past.path == path).unwrap();
        assert!(series.labels.get("__name__").is_none());
        assert!(
            series.samples.len() >= least,
            "{path}: {}",
            series.samples.len()
        );
        for (at, value) in &series.samples {
            let expected = past.at(at / 1_000);
            assert!(
                (value - expected).abs() < 1e-9 * expected,
                "{path} at {at}: {value}, not {expected}"
            );
        }
    }
    assert!(matrix.warnings.is_empty(), "{:?}", matrix.warnings);
}

#[test]
fn prometheus_gives_the_history_on_the_grid() {
    let request = shop(1_000, HISTORY_STEP * 1_000);
    let matrix = ask(&url(prometheus().address()), &request).unwrap();
    assert_history(&matrix, 1_000);
}

#[test]
fn victoria_metrics_gives_the_same_numbers_as_prometheus() {
    let request = shop(1_000, HISTORY_STEP * 1_000);
    let theirs = ask(&url(&victoria_metrics().address), &request).unwrap();
    assert_history(&theirs, 1_000);
    let ours = ask(&url(prometheus().address()), &request).unwrap();
    assert_eq!(theirs.series.len(), ours.series.len());
    for (their, our) in theirs.series.iter().zip(&ours.series) {
        assert_eq!(their.labels, our.labels);
        assert_eq!(their.samples.len(), our.samples.len());
        for (one, other) in their.samples.iter().zip(&our.samples) {
            // VictoriaMetrics keeps twelve digits or so; a window keeps seven.
            let same = one.0 == other.0 && (one.1 - other.1).abs() < 1e-9 * other.1;
            assert!(same, "{one:?} and {other:?}");
        }
    }
}

#[test]
fn a_range_beyond_the_limit_of_points_comes_whole() {
    // Prometheus refuses more than 11,000 points in one answer.
    let request = shop(14_000, HISTORY_STEP * 1_000);
    let matrix = ask(&url(prometheus().address()), &request).unwrap();
    assert_history(&matrix, 5_000);
    for series in &matrix.series {
        let steps: Vec<Millis> = series
            .samples
            .windows(2)
            .map(|two| two[1].0 - two[0].0)
            .collect();
        assert!(
            steps.iter().all(|step| *step == request.step),
            "a seam between two requests"
        );
    }
}

#[test]
fn a_server_that_refuses_post_is_asked_by_get() {
    let methods = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&methods);
    let proxy = Server::start(move |asked| {
        seen.lock().unwrap().push(asked.method.clone());
        if asked.method == "POST" {
            return Answer::Whole(405, "text/plain", "method not allowed".to_owned());
        }
        match http::get(prometheus().address(), &asked.uri) {
            Ok(reply) => Answer::json(200, reply.text()),
            Err(problem) => Answer::Whole(502, "text/plain", problem),
        }
    });
    let request = shop(300, HISTORY_STEP * 1_000);
    let matrix = ask(&url(&proxy.address()), &request).unwrap();
    assert_history(&matrix, 300);
    assert_eq!(*methods.lock().unwrap(), ["POST", "GET"]);
}

#[test]
fn a_prefix_in_the_url_is_kept() {
    let asked_paths = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked_paths);
    let gateway = Server::start(move |asked| {
        let Some(path) = asked.path.strip_prefix("/prometheus/") else {
            return Answer::Whole(404, "text/plain", "no tenant here".to_owned());
        };
        counted.fetch_add(1, Ordering::SeqCst);
        let pairs: Vec<String> = asked
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", http::encode(value)))
            .collect();
        match http::get(
            prometheus().address(),
            &format!("/{path}?{}", pairs.join("&")),
        ) {
            Ok(reply) => Answer::json(200, reply.text()),
            Err(problem) => Answer::Whole(502, "text/plain", problem),
        }
    });
    let address = format!("{}/prometheus", url(&gateway.address()));
    assert_history(&ask(&address, &shop(100, 2_000)).unwrap(), 100);
    assert_eq!(asked_paths.load(Ordering::SeqCst), 1);
}

#[test]
fn series_beyond_the_limit_are_counted_and_left_out() {
    let mut request = shop(10, 2_000);
    request.max_series = 2;
    let matrix = ask(&url(prometheus().address()), &request).unwrap();
    assert_eq!((matrix.series.len(), matrix.dropped), (2, 1));
}

#[test]
fn a_query_the_server_refuses_is_the_querys_fault() {
    for address in [prometheus().address(), &victoria_metrics().address] {
        let mut request = shop(10, 2_000);
        request.query = "sum(up) by by".to_owned();
        let error = ask(&url(address), &request).unwrap_err();
        assert_eq!(error.cause, Cause::Query, "{error}");
    }
}
