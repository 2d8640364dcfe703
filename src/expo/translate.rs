//! Our own metrics, from prometheus-client's OpenMetrics text, for every format.

use super::{
    RenderedLabels,
    encode::{Header, LineStart, header_name},
    escape::{self, Escaping},
    format::Format,
};
use std::collections::BTreeSet;

/// One family of our own metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnFamily {
    /// Without the suffix its samples have.
    name: String,
    /// OpenMetrics' word for it.
    kind: String,
    help: String,
    unit: Option<String>,
    samples: Vec<OwnSample>,
}

#[derive(Debug, Clone, PartialEq)]
struct OwnSample {
    /// `_total`, `_bucket`, ... or nothing.
    suffix: String,
    labels: RenderedLabels,
    value: String,
}

/// The families in prometheus-client's text, sorted by name. Lines that are not of its form, values that
/// are `NaN`, exemplars and `_created` lines are left out; two families of one name become one.
pub fn translate(open_metrics: &str) -> Vec<OwnFamily> {
    let mut families: Vec<OwnFamily> = Vec::new();
    for line in open_metrics.lines() {
        match line.strip_prefix("# ") {
            Some(comment) => take_comment(&mut families, comment),
            None => take_sample(&mut families, line),
        }
    }
    for family in &mut families {
        let mut seen = BTreeSet::new();
        family.samples.retain(|sample| {
            let labels = sample.labels.text(Escaping::AllowUtf8).into_owned();
            seen.insert((sample.suffix.clone(), labels))
        });
        // The library gives label sets in the order of a hash map. A histogram's lines stay together and
        // in their order, as they differ in `le` only.
        family
            .samples
            .sort_by_cached_key(|sample| sample.labels.text_without("le"));
    }
    families.retain(|family| !family.samples.is_empty());
    families.sort_by(|one, other| one.name.cmp(&other.name));
    families
}

fn take_comment(families: &mut Vec<OwnFamily>, comment: &str) {
    let mut words = comment.splitn(3, ' ');
    let (Some(word), Some(name)) = (words.next(), words.next()) else {
        return;
    };
    let rest = words.next().unwrap_or_default();
    let place = match families.iter().position(|family| family.name == name) {
        // The current family is the last one: samples go there.
        Some(place) => {
            let family = families.remove(place);
            families.push(family);
            families.len() - 1
        }
        None => {
            families.push(OwnFamily {
                name: name.to_string(),
                kind: "unknown".to_string(),
                help: String::new(),
                unit: None,
                samples: Vec::new(),
            });
            families.len() - 1
        }
    };
    let family = &mut families[place];
    match word {
        "HELP" if family.help.is_empty() => family.help = rest.to_string(),
        "TYPE" => family.kind = rest.to_string(),
        "UNIT" => family.unit = Some(rest.to_string()),
        _ => {}
    }
}

fn take_sample(families: &mut [OwnFamily], line: &str) {
    let Some(family) = families.last_mut() else {
        return;
    };
    family.samples.extend(parse_sample(&family.name, line));
}

fn parse_sample(family: &str, line: &str) -> Option<OwnSample> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(name_end)?;
    let suffix = name.strip_prefix(family)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => rest.split_at_checked(labels_end(rest)?)?,
        None => ("", rest),
    };
    let value = rest.trim_start_matches('}').split_whitespace().next()?;
    let known = suffix != "_created" && value.parse::<f64>().is_ok_and(|value| !value.is_nan());
    known.then_some(OwnSample {
        suffix: suffix.to_string(),
        labels: RenderedLabels::from_text(labels)?,
        value: value.to_string(),
    })
}

/// Where the closing brace is: the first one outside quotes.
fn labels_end(text: &str) -> Option<usize> {
    let (mut inside, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        let ends = byte == b'}' && !inside;
        inside ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

impl OwnFamily {
    /// Its name as 0.0.4 has it: the one people write in queries.
    pub(super) fn full_name(&self) -> String {
        format!("{}{}", self.name, self.fixed_suffix().unwrap_or_default())
    }

    /// Whether `name` is its name in some format, or the name of one of its samples.
    pub(super) fn has_name(&self, name: &str) -> bool {
        name.strip_prefix(&self.name).is_some_and(|rest| {
            rest.is_empty() || self.samples.iter().any(|sample| sample.suffix == rest)
        })
    }

    pub(super) fn series(&self) -> usize {
        self.samples.len()
    }

    /// Its name in a header of `format`.
    pub(super) fn header_name(&self, format: Format) -> String {
        let strip = self.fixed_suffix().filter(|_| format.is_open_metrics());
        header_name(&self.full_name(), format.escaping(), strip)
    }

    /// Appends header and lines.
    pub(super) fn push(&self, out: &mut String, format: Format) {
        let name = self.header_name(format);
        Header {
            name: &name,
            kind: self.kind_in(format),
            help: &self.help,
            unit: self.unit.as_deref(),
        }
        .push(out, format.is_open_metrics());
        for sample in &self.samples {
            LineStart::new(&self.sample_name(sample, format)).push_line_text(
                out,
                &sample.labels.text(format.escaping()),
                &sample.value,
            );
        }
    }

    /// The suffix that 0.0.4 counts as part of the family's name.
    fn fixed_suffix(&self) -> Option<&'static str> {
        match self.kind.as_str() {
            "counter" => Some("_total"),
            "info" => Some("_info"),
            _ => None,
        }
    }

    fn sample_name(&self, sample: &OwnSample, format: Format) -> String {
        let full = self.full_name();
        let name = escape::escape_family_name(&full, format.escaping());
        match self.fixed_suffix() {
            Some(_) => name.into_owned(),
            None => format!("{name}{}", sample.suffix),
        }
    }

    fn kind_in(&self, format: Format) -> &str {
        match self.kind.as_str() {
            kind if format.is_open_metrics() => kind,
            "info" | "stateset" => "gauge",
            "unknown" => "untyped",
            kind => kind,
        }
    }
}
