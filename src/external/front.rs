//! On whose behalf is asked: what the front proxy of Kubernetes says in headers, if it is the front proxy
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#authenticating-proxy>).

use super::settings::RequestHeader;
use crate::tls::pem;
use hyper::header::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::collections::BTreeMap;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// The user who is nobody.
const ANONYMOUS: &str = "system:anonymous";
/// Everybody who is somebody.
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The object identifier of a common name, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The name.
    pub name: String,
    /// The identifier, if it is known.
    pub uid: Option<String>,
    /// The groups.
    pub groups: Vec<String>,
    /// What else is known.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Who the front proxy is, and in which headers it says for whom it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    authorities: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    names: Vec<String>,
    user: Vec<HeaderName>,
    uid: Vec<HeaderName>,
    groups: Vec<HeaderName>,
    /// In lower case.
    extra: Vec<String>,
}

impl Trust {
    /// Trusts certificates that one of these authorities (PEM) has signed.
    ///
    /// # Errors
    /// What of it cannot be.
    pub fn new(pem: &[u8], header: &RequestHeader) -> Result<Self, String> {
        let authorities = pem::certificates(pem)?;
        if header.extra_header_prefixes.iter().any(String::is_empty) {
            return Err("an empty prefix would make all headers the user's".to_owned());
        }
        let anchors: Result<Vec<_>, _> = authorities
            .iter()
            .map(|one| anchor_from_trusted_cert(one).map(|anchor| anchor.to_owned()))
            .collect();
        let anchors = anchors.map_err(|error| format!("not an authority: {error}"))?;
        Ok(Self {
            anchors,
            authorities,
            names: header.allowed_names.clone(),
            user: names(&header.username_headers)?,
            uid: names(&header.uid_headers)?,
            groups: names(&header.group_headers)?,
            extra: header
                .extra_header_prefixes
                .iter()
                .map(|prefix| prefix.to_ascii_lowercase())
                .collect(),
        })
    }

    /// The user of a request that came with this certificate. Without the front proxy's nothing that headers say counts.
    ///
    /// # Errors
    /// Why nobody is known to be asking.
    pub fn identify(
        &self,
        shown: &[CertificateDer<'_>],
        headers: &HeaderMap,
        now: UnixTime,
    ) -> Result<User, String> {
        self.admit(shown, now)?;
        let name = first(headers, &self.user)?;
        let name = name.ok_or_else(|| {
            let wanted: Vec<&str> = self.user.iter().map(HeaderName::as_str).collect();
            format!(
                "the front proxy does not say for whom it asks: no {}",
                wanted.join(", ")
            )
        })?;
        let mut groups = all(headers, &self.groups)?;
        let is_told = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
        if name != ANONYMOUS && !groups.iter().any(is_told) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Ok(User {
            name,
            uid: first(headers, &self.uid)?,
            groups,
            extra: self.extra(headers)?,
        })
    }

    fn admit(&self, shown: &[CertificateDer<'_>], now: UnixTime) -> Result<(), String> {
        let [certificate, between @ ..] = shown else {
            return Err(
                "no client certificate; only Kubernetes' front proxy is answered".to_owned(),
            );
        };
        let parsed = EndEntityCert::try_from(certificate)
            .map_err(|error| format!("the client's certificate: {error}"))?;
        let usage = KeyUsage::client_auth();
        let verified = parsed.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &self.anchors,
            between,
            now,
            usage,
            None,
            None,
        );
        verified.map_err(|error| {
            format!("the client's certificate is not of the front proxy's authority: {error}")
        })?;
        let name = common_name(parsed.subject()).unwrap_or_default();
        match self.names.is_empty() || self.names.contains(&name) {
            true => Ok(()),
            false => Err(format!(
                "the client's certificate is for {name:?}, which is not the front proxy"
            )),
        }
    }

    fn extra(&self, headers: &HeaderMap) -> Result<BTreeMap<String, Vec<String>>, String> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            let rests = self.extra.iter();
            let rest = rests
                .filter_map(|prefix| name.as_str().strip_prefix(prefix.as_str()))
                .next();
            let Some(rest) = rest else { continue };
            let key = percent_decode_str(rest).decode_utf8();
            let key = key
                .map_err(|_| format!("{name}: is not text"))?
                .into_owned();
            found
                .entry(key)
                .or_default()
                .push(text(name, value.as_bytes())?);
        }
        Ok(found)
    }
}

fn names(headers: &[String]) -> Result<Vec<HeaderName>, String> {
    let name = |name: &String| {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        parsed.map_err(|_| format!("{name:?} is not the name of a header"))
    };
    headers.iter().map(name).collect()
}

/// The first that is not empty.
fn first(headers: &HeaderMap, names: &[HeaderName]) -> Result<Option<String>, String> {
    for name in names {
        if let Some(value) = headers.get(name).filter(|value| !value.is_empty()) {
            return text(name, value.as_bytes()).map(Some);
        }
    }
    Ok(None)
}

fn all(headers: &HeaderMap, names: &[HeaderName]) -> Result<Vec<String>, String> {
    let values = names
        .iter()
        .flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    values
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| text(name, value.as_bytes()))
        .collect()
}

/// Lossy text could be somebody else's name.
fn text(name: &HeaderName, bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned)
        .map_err(|_| format!("{name}: is not text"))
}

/// The common name of a subject in DER, the last where there are several, as Kubernetes has it.
fn common_name(subject: &[u8]) -> Option<String> {
    let mut rest = subject;
    let mut found = None;
    while let Some((0x31, mut set, after)) = element(rest) {
        rest = after;
        while let Some((0x30, pair, more)) = element(set) {
            set = more;
            if let Some((0x06, COMMON_NAME, value)) = element(pair)
                && let Some((_, value, _)) = element(value)
            {
                found = std::str::from_utf8(value).ok().map(str::to_owned);
            }
        }
    }
    found
}

/// The first element: its tag, its content, and what is behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests;
