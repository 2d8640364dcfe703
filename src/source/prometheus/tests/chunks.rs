//! Long ranges: cut, asked for in parts, put together.

use super::{
    Asker, MINUTE, calm, minutes,
    server::{Asked, Reply, Server},
};
use crate::source::{Cause, Matrix, Source};
use std::fmt::Write;

/// An answer with `series` series `{s="000"}`.. whose value at each grid time is that time in minutes,
/// as Prometheus would give it.
fn honest(asked: &Asked, series: usize) -> Reply {
    let (start, end, step) = (
        asked.number("start"),
        asked.number("end"),
        asked.number("step"),
    );
    let mut values = String::new();
    let mut at = start;
    while at <= end {
        let comma = if at == start { "" } else { "," };
        write!(values, "{comma}[{at},\"{}\"]", at / 60).unwrap();
        at += step;
    }
    let rows: Vec<String> = (0..series)
        .map(|name| format!("{{\"metric\":{{\"s\":\"{name:03}\"}},\"values\":[{values}]}}"))
        .collect();
    let rows = rows.join(",");
    Reply::json(format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{rows}]}}}}"
    ))
}

#[track_caller]
fn is_whole(matrix: &Matrix, series: usize, points: i64) {
    assert_eq!(matrix.series.len(), series);
    let start = 60 * MINUTE;
    for one in &matrix.series {
        assert_eq!(one.samples.len(), points as usize);
        for (index, &(at, value)) in one.samples.iter().enumerate() {
            assert_eq!(at, start + index as i64 * MINUTE);
            assert_eq!(value, (at / MINUTE) as f64);
        }
    }
}

#[tokio::test]
async fn three_weeks_come_in_parts_each_grid_time_once() {
    let server = Server::new(|asked| honest(asked, 3)).await;
    let asker = Asker::new(&calm(&server));
    let points = 21 * 24 * 60;
    let mut request = minutes(points);
    request.max_series = 5_000;
    is_whole(&asker.source.range(request).await.unwrap(), 3, points);
    let mut asked = server.asked();
    asked.sort_by_key(|asked| asked.number("start"));
    let sizes: Vec<i64> = asked
        .iter()
        .map(|asked| (asked.number("end") - asked.number("start")) / 60 + 1)
        .collect();
    assert_eq!(sizes, [2_000, 11_000, 11_000, 6_240]);
}

#[tokio::test]
async fn a_source_that_finds_it_too_much_is_asked_for_less() {
    let too_much = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}"#;
    let server = Server::new(move |asked| {
        if asked.number("end") - asked.number("start") >= 60 * 60 {
            return Reply::status(422, too_much);
        }
        honest(asked, 2)
    })
    .await;
    let asker = Asker::new(&calm(&server));
    is_whole(&asker.ask(400).await.unwrap(), 2, 400);
    // 400, 200 and 100 were too much: each once, and never again.
    assert_eq!(asker.failures("query"), 3.0);
    assert_eq!(asker.retries(), 0.0);
}

#[tokio::test]
async fn an_answer_that_is_too_much_for_us_is_asked_for_in_smaller_parts() {
    let server = Server::new(|asked| honest(asked, 20)).await;
    let mut settings = calm(&server);
    settings.max_samples = 1_000;
    let asker = Asker::new(&settings);
    let mut request = minutes(200);
    request.max_series = 20;
    is_whole(&asker.source.range(request).await.unwrap(), 20, 200);
    assert_eq!(asker.failures("limit"), 0.0, "the estimate was right");
    let mut request = minutes(200);
    request.max_series = 5;
    let matrix = asker.source.range(request).await.unwrap();
    assert_eq!((matrix.series.len(), matrix.dropped), (5, 15));
    assert!(
        asker.failures("limit") > 0.0,
        "the estimate was wrong at first"
    );
    settings.max_samples = 10;
    let error = Asker::new(&settings).ask(200).await.unwrap_err();
    assert_eq!(error.cause, Cause::Limit);
    assert!(
        error.message.contains("more than 10 samples (max_samples)"),
        "{error}"
    );
}

#[tokio::test]
async fn the_same_series_are_left_out_each_time_and_named_once() {
    let server = Server::new(|asked| honest(asked, 20)).await;
    let asker = Asker::new(&calm(&server));
    let mut kept = Vec::new();
    for points in [1, 4, 500] {
        let mut request = minutes(points);
        request.max_series = 3;
        let matrix = asker.source.range(request).await.unwrap();
        assert_eq!(matrix.dropped, 17);
        let labels: Vec<String> = matrix.series.iter().map(|s| s.labels.to_string()).collect();
        kept.push(labels);
    }
    assert_eq!(kept[0], kept[1]);
    assert_eq!(kept[1], kept[2]);
    assert_eq!(asker.metric("series_dropped_total{source=\"main\"}"), 51.0);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_fails_the_whole() {
    let server = Server::new(|asked| {
        if asked.number("start") > 3_600 {
            return Reply::status(500, "boom");
        }
        honest(asked, 1)
    })
    .await;
    let asker = Asker::new(&calm(&server));
    let error = asker.ask(30_000).await.unwrap_err();
    assert_eq!(error.cause, Cause::Status);
}
