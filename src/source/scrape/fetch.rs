//! One request to a target.

use super::{
    failure::{Cause, Failure},
    settings::{Protocol, Settings},
    target::Target,
};
use crate::{
    expo::{
        parse::{Dialect, Limits, Parser},
        wire::{
            Body,
            families::{self, Families},
        },
    },
    source::prometheus::{Getter, Wanted},
};
use hyper::{
    HeaderMap,
    header::{ACCEPT, HeaderName, HeaderValue},
};

/// What we read, best first, as Prometheus 3 asks for it where it needs no protobuf; that comes last, as it says the same.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.25,*/*;q=0.2";
/// How long we wait: exporters that ask others themselves give up before.
const PATIENCE: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// Asks targets.
#[derive(Debug)]
pub(super) struct Fetcher {
    getter: Getter,
    fallback: Option<Protocol>,
    redirects: bool,
    limit: usize,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// In protobuf.
    Families,
    /// In text.
    Text(Dialect),
}

/// What a target answered.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) body: Vec<u8>,
    pub(super) language: Language,
}

impl Fetcher {
    /// With what `settings`, which are valid, say. Reads the files they name.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(super) fn build(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            getter: Getter::build(&settings.client())?,
            fallback: settings.fallback_scrape_protocol,
            redirects: settings.follow_redirects,
            limit: settings.body_size_limit.limit(),
        })
    }

    /// Asks `target` once.
    ///
    /// # Errors
    /// Why there is no answer that can be read.
    pub(super) async fn fetch(&self, target: &Target) -> Result<Fetched, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let seconds = target.timeout.as_millis() as f64 / 1_000.0;
        if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
            headers.insert(PATIENCE, value);
        }
        let got = self.getter.get(Wanted {
            url: &target.url,
            headers,
            timeout: target.timeout,
            limit: self.limit,
            redirects: self.redirects,
            keys: ("(scrape_timeout)", "(body_size_limit)"),
        });
        let got = got.await?;
        Ok(Fetched {
            language: self.language(got.content_type.as_deref())?,
            body: got.body,
        })
    }

    fn language(&self, content_type: Option<&str>) -> Result<Language, Failure> {
        let given = content_type.unwrap_or_default();
        let kind = given.split(';').next().unwrap_or_default().trim();
        let known = match families::is_families(given) {
            true => Some(Language::Families),
            false => Language::of_type(kind),
        };
        if let Some(language) = known {
            return Ok(language);
        }
        if let Some(fallback) = self.fallback {
            return Ok(Language::of_protocol(fallback));
        }
        let found = match kind {
            "" => "the target does not say what it exposes (no Content-Type)".to_owned(),
            _ => format!("the Content-Type {given:?} is not that of metrics"),
        };
        let advice = "let it say so, or set fallback_scrape_protocol";
        Err(Failure::new(
            Cause::ContentType,
            format!("{found}: {advice}"),
        ))
    }
}

impl Fetched {
    /// A reader of the body. What it has of limits is judged after relabelling.
    pub(super) fn reader(&self) -> Body<'_> {
        match self.language {
            Language::Families => Body::Families(Families::new(&self.body, Limits::NONE)),
            Language::Text(dialect) => Body::Text(Parser::new(&self.body, dialect, Limits::NONE)),
        }
    }
}

impl Language {
    fn of_type(kind: &str) -> Option<Self> {
        match kind.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => Some(Self::Text(Dialect::OpenMetrics)),
            "text/plain" => Some(Self::Text(Dialect::Text)),
            _ => None,
        }
    }

    fn of_protocol(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Families => Self::Families,
            Protocol::OpenMetrics001 | Protocol::OpenMetrics100 => Self::Text(Dialect::OpenMetrics),
            Protocol::Text004 | Protocol::Text100 => Self::Text(Dialect::Text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetcher(yaml: &str) -> Fetcher {
        Fetcher::build(&serde_yaml::from_str(yaml).unwrap()).unwrap()
    }

    #[test]
    fn what_a_body_is_says_its_content_type() {
        let strict = fetcher("{}");
        let text = Language::Text(Dialect::Text);
        let open = Language::Text(Dialect::OpenMetrics);
        assert_eq!(strict.language(Some("text/plain; version=0.0.4")), Ok(text));
        assert_eq!(strict.language(Some("Text/Plain")), Ok(text));
        assert_eq!(
            strict.language(Some("application/openmetrics-text;version=1.0.0")),
            Ok(open)
        );
        for bad in [
            None,
            Some(""),
            Some("text/html"),
            Some("application/json; charset=utf-8"),
        ] {
            let failure = strict.language(bad).unwrap_err();
            assert_eq!(failure.cause, Cause::ContentType);
            assert!(
                failure.message.contains("fallback_scrape_protocol"),
                "{failure}"
            );
        }
        let lenient = fetcher("fallback_scrape_protocol: OpenMetricsText1.0.0");
        assert_eq!(lenient.language(None), Ok(open));
        assert_eq!(lenient.language(Some("text/html")), Ok(open));
        assert_eq!(lenient.language(Some("text/plain")), Ok(text));
    }
}
