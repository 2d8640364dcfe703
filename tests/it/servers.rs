//! The servers the other tests stand on are what those tests take them for.

use crate::support::{
    eventually, http,
    server::Target,
    servers::{
        HISTORY, PASTS, alertmanager, history_end, instant_at, prometheus, victoria_metrics,
    },
};

#[test]
fn prometheus_has_the_history_and_scrapes_on() {
    let target = Target::start(|| "smoke_value 7\n".to_owned());
    let _scrape = prometheus().scrape("smoke", "here", &target.address());
    let value = eventually("the target is scraped", 20, || {
        prometheus().value("smoke_value{job=\"smoke\",instance=\"here\"}")
    });
    assert_eq!(value, 7.0);
    for (job, pasts) in PASTS {
        let metric = pasts[0].metric;
        let count = format!("count_over_time({metric}{{job=\"{job}\"}}[{HISTORY}s])");
        for (labels, samples) in prometheus().query(&count).unwrap() {
            assert!(samples > 5_000.0, "{labels}: {samples}");
        }
    }
}

#[test]
fn victoria_metrics_has_the_same_history() {
    let past = PASTS[0].1[0];
    let query = format!(
        "count_over_time({}{{path=\"{}\"}}[{HISTORY}s])",
        past.metric, past.path
    );
    let found = instant_at(&victoria_metrics().address, &query, history_end()).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].1 > 5_000.0, "{found:?}");
}

#[test]
fn alertmanager_answers() {
    http::json(&alertmanager().address, "/api/v2/alerts").unwrap();
}
