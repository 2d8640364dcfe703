//! The real loop: a target, Prometheus, forethought, Prometheus, an alert, Alertmanager.

use crate::{
    dashboards::queries,
    support::{
        eventually, http,
        live::{SIGNAL, live},
        servers::{alertmanager, prometheus},
        throughout,
    },
};
use serde_json::Value;

/// The value of a series about the shop in Prometheus.
fn shop(metric: &str, path: &str) -> Result<f64, String> {
    let labels = format!("job=\"shop\",instance=\"shop\",path=\"{path}\"");
    prometheus().value(&format!("{metric}{{{labels},signal=\"{SIGNAL}\"}}"))
}

/// Whether Alertmanager was sent this alert about this path.
fn received(alert: &str, path: &str) -> Result<Value, String> {
    let filter = http::encode(&format!("alertname=\"{alert}\""));
    let all = http::json(
        &alertmanager().address,
        &format!("/api/v2/alerts?filter={filter}"),
    )?;
    let all = all.as_array().cloned().unwrap_or_default();
    let about = |alert: &Value| alert.pointer("/labels/path") == Some(&path.into());
    all.into_iter()
        .find(about)
        .ok_or_else(|| format!("no {alert} about {path}"))
}

#[test]
fn an_anomaly_goes_all_the_way_to_alertmanager_and_ends() {
    let live = live();
    for path in ["/cart", "/checkout", "/search"] {
        eventually("a series is judged", 30, || shop("anomaly_score", path));
    }
    throughout("nothing is anomalous before anything happens", 5, || {
        for path in ["/cart", "/checkout", "/search"] {
            if shop("anomaly_active", path)? != 0.0 {
                return Err(format!("{path} is active"));
            }
        }
        received("AnomalyActive", "/cart").map_or(Ok(()), |alert| Err(alert.to_string()))
    });

    live.shop.multiply("/cart", 3.0);
    eventually("the verdict begins", 40, || {
        match shop("anomaly_active", "/cart")? {
            1.0 => Ok(()),
            other => Err(format!(
                "active: {other}, score: {:?}",
                shop("anomaly_score", "/cart")
            )),
        }
    });
    assert_eq!(shop("anomaly_direction", "/cart"), Ok(1.0));
    // Above 1 at the onset, just below while it goes on.
    assert!(shop("anomaly_score", "/cart").unwrap() >= 0.9);
    assert_eq!(
        shop("anomaly_active", "/search"),
        Ok(0.0),
        "another series is not concerned"
    );

    let alert = eventually("Alertmanager receives it", 30, || {
        received("AnomalyActive", "/cart")
    });
    let label = |name: &str| {
        alert
            .pointer(&format!("/labels/{name}"))
            .and_then(Value::as_str)
    };
    assert_eq!(
        label("job"),
        Some("shop"),
        "the labels of the source are kept: {alert}"
    );
    assert_eq!(label("instance"), Some("shop"));
    assert_eq!(label("signal"), Some(SIGNAL));
    assert_eq!(label("severity"), Some("info"));
    assert!(alert.pointer("/labels/exported_job").is_none());
    assert!(
        received("AnomalyActive", "/search").is_err(),
        "one series, one alert"
    );

    live.shop.multiply("/cart", 1.0);
    eventually("the verdict ends", 60, || {
        match shop("anomaly_active", "/cart")? {
            0.0 => Ok(()),
            other => Err(other.to_string()),
        }
    });
}

#[test]
fn what_is_derived_keeps_the_labels_of_its_source() {
    live();
    for metric in ["predicted_", "predicted_lower_", "predicted_upper_"] {
        for horizon in ["0s", "10s", "1m"] {
            let query = format!("{metric}{SIGNAL}{{horizon=\"{horizon}\"}}");
            let found = eventually("every horizon is scraped", 30, || {
                let found = prometheus().query(&query)?;
                if found.len() == 3 {
                    Ok(found)
                } else {
                    Err(format!("{query}: {}", found.len()))
                }
            });
            for (labels, _) in found {
                assert_eq!(labels["job"], "shop", "{labels}");
                assert_eq!(labels["instance"], "shop", "{labels}");
                assert!(labels.get("exported_job").is_none(), "{labels}");
            }
        }
    }
}

