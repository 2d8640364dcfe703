//! Where models are kept beside this machine, as written in configuration.

use super::Store;
use crate::{
    series::Span,
    source::prometheus::{Address, TlsSettings},
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

const TIMEOUT: Span = Span::seconds(30);
/// What goes on failing for longer is told: the next attempt is a person's, or the next poll.
const RETRIES: usize = 3;
const MOST_RETRIES: usize = 20;
/// Where neither `region` nor the environment says one. Other servers than Amazon's take any.
#[cfg(feature = "object-store")]
const REGION: &str = "us-east-1";

/// Where models are kept beside this machine.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// S3-compatible storage.
    pub s3: Option<S3>,
    /// Whether the pin there is the one that all follow.
    pub follow: bool,
}

/// A bucket of S3-compatible storage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// The bucket, which must be there.
    pub bucket: String,
    /// In front of every key.
    #[serde(default)]
    pub prefix: String,
    /// The server, where it is not Amazon's.
    #[serde(default)]
    pub endpoint: Option<Address>,
    /// The region.
    #[serde(default)]
    pub region: Option<String>,
    /// Who asks.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// The file with the secret key; read anew for each request.
    #[serde(default)]
    pub secret_access_key_file: Option<PathBuf>,
    /// The file with the token of temporary credentials; read anew for each request.
    #[serde(default)]
    pub session_token_file: Option<PathBuf>,
    /// TLS.
    #[serde(default)]
    pub tls_config: TlsSettings,
    /// Longest time without an answer, or inside of one.
    #[serde(default = "S3::default_timeout")]
    pub timeout: Span,
    /// How often a failed request is sent again.
    #[serde(default = "S3::default_retries")]
    pub retries: usize,
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(in crate::registry) fn validate(&self, problems: &mut Vec<(String, String)>) {
        match &self.s3 {
            None => problems.push((
                "store.s3".to_owned(),
                "is required: it says where the store is".to_owned(),
            )),
            Some(s3) => s3.validate(problems),
        }
    }

    /// Makes relative files relative to `directory`.
    pub(in crate::registry) fn set_directory(&mut self, directory: &Path) {
        let Some(s3) = &mut self.s3 else {
            return;
        };
        let tls = &mut s3.tls_config;
        let files = [
            &mut s3.secret_access_key_file,
            &mut s3.session_token_file,
            &mut tls.ca_file,
            &mut tls.cert_file,
            &mut tls.key_file,
        ];
        for file in files.into_iter().flatten() {
            *file = directory.join(&*file);
        }
    }

    /// The files that are named, with the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        let Some(s3) = &self.s3 else {
            return Vec::new();
        };
        let tls = &s3.tls_config;
        let files = [
            ("s3.secret_access_key_file", &s3.secret_access_key_file),
            ("s3.session_token_file", &s3.session_token_file),
            ("s3.tls_config.ca_file", &tls.ca_file),
            ("s3.tls_config.cert_file", &tls.cert_file),
            ("s3.tls_config.key_file", &tls.key_file),
        ];
        let named = files.into_iter();
        named
            .filter_map(|(key, file)| Some((key, file.as_deref()?)))
            .collect()
    }

    /// The store. Connects to nothing yet. `env` looks up variables: the usual ones of AWS stand in for what is left out.
    ///
    /// # Errors
    /// What is missing, or a file that cannot be used.
    pub fn open(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Store, String> {
        let s3 = self.s3.as_ref().ok_or("models.store.s3 is not set")?;
        s3.open(env)
    }
}

/// The URL of a server without a slash at its end.
fn server(address: &Address) -> Result<String, String> {
    if address.has_user() {
        let text =
            "has a user or password in it; put them into access_key_id and secret_access_key_file";
        return Err(text.to_owned());
    }
    // Nothing is added to it that could be there twice.
    address.without("?", "write it like https://minio:9000")
}

impl S3 {
    const fn default_timeout() -> Span {
        TIMEOUT
    }

    const fn default_retries() -> usize {
        RETRIES
    }

