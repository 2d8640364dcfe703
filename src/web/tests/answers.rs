//! What each path says.

use super::*;

#[test]
fn every_path_answers_to_its_methods() {
    local(async {
        let server = start(3, |state| state.lifecycle = None).await;
        let cases = [
            ("GET", "/", 200, "<!doctype html>"),
            ("GET", "/page.css", 200, ""),
            ("GET", "/page.js", 200, ""),
            ("GET", "/workloads.js", 200, ""),
            ("GET", "/favicon.ico", 204, ""),
            ("GET", "/metrics", 200, "# HELP anomaly_score"),
            ("GET", "/-/healthy", 200, "healthy"),
            ("GET", "/-/ready", 200, "ready"),
            ("GET", "/api/v1/status", 200, "\"version\""),
            ("GET", "/api/v1/signals", 200, "\"load\""),
            ("GET", "/api/v1/series?signal=load", 200, "\"points\""),
            ("GET", "/api/v1/series?signal=load", 200, "\"drift\":1.25"),
            ("GET", "/nothing", 404, "/api/v1/series"),
            ("GET", "/nothing", 404, "/api/v1/predictions/current"),
            ("GET", "/metrics/", 404, "/metrics"),
            ("GET", "/nothing", 404, "/api/v1/predictions/current, "),
            ("GET", "/api/v1/nothing", 404, "/api/v1/workloads"),
            ("GET", "/api/v1/events/a/b", 404, "/api/v1/events, "),
            ("POST", "/metrics", 405, "GET, HEAD"),
            ("POST", "/api/v1/workloads", 405, "GET, HEAD"),
            (
                "GET",
                "/api/v1/workloads?name=x%00",
                400,
                "control character",
            ),
            ("GET", "/metrics?name[]=%07", 400, "control character"),
            ("DELETE", "/api/v1/status", 405, "GET, HEAD"),
            ("GET", "/-/reload", 405, "POST, PUT"),
            ("POST", "/-/reload", 403, "--web.enable-lifecycle"),
            ("PUT", "/-/quit", 403, "--web.enable-lifecycle"),
            (
                "GET",
                "/metrics?nmae[]=x",
                400,
                "unknown parameter \"nmae[]\"; known here: \"name[]\"",
            ),
            ("GET", "/-/healthy?x", 400, "takes none"),
            (
                "GET",
                "/api/v1/series",
                400,
                "parameter \\\"signal\\\" is missing: there are load, queue",
            ),
            (
                "GET",
                "/api/v1/series?signal=x",
                404,
                "there are load, queue",
            ),
            (
                "GET",
                "/api/v1/series?signal=load&limit=0",
                400,
                "a whole number from 1 to 200",
            ),
            (
                "GET",
                "/api/v1/series?signal=load&limit=many",
                400,
                "a whole number from 1 to 200",
            ),
            (
                "GET",
                "/api/v1/series?signal=load&since=yesterday",
                400,
                "milliseconds since the epoch",
            ),
            (
                "GET",
                "/api/v1/series?signal=load&signal=x",
                400,
                "more than once",
            ),
        ];
        for (method, path, status, part) in cases {
            let answer = ask(server.addr, method, path, "").await;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            assert!(
                answer.text().contains(part),
                "{method} {path}: {}",
                answer.text()
            );
            if status == 405 {
                assert_eq!(answer.header("allow"), part);
            }
            if status >= 400 {
                let problem = path.starts_with("/api/");
                let kind = match problem {
                    true => "application/problem+json",
                    false => "text/plain; charset=utf-8",
                };
                assert_eq!(answer.header("content-type"), kind, "{method} {path}");
                assert!(
                    !problem || answer.json()["status"] == status,
                    "{method} {path}"
                );
            }
            let length = answer.body.len().to_string();
            assert!(status == 204 || answer.header("content-length") == length);
            assert!(
                answer
                    .header("content-security-policy")
                    .starts_with("default-src 'self';")
            );
        }
    });
}