#[test]
fn a_forecast_lies_near_what_came() {
    live();
    // A season of ten minutes moves by a fifth of the level; a minute ahead it must be followed.
    let query = format!(
        "max(abs(predicted_{SIGNAL}{{horizon=\"10s\",path=\"/search\"}} offset 10s \
         / ignoring(horizon) shop_requests_per_second{{path=\"/search\"}} - 1))"
    );
    let error = eventually("a forecast has come true", 60, || {
        prometheus().value(&query)
    });
    assert!(error < 0.1, "off by {error}");
}

#[test]
fn every_panel_of_every_dashboard_shows_something() {
    live();
    for query in queries() {
        let filled = query.filled(
            SIGNAL,
            "10s",
            "shop_requests_per_second{job=\"shop\"}",
            "10s",
        );
        eventually(&query.place, 60, || {
            match prometheus().query(&filled)?.len() {
                0 => Err(format!("nothing: {filled}")),
                some => Ok(some),
            }
        });
    }
}

#[test]
fn prometheus_is_content_with_what_it_scrapes() {
    let live = live();
    let query = format!(
        "up{{job=\"forethought\",instance=\"{}\"}}",
        live.program.address()
    );
    assert_eq!(prometheus().value(&query), Ok(1.0));
    let log = prometheus().log();
    for complaint in [
        "out of order",
        "duplicate sample",
        "append failed",
        "too far into the future",
    ] {
        let complaint = complaint.to_lowercase();
        let found = log
            .lines()
            .find(|line| line.to_lowercase().contains(&complaint));
        assert_eq!(found, None);
    }
}

#[test]
fn every_metric_the_shipped_alerts_use_is_exposed() {
    let live = live();
    let exposed = live.program.metrics().unwrap();
    let families = exposed.families();
    let mut seen = 0;
    for used in metrics_of_alerts() {
        // Those are there where alerts are pushed (see `push`), where a model of the registry is named (see the tests of
        // `app`), where models are trained and there is more than a week of history (see `retrain`), where a store is
        // followed (see `store`), where events and decisions are kept (see `records`), where Kubernetes asks (see `external`),
        // where servers have certificates (see `keda` and `external`), and where shards divide the series (see `shard`).
        let elsewhere = [
            "forethought_alertmanager_",
            "forethought_training_",
            "forethought_model_store_",
            "forethought_store_",
            "forethought_external_front_proxy_",
            "forethought_external_last_reload_",
            "forethought_scaler_last_reload_",
        ];
        let named = [
            "forethought_model_info",
            "forethought_shards",
            "predicted_drift_score",
        ];
        if elsewhere.iter().any(|prefix| used.starts_with(prefix)) || named.contains(&used.as_str())
        {
            continue;
        }
        seen += 1;
        assert!(
            families.contains(&used.as_str()),
            "{used} is not exposed: {families:?}"
        );
    }
    assert!(seen > 10);
}

/// The metrics of ours in the expressions of the shipped alerts.
pub(crate) fn metrics_of_alerts() -> Vec<String> {
    let name = regex::Regex::new(r"\b(forethought|anomaly|predicted)_[a-z_]+").unwrap();
    let files = ["series", "forethought-self", "scaling"];
    let alerts = files.map(|file| crate::support::read(format!("alerts/{file}.yml")));
    let expressions = alerts.iter().flat_map(|text| text.lines()).filter(|line| {
        let line = line.trim();
        !line.starts_with('#') && !line.contains("without") && !line.contains("description")
    });
    let found = expressions.flat_map(|line| name.find_iter(line));
    let labels = ["forethought_replica", "predicted_lower_", "predicted_"];
    found
        .map(|found| found.as_str().to_owned())
        .filter(|found| !labels.contains(&found.as_str()))
        .collect()
}
