//! Lines with a time each, in OpenMetrics 1.0: what was shown once, for whoever reads it later.

use super::{
    RenderedLabels,
    chunk::{Chunk, Kind},
    encode::{Header, LineStart, header_name},
    escape::{Escaping, escape_family_name},
};
use crate::series::Millis;

/// The last line of OpenMetrics.
pub const END: &str = "# EOF\n";

/// A family whose samples are written with their times.
#[derive(Debug)]
pub struct TimedFamily {
    header: String,
    start: LineStart,
}

impl TimedFamily {
    /// The family of a chunk, as a scrape that wants this escaping calls it.
    pub fn of(chunk: &Chunk, scheme: Escaping) -> Self {
        let strip = (chunk.kind() == Kind::Counter).then_some("_total");
        let mut header = String::new();
        Header {
            name: &header_name(chunk.name(), scheme, strip),
            kind: chunk.kind().as_str(),
            help: chunk.help(),
            unit: None,
        }
        .push(&mut header, true);
        Self {
            header,
            start: LineStart::new(&escape_family_name(chunk.name(), scheme)),
        }
    }

    /// The comment lines above its samples.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Appends a line; `labels` are [`timed_labels`], `at` is in milliseconds since the epoch.
    pub fn push_line(&self, out: &mut String, labels: &str, at: Millis, value: f64) {
        self.start.push_line_at(out, labels, value, at);
    }
}

/// The text between the braces: the labels of a series, and of `more` those that it does not have itself, as a scrape with
/// `honor_labels` adds those of the target.
pub fn timed_labels(own: &RenderedLabels, more: &[(String, String)], scheme: Escaping) -> String {
    if more.is_empty() {
        return own.text(scheme).into_owned();
    }
    let pairs = own.pairs();
    let own = pairs.iter().map(|(name, value)| (&**name, &**value));
    let more = more
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    // Of two with one name the first stays.
    let both = RenderedLabels::new(own.chain(more));
    both.text(scheme).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn chunk(name: &str, kind: Kind) -> Chunk {
        let labels = Arc::new(RenderedLabels::new([("pod.name", "a\"b")]));
        Chunk::new(name.into(), "Why.".into(), kind, vec![(labels, 1.5)])
    }

    fn written(chunk: &Chunk, more: &[(&str, &str)], scheme: Escaping) -> String {
        let more: Vec<(String, String)> = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let family = TimedFamily::of(chunk, scheme);
        let mut text = family.header().to_owned();
        for (_, labels, value) in chunk.samples() {
            let labels = timed_labels(labels, &more, scheme);
            family.push_line(&mut text, &labels, 1_700_000_000_000, value);
            family.push_line(&mut text, &labels, 1_700_000_060_250, -value);
        }
        text
    }

    #[test]
    fn times_are_seconds_and_a_counter_loses_its_suffix_in_the_header() {
        let text = written(
            &chunk("ups_total", Kind::Counter),
            &[],
            Escaping::Underscores,
        );
        assert_eq!(
            text,
            "# HELP ups Why.\n# TYPE ups counter\n\
             ups_total{pod_name=\"a\\\"b\"} 1.5 1700000000\n\
             ups_total{pod_name=\"a\\\"b\"} -1.5 1700000060.250\n"
        );
    }

    #[test]
    fn names_are_as_the_scheme_has_them_and_own_labels_go_before_others() {
        let shown = chunk("ups.now", Kind::Gauge);
        let more = [("pod.name", "other"), ("job", "forethought")];
        let text = written(&shown, &more, Escaping::AllowUtf8);
        let line = "{\"ups.now\",job=\"forethought\",\"pod.name\"=\"a\\\"b\"} 1.5 1700000000\n";
        assert!(text.contains(line), "{text}");
        assert!(text.starts_with("# HELP \"ups.now\" Why.\n"), "{text}");
        let text = written(&shown, &more, Escaping::Underscores);
        let line = "ups_now{job=\"forethought\",pod_name=\"a\\\"b\"} 1.5 1700000000\n";
        assert!(text.contains(line), "{text}");
    }
}
