//! The samples of one family from one unit, encoded once and shared by every read.

use super::{
    RenderedLabels,
    encode::LineStart,
    escape::{self, Escaping},
    gzip::Deflated,
};
use bytes::Bytes;
use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};
use xxhash_rust::xxh3::xxh3_64;

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up; its name ends in `_total`.
    Counter,
}

impl Kind {
    /// Its name in a `# TYPE` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// The samples of one family from one unit.
#[derive(Debug)]
pub struct Chunk {
    name: Arc<str>,
    help: Arc<str>,
    kind: Kind,
    samples: Vec<(Arc<RenderedLabels>, f64)>,
    /// Every name in it is of the old alphabet: three of the four schemes give the same text.
    legacy: bool,
    encoded: [OnceLock<Encoded>; 4],
}

impl Chunk {
    /// The samples of the family `name`. Values that are `NaN` are left out: absence over lies.
    /// A counter whose name does not end in `_total` gets it: OpenMetrics has no other counters.
    pub fn new(
        name: Arc<str>,
        help: Arc<str>,
        kind: Kind,
        mut samples: Vec<(Arc<RenderedLabels>, f64)>,
    ) -> Self {
        samples.retain(|(_, value)| !value.is_nan());
        let name = match kind {
            Kind::Counter if !name.ends_with("_total") => format!("{name}_total").into(),
            _ => name,
        };
        let legacy =
            escape::is_legacy_family(&name) && samples.iter().all(|(labels, _)| labels.is_legacy());
        Self {
            name,
            help,
            kind,
            samples,
            legacy,
            encoded: Default::default(),
        }
    }

    /// The family's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The family's help text.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The family's type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Its samples, each with the family's name. The same labels may come twice: see [`Exposition::dropped`](super::Exposition::dropped).
    pub fn samples(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<RenderedLabels>, f64)> {
        let samples = self.samples.iter();
        samples.map(|(labels, value)| (&self.name, labels, *value))
    }

    /// The values of its samples.
    #[cfg(test)]
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().map(|(_, value)| *value)
    }

    /// Encodes (and deflates, where `gzip`) now what a reader of this scheme will ask for, so that not even
    /// the first read after an evaluation has to.
    pub fn warm(&self, scheme: Escaping, gzip: bool) {
        let encoded = self.encoded(scheme);
        if gzip {
            encoded.deflated();
        }
    }

    /// Whether it is encoded for a scheme, and deflated too.
    #[cfg(test)]
    pub(crate) fn is_warm(&self, scheme: Escaping) -> (bool, bool) {
        let encoded = self.encoded[self.canonical(scheme).index()].get();
        let deflated = encoded.is_some_and(|encoded| encoded.deflated.get().is_some());
        (encoded.is_some(), deflated)
    }

    /// Its lines under a scheme; encoded on first use. The lines of every format are the same: formats
    /// differ in their headers only.
    pub(super) fn encoded(&self, scheme: Escaping) -> &Encoded {
        let scheme = self.canonical(scheme);
        self.encoded[scheme.index()].get_or_init(|| self.encode(scheme, &BTreeSet::new()))
    }

    /// Its lines without the series whose labels (as text under `scheme`) are in `taken`. Not kept.
    pub(super) fn encode_without(&self, scheme: Escaping, taken: &BTreeSet<String>) -> Encoded {
        self.encode(self.canonical(scheme), taken)
    }

    /// The labels of its samples as text under `scheme`.
    pub(super) fn label_texts(&self, scheme: Escaping) -> impl Iterator<Item = Cow<'_, str>> {
        self.samples
            .iter()
            .map(move |(labels, _)| labels.text(scheme))
    }

    fn canonical(&self, scheme: Escaping) -> Escaping {
        match scheme {
            Escaping::Dots => scheme,
            _ if self.legacy => Escaping::AllowUtf8,
            _ => scheme,
        }
    }

    fn encode(&self, scheme: Escaping, taken: &BTreeSet<String>) -> Encoded {
        let mut keys: Vec<u64> = self
            .samples
            .iter()
            .map(|(labels, _)| key(labels, scheme))
            .collect();
        keys.sort_unstable();
        // Equal keys are nearly always equal series; only then are the texts compared.
        let unique = taken.is_empty() && keys.windows(2).all(|pair| pair[0] != pair[1]);
        let mut seen = (!unique).then(|| taken.clone());
        let start = LineStart::new(&escape::escape_family_name(&self.name, scheme));
        let mut text = String::with_capacity(self.samples.len() * 128);
        let mut series = 0;
        for (labels, value) in &self.samples {
            let labels = labels.text(scheme);
            let new = seen
                .as_mut()
                .is_none_or(|seen| seen.insert(labels.to_string()));
            if new {
                start.push_line(&mut text, &labels, *value);
                series += 1;
            }
        }
        text.shrink_to_fit();
        Encoded {
            body: text.into(),
            keys,
            series,
            dropped: self.samples.len() - series,
            deflated: OnceLock::new(),
        }
    }
}

fn key(labels: &RenderedLabels, scheme: Escaping) -> u64 {
    match labels.text(scheme) {
        Cow::Borrowed(_) => labels.key(),
        Cow::Owned(text) => xxh3_64(text.as_bytes()),
    }
}

/// The lines of a chunk under one scheme.
#[derive(Debug)]
pub(super) struct Encoded {
    /// The lines.
    pub(super) body: Bytes,
    /// Hashes of the label sets, ascending.
    pub(super) keys: Vec<u64>,
    /// Lines.
    pub(super) series: usize,
    /// Samples left out because another had the same labels.
    pub(super) dropped: usize,
    deflated: OnceLock<Deflated>,
}

impl Encoded {
    /// The lines deflated, on first use.
    pub(super) fn deflated(&self) -> &Deflated {
        self.deflated.get_or_init(|| Deflated::new(&self.body))
    }
}
