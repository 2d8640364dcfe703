//! Chunks of several units, and our own metrics, as one answer: one header per family.

use super::{
    chunk::{Chunk, Encoded, Kind},
    encode::{Header, header_name},
    escape::escape_family_name,
    format::Format,
    gzip::GzipStream,
    translate::OwnFamily,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// One answer, in parts that are sent one after another.
#[derive(Debug, Clone)]
pub struct Exposition {
    /// The bytes, in parts; those of chunks are shared with the chunks.
    pub parts: Vec<Bytes>,
    /// Samples in it.
    pub series: usize,
    /// Samples left out because another of the same family had the same labels, or because families of one
    /// name had different types.
    pub dropped: usize,
}

impl Exposition {
    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which families are asked for (`name[]=`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameFilter {
    names: BTreeSet<String>,
}

impl NameFilter {
    /// Only families with one of these names; all of them where there is none. A name is that of a family
    /// or of its samples.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: names.into_iter().collect(),
        }
    }

    fn takes_chunk(&self, chunk: &Chunk) -> bool {
        let base = chunk.name().strip_suffix("_total");
        self.names.is_empty()
            || self.names.contains(chunk.name())
            || base.is_some_and(|base| chunk.kind() == Kind::Counter && self.names.contains(base))
    }

    fn takes_own(&self, family: &OwnFamily) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| family.has_name(name))
    }
}

/// Puts chunks and our own families together, sorted by family name. Where the same series is in several
/// chunks of a family, the first one given stays.
pub fn assemble<'a>(
    chunks: impl IntoIterator<Item = &'a Chunk>,
    own: &[OwnFamily],
    format: Format,
    filter: &NameFilter,
    gzip: bool,
) -> Exposition {
    let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
    for chunk in chunks {
        if filter.takes_chunk(chunk) && !chunk.is_empty() {
            let name = escape_family_name(chunk.name(), format.escaping());
            groups
                .entry(name.into_owned())
                .or_default()
                .chunks
                .push(chunk);
        }
    }
    for family in own.iter().filter(|family| filter.takes_own(family)) {
        let full = family.full_name();
        let name = escape_family_name(&full, format.escaping());
        groups.entry(name.into_owned()).or_default().own = Some(family);
    }
    let mut sink = Sink::new(gzip);
    let mut counts = Counts::default();
    let mut headers = BTreeSet::new();
    for group in groups.values() {
        // In OpenMetrics the counter `x_total` and the gauge `x` would both be the family `x`.
        if headers.insert(group.header_name(format)) {
            group.push(&mut sink, format, &mut counts);
        } else {
            counts.dropped += group.len();
        }
    }
    if format.is_open_metrics() {
        sink.text("# EOF\n");
    }
    Exposition {
        parts: sink.finish(),
        series: counts.series,
        dropped: counts.dropped,
    }
}

/// What has one name.
#[derive(Default)]
struct Group<'a> {
    chunks: Vec<&'a Chunk>,
    own: Option<&'a OwnFamily>,
}

#[derive(Default)]
struct Counts {
    series: usize,
    dropped: usize,
}

impl Group<'_> {
    fn header_name(&self, format: Format) -> String {
        match (self.own, self.chunks.first()) {
            (Some(own), _) => own.header_name(format),
            (None, Some(chunk)) => {
                let strip = chunk.kind() == Kind::Counter && format.is_open_metrics();
                header_name(chunk.name(), format.escaping(), strip.then_some("_total"))
            }
            (None, None) => String::new(),
        }
    }

    fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    fn push(&self, sink: &mut Sink, format: Format, counts: &mut Counts) {
        if let Some(own) = self.own {
            // Ours come first in doubt: units cannot have these names, see `names`.
            let mut text = String::new();
            own.push(&mut text, format);
            sink.text(&text);
            counts.series += own.series();
            counts.dropped += self.len();
            return;
        }
        let Some(first) = self.chunks.first() else {
            return;
        };
        let mut header = String::new();
        Header {
            name: &self.header_name(format),
            kind: first.kind().as_str(),
            help: first.help(),
            unit: None,
        }
        .push(&mut header, format.is_open_metrics());
        sink.text(&header);
        let (alike, other): (Vec<&Chunk>, Vec<&Chunk>) = self
            .chunks
            .iter()
            .partition(|chunk| chunk.kind() == first.kind());
        counts.dropped += other.iter().map(|chunk| chunk.len()).sum::<usize>();
        push_chunks(sink, &alike, format, counts);
    }
}

fn push_chunks(sink: &mut Sink, chunks: &[&Chunk], format: Format, counts: &mut Counts) {
    let scheme = format.escaping();
    let encoded: Vec<&Encoded> = chunks.iter().map(|chunk| chunk.encoded(scheme)).collect();
    if are_distinct(&encoded) {
        for encoded in encoded {
            sink.encoded(encoded);
            counts.series += encoded.series;
            counts.dropped += encoded.dropped;
        }
        return;
    }
    // Only where two units publish the same series: `check` refuses configurations that could.
    let mut taken = BTreeSet::new();
    for chunk in chunks {
        let encoded = chunk.encode_without(scheme, &taken);
        taken.extend(chunk.label_texts(scheme).map(|text| text.into_owned()));
        sink.encoded(&encoded);
        counts.series += encoded.series;
        counts.dropped += encoded.dropped;
    }
}

/// Whether no label set is in two of the chunks, by their hashes. Within a chunk it was seen to already.
fn are_distinct(encoded: &[&Encoded]) -> bool {
    if encoded.len() < 2 {
        return true;
    }
    let mut keys: Vec<u64> = Vec::with_capacity(encoded.iter().map(|one| one.keys.len()).sum());
    for one in encoded {
        let from = keys.len();
        keys.extend_from_slice(&one.keys);
        let mut kept = from;
        for at in from..keys.len() {
            if at == from || keys[at] != keys[kept - 1] {
                keys[kept] = keys[at];
                kept += 1;
            }
        }
        keys.truncate(kept);
    }
    // A stable sort finds the runs and only merges them.
    keys.sort();
    keys.windows(2).all(|pair| pair[0] != pair[1])
}

/// Where parts go: plain, or into one gzip member.
enum Sink {
    Plain { parts: Vec<Bytes>, text: String },
    Gzip(GzipStream),
}

impl Sink {
    fn new(gzip: bool) -> Self {
        if gzip {
            Self::Gzip(GzipStream::default())
        } else {
            Self::Plain {
                parts: Vec::new(),
                text: String::new(),
            }
        }
    }

    fn text(&mut self, more: &str) {
        match self {
            Self::Plain { text, .. } => text.push_str(more),
            Self::Gzip(stream) => stream.push_plain(more.as_bytes()),
        }
    }

    fn encoded(&mut self, encoded: &Encoded) {
        match self {
            Self::Plain { parts, text } => {
                parts.push(std::mem::take(text).into());
                parts.push(encoded.body.clone());
            }
            Self::Gzip(stream) => stream.push(encoded.deflated()),
        }
    }

    fn finish(self) -> Vec<Bytes> {
        match self {
            Self::Plain { mut parts, text } => {
                if !text.is_empty() {
                    parts.push(text.into());
                }
                parts
            }
            Self::Gzip(stream) => stream.finish(),
        }
    }
}
