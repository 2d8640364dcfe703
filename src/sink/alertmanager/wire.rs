//! Alerts as the Alertmanager API v2 wants them (`postableAlerts` of its `api/v2/openapi.yaml`).

use super::book::Notice;
use crate::series::Millis;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// Where alerts are posted to.
pub(super) const PATH: &str = "/api/v2/alerts";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert<'n> {
    labels: BTreeMap<&'n str, &'n str>,
    annotations: &'n BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'n str>,
}

/// The body of one request; `page` is where people find more.
pub(super) fn body(notices: &[Notice], page: Option<&str>) -> Bytes {
    let alerts: Vec<PostableAlert<'_>> = notices
        .iter()
        .map(|notice| PostableAlert {
            labels: notice.key.1.iter().collect(),
            annotations: &notice.annotations,
            starts_at: rfc3339(notice.starts_at),
            ends_at: rfc3339(notice.ends_at),
            generator_url: page,
        })
        .collect();
    // Maps with text keys and text: nothing in it that JSON cannot say.
    serde_json::to_vec(&alerts).unwrap_or_default().into()
}

fn rfc3339(at: Millis) -> String {
    let time = Timestamp::from_millisecond(at);
    time.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