#[test]
fn the_format_is_negotiated() {
    local(async {
        let server = start(3, |_| {}).await;
        let cases = [
            ("", "text/plain; version=0.0.4; charset=utf-8", false, false),
            (
                "accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n",
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
                true,
                false,
            ),
            (
                "accept: text/plain;version=0.0.4;q=0.3\r\naccept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6\r\n",
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
                true,
                true,
            ),
            (
                "accept: text/plain;version=1.0.0;escaping=values\r\n",
                "text/plain; version=1.0.0; charset=utf-8; escaping=values",
                false,
                false,
            ),
        ];
        for (headers, content_type, open_metrics, utf8) in cases {
            let answer = ask(server.addr, "GET", "/metrics", headers).await;
            assert_eq!(answer.header("content-type"), content_type);
            assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
            let read = strict::read(&answer.text(), open_metrics, utf8);
            let sample = &read.family("anomaly_score").samples[2];
            assert_eq!(sample.labels.contains_key("k8s.ns"), utf8, "{sample:?}");
            assert_eq!(sample.value, 0.5);
        }
    });
}

#[test]
fn gzip_is_one_stream_with_the_same_text() {
    local(async {
        let server = start(5_000, |_| {}).await;
        let path = "/metrics?name[]=predicted_load&name[]=anomaly_score";
        let plain = get(server.addr, path).await;
        assert_eq!(plain.header("content-encoding"), "");
        let packed = ask(server.addr, "GET", path, "accept-encoding: gzip\r\n").await;
        assert_eq!(packed.header("content-encoding"), "gzip");
        assert!(
            packed.body.len() * 5 < plain.body.len(),
            "{}",
            packed.body.len()
        );
        let mut decoder = GzDecoder::new(packed.body.as_slice());
        let mut text = String::new();
        decoder.read_to_string(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "one member");
        assert_eq!(text, plain.text());
        assert_eq!(
            text.lines().filter(|line| !line.starts_with('#')).count(),
            10_000
        );
    });
}

#[test]
fn only_the_families_asked_for_come() {
    local(async {
        let server = start(2, |_| {}).await;
        let answer = get(server.addr, "/metrics?name%5B%5D=predicted_load").await;
        let read = strict::read(&answer.text(), false, false);
        assert_eq!(read.families.len(), 1);
        assert_eq!(read.family("predicted_load").samples.len(), 2);
    });
}

#[test]
fn our_own_metrics_are_among_them_and_count() {
    local(async {
        let server = start(2, |_| {}).await;
        get(server.addr, "/metrics").await;
        get(server.addr, "/nothing").await;
        let text = get(server.addr, "/metrics").await.text();
        let read = strict::read(&text, false, false);
        let value = |name: &str, pairs: &[(&str, &str)]| {
            let samples = read.families.iter().flat_map(|family| &family.samples);
            let found = samples.filter(|sample| sample.name == name).find(|sample| {
                pairs
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|own| own == value))
            });
            found.map(|sample| sample.value)
        };
        let requests = "forethought_web_requests_total";
        assert_eq!(
            value(requests, &[("handler", "metrics"), ("code", "200")]),
            Some(1.0)
        );
        assert_eq!(
            value(requests, &[("handler", "unknown"), ("code", "404")]),
            Some(1.0)
        );
        assert_eq!(
            value(requests, &[("handler", "metrics"), ("code", "503")]),
            Some(0.0)
        );
        assert_eq!(value("forethought_web_requests_in_flight", &[]), Some(1.0));
        assert!(value("forethought_web_exposition_series", &[]) > Some(4.0));
        assert_eq!(
            value("forethought_web_exposition_duplicates", &[]),
            Some(0.0)
        );
    });
}

#[test]
fn an_outcome_that_is_too_old_is_not_served() {
    local(async {
        let server = start(2, |state| state.clock = Clock::scaled(NOW + 300_000, 1.0)).await;
        let text = get(server.addr, "/metrics").await.text();
        assert!(!text.contains("predicted_load"), "{text}");
        let answer = get(server.addr, "/api/v1/series?signal=load").await.json();
        let first = &answer["series"][0];
        assert_eq!(first["labels"], json!({"pod": "a"}));
        assert_eq!(
            (&first["score"], &first["forecasts"]),
            (&Value::Null, &json!([]))
        );
        assert_eq!(first["points"][0][1], json!(2.0), "the past is still true");
        let signals = get(server.addr, "/api/v1/signals").await.json();
        let why = &signals["signals"][0]["silent_because"];
        assert_eq!(why, "the newest evaluation is older than max_age (5m)");
    });
}

