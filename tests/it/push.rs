//! Alerts without a Prometheus: forethought sends them to a real Alertmanager, which groups, silences and
//! ends them as the shipped example says.

use crate::live::metrics_of_alerts;
use crate::support::{
    eventually,
    fake::document_of,
    http, now,
    program::{Program, command},
    read,
    server::{Answer, Server},
    servers::{PASTS, Past, Plain, alertmanager_of},
    throughout,
};
use forethought::{
    baseline::Band,
    engine::{Catalogue, Clock, Outcome, SeriesOutcome, UnitHandle},
    series::{Labels, Span},
    sink::alertmanager::{Pusher, Settings, Surroundings},
    telemetry::Telemetry,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The alerts that an Alertmanager holds to be on.
fn alerts(alertmanager: &Plain) -> Result<Vec<Value>, String> {
    let all = http::json(&alertmanager.address, "/api/v2/alerts")?;
    Ok(all.as_array().cloned().unwrap_or_default())
}

/// Those of this name, by the label `path`.
fn of(alertmanager: &Plain, name: &str) -> Result<Vec<Value>, String> {
    let mut found = alerts(alertmanager)?;
    found.retain(|alert| alert["labels"]["alertname"] == name);
    found.sort_by_key(|alert| alert["labels"]["path"].to_string());
    Ok(found)
}

fn post(alertmanager: &Plain, alerts: &Value) {
    let body = alerts.to_string();
    let kind = [("Content-Type", "application/json")];
    let address = &alertmanager.address;
    let reply = http::request("POST", address, "/api/v2/alerts", &kind, body.as_bytes());
    let reply = reply.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// A source with the three series of the shop; those of `/cart` and `/checkout` triple between two times.
struct Shop {
    server: Server,
    from: Arc<AtomicI64>,
    until: Arc<AtomicI64>,
}

impl Shop {
    fn open() -> Self {
        let from = Arc::new(AtomicI64::new(i64::MAX));
        let until = Arc::new(AtomicI64::new(i64::MAX));
        let (begin, end) = (Arc::clone(&from), Arc::clone(&until));
        let server = Server::start(move |asked| {
            let during = begin.load(Ordering::SeqCst)..end.load(Ordering::SeqCst);
            let value = |past: &Past, at: i64| {
                let odd = past.path != "/search" && during.contains(&at);
                past.at(at) * if odd { 3.0 } else { 1.0 }
            };
            Answer::json(200, document_of(asked, PASTS[0].1, value))
        });
        Self {
            server,
            from,
            until,
        }
    }

    /// Two of three series are anomalous from now on.
    fn go_wrong(&self) {
        self.until.store(i64::MAX, Ordering::SeqCst);
        self.from.store(now() / 1_000, Ordering::SeqCst);
    }

    /// And from now on none is.
    fn recover(&self) {
        self.until.store(now() / 1_000, Ordering::SeqCst);
    }

    /// A configuration in a hurry that sends alerts to these.
    fn configuration(&self, alertmanagers: &[&Plain]) -> String {
        let mut text = format!(
            r#"
global: {{evaluation_interval: 2s, external_labels: {{cluster: eu-1}}}}
sources: [{{name: main, prometheus: {{url: "http://{}"}}}}]
signals:
  - name: shop_requests
    query: shop_requests_per_second
    step: 2s
    history: 2h
    offset: 1s
    max_age: 20s
    seasonality: [10m]
    alerting: {{for: 4s, recover_for: 4s, refractory: 2s}}
    forecast: {{horizons: []}}
"#,
            self.server.address()
        );
        if !alertmanagers.is_empty() {
            text += "alertmanagers:\n";
        }
        for alertmanager in alertmanagers {
            // The default `resend`: an alert runs out after four minutes, far later than any test waits.
            text += &format!("  - {{url: \"http://{}\"}}\n", alertmanager.address);
        }
        text
    }
}

/// The example that is shipped, run by the real thing.
fn example() -> Plain {
    alertmanager_of(&read("alerts/alertmanager.yml"))
}

#[test]
fn a_group_page_silences_the_single_series_of_its_signal() {
    let alertmanager = example();
    let alert = |name: &str, signal: &str, severity: &str| {
        let labels = serde_json::json!({"alertname": name, "signal": signal, "severity": severity});
        serde_json::json!({"labels": labels})
    };
    for (group, single) in [
        // First: what is said of the other signal below would silence it.
        ("AnomalyEntityActive", "AnomalyActive"),
        ("AnomalyGroupActive", "AnomalySevere"),
        ("ForethoughtGroupAnomaly", "ForethoughtAnomaly"),
    ] {
        let both = [
            alert(group, group, "critical"),
            alert(single, group, "emergency"),
            alert(single, "other_signal", "emergency"),
        ];
        post(&alertmanager, &both.into_iter().collect());
        let state = |name: &str, signal: &str| -> Result<Value, String> {
            let all = of(&alertmanager, name)?;
            let found = all.iter().find(|alert| alert["labels"]["signal"] == signal);
            found
                .cloned()
                .ok_or_else(|| format!("no {name} of {signal}"))
        };
        let silenced = eventually("the single alert is silenced", 20, || {
            let found = state(single, group)?;
            if found["status"]["state"] == "suppressed" {
                Ok(found)
            } else {
                Err(found.to_string())
            }
        });
        let page = state(group, group).unwrap();
        let by = silenced["status"]["inhibitedBy"].as_array().unwrap();
        assert_eq!(by, std::slice::from_ref(&page["fingerprint"]));
        assert_ne!(page["status"]["state"], "suppressed", "{page}");
        let other = state(single, "other_signal").unwrap();
        assert_ne!(other["status"]["state"], "suppressed", "{other}");
    }
}

#[test]
fn an_anomaly_is_pushed_once_by_two_replicas_and_ends() {
    let (alertmanager, shop) = (example(), Shop::open());
    let configuration = shop.configuration(&[&alertmanager]);
    let url = "--web.external-url=https://forethought.example.org/";
    let one = Program::ready(&configuration, &["--replica=one", url]);
    let other = Program::ready(&configuration, &["--replica=other", url]);
    throughout(
        "nothing is sent before anything happens",
        3,
        || match alerts(&alertmanager)?.as_slice() {
            [] => Ok(()),
            some => Err(format!("{some:?}")),
        },
    );

    shop.go_wrong();
    let singles = eventually("both series are told, the group too", 60, || {
        let singles = of(&alertmanager, "ForethoughtAnomaly")?;
        let group = of(&alertmanager, "ForethoughtGroupAnomaly")?;
        let silenced = |alert: &&Value| alert["status"]["state"] == "suppressed";
        let silenced = singles.iter().filter(silenced).count();
        if (singles.len(), silenced, group.len()) == (2, 2, 1) {
            Ok(singles)
        } else {
            Err(format!("{singles:?} {group:?}"))
        }
    });
    let labels = &singles[0]["labels"];
    let expected = serde_json::json!({
        "alertname": "ForethoughtAnomaly", "cluster": "eu-1", "path": "/cart", "severity": labels["severity"],
        "signal": "shop_requests",
    });
    assert_eq!(*labels, expected, "neither replica is in the labels");
    let words = ["info", "warning", "critical", "emergency"];
    assert!(
        words.contains(&labels["severity"].as_str().unwrap()),
        "{labels}"
    );
    assert_eq!(singles[0]["annotations"]["direction"], "above");
    let page = "https://forethought.example.org";
    assert_eq!(singles[0]["generatorURL"], page);
    // Both replicas sent all of it, and it is one alert each.
    for program in [&one, &other] {
        eventually("both send", 30, || {
            let metrics = program.metrics()?;
            match metrics.value("forethought_alertmanager_notifications_total", &[])? {
                told if told >= 3.0 => Ok(()),
                told => Err(told.to_string()),
            }
        });
    }
    // What the shipped alert on pushing uses is there.
    let exposed = one.metrics().unwrap();
    let used = metrics_of_alerts().into_iter();
    let used: Vec<String> = used
        .filter(|name| name.starts_with("forethought_alertmanager_"))
        .collect();
    assert!(!used.is_empty());
    for name in used {
        assert!(exposed.families().contains(&name.as_str()), "{name}");
    }
    throughout("one alert of each", 3, || {
        match (
            of(&alertmanager, "ForethoughtAnomaly")?.len(),
            of(&alertmanager, "ForethoughtGroupAnomaly")?.len(),
        ) {
            (2, 1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });

    shop.recover();
    eventually(
        "they end, long before they would run out",
        60,
        || match alerts(&alertmanager)?.as_slice() {
            [] => Ok(()),
            some => Err(format!("{some:?}")),
        },
    );
}

/// One series in an outcome; `worst` 0 is as expected.
fn judged(at: i64, since: i64, severity: u8, worst: u8) -> Outcome {
    let series = SeriesOutcome {
        labels: Labels::new([("path", "/cart")]).unwrap(),
        value: 30.0,
        band: Band {
            expected: 10.0,
            lower: 8.0,
            upper: 12.0,
            scale: 1.0,
        },
        score: f32::from(worst),
        active: worst > 0,
        severity,
        direction: i8::from(worst > 0),
        began: false,
        since: (worst > 0).then_some(since),
        worst,
        reason: None,
    };
    Outcome {
        unit: "shop_requests".into(),
        at,
        series: vec![series],
        ..Outcome::default()
    }
}

#[test]
fn another_severity_is_never_a_second_alert() {
    let alertmanager = alertmanager_of("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n");
    let (sender, outcome) = watch::channel(None);
    let catalogue = Arc::new(Catalogue::default());
    catalogue.replace(vec![Arc::new(UnitHandle {
        name: "shop_requests".into(),
        kind: "signal",
        step: Span::minutes(1),
        outcome,
        max_age: Span::minutes(5),
        report: Arc::default(),
        trail: Arc::default(),
    })]);
    let around = Surroundings {
        clock: Clock::System,
        events: Telemetry::default().sink,
        external_labels: BTreeMap::new(),
        page: None,
    };
    let settings = Settings::new(&format!("http://{}", alertmanager.address));
    let pusher = Pusher::build(&settings, around).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(pusher.run(catalogue, CancellationToken::new()));

    let begun = now() - 10_000;
    // Rises, falls (what was reached stays), rises again, and is over.
    for (step, severity, worst, told) in [
        (0, 1, 1, vec!["info"]),
        (1, 3, 3, vec!["critical"]),
        (2, 1, 3, vec!["critical"]),
        (3, 4, 4, vec!["emergency"]),
        (4, 0, 0, vec![]),
    ] {
        let judged = judged(begun + step * 1_000, begun, severity, worst);
        sender.send_replace(Some(Arc::new(judged)));
        let said = || -> Result<(), String> {
            let found = of(&alertmanager, "ForethoughtAnomaly")?;
            let severities = found.iter().map(|alert| &alert["labels"]["severity"]);
            if severities.eq(told.iter()) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        };
        eventually("the severity is told", 20, said);
        throughout("and no other", 2, said);
    }
    runtime.shutdown_background();
}

#[test]
fn a_reload_adds_and_removes_alertmanagers() {
    let (first, second, shop) = (example(), example(), Shop::open());
    let flags = ["--web.enable-lifecycle"];
    let program = Program::ready(&shop.configuration(&[&first]), &flags);
    let reload = |alertmanagers: &[&Plain]| {
        program.rewrite(&shop.configuration(alertmanagers));
        let reply = http::request("POST", program.address(), "/-/reload", &[], b"").unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    let up = |alertmanager: &Plain| {
        let label = format!("alertmanager=\"http://{}\"", alertmanager.address);
        let metrics = program.metrics().unwrap();
        metrics.values("forethought_alertmanager_up", &[&label])
    };
    let told = |alertmanager: &Plain| {
        eventually("it is told", 60, || match up(alertmanager)[..] {
            [1.0] if of(alertmanager, "ForethoughtAnomaly")?.len() == 2 => Ok(()),
            ref other => Err(format!("{other:?}")),
        });
    };
    assert_eq!(up(&first), [0.0]);
    assert_eq!(up(&second), [0.0; 0]);
    shop.go_wrong();
    told(&first);
    reload(&[&first, &second]);
    // What is on was sent to the first before there was a second.
    told(&second);
    reload(&[&second]);
    assert_eq!(up(&first), [0.0; 0]);
    shop.recover();
    eventually("the second hears of the end", 60, || {
        match alerts(&second)?.len() {
            0 => Ok(()),
            some => Err(format!("{some} alerts")),
        }
    });
    let forgotten = of(&first, "ForethoughtAnomaly").unwrap();
    assert_eq!(forgotten.len(), 2, "nobody resolves what was removed");
}

#[test]
fn check_judges_alertmanagers() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("forethought.yml");
    let check = |alertmanager: &str| {
        let text = format!(
            "{}alertmanagers: [{alertmanager}]\n",
            read("tests/it/cli/good.yml")
        );
        std::fs::write(&file, text).unwrap();
        command(&["check", file.to_str().unwrap()])
    };
    let (code, out, err) = check("{url: http://alertmanager:9093}");
    assert_eq!(code, 0, "{err}");
    let last = "1 source, 1 signal, 0 panels, 1 alertmanager: no problem found\n";
    assert!(out.ends_with(last), "{out}");
    for (wrong, path) in [
        ("{url: alertmanager}", "alertmanagers[0].url: "),
        ("{url: http://a, resend: 2h}", "alertmanagers[0].resend: "),
        (
            "{url: http://a, basic_auth: {username: u, password_file: nowhere}}",
            "alertmanagers[0].basic_auth.password_file: cannot read",
        ),
        (
            "{url: http://a, tls_config: {ca_file: forethought.yml}}",
            "alertmanager http://a: tls_config.ca_file: ",
        ),
    ] {
        let (code, _, err) = check(wrong);
        assert_eq!(code, 2, "{wrong}");
        assert!(err.contains(path), "{err}");
    }
}
