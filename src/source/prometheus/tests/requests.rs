//! What is sent: methods, headers, credentials, paths; and what comes back whole.

use super::{
    Asker, MINUTE, ONE, calm, is_one, minutes,
    server::{Part, Reply, Server},
};
use crate::{
    series::Span,
    source::{
        Cause, Secret, Source,
        prometheus::{Authorization, BasicAuth, Settings},
    },
};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

#[tokio::test]
async fn a_range_is_asked_for_by_post_below_the_path_prefix() {
    let server = Server::new(|_| Reply::json(ONE)).await;
    let mut settings = calm(&server);
    settings.url = format!("{}/prometheus/", server.url("http"))
        .as_str()
        .into();
    settings
        .headers
        .insert(String::from("X-Scope-OrgID"), Secret::new("team-a"));
    let asker = Asker::new(&settings);
    let mut request = minutes(4);
    request.query = String::from("sum by (a) (rate(x{b=~\"c+|d&e\"}[5m])) # ä");
    is_one(&asker.source.range(request.clone()).await.unwrap());
    let asked = server.asked().remove(0);
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.path, "/prometheus/api/v1/query_range");
    assert_eq!(asked.form["query"], request.query);
    let fields = ["start", "end", "step", "timeout"].map(|field| asked.number(field));
    assert_eq!(fields, [3_600, 3_780, 60, 30]);
    let header = |name: &str| asked.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-scope-orgid"), "team-a");
    let agent = format!("forethought/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(header("user-agent"), agent);
    assert_eq!(header("accept-encoding"), "gzip");
    assert_eq!(header("content-type"), "application/x-www-form-urlencoded");
    assert!(!asked.headers.contains_key("authorization"));
    assert_eq!(asker.requests(), 1.0);
    assert_eq!(asker.metric("up{source=\"main\"}"), 1.0);
    assert_eq!(
        asker.metric("response_bytes_total{source=\"main\"}"),
        ONE.len() as f64
    );
}

#[tokio::test]
async fn a_source_without_post_is_asked_by_get_from_then_on() {
    for status in [405, 501] {
        let server = Server::new(move |asked| match asked.method.as_str() {
            "POST" => Reply::status(status, "no POST"),
            _ => Reply::json(ONE),
        })
        .await;
        let asker = Asker::new(&calm(&server));
        for _ in 0..2 {
            is_one(&asker.ask(4).await.unwrap());
        }
        let asked = server.asked();
        let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
        assert_eq!(methods, ["POST", "GET", "GET"]);
        assert_eq!(asked[0].form, asked[1].form);
    }
}

