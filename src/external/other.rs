//! The other adapter: there can be only one of external metrics in a cluster, so what is not ours is asked for there.

use super::{answers::Refusal, settings::Proxy, wire};
use crate::source::prometheus::{HttpClient, Lost, plain_client, tls_stamp};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT, VIA},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::{fs, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// Said of every request that we hand on, so that one that comes back is seen.
pub(super) const NAME: &str = "1.1 forethought-external";
const AGENT: &str = concat!("forethought/", env!("CARGO_PKG_VERSION"));
/// Requests at the same time.
const AT_ONCE: usize = 64;
/// No list of values is longer.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// So much is repeated of an error that is no document of Kubernetes.
const QUOTED: usize = 200;
/// What may stand in a part of a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The other adapter.
pub struct Other {
    settings: Proxy,
    client: ArcSwap<HttpClient>,
    stamp: ArcSwap<u64>,
    room: Semaphore,
}

/// What it answered: a status and a document of Kubernetes.
pub(super) type Answered = (StatusCode, Bytes);

#[derive(Deserialize)]
struct Document {
    kind: String,
}

impl Other {
    /// Reads the files that are named. Sends nothing.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn build(settings: &Proxy) -> Result<Self, String> {
        let place = |problem| format!("proxy.{problem}");
        let stamp = tls_stamp(&settings.tls_config).map_err(place)?;
        let client = client(settings).map_err(place)?;
        if let Some(authorization) = &settings.authorization
            && let Some(file) = &authorization.credentials_file
        {
            let read = fs::read_to_string(file);
            read.map_err(|error| {
                format!(
                    "proxy.authorization.credentials_file {}: {error}",
                    file.display()
                )
            })?;
        }
        Ok(Self {
            settings: settings.clone(),
            client: ArcSwap::from_pointee(client),
            stamp: ArcSwap::from_pointee(stamp),
            room: Semaphore::new(AT_ONCE),
        })
    }

    /// Takes other certificates, where there are some; blocks.
    ///
    /// # Errors
    /// One of the files cannot be used. The former stay in force.
    pub fn renew(&self) -> Result<(), String> {
        let place = |problem| format!("proxy.{problem}");
        let newest = tls_stamp(&self.settings.tls_config).map_err(place)?;
        if newest != **self.stamp.load() {
            self.client
                .store(Arc::new(client(&self.settings).map_err(place)?));
            self.stamp.store(Arc::new(newest));
        }
        Ok(())
    }

    /// What it says of a metric.
    ///
    /// # Errors
    /// It says nothing that could be repeated.
    pub(super) async fn ask(
        &self,
        namespace: &str,
        metric: &str,
        selector: &str,
    ) -> Result<Answered, Refusal> {
        let url = &self.settings.url;
        let limit = self.settings.timeout.to_std();
        let Ok(_room) = self.room.try_acquire() else {
            return Err(Refusal::new(
                503,
                format!("{url} is asked too much at once"),
            ));
        };
        match timeout(limit, self.answer(namespace, metric, selector, limit)).await {
            Ok(answer) => answer,
            Err(_) => Err(Refusal::new(
                503,
                format!("{url} has not answered within {limit:?}"),
            )),
        }
    }

    async fn answer(
        &self,
        namespace: &str,
        metric: &str,
        selector: &str,
        limit: Duration,
    ) -> Result<Answered, Refusal> {
        let lost = |problem: String| {
            Refusal::new(
                503,
                format!(
                    "{metric:?} is not ours, and {}: {problem}",
                    self.settings.url
                ),
            )
        };
        let request = self
            .request(namespace, metric, selector)
            .await
            .map_err(lost)?;
        let client = self.client.load_full();
        let answer = client.request(request).await;
        let answer = answer.map_err(|error| lost(Lost::of(&error).text))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect();
        let body = timeout(limit, body).await;
        let body = body
            .map_err(|_| lost("the answer came too slowly".to_owned()))?
            .map_err(|error| lost(error.to_string()))?;
        repeated(status, body.to_bytes()).map_err(lost)
    }

    async fn request(
        &self,
        namespace: &str,
        metric: &str,
        selector: &str,
    ) -> Result<Request<Full<Bytes>>, String> {
        let encoded = |text| utf8_percent_encode(text, PLAIN);
        let mut uri = format!(
            "{}/apis/{}/namespaces/{}/{}",
            self.settings.url.trim_end_matches('/'),
            wire::group_version(),
            encoded(namespace),
            encoded(metric)
        );
        if !selector.is_empty() {
            uri.push_str(&format!("?labelSelector={}", encoded(selector)));
        }
        let mut request = Request::get(uri)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, AGENT)
            .header(VIA, NAME);
        if let Some(line) = self.authorization().await? {
            request = request.header(AUTHORIZATION, line);
        }
        request
            .body(Full::default())
            .map_err(|error| error.to_string())
    }

    /// A token of Kubernetes is another one every hour, so it is read anew.
    async fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let Some(authorization) = &self.settings.authorization else {
            return Ok(None);
        };
        let token = match (&authorization.credentials_file, &authorization.credentials) {
            (Some(file), _) => {
                let read = tokio::fs::read_to_string(file).await;
                read.map_err(|error| {
                    format!("authorization.credentials_file {}: {error}", file.display())
                })?
            }
            (None, Some(secret)) => secret.expose().to_owned(),
            (None, None) => return Ok(None),
        };
        let line = format!("{} {}", authorization.scheme, token.trim());
        let mut line = HeaderValue::from_str(&line)
            .map_err(|_| "authorization: has characters that cannot be in a header".to_owned())?;
        line.set_sensitive(true);
        Ok(Some(line))
    }
}