    fn validate(&self, problems: &mut Vec<(String, String)>) {
        let mut add = |field: &str, text: &str| {
            problems.push((format!("store.s3.{field}"), text.to_owned()));
        };
        // What Amazon allows, and older buckets of other servers.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(allowed) {
            add(
                "bucket",
                "is not the name of a bucket; allowed: 3 to 63 letters, digits, - _ and .",
            );
        }
        let is_part =
            |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(allowed);
        if !self.prefix.is_empty() && !self.prefix.trim_end_matches('/').split('/').all(is_part) {
            add(
                "prefix",
                "must be made of letters, digits, - _ and . with / between, such as forethought/models",
            );
        }
        if let Some(Err(problem)) = self.endpoint.as_ref().map(server) {
            add("endpoint", &problem);
        }
        if self.access_key_id.is_some() != self.secret_access_key_file.is_some() {
            add(
                "secret_access_key_file",
                "access_key_id and secret_access_key_file are given together, or neither is",
            );
        }
        if self.session_token_file.is_some() && self.access_key_id.is_none() {
            add(
                "session_token_file",
                "belongs to access_key_id, which is not given",
            );
        }
        let tls = &self.tls_config;
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            add(
                "tls_config",
                "cert_file and key_file are given together, or neither is",
            );
        }
        if self.timeout.as_millis() <= 0 {
            add("timeout", "must be longer than 0s");
        }
        if self.retries > MOST_RETRIES {
            add(
                "retries",
                &format!(
                    "{} is not allowed; allowed: 0 to {MOST_RETRIES}",
                    self.retries
                ),
            );
        }
    }

    #[cfg(not(feature = "object-store"))]
    fn open(&self, _: &dyn Fn(&str) -> Option<String>) -> Result<Store, String> {
        Err(
            "models.store: this program was built without object-store, the feature that it needs"
                .to_owned(),
        )
    }

    #[cfg(feature = "object-store")]
    fn open(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Store, String> {
        let first = |names: [&'static str; 2]| {
            let found = names.into_iter().map(|name| (name, env(name)));
            found
                .filter_map(|(name, text)| Some((name, text.filter(|text| !text.is_empty())?)))
                .next()
        };
        let endpoint = match &self.endpoint {
            Some(endpoint) => Some(server(endpoint)?),
            // It is shown as well, so it may no more have a password in it than what is configured.
            None => first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
                .map(|(name, text)| {
                    server(&Address::from(text.as_str()))
                        .map_err(|problem| format!("models.store.s3: {name}: {problem}"))
                })
                .transpose()?,
        };
        let region = self.region.clone();
        let region = region.or_else(|| Some(first(["AWS_REGION", "AWS_DEFAULT_REGION"])?.1));
        let bucket = super::s3::Bucket::open(
            self,
            endpoint.as_deref(),
            &region.unwrap_or(REGION.to_owned()),
            env,
        )
        .map_err(|problem| format!("models.store.s3: {problem}"))?;
        let place = match (self.prefix.trim_end_matches('/'), &endpoint) {
            (prefix, Some(endpoint)) => format!("s3://{}/{prefix} at {endpoint}", self.bucket),
            (prefix, None) => format!("s3://{}/{prefix}", self.bucket),
        };
        Ok(Store::new(std::sync::Arc::new(bucket), place))
    }
}

#[cfg(all(test, feature = "object-store"))]
mod tests {
    use super::*;

    fn opened(endpoint: &str) -> Result<Store, String> {
        let s3: S3 =
            serde_json::from_str(r#"{"bucket": "models"}"#).map_err(|error| error.to_string())?;
        s3.open(&|name| match name {
            "AWS_ENDPOINT_URL" => Some(endpoint.to_owned()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("x".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn an_endpoint_of_the_environment_is_checked_as_a_configured_one() {
        let store = opened("http://minio:9000/").unwrap();
        assert_eq!(store.place(), "s3://models/ at http://minio:9000");
        for (endpoint, part) in [
            ("http://me:hunter2@minio:9000", "has a user or password"),
            ("minio:9000", "does not start with http:// or https://"),
        ] {
            let problem = opened(endpoint).unwrap_err();
            assert!(problem.contains(part), "{problem}");
            assert!(problem.contains("AWS_ENDPOINT_URL: "), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