#[test]
fn a_source_that_has_no_answer_is_not_well_though_its_last_outcome_is_served() {
    local(async {
        let server = start(2, |state| {
            let failing = unit("load", Some(outcome(2)));
            {
                let mut report = failing.report.lock().unwrap();
                report.phase = "failing".to_owned();
                report.last_error = Some(("connection refused".to_owned(), 1.0));
            }
            state.catalogue.replace(vec![failing]);
        })
        .await;
        let health = get(server.addr, "/api/v1/health").await.json();
        let signals = &health["parts"][1];
        assert_eq!(signals["score"], json!(0.0), "{health}");
        assert_eq!(
            signals["problems"],
            json!(["load: what is served gets old: connection refused"])
        );
    });
}

#[test]
fn the_same_series_twice_is_left_out_and_told() {
    local(async {
        let server = start(2, |state| {
            let twice = vec![
                unit("load", Some(outcome(2))),
                unit("more", Some(outcome(3))),
            ];
            state.catalogue.replace(twice);
        })
        .await;
        let text = get(server.addr, "/metrics").await.text();
        let read = strict::read(&text, false, false);
        assert_eq!(read.family("predicted_load").samples.len(), 3);
        let text = get(
            server.addr,
            "/metrics?name[]=forethought_web_exposition_duplicates",
        )
        .await;
        assert!(text.text().ends_with("_duplicates 4\n"), "{}", text.text());
    });
}

#[test]
fn the_page_gets_what_it_draws() {
    local(async {
        let server = start(2, |_| {}).await;
        let answer = get(server.addr, "/api/v1/series?signal=load&limit=2")
            .await
            .json();
        let at = NOW - 40_000;
        assert!(answer["now"].as_i64().unwrap() >= NOW);
        let want = json!([
            {
                "labels": {"pod": "c"}, "active": true, "severity": "critical", "direction": 1, "score": 2.5,
                "since": NOW, "reason": null, "not_believed": null, "evidence": null,
                "points": [[at, 2.0, 1.0, 0.5, null, 2.5, 1]],
                "forecasts": [{"horizon": "15m", "at": at + 900_000, "expected": 3.0, "lower": 2.5, "upper": 3.5, "link": "ensemble"}],
            },
            {
                "labels": {"pod": "a"}, "active": false, "severity": "none", "direction": 0, "score": 0.5,
                "since": null, "reason": null, "not_believed": null, "evidence": null,
                "points": [[at, 2.0, 1.0, 0.5, null, 0.5, 0]],
                "forecasts": [{"horizon": "15m", "at": at + 900_000, "expected": 3.0, "lower": 2.5, "upper": 3.5, "link": "ensemble"}],
            },
        ]);
        assert_eq!(answer["series"], want);
        assert_eq!(
            (&answer["signal"], &answer["step_ms"]),
            (&json!("load"), &json!(60_000))
        );
        let all = get(server.addr, "/api/v1/series?signal=load").await.json();
        assert_eq!(all["series"][2]["forecasts"], json!([]));
        assert_eq!(all["series"][2]["score"], Value::Null);
        let signals = get(server.addr, "/api/v1/signals").await.json();
        assert_eq!(
            signals["signals"],
            json!([
                {"name": "load", "kind": "signal", "step_ms": 60_000, "series": 3, "active": 1, "phase": "running", "silent_because": null},
                {"name": "queue", "kind": "signal", "step_ms": 60_000, "series": 3, "active": 0, "phase": "backfilling", "silent_because": "not evaluated yet"},
            ])
        );
        let status = get(server.addr, "/api/v1/status").await.json();
        assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(status["shard"], Value::Null);
        assert_eq!(status["units"][1]["backfilled"], 0.4);
        assert_eq!(status["config"]["last_reload_successful"], false);
    });
}