#[tokio::test]
async fn a_source_that_refuses_both_methods_fails_without_retries() {
    let server = Server::new(|_| Reply::status(501, "nothing here")).await;
    let mut settings = calm(&server);
    settings.retries = 3;
    let asker = Asker::new(&settings);
    let error = asker.ask(4).await.unwrap_err();
    assert_eq!(error.cause, Cause::Status);
    assert!(
        error.message.contains("501 Not Implemented: nothing here"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn credentials_are_sent() {
    let server = Server::new(|_| Reply::json(ONE)).await;
    let mut basic = calm(&server);
    basic.basic_auth = Some(BasicAuth {
        username: String::from("u"),
        password: Some(Secret::new("p")),
        password_file: None,
    });
    let mut token = calm(&server);
    token.authorization = Some(Authorization {
        scheme: String::from("Bearer"),
        credentials: Some(Secret::new("t")),
        credentials_file: None,
    });
    for settings in [basic, token] {
        Asker::new(&settings).ask(4).await.unwrap();
    }
    let sent: Vec<String> = server
        .asked()
        .iter()
        .map(|asked| asked.headers["authorization"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(sent, ["Basic dTpw", "Bearer t"]);
}

#[tokio::test]
async fn a_refused_credential_is_named_by_its_key_and_never_shown() {
    let server = Server::new(|asked| {
        let sent = asked.headers["authorization"].to_str().unwrap();
        Reply::status(401, format!("cannot accept {sent}"))
    })
    .await;
    let mut settings = calm(&server);
    settings.retries = 3;
    settings.bearer_token = Some(Secret::new("hunter2"));
    let asker = Asker::new(&settings);
    let error = asker.ask(4).await.unwrap_err();
    assert_eq!(error.cause, Cause::Status);
    assert!(!error.message.contains("hunter2"), "{error}");
    assert!(
        error
            .message
            .contains("check basic_auth, authorization or bearer_token"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 1);
    assert!(!format!("{:?}", asker.source).contains("hunter2"));
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_answers_are_read_and_broken_ones_refused() {
    let answer = |bytes: Vec<u8>, coding: &str| {
        let headers = vec![("content-encoding", coding.to_owned())];
        Reply::Whole(200, headers, vec![Part::Bytes(bytes.into())])
    };
    let whole = gzip(ONE);
    let half = whole[..whole.len() / 2].to_vec();
    let cases = [
        (answer(whole.clone(), "gzip"), None),
        (answer(half, "gzip"), Some("not sound gzip")),
        (answer(b"plain".to_vec(), "gzip"), Some("not sound gzip")),
        (answer(whole, "br"), Some("compressed as br")),
    ];
    for (reply, problem) in cases {
        let server = Server::new(move |_| reply.clone()).await;
        let answer = Asker::new(&calm(&server)).ask(4).await;
        match problem {
            None => is_one(&answer.unwrap()),
            Some(problem) => {
                let error = answer.unwrap_err();
                assert_eq!(error.cause, Cause::Decode, "{error}");
                assert!(error.message.contains(problem), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn no_more_requests_at_a_time_than_allowed() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    // Each request waits until two are there; were they sent one by one, the first would never end.
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, top) = (now.clone(), most.clone());
    let server = Server::new(move |_| {
        top.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Reply::Silence
    })
    .await;
    let mut settings = calm(&server);
    settings.concurrency = 2;
    let asker = Arc::new(Asker::new(&settings));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let asker = asker.clone();
        tasks.spawn(async move { drop(asker.ask(4).await) });
    }
    while server.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.asked().len(), 2);
    // Cancelled requests give their places back.
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
    let again = asker.clone();
    tasks.spawn(async move { drop(again.ask(4).await) });
    while server.asked().len() < 3 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_instant_query_gives_a_vector_or_a_scalar() {
    let server = Server::new(|asked| {
        assert_eq!(asked.path, "/api/v1/query");
        assert_eq!(asked.form["time"], "3600.250");
        Reply::json(match asked.form["query"].as_str() {
            "1" => r#"{"status":"success","data":{"resultType":"scalar","result":[3600.25,"1"]}}"#,
            "\"x\"" => r#"{"status":"success","data":{"resultType":"string","result":[3600.25,"x"]}}"#,
            _ => r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"1"},"value":[3600.25,"2"]},{"metric":{"a":"2"},"value":[3600.25,"NaN"]}]}}"#,
        })
    })
    .await;
    let asker = Asker::new(&calm(&server));
    let at = 60 * MINUTE + 250;
    let vector = asker.source.instant("up", at, 10).await.unwrap();
    assert_eq!(vector.series.len(), 1);
    assert_eq!(vector.series[0].samples, [(at, 2.0)]);
    assert_eq!(vector.rejected, 1);
    let scalar = asker.source.instant("1", at, 10).await.unwrap();
    assert_eq!(scalar.series[0].samples, [(at, 1.0)]);
    assert!(scalar.series[0].labels.is_empty());
    let text = asker.source.instant("\"x\"", at, 10).await.unwrap_err();
    assert!(
        text.message
            .contains("of type \"string\" instead of \"vector\""),
        "{text}"
    );
}

#[tokio::test]
async fn warnings_and_partial_answers_are_passed_on() {
    let server = Server::new(|_| {
        Reply::json(r#"{"status":"success","isPartial":true,"data":{"resultType":"matrix","result":[]},"warnings":["store x is down"],"infos":["not a counter"]}"#)
    })
    .await;
    let asker = Asker::new(&calm(&server));
    for _ in 0..2 {
        let matrix = asker.ask(4).await.unwrap();
        let expected = [
            "store x is down",
            "info: not a counter",
            "the answer is partial",
        ];
        assert_eq!(matrix.warnings, expected);
    }
    assert_eq!(asker.metric("warnings_total{source=\"main\"}"), 6.0);
}

#[tokio::test]
async fn a_probe_counts_and_finds_the_oldest_sample() {
    let server = Server::new(|asked| {
        assert_eq!(asked.form["query"], "count(\nup # all\n)");
        if asked.path == "/api/v1/query" {
            assert_eq!(asked.number("time"), 1_700_000_040);
            return Reply::json(r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000040,"42"]}]}}"#);
        }
        let (start, end, step) = (asked.number("start"), asked.number("end"), asked.number("step"));
        assert_eq!(step, 61 * 60);
        assert!((490..=500).contains(&((end - start) / step + 1)));
        let values: Vec<String> = (0..3).rev().map(|back| format!("[{},\"7\"]", end - back * step)).collect();
        Reply::json(format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{}]}}]}}}}"#, values.join(",")))
    })
    .await;
    let asker = Asker::new(&calm(&server));
    let now = 1_700_000_055_000;
    let probe = asker
        .source
        .probe("up # all", now, Span::days(21), Span::minutes(1));
    let probe = probe.await.unwrap();
    assert_eq!(probe.series, 42);
    let back = (now - probe.oldest.unwrap()) / (61 * MINUTE);
    assert!((2..=3).contains(&back), "{probe:?}");
}

#[tokio::test]
async fn settings_that_are_wrong_build_nothing() {
    let events = crate::telemetry::Telemetry::default().source;
    let mut settings = Settings::new("http://x");
    settings.concurrency = 0;
    settings.tls_config.key_file = Some("/nowhere/key".into());
    let build = |settings: &Settings| {
        super::PrometheusSource::build("main", settings, events.clone()).unwrap_err()
    };
    assert_eq!(
        build(&settings),
        "tls_config.cert_file: is needed where key_file is given; concurrency: must be 1 to 100"
    );
    let mut settings = Settings::new("https://x");
    settings.tls_config.ca_file = Some("/nowhere/ca".into());
    assert!(build(&settings).starts_with("tls_config.ca_file /nowhere/ca: No such file"));
}
