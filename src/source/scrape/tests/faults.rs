//! Targets that do not behave.

use super::*;
use crate::source::prometheus::tests::server::Part;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

async fn answering(reply: Reply) -> Server {
    Server::new(move |_| reply.clone()).await
}

/// The error of a target that always answers so, and the cause under which it is counted.
#[track_caller]
fn counted(source: &Running, cause: &str) {
    let line = format!("forethought_scrape_failures_total{{source=\"direct\",cause=\"{cause}\"}}");
    assert!(source.metric(&line) >= 1.0, "{cause}");
    assert_eq!(source.values("up").last(), Some(&0.0));
    let targets = "forethought_scrape_targets{source=\"direct\",state=\"down\"}";
    assert_eq!(source.metric(targets), 1.0);
}

#[track_caller]
fn says(error: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

#[tokio::test]
async fn a_failed_status_is_told_with_its_text() {
    let server = answering(Reply::status(500, "database\n  is gone")).await;
    let source = Running::start(ONE, &[&server]);
    says(
        &source.until_down().await,
        &["500 Internal Server Error", "database is gone"],
    );
    counted(&source, "status");
}

#[tokio::test]
async fn a_wrong_or_missing_content_type_is_told() {
    let server = answering(Reply::with(200, &[("content-type", "text/html")], "<html>")).await;
    let source = Running::start(ONE, &[&server]);
    says(
        &source.until_down().await,
        &["text/html", "fallback_scrape_protocol"],
    );
    counted(&source, "content_type");
    let silent = answering(Reply::json("a 1\n")).await;
    let source = Running::start(ONE, &[&silent]);
    says(&source.until_down().await, &["no Content-Type"]);
    let source = Running::start(
        &format!("{ONE}\nfallback_scrape_protocol: PrometheusText0.0.4"),
        &[&silent],
    );
    source.until_up().await;
    assert_eq!(source.values("a")[0], 1.0);
}

#[tokio::test]
async fn what_is_no_exposition_is_refused_whole_with_its_place() {
    let server = answering(text("a 1\nb one\n")).await;
    let source = Running::start(ONE, &[&server]);
    says(
        &source.until_down().await,
        &["line 2, column 3", "\"one\" is no value"],
    );
    counted(&source, "parse");
    assert!(source.values("a").is_empty(), "half of a body is none");
    let twice = answering(text("a{b=\"1\",b=\"2\"} 1\n")).await;
    let source = Running::start(ONE, &[&twice]);
    says(&source.until_down().await, &["label b is given twice"]);
    let open = [(
        "content-type",
        "application/openmetrics-text; version=1.0.0",
    )];
    let cut = answering(Reply::with(200, &open, "a 1\n")).await;
    let source = Running::start(ONE, &[&cut]);
    says(&source.until_down().await, &["# EOF"]);
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn compressed(bytes: Vec<u8>) -> Reply {
    let headers = [("content-type", "text/plain"), ("content-encoding", "gzip")];
    let headers = headers.map(|(name, value)| (name, value.to_owned()));
    Reply::Whole(200, headers.into(), vec![Part::Bytes(Bytes::from(bytes))])
}

#[tokio::test]
async fn gzip_is_read_and_broken_gzip_is_told() {
    let server = Server::new(|asked| {
        assert_eq!(asked.headers["accept-encoding"], "gzip");
        compressed(gzip(b"a 1\n"))
    })
    .await;
    let source = Running::start(ONE, &[&server]);
    source.until_up().await;
    assert_eq!(source.values("a")[0], 1.0);
    let mut broken = gzip(&b"a 1\n".repeat(100));
    broken.truncate(broken.len() - 9);
    let server = answering(compressed(broken)).await;
    let source = Running::start(ONE, &[&server]);
    says(&source.until_down().await, &["not sound gzip"]);
    counted(&source, "decode");
}

#[tokio::test]
async fn a_huge_body_is_cut_off_also_where_it_is_a_bomb() {
    let line = Bytes::from("a 1\n".repeat(1_000));
    let headers = vec![("content-type", "text/plain".to_owned())];
    let server = answering(Reply::Whole(
        200,
        headers,
        vec![Part::Repeat(line, 100_000)],
    ))
    .await;
    let yaml = format!("{ONE}\nbody_size_limit: 64KB");
    let source = Running::start(&yaml, &[&server]);
    says(
        &source.until_down().await,
        &["longer than 65536 bytes", "(body_size_limit)"],
    );
    counted(&source, "body_size_limit");
    assert!(server.sent() < 50_000_000, "{}", server.sent());
    let bomb = answering(compressed(gzip(&vec![b'\n'; 20_000_000]))).await;
    let source = Running::start(&yaml, &[&bomb]);
    says(&source.until_down().await, &["longer than 65536 bytes"]);
}

#[tokio::test]
async fn a_slow_target_is_given_up_and_takes_no_place_of_others() {
    let hangs = answering(Reply::Silence).await;
    let stops = answering(Reply::Whole(
        200,
        vec![("content-type", "text/plain".to_owned())],
        vec![Part::Bytes(Bytes::from_static(b"a 1\n")), Part::Hang],
    ))
    .await;
    let well = exposing(|_| "well 1\n".to_owned()).await;
    let yaml = "static_configs: [{targets: ['{}', '{}', '{}']}]\nscrape_interval: 200ms\nscrape_timeout: 100ms\nconcurrency: 1";
    let source = Running::start(yaml, &[&hangs, &stops, &well]);
    source
        .until("two are down", |own| {
            let down = own
                .targets()
                .iter()
                .filter(|target| target.health == Health::Down)
                .count();
            down == 2 && own.values("well").len() > 3
        })
        .await;
    let errors: Vec<String> = source
        .targets()
        .into_iter()
        .map(|target| target.last_error)
        .collect();
    assert!(
        errors
            .iter()
            .filter(|error| error.contains("scrape_timeout") || error.contains("no place"))
            .count()
            == 2,
        "{errors:?}"
    );
    let before = source.values("well").len();
    source
        .until("the third is scraped all the same", |own| {
            own.values("well").len() >= before + 4
        })
        .await;
}

#[tokio::test]
async fn connections_that_are_refused_or_cut_are_told() {
    let cut = answering(Reply::Whole(
        200,
        vec![("content-type", "text/plain".to_owned())],
        vec![Part::Bytes(Bytes::from_static(b"a 1\n")), Part::Cut],
    ))
    .await;
    let source = Running::start(ONE, &[&cut]);
    says(&source.until_down().await, &["broke after 4 bytes"]);
    counted(&source, "connect");
    assert!(source.values("a").is_empty());
    let source = Running::start("static_configs: [{targets: ['127.0.0.1:1']}]", &[]);
    says(&source.until_down().await, &["refused"]);
}

#[tokio::test]
async fn redirections_are_followed_but_secrets_stay() {
    let end = exposing(|asked| {
        format!(
            "a {}\n",
            u8::from(asked.headers.contains_key("authorization"))
        )
    })
    .await;
    let address = end.address;
    let start = Server::new(move |asked| {
        assert_eq!(asked.headers["authorization"], "Bearer abc");
        match asked.path.as_str() {
            "/metrics" => Reply::with(302, &[("location", "/again?x=1")], ""),
            _ => Reply::with(
                307,
                &[("location", &format!("http://{address}/metrics"))],
                "",
            ),
        }
    })
    .await;
    let yaml = format!("{ONE}\nbearer_token: abc");
    let source = Running::start(&yaml, &[&start]);
    source.until_up().await;
    assert_eq!(source.values("a")[0], 0.0);
    let source = Running::start(&format!("{yaml}\nfollow_redirects: false"), &[&start]);
    says(
        &source.until_down().await,
        &["302 Found", "points to /again"],
    );
    counted(&source, "status");
    let circle = answering(Reply::with(301, &[("location", "/metrics")], "")).await;
    let source = Running::start(ONE, &[&circle]);
    says(
        &source.until_down().await,
        &["redirected more than 10 times"],
    );
}

#[tokio::test]
async fn limits_fail_the_whole_scrape() {
    let server = exposing(|_| "a{b=\"cdef\"} 1\nc 1\nd 1\n".to_owned()).await;
    let cases = [
        (
            "sample_limit: 2",
            "sample_limit",
            "3 samples after relabelling, where sample_limit is 2",
        ),
        (
            "label_limit: 3",
            "label_limit",
            "4 labels, where label_limit is 3",
        ),
        (
            "label_name_length_limit: 7",
            "label_limit",
            "__name__ has 8 bytes",
        ),
        ("label_value_length_limit: 6", "label_limit", "instance"),
        ("target_limit: 0", "", ""),
    ];
    for (limit, cause, part) in cases {
        let source = Running::start(&format!("{ONE}\n{limit}"), &[&server]);
        if cause.is_empty() {
            source.until_up().await;
            continue;
        }
        says(&source.until_down().await, &[part]);
        counted(&source, cause);
        assert!(source.values("c").is_empty(), "{limit}");
    }
    let dropping = "sample_limit: 2\nmetric_relabel_configs: [{source_labels: [__name__], regex: d, action: drop}]";
    let source = Running::start(&format!("{ONE}\n{dropping}"), &[&server]);
    source.until_up().await;
}

#[tokio::test]
async fn too_many_targets_are_not_asked_at_all() {
    let one = exposing(|_| "a 1\n".to_owned()).await;
    let other = exposing(|_| "a 1\n".to_owned()).await;
    let yaml = "static_configs: [{targets: ['{}', '{}']}]\ntarget_limit: 1";
    let source = Running::start(yaml, &[&one, &other]);
    says(&source.until_down().await, &["2 targets", "target_limit"]);
    assert!(one.asked().is_empty() && other.asked().is_empty());
}