impl std::fmt::Debug for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Other")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What of an answer is repeated: a list of values, and why there is none, if it is about the metric and not about us.
fn repeated(status: StatusCode, body: Bytes) -> Result<Answered, String> {
    let kind = serde_json::from_slice::<Document>(&body);
    let kind = kind.map_or_else(|_| String::new(), |document| document.kind);
    let said = || {
        let text: String = String::from_utf8_lossy(&body)
            .chars()
            .take(QUOTED)
            .collect();
        format!("it answers {status}: {}", text.trim())
    };
    match (status.as_u16(), kind.as_str()) {
        (200, wire::KIND) => Ok((status, body)),
        (401 | 403, _) => Err(format!(
            "it does not let us in ({status}): see proxy.authorization and proxy.tls_config, and its own access rules"
        )),
        (400..=599, "Status") => Ok((status, body)),
        (404, _) => {
            let document = wire::status(404, &said()).to_string();
            Ok((status, document.into()))
        }
        _ => Err(said()),
    }
}

fn client(settings: &Proxy) -> Result<HttpClient, String> {
    plain_client(&settings.tls_config, settings.timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> String {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn another_authority_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let proxy = serde_json::json!({"url": "https://adapter", "tls_config": {"ca_file": &file}});
        let proxy: Proxy = serde_json::from_value(proxy).unwrap();
        assert!(
            Other::build(&proxy)
                .unwrap_err()
                .contains("proxy.tls_config.ca_file")
        );
        fs::write(&file, authority()).unwrap();
        let other = Other::build(&proxy).unwrap();
        let (first, client) = (**other.stamp.load(), other.client.load_full());
        other.renew().unwrap();
        assert!(
            Arc::ptr_eq(&client, &other.client.load_full()),
            "nothing has changed"
        );
        for broken in [
            "",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            fs::write(&file, broken).unwrap();
            let problem = other.renew().unwrap_err();
            assert!(problem.starts_with("proxy.tls_config.ca_file"), "{problem}");
            assert_eq!(**other.stamp.load(), first, "the former is in force");
        }
        fs::write(&file, authority()).unwrap();
        other.renew().unwrap();
        assert_ne!(**other.stamp.load(), first);
        assert!(!Arc::ptr_eq(&client, &other.client.load_full()));
    }

    #[test]
    fn what_is_about_us_is_not_repeated_as_if_it_were_about_the_metric() {
        let list = r#"{"kind":"ExternalMetricValueList","items":[]}"#;
        let gone = r#"{"kind":"Status","code":404}"#;
        for (status, body, wanted) in [
            (200, list, Some(200)),
            (200, "<html>log in</html>", None),
            (200, gone, None),
            (302, "", None),
            (401, gone, None),
            (403, gone, None),
            (404, gone, Some(404)),
            (404, "404 page not found", Some(404)),
            (500, gone, Some(500)),
            (502, "bad gateway", None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let told = repeated(status, Bytes::from_static(body.as_bytes()));
            let code = told.as_ref().ok().map(|(status, _)| status.as_u16());
            assert_eq!(code, wanted, "{status} {body}: {told:?}");
            if let Ok((_, body)) = told {
                assert!(serde_json::from_slice::<Document>(&body).is_ok());
            }
        }
    }
}
