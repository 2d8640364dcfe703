//! A source that fails in every way: the right cause, a text that helps, and an end.

use super::{
    Asker, ONE, calm, is_one, minutes,
    server::{Part, Reply, Server},
};
use crate::{
    series::Span,
    source::{BreakerState, Cause, Source, prometheus::Settings},
    telemetry::log::captured,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::{
    io::Write,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{net::TcpListener, time::Instant};

/// Asks a server that always gives `reply`; the cause and the text of the failure.
async fn fails(reply: Reply) -> (Cause, String) {
    let server = Server::new(move |_| reply.clone()).await;
    let error = Asker::new(&calm(&server)).ask(1).await.unwrap_err();
    assert!(error.message.contains("/api/v1/query_range: "), "{error}");
    (error.cause, error.message)
}

#[tokio::test]
async fn statuses_have_their_cause_and_the_texts_of_the_source() {
    let api = r#"{"status":"error","errorType":"execution","error":"multiple matches for labels"}"#;
    let cases = [
        (
            Reply::status(500, "boom"),
            Cause::Status,
            "500 Internal Server Error: boom",
        ),
        (
            Reply::status(422, api),
            Cause::Query,
            "422 Unprocessable Entity: multiple matches for labels",
        ),
        (
            Reply::status(400, api),
            Cause::Query,
            "multiple matches for labels",
        ),
        (
            Reply::status(400, "<h1>Bad</h1>"),
            Cause::Status,
            "400 Bad Request: <h1>Bad</h1>",
        ),
        (
            Reply::status(404, "404 page not found"),
            Cause::Status,
            "check the path prefix of url",
        ),
        (
            Reply::with(302, &[("location", "/login")], ""),
            Cause::Status,
            "it points to /login",
        ),
        (
            Reply::json(api),
            Cause::Query,
            "execution: multiple matches for labels; the query was up",
        ),
    ];
    for (reply, cause, part) in cases {
        let (got, message) = fails(reply).await;
        assert_eq!(got, cause, "{message}");
        assert!(message.contains(part), "{part} is not in {message}");
    }
}

#[tokio::test]
async fn good_statuses_with_something_else_inside_are_no_answers() {
    let html = "<!DOCTYPE html>\n<title>Sign in</title>";
    let sample = |sample: &str| {
        format!(
            r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{"a":"1"}},"values":[{sample}]}}]}}}}"#
        )
    };
    let result = |kind: &str, result: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
    };
    let decode = Cause::Decode;
    let cases = [
        (
            html.to_owned(),
            decode,
            "/api/v1/query_range: the answer is a web page (HTML), not one of the Prometheus API",
        ),
        (
            html.to_owned(),
            decode,
            "it begins with: <!DOCTYPE html> <title>Sign in</title>",
        ),
        (String::new(), decode, "not an answer of the Prometheus API"),
        (ONE.replace("}]}}", ""), decode, "EOF"),
        (format!("{ONE}x"), decode, "trailing characters"),
        (String::from("[]"), decode, "not an answer"),
        (String::from("{}"), decode, "no status"),
        (String::from(r#"{"status":"success"}"#), decode, "no data"),
        (
            String::from(r#"{"status":"success","data":null}"#),
            decode,
            "no data",
        ),
        (
            String::from(r#"{"status":"success","data":{}}"#),
            decode,
            "no data",
        ),
        (sample("[3600,1.5]"), decode, "expected a number in quotes"),
        (sample("[\"3600\",\"1\"]"), decode, "seconds since 1970"),
        (sample("[1e300,\"1\"]"), decode, "seconds since 1970"),
        (sample("[3600,\"one\"]"), decode, "a number in quotes"),
        (sample("[3600]"), decode, "two elements"),
        (sample("[3600,\"1\",2]"), decode, "two elements"),
        (
            sample("[3601,\"1\"]"),
            decode,
            "3601000 ms is not at a time that was asked for",
        ),
        (
            sample("[3540,\"1\"]"),
            decode,
            "is not at a time that was asked for",
        ),
        (
            sample("[3660,\"1\"]"),
            decode,
            "is not at a time that was asked for",
        ),
        (
            result("matrix", r#"[{"values":[]}]"#),
            decode,
            "missing field `metric`",
        ),
        (
            result("matrix", r#"[{"metric":{"a":1},"values":[[3600,"1"]]}]"#),
            decode,
            "a metric is not an object of texts",
        ),
        (
            result("vector", "[]"),
            decode,
            "of type \"vector\" instead of \"matrix\"",
        ),
        (
            result("scalar", "[3600,\"1\"]"),
            decode,
            "of type \"scalar\" instead of \"matrix\"",
        ),
        (
            result("string", "[3600,\"x\"]"),
            decode,
            "of type \"string\" instead of \"matrix\"",
        ),
        (
            result(
                "matrix",
                r#"[{"metric":{},"histograms":[[3600,{"count":"1"}]]}]"#,
            ),
            Cause::Query,
            "the query up gives native histograms; make them numbers with histogram_quantile",
        ),
        (
            result(
                "matrix",
                r#"[{"metric":{"__name__":"x","a":"1"},"values":[[3600,"1"]]},{"metric":{"__name__":"y","a":"1"},"values":[[3600,"1"]]}]"#,
            ),
            Cause::Query,
            "two series of the query up are both {a=\"1\"} without their name; add an aggregation",
        ),
    ];
    for (body, cause, part) in cases {
        let (got, message) = fails(Reply::json(body.clone())).await;
        assert_eq!(got, cause, "{body}: {message}");
        assert!(message.contains(part), "{part} is not in {message}");
    }
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_host_are_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let mut settings = Settings::new(&format!("http://{free}"));
    settings.retries = 0;
    let error = Asker::new(&settings).ask(1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Connect);
    assert!(error.message.contains("Connection refused"), "{error}");
    // RFC 6761: `.invalid` never exists.
    let mut settings = Settings::new("http://prometheus.invalid:9090");
    settings.retries = 0;
    let error = Asker::new(&settings).ask(1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Connect);
    assert!(error.message.contains("prometheus.invalid"), "{error}");
    assert!(
        error.message.contains("lookup") || error.message.contains("dns"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_phase_has_its_deadline() {
    let half = Part::Bytes(Bytes::from_static(b"{\"status\":"));
    let dripping = || -> Vec<Part> { vec![half.clone(), Part::Hang] };
    let cases = [
        (Reply::Silence, 30, "no answer within 30s (timeout)"),
        (
            Reply::parts(vec![Part::Hang]),
            10,
            "stood still for 10s after 0 bytes (idle_timeout)",
        ),
        (
            Reply::parts(dripping()),
            10,
            "stood still for 10s after 10 bytes (idle_timeout)",
        ),
    ];
    for (reply, seconds, part) in cases {
        let server = Server::new(move |_| reply.clone()).await;
        let asker = Asker::new(&calm(&server));
        let begun = Instant::now();
        let error = asker.ask(1).await.unwrap_err();
        assert_eq!(error.cause, Cause::Timeout);
        assert!(error.message.contains(part), "{error}");
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert_eq!(asker.failures("timeout"), 1.0);
    }
    let server = Server::new(move |_| Reply::parts(vec![Part::Hang])).await;
    let mut settings = calm(&server);
    settings.timeout = Span::seconds(5);
    let error = Asker::new(&settings).ask(1).await.unwrap_err();
    assert!(
        error
            .message
            .contains("not complete after 5s, 0 bytes were there"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_hangs_ends_with_the_connect_timeout() {
    // The listener's backlog takes the connection; nobody speaks TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = Settings::new(&format!("https://{}", listener.local_addr().unwrap()));
    settings.retries = 0;
    let begun = Instant::now();
    let error = Asker::new(&settings).ask(1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Timeout);
    assert!(
        error
            .message
            .contains("no connection within 5s (connect_timeout)"),
        "{error}"
    );
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn half_a_body_is_a_lost_connection() {
    let half = Bytes::from_static(ONE.as_bytes()).slice(..40);
    for headers in [vec![("content-length", ONE.len().to_string())], vec![]] {
        let reply = Reply::Whole(200, headers, vec![Part::Bytes(half.clone()), Part::Cut]);
        let (cause, message) = fails(reply).await;
        assert_eq!(cause, Cause::Connect, "{message}");
        assert!(message.contains("the connection broke after"), "{message}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_stopped_at_the_limit() {
    let megabyte = Bytes::from(vec![b' '; 1 << 20]);
    let server =
        Server::new(move |_| Reply::parts(vec![Part::Repeat(megabyte.clone(), 200)])).await;
    let mut settings = calm(&server);
    settings.max_response_bytes = 4 << 20;
    let error = Asker::new(&settings).ask(1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Limit);
    assert!(
        error
            .message
            .contains("longer than 4194304 bytes (max_response_bytes)"),
        "{error}"
    );
    // The limit, and what was in the buffers of both sides.
    assert!(server.sent() < 32 << 20, "{}", server.sent());
    // Announced, it is not even begun.
    let headers = vec![("content-length", (200 << 20).to_string())];
    let reply = Reply::Whole(200, headers, vec![Part::Hang]);
    let server = Server::new(move |_| reply.clone()).await;
    let error = Asker::new(&Settings {
        url: server.url("http").as_str().into(),
        ..settings
    })
    .ask(1)
    .await;
    assert_eq!(error.unwrap_err().cause, Cause::Limit);
}

#[tokio::test]
async fn a_gzip_bomb_does_not_go_off() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..300 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let headers = vec![("content-encoding", String::from("gzip"))];
    let reply = Reply::Whole(200, headers, vec![Part::Bytes(bomb.into())]);
    let server = Server::new(move |_| reply.clone()).await;
    let mut settings = calm(&server);
    settings.max_response_bytes = 4 << 20;
    let error = Asker::new(&settings).ask(1).await.unwrap_err();
    assert_eq!(error.cause, Cause::Limit);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    let api = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    let cases = [
        (Reply::status(500, ""), 4),
        (Reply::status(503, ""), 4),
        (Reply::status(429, ""), 4),
        (Reply::parts(vec![Part::Cut]), 4),
        (Reply::Silence, 4),
        (Reply::status(400, api), 1),
        (Reply::status(422, api), 1),
        (Reply::status(401, ""), 1),
        (Reply::json("<html>"), 1),
        // Ten minutes are longer than anybody waits for this answer.
        (Reply::with(429, &[("retry-after", "600")], ""), 1),
    ];
    for (reply, times) in cases {
        let shown = format!("{reply:?}");
        let server = Server::new(move |_| reply.clone()).await;
        let mut settings = calm(&server);
        settings.retries = 3;
        let asker = Asker::new(&settings);
        asker.ask(1).await.unwrap_err();
        assert_eq!(server.asked().len(), times, "{shown}");
        assert_eq!(asker.requests(), times as f64, "{shown}");
        assert_eq!(asker.retries(), times as f64 - 1.0, "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_is_not_seen_and_the_asked_pause_is_kept() {
    let count = AtomicUsize::new(0);
    let server = Server::new(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::with(429, &[("retry-after", "7")], "slow down"),
        1 => Reply::status(502, "bad gateway"),
        _ => Reply::json(ONE),
    })
    .await;
    let mut settings = calm(&server);
    settings.retries = 3;
    let asker = Asker::new(&settings);
    let begun = Instant::now();
    is_one(&asker.ask(1).await.unwrap());
    assert!(begun.elapsed() >= Duration::from_secs(7));
    assert!(begun.elapsed() < Duration::from_secs(9));
    assert_eq!((asker.requests(), asker.retries()), (3.0, 2.0));
    assert_eq!(asker.failures("status"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn the_breaker_opens_lets_one_trial_through_and_closes() {
    let well = std::sync::Arc::new(AtomicUsize::new(0));
    let now = well.clone();
    let server = Server::new(move |_| match now.load(Ordering::SeqCst) {
        0 => Reply::status(500, "boom"),
        _ => Reply::json(ONE),
    })
    .await;
    let asker = Asker::new(&calm(&server));
    for _ in 0..5 {
        assert_eq!(asker.ask(1).await.unwrap_err().cause, Cause::Status);
    }
    assert_eq!(asker.source.breaker(), BreakerState::Open);
    let state = |state: &str| {
        asker.metric(&format!(
            "breaker_state{{source=\"main\",state=\"{state}\"}}"
        ))
    };
    assert_eq!((state("open"), state("closed")), (1.0, 0.0));
    let error = asker.ask(1).await.unwrap_err();
    assert_eq!(error.cause, Cause::BreakerOpen);
    assert!(
        error.message.contains("500 Internal Server Error: boom"),
        "{error}"
    );
    assert_eq!(asker.failures("breaker_open"), 1.0);
    assert_eq!(server.asked().len(), 5, "an open breaker sends nothing");
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(asker.ask(1).await.unwrap_err().cause, Cause::Status);
    assert_eq!(asker.ask(1).await.unwrap_err().cause, Cause::BreakerOpen);
    assert_eq!(server.asked().len(), 6, "one trial only");
    well.store(1, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(10)).await;
    is_one(&asker.ask(1).await.unwrap());
    is_one(&asker.ask(1).await.unwrap());
    assert_eq!(
        (state("open"), state("half_open"), state("closed")),
        (0.0, 0.0, 1.0)
    );
    assert_eq!(asker.source.breaker(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_failing_source_is_one_warning_that_says_how_long_and_why() {
    let server = Server::new(|_| Reply::status(500, "boom")).await;
    let asker = Asker::new(&calm(&server));
    let (log, _guard) = captured::lines(tracing::Level::WARN);
    for _ in 0..20 {
        asker.ask(1).await.unwrap_err();
        tokio::time::advance(Duration::from_secs(15)).await;
    }
    let log = log.text();
    assert_eq!(log.lines().count(), 1, "{log}");
    for part in ["source=main", " pause=", "500 Internal Server Error: boom"] {
        assert!(log.contains(part), "{log}");
    }
    assert_eq!(asker.requests(), 20.0, "no pause is longer than 15 s");
}

#[tokio::test]
async fn a_source_that_cannot_count_is_no_warning() {
    let api = r#"{"status":"error","errorType":"bad_data","error":"no count"}"#;
    let server = Server::new(move |asked| {
        let kind = match asked.path.as_str() {
            _ if asked.form["query"].contains("count") => return Reply::status(400, api),
            "/api/v1/query" => "vector",
            _ => "matrix",
        };
        let nothing = format!(r#"{{"resultType":"{kind}","result":[]}}"#);
        Reply::json(format!(r#"{{"status":"success","data":{nothing}}}"#))
    })
    .await;
    let asker = Asker::new(&calm(&server));
    let (log, _guard) = captured::lines(tracing::Level::INFO);
    let (day, minute) = (Span::days(1), Span::minutes(1));
    let probe = asker.source.probe("up", 90_000_000, day, minute).await;
    assert_eq!(probe.unwrap().series, 0);
    assert_eq!(log.text(), "");
    assert_eq!(asker.failures("query"), 1.0);
}

#[tokio::test]
async fn wrong_queries_do_not_open_the_breaker() {
    let api = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    let server = Server::new(move |_| Reply::status(400, api)).await;
    let asker = Asker::new(&calm(&server));
    for _ in 0..20 {
        assert_eq!(asker.ask(1).await.unwrap_err().cause, Cause::Query);
    }
    assert_eq!(asker.source.breaker(), BreakerState::Closed);
    assert_eq!(asker.failures("query"), 20.0);
}

#[tokio::test]
async fn a_range_off_the_grid_is_not_asked_for() {
    let server = Server::new(|_| Reply::json(ONE)).await;
    let asker = Asker::new(&calm(&server));
    for change in [
        |r: &mut crate::source::RangeRequest| r.start += 1,
        |r: &mut crate::source::RangeRequest| r.step = 0,
        |r: &mut crate::source::RangeRequest| r.end = 0,
    ] {
        let mut request = minutes(4);
        change(&mut request);
        assert_eq!(
            asker.source.range(request).await.unwrap_err().cause,
            Cause::Query
        );
    }
    assert!(server.asked().is_empty());
}