#[test]
fn the_page_gets_why_and_who_is_farthest_off() {
    local(async {
        let server = start(2, |state| {
            let mut outcome = outcome(2);
            let reason = Reason {
                detectors: vec![("dbscan", 2.5)],
                channels: vec![Channel {
                    signal: "cpu".to_owned(),
                    share: Some(0.75),
                    far: -4.0,
                    value: 0.5,
                    expected: f32::NAN,
                }],
                peers: Some(Around {
                    present: 3,
                    together: 2,
                    between: Some((0.25, 0.5)),
                    named: vec![labels("a"), labels("b")],
                }),
            };
            outcome.series[2].reason = Some(Box::new(reason));
            let group = |active: usize, judged: usize, top: Vec<Contributor>| Group {
                labels: labels(&format!("{active}/{judged}")),
                judged,
                active,
                top,
            };
            let farthest = Contributor {
                index: 2,
                score: 4.5,
            };
            outcome.groups = vec![
                group(1, 4, vec![farthest]),
                group(0, 5, Vec::new()),
                group(1, 2, vec![farthest]),
            ];
            state.catalogue.replace(vec![unit("load", Some(outcome))]);
        })
        .await;
        let answer = get(server.addr, "/api/v1/series?signal=load").await.json();
        let series = &answer["series"][0];
        let evidence = json!({
            "detectors": [{"detector": "dbscan", "score": 2.5}],
            "channels": [{"signal": "cpu", "share": 0.75, "distance": -4.0, "value": 0.5, "expected": null}],
            "peers": {"present": 3, "together": 2, "lower": 0.25, "upper": 0.5, "others": [{"pod": "a"}, {"pod": "b"}]},
        });
        assert_eq!(series["evidence"], evidence);
        assert_eq!(
            series["reason"],
            "most of it is cpu (-4.0 widths of its noise, 75 %); 2 of 3 peers are between 0.25 and 0.5 \
             (with {pod=\"a\"}, {pod=\"b\"}); dbscan 2.5"
        );
        let top =
            json!([{"labels": {"pod": "c"}, "score": 4.5, "severity": "critical", "direction": 1}]);
        let groups = json!([
            {"labels": {"pod": "1/2"}, "series": 2, "active": 1, "ratio": 0.5, "top": top},
            {"labels": {"pod": "1/4"}, "series": 4, "active": 1, "ratio": 0.25, "top": top},
        ]);
        assert_eq!(answer["groups"], groups);
    });
}

#[test]
fn not_ready_says_what_is_missing() {
    local(async {
        let server = start(2, |state| state.ready = Arc::default()).await;
        let answer = get(server.addr, "/-/ready").await;
        assert_eq!(answer.status, 503);
        let want = "not ready: 1 of 2 units have no result yet: queue (backfilling, 40 % of the history read)\n";
        assert_eq!(answer.text(), want);
        server.state.ready.store(true, Ordering::Release);
        assert_eq!(get(server.addr, "/-/ready").await.status, 200);
    });
}

#[test]
fn head_has_the_length_and_no_body() {
    local(async {
        let server = start(50, |_| {}).await;
        let path = "/metrics?name[]=predicted_load";
        let full = get(server.addr, path).await;
        let head = ask(server.addr, "HEAD", path, "").await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-length"), full.header("content-length"));
        assert_eq!(head.body, b"");
    });
}

#[test]
fn everything_is_behind_the_prefix() {
    local(async {
        let server = start(1, |state| {
            state.settings.route_prefix = "/fore".to_string();
            state.settings.telemetry_path = "/m".to_string();
        })
        .await;
        for (path, status) in [
            ("/fore/m", 200),
            ("/m", 404),
            ("/fore/metrics", 404),
            ("/fore/", 200),
            ("/fore/-/healthy", 200),
        ] {
            assert_eq!(get(server.addr, path).await.status, status, "{path}");
        }
        let answer = get(server.addr, "/").await;
        assert_eq!((answer.status, answer.header("location")), (302, "/fore/"));
    });
}

#[test]
fn who_pushes_before_the_configuration_is_in_force_comes_again() {
    local(async {
        let server = start(1, |_| ()).await;
        let push = async || {
            ask(
                server.addr,
                "POST",
                "/api/v1/write",
                "content-length: 0\r\n",
            )
            .await
        };
        let early = push().await;
        assert_eq!((early.status, early.header("retry-after")), (503, "1"));
        server.state.config.lock().unwrap().last_reload_success = Some(1.0);
        assert_eq!(push().await.status, 404);
    });
}
