//! Who may push.

use super::Settings;
use crate::source::prometheus::Credentials;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use ring::digest::{SHA256, digest};

/// Who may push: whoever shows what the settings say; everybody where they say nothing.
#[derive(Debug)]
pub(super) struct Gate {
    credentials: Credentials,
}

impl Gate {
    /// # Errors
    /// A secret that cannot be in a header, or a file that cannot be read.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let credentials = Credentials::new(&settings.credentials())?;
        Ok(Self { credentials })
    }

    /// Whether the request shows what is asked for. A file is read anew.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) async fn opens(&self, headers: &HeaderMap) -> Result<bool, String> {
        let wanted = self.credentials.authorization_now().await?;
        let shown = headers.get(AUTHORIZATION);
        Ok(wanted.is_none_or(|wanted| shown.is_some_and(|shown| same(&wanted, shown))))
    }
}

/// Compares digests, so that the time it takes says nothing of where they differ.
fn same(one: &HeaderValue, other: &HeaderValue) -> bool {
    let digest = |value: &HeaderValue| digest(&SHA256, value.as_bytes());
    digest(one).as_ref() == digest(other).as_ref()
}
