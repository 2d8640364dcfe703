//! The text formats, and which of them a reader wants.
//!
//! Source: `docs/instrumenting/content_negotiation.md` and `escaping_schemes.md` of Prometheus, and
//! `expfmt.NegotiateIncludingOpenMetrics` of prometheus/common.

use super::escape::Escaping;

/// A text format, with what it does to names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4: legacy names only. What every reader understands.
    Text004,
    /// Prometheus text 1.0.0.
    Text100(Escaping),
    /// OpenMetrics 0.0.1: what Prometheus 2 knew before 1.0.0; legacy names only.
    OpenMetrics001,
    /// OpenMetrics 1.0.0.
    OpenMetrics100(Escaping),
}

impl Format {
    /// The `Content-Type` of an answer; Prometheus 3 refuses an answer without one.
    pub fn content_type(self) -> String {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8".to_string(),
            Self::Text100(escaping) => {
                format!("text/plain; version=1.0.0; charset=utf-8; escaping={escaping}")
            }
            Self::OpenMetrics001 => {
                "application/openmetrics-text; version=0.0.1; charset=utf-8".to_string()
            }
            Self::OpenMetrics100(escaping) => format!(
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping={escaping}"
            ),
        }
    }

    /// What it does to names.
    pub fn escaping(self) -> Escaping {
        match self {
            Self::Text004 | Self::OpenMetrics001 => Escaping::Underscores,
            Self::Text100(escaping) | Self::OpenMetrics100(escaping) => escaping,
        }
    }

    /// Whether it is one of the OpenMetrics formats.
    pub fn is_open_metrics(self) -> bool {
        matches!(self, Self::OpenMetrics001 | Self::OpenMetrics100(_))
    }
}

/// The format for a request's `Accept` header: of what we have, what the reader likes best, and of equals
/// what it names first. Offers we have not (protobuf, HTML) are passed over; the last resort is
/// [`Format::Text004`].
pub fn negotiate(accept: Option<&str>) -> Format {
    let mut best: Option<(f64, Format)> = None;
    for offer in offers(accept.unwrap_or_default()) {
        let better = best.is_none_or(|(quality, _)| offer.quality > quality);
        if let Some(format) = offer.format().filter(|_| better && offer.quality > 0.0) {
            best = Some((offer.quality, format));
        }
    }
    best.map_or(Format::Text004, |(_, format)| format)
}

/// Whether a request's `Accept-Encoding` allows gzip.
pub fn wants_gzip(accept_encoding: Option<&str>) -> bool {
    let offers: Vec<Offer<'_>> = offers(accept_encoding.unwrap_or_default()).collect();
    let quality = |names: &[&str]| {
        offers
            .iter()
            .find(|offer| {
                names
                    .iter()
                    .any(|name| offer.name.eq_ignore_ascii_case(name))
            })
            .map(|offer| offer.quality)
    };
    quality(&["gzip", "x-gzip"])
        .or_else(|| quality(&["*"]))
        .is_some_and(|quality| quality > 0.0)
}

struct Offer<'a> {
    name: &'a str,
    version: Option<&'a str>,
    escaping: Option<Escaping>,
    quality: f64,
}

impl Offer<'_> {
    fn format(&self) -> Option<Format> {
        let escaping = self.escaping.unwrap_or(Escaping::Underscores);
        let is = |name: &str| self.name.eq_ignore_ascii_case(name);
        if is("application/openmetrics-text") {
            return match self.version {
                Some("1.0.0") => Some(Format::OpenMetrics100(escaping)),
                None | Some("0.0.1") => Some(Format::OpenMetrics001),
                Some(_) => None,
            };
        }
        if is("text/plain") {
            return match self.version {
                Some("1.0.0") => Some(Format::Text100(escaping)),
                None | Some("0.0.4") => Some(Format::Text004),
                Some(_) => None,
            };
        }
        (is("*/*") || is("text/*")).then_some(Format::Text004)
    }
}

fn offers(header: &str) -> impl Iterator<Item = Offer<'_>> {
    header
        .split(',')
        .map(str::trim)
        .filter(|offer| !offer.is_empty())
        .map(offer)
}

fn offer(text: &str) -> Offer<'_> {
    let mut parts = text.split(';').map(str::trim);
    let mut offer = Offer {
        name: parts.next().unwrap_or_default(),
        version: None,
        escaping: None,
        quality: 1.0,
    };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            // What cannot be read is no wish at all.
            "q" => offer.quality = value.parse().unwrap_or(0.0),
            "version" => offer.version = Some(value),
            "escaping" => offer.escaping = Escaping::parse(value),
            _ => {}
        }
    }
    offer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accept headers as real clients send them.
    const PROMETHEUS_2_42: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const PROMETHEUS_2_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const PROMETHEUS_3_TEXT: &str =
        "text/plain;version=1.0.0;escaping=values;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.2";
    const BROWSER: &str =
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

    #[test]
    fn readers_get_what_they_like_best_of_what_we_have() {
        use Escaping::{AllowUtf8, Dots, Underscores, Values};
        let cases = [
            (None, Format::Text004),
            (Some(""), Format::Text004),
            (Some("*/*"), Format::Text004),
            (Some(BROWSER), Format::Text004),
            (Some(PROMETHEUS_2_42), Format::OpenMetrics100(Underscores)),
            (
                Some(PROMETHEUS_2_NATIVE),
                Format::OpenMetrics100(Underscores),
            ),
            (Some(PROMETHEUS_3), Format::OpenMetrics100(AllowUtf8)),
            (Some(PROMETHEUS_3_TEXT), Format::Text100(Values)),
            (Some("application/openmetrics-text"), Format::OpenMetrics001),
            (
                Some("application/openmetrics-text; version=0.0.1"),
                Format::OpenMetrics001,
            ),
            (
                Some("application/openmetrics-text; version=2.0.0, text/plain;q=0.1"),
                Format::Text004,
            ),
            (
                Some("TEXT/Plain; Version=\"1.0.0\"; escaping=dots"),
                Format::Text100(Dots),
            ),
            (
                Some("text/plain;version=1.0.0;escaping=nonsense"),
                Format::Text100(Underscores),
            ),
            (
                Some("text/plain;q=0, application/openmetrics-text;version=1.0.0;q=0.1"),
                Format::OpenMetrics100(Underscores),
            ),
            (Some("application/json"), Format::Text004),
            (
                Some("text/plain;version=0.0.4;q=x,application/openmetrics-text;q=0.01"),
                Format::OpenMetrics001,
            ),
            (Some(";;;,,=,q=,\u{feff}"), Format::Text004),
        ];
        for (accept, want) in cases {
            assert_eq!(negotiate(accept), want, "{accept:?}");
        }
    }

    #[test]
    fn the_answer_names_type_version_and_escaping() {
        let answer = Format::OpenMetrics100(Escaping::AllowUtf8).content_type();
        assert_eq!(
            answer,
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
        );
        assert_eq!(
            Format::Text004.content_type(),
            "text/plain; version=0.0.4; charset=utf-8"
        );
    }

    #[test]
    fn gzip_only_where_it_is_allowed() {
        let cases = [
            (None, false),
            (Some("gzip"), true),
            (Some("gzip, deflate, br"), true),
            (Some("br;q=1.0, GZIP;q=0.2"), true),
            (Some("gzip;q=0"), false),
            (Some("*"), true),
            (Some("*;q=1, gzip;q=0"), false),
            (Some("identity"), false),
            (Some("deflate"), false),
        ];
        for (header, want) in cases {
            assert_eq!(wants_gzip(header), want, "{header:?}");
        }
    }
}
