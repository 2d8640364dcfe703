//! The shape of a source that is pushed to.

use crate::source::{
    local::Hub,
    prometheus::{self, Authorization, BasicAuth},
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A request of Prometheus has 2,000 samples and some hundred kilobytes, and a sender that catches up not many more.
const USUAL_REQUEST_BYTES: usize = 32 << 20;
/// Less would not hold one series.
const LEAST_REQUEST_BYTES: usize = 1 << 16;
/// More would not be worth the memory.
const MOST_REQUEST_BYTES: usize = 512 << 20;
/// Requests that are taken apart at a time: each may take memory.
const USUAL_CONCURRENCY: usize = 8;
/// More at a time than this is no back-pressure.
const MOST_CONCURRENCY: usize = 100;

/// A source that is pushed to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Who may push: user and password.
    pub basic_auth: Option<BasicAuth>,
    /// Who may push: the `Authorization` header.
    pub authorization: Option<Authorization>,
    /// Most series that signals select.
    pub max_series: usize,
    /// Most bytes of one request, unpacked.
    pub max_request_bytes: usize,
    /// Most requests that are taken apart at one time; others are told to come again.
    pub concurrency: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            max_series: 200_000,
            max_request_bytes: USUAL_REQUEST_BYTES,
            concurrency: USUAL_CONCURRENCY,
        }
    }
}

impl Settings {
    /// All problems, each with the path of the key and what to change. No IO.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = self.credentials().validate();
        let mut add = |path: &str, text: String| found.push((path.to_owned(), text));
        if !(1..=Hub::MOST_SERIES).contains(&self.max_series) {
            add("max_series", format!("must be 1 to {}", Hub::MOST_SERIES));
        }
        if !(LEAST_REQUEST_BYTES..=MOST_REQUEST_BYTES).contains(&self.max_request_bytes) {
            let text = format!("must be {LEAST_REQUEST_BYTES} to {MOST_REQUEST_BYTES}");
            add("max_request_bytes", text);
        }
        if !(1..=MOST_CONCURRENCY).contains(&self.concurrency) {
            add("concurrency", format!("must be 1 to {MOST_CONCURRENCY}"));
        }
        found
    }

    /// The files that are named, with the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let settings = self.credentials();
        let files = settings.files().into_iter();
        files.map(|(key, file)| (key, file.to_owned())).collect()
    }

    /// Makes relative files relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        let mut settings = self.credentials();
        settings.set_directory(directory);
        self.basic_auth = settings.basic_auth;
        self.authorization = settings.authorization;
    }

    /// What somebody has to show, in the shape of what we show to others: the rules are the same.
    pub(super) fn credentials(&self) -> prometheus::Settings {
        prometheus::Settings {
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            ..prometheus::Settings::new("http://localhost")
        }
    }
}
